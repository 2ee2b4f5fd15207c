//! The metrics of a run for Prometheus: a text file that `node_exporter` collects.
//!
//! This file owns names and meanings of the metrics. Figures of one run are gauges (`datasync_last_run_…`). Counters and
//! histograms grow over all runs: they continue from the values in the previous file, as does the time of the last success.
//! Without a previous file they start at 0, which Prometheus treats as a reset. This file does not know how a run works: it
//! gets a finished report, or only the exit code.

mod exposition;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::exit::Exit;
use crate::model::shard::Shard;
use crate::reporting::report::{Report, Status, write_back_rows};
use crate::support::atomic_file;
use crate::support::histogram::Histogram;
use exposition::{Kind, Label, Page, PreviousFile, series};

/// The names of all thresholds and brakes.
const ALERTS: [&str; 7] = [
    "api_response_time",
    "max_drop",
    "max_rejection",
    "pool_exhaustion",
    "rejection_rate",
    "sync_failure_rate",
    "zero_records",
];
/// The longest wait for another run that writes the same file.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);

/// How a `sync` or `retry` ended.
#[derive(Debug)]
pub struct FinishedRun<'a> {
    pub exit: Exit,
    /// Seconds from start to end.
    pub seconds: f64,
    /// The part of the source that was synced.
    pub coverage: Coverage,
    /// None if the run ended before it fetched anything. The file then keeps the figures of the run before.
    pub report: Option<&'a Report>,
}

/// The part of the source that a run synced. A shard's series have it as a label, so that one host can collect several.
#[derive(Clone, Copy, Debug)]
pub enum Coverage {
    /// The whole source.
    Whole,
    /// One of several shards.
    Shard(Shard),
    /// The part that the previous file is about. Used where the command line could not be parsed.
    AsBefore,
}

impl From<Option<Shard>> for Coverage {
    fn from(shard: Option<Shard>) -> Self {
        shard.map_or(Self::Whole, Self::Shard)
    }
}

impl Coverage {
    fn label(self, former: &str) -> Label {
        match self {
            Self::Whole => Label::default(),
            Self::Shard(shard) => Label::of(shard),
            Self::AsBefore => Label::of_file(former),
        }
    }
}

/// Writes the file, replacing it by a rename, so that readers see either the old or the new file.
///
/// # Errors
/// The folder cannot be written, or the previous file cannot be read. The exit code of the run is not affected.
pub fn keep(path: &Path, ended: &FinishedRun<'_>) -> Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // The lock is released when it is dropped.
    let _lock = lock(folder);
    let former = match fs::read(path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| cannot(path)),
    };
    let now = jiff::Timestamp::now().as_duration().as_secs_f64();
    let label = ended.coverage.label(&former);
    let former = PreviousFile::parse(&former, &label);
    let text = page(label, &former, ended, now);
    // The collector runs as another user, and nothing in the file is secret.
    atomic_file::replace(path, text.as_bytes(), 0o644).with_context(|| cannot(path))
}

fn cannot(path: &Path) -> String {
    format!("the metrics cannot be kept in {}", path.display())
}

/// Locks the folder, so that two runs that end together lose no count. On a file system without locks the last run wins.
fn lock(folder: &Path) -> Option<fs::File> {
    let file = fs::File::open(folder).ok()?;
    let begun = std::time::Instant::now();
    loop {
        match file.try_lock() {
            Err(fs::TryLockError::WouldBlock) if begun.elapsed() < LOCK_TIMEOUT => {
                std::thread::sleep(Duration::from_millis(10));
            }
            _ => return Some(file),
        }
    }
}

/// The content of the file after a run that ended at `now`, in seconds since 1970.
fn page(label: Label, former: &PreviousFile, ended: &FinishedRun<'_>, now: f64) -> String {
    let mut out = Writer {
        page: Page::new(label),
        former,
    };
    attempt(&mut out, ended, now);
    figures(&mut out, ended.report);
    totals(&mut out, ended);
    out.page.finish()
}

/// Metrics that every run writes, even one that ended without a report.
fn attempt(out: &mut Writer<'_>, ended: &FinishedRun<'_>, now: f64) {
    let outcome = match (ended.report.map(|report| report.status), ended.exit) {
        (Some(status), _) => status.as_str(),
        (None, Exit::Busy) => "busy",
        (None, Exit::Success) => Status::Success.as_str(),
        (None, _) => Status::Failed.as_str(),
    };
    let up_to_date = ended.exit == Exit::Success && ended.report.is_some_and(|report| report.whole);
    let success = "datasync_last_success_timestamp_seconds";
    let last_success = if up_to_date {
        now
    } else {
        out.former.value(success)
    };
    out.gauges(
        "datasync_build_info",
        "The version of datasync that wrote this file; always 1.",
        "version",
        Some([(env!("CARGO_PKG_VERSION"), 1.0)]),
    );
    out.gauge(
        success,
        "When a run that read the whole source last ended with exit code 0, seconds since 1970; 0 is never.",
        Some(last_success),
    );
    out.gauge(
        "datasync_last_run_timestamp_seconds",
        "When the last run ended, however it ended, seconds since 1970.",
        Some(now),
    );
    out.gauge(
        "datasync_last_run_duration_seconds",
        "How long the last run took.",
        Some(ended.seconds),
    );
    out.gauge(
        "datasync_last_run_exit_code",
        "Exit code of the last run.",
        Some(f64::from(ended.exit.code())),
    );
    let all = ["success", "partial", "failed", "busy"];
    out.gauges(
        "datasync_last_run_outcome",
        "1 for the outcome of the last run, 0 for the others.",
        "outcome",
        Some(all.map(|name| (name, f64::from(u8::from(name == outcome))))),
    );
}

