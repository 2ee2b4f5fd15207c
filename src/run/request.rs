//! What a run was asked for, and what stays the same until it ends. Decides nothing.

use std::time::{Duration, Instant};

use crate::config::plan::{Api, Database, Plan};
use crate::model::cause::Cause;
use crate::model::shard::Shard;
use crate::reporting::case::Case;
use crate::support::signals::Signals;

/// What was asked for on the command line.
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub purpose: Purpose,
    /// In records.
    pub limit: Option<u64>,
    pub deadline: Option<Duration>,
    /// Wait so long for another run to finish.
    pub wait: Option<Duration>,
    /// A person has looked at what a brake stopped: no brake stops this run.
    pub accept_drop: bool,
    /// Fetch everything, whatever the watermark says.
    pub full: bool,
    /// Fetch what changed since then, whatever the watermark says.
    pub since: Option<jiff::Timestamp>,
    /// Only the records of this shard.
    pub shard: Option<Shard>,
    /// A retry should read the source again, but the API is known to be away: the cause, and a sentence. The run fails with
    /// that cause.
    pub api_down: Option<(Cause, String)>,
    /// The cases that a retry is about.
    pub cases: Vec<Case>,
}

impl Request {
    /// As it could be typed: for the log of runs.
    pub(super) fn command(&self) -> String {
        let mut words = vec![match self.purpose {
            Purpose::Sync => "sync".to_owned(),
            Purpose::DryRun => "sync --dry-run".to_owned(),
            Purpose::Retry { rejected, .. } => (if rejected {
                "retry --rejected"
            } else {
                "retry"
            })
            .to_owned(),
        }];
        // A retry asks for what the run before it had been asked for, which is no flag of its own.
        let full = self.full && !self.purpose.is_retry();
        words.extend(self.limit.map(|limit| format!("--limit {limit}")));
        for (name, duration) in [("--deadline", self.deadline), ("--wait", self.wait)] {
            words.extend(duration.map(|duration| format!("{name} {}ms", duration.as_millis())));
        }
        words.extend(self.accept_drop.then(|| "--accept-drop".to_owned()));
        words.extend(full.then(|| "--full".to_owned()));
        words.extend(self.since.map(|since| format!("--since {since}")));
        words.extend(self.shard.map(|shard| format!("--shard {shard}")));
        words.join(" ")
    }
}

/// What a run is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// Replay the spool, then fetch and write.
    #[default]
    Sync,
    /// Fetch and compare; write nothing.
    DryRun,
    /// Replay the spool and repair what failed.
    Retry {
        /// Fetch and write as well.
        fetch: bool,
        /// Decide the stored rejections again, by today's mapping and rules.
        rejected: bool,
    },
}

impl Purpose {
    pub(super) const fn fetches(self) -> bool {
        !matches!(self, Self::Retry { fetch: false, .. })
    }

    pub(super) const fn is_retry(self) -> bool {
        matches!(self, Self::Retry { .. })
    }

    pub(super) const fn decides_again(self) -> bool {
        matches!(self, Self::Retry { rejected: true, .. })
    }
}

/// What a run is given, and when and as what it began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inputs<'a> {
    pub(super) plan: &'a Plan,
    pub(super) api: &'a Api,
    pub(super) database: &'a Database,
    pub(super) request: &'a Request,
    pub(super) signals: &'a Signals,
    pub(super) id: uuid::Uuid,
    pub(super) started: Instant,
    pub(super) deadline: Option<Instant>,
}

impl Inputs<'_> {
    pub(super) fn is_dry(&self) -> bool {
        self.request.purpose == Purpose::DryRun
    }

    /// What is left of `limit` before the deadline.
    pub(super) fn at_most(&self, limit: Duration) -> Duration {
        self.deadline.map_or(limit, |deadline| {
            limit.min(deadline.saturating_duration_since(Instant::now()))
        })
    }

    pub(super) fn is_late(&self) -> bool {
        self.deadline
            .is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// The shard as `sync_log` has it.
    pub(super) fn shard_name(&self) -> Option<String> {
        self.request.shard.map(|shard| shard.to_string())
    }
}
