//! The causes for which a run does not succeed, as a type.
//!
//! Code branches on the type. Its text, the fingerprint (for example `api:timeout`), stands in cases, `sync_log`, JSON and
//! metrics; only this file writes and parses it. This file knows nothing of exit codes and messages.

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The cause of a failure: the stage, and what went wrong there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", from = "String")]
pub enum Cause {
    Api(ApiCause),
    Database(DatabaseCause),
    Threshold(Threshold),
    Brake(BrakeCause),
    State(StateCause),
    Internal(InternalCause),
    /// A cause that another version of the program wrote down.
    Other(String),
}

/// Causes at the API.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ApiCause {
    /// A request failed after its retries. Holds the kind of the error, in one word.
    Request(Cow<'static, str>),
    /// Nothing proved that the last page was the last.
    UnprovenEnd,
    /// Messages of write-back were not delivered.
    WriteBack,
    /// Records had changed at the API since they were read.
    WriteBackConflict,
    /// The API no longer has records.
    WriteBackGone,
    /// Messages cannot be sent as they are: no version to match, or an id or a version that no request can carry.
    WriteBackUnsendable,
}

/// Causes at the database.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DatabaseCause {
    /// A statement or a connection failed. Holds the kind of the error: a word or a SQLSTATE.
    Failed(Cow<'static, str>),
    /// The server has no free connection.
    TooManyConnections,
    /// The run ended before all its records were written.
    Unwritten,
}

/// A limit of `alerts` that was crossed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Threshold {
    RejectionRate,
    SyncFailureRate,
    ApiResponseTime,
    PoolExhaustion,
    SpoolAge,
    QuarantineAge,
}

/// A brake that stopped the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BrakeCause {
    ZeroRecords,
    MaxDrop,
    MaxRejection,
}

/// Causes in the state directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StateCause {
    /// The spool could not be written.
    Spool,
    /// A spool file was damaged.
    Damaged,
}

/// Bugs of this program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InternalCause {
    /// The ledger does not balance.
    Ledger,
    /// The counts of write-back do not balance.
    WriteBackLedger,
    /// Write-back ended because of a bug.
    WriteBack,
    /// Any other unexpected error.
    Error,
}

impl ApiCause {
    const UNPROVEN_END: &'static str = "unproven_end";
    const WRITE_BACK: &'static str = "write_back";
    const WRITE_BACK_CONFLICT: &'static str = "write_back_conflict";
    const WRITE_BACK_GONE: &'static str = "write_back_gone";
    const WRITE_BACK_UNSENDABLE: &'static str = "write_back_unsendable";

    fn name(&self) -> &str {
        match self {
            Self::Request(kind) => kind,
            Self::UnprovenEnd => Self::UNPROVEN_END,
            Self::WriteBack => Self::WRITE_BACK,
            Self::WriteBackConflict => Self::WRITE_BACK_CONFLICT,
            Self::WriteBackGone => Self::WRITE_BACK_GONE,
            Self::WriteBackUnsendable => Self::WRITE_BACK_UNSENDABLE,
        }
    }
}

impl From<Cow<'static, str>> for ApiCause {
    fn from(name: Cow<'static, str>) -> Self {
        match &*name {
            Self::UNPROVEN_END => Self::UnprovenEnd,
            Self::WRITE_BACK => Self::WriteBack,
            Self::WRITE_BACK_CONFLICT => Self::WriteBackConflict,
            Self::WRITE_BACK_GONE => Self::WriteBackGone,
            Self::WRITE_BACK_UNSENDABLE => Self::WriteBackUnsendable,
            _ => Self::Request(name),
        }
    }
}

impl DatabaseCause {
    const TOO_MANY_CONNECTIONS: &'static str = "too_many_connections";
    const UNWRITTEN: &'static str = "unwritten";

    fn name(&self) -> &str {
        match self {
            Self::Failed(kind) => kind,
            Self::TooManyConnections => Self::TOO_MANY_CONNECTIONS,
            Self::Unwritten => Self::UNWRITTEN,
        }
    }
}

impl From<Cow<'static, str>> for DatabaseCause {
    fn from(name: Cow<'static, str>) -> Self {
        match &*name {
            Self::TOO_MANY_CONNECTIONS => Self::TooManyConnections,
            Self::UNWRITTEN => Self::Unwritten,
            _ => Self::Failed(name),
        }
    }
}

impl Threshold {
    const ALL: [Self; 6] = [
        Self::RejectionRate,
        Self::SyncFailureRate,
        Self::ApiResponseTime,
        Self::PoolExhaustion,
        Self::SpoolAge,
        Self::QuarantineAge,
    ];

    /// Its key below `alerts` in mappings.yaml.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RejectionRate => "rejection_rate",
            Self::SyncFailureRate => "sync_failure_rate",
            Self::ApiResponseTime => "api_response_time",
            Self::PoolExhaustion => "pool_exhaustion",
            Self::SpoolAge => "spool_age",
            Self::QuarantineAge => "quarantine_age",
        }
    }
}

