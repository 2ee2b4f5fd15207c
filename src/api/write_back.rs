//! Sends write-back: one request a message, to the address of its record and nowhere else.
//!
//! Messages keep to the same pace, deadline and stop as fetching. This file reports the API's answer; which messages there
//! are and what becomes of them afterwards is decided by the caller.

use std::fmt::Write as _;
use std::sync::Arc;

use reqwest::header::HeaderValue;
use reqwest::{Method, Url};
use serde_json::Value;

use super::client::{Client, Request};
use super::control::Control;
use super::error::{ApiError, Kind};
use super::pages::Pages;
use crate::config::plan::{Api, WriteBack};
use crate::model::record::Message;

/// Keys under which an answer may hold the record, when it is not the record itself.
const ENVELOPES: [&str; 4] = ["data", "item", "result", "record"];

/// Sends messages over one connection; each thread has its own.
#[derive(Debug)]
pub struct Sender {
    client: Client,
    base: Url,
    /// Path of the endpoint, with `{id}`.
    path: String,
    /// Nothing is sent without a version to match.
    needs_version: bool,
    control: Arc<Control>,
}

/// What became of a message.
#[derive(Debug)]
pub enum SendOutcome {
    /// The API has accepted it, or has the same content already.
    Done,
    /// The record has changed since it was read, and was left as it is. Names of the fields that differ from the message,
    /// where they could be found out.
    Conflict(Vec<String>),
    /// The API does not know the record (any more): 404 or 410.
    Gone(ApiError),
    /// No request was made, and none can be while the record is as it is.
    Unsendable(Unsendable),
    Failed(ApiError),
}

/// Why no request can be made of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsendable {
    /// mappings.yaml has `if_match`, and the record came without a version.
    NoVersion,
    /// Its version is not what the header If-Match can carry.
    Version,
    /// Its id gives no address of its own, such as `..`.
    Id,
}

impl Unsendable {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoVersion => "no version to match",
            Self::Version => "its version cannot stand in the header If-Match",
            Self::Id => "its id makes no address of its own",
        }
    }
}

impl Sender {
    /// `pages` lends its pace, deadline and stop.
    pub fn new(api: &Api, update: &WriteBack, pages: &Pages) -> Result<Self, ApiError> {
        Ok(Self {
            client: Client::for_endpoint(api, &update.endpoint)?,
            base: api.base_url.clone(),
            path: update.endpoint.path.clone(),
            needs_version: update.if_match.is_some(),
            control: Arc::clone(pages.control()),
        })
    }

    /// Sends one message, with the retries of any request.
    pub fn send(&self, message: &Message) -> SendOutcome {
        let Some(url) = address(&self.base, &self.path, &message.record_id) else {
            return SendOutcome::Unsendable(Unsendable::Id);
        };
        match &message.if_match {
            // Without the header the message would overwrite what others have changed at the API.
            None if self.needs_version => return SendOutcome::Unsendable(Unsendable::NoVersion),
            Some(tag) if !is_entity_tag(tag) => {
                return SendOutcome::Unsendable(Unsendable::Version);
            }
            _ => {}
        }
        let request = Request {
            url: &url,
            page: None,
            method: None,
            body: Some(&message.body),
            if_match: message.if_match.as_deref(),
            may_be_unchanged: false,
        };
        let Err(error) = self.client.call(request, &self.control, |_| Ok(())) else {
            return SendOutcome::Done;
        };
        match (error.cause(), error.status()) {
            (Kind::Changed, _) => match self.differing(&url, &message.body) {
                // An earlier try has arrived and its answer was lost: the API has a new version with this content.
                Some(fields) if fields.is_empty() => SendOutcome::Done,
                fields => SendOutcome::Conflict(fields.unwrap_or_default()),
            },
            (_, Some(404 | 410)) => SendOutcome::Gone(error),
            _ => SendOutcome::Failed(error),
        }
    }

    /// Which fields of the message differ from what the API has now; none when that cannot be told.
    fn differing(&self, url: &Url, body: &str) -> Option<Vec<String>> {
        let request = Request {
            url,
            page: None,
            method: Some(&Method::GET),
            body: None,
            if_match: None,
            may_be_unchanged: false,
        };
        let answer = self.client.call(request, &self.control, |answer| {
            Ok(serde_json::from_slice::<Value>(&answer.body).ok())
        });
        let theirs = answer.ok()?.value?;
        let ours: Value = serde_json::from_str(body).ok()?;
        let record = std::iter::once(&theirs)
            .chain(ENVELOPES.iter().filter_map(|name| theirs.get(name)))
            .find(|value| {
                ours.as_object()
                    .is_some_and(|ours| ours.keys().any(|key| value.get(key).is_some()))
            })?;
        let mut fields = Vec::new();
        compare(&ours, record, "", &mut fields);
        Some(fields)
    }
}

