//! What a page says about the others: the next one, how many there are, how many records in total.
//!
//! Knows the spellings that public APIs use, in the body and in headers, and the places that mappings.yaml names. Each
//! thing found comes with its place, so that it can be written into mappings.yaml. It decides nothing.

mod entries;
mod link_header;
mod names;

use reqwest::header::HeaderMap;
use serde_json::Value;

use crate::config::path;
use crate::config::plan::{CursorIn, Pagination};

use entries::{Entry, entries};
use names::{
    CURSOR_CONTAINERS, DONE, HAS_MORE, NEXT_CURSOR, NEXT_LINK, NEXT_OFFSET, NEXT_PAGE, OFFSET,
    PAGE, SIZE, TOTAL, TOTAL_PAGES,
};

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
    /// The last name of it.
    pub fn name(&self) -> &str {
        match self {
            Self::Body(path) => path.last().map_or("", String::as_str),
            Self::Header(name) => name,
        }
    }

    /// As mappings.yaml has it: `total_path: meta.total`, `total_header: X-Total`.
    pub fn line(&self, of: &str) -> String {
        match self {
            Self::Body(path) => format!("{of}_path: {}", path::text(path)),
            Self::Header(name) => format!("{of}_header: {name}"),
        }
    }
}

/// The way to the next page, as the page itself states it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Link(String),
    Cursor(String),
    Page(u64),
    Offset(u64),
}

/// What a page says of the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Continuation {
    Next(Found<Next>),
    /// The place for it is there, and empty.
    Ended,
    /// Nothing is said.
    Absent,
}

impl Continuation {
    /// No next page is named: is the place for it there?
    const fn none(is_place_there: bool) -> Self {
        if is_place_there {
            Self::Ended
        } else {
            Self::Absent
        }
    }
}

