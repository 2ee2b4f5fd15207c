//! What one step of `check-db`, or a look at a part of the database, found.

use super::error::StoreError;

/// Detail and maybe a hint, of a step that is well or of one that failed.
pub(super) type Found = Result<(String, Option<String>), Failure>;

/// Detail and maybe a hint of a step that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) detail: String,
    pub(super) hint: Option<String>,
    /// The database did not answer as it should: nothing that a change of tables, privileges or mapping would mend.
    pub(super) is_of_database: bool,
}

/// Found in order, with nothing to add.
#[allow(clippy::unnecessary_wraps, reason = "what a step returns")]
pub(super) fn well(detail: impl Into<String>) -> Found {
    Ok((detail.into(), None))
}

pub(super) fn bad(detail: impl Into<String>, hint: impl Into<String>) -> Found {
    Err(Failure {
        detail: detail.into(),
        hint: Some(hint.into()),
        is_of_database: false,
    })
}

impl Failure {
    /// Something of this machine, about which the user knows more.
    pub(super) fn of_this_machine(detail: String) -> Self {
        Self {
            detail,
            hint: None,
            is_of_database: true,
        }
    }
}

impl From<&StoreError> for Failure {
    /// What happened, and its advice apart from it.
    fn from(error: &StoreError) -> Self {
        let is_privilege = error.kind() == "privilege";
        let hint = if is_privilege {
            // That this very check should be run helps nobody.
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

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::from(&error)
    }
}
