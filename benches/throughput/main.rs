//! Throughput and memory of the real program beside what PostgreSQL itself can take: same machine, same rows, in turn.
//!
//! `make bench` runs it next to a private cluster (`scripts/with-postgres`), which it finds in `DB_*` and `PG_BIN`. Suites
//! are chosen by name, all but the long ones without one: `scripts/with-postgres cargo bench --bench throughput -- load`
//! (`rounds=1` for a quick look). Other tools that are found on the machine take part (`peers.rs`). It prints one table a suite
//! and writes `target/bench/throughput.json` and `.svg`. It must not reach into the crate: datasync is measured as its users run
//! it, from start to exit, with everything on.

mod chart;
mod contestants;
mod database;
mod datasync;
#[path = "../../examples/http/mod.rs"]
#[allow(dead_code)] // the demo API uses the rest
mod http;
mod measure;
mod peers;
mod records;
mod report;

use std::io::Write as _;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{env, io, thread};

use anyhow::{Context, bail, ensure};
use contestants::{Contestant, Source};
use database::Database;
use datasync::Setting;
use measure::Measured;
use records::{Edition, Mix};
use report::Report;

/// What is measured together.
struct Suite {
    name: &'static str,
    title: &'static str,
    records: u64,
    page_size: u64,
    latency: Duration,
    mix: Mix,
    /// Times each contestant runs; medians are shown.
    rounds: usize,
    /// The first is what the others are compared with.
    contestants: &'static [Contestant],
    /// Other tools take part, where there are any.
    peers: bool,
    /// Takes so long that it is run only when it is named.
    long: bool,
}

