//! Rows and rejections that are written in one transaction.
//!
//! This file owns the encoded fields, the raw text of every record until its outcome is known, the order (by key, so that
//! writers cannot dead-lock) and the de-duplication. It must not know a statement.

mod columns;
mod keys;

use std::collections::HashMap;
use std::error::Error;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use uuid::Uuid;

use super::column::Encoder;
use super::encode::{self, Micros, Wire};
use crate::model::record::{Cell, FieldError, Rejection, Validation};

pub use columns::Columns;
pub(crate) use columns::KEPT;
pub use keys::Keys;

/// An encoded row, with the place of its raw text.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// Index of its first field in `Batch::fields`.
    fields: usize,
    page: u32,
    raw: Range<u32>,
    key: Range<u32>,
    /// None counts as older than any version.
    pub(crate) version: Option<i64>,
    pub(crate) requested_at: i64,
    pub(crate) sequence: u64,
    flagged: bool,
    /// Writing this row resolves an earlier rejection with the same key.
    pub(crate) resolves: bool,
    /// The batch itself holds such a rejection.
    pub(crate) rejected_before: bool,
}

/// A row that is added to a batch.
#[derive(Debug)]
pub struct NewRow<'a> {
    pub page: &'a Arc<String>,
    /// The place of the record's text in `page`.
    pub raw: Range<u32>,
    pub key: &'a str,
    /// The cells of all mapped fields, in the order of the mapping.
    pub cells: &'a [Cell<'a>],
    pub validation: Validation,
    /// True if a person should review the record.
    pub flagged: bool,
    /// The version: that of the mapped version field (none if the record has none), or `requested_at` where none is mapped.
    pub version: Option<Micros>,
    /// When its page was requested, by PostgreSQL's clock.
    pub requested_at: Micros,
    /// Position in the run. Of two rows with equal versions the one with the higher position wins.
    pub sequence: u64,
}

/// A record of a batch, for the spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawRecord<'a> {
    pub key: &'a str,
    /// The JSON text as the source sent it.
    pub raw: &'a str,
    /// When its page was requested, by PostgreSQL's clock.
    pub requested_at: Micros,
    pub sequence: u64,
}

/// The encoded fields that end every row of a COPY: the run's id and the time.
pub(crate) struct CopyConstant(Vec<u8>);

impl CopyConstant {
    /// Encodes both fields.
    pub(crate) fn new(run_id: Uuid, now: Micros) -> Self {
        let mut fields = Vec::new();
        encode::put_fixed(&mut fields, run_id.as_bytes());
        encode::put_time(&mut fields, now);
        Self(fields)
    }
}

/// The rows and rejections of one transaction.
#[derive(Debug)]
pub struct Batch {
    /// The number is unique within the run. With the run's id it identifies the transaction in the batch log.
    pub number: u64,
    columns: Arc<Columns>,
    rows: Vec<Row>,
    /// The start of each field in `data`, row by row.
    fields: Vec<u32>,
    data: Vec<u8>,
    /// The keys of rows and rejections, one after the other.
    keys: Arc<String>,
    /// The places of the rejections' keys in `keys`.
    rejected: Vec<Range<u32>>,
    /// Bytes of the rejections, of the raw text of the rows, and of other text in their pages that they keep in memory.
    texts: usize,
    pages: Vec<Arc<String>>,
    rejections: Vec<Rejection>,
    /// Rows dropped by [`Batch::seal`] because a newer one has their key. The spool needs them.
    dropped: Vec<Row>,
    sealed: bool,
}

/// Most bytes of encoded fields in one batch.
const MOST_BYTES: usize = 1 << 31;
/// Bytes of buffer for encoded fields that are kept for the next batch.
const RETAINED_BYTES: usize = 2 << 20;
/// How many copies of a rejection's message are in memory: the message, its encoded form, and the field errors.
const MESSAGE_COPIES: usize = 3;
/// An estimate for a rejection's key, id, reason and rules, and for its entries in the tables of the batch.
const SMALL_TEXTS: usize = 400;
/// A longer text does not fit into an index.
const LONGEST_KEY: usize = 500;

/// The key of a rejection as it is stored. A key that is too long for an index is replaced by its hash.
pub(crate) fn rejection_key(key: &str) -> std::borrow::Cow<'_, str> {
    if key.len() <= LONGEST_KEY && !key.contains('\0') {
        return std::borrow::Cow::Borrowed(key);
    }
    std::borrow::Cow::Owned(crate::support::digest::key_of(key))
}

