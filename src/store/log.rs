//! The log of runs, the clock, and the deletion of old rows.

use std::time::{Duration, Instant};

use tokio_postgres::types::Type;
use uuid::Uuid;

use super::answer::{count, signed, single, value};
use super::connect::{Connection, Param};
use super::encode::Micros;
use super::error::StoreError;
use super::{LOOKUPS_ONLY, UNFLUSHED, quote_table};
use crate::config::plan::Database;
use crate::model::clock::{DatabaseClock, age};
use crate::model::record::{Ledger, WriteBackLedger};

/// The part of the log row that is known when a run starts.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct RunHeader {
    pub run_id: Uuid,
    /// `full` or `incremental`.
    pub mode: String,
    /// `1/4`; none for the whole source.
    pub shard: Option<String>,
    /// When it started, by PostgreSQL's clock.
    pub started_at: Micros,
    pub host: String,
    pub os_user: String,
    pub process_id: u32,
    /// The version of datasync.
    pub version: String,
    pub config_hash: String,
    pub watermark_before: Option<String>,
    /// The command as it could be typed: `sync --limit 100`.
    #[serde(default)]
    pub command: Option<String>,
    /// The address of the API.
    #[serde(default)]
    pub source: Option<String>,
    /// Identifies the source among others that feed the same table.
    #[serde(default)]
    pub source_key: Option<String>,
}

/// The part of the log row that is known when a run ends.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct RunEnd {
    /// `SUCCESS`, `PARTIAL` or `FAILED`.
    pub status: String,
    pub ledger: Ledger,
    pub replayed: u64,
    pub flagged: u64,
    pub pages: u64,
    /// True if the whole source was read.
    pub complete: bool,
    /// The proof of that, or `unproven`; none if the run did not come to the end.
    #[serde(default)]
    pub end: Option<String>,
    /// When it ended, by PostgreSQL's clock.
    pub completed_at: Micros,
    pub error_message: Option<String>,
    pub watermark_after: Option<String>,
    pub exit_code: i32,
    pub case_id: Option<String>,
    #[serde(default)]
    pub api_retries: u64,
    #[serde(default)]
    pub db_retries: u64,
    /// Seconds of the stages: fetch, transform, decide, write.
    #[serde(default)]
    pub stage_seconds: [f64; 4],
    /// The counts of write-back, where it is on.
    #[serde(default)]
    pub write_back: Option<WriteBackLedger>,
}

/// An earlier complete run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PreviousRun {
    pub run_id: Uuid,
    pub fetched: u64,
    /// When it started, by PostgreSQL's clock.
    pub started_at: Micros,
}

/// `schema.table`: the name of the target in all tables of the program.
pub fn target(db: &Database) -> String {
    format!("{}.{}", db.schema, db.table)
}

/// Reads PostgreSQL's clock, accurate to half a round trip.
pub fn read_clock(conn: &mut Connection) -> Result<DatabaseClock, StoreError> {
    const WHAT: &str = "reading the clock";
    let before = Instant::now();
    let row = single(conn.query(WHAT, "SELECT clock_timestamp()", &[])?)?;
    let halfway = before + before.elapsed() / 2;
    let moment: Micros = value(&row, 0, WHAT)?;
    Ok(DatabaseClock::new(halfway, moment))
}

/// Writes the run's row with the status RUNNING.
pub fn start(conn: &mut Connection, db: &Database, run: &RunHeader) -> Result<(), StoreError> {
    let sql = format!(
        "INSERT INTO {} (sync_id, status, started_at, target, mode, shard, host, os_user, process_id, version, \
         config_hash, watermark_before, command, source, source_key) \
         SELECT $1, 'RUNNING', $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14 FROM (SELECT {UNFLUSHED}) AS unflushed \
         ON CONFLICT (sync_id) DO NOTHING",
        quote_table(&db.log_schema, &db.log_table)
    );
    let process = i64::from(run.process_id);
    let params: [Param<'_>; 14] = [
        (&run.run_id, Type::UUID),
        (&run.started_at, Type::TIMESTAMPTZ),
        (&target(db), Type::TEXT),
        (&run.mode, Type::TEXT),
        (&run.shard, Type::TEXT),
        (&run.host, Type::TEXT),
        (&run.os_user, Type::TEXT),
        (&process, Type::INT8),
        (&run.version, Type::TEXT),
        (&run.config_hash, Type::TEXT),
        (&run.watermark_before, Type::TEXT),
        (&run.command, Type::TEXT),
        (&run.source, Type::TEXT),
        (&run.source_key, Type::TEXT),
    ];
    // This need not be flushed to disk: a crash of the server ends the run, too, and its end writes the row if it is missing.
    conn.execute("starting the run's log row", &sql, &params)
        .map(|_new| ())
}

