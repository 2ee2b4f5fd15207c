//! Finds out what writing a batch would change, in a read-only transaction, for a dry run.

use std::ops::Range;
use std::time::Instant;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::super::answer::value;
use super::super::batch::Batch;
use super::super::connect::{Connection, Param};
use super::super::error::StoreError;
use super::isolate::isolate;
use super::{BatchOutcome, Writer, lookups, outcome, single, text};

/// How many rows to insert a dry run shows, from the first batch of a writer that has any.
const NEW_ROWS: usize = 5;
const WHAT: &str = "comparing rows";

/// A row that a dry run would update or insert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub key: String,
    /// Column, stored value and new value as text. Only columns that differ, and none that datasync fills itself.
    pub fields: Vec<(String, Option<String>, Option<String>)>,
}

/// What has been found out about a batch so far.
struct Found {
    /// The most differences, and the most messages, that are shown.
    wanted: usize,
    outcome: BatchOutcome,
    differences: Vec<Difference>,
}

impl Writer {
    /// Finds out what [`Writer::write`] would do, in a read-only transaction, and the first rows that would change.
    pub fn compare(
        &mut self,
        conn: &mut Connection,
        batch: &Batch,
        differences: usize,
    ) -> Result<(BatchOutcome, Vec<Difference>), StoreError> {
        let started = Instant::now();
        let compared = self.compare_once(conn, batch, differences);
        if compared.is_err() {
            conn.roll_back();
        }
        compared.map(|(mut outcome, found)| {
            self.sampled |= !outcome.new_rows.is_empty();
            outcome.seconds = started.elapsed().as_secs_f64();
            (outcome, found)
        })
    }

    fn compare_once(
        &self,
        conn: &mut Connection,
        batch: &Batch,
        wanted: usize,
    ) -> Result<(BatchOutcome, Vec<Difference>), StoreError> {
        conn.begin(WHAT, "READ ONLY", &lookups(self.distributed))?;
        let mut found = Found {
            wanted,
            outcome: BatchOutcome::default(),
            differences: Vec::new(),
        };
        let mut refused = Vec::new();
        if !batch.rows().is_empty() {
            isolate(
                conn,
                0..batch.rows().len(),
                &mut |conn, range| self.compare_part(conn, batch, range, &mut found),
                &mut refused,
            )?;
        }
        conn.run(WHAT, "COMMIT")?;
        let mut outcome = found.outcome;
        outcome.ledger.duplicates = batch.duplicates();
        outcome.ledger.rejected = (batch.rejections().len() + refused.len()) as u64;
        Ok((outcome, found.differences))
    }

    fn compare_part(
        &self,
        conn: &mut Connection,
        batch: &Batch,
        part: Range<usize>,
        found: &mut Found,
    ) -> Result<(), StoreError> {
        let start = part.start;
        let picks: Vec<u32> = (0..).take(part.end).skip(start).collect();
        let arrays = self.arrays(batch, &picks);
        let params: Vec<Param<'_>> = arrays.iter().map(|a| (a as _, a.ty())).collect();
        let row = single(conn.query(WHAT, &self.statements.compare, &params)?)?;
        let counts = outcome::counted(&row)?;
        let Found {
            wanted,
            outcome,
            differences,
        } = found;
        outcome.ledger.add(&counts);
        let room = wanted.saturating_sub(outcome.messages.len());
        let messages = self.preview(conn, &params, (batch, start), room)?;
        outcome.messages.extend(messages);
        if counts.inserted > 0 && !self.sampled && outcome.new_rows.is_empty() {
            outcome.new_rows =
                self.differences(conn, &self.statements.new_rows, &params, NEW_ROWS)?;
        }
        let room = wanted.saturating_sub(differences.len());
        if counts.updated > 0 && room > 0 {
            let sql = &self.statements.differences;
            differences.extend(self.differences(conn, sql, &params, room)?);
        }
        Ok(())
    }

    /// The first differences that a statement returns for the rows in `params`.
    fn differences(
        &self,
        conn: &mut Connection,
        sql: &str,
        params: &[Param<'_>],
        limit: usize,
    ) -> Result<Vec<Difference>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut params = params.to_vec();
        params.push((&limit, Type::INT8));
        let rows = conn.query(WHAT, sql, &params)?;
        rows.iter().map(|row| self.difference(row)).collect()
    }

    fn difference(&self, row: &Row) -> Result<Difference, StoreError> {
        let old: Vec<Option<String>> = value(row, 1, WHAT)?;
        let new: Vec<Option<String>> = value(row, 2, WHAT)?;
        Ok(Difference {
            key: text(row, 0)?.to_owned(),
            fields: self
                .columns
                .iter()
                .zip(old.into_iter().zip(new))
                .filter(|(_, (old, new))| old != new)
                // Without a mapped version this is the time of fetching, which is not content of the source.
                .filter(|(column, _)| self.version_is_content || *column != "source_version")
                .map(|(column, (old, new))| (column.clone(), old, new))
                .collect(),
        })
    }
}
