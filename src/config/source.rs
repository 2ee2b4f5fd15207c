//! The text of mappings.yaml as messages show it: lines, places, and which parts of a line are masked as secrets.

use super::problem::{Excerpt, Problem};

/// A part of the file. Lines and columns count from 1; the end column is the first one after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub line: usize,
    pub column: usize,
    pub end_line: usize,
    pub end_column: usize,
}

impl From<saphyr_parser::Span> for Span {
    fn from(span: saphyr_parser::Span) -> Self {
        Self {
            line: span.start.line(),
            column: span.start.col() + 1,
            end_line: span.end.line(),
            end_column: span.end.col() + 1,
        }
    }
}

/// The text of the file and which parts of it must not be shown.
#[derive(Debug)]
pub(super) struct Source {
    pub name: String,
    lines: Vec<String>,
    secrets: Vec<Span>,
}

impl Source {
    pub fn new(name: &str, text: &str) -> Self {
        Self {
            name: name.to_owned(),
            lines: text.lines().map(str::to_owned).collect(),
            secrets: Vec::new(),
        }
    }

    /// Marks a stretch that must not be shown.
    pub fn hide(&mut self, span: Span) {
        self.secrets.push(span);
    }

    /// A line as it is written, counted from 1.
    pub fn line(&self, number: usize) -> Option<&str> {
        self.lines.get(number.checked_sub(1)?).map(String::as_str)
    }

    /// A problem at a place of this file, with its line.
    pub fn problem(&self, span: Span, message: impl Into<String>) -> Problem {
        Problem::new(message)
            .in_file(&self.name)
            .at(span.line, span.column)
            .excerpt(self.excerpt(span))
    }

    /// The line a span starts on: masked, control characters replaced, cut to a readable width.
    fn excerpt(&self, span: Span) -> Option<Excerpt> {
        const WIDEST: usize = 120;
        const BEFORE: usize = 60;
        let line: Vec<char> = self.lines.get(span.line.checked_sub(1)?)?.chars().collect();
        let start = (span.column - 1).min(line.len());
        let end = if span.end_line == span.line {
            span.end_column - 1
        } else {
            line.len()
        };
        let end = end.clamp(start, line.len());
        let hidden = self.hidden(span.line, &line);
        let mut text = String::new();
        let (mut caret, mut caret_end) = (None, None);
        for index in 0..=line.len() {
            let covered = hidden
                .iter()
                .find(|(from, to)| (*from..*to).contains(&index));
            if covered.is_some_and(|(from, _)| *from == index) {
                text.push_str("***");
            }
            if index == start {
                caret = Some(text.chars().count().saturating_sub(if covered.is_some() {
                    3
                } else {
                    0
                }));
            }
            if index == end {
                caret_end = Some(text.chars().count());
            }
            if let (None, Some(c)) = (covered, line.get(index)) {
                text.push(if c.is_control() { ' ' } else { *c });
            }
        }
        let caret = caret?;
        let width = caret_end?.saturating_sub(caret).max(1);
        let cut = if text.trim_end().chars().count() > WIDEST {
            caret.saturating_sub(BEFORE)
        } else {
            0
        };
        let shown: String = text.chars().skip(cut).take(WIDEST).collect();
        let shown = shown.trim_end().to_owned();
        let start = caret - cut;
        Some(Excerpt {
            width: width.min(WIDEST.saturating_sub(start)).max(1),
            text: shown,
            start,
        })
    }

    /// Character ranges of one line that must not be shown, in order and apart from each other.
    fn hidden(&self, number: usize, line: &[char]) -> Vec<(usize, usize)> {
        let mut ranges: Vec<(usize, usize)> = self
            .secrets
            .iter()
            .filter(|span| (span.line..=span.end_line).contains(&number))
            .map(|span| {
                let from = if span.line == number {
                    span.column - 1
                } else {
                    0
                };
                let to = if span.end_line == number {
                    span.end_column - 1
                } else {
                    line.len()
                };
                (from, to.min(line.len()))
            })
            .filter(|(from, to)| from < to)
            .collect();
        ranges.extend(user_information(line));
        ranges.sort_unstable();
        let mut merged: Vec<(usize, usize)> = Vec::new();
        for (from, to) in ranges {
            match merged.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(to),
                _ => merged.push((from, to)),
            }
        }
        merged
    }
}

/// `user:password` of every `scheme://user:password@host` in a line.
fn user_information(line: &[char]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for start in 0..line.len().saturating_sub(2) {
        if line[start..].starts_with(&[':', '/', '/']) {
            let from = start + 3;
            let authority = line[from..]
                .iter()
                .position(|c| c.is_whitespace() || matches!(c, '/' | '"' | '\'' | '?' | '#'))
                .map_or(line.len(), |length| from + length);
            if let Some(at) = line[from..authority].iter().rposition(|c| *c == '@') {
                found.push((from, from + at));
            }
        }
    }
    found
}

