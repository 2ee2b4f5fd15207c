//! The outgoing mapping: a record's text becomes the body that write-back sends to the API.
//!
//! The record is mapped a second time from its text, so that nothing is kept in memory for the many records that are not
//! sent.

use std::borrow::Cow;
use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use jiff::Timestamp;
use serde_json::value::RawValue;

use super::{Mapped, Transform};
use crate::config::plan::{Mapping, Origin, WriteBack};
use crate::model::record::{Cell, Message};

/// The compiled outgoing mapping.
#[derive(Debug)]
pub struct Outgoing {
    transform: Transform,
    shape: Body,
    /// Where the source has the record's id in one value, and its `ETag` or version.
    id: Option<Vec<String>>,
    if_match: Option<Vec<String>>,
}

/// The body of the message: one field, or an object of more.
#[derive(Debug)]
enum Body {
    /// The value of this field.
    Field(usize),
    Object(Vec<(String, Self)>),
}

impl Outgoing {
    /// # Errors
    /// The mapping does not compile, or a name is sent both as a value and as an object.
    pub fn new(mapping: &Mapping, update: &WriteBack) -> Result<Self> {
        let mut members = Vec::new();
        for (external, internal) in &update.fields {
            let field = mapping.fields.iter().position(|f| f.name == *internal);
            let Some(field) = field else { continue };
            ensure!(
                place(&mut members, external, field),
                "the outgoing mapping sends `{external}` beside a part or the whole of it"
            );
        }
        let key = &mapping.fields[mapping.key];
        Ok(Self {
            transform: Transform::new(mapping)?,
            shape: Body::Object(members),
            id: (key.origin == Origin::Path).then(|| key.source.clone()),
            if_match: update.if_match.clone(),
        })
    }

    /// The message for the record with this JSON text.
    pub fn compose(&self, raw: &str) -> Message {
        let mut mapped = Mapped::new();
        self.transform.apply(raw, &mut mapped);
        let mut body = String::with_capacity(128);
        write(&self.shape, &mapped.variables, &mut body);
        let given = self.id.as_ref().and_then(|path| text_at(raw, path));
        let given = given.or_else(|| mapped.id.as_deref().map(str::to_owned));
        let version = self.if_match.as_ref().and_then(|path| text_at(raw, path));
        let if_match = version
            .filter(|version| !version.trim().is_empty())
            .map(entity_tag);
        Message {
            record_id: given.unwrap_or_default(),
            no_version: self.if_match.is_some() && if_match.is_none(),
            if_match,
            body,
        }
    }
}

/// Puts a field where its dotted name says; false when something else is there.
fn place(members: &mut Vec<(String, Body)>, name: &str, field: usize) -> bool {
    let (first, rest) = name
        .split_once('.')
        .map_or((name, None), |(a, b)| (a, Some(b)));
    let known = members.iter_mut().find(|(known, _)| known == first);
    match (known, rest) {
        (None, None) => members.push((first.to_owned(), Body::Field(field))),
        (None, Some(rest)) => {
            let mut inner = Vec::new();
            place(&mut inner, rest, field);
            members.push((first.to_owned(), Body::Object(inner)));
        }
        (Some((_, Body::Object(inner))), Some(rest)) => return place(inner, rest, field),
        (Some(_), _) => return false,
    }
    true
}

