//! `schema.sql` under the names of the configuration: what is missing is created, what is there stays.
//!
//! The file is plain SQL that psql runs as it is. Here its words `customers` and `sync_log…` are exchanged for the
//! configured names, quoted, so that tables which only happen to be called so are not touched.

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
    conn.run(
        WHAT,
        &format!(
            "SET LOCAL search_path = {}; {}",
            quote(&db.log_schema),
            under_names_of(db)
        ),
    )?;
    conn.run(WHAT, "COMMIT")
}

/// The statements of schema.sql under the configured names, without the comments.
fn under_names_of(db: &Database) -> String {
    let of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let renamed = |word: &str| match (word, word.strip_prefix("sync_log_")) {
        ("customers", _) => quote_table(&db.schema, &db.table),
        ("sync_log", _) => quote(&db.log_table),
        (_, Some(suffix)) => quote(&index_name(&db.log_table, suffix)),
        _ => word.to_owned(),
    };
    let mut sql = String::with_capacity(SCHEMA_SQL.len());
    for line in SCHEMA_SQL.lines() {
        let code = line.split_once("--").map_or(line, |(code, _)| code);
        for piece in code.split_inclusive(|c| !of_name(c)) {
            let word = piece.trim_end_matches(|c| !of_name(c));
            sql.push_str(&renamed(word));
            sql.push_str(&piece[word.len()..]);
        }
        sql.push('\n');
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
