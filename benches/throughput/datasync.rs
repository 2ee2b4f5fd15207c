//! The program itself, from start to exit, under the conditions that a suite asks for: as delivered, with a given pool, in
//! two shards, and with a database or records that are no good. It must not reach into the crate.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{env, thread};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::contestants::{Phase, Source};
use crate::database::{self, Database};
use crate::measure::{self, Measured, Pool};

/// Under what it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// As delivered.
    Plain,
    /// As delivered, with as many records that are all fit: what the others of a suite with rejections are compared with.
    Clean,
    /// As delivered, into the column types of the mappings convention.
    Convention,
    /// Another build, named in the environment: to compare with.
    Other,
    /// With so many connections from the start, and no more.
    Pool(u32),
    /// Two processes at once, each for half of the records.
    Shards,
    /// No record passes.
    Rejected,
    /// PostgreSQL takes no row: everything goes to the spool.
    Spooled,
    /// PostgreSQL takes no row for [`STALL`].
    Stalled,
}

const STALL: Duration = Duration::from_secs(3);

impl Setting {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "datasync sync",
            Self::Clean => "datasync sync, none rejected",
            Self::Convention => "datasync sync, integer and timestamp",
            Self::Other => "datasync sync, the other build",
            Self::Pool(2) => "datasync sync, 2 connections",
            Self::Pool(4) => "datasync sync, 4 connections",
            Self::Pool(_) => "datasync sync, 10 connections",
            Self::Shards => "datasync sync, 2 shards at once",
            Self::Rejected => "datasync sync, all rejected",
            Self::Spooled => "datasync sync, all spooled",
            Self::Stalled => "datasync sync, a stall of 3 s",
        }
    }

    /// Are the rows there afterwards?
    pub const fn stores(self) -> bool {
        !matches!(self, Self::Rejected | Self::Spooled)
    }

    /// What becomes of all records, and the exit code.
    const fn fate(self, phase: Phase) -> (&'static str, i32) {
        match (self, phase) {
            (Self::Rejected, _) => ("rejected", 0),
            (Self::Spooled, _) => ("spooled", 4),
            (_, Phase::First) => ("inserted", 0),
            (_, Phase::Again) => ("unchanged", 0),
        }
    }
}

/// Loads all records once.
pub fn load(
    setting: Setting,
    database: &Database,
    source: &Source,
    state: &Path,
    phase: Phase,
) -> anyhow::Result<Measured> {
    match setting {
        Setting::Shards => shards(database, source, state, phase),
        Setting::Spooled => {
            database.connect()?.batch_execute(
                "CREATE FUNCTION take_none() RETURNS trigger LANGUAGE plpgsql AS \
                 $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'disk_full'; END $$; \
                 CREATE TRIGGER none BEFORE INSERT ON customers EXECUTE FUNCTION take_none()",
            )?;
            one(setting, database, source, state, phase)
        }
        Setting::Stalled => {
            let mut client = database.connect()?;
            let (ready, locked) = mpsc::channel();
            let holder = thread::spawn(move || {
                client.batch_execute("BEGIN; LOCK TABLE customers IN SHARE MODE")?;
                ready.send(())?;
                thread::sleep(STALL);
                client.batch_execute("COMMIT")?;
                anyhow::Ok(())
            });
            locked.recv().context("the lock")?;
            let measured = one(setting, database, source, state, phase)?;
            match holder.join() {
                Ok(held) => held?,
                Err(_) => bail!("the holder of the lock panicked"),
            }
            Ok(measured)
        }
        _ => one(setting, database, source, state, phase),
    }
}

