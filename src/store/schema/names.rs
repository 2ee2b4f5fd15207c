//! Puts the configured names in place of those in `schema.sql`, and lists the columns that it gives to the log of runs.
//!
//! The file is plain SQL that psql can run as it is. Here the words `customers` and `sync_log…` are replaced by the
//! configured names in quotes, so that other tables which happen to have such names are not touched.

use std::borrow::Cow;

use super::super::{quote, quote_table};
use crate::config::plan::Database;

/// The text of schema.sql.
pub const SCHEMA_SQL: &str = include_str!("../../../schema.sql");

/// PostgreSQL truncates longer names.
const LONGEST_NAME: usize = 63;

/// The columns of the log of runs in schema.sql.
pub(super) struct LogColumns {
    /// The columns with which it was first created.
    pub(super) first: Vec<&'static str>,
    /// The columns that later versions have added.
    later: Vec<&'static str>,
}

impl LogColumns {
    /// Reads the columns from schema.sql.
    pub(super) fn of_schema() -> Self {
        let first_word = |line: &'static str| line.split_whitespace().next();
        let first = SCHEMA_SQL
            .lines()
            .skip_while(|line| *line != "CREATE TABLE IF NOT EXISTS sync_log (")
            .skip(1)
            .take_while(|line| *line != ");")
            .filter_map(first_word)
            .collect();
        let later = SCHEMA_SQL
            .lines()
            .filter_map(|line| line.strip_prefix("ALTER TABLE sync_log ADD COLUMN IF NOT EXISTS "))
            .filter_map(first_word)
            .collect();
        Self { first, later }
    }

    /// All columns, those of later versions last.
    pub(super) fn all(&self) -> impl Iterator<Item = &'static str> {
        self.first.iter().chain(&self.later).copied()
    }
}

/// The configured schema and name for a name in schema.sql.
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

/// A statement of schema.sql with the configured names.
pub(super) fn under_names_of(db: &Database, statement: &str) -> String {
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

/// The name of an index: the table's name, shortened if necessary, and the purpose of the index.
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
