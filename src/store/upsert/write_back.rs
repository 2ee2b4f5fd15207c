//! Finds out for which rows of a batch messages to the API are entered, and which messages a dry run shows.

use std::collections::HashSet;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::super::answer::value;
use super::super::batch::Batch;
use super::super::connect::{Connection, Param};
use super::super::error::StoreError;
use super::super::outbox::Outbox;
use super::{WRITING as WHAT, Writer, count};
use crate::config::plan::WriteBackOutcome::{Inserted, Unchanged, Updated};
use crate::model::record::Message;

impl Writer {
    /// The first messages of a dry run for the rows in `params`, at most `wanted`. `start`: the place of the first row.
    pub(super) fn preview(
        &self,
        conn: &mut Connection,
        params: &[Param<'_>],
        (batch, start): (&Batch, usize),
        wanted: usize,
    ) -> Result<Vec<Message>, StoreError> {
        let Some(outbox) = &self.outbox else {
            return Ok(Vec::new());
        };
        if wanted == 0 {
            return Ok(Vec::new());
        }
        let limit = i64::try_from(wanted).unwrap_or(i64::MAX);
        let outcomes: Vec<i32> = outbox
            .when
            .iter()
            .map(|outcome| match outcome {
                Inserted => 0,
                Updated => 1,
                Unchanged => 2,
            })
            .collect();
        let mut params = params.to_vec();
        params.push((&outcomes, Type::INT4_ARRAY));
        params.push((&limit, Type::INT8));
        let rows = conn.query("comparing rows", &self.statements.rows_by_outcome, &params)?;
        rows.iter()
            .map(|row| Ok(outbox.message(batch, start + index(count(row, 0)?))))
            .collect()
    }
}

/// The rows (places in the batch) for which messages are entered, by what `upsert_and_enqueue` has answered.
pub(super) fn rows_with_messages(
    outbox: &Outbox,
    row: &Row,
    picks: &[u32],
) -> Result<Vec<usize>, StoreError> {
    let mut found = Vec::new();
    for (outcome, place) in [(Inserted, 4), (Updated, 5)] {
        if outbox.wants(outcome) {
            found.extend(numbers(row, place, picks)?);
        }
    }
    if outbox.wants(Unchanged) {
        let moved: HashSet<usize> = numbers(row, 6, picks)?.into_iter().collect();
        let all = picks.iter().map(|pick| *pick as usize);
        found.extend(all.filter(|index| !moved.contains(index)));
    }
    Ok(found)
}

/// The places in the batch of rows that a statement names by their numbers, from 1.
fn numbers(row: &Row, place: usize, picks: &[u32]) -> Result<Vec<usize>, StoreError> {
    let numbers: Option<Vec<i64>> = value(row, place, WHAT)?;
    Ok(numbers
        .unwrap_or_default()
        .into_iter()
        .filter_map(|number| picks.get(index(number.unsigned_abs())))
        .map(|pick| *pick as usize)
        .collect())
}

/// The place in the batch of the row that a statement names by its number, from 1.
pub(super) fn place(number: u64, picks: &[u32]) -> Result<usize, StoreError> {
    picks
        .get(index(number))
        .map(|pick| *pick as usize)
        .ok_or_else(|| StoreError::bug("the database told of a row that was not sent"))
}

fn index(number: u64) -> usize {
    usize::try_from(number.saturating_sub(1)).unwrap_or(usize::MAX)
}
