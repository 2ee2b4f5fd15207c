//! Finds the records of a page whose array has none of the usual names: they are the only array of objects, if there is
//! exactly one. This reads the page a second time, so it is done for the first page and the place used for all others.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// Names that public APIs give the records. They decide where several arrays could be the records.
const NAMES: [&str; 16] = [
    "value",
    "content",
    "entry",
    "entries",
    "hits",
    "objects",
    "rows",
    "list",
    "elements",
    "values",
    "docs",
    "member",
    "resources",
    "result",
    "features",
    "collection",
];

/// Arrays of objects that are never the records.
const NEVER: [&str; 14] = [
    "links", "link", "_links", "curies", "error", "errors", "warnings", "messages", "details",
    "included", "facets", "filters", "columns", "sort",
];

/// Deepest place of an array.
const DEEPEST: usize = 4;

pub(super) enum Choice {
    One(Vec<String>),
    None,
    Several(Vec<Vec<String>>),
}

struct Candidate {
    path: Vec<String>,
    is_empty: bool,
}

/// The array of a page that may be its records. `may_be_empty`: an empty array counts if there is no other.
pub(super) fn find(text: &str, may_be_empty: bool) -> Choice {
    let mut found = Vec::new();
    walk(text.trim_start(), &mut Vec::new(), &mut found);
    // An array with objects in it wins over empty ones, then a well-known name over others.
    if !may_be_empty || found.iter().any(|candidate| !candidate.is_empty) {
        found.retain(|candidate| !candidate.is_empty);
    }
    if found.len() > 1 {
        let known = |candidate: &Candidate| {
            let name = candidate.path.last().map(|name| name.to_ascii_lowercase());
            name.is_some_and(|name| {
                NAMES.contains(&name.rsplit(':').next().unwrap_or(name.as_str()))
            })
        };
        if found.iter().filter(|candidate| known(candidate)).count() == 1 {
            found.retain(known);
        }
    }
    let mut paths: Vec<Vec<String>> = found.into_iter().map(|candidate| candidate.path).collect();
    match paths.len() {
        0 => Choice::None,
        1 => Choice::One(paths.swap_remove(0)),
        _ => Choice::Several(paths),
    }
}

fn walk(text: &str, path: &mut Vec<String>, found: &mut Vec<Candidate>) {
    if !text.starts_with('{') || path.len() >= DEEPEST {
        return;
    }
    let Ok(object) = serde_json::from_str::<BTreeMap<String, &RawValue>>(text) else {
        return;
    };
    for (key, value) in object {
        if NEVER.contains(&key.to_ascii_lowercase().as_str()) {
            continue;
        }
        let value = value.get();
        path.push(key);
        if let Some(inside) = value.strip_prefix('[') {
            let inside = inside.trim_start();
            if inside.starts_with('{') || inside.starts_with(']') {
                found.push(Candidate {
                    path: path.clone(),
                    is_empty: inside.starts_with(']'),
                });
            }
        } else {
            walk(value, path, found);
        }
        path.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        match find(text, true) {
            Choice::One(path) => vec![path.join(".")],
            Choice::None => Vec::new(),
            Choice::Several(paths) => paths.iter().map(|path| path.join(".")).collect(),
        }
    }

    #[test]
    fn the_only_array_of_objects_is_the_records() {
        for (text, expected) in [
            (
                r#"{"customers":[{"a":1}],"tags":["x"],"count":1}"#,
                &["customers"][..],
            ),
            (
                r#"{"_embedded":{"people":[{"a":1}]},"_links":{"curies":[{"b":1}]}}"#,
                &["_embedded.people"],
            ),
            (
                r#"{"hits":{"total":{"value":1},"hits":[{"_source":{}}]}}"#,
                &["hits.hits"],
            ),
            (r#"{"users":[{"a":1}],"errors":[{"b":1}]}"#, &["users"]),
            (r#"{"users":[],"groups":[{"a":1}]}"#, &["groups"]),
            (r#"{"value":[{"a":1}],"other":[{"a":1}]}"#, &["value"]),
            (
                r#"{"hydra:member":[{"a":1}],"hydra:search":{"mapping":[{"b":1}]}}"#,
                &["hydra:member"],
            ),
            (
                r#"{"users":[{"a":1}],"groups":[{"a":1}]}"#,
                &["groups", "users"],
            ),
            (r#"{"name":"x","tags":["a"]}"#, &[]),
        ] {
            assert_eq!(found(text), expected, "{text}");
        }
    }
}
