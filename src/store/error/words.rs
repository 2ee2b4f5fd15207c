//! The texts of errors for people: what happened, and what to do next. None of them holds a value.

use std::error::Error as _;

use crate::support::tls::{self, TlsFault};

/// Why PostgreSQL refused a row, without the server's own text.
pub(super) fn refusal(
    sqlstate: &str,
    constraint: Option<&str>,
    column: Option<&str>,
    function: Option<&str>,
) -> String {
    let named = |what: &str, name: Option<&str>| {
        name.map_or_else(String::new, |name| format!(", {what} {name:?}"))
    };
    format!(
        "PostgreSQL refused it: {}{}{}{} (SQLSTATE {sqlstate})",
        data_fault(sqlstate),
        named("constraint", constraint),
        named("column", column),
        named("function", function),
    )
}

/// A plain description of the most frequent refusals of rows.
fn data_fault(sqlstate: &str) -> &'static str {
    match sqlstate {
        "22001" => "a text is longer than its column",
        "22003" => "a number is out of the column's range",
        "22007" | "22008" => "a date or time is one PostgreSQL cannot hold",
        "22021" | "22P05" => "a text has a character that PostgreSQL cannot store, such as NUL",
        "22P02" | "22P03" => "a value does not have the form of the column's type",
        "22032" => "a value is not valid JSON for the column",
        "23502" => "a column that must have a value has none",
        "23503" => "a foreign key refers to a row that is not there",
        "23505" => "another row already has this unique value",
        "23514" => "a check constraint does not hold",
        "23P01" => "an exclusion constraint does not hold",
        "21000" => "two records have keys that are equal to the table",
        "44000" => "the view's check option does not hold",
        "54000" => "a value is too large to be indexed",
        "P0001" => "a trigger refused it",
        "42501" => "a row-level policy or a privilege of a trigger does not allow it",
        state if !state.starts_with("22") && !state.starts_with("23") => {
            "a trigger, a policy or a function refused it"
        }
        _ => "the value was refused",
    }
}

/// What to do next, by the kind of the error.
pub(super) fn hint(kind: &str) -> &'static str {
    match kind {
        "deadlock" | "serialization" | "rolled_back" => {
            "another session writes the same rows at the same time; what was not written is kept and tried again"
        }
        "lock_timeout" => {
            "another session holds a lock on these rows; look into pg_stat_activity for one that is idle in transaction"
        }
        "statement_timeout" => "raise database.statement_timeout or lower database.batch_size",
        "too_many_connections" => {
            "lower database.connection.pool.max_connections or raise max_connections of the server"
        }
        "disk_full" => "make room on the disk of the database server",
        "shutting_down" => {
            "it is restarting or was told to end this connection; try again in a moment"
        }
        "read_only" => "it may be a replica: let DB_HOST point at the primary",
        "no_such_database" => "check DB_NAME",
        "authentication" => "check DB_USER, DB_PASSWORD and the server's pg_hba.conf",
        "not_let_in" => {
            "pg_hba.conf of the server does not let this role in from here, or demands a client certificate of its name (DB_SSLCERT, DB_SSLKEY)"
        }
        "privilege" => "run `datasync check-db`: it prints the GRANT to type",
        "schema_mismatch" => {
            "run `datasync check-db`, and `datasync check-db --apply-schema` to create what is missing"
        }
        "name_resolution" => "check DB_HOST",
        "unreachable" => "check DB_HOST and DB_PORT, and that the server is running",
        "tls" => "check DB_SSLMODE, DB_SSLROOTCERT and, where the server demands it, DB_SSLCERT",
        "deadline" => "give the run more time (--deadline)",
        "timeout" => "the server is too busy, stopped, or no longer reachable",
        "pool_exhausted" => {
            "no connection of the pool became free in time: raise default_pool_size of pgbouncer (in session mode it has to be 2 at least) or lower database.connection.pool.max_connections; where nobody else uses the pool, the server behind it may be down"
        }
        "statement_pooling" => {
            "a run needs transactions: set pool_mode = transaction (or session) for this database in pgbouncer"
        }
        "startup_parameter" => "see ignore_startup_parameters of pgbouncer",
        "pooler" => {
            "pgbouncer has no connection to the server: see its log, and whether the server is running"
        }
        "connection" => "the connection broke; it is tried again on a new one",
        _ => "see the log of the database server",
    }
}

/// What to do about a failed handshake. The advice is never to switch the checks off.
pub(super) fn tls_hint(error: &tokio_postgres::Error) -> &'static str {
    match tls::error_in(error).map(TlsFault::of) {
        // The handshake was not begun.
        None if error
            .source()
            .is_some_and(|cause| cause.to_string().contains("does not support TLS")) =>
        {
            "the server offers no TLS, which DB_SSLMODE demands: its operator switches it on with ssl = on"
        }
        Some(TlsFault::Expired) => {
            "the server's certificate is out of date: its operator has to renew it (and check this machine's clock)"
        }
        Some(TlsFault::NotYetValid) => {
            "the server's certificate is not valid yet: check this machine's clock"
        }
        Some(TlsFault::WrongName) => {
            "let DB_HOST be a name that the certificate is for: names count in its subject alternative name (SAN), not in its common name"
        }
        Some(TlsFault::UnknownIssuer) => {
            "the certificate's issuer is not trusted here: name a file with its certificate in DB_SSLROOTCERT"
        }
        Some(TlsFault::AuthorityAsServer) => {
            "the server shows the certificate of an authority (CA:TRUE) as its own, which is refused however much the authority is trusted (CaUsedAsEndEntity): its operator has to have the authority sign a certificate for the host (CA:FALSE), and you name the file of the authority in DB_SSLROOTCERT"
        }
        Some(TlsFault::ClientRefused) => {
            "the server does not accept the client certificate (DB_SSLCERT): its ssl_ca_file has to hold the issuer's, and the certificate has to be valid today"
        }
        Some(TlsFault::Other) | None => hint("tls"),
    }
}
