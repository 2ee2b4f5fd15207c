//! Applies `schema.sql` under the configured names: creates what is missing, and leaves the rest unchanged.

use std::sync::LazyLock;
use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::super::answer::value;
use super::super::connect::Connection;
use super::super::error::StoreError;
use super::super::quote;
use super::locks::{APPLY_LOCK, WantedLock, blockers};
use super::names::{SCHEMA_SQL, configured, under_names_of};
use crate::config::plan::Database;

const WHAT: &str = "applying the schema";
/// Whoever comes after a waiting lock on a used table has to wait, too. So each wait for a lock is short.
const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '1s';";
const TRIES: u32 = 5;
/// The pause between two tries, in which others that wait get their turn.
const PAUSE: Duration = Duration::from_secs(1);

/// Creates what is missing: the target table in its schema, the audit tables in theirs. Existing tables are not changed. If
/// nothing is missing, only the catalogue is read: no table is locked, and no privilege of an owner is needed.
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

/// Why the schema was not applied, and which lock was being waited for.
struct NotApplied {
    error: StoreError,
    wanted: Option<Box<WantedLock>>,
}

impl From<StoreError> for NotApplied {
    fn from(error: StoreError) -> Self {
        Self {
            error,
            wanted: None,
        }
    }
}

fn apply(conn: &mut Connection, db: &Database) -> Result<(), NotApplied> {
    conn.begin(WHAT, "", "SET LOCAL client_min_messages = warning;")?;
    let take_lock = format!("SELECT pg_advisory_xact_lock({APPLY_LOCK})");
    conn.run(WHAT, &take_lock).map_err(|error| NotApplied {
        error,
        wanted: Some(Box::new(WantedLock::of_apply())),
    })?;
    conn.run(WHAT, LOCK_TIMEOUT)?;
    // Another process may have created everything meanwhile.
    let missing = missing(conn, db)?;
    for schema in missing.schemas {
        conn.run(WHAT, &format!("CREATE SCHEMA {}", quote(schema)))?;
    }
    let path = quote(&db.log_schema);
    conn.run(WHAT, &format!("SET LOCAL search_path = {path}"))?;
    for statement in missing.statements {
        let sql = under_names_of(db, statement);
        conn.run(WHAT, &sql).map_err(|error| NotApplied {
            error,
            wanted: Some(Box::new(WantedLock::by(db, statement))),
        })?;
    }
    Ok(conn.run(WHAT, "COMMIT")?)
}

/// What has to be created or dropped.
struct Missing<'a> {
    schemas: Vec<&'a str>,
    /// Statements of schema.sql, in its order.
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

/// The missing schemas, and the statements whose object is missing or has to be dropped. IF NOT EXISTS would not suffice: it
/// requires the owner's privileges and locks the table even if there is nothing to do.
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
        let about = SchemaObject::of(statement);
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
            .filter(|(place, statement)| {
                there.contains(place) == SchemaObject::of(statement).is_drop
            })
            .map(|(_, statement)| *statement)
            .collect(),
    })
}

/// What a statement of schema.sql creates or drops: a table, view, index or column. An existing view is never replaced, so
/// a view that changes has to get another name.
struct SchemaObject<'a> {
    relation: &'a str,
    /// Empty if the statement concerns the relation as a whole.
    column: &'a str,
    is_drop: bool,
}

impl<'a> SchemaObject<'a> {
    /// The object of a statement; none for a statement of another kind, which always runs.
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
            assert!(
                !SchemaObject::of(statement).relation.is_empty(),
                "{statement}"
            );
        }
    }
}
