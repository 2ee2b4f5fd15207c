//! The accounting of a flow: only here do counts become the ledger, and do batches go to the spool.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::Sender;

use super::flow::{EXAMPLES, PoolFigures, SAMPLES};
use super::pool::Pool;
use super::shape::ShapeStats;
use super::write::{BatchResult, Shared};
use super::{Event, Flow, Keep, Limits, Target, Task, reason};
use crate::model::clock::Micros;
use crate::reporting::report::{Difference, Example};
use crate::spool::{Header, SpoolError};
use crate::store::{self, Batch, BatchOutcome, StoreError};

/// How many rows to insert a dry run shows.
const NEW_ROWS: usize = 5;

/// Longest text of a rejected record that is kept as an example, in bytes.
const LONGEST_EXAMPLE: usize = 16 << 10;

/// What the threads have left behind when all of them have ended.
pub(super) struct JoinedThreads {
    pub(super) stats: ShapeStats,
    pub(super) pool: Pool,
    pub(super) broken: Option<String>,
}

/// Enters the events of a flow's threads, and puts the batches that the database did not take into the spool.
pub(super) struct Accountant<'a> {
    pub(super) flow: Flow,
    pub(super) keep: Option<Keep<'a>>,
    /// Records in the spool that are not sealed yet, so that they do not count as spooled.
    pub(super) unsealed: u64,
    pub(super) limits: &'a Limits<'a>,
    pub(super) target: &'a Target<'a>,
    pub(super) shared: &'a Shared,
    /// Takes batches whose result has been entered, so that their memory is used again.
    pub(super) empties: Sender<Batch>,
}

