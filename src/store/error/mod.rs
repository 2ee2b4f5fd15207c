//! What can go wrong at the database.
//!
//! Messages that are built here never hold a row's value, a password or a connection string. PostgreSQL's own text is
//! repeated only for the classes whose messages name objects (tables, roles, databases), and its `detail` never.

mod class; // what a caller does with an error
mod context; // which function raised it
mod words; // the messages, and what to do next

use std::error::Error as _;
use std::fmt;

use tokio_postgres::error::{DbError, Severity};

pub use class::{Class, classify};
use class::{classify_pooler, depends_on_rows, is_of_executor, is_of_pooler};
use context::{Context, function_of};
use words::{hint, refusal, tls_hint};

use crate::support::tls::{self, TlsFault};

/// Kind of the error and reason of the rejection, for a row that a trigger skipped.
pub(crate) const SKIPPED: &str = "database_skipped";

/// An error of the database, with a message that may be shown to users.
#[derive(Clone, Debug)]
pub struct StoreError {
    class: Class,
    kind: &'static str,
    sqlstate: Option<Box<str>>,
    /// What happened, mostly with advice.
    message: Box<str>,
    /// What to do next.
    advice: &'static str,
    constraint: Option<Box<str>>,
    column: Option<Box<str>>,
    /// Where in a function it was raised, if PostgreSQL has said so.
    raised: Option<Box<Raised>>,
    connection_lost: bool,
    /// Statements with other rows may succeed. Bisection finds out.
    may_be_of_a_row: bool,
    /// A COPY was refused before any row was sent. Another statement may succeed, on another connection.
    is_of_refused_copy: bool,
}

