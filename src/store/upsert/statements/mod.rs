//! The SQL of the write path, built once for a table. Everything that is counted is counted by these statements.

mod list;
mod parts;
mod rejections;

use tokio_postgres::types::Type;

use super::super::quote_table;
use super::super::schema::Layout;
use crate::config::plan::Database;
pub use list::{Listed, list};
use parts::Parts;
pub(in super::super) use rejections::{DIGEST_OF_IDS, RejectionStatements};

/// The statements for one table.
#[derive(Debug)]
pub(super) struct Statements {
    /// None if a column does not take values in the form in which they are sent.
    pub(super) copy: Option<String>,
    /// Reads stored rows. None if they cannot be compared with what is sent.
    pub(super) index_scan: Option<IndexScan>,
    pub(super) all_new: String,
    pub(super) differing: String,
    pub(super) superseded: String,
    /// Lock the stored rows of some keys, in the order of the keys and in the opposite order.
    pub(super) lock_ascending: String,
    pub(super) lock_descending: String,
    pub(super) compare: String,
    pub(super) differences: String,
    /// Rows that are not stored yet, in the form of `differences`.
    pub(super) new_rows: String,
    pub(super) upsert_and_enqueue: String,
    pub(super) rows_by_outcome: String,
    /// Finds rows that are not stored as they were sent.
    pub(super) skipped: String,
    /// Writes rows even if nothing changes, and returns which of them the table accepts. It has to be rolled back.
    pub(super) unguarded: String,
    /// Convert a value as for its column, by the column's place. Only for columns where the conversion can fail.
    pub(super) conversions: Vec<(usize, String)>,
    pub(super) rejections: RejectionStatements,
    pub(super) log: String,
    /// The type in which keys are sent.
    pub(super) key_type: Type,
}

/// Reads the rows between two keys, in order and with every written column, by COPY: the cheapest way for both sides.
#[derive(Debug)]
pub(super) struct IndexScan {
    /// Stores the two keys in settings of the transaction, because COPY takes no parameters.
    pub(super) between: String,
    copy: String,
}

impl IndexScan {
    fn new(parts: &Parts<'_>) -> Self {
        let column = parts.key_column();
        let (not_before, not_after) = (column.operator(">="), column.operator("<="));
        let (key, cast) = (&parts.key, &column.cast);
        let (columns, stored) = (parts.columns(), &parts.layout.stored);
        Self {
            between: format!(
                "SELECT set_config('datasync.first', $1::{cast}::text, true), set_config('datasync.last', $2::{cast}::text, true)"
            ),
            copy: format!(
                "COPY (SELECT {columns} FROM {stored} WHERE {key} {not_before} current_setting('datasync.first')::{cast} \
                 AND {key} {not_after} current_setting('datasync.last')::{cast} ORDER BY {key} LIMIT "
            ),
        }
    }

    /// The statement that reads at most `limit` rows.
    pub(super) fn copy(&self, limit: usize) -> String {
        format!("{}{limit}) TO STDOUT (FORMAT binary)", self.copy)
    }
}

impl Statements {
    /// Builds all statements for a table.
    pub(super) fn new(db: &Database, layout: &Layout) -> Self {
        let parts = Parts::new(db, layout);
        let is_copied =
            !layout.distributed && layout.columns.iter().all(|column| column.takes_wire);
        Self {
            copy: is_copied.then(|| copy(&parts)),
            index_scan: is_copied.then(|| IndexScan::new(&parts)),
            all_new: all_new(&parts),
            differing: if layout.has_system_columns {
                differing(&parts)
            } else {
                differing_by_key(&parts)
            },
            superseded: superseded(&parts),
            lock_ascending: lock(&parts, "ASC"),
            lock_descending: lock(&parts, "DESC"),
            compare: compare(&parts),
            differences: differences(&parts),
            new_rows: new_rows(&parts),
            upsert_and_enqueue: upsert_and_enqueue(&parts),
            rows_by_outcome: rows_by_outcome(&parts),
            skipped: skipped(&parts),
            unguarded: unguarded(&parts),
            conversions: conversions(layout),
            rejections: RejectionStatements::new(db),
            log: batch_log(db),
            key_type: parts.key_column().wire().element(),
        }
    }
}

fn copy(parts: &Parts<'_>) -> String {
    format!(
        "COPY {} {} FROM STDIN (FORMAT binary)",
        parts.table,
        parts.written()
    )
}

