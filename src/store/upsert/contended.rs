//! Writing while another session writes the same rows in a different order.
//!
//! Sorted keys prevent dead-locks among datasync's own writers, but not with other transactions. Of two that wait for each
//! other, PostgreSQL ends the one that waited first, which may be the batch again and again. So after a dead-lock the stored
//! rows of a batch are locked before anything is written, in alternating directions, and with short waits that end nobody.

use std::time::{Duration, Instant};

use super::super::batch::Batch;
use super::super::connect::Connection;
use super::super::error::StoreError;
use super::Writer;

const WHAT: &str = "locking rows that another session writes as well";
/// Far less than PostgreSQL's `deadlock_timeout`, whose default is one second.
const LOCK_WAIT: Duration = Duration::from_millis(100);

impl Writer {
    /// Begins the transaction of a batch with all of its stored rows locked. Tries as long as one lock may be waited for
    /// (`database.lock_timeout`), and then returns the error of waiting for a lock.
    pub(super) fn begin_with_locks(
        &self,
        conn: &mut Connection,
        batch: &Batch,
        bisect: bool,
    ) -> Result<(), StoreError> {
        let rows: Vec<u32> = (0..).take(batch.rows().len()).collect();
        let keys = batch.column(batch.columns().key, &rows);
        let wait = |limit: Duration| {
            let milliseconds = limit.as_millis().max(1);
            format!("SET LOCAL lock_timeout = {milliseconds}")
        };
        let until = Instant::now() + self.lock_timeout;
        // The dead-lock has occurred in ascending order.
        let (mut sql, mut other) = (
            &self.statements.lock_descending,
            &self.statements.lock_ascending,
        );
        loop {
            self.begin(conn, bisect)?;
            conn.run(WHAT, &wait(LOCK_WAIT.min(self.lock_timeout)))?;
            match conn.query(WHAT, sql, &[(&keys, keys.ty())]) {
                Ok(_) => return conn.run(WHAT, &wait(self.lock_timeout)),
                Err(error) if error.is_lock_timeout() && Instant::now() < until => {
                    conn.run(WHAT, "ROLLBACK")?;
                    std::mem::swap(&mut sql, &mut other);
                }
                Err(error) => return Err(error),
            }
        }
    }
}
