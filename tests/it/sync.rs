//! `sync`, from real HTTP to a real table: what is written is compared with a computation of our own, row by row.
#![allow(clippy::unwrap_used)]

mod dry_run;
mod growth;
mod rejections;
mod settings;
mod versions;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::Workplace;
use crate::support::http::{Fault, Server};
use crate::support::postgres::Database;

/// What we, without the program, say should become of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Expected {
    /// Name, e-mail, type, score, created (UTC), status.
    Written([String; 6]),
    Rejected(&'static str),
}

/// A record as the API sends it, and what should become of it.
fn record(i: u32, generation: u32) -> (String, String, Expected) {
    let id = format!("E2E-{i:06}");
    let name = [
        "Zoë Müller",
        "李小龙",
        "عمر حسن",
        "Ana \\\"Nana\\\" Silva",
        "O'Brien \\u00e9\\ud83e\\udd80",
    ][i as usize % 5];
    let stored_name = [
        "Zoë Müller",
        "李小龙",
        "عمر حسن",
        "Ana \"Nana\" Silva",
        "O'Brien é🦀",
    ][i as usize % 5];
    let email = format!("user+{i}.{generation}@example{}.com", i % 7);
    let (hour, offset) = (i % 24, i % 12);
    let created = format!("2024-03-{:02}T{hour:02}:30:00+{offset:02}:00", 1 + i % 28);
    let utc = {
        // Hours since the first of the month, less the offset.
        let hours = i64::from(i % 28) * 24 + i64::from(hour) - i64::from(offset);
        let (day, hour) = (hours.div_euclid(24), hours.rem_euclid(24));
        if day < 0 {
            format!("2024-02-29T{hour:02}:30:00Z")
        } else {
            format!("2024-03-{:02}T{hour:02}:30:00Z", day + 1)
        }
    };
    let scores = [
        "100",
        "79.5",
        "50",
        "49",
        "80",
        "0",
        "49.5",
        "79",
        "\"93.25\"",
        "99",
        "81",
        "55",
        "98",
        "64.125",
        "90",
        "88",
        "97",
        "83.50",
        "100.0",
        "72",
    ];
    let score = scores[i as usize % 20];
    let kind = ["customer", "lead", "partner", "reseller", "martian"][i as usize / 3 % 5];

    if i.is_multiple_of(97) {
        let text = format!(
            r#"{{"external_id":"{id}","full_name":"  ","contact_email":"{email}","quality_score":{score}}}"#
        );
        return (id, text, Expected::Rejected("missing_required"));
    }
    if i.is_multiple_of(89) {
        let text = format!(
            r#"{{"external_id":"{id}","full_name":"{name}","contact_email":"nobody","quality_score":{score}}}"#
        );
        return (id, text, Expected::Rejected("field_error"));
    }
    let text = format!(
        r#"{{"external_id":"{id}","full_name":"{name}","contact_email":"{email}","created_date":"{created}","quality_score":{score},"record_type":"{kind}","ignored":{{"deep":[1,2,{{}}]}}}}"#
    );
    let score = score.trim_matches('"');
    let points: f64 = score.parse().unwrap();
    let status = if points >= 80.0 {
        "VALID"
    } else if points >= 50.0 {
        "WARNING"
    } else {
        return (id, text, Expected::Rejected("decision"));
    };
    let row = [stored_name, &email, kind, score, &utc, status].map(str::to_owned);
    (id, text, Expected::Written(row))
}

/// Texts of the records and what should become of each id.
fn records(count: u32) -> (Vec<String>, BTreeMap<String, Expected>) {
    let mut texts = Vec::new();
    let mut expected = BTreeMap::new();
    for i in 1..=count {
        let (id, text, fate) = record(i, 0);
        texts.push(text);
        expected.insert(id, fate);
    }
    (texts, expected)
}

/// Asserts that `customers` and `sync_rejections` hold exactly what was expected.
fn assert_tables(database: &Database, expected: &BTreeMap<String, Expected>) {
    let mut client = database.client();
    let mut found: BTreeMap<String, Expected> = BTreeMap::new();
    let rows = client
        .query(
            "SELECT customer_id, customer_name, email, record_type, quality_score::text, \
             to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), validation_status, \
             needs_review, sync_id IS NOT NULL, updated_at IS NOT NULL, source_version IS NOT NULL FROM customers",
            &[],
        )
        .unwrap();
    for row in rows {
        let fields: [String; 6] = std::array::from_fn(|i| row.get::<_, String>(i + 1));
        let flagged: bool = row.get(7);
        assert_eq!(flagged, fields[5] == "WARNING");
        assert!(row.get::<_, bool>(8) && row.get::<_, bool>(9) && row.get::<_, bool>(10));
        found.insert(row.get(0), Expected::Written(fields));
    }
    for row in client
        .query(
            "SELECT record_id, reason FROM sync_rejections WHERE resolved_at IS NULL",
            &[],
        )
        .unwrap()
    {
        let reason: String = row.get(1);
        let reason = ["missing_required", "field_error", "decision"]
            .into_iter()
            .find(|known| *known == reason)
            .unwrap();
        assert_eq!(
            found.insert(row.get(0), Expected::Rejected(reason)),
            None,
            "rejected and written"
        );
    }
    for (id, fate) in expected {
        assert_eq!(found.get(id), Some(fate), "{id}");
    }
    assert_eq!(found.len(), expected.len());
}

