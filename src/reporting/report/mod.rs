//! The report of a run: as a JSON object, as text, and as a page for a browser.
//!
//! It receives finished figures and computes nothing but shares.

pub mod chart; // the drawings of a page
mod examples; // records on a page, masked
pub mod file; // a page on its way to its file
pub mod history; // past runs as a table
pub mod html; // the frame of a page, its tables and bars
pub mod input; // what the page of one run is made of
pub mod page; // the page of one run
pub mod past; // past runs on a page
pub mod proportions; // what became of the records, as one line for a terminal
mod text; // the report of a run as text
pub mod verdict; // how a run ended, in words and as a colour

use std::collections::BTreeMap;

use serde::Serialize;

use crate::exit::Exit;
use crate::model::cause::Cause;
use crate::model::record::{Ledger, Message, WriteBackLedger};
use crate::support::histogram::Histogram;

/// How the run ended. `sync_log` has the same words in capitals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Everything fetched was committed or rejected.
    Success,
    /// Something was committed, but the fetch ended early, or something is spooled.
    Partial,
    /// Nothing was committed or spooled, or a brake stopped the run.
    #[default]
    Failed,
    /// Nothing was to be written.
    DryRun,
}

impl Status {
    /// As JSON and metrics spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::DryRun => "dry_run",
        }
    }
}

/// How many seconds a run took, in total and by stage. Stages overlap, so they may sum up to more than the total.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Seconds {
    /// From start to end.
    pub total: f64,
    /// Waiting for the API, all connections together.
    pub fetch: f64,
    /// Mapping records.
    pub transform: f64,
    /// Asking the decision table.
    pub decide: f64,
    /// Waiting for PostgreSQL, all connections together.
    pub write: f64,
}

/// Durations in seconds, summed up.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Percentiles {
    /// How many there were.
    pub count: u64,
    /// The median.
    pub p50: f64,
    /// The 95th percentile.
    pub p95: f64,
    /// The longest.
    pub max: f64,
    /// All of them together.
    pub sum: f64,
}

/// The database connections that a run wrote through.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct PoolUse {
    /// The most there were at once.
    pub connections: u32,
    /// The most there may be.
    pub max_connections: u32,
    /// How long finished batches waited for a free one.
    pub wait_seconds: f64,
    /// All of them were busy while batches waited.
    pub exhausted: bool,
}

/// The batches that wait on disk when the run ends.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct SpoolUse {
    /// One a batch.
    pub files: u64,
    /// Their size together.
    pub bytes: u64,
}

/// The time up to which the source has been read, RFC 3339.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Watermark {
    /// When the run began; none before the first run.
    pub before: Option<String>,
    /// When it ended.
    pub after: Option<String>,
}

/// How one row would change, as a dry run shows it. It holds values, since the user has asked to see them.
#[derive(Clone, Debug, Serialize)]
pub struct Difference {
    /// The record's id.
    pub id: String,
    /// Column, stored value, new value.
    pub fields: Vec<(String, Option<String>, Option<String>)>,
}

/// One record of a dry run that would be flagged or rejected, and why.
#[derive(Clone, Debug, Serialize)]
pub struct Judged {
    /// The record's id.
    pub id: String,
    /// Why, in one sentence.
    pub reason: String,
}

/// Everything a run reports.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// A UUID of version 7.
    pub run_id: String,
    /// How it ended.
    pub status: Status,
    /// The source was read whole, which is proven, and every record was committed or rejected.
    pub complete: bool,
    /// The proof that the source was read whole, or `unproven`; none where it was not read to its end.
    pub end: Option<&'static str>,
    /// `full` or `incremental`.
    pub mode: &'static str,
    /// `1/4`; none for the whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<String>,
    /// What became of every record that was fetched.
    pub ledger: Ledger,
    /// Records that were accepted for a person to review.
    pub flagged: u64,
    /// Records from the spool of earlier runs that were written.
    pub replayed: u64,
    /// What became of stored rejections that were decided again. The ledger counts them, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decided_again: Option<Ledger>,
    /// Pages with records.
    pub pages: u64,
    /// Requests that were sent again.
    pub api_retries: u64,
    /// Batches that were sent again.
    pub db_retries: u64,
    /// Reason → rejected records.
    pub rejections_by_reason: BTreeMap<String, u64>,
    /// Stage and class → errors, those included that a retry mended.
    pub errors_by_type: BTreeMap<String, u64>,
    /// The share of fetched records that were neither rejected nor spooled.
    pub success_rate: f64,
    /// Total seconds ÷ fetched records.
    pub seconds_per_record: f64,
    /// The case that belongs to the exit code.
    pub case_id: Option<String>,
    /// The exit code of the process.
    pub exit_code: u8,
    /// How long it took.
    pub seconds: Seconds,
    /// How long each answer of the API took, from the request to the end of the answer.
    pub api_response_seconds: Percentiles,
    /// How long each batch took, from BEGIN to COMMIT.
    pub db_query_seconds: Percentiles,
    /// Of incremental runs.
    pub watermark: Watermark,
    /// The connections to the database.
    pub pool: PoolUse,
    /// What waits on disk.
    pub spool: SpoolUse,
    /// Open cases that the run could see when it ended.
    pub open_cases: u64,
    /// Cases that a retry has closed: id and cause.
    #[serde(skip)]
    pub closed_cases: Vec<(String, Cause)>,
    /// Thresholds that were crossed, one sentence each.
    pub alerts: Vec<String>,
    /// Of a dry run: the first rows that would change.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<Difference>,
    /// Of a dry run: the first rows that would be inserted, as changes from null.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub new_rows: Vec<Difference>,
    /// What became of the messages to the API, where write-back is on; in a dry run what would be due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write_back: Option<WriteBackLedger>,
    /// Of a dry run: the first messages that would be sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<Message>,
    /// Of a dry run: the first records that would be flagged for review.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub for_review: Vec<Judged>,
    /// Of a dry run: the first records that would be rejected.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Judged>,
    /// What went wrong, one sentence each, in the order it happened.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
    /// For metrics and page: all durations that `api_response_seconds` sums up.
    #[serde(skip)]
    pub api_responses: Histogram,
    /// For metrics: all durations that `db_query_seconds` sums up.
    #[serde(skip)]
    pub db_statements: Histogram,
    /// For the page: the first rejected records of each reason.
    #[serde(skip)]
    pub examples: BTreeMap<String, Vec<Example>>,
    /// Names of the thresholds and brakes behind `alerts`.
    #[serde(skip)]
    pub crossed: Vec<String>,
    /// The run asked for the whole source, or for all that had changed. With exit 0 the data is then up to date.
    #[serde(skip)]
    pub whole: bool,
}