/// Completes the run's row, or writes it if the start could not.
pub fn finish(
    conn: &mut Connection,
    db: &Database,
    run: &RunHeader,
    end: &RunEnd,
) -> Result<(), StoreError> {
    const WHAT: &str = "completing the run's log row";
    let sql = format!(
        "UPDATE {} SET status = $2, completed_at = $3, records_processed = $4, records_failed = $5, inserted = $6, \
         updated = $7, unchanged = $8, superseded = $9, duplicates = $10, rejected = $11, spooled = $12, \
         replayed = $13, flagged = $14, pages = $15, complete = $16, error_message = $17, watermark_after = $18, \
         exit_code = $19::bigint::integer, case_id = $20, api_retries = $21, db_retries = $22, fetch_seconds = $23, \
         transform_seconds = $24, decide_seconds = $25, write_seconds = $26, write_back = $27::text::json, source_end = $28 WHERE sync_id::text = $1::text",
        quote_table(&db.log_schema, &db.log_table)
    );
    let l = &end.ledger;
    let figures = [
        l.fetched,
        l.rejected + l.spooled,
        l.inserted,
        l.updated,
        l.unchanged,
        l.superseded,
        l.duplicates,
        l.rejected,
        l.spooled,
        end.replayed,
        end.flagged,
        end.pages,
    ]
    .map(signed);
    let completed = end.completed_at;
    let exit = i64::from(end.exit_code);
    let mut params: Vec<Param<'_>> = vec![
        (&run.run_id, Type::UUID),
        (&end.status, Type::TEXT),
        (&completed, Type::TIMESTAMPTZ),
    ];
    params.extend(figures.iter().map(|f| (f as _, Type::INT8)));
    params.push((&end.complete, Type::BOOL));
    params.push((&end.error_message, Type::TEXT));
    params.push((&end.watermark_after, Type::TEXT));
    params.push((&exit, Type::INT8));
    params.push((&end.case_id, Type::TEXT));
    let retries = [end.api_retries, end.db_retries].map(signed);
    params.extend(retries.iter().map(|count| (count as _, Type::INT8)));
    params.extend(end.stage_seconds.iter().map(|s| (s as _, Type::FLOAT8)));
    let write_back = end.write_back.and_then(|l| serde_json::to_string(&l).ok());
    params.push((&write_back, Type::TEXT));
    params.push((&end.end, Type::TEXT));
    if conn.execute(WHAT, &sql, &params)? == 0 {
        start(conn, db, run)?;
        conn.execute(WHAT, &sql, &params)?;
    }
    Ok(())
}

/// Marks killed runs of this target and shard as abandoned. The caller must hold the lease: then none of them is alive.
pub fn abandon(
    conn: &mut Connection,
    db: &Database,
    shard: Option<&str>,
    but: Uuid,
) -> Result<u64, StoreError> {
    let sql = format!(
        "UPDATE {} SET status = 'ABANDONED', error_message = 'the run ended without a word' \
         WHERE status = 'RUNNING' AND target = $1 AND shard IS NOT DISTINCT FROM $2 AND sync_id::text <> $3::text",
        quote_table(&db.log_schema, &db.log_table)
    );
    conn.execute(
        "marking abandoned runs",
        &sql,
        &[
            (&target(db), Type::TEXT),
            (&shard, Type::TEXT),
            (&but, Type::UUID),
        ],
    )
}

/// The last complete full run of the same source and shard in which everything was stored. Brakes compare with it.
pub fn previous_complete(
    conn: &mut Connection,
    db: &Database,
    source_key: &str,
    shard: Option<&str>,
) -> Result<Option<PreviousRun>, StoreError> {
    const WHAT: &str = "reading the last complete run";
    let sql = format!(
        "SELECT records_processed::bigint, started_at::timestamptz, sync_id::text::uuid FROM {} WHERE target = $1 AND shard IS NOT DISTINCT FROM $2 \
         AND (source_key IS NULL OR source_key = $3) \
         AND complete AND mode = 'full' AND status = 'SUCCESS' ORDER BY started_at DESC, id DESC LIMIT 1",
        quote_table(&db.log_schema, &db.log_table)
    );
    let rows = conn.query(
        WHAT,
        &sql,
        &[
            (&target(db), Type::TEXT),
            (&shard, Type::TEXT),
            (&source_key, Type::TEXT),
        ],
    )?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    Ok(Some(PreviousRun {
        fetched: count(row, 0)?,
        started_at: value(row, 1, WHAT)?,
        run_id: value(row, 2, WHAT)?,
    }))
}

