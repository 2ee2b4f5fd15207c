//! `body` of the fetch endpoint: a tree of the file as JSON, with `${…}` replaced in its values.

use serde_json::{Map, Value};

use super::reader::Section;
use super::secret::Secret;
use super::yaml::{Kind, Node};

/// The body as JSON text; it may hold a secret. `None` when there is none, or a mistake was reported.
pub(super) fn body(fetch: &Section<'_>) -> Option<Secret> {
    let entry = fetch.entry("body")?;
    if !matches!(entry.value.kind, Kind::Map(_)) {
        fetch.wrong(
            "body",
            format!("expected a mapping, found {}", entry.value.describe()),
            "write what is sent as JSON, such as `body: { query: \"…\", variables: { first: 100 } }`",
        );
        return None;
    }
    json(fetch, &entry.value, &fetch.path_of("body")).map(|body| Secret::new(body.to_string()))
}

fn json(fetch: &Section<'_>, node: &Node, path: &str) -> Option<Value> {
    Some(match &node.kind {
        Kind::Null => Value::Null,
        Kind::Scalar { .. } => {
            let value = fetch.scalar(node, path, true)?;
            // Quoted values are text, and so are values of variables.
            if value.plain && !value.expanded {
                literal(&value.text)
            } else {
                Value::String(value.text)
            }
        }
        Kind::List(items) => items
            .iter()
            .enumerate()
            .map(|(at, item)| json(fetch, item, &format!("{path}[{at}]")))
            .collect::<Option<Vec<Value>>>()?
            .into(),
        Kind::Map(entries) => entries
            .iter()
            .map(|entry| {
                let value = json(fetch, &entry.value, &format!("{path}.{}", entry.key))?;
                Some((entry.key.clone(), value))
            })
            .collect::<Option<Map<String, Value>>>()?
            .into(),
    })
}

/// An unquoted value: a number, a boolean or null if YAML reads it so, else text.
fn literal(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(value @ (Value::Number(_) | Value::Bool(_))) => value,
        _ => Value::String(text.to_owned()),
    }
}
