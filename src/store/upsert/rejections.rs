//! The rejections of a batch: stored in its transaction, and those of earlier runs settled by rows that pass now.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};

use tokio_postgres::types::Type;

use super::super::batch::{Batch, Row, clean, rejection_key};
use super::super::connect::{Connection, Param};
use super::super::encode::Micros;
use super::super::error::{SKIPPED, StoreError};
use super::Writer;
use super::explanations::{self, Explanations, Payload, Texts};
use super::open_rejections::OpenRejections;
use super::statements::RejectionStatements;
use crate::config::plan::KeepPayload;
use crate::model::record::{FieldError, Rejection};
use crate::support::digest::content_hash;

/// Rejections that are stored by one statement, and whose explanations are worked out at once.
pub(super) const PORTION: usize = 640;

pub(super) const STORING: &str = "storing rejections";

/// What is to be done about the rejections of a batch and the open ones that its rows settle.
#[derive(Debug, Default)]
pub(super) struct Filing<'a> {
    /// New, or not what is stored.
    pub(super) write: Vec<Entry<'a>>,
    /// No open rejection has one of their keys.
    pub(super) are_new: bool,
    /// Stored as they are: when their pages were requested, and ids.
    again: Vec<(i64, i64)>,
    /// Keys of rows that pass, by when their pages were requested.
    settled: BTreeMap<i64, Vec<Cow<'a, str>>>,
}

/// The latest rejection of one key.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    pub(super) key: Cow<'a, str>,
    pub(super) rejection: &'a Rejection,
    pub(super) digest: [u8; 16],
    /// How many of the batch it stands for.
    pub(super) times: i64,
}

impl Writer {
    /// The batch's rejections and those made of rows the database refused.
    pub(super) fn rejections_with<'a>(
        batch: &'a Batch,
        refused: &[(usize, StoreError)],
    ) -> Vec<Cow<'a, Rejection>> {
        let mut all: Vec<Cow<'a, Rejection>> =
            batch.rejections().iter().map(Cow::Borrowed).collect();
        all.extend(refused.iter().map(|(index, error)| {
            let row = &batch.rows()[*index];
            Cow::Owned(refusal(batch, row, error))
        }));
        all
    }

    /// Finds out what is to be written. What is stored as it is, or was seen later than this batch, is not.
    pub(super) fn filing<'a>(
        &self,
        conn: &mut Connection,
        batch: &'a Batch,
        rejections: &'a [Cow<'_, Rejection>],
        refused: &[(usize, StoreError)],
        open_rejections: &OpenRejections,
    ) -> Result<Filing<'a>, StoreError> {
        let mut filing = Filing::default();
        if rejections.is_empty() && open_rejections.is_empty() {
            return Ok(filing);
        }
        // What changes an open rejection must not be older than when that was last seen.
        let mut changes: Vec<(i64, i64)> = Vec::new();
        let mut entries = latest_of_each_key(rejections, &self.config_hash, self.keep_payload);
        entries.retain(|entry| {
            let seen = entry.rejection.requested_at;
            let Some(open) = open_rejections.get(&entry.key) else {
                return true;
            };
            if open.last_seen > seen {
                return false;
            }
            if open.digest != Some(entry.digest) {
                changes.push((open.id, seen));
                return true;
            }
            for _ in 0..entry.times {
                filing.again.push((seen, open.id));
            }
            false
        });
        let refused: HashSet<usize> = refused.iter().map(|(index, _)| *index).collect();
        let mut settled = Vec::new();
        for (index, row) in batch.rows().iter().enumerate() {
            if !row.resolves || refused.contains(&index) {
                continue;
            }
            let key = rejection_key(batch.key(row));
            let open = open_rejections
                .get(&key)
                .filter(|open| open.last_seen <= row.requested_at);
            changes.extend(open.map(|open| (open.id, row.requested_at)));
            // A record rejected and passed within this very batch has its rejection stored a moment before.
            if open.is_some() || row.rejected_before {
                settled.push((key, row.requested_at));
            }
        }
        let later = seen_again(
            conn,
            &self.statements.rejections.later,
            &self.target,
            &changes,
        )?;
        let stands = |key: &str, seen: i64| {
            let open = open_rejections.get(key);
            let later = open.and_then(|open| later.get(&open.id));
            later.is_some_and(|later| *later > seen)
        };
        entries.retain(|entry| !stands(&entry.key, entry.rejection.requested_at));
        filing.are_new = entries
            .iter()
            .all(|entry| open_rejections.get(&entry.key).is_none());
        filing.write = entries;
        for (key, seen) in settled {
            if !stands(&key, seen) {
                filing.settled.entry(seen).or_default().push(key);
            }
        }
        Ok(filing)
    }

    /// Stores what is to be stored; the number of open rejections that were settled. Explanations are worked out in
    /// portions, so that memory does not depend on how many there are.
    pub(super) fn file(
        &self,
        conn: &mut Connection,
        filing: &Filing<'_>,
        explanations: &mut Explanations,
        texts: Texts<'_>,
    ) -> Result<u64, StoreError> {
        let statements = &self.statements.rejections;
        let now = self.now();
        let mut explained_by = |rejection: &Rejection, new: &mut explanations::New| {
            explanations.of(rejection, &self.config_hash, texts.explain, new)
        };
        let mut last = Columns::default();
        if self.can_copy(conn, filing)? {
            self.copy_new(conn, &filing.write, texts.payload, &mut explained_by)?;
        } else {
            for portion in filing.write.chunks(PORTION) {
                if !last.is_empty() {
                    let work = last.work(statements, &self.target, &self.run_id, &now);
                    conn.execute_together(STORING, &work)?;
                }
                last = Columns::of(portion, texts.payload, &mut explained_by);
            }
        }
        let mut work = Vec::new();
        if !last.is_empty() {
            work = last.work(statements, &self.target, &self.run_id, &now);
        }
        let again = SeenAgain::of(&filing.again);
        if !again.ids.is_empty() {
            work.push((&statements.seen, again.params(&self.target, &self.run_id)));
        }
        let stored = work.len();
        let settled: Vec<(Micros, &Vec<Cow<'_, str>>)> = filing
            .settled
            .iter()
            .map(|(seen, keys)| (Micros(*seen), keys))
            .collect();
        for (seen, keys) in &settled {
            let params: Vec<Param<'_>> = vec![
                (&self.target, Type::TEXT),
                (&self.run_id, Type::UUID),
                (*keys, Type::TEXT_ARRAY),
                (seen, Type::TIMESTAMPTZ),
            ];
            work.push((&statements.resolve, params));
        }
        if work.is_empty() {
            return Ok(0);
        }
        let done = conn.execute_together(STORING, &work)?;
        Ok(done.into_iter().skip(stored).sum())
    }
}

