//! The run's session with the database: its connection, the layout of the tables, the lease and the clock.
//!
//! It knows neither records nor the source.

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

/// After a run longer than this, the connection is tested before the end of the run is written down.
const IDLE: Duration = Duration::from_secs(1);

/// What a run holds of the database. All of it is empty while the database is away.
#[derive(Debug)]
pub(super) struct Session {
    /// For the run's own statements (log, lease, cases). A writer borrows it during a flow. None while the database is away.
    pub(super) connection: Option<Connection>,
    /// Connections of writers that have ended. Later writers use them; they are closed when the last flow has ended.
    pub(super) others: Vec<Connection>,
    /// The first connection of the run, while it is being opened.
    pub(super) first: Option<Opening>,
    /// A connection that is being opened for the second writer.
    pub(super) opening: Option<Opening>,
    /// The layout of the tables.
    pub(super) layout: Option<Layout>,
    /// PostgreSQL's clock, or that of this machine while the database is away.
    pub(super) clock: DatabaseClock,
    /// When the database was reached for the first time, by its clock.
    pub(super) began_at: Option<Micros>,
    pub(super) heartbeat: Option<Heartbeat>,
    /// How many records are accounted for. The lease shows it to other runs.
    pub(super) accounted: Arc<AtomicU64>,
    /// The database needs a person (for a password, a missing table, a choice of key), so nothing is fetched.
    pub(super) needs_person: bool,
}

impl Session {
    /// A session without a connection.
    pub(super) fn new() -> Self {
        Self {
            connection: None,
            others: Vec::new(),
            first: None,
            opening: None,
            layout: None,
            clock: DatabaseClock::local(),
            began_at: None,
            heartbeat: None,
            accounted: Arc::default(),
            needs_person: false,
        }
    }

    /// Enters a database that does not answer or refuses to go on, and drops the connection.
    pub(super) fn lost(&mut self, error: &StoreError, outcome: &mut Outcome) {
        outcome.store_failed(error);
        self.connection = None;
    }

    /// The same at the start of a run. It also decides whether to fetch without a database.
    pub(super) fn unavailable_at_start(
        &mut self,
        error: &StoreError,
        inputs: &Inputs<'_>,
        outcome: &mut Outcome,
    ) {
        // While the key is unknown, records that are fetched now could not be distinguished later.
        self.needs_person =
            error.class() == Class::Fatal || inputs.plan.mapping.key_choice == KeyChoice::Open;
        self.lost(error, outcome);
    }

    /// Opens a new connection in place of a lost one. False: the database is away.
    pub(super) fn reconnect(&mut self, inputs: &Inputs<'_>) -> bool {
        self.connection = open(inputs)
            .inspect_err(|error| log::info!("{error}"))
            .ok()
            .map(|(connection, _)| connection);
        self.connection.is_some()
    }

    /// Lends the connections to the writers of a flow.
    pub(super) fn lend(&mut self) -> Spare {
        let mut open = std::mem::take(&mut self.others);
        open.extend(self.connection.take());
        Spare {
            open,
            opening: self.opening.take(),
        }
    }

    /// Takes the connections back from the writers. They may be others than before, so their limits are set again.
    pub(super) fn take_back(&mut self, mut spare: Spare, inputs: &Inputs<'_>) {
        self.opening = spare.opening;
        self.connection = spare.open.pop().map(|mut connection| {
            connection.set_deadline(inputs.deadline);
            connection.give_up_on(Arc::clone(&inputs.signals.stop));
            connection
        });
        self.others = spare.open;
    }

    /// Makes the connection ready for writing down the end within `limit`. Only a new signal interrupts that. The others are
    /// closed here: the server needs milliseconds to end a session, which it does while the end is written down.
    pub(super) fn prepare_end(&mut self, inputs: &Inputs<'_>, limit: Duration) {
        self.others.clear();
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
            // The server or a firewall may have closed an idle connection silently.
            connection.set_deadline(Some(Instant::now() + limit));
            dead = store::log::read_clock(connection).is_err();
        }
        if dead && !self.needs_person {
            // The connection may have been lost together with those of the writers, so one new one is tried.
            let wait = inputs.database.connection_timeout.min(limit);
            self.connection = Connection::open_unless(&stop, inputs.database, wait).ok();
        }
        if let Some(connection) = &mut self.connection {
            connection.give_up_on(stop);
        }
        self.set_limit(limit);
    }

    /// Limits everything the connection does from now on to this time.
    pub(super) fn set_limit(&mut self, limit: Duration) {
        if let Some(connection) = &mut self.connection {
            connection.set_deadline(Some(Instant::now() + limit));
        }
    }

    /// Releases the lease, so that another run can start.
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
    let connection = Connection::open_unless(&inputs.signals.stop, inputs.database, limit)?;
    begin_session(connection, inputs)
}

/// Sets the limits of a new connection and reads PostgreSQL's clock.
pub(super) fn begin_session(
    mut connection: Connection,
    inputs: &Inputs<'_>,
) -> Result<(Connection, DatabaseClock), StoreError> {
    connection.set_deadline(inputs.deadline);
    connection.give_up_on(Arc::clone(&inputs.signals.stop));
    let clock = store::log::read_clock(&mut connection)?;
    Ok((connection, clock))
}
