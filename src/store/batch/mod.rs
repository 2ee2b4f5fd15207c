//! Rows and rejections on their way to one transaction.
//!
//! Owns the encoded fields, the raw text of every record until its fate is sealed, the order (by key, so that writers
//! cannot dead-lock) and the de-duplication. Must not know a statement.

mod columns;
mod keys;

use std::collections::HashMap;
use std::error::Error;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use uuid::Uuid;

use super::encode::{self, Micros, Wire};
use crate::model::record::{Cell, FieldError, Rejection, Validation};

pub use columns::Columns;
pub(crate) use columns::KEPT;
pub use keys::Keys;

/// One encoded row and where its raw text is.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// Index of its first field in `Batch::fields`.
    fields: usize,
    page: u32,
    raw: Range<u32>,
    key: Range<u32>,
    /// None is older than any.
    pub(crate) version: Option<i64>,
    pub(crate) requested_at: i64,
    pub(crate) sequence: u64,
    flagged: bool,
    /// An earlier rejection of the same key is settled by this row.
    pub(crate) resolves: bool,
    /// The batch itself has such a rejection.
    pub(crate) rejected_before: bool,
}

/// A row to be added to a batch.
#[derive(Debug)]
pub struct NewRow<'a> {
    pub page: &'a Arc<String>,
    /// Where the record's text is in `page`.
    pub raw: Range<u32>,
    pub key: &'a str,
    /// Those of all mapped fields, in the mapping's order.
    pub cells: &'a [Cell<'a>],
    pub validation: Validation,
    /// A person is to review it.
    pub flagged: bool,
    /// The row's freshness: the mapped version field, or `requested_at` where none is mapped. None: it is mapped, and the record
    /// has none.
    pub version: Option<Micros>,
    /// When its page was requested, PostgreSQL's clock.
    pub requested_at: Micros,
    /// Position in the run, so that the later of two equals can be told.
    pub sequence: u64,
}

/// A record of a batch as the spool keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept<'a> {
    pub key: &'a str,
    /// The JSON text as it came.
    pub raw: &'a str,
    /// PostgreSQL's clock.
    pub requested_at: Micros,
    pub sequence: u64,
}

/// The encoded fields that follow each row of a COPY: who writes, and when.
pub(crate) struct CopyConstant(Vec<u8>);

impl CopyConstant {
    pub(crate) fn new(run_id: Uuid, now: Micros) -> Self {
        let mut fields = Vec::new();
        encode::put_fixed(&mut fields, run_id.as_bytes());
        encode::put_time(&mut fields, now);
        Self(fields)
    }
}

/// What one transaction takes.
#[derive(Debug)]
pub struct Batch {
    /// Unique within the run; with the run's id it names the transaction in the batch log.
    pub number: u64,
    columns: Arc<Columns>,
    rows: Vec<Row>,
    /// Start of each field in `data`, row by row.
    fields: Vec<u32>,
    data: Vec<u8>,
    /// Keys of rows and rejections, one after the other.
    keys: Arc<String>,
    /// Where the keys of the rejections are in `keys`.
    rejected: Vec<Range<u32>>,
    /// What the rejections, the raw text of the rows and what lies beside it in their pages take, bytes.
    texts: usize,
    pages: Vec<Arc<String>>,
    rejections: Vec<Rejection>,
    /// Rows dropped by [`Batch::seal`] because a newer one has their key. Kept for the spool's sake.
    dropped: Vec<Row>,
    sealed: bool,
}

/// What the encoded fields of one batch may take.
const MOST_BYTES: usize = 1 << 31;
/// Room for encoded fields that is kept for the next batch, bytes.
const USUAL_ROOM: usize = 2 << 20;
/// The message of a rejection is there so many times: as it is, on its way, and as the errors of fields.
const MESSAGE_COPIES: usize = 3;
/// What the key, the id, the reason and the rules of a rejection take, and its places in the tables of its batch.
const SMALL_TEXTS: usize = 400;
/// Text of more than this is not taken whole into an index.
const LONGEST_KEY: usize = 500;

