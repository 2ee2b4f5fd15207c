//! Transform and decide: a page becomes rows and rejections, gathered into batches.
//!
//! Runs on one thread. Pages are put back in order first, so that batches, and with them the ledger, do not depend on
//! which request happened to be answered first.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;

use crate::decision::{Scratch, Verdict};
use crate::model::clock::Micros;
use crate::model::record::{PageText, Rejection};
use crate::model::shard::Shard;
use crate::reporting::report::DecidedRecord;
use crate::store::{Batch, Columns, Keys, NewRow};
use crate::transform::Mapped;

use super::brake::{Brake, FIRST};
use super::decide::{Decided, Refusal, Rules, decide};
use super::flow::{Braked, ChangeTimes};
use super::queue::Queue;

/// A record waits no longer than this for its batch to fill.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// Rows of the first batch; each next one is twice as large, up to the batch size, so that writers start early and not all
/// at once.
const FIRST_BATCH: usize = 500;
/// After so many records of one page it is asked whether the run is over.
const LOOK_UP: usize = 4_096;
/// One record in so many is timed: reading the clock for each would cost as much as deciding it.
const TIMED: u64 = 32;

/// Records that came together: a page, or part of a spool file.
#[derive(Clone, Debug)]
pub struct PageInput {
    pub text: Arc<String>,
    /// Where each record's raw JSON lies in `text`.
    pub records: Vec<Range<u32>>,
    /// When it was requested, PostgreSQL's clock.
    pub requested_at: Micros,
    /// Records of the whole source, when the page says so.
    pub announced_total: Option<u64>,
}

/// What shaping has cost and found so far.
#[derive(Clone, Debug, Default)]
pub(super) struct ShapeStats {
    pub(super) transform: f64,
    pub(super) decide: f64,
    pub(super) verdicts: Verdicts,
    pub(super) changes: ChangeTimes,
}

/// The verdicts of a dry run, whether or not the database could be asked: counts, and the first records of each kind.
#[derive(Clone, Debug, Default)]
pub(super) struct Verdicts {
    /// So many of each kind are kept.
    wanted: usize,
    pub(super) flagged: u64,
    /// By reason, as the report has it.
    pub(super) rejected: BTreeMap<String, u64>,
    pub(super) for_review: Vec<DecidedRecord>,
    pub(super) refused: Vec<DecidedRecord>,
}

impl Verdicts {
    fn add(&mut self, id: &str, flagged: bool, reason: &str) {
        if self.wanted > 0 && flagged {
            self.flagged += 1;
            if self.for_review.len() < self.wanted {
                self.for_review.push(DecidedRecord {
                    id: id.to_owned(),
                    reason: reason.to_owned(),
                });
            }
        }
    }

    fn add_rejection(&mut self, rejection: &Rejection) {
        if self.wanted > 0 {
            let class = super::reason(rejection).into_owned();
            if self.refused.len() < self.wanted {
                self.refused.push(DecidedRecord {
                    id: rejection.key.clone(),
                    reason: format!("{class}: {}", rejection.message),
                });
            }
            *self.rejected.entry(class).or_default() += 1;
        }
    }
}

/// Gathers rows into batches.
pub(super) struct Shaper<'a> {
    rules: Rules<'a>,
    columns: Arc<Columns>,
    queue: &'a Queue<Keys, Box<Batch>>,
    /// Batches whose result was entered, emptied: their memory is used again.
    emptied: Receiver<Batch>,
    open: Option<Open>,
    batch_size: usize,
    /// The open batch is sent when it has so many records.
    full: usize,
    /// Number of the last batch begun.
    next_batch: &'a mut u64,
    sequence: u64,
    scratch: Scratch,
    stats: ShapeStats,
    /// Records decided, and how many of the first ones were refused.
    decided: u64,
    refused: u64,
}

/// The batch that is being filled.
struct Open {
    batch: Batch,
    since: Instant,
    /// It is also sent when it takes so much memory, bytes: the bound for large records and rejections.
    share: usize,
}

impl<'a> Shaper<'a> {
    pub(super) fn new(
        rules: Rules<'a>,
        columns: Arc<Columns>,
        queue: &'a Queue<Keys, Box<Batch>>,
        emptied: Receiver<Batch>,
        batch_size: u32,
        next_batch: &'a mut u64,
    ) -> Self {
        let batch_size = batch_size.max(1) as usize;
        Self {
            rules,
            columns,
            queue,
            emptied,
            open: None,
            batch_size,
            full: batch_size.min(FIRST_BATCH),
            next_batch,
            sequence: 0,
            scratch: Scratch::default(),
            stats: ShapeStats::default(),
            decided: 0,
            refused: 0,
        }
    }

    /// Keeps the verdicts, and the first so many records of each kind.
    pub(super) fn show_verdicts(&mut self, wanted: usize) {
        self.stats.verdicts.wanted = wanted;
    }

    /// Why the run should stop by what was refused of its first records, if it should.
    pub(super) fn check_rejections(&self, brake: &Brake) -> Option<Braked> {
        brake.on_rejections(self.refused, self.decided)
    }

