//! The steps of `check-db`, from the name of the host up to privileges and lease, each timed. They change nothing.

mod columns;
mod privileges;
mod table;

use std::borrow::Cow;
use std::time::{Duration, Instant};

use super::answer::{count, signed, single, text};
use super::connect::Connection;
use super::dial::is_socket;
use super::finding::{StepFailure, StepResult, bad, well};
use super::schema::{self, Part, SchemaError, SchemaMismatch};
use super::{lease, log};
use crate::config::plan::{Database, Mapping, SslMode};
use crate::model::record::Check;

/// The results of all steps.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    pub checks: Vec<Check>,
    /// The database did not answer a step as it should.
    database_failed: bool,
    /// The database works, but its tables or privileges do not fit: the configuration is at fault.
    pub misconfigured: bool,
}

/// The oldest server version on whose behaviour the statements rely.
const OLDEST_VERSION: i64 = 130_000;
/// Connections of a run besides its pool: its own (log, lease, cases) and that of the heartbeat.
const EXTRA_CONNECTIONS: u64 = 2;
/// Steps whose failure means a wrong configuration.
const OF_CONFIGURATION: [&str; 6] = ["citus", "tables", "columns", "key", "lengths", "privileges"];

impl Findings {
    /// Runs and times a step, and notes its result. Returns true if it succeeded.
    fn step(&mut self, name: &'static str, look: impl FnOnce() -> StepResult) -> bool {
        let started = Instant::now();
        let found = look();
        self.note(name, started.elapsed(), found)
    }

    fn note(&mut self, name: &'static str, took: Duration, found: StepResult) -> bool {
        let ok = found.is_ok();
        let (detail, hint) = found.unwrap_or_else(|failure| {
            self.database_failed |= failure.is_of_database;
            (failure.detail, failure.hint)
        });
        self.checks.push(Check {
            name,
            ok,
            seconds: took.as_secs_f64(),
            detail,
            hint,
        });
        ok
    }
}

/// Checks the database step by step, and stops where the next step would be impossible.
pub fn check(db: &Database, mapping: &Mapping) -> Findings {
    let mut findings = Findings::default();
    if is_socket(&db.host) {
        if !findings.step("socket", || reach(db)) {
            return findings;
        }
    } else if !findings.step("dns", || resolve(db)) || !findings.step("tcp", || reach(db)) {
        return findings;
    }
    let started = Instant::now();
    let mut conn = match Connection::open(db, db.connection_timeout) {
        Ok(conn) => conn,
        Err(error) => {
            // TLS comes before the password, and that before the database, so the kind of error shows which step has failed.
            let name = match error.kind() {
                "tls" => "tls",
                "no_such_database" => "database",
                "too_many_connections" => "connections",
                "shutting_down" | "timeout" | "connection" => "server",
                _ => "authentication",
            };
            findings.note(name, started.elapsed(), Err(error.into()));
            return findings;
        }
    };
    findings.step("tls", || encryption(db, &mut conn));
    findings.note(
        "authentication",
        started.elapsed(),
        well(format!("logged in as {}", db.user)),
    );
    let mut usable = findings.step("database", || {
        ask(&mut conn, "SELECT current_database()::text").and_then(well)
    });
    usable &= findings.step("version", || version(&mut conn));
    usable &= findings.step("pooler", || pooler(db, &mut conn));
    if conn.is_dead() {
        return findings;
    }
    findings.step("read-write", || writable(&mut conn));
    if usable {
        // If this fails, inspecting the tables fails as well, and reports the reason.
        let mapping = &*schema::settled(&mut conn, db, mapping).unwrap_or(Cow::Borrowed(mapping));
        let started = Instant::now();
        let citus = super::citus::inspect(&mut conn, db, mapping.key_column())
            .unwrap_or_else(|error| Some(Err(error.into())));
        if let Some(found) = citus {
            findings.note("citus", started.elapsed(), found);
        }
        findings.tables(&mut conn, db, mapping);
        findings.step("privileges", || privileges::missing(&mut conn, db, mapping));
        findings.step("connections", || connections(&mut conn, db));
        findings.step("lease", || leases(&mut conn, db));
        findings.misconfigured = !findings.database_failed
            && !conn.is_dead()
            && findings.checks.iter().any(|check| !check.ok)
            && findings.only_failed(&OF_CONFIGURATION);
    }
    findings
}

