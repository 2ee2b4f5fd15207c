//! What can go wrong at the database, and what to do about it: the one function from SQLSTATE to [`Class`].
//!
//! Messages built here never hold a row's value, a password or a connection string: of PostgreSQL's own text only the
//! classes whose messages name objects (tables, roles, databases) are repeated, and `detail` never is.

use std::error::Error as _;
use std::fmt;

use tokio_postgres::error::{DbError, Severity};

use crate::support::tls::{self, Fault};

/// What a caller does with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// May pass by itself: retry on a new connection, else keep the batch in the spool.
    Transient,
    /// The fault of a row: never retried, found by bisection.
    Data,
    /// Needs a person: configuration, privileges, a missing table.
    Fatal,
}

/// Kind of the error, and reason of the rejection, of a row that a trigger skipped.
pub(crate) const SKIPPED: &str = "database_skipped";

/// An error of the database, fit for users.
#[derive(Clone, Debug)]
pub struct StoreError {
    class: Class,
    kind: &'static str,
    sqlstate: Option<Box<str>>,
    /// What happened and, mostly, the advice.
    message: Box<str>,
    /// What to do next.
    advice: &'static str,
    constraint: Option<Box<str>>,
    column: Option<Box<str>>,
    /// Where in a function it was raised, when PostgreSQL told.
    raised: Option<Box<Raised>>,
    connection_lost: bool,
    /// Other rows than those of the statement may pass: bisection finds out.
    may_be_of_a_row: bool,
}

/// An error that was raised in a function or trigger.
#[derive(Clone, Debug)]
struct Raised {
    function: Option<Box<str>>,
    context: Context,
}

/// The context of an error as PostgreSQL words it, in the server's language. It may hold values, so it is never shown.
#[derive(Clone)]
struct Context(Box<str>);

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Context")
    }
}

impl Context {
    /// The outermost call of one of these functions (`schema.name`). Whatever the language of the context, it has a
    /// function's name before its arguments in parentheses.
    fn function_among(&self, functions: &[String]) -> Option<Box<str>> {
        let is_called = |line: &str, name: &str| {
            [
                format!("{name}("),
                format!("\"{}\"(", name.replace('"', "\"\"")),
            ]
            .iter()
            .any(|call| {
                line.match_indices(call.as_str()).any(|(at, _)| {
                    let before = line[..at].bytes().next_back();
                    !before.is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'"')
                })
            })
        };
        self.0.lines().rev().find_map(|line| {
            functions
                .iter()
                .filter_map(|function| function.split_once('.'))
                .map(|(_schema, name)| name)
                .find(|name| is_called(line, name))
                .map(Box::from)
        })
    }
}

/// Class and kind of a SQLSTATE. Decides every retry against the database.
pub fn classify(sqlstate: &str) -> (Class, &'static str) {
    match sqlstate {
        "40P01" => (Class::Transient, "deadlock"),
        "40001" | "40003" => (Class::Transient, "serialization"),
        "55P03" => (Class::Transient, "lock_timeout"),
        "57014" => (Class::Transient, "statement_timeout"),
        "53300" => (Class::Transient, "too_many_connections"),
        "53100" => (Class::Transient, "disk_full"),
        "57P01" | "57P02" | "57P03" | "57P05" => (Class::Transient, "shutting_down"),
        "25006" => (Class::Transient, "read_only"),
        "25P03" => (Class::Transient, "idle_timeout"),
        "57P04" | "3D000" => (Class::Fatal, "no_such_database"),
        "08P01" => (Class::Fatal, "protocol"),
        // A key twice in one statement: keys that differ here but not to the index (case-insensitive types).
        "21000" => (Class::Data, "cardinality"),
        // An exhausted sequence takes no row at all.
        "2200H" => (Class::Fatal, "database"),
        // A trigger's RAISE, a view's CHECK OPTION, a value too large for its index.
        "P0001" | "44000" | "54000" => (Class::Data, "database"),
        "42501" => (Class::Fatal, "privilege"),
        _ => match sqlstate.get(..2) {
            Some("22" | "23") => (Class::Data, "database"),
            Some("08") => (Class::Transient, "connection"),
            Some("40") => (Class::Transient, "rolled_back"),
            Some("53") => (Class::Transient, "resources"),
            Some("57" | "58") => (Class::Transient, "server"),
            Some("28") => (Class::Fatal, "authentication"),
            Some("42" | "3F") => (Class::Fatal, "schema_mismatch"),
            _ => (Class::Fatal, "database"),
        },
    }
}

