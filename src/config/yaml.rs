//! YAML text → a tree in which every key and value knows its place.
//!
//! Knows nothing of which keys exist. Size, depth and alias expansion are bounded, so that a hostile file costs
//! milliseconds. Duplicate keys are refused here, since every later view of the tree would hide them.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, StrInput};

use super::problem::Problem;
use super::source::{Source, Span, is_literal, is_secret_key, may_hold_secret};

/// Greatest file, bytes.
pub(super) const LARGEST_FILE: usize = 1024 * 1024;
const DEEPEST: usize = 64;
/// Greatest number of nodes, including those that aliases repeat.
const MOST_NODES: usize = 10_000;

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
    /// The kind of the node in words, for "found …".
    pub fn describe(&self) -> &'static str {
        match &self.kind {
            Kind::Null => "nothing",
            Kind::Scalar { .. } => "a single value",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a mapping",
        }
    }
}

/// Reads the tree. `Err` when the text is no YAML or exceeds a bound. Duplicate keys are in the returned list of problems.
pub(super) fn parse(name: &str, text: &str) -> Result<(Source, Node, Vec<Problem>), Problem> {
    parse_up_to(MOST_NODES, name, text)
}

/// Like [`parse`], with another limit on the number of values.
pub(super) fn parse_up_to(
    most_nodes: usize,
    name: &str,
    text: &str,
) -> Result<(Source, Node, Vec<Problem>), Problem> {
    let mut builder = Builder {
        parser: Parser::new_from_str(text),
        source: Source::new(name, text),
        anchors: HashMap::new(),
        problems: Vec::new(),
        nodes: 0,
        most_nodes,
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
    most_nodes: usize,
    /// The value being read is a secret, so an error shows no line.
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
            .hint("start from the one that ships with datasync")
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
                // Without a tree nobody knows which part of the line is a secret, so a line that might hold one is not shown.
                let doubtful =
                    self.in_secret || self.source.line(line).is_some_and(may_hold_secret);
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
        if before > self.most_nodes {
            return Err(self.too_many(span));
        }
        let (anchor, kind, height) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.check_tag(tag.is_some_and(|tag| !tag.is_yaml_core_schema()), span)?;
                if secret && is_literal(&text) {
                    self.source.hide(span);
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
                if self.nodes > self.most_nodes {
                    return Err(self.too_many(span));
                }
                if depth + height > DEEPEST {
                    return Err(self.too_deep(span));
                }
                // An aliased value has no place of its own: mistakes in it are reported where it was written.
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
            format!("more than {} values, aliases expanded", self.most_nodes),
        )
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_yaml::Value;

    use super::*;

    /// The same tree as the other library reads it, scalars as text.
    fn agrees(ours: &Node, theirs: &Value) -> bool {
        match (&ours.kind, theirs) {
            (Kind::Null, Value::Null) => true,
            (Kind::List(ours), Value::Sequence(theirs)) => {
                ours.len() == theirs.len()
                    && ours
                        .iter()
                        .zip(theirs)
                        .all(|(ours, theirs)| agrees(ours, theirs))
            }
            (Kind::Map(ours), Value::Mapping(theirs)) => {
                ours.len() == theirs.len()
                    && ours.iter().zip(theirs).all(|(entry, (key, value))| {
                        key.as_str() == Some(entry.key.as_str()) && agrees(&entry.value, value)
                    })
            }
            (Kind::Scalar { text, .. }, Value::String(theirs)) => text == theirs,
            (Kind::Scalar { text, plain: true }, Value::Bool(theirs)) => {
                *text == theirs.to_string()
            }
            (Kind::Scalar { text, plain: true }, Value::Number(theirs)) => {
                text.parse::<f64>().ok() == theirs.as_f64()
            }
            _ => false,
        }
    }

    #[test]
    fn trees_are_those_of_another_yaml_library() {
        let mut compared = 0;
        let shipped = std::path::PathBuf::from("mappings.yaml");
        let fixtures = std::fs::read_dir("fixtures/config")
            .unwrap()
            .map(|entry| entry.unwrap().path());
        for path in fixtures
            .chain([shipped])
            .filter(|path| path.extension().is_some_and(|end| end == "yaml"))
        {
            let text = std::fs::read_to_string(&path).unwrap();
            let Ok(theirs) = serde_yaml::from_str::<Value>(&text) else {
                continue;
            };
            let Ok((_, ours, problems)) = parse("f", &text) else {
                continue;
            };
            if problems.is_empty() {
                assert!(agrees(&ours, &theirs), "{}", path.display());
                compared += 1;
            }
        }
        assert!(compared > 100, "only {compared}");
    }
}