/// The ids of the rules that fired, as a JSON array.
pub(super) fn rules_json(rejection: &Rejection) -> String {
    let rules: Vec<_> = rejection.rules.iter().map(|rule| clean(rule)).collect();
    serde_json::json!(rules).to_string()
}

/// When open rejections came again as they are stored, as far as that was after a moment that is asked about: ids and
/// moments, and of the answer ids and the last time.
pub(in super::super) fn seen_again(
    conn: &mut Connection,
    sql: &str,
    target: &String,
    about: &[(i64, i64)],
) -> Result<HashMap<i64, i64>, StoreError> {
    const WHAT: &str = "looking when rejections came again";
    let ids: Vec<i64> = about.iter().map(|(id, _)| *id).collect();
    let since = about.iter().map(|(_, seen)| *seen).min();
    let (Some(since), Some(low), Some(high)) = (since, ids.iter().min(), ids.iter().max()) else {
        return Ok(HashMap::new());
    };
    let params: [Param<'_>; 5] = [
        (target, Type::TEXT),
        (&Micros(since), Type::TIMESTAMPTZ),
        (low, Type::INT8),
        (high, Type::INT8),
        (&ids, Type::INT8_ARRAY),
    ];
    let unreadable = |error: tokio_postgres::Error| StoreError::from_driver(WHAT, &error);
    conn.query(WHAT, sql, &params)?
        .iter()
        .map(|row| {
            let seen: Micros = row.try_get(1).map_err(unreadable)?;
            Ok((row.try_get(0).map_err(unreadable)?, seen.0))
        })
        .collect()
}

/// A key once in a statement: the latest rejection stands for all, which are counted. In the order of their keys.
fn latest_of_each_key<'a>(
    rejections: &'a [Cow<'_, Rejection>],
    config_hash: &str,
    kept: KeepPayload,
) -> Vec<Entry<'a>> {
    let keys = rejections
        .iter()
        .map(|rejection| rejection_key(&rejection.key));
    let mut sorted: Vec<(Cow<'a, str>, &'a Rejection)> =
        keys.zip(rejections.iter().map(AsRef::as_ref)).collect();
    sorted.sort_by(|(a, earlier), (b, later)| {
        let when = |rejection: &Rejection| (rejection.requested_at, rejection.sequence);
        a.cmp(b).then(when(earlier).cmp(&when(later)))
    });
    let mut buffer = Vec::new();
    let mut entries: Vec<Entry<'a>> = Vec::with_capacity(sorted.len());
    let mut sorted = sorted.into_iter().peekable();
    let mut times = 0;
    while let Some((key, rejection)) = sorted.next() {
        times += 1;
        // The last of those with the same key is the latest.
        if sorted.peek().is_some_and(|(next, _)| *next == key) {
            continue;
        }
        entries.push(Entry {
            key,
            rejection,
            digest: digest(rejection, config_hash, kept, &mut buffer),
            times: std::mem::take(&mut times),
        });
    }
    entries
}

