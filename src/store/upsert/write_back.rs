//! The upsert of a run with write-back: the same rows are written, and which the API is to be told of is found out with it.

use std::collections::HashSet;

use tokio_postgres::types::Type;

use super::super::batch::Batch;
use super::super::connect::{Connection, Param};
use super::super::error::{Class, StoreError};
use super::super::outbox::Outbox;
use super::{Counts, NotedRows, WRITING as WHAT, Writer, count, single};
use crate::config::plan::WriteBackOutcome::{Inserted, Unchanged, Updated};
use crate::model::record::Message;

impl Writer {
    /// Writes some rows, has them counted, and adds the indexes of those that are owed.
    pub(super) fn upsert_and_enqueue(
        &self,
        conn: &mut Connection,
        outbox: &Outbox,
        params: &[Param<'_>],
        batch: &Batch,
        picks: &[u32],
        noted: &mut NotedRows,
    ) -> Result<Counts, StoreError> {
        let row = single(conn.query(WHAT, &self.statements.upsert_and_enqueue, params)?)?;
        let mut counts = Counts {
            inserted: count(&row, 0)?,
            updated: count(&row, 1)?,
            unchanged: (picks.len() as u64).saturating_sub(count(&row, 3)?),
            superseded: count(&row, 2)?,
        };
        let mut found = Vec::new();
        for (outcome, place) in [(Inserted, 4), (Updated, 5)] {
            if outbox.wants(outcome) {
                found.extend(numbers(&row, place, picks)?);
            }
        }
        if outbox.wants(Unchanged) {
            let moved: HashSet<usize> = numbers(&row, 6, picks)?.into_iter().collect();
            let all = picks.iter().map(|pick| *pick as usize);
            found.extend(all.filter(|index| !moved.contains(index)));
        }
        self.complete(conn, batch, picks, &mut counts, noted)?;
        noted.owed.extend(found);
        Ok(counts)
    }

    /// A dry run's first messages, at most `wanted` of a batch; nothing where write-back is off.
    pub(super) fn preview(
        &self,
        conn: &mut Connection,
        params: &[Param<'_>],
        batch: &Batch,
        start: usize,
        wanted: usize,
        messages: &mut Vec<Message>,
    ) -> Result<(), StoreError> {
        let Some(outbox) = &self.outbox else {
            return Ok(());
        };
        let left = i64::try_from(wanted.saturating_sub(messages.len())).unwrap_or(i64::MAX);
        if left == 0 {
            return Ok(());
        }
        let fates: Vec<i32> = outbox
            .when
            .iter()
            .map(|outcome| match outcome {
                Inserted => 0,
                Updated => 1,
                Unchanged => 2,
            })
            .collect();
        let mut params = params.to_vec();
        params.push((&fates, Type::INT4_ARRAY));
        params.push((&left, Type::INT8));
        for row in conn.query("comparing rows", &self.statements.fates, &params)? {
            let number = count(&row, 0)?;
            messages.push(outbox.message(batch, start + index(number)));
        }
        Ok(())
    }
}

/// Indexes into the batch of rows that a statement names by number, from 1.
fn numbers(
    row: &tokio_postgres::Row,
    place: usize,
    picks: &[u32],
) -> Result<Vec<usize>, StoreError> {
    let numbers: Option<Vec<i64>> = row
        .try_get(place)
        .map_err(|error| StoreError::from_driver(WHAT, &error))?;
    Ok(numbers
        .unwrap_or_default()
        .into_iter()
        .filter_map(|number| picks.get(index(number.unsigned_abs())))
        .map(|pick| *pick as usize)
        .collect())
}

/// The place in the batch of a row that a statement names by number, from 1.
pub(super) fn place(number: u64, picks: &[u32]) -> Result<usize, StoreError> {
    picks
        .get(index(number))
        .map(|pick| *pick as usize)
        .ok_or_else(|| {
            StoreError::new(
                Class::Fatal,
                "internal",
                "the database told of a row that was not sent: this is a bug",
            )
        })
}

fn index(number: u64) -> usize {
    usize::try_from(number.saturating_sub(1)).unwrap_or(usize::MAX)
}