/// Inserts the rows whose keys are new, and skips the others.
fn all_new(parts: &Parts<'_>) -> String {
    let (insert_into, values, run_and_now) =
        (parts.insert_into(), parts.converted(), parts.run_and_now());
    let (sent, key) = (parts.sent(), &parts.key);
    format!(
        "{insert_into} SELECT {values}, {run_and_now} FROM {sent} ON CONFLICT ({key}) DO NOTHING"
    )
}

/// Writes the rows that are new or differ, and counts those inserted, updated, unchanged and superseded.
fn differing(parts: &Parts<'_>) -> String {
    let Parts { key, equals, .. } = parts;
    let (known, known_rows) = parts.known_rows();
    let (values, sent, inputs) = (parts.converted_as_inputs(), parts.sent(), parts.inputs());
    let (sent_key, newer) = (parts.sent_key(), parts.is_newer_than_sent());
    let differs = parts.differs_from_sent();
    let (insert_into, run_and_now) = (parts.insert_into(), parts.run_and_now());
    let (on_conflict, number_sent) = (parts.on_conflict_update(), parts.number_sent());
    format!(
        "WITH {known}moved AS MATERIALIZED (SELECT {values}, {newer} AS late \
         FROM {sent} LEFT JOIN {known_rows} t ON t.{key} {equals} {sent_key} \
         WHERE t.{key} IS NULL OR {newer} OR {differs}), \
         written AS ({insert_into} SELECT {inputs}, {run_and_now} FROM moved WHERE late IS NOT TRUE {on_conflict}) \
         SELECT (SELECT count(*) FILTER (WHERE inserted) FROM written), \
         (SELECT count(*) FILTER (WHERE NOT inserted) FROM written), \
         {number_sent} - count(*), count(*) FILTER (WHERE late) FROM moved"
    )
}

/// Whether a written row is new, by its key: an expression for the comparison, and one for the result. With system columns
/// the INSERT returns it; otherwise a row is new if it was not found before.
fn insert_marker(parts: &Parts<'_>) -> (String, &'static str) {
    if parts.layout.has_system_columns {
        ("NULL::boolean".to_owned(), "bool_or(inserted)")
    } else {
        (
            format!("t.{} IS NULL", parts.key),
            "CASE WHEN bool_or(inserted) THEN bool_or(is_new) END",
        )
    }
}

/// Like [`differing`], for a table on which an INSERT cannot return system columns. Rows are matched by their keys.
fn differing_by_key(parts: &Parts<'_>) -> String {
    let (reported, counts) = (reported(parts), reported_counts(parts));
    format!("{reported} SELECT {counts} FROM reported")
}

/// Like [`differing`] for write-back, which also needs the outcome of each row: by its number among the rows sent.
fn upsert_and_enqueue(parts: &Parts<'_>) -> String {
    let (reported, counts) = (reported(parts), reported_counts(parts));
    format!(
        "{reported} SELECT {counts}, \
         array_agg(o) FILTER (WHERE inserted), array_agg(o) FILTER (WHERE NOT inserted), array_agg(o) FROM reported"
    )
}

/// Writes the rows that are new or differ, and reports the outcome of each row that was not found unchanged, by its key.
/// Grouping is used instead of a join, because it takes the key's own equality and needs no nested loop.
fn reported(parts: &Parts<'_>) -> String {
    let Parts { key, equals, .. } = parts;
    let (known, known_rows) = parts.known_rows();
    let (is_new, inserted) = insert_marker(parts);
    let (values, sent) = (parts.converted_as_inputs(), parts.sent_numbered());
    let (sent_key, newer) = (parts.sent_key(), parts.is_newer_than_sent());
    let (differs, key_place) = (parts.differs_from_sent(), parts.layout.key);
    let (insert_into, inputs) = (parts.insert_into(), parts.inputs());
    let (run_and_now, on_conflict) = (parts.run_and_now(), parts.on_conflict_update());
    let returning_key = if parts.layout.has_system_columns {
        format!(", t.{key} AS k")
    } else {
        String::new()
    };
    format!(
        "WITH {known}moved AS MATERIALIZED (SELECT {values}, u.o, {newer} AS late, {is_new} AS is_new \
         FROM {sent} LEFT JOIN {known_rows} t ON t.{key} {equals} {sent_key} \
         WHERE t.{key} IS NULL OR {newer} OR {differs}), \
         written AS ({insert_into} SELECT {inputs}, {run_and_now} FROM moved WHERE late IS NOT TRUE {on_conflict}{returning_key}), \
         reported AS (SELECT max(o) AS o, bool_or(late) AS late, {inserted} AS inserted FROM \
         (SELECT c{key_place} AS k, o, late, is_new, NULL::boolean AS inserted FROM moved \
         UNION ALL SELECT k, NULL, NULL, NULL, inserted FROM written) e GROUP BY k)"
    )
}

