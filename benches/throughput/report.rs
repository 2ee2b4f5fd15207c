//! The figures as a table for people, as JSON for machines and as a chart for the docs. It must not know how they came about.

use std::io::{self, Write};
use std::path::Path;
use std::{env, fs};

use serde::Serialize;

use crate::chart;
use crate::measure::{Measured, median};

const MIB: f64 = 1_048_576.0;

/// One suite.
#[derive(Debug, Serialize)]
pub struct Report {
    suite: &'static str,
    title: &'static str,
    records: u64,
    page_size: u64,
    contestants: Vec<Line>,
}

/// One contestant: every run, and the medians.
#[derive(Debug, Serialize)]
struct Line {
    name: String,
    first: Option<Summary>,
    again: Option<Summary>,
    first_runs: Vec<Measured>,
    again_runs: Vec<Measured>,
}

/// Medians of one phase; memory is the largest of all runs.
#[derive(Clone, Copy, Debug, Serialize)]
struct Summary {
    seconds: f64,
    /// Seconds ÷ those of the first contestant.
    ratio: f64,
    cpu_seconds: Option<f64>,
    peak_rss_bytes: Option<u64>,
    wal_bytes: f64,
    dead_rows: f64,
    /// Most connections, and the seconds rows waited for one.
    pool: Option<(u64, f64)>,
}

impl Summary {
    fn new(runs: &[Measured], reference_seconds: Option<f64>) -> Option<Self> {
        runs.first()?;
        let seconds = median(runs.iter().map(|run| run.seconds));
        let whole = |bytes: u64| bytes as f64;
        Some(Self {
            seconds,
            ratio: seconds / reference_seconds.unwrap_or(seconds),
            cpu_seconds: runs[0]
                .cpu_seconds
                .map(|_| median(runs.iter().filter_map(|run| run.cpu_seconds))),
            peak_rss_bytes: runs.iter().filter_map(|run| run.peak_rss_bytes).max(),
            wal_bytes: median(runs.iter().map(|run| whole(run.wal_bytes))),
            dead_rows: median(runs.iter().map(|run| whole(run.dead_rows))),
            pool: runs
                .iter()
                .filter_map(|run| run.pool)
                .map(|pool| pool.connections)
                .max()
                .map(|most| {
                    let waits = runs.iter().filter_map(|run| run.pool);
                    (most, median(waits.map(|pool| pool.wait_seconds)))
                }),
        })
    }
}

impl Report {
    pub const fn new(
        suite: &'static str,
        title: &'static str,
        records: u64,
        page_size: u64,
    ) -> Self {
        Self {
            suite,
            title,
            records,
            page_size,
            contestants: Vec::new(),
        }
    }

    /// Adds a contestant; the first one added is what the others are compared with.
    pub fn add(&mut self, name: &str, first: &[Measured], again: &[Measured]) {
        let reference = self.contestants.first();
        let seconds = |summary: Option<Summary>| summary.map(|summary| summary.seconds);
        let line = Line {
            name: name.to_owned(),
            first: Summary::new(first, reference.and_then(|line| seconds(line.first))),
            again: Summary::new(again, reference.and_then(|line| seconds(line.again))),
            first_runs: first.to_vec(),
            again_runs: again.to_vec(),
        };
        self.contestants.push(line);
    }

    fn bars(&self) -> (String, Vec<chart::Bar<'_>>) {
        let seconds = |summary: Option<Summary>| summary.map(|summary| summary.seconds);
        let bars = self
            .contestants
            .iter()
            .map(|line| chart::Bar {
                name: &line.name,
                first: seconds(line.first),
                again: seconds(line.again),
            })
            .collect();
        (self.title.to_owned(), bars)
    }

    /// The medians as aligned columns.
    pub fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let rounds = self
            .contestants
            .first()
            .map_or(0, |line| line.first_runs.len());
        writeln!(out, "\n{}: {} (median of {rounds})", self.suite, self.title)?;
        writeln!(
            out,
            "{:<36} {:<7} {:>9} {:>7} {:>8} {:>9} {:>9} {:>9} {:>6} {:>8}",
            "",
            "",
            "seconds",
            "ratio",
            "CPU s",
            "peak MiB",
            "WAL MiB",
            "dead rows",
            "conns",
            "waited s"
        )?;
        for line in &self.contestants {
            for (phase, summary) in [("first", line.first), ("again", line.again)] {
                let Some(summary) = summary else { continue };
                let name = if phase == "first" { &line.name } else { "" };
                let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
                writeln!(
                    out,
                    "{name:<36} {phase:<7} {:>9.3} {:>7.2} {:>8} {:>9} {:>9.1} {:>9.0} {:>6} {:>8}",
                    summary.seconds,
                    summary.ratio,
                    or_dash(summary.cpu_seconds.map(|seconds| format!("{seconds:.2}"))),
                    or_dash(
                        summary
                            .peak_rss_bytes
                            .map(|bytes| format!("{:.1}", bytes as f64 / MIB))
                    ),
                    summary.wal_bytes / MIB,
                    summary.dead_rows,
                    or_dash(summary.pool.map(|(connections, _)| connections.to_string())),
                    or_dash(summary.pool.map(|(_, waited)| format!("{waited:.2}"))),
                )?;
            }
        }
        Ok(())
    }
}

/// Writes all suites to `target/bench/throughput.json` and `.svg`.
pub fn write(reports: &[Report]) -> anyhow::Result<()> {
    let target = env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(target)
        .join("bench");
    fs::create_dir_all(&folder)?;
    let file = folder.join("throughput.json");
    fs::write(&file, serde_json::to_string_pretty(reports)?)?;
    let picture = file.with_extension("svg");
    // It shows loads beside their repetition.
    let groups: Vec<_> = reports
        .iter()
        .filter(|report| report.contestants.iter().any(|line| line.again.is_some()))
        .map(Report::bars)
        .collect();
    fs::write(&picture, chart::svg(&groups))?;
    writeln!(
        io::stdout(),
        "\nEvery run: {}\nA chart:   {}",
        file.display(),
        picture.display()
    )?;
    Ok(())
}