/// Collects the paths at which `theirs` differs from `ours`.
fn compare(ours: &Value, theirs: &Value, path: &str, fields: &mut Vec<String>) {
    if let Value::Object(members) = ours
        && theirs.is_object()
    {
        for (name, value) in members {
            let path = if path.is_empty() {
                name.clone()
            } else {
                format!("{path}.{name}")
            };
            compare(
                value,
                theirs.get(name).unwrap_or(&Value::Null),
                &path,
                fields,
            );
        }
    } else if !same(ours, theirs) {
        fields.push(path.to_owned());
    }
}

/// The same value, maybe in another spelling: `80` and `80.0`, a time in another zone.
fn same(ours: &Value, theirs: &Value) -> bool {
    let instant = |value: &Value| value.as_str()?.parse::<jiff::Timestamp>().ok();
    ours == theirs
        || matches!((ours.as_f64(), theirs.as_f64()), (Some(a), Some(b)) if a.to_bits() == b.to_bits())
        || matches!((instant(ours), instant(theirs)), (Some(a), Some(b)) if a == b)
}

/// Can the header If-Match carry this as one entity tag? A quote inside would end the tag, and the rest would be read as
/// further tags, one of which could match by accident.
fn is_entity_tag(tag: &str) -> bool {
    let opaque = tag.strip_prefix("W/").unwrap_or(tag);
    let inside = opaque
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    let is_one_tag = inside.is_some_and(|inside| !inside.contains('"'));
    is_one_tag && tag.is_ascii() && HeaderValue::from_str(tag).is_ok()
}

/// The record's address. None for an id that would lead to another address: `.` and `..` are steps of a path even if
/// encoded, and an empty id is the address of the whole collection.
fn address(base: &Url, path: &str, id: &str) -> Option<Url> {
    if id.is_empty() {
        return None;
    }
    let mut encoded = String::with_capacity(id.len());
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            write!(encoded, "%{byte:02X}").unwrap_or_default();
        }
    }
    let path = format!(
        "{}/{}",
        base.path().trim_end_matches('/'),
        path.trim_start_matches('/').replace("{id}", &encoded)
    );
    let mut url = base.clone();
    url.set_path(&path);
    (url.path() == path && url.origin() == base.origin()).then_some(url)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn path(id: &str) -> Option<String> {
        let base = Url::parse("https://api.example.com/crm").unwrap();
        address(&base, "/v1/data/{id}", id).map(|url| {
            assert_eq!(url.origin(), base.origin());
            assert_eq!((url.query(), url.fragment()), (None, None));
            url.path().to_owned()
        })
    }

    #[test]
    fn an_id_is_one_segment_of_the_path_whatever_is_in_it() {
        for (id, segment) in [
            ("C-1.a_b~c", "C-1.a_b~c"),
            ("a/b\\c", "a%2Fb%5Cc"),
            ("../../admin", "..%2F..%2Fadmin"),
            ("a?b#c&d=e", "a%3Fb%23c%26d%3De"),
            ("100%", "100%25"),
            ("%2e%2e", "%252e%252e"),
            ("@evil.example", "%40evil.example"),
            ("Zoë 李", "Zo%C3%AB%20%E6%9D%8E"),
            ("a\r\nb\0", "a%0D%0Ab%00"),
            ("...", "..."),
        ] {
            let expected = format!("/crm/v1/data/{segment}");
            assert_eq!(path(id).as_deref(), Some(expected.as_str()), "{id}");
        }
    }

    #[test]
    fn an_id_that_is_a_step_of_the_path_has_no_address() {
        assert_eq!(path("."), None);
        assert_eq!(path(".."), None);
        assert_eq!(path(""), None);
    }

    #[test]
    fn only_one_whole_entity_tag_is_sent() {
        for tag in [
            "\"1\"",
            "W/\"a b\"",
            "\"\"",
            "\"*\"",
            "\"2026-01-01T00:00:00Z\"",
        ] {
            assert!(is_entity_tag(tag), "{tag}");
        }
        for tag in [
            "",
            "1",
            "*",
            "\"",
            "W/",
            "\"1\", \"2\"",
            "\"a\"b\"",
            "\"a\nb\"",
        ] {
            assert!(!is_entity_tag(tag), "{tag}");
        }
    }

    #[test]
    fn spelling_is_no_difference() {
        let mut fields = Vec::new();
        let ours =
            json!({"a": 80, "b": "2026-01-01T00:00:00Z", "c": {"d": "x", "e": null}, "f": 1});
        let theirs =
            json!({"a": 80.0, "b": "2026-01-01T01:00:00+01:00", "c": {"d": "y"}, "f": "1"});
        compare(&ours, &theirs, "", &mut fields);
        assert_eq!(fields, ["c.d", "f"]);
    }
}
