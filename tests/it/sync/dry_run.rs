//! A dry run: what it promises, what it leaves alone, and what it cannot tell.

use super::{Expected, count, record, records};
use crate::support::Workplace;
use crate::support::http::Server;
use crate::support::postgres::Database;

#[test]
fn a_dry_run_touches_nothing() {
    let (texts, _) = records(500);
    let api = Server::new().records(texts).start();
    let database = Database::new();
    let place = Workplace::connected(api.url(), &database);
    let (finished, report) = place.sync(&["--dry-run"]);
    finished.expect(0);
    assert!(count(&report, "inserted") > 300);
    assert!(!place.state().exists(), "not even a folder is made");
    for table in [
        "customers",
        "sync_log",
        "sync_rejections",
        "sync_batches",
        "sync_lease",
        "sync_cases",
        "sync_state",
    ] {
        assert_eq!(
            database.one(&format!("SELECT count(*)::text FROM {table}")),
            "0",
            "{table}"
        );
    }
    assert_eq!(
        database.one("SELECT is_called::text FROM customers_id_seq"),
        "false"
    );
}

#[test]
fn a_dry_run_of_ten_thousand_mixed_records_promises_what_the_run_does() {
    let versioned = |text: &str, version: &str| {
        text.replacen('{', &format!("{{\"updated_date\":\"{version}\","), 1)
    };
    let place = |url: &str, database: &Database| {
        let place = Workplace::connected(url, database);
        place.edit(
            "mappings.yaml",
            "            record_type: {",
            "            updated_date: { to: sourceUpdatedAt, type: datetime, column: false }\n            record_type: {",
        );
        place.edit(
            "mappings.yaml",
            "\nvalidation:\n",
            "\nvalidation:\n  version_field: sourceUpdatedAt\n",
        );
        place
    };
    let database = Database::new();
    // What is stored: all but every fifth record, of the middle of the year.
    let stored: Vec<String> = (1..=10_000)
        .filter(|i| i % 5 != 0)
        .map(|i| versioned(&record(i, 0).1, "2024-06-01T00:00:00Z"))
        .collect();
    let first = Server::new().records(stored).start();
    place(first.url(), &database).sync(&[]).0.expect(0);
    // What comes: some have changed, some are older than what is stored, some come twice in a row.
    let mut coming: Vec<String> = Vec::new();
    for i in 1..=10_000_u32 {
        let generation = u32::from(i.is_multiple_of(3));
        let version = match i % 7 {
            0 => "2024-01-01T00:00:00Z",
            1 | 2 => "2024-06-01T00:00:00Z",
            _ => "2024-07-01T00:00:00Z",
        };
        let text = versioned(&record(i, generation).1, version);
        if i.is_multiple_of(50) {
            coming.push(text.clone());
        }
        coming.push(text);
    }
    coming.truncate(10_000);
    let second = Server::new().records(coming).start();
    let place = place(second.url(), &database);
    let (finished, preview) = place.sync(&["--dry-run"]);
    finished.expect(0);
    for fate in [
        "inserted",
        "updated",
        "unchanged",
        "superseded",
        "duplicates",
        "rejected",
    ] {
        assert!(count(&preview, fate) > 50, "{fate}: {preview}");
    }
    let (finished, report) = place.sync(&[]);
    finished.expect(0);
    assert_eq!(preview["ledger"], report["ledger"]);
    assert_eq!(preview["flagged"], report["flagged"]);
    assert_eq!(
        preview["rejections_by_reason"],
        report["rejections_by_reason"]
    );
    // The first of each kind are shown, with what changes and why.
    for list in ["differences", "for_review", "refused"] {
        assert_eq!(preview[list].as_array().unwrap().len(), 20, "{list}");
        assert!(report.get(list).is_none(), "a run does not show values");
    }
    assert!(
        preview["for_review"][0]["reason"].as_str().unwrap().len() > 10,
        "{preview}"
    );
    let shown = place.run(&["sync", "--dry-run"]);
    shown
        .expect(0)
        .says("First of those to review")
        .says("First of those rejected")
        .says("more; --output json names the first 20");
}

