//! `.env` files, read by dotenvy: this file adds the line of each mistake and refuses what dotenvy would change silently.
//!
//! Messages name lines and variables, never values. Knows nothing of the process environment.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::rc::Rc;

use super::problem::Problem;
use super::values::is_variable_name;

/// Reads `NAME=value` lines as dotenvy does.
///
/// `export ` in front is allowed, and `#` after white space begins a comment. A value with spaces needs quotes; `'…'` is
/// literal, in `"…"` a backslash escapes `\ " $` and begins `\n`; both may span lines.
///
/// # Errors
/// All mistakes, each with its line: what dotenvy cannot read, a variable that is set twice, and a `$` that is neither
/// escaped nor in single quotes, since dotenvy would replace it and silently change a password.
pub(super) fn parse(text: &str, file: &str) -> Result<BTreeMap<String, String>, Vec<Problem>> {
    let text = text.trim_start_matches('\u{feff}');
    let taken = Rc::new(Cell::new(Taken::default()));
    let mut variables = BTreeMap::new();
    let mut lines_of = BTreeMap::new();
    let mut problems = Vec::new();
    let entries = dotenvy::Iter::new(LineByLine {
        text,
        taken: Rc::clone(&taken),
    });
    let mut before = Taken::default();
    for entry in entries {
        let after = taken.get();
        let (number, source) = skip_comments(&text[before.bytes..after.bytes], before.lines + 1);
        before = after;
        let mut wrong = |message: &str, hint: &str| {
            problems.push(Problem::new(message).in_file(file).at(number, 1).hint(hint));
        };
        match (entry, scan(source)) {
            (_, Scan::Dollar) => wrong(
                &format!("`$` in the value of {} would be replaced", name(source)),
                r"put the value in single quotes, or write \$",
            ),
            (Err(_), _) if !source.contains('=') => wrong(
                "expected NAME=value",
                "the line is not shown, since it may hold a secret",
            ),
            (_, Scan::OpenQuote) => wrong(
                &format!("the quote of {} is never closed", name(source)),
                r"close it, or write \' for a quote that is part of the value",
            ),
            (_, Scan::LineBreak) => wrong(
                &format!(
                    "the value of {} ends with a backslash and a quote",
                    name(source)
                ),
                r"use double quotes and write \\ for the backslash",
            ),
            (Err(_), Scan::Plain) => wrong(
                &format!("the line of {} cannot be read", name(source)),
                "names have letters, digits and `_`; put a value with spaces or backslashes in single quotes",
            ),
            (Ok((name, value)), Scan::Plain) => {
                if let Some(first) = lines_of.insert(name.clone(), number) {
                    wrong(
                        &format!("{name} is set twice, first in line {first}"),
                        "keep one of the two",
                    );
                }
                variables.insert(name, value);
            }
        }
    }
    if problems.is_empty() {
        Ok(variables)
    } else {
        Err(problems)
    }
}

/// How much of the text dotenvy has read.
#[derive(Clone, Copy, Default)]
struct Taken {
    bytes: usize,
    lines: usize,
}

/// A reader that gives one line a read, so that after each entry it is known how far dotenvy has read. It adds a line end
/// to the last line if there is none.
struct LineByLine<'a> {
    text: &'a str,
    taken: Rc<Cell<Taken>>,
}

impl Read for LineByLine<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Taken { bytes, lines } = self.taken.get();
        let rest = &self.text.as_bytes()[bytes..];
        if rest.is_empty() || buffer.is_empty() {
            return Ok(0);
        }
        let line = rest
            .iter()
            .position(|&byte| byte == b'\n')
            .map_or(rest, |end| &rest[..=end]);
        let count = line.len().min(buffer.len());
        buffer[..count].copy_from_slice(&line[..count]);
        self.taken.set(Taken {
            bytes: bytes + count,
            lines: lines + usize::from(count == line.len()),
        });
        Ok(count)
    }
}

/// The entry without the blank lines and comments before it, and the number of its first line.
fn skip_comments(source: &str, mut number: usize) -> (usize, &str) {
    let mut rest = source;
    while let Some((line, after)) = rest.split_once('\n') {
        let line = line.trim();
        if !(line.is_empty() || line.starts_with('#')) {
            break;
        }
        number += 1;
        rest = after;
    }
    (number, rest)
}

/// The name in front of `=`. Anything that is not a valid name is not shown, since it may be part of a secret.
fn name(source: &str) -> String {
    let name = source.split('=').next().unwrap_or_default().trim();
    let name = name.strip_prefix("export ").map_or(name, str::trim_start);
    if is_variable_name(name) {
        name.to_owned()
    } else {
        "a variable".to_owned()
    }
}

