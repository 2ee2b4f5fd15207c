//! What a run was asked to do, and everything else that stays the same until it ends. It decides nothing.

use std::time::{Duration, Instant};

use crate::config::plan::{Api, Database, Plan};
use crate::model::cause::Cause;
use crate::model::shard::Shard;
use crate::reporting::case::Case;
use crate::support::signals::Signals;

/// What the command line asks of a run.
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub purpose: Purpose,
    /// The most records to fetch.
    pub limit: Option<u64>,
    pub deadline: Option<Duration>,
    /// How long to wait for another run to finish.
    pub wait: Option<Duration>,
    /// Switches the brakes off for this run: a person has checked what they stopped.
    pub accept_drop: bool,
    /// Fetch everything, regardless of the watermark.
    pub full: bool,
    /// Fetch what has changed since this time, regardless of the watermark.
    pub since: Option<jiff::Timestamp>,
    /// Process only the records of this shard.
    pub shard: Option<Shard>,
    /// Set for a retry while the API is known to be away: the cause and the sentence of the failure with which it ends.
    pub api_down: Option<(Cause, String)>,
    /// The cases that a retry tries to close.
    pub cases: Vec<Case>,
}

impl Request {
    /// The command as it could be typed, for the log of runs.
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
        // A retry fetches what the failed run had to fetch; that is no flag of its own.
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

/// The purpose of a run.
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
    /// True if records are fetched from the API.
    pub(super) const fn fetches(self) -> bool {
        !matches!(self, Self::Retry { fetch: false, .. })
    }

    /// True for a retry.
    pub(super) const fn is_retry(self) -> bool {
        matches!(self, Self::Retry { .. })
    }

    /// True if stored rejections are decided again.
    pub(super) const fn decides_again(self) -> bool {
        matches!(self, Self::Retry { rejected: true, .. })
    }
}

/// What a run is given, its id, and when it began.
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
    /// True for a dry run.
    pub(super) fn is_dry(&self) -> bool {
        self.request.purpose == Purpose::DryRun
    }

    /// `limit`, or the time that is left before the deadline where that is less.
    pub(super) fn at_most(&self, limit: Duration) -> Duration {
        self.deadline.map_or(limit, |deadline| {
            limit.min(deadline.saturating_duration_since(Instant::now()))
        })
    }

    /// True if the deadline has passed.
    pub(super) fn is_late(&self) -> bool {
        self.deadline
            .is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// The shard as `sync_log` names it.
    pub(super) fn shard_name(&self) -> Option<String> {
        self.request.shard.map(|shard| shard.to_string())
    }
}