/// The place of an error that was raised in a function or trigger.
#[derive(Clone, Debug)]
struct Raised {
    function: Option<Box<str>>,
    context: Context,
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
            is_of_refused_copy: false,
        }
    }

    /// The database was not asked yet.
    pub(crate) fn not_asked() -> Self {
        Self::new(Class::Transient, "connection", "the database was not asked")
    }

    /// A row that the table accepted but did not store.
    pub(crate) fn skipped() -> Self {
        Self::new(
            Class::Data,
            SKIPPED,
            "a trigger or a rule of the table skipped it: it is not stored; look at the table's BEFORE triggers",
        )
    }

    /// Something that cannot be unless this program is wrong.
    pub(crate) fn bug(what: &str) -> Self {
        Self::new(Class::Fatal, "internal", format!("{what}: this is a bug"))
    }

    /// A call that did not end before its deadline. The connection cannot be used any more.
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

    /// A table stays locked by others, whom the error names.
    pub(crate) fn locked(what: &str, by_whom: &impl fmt::Display) -> Self {
        const ADVICE: &str = "nothing was changed; end those transactions (pg_terminate_backend), or try again when they are over";
        let mut error = Self::new(
            Class::Transient,
            "lock_timeout",
            format!("{what}: {by_whom}; {ADVICE}"),
        );
        error.advice = ADVICE;
        error
    }

    /// The run has no time left for this.
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

    /// The connection cannot be used, as an earlier error has shown.
    pub(crate) fn dead(what: &str) -> Self {
        let mut error = Self::new(
            Class::Transient,
            "connection",
            format!("{what}: this connection to the database was given up; a new one is needed"),
        );
        error.connection_lost = true;
        error
    }

    /// An error of the driver. `what` says what was being done, as in `connecting to the database`.
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
        let advice = if kind == "authentication" && sqlstate == "28000" {
            hint("not_let_in")
        } else {
            hint(kind)
        };
        let context = db.where_();
        let function = context.and_then(function_of);
        // A function that raises an error may put anything into constraint and column, even a value.
        let is_checked = context.is_none() || db.routine().is_some_and(is_of_executor);
        let constraint = db.constraint().filter(|_| is_checked);
        let column = db.column().filter(|_| is_checked);
        let message = if class == Class::Data {
            refusal(sqlstate, constraint, column, function.as_deref())
        } else {
            let reported = match sqlstate.get(..2) {
                // What a function raises may quote values, and so may a syntax error.
                _ if context.is_some() || sqlstate == "42601" => "an error",
                // These name roles, databases, tables and columns, but never a row's value.
                Some("08" | "25" | "28" | "3D" | "3F" | "42" | "53" | "55" | "57") => db.message(),
                _ => "an error",
            };
            format!(
                "{what}: the database reported {} (SQLSTATE {sqlstate}); {}",
                reported
                    .split(char::is_control)
                    .filter(|part| !part.is_empty())
                    .collect::<Vec<_>>()
                    .join(" "),
                advice
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
            advice,
            constraint: constraint.map(Box::from),
            column: column.map(Box::from),
            raised: context.map(|context| {
                Box::new(Raised {
                    function,
                    context: Context(context.into()),
                })
            }),
            connection_lost,
            may_be_of_a_row: class == Class::Fatal && !connection_lost && depends_on_rows(sqlstate),
            is_of_refused_copy: false,
        }
    }

    fn from_transport(what: &str, error: &tokio_postgres::Error) -> Self {
        let text = error.to_string();
        let cause = error.source();
        let io = cause.and_then(|cause| cause.downcast_ref::<std::io::Error>());
        let is_refused = tls::error_in(error).map(TlsFault::of) == Some(TlsFault::ClientRefused);
        let (class, kind) = if text.contains("TLS") || is_refused {
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
            // Encoding or decoding failed on this side.
            (Class::Fatal, "protocol")
        };
        // The cause of a failed TLS handshake describes the certificate, and that of a failed connect the system's error.
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

    /// What the caller should do with it.
    pub const fn class(&self) -> Class {
        self.class
    }

    /// A short machine-readable kind: a label of metrics, and a part of a case's fingerprint.
    pub const fn kind(&self) -> &'static str {
        self.kind
    }

    /// True if another transaction was in the way, or all connection slots were taken: the same work may succeed at once.
    pub fn is_conflict(&self) -> bool {
        matches!(self.sqlstate(), Some("40001" | "40P01" | "53300" | "55P03"))
    }

    /// True if the server has no free connection.
    pub fn is_connections_exhausted(&self) -> bool {
        self.sqlstate() == Some("53300") || self.kind == "pool_exhausted"
    }

    /// True if another transaction and this one waited for each other.
    pub fn is_deadlock(&self) -> bool {
        self.kind == "deadlock"
    }

    /// True if another transaction held a lock for too long.
    pub fn is_lock_timeout(&self) -> bool {
        self.kind == "lock_timeout"
    }

    /// True if the statement may succeed with other rows, although the error is not of [`Class::Data`].
    pub const fn may_be_of_a_row(&self) -> bool {
        self.may_be_of_a_row
    }

    /// The same error, after it was shown that it occurs without any row, too.
    pub(crate) fn of_the_table(mut self) -> Self {
        self.may_be_of_a_row = false;
        self
    }

    /// The same error, of a COPY that had not sent a row. The connection cannot be used any more.
    pub(crate) fn of_refused_copy(mut self) -> Self {
        self.is_of_refused_copy = true;
        self.connection_lost = true;
        self
    }

    /// True if a COPY was refused before any row was sent. Another statement may succeed, on another connection.
    pub const fn is_of_refused_copy(&self) -> bool {
        self.is_of_refused_copy
    }

    /// The same error, after it was shown that one row causes it.
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

    /// Adds where a row was refused, if PostgreSQL did not: the table's trigger function (`schema.name`), and the column.
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

    /// True if neither a column nor a constraint nor a function is named.
    pub(crate) const fn is_unlocated(&self) -> bool {
        self.column.is_none() && self.constraint.is_none() && self.raised.is_none()
    }

    /// The function or trigger that raised it, if PostgreSQL has named one.
    pub fn function(&self) -> Option<&str> {
        self.raised.as_ref()?.function.as_deref()
    }

    /// PostgreSQL's code, if PostgreSQL has reported the error.
    pub fn sqlstate(&self) -> Option<&str> {
        self.sqlstate.as_deref()
    }

    /// The violated constraint, if there is one.
    pub fn constraint(&self) -> Option<&str> {
        self.constraint.as_deref()
    }

    /// The column at fault, if PostgreSQL has named one.
    pub fn column(&self) -> Option<&str> {
        self.column.as_deref()
    }

    /// True if the connection cannot be used any more.
    pub const fn connection_lost(&self) -> bool {
        self.connection_lost
    }
}

/// The text of the last cause in a chain.
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
