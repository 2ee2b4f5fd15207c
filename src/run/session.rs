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
use crate::model::clock::{DatabaseClock, Micros};
use crate::pipeline::Spare;
use crate::store::lease::{self, Heartbeat};
use crate::store::{self, Class, Connection, Layout, Opening, StoreError};

/// A run that is longer than this asks whether its connection is still there before it writes down its end.
const IDLE: Duration = Duration::from_secs(1);

/// What a run has of the database. Nothing, while that is away.
#[derive(Debug)]
pub(super) struct Session {
    /// For the run's own statements (log, lease, cases); a writer has it meanwhile. None while the database is away.
    pub(super) connection: Option<Connection>,
    /// A connection that is being opened for the second writer.
    pub(super) opening: Option<Opening>,
    /// The tables as they are.
    pub(super) layout: Option<Layout>,
    /// PostgreSQL's clock; this machine's, while the database is away.
    pub(super) clock: DatabaseClock,
    /// When the database was first seen, by its clock.
    pub(super) began_at: Option<Micros>,
    pub(super) heartbeat: Option<Heartbeat>,
    /// Records accounted for, as other runs see them in the lease.
    pub(super) accounted: Arc<AtomicU64>,
    /// The database needs a person (a password, a missing table, a key to choose): nothing is fetched.
    pub(super) needs_person: bool,
}

impl Session {
    pub(super) fn new() -> Self {
        Self {
            connection: None,
            opening: None,
            layout: None,
            clock: DatabaseClock::local(),
            began_at: None,
            heartbeat: None,
            accounted: Arc::default(),
            needs_person: false,
        }
    }

    /// The database does not answer, or refuses to go on.
    pub(super) fn lost(&mut self, error: &StoreError, outcome: &mut Outcome) {
        outcome.store_failed(error);
        self.connection = None;
    }

    /// The same at the start of a run, where it is decided whether to fetch without a database.
    pub(super) fn unavailable_at_start(
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

    /// Opens a connection in place of one that was lost. False: the database is away.
    pub(super) fn reconnect(&mut self, inputs: &Inputs<'_>) -> bool {
        self.connection = open(inputs)
            .inspect_err(|error| log::info!("{error}"))
            .ok()
            .map(|(connection, _)| connection);
        self.connection.is_some()
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

    /// Makes the connection ready for writing down how the run ended, for which it has `limit`. A signal that was heard before
    /// does not cut that short; one that comes now does.
    pub(super) fn prepare_end(&mut self, inputs: &Inputs<'_>, limit: Duration) {
        let heard = inputs.signals.asked().is_some();
        let stop = if heard {
            Arc::default()
        } else {
            Arc::clone(&inputs.signals.stop)
        };
        let mut dead = self.connection.as_ref().is_none_or(Connection::is_dead);
        if let Some(connection) = &mut self.connection
            && !dead
            && inputs.started.elapsed() > IDLE
        {
            // The server, or a firewall, may have closed it meanwhile without a word.
            connection.set_deadline(Some(Instant::now() + limit));
            dead = store::log::read_clock(connection).is_err();
        }
        if dead && !self.needs_person {
            // It may have died with those of the writers; the end of the run is worth another try.
            let patience = inputs.database.connection_timeout.min(limit);
            self.connection = Connection::open_unless(&stop, inputs.database, patience).ok();
        }
        if let Some(connection) = &mut self.connection {
            connection.give_up_on(stop);
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

/// Opens a connection and reads PostgreSQL's clock.
pub(super) fn open(inputs: &Inputs<'_>) -> Result<(Connection, DatabaseClock), StoreError> {
    let limit = inputs.at_most(inputs.database.connection_timeout);
    let stop = &inputs.signals.stop;
    let mut connection = Connection::open_unless(stop, inputs.database, limit)?;
    connection.set_deadline(inputs.deadline);
    connection.give_up_on(Arc::clone(stop));
    let clock = store::log::read_clock(&mut connection)?;
    Ok((connection, clock))
}