/// The key of a rejection as it is stored: a key that no index can hold is replaced by its hash.
pub(crate) fn rejection_key(key: &str) -> std::borrow::Cow<'_, str> {
    if key.len() <= LONGEST_KEY && !key.contains('\0') {
        return std::borrow::Cow::Borrowed(key);
    }
    std::borrow::Cow::Owned(crate::support::digest::key_of(key))
}

/// Text as PostgreSQL can store it: it has no NUL.
pub(crate) fn clean(text: &str) -> std::borrow::Cow<'_, str> {
    if text.contains('\0') {
        std::borrow::Cow::Owned(text.replace('\0', "\u{fffd}"))
    } else {
        std::borrow::Cow::Borrowed(text)
    }
}

impl Batch {
    pub fn new(columns: Arc<Columns>, number: u64) -> Self {
        Self {
            number,
            columns,
            rows: Vec::new(),
            fields: Vec::new(),
            data: Vec::new(),
            keys: Arc::default(),
            rejected: Vec::new(),
            texts: 0,
            pages: Vec::new(),
            rejections: Vec::new(),
            dropped: Vec::new(),
            sealed: false,
        }
    }

    /// Forgets everything but the room it has, which the next batch can use: growing anew costs more than encoding.
    pub fn clear(&mut self) {
        match Arc::get_mut(&mut self.keys) {
            Some(keys) => keys.clear(),
            // A claim on them is still out.
            None => self.keys = Arc::default(),
        }
        self.rows.clear();
        self.fields.clear();
        self.data.clear();
        // A batch of large records is an exception, and its room is given back.
        self.data.shrink_to(USUAL_ROOM);
        self.rejected.clear();
        self.texts = 0;
        self.pages.clear();
        self.rejections.clear();
        self.dropped.clear();
        self.sealed = false;
    }

    /// Adds a row. On errors (values that their columns cannot hold) the batch is as it was before.
    pub fn push_row(&mut self, row: &NewRow<'_>) -> Result<(), Vec<FieldError>> {
        let (fields, data) = (self.fields.len(), self.data.len());
        match self.encode_row(row) {
            Ok(()) => {
                let page = self.page_index(row.page);
                let key = self.push_key(row.key);
                self.texts += row.raw.len();
                self.rows.push(Row {
                    fields,
                    page,
                    raw: row.raw.clone(),
                    key,
                    version: row.version.map(|version| version.0),
                    requested_at: row.requested_at.0,
                    sequence: row.sequence,
                    flagged: row.flagged,
                    resolves: true,
                    rejected_before: false,
                });
                self.sealed = false;
                Ok(())
            }
            Err(errors) => {
                self.fields.truncate(fields);
                self.data.truncate(data);
                Err(errors)
            }
        }
    }

    fn push_key(&mut self, key: &str) -> Range<u32> {
        // Shared only once it has been sealed and claimed.
        let keys = Arc::make_mut(&mut self.keys);
        let start = to_u32(keys.len());
        keys.push_str(key);
        start..to_u32(keys.len())
    }