fn write(shape: &Body, cells: &[Cell<'_>], out: &mut String) {
    match shape {
        Body::Field(index) => write_cell(cells.get(*index).unwrap_or(&Cell::Null), out),
        Body::Object(members) => {
            out.push('{');
            for (number, (name, shape)) in members.iter().enumerate() {
                if number > 0 {
                    out.push(',');
                }
                quote(name, out);
                out.push(':');
                write(shape, cells, out);
            }
            out.push('}');
        }
    }
}

/// A cell as JSON; numbers are exact.
fn write_cell(cell: &Cell<'_>, out: &mut String) {
    match cell {
        Cell::Null => out.push_str("null"),
        Cell::Text(text) => quote(text, out),
        Cell::Integer(number) => out.push_str(&number.to_string()),
        Cell::Decimal(number) => out.push_str(&number.to_string()),
        Cell::Boolean(value) => out.push_str(if *value { "true" } else { "false" }),
        Cell::Date(days) => match date(*days) {
            Some(date) => quote(&date.to_string(), out),
            None => out.push_str("null"),
        },
        Cell::DateTime(micros) => match Timestamp::from_microsecond(*micros) {
            Ok(time) => quote(&time.to_string(), out),
            Err(_) => out.push_str("null"),
        },
        Cell::Uuid(bytes) => quote(&uuid::Uuid::from_bytes(*bytes).to_string(), out),
        Cell::Json(text) => out.push_str(text),
    }
}

fn date(days: i32) -> Option<jiff::civil::Date> {
    let epoch = jiff::civil::date(1970, 1, 1);
    epoch
        .checked_add(jiff::Span::new().try_days(days).ok()?)
        .ok()
}

fn quote(text: &str, out: &mut String) {
    // Text always has a JSON form.
    out.push_str(&serde_json::Value::from(text).to_string());
}

/// Text or number at a path, as the source wrote it.
pub(super) fn text_at(raw: &str, path: &[String]) -> Option<String> {
    let mut value = raw;
    for name in path {
        if value.starts_with('[') {
            let elements: Vec<&RawValue> = serde_json::from_str(value).ok()?;
            value = elements.get(name.parse::<usize>().ok()?)?.get();
            continue;
        }
        let members: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(value).ok()?;
        value = members.get(name.as_str())?.get();
    }
    match value.as_bytes().first()? {
        b'"' => serde_json::from_str(value).ok(),
        b'-' | b'0'..=b'9' => Some(value.to_owned()),
        _ => None,
    }
}

/// A version as an entity tag; an entity tag stays as it is.
fn entity_tag(text: String) -> String {
    let is_one = text.len() > 1
        && text.ends_with('"')
        && (text.starts_with('"') || text.starts_with("W/\""));
    if is_one { text } else { format!("\"{text}\"") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_source_wrote_is_found_by_its_path() {
        let raw = r#"{"id":7.50,"meta":{"etag":"a\u0062","n":null},"x":[1]}"#;
        let at = |path: &[&str]| {
            text_at(
                raw,
                &path.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>(),
            )
        };
        assert_eq!(at(&["id"]).as_deref(), Some("7.50"));
        assert_eq!(at(&["meta", "etag"]).as_deref(), Some("ab"));
        for nothing in [
            &["meta", "n"][..],
            &["meta"],
            &["x"],
            &["id", "deep"],
            &["no"],
        ] {
            assert_eq!(at(nothing), None, "{nothing:?}");
        }
    }

    #[test]
    fn a_version_is_quoted_and_a_tag_is_not() {
        for (given, tag) in [
            ("3", "\"3\""),
            ("\"abc\"", "\"abc\""),
            ("W/\"abc\"", "W/\"abc\""),
            ("*", "\"*\""),
            ("\"", "\"\"\""),
        ] {
            assert_eq!(entity_tag(given.to_owned()), tag);
        }
    }

    #[test]
    fn dotted_names_nest() {
        let mut members = Vec::new();
        assert!(
            place(&mut members, "a.b", 0)
                && place(&mut members, "a.c", 1)
                && place(&mut members, "d", 2)
        );
        let cells = [
            Cell::Text("é\"\n".into()),
            Cell::Decimal("79.50".parse().unwrap_or_default()),
            Cell::Date(20_000),
        ];
        let mut out = String::new();
        write(&Body::Object(members), &cells, &mut out);
        assert_eq!(out, r#"{"a":{"b":"é\"\n","c":79.50},"d":"2024-10-04"}"#);
        let mut members = Vec::new();
        assert!(place(&mut members, "a", 0));
        assert!(!place(&mut members, "a.b", 1) && !place(&mut members, "a", 1));
    }
}