impl Accountant<'_> {
    /// Counts an event, and puts refused batches into the spool.
    pub(super) fn enter(&mut self, event: Event<'_>) {
        match event {
            Event::Shaped(records) => self.flow.ledger.fetched += records,
            Event::FetchFailed(error) => {
                log::error!("{error}");
                self.flow.ends.api_error.get_or_insert(error);
            }
            Event::Settled(result, held) => {
                let mut batch = match result {
                    BatchResult::Written(batch, outcome, differences) => {
                        self.written(&batch, &outcome, differences);
                        batch
                    }
                    BatchResult::Refused(batch, error) => {
                        self.refused(&batch, error);
                        batch
                    }
                };
                drop(held);
                batch.clear();
                // If enough empty batches wait already, or shaping has ended, this one is dropped.
                drop(self.empties.try_send(*batch));
            }
            Event::Braked(stop) => {
                log::error!("{}", stop.sentence);
                self.flow.ends.braked.get_or_insert(stop);
            }
            Event::ConnectionsExhausted => self.flow.pool.connections_exhausted = true,
            Event::Ended => {}
        }
    }

    fn written(
        &mut self,
        batch: &Batch,
        outcome: &BatchOutcome,
        differences: Vec<store::Difference>,
    ) {
        let (ledger, seconds) = (&outcome.ledger, outcome.seconds);
        log::debug!("batch {}: {ledger} in {seconds:.3} s", batch.number);
        self.flow.ledger.add(ledger);
        self.flow.counts.flagged += batch.flagged();
        let timings = &mut self.flow.timings;
        timings.write += seconds;
        timings.batches.record(Duration::from_secs_f64(seconds));
        if let Task::Compare {
            differences: wanted,
        } = self.target.task
        {
            self.show_changes(wanted, outcome, differences);
        }
        for rejection in batch.rejections() {
            let id = &rejection.key;
            let reason = reason(rejection);
            self.rejected(
                id,
                &reason,
                if rejection.loggable {
                    &rejection.message
                } else {
                    "see sync_rejections"
                },
            );
            self.example(&reason, || Example {
                id: id.to_owned(),
                message: rejection.message.clone(),
                loggable: rejection.loggable,
                payload: Some(&rejection.payload)
                    .filter(|payload| payload.len() <= LONGEST_EXAMPLE)
                    .map(|payload| payload.to_string()),
                fields: rejection
                    .errors
                    .iter()
                    .map(|error| error.field.to_string())
                    .collect(),
            });
        }
        for refused in &outcome.refused {
            self.rejected(&refused.record_id, refused.reason, &refused.to_string());
            self.example(refused.reason, || Example {
                id: refused.record_id.clone(),
                message: refused.to_string(),
                loggable: true,
                payload: None,
                fields: Vec::new(),
            });
        }
    }

    /// In a dry run, keeps the first changes of each kind.
    fn show_changes(
        &mut self,
        wanted: usize,
        outcome: &BatchOutcome,
        differences: Vec<store::Difference>,
    ) {
        let examples = &mut self.flow.examples;
        let room = wanted.saturating_sub(examples.differences.len());
        let shown = differences.into_iter().take(room);
        examples.differences.extend(shown.map(|d| Difference {
            id: d.key,
            fields: d.fields,
        }));
        let room = NEW_ROWS.saturating_sub(examples.new_rows.len());
        let shown = outcome.new_rows.iter().take(room);
        examples.new_rows.extend(shown.map(|d| Difference {
            id: d.key.clone(),
            fields: d.fields.clone(),
        }));
        let room = wanted.saturating_sub(examples.messages.len());
        let messages = outcome.messages.iter().take(room).cloned();
        examples.messages.extend(messages);
    }

    fn example(&mut self, reason: &str, make: impl FnOnce() -> Example) {
        let known = &mut self.flow.examples.rejections;
        match known.get_mut(reason) {
            Some(examples) if examples.len() < EXAMPLES => examples.push(make()),
            Some(_) => {}
            None => {
                known.insert(reason.to_owned(), vec![make()]);
            }
        }
    }

    fn rejected(&mut self, id: &str, reason: &str, message: &str) {
        super::count_one_more(&mut self.flow.counts.rejections_by_reason, reason);
        if self.flow.examples.samples.len() < SAMPLES {
            self.flow.examples.samples.push(id.to_owned());
        }
        self.limits.rejections.add(id, reason, message);
    }

    /// Puts a batch that the database did not take into the spool.
    pub(super) fn refused(&mut self, batch: &Batch, error: Option<StoreError>) {
        if let Some(error) = error {
            self.flow.pool.connections_exhausted |= error.is_connections_exhausted();
            if self.flow.ends.store_error.is_none() {
                log::error!("{error}");
                self.flow.ends.store_error = Some(error);
            }
            if !self.limits.continue_on_database_failure {
                self.shared.give_up.store(true, Ordering::Relaxed);
            }
        }
        self.flow.counts.batches_refused += 1;
        let records = batch.len() as u64;
        let Some(Keep { spool, config_hash }) = &mut self.keep else {
            self.flow.ledger.spooled += records;
            return;
        };
        if self.flow.ends.spool_error.is_some() {
            self.flow.counts.lost_in_memory += records;
            return;
        }
        let header = Header {
            run_id: self.target.run_id.to_string(),
            batch: batch.number,
            config_hash: (*config_hash).to_owned(),
            created: Micros::local(),
        };
        let entries: Vec<_> = batch
            .records()
            .map(|record| (record.requested_at, record.raw))
            .collect();
        let added = spool.add(&header, &entries);
        match added {
            Ok(()) => {
                self.unsealed += records;
                self.seal_if_due();
            }
            Err(error) => {
                // The batches added before may still be sealed.
                self.seal();
                self.flow.counts.lost_in_memory += records;
                self.spool_failed(error);
            }
        }
    }

    /// Seals the spool's file if it is large enough, or has waited long enough.
    pub(super) fn seal_if_due(&mut self) {
        if self.keep.as_ref().is_some_and(|keep| keep.spool.is_due()) {
            self.seal();
        }
    }

    /// Seals the spool's file. Only then its records count as spooled.
    pub(super) fn seal(&mut self) {
        let Some(Keep { spool, .. }) = &mut self.keep else {
            return;
        };
        match spool.seal() {
            Ok(Some(sealed)) => {
                log::warn!(
                    "{} records kept in {}",
                    sealed.records,
                    sealed.path.display()
                );
                self.flow.ledger.spooled += sealed.records;
                self.unsealed -= sealed.records.min(self.unsealed);
            }
            Ok(None) => {}
            Err(error) => self.spool_failed(error),
        }
        // The records that could not be sealed are lost to this run; the next one fetches them again.
        self.flow.counts.lost_in_memory += std::mem::take(&mut self.unsealed);
    }

    fn spool_failed(&mut self, error: SpoolError) {
        log::error!("{error}");
        self.flow.ends.spool_error.get_or_insert(error);
        self.shared.give_up.store(true, Ordering::Relaxed);
    }

    /// True if no more pages should be fetched.
    pub(super) fn must_stop(&self) -> bool {
        self.flow.ends.spool_error.is_some()
            || self.flow.ends.braked.is_some()
            || (self.flow.ends.store_error.is_some() && !self.limits.continue_on_database_failure)
    }

    /// Completes the account and returns the flow.
    pub(super) fn close(self, ended: JoinedThreads) -> Flow {
        let JoinedThreads {
            stats,
            pool,
            broken,
        } = ended;
        let mut flow = self.flow;
        // These records were neither written nor spooled: they do not count as fetched, and the watermark does not pass them.
        flow.ledger.fetched -= flow.counts.lost_in_memory.min(flow.ledger.fetched);
        let verdicts = stats.verdicts;
        if matches!(self.target.task, Task::Compare { .. }) && self.target.layout.is_none() {
            // No batch had a result, but the verdicts are known.
            flow.counts.flagged = verdicts.flagged;
            flow.counts.rejections_by_reason = verdicts.rejected;
        }
        flow.examples.for_review = verdicts.for_review;
        flow.examples.refused = verdicts.refused;
        flow.timings.transform = stats.transform;
        flow.timings.decide = stats.decide;
        flow.changes = stats.changes;
        flow.counts.db_retries = self.shared.retries.load(Ordering::Relaxed);
        flow.pool = PoolFigures {
            writers: pool.largest,
            exhausted: pool.exhausted,
            wait_seconds: pool.waited.as_secs_f64(),
            ..flow.pool
        };
        flow.ends.broken = broken;
        flow
    }
}
