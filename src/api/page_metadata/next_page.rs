//! The way to the next page, as a page states it: a link, a cursor, or the number of the next page or of its first record.

use serde_json::Value;

use super::entries::Entry;
use super::link_header;
use super::names::{CURSOR_CONTAINERS, NEXT_CURSOR, NEXT_LINK, NEXT_OFFSET, NEXT_PAGE};
use super::{Found, PageMetadata, Place, as_number, at_or_null, is_empty};
use crate::config::plan::CursorIn;

/// The way to the next page, as the page itself states it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Next {
    Link(String),
    Cursor(String),
    Page(u64),
    Offset(u64),
}

/// What a page says of the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Continuation {
    Next(Found<Next>),
    /// The place for it is on the page, and empty.
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
pub(in super::super) enum NextPageSearch {
    #[default]
    Any,
    Link,
    Cursor,
}

impl PageMetadata<'_> {
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

    /// Are there `links` or `_links` to other pages, but no `next`? A link to the page itself does not count, since every
    /// resource of HAL has one.
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
}

fn next(value: Next, place: Place) -> Continuation {
    Continuation::Next(Found { value, place })
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
pub(in super::super) fn as_cursor(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() && text != "0" => Some(text.clone()),
        Value::Number(number) if number.as_f64() != Some(0.0) => Some(number.to_string()),
        _ => None,
    }
}
