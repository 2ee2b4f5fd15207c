//! Builds the report of a run from its counts and timings. Status and exit code come from [`super::outcome`].

use std::collections::BTreeMap;

use super::Run;
use super::failures::share;
use super::outcome::Conclusion;
use crate::api::End;
use crate::exit::Exit;
use crate::model::cause::Cause;
use crate::model::record::Ledger;
use crate::pipeline::Flow;
use crate::reporting::incident::Failure;
use crate::reporting::report::{Percentiles, PoolUse, Report, Seconds, SpoolUse, Status};
use crate::spool;
use crate::support::histogram::Histogram;
use crate::support::text::counted;

impl Run<'_> {
    /// Status and exit code of the run, by what is known so far.
    pub(super) fn conclude(&self, flow: &Flow) -> Conclusion {
        self.outcome.conclude(self.records(flow))
    }

    /// True if everything that was asked for has been read, and every record is accounted for.
    pub(super) fn is_complete(&self, flow: &Flow) -> bool {
        self.conclude(flow).status == Status::Success
            && self.source.pages.stats().is_complete()
            && self.source.fetched
            && self.inputs.request.limit.is_none()
    }

    /// The report, by what is known so far. `complete` is [`Self::is_complete`], taken before the end was written down.
    pub(super) fn report(&self, flow: &Flow, complete: bool) -> Report {
        let Conclusion { status, exit } = self.conclude(flow);
        let stats = self.source.pages.stats();
        let fresh = self.fetched_counts(&flow.ledger);
        let total = self.inputs.started.elapsed().as_secs_f64();
        let failures = self.outcome.all_failures();
        let (crossed, alerts) = self.crossed(&failures);
        let (counts, examples, timings) = (&flow.counts, &flow.examples, &flow.timings);
        Report {
            run_id: self.inputs.id.to_string(),
            status,
            complete,
            end: stats.end.word(),
            mode: self.scope(),
            shard: self.inputs.shard_name(),
            ledger: flow.ledger,
            flagged: counts.flagged,
            replayed: self.outcome.replayed,
            decided_again: self.outcome.decided_again,
            pages: stats.pages,
            api_retries: stats.retries,
            db_retries: counts.db_retries,
            rejections_by_reason: counts.rejections_by_reason.clone(),
            errors_by_type: errors_by_type(&stats.retries_by_kind, &failures),
            success_rate: success_rate(&fresh, exit),
            seconds_per_record: if flow.ledger.fetched == 0 {
                0.0
            } else {
                total / flow.ledger.fetched as f64
            },
            case_id: self.outcome.cases.id.clone(),
            exit_code: exit.code(),
            seconds: Seconds {
                total,
                fetch: stats.response_seconds.sum(),
                transform: timings.transform,
                decide: timings.decide,
                write: timings.write,
            },
            api_response_seconds: percentiles(&stats.response_seconds),
            db_query_seconds: percentiles(&timings.batches),
            watermark: self.source.mark.report(),
            pool: PoolUse {
                connections: flow.pool.writers,
                max_connections: self.inputs.database.max_connections,
                wait_seconds: flow.pool.wait_seconds,
                exhausted: flow.pool.exhausted || self.lacked_connections(flow.pool),
            },
            spool: SpoolUse {
                files: self.spool.files().map_or(0, |files| files.len() as u64),
                bytes: self.spool.bytes(),
            },
            open_cases: self.outcome.cases.open,
            closed_cases: self.outcome.cases.closed.clone(),
            alerts,
            differences: examples.differences.clone(),
            new_rows: examples.new_rows.clone(),
            write_back: self.write_back_ledger(&flow.ledger),
            messages: examples.messages.clone(),
            for_review: examples.for_review.clone(),
            refused: examples.refused.clone(),
            problems: self.problems(flow, &failures, &stats.end),
            api_responses: stats.response_seconds.clone(),
            db_statements: timings.batches.clone(),
            crossed,
            examples: examples.rejections.clone(),
            whole: self.reads_whole_source(),
        }
    }

    /// True if the run asked for the whole source, or for all that had changed.
    pub(super) fn reads_whole_source(&self) -> bool {
        let request = self.inputs.request;
        self.source.fetched && request.limit.is_none() && request.since.is_none()
    }

    /// Crossed thresholds and brakes: their names, and a sentence about each.
    fn crossed(&self, failures: &[Failure]) -> (Vec<String>, Vec<String>) {
        let with_exit = failures
            .iter()
            .filter(|failure| failure.exit == Exit::Threshold)
            .map(|failure| (failure.cause.name(), &failure.sentence));
        let remarks = self.outcome.remarks.iter();
        let without = remarks.map(|remark| (remark.threshold.name(), &remark.sentence));
        with_exit
            .chain(without)
            .map(|(name, sentence)| (name.to_owned(), sentence.clone()))
            .unzip()
    }

    /// Sentences about everything that a person should know.
    fn problems(&self, flow: &Flow, failures: &[Failure], end: &End) -> Vec<String> {
        let mut problems: Vec<String> = Vec::new();
        for failure in failures {
            if failure.exit != Exit::Threshold && !problems.contains(&failure.sentence) {
                problems.push(failure.sentence.clone());
            }
        }
        problems.extend(self.outcome.waiting_for.clone());
        if self.inputs.is_dry() {
            problems.extend(self.left_open(&flow.ledger));
        }
        if let End::Moved(how) = end {
            problems.push(format!(
                "the source moved while it was read: {how}; this run does not count as complete, and the next one reads the same again"
            ));
        }
        let lost = flow.counts.lost_in_memory;
        if lost > 0 {
            problems.push(format!(
                "{} could not be kept; the next run fetches {} again",
                counted(lost, "record", "records"),
                if lost == 1 { "it" } else { "them" }
            ));
        }
        problems.extend(self.source.mark.not_moved.clone());
        problems.extend(self.outcome.not_kept.iter().cloned());
        problems
    }

    /// Sentences about what a dry run cannot know.
    fn left_open(&self, ledger: &Ledger) -> Vec<String> {
        let mut open = Vec::new();
        if ledger.spooled > 0 && self.session.layout.is_none() {
            open.push(format!(
                "{} could not be compared, since the database could not be asked: which would be inserted, updated or left \
                 as they are is not known, and they count as spooled; the verdicts on them are known",
                counted(ledger.spooled, "record", "records")
            ));
        } else if ledger.spooled > 0 {
            open.push(format!(
                "{} could not be compared, since the database did not answer for them; they count as spooled",
                counted(ledger.spooled, "record", "records")
            ));
        }
        match spool::status(&self.inputs.plan.state_dir) {
            Ok(seen) if seen.files > 0 => open.push(format!(
                "{} in the spool; a run replays what waits there first, which this one did not",
                counted(
                    seen.files,
                    "file of earlier runs waits",
                    "files of earlier runs wait"
                )
            )),
            Ok(_) => {}
            Err(error) => open.push(format!("a run could not start: {error}")),
        }
        open
    }
}

/// Counts the errors by stage and kind, including those that a retry has overcome.
fn errors_by_type(retries: &[(&'static str, u64)], failures: &[Failure]) -> BTreeMap<String, u64> {
    let mut errors: BTreeMap<String, u64> = retries
        .iter()
        .map(|(kind, count)| (Cause::api(kind).to_string(), *count))
        .collect();
    for failure in failures {
        *errors.entry(failure.cause.to_string()).or_default() += 1;
    }
    errors
}

/// The share of records that were neither rejected nor spooled; 0 for a run that failed before it fetched any.
fn success_rate(ledger: &Ledger, exit: Exit) -> f64 {
    if ledger.fetched == 0 && exit != Exit::Success {
        return 0.0;
    }
    1.0 - share(ledger.rejected + ledger.spooled, ledger.fetched)
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
