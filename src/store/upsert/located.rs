//! Finds the column at which a row was refused if PostgreSQL did not name it, as for errors of a type's input function.

use super::super::batch::Batch;
use super::super::connect::{Connection, Param};
use super::super::error::{Class, StoreError};
use super::Writer;

/// For how many rows of a batch the column is looked for. Each takes a statement per column.
const ROWS_LOOKED_AT: usize = 20;

impl Writer {
    /// The refused rows of a batch (places and errors), with column and trigger function as far as they can be found out.
    pub(super) fn located(
        &self,
        conn: &mut Connection,
        batch: &Batch,
        refused: Vec<(usize, StoreError)>,
    ) -> Result<Vec<(usize, StoreError)>, StoreError> {
        let mut left = ROWS_LOOKED_AT;
        let mut located = Vec::with_capacity(refused.len());
        for (index, error) in refused {
            let column = if left > 0 && error.is_unlocated() {
                left -= 1;
                self.refused_column(conn, batch, index)?
            } else {
                None
            };
            located.push((index, error.located(&self.functions, column)));
        }
        Ok(located)
    }

    /// The first column whose value in this row PostgreSQL cannot convert.
    fn refused_column(
        &self,
        conn: &mut Connection,
        batch: &Batch,
        index: usize,
    ) -> Result<Option<&str>, StoreError> {
        const WHAT: &str = "looking for the column of a refused value";
        let pick = [u32::try_from(index).unwrap_or(u32::MAX)];
        for (column, sql) in &self.statements.conversions {
            let value = batch.column(*column, &pick);
            let params: [Param<'_>; 1] = [(&value, value.ty())];
            conn.run(WHAT, "SAVEPOINT conversion")?;
            match conn.query(WHAT, sql, &params) {
                Ok(_) => conn.run(WHAT, "RELEASE SAVEPOINT conversion")?,
                Err(error) if error.class() == Class::Transient => return Err(error),
                Err(_) => {
                    conn.run(
                        WHAT,
                        "ROLLBACK TO SAVEPOINT conversion; RELEASE SAVEPOINT conversion",
                    )?;
                    return Ok(self.columns.get(*column).map(String::as_str));
                }
            }
        }
        Ok(None)
    }
}
