//! The run's session with the database: its connection, what the tables look like, the lease and the clock.
//!
//! Knows neither records nor the source.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use super::outcome::Outcome;
use super::request::Inputs;
use super::shard;
use crate::config::plan::KeyChoice;
use crate::pipeline::Spare;
use crate::store::lease::{self, Heartbeat};
use crate::store::{Class, Connection, Layout, Opening, StoreError};

/// What a run has of the database. Nothing, while that is away.
#[derive(Debug, Default)]
pub(super) struct Session {
    /// For the run's own statements (log, lease, cases); a writer has it meanwhile. None while the database is away.
    pub(super) connection: Option<Connection>,
    /// A connection that is being opened for the second writer.
    pub(super) opening: Option<Opening>,
    /// The tables as they are.
    pub(super) layout: Option<Layout>,
    /// PostgreSQL's clock less the local one, microseconds.
    pub(super) clock_offset: i64,
    /// When the database was first seen, by its clock; microseconds since 1970-01-01T00:00:00Z.
    pub(super) began_at: Option<i64>,
    pub(super) heartbeat: Option<Heartbeat>,
    /// Records accounted for, as other runs see them in the lease.
    pub(super) accounted: Arc<AtomicU64>,
    /// The database needs a person (a password, a missing table, a key to choose): nothing is fetched.
    pub(super) needs_person: bool,
}

impl Session {
    /// The database does not answer, or refuses to go on.
    pub(super) fn lost(&mut self, error: &StoreError, outcome: &mut Outcome) {
        outcome.store_failed(error);
        self.connection = None;
    }

    /// The same at the start of a run, where it is decided whether to fetch without a database.
    pub(super) fn not_had(
        &mut self,
        error: &StoreError,
        inputs: &Inputs<'_>,
        outcome: &mut Outcome,
    ) {
        // Without a key, what is fetched now could not even be kept apart.
        self.needs_person =
            error.class() == Class::Fatal || inputs.plan.mapping.key_choice == KeyChoice::Open;
        self.lost(error, outcome);
    }

    /// The connections that writers may have for a while.
    pub(super) const fn lend(&mut self) -> Spare {
        Spare {
            open: self.connection.take(),
            opening: self.opening.take(),
        }
    }

    /// Writers may have used them, and others may come back.
    pub(super) fn take_back(&mut self, spare: Spare, inputs: &Inputs<'_>) {
        self.opening = spare.opening;
        self.connection = spare.open.map(|mut connection| {
            connection.set_deadline(inputs.deadline);
            connection.give_up_on(Arc::clone(&inputs.signals.stop));
            connection
        });
    }

    /// Makes the connection ready for writing down how the run ended: a signal has been heard by then, and what is left to
    /// write has `limit` of its own.
    pub(super) fn prepare_end(&mut self, inputs: &Inputs<'_>, limit: Duration) {
        if self.connection.as_ref().is_none_or(Connection::is_dead) && !self.needs_person {
            // It may have died with those of the writers; the end of the run is worth another try.
            let patience = inputs.database.connection_timeout.min(limit);
            self.connection = Connection::open(inputs.database, patience).ok();
        }
        if let Some(connection) = &mut self.connection {
            connection.give_up_on(Arc::default());
        }
        self.allow(limit);
    }

    /// From now on the connection may take so long.
    pub(super) fn allow(&mut self, limit: Duration) {
        if let Some(connection) = &mut self.connection {
            connection.set_deadline(Some(Instant::now() + limit));
        }
    }

    /// Gives the lease back.
    pub(super) fn release(&mut self, inputs: &Inputs<'_>) {
        drop(self.heartbeat.take());
        let target = shard::lease_name(inputs.database, inputs.request.shard);
        if let Some(connection) = self.connection.as_mut()
            && let Err(error) = lease::release(connection, inputs.database, &target, inputs.id)
        {
            log::info!("{error}");
        }
    }
}
