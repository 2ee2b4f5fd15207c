//! The outbox: the messages that wait to be sent to the API, one per record.
//!
//! A message is entered in the transaction that writes the row, so that both are stored or neither. It is removed only after
//! the API has answered. This file knows neither the API nor the meaning of a message.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use tokio_postgres::types::Type;
use uuid::Uuid;

use super::answer::{count, single, value};
use super::batch::{Batch, clean, rejection_key};
use super::connect::Connection;
use super::encode::Micros;
use super::error::StoreError;
use super::log::target;
use super::quote_table;
use crate::config::plan::{Database, WriteBackOutcome};
use crate::model::record::Message;

/// Builds the message for a record from its JSON text.
#[derive(Clone)]
pub struct MessageBuilder(Arc<dyn Fn(&str) -> Message + Send + Sync>);

impl MessageBuilder {
    /// Wraps the function that builds a message.
    pub fn new(compose: impl Fn(&str) -> Message + Send + Sync + 'static) -> Self {
        Self(Arc::new(compose))
    }
}

impl fmt::Debug for MessageBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MessageBuilder")
    }
}

/// A message in the outbox.
#[derive(Clone, Debug)]
pub struct QueuedMessage {
    pub id: i64,
    /// It changes when the message is replaced by a newer one.
    pub revision: i64,
    pub message: Message,
}

/// Enters messages for rows of a batch, in the batch's transaction.
#[derive(Debug)]
pub(super) struct Outbox {
    pub(super) message_builder: MessageBuilder,
    pub(super) when: Vec<WriteBackOutcome>,
    enter: String,
}

impl Outbox {
    /// The outbox of a run, with its statement.
    pub(super) fn new(db: &Database, message_builder: MessageBuilder) -> Self {
        let enter = format!(
            "INSERT INTO {} AS o (target, key, record_id, if_match, body, version, run_id, owed_at) \
             SELECT $1, u.key, u.record_id, u.if_match, u.body, coalesce(u.version, '-infinity'), $2, $3 \
             FROM unnest($4::text[], $5::text[], $6::text[], $7::text[], $8::timestamptz[]) \
             AS u(key, record_id, if_match, body, version) \
             ON CONFLICT (target, key) DO UPDATE SET record_id = EXCLUDED.record_id, if_match = EXCLUDED.if_match, \
             body = EXCLUDED.body, version = EXCLUDED.version, run_id = EXCLUDED.run_id, owed_at = EXCLUDED.owed_at, \
             revision = o.revision + 1 WHERE o.version <= EXCLUDED.version OR EXCLUDED.version = '-infinity'",
            table(db)
        );
        Self {
            message_builder,
            when: db.write_back.clone(),
            enter,
        }
    }

    /// True if rows with this outcome get a message.
    pub(super) fn wants(&self, outcome: WriteBackOutcome) -> bool {
        self.when.contains(&outcome)
    }

    /// The message for a row, given by its place in the batch.
    pub(super) fn message(&self, batch: &Batch, row: usize) -> Message {
        (self.message_builder.0)(batch.raw(&batch.rows()[row]))
    }

    /// Enters the messages for these rows (indexes into the batch, which is ordered by key).
    pub(super) fn enter(
        &self,
        conn: &mut Connection,
        batch: &Batch,
        mut rows: Vec<usize>,
        (target, run_id, now): (&str, Uuid, Micros),
    ) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        // All runs enter rows in the same order, so that they cannot dead-lock.
        rows.sort_unstable();
        let messages: Vec<Message> = rows.iter().map(|row| self.message(batch, *row)).collect();
        let keys: Vec<_> = rows
            .iter()
            .map(|row| rejection_key(batch.key(&batch.rows()[*row])))
            .collect();
        let ids: Vec<_> = messages.iter().map(|m| clean(&m.record_id)).collect();
        let tags: Vec<_> = messages
            .iter()
            .map(|m| m.if_match.as_deref().map(clean))
            .collect();
        let bodies: Vec<&str> = messages.iter().map(|m| m.body.as_str()).collect();
        let versions: Vec<Option<Micros>> = rows
            .iter()
            .map(|row| batch.rows()[*row].version.map(Micros))
            .collect();
        conn.execute(
            "entering what the API is to be told",
            &self.enter,
            &[
                (&target, Type::TEXT),
                (&run_id, Type::UUID),
                (&now, Type::TIMESTAMPTZ),
                (&keys, Type::TEXT_ARRAY),
                (&ids, Type::TEXT_ARRAY),
                (&tags, Type::TEXT_ARRAY),
                (&bodies, Type::TEXT_ARRAY),
                (&versions, Type::TIMESTAMPTZ_ARRAY),
            ],
        )
        .map(|_entered| ())
    }
}

