//! The shared types of the program: cells, verdicts, rejections, messages, and the ledger.
//!
//! Every stage uses these types. This file imports nothing of the crate: it must not learn about HTTP, YAML, DMN or SQL.

use std::borrow::Cow;
use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

use rust_decimal::Decimal;

/// One typed value of a mapped record. Its text borrows from the page it came in, except where escapes had to be resolved.
///
/// Its variant is as wide as a register, so that there is no padding. With padding a processor reads what it has just written
/// in other pieces, and waits.
#[derive(Clone, Debug, Default, PartialEq)]
#[repr(usize)]
pub enum Cell<'a> {
    /// Absent, JSON null, or unusable (then a [`FieldError`] says why).
    #[default]
    Null,
    /// Text, e-mail addresses included.
    Text(Cow<'a, str>),
    /// A 64-bit integer.
    Integer(i64),
    /// An exact decimal, at most 28 significant digits.
    Decimal(Decimal),
    /// A boolean.
    Boolean(bool),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds since 1970-01-01T00:00:00Z.
    DateTime(i64),
    /// The 16 bytes of a UUID.
    Uuid([u8; 16]),
    /// A JSON document as text, exactly as the source wrote it.
    Json(Cow<'a, str>),
}

impl Cell<'_> {
    /// Appends bytes that differ for any two different values, and for equal values of different types.
    pub fn add_to(&self, bytes: &mut Vec<u8>) {
        let mut add = |kind: u8, value: &[u8]| {
            bytes.push(kind);
            bytes.extend((value.len() as u64).to_be_bytes());
            bytes.extend(value);
        };
        match self {
            Self::Null => add(b'n', &[]),
            Self::Text(text) => add(b't', text.as_bytes()),
            Self::Integer(number) => add(b'i', &number.to_be_bytes()),
            Self::Decimal(number) => add(b'd', &number.serialize()),
            Self::Boolean(value) => add(b'b', &[u8::from(*value)]),
            Self::Date(days) => add(b'D', &days.to_be_bytes()),
            Self::DateTime(micros) => add(b'T', &micros.to_be_bytes()),
            Self::Uuid(uuid) => add(b'u', uuid),
            Self::Json(text) => add(b'j', text.as_bytes()),
        }
    }

    /// True for null and for text that is empty or only white space. A required field with such a value counts as missing.
    pub fn is_blank(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Text(text) => text.trim_start().is_empty(),
            _ => false,
        }
    }
}

/// What is wrong with one field of one record. It never holds the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// The field as the source names it (a dotted path for nested ones).
    pub field: Cow<'static, str>,
    /// What would have been accepted, for example `datetime (RFC 3339)`.
    pub expected: Cow<'static, str>,
    /// What was found instead, without the value: `text`, `null`, `300 characters`.
    pub problem: Cow<'static, str>,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: expected {}, found {}",
            self.field, self.expected, self.problem
        )
    }
}

/// The decision's first output: is the record fit?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Validation {
    /// Written.
    Valid,
    /// Written and flagged for review.
    Warning,
    /// Not written.
    Invalid,
}

impl Validation {
    /// The spelling of the DMN file, the table and the JSON output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "VALID",
            Self::Warning => "WARNING",
            Self::Invalid => "INVALID",
        }
    }
}

/// The decision's second output: what becomes of the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Write it.
    Process,
    /// Write it and flag it `needs_review`.
    Review,
    /// Keep it out of `customers` and file a rejection.
    Reject,
}

impl Action {
    /// The spelling of the DMN file and the JSON output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Process => "PROCESS",
            Self::Review => "REVIEW",
            Self::Reject => "REJECT",
        }
    }
}

/// A part of a page's text. It keeps the page in memory instead of copying the part.
#[derive(Clone, Debug)]
pub struct PageText {
    page: Arc<String>,
    range: Range<u32>,
}

impl PageText {
    /// The text at these bytes of the page; none where the range does not fit the page.
    pub fn new(page: &Arc<String>, range: Range<u32>) -> Self {
        Self {
            page: Arc::clone(page),
            range,
        }
    }
}

impl Deref for PageText {
    type Target = str;

    fn deref(&self) -> &str {
        let (start, end) = (self.range.start as usize, self.range.end as usize);
        self.page.get(start..end).unwrap_or_default()
    }
}

impl From<String> for PageText {
    fn from(text: String) -> Self {
        let end = u32::try_from(text.len()).unwrap_or(u32::MAX);
        Self {
            page: Arc::new(text),
            range: 0..end,
        }
    }
}

/// One record that is not written, with what is needed to say why and to decide again later.
#[derive(Clone, Debug)]
pub struct Rejection {
    /// The record's key, or `sha256:…` of its payload when it has none. A key has at most one open rejection.
    pub key: String,
    /// The key is the record's id as the source gave it.
    pub has_id: bool,
    /// The raw JSON text, byte for byte.
    pub payload: PageText,
    /// A short machine-readable reason: `field_error`, `missing_required`, `decision`, `no_rule`, `database`, …
    pub reason: &'static str,
    /// One sentence that tells a person what to do.
    pub message: String,
    /// The message holds no value, because the program or the rule table alone made it: it may be logged.
    pub loggable: bool,
    /// Everything wrong with its fields.
    pub errors: Vec<FieldError>,
    /// Ids of the rules that fired, if any.
    pub rules: Vec<String>,
    /// A digest of the values that the decision read; none where no decision was made. The explanation costs more than the
    /// decision, so it is worked out only when a rejection is stored that was not stored before.
    pub decided_on: Option<[u8; 16]>,
    /// When its page was requested, by PostgreSQL's clock: microseconds since 1970-01-01T00:00:00Z.
    pub requested_at: i64,
    /// Position in the run. Of two records with one key the one with the higher position wins.
    pub sequence: u64,
}

