//! What a case holds: the failure, the checks, who did which step; and no customer's data.

use serde_json::Value;

use super::{api, count, hasty, texts};
use crate::support::Workplace;
use crate::support::http::{Reply, Server};
use crate::support::postgres::Database;

fn case_of(place: &Workplace, database: &Database, id: &str) -> Value {
    let shown = place.run(&["case", "show", id, "--output", "json"]);
    shown.expect(0);
    let stored: Value = serde_json::from_str(&database.one(&format!(
        "SELECT document::text FROM sync_cases WHERE id = '{id}'"
    )))
    .unwrap();
    let mut shown = shown.json();
    for (key, value) in stored.as_object().unwrap() {
        assert_eq!(&shown[key], value, "{key} is not shown as it is stored");
    }
    shown.as_object_mut().unwrap().remove("runs");
    shown
}

fn item<'a>(case: &'a Value, step: &str) -> &'a Value {
    let items = case["items"].as_array().unwrap();
    items.iter().find(|item| item["step"] == step).unwrap()
}

/// Five steps in their order; whoever was at one has left a name and a time, and at the others nobody was.
#[track_caller]
fn assert_plan(case: &Value, states: [&str; 5]) {
    let steps = [
        "investigate",
        "check_api",
        "check_database",
        "resolve",
        "retry",
    ];
    let found: Vec<(&str, &str)> = case["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| {
            (
                item["step"].as_str().unwrap(),
                item["state"].as_str().unwrap(),
            )
        })
        .collect();
    let expected: Vec<_> = steps.into_iter().zip(states).collect();
    assert_eq!(found, expected);
    for item in case["items"].as_array().unwrap() {
        if item["state"] == "completed" || item["state"] == "failed" {
            assert!(!item["who"].as_str().unwrap().is_empty(), "{item}");
            let when = item["when"].as_str().unwrap();
            assert!(when.parse::<jiff::Timestamp>().is_ok(), "{item}");
        } else {
            assert_eq!((&item["who"], &item["when"]), (&Value::Null, &Value::Null));
        }
    }
}

/// What the evidence says of the ledger is what the report says.
#[track_caller]
fn assert_same_ledger(case: &Value, report: &Value) {
    let told: Vec<(String, u64)> =
        serde_json::from_value(case["evidence"]["ledger"].clone()).unwrap();
    assert_eq!(told[0].0, "fetched");
    assert_eq!(told.len(), report["ledger"].as_object().unwrap().len());
    for (name, value) in told {
        assert_eq!(value, count(report, &name), "{name}");
    }
}

fn samples(case: &Value) -> Vec<String> {
    let mut samples: Vec<String> =
        serde_json::from_value(case["evidence"]["samples"].clone()).unwrap();
    samples.sort();
    samples
}

