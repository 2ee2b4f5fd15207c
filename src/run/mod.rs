//! One run, from the first look at the database to the report: what `sync` and `retry` have in common.
//!
//! A `Run` has parts: what was asked (`request.rs`), the session with the database (`session.rs`), what was compiled
//! (`rules.rs`), the source (`watermark.rs`), and how it goes (`outcome.rs`). This file keeps the order of things: lease,
//! log row, replay, fetch, write-back, end. It moves no record itself: [`crate::pipeline`] does.

mod cache;
mod failures;
mod figures;
mod finish;
mod outcome;
mod prepare;
mod replay;
mod request;
mod retried;
pub mod rules;
mod session;
mod shard;
mod start;
mod watermark;
mod write_back;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;

use crate::config::plan::{KeyChoice, Plan};
use crate::exit::{self, Busy, Exit};
use crate::model::cause::{Cause, InternalCause, StateCause};
use crate::pipeline::{self, Brake, Feed, Flow, Job, Keep, Limits, PageInput, Target, Task};
use crate::reporting::alert;
use crate::reporting::report::Report;
use crate::spool::{Spool, SpoolError};
use crate::support::progress::Progress;
use crate::support::signals::Signals;

use outcome::Outcome;
use request::Inputs;
use rules::Compiled;
use session::Session;
use watermark::Source;
use write_back::Delivery;

pub use request::{Purpose, Request};
pub use retried::needs_fetch;
pub use watermark::source_key;

/// Differences that a dry run shows.
const SHOWN_DIFFERENCES: usize = 20;

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
    // Whatever ends the run, what was counted until then is accounted for.
    let mut flow = Flow::default();
    let done = exit::contain(|| run.go(&mut flow, &progress));
    progress.finish();
    match done {
        Ok(()) if flow.ends.broken.is_none() => run.write_back(&flow),
        Ok(()) => {}
        Err(error) if error.is::<Busy>() => return Err(error),
        Err(error) => {
            let cause = if error.is::<SpoolError>() {
                Cause::State(StateCause::Spool)
            } else {
                Cause::Internal(InternalCause::Error)
            };
            run.outcome
                .fail(exit::of(&error), cause, &format!("{error:#}"));
        }
    }
    Ok(run.finish(&flow))
}

/// The parts of a run.
struct Run<'a> {
    inputs: Inputs<'a>,
    session: Session,
    compiled: Compiled,
    source: Source,
    spool: Spool,
    /// Files of the spool that could not be replayed at first.
    refused_files: Vec<PathBuf>,
    /// What has been logged of rejected records.
    rejections: pipeline::RejectionLog,
    /// Number of the last batch: with the run's id it names a transaction.
    next_batch: u64,
    /// What became of the messages to the API. None: nothing was sent.
    delivery: Option<Delivery>,
    outcome: Outcome,
}

/// Where the records of a flow come from.
enum Records {
    /// The API.
    Source,
    /// The spool, or the stored rejections.
    AtHand(Vec<PageInput>),
}

