//! Finds the rows of a batch that the database refuses, by halving. A row is at fault if other rows are accepted.

use std::ops::Range;

use super::super::connect::Connection;
use super::super::error::{Class, StoreError};

/// After this many rows in a row were refused by an error that may not depend on rows, the last rows of the remaining ranges
/// are tried. If none of these is accepted either, the table is at fault.
const REFUSED_ALIKE: usize = 8;

/// Does `work` on a range of rows under a savepoint. If a row is at fault, halves the range until it is found.
pub(super) fn isolate(
    conn: &mut Connection,
    range: Range<usize>,
    work: &mut impl FnMut(&mut Connection, Range<usize>) -> Result<(), StoreError>,
    refused: &mut Vec<(usize, StoreError)>,
) -> Result<(), StoreError> {
    const WHAT: &str = "isolating a row that was refused";
    // A stack of ranges in the order of keys, so that no deep recursion is needed.
    let mut waiting = vec![range];
    let mut passed = false;
    let mut alike = 0;
    let mut most_alike = REFUSED_ALIKE;
    while let Some(range) = waiting.pop() {
        conn.run(WHAT, "SAVEPOINT part")?;
        let error = match work(conn, range.clone()) {
            Ok(()) => {
                passed = true;
                conn.run(WHAT, "RELEASE SAVEPOINT part")?;
                continue;
            }
            Err(error) => error,
        };
        if error.class() != Class::Data && !error.may_be_of_a_row() {
            return Err(error);
        }
        conn.run(WHAT, "ROLLBACK TO SAVEPOINT part; RELEASE SAVEPOINT part")?;
        if range.len() > 1 {
            let middle = range.start + range.len() / 2;
            waiting.push(middle..range.end);
            waiting.push(range.start..middle);
            continue;
        }
        if error.class() != Class::Data {
            alike += 1;
            if !passed && alike == REFUSED_ALIKE {
                let lasts = lasts_first(&mut waiting);
                most_alike += lasts;
            }
            if !passed && alike >= most_alike && !waiting.is_empty() {
                return Err(error);
            }
        }
        refused.push((range.start, error.of_a_row()));
    }
    Ok(())
}

/// Splits the last row off each range and puts these rows first. Returns how many there are.
fn lasts_first(waiting: &mut Vec<Range<usize>>) -> usize {
    let lasts: Vec<_> = waiting.iter().map(|r| r.end - 1..r.end).collect();
    for range in waiting.iter_mut() {
        range.end -= 1;
    }
    waiting.retain(|range| !range.is_empty());
    let count = lasts.len();
    waiting.extend(lasts);
    count
}
