//! Who loads the records: datasync; psql, as one would do it by hand; loaders that have their rows in memory already and do
//! nothing but write, to show what PostgreSQL takes; and other tools. It must not measure more than its own load.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};
use std::{fs, thread};

use anyhow::{Context, bail};
use postgres::types::{ToSql, Type};
use tempfile::TempDir;

use crate::Suite;
use crate::database::{self, Database};
use crate::datasync::{self, Setting};
use crate::measure::{self, Measured};
use crate::peers::Peer;
use crate::records::{COLUMNS, Customer, Mix};

/// Rows in one statement of the streaming loaders, and their connections.
const STATEMENT_ROWS: usize = 5_000;
const CONNECTIONS: usize = 2;

/// The records in every form that a contestant takes.
pub struct Source {
    /// Base URL of the page server.
    pub url: String,
    /// Base URL of one with as many records that are all fit, where there is one.
    pub clean_url: Option<String>,
    pub records: u64,
    pub page_size: u64,
    /// Pages in flight.
    pub concurrency: u32,
    mix: Mix,
    /// Different customers: all, and those that are fit.
    pub distinct: (u64, u64),
    /// The page server shows the source as it is when it is read again.
    again: Arc<AtomicBool>,
    /// All customers in the order of [`COLUMNS`], without a header.
    csv: PathBuf,
    columns: Columns,
    /// Holds `csv`; removed with it.
    _folder: TempDir,
}

impl Source {
    pub fn new(
        url: String,
        clean_url: Option<String>,
        suite: &Suite,
        concurrency: u32,
        again: Arc<AtomicBool>,
    ) -> anyhow::Result<Self> {
        let (records, page_size, mix) = (suite.records, suite.page_size, suite.mix);
        let folder = tempfile::tempdir().context("a folder for the CSV file")?;
        let csv = folder.path().join("customers.csv");
        let mut file = BufWriter::new(fs::File::create(&csv)?);
        let mut columns = Columns::default();
        // Those that take rows as they are take no part where some are to be rejected.
        let rows = if mix == Mix::Clean { records } else { 0 };
        for number in 1..=rows {
            let customer = Customer::new(number);
            file.write_all(customer.csv().as_bytes())?;
            columns.push(customer);
        }
        file.flush()?;
        Ok(Self {
            url,
            clean_url,
            records,
            page_size,
            concurrency,
            mix,
            distinct: mix.distinct(records),
            again,
            csv,
            columns,
            _folder: folder,
        })
    }

    /// Shows the source as it is in this phase.
    pub fn show(&self, phase: Phase) {
        self.again.store(phase == Phase::Again, Ordering::Relaxed);
    }

    /// Records with the fate that says that a load by the program went as it should, as its ledger has them.
    pub fn fit(&self) -> Option<u64> {
        (self.mix == Mix::Clean).then_some(self.records)
    }
}

/// All customers, column by column.
#[derive(Default)]
struct Columns {
    ids: Vec<String>,
    names: Vec<String>,
    emails: Vec<String>,
    created: Vec<SystemTime>,
    scores: Vec<i32>,
    kinds: Vec<&'static str>,
    statuses: Vec<&'static str>,
    reviews: Vec<bool>,
}

impl Columns {
    fn push(&mut self, customer: Customer) {
        self.created
            .push(SystemTime::UNIX_EPOCH + Duration::from_secs(customer.created));
        self.scores.push(i32::from(customer.score));
        self.kinds.push(customer.kind);
        self.statuses.push(customer.status());
        self.reviews.push(customer.needs_review());
        self.ids.push(customer.id);
        self.names.push(customer.name);
        self.emails.push(customer.email);
    }
}

/// The first load meets an empty table, the next one the same rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    First,
    Again,
}

/// Who loads.
#[derive(Clone, Debug)]
pub enum Contestant {
    /// The program, from start to exit.
    Datasync(Setting),
    /// `\copy` into a temporary table, then INSERT … ON CONFLICT, in one transaction.
    Psql,
    /// Typed arrays, INSERT … SELECT FROM unnest … ON CONFLICT … WHERE the content differs.
    Unnest,
    /// The same, but only rows that are new or differ reach the INSERT.
    AntiJoin,
    /// COPY straight into the table: what an append costs. It cannot be run twice.
    Copy,
    /// Another tool.
    Peer(Peer),
}

