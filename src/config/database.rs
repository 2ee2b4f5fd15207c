//! `mappings.database` and the `DB_*` variables.

use std::net::IpAddr;
use std::time::Duration;

use super::database_tls::tls;
use super::database_url::{DatabaseUrl, ONE_HOST, Unusable, database_url};
use super::plan::{Database, KeepPayload, SslMode};
use super::problem::Problem;
use super::reader::{CONVENTION, Section};
use super::secret::Secret;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);

/// Why SQL statements in mappings.yaml are ignored.
const GENERATED: &str = "statements are generated from the field mapping, and parameterised";

/// Names of tables and columns: needed by every command, since the mapping depends on them.
pub(super) struct Tables {
    pub schema: String,
    pub table: String,
    pub primary_key: String,
    /// The column that the file names; if none, the unique columns of the table decide.
    pub conflict_key: Option<String>,
    log_schema: String,
    log_table: String,
}

/// `mappings.database`, its keys checked.
pub(super) fn section<'a>(mappings: &Section<'a>) -> Section<'a> {
    let section = mappings.section(
        "database",
        &[&["connection", "batch_size", "tables"], &CONVENTION[..]].concat(),
    );
    section.ignore("type", "the target is always PostgreSQL");
    section.ignore("connector", "datasync brings its own");
    section.ignore("driver", "it is always PostgreSQL");
    section.ignore("operations", GENERATED);
    section
}

pub(super) fn tables(database: &Section<'_>) -> Tables {
    let tables = database.section(
        "tables",
        &[&["customers", "sync_log"], &CONVENTION[..]].concat(),
    );
    let keys = |own: &[&'static str]| [own, &["fields"], &CONVENTION[..]].concat();
    let customers = tables.section(
        "customers",
        &keys(&["name", "schema", "primary_key", "conflict_key"]),
    );
    let log = tables.section("sync_log", &keys(&["name", "schema", "primary_key"]));
    for table in [&tables, &customers, &log] {
        table.ignore("operations", GENERATED);
        for key in ["type", "connector", "driver"] {
            table.ignore(key, "every table is one of PostgreSQL");
        }
        table.ignore(
            "fields",
            "columns come from the field mapping; check-db compares them with the table",
        );
    }
    log.ignore("primary_key", "rows are found by their run");
    let name = |section: &Section<'_>, key: &str, default: &str| {
        identifier(section, key).unwrap_or_else(|| default.to_owned())
    };
    let schema = name(&customers, "schema", "public");
    Tables {
        table: name(&customers, "name", "customers"),
        primary_key: name(&customers, "primary_key", "id"),
        conflict_key: identifier(&customers, "conflict_key"),
        log_schema: name(&log, "schema", &schema),
        log_table: name(&log, "name", "sync_log"),
        schema,
    }
}

/// A name that is not too long for PostgreSQL, which would cut it.
fn identifier(section: &Section<'_>, key: &str) -> Option<String> {
    section.parse(key, "a name of 1 to 63 bytes", |text| {
        is_identifier(text).then(|| text.to_owned())
    })
}

/// Can this be the name of a column or table? Names are always quoted, so any characters are allowed.
pub(super) fn is_identifier(text: &str) -> bool {
    (1..=63).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// The connection; `None` if something needed is missing, which has been reported.
pub(super) fn database(section: &Section<'_>, tables: Tables) -> Option<Database> {
    let connection = open_connection(section);
    let url = database_url(&connection);
    let [host, name, user] = login(&connection, &url);
    let password = url
        .as_ref()
        .ok()
        .and_then(|url| password(&connection, url.as_ref()));
    let url = url.unwrap_or_default();
    let port = port(&connection, url.as_ref());
    let tls = tls(&connection, url.as_ref());
    let pool = connection.section(
        "pool",
        &["min_connections", "max_connections", "connection_timeout"],
    );
    let (min_connections, max_connections) = connections(&pool);
    let connection_timeout = pool
        .duration("connection_timeout", SECOND / 10, HOUR)
        .or(url.as_ref().and_then(|url| url.connect_timeout))
        .unwrap_or(SECOND * 5);
    let statement_timeout = connection
        .duration("statement_timeout", SECOND / 10, HOUR)
        .unwrap_or(SECOND * 60);
    let lock_timeout = connection
        .duration("lock_timeout", SECOND / 100, HOUR)
        .unwrap_or(SECOND * 10);
    let batch_size = section.number("batch_size", 1..=50_000).unwrap_or(5_000);
    let host = host?;
    if tls.client_certificate.is_some() && is_socket(&host) {
        connection.context().problem_if(
            connection.is_needed(),
            Problem::new("a client certificate cannot be shown on a Unix socket, which has no TLS")
                .hint("leave DB_SSLCERT and DB_SSLKEY out, or let DB_HOST be a name or an address"),
        );
    }
    Some(Database {
        ssl_mode: tls.mode.unwrap_or(if is_local(&host) {
            SslMode::Prefer
        } else {
            SslMode::VerifyFull
        }),
        host,
        port,
        name: name?,
        user: user?,
        password: password?,
        ssl_root_cert: tls.root_cert,
        client_certificate: tls.client_certificate,
        min_connections,
        max_connections,
        connection_timeout,
        statement_timeout,
        lock_timeout,
        batch_size,
        schema: tables.schema,
        table: tables.table,
        log_schema: tables.log_schema,
        log_table: tables.log_table,
        write_back: Vec::new(),
        keep_payload: KeepPayload::default(),
    })
}

/// What is said of the connection. What datasync has no choice about is checked, and ignored.
fn open_connection<'a>(section: &Section<'a>) -> Section<'a> {
    let connection = section.section(
        "connection",
        &[
            "driver",
            "host",
            "port",
            "database",
            "username",
            "password",
            "ssl_mode",
            "ssl_root_cert",
            "ssl_cert",
            "ssl_key",
            "pool",
            "statement_timeout",
            "lock_timeout",
            "type",
            "connector",
            "operations",
        ],
    );
    for key in ["type", "connector"] {
        connection.ignore(key, "it is always one to PostgreSQL");
    }
    connection.ignore("operations", GENERATED);
    driver(&connection);
    connection
}

