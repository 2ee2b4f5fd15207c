//! Finds the open rejections among the keys of a batch, by one scan along their index or by lookups, whichever reads less.
//!
//! The cost depends on the batch alone, however many rejections are open and whatever statistics the planner has.

use std::borrow::Cow;
use std::cell::Cell;
use std::cmp::Ordering;
use std::ops::Range;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::super::answer::value;
use super::super::batch::{Batch, Row as BatchRow, rejection_key};
use super::super::connect::{Connection, Param};
use super::super::encode::Micros;
use super::super::error::StoreError;
use super::index_scan::Pace;
use super::statements::RejectionStatements;
use super::{signed, text};

const WHAT: &str = "looking for open rejections";
/// How many open rejections may be read for each key of the batch. There are more in between if the source has another order.
const READ_PER_KEY: usize = 2;
/// The prefix of the keys of records without a usable id.
const HASHED: &str = "sha256:";

/// An open rejection, as it is stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    pub(super) id: i64,
    /// When it was last seen, by PostgreSQL's clock: microseconds since 1970-01-01T00:00:00Z.
    pub(super) last_seen: i64,
    /// A digest of the stored content; none if an earlier version of the program stored it.
    pub(super) digest: Option<[u8; 16]>,
}

/// The open rejections among the keys of a batch, ordered by key.
#[derive(Debug, Default)]
pub(super) struct OpenRejections {
    keys: String,
    open: Vec<(Range<usize>, Open)>,
    /// Where the next key is expected: keys are mostly asked for in order.
    next: Cell<usize>,
}

impl OpenRejections {
    /// The open rejection with this key.
    pub(super) fn get(&self, key: &str) -> Option<&Open> {
        let place = self.near(key).unwrap_or_else(|| {
            self.open
                .binary_search_by(|(range, _)| self.keys[range.clone()].cmp(key))
        });
        self.next.set(place.map_or_else(|after| after, |at| at + 1));
        place.ok().map(|at| &self.open[at].1)
    }

    /// The place of a key, or of the first one after it, if it is one of the next few. None: it is somewhere else.
    fn near(&self, key: &str) -> Option<Result<usize, usize>> {
        const FEW: usize = 4;
        let next = self.next.get();
        let key_at = |at: usize| {
            self.open
                .get(at)
                .map(|(range, _)| &self.keys[range.clone()])
        };
        let is_behind = next > 0 && key_at(next - 1).is_none_or(|before| before >= key);
        if is_behind {
            return None;
        }
        for at in next..next + FEW {
            match key_at(at).map(|there| there.cmp(key)) {
                Some(Ordering::Less) => {}
                Some(Ordering::Equal) => return Some(Ok(at)),
                Some(Ordering::Greater) | None => return Some(Err(at.min(self.open.len()))),
            }
        }
        None
    }

    /// True if no key has an open rejection.
    pub(super) const fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    fn add(&mut self, row: &Row) -> Result<(), StoreError> {
        let digest: Option<&[u8]> = value(row, 3, WHAT)?;
        let open = Open {
            id: value(row, 1, WHAT)?,
            last_seen: value::<Micros>(row, 2, WHAT)?.0,
            digest: digest.and_then(|digest| digest.try_into().ok()),
        };
        let start = self.keys.len();
        self.keys.push_str(text(row, 0)?);
        self.open.push((start..self.keys.len(), open));
        Ok(())
    }

    /// Rejections from a scan are in order already.
    fn sort(&mut self) {
        let keys = &self.keys;
        self.open
            .sort_by(|(a, _), (b, _)| keys[a.clone()].cmp(&keys[b.clone()]));
    }
}

/// False for the keys that would stretch a scan over the whole index.
fn is_scanned(key: &str) -> bool {
    !key.starts_with(HASHED)
}

/// A scan from the first to the last key of a batch.
#[derive(Debug)]
pub(super) struct IndexScan {
    first: String,
    last: String,
    limit: i64,
}

impl IndexScan {
    /// None if a scan is not due because the last ones did not pay, or if the batch has no suitable key.
    pub(super) fn of(batch: &Batch, pace: &mut Pace) -> Option<Self> {
        if !pace.is_due() {
            return None;
        }
        let rows = batch.rows();
        // The index orders texts. Rows that are in this order too have the first and the last key at their ends.
        let mut keys: Vec<&str> = if batch.is_ordered_by_text() {
            let has_scanned_key = |row: &&BatchRow| is_scanned(&rejection_key(batch.key(row)));
            let ends = [
                rows.iter().find(has_scanned_key),
                rows.iter().rfind(has_scanned_key),
            ];
            ends.into_iter()
                .flatten()
                .map(|row| batch.key(row))
                .collect()
        } else {
            rows.iter().map(|row| batch.key(row)).collect()
        };
        keys.extend(batch.rejections().iter().map(|r| r.key.as_str()));
        let (mut first, mut last) = (None, None);
        for key in keys.into_iter().map(rejection_key) {
            if !is_scanned(&key) {
                continue;
            }
            if first.as_ref().is_none_or(|first| key < *first) {
                first = Some(key.clone());
            }
            if last.as_ref().is_none_or(|last| key > *last) {
                last = Some(key);
            }
        }
        let keys = batch.rows().len() + batch.rejections().len();
        Some(Self {
            first: first?.into_owned(),
            last: last?.into_owned(),
            limit: signed((keys * READ_PER_KEY) as u64),
        })
    }

    /// The parameters of the statement that scans the index.
    pub(super) fn params<'a>(&'a self, target: &'a String) -> [Param<'a>; 4] {
        [
            (target, Type::TEXT),
            (&self.first, Type::TEXT),
            (&self.last, Type::TEXT),
            (&self.limit, Type::INT8),
        ]
    }

    /// The rejections that the scan has found, and those found by looking up the keys that it did not reach.
    pub(super) fn complete(
        scanned: Option<(&Self, &[Row])>,
        conn: &mut Connection,
        statements: &RejectionStatements,
        target: &String,
        batch: &Batch,
        pace: &mut Pace,
    ) -> Result<OpenRejections, StoreError> {
        let mut found = OpenRejections::default();
        // Every open rejection with a key between these two was read.
        let mut covered: Option<(&str, &str)> = None;
        let mut is_whole = false;
        if let Some((scan, rows)) = scanned {
            for row in rows {
                found.add(row)?;
            }
            is_whole = signed(rows.len() as u64) < scan.limit;
            let end = match rows.last() {
                Some(row) if !is_whole => text(row, 0)?,
                _ => &scan.last,
            };
            covered = Some((&scan.first, end));
        }
        // A whole scan lies around all keys but those that it leaves out.
        let is_covered = |key: &str| {
            is_whole && is_scanned(key)
                || covered.is_some_and(|(first, last)| key >= first && key <= last)
        };
        let rows = batch.rows().iter().map(|row| batch.key(row));
        let rejected = batch.rejections().iter().map(|r| r.key.as_str());
        let mut keys: Vec<Cow<'_, str>> = rows
            .chain(rejected)
            .map(rejection_key)
            .filter(|key| !is_covered(key))
            .collect();
        if scanned.is_some() {
            let all = batch.rows().len() + batch.rejections().len();
            pace.learn(all - keys.len(), all);
        }
        if keys.is_empty() {
            found.sort();
            return Ok(found);
        }
        keys.sort_unstable();
        keys.dedup();
        let params: [Param<'_>; 2] = [(target, Type::TEXT), (&keys, Type::TEXT_ARRAY)];
        for row in &conn.query(WHAT, &statements.open_of, &params)? {
            found.add(row)?;
        }
        found.sort();
        Ok(found)
    }
}
