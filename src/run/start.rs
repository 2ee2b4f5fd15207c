//! The start of a run: its lease, its row in the log, and what was noted on disk while the database was away.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::outcome::Outcome;
use super::request::Inputs;
use super::session::Session;
use super::{Run, shard};
use crate::exit::Busy;
use crate::reporting::incident;
use crate::store::lease::{self, Asked, Heartbeat};
use crate::store::{self, Class};

/// How often `--wait` asks for the lease again.
const ASK_AGAIN: Duration = Duration::from_millis(500);

impl Session {
    /// Takes the lease, and waits for it as long as was asked for. False: a signal came while another run held it.
    ///
    /// # Errors
    /// [`Busy`]: another run holds it.
    pub(super) fn take_lease(
        &mut self,
        inputs: &Inputs<'_>,
        outcome: &mut Outcome,
    ) -> Result<bool> {
        let (database, shard) = (inputs.database, inputs.request.shard);
        let target = shard::lease_name(database, shard);
        let who = incident::who();
        let wait = inputs.request.wait.map(|wait| inputs.at_most(wait));
        let until = wait.map(|wait| Instant::now() + wait);
        loop {
            let Some(connection) = self.connection.as_mut() else {
                return Ok(true);
            };
            match shard::acquire(connection, database, shard, inputs.id, &who) {
                Ok(Asked::Granted { took_over, .. }) => {
                    if let Some(before) = took_over {
                        log::warn!(
                            "run {before} ended without giving its lease back; this one takes over"
                        );
                    }
                    // Whoever holds the lease knows that no other run of this target is alive.
                    let shard = inputs.shard_name();
                    let abandoned =
                        store::log::abandon(connection, database, shard.as_deref(), inputs.id);
                    if let Err(error) = abandoned {
                        log::warn!("{error}");
                    }
                    break;
                }
                Ok(Asked::Held(holder)) => {
                    // Asking once more must fit into what is left.
                    let again = Instant::now() + ASK_AGAIN;
                    let patient = until.is_some_and(|until| again < until);
                    if inputs.signals.asked().is_some() {
                        return Ok(false);
                    }
                    if !patient {
                        return Err(Busy {
                            target,
                            who: holder.who,
                            host: holder.host,
                            since: holder.since,
                            progress: u64::try_from(holder.progress).unwrap_or_default(),
                        }
                        .into());
                    }
                    std::thread::sleep(ASK_AGAIN);
                }
                Err(error) => {
                    self.needs_person = error.class() == Class::Fatal;
                    self.lost(&error, outcome);
                    return Ok(true);
                }
            }
        }
        let accounted = Arc::clone(&self.accounted);
        let heartbeat = Heartbeat::start(database, &target, inputs.id, accounted)
            .context("cannot start the heartbeat of the lease")?;
        self.heartbeat = Some(heartbeat);
        Ok(true)
    }
}

impl Run<'_> {
    /// Writes the run's row in the log.
    pub(super) fn start_log(&mut self) {
        let header = self.header();
        let Some(connection) = self.session.connection.as_mut() else {
            return;
        };
        if let Err(error) = store::log::start(connection, self.inputs.database, &header) {
            self.session.lost(&error, &mut self.outcome);
        }
    }

    const fn mode(&self) -> &'static str {
        if self.inputs.request.purpose.is_retry() {
            "retry"
        } else {
            self.scope()
        }
    }

    /// How much of the source is asked for.
    pub(super) const fn scope(&self) -> &'static str {
        if self.source.mark.incremental {
            "incremental"
        } else {
            "full"
        }
    }

    /// What is known of the run when it starts.
    pub(super) fn header(&self) -> store::RunHeader {
        let Inputs { plan, api, id, .. } = self.inputs;
        store::RunHeader {
            run_id: id,
            mode: self.mode().to_owned(),
            shard: self.inputs.shard_name(),
            started_at: self.session.clock.at(self.inputs.started),
            host: lease::host_name(),
            os_user: crate::config::user_name(),
            process_id: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            config_hash: plan.config_hash.clone(),
            watermark_before: self.source.mark.before.clone(),
            command: Some(self.inputs.request.command()),
            source: Some(api.shown_address(&api.fetch)),
            source_key: Some(self.source.key.clone()),
        }
    }

    /// Moves log rows and cases into the database that were kept on disk while it was away.
    pub(super) fn move_from_state_dir(&mut self) {
        let Some(connection) = self.session.connection.as_mut() else {
            return;
        };
        let Inputs { plan, id, .. } = self.inputs;
        if let Err(error) = incident::move_from_state_dir(connection, plan, &id.to_string()) {
            log::warn!(
                "what was noted while the database was away stays on disk for now: {error:#}"
            );
        }
    }
}