const SUITES: &[Suite] = &[
    Suite {
        name: "realistic",
        title: "100,000 records: 20 % rejected, 5 % twice, 10 % changed when read again; integer score, timestamp",
        records: 100_000,
        page_size: 1_000,
        latency: Duration::ZERO,
        mix: Mix::Realistic,
        rounds: 5,
        contestants: &[Contestant::Datasync(Setting::Plain)],
        peers: true,
        long: false,
    },
    Suite {
        name: "rejected",
        title: "1,000,000 records, 30 % rejected",
        records: 1_000_000,
        page_size: 1_000,
        latency: Duration::ZERO,
        mix: Mix::Rejected,
        rounds: 5,
        contestants: &[
            Contestant::Datasync(Setting::Clean),
            Contestant::Datasync(Setting::Plain),
        ],
        peers: false,
        long: false,
    },
    Suite {
        name: "rejected-100k",
        title: "100,000 records, 30 % rejected",
        records: 100_000,
        page_size: 1_000,
        latency: Duration::ZERO,
        mix: Mix::Rejected,
        rounds: 5,
        contestants: &[
            Contestant::Datasync(Setting::Clean),
            Contestant::Datasync(Setting::Plain),
        ],
        peers: false,
        long: false,
    },
    Suite {
        name: "types",
        title: "100,000 records into columns of the fields' own types, and into an integer and a timestamp",
        records: 100_000,
        page_size: 1_000,
        latency: Duration::ZERO,
        mix: Mix::Clean,
        rounds: 7,
        contestants: &[
            Contestant::Datasync(Setting::Plain),
            Contestant::Datasync(Setting::Convention),
        ],
        peers: false,
        long: false,
    },
    Suite {
        name: "load",
        title: "100,000 records, 1,000 a page",
        records: 100_000,
        page_size: 1_000,
        latency: Duration::ZERO,
        mix: Mix::Clean,
        rounds: 5,
        contestants: &[Contestant::Psql, Contestant::Datasync(Setting::Plain)],
        peers: true,
        long: false,
    },
    Suite {
        name: "pages",
        title: "100,000 records, 100 a page",
        records: 100_000,
        page_size: 100,
        latency: Duration::ZERO,
        mix: Mix::Clean,
        rounds: 5,
        contestants: &[Contestant::Psql, Contestant::Datasync(Setting::Plain)],
        peers: false,
        long: false,
    },
    Suite {
        name: "latency",
        title: "100,000 records, 1,000 a page, 20 ms away, 8 in flight",
        records: 100_000,
        page_size: 1_000,
        latency: Duration::from_millis(20),
        mix: Mix::Clean,
        rounds: 5,
        contestants: &[Contestant::Psql, Contestant::Datasync(Setting::Plain)],
        peers: false,
        long: false,
    },
    Suite {
        name: "small",
        title: "10,000 records, 1,000 a page",
        records: 10_000,
        page_size: 1_000,
        latency: Duration::ZERO,
        mix: Mix::Clean,
        rounds: 5,
        contestants: &[Contestant::Psql, Contestant::Datasync(Setting::Plain)],
        peers: true,
        long: false,
    },
    Suite {
        name: "limits",
        title: "1,000,000 records, 1,000 a page",
        records: 1_000_000,
        page_size: 1_000,
        latency: Duration::ZERO,
        mix: Mix::Clean,
        rounds: 5,
        contestants: &[
            Contestant::Unnest,
            Contestant::AntiJoin,
            Contestant::Copy,
            Contestant::Psql,
            Contestant::Datasync(Setting::Plain),
        ],
        peers: false,
        long: false,
    },
    Suite {
        name: "huge",
        title: "10,000,000 records, 1,000 a page",
        records: 10_000_000,
        page_size: 1_000,
        latency: Duration::ZERO,
        mix: Mix::Clean,
        rounds: 1,
        contestants: &[Contestant::Datasync(Setting::Plain)],
        peers: false,
        long: true,
    },
    Suite {
        name: "distant",
        title: "100,000 records, 1,000 a page, 100 ms away, 8 in flight",
        records: 100_000,
        page_size: 1_000,
        latency: Duration::from_millis(100),
        mix: Mix::Clean,
        rounds: 5,
        contestants: &[Contestant::Datasync(Setting::Plain)],
        peers: false,
        long: false,
    },
    Suite {
        name: "pools",
        title: "1,000,000 records, pools of 2, 4 and 10, and two shards at once",
        records: 1_000_000,
        page_size: 1_000,
        latency: Duration::ZERO,
        mix: Mix::Clean,
        rounds: 5,
        contestants: &[
            Contestant::Datasync(Setting::Plain),
            Contestant::Datasync(Setting::Pool(2)),
            Contestant::Datasync(Setting::Pool(4)),
            Contestant::Datasync(Setting::Pool(10)),
            Contestant::Datasync(Setting::Shards),
        ],
        peers: false,
        long: false,
    },
    Suite {
        name: "memory",
        title: "1,000,000 records that are not stored at once, or not at all",
        records: 1_000_000,
        page_size: 1_000,
        latency: Duration::ZERO,
        mix: Mix::Clean,
        rounds: 1,
        contestants: &[
            Contestant::Datasync(Setting::Stalled),
            Contestant::Datasync(Setting::Spooled),
            Contestant::Datasync(Setting::Rejected),
        ],
        peers: false,
        long: false,
    },
];

/// Both loads of one contestant, once for each round.
#[derive(Default)]
struct Runs {
    first: Vec<Measured>,
    again: Vec<Measured>,
}

