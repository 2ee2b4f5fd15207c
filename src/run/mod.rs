//! One run, from the first look at the database to the report: what `sync` and `retry` have in common.
//!
//! It composes the stages, keeps the order of things (lease, log row, replay, fetch, ledger, case) and turns what
//! happened into a status and an exit code. It moves no record itself: [`crate::pipeline`] does.

mod cache;
mod finish;
mod prepare;
mod replay;
pub mod rules;
mod shard;
mod start;
mod watermark;
mod write_back;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::api::Pages;
use crate::config::plan::{Api, Database, KeyChoice, Plan};
use crate::decision::Decision;
use crate::exit::{self, Busy, Exit};
use crate::model::cause::{Cause, InternalCause};
use crate::model::record::Ledger;
use crate::model::shard::Shard;
use crate::pipeline::{self, Feed, Flow, Job, Keep, Limits, Rules, Target, Task};
use crate::reporting::alert;
use crate::reporting::incident::{Failure, Remark};
use crate::reporting::report::Report;
use crate::spool::Spool;
use crate::store::lease::Heartbeat;
use crate::store::{Columns, Composer, Connection, Layout, Opening, StoreError};
use crate::support::progress::Progress;
use crate::support::signals::Signals;
use crate::transform::Transform;

use cache::Cache;
use watermark::Mark;

/// Differences that a dry run shows.
const SHOWN_DIFFERENCES: usize = 20;

/// What was asked for on the command line.
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub purpose: Purpose,
    /// In records.
    pub limit: Option<u64>,
    pub deadline: Option<Duration>,
    /// Wait so long for another run to finish.
    pub wait: Option<Duration>,
    /// Somebody has looked at a brake: let it pass.
    pub accept_drop: bool,
    /// Everything, whatever the watermark says.
    pub full: bool,
    /// What changed since then, whatever the watermark says.
    pub since: Option<jiff::Timestamp>,
    /// Only the records of this share.
    pub shard: Option<Shard>,
    /// The source should be read again, but the API is known to be away: the cause, and a sentence. The run fails of it.
    pub api_down: Option<(Cause, String)>,
}

impl Request {
    /// As it could be typed: for the log of runs.
    fn command(&self) -> String {
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
        let full = self.full && !matches!(self.purpose, Purpose::Retry { .. });
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
    /// Replay the spool and repair what failed; the cases are closed by the caller.
    Retry {
        /// Fetch and write as well.
        fetch: bool,
        /// Decide the stored rejections again, by today's mapping and rules.
        rejected: bool,
    },
}

impl Purpose {
    const fn fetches(self) -> bool {
        !matches!(self, Self::Retry { fetch: false, .. })
    }
}

/// Runs the whole chain: replay → fetch → transform → decide → write → report.
///
/// # Errors
/// Only what ends a run before it has begun (configuration, tables that do not fit, another run at work) or a bug.
/// Everything that happens later is in the report.
pub fn sync(
    plan: &Plan,
    request: &Request,
    signals: &Signals,
    progress: Progress,
) -> Result<(Report, Exit)> {
    let mut run = Run::prepare(plan, request, signals)?;
    let outcome = exit::contain(|| run.go(&progress));
    progress.finish();
    let flow = match outcome {
        Ok(flow) => {
            if flow.broken.is_none()
                && let Err(error) = run.write_back(&flow)
            {
                let sentence = format!("write-back: {error:#}");
                run.fail(
                    Exit::Internal,
                    Cause::Internal(InternalCause::WriteBack),
                    &sentence,
                );
            }
            flow
        }
        Err(error) if error.is::<Busy>() => return Err(error),
        Err(error) => {
            let cause = Cause::Internal(InternalCause::Error);
            run.fail(exit::of(&error), cause, &format!("{error:#}"));
            Flow::default()
        }
    };
    Ok(run.finish(&flow))
}

/// Everything a run holds on to.
struct Run<'a> {
    plan: &'a Plan,
    api: &'a Api,
    database: &'a Database,
    request: &'a Request,
    signals: &'a Signals,
    id: uuid::Uuid,
    started: Instant,
    /// Local clock, microseconds since 1970-01-01T00:00:00Z.
    started_at: i64,
    deadline: Option<Instant>,
    transform: Transform,
    decision: Decision,
    columns: Arc<Columns>,
    /// Makes the messages of write-back; None: it is off.
    composer: Option<Composer>,
    delivery: Option<write_back::Delivery>,
    spool: Spool,
    pages: Pages,
    /// For the run's own statements (log, lease, cases); a writer has it meanwhile. None while the database is away.
    connection: Option<Connection>,
    /// Another one, for the second writer.
    opening: Option<Opening>,
    layout: Option<Layout>,
    clock_offset: i64,
    /// When the database was first seen: its clock, microseconds since 1970-01-01T00:00:00Z.
    began_at: i64,
    mark: Mark,
    known: Cache,
    heartbeat: Option<Heartbeat>,
    /// Records accounted for, as other runs see them in the lease.
    accounted: Arc<AtomicU64>,
    fetched_at_all: bool,
    brake: pipeline::Brake,
    braked: bool,
    rejections: pipeline::RejectionLog,
    replayed: u64,
    /// What became of stored rejections that were decided again; part of the run's ledger.
    decided_again: Option<Ledger>,
    next_batch: u64,
    exit: Exit,
    /// What went wrong, worst first in the end.
    failures: Vec<Failure>,
    /// Thresholds without an exit code that were crossed.
    remarks: Vec<Remark>,
    /// The database needs a person: nothing is fetched.
    fatal: bool,
    /// Why nothing was fetched, where the failure of the database alone does not say it.
    waiting_for: Option<String>,
}