/// Of everything that is stored of a rejection but its times: equal digests, equal content. `buffer` is room to work in.
fn digest(
    rejection: &Rejection,
    config_hash: &str,
    kept: KeepPayload,
    buffer: &mut Vec<u8>,
) -> [u8; 16] {
    buffer.clear();
    // Lengths keep the parts apart, and nothing from an empty text.
    let mut part = |text: Option<&str>| {
        let length = text.map_or(u64::MAX, |text| text.len() as u64);
        buffer.extend(length.to_be_bytes());
        buffer.extend(text.unwrap_or_default().as_bytes());
    };
    part(rejection.record_id());
    part(Some(&rejection.payload));
    part(Some(rejection.reason));
    part(Some(&rejection.message));
    // How a decision came about depends on the payload and the rules.
    part(rejection.decided_on.map(|_| config_hash));
    for error in &rejection.errors {
        part(Some(&error.field));
        part(Some(&error.expected));
        part(Some(&error.problem));
    }
    part(None);
    for rule in &rejection.rules {
        part(Some(rule));
    }
    // Another form of the payload is stored anew.
    if kept != KeepPayload::Full {
        part(Some(kept.as_str()));
    }
    content_hash(buffer)
}

/// Open rejections that came again as they are stored, page by page, as the parameters of their statement.
#[derive(Debug, Default)]
struct SeenAgain {
    /// Of each page: a number that no id of the page is below.
    bases: Vec<i64>,
    /// The ids of all pages, page after page, each less the base of its page.
    ids: Vec<i32>,
    /// Of each page: the places in `ids` of its first and its last id, from 1.
    first: Vec<i32>,
    last: Vec<i32>,
    low: Vec<i64>,
    high: Vec<i64>,
    seen: Vec<Micros>,
}

/// Ids are stored as 32-bit numbers above a multiple of this.
const BASE_BITS: u32 = 31;

impl SeenAgain {
    /// `again`: when a page was requested, and the id of a rejection in it.
    fn of(again: &[(i64, i64)]) -> Self {
        let mut again = again.to_vec();
        again.sort_unstable();
        let page = |(seen, id): &(i64, i64)| (*seen, id >> BASE_BITS);
        let mut pages = Self::default();
        for same in again.chunk_by(|a, b| page(a) == page(b)) {
            let (Some((seen, low)), Some((_, high))) = (same.first(), same.last()) else {
                continue;
            };
            let base = (low >> BASE_BITS) << BASE_BITS;
            pages.bases.push(base);
            pages.first.push(place(pages.ids.len() + 1));
            let ids = same
                .iter()
                .map(|(_, id)| i32::try_from(id - base).unwrap_or(i32::MAX));
            pages.ids.extend(ids);
            pages.last.push(place(pages.ids.len()));
            pages.low.push(*low);
            pages.high.push(*high);
            pages.seen.push(Micros(*seen));
        }
        pages
    }

    fn params<'b>(&'b self, target: &'b String, run_id: &'b uuid::Uuid) -> Vec<Param<'b>> {
        vec![
            (target, Type::TEXT),
            (run_id, Type::UUID),
            (&self.ids, Type::INT4_ARRAY),
            (&self.bases, Type::INT8_ARRAY),
            (&self.first, Type::INT4_ARRAY),
            (&self.last, Type::INT4_ARRAY),
            (&self.low, Type::INT8_ARRAY),
            (&self.high, Type::INT8_ARRAY),
            (&self.seen, Type::TIMESTAMPTZ_ARRAY),
        ]
    }
}

/// PostgreSQL counts places of an array in 32 bits; a batch is far smaller.
fn place(index: usize) -> i32 {
    i32::try_from(index).unwrap_or(i32::MAX)
}

/// Rejections as the parameters of their statement.
#[derive(Debug, Default)]
struct Columns<'a> {
    keys: Vec<&'a str>,
    ids: Vec<Option<Cow<'a, str>>>,
    payloads: Vec<Cow<'a, str>>,
    reasons: Vec<&'static str>,
    messages: Vec<Cow<'a, str>>,
    errors: Vec<String>,
    rules: Vec<String>,
    explanations: Vec<Option<uuid::Uuid>>,
    new_explanations: explanations::New,
    digests: Vec<&'a [u8]>,
    seen: Vec<Micros>,
    times: Vec<i64>,
    first_seen: Micros,
}

