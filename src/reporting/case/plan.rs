//! The plan of a case: five steps, and where each stands.

use serde::{Deserialize, Serialize};

/// The five steps, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// A person looks at what happened.
    Investigate,
    /// The checks of `check-api` run.
    CheckApi,
    /// The checks of `check-db` run.
    CheckDatabase,
    /// A person removes the cause.
    Resolve,
    /// `datasync retry` runs again what had failed.
    Retry,
}

impl Step {
    /// All of them, in order.
    pub const ALL: [Self; 5] = [
        Self::Investigate,
        Self::CheckApi,
        Self::CheckDatabase,
        Self::Resolve,
        Self::Retry,
    ];

    /// Its name in the plan.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Investigate => "investigate",
            Self::CheckApi => "check API status",
            Self::CheckDatabase => "check database status",
            Self::Resolve => "resolve",
            Self::Retry => "retry synchronization",
        }
    }

    /// A person does it; `datasync retry` does the others.
    pub const fn is_human(self) -> bool {
        matches!(self, Self::Investigate | Self::Resolve)
    }
}

/// Where a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Its turn has not come.
    Available,
    /// It is the next to be done.
    Active,
    /// It was done.
    Completed,
    /// It was tried in vain.
    Failed,
    /// The case was closed without it.
    Skipped,
}

impl State {
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
    /// Which of the five.
    pub step: Step,
    /// Where it stands.
    pub state: State,
    /// `user@host` of whoever changed its state last.
    pub who: Option<String>,
    /// When that was, RFC 3339.
    pub when: Option<String>,
    /// What was found or done.
    pub note: Option<String>,
}
