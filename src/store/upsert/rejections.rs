//! The rejections of a batch: stored in its transaction, and those of earlier runs settled by rows that pass now.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use tokio_postgres::types::Type;

use super::super::batch::{Batch, Row, rejection_key};
use super::super::connect::Connection;
use super::super::encode::Micros;
use super::super::error::StoreError;
use super::{Writer, text};
use crate::record::{FieldError, Rejection};

/// So many open rejections are remembered by key; with more, every row asks.
pub(super) const REMEMBERED_KEYS: usize = 10_000;

#[derive(Debug)]
pub(super) enum OpenKeys {
    These(HashSet<u64>),
    TooMany,
}

pub(super) fn hash(key: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
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

    pub(super) fn store_rejections(
        &self,
        conn: &mut Connection,
        rejections: &[Cow<'_, Rejection>],
    ) -> Result<(), StoreError> {
        if rejections.is_empty() {
            return Ok(());
        }
        // A key once in a statement: the latest stands for all, which are counted.
        let mut latest: HashMap<Cow<'_, str>, (&Rejection, i64)> = HashMap::new();
        for rejection in rejections {
            let entry = latest
                .entry(rejection_key(&rejection.key))
                .or_insert((rejection, 0));
            entry.1 += 1;
            if (entry.0.requested_at, entry.0.sequence)
                <= (rejection.requested_at, rejection.sequence)
            {
                entry.0 = rejection;
            }
        }
        let mut entries: Vec<_> = latest.into_iter().collect();
        entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let keys: Vec<&str> = entries.iter().map(|e| e.0.as_ref()).collect();
        let each = |of: fn(&Rejection) -> Cow<'_, str>| -> Vec<String> {
            entries.iter().map(|e| of(e.1.0).into_owned()).collect()
        };
        let ids: Vec<Option<Cow<'_, str>>> = entries
            .iter()
            .map(|e| e.1.0.record_id.as_deref().map(clean))
            .collect();
        let payloads: Vec<&str> = entries.iter().map(|e| e.1.0.payload.as_str()).collect();
        let reasons = each(|r| clean(&r.reason));
        let messages = each(|r| clean(&r.message));
        let errors = each(|r| Cow::Owned(errors_json(&r.errors)));
        let rules = each(|r| {
            let rules: Vec<_> = r.rules.iter().map(|rule| clean(rule)).collect();
            Cow::Owned(serde_json::json!(rules).to_string())
        });
        let explanations: Vec<Option<&str>> = entries
            .iter()
            .map(|e| e.1.0.explanation.as_deref())
            .collect();
        let seen: Vec<Micros> = entries.iter().map(|e| Micros(e.1.0.requested_at)).collect();
        let times: Vec<i64> = entries.iter().map(|e| e.1.1).collect();
        conn.execute(
            "storing rejections",
            &self.statements.reject,
            &[
                (&self.target, Type::TEXT),
                (&self.run_id, Type::UUID),
                (&keys, Type::TEXT_ARRAY),
                (&ids, Type::TEXT_ARRAY),
                (&payloads, Type::TEXT_ARRAY),
                (&reasons, Type::TEXT_ARRAY),
                (&messages, Type::TEXT_ARRAY),
                (&errors, Type::TEXT_ARRAY),
                (&rules, Type::TEXT_ARRAY),
                (&explanations, Type::TEXT_ARRAY),
                (&seen, Type::TIMESTAMPTZ_ARRAY),
                (&times, Type::INT8_ARRAY),
            ],
        )
        .map(|_stored| ())
    }

    /// Settles earlier rejections of records that passed now. Costs a statement only where there may be some.
    pub(super) fn resolve(
        &mut self,
        conn: &mut Connection,
        batch: &Batch,
        refused: &[(usize, StoreError)],
    ) -> Result<u64, StoreError> {
        const WHAT: &str = "resolving earlier rejections";
        if batch.rows().is_empty() {
            return Ok(0);
        }
        if self.open.is_none() {
            let rows = conn.query(
                WHAT,
                &self.statements.open_keys,
                &[(&self.target, Type::TEXT)],
            )?;
            self.open = Some(if rows.len() > REMEMBERED_KEYS {
                OpenKeys::TooMany
            } else {
                let mut keys = HashSet::with_capacity(rows.len());
                for row in &rows {
                    keys.insert(hash(text(row, 0)?));
                }
                OpenKeys::These(keys)
            });
        }
        // A record rejected and passed within this very batch has its rejection stored a moment ago.
        let own: HashSet<u64> = batch
            .rejections()
            .iter()
            .map(|r| hash(&rejection_key(&r.key)))
            .collect();
        let refused: HashSet<usize> = refused.iter().map(|(index, _)| *index).collect();
        let (keys, seen): (Vec<Cow<'_, str>>, Vec<Micros>) = batch
            .rows()
            .iter()
            .enumerate()
            .filter(|(index, row)| row.resolves && !refused.contains(index))
            .map(|(_, row)| (rejection_key(batch.key(row)), Micros(row.requested_at)))
            .filter(|(key, _)| match &self.open {
                Some(OpenKeys::These(open)) => {
                    let key = hash(key);
                    open.contains(&key) || own.contains(&key)
                }
                _ => true,
            })
            .unzip();
        if keys.is_empty() {
            return Ok(0);
        }
        conn.execute(
            WHAT,
            &self.statements.resolve,
            &[
                (&self.target, Type::TEXT),
                (&self.run_id, Type::UUID),
                (&keys, Type::TEXT_ARRAY),
                (&seen, Type::TIMESTAMPTZ_ARRAY),
            ],
        )
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
        record_id: Some(key.to_owned()),
        payload: batch.raw(row).to_owned(),
        reason: "database".to_owned(),
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
        explanation: None,
        requested_at: row.requested_at,
        sequence: row.sequence,
    }
}

/// PostgreSQL's text has no NUL.
pub(in super::super) fn clean(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

fn errors_json(errors: &[FieldError]) -> String {
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