/// True for a key whose value is a secret, misspellings included: an unknown key is shown with its line.
pub(super) fn is_secret_key(key: &str, parent: &str) -> bool {
    let name = key.to_lowercase().replace(['-', '_', ' '], "");
    if parent == "headers" {
        return !matches!(
            name.as_str(),
            "accept"
                | "contenttype"
                | "useragent"
                | "acceptlanguage"
                | "acceptencoding"
                | "cachecontrol"
        );
    }
    if parent == "auth"
        && !matches!(
            name.as_str(),
            "type"
                | "scheme"
                | "name"
                | "grant"
                | "scopes"
                | "audience"
                | "tokenurl"
                | "credentialsin"
        )
    {
        return true;
    }
    if matches!(name.as_str(), "ping" | "pwd") {
        return true;
    }
    [
        "passw",
        "token",
        "secret",
        "webhook",
        "credential",
        "apikey",
        "authorization",
    ]
    .iter()
    .any(|part| name.contains(part))
        || ["password", "authorization", "webhook", "token"]
            .iter()
            .any(|word| {
                name.len().abs_diff(word.len()) <= 2 && strsim::osa_distance(&name, word) <= 2
            })
}

/// True for a line that might hold a secret, by its text alone. For a very long line it is always true.
pub(super) fn may_hold_secret(line: &str) -> bool {
    const READABLE: usize = 500;
    line.len() > READABLE
        || line
            .split([':', ',', '{'])
            .any(|part| is_secret_key(part.trim_matches([' ', '"', '\'', '-']), ""))
}

/// True if the text holds more than references. `Bearer ${API_TOKEN}` is safe to show.
pub(super) fn is_literal(text: &str) -> bool {
    let mut rest = text;
    let mut literal = String::new();
    while let Some(start) = rest.find("${") {
        literal.push_str(&rest[..start]);
        match rest[start..].find('}') {
            // The default in `${NAME:-default}` is text of the file, so it may be a secret.
            Some(end)
                if rest[start..start + end]
                    .split_once(":-")
                    .is_none_or(|(_, default)| default.is_empty()) =>
            {
                rest = &rest[start + end + 1..];
            }
            _ => return true,
        }
    }
    literal.push_str(rest);
    !matches!(literal.trim(), "" | "Bearer" | "Basic" | "Token")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::yaml::parse;
    use super::*;

    fn shown(text: &str, line: usize, column: usize) -> (String, usize, usize) {
        let (source, _, _) = parse("f", text).unwrap();
        let span = Span {
            line,
            column,
            end_line: line,
            end_column: column + 1,
        };
        let excerpt = source.excerpt(span).unwrap();
        (excerpt.text, excerpt.start, excerpt.width)
    }

    #[test]
    fn secrets_are_masked_wherever_their_line_is_shown() {
        for (line, masked) in [
            ("password: hunter2", "password: ***"),
            (
                "{ host: h, password: 'hunter,2', port: 1 }",
                "{ host: h, password: ***, port: 1 }",
            ),
            ("api-token: hunter2 # comment", "api-token: *** # comment"),
            ("Authorization: Bearer hunter2", "Authorization: ***"),
            (
                "Authorization: Bearer ${API_TOKEN}",
                "Authorization: Bearer ${API_TOKEN}",
            ),
            ("password: ${P:-hunter2}", "password: ***"),
            ("webhok: https://hooks.example.com/hunter2", "webhok: ***"),
            ("webhook: [{ x: hunter2 }]", "webhook: [{ x: *** }]"),
            (
                "headers: { X-Key: hunter2, Accept: text/html }",
                "headers: { X-Key: ***, Accept: text/html }",
            ),
            (
                "base_url: https://u:hunter2@h/p@q",
                "base_url: https://***@h/p@q",
            ),
        ] {
            assert_eq!(shown(line, 1, 1).0, masked);
        }
        assert_eq!(
            shown("password: |\n  hunter2\n  hunter3\nport: 1\n", 3, 3)
                .0
                .trim(),
            "***"
        );
    }

    #[test]
    fn carets_stay_with_what_they_point_at() {
        assert_eq!(
            shown("{ password: hunter2, port: 1 }", 1, 22),
            ("{ password: ***, port: 1 }".to_owned(), 17, 1)
        );
        assert_eq!(shown("{ password: hunter2, port: 1 }", 1, 13).1, 12);
        assert_eq!(shown("{ ü: 1, b: 2 }", 1, 9).1, 8);
        let (text, start, _) = shown(&format!("a: {}b", "x ".repeat(200)), 1, 404);
        assert_eq!(text.chars().nth(start), Some('b'));
    }
}
