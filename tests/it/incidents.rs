//! A failed run leaves a case, `retry` solves it, and no record is lost in between.
#![allow(clippy::unwrap_used)]

mod content;
mod scopes;

use serde_json::Value;

use crate::support::Workplace;
use crate::support::http::{Fault, Running, Server};
use crate::support::postgres::{Cluster, Database};

fn texts(count: u32) -> Vec<String> {
    (1..=count)
        .map(|i| {
            format!(
                r#"{{"external_id":"I-{i:05}","full_name":"Name {i}","contact_email":"u{i}@example.com","quality_score":{},"record_type":"lead"}}"#,
                60 + i % 40
            )
        })
        .collect()
}

fn api(count: u32) -> Running {
    Server::new().records(texts(count)).start()
}

/// Retries that do not keep a test waiting.
fn hasty(place: Workplace) -> Workplace {
    place.edit("mappings.yaml", "initial: 500ms", "initial: 5ms");
    place.edit("mappings.yaml", "max: 30s ", "max: 20ms ");
    place
}

fn count(report: &Value, name: &str) -> u64 {
    report["ledger"][name].as_u64().unwrap()
}

fn cases(place: &Workplace) -> Vec<Value> {
    let finished = place.run(&["case", "list", "--output", "json"]);
    finished.expect(0);
    finished.json()["cases"].as_array().unwrap().clone()
}

/// The case as it is shown, which is the case as it is stored.
#[test]
fn an_api_failure_opens_one_case_that_later_runs_add_to_and_a_good_run_closes() {
    let database = Database::new();
    let broken = Server::new().always(Fault::Status(500)).start();
    let place = hasty(Workplace::connected(broken.url(), &database));
    let (finished, report) = place.sync(&[]);
    finished.expect(3);
    let id = report["case_id"].as_str().unwrap().to_owned();
    let (_, again) = place.sync(&[]);
    assert_eq!(
        again["case_id"],
        id.as_str(),
        "the same cause is the same case"
    );
    let open = cases(&place);
    assert_eq!(open.len(), 1);
    assert_eq!(open[0]["count"], 2);
    assert_eq!(open[0]["fingerprint"], "api:status");
    assert!(
        open[0]["evidence"]["checks"]
            .as_array()
            .unwrap()
            .iter()
            .any(|check| check["of"] == "database")
    );
    let shown = place.run(&["case", "show", &id]);
    shown
        .expect(0)
        .says("What happened")
        .says("What is safe")
        .says("Next: datasync check-api");

    // Another cause gets a case of its own.
    let good = api(20);
    let place = place.with_api(good.url()).env("API_TOKEN", "wrong");
    let (finished, report) = place.sync(&[]);
    finished.expect(3);
    assert_ne!(report["case_id"], id.as_str());

    let place = place.with_api(good.url());
    place.sync(&[]).0.expect(0);
    for case in cases(&place) {
        assert_eq!(case["closing"], "recovered", "{case}");
    }
}