/// The counts that [`reported`] gives.
fn reported_counts(parts: &Parts<'_>) -> String {
    let number_sent = parts.number_sent();
    format!(
        "count(*) FILTER (WHERE inserted), count(*) FILTER (WHERE NOT inserted), {number_sent} - count(o), \
         count(*) FILTER (WHERE late)"
    )
}

/// The rows of a dry run with their outcomes: 0 would be inserted, 1 updated, 2 is unchanged, 3 is superseded.
fn compared(parts: &Parts<'_>) -> String {
    let Parts { key, equals, .. } = parts;
    let (known, known_rows) = parts.known_rows();
    let (values, sent, key_place) = (parts.converted_as_inputs(), parts.sent(), parts.layout.key);
    let differs = parts.differs_from(|place| format!("s.c{place}"));
    let newer = parts.is_newer_than(&format!("s.c{}", parts.version_place));
    format!(
        "{known}input AS MATERIALIZED (SELECT {values} FROM {sent}), \
         compared AS MATERIALIZED (SELECT s.*, CASE WHEN t.{key} IS NULL THEN 0 \
         WHEN {newer} THEN 3 WHEN {differs} THEN 1 ELSE 2 END AS outcome \
         FROM input s LEFT JOIN {known_rows} t ON t.{key} {equals} s.c{key_place})"
    )
}

/// Counts the rows of a dry run by their outcomes (see [`compared`]).
fn compare(parts: &Parts<'_>) -> String {
    let compared = compared(parts);
    format!(
        "WITH {compared} SELECT count(*) FILTER (WHERE outcome = 0), count(*) FILTER (WHERE outcome = 1), \
         count(*) FILTER (WHERE outcome = 2), count(*) FILTER (WHERE outcome = 3) FROM compared"
    )
}

/// The first rows that would be updated: key, stored texts, new texts.
fn differences(parts: &Parts<'_>) -> String {
    let Parts { key, equals, .. } = parts;
    let (compared, key_place) = (compared(parts), parts.layout.key);
    let (_, known_rows) = parts.known_rows();
    let old = parts.each(|place| format!("{}::text", parts.stored(place)));
    let new = parts.each(|place| format!("j.c{place}::text"));
    let limit = parts.parameter(1);
    format!(
        "WITH {compared} SELECT j.c{key_place}::text, ARRAY[{old}]::text[], ARRAY[{new}]::text[] FROM compared j \
         JOIN {known_rows} t ON t.{key} {equals} j.c{key_place} WHERE j.outcome = 1 ORDER BY 1 LIMIT {limit}::bigint"
    )
}

/// The first rows that would be inserted, in the form of [`differences`].
fn new_rows(parts: &Parts<'_>) -> String {
    let (compared, key_place) = (compared(parts), parts.layout.key);
    let old = parts.each(|_| "NULL".to_owned());
    let new = parts.each(|place| format!("j.c{place}::text"));
    let limit = parts.parameter(1);
    format!(
        "WITH {compared} SELECT j.c{key_place}::text, ARRAY[{old}]::text[], ARRAY[{new}]::text[] FROM compared j \
         WHERE j.outcome = 0 ORDER BY 1 LIMIT {limit}::bigint"
    )
}

/// The numbers of the first rows with the wanted outcomes (see [`compared`]).
fn rows_by_outcome(parts: &Parts<'_>) -> String {
    let Parts { key, equals, .. } = parts;
    let (known, known_rows) = parts.known_rows();
    let (sent, differs) = (parts.sent_numbered(), parts.differs_from_sent());
    let (sent_key, newer) = (parts.sent_key(), parts.is_newer_than_sent());
    let (wanted, limit) = (parts.parameter(1), parts.parameter(2));
    format!(
        "WITH {known}compared AS (SELECT u.o, CASE WHEN t.{key} IS NULL THEN 0 WHEN {newer} THEN 3 \
         WHEN {differs} THEN 1 ELSE 2 END AS outcome FROM {sent} LEFT JOIN {known_rows} t ON t.{key} {equals} {sent_key}) \
         SELECT o FROM compared WHERE outcome = ANY({wanted}::int[]) ORDER BY o LIMIT {limit}::bigint"
    )
}

