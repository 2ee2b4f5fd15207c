//! Reads the answers of PostgreSQL: the single row of a statement, and its fields. An unreadable field is a bug.

use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use super::error::{Class, StoreError};

/// The only row of an answer; an error if there is another number of rows.
pub(super) fn single(rows: Vec<Row>) -> Result<Row, StoreError> {
    rows.into_iter().next().ok_or_else(|| {
        StoreError::new(
            Class::Fatal,
            "protocol",
            "the database answered without the row that was asked for",
        )
    })
}

/// A field of a row. `what` says what was being done, for the error.
pub(super) fn value<'r, T: FromSql<'r>>(
    row: &'r Row,
    index: usize,
    what: &str,
) -> Result<T, StoreError> {
    row.try_get(index)
        .map_err(|error| StoreError::from_driver(what, &error))
}

/// A count in a row of an answer.
pub(super) fn count(row: &Row, index: usize) -> Result<u64, StoreError> {
    value(row, index, "reading a count").map(i64::unsigned_abs)
}

/// A text in a row of an answer.
pub(super) fn text(row: &Row, index: usize) -> Result<&str, StoreError> {
    value(row, index, "reading a text")
}

/// A count as the signed integer that PostgreSQL takes. No count is large enough for the difference to matter.
pub(super) fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
