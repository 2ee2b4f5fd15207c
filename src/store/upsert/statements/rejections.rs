//! The SQL of rejections. Each statement finds what it needs by the keys of the batch, through an index, by the form it
//! is written in: a join of the batch with the open rejections would be left to the planner, which knows nothing of a
//! table that has just been filled.

use super::super::super::quote_table;
use crate::config::plan::Database;

/// Names a list of ids (`g.base`, `g.ids`).
pub(in super::super::super) const DIGEST_OF_IDS: &str =
    "substr(sha256(int8send(g.base) || array_send(g.ids)), 1, 16)";

/// The statements about rejections.
#[derive(Debug)]
pub(in super::super::super) struct RejectionStatements {
    /// Open rejections from one key to another, in order.
    pub(in super::super) scan: String,
    /// Open rejections of some keys.
    pub(in super::super) open_of: String,
    /// Stores explanations that are not known to be stored.
    pub(in super::super) explanations: String,
    /// Stores rejections that are new or have changed.
    pub(in super::super) reject: String,
    /// Adds rejections that are new.
    pub(in super::super) copy: String,
    /// Has any rejection been settled after a moment?
    pub(in super::super) settled_later: String,
    /// Notes that open rejections came again as they are.
    pub(in super::super) seen: String,
    /// When some open rejections came again, as far as that was after a moment.
    pub(in super::super::super) later: String,
    /// Settles the open rejections of some keys.
    pub(in super::super) resolve: String,
}

impl RejectionStatements {
    pub(in super::super::super) fn new(db: &Database) -> Self {
        let rejections = quote_table(&db.log_schema, "sync_rejections");
        let seen = quote_table(&db.log_schema, "sync_rejections_seen");
        let explained = quote_table(&db.log_schema, "sync_explanations");
        let open = format!(
            "SELECT r.key, r.id, r.last_seen, r.digest FROM {rejections} r WHERE r.target = $1 AND r.resolved_at IS NULL"
        );
        Self {
            scan: scan(&open),
            open_of: open_of(&open),
            explanations: explanations(&explained),
            reject: reject(&rejections),
            copy: copy(&rejections),
            settled_later: settled_later(&rejections),
            seen: note(&seen),
            later: later(&seen),
            resolve: resolve(&rejections),
        }
    }
}

/// Open rejections from one key ($2) to another ($3), in order.
fn scan(open: &str) -> String {
    format!(
        "{open} AND r.key COLLATE \"C\" >= $2 AND r.key COLLATE \"C\" <= $3 ORDER BY r.key COLLATE \"C\" LIMIT $4"
    )
}

/// Open rejections of a list of keys.
///
/// LIMIT keeps the lookup what it is: PostgreSQL makes no join of it.
fn open_of(open: &str) -> String {
    format!(
        "SELECT o.* FROM unnest($2::text[]) AS u(key) \
         CROSS JOIN LATERAL ({open} AND r.key = u.key COLLATE \"C\" LIMIT 1) o"
    )
}

/// Stores explanations that are not known to be stored.
///
/// In the order of their ids, so that two writers cannot dead-lock. When it was last used is kept by the hour.
fn explanations(explanations: &str) -> String {
    format!(
        "INSERT INTO {explanations} AS e (id, explanation, used_at) \
         SELECT u.id, u.explanation::json, $3 FROM unnest($1::uuid[], $2::text[]) AS u(id, explanation) ORDER BY 1 \
         ON CONFLICT (id) DO UPDATE SET used_at = EXCLUDED.used_at \
         WHERE e.used_at < EXCLUDED.used_at - interval '1 hour'"
    )
}

/// Stores rejections that are new or have changed.
///
/// A rejection that was settled later stays settled. The common case, that none was, is found out once; coalesce
/// leaves no index but that of the key.
fn reject(rejections: &str) -> String {
    format!(
        "INSERT INTO {rejections} AS r (target, key, record_id, payload, reason, message, errors, rules, \
         explained_by, digest, first_run, last_run, first_seen, last_seen, occurrences) \
         SELECT $1, u.key, u.record_id, u.payload, u.reason, u.message, u.errors::jsonb, u.rules::jsonb, \
         u.explained_by, u.digest, $2, $2, u.seen, u.seen, u.times FROM unnest($3::text[], $4::text[], $5::text[], \
         $6::text[], $7::text[], $8::text[], $9::text[], $10::uuid[], $11::bytea[], $12::timestamptz[], $13::bigint[]) \
         AS u(key, record_id, payload, reason, message, errors, rules, explained_by, digest, seen, times) \
         WHERE (SELECT true FROM {rejections} s WHERE s.resolved_at > $14 LIMIT 1) IS NULL \
         OR (SELECT true FROM {rejections} c WHERE c.target = $1 AND c.key = u.key COLLATE \"C\" \
         AND c.resolved_at IS NOT NULL AND coalesce(c.resolved_at, '-infinity') > u.seen LIMIT 1) IS NULL \
         ON CONFLICT (target, key) WHERE resolved_at IS NULL DO UPDATE SET record_id = EXCLUDED.record_id, \
         payload = EXCLUDED.payload, reason = EXCLUDED.reason, message = EXCLUDED.message, \
         errors = EXCLUDED.errors, rules = EXCLUDED.rules, explanation = NULL, explained_by = EXCLUDED.explained_by, digest = EXCLUDED.digest, \
         last_run = EXCLUDED.last_run, last_seen = EXCLUDED.last_seen, \
         occurrences = r.occurrences + EXCLUDED.occurrences WHERE r.last_seen <= EXCLUDED.last_seen"
    )
}

