//! `schema.sql` under the names of the configuration: what is missing is created, what is there stays.
//!
//! The file is plain SQL that psql runs as it is. Here its words `customers` and `sync_log…` are exchanged for the
//! configured names, quoted, so that tables which only happen to be called so are not touched.

use std::borrow::Cow;
use std::sync::LazyLock;
use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::super::answer::value;
use super::super::connect::Connection;
use super::super::error::StoreError;
use super::super::{quote, quote_table};
use super::locks::{Wanted, blockers};
use crate::config::plan::Database;

/// The tables the program brings along.
pub const SCHEMA_SQL: &str = include_str!("../../../schema.sql");

const WHAT: &str = "applying the schema";
/// Any two processes that apply the schema at once take turns.
pub(super) const APPLY_LOCK: i64 = 0x6461_7461_7379_6e63;
/// PostgreSQL cuts off what is longer.
const LONGEST_NAME: usize = 63;

/// A lock on a table that is in use makes everybody queue who comes later: each wait for one is short.
const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '1s';";
const TRIES: u32 = 5;
/// Between two tries those who have queued get their turn.
const PAUSE: Duration = Duration::from_secs(1);

/// Creates what is missing: the target table in its schema, the audit tables in theirs. Changes nothing that is there. Where
/// nothing is missing the catalogue is read, and nothing else: no table is locked, and nobody has to own one.
pub fn apply_schema(conn: &mut Connection, db: &Database) -> Result<(), StoreError> {
    let mut tries = 1;
    while !missing(conn, db)?.is_empty() {
        let Err(stopped) = apply(conn, db) else {
            return Ok(());
        };
        conn.roll_back();
        let is_locked = stopped.error.is_lock_timeout() && !conn.is_dead();
        let (true, Some(wanted)) = (is_locked, &stopped.wanted) else {
            return Err(stopped.error);
        };
        let blocked = blockers(conn, wanted)?;
        if tries == TRIES {
            return Err(StoreError::locked(WHAT, &blocked));
        }
        log::warn!("{WHAT}: {blocked}; waiting for it (try {tries} of {TRIES})");
        std::thread::sleep(PAUSE);
        tries += 1;
    }
    Ok(())
}

/// Why the schema was not applied, and the lock that was wanted at that moment.
struct Stopped {
    error: StoreError,
    wanted: Option<Box<Wanted>>,
}

impl From<StoreError> for Stopped {
    fn from(error: StoreError) -> Self {
        Self {
            error,
            wanted: None,
        }
    }
}

fn apply(conn: &mut Connection, db: &Database) -> Result<(), Stopped> {
    conn.begin(WHAT, "", "SET LOCAL client_min_messages = warning;")?;
    let turn = format!("SELECT pg_advisory_xact_lock({APPLY_LOCK})");
    conn.run(WHAT, &turn).map_err(|error| Stopped {
        error,
        wanted: Some(Box::new(Wanted::turn())),
    })?;
    conn.run(WHAT, LOCK_TIMEOUT)?;
    // Whoever had the turn before may have created it all.
    let missing = missing(conn, db)?;
    for schema in missing.schemas {
        conn.run(WHAT, &format!("CREATE SCHEMA {}", quote(schema)))?;
    }
    let path = quote(&db.log_schema);
    conn.run(WHAT, &format!("SET LOCAL search_path = {path}"))?;
    for statement in missing.statements {
        let sql = under_names_of(db, statement);
        conn.run(WHAT, &sql).map_err(|error| Stopped {
            error,
            wanted: Some(Box::new(Wanted::by(db, statement))),
        })?;
    }
    Ok(conn.run(WHAT, "COMMIT")?)
}

/// What has to be done.
struct Missing<'a> {
    schemas: Vec<&'a str>,
    /// Of schema.sql, in its order.
    statements: Vec<&'a str>,
}

impl Missing<'_> {
    const fn is_empty(&self) -> bool {
        self.schemas.is_empty() && self.statements.is_empty()
    }
}

/// The statements of schema.sql.
fn statements() -> &'static [&'static str] {
    static STATEMENTS: LazyLock<Vec<&str>> = LazyLock::new(|| {
        static CODE: LazyLock<String> = LazyLock::new(|| {
            let code = SCHEMA_SQL
                .lines()
                .map(|line| line.split_once("--").map_or(line, |(code, _)| code));
            code.collect::<Vec<_>>().join("\n")
        });
        let statements = CODE.split(';').map(str::trim);
        statements
            .filter(|statement| !statement.is_empty())
            .collect()
    });
    &STATEMENTS
}

/// The schemas that are not there, and the statements whose table, column or index is not, or is to go. IF NOT EXISTS is
/// not enough: it asks for the owner's privileges and locks the table even where there is nothing to do.
fn missing<'a>(conn: &mut Connection, db: &'a Database) -> Result<Missing<'a>, StoreError> {
    const SCHEMAS: &str = "SELECT u.place FROM unnest($1::text[]) WITH ORDINALITY AS u(name, place)
WHERE EXISTS (SELECT FROM pg_namespace n WHERE n.nspname = u.name)";
    const THERE: &str = "
