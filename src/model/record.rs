//! The nouns of the program: cells, verdicts, rejections, batches of rows, and the ledger.
//!
//! Every stage speaks in these types and none of them knows a stage: this file imports nothing of the crate. It must
//! not learn about HTTP, YAML, DMN or SQL.

use std::borrow::Cow;
use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

use rust_decimal::Decimal;

/// One typed value of a mapped record. Text borrows from the page it came in wherever it had no escapes.
#[derive(Clone, Debug, Default, PartialEq)]
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
    /// Adds bytes that tell the value from any other, and from those of other types.
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

    /// True for null and for text that is empty or white space only: what "missing" means for a required field.
    pub fn is_blank(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Text(text) => text.trim().is_empty(),
            _ => false,
        }
    }
}

/// What is wrong with one field of one record. Never holds the value.
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

/// A part of a page's text. It keeps the page, and has no copy of its own.
#[derive(Clone, Debug)]
pub struct PageText {
    page: Arc<String>,
    range: Range<u32>,
}

impl PageText {
    /// The text at these bytes of the page; none where they are no part of it.
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

/// One record that is not written, with all that is needed to say why and to decide again later.
#[derive(Clone, Debug)]
pub struct Rejection {
    /// The record's key, or `sha256:…` of its payload when it has none. One open rejection a key.
    pub key: String,
    /// The record's id as the source gave it, when it has one.
    pub record_id: Option<String>,
    /// The raw JSON text, byte for byte.
    pub payload: PageText,
    /// A short machine-readable class: `field_error`, `missing_required`, `decision`, `no_rule`, `database`, …
    pub reason: String,
    /// One sentence a person can act on.
    pub message: String,
    /// The sentence is the program's or the rule table's own and holds no value: it may be logged.
    pub loggable: bool,
    /// Everything wrong with its fields.
    pub errors: Vec<FieldError>,
    /// Ids of the rules that fired, if any.
    pub rules: Vec<String>,
    /// Names the values that the decision read; none = no decision was made. How it came about (values, rules considered,
    /// nearest change) is worked out when it is stored: it costs more than the decision, and most are stored already.
    pub decided_on: Option<[u8; 16]>,
    /// When its page was requested, PostgreSQL's clock, microseconds since 1970-01-01T00:00:00Z.
    pub requested_at: i64,
    /// Position in the run, so that "the later wins" can be told.
    pub sequence: u64,
}

/// Begins the payload of a rejection that is stored without its values. No JSON text begins so.
pub const MASKED: &str = "masked:";

/// What the API is to be told of one record (write-back).
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Message {
    /// The record's id as the source gave it.
    #[serde(rename = "id")]
    pub record_id: String,
    /// The value of If-Match, when the record came with an `ETag` or a version. Where mappings.yaml has `if_match`, a message
    /// without it is not sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub if_match: Option<String>,
    /// `if_match` is configured, and the record came without a version: it is not sent.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub no_version: bool,
    /// JSON text.
    #[serde(serialize_with = "as_json")]
    pub body: String,
}

fn as_json<S: serde::Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    use serde::{Serialize as _, ser::Error as _};
    let raw: &serde_json::value::RawValue = serde_json::from_str(text).map_err(S::Error::custom)?;
    raw.serialize(serializer)
}

/// What became of all messages the API was to be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct WriteBackLedger {
    /// Messages that waited in the outbox when sending began.
    pub due: u64,
    /// Taken by the API.
    pub sent: u64,
    /// The record had changed at the API since it was read; nothing was overwritten.
    pub conflicts: u64,
    /// The API no longer has the record.
    pub gone: u64,
    /// They could not be sent as they are, and were entered in a case.
    #[serde(default)]
    pub unsendable: u64,
    /// Still in the outbox, for the next run.
    pub kept: u64,
}

impl WriteBackLedger {
    /// Every message has exactly one fate.
    pub const fn balances(&self) -> bool {
        self.due == self.sent + self.conflicts + self.gone + self.unsendable + self.kept
    }
}

/// What happened to every record of a run. `fetched` is counted where pages arrive, all others where their fate is
/// sealed, so that the balance is a real check.
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

/// All counts on one line.
impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            fetched,
            inserted,
            updated,
            unchanged,
            superseded,
            duplicates,
            rejected,
            spooled,
        } = self;
        write!(
            f,
            "{fetched} fetched, {inserted} inserted, {updated} updated, {unchanged} unchanged, {superseded} superseded, \
             {duplicates} duplicates, {rejected} rejected, {spooled} spooled"
        )
    }
}

impl Ledger {
    /// Records whose fate is known.
    pub const fn accounted(&self) -> u64 {
        self.inserted
            + self.updated
            + self.unchanged
            + self.superseded
            + self.duplicates
            + self.rejected
            + self.spooled
    }

    /// Promise 2: everything fetched has exactly one fate.
    pub const fn balances(&self) -> bool {
        self.fetched == self.accounted()
    }

    /// What is wrong where it does not balance, for people.
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

/// One line of `check-api` or `check-db`.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// What was looked at: `dns`, `tls`, `privileges`, …
    pub name: &'static str,
    pub ok: bool,
    /// How long it took.
    pub seconds: f64,
    /// What was found.
    pub detail: String,
    /// What to do about it.
    pub hint: Option<String>,
}
