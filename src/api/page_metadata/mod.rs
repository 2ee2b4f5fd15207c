//! Reads what a page says about paging: the next page, the number of pages, the total of records.
//!
//! Knows the names that public APIs use, in the body and in headers, and the places that mappings.yaml names. Each value
//! found comes with its place, so that messages can say what to write into mappings.yaml. It decides nothing.

mod entries;
mod link_header;
mod names;
mod next_page;

use reqwest::header::HeaderMap;
use serde_json::Value;

use crate::config::path;
use crate::config::plan::{CursorIn, Pagination};

use entries::{Entry, entries};
use names::{DONE, HAS_MORE, OFFSET, PAGE, SIZE, TOTAL, TOTAL_PAGES};
pub(super) use next_page::{Continuation, Next, NextPageSearch, as_cursor};

/// Something a page says, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found<T> {
    pub value: T,
    pub place: Place,
}

/// Where something stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Body(Vec<String>),
    Header(String),
}

impl Place {
    /// The last name of the place.
    pub fn name(&self) -> &str {
        match self {
            Self::Body(path) => path.last().map_or("", String::as_str),
            Self::Header(name) => name,
        }
    }

    /// The line for mappings.yaml: `total_path: meta.total`, `total_header: X-Total`.
    pub fn line(&self, of: &str) -> String {
        match self {
            Self::Body(path) => format!("{of}_path: {}", path::text(path)),
            Self::Header(name) => format!("{of}_header: {name}"),
        }
    }
}

/// Reads one page; see the file's head.
pub(super) struct PageMetadata<'p> {
    paging: &'p Pagination,
    headers: &'p HeaderMap,
    beside: &'p Value,
    entries: Vec<Entry>,
}

impl<'p> PageMetadata<'p> {
    /// `records_at`: where the records are in the body.
    pub fn new(
        paging: &'p Pagination,
        headers: &'p HeaderMap,
        beside: &'p Value,
        records_at: &[String],
    ) -> Self {
        Self {
            paging,
            headers,
            beside,
            entries: entries(headers, beside, records_at),
        }
    }

    /// Number of records on all pages together.
    pub fn total(&self) -> Option<Found<u64>> {
        let paging = self.paging;
        if paging.ignore_totals {
            return None;
        }
        if paging.total_path.is_some() || paging.total_header.is_some() {
            return self.configured(paging.total_path.as_deref(), paging.total_header.as_deref());
        }
        let has = |name: &str| self.entries.iter().any(|entry| entry.is_at_top(name));
        let in_content_range = || {
            Some(Found {
                value: link_header::content_range(self.headers)?.total?,
                place: Place::Header("Content-Range".to_owned()),
            })
        };
        self.number(&TOTAL)
            .or_else(|| self.elastic_total())
            .or_else(in_content_range)
            // `count` is the size of the page in many APIs; beside a `next` it is the total (Django REST framework).
            .or_else(|| {
                self.number(&["count"])
                    .filter(|_| has("next") && has("count"))
            })
            // `size` is the total where `pagelen` is the size.
            .or_else(|| self.number(&["size"]).filter(|_| has("pagelen")))
    }

    pub fn total_pages(&self) -> Option<Found<u64>> {
        let paging = self.paging;
        if paging.pages_path.is_some() || paging.pages_header.is_some() {
            return self.configured(paging.pages_path.as_deref(), paging.pages_header.as_deref());
        }
        self.number(&TOTAL_PAGES)
    }

    /// The page number that this page states.
    pub fn page(&self) -> Option<Found<u64>> {
        self.number(&PAGE).or_else(|| {
            // Spring: `number` beside `totalPages`, or beside `first` and `last`.
            let is_spring = self.entries.iter().any(|entry| {
                entry.key == "totalpages" || (entry.key == "last" && entry.value.is_boolean())
            });
            is_spring.then(|| self.number(&["number"])).flatten()
        })
    }

    /// The offset that this page states.
    pub fn offset(&self) -> Option<Found<u64>> {
        self.number(&OFFSET).or_else(|| {
            let range = link_header::content_range(self.headers)?;
            let place = Place::Header("Content-Range".to_owned());
            Some(Found {
                value: range.first?,
                place,
            })
        })
    }

    /// The size of a page, as the server states it.
    pub fn size(&self) -> Option<Found<u64>> {
        let size = self.number(&SIZE)?;
        // `size` beside `pagelen` is the total.
        let is_total = self.total().is_some_and(|total| total.place == size.place);
        (!is_total && size.value > 0).then_some(size)
    }

    /// An explicit statement that there is more, or that there is not.
    pub fn has_more(&self) -> Option<bool> {
        let paging = self.paging;
        if paging.more_path.is_some() || paging.done_path.is_some() {
            let flag =
                |path: &Option<Vec<String>>| as_flag(path::at(self.beside, path.as_deref()?)?);
            let more = flag(&paging.more_path);
            let done = flag(&paging.done_path).map(|done| !done);
            return match (more, done) {
                (Some(more), Some(goes_on)) => Some(more && goes_on),
                (more, goes_on) => more.or(goes_on),
            };
        }
        self.flag(&HAS_MORE)
            .map(|more| more.value)
            .or_else(|| self.flag(&DONE).map(|done| !done.value))
    }