impl Run<'_> {
    /// The connections that writers may have for a while.
    const fn spare(&mut self) -> pipeline::Spare {
        pipeline::Spare {
            open: self.connection.take(),
            opening: self.opening.take(),
        }
    }

    /// Writers may have used them, and others may come back.
    fn take_back(&mut self, spare: pipeline::Spare) {
        self.opening = spare.opening;
        self.connection = spare.open.map(|mut connection| {
            connection.set_deadline(self.deadline);
            connection.give_up_on(Arc::clone(&self.signals.stop));
            connection
        });
    }

    fn fail(&mut self, exit: Exit, cause: Cause, sentence: &str) {
        self.exit = self.exit.worse(exit);
        self.failures.push(Failure {
            exit,
            cause,
            sentence: sentence.to_owned(),
        });
    }

    fn store_failed(&mut self, error: &StoreError) {
        self.fail(
            Exit::Database,
            Cause::database(error.kind()),
            &error.to_string(),
        );
    }

    fn is_dry(&self) -> bool {
        self.request.purpose == Purpose::DryRun
    }

    /// The run itself.
    fn go(&mut self, progress: &Progress) -> Result<Flow> {
        if !self.is_dry() {
            if !self.take_lease()? {
                // Told to end while it waited for its turn.
                return Ok(Flow::default());
            }
            alert::ping::start(&self.plan.notifications);
        }
        if self.request.purpose.fetches() {
            self.read_watermark()?;
        }
        if !self.is_dry() {
            self.start_log();
            self.move_from_state_dir();
        }
        if self.fatal && self.connection.is_none() && !self.is_dry() {
            // The database needs a person first, as the report says.
            if self.plan.mapping.key_choice == KeyChoice::Open {
                self.waiting_for = Some(
                    "nothing was fetched: `conflict_key` is not said, and only the database knows the key"
                        .to_owned(),
                );
            }
            return Ok(Flow::default());
        }
        self.waiting_for = self.why_not_fetch()?;
        if self.waiting_for.is_some() {
            return Ok(Flow::default());
        }
        if !self.is_dry() {
            let seen = self.connection.is_some();
            self.replay(progress)?;
            if seen && self.connection.is_none() {
                // It went away during the replay: what waits comes first.
                return Ok(Flow::default());
            }
        }
        let mut flow = Flow::default();
        if matches!(self.request.purpose, Purpose::Retry { rejected: true, .. })
            && self.connection.is_some()
        {
            flow = self.decide_again(progress)?;
            self.decided_again = Some(flow.ledger);
        }
        if !self.request.purpose.fetches() {
            return Ok(flow);
        }
        if self.is_dry()
            && let Some(layout) = &self.layout
            && !layout.interceptors().is_empty()
        {
            log::warn!(
                "{} has {}: what they would change or skip, a dry run cannot know",
                layout.target(),
                layout.interceptors().join(", ")
            );
        }
        self.brake = self.brake();
        self.fetched_at_all = true;
        let mut spare = self.spare();
        let feed = Feed::Api {
            api: self.api,
            pages: &self.pages,
            threads: self.fetch_threads(),
            clock_offset: self.clock_offset,
        };
        let mut next_batch = self.next_batch;
        let task = if self.is_dry() {
            Task::Compare {
                differences: SHOWN_DIFFERENCES,
            }
        } else {
            Task::Write
        };
        let keep = (task == Task::Write).then_some(Keep {
            spool: &mut self.spool,
            config_hash: &self.plan.config_hash,
        });
        let target = Target {
            database: self.database,
            columns: Arc::clone(&self.columns),
            layout: self.layout.as_ref(),
            run_id: self.id,
            clock_offset: self.clock_offset,
            task,
            composer: self.composer.as_ref(),
            config_hash: &self.plan.config_hash,
        };
        let rules = Rules {
            transform: &self.transform,
            decision: &self.decision,
        };
        let mut limits = limits(
            self.plan,
            self.database,
            self.deadline,
            self.signals,
            &self.rejections,
        );
        limits.records = self.request.limit;
        limits.brake = self.brake;
        limits.shard = self.request.shard;
        let shown = pipeline::Shown {
            progress,
            accounted: &self.accounted,
        };
        let fetched = pipeline::run(Job {
            feed,
            rules,
            target,
            limits,
            keep,
            next_batch: &mut next_batch,
            spare: &mut spare,
            shown,
        });
        self.next_batch = next_batch;
        self.take_back(spare);
        flow.absorb(fetched);
        Ok(flow)
    }

    /// What a full run is compared with; nothing, when it is not full or somebody has looked at it.
    fn brake(&mut self) -> pipeline::Brake {
        if self.request.accept_drop || self.request.limit.is_some() || self.mark.incremental {
            return pipeline::Brake::default();
        }
        let brakes = &self.plan.brakes;
        let (previous, previous_whole) = self.volumes_before().unwrap_or_else(|error| {
            log::warn!("{error}");
            (None, None)
        });
        pipeline::Brake {
            previous,
            previous_whole,
            zero_records: brakes.zero_records,
            max_drop: brakes.max_drop,
            max_rejection: brakes.max_rejection,
        }
    }

    /// With the database away nothing is fetched when earlier records wait already.
    fn why_not_fetch(&self) -> Result<Option<String>> {
        if self.connection.is_some() || self.is_dry() {
            return Ok(None);
        }
        let waiting = self.spool.files()?.len();
        Ok((waiting > 0).then(|| {
            let (batches, wait) = if waiting == 1 { ("batch", "waits") } else { ("batches", "wait") };
            format!("nothing was fetched: {waiting} {batches} of earlier runs {wait} in the spool until the database is back")
        }))
    }
}

fn limits<'a>(
    plan: &Plan,
    database: &Database,
    deadline: Option<Instant>,
    signals: &'a Signals,
    rejections: &'a pipeline::RejectionLog,
) -> Limits<'a> {
    Limits {
        brake: pipeline::Brake::default(),
        shard: None,
        records: None,
        batch_size: database.batch_size,
        min_connections: database.min_connections,
        max_connections: database.max_connections,
        continue_on_database_failure: plan.on_failure.continue_on_database_failure,
        deadline,
        stop: &signals.stop,
        rejections,
    }
}