/// Host, name and user, as far as they are known.
fn login(
    connection: &Section<'_>,
    url: &Result<Option<DatabaseUrl>, Unusable>,
) -> [Option<String>; 3] {
    // If DATABASE_URL is unusable, do not also report that the single variables are missing.
    let Ok(url) = url else {
        return [None, None, None];
    };
    let url = url.as_ref();
    [
        ("DB_HOST", url.map(|url| &url.host), "host"),
        ("DB_NAME", url.map(|url| &url.name), "database"),
        ("DB_USER", url.map(|url| &url.user), "username"),
    ]
    .map(|(variable, from_url, key)| setting(connection, variable, from_url, key))
}

/// The smallest and the largest number of connections.
fn connections(pool: &Section<'_>) -> (u32, u32) {
    let max = pool.number("max_connections", 1..=100);
    let min = pool
        .number("min_connections", 1..=100)
        .unwrap_or(2.min(max.unwrap_or(2)));
    let max = max.unwrap_or(10.max(min));
    if min > max {
        pool.wrong(
            "min_connections",
            "`min_connections` is more than `max_connections`",
            "the pool grows from min_connections to max_connections",
        );
    }
    (min, max)
}

fn driver(connection: &Section<'_>) {
    if connection
        .choice("driver", &[("postgresql", ()), ("postgres", ())])
        .is_some()
    {
        connection.ignore("driver", "it is always PostgreSQL");
    }
}

/// A setting from the environment, else from `DATABASE_URL`, else from the file. If none has it, it is reported as missing.
fn setting(
    connection: &Section<'_>,
    variable: &str,
    from_url: Option<&String>,
    key: &str,
) -> Option<String> {
    let context = connection.context();
    let needed = connection.is_needed();
    if let Some(value) = context.variable(variable, needed).or(from_url.cloned()) {
        if value.contains('\0') {
            context.problem_if(
                needed,
                Problem::new(format!("{variable} contains a NUL character")),
            );
            return None;
        }
        if key == "host" && value.contains(',') {
            context.problem_if(
                needed,
                Problem::new("DB_HOST names more than one host").hint(ONE_HOST),
            );
            return None;
        }
        return Some(value);
    }
    if connection.entry(key).is_none() {
        context.missing(variable, None, needed);
        return None;
    }
    let value = connection.parse(key, "text without control characters", |text| {
        (!text.is_empty() && !text.contains(char::is_control)).then(|| text.to_owned())
    })?;
    if key == "host" && value.contains(',') {
        connection.wrong(key, "more than one host is named", ONE_HOST);
        return None;
    }
    Some(value)
}

/// The password. It may be empty (trust and peer authentication), but it must be set.
fn password(connection: &Section<'_>, url: Option<&DatabaseUrl>) -> Option<Secret> {
    let context = connection.context();
    let needed = connection.is_needed();
    let password = match (context.defined("DB_PASSWORD", needed), url) {
        (Some(password), _) => password,
        (None, Some(url)) => url.password.expose().to_owned(),
        (None, None) if connection.entry("password").is_none() => {
            context.missing("DB_PASSWORD", None, needed);
            return None;
        }
        (None, None) => connection.value_or_empty("password")?.text,
    };
    if password.contains('\0') {
        context.problem_if(
            needed,
            Problem::new("the database password contains a NUL character"),
        );
    }
    Some(Secret::new(password))
}

fn port(connection: &Section<'_>, url: Option<&DatabaseUrl>) -> u16 {
    const DEFAULT: u16 = 5432;
    let context = connection.context();
    let needed = connection.is_needed();
    if let Some(text) = context.variable("DB_PORT", needed) {
        return text
            .trim()
            .parse()
            .ok()
            .filter(|port| *port > 0)
            .unwrap_or_else(|| {
                context.problem_if(
                    needed,
                    Problem::new("DB_PORT: expected a port from 1 to 65535"),
                );
                DEFAULT
            });
    }
    match url {
        Some(url) => url.port,
        // The port has a default, so `${DB_PORT}` without a value is not a mistake.
        None if connection.is_reference_to("port", "DB_PORT") => DEFAULT,
        None => connection.number("port", 1..=65_535).unwrap_or(DEFAULT),
    }
}

/// The folder of a Unix socket, or a name in the abstract namespace.
fn is_socket(host: &str) -> bool {
    host.starts_with(['/', '@'])
}

/// Is the connection local, so that no TLS is needed? True for a Unix socket and the loopback interface.
pub(super) fn is_local(host: &str) -> bool {
    is_socket(host)
        || host == "localhost"
        || host.ends_with(".localhost")
        || host
            .trim_matches(['[', ']'])
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn local_hosts() {
        for host in [
            "/run/postgresql",
            "@abstract",
            "localhost",
            "db.localhost",
            "127.0.0.1",
            "127.9.9.9",
            "::1",
            "[::1]",
        ] {
            assert!(is_local(host), "{host}");
        }
        for host in [
            "db",
            "localhost.example.com",
            "10.0.0.1",
            "128.0.0.1",
            "::2",
        ] {
            assert!(!is_local(host), "{host}");
        }
    }
}