/// Class and kind of an error that a pooler raised itself: pgbouncer has one SQLSTATE (08P01) for all of them, so its text
/// tells. What its text does not name is trouble between it and the server, which may pass.
fn classify_pooler(text: &str) -> (Class, &'static str) {
    const PERSON: [&str; 8] = [
        "authentication",
        "password",
        "no such user",
        "login rejected",
        "username",
        "SSL required",
        "config error",
        "PQexec disallowed",
    ];
    let has = |words: &str| text.contains(words);
    if has("statement pooling mode") {
        (Class::Fatal, "statement_pooling")
    } else if has("unsupported startup parameter") || has("unsupported options startup parameter") {
        (Class::Fatal, "startup_parameter")
    } else if has("no such database") || (has("database \"") && !has("cached error")) {
        (Class::Fatal, "no_such_database")
    } else if PERSON.iter().any(|words| has(words)) {
        (Class::Fatal, "authentication")
    } else if has("query_wait_timeout") || has("connections exceeded") || has("max_client_conn") {
        (Class::Transient, "pool_exhausted")
    } else {
        (Class::Transient, "pooler")
    }
}

/// Did a pooler raise it? PostgreSQL names the place in its source with every error, and pgbouncer never does.
fn is_of_pooler(db: &DbError) -> bool {
    db.code().code() == "08P01" && db.file().is_none()
}

/// May an error that is not transient depend on the rows of the statement? Only trying tells, except where the SQLSTATE
/// is about the connection, the server or a sequence. An object that is missing may be one that a value names: the input
/// of regclass, jsonpath and others reports it so.
fn depends_on_rows(sqlstate: &str) -> bool {
    match sqlstate {
        "42501" => true,
        "2200H" | "XX001" | "XX002" | "57P04" | "25P02" => false,
        _ => match sqlstate.get(..2) {
            Some("08" | "25" | "26" | "28" | "3D") | None => false,
            Some(_) => true,
        },
    }
}

/// The outermost function in the context of an error, which is the trigger's. Only its name: the context may hold values.
fn function_of(context: &str) -> Option<Box<str>> {
    let name = context.lines().rev().find_map(|line| {
        let (language, rest) = line.split_once(" function ")?;
        let known = language == "SQL" || language.starts_with("PL/");
        (known && !language.contains(' ')).then_some(rest)
    })?;
    let name = name.trim_start_matches('"');
    let end = name.find(['(', '"', ' ']).unwrap_or(name.len());
    (end > 0).then(|| Box::from(&name[..end]))
}

/// Why PostgreSQL refused a row, without any text of the server.
fn refusal(
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

/// A person's word for the refusals that rows meet most.
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

/// What to do next, by kind.
fn hint(kind: &str) -> &'static str {
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
        "privilege" => "run `datasync check-db`: it prints the GRANT to type",
        "schema_mismatch" => {
            "run `datasync check-db`, and `datasync check-db --apply-schema` to create what is missing"
        }
        "name_resolution" => "check DB_HOST",
        "unreachable" => "check DB_HOST and DB_PORT, and that the server is running",
        "tls" => "check DB_SSLMODE and DB_SSLROOTCERT",
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

/// What to do about a failed handshake. Never to switch the checks off.
fn tls_hint(error: &tokio_postgres::Error) -> &'static str {
    match tls::error_in(error).map(Fault::of) {
        // No handshake was begun.
        None if error
            .source()
            .is_some_and(|cause| cause.to_string().contains("does not support TLS")) =>
        {
            "the server offers no TLS, which DB_SSLMODE demands: its operator switches it on with ssl = on"
        }
        Some(Fault::Expired) => {
            "the server's certificate is out of date: its operator has to renew it (and check this machine's clock)"
        }
        Some(Fault::NotYetValid) => {
            "the server's certificate is not valid yet: check this machine's clock"
        }
        Some(Fault::WrongName) => {
            "let DB_HOST be a name that the certificate is for: names count in its subject alternative name (SAN), not in its common name"
        }
        Some(Fault::UnknownIssuer) => {
            "the certificate's issuer is not trusted here: name a file with its certificate in DB_SSLROOTCERT"
        }
        Some(Fault::Other) | None => hint("tls"),
    }
}

