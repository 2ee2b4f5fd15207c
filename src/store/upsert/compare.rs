//! What a batch would do, found out in a read-only transaction: the work of a dry run.

use std::time::Instant;

use tokio_postgres::types::Type;

use super::super::batch::Batch;
use super::super::connect::{Connection, Param};
use super::super::error::StoreError;
use super::isolate::isolate;
use super::{BatchOutcome, Counts, Writer, count, lookups, single, text};

/// Rows to insert that a dry run shows of a writer's first batch with any.
const NEW_ROWS: i64 = 5;

/// A row that a dry run would update, or insert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub key: String,
    /// Column, stored value, new value, as text; only columns that differ, and none that datasync fills for itself.
    pub fields: Vec<(String, Option<String>, Option<String>)>,
}

impl Writer {
    /// What [`Writer::write`] would do, found out in a read-only transaction, with the first rows that would change.
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
        differences: usize,
    ) -> Result<(BatchOutcome, Vec<Difference>), StoreError> {
        const WHAT: &str = "comparing rows";
        conn.begin(WHAT, "READ ONLY", &lookups(self.distributed))?;
        let mut counts = Counts::default();
        let mut found = Vec::new();
        let mut new_rows = Vec::new();
        let mut messages = Vec::new();
        let mut refused = Vec::new();
        let rows: Vec<u32> = (0..).take(batch.rows().len()).collect();
        if !rows.is_empty() {
            isolate(
                conn,
                0..rows.len(),
                &mut |conn, range| {
                    let arrays = self.arrays(batch, &rows[range.clone()]);
                    let mut params: Vec<Param<'_>> =
                        arrays.iter().map(|a| (a as _, a.ty())).collect();
                    let row = single(conn.query(WHAT, &self.statements.compare, &params)?)?;
                    let part = Counts {
                        inserted: count(&row, 0)?,
                        updated: count(&row, 1)?,
                        unchanged: count(&row, 2)?,
                        superseded: count(&row, 3)?,
                    };
                    counts.add(part);
                    self.preview(
                        conn,
                        &params,
                        batch,
                        range.start,
                        differences,
                        &mut messages,
                    )?;
                    let wanted =
                        i64::try_from(differences.saturating_sub(found.len())).unwrap_or(i64::MAX);
                    if part.inserted > 0 && !self.sampled && new_rows.is_empty() {
                        let mut params = params.clone();
                        params.push((&NEW_ROWS, Type::INT8));
                        for row in conn.query(WHAT, &self.statements.new_rows, &params)? {
                            new_rows.push(self.difference(&row)?);
                        }
                    }
                    if part.updated > 0 && wanted > 0 {
                        params.push((&wanted, Type::INT8));
                        for row in conn.query(WHAT, &self.statements.differences, &params)? {
                            found.push(self.difference(&row)?);
                        }
                    }
                    Ok(())
                },
                &mut refused,
            )?;
        }
        conn.run(WHAT, "COMMIT")?;
        let outcome = BatchOutcome {
            inserted: counts.inserted,
            updated: counts.updated,
            unchanged: counts.unchanged,
            superseded: counts.superseded,
            duplicates: batch.duplicates(),
            rejected: (batch.rejections().len() + refused.len()) as u64,
            messages,
            new_rows,
            ..BatchOutcome::default()
        };
        Ok((outcome, found))
    }

    fn difference(&self, row: &tokio_postgres::Row) -> Result<Difference, StoreError> {
        let unreadable =
            |error: tokio_postgres::Error| StoreError::from_driver("comparing rows", &error);
        let old: Vec<Option<String>> = row.try_get(1).map_err(unreadable)?;
        let new: Vec<Option<String>> = row.try_get(2).map_err(unreadable)?;
        Ok(Difference {
            key: text(row, 0)?.to_owned(),
            fields: self
                .columns
                .iter()
                .zip(old.into_iter().zip(new))
                .filter(|(_, (old, new))| old != new)
                // The time of fetching is no content of the source.
                .filter(|(column, _)| self.version_is_content || *column != "source_version")
                .map(|(column, (old, new))| (column.clone(), old, new))
                .collect(),
        })
    }
}
