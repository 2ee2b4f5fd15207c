//! Finds out who holds the lock that a change of the schema waits for. It changes nothing.

use std::fmt;

use tokio_postgres::types::Type;

use super::super::answer::value;
use super::super::connect::Connection;
use super::super::error::StoreError;
use super::super::quote_table;
use super::names::configured;
use crate::config::plan::Database;

const WHAT: &str = "looking for the holders of a lock";
/// The advisory lock of processes that apply the schema, so that only one does at a time.
pub(super) const APPLY_LOCK: i64 = 0x6461_7461_7379_6e63;

/// The holders of locks of certain modes on certain tables, or on the tables of certain indexes. If none is named: the
/// holders of the lock for applying the schema. A prepared transaction has no process.
const HOLDERS: &str = "
WITH named AS (SELECT to_regclass(u.name)::oid AS relation FROM unnest($1::text[]) AS u(name))
SELECT DISTINCT coalesce(l.relation::regclass::text, ''), l.pid, a.application_name, a.usename::text, a.state,
  extract(epoch FROM clock_timestamp() - a.xact_start)::bigint
FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND CASE l.locktype
    WHEN 'relation' THEN l.mode = ANY($2::text[]) AND l.relation IN (
      SELECT relation FROM named UNION ALL SELECT i.indrelid FROM pg_index i JOIN named ON named.relation = i.indexrelid)
    WHEN 'advisory' THEN cardinality($1::text[]) = 0 AND (l.classid::bigint << 32) | l.objid::bigint = $3 AND l.objsubid = 1
    ELSE false END
ORDER BY 1, 2 LIMIT 5";

/// Modes of locks on tables, the weakest first.
const MODES: [&str; 8] = [
    "AccessShareLock",
    "RowShareLock",
    "RowExclusiveLock",
    "ShareUpdateExclusiveLock",
    "ShareLock",
    "ShareRowExclusiveLock",
    "ExclusiveLock",
    "AccessExclusiveLock",
];

/// A lock that a statement waits for: the (quoted) tables, and the modes that conflict with it.
pub(super) struct WantedLock {
    tables: Vec<String>,
    conflicting: Vec<&'static str>,
}

impl WantedLock {
    /// The lock for applying the schema.
    pub(super) const fn of_apply() -> Self {
        Self {
            tables: Vec::new(),
            conflicting: Vec::new(),
        }
    }

    /// The lock that a statement of schema.sql needs, on the tables that it names.
    pub(super) fn by(db: &Database, statement: &str) -> Self {
        let words = statement.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        // Some of these words are columns, but no table has such a name.
        let names = words.filter(|word| *word == "customers" || word.starts_with("sync_"));
        let tables = names.map(|name| {
            let (schema, name) = configured(db, name);
            quote_table(schema, &name)
        });
        let conflicting = if statement.starts_with("ALTER") || statement.starts_with("DROP") {
            MODES.to_vec()
        } else if statement.contains("INDEX") {
            // Readers, and others who build an index, do not conflict.
            [2, 3, 5, 6, 7].map(|mode| MODES[mode]).to_vec()
        } else {
            vec![MODES[7]]
        };
        Self {
            tables: tables.collect(),
            conflicting,
        }
    }
}

/// The table that is locked, and the holders of the lock.
pub(super) struct Blockers {
    /// Empty for the lock for applying the schema.
    table: String,
    holders: Vec<String>,
}

impl fmt::Display for Blockers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, holders } = self;
        if holders.is_empty() {
            return f.write_str("a lock was held by a session that has ended meanwhile");
        }
        if table.is_empty() {
            f.write_str("the schema is being changed")?;
        } else {
            write!(f, "table {table} is locked")?;
        }
        write!(f, " by {}", holders.join(" and by "))
    }
}

/// Those who hold a conflicting lock now.
pub(super) fn blockers(conn: &mut Connection, wanted: &WantedLock) -> Result<Blockers, StoreError> {
    let rows = conn.query(
        WHAT,
        HOLDERS,
        &[
            (&wanted.tables, Type::TEXT_ARRAY),
            (&wanted.conflicting, Type::TEXT_ARRAY),
            (&APPLY_LOCK, Type::INT8),
        ],
    )?;
    let mut blockers = Blockers {
        table: String::new(),
        holders: Vec::new(),
    };
    for row in &rows {
        let table: String = value(row, 0, WHAT)?;
        if !table.is_empty() {
            blockers.table = table;
        }
        let Some(pid): Option<i32> = value(row, 1, WHAT)? else {
            blockers
                .holders
                .push("a prepared transaction (see pg_prepared_xacts)".to_owned());
            continue;
        };
        let application: Option<String> = value(row, 2, WHAT)?;
        let user: Option<String> = value(row, 3, WHAT)?;
        let state: Option<String> = value(row, 4, WHAT)?;
        let seconds: Option<i64> = value(row, 5, WHAT)?;
        let mut facts = Vec::new();
        facts.extend(
            application
                .filter(|name| !name.is_empty())
                .map(|name| format!("application {name}")),
        );
        facts.extend(user.map(|user| format!("user {user}")));
        facts.extend(state);
        facts.extend(seconds.map(|seconds| format!("its transaction has lasted {seconds} s")));
        blockers
            .holders
            .push(format!("process {pid} ({})", facts.join(", ")));
    }
    Ok(blockers)
}
