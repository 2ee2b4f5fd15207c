//! The lease: one run at a time for a target, across hosts. It is a row with a heartbeat and an expiry.
//!
//! It is a row and not an advisory lock, because behind pgbouncer a session belongs to no client. The data is correct without
//! it, owing to the freshness guard: the lease only saves work and confusion. All times are by PostgreSQL's clock, so hosts
//! whose clocks differ agree on what has expired.
//!
//! This file starts one of the four threads outside the pipeline: the heartbeat.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::answer::value;
use super::connect::{Connection, Param};
use super::error::{Class, StoreError};
use super::{UNFLUSHED, quote_table};
use crate::config::plan::Database;

/// A holder without a heartbeat for this long has lost the lease.
pub const EXPIRY: Duration = Duration::from_secs(30);
/// The time between heartbeats.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// The run that holds the lease.
#[derive(Clone, Debug)]
pub struct Holder {
    pub run_id: Uuid,
    /// User and command, for people.
    pub who: String,
    pub host: String,
    /// Identifies the process, so that a run on the same system can tell whether it is alive; see [`Process`].
    pub process: String,
    /// Since when it holds the lease: RFC 3339, by PostgreSQL's clock.
    pub since: String,
    /// How many records were accounted for at the last heartbeat.
    pub progress: i64,
    expired: bool,
}

impl Holder {
    /// True if the lease can be taken over: it has expired, or its process has ended.
    pub fn is_stale(&self) -> bool {
        self.expired || Process::is_dead(&self.process)
    }

    /// True for a run of this process.
    pub fn is_own(&self) -> bool {
        self.process == Process::own().0
    }
}

/// Identifies this process, so that another run on the same system can tell when it has ended.
///
/// It reads `boot id / PID namespace / PID / start time`, so a reused PID, or one of a container, is not mistaken for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process(String);

impl Process {
    /// The calling process.
    pub fn own() -> Self {
        let pid = std::process::id();
        Self(format!(
            "{}/{pid}/{}",
            system(),
            start_time(pid).unwrap_or_default()
        ))
    }

    /// True if `stored` names a process of this system that has ended.
    fn is_dead(stored: &str) -> bool {
        let Some((rest, start)) = stored.rsplit_once('/') else {
            return false;
        };
        let Some((system_then, pid)) = rest.rsplit_once('/') else {
            return false;
        };
        let Ok(pid) = pid.parse() else { return false };
        let here = system();
        !here.is_empty() && system_then == here && start_time(pid).as_deref() != Some(start)
    }
}

/// Identifies this system and PID namespace. Empty if they cannot be determined: then no process is considered dead.
fn system() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let namespace = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    let (boot, namespace) = (boot.trim(), namespace.to_string_lossy());
    if boot.is_empty() || namespace.is_empty() {
        String::new()
    } else {
        format!("{boot}/{namespace}")
    }
}

/// Field 22 of `/proc/PID/stat`: when the process began, in clock ticks since boot.
fn start_time(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command's name may hold any character, so fields are counted from its closing parenthesis. A zombie counts as dead.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let state = fields.next()?;
    if state == "Z" {
        None
    } else {
        fields.nth(18).map(str::to_owned)
    }
}

/// The name of this machine.
pub fn host_name() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

/// How often the lease may change hands while it is asked for; then it is an error.
const CHANGES: usize = 10;

/// The answer to asking for the lease.
#[derive(Debug)]
pub enum Asked {
    /// This run holds it now.
    Granted {
        /// The run from which it was taken over, because that had expired or its process had ended.
        took_over: Option<Uuid>,
        /// All holders of leases of the same target, for the whole or a shard, including this run.
        holders: Vec<(String, Holder)>,
    },
    Held(Holder),
}