/// Both halves at once.
fn shards(
    database: &Database,
    source: &Source,
    state: &Path,
    phase: Phase,
) -> anyhow::Result<Measured> {
    let started = Instant::now();
    let halves: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = ["1/2", "2/2"]
            .into_iter()
            .map(|shard| {
                let mut command = command(Setting::Shards, database, source, state);
                command.args(["--shard", shard]);
                scope.spawn(move || measure(command, Setting::Shards, phase))
            })
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|_| bail!("a shard panicked")))
            .collect::<anyhow::Result<_>>()
    })?;
    let seconds = started.elapsed().as_secs_f64();
    let inserted: u64 = halves.iter().filter_map(|half| half.records).sum();
    ensure!(
        inserted == source.records,
        "the shards had {inserted} of {}",
        source.records
    );
    Ok(Measured {
        seconds,
        peak_rss_bytes: halves.iter().filter_map(|half| half.peak_rss_bytes).max(),
        records: Some(inserted),
        ..Measured::default()
    })
}

/// One process.
fn one(
    setting: Setting,
    database: &Database,
    source: &Source,
    state: &Path,
    phase: Phase,
) -> anyhow::Result<Measured> {
    let measured = measure(command(setting, database, source, state), setting, phase)?;
    if let Some(expected) = source.fit() {
        ensure!(
            measured.records == Some(expected),
            "{:?} records of {expected} are {}",
            measured.records,
            setting.fate(phase).0
        );
    }
    Ok(measured)
}

/// A program to compare with: `OTHER_BUILD=FILE make bench`.
pub fn other_build() -> Option<OsString> {
    env::var_os("OTHER_BUILD")
}

fn command(setting: Setting, database: &Database, source: &Source, state: &Path) -> Command {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = match other_build() {
        Some(other) if setting == Setting::Other => Command::new(other),
        _ => Command::new(env!("CARGO_BIN_EXE_datasync")),
    };
    command
        .args(["sync", "--full", "--output", "json"])
        .arg("--mappings")
        .arg(folder.join("benches/throughput/mappings.yaml"))
        .arg("--decisions")
        .arg(folder.join("decisions.dmn.xml"))
        .env("DATASYNC_ENV_FILE", "/dev/null")
        .env("DATASYNC_STATE_DIR", state)
        .env(
            "API_BASE_URL",
            match (&source.clean_url, setting) {
                (Some(clean), Setting::Clean) => clean,
                _ => &source.url,
            },
        )
        .env("API_TOKEN", "not-checked")
        .env("PAGE_SIZE", source.page_size.to_string())
        .env("CONCURRENCY", source.concurrency.to_string())
        .env("NO_PROXY", "127.0.0.1")
        .env("DB_HOST", &database.host)
        .env("DB_PORT", database.port.to_string())
        .env("DB_NAME", database::NAME)
        .env("DB_USER", &database.user)
        .env("DB_PASSWORD", &database.password)
        .env("DB_SSLMODE", "disable");
    // What is meant to go wrong need not be told.
    let meant = matches!(
        setting,
        Setting::Rejected | Setting::Spooled | Setting::Stalled
    );
    command.env("RUST_LOG", if meant { "off" } else { "error" });
    match setting {
        Setting::Pool(size) => {
            let size = size.to_string();
            command
                .env("LEAST_CONNECTIONS", &size)
                .env("MOST_CONNECTIONS", &size);
        }
        // The records' scores end at 100.
        Setting::Rejected => {
            command.env("LEAST_SCORE", "101").env("BEST_SCORE", "200");
        }
        _ => {}
    }
    command
}

/// Runs it; what it cost, with the records that had the fate they should have.
fn measure(mut command: Command, setting: Setting, phase: Phase) -> anyhow::Result<Measured> {
    let (fate, exit) = setting.fate(phase);
    let (measured, stdout) = measure::command(&mut command, exit)?;
    let report: Value = serde_json::from_slice(&stdout).context("the JSON report")?;
    let pool = &report["pool"];
    Ok(Measured {
        records: report["ledger"][fate].as_u64(),
        pool: pool["connections"]
            .as_u64()
            .zip(pool["wait_seconds"].as_f64())
            .map(|(connections, wait_seconds)| Pool {
                connections,
                wait_seconds,
                exhausted: pool["exhausted"] == true,
            }),
        ..measured
    })
}
