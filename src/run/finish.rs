//! The end of a run: what happened becomes a status, an exit code, a report, a log row and a case.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Purpose, Run, shard};
use crate::api::End;
use crate::exit::Exit;
use crate::model::cause::{ApiCause, Cause, DatabaseCause, InternalCause, StateCause, Threshold};
use crate::model::record::Ledger;
use crate::pipeline::Flow;
use crate::reporting::case::Scope;
use crate::reporting::incident::{self, Remark};
use crate::reporting::report::{Percentiles, PoolUse, Report, Seconds, SpoolUse, Status};
use crate::spool;
use crate::store::{self, Connection, lease};
use crate::support::histogram::Histogram;
use crate::support::text::grouped;

/// Time to write down how a run ended that is out of time.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// A step of the checks that are evidence for a case; of a run that is out of time.
const EVIDENCE: Duration = Duration::from_secs(3);
const GLANCE: Duration = Duration::from_millis(200);

impl Run<'_> {
    /// Turns what happened into a status, an exit code, a log row and a case.
    pub(super) fn finish(mut self, flow: &Flow) -> (Report, Exit) {
        self.rejections.sum_up();
        self.judge(flow);
        let status = self.status(flow);
        self.judge_write_back();
        let mut report = self.report(flow, status);
        if !self.is_dry() {
            self.write_down(flow, &mut report);
        }
        report.seconds.total = self.started.elapsed().as_secs_f64();
        (report, self.exit)
    }

    /// The end of the run could not be written down: status and exit code say so wherever they are told from now on.
    fn not_kept(&mut self, report: &mut Report, sentence: String) {
        log::error!("{sentence}");
        self.exit = self.exit.worse(Exit::State);
        report.exit_code = self.exit.code();
        if report.status == Status::Success {
            report.status = Status::Partial;
        }
        report.problems.push(sentence);
    }

    /// Collects every failure of the flow; the ledger comes first.
    pub(super) fn judge(&mut self, flow: &Flow) {
        let ledger = &flow.ledger;
        if let Some(sentence) = ledger.imbalance() {
            self.fail(
                Exit::Internal,
                Cause::Internal(InternalCause::Ledger),
                &sentence,
            );
        }
        if let Some(sentence) = &flow.broken {
            log::error!("{sentence}");
            self.fail(
                Exit::Internal,
                Cause::Internal(InternalCause::Error),
                sentence,
            );
        }
        if let Some(error) = &flow.spool_error {
            self.fail(
                Exit::State,
                Cause::State(StateCause::Spool),
                &error.to_string(),
            );
        }
        if let Some(error) = flow
            .api_error
            .as_ref()
            .filter(|error| error.kind() != "stopped")
        {
            self.fail(Exit::Api, Cause::api(error.kind()), &error.to_string());
        }
        if let Some((cause, sentence)) = self.request.api_down.clone() {
            self.fail(Exit::Api, cause, &sentence);
        }
        let end = self.pages.stats().end;
        if let Some(error) = &flow.store_error {
            self.store_failed(error);
        } else if flow.batches_refused > 0
            && self.exit == Exit::Success
            && self.signals.asked().is_none()
        {
            let sentence = if self
                .deadline
                .is_some_and(|deadline| Instant::now() >= deadline)
            {
                "the deadline came before everything was written; what was left waits in the spool"
            } else {
                "the database did not take everything"
            };
            self.fail(
                Exit::Database,
                Cause::Database(DatabaseCause::Unwritten),
                sentence,
            );
        }
        if let End::Guessed(why) = &end
            && self.fetched_at_all
            && flow.api_error.is_none()
            && flow.braked.is_none()
            && self.signals.asked().is_none()
        {
            log::error!("{why}");
            self.fail(Exit::Api, Cause::Api(ApiCause::UnprovenEnd), why);
        }
        let braked = flow.braked.clone().or_else(|| {
            // What the API did not announce is found at the end, where the end was reached.
            let whole = self.fetched_at_all
                && flow.api_error.is_none()
                && matches!(end, End::Proven(_) | End::Moved(_))
                && self.signals.asked().is_none();
            whole
                .then(|| self.brake.on_volume(ledger.fetched))
                .flatten()
        });
        if let Some((brake, sentence)) = braked {
            self.braked = true;
            self.fail(Exit::Threshold, Cause::Brake(brake), &sentence);
        }
        let alerts = &self.plan.alerts;
        let fresh = self.fresh(ledger);
        for (threshold, fate, count, limit) in [
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
                    "{}: {:.1} % of the records were {fate}, more than {:.1} %",
                    threshold.name(),
                    100.0 * share,
                    100.0 * limit
                );
                self.fail(Exit::Threshold, Cause::Threshold(threshold), &sentence);
            }
        }
        let slowest = self.pages.stats().response_seconds.max();
        let limit = alerts.api_response_time.as_secs_f64();
        if slowest > limit {
            self.remarks.push(Remark {
                threshold: Threshold::ApiResponseTime,
                sentence: format!(
                    "api_response_time: the slowest answer took {slowest:.1} s, more than {limit:.1} s"
                ),
            });
        }
        let exhausted = self.lacks_connections(flow);
        if alerts.pool_exhaustion && (flow.pool_exhausted || exhausted) {
            let sentence = if exhausted {
                "pool_exhaustion: PostgreSQL had no connection to spare for this run; max_connections is reached, or the role's limit".to_owned()
            } else {
                format!(
                    "pool_exhaustion: all {} connections were busy while batches waited",
                    flow.writers
                )
            };
            self.remarks.push(Remark {
                threshold: Threshold::PoolExhaustion,
                sentence,
            });
        }
        if let Some(asked) = self.signals.asked() {
            self.exit = self.exit.worse(asked.into());
        }
        self.failures.sort_by_key(|failure| failure.exit.rank());
    }

    /// What was counted of records that this run fetched. A stored rejection that is decided again and stays one was
    /// counted by the run that rejected it: no rate and no alert counts it again.
    fn fresh(&self, ledger: &Ledger) -> Ledger {
        let again = self.decided_again.unwrap_or_default();
        Ledger {
            fetched: ledger.fetched - again.fetched,
            rejected: ledger.rejected - again.rejected,
            ..*ledger
        }
    }

    /// The server had no connection to spare, for the run itself or for a writer.
    fn lacks_connections(&self, flow: &Flow) -> bool {
        let full = Cause::Database(DatabaseCause::TooManyConnections);
        flow.connections_exhausted || self.failures.iter().any(|failure| failure.cause == full)
    }

    pub(super) fn status(&self, flow: &Flow) -> Status {
        if self.is_dry() {
            return Status::DryRun;
        }
        if self.braked {
            return Status::Failed;
        }
        let ledger = &flow.ledger;
        let ended_early = flow.api_error.is_some()
            || flow.lost_in_memory > 0
            || self.signals.asked().is_some()
            || (!self.fetched_at_all && self.request.purpose.fetches());
        let whole = !ended_early
            && ledger.spooled == 0
            && matches!(self.exit, Exit::Success | Exit::Threshold);
        if whole {
            Status::Success
        } else if ledger.accounted() > 0 || self.replayed > 0 {
            Status::Partial
        } else {
            Status::Failed
        }
    }

    pub(super) fn report(&self, flow: &Flow, status: Status) -> Report {
        let stats = self.pages.stats();
        let ledger = flow.ledger;
        let fresh = self.fresh(&ledger);
        let total = self.started.elapsed().as_secs_f64();
        let mut errors_by_type: BTreeMap<String, u64> = stats
            .retries_by_kind
            .iter()
            .map(|(kind, count)| (Cause::api(kind).to_string(), *count))
            .collect();
        for failure in &self.failures {
            *errors_by_type.entry(failure.cause.to_string()).or_default() += 1;
        }
        let (crossed, alerts) = self
            .failures
            .iter()
            .filter(|failure| failure.exit == Exit::Threshold)
            .map(|failure| (failure.cause.name(), &failure.sentence))
            .chain(
                self.remarks
                    .iter()
                    .map(|remark| (remark.threshold.name(), &remark.sentence)),
            )
            .map(|(name, sentence)| (name.to_owned(), sentence.clone()))
            .unzip();
        let mut problems: Vec<String> = Vec::new();
        for failure in &self.failures {
            if failure.exit != Exit::Threshold && !problems.contains(&failure.sentence) {
                problems.push(failure.sentence.clone());
            }
        }
        problems.extend(self.waiting_for.clone());
        if self.is_dry() {
            problems.extend(self.left_open(&ledger));
        }
        if let End::Moved(how) = &stats.end {
            problems.push(format!(
                "the source moved while it was read: {how}; this run does not count as complete, and the next one reads the same again"
            ));
        }
        if flow.lost_in_memory > 0 {
            problems.push(format!(
                "{} records could not be kept; the next run fetches them again",
                flow.lost_in_memory
            ));
        }
        Report {
            run_id: self.id.to_string(),
            status,
            complete: self.is_complete(status),
            end: stats.end.word(),
            mode: self.scope(),
            shard: self.shard_name(),
            ledger,
            flagged: flow.flagged,
            replayed: self.replayed,
            decided_again: self.decided_again,
            pages: stats.pages,
            api_retries: stats.retries,
            db_retries: flow.db_retries,
            rejections_by_reason: flow.rejections_by_reason.clone(),
            errors_by_type,
            success_rate: if fresh.fetched == 0 && self.exit != Exit::Success {
                0.0
            } else {
                1.0 - share(fresh.rejected + fresh.spooled, fresh.fetched)
            },
            seconds_per_record: if ledger.fetched == 0 {
                0.0
            } else {
                total / ledger.fetched as f64
            },
            case_id: None,
            exit_code: self.exit.code(),
            seconds: Seconds {
                total,
                fetch: stats.response_seconds.sum(),
                transform: flow.transform_seconds,
                decide: flow.decide_seconds,
                write: flow.write_seconds,
            },
            api_response_seconds: percentiles(&stats.response_seconds),
            db_query_seconds: percentiles(&flow.db_seconds),
            watermark: self.mark.report(),
            pool: PoolUse {
                connections: flow.writers,
                max_connections: self.database.max_connections,
                wait_seconds: flow.pool_wait_seconds,
                exhausted: flow.pool_exhausted || self.lacks_connections(flow),
            },
            spool: SpoolUse {
                files: self.spool.files().map_or(0, |files| files.len() as u64),
                bytes: self.spool.bytes(),
            },
            open_cases: 0,
            alerts,
            differences: flow.differences.clone(),
            new_rows: flow.new_rows.clone(),
            write_back: self.told(flow),
            messages: flow.messages.clone(),
            for_review: flow.for_review.clone(),
            refused: flow.refused.clone(),
            problems,
            api_responses: stats.response_seconds.clone(),
            db_statements: flow.db_seconds.clone(),
            crossed,
            examples: flow.examples.clone(),
            whole: self.fetched_at_all
                && self.request.limit.is_none()
                && self.request.since.is_none(),
        }
    }

    /// What a dry run cannot tell.
    fn left_open(&self, ledger: &Ledger) -> Vec<String> {
        let mut open = Vec::new();
        if ledger.spooled > 0 && self.layout.is_none() {
            open.push(format!(
                "{} records could not be compared, since the database could not be asked: which of them would be \
                 inserted, updated or left as they are is not known, and they count as spooled; the verdicts on them are known",
                grouped(ledger.spooled)
            ));
        } else if ledger.spooled > 0 {
            open.push(format!(
                "{} records could not be compared, since the database did not answer for them; they count as spooled",
                grouped(ledger.spooled)
            ));
        }
        match spool::status(&self.plan.state_dir) {
            Ok(seen) if seen.files > 0 => open.push(format!(
                "{} batches of earlier runs wait in the spool; a run replays them first, which this one did not",
                grouped(seen.files)
            )),
            Ok(_) => {}
            Err(error) => open.push(format!("a run could not start: {error}")),
        }
        open
    }

    /// All that was asked for was seen, and has its fate.
    fn is_complete(&self, status: Status) -> bool {
        status == Status::Success
            && self.pages.stats().is_complete()
            && self.fetched_at_all
            && self.request.limit.is_none()
    }

    pub(super) fn run_end(&self, report: &Report, complete: bool) -> store::RunEnd {
        store::RunEnd {
            status: report.status.as_str().to_uppercase(),
            ledger: report.ledger,
            replayed: report.replayed,
            flagged: report.flagged,
            pages: report.pages,
            complete,
            end: report.end.map(str::to_owned),
            completed_at: jiff::Timestamp::now().as_microsecond() + self.clock_offset,
            error_message: (!report.problems.is_empty()).then(|| report.problems.join("; ")),
            watermark_after: report.watermark.after.clone(),
            exit_code: i32::from(self.exit.code()),
            case_id: report.case_id.clone(),
            write_back: report.write_back,
            api_retries: report.api_retries,
            db_retries: report.db_retries,
            stage_seconds: [
                report.seconds.fetch,
                report.seconds.transform,
                report.seconds.decide,
                report.seconds.write,
            ],
        }
    }

    /// What may be spent on the last words: no run outlives its deadline, or a signal, by much.
    fn time_to_close(&self) -> Duration {
        let usual = self.database.statement_timeout;
        if self.signals.asked().is_some() {
            return usual.min(LAST_WORDS);
        }
        self.deadline.map_or(usual, |deadline| {
            let left = deadline.saturating_duration_since(Instant::now());
            usual.min(left.max(LAST_WORDS))
        })
    }

    /// What a single step of the evidence may take.
    fn time_to_look(&self) -> Duration {
        self.deadline.map_or(EVIDENCE, |deadline| {
            let left = deadline.saturating_duration_since(Instant::now());
            EVIDENCE.min(left.max(GLANCE))
        })
    }

    /// Log row, case, lease: in the database, or on disk while it is away.
    pub(super) fn write_down(&mut self, flow: &Flow, report: &mut Report) {
        let closing = self.time_to_close();
        if self.connection.as_ref().is_none_or(Connection::is_dead) && !self.fatal {
            // The run's own connection may have died with the writers'; the last word is worth another try.
            let limit = self.database.connection_timeout.min(closing);
            self.connection = Connection::open(self.database, limit).ok();
        }
        if let Some(connection) = &mut self.connection {
            // The signal has been heard; what is left to write down has a moment of its own.
            connection.give_up_on(Arc::default());
            connection.set_deadline(Some(Instant::now() + closing));
        }
        let complete = self.is_complete(report.status);
        if let Some(remark) = self.move_watermark(flow, complete) {
            log::warn!("{remark}");
            report.problems.push(remark);
        }
        report.watermark = self.mark.report();
        self.remember(complete, flow);
        self.remember_next_pages();
        let summary = incident::RunSummary {
            plan: self.plan,
            run_id: &self.id.to_string(),
            failures: &self.failures,
            remarks: &self.remarks,
            exit: self.exit,
            retrying: matches!(self.request.purpose, Purpose::Retry { .. }),
            full: self.request.full,
            scope: Scope {
                target: store::log::target(self.database),
                shard: self.shard_name(),
            },
            whole: report.whole,
            samples: &flow.samples,
            ledger: &flow.ledger,
            patience: self.time_to_look(),
            closing: self.time_to_close(),
            spool_files: self.spool.files().map_or(0, |files| files.len() as u64),
        };
        let kept = incident::keep_case(&summary, self.connection.as_mut());
        report.case_id = kept.case_id;
        report.open_cases = kept.open;
        if let Some(error) = kept.error {
            self.not_kept(report, format!("the case could not be kept: {error:#}"));
        }
        report.seconds.total = self.started.elapsed().as_secs_f64();
        let row = incident::LogRow {
            header: self.header(),
            end: self.run_end(report, complete),
        };
        if let Some(connection) = &mut self.connection {
            connection.set_deadline(Some(Instant::now() + closing));
        }
        if let Err(error) = incident::keep_log(self.connection.as_mut(), self.plan, &row) {
            self.not_kept(report, format!("the log row could not be kept: {error:#}"));
        }
        // Until here it keeps others out, however long the checks and the alerts took.
        drop(self.heartbeat.take());
        let target = shard::lease_name(self.database, self.request.shard);
        if let Some(connection) = self.connection.as_mut() {
            if let Err(error) = lease::release(connection, self.database, &target, self.id) {
                log::info!("{error}");
            }
            if matches!(self.exit, Exit::Success | Exit::Threshold) {
                let repeated =
                    store::rejections::drop_repeated_notes(connection, self.database, self.id);
                if let Err(error) = repeated {
                    log::warn!("{error}");
                }
                let trimmed = store::log::trim(connection, self.database, self.plan.retention);
                if let Err(error) = trimmed {
                    log::warn!("old rows could not be trimmed: {error}");
                }
            }
        }
    }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

fn percentiles(histogram: &Histogram) -> Percentiles {
    Percentiles {
        count: histogram.count(),
        sum: histogram.sum(),
        p50: histogram.quantile(0.5),
        p95: histogram.quantile(0.95),
        max: histogram.max(),
    }
}