/// True if a complete run that started after `moment` (PostgreSQL's clock) succeeded: what was fetched before is out of date.
pub fn complete_run_since(
    conn: &mut Connection,
    db: &Database,
    source_key: &str,
    shard: Option<&str>,
    moment: Micros,
) -> Result<bool, StoreError> {
    Ok(previous_complete(conn, db, source_key, shard)?.is_some_and(|run| run.started_at > moment))
}

/// The name in `sync_state` under which it is noted when old rows were last deleted.
pub const LAST_TRIMMED: &str = "trimmed";
/// How often old rows are deleted. Every retention is at least as long.
const TRIM_INTERVAL: Duration = Duration::from_hours(24);

/// True if old rows were last deleted more than a day ago, by what is stored as [`LAST_TRIMMED`].
pub fn trim_is_due(last: Option<&str>, now: Micros) -> bool {
    let last = last.and_then(|text| text.parse::<jiff::Timestamp>().ok());
    last.is_none_or(|last| age(Micros(last.as_microsecond()), now) >= TRIM_INTERVAL)
}

/// Deletes rows that are older than the retention: batch log, closed rejections, old runs and closed cases. Returns how many.
pub fn trim(conn: &mut Connection, db: &Database, retention: Duration) -> Result<u64, StoreError> {
    let seconds = signed(retention.as_secs());
    let trimming = trimming(db);
    let work: Vec<(&str, Vec<Param<'_>>)> = trimming
        .iter()
        .map(|sql| (sql.as_str(), vec![(&seconds as _, Type::INT8)]))
        .collect();
    delete_in_transaction(conn, &work)
}

/// Deletes explanations to which no rejection refers any more, up to a thousand of them. Returns how many.
pub fn trim_explanations(conn: &mut Connection, db: &Database) -> Result<u64, StoreError> {
    delete_in_transaction(conn, &[(trimming_explanations(db).as_str(), Vec::new())])
}

fn delete_in_transaction(
    conn: &mut Connection,
    work: &[(&str, Vec<Param<'_>>)],
) -> Result<u64, StoreError> {
    const WHAT: &str = "deleting old rows";
    // Rows that a crash of the server brings back are deleted by a later run.
    let settings = format!("{LOOKUPS_ONLY} SET LOCAL synchronous_commit = off;");
    let deleted = conn
        .begin(WHAT, "", &settings)
        .and_then(|()| conn.execute_together(WHAT, work))
        .and_then(|deleted| conn.run(WHAT, "COMMIT").map(|()| deleted));
    if deleted.is_err() {
        conn.roll_back();
    }
    deleted.map(|deleted| deleted.into_iter().sum())
}

/// The statements that delete rows older than a number of seconds, by `now()`: `clock_timestamp()` would prevent index use.
pub(super) fn trimming(db: &Database) -> [String; 5] {
    [
        ("sync_batches", "committed_at <"),
        (
            "sync_rejections",
            "resolved_at IS NOT NULL AND resolved_at <",
        ),
        ("sync_rejections_seen", "seen <"),
        (
            db.log_table.as_str(),
            "(completed_at IS NOT NULL OR status = 'ABANDONED') AND started_at <",
        ),
        ("sync_cases", "status = 'closed' AND closed_at <"),
    ]
    .map(|(table, condition)| {
        format!(
            "DELETE FROM {} WHERE {condition} now() - make_interval(secs => $1::bigint)",
            quote_table(&db.log_schema, table)
        )
    })
}

/// The statement that deletes explanations to which no rejection refers. It checks those that were last known to be used
/// more than a day ago, a thousand at a time, and gives those still in use a new date.
pub(super) fn trimming_explanations(db: &Database) -> String {
    let explanations = quote_table(&db.log_schema, "sync_explanations");
    let rejections = quote_table(&db.log_schema, "sync_rejections");
    // A run that stores a rejection has just locked its explanation or set its date, so that explanation is not deleted.
    format!(
        "WITH old AS MATERIALIZED (SELECT e.id, (SELECT true FROM {rejections} r WHERE r.explained_by = e.id LIMIT 1) AS used \
         FROM {explanations} e WHERE e.used_at < now() - interval '1 day' ORDER BY e.used_at LIMIT 1000 FOR UPDATE SKIP LOCKED), \
         kept AS (UPDATE {explanations} e SET used_at = now() FROM old WHERE e.id = old.id AND old.used) \
         DELETE FROM {explanations} e USING old WHERE e.id = old.id AND old.used IS NULL"
    )
}