/// Asks once for the lease `name`, which is that of `target` or of one of its shards.
pub fn acquire(
    connection: &mut Connection,
    db: &Database,
    (target, name): (&str, &str),
    run_id: Uuid,
    who: &str,
) -> Result<Asked, StoreError> {
    const WHAT: &str = "asking for the lease";
    let table = quote_table(&db.log_schema, "sync_lease");
    let (process, host) = (Process::own(), host_name());
    // If the server crashes, the run loses its connection as well, so this need not be flushed to disk.
    let sql = format!(
        "INSERT INTO {table} AS held (target, run_id, who, host, process, started_at, heartbeat_at, expires_at, progress) \
             SELECT $1, $2, $3, $4, $5, t.now, t.now, t.now + make_interval(secs => $6), 0 \
             FROM (SELECT clock_timestamp() AS now, {UNFLUSHED}) AS t \
             ON CONFLICT (target) DO UPDATE SET run_id = excluded.run_id, who = excluded.who, host = excluded.host, \
             process = excluded.process, started_at = excluded.started_at, heartbeat_at = excluded.heartbeat_at, \
             expires_at = excluded.expires_at, progress = excluded.progress WHERE held.run_id = $7 RETURNING 1"
    );
    let expiry = EXPIRY.as_secs_f64();
    let (select, of_target) = (select(db), [(&target as _, Type::TEXT)]);
    let mut took_over = None;
    for _ in 0..CHANGES {
        // If another run has changed the row meanwhile, it wins: the condition names the run that was read, at first none.
        let before: Uuid = took_over.unwrap_or_default();
        let params: [Param<'_>; 7] = [
            (&name, Type::TEXT),
            (&run_id, Type::UUID),
            (&who, Type::TEXT),
            (&host, Type::TEXT),
            (&process.0, Type::TEXT),
            (&expiry, Type::FLOAT8),
            (&before, Type::UUID),
        ];
        let answers = connection.query_together(WHAT, &[(&sql, &params), (&select, &of_target)])?;
        let mut answers = answers.into_iter();
        let granted = answers.next().is_some_and(|rows| !rows.is_empty());
        let holders = named(&answers.next().unwrap_or_default())?;
        if granted {
            return Ok(Asked::Granted { took_over, holders });
        }
        // None: the lease was released meanwhile.
        let holder = holders.into_iter().find(|(held, _)| held == name);
        took_over = match holder {
            Some((_, holder)) if !holder.is_stale() => return Ok(Asked::Held(holder)),
            other => other.map(|(_, holder)| holder.run_id),
        };
    }
    Err(StoreError::new(
        Class::Transient,
        "lease",
        format!("{WHAT}: it has changed hands {CHANGES} times meanwhile"),
    ))
}

/// All holders of leases of `target`, for the whole or a shard, with the names of their leases.
pub fn holders(
    connection: &mut Connection,
    db: &Database,
    target: &str,
) -> Result<Vec<(String, Holder)>, StoreError> {
    named(&connection.query(READING, &select(db), &[(&target, Type::TEXT)])?)
}

const READING: &str = "reading the lease";

/// The query of all holders of leases of the target `$1`, for the whole or a shard.
fn select(db: &Database) -> String {
    let table = quote_table(&db.log_schema, "sync_lease");
    format!(
        "SELECT target, run_id, who, host, process, progress, expires_at < clock_timestamp(), \
         to_char(started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') FROM {table} \
         WHERE target = $1 OR (starts_with(target, $1) AND substr(target, length($1) + 1, 1) !~ '[[:alnum:]_]') ORDER BY 1"
    )
}

/// The answer to [`select`].
fn named(rows: &[Row]) -> Result<Vec<(String, Holder)>, StoreError> {
    rows.iter()
        .map(|row| {
            let holder = Holder {
                run_id: value(row, 1, READING)?,
                who: value(row, 2, READING)?,
                host: value(row, 3, READING)?,
                process: value(row, 4, READING)?,
                progress: value(row, 5, READING)?,
                expired: value(row, 6, READING)?,
                since: value(row, 7, READING)?,
            };
            Ok((value(row, 0, READING)?, holder))
        })
        .collect()
}