/// A figure of a run: the name of its gauge, its help text, and its value in the report.
type Figure = (&'static str, &'static str, fn(&Report) -> f64);

const FIGURES: [Figure; 15] = [
    (
        "datasync_last_run_fetched_records",
        "Records the last run fetched.",
        |report| report.ledger.fetched as f64,
    ),
    (
        "datasync_last_run_flagged_records",
        "Records of the last run that were accepted for a person to review.",
        |report| report.flagged as f64,
    ),
    (
        "datasync_last_run_replayed_records",
        "Records from the spool of earlier runs that the last run wrote.",
        |report| report.replayed as f64,
    ),
    (
        "datasync_last_run_pages",
        "Pages with records the last run fetched.",
        |report| report.pages as f64,
    ),
    (
        "datasync_last_run_success_ratio",
        "Share of the records of the last run that were neither rejected nor spooled, 0 to 1.",
        |report| report.success_rate,
    ),
    (
        "datasync_last_run_per_record_seconds",
        "Duration of the last run divided by the records it fetched.",
        |report| report.seconds_per_record,
    ),
    (
        "datasync_last_run_api_response_max_seconds",
        "Longest API response of the last run.",
        |report| report.api_response_seconds.max,
    ),
    (
        "datasync_last_run_database_statement_max_seconds",
        "Longest write to the database of the last run.",
        |report| report.db_query_seconds.max,
    ),
    (
        "datasync_last_run_pool_connections",
        "Most database connections the last run wrote through at once.",
        |report| f64::from(report.pool.connections),
    ),
    (
        "datasync_pool_max_connections",
        "Database connections a run may write through.",
        |report| f64::from(report.pool.max_connections),
    ),
    (
        "datasync_last_run_pool_wait_seconds",
        "How long finished batches of the last run waited for a connection.",
        |report| report.pool.wait_seconds,
    ),
    (
        "datasync_last_run_pool_exhausted",
        "1 when the last run used every connection it may have and batches waited.",
        |report| f64::from(u8::from(report.pool.exhausted)),
    ),
    (
        "datasync_spool_files",
        "Batches on disk that wait for the database.",
        |report| report.spool.files as f64,
    ),
    (
        "datasync_spool_bytes",
        "Size of the batches on disk that wait for the database.",
        |report| report.spool.bytes as f64,
    ),
    (
        "datasync_open_cases",
        "Cases that are open, as far as the last run could see them.",
        |report| report.open_cases as f64,
    ),
];

/// Gauges about the last run with a report. A run without one keeps the previous values.
fn figures(out: &mut Writer<'_>, report: Option<&Report>) {
    for (name, help, value) in FIGURES {
        out.gauge(name, help, report.map(value));
    }
    out.gauges(
        "datasync_last_run_records",
        "Records the last run fetched, by what became of them.",
        "outcome",
        report.map(|report| floats(outcomes(report))),
    );
    out.gauges(
        "datasync_last_run_stage_seconds",
        "Time the last run spent in each stage; stages overlap.",
        "stage",
        report.map(|report| {
            let seconds = report.seconds;
            [
                ("fetch", seconds.fetch),
                ("transform", seconds.transform),
                ("decide", seconds.decide),
                ("write", seconds.write),
            ]
        }),
    );
    out.gauges(
        "datasync_last_run_retries",
        "Requests and batches the last run had to send again.",
        "side",
        report.map(|report| floats(retries(report))),
    );
    out.gauges(
        "datasync_last_run_write_back_messages",
        "Messages to the API about records of the last run, and earlier ones that waited, by what became of them.",
        "outcome",
        report.map(|report| floats(messages(report))),
    );
    out.gauges(
        "datasync_last_run_rejections",
        "Records the last run rejected, by reason.",
        "reason",
        report.map(|report| floats(counts(&report.rejections_by_reason))),
    );
    out.gauges(
        "datasync_last_run_errors",
        "Errors of the last run by stage and class, those that a retry mended included.",
        "type",
        report.map(|report| floats(counts(&report.errors_by_type))),
    );
    out.gauges(
        "datasync_last_run_alert",
        "1 where the last run crossed this threshold or was stopped by this brake.",
        "alert",
        report.map(|report| {
            let crossed = |name: &str| report.crossed.iter().any(|crossed| crossed == name);
            ALERTS.map(|name| (name, f64::from(u8::from(crossed(name)))))
        }),
    );
}