impl Rejection {
    /// The record's id as the source gave it; none where it has none.
    pub fn record_id(&self) -> Option<&str> {
        self.has_id.then_some(self.key.as_str())
    }
}

/// The prefix of a payload that is stored with its values masked. No JSON text begins with it.
pub const MASKED: &str = "masked:";

/// The message of write-back about one record.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Message {
    /// The record's id as the source gave it.
    #[serde(rename = "id")]
    pub record_id: String,
    /// The value of If-Match, if the record has an `ETag` or a version. It is required where mappings.yaml has `if_match`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub if_match: Option<String>,
    /// `if_match` is configured, but the record came without a version: the message is not sent.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_version: bool,
    /// The body of the request: JSON text.
    #[serde(serialize_with = "as_json")]
    pub body: String,
}

fn as_json<S: serde::Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    use serde::{Serialize as _, ser::Error as _};
    let raw: &serde_json::value::RawValue = serde_json::from_str(text).map_err(S::Error::custom)?;
    raw.serialize(serializer)
}

/// Counts what became of the messages of write-back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct WriteBackLedger {
    /// Messages that waited in the outbox when sending began.
    pub due: u64,
    /// The API has accepted them.
    pub sent: u64,
    /// Not sent, so that nothing is overwritten: the record had changed at the API since it was read.
    pub conflicts: u64,
    /// The API no longer has the record: it answered 404 or 410.
    pub gone: u64,
    /// They cannot be sent as they are, and were entered in a case.
    #[serde(default)]
    pub unsendable: u64,
    /// Still in the outbox; the next run sends them.
    pub kept: u64,
}

impl WriteBackLedger {
    /// True if every message is counted under exactly one outcome.
    pub const fn balances(&self) -> bool {
        self.due == self.sent + self.conflicts + self.gone + self.unsendable + self.kept
    }
}

/// Counts what became of every record of a run. `fetched` is counted where pages arrive, and each other figure where the
/// outcome of a record is known, so that comparing them is a real check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Ledger {
    /// Records received from the API.
    pub fetched: u64,
    /// Rows PostgreSQL reported as new.
    pub inserted: u64,
    /// Rows PostgreSQL reported as changed.
    pub updated: u64,
    /// Rows whose content was already there.
    pub unchanged: u64,
    /// Rows older than what is stored.
    pub superseded: u64,
    /// Records whose key came again, later, within the same batch.
    pub duplicates: u64,
    /// Records refused by mapping, decision or database, and stored as rejections.
    pub rejected: u64,
    /// Records kept in the spool because the database could not take them.
    pub spooled: u64,
}

/// A ledger is shown with all counts on one line.
impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.counts().map(|(name, count)| format!("{count} {name}"));
        f.write_str(&counts.join(", "))
    }
}

impl Ledger {
    /// The counts with their names, in the order of the balance equation.
    pub const fn counts(&self) -> [(&'static str, u64); 8] {
        [
            ("fetched", self.fetched),
            ("inserted", self.inserted),
            ("updated", self.updated),
            ("unchanged", self.unchanged),
            ("superseded", self.superseded),
            ("duplicates", self.duplicates),
            ("rejected", self.rejected),
            ("spooled", self.spooled),
        ]
    }

    /// Records whose outcome is known.
    pub const fn accounted(&self) -> u64 {
        self.inserted
            + self.updated
            + self.unchanged
            + self.superseded
            + self.duplicates
            + self.rejected
            + self.spooled
    }

    /// True if every fetched record is counted under exactly one outcome (promise 2 of docs/design.md).
    pub const fn balances(&self) -> bool {
        self.fetched == self.accounted()
    }

    /// A sentence about the difference, for people; none where the ledger balances.
    pub fn imbalance(&self) -> Option<String> {
        (!self.balances()).then(|| {
            format!(
                "the ledger does not balance: {} records fetched, {} accounted for; please report this",
                self.fetched,
                self.accounted()
            )
        })
    }

    /// Adds another ledger, field by field.
    pub const fn add(&mut self, other: &Self) {
        self.fetched += other.fetched;
        self.inserted += other.inserted;
        self.updated += other.updated;
        self.unchanged += other.unchanged;
        self.superseded += other.superseded;
        self.duplicates += other.duplicates;
        self.rejected += other.rejected;
        self.spooled += other.spooled;
    }
}

/// The result of one check of `check-api` or `check-db`, shown as one line.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// What was checked: `dns`, `tls`, `privileges`, …
    pub name: &'static str,
    pub ok: bool,
    /// How long it took.
    pub seconds: f64,
    /// What was found.
    pub detail: String,
    /// What to do about it.
    pub hint: Option<String>,
}