/// A rejected record, as an example of its reason.
#[derive(Clone, Debug)]
pub struct Example {
    /// The record's id.
    pub id: String,
    /// Why it was rejected.
    pub message: String,
    /// The message holds no value of the record.
    pub loggable: bool,
    /// Its JSON text, where it is at hand and not too long.
    pub payload: Option<String>,
    /// The fields that are wrong, as the source names them.
    pub fields: Vec<String>,
}

/// The counts of a ledger with their names, in the order of the balance.
pub const fn rows(ledger: &Ledger) -> [(&'static str, u64); 8] {
    [
        ("fetched", ledger.fetched),
        ("inserted", ledger.inserted),
        ("updated", ledger.updated),
        ("unchanged", ledger.unchanged),
        ("superseded", ledger.superseded),
        ("duplicates", ledger.duplicates),
        ("rejected", ledger.rejected),
        ("spooled", ledger.spooled),
    ]
}

/// The counts of write-back with their names and what they mean, in the order of the balance.
pub const fn write_back_rows(ledger: &WriteBackLedger) -> [(&'static str, u64, &'static str); 6] {
    [
        ("due", ledger.due, ""),
        ("sent", ledger.sent, ""),
        (
            "conflicts",
            ledger.conflicts,
            "changed at the API since they were read; not overwritten",
        ),
        ("gone", ledger.gone, "the API no longer has them"),
        (
            "unsendable",
            ledger.unsendable,
            "not sent; `datasync case show` says why and what to do",
        ),
        (
            "kept",
            ledger.kept,
            "in sync_outbox; the next run or `datasync retry` sends them",
        ),
    ]
}

impl Report {
    /// Mode and shard, such as `full` or `full, shard 1/4`.
    fn scope(&self) -> String {
        match &self.shard {
            Some(shard) => format!("{}, shard {shard}", self.mode),
            None => self.mode.to_owned(),
        }
    }

    /// What the exit code of this run means. It does not speak of records that were not fetched or not kept.
    pub fn meaning(&self, exit: Exit) -> &'static str {
        let dry = self.status == Status::DryRun;
        match exit {
            Exit::Database if dry => "the database failed; nothing was written",
            Exit::Api if self.end == Some("unproven") => {
                "it is not proven that the source was read whole; what was committed stays"
            }
            Exit::Api if dry => "the API failed after its retries; nothing was written",
            Exit::Database if self.pages == 0 && self.spool.files == 0 => {
                "the database failed; nothing was fetched, nothing is lost"
            }
            Exit::Database if self.pages == 0 => {
                "the database failed; nothing new was fetched, what earlier runs fetched is in the spool"
            }
            _ => meaning(exit),
        }
    }
}

/// What an exit code means, in a few words.
pub const fn meaning(exit: Exit) -> &'static str {
    match exit {
        Exit::Success => "every record accounted for",
        Exit::Internal => {
            "internal error; nothing was lost: run it again, and report it if it stays"
        }
        Exit::Configuration => "configuration; nothing was fetched or written",
        Exit::Api => "the API failed after its retries; what was committed stays",
        Exit::Database => "the database failed; what was fetched and not committed is in the spool",
        Exit::Threshold => "a threshold was crossed, or a brake stopped the run",
        Exit::State => "the state directory cannot be written",
        Exit::Busy => "another run is at work",
        Exit::Interrupted => "interrupted",
        Exit::Terminated => "terminated",
        Exit::HungUp => "the terminal was closed",
    }
}
