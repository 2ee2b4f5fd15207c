//! Reading what PostgreSQL answered: the single row of a statement, and its fields. A field that cannot be read is an error
//! of the program, never of a record.

use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use super::error::{Class, StoreError};

/// The only row of an answer.
pub(super) fn single(rows: Vec<Row>) -> Result<Row, StoreError> {
    rows.into_iter().next().ok_or_else(|| {
        StoreError::new(
            Class::Fatal,
            "protocol",
            "the database answered without the row that was asked for",
        )
    })
}

/// A field of a row. `what` was being done.
pub(super) fn value<'r, T: FromSql<'r>>(
    row: &'r Row,
    index: usize,
    what: &str,
) -> Result<T, StoreError> {
    row.try_get(index)
        .map_err(|error| StoreError::from_driver(what, &error))
}

pub(super) fn count(row: &Row, index: usize) -> Result<u64, StoreError> {
    value(row, index, "reading a count").map(i64::unsigned_abs)
}

pub(super) fn text(row: &Row, index: usize) -> Result<&str, StoreError> {
    value(row, index, "reading a text")
}

/// A count as PostgreSQL takes it: it has no unsigned integers, and no count comes near the difference.
pub(super) fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
