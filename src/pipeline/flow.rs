//! The results of one flow: its ledger, counts, timings, examples for people, and why it ended early.
//!
//! A run may have several flows (replay, stored rejections, the fetch); `absorb` adds one to another.

use std::collections::BTreeMap;

use crate::api::ApiError;
use crate::model::cause::BrakeCause;
use crate::model::clock::Micros;
use crate::model::record::{Ledger, Message};
use crate::reporting::report::{DecidedRecord, Difference, Example};
use crate::spool::SpoolError;
use crate::store::StoreError;
use crate::support::histogram::Histogram;

/// How many ids of rejected records are kept as evidence.
pub(super) const SAMPLES: usize = 10;
/// How many rejections of each reason are kept as examples for the report.
pub(super) const EXAMPLES: usize = 3;

/// The results of one flow, or of all flows of a run.
#[derive(Debug, Default)]
pub struct Flow {
    pub ledger: Ledger,
    pub counts: Counts,
    pub timings: Timings,
    pub examples: Examples,
    pub ends: Ends,
    pub pool: PoolFigures,
    pub changes: ChangeTimes,
}

/// Counts besides the ledger.
#[derive(Debug, Default)]
pub struct Counts {
    /// Records that were written and flagged for review.
    pub flagged: u64,
    pub rejections_by_reason: BTreeMap<String, u64>,
    /// Batches that were sent to the database again.
    pub db_retries: u64,
    /// Batches that went to the spool, or would have if there were one.
    pub batches_refused: u64,
    /// Records that could be neither written nor spooled; the next run fetches them again.
    pub lost_in_memory: u64,
}

/// The seconds spent in each stage, and the duration of every write to the database.
#[derive(Debug, Default)]
pub struct Timings {
    pub transform: f64,
    pub decide: f64,
    pub write: f64,
    pub batches: Histogram,
}

/// The first records of each kind, for reports, dry runs and cases.
#[derive(Debug, Default)]
pub struct Examples {
    /// In a dry run: the first rows that would be updated, field by field.
    pub differences: Vec<Difference>,
    /// In a dry run: the first rows that would be inserted.
    pub new_rows: Vec<Difference>,
    /// In a dry run: the first messages that would be sent to the API.
    pub messages: Vec<Message>,
    /// In a dry run: the first records that would be flagged, with the reason.
    pub for_review: Vec<DecidedRecord>,
    /// In a dry run: the first records that would be rejected, with the reason.
    pub refused: Vec<DecidedRecord>,
    /// Ids of the first records that were rejected or refused, as evidence for a case.
    pub samples: Vec<String>,
    /// The first rejected records of each reason.
    pub rejections: BTreeMap<String, Vec<Example>>,
}

/// Why a flow ended before the source did.
#[derive(Debug, Default)]
pub struct Ends {
    /// One sentence, if a required thread panicked or could not be started.
    pub broken: Option<String>,
    pub api_error: Option<ApiError>,
    pub braked: Option<Braked>,
    pub store_error: Option<StoreError>,
    pub spool_error: Option<SpoolError>,
}

/// The brake that has stopped the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Braked {
    pub brake: BrakeCause,
    /// The reason, for people.
    pub sentence: String,
}

/// How the writers were used.
#[derive(Clone, Copy, Debug, Default)]
pub struct PoolFigures {
    /// The largest number of writers at once.
    pub writers: u32,
    /// True if all permitted writers were busy while batches waited.
    pub exhausted: bool,
    /// True if the server refused a connection to a writer because none was free.
    pub connections_exhausted: bool,
    /// How long shaping waited for the writers.
    pub wait_seconds: f64,
}

/// When records were changed at the source, by the field that [`crate::transform::Transform::watch`] names.
#[derive(Clone, Copy, Debug, Default)]
pub struct ChangeTimes {
    /// The latest time of all records, including rejected ones.
    pub latest: Option<Micros>,
    /// How many records had no readable time of change.
    pub undated: u64,
}

impl Flow {
    /// Adds the results of another flow of the same run.
    pub fn absorb(&mut self, other: Self) {
        self.ledger.add(&other.ledger);
        self.counts.absorb(other.counts);
        self.timings.absorb(&other.timings);
        self.examples.absorb(other.examples);
        self.ends.absorb(other.ends);
        self.pool.absorb(other.pool);
        self.changes.absorb(other.changes);
    }
}

impl Counts {
    fn absorb(&mut self, other: Self) {
        self.flagged += other.flagged;
        for (reason, count) in other.rejections_by_reason {
            *self.rejections_by_reason.entry(reason).or_default() += count;
        }
        self.db_retries += other.db_retries;
        self.batches_refused += other.batches_refused;
        self.lost_in_memory += other.lost_in_memory;
    }
}

impl Timings {
    fn absorb(&mut self, other: &Self) {
        self.transform += other.transform;
        self.decide += other.decide;
        self.write += other.write;
        self.batches.merge(&other.batches);
    }
}

impl Examples {
    fn absorb(&mut self, other: Self) {
        self.differences.extend(other.differences);
        self.new_rows.extend(other.new_rows);
        self.messages.extend(other.messages);
        self.for_review.extend(other.for_review);
        self.refused.extend(other.refused);
        self.samples.extend(other.samples);
        self.samples.truncate(SAMPLES);
        for (reason, examples) in other.rejections {
            let known = self.rejections.entry(reason).or_default();
            known.extend(examples);
            known.truncate(EXAMPLES);
        }
    }
}

impl Ends {
    fn absorb(&mut self, other: Self) {
        self.broken = self.broken.take().or(other.broken);
        self.api_error = self.api_error.take().or(other.api_error);
        self.braked = self.braked.take().or(other.braked);
        self.store_error = self.store_error.take().or(other.store_error);
        self.spool_error = self.spool_error.take().or(other.spool_error);
    }
}

impl PoolFigures {
    fn absorb(&mut self, other: Self) {
        self.writers = self.writers.max(other.writers);
        self.exhausted |= other.exhausted;
        self.connections_exhausted |= other.connections_exhausted;
        self.wait_seconds += other.wait_seconds;
    }
}

impl ChangeTimes {
    /// Adds the times of another flow.
    pub(super) fn absorb(&mut self, other: Self) {
        self.latest = self.latest.max(other.latest);
        self.undated += other.undated;
    }
}
