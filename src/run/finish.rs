//! The end of a run: it writes watermark, case, log row and lease, into the database or, while that is away, to disk.

use std::time::{Duration, Instant};

use super::Run;
use super::request::Inputs;
use crate::exit::Exit;
use crate::model::clock::Micros;
use crate::pipeline::Flow;
use crate::reporting::case::Scope;
use crate::reporting::incident::{self, Ending, RunSummary};
use crate::reporting::local_log;
use crate::reporting::report::Report;
use crate::store::log::LAST_TRIMMED;
use crate::store::{self, Connection, StoreError};
use crate::support::text::span;

/// Time for writing down the end of a run whose deadline has passed.
const CLOSING_TIME: Duration = Duration::from_secs(2);
/// Time limit of one step of the checks whose results are evidence in a case.
const CHECK_LIMIT: Duration = Duration::from_secs(3);
/// The same limit for a run whose deadline has passed.
const CHECK_LIMIT_WHEN_LATE: Duration = Duration::from_millis(200);

/// How many thousands of unused explanations are deleted at most, once a day.
const MOST_THOUSANDS: u32 = 100;

impl Run<'_> {
    /// Writes down how the run ended, and returns its report.
    pub(super) fn finish(mut self, flow: &Flow) -> (Report, Exit) {
        self.rejections.sum_up();
        self.enter_failures(flow);
        self.enter_write_back_failures();
        let complete = self.is_complete(flow);
        if !self.inputs.is_dry() {
            self.session.prepare_end(&self.inputs, self.time_to_close());
            self.source.mark.not_moved = self.move_watermark(flow.changes, complete);
            if let Some(remark) = &self.source.mark.not_moved {
                log::warn!("{remark}");
            }
            self.remember(complete, flow);
            self.remember_next_pages();
            self.keep_case(flow);
            self.settle_cases(flow, complete);
            self.keep_log_row(flow, complete);
            // The lease is held until now, so that no other run starts while checks and alerts are still going on.
            self.session.release(&self.inputs);
            self.trim(complete);
        }
        // The report is made again, since the steps above may have added failures.
        (self.report(flow, complete), self.conclude(flow).exit)
    }

    /// Time for writing down the end, so that the run outlives its deadline or a signal by no more than a moment.
    pub(super) fn time_to_close(&self) -> Duration {
        let usual = self.inputs.database.statement_timeout;
        if self.inputs.signals.asked().is_some() {
            return usual.min(CLOSING_TIME);
        }
        self.inputs.deadline.map_or(usual, |deadline| {
            let left = deadline.saturating_duration_since(Instant::now());
            usual.min(left.max(CLOSING_TIME))
        })
    }

    /// Time limit of a single check for evidence.
    fn check_limit(&self) -> Duration {
        self.inputs.at_most(CHECK_LIMIT).max(CHECK_LIMIT_WHEN_LATE)
    }

    /// Opens a case for each cause, or closes the cases whose cause this run has shown to be over.
    fn keep_case(&mut self, flow: &Flow) {
        let Inputs {
            plan,
            database,
            request,
            id,
            ..
        } = self.inputs;
        let summary = RunSummary {
            plan,
            run_id: &id.to_string(),
            ending: Ending {
                exit: self.conclude(flow).exit,
                failures: &self.outcome.all_failures(),
                remarks: &self.outcome.remarks,
            },
            retrying: request.purpose.is_retry(),
            full: request.full,
            whole: self.reads_whole_source(),
            scope: Scope {
                target: store::log::target(database),
                shard: self.inputs.shard_name(),
            },
            samples: &flow.examples.samples,
            ledger: &flow.ledger,
            spool_files: self.spool.files().map_or(0, |files| files.len() as u64),
            limits: incident::TimeLimits {
                checks: self.check_limit(),
                storing: self.time_to_close(),
                stop: &self.inputs.signals.stop,
            },
        };
        let kept = incident::keep_case(&summary, self.session.connection.as_mut());
        self.outcome.cases.id = kept.case_id;
        self.outcome.cases.open = kept.open;
        if let Some(error) = kept.error {
            self.outcome
                .not_kept(format!("the case could not be kept: {error:#}"));
        }
    }

    fn keep_log_row(&mut self, flow: &Flow, complete: bool) {
        let row = local_log::LogRow {
            header: self.header(),
            end: self.run_end(&self.report(flow, complete)),
        };
        self.session.set_limit(self.time_to_close());
        let connection = self.session.connection.as_mut();
        if let Err(error) = local_log::keep(connection, self.inputs.plan, &row) {
            self.outcome
                .not_kept(format!("the log row could not be kept: {error:#}"));
        }
    }

    /// The part of the log row that is known when the run ends.
    fn run_end(&self, report: &Report) -> store::RunEnd {
        store::RunEnd {
            status: report.status.as_str().to_uppercase(),
            ledger: report.ledger,
            replayed: report.replayed,
            flagged: report.flagged,
            pages: report.pages,
            complete: report.complete,
            end: report.end.map(str::to_owned),
            completed_at: self.session.clock.now(),
            error_message: (!report.problems.is_empty()).then(|| report.problems.join("; ")),
            watermark_after: report.watermark.after.clone(),
            exit_code: i32::from(report.exit_code),
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

    /// Deletes what is superfluous of the tables that grow with every run, and once a day old rows of all of them. Runs that
    /// failed do it as well, so that a source that fails a little every day stays within bounds. After a signal it is left
    /// out, so that nobody has to wait for it.
    fn trim(&mut self, complete: bool) {
        if self.inputs.signals.asked().is_some() {
            return;
        }
        self.session.set_limit(self.time_to_close());
        let Inputs { database, id, .. } = self.inputs;
        let now = self.session.clock.now();
        let connection = self.session.connection.as_mut();
        // If the connection is lost, that is reported already, and the next run deletes.
        let Some(connection) = connection.filter(|connection| !connection.is_dead()) else {
            return;
        };
        let due = store::log::trim_is_due(self.source.last_trimmed.as_deref(), now);
        if self.outcome.has_rejected {
            let dropped = store::rejections::drop_repeated_notes(connection, database, id)
                .and_then(|_| store::log::trim_explanations(connection, database));
            if let Err(error) = dropped {
                log::warn!("{error}");
            }
        }
        if complete && (due || self.outcome.has_rejected) {
            match store::rejections::close_oldest_without_id(connection, database, id) {
                Ok(0) => {}
                Ok(closed) => log::warn!(
                    "{closed} rejections of records without an id were closed, the oldest ones: more than 10,000 were open that no longer come"
                ),
                Err(error) => log::warn!("{error}"),
            }
        }
        if due {
            delete_old_rows(connection, self.inputs, now);
        }
    }
}

/// Deletes what has outlived its retention, and notes that it was done today.
fn delete_old_rows(connection: &mut Connection, inputs: Inputs<'_>, now: Micros) {
    let Inputs {
        plan, database, id, ..
    } = inputs;
    let mut failed = false;
    let mut warn = |error: StoreError| {
        log::warn!("old rows could not be deleted: {error}");
        failed = true;
    };
    if let Some(retention) = plan.rejections.retention {
        match store::rejections::delete_expired(connection, database, retention) {
            Ok(0) => {}
            Ok(dropped) => log::warn!(
                "{dropped} open rejections were deleted: their records were last seen more than {} ago (rejections.retention)",
                span(retention)
            ),
            Err(error) => warn(error),
        }
    }
    if let Err(error) = store::log::trim(connection, database, plan.retention) {
        warn(error);
    }
    for _ in 0..MOST_THOUSANDS {
        match store::log::trim_explanations(connection, database) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => {
                warn(error);
                break;
            }
        }
    }
    if failed {
        return;
    }
    let done = now.to_string();
    if let Err(error) = store::state::put(connection, database, LAST_TRIMMED, &done, id) {
        log::warn!("{error}");
    }
}