impl StoreError {
    /// An error that PostgreSQL did not report itself.
    pub(crate) fn new(class: Class, kind: &'static str, message: impl Into<String>) -> Self {
        Self {
            class,
            kind,
            sqlstate: None,
            message: message.into().into_boxed_str(),
            advice: hint(kind),
            constraint: None,
            column: None,
            raised: None,
            connection_lost: false,
            may_be_of_a_row: false,
        }
    }

    /// A row that the table took without storing it.
    pub(crate) fn skipped() -> Self {
        Self::new(
            Class::Data,
            SKIPPED,
            "a trigger or a rule of the table skipped it: it is not stored; look at the table's BEFORE triggers",
        )
    }

    /// A wait that reached its deadline; the connection is of no more use.
    pub(crate) fn timeout(what: &str, seconds: f64) -> Self {
        let mut error = Self::new(
            Class::Transient,
            "timeout",
            format!(
                "{what}: the database did not answer within {seconds:.1} s; {}",
                hint("timeout")
            ),
        );
        error.connection_lost = true;
        error
    }

    /// The run has no time left for it.
    pub(crate) fn out_of_time(what: &str) -> Self {
        let mut error = Self::new(
            Class::Transient,
            "deadline",
            format!(
                "{what}: the deadline of the run is over; {}",
                hint("deadline")
            ),
        );
        error.connection_lost = true;
        error
    }

    /// The connection is already known to be of no use.
    pub(crate) fn dead(what: &str) -> Self {
        let mut error = Self::new(
            Class::Transient,
            "connection",
            format!("{what}: this connection to the database was given up; a new one is needed"),
        );
        error.connection_lost = true;
        error
    }

