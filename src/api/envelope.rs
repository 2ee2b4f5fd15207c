//! One pass over a page: where its records are, and what it says about other pages.
//!
//! Records are not parsed, only found: a record is a byte range of the page. Small values beside the records (`next`,
//! `total`, `meta`, …) are the only ones that become values.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::error::{ApiError, Kind, printable};

/// Deepest nesting of a page, its records included; PostgreSQL and most readers of JSON stop somewhere beyond.
pub(super) const MAX_DEPTH: usize = 128;

/// Where records are looked for when no path is configured, in this order.
const RECORD_KEYS: [&str; 4] = ["data", "items", "results", "records"];

/// Keys that may hold paging information; other keys beside the records are skipped unparsed.
const PAGING_KEYS: [&str; 55] = [
    "@odata.count",
    "@odata.nextLink",
    "_links",
    "_meta",
    "count",
    "current_page",
    "currentPage",
    "cursor",
    "cursors",
    "has_more",
    "hasMore",
    "has_next",
    "hasNext",
    "hasNextPage",
    "last_page",
    "lastPage",
    "links",
    "meta",
    "metadata",
    "next",
    "next_cursor",
    "nextCursor",
    "next_link",
    "nextLink",
    "next_page",
    "nextPage",
    "next_page_token",
    "nextPageToken",
    "next_page_url",
    "nextPageUrl",
    "next_token",
    "nextToken",
    "next_url",
    "nextUrl",
    "num_pages",
    "numPages",
    "page",
    "page_count",
    "pageCount",
    "page_info",
    "pageInfo",
    "page_number",
    "pageNumber",
    "pages",
    "pagination",
    "paging",
    "total",
    "total_count",
    "totalCount",
    "total_elements",
    "totalElements",
    "total_pages",
    "totalPages",
    "total_records",
    "totalRecords",
];

/// A page taken apart.
#[derive(Debug)]
pub(super) struct Envelope {
    /// Byte range of each record's JSON text.
    pub records: Vec<Range<u32>>,
    /// Paging information: small values beside the records, by key.
    pub beside: Map<String, Value>,
}

/// Cuts a page. `path`: where the records are; none = a bare array or one of the usual keys. `also`: one more top-level
/// key whose value is wanted (the head of a configured cursor path).
pub(super) fn read(
    text: &str,
    path: Option<&[String]>,
    also: Option<&str>,
) -> Result<Envelope, ApiError> {
    let mut state = State {
        base: text.as_ptr() as usize,
        also,
        beside: Map::new(),
        too_deep: false,
        duplicate: None,
        seen_keys: Vec::new(),
    };
    let place = match path {
        Some(path) => Place::At(path),
        None => Place::Auto(0),
    };
    let mut json = serde_json::Deserializer::from_str(text);
    let found = Look {
        place,
        state: &mut state,
    }
    .deserialize(&mut json)
    .and_then(|found| json.end().map(|()| found))
    .map_err(|error| not_json(text, &error))?;
    if let Some(key) = state.duplicate {
        return Err(ApiError::new(
            Kind::DuplicateKey,
            format!("the page has the key `{key}` twice"),
            "which of the two counts is anybody's guess; the API has to be corrected",
        ));
    }
    if state.too_deep {
        return Err(ApiError::new(
            Kind::TooDeep,
            format!("the page is nested deeper than {MAX_DEPTH} levels"),
            "such a page cannot be stored; the API has to be corrected",
        ));
    }
    match found {
        Found::Records(records) => Ok(Envelope {
            records,
            beside: state.beside,
        }),
        Found::Not(what) => Err(no_records(path, what, &state.seen_keys)),
    }
}

fn no_records(path: Option<&[String]>, what: &str, keys: &[String]) -> ApiError {
    let place = path.map_or_else(
        || "as a bare array, or under data, items, results or records".to_owned(),
        |path| format!("at `{}`", path.join(".")),
    );
    let there = if keys.is_empty() {
        String::new()
    } else {
        format!(" (the page has the keys {})", keys.join(", "))
    };
    ApiError::new(
        Kind::NoRecords,
        format!("no records in the page: expected an array {place}, found {what}{there}"),
        "set `records` of the endpoint in mappings.yaml to where the array is; an API that has nothing to tell sends an empty array",
    )
}

fn not_json(text: &str, error: &serde_json::Error) -> ApiError {
    let head = text.trim_start();
    let what = if error.is_eof() {
        "the page is cut short: its JSON does not end".to_owned()
    } else if head.starts_with('<') {
        "the page is HTML or XML, not JSON".to_owned()
    } else {
        format!(
            "the page is not JSON (line {}, column {})",
            error.line(),
            error.column()
        )
    };
    ApiError::new(
        Kind::NotJson,
        what,
        "check API_BASE_URL and the endpoint's path; a login or maintenance page of a proxy looks like this too",
    )
}

