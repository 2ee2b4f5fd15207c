//! The small values of a page and its headers as one list, nearest to the top first. Names are normalised, so that
//! `totalCount`, `total_count`, `X-Total-Count` and `hydra:totalCount` are the same.

use std::collections::VecDeque;

use reqwest::header::HeaderMap;
use serde_json::{Map, Value};

use super::Place;

/// Objects that may hold paging information. Others are skipped, except those on the path to the records.
const CONTAINERS: [&str; 29] = [
    "pagination",
    "paging",
    "pager",
    "paginator",
    "pageinfo",
    "page",
    "pages",
    "meta",
    "metadata",
    "searchmetadata",
    "responsemetadata",
    "additionaldata",
    "info",
    "listinfo",
    "resultinfo",
    "resultset",
    "cursor",
    "cursors",
    "links",
    "link",
    "next",
    "view",
    "xpagination",
    "response",
    "result",
    "d",
    "hits",
    "nextpage",
    "status",
];
/// Deepest place of paging information.
const DEEPEST: usize = 5;
/// Headers about paging, by their normalised names.
const HEADERS: [&str; 24] = [
    "totalcount",
    "total",
    "totalrecords",
    "totalresults",
    "totalitems",
    "totalelements",
    "totalpages",
    "pagecount",
    "pages",
    "lastpage",
    "page",
    "currentpage",
    "pagenumber",
    "perpage",
    "pagesize",
    "pageitems",
    "limit",
    "offset",
    "nextpage",
    "nextcursor",
    "nextpagetoken",
    "continuationtoken",
    "hasmore",
    "continuation",
];

/// One value; see the file's head.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its normalised name.
    pub key: String,
    /// The normalised name of the object it is in; empty at the top.
    pub parent: String,
    pub place: Place,
    pub value: Value,
}

impl Entry {
    pub fn is_at_top(&self, name: &str) -> bool {
        self.key == name && matches!(&self.place, Place::Body(path) if path.len() == 1)
    }
}

pub(super) fn entries(headers: &HeaderMap, beside: &Value, records_at: &[String]) -> Vec<Entry> {
    let mut found = Vec::new();
    let mut waiting: VecDeque<(Vec<String>, String, &Value)> = VecDeque::new();
    waiting.push_back((Vec::new(), String::new(), beside));
    while let Some((path, parent, value)) = waiting.pop_front() {
        match value {
            Value::Object(object) => {
                add(object, &path, &parent, records_at, &mut found, &mut waiting);
            }
            // `[{…}, […]]`: paging information in the first element.
            Value::Array(list) if path.is_empty() => {
                for (index, value) in list.iter().enumerate() {
                    waiting.push_back((vec![index.to_string()], String::new(), value));
                }
            }
            Value::Array(list) => add_relations(list, &path, &mut found),
            _ => {}
        }
    }
    add_headers(headers, &mut found);
    found
}

fn add<'v>(
    object: &'v Map<String, Value>,
    path: &[String],
    parent: &str,
    records_at: &[String],
    found: &mut Vec<Entry>,
    waiting: &mut VecDeque<(Vec<String>, String, &'v Value)>,
) {
    for (name, value) in object {
        let key = comparable(name);
        let here = [path, std::slice::from_ref(name)].concat();
        let leads_to_records = records_at.starts_with(&here);
        let is_list_of_links = value.is_array() && matches!(key.as_str(), "links" | "link");
        if here.len() < DEEPEST
            && (is_list_of_links
                || (value.is_object() && (leads_to_records || CONTAINERS.contains(&key.as_str()))))
        {
            waiting.push_back((here.clone(), key.clone(), value));
        }
        if !value.is_array() && !leads_to_records {
            found.push(Entry {
                key,
                parent: parent.to_owned(),
                place: Place::Body(here),
                value: value.clone(),
            });
        }
    }
}

/// `[{ "rel": "next", "href": "…" }]`, as FHIR and many others have it.
fn add_relations(list: &[Value], path: &[String], found: &mut Vec<Entry>) {
    for (index, link) in list.iter().enumerate() {
        let relation = ["rel", "relation"]
            .iter()
            .find_map(|name| link.get(*name)?.as_str());
        let target = ["href", "url", "uri"]
            .iter()
            .find_map(|name| Some((*name, link.get(*name)?.as_str()?)));
        let (Some(relation), Some((name, target))) = (relation, target) else {
            continue;
        };
        found.push(Entry {
            key: comparable(relation),
            parent: "links".to_owned(),
            place: Place::Body([path, &[index.to_string(), name.to_owned()]].concat()),
            value: serde_json::json!({ "href": target }),
        });
    }
}

fn add_headers(headers: &HeaderMap, found: &mut Vec<Entry>) {
    for (name, value) in headers {
        let Ok(text) = value.to_str() else { continue };
        let place = Place::Header(name.as_str().to_owned());
        if name == "x-pagination" {
            // ASP.NET sends an object as JSON in a header. mappings.yaml cannot name its fields.
            if let Ok(Value::Object(object)) = serde_json::from_str(text) {
                found.extend(object.into_iter().map(|(name, value)| Entry {
                    key: comparable(&name),
                    parent: "xpagination".to_owned(),
                    place: place.clone(),
                    value,
                }));
            }
            continue;
        }
        let lower = name.as_str();
        let short = lower.strip_prefix("x-").unwrap_or(lower);
        let short = ["wp-", "pagination-", "ms-"]
            .iter()
            .find_map(|prefix| short.strip_prefix(prefix))
            .unwrap_or(short);
        let key = comparable(short);
        if HEADERS.contains(&key.as_str()) {
            found.push(Entry {
                key,
                parent: "header".to_owned(),
                place,
                value: text.trim().into(),
            });
        }
    }
}

/// Without case, hyphens, underscores, and prefixes such as `@odata.` and `hydra:`.
fn comparable(name: &str) -> String {
    let name = name.rsplit(':').next().unwrap_or(name);
    let plain: String = name
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|letter| letter.to_ascii_lowercase())
        .collect();
    match plain.as_str() {
        "odatanextlink" => "nextlink".to_owned(),
        // OData 2: `__count`.
        "count" if name.starts_with("__") => "odatacount".to_owned(),
        _ => plain,
    }
}
