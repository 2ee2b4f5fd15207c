//! The plan of a case: five steps, and the state of each.

use serde::{Deserialize, Serialize};

/// The five steps, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// A person finds out what happened.
    Investigate,
    /// `datasync retry` runs the checks of `check-api`.
    CheckApi,
    /// `datasync retry` runs the checks of `check-db`.
    CheckDatabase,
    /// A person removes the cause.
    Resolve,
    /// `datasync retry` repeats what failed.
    Retry,
}

impl Step {
    /// All steps, in order.
    pub const ALL: [Self; 5] = [
        Self::Investigate,
        Self::CheckApi,
        Self::CheckDatabase,
        Self::Resolve,
        Self::Retry,
    ];

    /// The title of the step in the plan.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Investigate => "investigate",
            Self::CheckApi => "check API status",
            Self::CheckDatabase => "check database status",
            Self::Resolve => "resolve",
            Self::Retry => "retry synchronization",
        }
    }

    /// True for a step that a person does. `datasync retry` does the others.
    pub const fn is_human(self) -> bool {
        matches!(self, Self::Investigate | Self::Resolve)
    }
}

/// The state of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is not due yet.
    Available,
    /// It is the next step to be done.
    Active,
    /// It succeeded.
    Completed,
    /// It failed.
    Failed,
    /// The case was closed without it.
    Skipped,
}

impl State {
    /// The state as a case shows it.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Active => "active",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// One step of the plan.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Item {
    /// Which of the five steps it is.
    pub step: Step,
    /// The state of the step.
    pub state: State,
    /// Who changed the state last, as `user@host`.
    pub who: Option<String>,
    /// When that was, as RFC 3339.
    pub when: Option<String>,
    /// What was found or done.
    pub note: Option<String>,
}