fn count(report: &Value, name: &str) -> u64 {
    report["ledger"][name].as_u64().unwrap()
}

#[test]
fn twelve_thousand_records_arrive_and_every_one_is_accounted_for() {
    let (texts, expected) = records(12_000);
    let api = Server::new()
        .records(texts)
        .page_size(100)
        .fault(7, Fault::Status(503))
        .start();
    let database = Database::new();
    let place = Workplace::connected(api.url(), &database);

    let (finished, report) = place.sync(&[]);
    finished.expect(0);
    let written = expected
        .values()
        .filter(|fate| matches!(fate, Expected::Written(_)))
        .count() as u64;
    assert_eq!(count(&report, "fetched"), 12_000);
    assert_eq!(count(&report, "inserted"), written);
    assert_eq!(count(&report, "rejected"), 12_000 - written);
    assert_eq!(report["status"], "success");
    assert_eq!(report["pages"], 120);
    assert_eq!(report["api_retries"], 1);
    assert_tables(&database, &expected);

    // The log row says the same.
    let log = database.one(
        "SELECT concat_ws(' ', status, records_processed, inserted, rejected, records_failed, exit_code) FROM sync_log",
    );
    let rejected = 12_000 - written;
    assert_eq!(
        log,
        format!("SUCCESS 12000 {written} {rejected} {rejected} 0")
    );
    assert_eq!(
        database.one("SELECT count(*)::text FROM sync_lease"),
        "0",
        "the lease was given back"
    );
}

#[test]
fn syncing_twice_is_syncing_once() {
    let (texts, expected) = records(3_000);
    let api = Server::new().records(texts).page_size(100).start();
    let database = Database::new();
    let place = Workplace::connected(api.url(), &database);
    place.sync(&[]).0.expect(0);
    let fingerprint = "SELECT md5(string_agg(concat_ws('|', ctid, xmin, customers.*::text), E'\\n' ORDER BY id)) FROM customers";
    let before = database.one(fingerprint);
    let sequence = "SELECT last_value::text FROM customers_id_seq";
    let used = database.one(sequence);

    let (finished, report) = place.sync(&[]);
    finished.expect(0);
    assert_eq!(
        count(&report, "unchanged") + count(&report, "rejected"),
        3_000
    );
    assert_eq!(
        database.one(fingerprint),
        before,
        "no row was touched, not even its xmin"
    );
    assert_eq!(
        database.one(sequence),
        used,
        "no sequence value was used up"
    );
    assert_tables(&database, &expected);
    assert_eq!(
        database.one(
            "SELECT concat_ws(' ', min(occurrences), max(occurrences)) FROM sync_rejections_now"
        ),
        "2 2"
    );
}

#[test]
fn what_changed_is_updated_and_nothing_else() {
    let (texts, mut expected) = records(1_000);
    let database = Database::new();
    let first = Server::new().records(texts.clone()).start();
    Workplace::connected(first.url(), &database)
        .sync(&[])
        .0
        .expect(0);
    let mut changed = texts;
    let mut updated = 0;
    for i in (1..=1_000).step_by(10) {
        let (id, text, fate) = record(i, 1);
        updated += u64::from(matches!(fate, Expected::Written(_)));
        changed[i as usize - 1] = text;
        expected.insert(id, fate);
    }
    let second = Server::new().records(changed).start();
    let place = Workplace::connected(second.url(), &database);
    let (dry, preview) = place.sync(&["--dry-run"]);
    dry.expect(0);
    assert_eq!(preview["status"], "dry_run");
    assert!(
        preview["differences"].as_array().unwrap().len() > 5,
        "{preview}"
    );
    let (finished, report) = place.sync(&[]);
    finished.expect(0);
    assert_eq!(count(&report, "updated"), updated);
    assert_eq!(count(&report, "inserted"), 0);
    assert_eq!(
        preview["ledger"], report["ledger"],
        "the dry run promised what the run did"
    );
    assert_tables(&database, &expected);
}

/// Of everything something: new, changed, unchanged, older than stored, twice in a batch, flagged, rejected in every way.