#[test]
fn the_case_of_too_many_rejections_holds_what_was_found_and_who_did_what() {
    let database = Database::new();
    let mut records = texts(8);
    for i in 0..4 {
        records.push(format!(
            r#"{{"external_id":"LOW-{i}","full_name":"Canary {i}","contact_email":"l@example.com","quality_score":10}}"#
        ));
    }
    let poor = Server::new().records(records).start();
    let place = hasty(Workplace::connected(poor.url(), &database));
    let (finished, report) = place.sync(&[]);
    finished.expect(5);
    let id = report["case_id"].as_str().unwrap().to_owned();
    let case = case_of(&place, &database, &id);
    assert_eq!(case["fingerprint"], "threshold:rejection_rate");
    assert_eq!((&case["exit_code"], &case["count"]), (&5.into(), &1.into()));
    let sentence = "rejection_rate: 33.3 % of the records were rejected, more than 20.0 %";
    assert_eq!(case["cause"], sentence);
    assert_eq!(case["evidence"]["errors"], serde_json::json!([sentence]));
    assert_same_ledger(&case, &report);
    assert_eq!(samples(&case), ["LOW-0", "LOW-1", "LOW-2", "LOW-3"]);
    assert_eq!(case["evidence"]["spool_files"], 0);
    assert_eq!(case["occurrences"][0]["run_id"], report["run_id"]);
    assert_eq!(case["occurrences"][0]["exit_code"], 5);
    assert!(!case.to_string().contains("Canary"), "{case}");
    // Both ends were looked at, and both are well.
    let checks = case["evidence"]["checks"].as_array().unwrap();
    for of in ["api", "database"] {
        assert!(checks.iter().any(|check| check["of"] == of), "{of}");
    }
    assert!(checks.iter().all(|check| check["ok"] == true), "{case}");
    assert_plan(
        &case,
        ["active", "completed", "completed", "available", "available"],
    );
    for step in ["check_api", "check_database"] {
        assert_eq!(item(&case, step)["who"], "datasync");
        assert_eq!(item(&case, step)["note"], "all well");
    }

    // A person looks into it; the retry finds it as it was.
    place
        .run(&[
            "case",
            "complete",
            &id,
            "investigate",
            "--note",
            "a bad import",
        ])
        .expect(0);
    let retried = place.run(&["retry", "--case", &id, "--output", "json"]);
    retried.expect(5);
    let case = case_of(&place, &database, &id);
    assert_eq!(item(&case, "investigate")["state"], "completed");
    assert_eq!(item(&case, "investigate")["note"], "a bad import");
    let person = item(&case, "investigate")["who"].as_str().unwrap();
    assert!(person.contains('@'), "{person} is no user@host");
    assert_eq!(item(&case, "retry")["state"], "failed");
    assert_eq!(item(&case, "retry")["who"], person);
    assert_eq!(item(&case, "retry")["note"], sentence);
    assert_eq!(case["count"], 2);
    assert_same_ledger(&case, &retried.json());

    let good = api(12);
    let place = place.with_api(good.url());
    place.run(&["retry", "--case", &id]).expect(0);
    let case = case_of(&place, &database, &id);
    assert_eq!(case["closing"], "resolved");
    assert!(
        case["closed_at"]
            .as_str()
            .unwrap()
            .parse::<jiff::Timestamp>()
            .is_ok()
    );
    assert_plan(
        &case,
        [
            "completed",
            "completed",
            "completed",
            "skipped",
            "completed",
        ],
    );
}

#[test]
fn the_case_of_an_api_that_fails_midway_holds_what_had_been_done_by_then() {
    let database = Database::new();
    let mut records = texts(300);
    records[6] = r#"{"external_id":"LOW-7","full_name":"Canary","contact_email":"l@example.com","quality_score":10}"#
        .to_owned();
    let asked = std::sync::atomic::AtomicUsize::new(0);
    let dying = Server::new()
        .records(records)
        .script(move |_| {
            let number = asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            (number > 0).then(|| Reply::Instead(503, Vec::new(), String::new()))
        })
        .start();
    let place = hasty(Workplace::connected(dying.url(), &database));
    let (finished, report) = place.sync(&[]);
    finished.expect(3);
    assert_eq!(report["status"], "partial");
    let figures = ["fetched", "inserted", "rejected"].map(|name| count(&report, name));
    assert_eq!(figures, [100, 99, 1], "the first page is kept");
    let case = case_of(&place, &database, report["case_id"].as_str().unwrap());
    assert_eq!(case["fingerprint"], "api:status");
    assert_eq!((&case["exit_code"], &case["count"]), (&3.into(), &1.into()));
    let errors = case["evidence"]["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 1, "{case}");
    assert_eq!(errors[0], case["cause"]);
    let cause = case["cause"].as_str().unwrap();
    assert!(
        cause.contains("503") && cause.contains("after 4 tries"),
        "{cause}"
    );
    assert_same_ledger(&case, &report);
    assert_eq!(samples(&case), ["LOW-7"]);
    assert!(!case.to_string().contains("Canary"), "{case}");
    assert_plan(
        &case,
        ["active", "failed", "completed", "available", "available"],
    );
    let looked = item(&case, "check_api");
    assert_eq!(looked["who"], "datasync");
    assert!(looked["note"].as_str().unwrap().contains("503"), "{looked}");
    let checks = case["evidence"]["checks"].as_array().unwrap();
    let bad: Vec<&Value> = checks.iter().filter(|check| check["ok"] == false).collect();
    assert!(
        !bad.is_empty() && bad.iter().all(|check| check["of"] == "api"),
        "{case}"
    );
}
