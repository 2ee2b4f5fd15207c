//! Finds the unchanged rows of a batch: reads stored rows in one scan along the key's index and compares their binary forms.
//!
//! If a source is read in the order of its keys and little has changed, a scan costs a fraction of a lookup for each row. It
//! only proves that rows need no write. All others go to the upsert, which decides.

use bytes::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use super::super::batch::{Batch, Row};
use super::super::connect::{Connection, Param};
use super::super::encode;
use super::super::error::StoreError;
use super::Writer;

/// How many rows may be read for each row of the batch: more are in between if source and index differ in order.
const READ_PER_ROW: usize = 2;
/// A scan pays if at least one row in two turns out unchanged.
const ROWS_PER_HIT: usize = 2;
/// Bytes of an encoded version: its length and a time.
const VERSION: usize = size_of::<i32>() + size_of::<i64>();
/// The largest number of batches without a scan. The number is doubled after each scan that did not pay.
const LONGEST_PAUSE: u32 = 256;

/// When to scan, learned from the run's own results.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// How many batches to go without a scan.
    pause: u32,
    /// The pause after the next scan that does not pay.
    next_pause: u32,
}

impl Pace {
    /// True if it is time for a scan. Otherwise counts a batch without one.
    pub(super) const fn is_due(&mut self) -> bool {
        let due = self.pause == 0;
        self.pause = self.pause.saturating_sub(1);
        due
    }

    /// Learns from a scan how many of the rows it proved unchanged, and plans the next one.
    pub(super) fn learn(&mut self, proven: usize, rows: usize) {
        if proven * ROWS_PER_HIT >= rows {
            self.next_pause = 0;
        } else {
            self.next_pause = (self.next_pause * 2).clamp(1, LONGEST_PAUSE);
            self.pause = self.next_pause;
        }
    }
}

/// An encoded value, sent as it is.
#[derive(Debug)]
struct Value<'a>(&'a [u8]);

impl ToSql for Value<'_> {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        out.extend_from_slice(self.0);
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

impl Writer {
    /// The rows (their places in the batch) to be written: all but those stored unchanged with a version that is not newer.
    pub(super) fn rows_to_write(
        &mut self,
        conn: &mut Connection,
        batch: &Batch,
    ) -> Result<Vec<u32>, StoreError> {
        let rows = batch.rows();
        let all = 0..u32::try_from(rows.len()).unwrap_or(u32::MAX);
        let (Some(scan), Some(first), Some(last)) =
            (&self.statements.index_scan, rows.first(), rows.last())
        else {
            return Ok(all.collect());
        };
        if !self.pace.is_due() {
            return Ok(all.collect());
        }
        let (first, last) = (batch.key_value(first), batch.key_value(last));
        let key = &self.statements.key_type;
        let keys: [Param<'_>; 2] = [(&first, key.clone()), (&last, key.clone())];
        let wire = batch.wire(batch.columns().key);
        let mut proven = vec![false; rows.len()];
        let mut next = 0;
        let mut head = encode::COPY_HEADER.len();
        conn.copy_out(
            "looking at stored rows",
            (&scan.between, &keys),
            &scan.copy(rows.len() * READ_PER_ROW),
            |message| {
                // The first row comes together with the header.
                let stored = message.get(std::mem::take(&mut head)..).unwrap_or_default();
                // Usually stored and sent rows are in the same order. If the collation differs, the row is searched for.
                let key = encode::copied(stored).nth(batch.columns().key).flatten();
                let Some(key) = key else { return };
                let found = match rows.get(next) {
                    Some(row) if batch.key_bytes(row) == key => Ok(next),
                    _ => rows.binary_search_by(|row| wire.order(batch.key_bytes(row), key)),
                };
                let Ok(index) = found else { return };
                next = index + 1;
                proven[index] = self.is_stored(batch, &rows[index], stored);
            },
        )?;
        let count = proven.iter().filter(|proven| **proven).count();
        self.pace.learn(count, rows.len());
        Ok(all
            .zip(proven)
            .filter_map(|(index, proven)| (!proven).then_some(index))
            .collect())
    }

    /// True if this row of a COPY has the same content and no newer version. False where that cannot be decided.
    fn is_stored(&self, batch: &Batch, row: &Row, stored: &[u8]) -> bool {
        // Versions are times. A row stored without one counts as older than any.
        let as_new = |stored: Option<[u8; 8]>| {
            stored.is_none_or(|stored| {
                let stored = encode::from_postgres_micros(i64::from_be_bytes(stored));
                row.version.is_some_and(|version| stored <= version)
            })
        };
        // Usually all bytes are equal except for the version at the end.
        let theirs = stored.get(size_of::<u16>()..).unwrap_or_default();
        if let (Some((own, own_version)), Some((theirs, version))) = (
            batch.row_data(row).split_last_chunk::<VERSION>(),
            theirs.split_last_chunk::<VERSION>(),
        ) && own == theirs
            && let Some(stored) = version.last_chunk()
        {
            return as_new(Some(*stored)) && (!self.version_is_content || own_version == version);
        }
        let version = self.columns.len() - 1;
        let mut fields = 0;
        let same = encode::copied(stored).enumerate().all(|(column, stored)| {
            fields += 1;
            let holds = || column <= version && batch.holds(row, column, stored);
            if column == version {
                let time = stored.map(<[u8; 8]>::try_from).transpose();
                time.is_ok_and(as_new) && (!self.version_is_content || holds())
            } else {
                holds()
            }
        });
        same && fields == self.columns.len()
    }
}

impl Batch {
    /// The encoded key of a row, as a parameter.
    fn key_value(&self, row: &Row) -> Value<'_> {
        Value(self.key_bytes(row))
    }

    /// True if a row has this value in a column. Both are encoded, and none is null.
    fn holds(&self, row: &Row, column: usize, stored: Option<&[u8]>) -> bool {
        encode::same(self.wire(column), self.field(row, column), stored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_that_proves_little_is_not_repeated_at_once() {
        let mut pace = Pace::default();
        pace.learn(500, 1_000);
        assert_eq!(pace.pause, 0);
        for pause in [1, 2, 4] {
            pace.learn(0, 1_000);
            assert_eq!(pace.pause, pause);
        }
        pace.learn(1_000, 1_000);
        pace.learn(0, 1_000);
        assert_eq!(pace.pause, 1, "one good scan and it starts over");
    }
}