/// Which of the ways to the next page are looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum NextPageSearch {
    #[default]
    Any,
    Link,
    Cursor,
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

    /// Records in all pages together.
    pub fn total(&self) -> Option<Found<u64>> {
        let paging = self.paging;
        if paging.ignore_totals {
            return None;
        }
        if paging.total_path.is_some() || paging.total_header.is_some() {
            return self.configured(paging.total_path.as_deref(), paging.total_header.as_deref());
        }
        self.number(&TOTAL)
            .or_else(|| self.elastic_total())
            .or_else(|| {
                link_header::content_range(self.headers).and_then(|range| {
                    let place = Place::Header("Content-Range".to_owned());
                    Some(Found {
                        value: range.total?,
                        place,
                    })
                })
            })
            // `count` is the size of the page in many APIs; beside a `next` it is the total (Django REST framework).
            .or_else(|| {
                let has = |name: &str| self.entries.iter().any(|entry| entry.is_at_top(name));
                (has("next") && has("count"))
                    .then(|| self.number(&["count"]))
                    .flatten()
            })
            // `size` is the total where `pagelen` is the size.
            .or_else(|| {
                let has = |name: &str| self.entries.iter().any(|entry| entry.is_at_top(name));
                has("pagelen").then(|| self.number(&["size"])).flatten()
            })
    }

    pub fn total_pages(&self) -> Option<Found<u64>> {
        let paging = self.paging;
        if paging.pages_path.is_some() || paging.pages_header.is_some() {
            return self.configured(paging.pages_path.as_deref(), paging.pages_header.as_deref());
        }
        self.number(&TOTAL_PAGES)
    }

    /// The number this page gives itself.
    pub fn page(&self) -> Option<Found<u64>> {
        self.number(&PAGE).or_else(|| {
            // Spring: `number` beside `totalPages`, or beside `first` and `last`.
            let is_spring = self.entries.iter().any(|entry| {
                entry.key == "totalpages" || (entry.key == "last" && entry.value.is_boolean())
            });
            is_spring.then(|| self.number(&["number"])).flatten()
        })
    }

    /// The offset this page gives itself.
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

    /// The line that names the flag, for mappings.yaml, which can name only one in the body.
    pub fn more_line(&self) -> Option<String> {
        [("more", self.flag(&HAS_MORE)), ("done", self.flag(&DONE))]
            .into_iter()
            .find_map(|(name, found)| Some((name, found?.place)))
            .filter(|(_, place)| matches!(place, Place::Body(_)))
            .map(|(name, place)| place.line(name))
    }

    /// What the page says of the next one.
    pub fn next(&self, way: NextPageSearch) -> Continuation {
        let mut ended = false;
        let link = if way == NextPageSearch::Cursor {
            Continuation::Absent
        } else {
            self.link()
        };
        match link {
            Continuation::Next(_) => return link,
            Continuation::Ended => ended = true,
            Continuation::Absent => {}
        }
        if way != NextPageSearch::Link {
            match self.cursor() {
                Continuation::Next(found) => return Continuation::Next(found),
                Continuation::Ended => ended = true,
                Continuation::Absent => {}
            }
        }
        if way == NextPageSearch::Any {
            match self.counted() {
                Continuation::Next(found) => return Continuation::Next(found),
                Continuation::Ended => ended = true,
                Continuation::Absent => {}
            }
        }
        Continuation::none(ended)
    }

    /// A link: at the configured place, else in the Link header, else in the body.
    fn link(&self) -> Continuation {
        if let Some(path) = &self.paging.next_path {
            let Some(value) = at_or_null(self.beside, path) else {
                return Continuation::Absent;
            };
            return match as_target(value) {
                Some(target) => next(Next::Link(target), Place::Body(path.clone())),
                None => Continuation::Ended,
            };
        }
        let mut ended = false;
        match link_header::next(self.headers) {
            link_header::Relation::Target(target) => {
                return next(Next::Link(target), Place::Header("Link".to_owned()));
            }
            link_header::Relation::Others => ended = true,
            link_header::Relation::None => {}
        }
        for entry in &self.entries {
            let target = if NEXT_LINK.contains(&entry.key.as_str()) {
                ended |= is_empty(&entry.value);
                as_target(&entry.value)
            } else if entry.key == "next" || NEXT_PAGE.contains(&entry.key.as_str()) {
                as_target(&entry.value)
                    .filter(|target| entry.value.is_object() || looks_like_address(target))
            } else {
                None
            };
            if let Some(target) = target {
                return next(Next::Link(target), entry.place.clone());
            }
            ended |= entry.key == "next" && (entry.value.is_null() || entry.value == "");
        }
        if self.has_relations_without_next() {
            ended = true;
        }
        Continuation::none(ended)
    }

    /// `links` or `_links` with relations to other pages and no `next`. A link to itself says nothing: every resource of HAL
    /// has one.
    fn has_relations_without_next(&self) -> bool {
        let others = ["prev", "previous", "first", "last"];
        let in_links = |entry: &&Entry| matches!(entry.parent.as_str(), "links" | "link" | "view");
        let of = self.entries.iter().filter(in_links);
        let mut relations = of.map(|entry| entry.key.as_str()).peekable();
        relations.peek().is_some() && {
            let all: Vec<&str> = relations.collect();
            !all.contains(&"next") && all.iter().any(|name| others.contains(name))
        }
    }

    /// A cursor: at the configured place, else where APIs put it.
    fn cursor(&self) -> Continuation {
        if let Some(path) = &self.paging.cursor_path {
            let place = match self.paging.cursor_in {
                CursorIn::Header => Place::Header(path.join(".")),
                _ => Place::Body(path.clone()),
            };
            let value = match self.paging.cursor_in {
                CursorIn::Body => at_or_null(self.beside, path).cloned(),
                CursorIn::Header => self
                    .headers
                    .get(path.join("."))
                    .map(|value| String::from_utf8_lossy(value.as_bytes()).trim().into()),
                // The caller reads the last record.
                CursorIn::LastRecord => None,
            };
            return match value {
                None => Continuation::Absent,
                Some(value) => match as_cursor(&value) {
                    Some(cursor) => next(Next::Cursor(cursor), place),
                    None => Continuation::Ended,
                },
            };
        }
        let mut ended = false;
        for entry in &self.entries {
            let key = entry.key.as_str();
            let is_cursor = NEXT_CURSOR.contains(&key)
                || (key == "after" && CURSOR_CONTAINERS.contains(&entry.parent.as_str()))
                || (key == "next" && !entry.value.is_number())
                // fastapi-pagination: `next_page` is a text that is no number.
                || (NEXT_PAGE.contains(&key)
                    && entry.value.is_string()
                    && as_number(&entry.value).is_none())
                // Square, Airtable: a bare `cursor` or an opaque `offset` is the next one.
                || (matches!(key, "cursor" | "offset") && entry.value.is_string());
            if !is_cursor {
                continue;
            }
            match as_cursor(&entry.value) {
                Some(cursor)
                    if (key != "next" && !NEXT_PAGE.contains(&key))
                        || !looks_like_address(&cursor) =>
                {
                    return next(Next::Cursor(cursor), entry.place.clone());
                }
                _ => ended |= is_empty(&entry.value),
            }
        }
        Continuation::none(ended)
    }

    /// The number of the next page, or the next offset.
    fn counted(&self) -> Continuation {
        let mut ended = false;
        let at_offset = self.offset().is_some();
        for entry in &self.entries {
            let key = entry.key.as_str();
            let is_offset = NEXT_OFFSET.contains(&key) || (key == "next" && at_offset);
            if !(is_offset || NEXT_PAGE.contains(&key) || key == "next") {
                continue;
            }
            match as_number(&entry.value) {
                Some(number) if is_offset => {
                    return next(Next::Offset(number), entry.place.clone());
                }
                Some(number) => return next(Next::Page(number), entry.place.clone()),
                None => ended |= is_empty(&entry.value),
            }
        }
        Continuation::none(ended)
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

fn next(value: Next, place: Place) -> Continuation {
    Continuation::Next(Found { value, place })
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

/// A text that can only be a reference to another address.
fn looks_like_address(text: &str) -> bool {
    let lower = text.get(..8).unwrap_or(text).to_ascii_lowercase();
    lower.starts_with("http://")
        || lower.starts_with("https://")
        || text.starts_with(['/', '?'])
        || text.contains('?')
}

/// The address in a value: a text that is not empty, or an object with one.
fn as_target(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.as_str(),
        Value::Object(link) => ["href", "url", "uri", "link", "path"]
            .iter()
            .find_map(|name| link.get(*name)?.as_str())?,
        _ => return None,
    };
    (!text.is_empty()).then(|| text.to_owned())
}

/// Cursors begin at 0: as the next cursor it means that there is none.
pub(super) fn as_cursor(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() && text != "0" => Some(text.clone()),
        Value::Number(number) if number.as_f64() != Some(0.0) => Some(number.to_string()),
        _ => None,
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
