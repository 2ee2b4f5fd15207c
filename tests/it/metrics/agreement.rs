//! However a run ends, its JSON, its row in `sync_log`, `history` and the metrics say the same.

use serde_json::Value;

use super::{api, expect, place, read, texts, with_a_message_taken_away};
use crate::support::command::{Finished, finish};
use crate::support::http::{Fault, Server};
use crate::support::postgres::{Cluster, Database};
use crate::support::{Workplace, until};

/// Runs a command that is a run, and compares everything that is told of it. Its report.
#[track_caller]
fn told_alike(place: &Workplace, database: &Database, arguments: &[&str], code: i32) -> Value {
    let finished = place.run(&[arguments, &["--output", "json"]].concat());
    let report = told_to_the_outside(place, &finished, code);
    logged_alike(place, database, &report);
    report
}

/// Compares exit code, JSON and metrics of a run. Its report.
#[track_caller]
fn told_to_the_outside(place: &Workplace, finished: &Finished, code: i32) -> Value {
    finished.expect(code);
    let report = finished.json();
    let status = report["status"].as_str().unwrap();
    assert_eq!(report["exit_code"], code, "{report}");
    // What write-back fails of is stored by then.
    let told_back = report["errors_by_type"].to_string().contains("write_back");
    assert!(
        status != "success" || matches!(code, 0 | 5) || told_back,
        "exit {code} is no success: {report}"
    );
    let metrics = read(place);
    expect(&metrics, "datasync_last_run_exit_code", f64::from(code));
    let outcome = format!("datasync_last_run_outcome{{outcome=\"{status}\"}}");
    expect(&metrics, &outcome, 1.0);
    report
}

/// Compares what `sync_log` and `history` say of a run with its report.
#[track_caller]
fn logged_alike(place: &Workplace, database: &Database, report: &Value) {
    let run_id = report["run_id"].as_str().unwrap();
    let (status, code) = (report["status"].as_str().unwrap(), &report["exit_code"]);
    let row = database.one(&format!(
        "SELECT lower(status) || ' ' || exit_code FROM sync_log WHERE sync_id = '{run_id}'"
    ));
    assert_eq!(row, format!("{status} {code}"), "{report}");
    let history = place.run(&["history", "--output", "json"]).json();
    let runs = history["runs"].as_array().unwrap();
    let past = runs.iter().find(|past| past["run_id"] == run_id).unwrap();
    assert_eq!(past["status"], status, "{history}");
    assert_eq!(past["exit_code"], *code, "{history}");
}

#[test]
fn a_run_is_told_alike_however_it_ends() {
    let database = Database::new();
    let good = api(20);
    let place = place(&good, &database);
    told_alike(&place, &database, &["sync"], 0);

    // The API is away: for the run, and for its retry, which does not even get to fetch.
    let broken = Server::new().always(Fault::Status(403)).start();
    let place = place.with_api(broken.url());
    let report = told_alike(&place, &database, &["sync"], 3);
    assert_eq!(report["status"], "failed");
    let case = report["case_id"].clone();
    let report = told_alike(&place, &database, &["retry"], 3);
    assert_eq!(report["status"], "failed");
    assert_eq!(report["case_id"], case, "the retry is of this case");
    assert!(
        report["problems"][0].as_str().unwrap().contains("403"),
        "{report}"
    );
    let open = database.one("SELECT count(*)::text FROM sync_cases WHERE status = 'open'");
    assert_eq!(open, "1", "a failed retry opens no case of its own");
    let place = place.with_api(good.url());
    told_alike(&place, &database, &["retry"], 0);

    // Most records are bad: done, with exit 5.
    let poor = Server::new()
        .records(texts(20).iter().map(|text| text.replace(":90", ":30")))
        .start();
    let place = place.with_api(poor.url());
    let report = told_alike(&place, &database, &["sync"], 5);
    assert_eq!(report["status"], "success");
    let report = told_alike(&place, &database, &["retry"], 5);
    assert_eq!(report["status"], "success");
}

/// The log rows wait on disk and are moved by the next run that reaches the database.
#[test]
fn a_run_without_a_database_is_told_alike_once_it_is_back() {
    let cluster = Cluster::new(&[], &[]);
    let database = cluster.database();
    let good = api(9_000);
    let place = place(&good, &database);
    place.edit("mappings.yaml", "size: 100 ", "size: 1000 ");
    cluster.stop("fast");
    let finished = place.run(&["sync", "--limit", "500", "--output", "json"]);
    let spooled = told_to_the_outside(&place, &finished, 4);
    assert_eq!(spooled["status"], "partial", "{spooled}");
    let finished = place.run(&["sync", "--output", "json"]);
    let waiting = told_to_the_outside(&place, &finished, 4);
    assert_eq!(
        waiting["status"], "failed",
        "nothing was fetched: {waiting}"
    );
    std::fs::remove_dir_all(place.state().join("spool")).unwrap();
    place.edit("mappings.yaml", "max_bytes: 1GiB", "max_bytes: 1MiB");
    let finished = place.run(&["sync", "--output", "json"]);
    let full = told_to_the_outside(&place, &finished, 6);
    assert_eq!(full["status"], "partial", "{full}");
    cluster.start();
    told_alike(&place, &database, &["sync"], 0);
    for report in [spooled, waiting, full] {
        logged_alike(&place, &database, &report);
    }
}

