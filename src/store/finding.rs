//! The result of one step of `check-db`, or of another check of a part of the database.

use super::error::StoreError;

/// The result of a step: detail and optional hint, or a failure.
pub(super) type StepResult = Result<(String, Option<String>), StepFailure>;

/// Detail and optional hint of a step that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StepFailure {
    pub(super) detail: String,
    pub(super) hint: Option<String>,
    /// The database did not answer as it should, so changing tables, privileges or mapping would not help.
    pub(super) is_of_database: bool,
}

/// A step that succeeded, without a hint.
#[allow(clippy::unnecessary_wraps, reason = "what a step returns")]
pub(super) fn well(detail: impl Into<String>) -> StepResult {
    Ok((detail.into(), None))
}

/// A step that failed, with a hint.
pub(super) fn bad(detail: impl Into<String>, hint: impl Into<String>) -> StepResult {
    Err(StepFailure {
        detail: detail.into(),
        hint: Some(hint.into()),
        is_of_database: false,
    })
}

impl StepFailure {
    /// A failure of this machine, about which the user knows more.
    pub(super) fn of_this_machine(detail: String) -> Self {
        Self {
            detail,
            hint: None,
            is_of_database: true,
        }
    }
}

impl From<&StoreError> for StepFailure {
    /// What happened, with the advice as the hint.
    fn from(error: &StoreError) -> Self {
        let is_privilege = error.kind() == "privilege";
        let hint = if is_privilege {
            // The usual hint is to run this very check, which would not help here.
            "see `privileges` below"
        } else {
            error.hint()
        };
        Self {
            detail: error.what().to_owned(),
            hint: Some(hint.to_owned()),
            is_of_database: !is_privilege,
        }
    }
}

impl From<StoreError> for StepFailure {
    fn from(error: StoreError) -> Self {
        Self::from(&error)
    }
}
