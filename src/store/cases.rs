//! Cases in the database: one open row per cause, with the case itself as a document.
//!
//! This file knows the columns but not the meaning of a case: it handles JSON text.

use tokio_postgres::types::Type;

use super::answer::value;
use super::connect::Connection;
use super::error::StoreError;
use super::quote_table;
use crate::config::plan::Database;

/// The columns of a case, and the case as JSON text.
#[derive(Clone, Debug)]
pub struct CaseRow {
    pub id: String,
    pub fingerprint: String,
    pub open: bool,
    /// When it was opened, as RFC 3339.
    pub opened_at: String,
    pub closed_at: Option<String>,
    pub count: u64,
    pub document: String,
}

/// Stores a case under its id. Returns false if another open case has the same fingerprint. Then nothing was changed.
pub fn save(
    connection: &mut Connection,
    db: &Database,
    case: &CaseRow,
) -> Result<bool, StoreError> {
    let table = quote_table(&db.log_schema, "sync_cases");
    let status = if case.open { "open" } else { "closed" };
    let count = i64::try_from(case.count).unwrap_or(i64::MAX);
    let saved = connection.execute(
        "storing the case",
        &format!(
            "INSERT INTO {table} AS known (id, fingerprint, status, opened_at, updated_at, closed_at, occurrences, document) \
             SELECT $1, $2, $3, $4::text::timestamptz, t.now, $5::text::timestamptz, $6, $7::text::jsonb \
             FROM (SELECT clock_timestamp() AS now) AS t \
             WHERE $3 <> 'open' OR NOT EXISTS (SELECT FROM {table} WHERE fingerprint = $2 AND status = 'open' AND id <> $1) \
             ON CONFLICT (id) DO UPDATE SET status = excluded.status, updated_at = excluded.updated_at, \
             closed_at = excluded.closed_at, occurrences = excluded.occurrences, document = excluded.document"
        ),
        &[
            (&case.id, Type::TEXT),
            (&case.fingerprint, Type::TEXT),
            (&status, Type::TEXT),
            (&case.opened_at, Type::TEXT),
            (&case.closed_at, Type::TEXT),
            (&count, Type::INT8),
            (&case.document, Type::TEXT),
        ],
    );
    match saved {
        Ok(rows) => Ok(rows == 1),
        // Two hosts have opened a case for the same cause at the same moment.
        Err(error) if error.sqlstate() == Some("23505") => Ok(false),
        Err(error) => Err(error),
    }
}

/// The documents of all open cases, oldest first.
pub fn open(connection: &mut Connection, db: &Database) -> Result<Vec<String>, StoreError> {
    documents(
        connection,
        db,
        "WHERE status = 'open' ORDER BY opened_at",
        &[],
    )
}

/// The documents of the last cases, newest first, whether open or closed.
pub fn last(
    connection: &mut Connection,
    db: &Database,
    count: i64,
) -> Result<Vec<String>, StoreError> {
    documents(
        connection,
        db,
        "ORDER BY (status = 'open') DESC, opened_at DESC LIMIT $1",
        &[(&count, Type::INT8)],
    )
}

/// The document of one case.
pub fn find(
    connection: &mut Connection,
    db: &Database,
    id: &str,
) -> Result<Option<String>, StoreError> {
    Ok(documents(connection, db, "WHERE id = $1", &[(&id, Type::TEXT)])?.pop())
}

fn documents(
    connection: &mut Connection,
    db: &Database,
    which: &str,
    params: &[super::connect::Param<'_>],
) -> Result<Vec<String>, StoreError> {
    const WHAT: &str = "reading the cases";
    let table = quote_table(&db.log_schema, "sync_cases");
    connection
        .query(
            WHAT,
            &format!("SELECT document::text FROM {table} {which}"),
            params,
        )?
        .iter()
        .map(|row| value(row, 0, WHAT))
        .collect()
}