impl Findings {
    fn only_failed(&self, names: &[&str]) -> bool {
        self.checks
            .iter()
            .all(|check| check.ok || names.contains(&check.name))
    }

    /// Compares the tables with the mapping: whether they exist, their columns, the conflict key and the lengths of texts.
    fn tables(&mut self, conn: &mut Connection, db: &Database, mapping: &Mapping) {
        let started = Instant::now();
        let inspected = schema::inspect(conn, db, mapping);
        let took = started.elapsed();
        let (layout, mismatches) = match inspected {
            Ok(layout) => (Some(layout), Vec::new()),
            Err(SchemaError::Mismatch(mismatches)) => (None, mismatches),
            Err(SchemaError::Store(error)) => {
                // If tables cannot be read, the step `privileges` reports why.
                self.note("tables", took, Err(error.into()));
                return;
            }
        };
        let target = log::target(db);
        let about = |parts: &'static [Part]| {
            mismatches
                .iter()
                .filter(move |mismatch| parts.contains(&mismatch.part))
        };
        self.note(
            "tables",
            took,
            summed_up(about(&[Part::Target, Part::Tables])).unwrap_or_else(|| {
                well(format!("{target} and the six tables of the log are there"))
            }),
        );
        if about(&[Part::Target]).next().is_some() {
            return;
        }
        let stored = mapping
            .fields
            .iter()
            .filter(|field| field.column.is_some())
            .count();
        self.note(
            "columns",
            Duration::ZERO,
            summed_up(about(&[Part::Columns]))
                .unwrap_or_else(|| well(format!("{target} takes {stored} mapped fields"))),
        );
        self.note(
            "key",
            Duration::ZERO,
            summed_up(about(&[Part::Key]))
                .unwrap_or_else(|| well(format!("{target} is unique by {}", mapping.key_column()))),
        );
        if let Some(layout) = &layout {
            self.step("lengths", || columns::lengths(layout, db, mapping));
            self.step("types", || columns::types(layout, mapping));
            self.step("beside", || table::facts(conn, db, mapping));
        }
    }
}

/// All mismatches of one kind as one failure; none if there are none.
fn summed_up<'a>(mismatches: impl Iterator<Item = &'a SchemaMismatch>) -> Option<StepResult> {
    let (mut problems, mut remedies): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    for mismatch in mismatches {
        problems.push(&mismatch.problem);
        if !remedies.contains(&mismatch.remedy.as_str()) {
            remedies.push(&mismatch.remedy);
        }
    }
    (!problems.is_empty()).then(|| bad(problems.join("\n"), remedies.join("\n")))
}

/// Runs a network operation within the connection timeout. None if the time is up.
fn within<T>(db: &Database, work: impl Future<Output = T>) -> Result<Option<T>, StepFailure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            StepFailure::of_this_machine(format!("no resources for a connection: {error}"))
        })?;
    let done = runtime.block_on(async { tokio::time::timeout(db.connection_timeout, work).await });
    // A name resolution that hangs must not delay the end of the program.
    runtime.shutdown_background();
    Ok(done.ok())
}

fn resolve(db: &Database) -> StepResult {
    const HINT: &str = "check DB_HOST and the resolver of this machine";
    let found = within(db, tokio::net::lookup_host((db.host.as_str(), db.port)))?;
    match found {
        Some(Ok(mut addresses)) => match addresses.next() {
            Some(address) if address.ip().to_string() == db.host => {
                well(format!("{} is an address", db.host))
            }
            Some(address) => well(format!("{} is {}", db.host, address.ip())),
            None => bad(format!("{} has no address", db.host), HINT),
        },
        Some(Err(error)) => bad(format!("{} cannot be resolved: {error}", db.host), HINT),
        None => bad(
            format!(
                "{}: the resolver did not answer within {:.0} s",
                db.host,
                db.connection_timeout.as_secs_f64()
            ),
            HINT,
        ),
    }
}

