//! Random servers: whatever one does, a run is complete and has every record, or it is not complete and says so.
//!
//! Most are read in process by the program's own client over real HTTP, some by the whole program into a database.
//! `DATASYNC_SOURCES` says how many (2,000 in `make test`, 50,000 in `make soak`), `DATASYNC_SEED` repeats one.

mod server;

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use datasync::api::{Client, FetchOptions, Pages};

use super::reading::{Reading, ended, mappings, plan};
use crate::support::command::{Workplace, assert_balanced};
use crate::support::http::{Running, Server};
use crate::support::postgres::Database;
use server::{PATH, Source};

/// Sources read at a time.
const LANES: u64 = 4;
/// Of so many sources one is also read by the whole program.
const WHOLE: u64 = 20;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number"))
    })
}

/// One server after the other, at one address.
struct Lane {
    api: Running,
    source: Arc<Mutex<Arc<Source>>>,
    clients: Vec<Client>,
}

impl Lane {
    fn new() -> Self {
        let source = Arc::new(Mutex::new(Arc::new(Source::new(0))));
        let current = Arc::clone(&source);
        let server = Server::new().script(move |request| {
            let source = Arc::clone(&current.lock().unwrap());
            Some(source.reply(request))
        });
        Self {
            api: server.start(),
            source,
            clients: Vec::new(),
        }
    }

    fn serve(&self, seed: u64) -> Arc<Source> {
        let source = Arc::new(Source::new(seed));
        *self.source.lock().unwrap() = Arc::clone(&source);
        source
    }

    fn mappings(source: &Source) -> String {
        mappings(PATH, "", &source.lines(), ["id", "name"])
    }

    fn read(&mut self, source: &Source) -> Reading {
        let api = plan(self.api.url(), &Self::mappings(source));
        let pages = Pages::new(&api, FetchOptions::default()).unwrap();
        let threads = source.concurrency;
        while self.clients.len() < threads {
            self.clients.push(Client::new(&api).unwrap());
        }
        let all = |client: &Client| std::iter::from_fn(|| pages.next(client)).collect::<Vec<_>>();
        let results = match &mut self.clients[..threads] {
            [only] => all(only),
            several => std::thread::scope(|scope| {
                let threads: Vec<_> = several
                    .iter_mut()
                    .map(|client| scope.spawn(|| all(client)))
                    .collect();
                let results = threads.into_iter().map(|thread| thread.join().unwrap());
                results.flatten().collect()
            }),
        };
        ended(results, &pages.stats())
    }
}

/// Reads one in process. True: the run was complete. An error says what is wrong.
fn check(lane: &mut Lane, seed: u64) -> Result<bool, String> {
    let source = lane.serve(seed);
    let reading = lane.read(&source);
    let wrong = if reading.is_complete() && reading.distinct() != source.texts() {
        "complete, but not whole"
    } else if !reading.is_complete() && reading.why_not.is_empty() {
        "not complete, and nobody says why"
    } else if !reading.is_complete() && source.must_be_complete() {
        "not complete, although there is a proof"
    } else if reading.requests > (60 + 3 * source.all) as u64 {
        "asked too often"
    } else {
        return Ok(reading.is_complete());
    };
    Err(format!(
        "{wrong}; repeat with DATASYNC_SEED={seed} DATASYNC_SOURCES=1\n  {source:?}\n  {{ {} }}\n  {} requests, {} \
         records, proof {:?} {}",
        source.lines(),
        reading.requests,
        reading.records.len(),
        reading.proof,
        reading.why_not
    ))
}

#[test]
fn a_run_is_complete_and_whole_or_says_that_it_is_not() {
    let first = number("DATASYNC_SEED", fastrand::u64(..1 << 40));
    let sources = number("DATASYNC_SOURCES", 2_000);
    let (next, complete) = (AtomicU64::new(0), AtomicU64::new(0));
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                let mut lane = Lane::new();
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= sources {
                        return;
                    }
                    match check(&mut lane, first + at) {
                        Ok(whole) => {
                            complete.fetch_add(u64::from(whole), Ordering::Relaxed);
                        }
                        Err(message) => wrong.lock().unwrap().push(message),
                    }
                }
            });
        }
    });
    let (complete, wrong) = (complete.into_inner(), wrong.into_inner().unwrap());
    eprintln!("random sources: {sources} from seed {first}, {complete} complete");
    let shown = &wrong[..wrong.len().min(8)];
    assert!(
        wrong.is_empty(),
        "{} are wrong, such as\n{}",
        wrong.len(),
        shown.join("\n")
    );
    // A program that never calls anything complete would pass everything above.
    assert!(
        sources < 100 || complete > sources / 3,
        "only {complete} of {sources} are complete"
    );
}

#[test]
fn the_whole_program_stores_all_of_it_or_does_not_call_it_complete() {
    let first = number("DATASYNC_SEED", fastrand::u64(..1 << 40));
    let sources = number("DATASYNC_SOURCES", 2_000).div_ceil(WHOLE);
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                let lane = Lane::new();
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= sources {
                        return;
                    }
                    run(&lane, first + at);
                }
            });
        }
    });
    eprintln!("random sources, whole program: {sources} from seed {first}");
}

fn run(lane: &Lane, seed: u64) {
    let source = lane.serve(seed);
    let database = Database::new();
    let place = Workplace::connected(lane.api.url(), &database);
    place.write("mappings.yaml", &Lane::mappings(&source));
    let finished = place.run(&["sync", "--output", "json"]);
    let report = finished.json();
    let here = format!("DATASYNC_SEED={seed} DATASYNC_SOURCES=1\n{source:?}\n{finished}");
    assert_balanced(&report);
    let complete = report["complete"].as_bool().unwrap();
    let proof = report["end"].as_str();
    let baseline = database.one("SELECT coalesce(bool_or(complete), false)::text FROM sync_log");
    assert_eq!(
        baseline,
        complete.to_string(),
        "sync_log and the report differ: {here}"
    );
    if complete {
        assert_eq!(finished.code, 0, "{here}");
        assert!(proof.is_some_and(|proof| proof != "unproven"), "{here}");
        let names = "SELECT customer_id FROM customers ORDER BY 1";
        let rows = database.client().query(names, &[]).unwrap();
        let stored: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        let all: Vec<String> = (1..=source.all).map(|at| format!("R{at:04}")).collect();
        assert_eq!(stored, all, "{here}");
    } else if finished.code == 0 {
        // The source moved while it was read; a warning says so.
        assert!(
            proof.is_none() && !report["problems"].as_array().unwrap().is_empty(),
            "{here}"
        );
    } else {
        assert_eq!(finished.code, 3, "{here}");
        assert!(!finished.stderr.is_empty(), "{here}");
    }
}
