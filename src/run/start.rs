//! The start of a run: its lease, its row in the log, and what was noted on disk while the database was away.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::{Purpose, Run, shard};
use crate::exit::Busy;
use crate::reporting::incident;
use crate::store::lease::{self, Asked, Heartbeat};
use crate::store::{self, Class};

/// How often `--wait` asks for the lease again.
const ASK_AGAIN: Duration = Duration::from_millis(500);

impl Run<'_> {
    /// False: a signal came while another run held it.
    pub(super) fn take_lease(&mut self) -> Result<bool> {
        let shard = self.request.shard;
        let target = shard::lease_name(self.database, shard);
        let who = incident::who();
        let mut until = self.request.wait.map(|wait| Instant::now() + wait);
        if let (Some(at), Some(deadline)) = (&mut until, self.deadline) {
            *at = deadline.min(*at);
        }
        loop {
            let Some(connection) = self.connection.as_mut() else {
                return Ok(true);
            };
            match shard::acquire(connection, self.database, shard, self.id, &who) {
                Ok(Asked::Granted { took_over }) => {
                    if let Some(before) = took_over {
                        log::warn!(
                            "run {before} ended without giving its lease back; this one takes over"
                        );
                    }
                    // Whoever holds the lease knows that no other run of this target is alive.
                    let shard = shard.map(|shard| shard.to_string());
                    if let Err(error) =
                        store::log::abandon(connection, self.database, shard.as_deref(), self.id)
                    {
                        log::warn!("{error}");
                    }
                    break;
                }
                Ok(Asked::Held(holder)) => {
                    // Asking once more must fit into what is left.
                    let again = Instant::now() + ASK_AGAIN;
                    let patient = until.is_some_and(|until| again < until);
                    if self.signals.asked().is_some() {
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
                    self.fatal = error.class() == Class::Fatal;
                    self.store_failed(&error);
                    self.connection = None;
                    return Ok(true);
                }
            }
        }
        let heartbeat =
            Heartbeat::start(self.database, &target, self.id, Arc::clone(&self.accounted))
                .context("cannot start the heartbeat of the lease")?;
        self.heartbeat = Some(heartbeat);
        Ok(true)
    }

    pub(super) fn start_log(&mut self) {
        let header = self.header();
        let Some(connection) = self.connection.as_mut() else {
            return;
        };
        if let Err(error) = store::log::start(connection, self.database, &header) {
            self.store_failed(&error);
            self.connection = None;
        }
    }

    const fn mode(&self) -> &'static str {
        if matches!(self.request.purpose, Purpose::Retry { .. }) {
            "retry"
        } else {
            self.scope()
        }
    }

    /// How much of the source is asked for.
    pub(super) const fn scope(&self) -> &'static str {
        if self.mark.incremental {
            "incremental"
        } else {
            "full"
        }
    }

    /// What is known of the run when it starts.
    pub(super) fn header(&self) -> store::RunHeader {
        store::RunHeader {
            run_id: self.id,
            mode: self.mode().to_owned(),
            shard: self.shard_name(),
            started_at: self.started_at + self.clock_offset,
            host: lease::host_name(),
            os_user: crate::config::user_name(),
            process_id: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            config_hash: self.plan.config_hash.clone(),
            watermark_before: self.mark.before.clone(),
            command: Some(self.request.command()),
            source: Some({
                let mut address = self.api.base_url.clone();
                let path = address.path().trim_end_matches('/').to_owned() + &self.api.fetch.path;
                address.set_path(&path);
                address.to_string()
            }),
        }
    }

    /// Brings home what was kept on disk while the database was away: log rows and cases.
    pub(super) fn move_from_state_dir(&mut self) {
        let Some(connection) = self.connection.as_mut() else {
            return;
        };
        if let Err(error) =
            incident::move_from_state_dir(connection, self.plan, &self.id.to_string())
        {
            log::warn!(
                "what was noted while the database was away stays on disk for now: {error:#}"
            );
        }
    }
}
