//! `schema.sql` under the names of the configuration: what is missing is created, what is there stays.
//!
//! The file is plain SQL that psql runs as it is. Here its words `customers` and `sync_log…` are exchanged for the
//! configured names, quoted, so that tables which only happen to be called so are not touched.

use std::borrow::Cow;

use tokio_postgres::types::Type;

use super::super::connect::Connection;
use super::super::error::StoreError;
use super::super::{quote, quote_table};
use crate::config::plan::Database;

/// The tables the program brings along.
pub const SCHEMA_SQL: &str = include_str!("../../../schema.sql");

const WHAT: &str = "applying the schema";
/// Any two processes that apply the schema at once take turns.
const APPLY_LOCK: i64 = 0x6461_7461_7379_6e63;
/// PostgreSQL cuts off what is longer.
const LONGEST_NAME: usize = 63;

/// Creates what is missing: the target table in its schema, the audit tables in theirs. Changes nothing that is there.
pub fn apply_schema(conn: &mut Connection, db: &Database) -> Result<(), StoreError> {
    let applied = apply(conn, db);
    if applied.is_err() {
        conn.roll_back();
    }
    applied
}

fn apply(conn: &mut Connection, db: &Database) -> Result<(), StoreError> {
    conn.begin(
        WHAT,
        "",
        &format!(
            "SELECT pg_advisory_xact_lock({APPLY_LOCK}); SET LOCAL client_min_messages = warning;"
        ),
    )?;
    for schema in [&db.schema, &db.log_schema] {
        // Even IF NOT EXISTS asks for a privilege that is needed only where it does not.
        let known = conn.query(
            WHAT,
            "SELECT FROM pg_namespace WHERE nspname = $1",
            &[(schema, Type::TEXT)],
        )?;
        if known.is_empty() {
            conn.run(WHAT, &format!("CREATE SCHEMA {}", quote(schema)))?;
        }
    }
    let missing = missing(conn, db)?;
    conn.run(
        WHAT,
        &format!(
            "SET LOCAL search_path = {}; {}",
            quote(&db.log_schema),
            missing.join(";\n")
        ),
    )?;
    conn.run(WHAT, "COMMIT")
}

/// The statements whose table, column or index is not there. IF NOT EXISTS is not enough: it asks for the owner's
/// privileges and locks the table even where there is nothing to do.
fn missing(conn: &mut Connection, db: &Database) -> Result<Vec<String>, StoreError> {
    const THERE: &str = "
SELECT u.place FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS u(schema, relation, col, place)
WHERE EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = u.schema AND c.relname = u.relation AND (u.col = '' OR EXISTS (
    SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = u.col AND NOT a.attisdropped)))";
    let code: Vec<&str> = SCHEMA_SQL
        .lines()
        .map(|line| line.split_once("--").map_or(line, |(code, _)| code))
        .collect();
    let code = code.join("\n");
    let statements: Vec<&str> = code.split(';').map(str::trim).collect();
    let (mut schemas, mut relations, mut columns) = (Vec::new(), Vec::new(), Vec::new());
    for statement in &statements {
        let (relation, column) = made_by(statement);
        let (schema, relation) = configured(db, relation);
        schemas.push(schema);
        relations.push(relation);
        columns.push(column);
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
    let there: Result<Vec<i64>, _> = rows.iter().map(|row| row.try_get(0)).collect();
    let there = there.map_err(|error| StoreError::from_driver(WHAT, &error))?;
    Ok((1..)
        .zip(statements)
        .filter(|(place, _)| !there.contains(place))
        .map(|(_, statement)| under_names_of(db, statement))
        .collect())
}

/// What a statement makes: a table, view or index, or a column of a table. Nothing for any other statement, which always
/// runs. A view that is there stays as it is: one that changes has to get another name.
fn made_by(statement: &str) -> (&str, &str) {
    let words: Vec<&str> = statement.split_whitespace().collect();
    match words[..] {
        ["CREATE", "TABLE", "IF", "NOT", "EXISTS", table, ..]
        | ["CREATE", "OR", "REPLACE", "VIEW", table, ..] => (table, ""),
        ["CREATE", "INDEX", "IF", "NOT", "EXISTS", index, ..]
        | [
            "CREATE",
            "UNIQUE",
            "INDEX",
            "IF",
            "NOT",
            "EXISTS",
            index,
            ..,
        ] => (index, ""),
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
    }
}

/// Schema and name of what schema.sql calls so.
fn configured<'a>(db: &'a Database, name: &'a str) -> (&'a str, Cow<'a, str>) {
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
