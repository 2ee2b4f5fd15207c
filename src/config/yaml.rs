//! YAML text → a tree in which every key and value knows its place; and the source lines, secrets masked.
//!
//! Knows nothing of which keys exist. Size, depth and alias expansion are bounded, so that a hostile file costs
//! milliseconds. Duplicate keys are refused here, since every later view of the tree would hide them.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, StrInput};

use super::problem::{Excerpt, Problem, distance};

/// Greatest file, bytes.
pub(super) const LARGEST_FILE: usize = 1024 * 1024;
const DEEPEST: usize = 64;
/// Greatest number of nodes, those that aliases repeat included.
const MOST_NODES: usize = 50_000;

/// A stretch of the file; lines and columns count from 1, the end column is the first one behind.
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

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub span: Span,
    pub kind: Kind,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// Nothing, `~` or `null`, unquoted.
    Null,
    /// Text as written (escapes and folding resolved); `plain` when it was not quoted.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub key: String,
    pub key_span: Span,
    pub value: Node,
}

impl Node {
    /// What it is, for "found …".
    pub fn describe(&self) -> &'static str {
        match &self.kind {
            Kind::Null => "nothing",
            Kind::Scalar { .. } => "a single value",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a mapping",
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
    fn new(name: &str, text: &str) -> Self {
        Self {
            name: name.to_owned(),
            lines: text.lines().map(str::to_owned).collect(),
            secrets: Vec::new(),
        }
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
fn is_secret_key(key: &str, parent: &str) -> bool {
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
            .any(|word| distance(&name, word) <= 2)
}

/// True when text holds more than references (`Bearer ${API_TOKEN}` is safe to show).
fn is_literal(text: &str) -> bool {
    let mut rest = text;
    let mut literal = String::new();
    while let Some(start) = rest.find("${") {
        literal.push_str(&rest[..start]);
        match rest[start..].find('}') {
            // A default is written in the file: it is as literal as the rest.
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

/// Reads the tree. `Err` when the text is no YAML, or more than is accepted; duplicate keys are in the returned list.
pub(super) fn parse(name: &str, text: &str) -> Result<(Source, Node, Vec<Problem>), Problem> {
    let mut builder = Builder {
        parser: Parser::new_from_str(text),
        source: Source::new(name, text),
        anchors: HashMap::new(),
        problems: Vec::new(),
        nodes: 0,
        in_secret: false,
    };
    let root = builder.document()?;
    Ok((builder.source, root, builder.problems))
}

struct Builder<'input> {
    parser: Parser<'input, StrInput<'input>>,
    source: Source,
    /// Finished anchored nodes, with their number of nodes and height.
    anchors: HashMap<usize, (Node, usize, usize)>,
    problems: Vec<Problem>,
    nodes: usize,
    /// Whether the value being read is a secret: then an error shows no line.
    in_secret: bool,
}

impl<'input> Builder<'input> {
    fn document(&mut self) -> Result<Node, Problem> {
        self.next()?; // stream start
        let (event, span) = self.next()?;
        if matches!(event, Event::StreamEnd) {
            return Err(self.empty());
        }
        if !matches!(event, Event::DocumentStart(_)) {
            return Err(self.source.problem(span, "not valid YAML"));
        }
        let (event, span) = self.next()?;
        let (root, _) = self.node(event, span, 0, "", false)?;
        if matches!(root.kind, Kind::Null) {
            return Err(self.empty());
        }
        self.next()?; // document end
        let (event, span) = self.next()?;
        if matches!(event, Event::StreamEnd) {
            Ok(root)
        } else {
            Err(self
                .source
                .problem(span, "a second YAML document starts here")
                .hint("keep one document in the file"))
        }
    }

    fn empty(&self) -> Problem {
        Problem::new("is empty")
            .in_file(&self.source.name)
            .hint("start from the mappings.yaml that ships with datasync")
    }

    fn next(&mut self) -> Result<(Event<'input>, Span), Problem> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => Ok((event, span.into())),
            Some(Err(error)) => {
                let mark = error.marker();
                let (line, column) = (mark.line().max(1), mark.col() + 1);
                let span = Span {
                    line,
                    column,
                    end_line: line,
                    end_column: column + 1,
                };
                let message = format!("not valid YAML: {}", error.info());
                // Without a tree nobody knows what on this line is a secret: a line that might hold one is not shown.
                let doubtful = self.in_secret
                    || self.source.lines.get(line - 1).is_some_and(|text| {
                        text.split([':', ',', '{'])
                            .any(|part| is_secret_key(part.trim_matches([' ', '"', '\'', '-']), ""))
                    });
                Err(if doubtful {
                    Problem::new(message)
                        .in_file(&self.source.name)
                        .at(line, column)
                        .hint("the line is not shown, since it may hold a secret")
                } else {
                    self.source
                        .problem(span, message)
                        .hint("check quotes, brackets and indentation here and just above")
                })
            }
            None => {
                Err(Problem::new("not valid YAML: it ends too early").in_file(&self.source.name))
            }
        }
    }

    /// Builds the node that starts with `event`; also gives its height.
    fn node(
        &mut self,
        event: Event<'input>,
        span: Span,
        depth: usize,
        key: &str,
        secret: bool,
    ) -> Result<(Node, usize), Problem> {
        self.in_secret = secret;
        self.nodes += 1;
        let before = self.nodes;
        if depth > DEEPEST {
            return Err(self.too_deep(span));
        }
        if before > MOST_NODES {
            return Err(self.too_many(span));
        }
        let (anchor, kind, height) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.check_tag(tag.is_some_and(|tag| !tag.is_yaml_core_schema()), span)?;
                if secret && is_literal(&text) {
                    self.source.secrets.push(span);
                }
                let plain = style == ScalarStyle::Plain;
                let kind = if plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL") {
                    Kind::Null
                } else {
                    Kind::Scalar {
                        text: text.into_owned(),
                        plain,
                    }
                };
                (anchor, kind, 0)
            }
            Event::SequenceStart(anchor, tag) => {
                self.check_tag(tag.is_some_and(|tag| !tag.is_yaml_core_schema()), span)?;
                let mut items = Vec::new();
                let mut height = 0;
                loop {
                    let (event, span) = self.next()?;
                    if matches!(event, Event::SequenceEnd) {
                        break;
                    }
                    let (item, below) = self.node(event, span, depth + 1, key, secret)?;
                    height = height.max(below + 1);
                    items.push(item);
                }
                (anchor, Kind::List(items), height)
            }
            Event::MappingStart(anchor, tag) => {
                self.check_tag(tag.is_some_and(|tag| !tag.is_yaml_core_schema()), span)?;
                let (entries, height) = self.entries(depth, key, secret)?;
                (anchor, Kind::Map(entries), height)
            }
            Event::Alias(anchor) => {
                let Some((node, size, height)) = self.anchors.get(&anchor).cloned() else {
                    return Err(self
                        .source
                        .problem(span, "this alias refers to a value that contains it"));
                };
                self.nodes += size;
                if self.nodes > MOST_NODES {
                    return Err(self.too_many(span));
                }
                if depth + height > DEEPEST {
                    return Err(self.too_deep(span));
                }
                // Without a place of its own an aliased value is reported where it was written.
                return Ok((node, height));
            }
            _ => {
                return Err(self
                    .source
                    .problem(span, "not valid YAML: a value is missing here"));
            }
        };
        let node = Node { span, kind };
        if anchor > 0 {
            self.anchors
                .insert(anchor, (node.clone(), self.nodes - before + 1, height));
        }
        Ok((node, height))
    }

    fn entries(
        &mut self,
        depth: usize,
        parent: &str,
        secret: bool,
    ) -> Result<(Vec<Entry>, usize), Problem> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut seen: HashMap<String, usize> = HashMap::new();
        let mut height = 0;
        loop {
            let (event, key_span) = self.next()?;
            let key = match event {
                Event::MappingEnd => return Ok((entries, height)),
                Event::Scalar(text, ..) => text.into_owned(),
                _ => {
                    return Err(self.source.problem(key_span, "a key must be a plain name"));
                }
            };
            let (event, span) = self.next()?;
            let (value, below) = self.node(
                event,
                span,
                depth + 1,
                &key,
                secret || is_secret_key(&key, parent),
            )?;
            self.in_secret = secret;
            height = height.max(below + 1);
            match seen.insert(key.clone(), key_span.line) {
                Some(first) => self.problems.push(
                    self.source
                        .problem(
                            key_span,
                            format!("the key `{key}` is here twice, first in line {first}"),
                        )
                        .hint("keep one of the two"),
                ),
                None => entries.push(Entry {
                    key,
                    key_span,
                    value,
                }),
            }
        }
    }

    fn check_tag(&self, foreign: bool, span: Span) -> Result<(), Problem> {
        if foreign {
            return Err(self
                .source
                .problem(span, "YAML tags are not supported")
                .hint("remove the tag (`!…`)"));
        }
        Ok(())
    }

    fn too_deep(&self, span: Span) -> Problem {
        self.source
            .problem(span, format!("nested deeper than {DEEPEST} levels"))
    }

    fn too_many(&self, span: Span) -> Problem {
        self.source.problem(
            span,
            format!("more than {MOST_NODES} values, aliases expanded"),
        )
    }
}
