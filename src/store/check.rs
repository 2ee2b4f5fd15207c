//! What `check-db` reports: from the socket up to the privileges, each step timed, each with a hint. Changes nothing.

use std::time::{Duration, Instant};

use tokio_postgres::types::Type;

use super::connect::{Connection, is_socket};
use super::error::StoreError;
use super::schema::{self, SchemaError};
use super::upsert::{count, single, text};
use super::{quote, quote_table};
use crate::config::plan::{Database, Mapping, SslMode};
use crate::record::Check;

/// Everything that was looked at.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    pub checks: Vec<Check>,
    /// The database works, but its tables or privileges do not fit: a matter of configuration, not of the database.
    pub misconfigured: bool,
}

/// The oldest server whose behaviour the statements rely on.
const OLDEST_VERSION: i64 = 130_000;

/// What one step found: detail, or detail and hint of a failure.
type Found = Result<String, (String, Option<String>)>;

impl Findings {
    /// Times a step and notes what it found; true when it is well.
    fn step(&mut self, name: &'static str, look: impl FnOnce() -> Found) -> bool {
        let started = Instant::now();
        let found = look();
        self.note(name, started.elapsed(), found)
    }

    fn note(&mut self, name: &'static str, took: Duration, found: Found) -> bool {
        let ok = found.is_ok();
        let (detail, hint) = match found {
            Ok(detail) => (detail, None),
            Err((detail, hint)) => (detail, hint),
        };
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

fn failed(error: &StoreError) -> (String, Option<String>) {
    (error.to_string(), None)
}

/// Looks at the database from the outside in, and stops where nothing further can be seen.
pub fn check(db: &Database, mapping: &Mapping) -> Findings {
    let mut findings = Findings::default();
    if !findings.step("tcp", || reach(db)) {
        return findings;
    }
    let started = Instant::now();
    let mut conn = match Connection::open(db, db.connection_timeout) {
        Ok(conn) => conn,
        Err(error) => {
            // TLS comes before the password, and the password before the database.
            let name = match error.kind() {
                "tls" => "tls",
                "no_such_database" => "database",
                "too_many_connections" => "connections",
                _ => "authentication",
            };
            findings.note(name, started.elapsed(), Err(failed(&error)));
            return findings;
        }
    };
    findings.step("tls", || encryption(db, &mut conn));
    findings.note(
        "authentication",
        started.elapsed(),
        Ok(format!("logged in as {}", db.user)),
    );
    let mut usable = findings.step("database", || {
        ask(&mut conn, "SELECT current_database()::text")
    });
    usable &= findings.step("version", || version(&mut conn));
    findings.step("pooler", || pooler(db));
    findings.step("read-write", || writable(&mut conn));
    if usable {
        let fits = findings.step("tables", || tables(&mut conn, db, mapping));
        let allowed = findings.step("privileges", || privileges(&mut conn, db));
        findings.step("connections", || connections(&mut conn, db));
        findings.misconfigured = (!fits || !allowed)
            && !conn.is_dead()
            && findings.only_failed(&["tables", "privileges"]);
    }
    findings
}

impl Findings {
    fn only_failed(&self, names: &[&str]) -> bool {
        self.checks
            .iter()
            .all(|check| check.ok || names.contains(&check.name))
    }
}

/// Name resolution and a connection, without a word of the protocol.
fn reach(db: &Database) -> Found {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| (format!("no resources for a connection: {error}"), None))?;
    let reached = runtime.block_on(async {
        tokio::time::timeout(db.connection_timeout, async {
            if is_socket(&db.host) {
                let path = format!("{}/.s.PGSQL.{}", db.host, db.port);
                tokio::net::UnixStream::connect(&path)
                    .await
                    .map(|_| format!("socket {path}"))
            } else {
                let stream = tokio::net::TcpStream::connect((db.host.as_str(), db.port)).await?;
                Ok(format!("{} port {}", stream.peer_addr()?.ip(), db.port))
            }
        })
        .await
    });
    runtime.shutdown_background();
    let hint = Some(
        "check DB_HOST and DB_PORT, that the server is running, and that nothing in between blocks the port"
            .to_owned(),
    );
    match reached {
        Ok(Ok(detail)) => Ok(detail),
        Ok(Err(error)) => Err((
            format!("{} port {} cannot be reached: {error}", db.host, db.port),
            hint,
        )),
        Err(_) => Err((
            format!(
                "{} port {} did not answer within {:.0} s",
                db.host,
                db.port,
                db.connection_timeout.as_secs_f64()
            ),
            hint,
        )),
    }
}

fn ask(conn: &mut Connection, sql: &str) -> Found {
    conn.query("asking the database", sql, &[])
        .and_then(single)
        .and_then(|row| text(&row, 0).map(str::to_owned))
        .map_err(|error| failed(&error))
}

fn encryption(db: &Database, conn: &mut Connection) -> Found {
    if is_socket(&db.host) {
        return Ok("not needed on a Unix socket".to_owned());
    }
    if db.ssl_mode == SslMode::Disable {
        return Ok("off (sslmode disable)".to_owned());
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
    Ok(if used == "none" {
        "not encrypted: the server offers no TLS".to_owned()
    } else {
        format!("{used}, {verified}")
    })
}

fn version(conn: &mut Connection) -> Found {
    let row = conn
        .query(
            "reading the version",
            "SELECT current_setting('server_version_num')::bigint, current_setting('server_version')",
            &[],
        )
        .and_then(single)
        .map_err(|error| failed(&error))?;
    let number = count(&row, 0).map_err(|error| failed(&error))?;
    let shown = format!(
        "PostgreSQL {}",
        text(&row, 1).map_err(|error| failed(&error))?
    );
    if super::upsert::signed(number) >= OLDEST_VERSION {
        Ok(shown)
    } else {
        Err((
            format!("{shown} is too old"),
            Some("PostgreSQL 13 or newer is needed".to_owned()),
        ))
    }
}

fn pooler(db: &Database) -> Found {
    Connection::is_pooled(db, db.connection_timeout)
        .map(|pooled| {
            if pooled {
                "pgbouncer or its like in between: fine, in transaction mode too".to_owned()
            } else {
                "none: PostgreSQL itself answers".to_owned()
            }
        })
        .map_err(|error| failed(&error))
}

fn writable(conn: &mut Connection) -> Found {
    let state = ask(
        conn,
        "SELECT CASE WHEN pg_is_in_recovery() THEN 'recovery' \
         WHEN current_setting('transaction_read_only')::boolean THEN 'read-only' ELSE 'read-write' END",
    )?;
    match state.as_str() {
        "recovery" => Err((
            "the server is in recovery: a replica, or still starting".to_owned(),
            Some("let DB_HOST point at the primary".to_owned()),
        )),
        "read-only" => Err((
            "transactions are read-only by default".to_owned(),
            Some(
                "look at default_transaction_read_only of the role, the database and the server"
                    .to_owned(),
            ),
        )),
        _ => Ok(state),
    }
}

fn tables(conn: &mut Connection, db: &Database, mapping: &Mapping) -> Found {
    match schema::inspect(conn, db, mapping) {
        Ok(layout) => Ok(format!(
            "{} takes {} mapped fields, unique by {}",
            layout.target,
            layout.columns.len() - super::batch::KEPT.len(),
            db.conflict_key
        )),
        Err(SchemaError::Store(error)) => Err(failed(&error)),
        Err(SchemaError::Mismatch(problems)) => Err((
            problems.join("\n"),
            Some(
                "`datasync check-db --apply-schema` creates the tables and columns of datasync; the rest is for \
                 mappings.yaml or ALTER TABLE"
                    .to_owned(),
            ),
        )),
    }
}

const MISSING_PRIVILEGES: &str = "
SELECT t.name, t.privilege FROM unnest($1::text[], $2::text[]) AS t(name, privilege)
WHERE to_regclass(t.name) IS NOT NULL AND NOT has_table_privilege(to_regclass(t.name), t.privilege)";

const MISSING_SEQUENCES: &str = "
SELECT format('%I.%I', n.nspname, s.relname) FROM pg_depend d
JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S' JOIN pg_namespace n ON n.oid = s.relnamespace
WHERE d.refobjid = to_regclass($1) AND d.deptype = 'a' AND NOT has_sequence_privilege(s.oid, 'USAGE')";

fn privileges(conn: &mut Connection, db: &Database) -> Found {
    let mut grants = Vec::new();
    let role = quote(&db.user);
    for schema in [&db.schema, &db.log_schema] {
        let allowed = conn
            .query(
                "reading privileges",
                "SELECT coalesce((SELECT has_schema_privilege(oid, 'USAGE') FROM pg_namespace WHERE nspname = $1), true)",
                &[(schema, Type::TEXT)],
            )
            .and_then(single)
            .map_err(|error| failed(&error))?;
        if !allowed.try_get::<_, bool>(0).unwrap_or(false) {
            let grant = format!("GRANT USAGE ON SCHEMA {} TO {role};", quote(schema));
            if !grants.contains(&grant) {
                grants.push(grant);
            }
        }
    }
    if grants.is_empty() {
        grants.extend(table_grants(conn, db, &role).map_err(|error| failed(&error))?);
    }
    if grants.is_empty() {
        Ok("all that are needed".to_owned())
    } else {
        Err((format!("{} missing", grants.len()), Some(grants.join("\n"))))
    }
}

fn table_grants(
    conn: &mut Connection,
    db: &Database,
    role: &str,
) -> Result<Vec<String>, StoreError> {
    let target = quote_table(&db.schema, &db.table);
    let (mut names, mut wanted) = (Vec::new(), Vec::new());
    for privilege in ["SELECT", "INSERT", "UPDATE"] {
        names.push(target.clone());
        wanted.push(privilege);
    }
    for table in [
        db.log_table.as_str(),
        "sync_batches",
        "sync_rejections",
        "sync_cases",
        "sync_state",
        "sync_lease",
    ] {
        for privilege in ["SELECT", "INSERT", "UPDATE", "DELETE"] {
            names.push(quote_table(&db.log_schema, table));
            wanted.push(privilege);
        }
    }
    let missing = conn.query(
        "reading privileges",
        MISSING_PRIVILEGES,
        &[(&names, Type::TEXT_ARRAY), (&wanted, Type::TEXT_ARRAY)],
    )?;
    let mut grants = Vec::new();
    let mut open: Option<(String, Vec<String>)> = None;
    for row in &missing {
        let (table, privilege) = (text(row, 0)?.to_owned(), text(row, 1)?.to_owned());
        match &mut open {
            Some((last, privileges)) if *last == table => privileges.push(privilege),
            _ => {
                grants.extend(open.take().map(|grant| table_grant(&grant, role)));
                open = Some((table, vec![privilege]));
            }
        }
    }
    grants.extend(open.map(|grant| table_grant(&grant, role)));
    for row in &conn.query(
        "reading privileges",
        MISSING_SEQUENCES,
        &[(&target, Type::TEXT)],
    )? {
        grants.push(format!(
            "GRANT USAGE ON SEQUENCE {} TO {role};",
            text(row, 0)?
        ));
    }
    Ok(grants)
}

fn table_grant((table, privileges): &(String, Vec<String>), role: &str) -> String {
    format!("GRANT {} ON {table} TO {role};", privileges.join(", "))
}

fn connections(conn: &mut Connection, db: &Database) -> Found {
    let row = conn
        .query(
            "counting connections",
            "SELECT greatest(0, least( \
               current_setting('max_connections')::bigint - current_setting('superuser_reserved_connections')::bigint \
                 - (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'), \
               (SELECT rolconnlimit - (SELECT count(*) FROM pg_stat_activity WHERE usename = current_user) \
                  FROM pg_roles WHERE rolname = current_user AND rolconnlimit >= 0))) + 1, \
             current_setting('max_connections')::bigint",
            &[],
        )
        .and_then(single)
        .map_err(|error| failed(&error))?;
    let free = count(&row, 0).map_err(|error| failed(&error))?;
    let all = count(&row, 1).map_err(|error| failed(&error))?;
    let detail = format!(
        "{free} of {all} are free, the pool takes up to {}",
        db.max_connections
    );
    if free >= u64::from(db.max_connections) {
        Ok(detail)
    } else {
        Err((
            detail,
            Some(
                "lower database.connection.pool.max_connections or raise max_connections of the server"
                    .to_owned(),
            ),
        ))
    }
}