    /// Shapes an input and sends what is full. Returns how many of its records are the shard's, and whether it was shaped whole:
    /// of a page with very many records the rest is left where the run `is_over`.
    pub(super) fn add(
        &mut self,
        input: &PageInput,
        shard: Option<Shard>,
        is_over: impl Fn() -> bool,
    ) -> (u64, bool) {
        let before = self.decided;
        let mut foreign = 0;
        let mut shaped = Mapped::new();
        let mut is_whole = true;
        for (place, range) in input.records.iter().enumerate() {
            if place > 0 && place.is_multiple_of(LOOK_UP) && is_over() {
                is_whole = false;
                break;
            }
            let raw = &input.text[range.start as usize..range.end as usize];
            let timed = self.sequence.is_multiple_of(TIMED);
            let start = timed.then(Instant::now);
            self.rules.transform.apply(raw, &mut shaped);
            if let Some(start) = start {
                self.stats.transform += start.elapsed().as_secs_f64() * TIMED as f64;
            }
            self.stats.changes.absorb(ChangeTimes {
                latest: shaped.changed_at.map(Micros),
                undated: u64::from(shaped.changed_at.is_none()),
            });
            // A record of another shard counts for the watermark, too: it has been read.
            if shard.is_none_or(|shard| shard.owns(shaped.id.as_deref())) {
                self.settle(input, range, &mut shaped, timed);
                self.decided += 1;
            } else {
                foreign += raw.len();
            }
            self.sequence += 1;
        }
        // Rows keep their whole page in memory, with the records of other shards.
        if let Some(open) = self.open.as_mut() {
            open.batch.carry(foreign);
        }
        (self.decided - before, is_whole)
    }

    /// Decides one transformed record and puts it where it belongs.
    fn settle(
        &mut self,
        input: &PageInput,
        range: &Range<u32>,
        shaped: &mut Mapped<'_>,
        timed: bool,
    ) {
        let start = timed.then(Instant::now);
        let decided = decide(self.rules, shaped, &mut self.scratch);
        if let Some(start) = start {
            self.stats.decide += start.elapsed().as_secs_f64() * TIMED as f64;
        }
        let refused = match decided {
            // By reference: a verdict of fourteen words would be read before it is written to the end.
            Decided::Accepted(ref verdict) => self.push_row(input, range, shaped, verdict),
            Decided::Refused(refusal) => {
                self.refused += u64::from(self.decided < FIRST);
                Some(refusal)
            }
        };
        if let Some(refusal) = refused {
            let payload = PageText::new(&input.text, range.clone());
            let rejection = refusal.file(shaped, payload, input.requested_at, self.sequence);
            self.stats.verdicts.add_rejection(&rejection);
            self.batch().push_rejection(rejection);
        }
        self.send_if_full();
    }

    /// Puts an accepted record into the batch. Returns why its columns cannot hold it, if so.
    fn push_row(
        &mut self,
        input: &PageInput,
        range: &Range<u32>,
        shaped: &Mapped<'_>,
        verdict: &Verdict<'_>,
    ) -> Option<Refusal> {
        let Some(id) = shaped.id.as_deref() else {
            unreachable!("a record without a key is never accepted")
        };
        let flagged = verdict.needs_review();
        self.stats.verdicts.add(id, flagged, &verdict.reason);
        let row = NewRow {
            page: &input.text,
            raw: range.clone(),
            key: id,
            cells: &shaped.variables,
            validation: verdict.validation,
            flagged,
            version: self.rules.transform.version_of(shaped, input.requested_at),
            requested_at: input.requested_at,
            sequence: self.sequence,
        };
        self.batch().push_row(&row).err().map(Refusal::of_fields)
    }

    fn batch(&mut self) -> &mut Batch {
        let (columns, next, queue) = (&self.columns, &mut *self.next_batch, self.queue);
        let emptied = &self.emptied;
        let open = self.open.get_or_insert_with(|| {
            *next += 1;
            let batch = match emptied.try_recv() {
                Ok(mut batch) => {
                    batch.number = *next;
                    batch
                }
                Err(_) => Batch::new(Arc::clone(columns), *next),
            };
            Open {
                batch,
                since: Instant::now(),
                share: queue.share(),
            }
        });
        &mut open.batch
    }

    fn send_if_full(&mut self) {
        if self
            .open
            .as_ref()
            .is_some_and(|open| open.batch.len() >= self.full || open.batch.bytes() >= open.share)
        {
            self.full = (self.full * 2).min(self.batch_size);
            self.send();
        }
    }

    fn send(&mut self) {
        if let Some(Open { mut batch, .. }) = self.open.take() {
            batch.seal();
            let (claim, weight) = (batch.claim(), batch.bytes());
            self.queue.push(claim, weight, Box::new(batch));
        }
    }

    /// Sends a batch whose first record has waited long enough.
    pub(super) fn send_overdue(&mut self) {
        if self
            .open
            .as_ref()
            .is_some_and(|open| open.since.elapsed() >= LONGEST_WAIT)
        {
            self.send();
        }
    }

    /// Sends everything.
    pub(super) fn finish(mut self) -> ShapeStats {
        self.send();
        self.stats
    }
}

/// Puts numbered things back in order.
#[derive(Debug)]
pub(super) struct InOrder<T> {
    next: u64,
    early: BTreeMap<u64, T>,
}

impl<T> InOrder<T> {
    pub(super) const fn new(first: u64) -> Self {
        Self {
            next: first,
            early: BTreeMap::new(),
        }
    }

    pub(super) fn add(&mut self, index: u64, item: T) {
        self.early.insert(index, item);
    }

    /// The next one, when it has come.
    pub(super) fn take(&mut self) -> Option<T> {
        let item = self.early.remove(&self.next)?;
        self.next += 1;
        Some(item)
    }

    /// What came beyond a gap, in order.
    pub(super) fn rest(self) -> impl Iterator<Item = T> {
        self.early.into_values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_put_back_in_order() {
        let mut order = InOrder::new(1);
        order.add(2, 'b');
        assert_eq!(order.take(), None);
        order.add(1, 'a');
        assert_eq!(
            [order.take(), order.take(), order.take()],
            [Some('a'), Some('b'), None]
        );
    }
}