#[test]
fn human_steps_are_ticked_off_and_retry_closes_the_case() {
    let database = Database::new();
    let broken = Server::new().always(Fault::Status(403)).start();
    let place = hasty(Workplace::connected(broken.url(), &database));
    let (_, report) = place.sync(&[]);
    let id = report["case_id"].as_str().unwrap().to_owned();
    place
        .run(&[
            "case",
            "complete",
            &id,
            "investigate",
            "--note",
            "the token had expired",
        ])
        .expect(0)
        .says("the token had expired");
    place
        .run(&["case", "note", &id, "asked for a new one"])
        .expect(0)
        .says("asked for a new one");

    // Still broken: back to resolve.
    let failed = place.run(&["retry", "--case", &id, "--output", "json"]);
    failed.expect(3);
    let shown = place.run(&["case", "show", &id, "--output", "json"]).json();
    let state = |case: &Value, step: &str| {
        case["items"]
            .as_array()
            .unwrap()
            .iter()
            .find(|item| item["step"] == step)
            .unwrap()["state"]
            .clone()
    };
    assert_eq!(state(&shown, "retry"), "failed");
    assert_eq!(state(&shown, "resolve"), "active");
    assert_eq!(state(&shown, "check_api"), "failed");
    assert_eq!(state(&shown, "check_database"), "completed");

    let good = api(50);
    let place = place.with_api(good.url());
    let retried = place.run(&[
        "retry",
        "--case",
        &id,
        "--note",
        "new token",
        "--output",
        "json",
    ]);
    retried.expect(0);
    assert_eq!(count(&retried.json(), "inserted"), 50);
    let shown = place.run(&["case", "show", &id, "--output", "json"]).json();
    assert_eq!(shown["closing"], "resolved");
    assert_eq!(state(&shown, "investigate"), "completed");
    assert_eq!(state(&shown, "resolve"), "skipped", "nobody took it");
    assert_eq!(state(&shown, "retry"), "completed");
    place.run(&["retry"]).expect(0).says("Nothing to do");
    place
        .run(&["retry", "--case", &id])
        .expect(2)
        .says("no open case");
}