/// What the value of an entry holds, by the quoting rules of dotenvy.
#[derive(Debug, PartialEq, Eq)]
enum Scan {
    Plain,
    /// A `$` that would be replaced.
    Dollar,
    OpenQuote,
    /// dotenvy would take the next line as part of the value, although no quote is open.
    LineBreak,
}

fn scan(source: &str) -> Scan {
    let Some((_, value)) = source.split_once('=') else {
        return Scan::Plain;
    };
    let value = value.trim_end();
    let mut quote = None;
    let mut escaped = false;
    let mut after_space = true;
    for c in value.chars() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (Some('\''), '\'') | (Some('"'), '"') => quote = None,
            (Some('"') | None, '\\') => escaped = true,
            (Some('"') | None, '$') => return Scan::Dollar,
            (None, '#') if after_space => return Scan::Plain,
            (None, '\n') => return Scan::LineBreak,
            (None, '\'' | '"') => quote = Some(c),
            _ => {}
        }
        after_space = c == ' ' || c == '\t';
    }
    if quote.is_some() {
        Scan::OpenQuote
    } else {
        Scan::Plain
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn value(text: &str) -> String {
        parse(text, ".env").unwrap().remove("A").unwrap()
    }

    /// Line and message of each mistake.
    fn mistakes(text: &str) -> Vec<(usize, String)> {
        let problems = parse(text, ".env").unwrap_err();
        let all = problems
            .into_iter()
            .map(|problem| (problem.line.unwrap(), problem.message));
        all.collect()
    }

    #[test]
    fn values_are_read_as_dotenvy_reads_them() {
        assert_eq!(value("A='pa$HOMEword'"), "pa$HOMEword");
        assert_eq!(value("A=pa#ss"), "pa#ss");
        assert_eq!(value("A='a b'   # comment"), "a b");
        assert_eq!(value("A=# comment"), "");
        assert_eq!(value("A=x # costs $5"), "x");
        assert_eq!(value(r#"A="a\n\$b \" c" # comment"#), "a\n$b \" c");
        assert_eq!(value("export A = 'x y'"), "x y");
        assert_eq!(value("\u{feff}A=1\r\nB=2"), "1");
        assert_eq!(value("A='one\ntwo'\nB=3"), "one\ntwo");
        assert_eq!(value("A=1  "), "1");
    }

    #[test]
    fn mistakes_name_the_line_and_never_its_content() {
        let text = "A=1\n\n# B\nhunter2\n2B=hunter2\nC='hunter2' hunter2\nD=\"hunter2\\q\"\nA=hunter2\nF=hunter2 hunter2\nE='hunter2\nG=1";
        let found = mistakes(text);
        let lines: Vec<_> = found.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [4, 5, 6, 7, 8, 9, 10]);
        assert!(!format!("{found:?}").contains("hunter2"));
    }

    #[test]
    fn a_dollar_that_would_be_replaced_is_refused_with_its_line() {
        for text in [
            "B=1\nA=pa$HOMEword",
            "B=1\nA=\"pa${HOME}word\"",
            "B='1'\nA='a'$B",
        ] {
            let found = mistakes(text);
            assert_eq!(found.len(), 1, "{text}");
            assert_eq!(found[0].0, 2, "{text}");
            assert!(found[0].1.contains("`$` in the value of A"), "{found:?}");
        }
        assert_eq!(value(r"A=pa\$HOMEword"), "pa$HOMEword");
    }

    #[test]
    fn a_backslash_before_the_closing_quote_swallows_no_line() {
        let found = mistakes("A='a\\'\nB='x'\nC='\n");
        assert!(!found.is_empty(), "{found:?}");
        let found = mistakes("A='a\\'\nB='x\\'\nC=1\n");
        assert!(!found.is_empty(), "{found:?}");
    }

    #[test]
    fn an_open_quote_over_a_large_file_is_one_mistake_at_its_line() {
        let text = format!("B=1\nA='{}", "x\n".repeat(120_000));
        let found = mistakes(&text);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0, 2);
    }

    proptest::proptest! {
        /// Text in single quotes is the value as it is, and no input makes the reader panic.
        #[test]
        fn single_quotes_are_literal(text in "[^'\\\\]{0,40}", noise in "\\PC{0,60}") {
            proptest::prop_assert_eq!(value(&format!("A='{text}'")), text);
            drop(parse(&noise, ".env"));
        }
    }
}