impl Contestant {
    pub fn name(&self) -> &str {
        match self {
            Self::Datasync(setting) => setting.name(),
            Self::Psql => "psql \\copy + INSERT … ON CONFLICT",
            Self::Unnest => "unnest, 5,000 rows × 2 connections",
            Self::AntiJoin => "the same with an anti-join",
            Self::Copy => "COPY straight into the table",
            Self::Peer(peer) => &peer.name,
        }
    }

    /// Can it be run again?
    pub const fn upserts(&self) -> bool {
        match self {
            Self::Datasync(Setting::Rejected | Setting::Spooled | Setting::Stalled)
            | Self::Copy => false,
            Self::Datasync(_) | Self::Psql | Self::Unnest | Self::AntiJoin | Self::Peer(_) => true,
        }
    }

    /// Rows in the table afterwards. Other tools keep what is not fit as well.
    pub const fn expected(&self, source: &Source) -> u64 {
        match self {
            Self::Datasync(setting) if !setting.stores() => 0,
            Self::Datasync(Setting::Clean) => source.records,
            Self::Datasync(_) => source.distinct.1,
            _ => source.distinct.0,
        }
    }

    /// Makes the database ready, which is not measured.
    pub fn prepare(&self, database: &Database) -> anyhow::Result<()> {
        match self {
            Self::Peer(peer) => peer.prepare(database),
            _ => Ok(()),
        }
    }

    /// Loads all records once; None when it cannot on this machine, or not in this phase.
    pub fn load(
        &self,
        database: &Database,
        source: &Source,
        state: &Path,
        phase: Phase,
    ) -> anyhow::Result<Option<Measured>> {
        match self {
            Self::Datasync(setting) => {
                datasync::load(*setting, database, source, state, phase).map(Some)
            }
            Self::Psql => psql(database, source, &upsert_script(&source.csv)).map(Some),
            Self::Copy => psql(database, source, &copy_script(&source.csv)).map(Some),
            Self::Unnest => stream(database, &source.columns, &unnest_statement(false)).map(Some),
            Self::AntiJoin => stream(database, &source.columns, &unnest_statement(true)).map(Some),
            Self::Peer(peer) => peer.load(database, source, phase),
        }
    }
}

fn psql(database: &Database, source: &Source, script: &str) -> anyhow::Result<Measured> {
    let file = source.csv.with_extension("sql");
    fs::write(&file, script)?;
    let mut command = Command::new(Path::new(&database.programs).join("psql"));
    command
        .args(["-Xq", "-v", "ON_ERROR_STOP=1", "-f"])
        .arg(file)
        .env("PGHOST", &database.host)
        .env("PGPORT", database.port.to_string())
        .env("PGDATABASE", database::NAME)
        .env("PGUSER", &database.user)
        .env("PGPASSWORD", &database.password);
    Ok(measure::command(&mut command, 0)?.0)
}

/// The types that the columns arrive in; the score becomes numeric on the way into the table.
const STAGING: &str = "customer_id text, customer_name text, email text, created_at timestamptz, \
                       quality_score integer, record_type text, validation_status text, needs_review boolean";

/// The content columns of a table or row.
fn content(of: &str) -> String {
    let names: Vec<String> = COLUMNS
        .split(", ")
        .skip(1)
        .map(|name| format!("{of}.{name}"))
        .collect();
    names.join(", ")
}

/// What makes an INSERT an upsert that leaves unchanged rows alone. `now` is an expression without `now()`.
fn on_conflict() -> String {
    let assignments: Vec<String> = COLUMNS
        .split(", ")
        .skip(1)
        .map(|name| format!("{name} = excluded.{name}"))
        .collect();
    format!(
        "ON CONFLICT (customer_id) DO UPDATE SET {}, updated_at = excluded.updated_at, source_version = excluded.source_version \
         WHERE ({}) IS DISTINCT FROM ({})",
        assignments.join(", "),
        content("customers"),
        content("excluded"),
    )
}

