//! The report of a run: as a JSON object, as text, and as a page for a browser.
//!
//! It gets finished figures and computes only shares.

pub mod chart; // the drawings of a page
mod examples; // records on a page, masked
pub mod file; // a page on its way to its file
pub mod history; // past runs as a table
pub mod html; // the frame of a page, its tables and bars
pub mod input; // the input of the page of a run
pub mod page; // the page of one run
pub mod past; // past runs on a page
pub mod proportions; // what became of the records, as a bar for a terminal
mod text; // the report of a run as text
pub mod verdict; // how a run ended, in words and as a colour

use std::collections::BTreeMap;

use serde::Serialize;

use crate::exit::Exit;
use crate::model::cause::Cause;
use crate::model::record::{Ledger, Message, WriteBackLedger};
use crate::support::histogram::Histogram;

/// How the run ended. `sync_log` has the same words in capital letters.
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
    /// The run was a dry run, which writes nothing.
    DryRun,
}

impl Status {
    /// The spelling in JSON and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::DryRun => "dry_run",
        }
    }
}

/// Seconds that a run took, in total and by stage. Stages overlap, so their sum may exceed the total.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Seconds {
    /// From start to end.
    pub total: f64,
    /// Waiting for the API, summed over all connections.
    pub fetch: f64,
    /// Mapping records.
    pub transform: f64,
    /// Deciding records.
    pub decide: f64,
    /// Waiting for PostgreSQL, summed over all connections.
    pub write: f64,
}

/// A summary of durations, in seconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Percentiles {
    pub count: u64,
    /// The median.
    pub p50: f64,
    /// The 95th percentile.
    pub p95: f64,
    pub max: f64,
    pub sum: f64,
}

/// The database connections that a run wrote through.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct PoolUse {
    /// The largest number at once.
    pub connections: u32,
    /// The largest number that is permitted.
    pub max_connections: u32,
    /// How long finished batches waited for a free connection, in seconds.
    pub wait_seconds: f64,
    /// True if all permitted connections were busy while batches waited.
    pub exhausted: bool,
}

/// The spool at the end of the run.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct SpoolUse {
    /// How many files wait.
    pub files: u64,
    pub bytes: u64,
}

/// The watermark: the time up to which the source has been read, as RFC 3339.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Watermark {
    /// Its value when the run began; none before the first run.
    pub before: Option<String>,
    /// Its value when the run ended.
    pub after: Option<String>,
}

/// How a dry run would change one row. It holds values, because the user has asked to see them.
#[derive(Clone, Debug, Serialize)]
pub struct Difference {
    pub id: String,
    /// For each field: column, stored value and new value.
    pub fields: Vec<(String, Option<String>, Option<String>)>,
}

/// A record that a dry run would flag or reject, with the reason.
#[derive(Clone, Debug, Serialize)]
pub struct DecidedRecord {
    pub id: String,
    /// The reason, in one sentence.
    pub reason: String,
}

/// Everything a run reports.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// The run's id, a UUID of version 7.
    pub run_id: String,
    pub status: Status,
    /// True if the whole source was proven to be read, and every record was committed or rejected.
    pub complete: bool,
    /// The proof that the source was read whole, or `unproven`; none if it was not read to its end.
    pub end: Option<&'static str>,
    /// `full` or `incremental`.
    pub mode: &'static str,
    /// `1/4`; none for the whole source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<String>,
    /// What became of every record that was fetched.
    pub ledger: Ledger,
    /// Records that were written and flagged for review.
    pub flagged: u64,
    /// Records from the spool of earlier runs that were written.
    pub replayed: u64,
    /// What became of stored rejections that were decided again. The ledger includes them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decided_again: Option<Ledger>,
    /// How many pages with records were read.
    pub pages: u64,
    /// How many requests were repeated.
    pub api_retries: u64,
    /// How many batches were sent again.
    pub db_retries: u64,
    /// Rejected records by reason.
    pub rejections_by_reason: BTreeMap<String, u64>,
    /// Errors by stage and class, including those that a retry has overcome.
    pub errors_by_type: BTreeMap<String, u64>,
    /// The share of fetched records that were neither rejected nor spooled.
    pub success_rate: f64,
    /// Total seconds ÷ fetched records.
    pub seconds_per_record: f64,
    /// The case of the failure that decides the exit code.
    pub case_id: Option<String>,
    pub exit_code: u8,
    pub seconds: Seconds,
    /// How long the API took to answer, from the request to the end of the answer.
    pub api_response_seconds: Percentiles,
    /// How long batches took, from BEGIN to COMMIT.
    pub db_query_seconds: Percentiles,
    /// The watermark, for incremental runs.
    pub watermark: Watermark,
    /// The use of database connections.
    pub pool: PoolUse,
    /// The spool at the end of the run.
    pub spool: SpoolUse,
    /// How many open cases the run knew of when it ended.
    pub open_cases: u64,
    /// Cases that a retry has closed: id and cause.
    #[serde(skip)]
    pub closed_cases: Vec<(String, Cause)>,
    /// Crossed thresholds, one sentence each.
    pub alerts: Vec<String>,
    /// In a dry run: the first rows that would change.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<Difference>,
    /// In a dry run: the first rows that would be inserted, as changes from null.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub new_rows: Vec<Difference>,
    /// What became of the messages of write-back, where that is on. In a dry run: what would be due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write_back: Option<WriteBackLedger>,
    /// In a dry run: the first messages that would be sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<Message>,
    /// In a dry run: the first records that would be flagged for review.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub for_review: Vec<DecidedRecord>,
    /// In a dry run: the first records that would be rejected.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<DecidedRecord>,
    /// What went wrong, one sentence each, in the order in which it happened.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
    /// The durations behind `api_response_seconds`, for metrics and page.
    #[serde(skip)]
    pub api_responses: Histogram,
    /// The durations behind `db_query_seconds`, for metrics.
    #[serde(skip)]
    pub db_statements: Histogram,
    /// The first rejected records of each reason, for the page.
    #[serde(skip)]
    pub examples: BTreeMap<String, Vec<Example>>,
    /// The names of the thresholds and brakes behind `alerts`.
    #[serde(skip)]
    pub crossed: Vec<String>,
    /// True if the run asked for the whole source, or for all that had changed. With exit 0 the data is then up to date.
    #[serde(skip)]
    pub whole: bool,
}

/// A rejected record, as an example for its reason.
#[derive(Clone, Debug)]
pub struct Example {
    pub id: String,
    pub message: String,
    /// True if the message holds no value of the record.
    pub loggable: bool,
    /// The record's JSON text; none if it is not available or too long.
    pub payload: Option<String>,
    /// The fields with errors, as the source names them.
    pub fields: Vec<String>,
}

/// The counts of write-back with their names and meanings, in the order of the balance equation.
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

    /// The meaning of this run's exit code. It must not mention records that were not fetched or not stored.
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

/// The meaning of an exit code, in a few words.
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
