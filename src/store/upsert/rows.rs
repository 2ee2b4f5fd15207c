//! Writes the rows of a batch in the form that suits the table. PostgreSQL counts them wherever a statement can.

use tokio_postgres::types::Type;

use super::super::batch::{Batch, ColumnArray, CopyConstant};
use super::super::connect::{Connection, Param};
use super::super::encode::Micros;
use super::super::error::StoreError;
use super::isolate::isolate;
use super::{Form, NotedRows, WRITING, Writer, count, outcome, single, write_back};
use crate::model::record::Ledger;

impl Writer {
    /// Writes all rows of a batch. Rows to be treated singly go to `noted`; only `bisect` finds the refused ones.
    pub(super) fn write_rows(
        &mut self,
        conn: &mut Connection,
        batch: &Batch,
        bisect: bool,
        noted: &mut NotedRows,
    ) -> Result<Ledger, StoreError> {
        let rows: Vec<u32> = (0..).take(batch.rows().len()).collect();
        let mut counts = Ledger::default();
        if rows.is_empty() {
            return Ok(counts);
        }
        if bisect {
            self.try_without_rows(conn, batch)?;
            let mut refused = Vec::new();
            isolate(
                conn,
                0..rows.len(),
                &mut |conn, range| {
                    counts.add(&self.upsert(conn, batch, &rows[range], noted)?);
                    Ok(())
                },
                &mut refused,
            )?;
            noted.refused = refused;
            return Ok(counts);
        }
        if self.form != Form::Differing || self.outbox.is_some() {
            return self.upsert(conn, batch, &rows, noted);
        }
        let left = self.rows_to_write(conn, batch)?;
        // These rows were read by COPY and compared here, so no statement has counted them.
        counts.unchanged = (rows.len() - left.len()) as u64;
        if !left.is_empty() {
            counts.add(&self.upsert(conn, batch, &left, noted)?);
        }
        Ok(counts)
    }

    /// Chooses the form for the next batch by the outcome of a committed one.
    pub(super) fn learn(&mut self, all_new: bool) {
        self.all_new = if all_new {
            self.all_new.saturating_add(1)
        } else {
            0
        };
        self.form = if self.all_new == 0 || self.distributed || self.outbox.is_some() {
            Form::Differing
        } else if self.statements.copy.is_some() && self.all_new >= self.copy_after {
            Form::Copy
        } else {
            Form::AllNew
        };
    }

    /// Runs the statement without any row: if that raises an error, too, the table is at fault.
    fn try_without_rows(&self, conn: &mut Connection, batch: &Batch) -> Result<(), StoreError> {
        let arrays = self.arrays(batch, &[]);
        let now = self.now();
        let params = self.params(&arrays, &now);
        conn.query(WRITING, &self.statements.differing, &params)
            .map(drop)
            .map_err(StoreError::of_the_table)
    }

    /// The parameters of the statements that write rows.
    pub(super) fn params<'a>(
        &'a self,
        arrays: &'a [ColumnArray<'_>],
        now: &'a Micros,
    ) -> Vec<Param<'a>> {
        let mut params: Vec<Param<'_>> = arrays.iter().map(|a| (a as _, a.ty())).collect();
        params.push((&self.run_id, Type::UUID));
        params.push((now, Type::TIMESTAMPTZ));
        params
    }

    /// Writes the rows in `picks` (places in the batch), and returns their counts. Rows to be treated singly go to `noted`.
    fn upsert(
        &self,
        conn: &mut Connection,
        batch: &Batch,
        picks: &[u32],
        noted: &mut NotedRows,
    ) -> Result<Ledger, StoreError> {
        let arrays = self.arrays(batch, picks);
        let now = self.now();
        let params = self.params(&arrays, &now);
        if let Some(outbox) = &self.outbox {
            let sql = &self.statements.upsert_and_enqueue;
            let row = single(conn.query(WRITING, sql, &params)?)?;
            let mut counts = outcome::counted(&row)?;
            let with_messages = write_back::rows_with_messages(outbox, &row, picks)?;
            self.complete(conn, batch, picks, &mut counts, noted)?;
            noted.to_write_back.extend(with_messages);
            return Ok(counts);
        }
        let total = picks.len() as u64;
        let inserted = match (self.form, &self.statements.copy) {
            (Form::Copy, Some(copy)) => {
                let written_by = CopyConstant::new(self.run_id, now);
                conn.copy(WRITING, copy, batch.copy(&written_by))?
            }
            (Form::Copy | Form::AllNew, _) => {
                conn.execute(WRITING, &self.statements.all_new, &params)?
            }
            (Form::Differing, _) => 0,
        };
        let mut counts = Ledger {
            inserted,
            ..Ledger::default()
        };
        if inserted == total {
            return Ok(counts);
        }
        let row = single(conn.query(WRITING, &self.statements.differing, &params)?)?;
        counts.add(&but_inserted(outcome::counted(&row)?, inserted, total));
        self.complete(conn, batch, picks, &mut counts, noted)?;
        Ok(counts)
    }

    /// Accounts for rows that were reported neither as written nor as unchanged: a trigger has skipped them, or another
    /// session has written them between the comparison and the write.
    pub(super) fn complete(
        &self,
        conn: &mut Connection,
        batch: &Batch,
        picks: &[u32],
        counts: &mut Ledger,
        noted: &mut NotedRows,
    ) -> Result<(), StoreError> {
        let (total, counted) = (picks.len() as u64, counts.accounted());
        if counted == total {
            return Ok(());
        }
        if counted > total {
            return Err(StoreError::bug(&format!(
                "{total} rows were sent and {counted} were reported"
            )));
        }
        // The guard has held some back: rows older than what is stored now, and rows equal to it.
        let columns = batch.columns();
        let key = batch.column(columns.key, picks);
        let version = batch.column(columns.width() - 1, picks);
        let row = single(conn.query(
            WRITING,
            &self.statements.superseded,
            &[(&key, key.ty()), (&version, version.ty())],
        )?)?;
        let skipped = self.skipped(conn, batch, picks, total - counted)?;
        // No statement can distinguish an unchanged row from one that was just written, so the unchanged rows are the rest.
        let not_written = total - counts.inserted - counts.updated;
        counts.superseded = count(&row, 0)?.min(not_written);
        let kept = not_written - counts.superseded;
        counts.unchanged = kept.saturating_sub(skipped.len() as u64);
        noted.skipped.extend(skipped);
        Ok(())
    }

    /// The columns of the rows in `picks`, as array parameters.
    pub(super) fn arrays<'a>(&self, batch: &'a Batch, picks: &'a [u32]) -> Vec<ColumnArray<'a>> {
        (0..self.columns.len())
            .map(|column| batch.column(column, picks))
            .collect()
    }
}

/// The counts of a statement without the rows that the statement before has inserted. A trigger may have changed those, so
/// that they differ from what was sent and are written once more; each still counts once, as inserted.
fn but_inserted(mut counts: Ledger, inserted: u64, total: u64) -> Ledger {
    counts.unchanged = counts.unchanged.saturating_sub(inserted);
    let twice = (inserted + counts.accounted()).saturating_sub(total);
    counts.updated -= twice.min(inserted).min(counts.updated);
    counts
}
