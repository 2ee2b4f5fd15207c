//! What went wrong in a run, and the status and exit code that follow from it.
//!
//! Failures are entered while the run goes on and when it ends. Only [`Outcome::conclude`] turns them into a status and an
//! exit code, which report, log row, metrics and headline all use. This file knows neither the database nor the source.

use crate::exit::Exit;
use crate::model::cause::{Cause, DatabaseCause};
use crate::model::record::Ledger;
use crate::reporting::incident::{Failure, Remark};
use crate::reporting::report::Status;
use crate::store::StoreError;

/// Everything that went wrong so far, and the results besides the flow of records.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Failures with the records. They are sorted by severity at the end.
    pub(super) failures: Vec<Failure>,
    /// Failures of write-back. It runs after every record is accounted for.
    pub(super) write_back: Vec<Failure>,
    /// Crossed thresholds that do not change the exit code.
    pub(super) remarks: Vec<Remark>,
    /// Sentences about what could not be written down at the end of the run.
    pub(super) not_kept: Vec<String>,
    /// The exit code of the signal that ended the run.
    pub(super) signal: Option<Exit>,
    pub(super) braked: bool,
    /// Records from the spool of earlier runs that were written.
    pub(super) replayed: u64,
    /// True if a flow of the run has rejected a record.
    pub(super) has_rejected: bool,
    /// Counts of the stored rejections that were decided again. They are part of the run's ledger.
    pub(super) decided_again: Option<Ledger>,
    /// Why nothing was fetched, where the failure of the database does not explain it.
    pub(super) waiting_for: Option<String>,
    pub(super) cases: Cases,
}

/// The cases of a run, once they are stored.
#[derive(Debug, Default)]
pub(super) struct Cases {
    /// The case of the failure that decides the exit code.
    pub(super) id: Option<String>,
    /// How many cases are open, as far as is known.
    pub(super) open: u64,
    /// Cases that a retry has closed: their ids and causes.
    pub(super) closed: Vec<(String, Cause)>,
}

/// The counts of a run on which its status depends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Records {
    pub(super) accounted: u64,
    pub(super) spooled: u64,
    /// Not everything that was asked for was fetched and stored.
    pub(super) ended_early: bool,
    /// The run was a dry run.
    pub(super) dry: bool,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Conclusion {
    pub(super) status: Status,
    pub(super) exit: Exit,
}

impl Outcome {
    /// Enters a failure.
    pub(super) fn fail(&mut self, exit: Exit, cause: Cause, sentence: &str) {
        self.failures.push(failure(exit, cause, sentence));
    }

    /// Enters a failure of the database.
    pub(super) fn store_failed(&mut self, error: &StoreError) {
        let cause = Cause::database(error.kind());
        self.fail(Exit::Database, cause, &error.to_string());
    }

    /// Enters a failure of write-back.
    pub(super) fn write_back_failed(&mut self, exit: Exit, cause: Cause, sentence: &str) {
        self.write_back.push(failure(exit, cause, sentence));
    }

    /// Enters a failure of write-back, with the records that a person has to settle.
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

    /// Notes that a part of the run's end could not be written down.
    pub(super) fn not_kept(&mut self, sentence: String) {
        log::error!("{sentence}");
        self.not_kept.push(sentence);
    }

    /// All failures, the most severe first.
    pub(super) fn all_failures(&self) -> Vec<Failure> {
        let both = self.failures.iter().chain(&self.write_back);
        let mut all: Vec<Failure> = both.cloned().collect();
        all.sort_by_key(|failure| failure.exit.rank());
        all
    }

    /// True if the server refused a connection to the run itself because none was free.
    pub(super) fn lacked_connections(&self) -> bool {
        let full = Cause::Database(DatabaseCause::TooManyConnections);
        self.failures.iter().any(|failure| failure.cause == full)
    }

    /// Decides status and exit code of the run. A failed write-back changes the exit code but not the status, because the
    /// records are stored all the same. A run whose end could not be written down is no full success.
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
