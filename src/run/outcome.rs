//! What went wrong in a run, and what the run comes to by that: its status and its exit code.
//!
//! Failures are entered while the run goes on and when it ends. [`Outcome::conclude`] is the one place where they become a
//! status and an exit code; report, log row, metrics and headline take both from there. It knows neither the database nor
//! the source.

use crate::exit::Exit;
use crate::model::cause::{Cause, DatabaseCause};
use crate::model::record::Ledger;
use crate::reporting::incident::{Failure, Remark};
use crate::reporting::report::Status;
use crate::store::StoreError;

/// How a run goes.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// What went wrong with the records, worst first in the end.
    pub(super) failures: Vec<Failure>,
    /// What went wrong with write-back, after every record was accounted for.
    pub(super) write_back: Vec<Failure>,
    /// Thresholds without an exit code that were crossed.
    pub(super) remarks: Vec<Remark>,
    /// What could not be written down of the end of the run.
    pub(super) not_kept: Vec<String>,
    /// The signal that ended the run.
    pub(super) signal: Option<Exit>,
    pub(super) braked: bool,
    /// Records that were written from the spool of earlier runs.
    pub(super) replayed: u64,
    /// What became of stored rejections that were decided again; part of the run's ledger.
    pub(super) decided_again: Option<Ledger>,
    /// Why nothing was fetched, where the failure of the database alone does not say it.
    pub(super) waiting_for: Option<String>,
    pub(super) cases: Cases,
}

/// The cases of a run, once they are kept.
#[derive(Debug, Default)]
pub(super) struct Cases {
    /// The case that belongs to the exit code.
    pub(super) id: Option<String>,
    /// Cases that are open, as far as they are known.
    pub(super) open: u64,
    /// Cases that a retry has closed: id and cause.
    pub(super) closed: Vec<(String, Cause)>,
}

/// What became of the records of a run, as far as its status depends on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Records {
    pub(super) accounted: u64,
    pub(super) spooled: u64,
    /// Not everything that was asked for was fetched and kept.
    pub(super) ended_early: bool,
    /// Nothing was to be written.
    pub(super) dry: bool,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Conclusion {
    pub(super) status: Status,
    pub(super) exit: Exit,
}

impl Outcome {
    pub(super) fn fail(&mut self, exit: Exit, cause: Cause, sentence: &str) {
        self.failures.push(failure(exit, cause, sentence));
    }

    pub(super) fn store_failed(&mut self, error: &StoreError) {
        let cause = Cause::database(error.kind());
        self.fail(Exit::Database, cause, &error.to_string());
    }

    /// The same for write-back.
    pub(super) fn write_back_failed(&mut self, exit: Exit, cause: Cause, sentence: &str) {
        self.write_back.push(failure(exit, cause, sentence));
    }

    /// The same, with the records that a person has to settle.
    pub(super) fn write_back_failed_for(
        &mut self,
        exit: Exit,
        cause: Cause,
        sentence: &str,
        records: Vec<String>,
    ) {
        let failure = failure(exit, cause, sentence);
        self.write_back.push(Failure { records, ..failure });
    }

    /// The end of the run could not be written down.
    pub(super) fn not_kept(&mut self, sentence: String) {
        log::error!("{sentence}");
        self.not_kept.push(sentence);
    }

    /// Everything that went wrong, worst first.
    pub(super) fn all_failures(&self) -> Vec<Failure> {
        let both = self.failures.iter().chain(&self.write_back);
        let mut all: Vec<Failure> = both.cloned().collect();
        all.sort_by_key(|failure| failure.exit.rank());
        all
    }

    /// The server had no connection to spare for the run itself.
    pub(super) fn lacked_connections(&self) -> bool {
        let full = Cause::Database(DatabaseCause::TooManyConnections);
        self.failures.iter().any(|failure| failure.cause == full)
    }

    /// Status and exit code of the run. Whether write-back succeeds changes the exit code and not the status: the records
    /// are stored all the same. What could not be written down is no full success.
    pub(super) fn conclude(&self, records: Records) -> Conclusion {
        let worst = |failures: &[Failure]| {
            let exits = failures.iter().map(|failure| failure.exit);
            exits.fold(Exit::Success, Exit::worse)
        };
        let by_records = worst(&self.failures).worse(self.signal.unwrap_or(Exit::Success));
        let mut exit = by_records.worse(worst(&self.write_back));
        if !self.not_kept.is_empty() {
            exit = exit.worse(Exit::State);
        }
        let whole = !records.ended_early
            && records.spooled == 0
            && matches!(by_records, Exit::Success | Exit::Threshold);
        let status = if records.dry {
            Status::DryRun
        } else if self.braked {
            Status::Failed
        } else if whole && self.not_kept.is_empty() {
            Status::Success
        } else if whole || records.accounted > 0 || self.replayed > 0 {
            Status::Partial
        } else {
            Status::Failed
        };
        Conclusion { status, exit }
    }
}

fn failure(exit: Exit, cause: Cause, sentence: &str) -> Failure {
    Failure {
        exit,
        cause,
        sentence: sentence.to_owned(),
        records: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::cause::{ApiCause, InternalCause};

    const WHOLE: Records = Records {
        accounted: 10,
        spooled: 0,
        ended_early: false,
        dry: false,
    };

    fn internal() -> Cause {
        Cause::Internal(InternalCause::Error)
    }

    #[test]
    fn only_a_run_without_failures_or_with_a_crossed_threshold_is_a_success() {
        for exit in Exit::ALL {
            let mut outcome = Outcome::default();
            outcome.fail(exit, internal(), "it failed");
            let concluded = outcome.conclude(WHOLE);
            assert_eq!(concluded.exit, exit);
            let good = matches!(exit, Exit::Success | Exit::Threshold);
            assert_eq!(concluded.status == Status::Success, good, "{exit:?}");
            let nothing = Records {
                accounted: 0,
                ended_early: true,
                ..WHOLE
            };
            assert_eq!(outcome.conclude(nothing).status, Status::Failed, "{exit:?}");
        }
    }

    #[test]
    fn a_failed_write_back_changes_the_exit_code_and_not_the_status() {
        let mut outcome = Outcome::default();
        outcome.write_back_failed(Exit::Api, Cause::Api(ApiCause::WriteBack), "kept");
        let concluded = outcome.conclude(WHOLE);
        assert_eq!(concluded.exit, Exit::Api);
        assert_eq!(concluded.status, Status::Success);
    }

    #[test]
    fn what_could_not_be_written_down_is_no_full_success() {
        let mut outcome = Outcome::default();
        outcome
            .not_kept
            .push("the log row could not be kept".to_owned());
        let concluded = outcome.conclude(WHOLE);
        assert_eq!(concluded.exit, Exit::State);
        assert_eq!(concluded.status, Status::Partial);
    }
}
