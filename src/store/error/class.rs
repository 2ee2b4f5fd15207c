//! What a caller does with an error: one function maps SQLSTATEs to a [`Class`], another one the errors of a pooler.

use tokio_postgres::error::DbError;

/// What a caller does with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// It may pass by itself: retry on a new connection, and if that fails keep the batch in the spool.
    Transient,
    /// A row is at fault. It is not retried; the row is found by bisection.
    Data,
    /// A person has to act: configuration, privileges, a missing table.
    Fatal,
}

/// Class and kind of a SQLSTATE. This decides every retry against the database.
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
        // A key occurs twice in one statement: two keys that differ here but are equal to the index (case-insensitive types).
        "21000" => (Class::Data, "cardinality"),
        // No row can be inserted once a sequence is exhausted.
        "2200H" => (Class::Fatal, "database"),
        // RAISE in a trigger, CHECK OPTION of a view, or a value that is too large for its index.
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

/// Class and kind of an error that a pooler raised itself. pgbouncer uses one SQLSTATE (08P01) for all of them, so its text
/// decides. An unknown text means trouble between pooler and server, which may pass.
pub(super) fn classify_pooler(text: &str) -> (Class, &'static str) {
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

/// True if a pooler raised the error. PostgreSQL names the place in its source with every error, and pgbouncer never does.
pub(super) fn is_of_pooler(db: &DbError) -> bool {
    db.code().code() == "08P01" && db.file().is_none()
}

/// True if at this place of its source PostgreSQL itself checks rows, so that constraint and column in the error are right.
pub(super) fn is_of_executor(routine: &str) -> bool {
    const ROUTINES: [&str; 16] = [
        "ExecConstraints",
        "ExecPartitionCheckEmitError",
        "ExecWithCheckOptions",
        "ReportNotNullViolationError",
        "_bt_check_unique",
        "comparetup_index_btree",
        "comparetup_index_btree_tiebreak",
        "check_exclusion_or_unique_constraint",
        "ri_ReportViolation",
        "RI_FKey_check",
        "ExecEvalConstraintNotNull",
        "ExecEvalConstraintCheck",
        "domain_check_input",
        "domain_check_internal",
        "errdatatype",
        "varchar",
    ];
    ROUTINES.contains(&routine)
}

/// True if an error that is not transient may depend on the rows of the statement: any except those about the connection, the
/// server or a sequence. Only a try with other rows can tell. Even a missing object may be one that a value names, since the
/// input functions of regclass, jsonpath and others report it so.
pub(super) fn depends_on_rows(sqlstate: &str) -> bool {
    match sqlstate {
        "42501" => true,
        "2200H" | "XX001" | "XX002" | "57P04" | "25P02" => false,
        _ => match sqlstate.get(..2) {
            Some("08" | "25" | "26" | "28" | "3D") | None => false,
            Some(_) => true,
        },
    }
}

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
}