/// Adds rejections that are new.
fn copy(rejections: &str) -> String {
    format!(
        "COPY {rejections} (target, key, record_id, payload, reason, message, errors, rules, explained_by, digest, \
         first_run, last_run, first_seen, last_seen, occurrences) FROM STDIN (FORMAT binary)"
    )
}

/// Whether any rejection was settled after a moment.
fn settled_later(rejections: &str) -> String {
    format!("SELECT true FROM {rejections} s WHERE s.resolved_at > $1 LIMIT 1")
}

/// Notes that open rejections came again as they are.
fn note(seen: &str) -> String {
    format!(
        "INSERT INTO {seen} AS s (target, digest, low, high, seen, last_run, times, base, ids) \
         SELECT $1, {DIGEST_OF_IDS}, g.low, g.high, g.seen, $2, 1, g.base, g.ids FROM \
         (SELECT u.*, ($3::integer[])[u.first:u.last] AS ids FROM unnest($4::bigint[], $5::integer[], $6::integer[], \
         $7::bigint[], $8::bigint[], $9::timestamptz[]) AS u(base, first, last, low, high, seen)) g ORDER BY 2 \
         ON CONFLICT (target, digest) DO UPDATE SET seen = EXCLUDED.seen, last_run = EXCLUDED.last_run, \
         times = s.times + 1 WHERE s.seen <= EXCLUDED.seen"
    )
}

/// When some open rejections came again, as far as that was after a moment.
///
/// IS TRUE keeps PostgreSQL from making a join of it: the ids that are asked for are hashed once.
fn later(seen: &str) -> String {
    format!(
        "SELECT s.base + x.n, max(s.seen) FROM {seen} s CROSS JOIN LATERAL unnest(s.ids) AS x(n) \
         WHERE s.target = $1 AND s.seen > $2 AND s.low <= $4 AND s.high >= $3 \
         AND (s.base + x.n IN (SELECT unnest($5::bigint[]))) IS TRUE GROUP BY 1"
    )
}

/// Settles the open rejections of a list of keys.
///
/// Of a list of keys PostgreSQL before 17 may make a filter, and read all rejections of the target. So the rows are
/// looked up one by one, and coalesce leaves no index to find them by otherwise.
///
/// A source may send a record twice in every run, first unfit and then fit: of rejections that are alike in all but
/// their times only the last one that was settled stays.
fn resolve(rejections: &str) -> String {
    format!(
        "WITH settled AS MATERIALIZED (UPDATE {rejections} AS r SET resolved_at = $4, resolved_by = $2 WHERE r.ctid = ANY(ARRAY(\
         SELECT o.ctid FROM unnest($3::text[]) AS u(key) CROSS JOIN LATERAL (SELECT r.ctid FROM {rejections} r \
         WHERE r.target = $1 AND r.resolved_at IS NULL AND r.key = u.key COLLATE \"C\" LIMIT 1) o)) \
         AND coalesce(r.resolved_at, 'infinity') = 'infinity' AND r.last_seen <= $4 RETURNING r.key, r.digest, r.id), \
         repeated AS (DELETE FROM {rejections} AS r WHERE r.ctid = ANY(ARRAY(\
         SELECT o.ctid FROM settled s CROSS JOIN LATERAL (SELECT r.ctid FROM {rejections} r \
         WHERE r.target = $1 AND r.key = s.key COLLATE \"C\" AND r.resolved_at IS NOT NULL AND r.id <> s.id \
         AND r.digest = s.digest AND coalesce(r.resolved_at, 'infinity') <= $4 LIMIT 10) o))) \
         SELECT FROM settled"
    )
}