impl Run<'_> {
    /// The run itself, up to write-back. `flow` gains what becomes of the records.
    fn go(&mut self, flow: &mut Flow, progress: &Progress) -> Result<()> {
        if !self.begin()? {
            return Ok(());
        }
        self.outcome.waiting_for = self.why_not_fetch()?;
        if self.outcome.waiting_for.is_some() || self.needs_person() {
            return Ok(());
        }
        if !self.inputs.is_dry() && !self.replay(progress)? {
            return Ok(());
        }
        let purpose = self.inputs.request.purpose;
        if purpose.decides_again() && self.session.connection.is_some() {
            self.decide_again(flow, progress)?;
            self.outcome.decided_again = Some(flow.ledger);
        }
        if purpose.fetches() {
            self.warn_of_triggers();
            self.source.brake = self.brake();
            self.source.fetched = true;
            flow.absorb(self.run_flow(Records::Source, progress));
        }
        self.replay_refused(flow, progress)
    }

    /// Takes the lease and writes down that the run has begun. False: a signal came while another run held the lease.
    fn begin(&mut self) -> Result<bool> {
        let is_dry = self.inputs.is_dry();
        if !is_dry {
            if !self.session.take_lease(&self.inputs, &mut self.outcome)? {
                return Ok(false);
            }
            alert::ping::start(&self.inputs.plan.notifications);
        }
        if self.inputs.request.purpose.fetches() {
            self.read_watermark()?;
        }
        if !is_dry {
            self.start_log();
            self.move_from_state_dir();
        }
        Ok(true)
    }

    /// The database cannot be used before a person has done something: nothing is fetched.
    fn needs_person(&self) -> bool {
        self.session.needs_person && self.session.connection.is_none() && !self.inputs.is_dry()
    }

    /// Why nothing is fetched, where the failure of the database alone does not say it: earlier records wait already, or the
    /// key of a record is not known.
    fn why_not_fetch(&self) -> Result<Option<String>> {
        if self.session.connection.is_some() || self.inputs.is_dry() {
            return Ok(None);
        }
        if self.session.needs_person {
            let open = self.inputs.plan.mapping.key_choice == KeyChoice::Open;
            return Ok(open.then(|| {
                "nothing was fetched: `conflict_key` is not said, and only the database knows the key"
                    .to_owned()
            }));
        }
        let waiting = self.spool.files()?.len();
        Ok((waiting > 0).then(|| {
            let (files, wait) = if waiting == 1 { ("file", "waits") } else { ("files", "wait") };
            format!("nothing was fetched: {waiting} {files} of earlier runs {wait} in the spool until the database is back")
        }))
    }

    /// A dry run cannot know what triggers would change.
    fn warn_of_triggers(&self) {
        if self.inputs.is_dry()
            && let Some(layout) = &self.session.layout
            && !layout.interceptors().is_empty()
        {
            log::warn!(
                "{} has {}: what they would change or skip, a dry run cannot know",
                layout.target(),
                layout.interceptors().join(", ")
            );
        }
    }

    /// What a full run is compared with; nothing, when it is not full or a person has looked at it.
    fn brake(&mut self) -> Brake {
        let request = self.inputs.request;
        if request.accept_drop || request.limit.is_some() || self.source.mark.incremental {
            return Brake::default();
        }
        let brakes = &self.inputs.plan.brakes;
        let (previous, previous_whole) = self.volumes_before().unwrap_or_else(|error| {
            log::warn!("{error}");
            (None, None)
        });
        Brake {
            previous,
            previous_whole,
            zero_records: brakes.zero_records,
            max_drop: brakes.max_drop,
            max_rejection: brakes.max_rejection,
        }
    }

    /// Takes records through the pipeline.
    fn run_flow(&mut self, records: Records, progress: &Progress) -> Flow {
        let threads = self.fetch_threads();
        let mut spare = self.session.lend();
        let Inputs {
            plan,
            api,
            database,
            request,
            signals,
            ..
        } = self.inputs;
        let task = if self.inputs.is_dry() {
            Task::Compare {
                differences: SHOWN_DIFFERENCES,
            }
        } else {
            Task::Write
        };
        let mut limits = Limits {
            brake: Brake::default(),
            shard: None,
            records: None,
            batch_size: database.batch_size,
            min_connections: database.min_connections,
            max_connections: database.max_connections,
            continue_on_database_failure: plan.on_failure.continue_on_database_failure,
            deadline: self.inputs.deadline,
            stop: &signals.stop,
            progress_wanted: &signals.progress_wanted,
            rejections: &self.rejections,
        };
        let mut keep = None;
        let feed = match records {
            Records::AtHand(inputs) => Feed::Inputs(inputs),
            Records::Source => {
                limits.brake = self.source.brake;
                limits.shard = request.shard;
                limits.records = request.limit;
                // Records at hand are kept where they are.
                keep = (task == Task::Write).then_some(Keep {
                    spool: &mut self.spool,
                    config_hash: &plan.config_hash,
                });
                Feed::Api {
                    api,
                    pages: &self.source.pages,
                    threads,
                    clock: self.session.clock,
                }
            }
        };
        let flow = pipeline::run(Job {
            feed,
            rules: self.compiled.rules(),
            target: Target {
                database,
                columns: Arc::clone(&self.compiled.columns),
                layout: self.session.layout.as_ref(),
                run_id: self.inputs.id,
                clock: self.session.clock,
                task,
                message_builder: self.compiled.message_builder.as_ref(),
                mask: &self.compiled.mask,
                config_hash: &plan.config_hash,
            },
            limits,
            keep,
            next_batch: &mut self.next_batch,
            spare: &mut spare,
            shown: pipeline::Shown {
                progress,
                accounted: &self.session.accounted,
            },
        });
        self.session.take_back(spare, &self.inputs);
        self.outcome.has_rejected |= flow.ledger.rejected > 0;
        flow
    }
}