#[test]
fn duplicates_within_a_batch_are_counted_and_the_later_wins() {
    let one = |id: u32, name: &str| {
        format!(
            r#"{{"external_id":"D-{id}","full_name":"{name}","contact_email":"a@example.com","quality_score":90,"record_type":"lead"}}"#
        )
    };
    // Within a page, and across pages of the same batch.
    let mut texts: Vec<String> = (0..250).map(|i| one(i, "first")).collect();
    texts[1] = one(0, "second");
    texts[240] = one(0, "third");
    let api = Server::new().records(texts).page_size(100).start();
    let database = Database::new();
    let (finished, report) = Workplace::connected(api.url(), &database).sync(&[]);
    finished.expect(0);
    assert_eq!(count(&report, "inserted"), 248);
    assert_eq!(count(&report, "duplicates"), 2);
    assert_eq!(
        database.one("SELECT customer_name FROM customers WHERE customer_id = 'D-0'"),
        "third"
    );
}

#[test]
fn a_rejection_is_resolved_when_the_record_passes_later() {
    let text = |score: u32| {
        format!(
            r#"[{{"external_id":"R-1","full_name":"Ana","contact_email":"a@example.com","quality_score":{score},"record_type":"lead"}}]"#
        )
    };
    let database = Database::new();
    let run = |score: u32| {
        let api = Server::new()
            .always(Fault::Body("application/json", text(score).into_bytes()))
            .start();
        let place = Workplace::connected(api.url(), &database);
        place.edit("mappings.yaml", "style: page", "style: none");
        place.sync(&[])
    };
    run(10).0.expect(5).says("rejection_rate");
    run(20).0.expect(5);
    assert_eq!(
        database.one(
            "SELECT concat_ws(' ', occurrences, resolved_at IS NULL, payload) FROM sync_rejections"
        ),
        {
            let payload = text(20);
            format!("2 t {}", &payload[1..payload.len() - 1])
        }
    );
    run(95).0.expect(0);
    assert_eq!(
        database.one("SELECT (resolved_at IS NOT NULL)::text FROM sync_rejections"),
        "true"
    );
    assert_eq!(database.one("SELECT count(*)::text FROM customers"), "1");
}

#[test]
fn a_wrong_token_ends_at_once_and_says_what_to_check() {
    let api = Server::new().records(records(10).0).start();
    let database = Database::new();
    let place = Workplace::connected(api.url(), &database).env("API_TOKEN", "wrong-canary-token");
    let (finished, report) = place.sync(&[]);
    finished.expect(3).says("API_TOKEN");
    assert_eq!(
        api.requests().len(),
        2,
        "401 is not retried; the second is the evidence of the case"
    );
    assert_eq!(report["status"], "failed");
    assert!(!format!("{finished}").contains("wrong-canary-token"));
    assert_eq!(
        database.one("SELECT concat_ws(' ', status, exit_code) FROM sync_log"),
        "FAILED 3"
    );
}

#[test]
fn a_missing_database_or_a_wrong_password_needs_a_person_and_nothing_is_fetched() {
    let api = Server::new().records(records(10).0).start();
    let database = Database::new();
    let place = Workplace::connected(api.url(), &database).env("DB_NAME", "no_such_database");
    let (finished, report) = place.sync(&[]);
    finished.expect(4).says("no_such_database");
    assert_eq!(count(&report, "fetched"), 0);
    assert!(
        api.requests().len() <= 1,
        "no more than the evidence of the case"
    );
}

#[test]
fn missing_variables_are_all_named_at_once() {
    let finished = Workplace::new().run(&["sync"]);
    finished.expect(2);
    for name in ["API_BASE_URL", "API_TOKEN", "DB_HOST", "DB_NAME", "DB_USER"] {
        assert!(
            finished.stderr.contains(name),
            "{name} is not named\n{finished}"
        );
    }
}

#[test]
fn a_quiet_run_that_succeeds_says_nothing_at_all() {
    let (texts, _) = records(300);
    let api = Server::new().records(texts).start();
    let database = Database::new();
    let finished = Workplace::connected(api.url(), &database).run(&["sync", "-q"]);
    finished.expect(0);
    assert_eq!(
        (finished.stdout.as_str(), finished.stderr.as_str()),
        ("", "")
    );
}

#[test]
fn a_quiet_run_that_fails_says_why() {
    let api = Server::new().always(Fault::Status(403)).start();
    let database = Database::new();
    let finished = Workplace::connected(api.url(), &database).run(&["sync", "-q"]);
    finished.expect(3).says("403");
}

#[test]
fn a_limit_is_in_records() {
    let (texts, _) = records(1_000);
    let api = Server::new().records(texts).start();
    let database = Database::new();
    let (finished, report) = Workplace::connected(api.url(), &database).sync(&["--limit", "150"]);
    finished.expect(0);
    assert_eq!(count(&report, "fetched"), 150);
}
