//! Finds the function that raised an error in PostgreSQL's context. That may hold values: only the name leaves this file.

use std::fmt;

/// The context of an error in PostgreSQL's words, in the server's language. It may hold values, so it is never shown.
#[derive(Clone)]
pub(super) struct Context(pub(super) Box<str>);

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Context")
    }
}

impl Context {
    /// The outermost call of one of these functions (`schema.name`). In every language a `(` follows a function's name there.
    pub(super) fn function_among(&self, functions: &[String]) -> Option<Box<str>> {
        let is_called = |line: &str, name: &str| {
            [
                format!("{name}("),
                format!("\"{}\"(", name.replace('"', "\"\"")),
            ]
            .iter()
            .any(|call| {
                line.match_indices(call.as_str()).any(|(at, _)| {
                    let before = line[..at].bytes().next_back();
                    !before.is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'"')
                })
            })
        };
        self.0.lines().rev().find_map(|line| {
            functions
                .iter()
                .filter_map(|function| function.split_once('.'))
                .map(|(_schema, name)| name)
                .find(|name| is_called(line, name))
                .map(Box::from)
        })
    }
}

/// The outermost function in the context of an error, which is the trigger's. The rest is dropped: it may hold values.
pub(super) fn function_of(context: &str) -> Option<Box<str>> {
    let name = context.lines().rev().find_map(|line| {
        let (language, rest) = line.split_once(" function ")?;
        let known = language == "SQL" || language.starts_with("PL/");
        (known && !language.contains(' ')).then_some(rest)
    })?;
    let name = name.trim_start_matches('"');
    let end = name.find(['(', '"', ' ']).unwrap_or(name.len());
    (end > 0).then(|| Box::from(&name[..end]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trigger_function_is_found_in_a_context_of_any_language() {
        let functions = ["public.guard".to_owned(), "audit.keep \"it\"".to_owned()];
        for (context, function) in [
            ("PL/pgSQL-Funktion guard() Zeile 3 bei RAISE", Some("guard")),
            ("PL/pgSQL関数public.guard()の3行目 - RAISE", Some("guard")),
            (
                "fonction SQL audit.\"keep \"\"it\"\"\"(text), instruction 1",
                Some("keep \"it\""),
            ),
            ("PL/pgSQL-Funktion safeguard() Zeile 3 bei RAISE", None),
            ("SQL-Anweisung »SELECT 'guard'«", None),
        ] {
            let context = Context(context.into());
            assert_eq!(
                context.function_among(&functions).as_deref(),
                function,
                "{}",
                context.0
            );
        }
    }

    #[test]
    fn of_the_context_of_an_error_only_the_name_of_the_function_is_kept() {
        for (context, function) in [
            ("PL/pgSQL function refuse() line 3 at RAISE", Some("refuse")),
            (
                "SQL statement \"INSERT INTO t VALUES ('secret')\"\nPL/pgSQL function audit.keep(text) line 1 at SQL statement",
                Some("audit.keep"),
            ),
            ("SQL function \"check it\" statement 1", Some("check")),
            ("COPY customers, line 3", None),
        ] {
            assert_eq!(function_of(context).as_deref(), function, "{context}");
        }
    }
}
