//! Which rows of a batch are stored already, just as they are: read in one walk along the key's index and compared here,
//! field by field, in the form both have on the wire.
//!
//! Where a source is read in the order of its keys and little has changed, a walk costs a fraction of a lookup for each
//! row. It only ever proves that nothing is to be done; everything else goes to the upsert, which decides.

use bytes::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use super::super::batch::{Batch, Row};
use super::super::connect::{Connection, Param};
use super::super::encode;
use super::super::error::StoreError;
use super::Writer;

/// Rows that may be read for each row of the batch: more lie between when the source has another order than the index.
const READ_PER_ROW: usize = 2;
/// A walk is worth it when it proves one row in so many.
const WORTH: usize = 2;
/// A version on the wire: its length, and a time.
const VERSION: usize = size_of::<i32>() + size_of::<i64>();
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
    /// Is it time for a walk? Counts the batches that go without.
    pub(super) const fn is_due(&mut self) -> bool {
        let due = self.pause == 0;
        self.pause = self.pause.saturating_sub(1);
        due
    }

    pub(super) fn learn(&mut self, proven: usize, rows: usize) {
        if proven * WORTH >= rows {
            self.next_pause = 0;
        } else {
            self.next_pause = (self.next_pause * 2).clamp(1, LONGEST_PAUSE);
            self.pause = self.next_pause;
        }
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
        let (Some(walk), Some(first), Some(last)) =
            (&self.statements.walk, rows.first(), rows.last())
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
            (&walk.between, &keys),
            &walk.copy(rows.len() * READ_PER_ROW),
            |message| {
                // The first row comes with the header.
                let stored = message.get(std::mem::take(&mut head)..).unwrap_or_default();
                // Mostly both go in step; where the collation orders otherwise, the row is searched for.
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

    /// Is this row of a COPY the row with its content, by a version that is not newer? What cannot be told is not.
    fn is_stored(&self, batch: &Batch, row: &Row, stored: &[u8]) -> bool {
        // Versions are times; what was stored without one is older than any.
        let as_new = |stored: Option<[u8; 8]>| {
            stored.is_none_or(|stored| {
                let stored = encode::from_postgres_micros(i64::from_be_bytes(stored));
                row.version.is_some_and(|version| stored <= version)
            })
        };
        // Mostly both are the same bytes, but for the version at the end.
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
    /// The key of a row in the wire's form, as a parameter.
    fn key_value(&self, row: &Row) -> Value<'_> {
        Value(self.key_bytes(row))
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
