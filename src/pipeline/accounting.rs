//! The account of the run: the only place where counts become the ledger, and where a batch goes to the spool.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::Sender;

use super::pool::Pool;
use super::shape::ShapeStats;
use super::write::{BatchResult, Shared};
use super::{Event, Flow, Keep, Limits, Target, Task, reason};
use crate::reporting::report::{Difference, Example};
use crate::spool::Header;
use crate::store::{self, Batch, BatchOutcome, StoreError};

/// Rows to insert that a dry run shows.
const NEW_ROWS: usize = 5;

/// Ids of rejected records kept as evidence.
pub(super) const SAMPLES: usize = 10;
/// Rejections of each reason kept as examples for the report, and the longest text of one, bytes.
pub(super) const EXAMPLES: usize = 3;
const LONGEST_EXAMPLE: usize = 16 << 10;

/// The account of the run: the only place where counts become the ledger.
pub(super) struct Accountant<'a> {
    pub(super) flow: Flow,
    pub(super) keep: Option<Keep<'a>>,
    pub(super) limits: &'a Limits<'a>,
    pub(super) target: &'a Target<'a>,
    pub(super) shared: &'a Shared,
    /// Where batches go whose fate has been entered.
    pub(super) empties: Sender<Batch>,
}

impl Accountant<'_> {
    pub(super) fn enter(&mut self, event: Event<'_>) {
        match event {
            Event::Shaped(records) => self.flow.ledger.fetched += records,
            Event::FetchFailed(error) => {
                log::error!("{error}");
                self.flow.api_error.get_or_insert(error);
            }
            Event::Settled(fate, held) => {
                let mut batch = match fate {
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
                // Enough wait already, or shaping has ended.
                drop(self.empties.try_send(*batch));
            }
            Event::Braked(stop) => {
                log::error!("{}", stop.1);
                self.flow.braked.get_or_insert(stop);
            }
            Event::ConnectionsExhausted => self.flow.connections_exhausted = true,
            Event::Ended => {}
        }
    }

    fn written(
        &mut self,
        batch: &Batch,
        outcome: &BatchOutcome,
        differences: Vec<store::Difference>,
    ) {
        log::debug!(
            "batch {}: {} inserted, {} updated, {} unchanged, {} superseded, {} duplicates, {} rejected in {:.3} s",
            batch.number,
            outcome.inserted,
            outcome.updated,
            outcome.unchanged,
            outcome.superseded,
            outcome.duplicates,
            outcome.rejected,
            outcome.seconds
        );
        let ledger = &mut self.flow.ledger;
        ledger.inserted += outcome.inserted;
        ledger.updated += outcome.updated;
        ledger.unchanged += outcome.unchanged;
        ledger.superseded += outcome.superseded;
        ledger.duplicates += outcome.duplicates;
        ledger.rejected += outcome.rejected;
        self.flow.flagged += batch.flagged();
        self.flow.resolved += outcome.resolved;
        self.flow.write_seconds += outcome.seconds;
        self.flow
            .db_seconds
            .record(Duration::from_secs_f64(outcome.seconds));
        if let Task::Compare {
            differences: wanted,
        } = self.target.task
        {
            let room = wanted.saturating_sub(self.flow.differences.len());
            let shown = differences.into_iter().take(room);
            self.flow.differences.extend(shown.map(|d| Difference {
                id: d.key,
                fields: d.fields,
            }));
            let room = NEW_ROWS.saturating_sub(self.flow.new_rows.len());
            let shown = outcome.new_rows.iter().take(room);
            self.flow.new_rows.extend(shown.map(|d| Difference {
                id: d.key.clone(),
                fields: d.fields.clone(),
            }));
            let room = wanted.saturating_sub(self.flow.messages.len());
            let messages = outcome.messages.iter().take(room).cloned();
            self.flow.messages.extend(messages);
        }
        for rejection in batch.rejections() {
            let id = rejection.record_id.as_deref().unwrap_or(&rejection.key);
            self.rejected(
                id,
                &reason(rejection),
                if rejection.loggable {
                    &rejection.message
                } else {
                    "see sync_rejections"
                },
            );
            self.example(&reason(rejection), || Example {
                id: id.to_owned(),
                message: rejection.message.clone(),
                loggable: rejection.loggable,
                payload: Some(&rejection.payload)
                    .filter(|payload| payload.len() <= LONGEST_EXAMPLE)
                    .cloned(),
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

    fn example(&mut self, reason: &str, make: impl FnOnce() -> Example) {
        match self.flow.examples.get_mut(reason) {
            Some(examples) if examples.len() < EXAMPLES => examples.push(make()),
            Some(_) => {}
            None => {
                self.flow.examples.insert(reason.to_owned(), vec![make()]);
            }
        }
    }

    fn rejected(&mut self, id: &str, reason: &str, message: &str) {
        *self
            .flow
            .rejections_by_reason
            .entry(reason.to_owned())
            .or_default() += 1;
        if self.flow.samples.len() < SAMPLES {
            self.flow.samples.push(id.to_owned());
        }
        self.limits.rejections.add(id, reason, message);
    }

    pub(super) fn refused(&mut self, batch: &Batch, error: Option<StoreError>) {
        if let Some(error) = error {
            self.flow.connections_exhausted |= error.is_crowded();
            if self.flow.store_error.is_none() {
                log::error!("{error}");
                self.flow.store_error = Some(error);
            }
            if !self.limits.continue_on_database_failure {
                self.shared.give_up.store(true, Ordering::Relaxed);
            }
        }
        let records = batch.len() as u64;
        self.flow.batches_refused += 1;
        let kept = match &mut self.keep {
            _ if self.flow.spool_error.is_some() => false,
            None => true,
            Some(Keep { spool, config_hash }) => {
                let header = Header {
                    run_id: self.target.run_id.to_string(),
                    batch: batch.number,
                    config_hash: (*config_hash).to_owned(),
                    created: jiff::Timestamp::now().as_microsecond(),
                };
                let entries: Vec<_> = batch
                    .records()
                    .map(|record| (record.requested_at, record.raw))
                    .collect();
                match spool.keep(&header, &entries) {
                    Ok(path) => {
                        log::warn!(
                            "{records} records of batch {} kept in {}",
                            batch.number,
                            path.display()
                        );
                        true
                    }
                    Err(error) => {
                        log::error!("{error}");
                        self.flow.spool_error = Some(error);
                        self.shared.give_up.store(true, Ordering::Relaxed);
                        false
                    }
                }
            }
        };
        if kept {
            self.flow.ledger.spooled += records;
        } else {
            self.flow.lost_in_memory += records;
        }
    }

    /// No more pages are wanted.
    pub(super) fn must_stop(&self) -> bool {
        self.flow.spool_error.is_some()
            || self.flow.braked.is_some()
            || (self.flow.store_error.is_some() && !self.limits.continue_on_database_failure)
    }

    pub(super) fn close(mut self, stats: ShapeStats, pool: &Pool) -> Flow {
        // Neither written nor kept: not accounted as fetched, and the watermark does not move past them.
        self.flow.ledger.fetched -= self.flow.lost_in_memory.min(self.flow.ledger.fetched);
        let verdicts = stats.verdicts;
        if matches!(self.target.task, Task::Compare { .. }) && self.target.layout.is_none() {
            // Nothing came back from the database; the verdicts are known all the same.
            self.flow.flagged = verdicts.flagged;
            self.flow.rejections_by_reason = verdicts.rejected;
        }
        self.flow.for_review = verdicts.for_review;
        self.flow.refused = verdicts.refused;
        self.flow.transform_seconds = stats.transform;
        self.flow.decide_seconds = stats.decide;
        self.flow.latest_change = stats.latest_change;
        self.flow.undated = stats.undated;
        self.flow.db_retries = self.shared.retries.load(Ordering::Relaxed);
        self.flow.writers = pool.largest;
        self.flow.pool_exhausted = pool.exhausted;
        self.flow.pool_wait_seconds = pool.waited.as_secs_f64();
        self.flow
    }
}