fn run_suite(suite: &Suite, rounds: usize, database: &mut Database) -> anyhow::Result<Report> {
    let source = prepare(suite)?;
    let mut contestants = suite.contestants.to_vec();
    if datasync::other_build().is_some() {
        contestants.push(Contestant::Datasync(Setting::Other));
    }
    if suite.peers {
        contestants.extend(peers::found()?.into_iter().map(Contestant::Peer));
    }
    let mut runs: Vec<Runs> = contestants.iter().map(|_| Runs::default()).collect();
    // In turn, so that a noisy minute hits all alike.
    for round in 1..=rounds {
        for (contestant, runs) in contestants.iter().zip(&mut runs) {
            database.recreate()?;
            let convention = matches!(contestant, Contestant::Datasync(Setting::Convention));
            if suite.mix == Mix::Realistic || convention {
                database.convention()?;
            }
            contestant.prepare(database)?;
            let state = tempfile::tempdir().context("a folder for the state")?;
            let mut load = |phase| {
                source.show(phase);
                database
                    .measured(|database| contestant.load(database, &source, state.path(), phase))
                    .with_context(|| {
                        format!("{} in round {round} of {}", contestant.name(), suite.name)
                    })
            };
            let first = match load(contestants::Phase::First) {
                // Not every tool can load every source: some stop at a record that comes twice.
                Err(error) if matches!(contestant, Contestant::Peer(_)) => {
                    writeln!(io::stderr(), "{error:#}")?;
                    continue;
                }
                first => first?,
            };
            let Some(first) = first else {
                continue;
            };
            runs.first.push(first);
            if contestant.upserts() {
                runs.again.extend(load(contestants::Phase::Again)?);
            }
            let rows = database.rows()?;
            let expected = contestant.expected(&source);
            ensure!(
                rows == expected,
                "{} left {rows} rows of {expected}",
                contestant.name()
            );
        }
    }
    let mut report = Report::new(suite.name, suite.title, suite.records, suite.page_size);
    for (contestant, runs) in contestants.iter().zip(&runs) {
        if runs.first.is_empty() {
            writeln!(
                io::stdout(),
                "{}: not on this machine, or not able to load these records",
                contestant.name()
            )?;
        } else {
            report.add(contestant.name(), &runs.first, &runs.again);
        }
    }
    Ok(report)
}

/// Renders the records in every form that a contestant takes, and serves the pages.
fn prepare(suite: &Suite) -> anyhow::Result<Source> {
    let again = Arc::new(AtomicBool::default());
    let url = serve(suite, suite.mix, &again)?;
    let compared = suite
        .contestants
        .iter()
        .any(|contestant| matches!(contestant, Contestant::Datasync(Setting::Clean)));
    let clean = compared
        .then(|| serve(suite, Mix::Clean, &again))
        .transpose()?;
    // The default where pages are near, 8 where they are far.
    let concurrency = if suite.latency.is_zero() { 4 } else { 8 };
    Source::new(url, clean, suite, concurrency, again)
}

/// Serves the records of a mix until the benchmark ends, as they are read first or again; the base URL.
fn serve(suite: &Suite, mix: Mix, again: &Arc<AtomicBool>) -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").context("a port for the page server")?;
    let url = format!("http://{}", listener.local_addr()?);
    let render = |edition| records::Pages::render(suite.records, suite.page_size, mix, edition);
    let first = render(Edition::First);
    let next = (mix == Mix::Realistic).then(|| render(Edition::Next));
    let (size, latency) = (suite.page_size, suite.latency);
    let shown = Arc::clone(again);
    thread::spawn(move || {
        http::serve(&listener, move |request| {
            let again = shown.load(Ordering::Relaxed);
            let pages = next.as_ref().filter(|_| again).unwrap_or(&first);
            pages.answer(request, size, latency)
        })
    });
    Ok(url)
}

fn main() -> anyhow::Result<()> {
    // `cargo bench` adds --bench.
    let mut wanted: Vec<String> = env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let rounds = wanted
        .iter()
        .position(|argument| argument.starts_with("rounds="))
        .map(|at| wanted.remove(at))
        .map(|argument| argument["rounds=".len()..].parse())
        .transpose()
        .context("rounds=N takes a number")?;
    for name in &wanted {
        if !SUITES.iter().any(|suite| suite.name == name) {
            let names: Vec<&str> = SUITES.iter().map(|suite| suite.name).collect();
            bail!(
                "there is no suite {name:?}: the suites are {}",
                names.join(", ")
            );
        }
    }
    let mut database = Database::from_environment()?;
    let mut reports = Vec::new();
    for suite in SUITES {
        if wanted.is_empty() && !suite.long || wanted.iter().any(|name| name == suite.name) {
            let report = run_suite(suite, rounds.unwrap_or(suite.rounds), &mut database)?;
            report.print(&mut io::stdout())?;
            reports.push(report);
        }
    }
    report::write(&reports)
}