#[test]
fn a_case_is_retried_by_the_beginning_of_its_id_where_no_other_begins_so() {
    let database = Database::new();
    let broken = Server::new().always(Fault::Status(500)).start();
    let place = hasty(Workplace::connected(broken.url(), &database));
    place.sync(&[]).0.expect(3);
    let good = api(20);
    let place = place.with_api(good.url()).env("API_TOKEN", "wrong");
    place.sync(&[]).0.expect(3);
    let ids: Vec<String> = cases(&place)
        .iter()
        .map(|case| case["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), 2);
    // Every id begins with the same letter.
    for command in [&["case", "show", "C"][..], &["retry", "--case", "C"]] {
        place
            .run(command)
            .expect(2)
            .says("cases begin with C; type more of the id");
    }
    let start = (1..=ids[0].len())
        .map(|end| &ids[0][..end])
        .find(|start| !ids[1].starts_with(start))
        .unwrap();
    let place = place.with_api(good.url());
    place
        .run(&["retry", "--case", start])
        .expect(0)
        .says(&format!("Case {} is closed", ids[0]));
    place
        .run(&["retry", "--case", "nobody"])
        .expect(2)
        .says("there is no open case nobody");
}

#[test]
fn cases_that_may_not_be_all_are_told_by_the_exit_code_and_quiet_is_for_success_only() {
    let away = Workplace::new()
        .with_api("http://127.0.0.1:9")
        .env("DB_HOST", "127.0.0.1")
        .env("DB_PORT", "9")
        .env("DB_NAME", "nowhere")
        .env("DB_USER", "nobody")
        .env("DB_PASSWORD", "");
    away.run(&["case", "list", "-q"])
        .expect(4)
        .says("No cases in the state directory.");

    let database = Database::new();
    let broken = Server::new().always(Fault::Status(403)).start();
    let place = hasty(Workplace::connected(broken.url(), &database));
    let (_, report) = place.sync(&[]);
    let id = report["case_id"].as_str().unwrap();
    for arguments in [
        &["case", "list"][..],
        &["case", "list", "--output", "json"],
        &["case", "show", id],
        &["case", "note", id, "looked at it"],
        &["case", "complete", id, "investigate"],
        &["history"],
    ] {
        let finished = place.run(&[arguments, &["-q"]].concat());
        finished.expect(0);
        let said = (finished.stdout.as_str(), finished.stderr.as_str());
        assert_eq!(said, ("", ""), "{arguments:?}");
    }
    place
        .run(&["case", "show", id])
        .expect(0)
        .says("looked at it");

    // A database without the table of cases is no better than none.
    database.run("DROP TABLE sync_cases");
    place
        .run(&["case", "list"])
        .expect(4)
        .says("Only those of the state directory");
}

#[test]
fn a_database_that_is_away_costs_nothing_and_retry_brings_it_home() {
    let cluster = Cluster::new(&[], &[]);
    let database = cluster.database();
    let api = api(500);
    let place = hasty(Workplace::connected(api.url(), &database));
    cluster.stop("fast");
    let (finished, report) = place.sync(&[]);
    finished.expect(4);
    assert_eq!(count(&report, "spooled"), 500);
    assert_eq!(report["status"], "partial");
    let id = report["case_id"].as_str().unwrap().to_owned();
    for quiet in [&[][..], &["-q"]] {
        place
            .run(&[&["case", "list"], quiet].concat())
            .expect(4)
            .says(&id)
            .says("Only those of the state directory");
    }
    let listed = place.run(&["case", "list", "--output", "json"]);
    listed.expect(4);
    let listed = listed.json();
    assert_eq!(listed["database_ok"], false);
    assert!(listed["cases"].to_string().contains(&id), "{listed}");

    // A second run with a non-empty spool and no database does not fetch again.
    let before = api.requests().len();
    let (finished, report) = place.sync(&[]);
    finished
        .expect(4)
        .says("in the spool until the database is back");
    assert_eq!(count(&report, "fetched"), 0);
    // The check for the case's evidence asks for one page.
    assert!(api.requests().len() <= before + 2, "it fetched again");
    assert_eq!(report["case_id"], id.as_str());

    cluster.start();
    let retried = place.run(&["retry", "--output", "json"]);
    retried.expect(0);
    assert_eq!(retried.json()["replayed"], 500);
    assert_eq!(database.one("SELECT count(*)::text FROM customers"), "500");
    assert_eq!(
        std::fs::read_dir(place.state().join("spool"))
            .unwrap()
            .count(),
        0
    );
    let stored = database.list(
        "SELECT concat_ws(' ', fingerprint, status, occurrences) FROM sync_cases ORDER BY fingerprint",
    );
    assert_eq!(
        stored,
        [
            "database:unreachable closed 2",
            "threshold:sync_failure_rate closed 1"
        ],
        "the cases moved into the database, once"
    );
    assert_eq!(
        std::fs::read_dir(place.state().join("cases"))
            .unwrap()
            .count(),
        0
    );
    // The log rows of the runs without a database moved as well.
    let log = database.list("SELECT concat_ws(' ', status, records_processed, spooled, replayed) FROM sync_log ORDER BY started_at");
    assert_eq!(
        log,
        ["PARTIAL 500 500 0", "FAILED 0 0 0", "SUCCESS 500 0 500"],
        "the second run had not fetched, so the retry did"
    );
}

/// The database was away, and the token is wrong by the time it is back: two causes, and one of them is over.
#[test]
fn a_case_closes_when_its_own_cause_is_over_whatever_else_is_wrong() {
    let cluster = Cluster::new(&[], &[]);
    let database = cluster.database();
    let good = api(300);
    let place = hasty(Workplace::connected(good.url(), &database));
    cluster.stop("fast");
    let (_, report) = place.sync(&[]);
    let database_case = report["case_id"].as_str().unwrap().to_owned();
    cluster.start();
    let broken = Server::new().always(Fault::Status(403)).start();
    let place = place.with_api(broken.url());
    let (finished, report) = place.sync(&[]);
    finished.expect(3);
    assert_eq!(report["replayed"], 300);
    let api_case = report["case_id"].as_str().unwrap().to_owned();
    assert_ne!(api_case, database_case);
    let retried = place.run(&["retry"]);
    retried
        .expect(3)
        .says(&format!("Case {database_case} is closed"));
    let state: Vec<String> =
        database.list("SELECT concat_ws(' ', fingerprint, status) FROM sync_cases ORDER BY 1");
    assert_eq!(
        state,
        [
            "api:unauthorized open",
            "database:unreachable closed",
            "threshold:sync_failure_rate closed"
        ]
    );
    // And the other when the token is right again, though now too many are rejected.
    let mut records = texts(20);
    records.extend((0..20).map(|i| {
        format!(
            r#"{{"external_id":"LOW-{i}","full_name":"Low","contact_email":"l@example.com","quality_score":10}}"#
        )
    }));
    let poor = Server::new().records(records).start();
    let place = place.with_api(poor.url());
    place
        .run(&["retry"])
        .expect(5)
        .says(&format!("Case {api_case} is closed"));
}

#[test]
fn a_run_that_only_rejects_too_much_shows_that_the_api_is_back() {
    let database = Database::new();
    let broken = Server::new().always(Fault::Status(500)).start();
    let place = hasty(Workplace::connected(broken.url(), &database));
    place.sync(&[]).0.expect(3);
    let poor = Server::new()
        .records([
            r#"{"external_id":"LOW","full_name":"Low","contact_email":"l@example.com","quality_score":1}"#,
        ])
        .start();
    place.with_api(poor.url()).sync(&[]).0.expect(5);
    assert_eq!(
        database.list("SELECT concat_ws(' ', fingerprint, status, document->>'closing') FROM sync_cases ORDER BY 1"),
        ["api:status closed recovered", "threshold:rejection_rate open"]
    );
}

#[test]
fn retry_without_a_database_does_not_claim_that_there_is_nothing_to_do() {
    let database = Database::new();
    let api = api(5);
    let place = hasty(Workplace::connected(api.url(), &database)).env("DB_PORT", "1");
    place
        .run(&["retry"])
        .expect(4)
        .says("cannot be asked for its cases");
}

#[test]
fn stored_rejections_are_decided_again_by_todays_rules() {
    let database = Database::new();
    let mut records = texts(40);
    for i in 0..5 {
        records.push(format!(
            r#"{{"external_id":"LOW-{i}","full_name":"Low {i}","contact_email":"l{i}@example.com","quality_score":{},"record_type":"lead"}}"#,
            36 + i * 3
        ));
    }
    records.push(
        r#"{"external_id":"BAD-1","full_name":"Bad","contact_email":"nobody","quality_score":20}"#
            .to_owned(),
    );
    records.push(
        r#"{"external_id":"LONG-1","full_name":"A rather long name","contact_email":"l@example.com","quality_score":20}"#
            .to_owned(),
    );
    let api = Server::new().records(records).start();
    let place = Workplace::connected(api.url(), &database);
    let (finished, report) = place.sync(&[]);
    finished.expect(0);
    assert_eq!(count(&report, "rejected"), 7);
    let first_run = report["run_id"].as_str().unwrap().to_owned();
    let open = || {
        database.list(
            "SELECT concat_ws(' ', key, reason, occurrences, rules::text) FROM sync_rejections \
             WHERE resolved_at IS NULL ORDER BY key COLLATE \"C\"",
        )
    };
    let low = |key: &str, occurrences: u32| {
        format!("{key} decision {occurrences} [\"Rule_ScoreTooLow\"]")
    };
    assert_eq!(
        open(),
        [
            "BAD-1 field_error 1 []".to_owned(),
            low("LONG-1", 1),
            low("LOW-0", 1),
            low("LOW-1", 1),
            low("LOW-2", 1),
            low("LOW-3", 1),
            low("LOW-4", 1),
        ]
    );

    // An address is no longer asked to be one, and names have to be short: two reasons become others.
    place.edit("mappings.yaml", "email: email", "email: string");
    place.edit(
        "mappings.yaml",
        "to: customerName, max_length: 255",
        "to: customerName, max_length: 10",
    );
    // Somebody else has a row of LOW-4 that is newer than what was rejected.
    database.run(
        "INSERT INTO customers (customer_id, customer_name, source_version, updated_at) \
         VALUES ('LOW-4', 'Newer', now(), now())",
    );
    // The business lowers its bar to 45: 45 and 48 pass, 36 to 42 stay.
    place.edit("decisions.dmn.xml", "&lt; 50", "&lt; 45");
    place.edit("decisions.dmn.xml", "[50..80)", "[45..80)");
    let before = api.requests().len();
    let retried = place.run(&["retry", "--rejected", "--output", "json"]);
    // The five that stay were counted by the run that rejected them: they are no rejection rate of this one.
    retried.expect(0);
    let report = retried.json();
    crate::support::command::assert_balanced(&report);
    assert_eq!(count(&report, "fetched"), 7, "{retried}");
    assert_eq!(
        ["inserted", "superseded", "rejected"].map(|name| count(&report, name)),
        [1, 1, 5],
        "{retried}"
    );
    assert!(
        api.requests().len() <= before + 2,
        "nothing was fetched but for the check"
    );
    assert_eq!(
        open(),
        [
            low("BAD-1", 2),
            "LONG-1 field_error 2 []".to_owned(),
            low("LOW-0", 2),
            low("LOW-1", 2),
            low("LOW-2", 2),
        ]
    );
    let told = database
        .one("SELECT message || ' ' || errors::text FROM sync_rejections WHERE key = 'LONG-1'");
    assert!(told.contains("full_name"), "{told}");
    let runs = "SELECT DISTINCT concat_ws(' ', first_run, last_run) FROM sync_rejections WHERE resolved_at IS NULL";
    assert_eq!(
        database.one(runs),
        format!("{first_run} {}", report["run_id"].as_str().unwrap())
    );
    let written = database.list(
        "SELECT concat_ws(' ', customer_id, customer_name) FROM customers WHERE customer_id LIKE 'LOW%' ORDER BY 1",
    );
    assert_eq!(
        written,
        ["LOW-3 Low 3", "LOW-4 Newer"],
        "what is older than the row is not written"
    );
    let settled =
        database.list("SELECT key FROM sync_rejections WHERE resolved_at IS NOT NULL ORDER BY key");
    assert_eq!(settled, ["LOW-3", "LOW-4"]);
}

#[test]
fn the_later_of_two_still_wins_after_a_stay_in_the_spool() {
    let cluster = Cluster::new(&[], &[]);
    let database = cluster.database();
    let record = |name: &str| {
        format!(
            r#"{{"external_id":"D-1","full_name":"{name}","contact_email":"d@example.com","quality_score":90,"record_type":"lead"}}"#
        )
    };
    let records: Vec<String> = ["first", "second", "third"].map(record).to_vec();
    let api = Server::new().records(records).start();
    let place = hasty(Workplace::connected(api.url(), &database));
    cluster.stop("fast");
    let (finished, report) = place.sync(&[]);
    finished.expect(4);
    assert_eq!(count(&report, "spooled"), 3, "all three are kept");
    cluster.start();
    place.run(&["retry"]).expect(0);
    assert_eq!(database.one("SELECT customer_name FROM customers"), "third");
}

#[test]
fn a_retry_that_could_not_begin_leaves_its_case_to_be_resolved() {
    let database = Database::new();
    let away = hasty(Workplace::connected("http://127.0.0.1:9", &database));
    away.sync(&[]).0.expect(3);
    let api = api(10);
    let place = away.with_api(api.url());
    // Another host is at work, and will be for a while.
    database.run(
        "INSERT INTO sync_lease (target, run_id, who, host, process, started_at, heartbeat_at, expires_at, progress) \
         VALUES ('public.customers', gen_random_uuid(), 'cron', 'elsewhere', '', now(), now(), now() + interval '1 hour', 7)",
    );
    place.run(&["retry"]).expect(75);
    let case = &cases(&place)[0];
    let states: Vec<_> = ["resolve", "retry_synchronization", "retry"]
        .into_iter()
        .filter_map(|step| {
            let items = case["items"].as_array().unwrap();
            items.iter().find(|item| item["step"] == step)
        })
        .map(|item| item["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["active", "failed"], "{case}");
    database.run("DELETE FROM sync_lease");
    place.run(&["retry"]).expect(0);
    assert!(
        cases(&place)
            .iter()
            .all(|case| case["closed_at"].is_string())
    );
}
