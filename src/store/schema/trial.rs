//! Finds out whether PostgreSQL would accept an upsert through a view: the statement is planned but not run.

use super::super::connect::Connection;
use super::super::error::{Class, StoreError};
use super::super::quote;
use super::mismatch::{Part, SchemaMismatch};
use super::{FILLED, LayoutColumn, Target};

const WHAT: &str = "planning the statement that writes rows";

/// True if an upsert by this column can be planned. It cannot if no unique key of the table behind the view fits.
pub(super) fn is_unique(
    conn: &mut Connection,
    table: &str,
    column: &str,
) -> Result<bool, StoreError> {
    let column = quote(column);
    let sql = format!(
        "EXPLAIN INSERT INTO {table} ({column}) SELECT {column} FROM {table} WHERE false ON CONFLICT ({column}) DO NOTHING"
    );
    Ok(refusal(conn, &sql)?.is_none())
}

/// Why the rows of a batch cannot be written.
pub(super) fn problem(
    conn: &mut Connection,
    target: &Target<'_>,
    columns: &[LayoutColumn],
    key: &str,
) -> Result<Option<SchemaMismatch>, StoreError> {
    let names: Vec<String> = columns
        .iter()
        .map(|column| column.name.as_str())
        .chain(FILLED.map(|(name, _)| name))
        .map(quote)
        .collect();
    let key = quote(key);
    let set: Vec<String> = names
        .iter()
        .filter(|name| **name != key)
        .map(|name| format!("{name} = EXCLUDED.{name}"))
        .collect();
    let (table, names, set) = (&target.table, names.join(", "), set.join(", "));
    let sql = format!(
        "EXPLAIN INSERT INTO {table} ({names}) SELECT {names} FROM {table} WHERE false \
         ON CONFLICT ({key}) DO UPDATE SET {set}"
    );
    Ok(refusal(conn, &sql)?.map(|error| {
        SchemaMismatch::new(
            Part::Target,
            format!("view {} cannot be written: {}", target.shown, error.what()),
            "name the table behind it in database.tables.customers of mappings.yaml",
        )
    }))
}

/// Why PostgreSQL cannot plan a statement. Missing privileges are not reported here, since `check-db` does that.
fn refusal(conn: &mut Connection, sql: &str) -> Result<Option<StoreError>, StoreError> {
    match conn.query(WHAT, sql, &[]) {
        Ok(_) => Ok(None),
        Err(error) if error.kind() == "privilege" => Ok(None),
        Err(error) if error.class() == Class::Transient || error.connection_lost() => Err(error),
        Err(error) => Ok(Some(error)),
    }
}
