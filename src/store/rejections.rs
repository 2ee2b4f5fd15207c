//! Open rejections outside the write path: reads them back to be decided again, and deletes superfluous notes about them.

use std::time::Duration;

use tokio_postgres::types::Type;
use uuid::Uuid;

use super::answer::{signed, value};
use super::connect::Connection;
use super::encode::Micros;
use super::error::StoreError;
use super::log::target;
use super::quote_table;
use super::upsert::{DIGEST_OF_IDS, RejectionStatements, seen_again};
use crate::config::plan::Database;
use crate::model::record::MASKED;

/// An open rejection, with the record as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenRejection {
    pub key: String,
    /// The raw JSON text.
    pub payload: String,
    /// When its page was requested, by PostgreSQL's clock: microseconds since 1970-01-01T00:00:00Z.
    pub last_seen: i64,
}

/// The statement that lists what a run rejected, for a person to type.
pub fn query_of(db: &Database, run_id: uuid::Uuid) -> String {
    format!(
        "SELECT key, reason, message FROM {} WHERE last_run = '{run_id}'",
        quote_table(&db.log_schema, "sync_rejections_now")
    )
}

/// Most bytes of payload that are read at a time. A longer rejection is read alone.
const BYTES_AT_ONCE: i64 = 4 << 20;

/// Up to `count` open rejections with payload whose keys are greater than `after`, ordered by key, within the limit of bytes.
pub fn open(
    connection: &mut Connection,
    db: &Database,
    after: &str,
    count: u64,
) -> Result<Vec<OpenRejection>, StoreError> {
    const WHAT: &str = "reading the stored rejections";
    let sql = format!(
        "SELECT key, payload, last_seen, id FROM (\
         SELECT n.*, sum(octet_length(payload)) OVER (ORDER BY key COLLATE \"C\") - octet_length(payload) AS before FROM (\
         SELECT key, payload, last_seen, id FROM {} WHERE target = $1 AND resolved_at IS NULL AND key COLLATE \"C\" > $2 \
         AND payload <> '' AND NOT starts_with(payload, '{MASKED}') ORDER BY key COLLATE \"C\" LIMIT $3) n) w WHERE before < $4 ORDER BY key COLLATE \"C\"",
        quote_table(&db.log_schema, "sync_rejections")
    );
    let target = target(db);
    let mut ids = Vec::new();
    let mut found: Vec<OpenRejection> = connection
        .query(
            WHAT,
            &sql,
            &[
                (&target, Type::TEXT),
                (&after, Type::TEXT),
                (&signed(count), Type::INT8),
                (&BYTES_AT_ONCE, Type::INT8),
            ],
        )?
        .iter()
        .map(|row| {
            let last_seen = value::<Micros>(row, 2, WHAT)?.0;
            ids.push((value(row, 3, WHAT)?, last_seen));
            Ok(OpenRejection {
                key: value(row, 0, WHAT)?,
                payload: value(row, 1, WHAT)?,
                last_seen,
            })
        })
        .collect::<Result<_, StoreError>>()?;
    let later = RejectionStatements::new(db).later;
    let later = seen_again(connection, &later, &target, &ids)?;
    for (open, (id, _)) in found.iter_mut().zip(&ids) {
        open.last_seen = later
            .get(id)
            .map_or(open.last_seen, |seen| open.last_seen.max(*seen));
    }
    Ok(found)
}

/// How many open rejections without an id may stay although a run has not seen their records.
const UNSEEN_WITHOUT_ID: i64 = 10_000;

/// A record without an id is identified only by its text. If that changes, the old rejection would stay open for ever. So
/// where more than 10,000 of them were not seen by this run, the oldest are closed. Returns how many.
pub fn close_oldest_without_id(
    connection: &mut Connection,
    db: &Database,
    run_id: Uuid,
) -> Result<u64, StoreError> {
    const WHAT: &str = "closing old rejections of records without an id";
    let (table, now) = (
        quote_table(&db.log_schema, "sync_rejections"),
        quote_table(&db.log_schema, "sync_rejections_now"),
    );
    // Their keys are hashes with a common prefix, so the index of open rejections has them together.
    let without_id = "target = $1 AND resolved_at IS NULL AND record_id IS NULL \
         AND key COLLATE \"C\" >= 'sha256:' AND key COLLATE \"C\" < 'sha256;'";
    let many = format!("SELECT 1 FROM {table} WHERE {without_id} OFFSET $2 LIMIT 1");
    let target = target(db);
    let rows = connection.query(
        WHAT,
        &many,
        &[(&target, Type::TEXT), (&UNSEEN_WITHOUT_ID, Type::INT8)],
    )?;
    if rows.is_empty() {
        return Ok(0);
    }
    let close = format!(
        "UPDATE {table} SET resolved_at = clock_timestamp() WHERE target = $1 AND resolved_at IS NULL AND id IN \
         (SELECT id FROM {now} WHERE {without_id} AND last_run <> $2 ORDER BY last_seen DESC, id DESC OFFSET $3)"
    );
    connection.execute(
        WHAT,
        &close,
        &[
            (&target, Type::TEXT),
            (&run_id, Type::UUID),
            (&UNSEEN_WITHOUT_ID, Type::INT8),
        ],
    )
}