impl<'a> Columns<'a> {
    fn of(
        entries: &'a [Entry<'a>],
        payload: Option<&Payload<'_>>,
        explained_by: &mut dyn FnMut(&Rejection, &mut explanations::New) -> Option<uuid::Uuid>,
    ) -> Self {
        let mut columns = Self {
            first_seen: Micros(i64::MAX),
            ..Self::default()
        };
        for entry in entries {
            let rejection = entry.rejection;
            columns.keys.push(entry.key.as_ref());
            columns.ids.push(rejection.record_id().map(clean));
            columns.payloads.push(payload.map_or_else(
                || Cow::Borrowed(&*rejection.payload),
                |payload| Cow::Owned(payload(rejection)),
            ));
            columns.reasons.push(rejection.reason);
            columns.messages.push(clean(&rejection.message));
            columns.errors.push(errors_json(&rejection.errors));
            columns.rules.push(rules_json(rejection));
            let explained_by = explained_by(rejection, &mut columns.new_explanations);
            columns.explanations.push(explained_by);
            columns.digests.push(&entry.digest);
            columns.seen.push(Micros(rejection.requested_at));
            columns.times.push(entry.times);
            columns.first_seen.0 = columns.first_seen.0.min(rejection.requested_at);
        }
        columns
    }

    const fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The statements that store them, with their parameters.
    fn work<'b>(
        &'b self,
        statements: &'b RejectionStatements,
        target: &'b String,
        run_id: &'b uuid::Uuid,
        now: &'b Micros,
    ) -> Vec<(&'b str, Vec<Param<'b>>)> {
        let mut work: Vec<(&str, Vec<Param<'_>>)> = Vec::new();
        if !self.new_explanations.is_empty() {
            work.push((&statements.explanations, self.new_explanations.params(now)));
        }
        work.push((&statements.reject, self.params(target, run_id)));
        work
    }

    fn params<'b>(&'b self, target: &'b String, run_id: &'b uuid::Uuid) -> Vec<Param<'b>> {
        vec![
            (target, Type::TEXT),
            (run_id, Type::UUID),
            (&self.keys, Type::TEXT_ARRAY),
            (&self.ids, Type::TEXT_ARRAY),
            (&self.payloads, Type::TEXT_ARRAY),
            (&self.reasons, Type::TEXT_ARRAY),
            (&self.messages, Type::TEXT_ARRAY),
            (&self.errors, Type::TEXT_ARRAY),
            (&self.rules, Type::TEXT_ARRAY),
            (&self.explanations, Type::UUID_ARRAY),
            (&self.digests, Type::BYTEA_ARRAY),
            (&self.seen, Type::TIMESTAMPTZ_ARRAY),
            (&self.times, Type::INT8_ARRAY),
            (&self.first_seen, Type::TIMESTAMPTZ),
        ]
    }
}

/// Why a row that PostgreSQL did not take is rejected.
pub(super) fn reason(error: &StoreError) -> &'static str {
    if error.kind() == SKIPPED {
        SKIPPED
    } else {
        "database"
    }
}

/// The rejection of a row that PostgreSQL refused.
fn refusal(batch: &Batch, row: &Row, error: &StoreError) -> Rejection {
    let field = error.column().map(|column| {
        batch
            .columns()
            .mapped
            .iter()
            .find(|stored| stored.column == column)
            .map_or_else(|| column.to_owned(), |stored| stored.name.clone())
    });
    let key = batch.key(row);
    Rejection {
        key: key.to_owned(),
        has_id: true,
        payload: batch.raw(row).to_owned().into(),
        reason: reason(error),
        message: error.to_string(),
        loggable: true,
        errors: field
            .map(|field| FieldError {
                field: Cow::Owned(field),
                expected: Cow::Borrowed("a value the column accepts"),
                problem: Cow::Owned(format!(
                    "refused by the database (SQLSTATE {})",
                    error.sqlstate().unwrap_or("unknown")
                )),
            })
            .into_iter()
            .collect(),
        rules: Vec::new(),
        decided_on: None,
        requested_at: row.requested_at,
        sequence: row.sequence,
    }
}

pub(super) fn errors_json(errors: &[FieldError]) -> String {
    let errors: Vec<_> = errors
        .iter()
        .map(|e| {
            serde_json::json!({
                "field": clean(&e.field), "expected": clean(&e.expected), "problem": clean(&e.problem)
            })
        })
        .collect();
    serde_json::Value::Array(errors).to_string()
}