fn upsert_script(csv: &Path) -> String {
    format!(
        "BEGIN;\n\
         CREATE TEMPORARY TABLE staging ({STAGING}) ON COMMIT DROP;\n\
         \\copy staging FROM '{}' WITH (FORMAT csv)\n\
         INSERT INTO customers ({COLUMNS}, updated_at, source_version) SELECT {COLUMNS}, now(), now() FROM staging {};\n\
         COMMIT;\n",
        csv.display(),
        on_conflict(),
    )
}

fn copy_script(csv: &Path) -> String {
    format!(
        "ALTER TABLE customers ALTER updated_at SET DEFAULT now(), ALTER source_version SET DEFAULT now();\n\
         \\copy customers ({COLUMNS}) FROM '{}' WITH (FORMAT csv)\n",
        csv.display(),
    )
}

fn unnest_statement(anti_join: bool) -> String {
    let changed = if anti_join {
        format!(
            "WHERE NOT EXISTS (SELECT FROM customers AS stored WHERE stored.customer_id = new.customer_id \
             AND ({}) IS NOT DISTINCT FROM ({}))",
            content("stored"),
            content("new"),
        )
    } else {
        String::new()
    };
    format!(
        "INSERT INTO customers ({COLUMNS}, updated_at, source_version) \
         SELECT {COLUMNS}, $9, $9 FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::int4[], $6::text[], \
         $7::text[], $8::bool[]) AS new ({COLUMNS}) {changed} {}",
        on_conflict(),
    )
}

/// Every connection takes its share of the rows, statement by statement, each its own transaction.
fn stream(database: &Database, columns: &Columns, statement: &str) -> anyhow::Result<Measured> {
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut client = database.connect()?;
        // Statistics of a table that grows from nothing mislead the planner: stored rows are found by index.
        client.batch_execute(
            "SET plan_cache_mode = force_custom_plan; SET enable_hashjoin = off; SET enable_mergejoin = off; \
             SET enable_seqscan = off",
        )?;
        clients.push(client);
    }
    let started = Instant::now();
    let share = columns.ids.len().div_ceil(CONNECTIONS).max(1);
    let results: Vec<anyhow::Result<()>> = thread::scope(|scope| {
        let workers: Vec<_> = clients
            .iter_mut()
            .enumerate()
            .map(|(worker, client)| {
                scope.spawn(move || {
                    let now = SystemTime::now();
                    let prepared = client.prepare_typed(statement, TYPES)?;
                    let end = ((worker + 1) * share).min(columns.ids.len());
                    let mut start = worker * share;
                    while start < end {
                        let rows = start..(start + STATEMENT_ROWS).min(end);
                        start = rows.end;
                        let parameters: &[&(dyn ToSql + Sync)] = &[
                            &&columns.ids[rows.clone()],
                            &&columns.names[rows.clone()],
                            &&columns.emails[rows.clone()],
                            &&columns.created[rows.clone()],
                            &&columns.scores[rows.clone()],
                            &&columns.kinds[rows.clone()],
                            &&columns.statuses[rows.clone()],
                            &&columns.reviews[rows],
                            &now,
                        ];
                        client.execute(&prepared, parameters)?;
                    }
                    Ok(())
                })
            })
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|_| bail!("a loader panicked")))
            .collect()
    });
    let seconds = started.elapsed().as_secs_f64();
    results.into_iter().collect::<anyhow::Result<()>>()?;
    Ok(Measured {
        seconds,
        ..Measured::default()
    })
}

const TYPES: &[Type] = &[
    Type::TEXT_ARRAY,
    Type::TEXT_ARRAY,
    Type::TEXT_ARRAY,
    Type::TIMESTAMPTZ_ARRAY,
    Type::INT4_ARRAY,
    Type::TEXT_ARRAY,
    Type::TEXT_ARRAY,
    Type::BOOL_ARRAY,
    Type::TIMESTAMPTZ,
];
