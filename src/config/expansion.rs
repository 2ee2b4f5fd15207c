//! `${NAME}`, `${NAME:-default}` and `$$` in a single value: replaced after the file has been parsed, so that a variable
//! cannot change the structure of the file.

use super::reader::Section;
use super::source::Span;
use super::values::is_variable_name;

impl Section<'_> {
    /// Replaces `${NAME}`, `${NAME:-default}` and `$$`.
    pub(super) fn expand(
        &self,
        text: &str,
        span: Span,
        path: &str,
        may_be_empty: bool,
    ) -> Option<String> {
        let mut result = String::with_capacity(text.len());
        let mut complete = true;
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            result.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix('$') {
                result.push('$');
                rest = after;
            } else if let Some(reference) = rest.strip_prefix('{') {
                let parsed = reference.split_once('}').and_then(|(inside, after)| {
                    let (name, default) = match inside.split_once(":-") {
                        Some((name, default)) => (name, Some(default)),
                        None => (inside, None),
                    };
                    (is_variable_name(name) && !default.is_some_and(|text| text.contains("${")))
                        .then_some((name, default, after))
                });
                let Some((name, default, after)) = parsed else {
                    self.context().problem(
                        self.context()
                            .source
                            .problem(span, "a `${` that is no reference to a variable")
                            .on(path)
                            .hint("write `${NAME}` or `${NAME:-default}`, and `$$` for a dollar"),
                    );
                    return None;
                };
                let value = self.context().defined(name, self.is_needed());
                let value = match default {
                    Some(default) => value
                        .filter(|value| !value.is_empty())
                        .or(Some(default.to_owned())),
                    None => value.filter(|value| may_be_empty || !value.is_empty()),
                };
                if let Some(value) = value {
                    result.push_str(&value);
                } else {
                    self.context().missing(name, Some(span), self.is_needed());
                    complete = false;
                }
                rest = after;
            } else {
                result.push('$');
            }
        }
        result.push_str(rest);
        complete.then_some(result)
    }
}
