//! Telling the API what became of a record: one request a message, to the address of that record and nowhere else.
//!
//! It sends what it is given, within the pace, the deadline and the stop that fetching has too, and says what the API made
//! of it. Which messages there are and what becomes of them afterwards is not its business.

use std::fmt::Write as _;
use std::sync::Arc;

use reqwest::{Method, Url};
use serde_json::Value;

use super::client::{Ask, Client};
use super::control::Control;
use super::error::{ApiError, Kind};
use super::pages::Pages;
use crate::config::plan::{Api, WriteBack};
use crate::model::record::Message;

/// Where an answer keeps the record, when it is not the answer itself.
const ENVELOPES: [&str; 4] = ["data", "item", "result", "record"];

/// Sends messages over one connection; each thread has its own.
#[derive(Debug)]
pub struct Sender {
    client: Client,
    base: Url,
    /// Path of the endpoint, with `{id}`.
    path: String,
    control: Arc<Control>,
}

/// What the API made of a message.
#[derive(Debug)]
pub enum Sent {
    /// It has it now.
    Done,
    /// The record has changed since it was read, and was left as it is. Names of the fields that differ from the message,
    /// where they could be found out.
    Conflict(Vec<String>),
    /// The API does not know the record (any more): 404 or 410.
    Gone(ApiError),
    Failed(ApiError),
}

impl Sender {
    /// `pages`: whose pace, deadline and stop count.
    pub fn new(api: &Api, update: &WriteBack, pages: &Pages) -> Result<Self, ApiError> {
        Ok(Self {
            client: Client::for_endpoint(api, &update.endpoint)?,
            base: api.base_url.clone(),
            path: update.endpoint.path.clone(),
            control: Arc::clone(pages.control()),
        })
    }

    /// Sends one message; tried again like any request while the failure may pass.
    pub fn send(&self, message: &Message) -> Sent {
        let Some(url) = address(&self.base, &self.path, &message.record_id) else {
            return Sent::Failed(ApiError::new(
                Kind::Config,
                "the id makes no address of its own",
                "such a record cannot be written back: its id has to change at the source",
            ));
        };
        let ask = Ask {
            url: &url,
            page: None,
            method: None,
            body: Some(&message.body),
            if_match: message.if_match.as_deref(),
            may_be_unchanged: false,
        };
        let Err(error) = self.client.call(ask, &self.control, |_| Ok(())) else {
            return Sent::Done;
        };
        match (error.cause(), error.status()) {
            (Kind::Changed, _) => match self.differing(&url, &message.body) {
                // An earlier try of ours has arrived after all: the version is a new one, the content is the message's.
                Some(fields) if fields.is_empty() => Sent::Done,
                fields => Sent::Conflict(fields.unwrap_or_default()),
            },
            (_, Some(404 | 410)) => Sent::Gone(error),
            _ => Sent::Failed(error),
        }
    }

    /// Which fields of the message differ from what the API has now; none when that cannot be told.
    fn differing(&self, url: &Url, body: &str) -> Option<Vec<String>> {
        let ask = Ask {
            url,
            page: None,
            method: Some(&Method::GET),
            body: None,
            if_match: None,
            may_be_unchanged: false,
        };
        let answer = self.client.call(ask, &self.control, |answer| {
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

/// The record's address. None for an id that would name another one: `.` and `..` are steps of a path however they are
/// written.
fn address(base: &Url, path: &str, id: &str) -> Option<Url> {
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
