//! Rows that a trigger or a rule of the table skipped: they were sent without an error, but are not stored.

use std::collections::HashSet;

use tokio_postgres::types::Type;

use super::super::answer::value;
use super::super::batch::Batch;
use super::super::connect::{Connection, Param};
use super::super::error::StoreError;
use super::{WRITING, Writer, count, signed, write_back};

impl Writer {
    /// Finds the skipped rows among those not reported as written, at most `limit`. Returns their places in the batch.
    ///
    /// A row that is stored in another form than it was sent need not have been skipped: a trigger may have changed it, and
    /// the changed row may have been stored already. So such rows are written once more without the comparison, and rolled
    /// back. A row that the table accepts then was not skipped.
    pub(super) fn skipped(
        &self,
        conn: &mut Connection,
        batch: &Batch,
        picks: &[u32],
        limit: u64,
    ) -> Result<Vec<usize>, StoreError> {
        let arrays = self.arrays(batch, picks);
        let mut params: Vec<Param<'_>> = arrays.iter().map(|a| (a as _, a.ty())).collect();
        let limit = signed(limit);
        params.push((&self.run_id, Type::UUID));
        params.push((&limit, Type::INT8));
        let mut skipped = Vec::new();
        let mut stored: Vec<u32> = Vec::new();
        for row in conn.query(WRITING, &self.statements.skipped, &params)? {
            let place = write_back::place(count(&row, 0)?, picks)?;
            if value(&row, 1, WRITING)? {
                stored.push(u32::try_from(place).unwrap_or(u32::MAX));
            } else {
                skipped.push(place);
            }
        }
        if stored.is_empty() {
            return Ok(skipped);
        }
        conn.run(WRITING, "SAVEPOINT unguarded")?;
        let arrays = self.arrays(batch, &stored);
        let now = self.now();
        let params = self.params(&arrays, &now);
        let taken: HashSet<usize> = conn
            .query(WRITING, &self.statements.unguarded, &params)?
            .iter()
            .map(|row| write_back::place(count(row, 0)?, &stored))
            .collect::<Result<_, _>>()?;
        conn.run(
            WRITING,
            "ROLLBACK TO SAVEPOINT unguarded; RELEASE SAVEPOINT unguarded",
        )?;
        let places = stored.iter().map(|pick| *pick as usize);
        skipped.extend(places.filter(|place| !taken.contains(place)));
        Ok(skipped)
    }
}
