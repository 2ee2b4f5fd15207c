//! Strict reading of the tree: each section has known keys, each value a type, and every mistake is collected.
//!
//! A method that finds a mistake records it and returns `None`, so that reading goes on and the user sees all mistakes at
//! once. `${…}` is replaced in single values only, when a value is read (`expansion.rs`).

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use super::context::Context;
use super::path;
use super::problem::Problem;
use super::source::Span;
use super::values::{parse_duration, parse_share, parse_size, show_duration, show_size};
use super::yaml::{Entry, Kind, Node};
use crate::support::spelling::nearest;

/// Keys of the plain convention that datasync does not need: which connector and driver to use, and with which statements
/// or requests. They are ignored in the mappings of a side, an endpoint, the connection or a table.
pub(super) const CONVENTION: [&str; 4] = ["type", "connector", "driver", "operations"];

/// A single value after `${…}` has been replaced.
#[derive(Clone, Debug)]
pub(super) struct Value {
    pub text: String,
    pub span: Span,
    pub path: String,
    /// It is not quoted in the file.
    pub plain: bool,
    /// `${…}` or `$$` was replaced in it.
    pub expanded: bool,
}

/// A mapping of the file, or the place where one could be.
#[derive(Clone)]
pub(super) struct Section<'a> {
    context: &'a Context<'a>,
    path: String,
    span: Span,
    entries: &'a [Entry],
    present: bool,
    needed: bool,
}

impl<'a> Section<'a> {
    /// Opens a mapping and checks its keys. Null counts as an empty mapping.
    pub fn open(
        context: &'a Context<'a>,
        node: &'a Node,
        path: &str,
        keys: &[&str],
        needed: bool,
    ) -> Self {
        let section = Self::any(context, node, path, needed);
        for entry in section.entries {
            if !keys.contains(&entry.key.as_str()) && !context.is_full() {
                section.unknown_key(entry, keys);
            }
        }
        section
    }

    /// Opens a mapping whose keys are names of the user's choice.
    pub fn any(context: &'a Context<'a>, node: &'a Node, path: &str, needed: bool) -> Self {
        let entries = match &node.kind {
            Kind::Map(entries) => entries.as_slice(),
            Kind::Null => &[],
            _ => {
                let found = node.describe();
                let message = format!("expected a mapping (`key: value`), found {found}");
                context.problem(context.source.problem(node.span, message).on(path));
                &[]
            }
        };
        let present = !matches!(node.kind, Kind::Null);
        Self {
            context,
            path: path.to_owned(),
            span: node.span,
            entries,
            present,
            needed,
        }
    }

    fn unknown_key(&self, entry: &Entry, keys: &[&str]) {
        let hint = match nearest(&entry.key, keys.iter().copied()) {
            Some(key) => format!("did you mean `{key}`?"),
            None => format!("known here: {}", keys.join(", ")),
        };
        let message = format!("unknown key `{}` {}", entry.key, self.here());
        self.wrong_key(entry, message, hint);
    }

    /// A mapping below this one; an empty one when the key is absent.
    pub fn section(&self, key: &str, keys: &[&str]) -> Self {
        match self.entry(key) {
            Some(entry) => Self::open(
                self.context,
                &entry.value,
                &self.path_of(key),
                keys,
                self.needed,
            ),
            None => self.absent(key),
        }
    }

    /// A mapping below this one whose keys are names of the user's choice.
    pub fn names(&self, key: &str) -> Self {
        match self.entry(key) {
            Some(entry) => Self::any(self.context, &entry.value, &self.path_of(key), self.needed),
            None => self.absent(key),
        }
    }

    fn absent(&self, key: &str) -> Self {
        // An absent section has the place of the section around it: a missing key is reported there.
        Self {
            path: self.path_of(key),
            entries: &[],
            present: false,
            ..self.clone()
        }
    }

    /// The same section, with or without the need for its values.
    #[must_use]
    pub fn needed(mut self, needed: bool) -> Self {
        self.needed = needed;
        self
    }

    /// What all readers share.
    pub fn context(&self) -> &'a Context<'a> {
        self.context
    }

    /// Does the command need the values of this section?
    pub fn is_needed(&self) -> bool {
        self.needed
    }

    /// Is the section in the file?
    pub fn is_present(&self) -> bool {
        self.present
    }

