//! Reads past runs from `sync_log`: for people, for the report, and for cases.

use serde::{Deserialize, Serialize};
use tokio_postgres::types::Type;

use super::answer::{signed, text};
use super::connect::{Connection, Param};
use super::encode::Micros;
use super::error::StoreError;
use super::log::{RunEnd, RunHeader, target};
use super::quote_table;
use crate::config::plan::Database;

/// One run, by its log row.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct PastRun {
    #[serde(rename(deserialize = "sync_id"))]
    pub run_id: String,
    /// `running`, `success`, `partial`, `failed` or `abandoned`.
    pub status: String,
    /// The command as it could be typed.
    pub command: Option<String>,
    /// `full`, `incremental` or `retry`.
    pub mode: Option<String>,
    /// `1/4`; none for the whole source.
    pub shard: Option<String>,
    /// True if the whole source was read.
    pub complete: bool,
    /// The proof of that, or `unproven`.
    #[serde(rename(deserialize = "source_end"))]
    pub end: Option<String>,
    /// When it started, as RFC 3339 in UTC.
    pub started_at: String,
    pub completed_at: Option<String>,
    /// Seconds from start to end; none while it runs, or if it was killed.
    pub seconds: Option<f64>,
    pub fetch_seconds: Option<f64>,
    pub transform_seconds: Option<f64>,
    pub decide_seconds: Option<f64>,
    pub write_seconds: Option<f64>,
    #[serde(rename(deserialize = "records_processed"))]
    pub fetched: u64,
    pub inserted: u64,
    pub updated: u64,
    pub unchanged: u64,
    pub superseded: u64,
    pub duplicates: u64,
    pub rejected: u64,
    pub spooled: u64,
    pub replayed: u64,
    pub flagged: u64,
    pub pages: u64,
    pub api_retries: u64,
    pub db_retries: u64,
    pub watermark_before: Option<String>,
    pub watermark_after: Option<String>,
    pub exit_code: Option<u8>,
    pub case_id: Option<String>,
    pub error_message: Option<String>,
    pub target: Option<String>,
    pub source: Option<String>,
    pub host: Option<String>,
    pub os_user: Option<String>,
    pub process_id: Option<u64>,
    /// The version of datasync.
    pub version: Option<String>,
    pub config_hash: Option<String>,
}

impl PastRun {
    /// The mode and the shard: `full`, `incremental 1/4`.
    pub fn scope(&self) -> Option<String> {
        let parts = [self.mode.as_deref(), self.shard.as_deref()];
        let words: Vec<_> = parts.into_iter().flatten().collect();
        (!words.is_empty()).then(|| words.join(" "))
    }

    /// A run whose row waits in the state directory.
    pub fn waiting(header: &RunHeader, end: &RunEnd, target: String) -> Self {
        let time = |moment: &Micros| {
            jiff::Timestamp::from_microsecond(moment.0).map_or_else(|_| String::new(), rfc3339)
        };
        let ledger = &end.ledger;
        let [fetch, transform, decide, write] = end.stage_seconds.map(Some);
        Self {
            run_id: header.run_id.to_string(),
            status: end.status.to_lowercase(),
            command: header.command.clone(),
            mode: Some(header.mode.clone()),
            shard: header.shard.clone(),
            complete: end.complete,
            end: end.end.clone(),
            started_at: time(&header.started_at),
            completed_at: Some(time(&end.completed_at)),
            seconds: Some((end.completed_at.0 - header.started_at.0) as f64 / 1e6),
            fetch_seconds: fetch,
            transform_seconds: transform,
            decide_seconds: decide,
            write_seconds: write,
            fetched: ledger.fetched,
            inserted: ledger.inserted,
            updated: ledger.updated,
            unchanged: ledger.unchanged,
            superseded: ledger.superseded,
            duplicates: ledger.duplicates,
            rejected: ledger.rejected,
            spooled: ledger.spooled,
            replayed: end.replayed,
            flagged: end.flagged,
            pages: end.pages,
            api_retries: end.api_retries,
            db_retries: end.db_retries,
            watermark_before: header.watermark_before.clone(),
            watermark_after: end.watermark_after.clone(),
            exit_code: u8::try_from(end.exit_code).ok(),
            case_id: end.case_id.clone(),
            error_message: end.error_message.clone(),
            target: Some(target),
            source: header.source.clone(),
            host: Some(header.host.clone()),
            os_user: Some(header.os_user.clone()),
            process_id: Some(u64::from(header.process_id)),
            version: Some(header.version.clone()),
            config_hash: Some(header.config_hash.clone()),
        }
    }

