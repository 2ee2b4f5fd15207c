//! The outcome of a batch, from the transaction that wrote it, or afterwards from the batch log.

use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::super::answer::{count, signed};
use super::super::connect::Connection;
use super::super::error::StoreError;
use super::super::quote_table;
use super::compare::Difference;
use super::rejections;
use crate::config::plan::Database;
use crate::model::record::{Ledger, Message};

/// What PostgreSQL did with one batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BatchOutcome {
    /// The counts of its records. Fetched and spooled records are counted elsewhere.
    pub ledger: Ledger,
    /// How many earlier rejections this batch has resolved.
    pub resolved: u64,
    /// Rows that the database refused. Empty if the outcome was read from the batch log.
    pub refused: Vec<Refused>,
    /// In a dry run: the first messages that would be sent to the API.
    pub messages: Vec<Message>,
    /// In a dry run: the first rows that would be inserted, as differences from null.
    pub new_rows: Vec<Difference>,
    /// Seconds from BEGIN to the answer to COMMIT.
    pub seconds: f64,
}

/// A row that the database refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The record's key.
    pub record_id: String,
    /// `database`, or `database_skipped` if no error was reported.
    pub reason: &'static str,
    pub sqlstate: Option<String>,
    pub constraint: Option<String>,
    pub column: Option<String>,
    /// The function that raised the error.
    pub function: Option<String>,
}

impl Refused {
    /// Describes the refusal of the record with this key.
    pub(super) fn new(key: &str, error: &StoreError) -> Self {
        Self {
            record_id: key.to_owned(),
            reason: rejections::reason(error),
            sqlstate: error.sqlstate().map(str::to_owned),
            constraint: error.constraint().map(str::to_owned),
            column: error.column().map(str::to_owned),
            function: error.function().map(str::to_owned),
        }
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some(sqlstate) = &self.sqlstate else {
            return f.write_str("a trigger or a rule of the table skipped it");
        };
        write!(f, "the database refused it, SQLSTATE {sqlstate}")?;
        for (what, name) in [
            ("constraint", &self.constraint),
            ("column", &self.column),
            ("function", &self.function),
        ] {
            if let Some(name) = name {
                write!(f, ", {what} {name}")?;
            }
        }
        Ok(())
    }
}

/// The outcome of this batch if it was committed, else none. This decides what a lost reply to COMMIT leaves open.
pub fn committed(
    conn: &mut Connection,
    db: &Database,
    run_id: Uuid,
    batch: u64,
) -> Result<Option<BatchOutcome>, StoreError> {
    committed_in(conn, &db.log_schema, run_id, batch)
}

/// Like [`committed`], by the schema of the audit tables.
pub(super) fn committed_in(
    conn: &mut Connection,
    log_schema: &str,
    run_id: Uuid,
    batch: u64,
) -> Result<Option<BatchOutcome>, StoreError> {
    let sql = format!(
        "SELECT inserted, updated, unchanged, superseded, duplicates, rejected, resolved FROM {} \
         WHERE run_id = $1 AND batch = $2",
        quote_table(log_schema, "sync_batches")
    );
    let number = signed(batch);
    let rows = conn.query(
        "reading the batch log",
        &sql,
        &[(&run_id, Type::UUID), (&number, Type::INT8)],
    )?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    Ok(Some(BatchOutcome {
        ledger: Ledger {
            duplicates: count(row, 4)?,
            rejected: count(row, 5)?,
            ..counted(row)?
        },
        resolved: count(row, 6)?,
        ..BatchOutcome::default()
    }))
}

/// Reads the counts of a statement. Every statement that counts rows begins with these four columns.
pub(super) fn counted(row: &Row) -> Result<Ledger, StoreError> {
    Ok(Ledger {
        inserted: count(row, 0)?,
        updated: count(row, 1)?,
        unchanged: count(row, 2)?,
        superseded: count(row, 3)?,
        ..Ledger::default()
    })
}
