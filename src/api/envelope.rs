//! Finds the records of a page, and the values beside them, in one pass.
//!
//! Records are not parsed: a record is a byte range of the page. Only small values beside the records (`next`, `total`,
//! `meta`, …) are parsed. What they mean is decided elsewhere.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::error::{ApiError, Kind};
use super::record_array;
use super::vocabulary;
use crate::config::path;

/// Deepest nesting of a record, and of the values beside the records. PostgreSQL and most readers of JSON take more.
pub(super) const MAX_DEPTH: usize = 128;

/// Where records are looked for first when no path is configured, in this order.
const RECORD_KEYS: [&str; 4] = ["data", "items", "results", "records"];

/// A value beside the records that is longer says nothing about paging: it is skipped unparsed.
const LONGEST_BESIDE: usize = 16 << 10;
/// Greatest number of records of a page. Each takes memory even if it is empty, and a page of so many is a source that does
/// not page, or no list of records.
pub(super) const MOST_RECORDS: usize = 1 << 22;
/// All values beside the records together.
const MOST_BESIDE: usize = 256 << 10;

/// A page taken apart.
#[derive(Debug)]
pub(super) struct Envelope {
    pub records: Records,
    /// The page without its records, and without long values.
    pub beside: Value,
}

/// What was found where the records should be.
#[derive(Debug)]
pub(super) enum Records {
    Found {
        /// Byte range of each record's JSON text.
        ranges: Vec<Range<u32>>,
        /// Where the array is.
        at: Vec<String>,
    },
    /// There is no array of records; holds the error to report.
    Missing(ApiError),
}

/// Cuts a page into records. `path` says where they are. Without it they are the page itself if that is an array, else the
/// value of a usual key, else the only array of objects (which may be empty only if the page `may_be_empty`).
pub(super) fn read(
    text: &str,
    path: Option<&[String]>,
    may_be_empty: bool,
) -> Result<Envelope, ApiError> {
    let cut = |path: Option<&[String]>| cut_up_to(text, path, MOST_RECORDS);
    let envelope = cut(path)?;
    if path.is_some() || matches!(envelope.records, Records::Found { .. }) {
        return Ok(envelope);
    }
    match record_array::find(text, may_be_empty) {
        record_array::Choice::One(path) => cut(Some(&path)),
        record_array::Choice::None => Ok(envelope),
        record_array::Choice::Several(paths) => {
            let places: Vec<String> = paths.iter().map(|path| path::text(path)).collect();
            let what = |is_shown: fn(&str) -> bool| {
                let places = vocabulary::listed(&places, is_shown);
                format!("the page has several arrays that may be the records: {places}")
            };
            let hint = |is_shown: fn(&str) -> bool| {
                let example = places.iter().find(|place| is_shown(place));
                example.map_or_else(
                    || "run `datasync check-api`; write the right one at the endpoint in mappings.yaml (`records`)".to_owned(),
                    |place| format!("write the right one at the endpoint in mappings.yaml, for example `records: {place}`"),
                )
            };
            let error = ApiError::new(
                Kind::NoRecords,
                what(vocabulary::is_plain),
                hint(vocabulary::is_plain),
            )
            .naming(
                what(vocabulary::is_like_a_field),
                hint(vocabulary::is_like_a_field),
            );
            Ok(Envelope {
                records: Records::Missing(error),
                ..envelope
            })
        }
    }
}

/// Like `read`, but without a limit on the number of records, and without looking for arrays of unusual names.
pub(super) fn cut(text: &str, path: Option<&[String]>) -> Result<Envelope, ApiError> {
    cut_up_to(text, path, usize::MAX)
}

fn cut_up_to(text: &str, path: Option<&[String]>, most: usize) -> Result<Envelope, ApiError> {
    let mut state = State {
        room: most,
        too_many: false,
        base: text.as_ptr() as usize,
        too_deep: false,
        duplicate: None,
        seen_keys: Vec::new(),
        left: MOST_BESIDE,
    };
    let place = match path {
        Some(path) => Place::At(path),
        None => Place::Auto(0),
    };
    let mut json = serde_json::Deserializer::from_str(text);
    let (found, beside) = Seed {
        place,
        state: &mut state,
    }
    .deserialize(&mut json)
    .and_then(|found| json.end().map(|()| found))
    .map_err(|error| not_json(text, &error))?;
    if let Some(key) = state.duplicate {
        let what = |is_shown: fn(&str) -> bool| {
            if is_shown(&key) {
                format!("the page has the key `{key}` twice")
            } else {
                "the page has a key twice".to_owned()
            }
        };
        let hint = "nothing says which of the two counts; the API has to be corrected";
        return Err(
            ApiError::new(Kind::DuplicateKey, what(vocabulary::is_plain), hint)
                .naming(what(vocabulary::is_like_a_field), hint),
        );
    }
    if state.too_many {
        return Err(ApiError::new(
            Kind::TooLarge,
            format!("the page has more than {most} records"),
            "ask for smaller pages: pagination.size in mappings.yaml",
        ));
    }
    if state.too_deep {
        return Err(ApiError::new(
            Kind::TooDeep,
            format!("the page is nested deeper than {MAX_DEPTH} levels"),
            "such a page cannot be stored; the API has to be corrected",
        ));
    }
    Ok(Envelope {
        records: match found {
            Found::Records(ranges, mut at) => {
                at.reverse();
                Records::Found { ranges, at }
            }
            Found::Not(what) => Records::Missing(no_records(path, what, &state.seen_keys)),
        },
        beside,
    })
}

