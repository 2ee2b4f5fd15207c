//! However a run ends, its JSON, its row in `sync_log`, `history` and the metrics say the same.

use serde_json::Value;

use super::{api, expect, place, read, texts};
use crate::support::Workplace;
use crate::support::http::{Fault, Reply, Server};
use crate::support::postgres::Database;

/// Runs a command that is a run, and compares everything that is told of it. Its report.
#[track_caller]
fn told_alike(place: &Workplace, database: &Database, arguments: &[&str], code: i32) -> Value {
    let finished = place.run(&[arguments, &["--output", "json"]].concat());
    finished.expect(code);
    let report = finished.json();
    let status = report["status"].as_str().unwrap().to_owned();
    let run_id = report["run_id"].as_str().unwrap();
    assert_eq!(report["exit_code"], code, "{report}");
    // What write-back fails of is stored by then.
    let told_back = report["errors_by_type"].to_string().contains("write_back");
    assert!(
        status != "success" || matches!(code, 0 | 5) || told_back,
        "exit {code} is no success: {report}"
    );
    let row = database.one(&format!(
        "SELECT lower(status) || ' ' || exit_code FROM sync_log WHERE sync_id = '{run_id}'"
    ));
    assert_eq!(row, format!("{status} {code}"), "{report}");
    let history = place.run(&["history", "--output", "json"]).json();
    let past = &history["runs"][0];
    assert_eq!(past["run_id"], run_id, "{history}");
    assert_eq!(past["status"], status.as_str(), "{history}");
    assert_eq!(past["exit_code"], code, "{history}");
    let metrics = read(place);
    expect(&metrics, "datasync_last_run_exit_code", f64::from(code));
    let outcome = format!("datasync_last_run_outcome{{outcome=\"{status}\"}}");
    expect(&metrics, &outcome, 1.0);
    report
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

#[test]
fn a_run_whose_write_back_fails_is_told_alike_and_not_headed_as_synced() {
    let database = Database::new();
    // Somebody else takes a message away while the API refuses all of them.
    let thief = std::sync::Mutex::new(database.client());
    let api = Server::new()
        .records(texts(20))
        .script(move |request| {
            if request.method != "PUT" {
                return None;
            }
            thief
                .lock()
                .unwrap()
                .execute("DELETE FROM sync_outbox WHERE record_id = 'M-00009'", &[])
                .unwrap();
            Some(Reply::Instead(503, Vec::new(), String::new()))
        })
        .start();
    let place = place(&api, &database);
    place.edit("mappings.yaml", "enabled: false", "enabled: true");
    place.edit(
        "mappings.yaml",
        "method: PUT",
        "method: PUT\n        retry: { initial: 5ms, max: 20ms }",
    );
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