#[test]
fn a_dry_run_without_a_database_shows_the_verdicts_and_says_what_is_missing() {
    let (texts, expected) = records(1_000);
    let api = Server::new().records(texts).start();
    let database = Database::new();
    let place = Workplace::connected(api.url(), &database).env("DB_PORT", "1");
    let (finished, report) = place.sync(&["--dry-run"]);
    finished.expect(4);
    assert_eq!(report["status"], "dry_run");
    assert_eq!(
        (count(&report, "fetched"), count(&report, "spooled")),
        (1_000, 1_000)
    );
    let of = |wanted: fn(&Expected) -> bool| expected.values().filter(|e| wanted(e)).count() as u64;
    assert_eq!(
        report["flagged"],
        of(|e| matches!(e, Expected::Written(row) if row[5] == "WARNING"))
    );
    let by_reason = &report["rejections_by_reason"];
    assert_eq!(
        by_reason["missing_required"],
        of(|e| *e == Expected::Rejected("missing_required"))
    );
    assert_eq!(
        by_reason["field_error"],
        of(|e| *e == Expected::Rejected("field_error"))
    );
    assert_eq!(
        by_reason["decision Rule_ScoreTooLow"],
        of(|e| *e == Expected::Rejected("decision"))
    );
    assert_eq!(report["refused"].as_array().unwrap().len(), 20);
    assert!(!place.state().exists(), "nothing is kept of a dry run");
    let shown = place.run(&["sync", "--dry-run"]);
    shown
        .expect(4)
        .says("1,000 records could not be compared")
        .says("First of those rejected")
        .says("nothing was written");
    assert!(!shown.stdout.contains("is in the spool"), "{shown}");
}

#[test]
fn a_dry_run_says_what_it_could_not_compare_and_what_waits() {
    let (texts, _) = records(600);
    let api = Server::new()
        .records(texts)
        .latency(std::time::Duration::from_millis(300))
        .start();
    let database = Database::new();
    let place = Workplace::connected(api.url(), &database);
    place.edit("mappings.yaml", "lock_timeout: 10s", "lock_timeout: 200ms");
    // An earlier run found no database.
    let port = database.port.to_string();
    let place = place.env("DB_PORT", "1");
    place.run(&["sync"]).expect(4);
    let place = place.env("DB_PORT", port);
    // Somebody takes the table while the first pages are under way.
    let before = api.requests().len();
    let child = place.start(&["sync", "--dry-run", "--output", "json"]);
    while api.requests().len() == before {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let mut holder = database.client();
    holder
        .batch_execute("BEGIN; LOCK customers IN ACCESS EXCLUSIVE MODE")
        .unwrap();
    let finished = crate::support::command::finish(child);
    drop(holder);
    finished
        .expect(4)
        .says("records could not be compared, since the database did not answer for them")
        .says("1 file of earlier runs waits in the spool");
    let report = finished.json();
    crate::support::command::assert_balanced(&report);
    assert!(count(&report, "spooled") > 0, "{report}");
}

#[test]
fn the_first_dry_run_shows_what_would_be_inserted() {
    let (texts, _) = records(200);
    let api = Server::new().records(texts).start();
    let database = Database::new();
    let place = Workplace::connected(api.url(), &database);
    let (_, report) = place.sync(&["--dry-run"]);
    let rows = report["new_rows"].as_array().unwrap();
    assert_eq!(rows.len(), 5, "{report}");
    let names: Vec<&str> = rows[0]["fields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|field| field[0].as_str().unwrap())
        .collect();
    assert!(names.contains(&"customer_name"), "{names:?}");
    assert!(!names.contains(&"source_version"), "{names:?}");
    let shown = place.run(&["sync", "--dry-run"]);
    shown
        .expect(0)
        .says("First of those to insert")
        .says("      customer_name: ");

    // What is stored and has changed differs in what the source sent, not in when it was fetched.
    place.sync(&[]).0.expect(0);
    database.run("UPDATE customers SET customer_name = 'Somebody Else'");
    let (_, report) = place.sync(&["--dry-run"]);
    assert!(report["new_rows"].is_null(), "{report}");
    for difference in report["differences"].as_array().unwrap() {
        let fields = difference["fields"].as_array().unwrap();
        assert_eq!(fields.len(), 1, "{difference}");
        assert_eq!(fields[0][0], "customer_name", "{difference}");
    }
}
