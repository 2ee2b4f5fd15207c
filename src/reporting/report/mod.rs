//! What a run says of itself: the JSON object of the contract, the short table a person reads, the page for a browser.
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

/// How the run ended, in the words of `sync_log` (there in capitals).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Success,
    Partial,
    #[default]
    Failed,
    DryRun,
}

impl Status {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::DryRun => "dry_run",
        }
    }
}

/// Seconds a run spent, in total and by stage (stages overlap, so they may sum up to more than the total).
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Seconds {
    pub total: f64,
    pub fetch: f64,
    pub transform: f64,
    pub decide: f64,
    pub write: f64,
}

/// How many there were, their median, 95th percentile, maximum and sum, seconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Percentiles {
    pub count: u64,
    pub p50: f64,
    pub p95: f64,
    pub max: f64,
    pub sum: f64,
}

/// The connections that wrote: the most there were at once, the most there may be, and what waited for them.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct PoolUse {
    pub connections: u32,
    pub max_connections: u32,
    pub wait_seconds: f64,
    pub exhausted: bool,
}

/// What waits on disk at the end.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct SpoolUse {
    pub files: u64,
    pub bytes: u64,
}

/// The watermark before and after, RFC 3339.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Watermark {
    pub before: Option<String>,
    pub after: Option<String>,
}

/// One difference that a dry run shows. Values are what the user asked to see.
#[derive(Clone, Debug, Serialize)]
pub struct Difference {
    pub id: String,
    /// Column, stored value, new value.
    pub fields: Vec<(String, Option<String>, Option<String>)>,
}

/// One record of a dry run that would be flagged or rejected, and why.
#[derive(Clone, Debug, Serialize)]
pub struct Judged {
    pub id: String,
    pub reason: String,
}

/// Everything a run reports.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    pub run_id: String,
    pub status: Status,
    /// The whole source was read, which is proven, and everything has its fate.
    pub complete: bool,
    /// The proof that the source was read whole, or `unproven`; none where it was not read to its end.
    pub end: Option<&'static str>,
    pub mode: &'static str,
    /// `1/4`; none for the whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shard: Option<String>,
    pub ledger: Ledger,
    pub flagged: u64,
    pub replayed: u64,
    /// Of stored rejections that were decided again: part of the ledger.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decided_again: Option<Ledger>,
    pub pages: u64,
    pub api_retries: u64,
    pub db_retries: u64,
    pub rejections_by_reason: BTreeMap<String, u64>,
    pub errors_by_type: BTreeMap<String, u64>,
    pub success_rate: f64,
    pub seconds_per_record: f64,
    pub case_id: Option<String>,
    pub exit_code: u8,
    pub seconds: Seconds,
    pub api_response_seconds: Percentiles,
    pub db_query_seconds: Percentiles,
    pub watermark: Watermark,
    pub pool: PoolUse,
    pub spool: SpoolUse,
    /// Cases that are open at the end, as far as they are known.
    pub open_cases: u64,
    /// Cases that a retry has closed: id and cause.
    #[serde(skip)]
    pub closed_cases: Vec<(String, Cause)>,
    pub alerts: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<Difference>,
    /// Of a dry run: the first rows that would be inserted, each field as one that was null.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub new_rows: Vec<Difference>,
    /// Where write-back is on; in a dry run what would be due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write_back: Option<WriteBackLedger>,
    /// In a dry run: the first messages that would be sent.
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
    /// For the metrics: every duration that the percentiles above sum up.
    #[serde(skip)]
    pub api_responses: Histogram,
    #[serde(skip)]
    pub db_statements: Histogram,
    /// For the page: the first rejected records of each reason.
    #[serde(skip)]
    pub examples: BTreeMap<String, Vec<Example>>,
    /// Names of the thresholds and brakes behind `alerts`.
    #[serde(skip)]
    pub crossed: Vec<String>,
    /// The whole source was asked for: with exit 0 this is what "the data is up to date" means.
    #[serde(skip)]
    pub whole: bool,
}

/// A rejected record, as an example of its reason.
#[derive(Clone, Debug)]
pub struct Example {
    pub id: String,
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
pub const fn write_back_rows(ledger: &WriteBackLedger) -> [(&'static str, u64, &'static str); 5] {
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
            "kept",
            ledger.kept,
            "in sync_outbox; the next run or `datasync retry` sends them",
        ),
    ]
}

impl Report {
    /// How much of which part of the source was asked for.
    fn scope(&self) -> String {
        match &self.shard {
            Some(shard) => format!("{}, shard {shard}", self.mode),
            None => self.mode.to_owned(),
        }
    }

    /// What the exit code of this run means: what was not fetched or kept is not spoken of.
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
