//! Exit codes, and the one function that maps an error to its code.

use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;

use crate::api::ApiError;
use crate::config::ConfigErrors;
use crate::spool::SpoolError;
use crate::store::StoreError;
use crate::support::signals::StopSignal;
use crate::support::text::counted;

/// How the process ends. The numbers are a contract with schedulers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: every record accounted for.
    Success,
    /// 1: a bug, or a ledger that does not balance.
    Internal,
    /// 2: flags, environment, mappings.yaml, decisions.dmn.xml, tables that do not fit, state directory at the start.
    Configuration,
    /// 3: the API failed after its retries.
    Api,
    /// 4: the database failed.
    Database,
    /// 5: a threshold was crossed, or a brake stopped the run.
    Threshold,
    /// 6: nothing more could be made durable.
    State,
    /// 75: another run holds the lease.
    Busy,
    /// 130: SIGINT.
    Interrupted,
    /// 143: SIGTERM.
    Terminated,
    /// 129: SIGHUP.
    HungUp,
}

impl From<StopSignal> for Exit {
    fn from(signal: StopSignal) -> Self {
        match signal {
            StopSignal::Interrupt => Self::Interrupted,
            StopSignal::Terminate => Self::Terminated,
            StopSignal::HangUp => Self::HungUp,
        }
    }
}

impl Exit {
    /// All of them, the one that explains the damage first.
    pub const ALL: [Self; 11] = [
        Self::Internal,
        Self::State,
        Self::Interrupted,
        Self::Terminated,
        Self::HungUp,
        Self::Database,
        Self::Api,
        Self::Threshold,
        Self::Configuration,
        Self::Busy,
        Self::Success,
    ];

    /// The number that the process ends with.
    pub const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Internal => 1,
            Self::Configuration => 2,
            Self::Api => 3,
            Self::Database => 4,
            Self::Threshold => 5,
            Self::State => 6,
            Self::Busy => 75,
            Self::Interrupted => 130,
            Self::Terminated => 143,
            Self::HungUp => 129,
        }
    }

    /// Somebody has asked the run to end.
    pub const fn is_by_signal(self) -> bool {
        matches!(self, Self::Interrupted | Self::Terminated | Self::HungUp)
    }

    /// Of two that apply, the one that explains the damage: 1, 6, 4, 3, 5, then the others.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        if self.rank() <= other.rank() {
            self
        } else {
            other
        }
    }

    /// Place in the order above, 0 first.
    pub fn rank(self) -> usize {
        Self::ALL
            .iter()
            .position(|&exit| exit == self)
            .unwrap_or(Self::ALL.len())
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// A cause that is known to be the configuration's: a rule table that cannot decide, tables that do not fit.
#[derive(Debug)]
pub struct Misconfigured(pub String);

impl fmt::Display for Misconfigured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Misconfigured {}

/// Another run holds the lease.
#[derive(Debug)]
pub struct Busy {
    /// `schema.table`.
    pub target: String,
    /// The user who started it.
    pub who: String,
    /// The machine it runs on.
    pub host: String,
    /// When it started, RFC 3339.
    pub since: String,
    /// Records it has accounted for so far.
    pub progress: u64,
}

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            target,
            who,
            host,
            since,
            progress,
        } = self;
        write!(
            f,
            "another run is writing to {target}: started by {who} on {host} at {since}, {} so far; \
             nothing was touched. `sync --wait 5m` waits for it",
            counted(*progress, "record", "records")
        )
    }
}

impl std::error::Error for Busy {}

/// The exit code of an error: the innermost typed cause decides; what nobody foresaw is internal.
pub fn of(error: &anyhow::Error) -> Exit {
    for cause in error.chain() {
        if cause.is::<ConfigErrors>() || cause.is::<Misconfigured>() {
            return Exit::Configuration;
        }
        if cause.is::<Busy>() {
            return Exit::Busy;
        }
        if let Some(error) = cause.downcast_ref::<ApiError>() {
            return of_api(error);
        }
        if cause.is::<StoreError>() {
            return Exit::Database;
        }
        if cause.is::<SpoolError>() {
            return Exit::State;
        }
    }
    Exit::Internal
}

/// The exit code of an error of the API.
pub const fn of_api(error: &ApiError) -> Exit {
    if error.is_of_the_mapping() {
        Exit::Configuration
    } else {
        Exit::Api
    }
}

/// Does the work. A panic in it, which is a bug and has been logged by then, becomes an internal error, so that the caller
/// still writes down how the run ended.
///
/// # Errors
/// Those of the work.
pub fn contain<T>(work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    panic::catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(anyhow::anyhow!("the program panicked; please report this")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_code_that_explains_the_damage_wins() {
        let order = [
            Exit::Internal,
            Exit::State,
            Exit::Database,
            Exit::Api,
            Exit::Threshold,
            Exit::Success,
        ];
        for (i, &worse) in order.iter().enumerate() {
            for &better in &order[i..] {
                assert_eq!(worse.worse(better), worse);
                assert_eq!(better.worse(worse), worse);
            }
        }
    }

    #[test]
    fn a_panic_is_an_internal_error() {
        let nothing: Option<u32> = None;
        let error = contain(|| nothing.map_or_else(|| panic!("a bug"), Ok)).unwrap_err();
        assert_eq!(of(&error), Exit::Internal);
        assert!(contain(|| Ok(1)).is_ok());
    }

    #[test]
    fn an_error_nobody_foresaw_is_internal() {
        assert_eq!(of(&anyhow::anyhow!("surprise")), Exit::Internal);
        let error = anyhow::Error::new(Misconfigured("no such table".into())).context("checking");
        assert_eq!(of(&error), Exit::Configuration);
    }
}
