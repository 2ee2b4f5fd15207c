//! What a load cost: time, CPU and memory of a child process from /proc (elsewhere than on Linux they stay unknown), WAL
//! and row versions from PostgreSQL. It must not know what is measured.

use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::Context;
use serde::Serialize;

/// One load.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Measured {
    /// From start to exit.
    pub seconds: f64,
    /// User and system time of the process itself, where it is one.
    pub cpu_seconds: Option<f64>,
    /// Its peak resident memory.
    pub peak_rss_bytes: Option<u64>,
    /// Write-ahead log that PostgreSQL wrote meanwhile.
    pub wal_bytes: u64,
    /// Row versions that died meanwhile.
    pub dead_rows: u64,
    /// Records that had the fate they should have, as far as the loader tells.
    pub records: Option<u64>,
    /// What it says of its connections.
    pub pool: Option<Pool>,
}

/// The connections of a load.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Pool {
    /// The most there were.
    pub connections: u64,
    /// How long rows waited for one.
    pub wait_seconds: f64,
    /// All were busy while rows waited.
    pub exhausted: bool,
}

/// The command ended otherwise than it should have.
#[derive(Debug)]
pub struct WrongExit(pub ExitStatus);

impl std::fmt::Display for WrongExit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for WrongExit {}

/// How often a child's memory is looked at. What is read is the kernel's own high-water mark, so only growth in the very
/// last interval can be missed.
const SAMPLE: Duration = Duration::from_millis(10);

/// Runs a command to its end and returns what it cost and what it wrote to stdout. Another exit code than `expected` is an
/// error, [`WrongExit`].
pub fn command(command: &mut Command, expected: i32) -> anyhow::Result<(Measured, Vec<u8>)> {
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let cpu_before = children_cpu_seconds();
    let started = Instant::now();
    let child = command
        .spawn()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    let peak = AtomicU64::new(0);
    let done = AtomicBool::new(false);
    let pid = child.id();
    let (output, seconds) = thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                peak.fetch_max(high_water_bytes(pid).unwrap_or(0), Ordering::Relaxed);
                thread::sleep(SAMPLE);
            }
        });
        let output = Child::wait_with_output(child);
        let seconds = started.elapsed().as_secs_f64();
        done.store(true, Ordering::Relaxed);
        (output, seconds)
    });
    let output = output?;
    if output.status.code() != Some(expected) {
        return Err(WrongExit(output.status).into());
    }
    let cpu_after = children_cpu_seconds();
    let measured = Measured {
        seconds,
        cpu_seconds: cpu_before
            .zip(cpu_after)
            .map(|(before, after)| after - before),
        peak_rss_bytes: Some(peak.into_inner()).filter(|bytes| *bytes > 0),
        ..Measured::default()
    };
    Ok((measured, output.stdout))
}

/// Largest resident memory of a living process so far.
fn high_water_bytes(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1_024)
}

/// CPU time of all children that have ended, as the kernel counts it: in hundredths of a second.
fn children_cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field, in parentheses, may hold blanks; user and system time of children are fields 16 and 17.
    let (_, fields) = stat.rsplit_once(") ")?;
    let ticks: u32 = fields
        .split(' ')
        .skip(13)
        .take(2)
        .map(|field| field.parse::<u32>().unwrap_or(0))
        .sum();
    Some(f64::from(ticks) / 100.0)
}

/// The middle one; 0 without any.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