    /// The line for mappings.yaml that names the flag; mappings.yaml can name only one in the body.
    pub fn more_line(&self) -> Option<String> {
        [("more", self.flag(&HAS_MORE)), ("done", self.flag(&DONE))]
            .into_iter()
            .find_map(|(name, found)| Some((name, found?.place)))
            .filter(|(_, place)| matches!(place, Place::Body(_)))
            .map(|(name, place)| place.line(name))
    }

    /// Whether anything with a value has a name that may mean more records.
    pub fn hints_at_more(&self) -> bool {
        const WORDS: [&str; 9] = [
            "next", "cursor", "continu", "more", "after", "scroll", "bookmark", "token", "marker",
        ];
        self.has_more() == Some(true)
            || matches!(self.next(NextPageSearch::Any), Continuation::Next(_))
            || self.entries.iter().any(|entry| {
                WORDS.iter().any(|word| entry.key.contains(word))
                    && !is_empty(&entry.value)
                    && entry.value != Value::Bool(false)
                    && as_number(&entry.value) != Some(0)
            })
    }

    /// Keys and headers that look like paging, for messages: names only.
    pub fn paging_names(&self) -> Vec<String> {
        const WORDS: [&str; 16] = [
            "next", "prev", "cursor", "token", "page", "more", "total", "count", "offset", "limit",
            "last", "skip", "link", "size", "done", "range",
        ];
        let mut names: Vec<String> = Vec::new();
        for entry in &self.entries {
            if WORDS.iter().any(|word| entry.key.contains(word)) {
                let name = match &entry.place {
                    Place::Body(path) => path::text(path),
                    Place::Header(name) => format!("{name} (header)"),
                };
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        if self.headers.contains_key(reqwest::header::LINK) {
            names.push("Link (header)".to_owned());
        }
        names
    }

    /// Configured places that are not on this page.
    pub fn absent(&self) -> Vec<String> {
        let paging = self.paging;
        let in_body = [
            ("next_path", &paging.next_path),
            ("cursor_path", &paging.cursor_path),
            ("more_path", &paging.more_path),
            ("done_path", &paging.done_path),
            ("total_path", &paging.total_path),
            ("pages_path", &paging.pages_path),
        ];
        let in_header = [
            ("total_header", &paging.total_header),
            ("pages_header", &paging.pages_header),
        ];
        let mut absent = Vec::new();
        for (key, path) in in_body {
            let Some(path) = path else { continue };
            let is_there = match (key, paging.cursor_in) {
                ("cursor_path", CursorIn::Header) => self.headers.contains_key(path.join(".")),
                ("cursor_path", CursorIn::LastRecord) => true,
                _ => at_or_null(self.beside, path).is_some(),
            };
            if !is_there {
                absent.push(format!("{key}: {}", path::text(path)));
            }
        }
        for (key, name) in in_header {
            if let Some(name) = name
                && !self.headers.contains_key(name.as_str())
            {
                absent.push(format!("{key}: {name}"));
            }
        }
        absent
    }

    fn configured(&self, path: Option<&[String]>, header: Option<&str>) -> Option<Found<u64>> {
        if let Some(path) = path
            && let Some(value) = path::at(self.beside, path).and_then(as_number)
        {
            let place = Place::Body(path.to_vec());
            return Some(Found { value, place });
        }
        let name = header?;
        let value = self.headers.get(name)?.to_str().ok()?.trim().parse().ok()?;
        let place = Place::Header(name.to_owned());
        Some(Found { value, place })
    }

    fn number(&self, names: &[&str]) -> Option<Found<u64>> {
        self.first(names, as_number)
    }

    fn flag(&self, names: &[&str]) -> Option<Found<bool>> {
        self.first(names, Value::as_bool)
    }

    /// The first entry with one of these names that can be read.
    fn first<T>(&self, names: &[&str], read: impl Fn(&Value) -> Option<T>) -> Option<Found<T>> {
        let named = |entry: &&Entry| names.contains(&entry.key.as_str());
        self.entries.iter().filter(named).find_map(|entry| {
            Some(Found {
                value: read(&entry.value)?,
                place: entry.place.clone(),
            })
        })
    }

    /// `hits.total: { value: 237, relation: eq }`.
    fn elastic_total(&self) -> Option<Found<u64>> {
        self.entries
            .iter()
            .filter(|entry| entry.key == "total" && entry.value["relation"] == "eq")
            .find_map(|entry| {
                let Place::Body(path) = &entry.place else {
                    return None;
                };
                Some(Found {
                    value: as_number(&entry.value["value"])?,
                    place: Place::Body([&path[..], &["value".to_owned()]].concat()),
                })
            })
    }
}

/// The value at a path; below a null there is null.
fn at_or_null<'v>(value: &'v Value, path: &[String]) -> Option<&'v Value> {
    path::at(value, path).or_else(|| {
        (1..path.len())
            .filter_map(|length| path::at(value, &path[..length]))
            .find(|above| above.is_null())
    })
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Bool(more) => !more,
        Value::Object(fields) => fields.is_empty(),
        Value::Number(number) => number.as_u64() == Some(0),
        Value::Array(_) => false,
    }
}

fn as_number(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn as_flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) => text.trim().to_ascii_lowercase().parse().ok(),
        Value::Number(number) => match number.as_u64()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        },
        _ => None,
    }
}