/// What was found where records should be.
enum Found {
    Records(Vec<Range<u32>>),
    /// Something else, in words.
    Not(&'static str),
}

/// Where to look from here on.
#[derive(Clone, Copy)]
enum Place<'p> {
    /// Along a configured path; empty = here.
    At(&'p [String]),
    /// A bare array, or one of the usual keys; the number says how deep we are.
    Auto(u8),
}

struct State<'p> {
    base: usize,
    also: Option<&'p str>,
    beside: Map<String, Value>,
    too_deep: bool,
    duplicate: Option<String>,
    /// The first few keys of the outermost object, for the message when there are no records.
    seen_keys: Vec<String>,
}

struct Look<'p, 's> {
    place: Place<'p>,
    state: &'s mut State<'p>,
}

impl<'de> DeserializeSeed<'de> for Look<'_, '_> {
    type Value = Found;

    fn deserialize<D: serde::Deserializer<'de>>(self, json: D) -> Result<Found, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Look<'_, '_> {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a page")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Found, A::Error> {
        if let Place::At([_, ..]) = self.place {
            while array.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(Found::Not("an array further up"));
        }
        let mut records = Vec::new();
        while let Some(raw) = array.next_element::<&RawValue>()? {
            let text = raw.get();
            self.state.too_deep |= is_deeper(text, MAX_DEPTH);
            let start = text.as_ptr() as usize - self.state.base;
            records.push(offset(start)..offset(start + text.len()));
        }
        Ok(Found::Records(records))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Found, A::Error> {
        let state = self.state;
        let mut keys: HashSet<String> = HashSet::new();
        let outermost = state.seen_keys.is_empty();
        // The best place so far; smaller is better.
        let mut found: Option<(usize, Found)> = None;
        while let Some(key) = object.next_key::<String>()? {
            let place = match self.place {
                Place::At([]) => None,
                Place::At([head, rest @ ..]) => (*head == key).then_some((0, Place::At(rest))),
                Place::Auto(depth) => RECORD_KEYS
                    .iter()
                    .position(|known| *known == key)
                    .filter(|_| depth < 2)
                    .map(|rank| (rank, Place::Auto(depth + 1))),
            };
            if let Some((rank, place)) = place {
                let here = object.next_value_seed(Look { place, state })?;
                // An array wins over anything else, then the order of the keys.
                let rank = match here {
                    Found::Records(_) => rank,
                    Found::Not(_) => rank + RECORD_KEYS.len(),
                };
                if found.as_ref().is_none_or(|(best, _)| rank < *best) {
                    found = Some((rank, here));
                }
            } else {
                let raw = object.next_value::<&RawValue>()?;
                state.note(&key, raw.get());
            }
            if outermost && state.seen_keys.len() < 6 {
                state.seen_keys.push(printable(&key, 40));
            }
            if keys.contains(&key) {
                state.duplicate = Some(printable(&key, 40));
            } else {
                keys.insert(key);
            }
        }
        Ok(found.map_or(
            Found::Not(match self.place {
                Place::At([]) => "an object",
                _ => "nothing there",
            }),
            |(_, found)| found,
        ))
    }

    fn visit_unit<E>(self) -> Result<Found, E> {
        Ok(Found::Not("null"))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Found, E> {
        Ok(Found::Not("a boolean"))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Found, E> {
        Ok(Found::Not("a number"))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Found, E> {
        Ok(Found::Not("a number"))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Found, E> {
        Ok(Found::Not("a number"))
    }

    fn visit_str<E>(self, _: &str) -> Result<Found, E> {
        Ok(Found::Not("text"))
    }
}

impl State<'_> {
    /// Keeps a value beside the records when it may be about paging. The outer one wins over one further in.
    fn note(&mut self, key: &str, raw: &str) {
        if is_deeper(raw, MAX_DEPTH) {
            self.too_deep = true;
        } else if (PAGING_KEYS.contains(&key) || self.also == Some(key))
            && !self.beside.contains_key(key)
            && let Ok(value) = serde_json::from_str(raw)
        {
            self.beside.insert(key.to_owned(), value);
        }
    }
}

/// Pages are bounded to 4 GiB by the client.
fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// Is this (well-formed) JSON nested deeper than `max`? Cheap for everything that cannot be.
fn is_deeper(json: &str, max: usize) -> bool {
    // Each level takes at least an opening and a closing byte.
    if json.len() <= 2 * max
        || memchr::memchr2_iter(b'{', b'[', json.as_bytes())
            .nth(max)
            .is_none()
    {
        return false;
    }
    let (mut depth, mut quoted, mut escaped) = (0usize, false, false);
    for byte in json.bytes() {
        if quoted {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => quoted = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => quoted = true,
            b'{' | b'[' => {
                depth += 1;
                if depth > max {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}
