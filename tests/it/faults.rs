//! The fault matrix: everything that can go wrong, provoked against the real program, a real PostgreSQL and a server that
//! misbehaves on purpose. The name of a test begins with its row in docs/faults.md. `Workplace::sync` checks the ledger of
//! every run.
#![allow(clippy::unwrap_used)]

mod api_content;
mod api_transport;
mod clocks;
mod concurrency;
mod configuration;
mod database_connection;
mod database_content;
mod deadlines;
mod limits;
mod pagination;
mod pooler;
mod process;
mod refused_copies;
mod security;
mod spool_calls;
mod threads;
mod triggers;
mod waits;

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::command::Finished;
use crate::support::http::{Fault, Running, Server};
use crate::support::postgres::Database;
use crate::support::{Workplace, signal};

/// Records F-00000, F-00001, … that every rule accepts.
fn texts(count: u32) -> Vec<String> {
    (0..count).map(|i| text(&format!("F-{i:05}"))).collect()
}

fn text(id: &str) -> String {
    format!(
        r#"{{"external_id":"{id}","full_name":"Name of {id}","contact_email":"{id}@example.com","created_date":"2024-01-01T00:00:00Z","quality_score":90,"record_type":"lead"}}"#
    )
}

/// Retries and timeouts that do not keep a test waiting.
fn hasty(place: Workplace) -> Workplace {
    place.edit("mappings.yaml", "initial: 500ms", "initial: 5ms");
    place.edit("mappings.yaml", "max: 30s ", "max: 40ms ");
    place.edit("mappings.yaml", "timeout: 30s ", "timeout: 1s ");
    place
}

fn place(api: &Running, database: &Database) -> Workplace {
    hasty(Workplace::connected(api.url(), database))
}

/// The same, but a request may take its time: for an API that a test holds.
fn patient(place: Workplace) -> Workplace {
    place.edit("mappings.yaml", "timeout: 1s ", "timeout: 30s ");
    place
}

fn count(report: &Value, name: &str) -> u64 {
    report["ledger"][name].as_u64().unwrap()
}

fn rows(database: &Database) -> String {
    database.one("SELECT count(*)::text FROM customers")
}

/// A run against this server with a fresh database.
fn run(server: Server) -> (Finished, Value, Running, Database) {
    let api = server.start();
    let database = Database::new();
    let (finished, report) = place(&api, &database).sync(&[]);
    (finished, report, api, database)
}

/// The fault strikes once, in the middle; a retry gets everything.
fn passes(fault: Fault) {
    let (finished, report, _api, database) = run(Server::new().records(texts(450)).fault(3, fault));
    finished.expect(0);
    assert_eq!(count(&report, "inserted"), 450);
    assert!(report["api_retries"].as_u64().unwrap() >= 1, "{report}");
    assert_eq!(
        rows(&database),
        "450",
        "no page is missing, none is there in part"
    );
}

/// The fault stays. Exit 3 after so many requests (the last one is the evidence for the case), and a case.
fn fails(fault: Fault, tries: usize, says: &str) -> (Finished, Value) {
    let started = Instant::now();
    let (finished, report, api, database) = run(Server::new().always(fault));
    finished.expect(3).says(says);
    assert_eq!(api.requests().len(), tries + 1, "{finished}");
    assert_eq!(report["status"], "failed");
    let id = report["case_id"].as_str().unwrap();
    assert_eq!(
        database.one("SELECT id FROM sync_cases WHERE status = 'open' ORDER BY id LIMIT 1"),
        id
    );
    assert_eq!(
        database.one("SELECT concat_ws(' ', status, exit_code) FROM sync_log"),
        "FAILED 3"
    );
    assert!(started.elapsed() < Duration::from_secs(20));
    (finished, report)
}