    /// `what` was being done, as in `connecting to the database`.
    pub(crate) fn from_driver(what: &str, error: &tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(db) => Self::from_server(what, db),
            None => Self::from_transport(what, error),
        }
    }

    fn from_server(what: &str, db: &DbError) -> Self {
        let sqlstate = db.code().code();
        let (class, kind) = if is_of_pooler(db) {
            classify_pooler(db.message())
        } else {
            classify(sqlstate)
        };
        let context = db.where_();
        let function = context.and_then(function_of);
        let message = if class == Class::Data {
            refusal(sqlstate, db.constraint(), db.column(), function.as_deref())
        } else {
            let said = match sqlstate.get(..2) {
                // What a function raises may quote values, and so may what cannot be parsed.
                _ if context.is_some() || sqlstate == "42601" => "an error",
                // These name roles, databases, tables and columns, never a row's value.
                Some("08" | "25" | "28" | "3D" | "3F" | "42" | "53" | "55" | "57") => db.message(),
                _ => "an error",
            };
            format!(
                "{what}: the database reported {} (SQLSTATE {sqlstate}); {}",
                said.split(char::is_control)
                    .filter(|part| !part.is_empty())
                    .collect::<Vec<_>>()
                    .join(" "),
                hint(kind)
            )
        };
        let fatal = matches!(
            db.parsed_severity(),
            Some(Severity::Fatal | Severity::Panic)
        );
        let connection_lost = fatal || sqlstate.starts_with("57P") || sqlstate == "25006";
        Self {
            class,
            kind,
            sqlstate: Some(sqlstate.into()),
            message: message.into_boxed_str(),
            advice: hint(kind),
            constraint: db.constraint().map(Box::from),
            column: db.column().map(Box::from),
            raised: context.map(|context| {
                Box::new(Raised {
                    function,
                    context: Context(context.into()),
                })
            }),
            connection_lost,
            may_be_of_a_row: class == Class::Fatal && !connection_lost && depends_on_rows(sqlstate),
        }
    }

    fn from_transport(what: &str, error: &tokio_postgres::Error) -> Self {
        let text = error.to_string();
        let cause = error.source();
        let io = cause.and_then(|cause| cause.downcast_ref::<std::io::Error>());
        let (class, kind) = if text.contains("TLS") {
            (Class::Fatal, "tls")
        } else if text.contains("authentication") || text.contains("invalid configuration") {
            (Class::Fatal, "authentication")
        } else if text.contains("connecting") {
            let unresolved = cause.is_some_and(|cause| cause.to_string().contains("lookup"));
            if unresolved {
                (Class::Transient, "name_resolution")
            } else {
                (Class::Transient, "unreachable")
            }
        } else if io.is_some() || error.is_closed() {
            (Class::Transient, "connection")
        } else {
            // Encoding or decoding on our side.
            (Class::Fatal, "protocol")
        };
        // The cause of a failed TLS handshake names the certificate's fault; that of a failed connect the system's error.
        let why = match (kind, cause) {
            ("protocol", _) | (_, None) => text,
            (_, Some(cause)) => innermost(cause),
        };
        let advice = if kind == "tls" {
            tls_hint(error)
        } else if why.contains("password missing") {
            "set DB_PASSWORD; PGPASSWORD, PGSERVICE and ~/.pgpass are not read"
        } else {
            hint(kind)
        };
        let mut made = Self::new(class, kind, format!("{what}: {why}; {advice}"));
        made.advice = advice;
        made.connection_lost = true;
        made
    }

    /// What happened, without the advice.
    pub fn what(&self) -> &str {
        self.message
            .strip_suffix(self.hint())
            .and_then(|what| what.strip_suffix("; "))
            .unwrap_or(&self.message)
    }

    /// What to do next.
    pub const fn hint(&self) -> &'static str {
        self.advice
    }

    /// What to do with it.
    pub const fn class(&self) -> Class {
        self.class
    }

    /// Short machine-readable kind: the label of metrics and part of a case's fingerprint.
    pub const fn kind(&self) -> &'static str {
        self.kind
    }

    /// Somebody else was in the way (a transaction, or all connection slots): the same work may succeed at once.
    pub fn is_conflict(&self) -> bool {
        matches!(self.sqlstate(), Some("40001" | "40P01" | "53300" | "55P03"))
    }

    /// The server has no connection to spare.
    pub fn is_crowded(&self) -> bool {
        self.sqlstate() == Some("53300") || self.kind == "pool_exhausted"
    }

    /// Did another transaction and this one wait for each other?
    pub fn is_deadlock(&self) -> bool {
        self.kind == "deadlock"
    }

    /// Did another transaction hold a lock for too long?
    pub fn is_lock_timeout(&self) -> bool {
        self.kind == "lock_timeout"
    }

    /// May other rows pass where this error, which is not of [`Class::Data`], stopped a statement?
    pub const fn may_be_of_a_row(&self) -> bool {
        self.may_be_of_a_row
    }

    /// The same error where it was shown that it is raised without any row, too.
    pub(crate) fn of_the_table(mut self) -> Self {
        self.may_be_of_a_row = false;
        self
    }

    /// The same error where it was shown that one row raises it.
    pub(crate) fn of_a_row(mut self) -> Self {
        if self.class != Class::Data {
            self.class = Class::Data;
            self.kind = "database";
            self.advice = hint(self.kind);
            self.may_be_of_a_row = false;
            self.word_refusal();
        }
        self
    }

    /// Says where a row was refused, as far as PostgreSQL did not: in which of the table's trigger functions
    /// (`schema.name`), and at which column.
    pub(crate) fn located(mut self, functions: &[String], column: Option<&str>) -> Self {
        if let Some(raised) = &mut self.raised
            && let Some(function) = raised.context.function_among(functions)
        {
            raised.function = Some(function);
        }
        if self.column.is_none() {
            self.column = column.map(Box::from);
        }
        if self.class == Class::Data && self.sqlstate.is_some() {
            self.word_refusal();
        }
        self
    }

    fn word_refusal(&mut self) {
        let message = refusal(
            self.sqlstate().unwrap_or_default(),
            self.constraint(),
            self.column(),
            self.function(),
        );
        self.message = message.into_boxed_str();
    }

    /// Nothing says where it was raised: neither a column nor a constraint nor a function is named.
    pub(crate) const fn is_unlocated(&self) -> bool {
        self.column.is_none() && self.constraint.is_none() && self.raised.is_none()
    }

    /// The function or trigger that raised it, when PostgreSQL told.
    pub fn function(&self) -> Option<&str> {
        self.raised.as_ref()?.function.as_deref()
    }

    /// PostgreSQL's code, when PostgreSQL reported it.
    pub fn sqlstate(&self) -> Option<&str> {
        self.sqlstate.as_deref()
    }

    /// The violated constraint, when there is one.
    pub fn constraint(&self) -> Option<&str> {
        self.constraint.as_deref()
    }

    /// The column at fault, when PostgreSQL named it.
    pub fn column(&self) -> Option<&str> {
        self.column.as_deref()
    }

    /// True when the connection it happened on cannot be used again.
    pub const fn connection_lost(&self) -> bool {
        self.connection_lost
    }
}