#[test]
fn a_run_that_is_asked_to_stop_is_told_alike() {
    for (signal, code) in [
        (rustix::process::Signal::INT, 130),
        (rustix::process::Signal::TERM, 143),
        (rustix::process::Signal::HUP, 129),
    ] {
        let database = Database::new();
        let slow = Server::new().records(texts(400)).held_after(2).start();
        let place = place(&slow, &database);
        place.edit("mappings.yaml", "concurrency: 4", "concurrency: 1");
        let child = place.start(&["sync", "--output", "json"]);
        until("a third request", || slow.requests().len() >= 3);
        crate::support::signal(signal, child.id());
        let report = told_to_the_outside(&place, &finish(child), code);
        assert_eq!(report["status"], "partial", "{report}");
        logged_alike(&place, &database, &report);
    }
}

/// The run that is at work says how it ends; the other one has nothing to log.
#[test]
fn a_run_that_finds_another_at_work_leaves_no_row() {
    let database = Database::new();
    let slow = Server::new().records(texts(30)).held_after(0).start();
    let place = place(&slow, &database);
    let first = place.start(&["sync", "--output", "json"]);
    until("a request", || !slow.requests().is_empty());
    let second = place.run(&["sync", "--output", "json"]);
    second.expect(75);
    assert_eq!(second.json()["exit_code"], 75, "{second}");
    let metrics = read(&place);
    expect(&metrics, "datasync_last_run_exit_code", 75.0);
    expect(&metrics, "datasync_last_run_outcome{outcome=\"busy\"}", 1.0);
    slow.let_go();
    let report = told_to_the_outside(&place, &finish(first), 0);
    logged_alike(&place, &database, &report);
    assert_eq!(database.one("SELECT count(*)::text FROM sync_log"), "1");
}

/// Something in the state directory cannot be read when the retry is over: what it wrote is written, and everybody is told
/// that the rest is not known.
#[test]
fn a_retry_whose_cases_cannot_be_read_is_told_alike() {
    let database = Database::new();
    let broken = Server::new().always(Fault::Status(403)).start();
    let place = place(&broken, &database);
    told_alike(&place, &database, &["sync"], 3);
    let unreadable = place.state().join("cases").join("unreadable.json");
    let good = Server::new()
        .records(texts(20))
        .script(move |_| {
            std::fs::create_dir_all(&unreadable).unwrap();
            None
        })
        .start();
    let place = place.with_api(good.url());
    let report = told_alike(&place, &database, &["retry"], 6);
    assert_eq!(report["status"], "partial", "{report}");
    assert_eq!(report["ledger"]["inserted"], 18, "{report}");
}

#[test]
fn a_run_whose_write_back_fails_is_told_alike_and_not_headed_as_synced() {
    let database = Database::new();
    let (_api, place) = with_a_message_taken_away(&database);
    told_alike(&place, &database, &["sync"], 1);
    let shown = place.run(&["sync"]);
    assert_ne!(shown.code, 0, "{shown}");
    assert!(!shown.stdout.starts_with("Synced"), "{shown}");
}

#[test]
fn rejections_decided_again_by_the_same_rules_are_no_rejection_rate_and_no_case() {
    let database = Database::new();
    let api = api(100);
    let place = place(&api, &database);
    told_alike(&place, &database, &["sync"], 0);
    let report = told_alike(&place, &database, &["retry", "--rejected"], 0);
    assert_eq!(report["ledger"]["rejected"], 10, "{report}");
    assert_eq!(report["alerts"], serde_json::json!([]), "{report}");
    assert_eq!(report["case_id"], Value::Null, "{report}");
    assert_eq!(database.one("SELECT count(*)::text FROM sync_cases"), "0");
    expect(&read(&place), "datasync_last_run_success_ratio", 1.0);
    let shown = place.run(&["retry", "--rejected"]);
    shown
        .expect(0)
        .says("Decided again: 10 stored rejections, 10 stay rejected");
    assert!(!shown.stdout.contains("100.0 %"), "{shown}");
}