/// The numbers of rows that are not stored as they were sent, and whether another row is stored under their keys.
fn skipped(parts: &Parts<'_>) -> String {
    let Parts { key, equals, .. } = parts;
    let (known, known_rows) = parts.known_rows();
    let (sent, differs) = (parts.sent_numbered(), parts.differs_from_sent());
    let (sent_key, newer) = (parts.sent_key(), parts.is_newer_than_sent());
    let (run, limit) = (parts.parameter(1), parts.parameter(2));
    format!(
        "WITH {known}compared AS (SELECT u.o, t.{key} IS NOT NULL AS stored, t.\"sync_id\" = {run}::uuid AS own \
         FROM {sent} LEFT JOIN {known_rows} t ON t.{key} {equals} {sent_key} \
         WHERE t.{key} IS NULL OR ({newer} IS NOT TRUE AND ({differs}))) \
         SELECT o, stored FROM compared ORDER BY own IS TRUE, stored, o LIMIT {limit}::bigint"
    )
}

/// Writes rows even if nothing changes, and returns the numbers of those that the table accepts. It has to be rolled back.
fn unguarded(parts: &Parts<'_>) -> String {
    let (key, set, key_place) = (&parts.key, parts.set(), parts.layout.key);
    let (values, sent, inputs) = (
        parts.converted_as_inputs(),
        parts.sent_numbered(),
        parts.inputs(),
    );
    let (insert_into, run_and_now) = (parts.insert_into(), parts.run_and_now());
    format!(
        "WITH input AS MATERIALIZED (SELECT {values}, u.o FROM {sent}), \
         written AS ({insert_into} SELECT {inputs}, {run_and_now} FROM input \
         ON CONFLICT ({key}) DO UPDATE SET {set} RETURNING t.{key} AS k) \
         SELECT max(o) FROM (SELECT c{key_place} AS k, o, false AS done FROM input \
         UNION ALL SELECT k, NULL, true FROM written) e GROUP BY k HAVING bool_or(done) AND max(o) IS NOT NULL"
    )
}

/// Counts the rows, by keys and versions, of which a newer version is stored.
fn superseded(parts: &Parts<'_>) -> String {
    let Parts { key, equals, .. } = parts;
    let (key_column, version_column) = (parts.key_column(), parts.version_column());
    let (key_type, version_type) = (key_column.wire().typname(), version_column.wire().typname());
    let sent_key = key_column.stored("u.k");
    let newer = parts.is_newer_than(&version_column.stored("u.v"));
    let stored = &parts.layout.stored;
    let by_shard = if parts.layout.distributed {
        let cast = &key_column.cast;
        format!(" AND t.{key} {equals} ANY($1::{key_type}[]::{cast}[])")
    } else {
        String::new()
    };
    format!(
        "SELECT count(*) FROM unnest($1::{key_type}[], $2::{version_type}[]) AS u(k, v) \
         JOIN {stored} t ON t.{key} {equals} {sent_key} WHERE {newer}{by_shard}"
    )
}

/// Locks the stored rows of some keys in this order.
fn lock(parts: &Parts<'_>, direction: &str) -> String {
    let Parts { key, equals, .. } = parts;
    let column = parts.key_column();
    let (wire, cast, stored) = (column.wire().typname(), &column.cast, &parts.layout.stored);
    format!(
        "SELECT FROM {stored} WHERE {key} {equals} ANY($1::{wire}[]::{cast}[]) ORDER BY {key} {direction} \
         FOR NO KEY UPDATE"
    )
}

/// The conversion of each column that may refuse a value, as a statement of its own.
fn conversions(layout: &Layout) -> Vec<(usize, String)> {
    layout
        .columns
        .iter()
        .enumerate()
        .filter(|(_, column)| column.is_converted())
        .map(|(place, column)| {
            let (ty, value) = (column.wire().typname(), column.stored("u.c"));
            (
                place,
                format!("SELECT {value} FROM unnest($1::{ty}[]) AS u(c)"),
            )
        })
        .collect()
}

/// Inserts the row that proves the batch.
fn batch_log(db: &Database) -> String {
    format!(
        "INSERT INTO {} (run_id, batch, inserted, updated, unchanged, superseded, duplicates, rejected, resolved, committed_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        quote_table(&db.log_schema, "sync_batches")
    )
}
