//! Promise 6: no run outlives `--deadline` by much, whatever does not answer, and it ends in order.

use std::time::{Duration, Instant};

use super::{count, hasty, patient, place, rows, texts};
use crate::support::command::{assert_balanced, finish};
use crate::support::http::{Fault, Server};
use crate::support::postgres::Database;
use crate::support::proxy::{Mode, Proxy};
use crate::support::{Workplace, until};

/// `sync --deadline 2s` ends with this code, and soon.
fn bounded(place: &Workplace, code: i32) -> serde_json::Value {
    let started = Instant::now();
    let (finished, report) = place.sync(&["--deadline", "2s"]);
    finished.expect(code);
    assert!(
        started.elapsed() < Duration::from_secs(7),
        "{:?}\n{finished}",
        started.elapsed()
    );
    report
}

#[test]
fn an_api_that_stalls_is_given_up_at_the_deadline_and_a_case_is_opened() {
    let api = Server::new()
        .records(texts(500))
        .fault(3, Fault::Delay(Duration::from_secs(20)))
        .start();
    let database = Database::new();
    // The shipped timeout of a request is 30 s.
    let place = Workplace::connected(api.url(), &database);
    place.edit("mappings.yaml", "concurrency: 4", "concurrency: 1");
    let report = bounded(&place, 3);
    assert_eq!(count(&report, "inserted"), 200, "what came before is kept");
    assert_eq!(report["status"], "partial");
    let id = report["case_id"].as_str().unwrap();
    assert_eq!(database.one("SELECT id FROM sync_cases"), id);
    assert_eq!(
        database.one("SELECT concat_ws(' ', status, exit_code) FROM sync_log"),
        "PARTIAL 3"
    );
}

#[test]
fn a_retry_after_that_does_not_fit_into_what_is_left_is_not_waited_for() {
    let wait = vec![("Retry-After", "600".to_owned())];
    let api = Server::new().always(Fault::StatusWith(429, wait)).start();
    let database = Database::new();
    let place = Workplace::connected(api.url(), &database);
    place.edit("mappings.yaml", "max: 30s ", "max: 20m ");
    let report = bounded(&place, 3);
    assert!(
        report["problems"].to_string().contains("429"),
        "which trouble ate the time: {report}"
    );
}

#[test]
fn a_database_that_goes_silent_is_given_up_at_the_deadline_and_what_came_is_spooled() {
    let database = Database::new();
    let proxy = Proxy::start(database.port);
    let api = Server::new().records(texts(2_000)).held_after(0).start();
    let place = patient(place(&api, &database))
        .env("DB_HOST", "127.0.0.1")
        .env("DB_PORT", proxy.port.to_string());
    let started = Instant::now();
    let child = place.start(&["sync", "--deadline", "4s", "--output", "json"]);
    until("a request", || !api.requests().is_empty());
    proxy.set(Mode::BlackHole);
    api.let_go();
    let finished = finish(child);
    assert!(
        started.elapsed() < Duration::from_secs(11),
        "{:?}\n{finished}",
        started.elapsed()
    );
    finished.expect(4);
    let report = finished.json();
    assert_balanced(&report);
    assert!(count(&report, "spooled") > 0, "{report}");
    assert_eq!(count(&report, "inserted"), 0, "{report}");
    proxy.set(Mode::Forward);
    database.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'datasync' AND datname = current_database()",
    );
    place.run(&["sync"]).expect(0);
    assert_eq!(rows(&database), "2000");
}

#[test]
fn both_ends_silent_from_the_start_do_not_keep_a_run_beyond_its_deadline() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let database = Database::new();
    let place = Workplace::connected(&format!("http://127.0.0.1:{port}"), &database)
        .env("DB_HOST", "127.0.0.1")
        .env("DB_PORT", port.to_string());
    let report = bounded(&place, 4);
    assert_eq!(count(&report, "fetched"), 0);
    assert!(report["case_id"].is_string(), "a failed run leaves a trace");
}

#[test]
fn waiting_for_another_run_ends_at_the_deadline() {
    let database = Database::new();
    let api = Server::new().records(texts(50)).start();
    let place = hasty(Workplace::connected(api.url(), &database));
    database.run(
        "INSERT INTO sync_lease (target, run_id, who, host, process, started_at, heartbeat_at, expires_at) \
         SELECT 'public.customers', gen_random_uuid(), 'somebody', 'elsewhere', '', now(), now(), now() + interval '1 hour'",
    );
    let started = Instant::now();
    place
        .run(&["sync", "--wait", "5m", "--deadline", "2s"])
        .expect(75);
    assert!(started.elapsed() < Duration::from_secs(6));
    assert!(api.requests().is_empty());
}

#[test]
fn a_second_connection_that_does_not_come_about_keeps_no_run_beyond_its_deadline() {
    let database = Database::new();
    let proxy = Proxy::start(database.port);
    proxy.set(Mode::OnlyFirst);
    let api = Server::new().records(texts(1_000)).start();
    let place = place(&api, &database)
        .env("DB_HOST", "127.0.0.1")
        .env("DB_PORT", proxy.port.to_string());
    place.edit("mappings.yaml", "batch_size: 5000", "batch_size: 100");
    place.edit(
        "mappings.yaml",
        "connection_timeout: 5s",
        "connection_timeout: 60s",
    );
    let report = bounded(&place, 4);
    assert!(
        count(&report, "inserted") > 0,
        "the first one writes: {report}"
    );
    assert!(
        count(&report, "spooled") > 0,
        "what the second had: {report}"
    );
    assert_eq!(count(&report, "fetched"), 1_000);
}