    /// How many rows this run inserted or updated.
    pub const fn written(&self) -> u64 {
        self.inserted + self.updated
    }
}

fn rfc3339(time: jiff::Timestamp) -> String {
    format!("{time:.3}")
}

/// The last runs of this target, newest first.
pub fn last(
    connection: &mut Connection,
    db: &Database,
    count: u64,
) -> Result<Vec<PastRun>, StoreError> {
    let condition = "l.target = $1 ORDER BY l.started_at DESC, l.id DESC LIMIT $2";
    let params: &[Param<'_>] = &[(&target(db), Type::TEXT), (&signed(count), Type::INT8)];
    read(connection, db, condition, params)
}

/// The runs with these ids, oldest first.
pub fn of(
    connection: &mut Connection,
    db: &Database,
    run_ids: &[&str],
) -> Result<Vec<PastRun>, StoreError> {
    let condition = "l.sync_id::text = ANY($1) ORDER BY l.started_at, l.id";
    read(connection, db, condition, &[(&run_ids, Type::TEXT_ARRAY)])
}

/// Reads rows as JSON, so that columns which an older table lacks are simply absent.
fn read(
    connection: &mut Connection,
    db: &Database,
    condition: &str,
    params: &[Param<'_>],
) -> Result<Vec<PastRun>, StoreError> {
    const WHAT: &str = "reading the log of runs";
    // A table that a user created may have times without a zone. They are in the session's zone, as they were written.
    let sql = format!(
        "SELECT jsonb_strip_nulls(to_jsonb(l) || jsonb_build_object('started_at', l.started_at::timestamptz, \
         'completed_at', l.completed_at::timestamptz))::text FROM {} l WHERE {condition}",
        quote_table(&db.log_schema, &db.log_table)
    );
    let mut runs = Vec::new();
    for row in connection.query(WHAT, &sql, params)? {
        match run(text(&row, 0)?) {
            Ok(run) => runs.push(run),
            Err(error) => {
                log::warn!("a row of the log of runs is not as datasync writes it: {error}");
            }
        }
    }
    Ok(runs)
}

fn run(row: &str) -> serde_json::Result<PastRun> {
    let mut run: PastRun = serde_json::from_str(row)?;
    let time = |text: &str| text.parse::<jiff::Timestamp>().ok();
    let started = time(&run.started_at);
    let completed = run.completed_at.as_deref().and_then(time);
    if let (Some(started), Some(completed)) = (started, completed) {
        run.seconds = Some(completed.duration_since(started).as_secs_f64());
    }
    if let Some(started) = started {
        run.started_at = rfc3339(started);
    }
    run.completed_at = completed.map(rfc3339).or(run.completed_at);
    run.status = run.status.to_lowercase();
    Ok(run)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_row_of_an_older_table_is_read_with_what_it_has() {
        let row = r#"{"id":1,"sync_id":"0199","status":"SUCCESS","records_processed":7,"records_failed":1,
            "started_at":"2026-01-02T05:00:00+02:00","completed_at":"2026-01-02T03:00:01.5+00:00"}"#;
        let run = run(row).unwrap();
        assert_eq!(
            (run.run_id.as_str(), run.status.as_str()),
            ("0199", "success")
        );
        assert_eq!(run.started_at, "2026-01-02T03:00:00.000Z");
        assert_eq!(run.seconds, Some(1.5));
        assert_eq!((run.fetched, run.exit_code), (7, None));
    }
}
