//! Writes the rows of a batch in the form that suits the table, and has them counted: by PostgreSQL wherever a statement can.

use tokio_postgres::types::Type;

use super::super::batch::{Batch, ColumnArray, CopyConstant};
use super::super::connect::{Connection, Param};
use super::super::encode::Micros;
use super::super::error::StoreError;
use super::isolate::isolate;
use super::{Form, NotedRows, WRITING, Writer, count, outcome, single};
use crate::model::record::Ledger;

impl Writer {
    /// Writes all rows of a batch. `noted` gains those that have to be looked at one by one; only `bisect` finds those
    /// that are refused.
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
        let left = self.unproven(conn, batch)?;
        // The rows that were read by COPY were compared here, so no statement can count them.
        counts.unchanged = (rows.len() - left.len()) as u64;
        if !left.is_empty() {
            counts.add(&self.upsert(conn, batch, &left, noted)?);
        }
        Ok(counts)
    }

    /// Picks the form for the next batch by what became of one that was committed.
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

    /// Writes no row at all: an error that is raised even so is the table's.
    fn try_without_rows(&self, conn: &mut Connection, batch: &Batch) -> Result<(), StoreError> {
        let arrays = self.arrays(batch, &[]);
        let now = self.now();
        let params = self.params(&arrays, &now);
        conn.query(WRITING, &self.statements.differing, &params)
            .map(drop)
            .map_err(StoreError::of_the_table)
    }

    /// The parameters of the statements that write.
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

    /// Writes some rows, picked by their places in the batch, and has them counted. `noted` gains the places of those
    /// the API is to be told of, and of those that were skipped.
    fn upsert(
        &self,
        conn: &mut Connection,
        batch: &Batch,
        picks: &[u32],
        noted: &mut NotedRows,
    ) -> Result<Ledger, StoreError> {
        if let Some(outbox) = &self.outbox {
            return self.upsert_and_enqueue(conn, outbox, batch, picks, noted);
        }
        let arrays = self.arrays(batch, picks);
        let now = self.now();
        let params = self.params(&arrays, &now);
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

    /// Rows that were reported neither as written nor as left alone: a trigger skipped them, or somebody else wrote them between
    /// the look and the write.
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
        // The guard held some back: those that are older than what is stored now, and those that equal it.
        let columns = batch.columns();
        let key = batch.column(columns.key, picks);
        let version = batch.column(columns.width() - 1, picks);
        let row = single(conn.query(
            WRITING,
            &self.statements.superseded,
            &[(&key, key.ty()), (&version, version.ty())],
        )?)?;
        let skipped = self.skipped(conn, batch, picks, total - counted)?;
        // A row that stays cannot be told by a statement from one that was written a moment ago: those that stay are the rest.
        let not_written = total - counts.inserted - counts.updated;
        counts.superseded = count(&row, 0)?.min(not_written);
        let kept = not_written - counts.superseded;
        counts.unchanged = kept.saturating_sub(skipped.len() as u64);
        noted.skipped.extend(skipped);
        Ok(())
    }

    pub(super) fn arrays<'a>(&self, batch: &'a Batch, picks: &'a [u32]) -> Vec<ColumnArray<'a>> {
        (0..self.columns.len())
            .map(|column| batch.column(column, picks))
            .collect()
    }
}

/// What a statement counted, without the rows that the one before had inserted. It cannot tell which those are: a trigger
/// may have changed them since, so that they differ from what was sent and are written once more.
fn but_inserted(mut counts: Ledger, inserted: u64, total: u64) -> Ledger {
    counts.unchanged = counts.unchanged.saturating_sub(inserted);
    let twice = (inserted + counts.accounted()).saturating_sub(total);
    counts.updated -= twice.min(inserted).min(counts.updated);
    counts
}