impl BrakeCause {
    const ALL: [Self; 3] = [Self::ZeroRecords, Self::MaxDrop, Self::MaxRejection];

    /// Its key below `brakes` in mappings.yaml.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ZeroRecords => "zero_records",
            Self::MaxDrop => "max_drop",
            Self::MaxRejection => "max_rejection",
        }
    }
}

impl StateCause {
    const ALL: [Self; 2] = [Self::Spool, Self::Damaged];

    const fn name(self) -> &'static str {
        match self {
            Self::Spool => "spool",
            Self::Damaged => "damaged",
        }
    }
}

impl InternalCause {
    const ALL: [Self; 4] = [
        Self::Ledger,
        Self::WriteBackLedger,
        Self::WriteBack,
        Self::Error,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Ledger => "ledger",
            Self::WriteBackLedger => "write_back_ledger",
            Self::WriteBack => "write_back",
            Self::Error => "error",
        }
    }
}

impl Cause {
    /// A failure of the API client; `kind` is the kind of its error.
    pub fn api(kind: &'static str) -> Self {
        Self::Api(Cow::Borrowed(kind).into())
    }

    /// A failure of the store; `kind` is the kind of its error.
    pub fn database(kind: impl Into<Cow<'static, str>>) -> Self {
        Self::Database(kind.into().into())
    }

    /// What went wrong, without the stage: the name of a threshold or of a brake.
    pub fn name(&self) -> &str {
        match self {
            Self::Api(cause) => cause.name(),
            Self::Database(cause) => cause.name(),
            Self::Threshold(threshold) => threshold.name(),
            Self::Brake(brake) => brake.name(),
            Self::State(cause) => cause.name(),
            Self::Internal(cause) => cause.name(),
            Self::Other(text) => text.split_once(':').map_or("", |(_, name)| name),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match self {
            Self::Api(_) => "api",
            Self::Database(_) => "database",
            Self::Threshold(_) => "threshold",
            Self::Brake(_) => "brake",
            Self::State(_) => "state",
            Self::Internal(_) => "internal",
            Self::Other(text) => return f.pad(text),
        };
        f.pad(&format!("{stage}:{}", self.name()))
    }
}

impl FromStr for Cause {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let known = text.split_once(':').and_then(|(stage, name)| {
            let owned = || Cow::<'static, str>::Owned(name.to_owned());
            Some(match stage {
                "api" => Self::Api(owned().into()),
                "database" => Self::Database(owned().into()),
                "threshold" => Self::Threshold(named(&Threshold::ALL, |one| one.name(), name)?),
                "brake" => Self::Brake(named(&BrakeCause::ALL, |one| one.name(), name)?),
                "state" => Self::State(named(&StateCause::ALL, |one| one.name(), name)?),
                "internal" => Self::Internal(named(&InternalCause::ALL, |one| one.name(), name)?),
                _ => return None,
            })
        });
        Ok(known.unwrap_or_else(|| Self::Other(text.to_owned())))
    }
}

/// The value in `all` whose name is `name`.
fn named<T: Copy>(all: &[T], name_of: impl Fn(&T) -> &'static str, name: &str) -> Option<T> {
    all.iter().find(|one| name_of(one) == name).copied()
}

impl From<Cause> for String {
    fn from(cause: Cause) -> Self {
        cause.to_string()
    }
}

impl From<String> for Cause {
    fn from(text: String) -> Self {
        match text.parse() {
            Ok(cause) => cause,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_back_as_the_cause_it_was() {
        let mut causes = vec![
            Cause::api("timeout"),
            Cause::Api(ApiCause::UnprovenEnd),
            Cause::Api(ApiCause::WriteBack),
            Cause::Api(ApiCause::WriteBackConflict),
            Cause::Api(ApiCause::WriteBackGone),
            Cause::Api(ApiCause::WriteBackUnsendable),
            Cause::database("57P03"),
            Cause::Database(DatabaseCause::TooManyConnections),
            Cause::Database(DatabaseCause::Unwritten),
            Cause::Other("threshold:of_another_version".to_owned()),
            Cause::Other("no stage".to_owned()),
        ];
        causes.extend(Threshold::ALL.map(Cause::Threshold));
        causes.extend(BrakeCause::ALL.map(Cause::Brake));
        causes.extend(StateCause::ALL.map(Cause::State));
        causes.extend(InternalCause::ALL.map(Cause::Internal));
        for cause in causes {
            assert_eq!(cause.to_string().parse(), Ok(cause.clone()), "{cause}");
            assert_eq!(Cause::from(String::from(cause.clone())), cause);
        }
    }

    #[test]
    fn an_error_that_names_a_cause_of_ours_is_that_cause() {
        assert_eq!(
            Cause::database("too_many_connections"),
            Cause::Database(DatabaseCause::TooManyConnections)
        );
    }
}