fn no_records(path: Option<&[String]>, what: &str, keys: &[String]) -> ApiError {
    let place = path.map_or_else(
        || "as a bare array, or under data, items, results or records".to_owned(),
        |path| format!("at `{}`", path::text(path)),
    );
    let text = |is_shown: fn(&str) -> bool| {
        let there = if keys.is_empty() {
            String::new()
        } else {
            format!(
                " (keys of the page: {})",
                vocabulary::listed(keys, is_shown)
            )
        };
        format!("no records in the page: expected an array {place}, found {what}{there}")
    };
    let hint = "set `records` of the endpoint in mappings.yaml to where the array is; an API that has nothing to tell sends an empty array";
    ApiError::new(Kind::NoRecords, text(vocabulary::is_plain), hint)
        .naming(text(vocabulary::is_like_a_field), hint)
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
    /// Their ranges, and the path from here to them, the last name first.
    Records(Vec<Range<u32>>, Vec<String>),
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

struct State {
    base: usize,
    /// How many more records are accepted.
    room: usize,
    /// There were more records than accepted.
    too_many: bool,
    too_deep: bool,
    duplicate: Option<String>,
    /// The first few keys of the outermost object, for the message when there are no records.
    seen_keys: Vec<String>,
    /// Bytes of values that may still be kept.
    left: usize,
}

struct Seed<'p, 's> {
    place: Place<'p>,
    state: &'s mut State,
}

impl<'de> DeserializeSeed<'de> for Seed<'_, '_> {
    type Value = (Found, Value);

    fn deserialize<D: serde::Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_, '_> {
    type Value = (Found, Value);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a page")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        if let Place::At([head, rest @ ..]) = self.place {
            let Ok(wanted) = head.parse::<usize>() else {
                while array.next_element::<IgnoredAny>()?.is_some() {}
                return Ok((Found::Not("an array further up"), Value::Null));
            };
            return self.element(&mut array, head, wanted, rest);
        }
        let mut records = Vec::new();
        while let Some(raw) = array.next_element::<&RawValue>()? {
            if records.len() >= self.state.room {
                self.state.too_many = true;
                while array.next_element::<IgnoredAny>()?.is_some() {}
                break;
            }
            let text = raw.get();
            self.state.too_deep |= is_deeper(text, MAX_DEPTH);
            let start = text.as_ptr() as usize - self.state.base;
            records.push(offset(start)..offset(start + text.len()));
        }
        Ok((Found::Records(records, Vec::new()), Value::Null))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        let state = self.state;
        let mut keys: HashSet<String> = HashSet::new();
        let outermost = state.seen_keys.is_empty();
        let mut kept = Map::new();
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
                let (mut here, below) = object.next_value_seed(Seed { place, state })?;
                if let Found::Records(_, at) = &mut here {
                    at.push(key.clone());
                }
                // An array wins over any other value; among arrays the order of the keys decides.
                let rank = match here {
                    Found::Records(..) => rank,
                    Found::Not(_) => rank + RECORD_KEYS.len(),
                };
                if !matches!(here, Found::Records(..)) || !below.is_null() {
                    kept.insert(key.clone(), below);
                }
                if found.as_ref().is_none_or(|(best, _)| rank < *best) {
                    found = Some((rank, here));
                }
            } else {
                let raw = object.next_value::<&RawValue>()?;
                if let Some(value) = state.small(raw.get()) {
                    kept.insert(key.clone(), value);
                }
            }
            if outermost && state.seen_keys.len() < 6 {
                state.seen_keys.push(key.clone());
            }
            if keys.contains(&key) {
                state.duplicate = Some(key.clone());
            } else {
                keys.insert(key);
            }
        }
        let found = found.map_or(
            Found::Not(match self.place {
                Place::At([]) => "an object",
                _ => "nothing there",
            }),
            |(_, found)| found,
        );
        Ok((found, Value::Object(kept)))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok((Found::Not("null"), Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok((Found::Not("a boolean"), value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok((Found::Not("a number"), value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok((Found::Not("a number"), value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok((Found::Not("a number"), value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok((Found::Not("text"), self.state.short(value)))
    }
}

impl Seed<'_, '_> {
    /// A step of the path that leads into a list.
    fn element<'de, A: SeqAccess<'de>>(
        self,
        array: &mut A,
        name: &str,
        wanted: usize,
        rest: &[String],
    ) -> Result<(Found, Value), A::Error> {
        let state = self.state;
        let mut kept = Vec::new();
        let mut found = Found::Not("nothing there");
        for at in 0.. {
            if at == wanted {
                let place = Place::At(rest);
                let Some((mut here, below)) = array.next_element_seed(Seed { place, state })?
                else {
                    break;
                };
                if let Found::Records(_, path) = &mut here {
                    path.push(name.to_owned());
                }
                found = here;
                kept.push(below);
            } else {
                let Some(raw) = array.next_element::<&RawValue>()? else {
                    break;
                };
                kept.push(state.small(raw.get()).unwrap_or_default());
            }
        }
        Ok((found, Value::Array(kept)))
    }
}

impl State {
    /// A value beside the records, unless it is too long to be about paging.
    fn small(&mut self, raw: &str) -> Option<Value> {
        if is_deeper(raw, MAX_DEPTH) {
            self.too_deep = true;
            return None;
        }
        if raw.len() > LONGEST_BESIDE || raw.len() > self.left {
            return None;
        }
        self.left -= raw.len();
        serde_json::from_str(raw).ok()
    }

    fn short(&mut self, text: &str) -> Value {
        if text.len() > LONGEST_BESIDE || text.len() > self.left {
            return Value::Null;
        }
        self.left -= text.len();
        text.into()
    }
}

/// Pages are bounded to 4 GiB by the client.
fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// Is this well-formed JSON nested deeper than `max`? Texts with too few bytes or brackets for that are not walked.
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