/// The text without NUL characters, which PostgreSQL cannot store.
pub(crate) fn clean(text: &str) -> std::borrow::Cow<'_, str> {
    if text.contains('\0') {
        std::borrow::Cow::Owned(text.replace('\0', "\u{fffd}"))
    } else {
        std::borrow::Cow::Borrowed(text)
    }
}

impl Batch {
    /// An empty batch.
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

    /// Empties the batch. Its buffers are kept, because growing new ones costs more than encoding.
    pub fn clear(&mut self) {
        match Arc::get_mut(&mut self.keys) {
            Some(keys) => keys.clear(),
            // A claim still refers to the keys, so they cannot be reused.
            None => self.keys = Arc::default(),
        }
        self.rows.clear();
        self.fields.clear();
        self.data.clear();
        // A batch of large records is an exception, so its additional memory is freed.
        self.data.shrink_to(RETAINED_BYTES);
        self.rejected.clear();
        self.texts = 0;
        self.pages.clear();
        self.rejections.clear();
        self.dropped.clear();
        self.sealed = false;
    }

    /// Adds a row. If values do not fit their columns, the errors are returned and the batch stays unchanged.
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
        // The keys are shared only after the batch was sealed and claimed.
        let keys = Arc::make_mut(&mut self.keys);
        let start = to_u32(keys.len());
        keys.push_str(key);
        start..to_u32(keys.len())
    }

    fn encode_row(&mut self, row: &NewRow<'_>) -> Result<(), Vec<FieldError>> {
        let mut errors = Vec::new();
        let mut put = |encoder: &Encoder, cell: &Cell<'_>, field: &str| {
            self.fields.push(to_u32(self.data.len()));
            if let Err(error) = encoder.put(&mut self.data, cell, field) {
                errors.push(*error);
            }
        };
        let columns = &*self.columns;
        let (mapped, kept) = columns.encoders.split_at(columns.mapped.len());
        for (encoder, stored) in mapped.iter().zip(&columns.mapped) {
            let cell = row.cells.get(stored.field).unwrap_or(&Cell::Null);
            put(encoder, cell, &stored.source);
        }
        let values = [
            Cell::Text(row.validation.as_str().into()),
            Cell::Boolean(row.flagged),
            row.version
                .map_or(Cell::Null, |version| Cell::DateTime(version.0)),
        ];
        for ((encoder, (name, _)), cell) in kept.iter().zip(KEPT).zip(&values) {
            put(encoder, cell, name);
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        // Offsets have 32 bits. The pipeline seals a batch long before it reaches this size.
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
        // The rows of a page are added together, so the page is among the last few.
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

    /// Counts bytes of other text that its rows keep in memory.
    pub fn carry(&mut self, bytes: usize) {
        self.texts += bytes;
    }

    /// How many rows are flagged for review.
    pub fn flagged(&self) -> u64 {
        self.rows.iter().filter(|row| row.flagged).count() as u64
    }

    /// Adds a record that is not to be written. Its rejection is stored in the same transaction.
    pub fn push_rejection(&mut self, rejection: Rejection) {
        let key = self.push_key(&rejection.key);
        self.rejected.push(key);
        self.texts += size_of::<Rejection>() + SMALL_TEXTS;
        self.texts += rejection.payload.len() + MESSAGE_COPIES * rejection.message.len();
        self.rejections.push(rejection);
        self.sealed = false;
    }

    /// How many rows and rejections there are, duplicates included.
    pub fn len(&self) -> usize {
        self.rows.len() + self.dropped.len() + self.rejections.len()
    }

    /// True if the batch has neither rows nor rejections.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many rows will be written, after sealing.
    pub fn row_count(&self) -> usize {
        self.rows.len()
    }

    /// Approximate memory in bytes, including the share of the pages.
    pub fn bytes(&self) -> usize {
        self.data.len()
            + self.keys.len()
            + self.fields.len() * size_of::<u32>()
            + self.rows.len() * size_of::<Row>()
            + self.texts
    }

    /// Sorts the rows by key, and of each key keeps only the row with the newest version, or the later of equal ones.
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
                // The order is that of the index: 9 before 10.
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

    /// The keys of all rows and rejections.
    pub fn claim(&self) -> Keys {
        let rows = self.rows.iter().map(|row| row.key.clone());
        let mut sorted: Vec<Range<u32>> = rows.chain(self.rejected.iter().cloned()).collect();
        if !self.rejected.is_empty() || !self.is_ordered_by_text() {
            // A stable sort only merges what is in order: the keys of the rows, and mostly those of the rejections.
            sorted.sort_by(|a, b| at(&self.keys, a).cmp(at(&self.keys, b)));
        }
        Keys {
            text: Arc::clone(&self.keys),
            sorted,
        }
    }

    /// True if the rows are in the order of their keys' texts: those of a sealed batch mostly are.
    pub(crate) fn is_ordered_by_text(&self) -> bool {
        self.sealed && !self.wire(self.columns.key).is_ordered_by_number()
    }

    /// True once the batch is sealed, so that it can be written.
    pub(crate) const fn is_sealed(&self) -> bool {
        self.sealed
    }

    /// How many records were dropped because the batch has a newer one with their key.
    pub fn duplicates(&self) -> u64 {
        self.dropped.len() as u64
    }

    /// The rejections, in the order in which they were added.
    pub fn rejections(&self) -> &[Rejection] {
        &self.rejections
    }

    /// Every record, duplicates and rejections included, in order: when the spool is replayed, the later of two wins.
    pub fn records(&self) -> impl Iterator<Item = RawRecord<'_>> {
        let rows = self.rows.iter().chain(&self.dropped).map(|row| RawRecord {
            key: self.key(row),
            raw: self.raw(row),
            requested_at: Micros(row.requested_at),
            sequence: row.sequence,
        });
        let rejections = self.rejections.iter().map(|rejection| RawRecord {
            key: &rejection.key,
            raw: &rejection.payload,
            requested_at: Micros(rejection.requested_at),
            sequence: rejection.sequence,
        });
        let mut all: Vec<RawRecord<'_>> = rows.chain(rejections).collect();
        all.sort_unstable_by_key(|record| record.sequence);
        all.into_iter()
    }

    /// The columns of the rows.
    pub(crate) fn columns(&self) -> &Columns {
        &self.columns
    }

    /// The rows; once sealed, those that will be written.
    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The key of a row, as text.
    pub(crate) fn key(&self, row: &Row) -> &str {
        at(&self.keys, &row.key)
    }

    /// The encoded key of a row, without its length.
    pub(crate) fn key_bytes(&self, row: &Row) -> &[u8] {
        self.field(row, self.columns.key)
            .get(size_of::<i32>()..)
            .unwrap_or_default()
    }

    /// The raw text of a row's record.
    pub(crate) fn raw(&self, row: &Row) -> &str {
        self.pages
            .get(row.page as usize)
            .and_then(|page| page.get(row.raw.start as usize..row.raw.end as usize))
            .unwrap_or_default()
    }

    /// One encoded field, with its length.
    pub(crate) fn field(&self, row: &Row, column: usize) -> &[u8] {
        let index = row.fields + column;
        let start = self.fields[index] as usize;
        let end = self
            .fields
            .get(index + 1)
            .map_or(self.data.len(), |end| *end as usize);
        &self.data[start..end]
    }

    /// All encoded fields of a row, which are adjacent.
    pub(crate) fn row_data(&self, row: &Row) -> &[u8] {
        let start = self.fields[row.fields] as usize;
        let end = self
            .fields
            .get(row.fields + self.columns.width())
            .map_or(self.data.len(), |end| *end as usize);
        &self.data[start..end]
    }

    /// All rows as a binary COPY, in pieces. `constant` ends each row.
    pub(crate) fn copy<'a>(&'a self, constant: &'a CopyConstant) -> impl Iterator<Item = Bytes> {
        let rows = self.rows.iter().map(|row| self.row_data(row));
        encode::copy(self.columns.width() + 2, &constant.0, rows)
    }

    /// The type in which a column is sent.
    pub(crate) fn wire(&self, column: usize) -> Wire {
        self.columns.encoders[column].wire
    }

    /// A column of the rows in `picks` (their places in the batch), as an array parameter.
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

/// An offset within a batch. It fits, because a batch is sealed long before it reaches 4 GiB.
fn to_u32(offset: usize) -> u32 {
    u32::try_from(offset).unwrap_or(u32::MAX)
}

/// One column of a batch as an array, copied field by field from the encoded rows.
#[derive(Debug)]
pub(crate) struct ColumnArray<'a> {
    batch: &'a Batch,
    column: usize,
    picks: &'a [u32],
    wire: Wire,
}

impl ColumnArray<'_> {
    /// The SQL type of the array.
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