/// Deletes notes of earlier runs about open rejections that this run has seen again: its own notes replace them.
pub fn drop_repeated_notes(
    connection: &mut Connection,
    db: &Database,
    run_id: Uuid,
) -> Result<u64, StoreError> {
    let seen = quote_table(&db.log_schema, "sync_rejections_seen");
    // PostgreSQL hashes the IN below IS TRUE once, and never turns it into a join.
    let sql = format!(
        "WITH own AS MATERIALIZED (SELECT s.base + x.n AS id FROM {seen} s CROSS JOIN LATERAL unnest(s.ids) AS x(n) \
         WHERE s.target = $1 AND s.last_run = $2), \
         rest AS MATERIALIZED (SELECT s.digest, \
         array_agg(x.n ORDER BY x.n) FILTER (WHERE (s.base + x.n IN (SELECT id FROM own)) IS NOT TRUE) AS ids \
         FROM {seen} s CROSS JOIN LATERAL unnest(s.ids) AS x(n) WHERE s.target = $1 AND s.last_run <> $2 \
         AND s.seen <= (SELECT min(m.seen) FROM {seen} m WHERE m.target = $1 AND m.last_run = $2) \
         GROUP BY 1 HAVING bool_or((s.base + x.n IN (SELECT id FROM own)) IS TRUE)), \
         deleted AS (DELETE FROM {seen} s USING rest WHERE s.target = $1 AND s.digest = rest.digest \
         RETURNING s.digest, s.seen, s.last_run, s.times, s.base) \
         INSERT INTO {seen} (target, digest, low, high, seen, last_run, times, base, ids) \
         SELECT $1, {DIGEST_OF_IDS}, g.base + g.ids[1], g.base + g.ids[cardinality(g.ids)], g.seen, g.last_run, g.times, \
         g.base, g.ids FROM (SELECT deleted.*, rest.ids FROM deleted JOIN rest ON rest.digest = deleted.digest \
         WHERE rest.ids IS NOT NULL) g ON CONFLICT (target, digest) DO NOTHING"
    );
    connection.execute(
        "dropping what is noted twice of rejections",
        &sql,
        &[(&target(db), Type::TEXT), (&run_id, Type::UUID)],
    )
}

/// Deletes open rejections whose record was last seen before the retention, by a scan: an index on when each was last seen
/// would slow down every write of a rejection. Returns how many.
pub fn delete_expired(
    connection: &mut Connection,
    db: &Database,
    retention: Duration,
) -> Result<u64, StoreError> {
    let (rejections, seen) = (
        quote_table(&db.log_schema, "sync_rejections"),
        quote_table(&db.log_schema, "sync_rejections_seen"),
    );
    let sql = format!(
        "WITH old AS MATERIALIZED (SELECT r.id FROM {rejections} r WHERE r.target = $1 AND r.resolved_at IS NULL \
         AND r.last_seen < now() - make_interval(secs => $2::bigint)), \
         again AS MATERIALIZED (SELECT s.base + x.n AS id FROM {seen} s CROSS JOIN LATERAL unnest(s.ids) AS x(n) \
         WHERE s.target = $1 AND s.seen >= now() - make_interval(secs => $2::bigint)) \
         DELETE FROM {rejections} r USING old WHERE r.id = old.id AND r.resolved_at IS NULL \
         AND r.last_seen < now() - make_interval(secs => $2::bigint) \
         AND (old.id IN (SELECT id FROM again)) IS NOT TRUE"
    );
    connection.execute(
        "deleting open rejections that were last seen long ago",
        &sql,
        &[
            (&target(db), Type::TEXT),
            (&signed(retention.as_secs()), Type::INT8),
        ],
    )
}