fn table(db: &Database) -> String {
    quote_table(&db.log_schema, "sync_outbox")
}

/// How many messages wait, and the greatest id among them. With `until`, only messages up to this id count.
pub fn extent(
    conn: &mut Connection,
    db: &Database,
    until: Option<i64>,
) -> Result<(u64, i64), StoreError> {
    const WHAT: &str = "counting what the API is to be told";
    let sql = format!(
        "SELECT count(*), coalesce(max(id), 0) FROM {} WHERE target = $1 AND ($2::bigint IS NULL OR id <= $2)",
        table(db)
    );
    let row = single(conn.query(
        WHAT,
        &sql,
        &[(&target(db), Type::TEXT), (&until, Type::INT8)],
    )?)?;
    Ok((count(&row, 0)?, value(&row, 1, WHAT)?))
}

/// The next messages after one id and up to another, in the order in which they were entered.
pub fn read(
    conn: &mut Connection,
    db: &Database,
    after: i64,
    until: i64,
    limit: i64,
) -> Result<Vec<QueuedMessage>, StoreError> {
    const WHAT: &str = "reading what the API is to be told";
    let sql = format!(
        "SELECT id, revision, record_id, if_match, body FROM {} \
         WHERE target = $1 AND id > $2 AND id <= $3 ORDER BY id LIMIT $4",
        table(db)
    );
    let rows = conn.query(
        WHAT,
        &sql,
        &[
            (&target(db), Type::TEXT),
            (&after, Type::INT8),
            (&until, Type::INT8),
            (&limit, Type::INT8),
        ],
    )?;
    rows.iter()
        .map(|row| {
            Ok(QueuedMessage {
                id: value(row, 0, WHAT)?,
                revision: value(row, 1, WHAT)?,
                message: Message {
                    record_id: value(row, 2, WHAT)?,
                    if_match: value(row, 3, WHAT)?,
                    // The sender knows whether a version is required.
                    no_version: false,
                    body: value(row, 4, WHAT)?,
                },
            })
        })
        .collect()
}

/// Removes answered messages, by id and revision. Returns which were removed: one that was replaced meanwhile stays.
pub fn settle(
    conn: &mut Connection,
    db: &Database,
    answered: &[(i64, i64)],
) -> Result<HashSet<i64>, StoreError> {
    const WHAT: &str = "removing what the API has been told";
    if answered.is_empty() {
        return Ok(HashSet::new());
    }
    let (ids, revisions): (Vec<i64>, Vec<i64>) = answered.iter().copied().unzip();
    let sql = format!(
        "DELETE FROM {} o USING unnest($2::bigint[], $3::bigint[]) AS u(id, revision) \
         WHERE o.target = $1 AND o.id = u.id AND o.revision = u.revision RETURNING o.id",
        table(db)
    );
    let rows = conn.query(
        WHAT,
        &sql,
        &[
            (&target(db), Type::TEXT),
            (&ids, Type::INT8_ARRAY),
            (&revisions, Type::INT8_ARRAY),
        ],
    )?;
    rows.iter().map(|row| value(row, 0, WHAT)).collect()
}
