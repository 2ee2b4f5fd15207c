//! One connection to PostgreSQL. Every call on it has a deadline.
//!
//! The driver has no deadlines: with a stopped back end its calls wait for ever, and so does dropping it. So a connection
//! owns a small runtime, and every call waits on that for a limited time. After a timeout or a broken link the connection is
//! dead, and dropping it abandons the socket instead of waiting.
//!
//! This file starts one of the four threads outside the pipeline: the one that opens a connection ahead of its use.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use futures_util::future::{join, join_all};
use futures_util::{SinkExt as _, TryStreamExt as _};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config, Row};

use super::dial;
use super::error::{Class, StoreError};
use super::tls;
use crate::config::plan::Database;

/// A parameter of a statement, with its type.
pub(crate) type Param<'a> = (&'a (dyn ToSql + Sync), Type);

/// How long closing a healthy connection may take.
const CLOSE_LIMIT: Duration = Duration::from_millis(100);
/// How much later than `statement_timeout` a call ends. The server's timeout comes first, so that its error is received.
const GRACE: Duration = Duration::from_millis(500);

/// The settings at the start of a transaction, so that values are converted independently of the settings of role, database
/// and address. They use SET LOCAL, because behind a pooler the session will serve another client.
const SETTINGS: &str = "SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO, MDY'; \
     SET LOCAL IntervalStyle = 'postgres'; SET LOCAL bytea_output = 'hex'; SET LOCAL extra_float_digits = 1;";

/// How often a waiting call checks whether it should give up.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// One connection, used by one thread at a time.
pub struct Connection {
    runtime: Option<Runtime>,
    client: Option<Client>,
    driver: Option<JoinHandle<()>>,
    statement_timeout: Duration,
    lock_timeout: Duration,
    deadline: Option<Instant>,
    give_up: Option<Arc<AtomicBool>>,
    dead: bool,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("dead", &self.dead)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

impl Connection {
    /// Connects and authenticates within `limit`, which includes name resolution and TLS.
    pub fn open(db: &Database, limit: Duration) -> Result<Self, StoreError> {
        Self::open_as(&dial::driver_config(db, limit), db, limit, None)
    }

    /// Like [`Self::open`], but gives up soon after `flag` is set.
    pub fn open_unless(
        flag: &AtomicBool,
        db: &Database,
        limit: Duration,
    ) -> Result<Self, StoreError> {
        Self::open_as(&dial::driver_config(db, limit), db, limit, Some(flag))
    }

    /// True if a pooler like pgbouncer is in between. It is asked over a connection of its own with a setting that PostgreSQL
    /// accepts from everybody, but a pooler refuses, since it would have to set it for every client.
    pub fn is_pooled(db: &Database, limit: Duration) -> Result<bool, StoreError> {
        let mut config = dial::driver_config(db, limit);
        config.options("-c datasync.direct=on");
        match Self::open_as(&config, db, limit, None) {
            Ok(_direct) => Ok(false),
            Err(error) if error.kind() == "startup_parameter" => Ok(true),
            Err(error) => Err(error),
        }
    }

    fn open_as(
        config: &Config,
        db: &Database,
        limit: Duration,
        give_up: Option<&AtomicBool>,
    ) -> Result<Self, StoreError> {
        let what = dial::what(db);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| {
                StoreError::new(
                    Class::Fatal,
                    "runtime",
                    format!("{what}: the system gives no resources for a connection: {error}"),
                )
            })?;
        let connector = tls::connector(db)?;
        let connecting = dial::connect(config, connector, &what);
        let connected = runtime.block_on(within(limit, give_up, connecting));
        let (client, connection) = match connected {
            Ok(Ok(parts)) => parts,
            Ok(Err(error)) => {
                runtime.shutdown_background();
                return Err(error);
            }
            Err(waited) => {
                runtime.shutdown_background();
                return Err(StoreError::timeout(&what, waited.as_secs_f64()));
            }
        };
        let driver = runtime.spawn(dial::drive(connection));
        Ok(Self {
            runtime: Some(runtime),
            client: Some(client),
            driver: Some(driver),
            statement_timeout: db.statement_timeout,
            lock_timeout: db.lock_timeout,
            deadline: None,
            give_up: None,
            dead: false,
        })
    }

    /// True if the connection cannot be used any more, so that a new one has to be opened.
    pub fn is_dead(&self) -> bool {
        self.dead || self.client.as_ref().is_none_or(Client::is_closed)
    }