    fn encode_row(&mut self, row: &NewRow<'_>) -> Result<(), Vec<FieldError>> {
        let mut errors = Vec::new();
        let columns = &self.columns;
        let mapped = columns.mapped.iter().map(|stored| {
            let cell = row.cells.get(stored.field).unwrap_or(&Cell::Null);
            (stored.source.as_str(), cell)
        });
        let status = Cell::Text(row.validation.as_str().into());
        let time = row
            .version
            .map_or(Cell::Null, |version| Cell::DateTime(version.0));
        let flag = Cell::Boolean(row.flagged);
        let kept = KEPT
            .map(|(name, _)| name)
            .into_iter()
            .zip([&status, &flag, &time]);
        for (encoder, (field, cell)) in columns.encoders.iter().zip(mapped.chain(kept)) {
            self.fields.push(to_u32(self.data.len()));
            errors.extend(encoder.put(&mut self.data, cell, field).err());
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        // Offsets are 32 bits wide; the pipeline seals a batch long before.
        if self.data.len() > MOST_BYTES {
            return Err(vec![FieldError {
                field: "record".into(),
                expected: "at most 2 GiB of values in a batch".into(),
                problem: "more".into(),
            }]);
        }
        Ok(())
    }

    fn page_index(&mut self, page: &Arc<String>) -> u32 {
        // Rows of a page come together: the last few pages are where it is.
        if let Some(index) = self
            .pages
            .iter()
            .rposition(|known| Arc::ptr_eq(known, page))
        {
            return to_u32(index);
        }
        self.pages.push(Arc::clone(page));
        to_u32(self.pages.len() - 1)
    }

    /// Counts text that its rows keep in memory although it is not theirs, bytes.
    pub fn carry(&mut self, bytes: usize) {
        self.texts += bytes;
    }

    /// Rows that are flagged for review.
    pub fn flagged(&self) -> u64 {
        self.rows.iter().filter(|row| row.flagged).count() as u64
    }

    /// Adds a record that is not fit to be written; it is stored in the same transaction.
    pub fn push_rejection(&mut self, rejection: Rejection) {
        let key = self.push_key(&rejection.key);
        self.rejected.push(key);
        self.texts += size_of::<Rejection>() + SMALL_TEXTS;
        self.texts += rejection.payload.len() + MESSAGE_COPIES * rejection.message.len();
        self.rejections.push(rejection);
        self.sealed = false;
    }

    /// Rows and rejections, duplicates included.
    pub fn len(&self) -> usize {
        self.rows.len() + self.dropped.len() + self.rejections.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Rows that will be written, once sealed.
    pub fn row_count(&self) -> usize {
        self.rows.len()
    }

    /// About what it takes in memory, its share of the pages included.
    pub fn bytes(&self) -> usize {
        self.data.len()
            + self.keys.len()
            + self.fields.len() * size_of::<u32>()
            + self.rows.len() * size_of::<Row>()
            + self.texts
    }

    /// Sorts by key and leaves one row a key: the newest version, the later of equals.
    pub fn seal(&mut self) {
        if self.sealed {
            return;
        }
        let mut rows = std::mem::take(&mut self.rows);
        let mut dropped = std::mem::take(&mut self.dropped);
        rows.append(&mut dropped);
        let wire = self.wire(self.columns.key);
        let by_key = |a: &Row, b: &Row| {
            if wire.is_ordered_by_number() {
                // As the index has them: 9 before 10.
                wire.order(self.key_bytes(a), self.key_bytes(b))
            } else {
                self.key(a).cmp(self.key(b))
            }
        };
        rows.sort_unstable_by(|a, b| {
            by_key(a, b)
                .then(b.version.cmp(&a.version))
                .then(b.sequence.cmp(&a.sequence))
        });
        rows.dedup_by(|row, kept| {
            let same = by_key(kept, row).is_eq();
            if same {
                dropped.push(row.clone());
            }
            same
        });
        (self.rows, self.dropped) = (rows, dropped);
        if !self.rejections.is_empty() {
            let mut latest: HashMap<&str, (i64, u64)> = HashMap::new();
            for rejection in &self.rejections {
                let seen = (rejection.requested_at, rejection.sequence);
                let last = latest.entry(&rejection.key).or_insert(seen);
                *last = seen.max(*last);
            }
            for row in &mut self.rows {
                let key = at(&self.keys, &row.key);
                let rejected = latest.get(key);
                row.rejected_before = rejected.is_some();
                row.resolves = rejected.is_none_or(|at| *at < (row.requested_at, row.sequence));
            }
        }
        self.sealed = true;
    }

    /// The keys of all its rows and rejections.
    pub fn claim(&self) -> Keys {
        let rows = self.rows.iter().map(|row| row.key.clone());
        let mut sorted: Vec<Range<u32>> = rows.chain(self.rejected.iter().cloned()).collect();
        // The rows of a sealed batch are in order, mostly that of their texts.
        let by_number = self.wire(self.columns.key).is_ordered_by_number();
        if !self.rejected.is_empty() || !self.sealed || by_number {
            sorted.sort_unstable_by(|a, b| at(&self.keys, a).cmp(at(&self.keys, b)));
        }
        Keys {
            text: Arc::clone(&self.keys),
            sorted,
        }
    }

    pub(crate) const fn is_sealed(&self) -> bool {
        self.sealed
    }

    /// Records dropped because a newer one of the batch has their key.
    pub fn duplicates(&self) -> u64 {
        self.dropped.len() as u64
    }

    pub fn rejections(&self) -> &[Rejection] {
        &self.rejections
    }

    /// Every record, duplicates and rejections included, in the order they came: what the spool writes. The order
    /// matters there, since the later of two wins when they are replayed.
    pub fn records(&self) -> impl Iterator<Item = Kept<'_>> {
        let rows = self.rows.iter().chain(&self.dropped).map(|row| Kept {
            key: self.key(row),
            raw: self.raw(row),
            requested_at: Micros(row.requested_at),
            sequence: row.sequence,
        });
        let rejections = self.rejections.iter().map(|rejection| Kept {
            key: &rejection.key,
            raw: &rejection.payload,
            requested_at: Micros(rejection.requested_at),
            sequence: rejection.sequence,
        });
        let mut all: Vec<Kept<'_>> = rows.chain(rejections).collect();
        all.sort_unstable_by_key(|record| record.sequence);
        all.into_iter()
    }

    pub(crate) fn columns(&self) -> &Columns {
        &self.columns
    }

    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    pub(crate) fn key(&self, row: &Row) -> &str {
        at(&self.keys, &row.key)
    }

    /// The key of a row in the wire's form, without its length.
    pub(crate) fn key_bytes(&self, row: &Row) -> &[u8] {
        self.field(row, self.columns.key)
            .get(size_of::<i32>()..)
            .unwrap_or_default()
    }

    pub(crate) fn raw(&self, row: &Row) -> &str {
        self.pages
            .get(row.page as usize)
            .and_then(|page| page.get(row.raw.start as usize..row.raw.end as usize))
            .unwrap_or_default()
    }

    /// One encoded field, its length included.
    pub(crate) fn field(&self, row: &Row, column: usize) -> &[u8] {
        let index = row.fields + column;
        let start = self.fields[index] as usize;
        let end = self
            .fields
            .get(index + 1)
            .map_or(self.data.len(), |end| *end as usize);
        &self.data[start..end]
    }

    /// All encoded fields of a row: they lie side by side.
    pub(crate) fn row_data(&self, row: &Row) -> &[u8] {
        let start = self.fields[row.fields] as usize;
        let end = self
            .fields
            .get(row.fields + self.columns.width())
            .map_or(self.data.len(), |end| *end as usize);
        &self.data[start..end]
    }

    /// All rows as a binary COPY, in pieces. `constant` follows each.
    pub(crate) fn copy<'a>(&'a self, constant: &'a CopyConstant) -> impl Iterator<Item = Bytes> {
        let rows = self.rows.iter().map(|row| self.row_data(row));
        encode::copy(self.columns.width() + 2, &constant.0, rows)
    }