/// The last cause of a chain, as text.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for StoreError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_retry_is_decided_by_the_class_of_the_sqlstate() {
        for (sqlstate, class) in [
            ("22001", Class::Data),
            ("22021", Class::Data),
            ("23505", Class::Data),
            ("23514", Class::Data),
            ("P0001", Class::Data),
            ("2200H", Class::Fatal),
            ("40P01", Class::Transient),
            ("40001", Class::Transient),
            ("55P03", Class::Transient),
            ("57P01", Class::Transient),
            ("57P03", Class::Transient),
            ("53300", Class::Transient),
            ("53100", Class::Transient),
            ("25006", Class::Transient),
            ("08006", Class::Transient),
            ("28P01", Class::Fatal),
            ("3D000", Class::Fatal),
            ("42P01", Class::Fatal),
            ("42703", Class::Fatal),
            ("42501", Class::Fatal),
            ("XX000", Class::Fatal),
            ("", Class::Fatal),
        ] {
            assert_eq!(classify(sqlstate).0, class, "{sqlstate}");
        }
    }

    #[test]
    fn what_a_pooler_says_is_read() {
        for (text, class, kind) in [
            ("query_wait_timeout", Class::Transient, "pool_exhausted"),
            (
                "no more connections allowed (max_client_conn)",
                Class::Transient,
                "pool_exhausted",
            ),
            (
                "client_login_timeout (server down)",
                Class::Transient,
                "pooler",
            ),
            ("server conn crashed?", Class::Transient, "pooler"),
            ("pooler is shutting down", Class::Transient, "pooler"),
            (
                "server login has been failing, cached error: connect failed (server_login_retry)",
                Class::Transient,
                "pooler",
            ),
            (
                "server login has been failing, cached error: the database system is starting up (server_login_retry)",
                Class::Transient,
                "pooler",
            ),
            ("SASL authentication failed", Class::Fatal, "authentication"),
            (
                "password authentication failed for user \"sync\"",
                Class::Fatal,
                "authentication",
            ),
            ("no such user", Class::Fatal, "authentication"),
            ("no such database: crm", Class::Fatal, "no_such_database"),
            (
                "database \"crm\" does not exist",
                Class::Fatal,
                "no_such_database",
            ),
            (
                "transaction blocks not allowed in statement pooling mode",
                Class::Fatal,
                "statement_pooling",
            ),
            (
                "unsupported startup parameter: options",
                Class::Fatal,
                "startup_parameter",
            ),
        ] {
            assert_eq!(classify_pooler(text), (class, kind), "{text}");
        }
    }

    #[test]
    fn a_trigger_function_is_found_in_a_context_of_any_language() {
        let functions = ["public.guard".to_owned(), "audit.keep \"it\"".to_owned()];
        for (context, function) in [
            ("PL/pgSQL-Funktion guard() Zeile 3 bei RAISE", Some("guard")),
            ("PL/pgSQL関数public.guard()の3行目 - RAISE", Some("guard")),
            (
                "fonction SQL audit.\"keep \"\"it\"\"\"(text), instruction 1",
                Some("keep \"it\""),
            ),
            ("PL/pgSQL-Funktion safeguard() Zeile 3 bei RAISE", None),
            ("SQL-Anweisung »SELECT 'guard'«", None),
        ] {
            let context = Context(context.into());
            assert_eq!(
                context.function_among(&functions).as_deref(),
                function,
                "{}",
                context.0
            );
        }
    }

    #[test]
    fn of_the_context_of_an_error_only_the_name_of_the_function_is_kept() {
        for (context, function) in [
            ("PL/pgSQL function refuse() line 3 at RAISE", Some("refuse")),
            (
                "SQL statement \"INSERT INTO t VALUES ('secret')\"\nPL/pgSQL function audit.keep(text) line 1 at SQL statement",
                Some("audit.keep"),
            ),
            ("SQL function \"check it\" statement 1", Some("check")),
            ("COPY customers, line 3", None),
        ] {
            assert_eq!(function_of(context).as_deref(), function, "{context}");
        }
    }
}