/// Counters and histograms over all runs.
fn totals(out: &mut Writer<'_>, ended: &FinishedRun<'_>) {
    let codes = Exit::ALL.map(|exit| (exit.code().to_string(), u64::from(exit == ended.exit)));
    out.counter(
        "datasync_runs_total",
        "Runs of sync and retry, by exit code.",
        "exit_code",
        codes.iter().map(|(code, count)| (code.as_str(), *count)),
    );
    let none = Report::default();
    let report = ended.report.unwrap_or(&none);
    out.counter(
        "datasync_records_total",
        "Records fetched, by what became of them.",
        "outcome",
        outcomes(report),
    );
    out.counter(
        "datasync_rejections_total",
        "Records rejected, by reason.",
        "reason",
        counts(&report.rejections_by_reason),
    );
    // A run that ended without a report has one error, which follows from its exit code.
    let early = match ended.exit {
        Exit::Configuration => Some(("configuration", 1)),
        Exit::Internal if ended.report.is_none() => Some(("internal", 1)),
        _ => None,
    };
    out.counter(
        "datasync_errors_total",
        "Errors by stage and class, those that a retry mended included.",
        "type",
        counts(&report.errors_by_type).chain(early),
    );
    out.counter(
        "datasync_retries_total",
        "Requests to the API and batches to the database that were sent again.",
        "side",
        retries(report),
    );
    out.counter(
        "datasync_write_back_messages_total",
        "Messages to the API that were sent or given up, by what became of them.",
        "outcome",
        messages(report).filter(|(outcome, _)| *outcome != "kept"),
    );
    out.histogram(
        "datasync_api_response_seconds",
        "Time from request to the end of the answer, for every request to the API, failed ones included.",
        &report.api_responses,
    );
    out.histogram(
        "datasync_database_statement_seconds",
        "Time of each write to the database: one batch, from BEGIN to COMMIT.",
        &report.db_statements,
    );
}

/// The ledger without `fetched`, which is the sum of the others.
fn outcomes(report: &Report) -> impl Iterator<Item = (&'static str, u64)> {
    report.ledger.counts().into_iter().skip(1)
}

/// The ledger of write-back without `due`, which is the sum of the others; empty where write-back is off.
fn messages(report: &Report) -> impl Iterator<Item = (&'static str, u64)> {
    let rows = report.write_back.as_ref().map(write_back_rows);
    let rows = rows.into_iter().flat_map(|rows| rows.into_iter().skip(1));
    rows.map(|(name, count, _)| (name, count))
}

fn retries(report: &Report) -> [(&'static str, u64); 2] {
    [("api", report.api_retries), ("database", report.db_retries)]
}

fn counts(map: &BTreeMap<String, u64>) -> impl Iterator<Item = (&str, u64)> {
    map.iter().map(|(name, count)| (name.as_str(), *count))
}

fn floats<'a>(
    counts: impl IntoIterator<Item = (&'a str, u64)>,
) -> impl Iterator<Item = (&'a str, f64)> {
    counts.into_iter().map(|(name, count)| (name, count as f64))
}

/// The new file, and the previous one whose counts it continues.
struct Writer<'a> {
    page: Page,
    former: &'a PreviousFile,
}

impl Writer<'_> {
    /// Writes a gauge without a label. Without a value the previous one is kept.
    fn gauge(&mut self, name: &str, help: &str, value: Option<f64>) {
        self.page.family(name, Kind::Gauge, help);
        match value {
            Some(value) => self.page.sample(name, value),
            None => self.stay(name),
        }
    }

    /// Writes a gauge for each value of a label. Without values the previous ones are kept.
    fn gauges<'a>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: Option<impl IntoIterator<Item = (&'a str, f64)>>,
    ) {
        self.page.family(name, Kind::Gauge, help);
        match values {
            Some(values) => {
                for (of, value) in values {
                    self.page.sample(&series(name, label, of), value);
                }
            }
            None => self.stay(name),
        }
    }

    fn stay(&mut self, name: &str) {
        for (series, value) in self.former.of(name) {
            self.page.sample(series, value);
        }
    }

    /// Writes a counter for each value of a label: the previous value plus what was added.
    fn counter<'a>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        added: impl IntoIterator<Item = (&'a str, u64)>,
    ) {
        let mut sums: BTreeMap<String, f64> = self
            .former
            .of(name)
            .map(|(series, value)| (series.to_owned(), value))
            .collect();
        for (of, count) in added {
            *sums.entry(series(name, label, of)).or_default() += count as f64;
        }
        self.page.family(name, Kind::Counter, help);
        for (series, value) in sums {
            self.page.sample(&series, value);
        }
    }

    fn histogram(&mut self, name: &str, help: &str, added: &Histogram) {
        self.page.family(name, Kind::Histogram, help);
        self.page.histogram(name, added, self.former);
    }
}