    /// The type a column travels as.
    pub(crate) fn wire(&self, column: usize) -> Wire {
        self.columns.encoders[column].wire
    }

    /// A column of some rows, picked by their places, as an array parameter.
    pub(crate) fn column<'a>(&'a self, column: usize, picks: &'a [u32]) -> ColumnArray<'a> {
        ColumnArray {
            batch: self,
            column,
            picks,
            wire: self.wire(column),
        }
    }
}

fn at<'a>(keys: &'a str, range: &Range<u32>) -> &'a str {
    &keys[range.start as usize..range.end as usize]
}

/// Offsets within a batch: it is sealed long before it reaches 4 GiB.
fn to_u32(offset: usize) -> u32 {
    u32::try_from(offset).unwrap_or(u32::MAX)
}

/// One column of a batch as an array, copied field by field from what is already encoded.
#[derive(Debug)]
pub(crate) struct ColumnArray<'a> {
    batch: &'a Batch,
    column: usize,
    picks: &'a [u32],
    wire: Wire,
}

impl ColumnArray<'_> {
    pub(crate) fn ty(&self) -> Type {
        self.wire.array()
    }
}

impl ToSql for ColumnArray<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        let rows = self.picks.iter().map(|pick| {
            let row = &self.batch.rows[*pick as usize];
            self.batch.field(row, self.column)
        });
        encode::put_array(out, &self.wire.element(), self.picks.len(), rows)?;
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}