/// Opens a TCP connection or a socket, without speaking the protocol.
fn reach(db: &Database) -> StepResult {
    let socket = is_socket(&db.host);
    let shown = if socket {
        format!("socket {}/.s.PGSQL.{}", db.host, db.port)
    } else {
        format!("{} port {}", db.host, db.port)
    };
    let reached = within(db, async {
        if socket {
            tokio::net::UnixStream::connect(format!("{}/.s.PGSQL.{}", db.host, db.port))
                .await
                .map(drop)
        } else {
            tokio::net::TcpStream::connect((db.host.as_str(), db.port))
                .await
                .map(drop)
        }
    })?;
    match reached {
        Some(Ok(())) => well(format!("{shown} is open")),
        Some(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => bad(
            format!("{shown}: connection refused"),
            "nothing listens there: start PostgreSQL, or correct DB_HOST and DB_PORT",
        ),
        Some(Err(error)) => bad(
            format!("{shown} cannot be reached: {error}"),
            "check DB_HOST and DB_PORT, and that the server is running",
        ),
        None => bad(
            format!(
                "{shown} did not answer within {:.0} s",
                db.connection_timeout.as_secs_f64()
            ),
            "a firewall may swallow the packets: check DB_HOST, DB_PORT and the rules in between",
        ),
    }
}

fn ask(conn: &mut Connection, sql: &str) -> Result<String, StepFailure> {
    conn.query("asking the database", sql, &[])
        .and_then(single)
        .and_then(|row| text(&row, 0).map(str::to_owned))
        .map_err(StepFailure::from)
}

fn encryption(db: &Database, conn: &mut Connection) -> StepResult {
    if is_socket(&db.host) {
        return well("not needed on a Unix socket");
    }
    if db.ssl_mode == SslMode::Disable {
        return well("off (sslmode disable)");
    }
    let verified = match (db.ssl_mode, db.ssl_root_cert.is_some()) {
        (SslMode::VerifyFull, _) => "certificate and name verified",
        (SslMode::VerifyCa, _) | (SslMode::Require, true) => "certificate verified, name not",
        _ => "certificate not verified",
    };
    let used = ask(
        conn,
        "SELECT coalesce((SELECT CASE WHEN ssl THEN version || ' ' || cipher END FROM pg_stat_ssl \
         WHERE pid = pg_backend_pid()), 'none')",
    )?;
    if used == "none" {
        return well("not encrypted: the server offers no TLS, or none that works from here");
    }
    if db.client_certificate.is_none() {
        return well(format!("{used}, {verified}"));
    }
    let shown = ask(
        conn,
        "SELECT coalesce((SELECT 'client certificate ' || client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()), \
         'the server does not ask for the client certificate')",
    )?;
    well(format!("{used}, {verified}, {shown}"))
}

fn version(conn: &mut Connection) -> StepResult {
    let row = conn
        .query(
            "reading the version",
            "SELECT current_setting('server_version_num')::bigint, current_setting('server_version')",
            &[],
        )
        .and_then(single)?;
    let number = count(&row, 0)?;
    fresh_enough(signed(number), text(&row, 1)?)
}

fn fresh_enough(number: i64, shown: &str) -> StepResult {
    if number >= OLDEST_VERSION {
        well(format!("PostgreSQL {shown}"))
    } else {
        bad(
            format!("PostgreSQL {shown} is too old"),
            format!("PostgreSQL {} or newer is needed", OLDEST_VERSION / 10_000),
        )
    }
}

/// Finds out whether a pooler is in between, and whether a run can work through it.
fn pooler(db: &Database, conn: &mut Connection) -> StepResult {
    let is_pooled = Connection::is_pooled(db, db.connection_timeout)?;
    if !is_pooled {
        return well("none: PostgreSQL itself answers");
    }
    // In statement mode pgbouncer ends a connection that leaves a transaction open after a statement.
    conn.run("beginning a transaction", "BEGIN")
        .and_then(|()| conn.run("ending a transaction", "COMMIT"))?;
    // A run has several connections at once. In session mode each keeps one connection of the pool while it is open.
    let second = Connection::open(db, db.connection_timeout).and_then(|mut second| {
        second.set_deadline(Some(Instant::now() + db.connection_timeout));
        second.run("asking through a second connection", "SELECT 1")
    });
    match second {
        Ok(()) => well("pgbouncer or its like in between: fine, in transaction mode too"),
        Err(error) if error.is_connections_exhausted() || error.kind() == "timeout" => bad(
            "pgbouncer gives no second connection while the first is open: session mode with a pool of one",
            "set default_pool_size to 2 at least, or pool_mode = transaction, in pgbouncer",
        ),
        Err(error) => Err(error.into()),
    }
}

fn writable(conn: &mut Connection) -> StepResult {
    let state = ask(
        conn,
        "SELECT CASE WHEN pg_is_in_recovery() THEN 'recovery' \
         WHEN current_setting('transaction_read_only')::boolean THEN 'read-only' ELSE 'read-write' END",
    )?;
    match state.as_str() {
        "recovery" => bad(
            "the server is in recovery: a replica, or still starting",
            "let DB_HOST point at the primary",
        ),
        "read-only" => bad(
            "transactions are read-only by default",
            "look at default_transaction_read_only of the role, the database and the server",
        ),
        _ => well(state),
    }
}

/// Connection slots that are free to this role, our own included. `pg_stat_database` shows the number of all back ends to
/// everybody, while `pg_stat_activity` hides details of other roles.
const FREE_CONNECTIONS: &str = "
SELECT greatest(0, least(
  current_setting('max_connections')::bigint - current_setting('superuser_reserved_connections')::bigint
    - coalesce(current_setting('reserved_connections', true), '0')::bigint
    - (SELECT sum(numbackends) FROM pg_stat_database)::bigint,
  (SELECT datconnlimit - numbackends FROM pg_database d JOIN pg_stat_database s ON s.datid = d.oid
     WHERE d.datname = current_database() AND datconnlimit >= 0),
  (SELECT rolconnlimit - (SELECT count(*) FROM pg_stat_activity WHERE usename = current_user)
     FROM pg_roles WHERE rolname = current_user AND rolconnlimit >= 0)) + 1),
current_setting('max_connections')::bigint";

fn connections(conn: &mut Connection, db: &Database) -> StepResult {
    let row = conn
        .query("counting connections", FREE_CONNECTIONS, &[])
        .and_then(single)?;
    let free = count(&row, 0)?;
    let all = count(&row, 1)?;
    let pool = u64::from(db.max_connections);
    let detail = format!(
        "{free} of {all} are free to {}; a run takes up to {pool} for its pool and {EXTRA_CONNECTIONS} beside it",
        db.user
    );
    if free >= pool + EXTRA_CONNECTIONS {
        well(detail)
    } else {
        bad(
            detail,
            format!(
                "set database.connection.pool.max_connections to {} or less, or raise max_connections of the server (or the \
                 CONNECTION LIMIT of the role or database)",
                free.saturating_sub(EXTRA_CONNECTIONS).max(1)
            ),
        )
    }
}

/// Which runs are at work. That is never a failure.
fn leases(conn: &mut Connection, db: &Database) -> StepResult {
    let holders = match lease::holders(conn, db, &log::target(db)) {
        Ok(holders) => holders,
        // The table is missing or may not be read, which an earlier step has reported.
        Err(error) if matches!(error.kind(), "schema_mismatch" | "privilege") => {
            return well("cannot be read: see above");
        }
        Err(error) => return Err(error.into()),
    };
    let (mut details, mut hint) = (Vec::new(), None);
    for (target, holder) in &holders {
        let lease::Holder {
            who,
            host,
            since,
            progress,
            ..
        } = holder;
        let run = format!("{target}: {who} on {host} since {since}, {progress} records so far");
        if holder.is_own() {
            details.push(format!("{target}: held by this run itself"));
        } else if holder.is_stale() {
            details.push(format!("{run}; that run has ended without giving it back"));
            hint.get_or_insert("nothing to do: the next run takes over");
        } else {
            details.push(run);
            hint = Some("a second run would exit 75; `datasync sync --wait 5m` waits for its turn");
        }
    }
    if details.is_empty() {
        return well("free: no run is at work");
    }
    Ok((details.join("\n"), hint.map(str::to_owned)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_of_an_unsupported_version_is_told_what_is_needed() {
        assert!(fresh_enough(130_000, "13.0").is_ok());
        assert_eq!(
            fresh_enough(120_022, "12.22"),
            bad(
                "PostgreSQL 12.22 is too old",
                "PostgreSQL 13 or newer is needed"
            )
        );
    }
}