    /// The dotted path of a key in it.
    pub fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    /// Its entries in file order.
    pub fn entries(&self) -> &'a [Entry] {
        self.entries
    }

    /// The entry of a key.
    pub fn entry(&self, key: &str) -> Option<&'a Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// Where the value of a key is, else where this section is.
    pub fn span_of(&self, key: &str) -> Span {
        self.entry(key).map_or(self.span, place)
    }

    /// True when the value is `${variable}` and nothing else.
    pub fn is_reference_to(&self, key: &str, variable: &str) -> bool {
        self.entry(key)
            .is_some_and(|entry| match &entry.value.kind {
                Kind::Scalar { text, .. } => text.trim() == format!("${{{variable}}}"),
                _ => false,
            })
    }

    /// True when the value is this word, as it stands in the file.
    pub fn is_word(&self, key: &str, word: &str) -> bool {
        self.entry(key).is_some_and(
            |entry| matches!(&entry.value.kind, Kind::Scalar { text, .. } if text.trim() == word),
        )
    }

    /// Records a mistake at the value of a key.
    pub fn wrong(&self, key: &str, message: impl Into<String>, hint: impl Into<String>) {
        let (span, path) = (self.span_of(key), self.path_of(key));
        self.context.wrong(span, path, message, hint);
    }

    /// The statuses in a list, as far as they fit.
    pub fn statuses(
        &self,
        key: &str,
        fits: impl Fn(&u16) -> bool,
        expected: &str,
        hint: &str,
    ) -> Vec<u16> {
        let values = self.values(key);
        let read = |text: &str| text.trim().parse::<u16>().ok().filter(&fits);
        let statuses = values.iter().map(|value| read(&value.text));
        statuses
            .inspect(|status| {
                if status.is_none() {
                    self.wrong(key, expected, hint);
                }
            })
            .flatten()
            .collect()
    }

    /// Records a mistake at a key.
    pub fn wrong_key(&self, entry: &Entry, message: impl Into<String>, hint: impl Into<String>) {
        let (span, path) = (entry.key_span, self.path_of(&entry.key));
        self.context.wrong(span, path, message, hint);
    }

    /// Records that a key must be there.
    pub fn absent_key(&self, key: &str, hint: impl Into<String>) {
        let message = format!("`{key}` is missing {}", self.here());
        self.context
            .wrong(self.span, self.path_of(key), message, hint);
    }

    /// Where the section is, in words.
    fn here(&self) -> String {
        if self.path.is_empty() {
            "at the top level".to_owned()
        } else {
            format!("in {}", self.path)
        }
    }

    /// Lists a key of the plain convention as ignored, with the reason.
    pub fn ignore(&self, key: &str, reason: &str) {
        if let Some(entry) = self.entry(key) {
            self.context.warn(
                self.context
                    .source
                    .problem(
                        entry.key_span,
                        format!("`{}` is ignored: {reason}", self.path_of(key)),
                    )
                    .on(self.path_of(key)),
            );
        }
    }

    /// Records a warning at the value of a key.
    pub fn warn(&self, key: &str, message: impl Into<String>) {
        self.context.warn(
            self.context
                .source
                .problem(self.span_of(key), message)
                .on(self.path_of(key)),
        );
    }

    /// A single value; `None` if it is absent, is not a single value, or uses a variable that is not set.
    pub fn value(&self, key: &str) -> Option<Value> {
        let entry = self.entry(key)?;
        if matches!(entry.value.kind, Kind::Null) {
            self.wrong(
                key,
                format!("`{}` has no value", self.path_of(key)),
                "write one, or leave the key out",
            );
            return None;
        }
        self.scalar(&entry.value, &self.path_of(key), false)
    }

    /// Like [`Self::value`], but null and a variable with an empty value give an empty text.
    pub fn value_or_empty(&self, key: &str) -> Option<Value> {
        let entry = self.entry(key)?;
        if matches!(entry.value.kind, Kind::Null) {
            let span = entry.key_span;
            return Some(Value {
                text: String::new(),
                span,
                path: self.path_of(key),
                plain: true,
                expanded: false,
            });
        }
        self.scalar(&entry.value, &self.path_of(key), true)
    }

    /// The text of a node that must be a single value.
    pub fn scalar(&self, node: &Node, path: &str, may_be_empty: bool) -> Option<Value> {
        let Kind::Scalar { text, plain } = &node.kind else {
            let found = node.describe();
            let message = format!("expected a single value, found {found}");
            self.context
                .problem(self.context.source.problem(node.span, message).on(path));
            return None;
        };
        let expanded = self.expand(text, node.span, path, may_be_empty)?;
        Some(Value {
            plain: *plain,
            expanded: expanded != *text,
            text: expanded,
            span: node.span,
            path: path.to_owned(),
        })
    }

    /// A value of some type; `expected` completes "expected …".
    pub fn parse<T>(
        &self,
        key: &str,
        expected: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let value = self.value(key)?;
        let parsed = read(value.text.trim());
        if parsed.is_none() {
            self.context.problem(self.unexpected(&value, expected));
        }
        parsed
    }

    /// The mistake of a value that is not what was expected. It does not show the value, which may come from the environment.
    fn unexpected(&self, value: &Value, expected: &str) -> Problem {
        let origin = if value.expanded {
            ", which a variable fills"
        } else {
            ""
        };
        self.context
            .source
            .problem(
                value.span,
                format!("expected {expected} for {}{origin}", value.path),
            )
            .on(&value.path)
    }

    /// Text that is not blank.
    pub fn text(&self, key: &str) -> Option<String> {
        self.parse(key, "text that is not empty", |text| {
            (!text.is_empty()).then(|| text.to_owned())
        })
    }

    /// A path into JSON, one part a level.
    pub fn json_path(&self, key: &str) -> Option<Vec<String>> {
        self.parse(
            key,
            "a name, names joined by dots such as `meta.items`, or a JSON Pointer such as `/meta/items`,",
            path::parse,
        )
    }

    /// `true` or `false`.
    pub fn flag(&self, key: &str) -> Option<bool> {
        self.parse(key, "`true` or `false`", parse_flag)
    }

    /// A whole number within a range.
    pub fn number<T: FromStr + PartialOrd + Display>(
        &self,
        key: &str,
        range: RangeInclusive<T>,
    ) -> Option<T> {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        self.parse(key, &expected, |text| {
            let number = text
                .parse()
                .ok()
                .filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))?;
            range.contains(&number).then_some(number)
        })
    }

    /// A duration in seconds from `least` to `most`.
    pub fn duration(&self, key: &str, least: Duration, most: Duration) -> Option<Duration> {
        let expected = format!(
            "a duration from {} to {}, written `500ms`, `30s`, `10m`, `2h` or `5d`,",
            show_duration(least),
            show_duration(most)
        );
        self.parse(key, &expected, |text| {
            parse_duration(text).filter(|duration| (least..=most).contains(duration))
        })
    }

    /// A size in bytes.
    pub fn size(&self, key: &str, least: u64) -> Option<u64> {
        let expected = format!(
            "a size of at least {}, written `32MiB`, `1GiB` or `10MB`,",
            show_size(least)
        );
        self.parse(key, &expected, |text| {
            parse_size(text).filter(|size| *size >= least)
        })
    }

    /// A share from 0 to 1.
    pub fn share(&self, key: &str) -> Option<f64> {
        self.parse(
            key,
            "a share from 0 to 1, written `5%` or `0.05`,",
            parse_share,
        )
    }

    /// One of a few words.
    pub fn choice<T: Copy>(&self, key: &str, choices: &[(&str, T)]) -> Option<T> {
        let value = self.value(key)?;
        self.choose(&value, choices)
    }

    /// Like [`Self::choice`], for a value that has been read already.
    pub fn choose<T: Copy>(&self, value: &Value, choices: &[(&str, T)]) -> Option<T> {
        let found = choices.iter().find(|(word, _)| *word == value.text.trim());
        if found.is_none() {
            let words: Vec<String> = choices
                .iter()
                .map(|(word, _)| format!("`{word}`"))
                .collect();
            let expected = match words.as_slice() {
                [word] => word.clone(),
                words => format!("one of {}", words.join(", ")),
            };
            let problem = self.unexpected(value, &expected);
            let nearest = nearest(value.text.trim(), choices.iter().map(|(word, _)| *word));
            self.context.problem(match nearest {
                Some(word) => problem.hint(format!("did you mean `{word}`?")),
                None => problem,
            });
        }
        found.map(|(_, choice)| *choice)
    }

    /// The nodes of a list, each with its path; empty when absent.
    pub fn items(&self, key: &str) -> Vec<(&'a Node, String)> {
        let Some(entry) = self.entry(key) else {
            return Vec::new();
        };
        let path = self.path_of(key);
        match &entry.value.kind {
            Kind::List(items) => items
                .iter()
                .enumerate()
                .map(|(index, item)| (item, format!("{path}[{index}]")))
                .collect(),
            Kind::Null => Vec::new(),
            _ => {
                self.wrong(
                    key,
                    format!("expected a list, found {}", entry.value.describe()),
                    "write `[a, b]`, or one `- a` a line",
                );
                Vec::new()
            }
        }
    }

    /// A list of single values.
    pub fn values(&self, key: &str) -> Vec<Value> {
        self.items(key)
            .into_iter()
            .filter_map(|(item, path)| self.scalar(item, &path, false))
            .collect()
    }
}

/// The place to show for an entry: its value, or its key if the value is null.
pub(super) fn place(entry: &Entry) -> Span {
    match &entry.value.kind {
        Kind::Scalar { .. } => entry.value.span,
        _ => entry.key_span,
    }
}

pub(super) fn parse_flag(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}