    /// Sets a moment by which every later call must end, in addition to the statement timeout: the deadline of the run.
    pub const fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
    }

    /// Makes every call end soon after `flag` is set, as if its time were up.
    pub fn give_up_on(&mut self, flag: Arc<AtomicBool>) {
        self.give_up = Some(flag);
    }

    /// The time that a statement may take on the server.
    fn server_limit(&self) -> Duration {
        self.deadline.map_or(self.statement_timeout, |deadline| {
            self.statement_timeout
                .min(deadline.saturating_duration_since(Instant::now()))
        })
    }

    /// Runs a call with its deadline. A broken link or a timeout makes the connection dead.
    fn call<T>(
        &mut self,
        what: &str,
        work: impl AsyncFnOnce(&Client) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, StoreError> {
        let limit = self.server_limit();
        if limit.is_zero() {
            // The connection itself is fine, but it may be in an open transaction.
            self.dead = true;
            return Err(StoreError::out_of_time(what));
        }
        let (Some(runtime), Some(client)) = (&self.runtime, &self.client) else {
            return Err(StoreError::dead(what));
        };
        if self.dead {
            return Err(StoreError::dead(what));
        }
        let give_up = self.give_up.as_deref();
        let answer = runtime
            .block_on(within(limit + GRACE, give_up, work(client)))
            .map_err(|waited| StoreError::timeout(what, waited.as_secs_f64()))
            .and_then(|answer| answer.map_err(|error| StoreError::from_driver(what, &error)));
        if let Err(error) = &answer
            && error.connection_lost()
        {
            self.dead = true;
        }
        answer
    }

    /// Runs a statement with typed parameters and returns its rows. `what` begins the message of an error.
    pub(crate) fn query(
        &mut self,
        what: &str,
        sql: &str,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>, StoreError> {
        self.call(what, async |client| client.query_typed(sql, params).await)
    }

    /// Runs a statement with typed parameters and returns how many rows it affected.
    pub(crate) fn execute(
        &mut self,
        what: &str,
        sql: &str,
        params: &[Param<'_>],
    ) -> Result<u64, StoreError> {
        self.call(what, async |client| client.execute_typed(sql, params).await)
    }

    /// Runs several statements in one round trip and returns the rows of each. None may depend on the answer to another.
    /// Outside a transaction each statement is a transaction of its own, whatever happens to the others.
    pub(crate) fn query_together(
        &mut self,
        what: &str,
        work: &[(&str, &[Param<'_>])],
    ) -> Result<Vec<Vec<Row>>, StoreError> {
        self.call(what, async |client| {
            let work = work
                .iter()
                .map(|(sql, params)| client.query_typed(sql, params));
            join_all(work).await.into_iter().collect()
        })
    }

    /// Runs statements of a transaction in one round trip, each seeing those before it. Returns how many rows each affected.
    pub(crate) fn execute_together(
        &mut self,
        what: &str,
        work: &[(&str, Vec<Param<'_>>)],
    ) -> Result<Vec<u64>, StoreError> {
        self.call(what, async |client| {
            let work = work
                .iter()
                .map(|(sql, params)| client.execute_typed(sql, params));
            // The first error is reported. The errors after it only say that the transaction has failed.
            join_all(work).await.into_iter().collect()
        })
    }

    /// Runs `COPY … FROM STDIN` and returns the number of rows stored. Its prepared statement is closed before the next one,
    /// so that a pooler which passes the session to another client at COMMIT passes a clean one.
    ///
    /// If PostgreSQL refuses to begin the COPY, the driver sends a Sync message too many, and would take the answer to it for
    /// that of the next statement. So the connection is dead then, and the error says so.
    pub(crate) fn copy(
        &mut self,
        what: &str,
        sql: &str,
        pieces: impl Iterator<Item = Bytes>,
    ) -> Result<u64, StoreError> {
        let mut is_refused = false;
        let copied = self.call(what, async |client| {
            let statement = client.prepare(sql).await?;
            let begun = client.copy_in(&statement).await;
            is_refused = begun.is_err();
            let mut sink = std::pin::pin!(begun?);
            for piece in pieces {
                sink.feed(piece).await?;
            }
            sink.finish().await
        });
        self.dead |= is_refused;
        copied.map_err(|error| {
            if is_refused {
                error.of_refused_copy()
            } else {
                error
            }
        })
    }

    /// Runs `COPY … TO STDOUT`. Its messages, one a row, are passed on as they arrive, so they are never in memory together.
    /// COPY takes no parameters: `before` is a query of the same transaction that stores them where the COPY reads them.
    pub(crate) fn copy_out(
        &mut self,
        what: &str,
        before: (&str, &[Param<'_>]),
        sql: &str,
        mut show: impl FnMut(&[u8]),
    ) -> Result<(), StoreError> {
        self.call(what, async |client| {
            let set = client.query_typed(before.0, before.1);
            let (set, rows) = join(set, client.copy_out(sql)).await;
            set?;
            let mut rows = std::pin::pin!(rows?);
            while let Some(row) = rows.try_next().await? {
                show(&row);
            }
            Ok(())
        })
    }

    /// Runs statements without parameters in one round trip.
    pub(crate) fn run(&mut self, what: &str, sql: &str) -> Result<(), StoreError> {
        self.call(what, async |client| client.batch_execute(sql).await)
    }

    /// Begins a transaction with this connection's timeouts. `mode` follows BEGIN, and `extra` holds further `SET LOCAL`s.
    pub(crate) fn begin(&mut self, what: &str, mode: &str, extra: &str) -> Result<(), StoreError> {
        let begin = self.beginning(mode, extra);
        self.run(what, &begin)
    }

    fn beginning(&self, mode: &str, extra: &str) -> String {
        let statement = self.server_limit().as_millis().max(1);
        let lock = self.lock_timeout.as_millis().max(1);
        format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED {mode}; SET LOCAL statement_timeout = {statement}; \
             SET LOCAL lock_timeout = {lock}; {SETTINGS} {extra}"
        )
    }

    /// Begins a transaction and runs a query in the same round trip. Returns its rows.
    pub(crate) fn begin_and_query(
        &mut self,
        what: &str,
        (mode, extra): (&str, &str),
        (sql, params): (&str, &[Param<'_>]),
    ) -> Result<Vec<Row>, StoreError> {
        let begin = self.beginning(mode, extra);
        self.call(what, async |client| {
            let query = client.query_typed(sql, params);
            let (begun, rows) = join(client.batch_execute(&begin), query).await;
            begun?;
            rows
        })
    }

    /// Runs the last statement of a transaction and COMMIT in one round trip. If the statement fails, the server turns COMMIT
    /// into a rollback, so only its success means that the transaction was committed.
    pub(crate) fn execute_and_commit(
        &mut self,
        what: &str,
        sql: &str,
        params: &[Param<'_>],
    ) -> Result<u64, StoreError> {
        self.call(what, async |client| {
            let (last, committed) = join(
                client.execute_typed(sql, params),
                client.batch_execute("COMMIT"),
            )
            .await;
            let rows = last?;
            committed?;
            Ok(rows)
        })
    }

    /// Rolls back a failed transaction. If even that fails, the connection is dead.
    pub(crate) fn roll_back(&mut self) {
        if !self.is_dead() && self.run("rolling back", "ROLLBACK").is_err() {
            self.dead = true;
        }
    }
}

/// A connection that is being opened on a thread of its own, while its owner does something else.
#[derive(Debug)]
pub struct Opening {
    opened: Receiver<Result<Connection, StoreError>>,
    thread: Option<std::thread::JoinHandle<()>>,
    give_up: Arc<AtomicBool>,
}

impl Opening {
    /// Begins to connect, within `limit`.
    pub fn begin(db: &Database, limit: Duration) -> std::io::Result<Self> {
        let (tell, opened) = bounded(1);
        let give_up = Arc::<AtomicBool>::default();
        let (flag, db) = (Arc::clone(&give_up), db.clone());
        let thread = std::thread::Builder::new()
            .name("connect".into())
            .spawn(move || {
                // The receiver may have been dropped meanwhile.
                drop(tell.send(Connection::open_unless(&flag, &db, limit)));
            })?;
        Ok(Self {
            opened,
            thread: Some(thread),
            give_up,
        })
    }

    /// Waits for the connection, or for why there is none, until `until` or until `give_up` is set. None: it was given up.
    pub fn wait(
        self,
        give_up: &AtomicBool,
        until: Option<Instant>,
    ) -> Option<Result<Connection, StoreError>> {
        loop {
            let slice = until.map_or(POLL_INTERVAL, |until| {
                POLL_INTERVAL.min(until.saturating_duration_since(Instant::now()))
            });
            match self.opened.recv_timeout(slice) {
                Ok(opened) => return Some(opened),
                Err(RecvTimeoutError::Timeout)
                    if !slice.is_zero() && !give_up.load(Ordering::Relaxed) => {}
                Err(_) => return None,
            }
        }
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.give_up.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the thread that opens a connection panicked");
        }
    }
}

/// Waits for an answer until `limit`, or until `flag` is set. The error is the time that was waited.
async fn within<T>(
    limit: Duration,
    give_up: Option<&AtomicBool>,
    work: impl Future<Output = T>,
) -> Result<T, Duration> {
    let started = Instant::now();
    let mut work = std::pin::pin!(work);
    loop {
        let left = limit.saturating_sub(started.elapsed());
        let slice = if give_up.is_some() {
            left.min(POLL_INTERVAL)
        } else {
            left
        };
        if let Ok(answer) = tokio::time::timeout(slice, &mut work).await {
            return Ok(answer);
        }
        let given_up = give_up.is_some_and(|flag| flag.load(Ordering::Relaxed));
        if given_up || started.elapsed() >= limit {
            return Err(started.elapsed());
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let dead = self.is_dead();
        drop(self.client.take());
        let Some(runtime) = self.runtime.take() else {
            return;
        };
        if let (false, Some(driver)) = (dead, self.driver.take()) {
            // Ends the session properly, so that the server frees the slot. A server that does not respond is left alone.
            let closed =
                runtime.block_on(async { tokio::time::timeout(CLOSE_LIMIT, driver).await });
            if closed.is_err() {
                log::debug!("the database did not take leave in time");
            }
        }
        runtime.shutdown_background();
    }
}
