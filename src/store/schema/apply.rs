//! `schema.sql` under the names of the configuration: what is missing is created, what is there stays.

use std::sync::LazyLock;
use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::super::answer::value;
use super::super::connect::Connection;
use super::super::error::StoreError;
use super::super::quote;
use super::locks::{APPLY_LOCK, Wanted, blockers};
use super::names::{SCHEMA_SQL, configured, under_names_of};
use crate::config::plan::Database;

const WHAT: &str = "applying the schema";
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_statement_is_known_by_what_it_makes() {
        for statement in statements() {
            assert!(!About::of(statement).relation.is_empty(), "{statement}");
        }
    }
}