SELECT u.place FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS u(schema, relation, col, place)
WHERE EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = u.schema AND c.relname = u.relation AND (u.col = '' OR EXISTS (
    SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = u.col AND NOT a.attisdropped)))";
    let places = |rows: &[Row]| -> Result<Vec<i64>, StoreError> {
        rows.iter().map(|row| value(row, 0, WHAT)).collect()
    };
    let mut names = vec![db.schema.as_str(), db.log_schema.as_str()];
    names.dedup();
    let known = places(&conn.query(WHAT, SCHEMAS, &[(&names, Type::TEXT_ARRAY)])?)?;
    let (mut schemas, mut relations, mut columns) = (Vec::new(), Vec::new(), Vec::new());
    for statement in statements() {
        let about = About::of(statement);
        let (schema, relation) = configured(db, about.relation);
        schemas.push(schema);
        relations.push(relation);
        columns.push(about.column);
    }
    let rows = conn.query(
        WHAT,
        THERE,
        &[
            (&schemas, Type::TEXT_ARRAY),
            (&relations, Type::TEXT_ARRAY),
            (&columns, Type::TEXT_ARRAY),
        ],
    )?;
    let there = places(&rows)?;
    let statements = (1..).zip(statements());
    Ok(Missing {
        schemas: (1..)
            .zip(names)
            .filter(|(place, _)| !known.contains(place))
            .map(|(_, name)| name)
            .collect(),
        statements: statements
            .filter(|(place, statement)| there.contains(place) == About::of(statement).is_drop)
            .map(|(_, statement)| *statement)
            .collect(),
    })
}

/// What a statement of schema.sql makes or drops: a table, view or index, or a column of a table. A view that is there stays
/// as it is: one that changes has to get another name.
struct About<'a> {
    relation: &'a str,
    /// Empty: the relation as a whole.
    column: &'a str,
    is_drop: bool,
}

impl<'a> About<'a> {
    /// A statement of another kind is about nothing, and always runs.
    fn of(statement: &'a str) -> Self {
        let words: Vec<&str> = statement.split_whitespace().collect();
        let (relation, column) = match words[..] {
            [
                "CREATE",
                "TABLE" | "INDEX",
                "IF",
                "NOT",
                "EXISTS",
                relation,
                ..,
            ]
            | ["CREATE", "OR", "REPLACE", "VIEW", relation, ..]
            | [
                "CREATE",
                "UNIQUE",
                "INDEX",
                "IF",
                "NOT",
                "EXISTS",
                relation,
                ..,
            ]
            | ["DROP", "INDEX", "IF", "EXISTS", relation, ..] => (relation, ""),
            [
                "ALTER",
                "TABLE",
                table,
                "ADD",
                "COLUMN",
                "IF",
                "NOT",
                "EXISTS",
                column,
                ..,
            ] => (table, column),
            _ => ("", ""),
        };
        Self {
            relation,
            column,
            is_drop: words.first() == Some(&"DROP"),
        }
    }
}

/// Schema and name of what schema.sql calls so.
pub(super) fn configured<'a>(db: &'a Database, name: &'a str) -> (&'a str, Cow<'a, str>) {
    match (name, name.strip_prefix("sync_log_")) {
        ("customers", _) => (&db.schema, Cow::Borrowed(&db.table)),
        ("sync_log", _) => (&db.log_schema, Cow::Borrowed(&db.log_table)),
        (_, Some(suffix)) => (
            &db.log_schema,
            Cow::Owned(index_name(&db.log_table, suffix)),
        ),
        _ => (&db.log_schema, Cow::Borrowed(name)),
    }
}

/// A statement of schema.sql under the configured names.
fn under_names_of(db: &Database, statement: &str) -> String {
    let of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let renamed = |word: &str| match (word, word.strip_prefix("sync_log_")) {
        ("customers", _) => quote_table(&db.schema, &db.table),
        ("sync_log", _) => quote(&db.log_table),
        (_, Some(suffix)) => quote(&index_name(&db.log_table, suffix)),
        _ => word.to_owned(),
    };
    let mut sql = String::with_capacity(statement.len());
    for piece in statement.split_inclusive(|c| !of_name(c)) {
        let word = piece.trim_end_matches(|c| !of_name(c));
        sql.push_str(&renamed(word));
        sql.push_str(&piece[word.len()..]);
    }
    sql
}

/// The name of an index: the table's, as much of it as fits, and what the index is for.
fn index_name(table: &str, suffix: &str) -> String {
    let room = LONGEST_NAME - suffix.len() - 1;
    format!("{}_{suffix}", &table[..table.floor_char_boundary(room)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_statement_is_known_by_what_it_makes() {
        for statement in statements() {
            assert!(!About::of(statement).relation.is_empty(), "{statement}");
        }
    }

    #[test]
    fn an_index_of_a_table_with_a_long_name_keeps_what_tells_it_apart() {
        assert_eq!(
            index_name("sync_log", "sync_id_key"),
            "sync_log_sync_id_key"
        );
        let long = index_name(&"ä".repeat(31), "sync_id_key");
        assert!(
            long.len() <= LONGEST_NAME && long.ends_with("ä_sync_id_key"),
            "{long}"
        );
    }
}
