//! Turns what a flow reports into failures, crossed thresholds and remarks, once all records are accounted for.

use super::Run;
use super::outcome::Records;
use crate::api::End;
use crate::exit::{self, Exit};
use crate::model::cause::{ApiCause, Cause, DatabaseCause, InternalCause, StateCause, Threshold};
use crate::model::clock::{Micros, age};
use crate::model::record::Ledger;
use crate::pipeline::{Braked, Ends, Flow, PoolFigures};
use crate::reporting::incident::Remark;
use crate::spool;
use crate::support::text::span;

impl Run<'_> {
    /// Enters every failure of the flow. An unbalanced ledger comes first.
    pub(super) fn enter_failures(&mut self, flow: &Flow) {
        self.outcome.signal = self.inputs.signals.asked().map(Exit::from);
        if let Some(sentence) = flow.ledger.imbalance() {
            let cause = Cause::Internal(InternalCause::Ledger);
            self.outcome.fail(Exit::Internal, cause, &sentence);
        }
        if let Some(sentence) = &flow.ends.broken {
            log::error!("{sentence}");
            let cause = Cause::Internal(InternalCause::Error);
            self.outcome.fail(Exit::Internal, cause, sentence);
        }
        if let Some(error) = &flow.ends.spool_error {
            let cause = Cause::State(StateCause::Spool);
            self.outcome.fail(Exit::State, cause, &error.to_string());
        }
        self.enter_api_failures(&flow.ends);
        if let Some(error) = &flow.ends.store_error {
            self.outcome.store_failed(error);
        } else if flow.counts.batches_refused > 0
            && self.outcome.failures.is_empty()
            && self.outcome.signal.is_none()
        {
            let sentence = if self.inputs.is_late() {
                "the deadline came before everything was written; what was left waits in the spool"
            } else {
                "the database did not take everything"
            };
            let cause = Cause::Database(DatabaseCause::Unwritten);
            self.outcome.fail(Exit::Database, cause, sentence);
        }
        self.enter_unproven_end(&flow.ends);
        if let Some(Braked { brake, sentence }) = self.braked(flow) {
            self.outcome.braked = true;
            self.outcome
                .fail(Exit::Threshold, Cause::Brake(brake), &sentence);
        }
        self.enter_crossed_rates(&flow.ledger);
        self.enter_remarks(flow.pool);
        self.enter_old_files();
        self.outcome
            .failures
            .sort_by_key(|failure| failure.exit.rank());
    }

    fn enter_api_failures(&mut self, ends: &Ends) {
        if let Some(error) = &ends.api_error
            && error.kind() != "stopped"
        {
            let cause = Cause::api(error.kind());
            self.outcome
                .fail(exit::of_api(error), cause, &error.to_string());
        }
        if let Some((cause, sentence)) = self.inputs.request.api_down.clone() {
            self.outcome.fail(Exit::Api, cause, &sentence);
        }
    }

    /// Enters a failure if the source was read but nothing proves that it was read to its end.
    fn enter_unproven_end(&mut self, ends: &Ends) {
        if let End::Guessed(why) = &self.source.pages.stats().end
            && self.source.fetched
            && ends.api_error.is_none()
            && ends.braked.is_none()
            && self.outcome.signal.is_none()
        {
            log::error!("{why}");
            let cause = Cause::Api(ApiCause::UnprovenEnd);
            self.outcome.fail(Exit::Api, cause, why);
        }
    }

    /// The brake that has stopped the run, or stops it now: an unannounced drop is only known at the end of the source.
    fn braked(&self, flow: &Flow) -> Option<Braked> {
        if flow.ends.braked.is_some() {
            return flow.ends.braked.clone();
        }
        let whole = self.source.fetched
            && flow.ends.api_error.is_none()
            && matches!(
                self.source.pages.stats().end,
                End::Proven(_) | End::Moved(_)
            )
            && self.outcome.signal.is_none();
        let brake = &self.source.brake;
        whole
            .then(|| brake.on_volume(flow.ledger.fetched))
            .flatten()
    }

    fn enter_crossed_rates(&mut self, ledger: &Ledger) {
        let alerts = &self.inputs.plan.alerts;
        let fresh = self.fetched_counts(ledger);
        for (threshold, became, count, limit) in [
            (
                Threshold::RejectionRate,
                "rejected",
                fresh.rejected,
                alerts.rejection_rate,
            ),
            (
                Threshold::SyncFailureRate,
                "spooled",
                ledger.spooled,
                alerts.sync_failure_rate,
            ),
        ] {
            let share = share(count, fresh.fetched);
            if share > limit {
                let sentence = format!(
                    "{}: {:.1} % of the records were {became}, more than {:.1} %",
                    threshold.name(),
                    100.0 * share,
                    100.0 * limit
                );
                let cause = Cause::Threshold(threshold);
                self.outcome.fail(Exit::Threshold, cause, &sentence);
            }
        }
    }

    /// Enters thresholds that do not change the exit code.
    fn enter_remarks(&mut self, pool: PoolFigures) {
        let alerts = &self.inputs.plan.alerts;
        let slowest = self.source.pages.stats().response_seconds.max();
        let limit = alerts.api_response_time.as_secs_f64();
        if slowest > limit {
            self.outcome.remarks.push(Remark {
                threshold: Threshold::ApiResponseTime,
                sentence: format!(
                    "api_response_time: the slowest answer took {slowest:.1} s, more than {limit:.1} s"
                ),
            });
        }
        let exhausted = self.lacked_connections(pool);
        if alerts.pool_exhaustion && (pool.exhausted || exhausted) {
            let sentence = if exhausted {
                "pool_exhaustion: PostgreSQL had no connection to spare for this run; max_connections is reached, or the role's limit".to_owned()
            } else {
                format!(
                    "pool_exhaustion: all {} connections were busy while batches waited",
                    pool.writers
                )
            };
            self.outcome.remarks.push(Remark {
                threshold: Threshold::PoolExhaustion,
                sentence,
            });
        }
    }

    /// Enters a remark if the spool or quarantine has held records, which are in clear text, for too long.
    fn enter_old_files(&mut self) {
        // An error here is reported as a failure of the spool elsewhere.
        let Ok(seen) = spool::status(&self.inputs.plan.state_dir) else {
            return;
        };
        let alerts = &self.inputs.plan.alerts;
        for (threshold, place, oldest, limit) in [
            (
                Threshold::SpoolAge,
                "the spool",
                seen.oldest,
                alerts.spool_age,
            ),
            (
                Threshold::QuarantineAge,
                "quarantine",
                seen.oldest_quarantined,
                alerts.quarantine_age,
            ),
        ] {
            let age = oldest.map(|oldest| age(oldest, Micros::local()));
            if let Some(age) = age.filter(|age| *age > limit) {
                self.outcome.remarks.push(Remark {
                    threshold,
                    sentence: format!(
                        "{}: records have been in {place} for {}, longer than {}; `datasync check-db` says what to do",
                        threshold.name(),
                        span(age),
                        span(limit)
                    ),
                });
            }
        }
    }

    /// True if the server refused a connection, to the run itself or to a writer, because none was free.
    pub(super) fn lacked_connections(&self, pool: PoolFigures) -> bool {
        pool.connections_exhausted || self.outcome.lacked_connections()
    }

    /// The counts of the records that this run fetched. A stored rejection that is decided again and stays rejected was
    /// counted by the run that rejected it, so rates and alerts must not count it again.
    pub(super) fn fetched_counts(&self, ledger: &Ledger) -> Ledger {
        let again = self.outcome.decided_again.unwrap_or_default();
        Ledger {
            fetched: ledger.fetched - again.fetched,
            rejected: ledger.rejected - again.rejected,
            ..*ledger
        }
    }

    /// The counts on which the run's status depends.
    pub(super) fn records(&self, flow: &Flow) -> Records {
        let purpose = self.inputs.request.purpose;
        Records {
            accounted: flow.ledger.accounted(),
            spooled: flow.ledger.spooled,
            ended_early: flow.ends.api_error.is_some()
                || flow.counts.lost_in_memory > 0
                || self.outcome.signal.is_some()
                || (!self.source.fetched && purpose.fetches()),
            dry: self.inputs.is_dry(),
        }
    }
}

/// `part / whole`, and 0 where `whole` is 0.
pub(super) fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}