/// Releases the lease. If another run holds it by now, nothing changes.
pub fn release(
    connection: &mut Connection,
    db: &Database,
    target: &str,
    run_id: Uuid,
) -> Result<(), StoreError> {
    let table = quote_table(&db.log_schema, "sync_lease");
    let sql = format!(
        "DELETE FROM {table} WHERE target = $1 AND run_id = $2 AND {UNFLUSHED} IS NOT NULL"
    );
    let params: [Param<'_>; 2] = [(&target, Type::TEXT), (&run_id, Type::UUID)];
    connection
        .execute("giving the lease back", &sql, &params)
        .map(|_| ())
}

/// Renews the lease until it is dropped.
#[derive(Debug)]
pub struct Heartbeat {
    end: Option<Sender<()>>,
    /// Set at the end, so that a database that does not answer cannot delay the run.
    give_up: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Heartbeat {
    /// Starts renewing, over a connection of its own. `progress` is shown to other runs.
    pub fn start(
        db: &Database,
        target: &str,
        run_id: Uuid,
        progress: Arc<AtomicU64>,
    ) -> std::io::Result<Self> {
        let (end, ended) = bounded::<()>(0);
        let give_up = Arc::<AtomicBool>::default();
        let flag = Arc::clone(&give_up);
        let (db, target) = (db.clone(), target.to_owned());
        let thread = std::thread::Builder::new().name("heartbeat".into()).spawn(move || {
            let mut connection: Option<Connection> = None;
            while matches!(ended.recv_timeout(HEARTBEAT), Err(RecvTimeoutError::Timeout)) {
                let done = i64::try_from(progress.load(Ordering::Relaxed)).unwrap_or(i64::MAX);
                match renew(&mut connection, &flag, &db, &target, run_id, done) {
                    Ok(true) => {}
                    Ok(false) => log::warn!("the lease has expired, or another run has taken it; this one goes on, and older data never overwrites newer"),
                    Err(error) => log::info!("the lease could not be renewed: {error}"),
                }
            }
        })?;
        Ok(Self {
            end: Some(end),
            give_up,
            thread: Some(thread),
        })
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.give_up.store(true, Ordering::Relaxed);
        drop(self.end.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the heartbeat of the lease panicked");
        }
    }
}

fn renew(
    connection: &mut Option<Connection>,
    give_up: &Arc<AtomicBool>,
    db: &Database,
    target: &str,
    run_id: Uuid,
    progress: i64,
) -> Result<bool, StoreError> {
    if connection.as_ref().is_none_or(Connection::is_dead) {
        *connection = None;
    }
    let connection = if let Some(connection) = connection {
        connection
    } else {
        let mut opened = Connection::open_unless(give_up, db, db.connection_timeout)?;
        opened.give_up_on(Arc::clone(give_up));
        connection.insert(opened)
    };
    let table = quote_table(&db.log_schema, "sync_lease");
    let expiry = EXPIRY.as_secs_f64();
    let renewed = connection.execute(
        "renewing the lease",
        &format!(
            "UPDATE {table} SET heartbeat_at = clock_timestamp(), progress = $3, \
             expires_at = clock_timestamp() + make_interval(secs => $4) \
             WHERE target = $1 AND run_id = $2 AND expires_at > clock_timestamp()"
        ),
        &[
            (&target, Type::TEXT),
            (&run_id, Type::UUID),
            (&progress, Type::INT8),
            (&expiry, Type::FLOAT8),
        ],
    )?;
    Ok(renewed == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_process_is_not_gone_and_a_dead_one_is() {
        let own = Process::own().0;
        assert!(!Process::is_dead(&own));
        let (rest, start) = own.rsplit_once('/').unwrap_or_default();
        assert!(
            Process::is_dead(&format!("{rest}/{start}0")),
            "another start time is another process"
        );
        assert!(
            !Process::is_dead(&format!("other-boot{own}")),
            "another system's processes are unknown to us"
        );
        assert!(!Process::is_dead("nonsense"));
    }
}
