//! Which rows of a batch are stored already, just as they are: read in one walk along the key's index and compared here,
//! field by field, in the form both have on the wire.
//!
//! Where a source is read in the order of its keys and little has changed, a walk costs a fraction of a lookup for each
//! row. It only ever proves that nothing is to be done; everything else goes to the upsert, which decides.

use bytes::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use super::super::batch::{Batch, Row};
use super::super::connect::Connection;
use super::super::encode::{self, Micros};
use super::super::error::StoreError;
use super::Writer;

/// Rows that may be read for each row of the batch: more lie between when the source has another order than the index.
const READ_PER_ROW: usize = 2;
/// A walk is worth it when it proves one row in so many.
const WORTH: usize = 2;
/// Batches to go without after a walk that was not; doubled each time.
const LONGEST_PAUSE: u32 = 256;

/// When to walk: learned from the run's own counts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// Batches to go without.
    pause: u32,
    /// The pause after the next walk that is not worth it.
    next_pause: u32,
}

impl Pace {
    fn learn(&mut self, proven: usize, rows: usize) {
        if proven * WORTH >= rows {
            self.next_pause = 0;
        } else {
            self.next_pause = (self.next_pause * 2).clamp(1, LONGEST_PAUSE);
            self.pause = self.next_pause;
        }
    }
}

/// A value as it came.
struct Raw<'a>(&'a [u8]);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// A value as it goes.
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
    /// Rows (their places in the batch) that are left to be written: all but those that are stored as they are, and not
    /// with a newer version.
    pub(super) fn unproven(
        &mut self,
        conn: &mut Connection,
        batch: &Batch,
    ) -> Result<Vec<u32>, StoreError> {
        let rows = batch.rows();
        let all = 0..u32::try_from(rows.len()).unwrap_or(u32::MAX);
        let (Some(sql), Some(first), Some(last)) =
            (&self.statements.walk, rows.first(), rows.last())
        else {
            return Ok(all.collect());
        };
        if self.pace.pause > 0 {
            self.pace.pause -= 1;
            return Ok(all.collect());
        }
        let (first, last) = (batch.key_value(first), batch.key_value(last));
        let limit = i64::try_from(rows.len() * READ_PER_ROW).unwrap_or(i64::MAX);
        let key = self.statements.key_type.clone();
        let mut proven = vec![false; rows.len()];
        let mut next = 0;
        conn.each(
            "looking at stored rows",
            sql,
            &[(&first, key.clone()), (&last, key), (&limit, Type::INT8)],
            |stored| {
                let Ok(Raw(key)) = stored.try_get(0) else {
                    return;
                };
                // Mostly both go in step; where the collation orders otherwise, the row is searched for.
                let found = if rows
                    .get(next)
                    .is_some_and(|row| batch.key_bytes(row) == key)
                {
                    Ok(next)
                } else {
                    rows.binary_search_by(|row| batch.key_bytes(row).cmp(key))
                };
                let Ok(index) = found else { return };
                next = index + 1;
                proven[index] = self.is_stored(batch, index, stored);
            },
        )?;
        let count = proven.iter().filter(|proven| **proven).count();
        self.pace.learn(count, rows.len());
        Ok(all
            .zip(proven)
            .filter_map(|(index, proven)| (!proven).then_some(index))
            .collect())
    }

    /// Is the row stored with this content, by a version that is not newer? What cannot be told is none.
    fn is_stored(&self, batch: &Batch, index: usize, stored: &tokio_postgres::Row) -> bool {
        let row = &batch.rows()[index];
        let version = self.columns.len() - 1;
        let content = (0..version).chain(self.version_is_content.then_some(version));
        let same = content.into_iter().all(|column| {
            stored
                .try_get::<_, Option<Raw<'_>>>(column + 1)
                .is_ok_and(|value| batch.holds(row, column, value.map(|Raw(bytes)| bytes)))
        });
        same && stored
            .try_get::<_, Option<Micros>>(version + 1)
            .is_ok_and(|stored| stored.is_none_or(|Micros(stored)| stored <= row.version))
    }
}

impl Batch {
    /// The key of a row in the wire's form, as a parameter.
    fn key_value(&self, row: &Row) -> Value<'_> {
        Value(self.key_bytes(row))
    }

    fn key_bytes(&self, row: &Row) -> &[u8] {
        self.field(row, self.columns().key)
            .get(size_of::<i32>()..)
            .unwrap_or_default()
    }

    /// Does a row have this value in a column? Both in the wire's form, none is null.
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
        assert_eq!(pace.pause, 1, "one good walk and it starts over");
    }
}
