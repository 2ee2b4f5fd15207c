//! Alerts: one when a case opens, one when it closes, reminders in between; and pings.
#![allow(clippy::unwrap_used)]

mod channels;
mod pings;

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use serde_json::Value;

use crate::support::Workplace;
use crate::support::http::{Fault, Request, Running, Server};
use crate::support::postgres::{Cluster, Database};

/// The secret part of every address here.
const SECRET: &str = "/hooks/T0/canary-hook-9z";

fn texts(count: u32) -> Vec<String> {
    (1..=count)
        .map(|i| {
            format!(
                r#"{{"external_id":"A-{i:05}","full_name":"Name {i}","contact_email":"u{i}@example.com","quality_score":90,"record_type":"lead"}}"#
            )
        })
        .collect()
}

fn api(count: u32) -> Running {
    Server::new().records(texts(count)).start()
}

fn broken() -> Running {
    Server::new().always(Fault::Status(503)).start()
}

/// Somebody who listens.
fn ear() -> Server {
    Server::new().token(None).path(SECRET)
}

fn address(server: &Running) -> String {
    format!("{}{SECRET}", server.url())
}

/// Retries that do not keep a test waiting.
fn hasty(place: Workplace) -> Workplace {
    place.edit("mappings.yaml", "initial: 500ms", "initial: 5ms");
    place.edit("mappings.yaml", "max: 30s ", "max: 20ms ");
    place
}

/// A workplace whose operations team listens at `ear`.
fn place(api: &Running, database: &Database, ear: &Running) -> Workplace {
    hasty(Workplace::connected(api.url(), database)).env("OPS_WEBHOOK_URL", address(ear))
}

fn bodies(ear: &Running) -> Vec<Value> {
    ear.requests()
        .iter()
        .map(|request| serde_json::from_str(&request.body).unwrap())
        .collect()
}

/// Event and fingerprint of everything heard.
fn heard(ear: &Running) -> Vec<String> {
    bodies(ear)
        .iter()
        .map(|alert| {
            let text = |key: &str| alert[key].as_str().unwrap().to_owned();
            format!("{} {}", text("event"), text("fingerprint"))
        })
        .collect()
}

#[test]
fn one_alert_when_a_case_opens_none_while_it_lasts_one_when_it_closes() {
    let database = Database::new();
    let (broken, good, ear) = (broken(), api(20), ear().start());
    let place = place(&broken, &database, &ear);
    let (finished, report) = place.sync(&[]);
    finished.expect(3);
    let id = report["case_id"].as_str().unwrap();
    for _ in 0..3 {
        place.sync(&[]).0.expect(3);
    }
    assert_eq!(heard(&ear), ["opened api:status"]);
    let alert = &bodies(&ear)[0];
    assert_eq!(alert["case_id"], id);
    assert_eq!(alert["dedup_key"], id);
    assert_eq!(alert["severity"], "critical");
    assert_eq!(alert["exit_code"], 3);
    assert_eq!(alert["run_id"], report["run_id"]);
    let text = alert["text"].as_str().unwrap();
    for part in [id, "exit 3", "503", "Next: datasync check-api"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let request: &Request = &ear.requests()[0];
    assert_eq!(request.method, "POST");
    assert_eq!(request.headers["content-type"], "application/json");
    assert!(!request.headers.contains_key("authorization"));

    let place = place.with_api(good.url());
    place.sync(&[]).0.expect(0);
    place.sync(&[]).0.expect(0);
    assert_eq!(heard(&ear), ["opened api:status", "closed api:status"]);
    let closed = &bodies(&ear)[1];
    assert_eq!(closed["dedup_key"], id);
    assert_eq!(closed["severity"], "info");
    assert_eq!(closed["closing"], "recovered");
    assert!(closed["closed_at"].is_string() && closed["next"].is_null());
}

#[test]
fn a_case_that_a_retry_closes_is_told_as_well() {
    let database = Database::new();
    let (broken, good, ear) = (broken(), api(20), ear().start());
    let place = place(&broken, &database, &ear);
    place.sync(&[]).0.expect(3);
    place.run(&["retry"]).expect(3);
    let place = place.with_api(good.url());
    place.run(&["retry"]).expect(0);
    assert_eq!(heard(&ear), ["opened api:status", "closed api:status"]);
    assert_eq!(bodies(&ear)[1]["closing"], "resolved");
}

#[test]
fn a_reminder_comes_after_its_interval_and_is_recorded_in_the_case() {
    let database = Database::new();
    let (broken, ear) = (broken(), ear().start());
    let place = place(&broken, &database, &ear);
    place.edit("mappings.yaml", "# reminder: 24h", "reminder: 2h");
    place.sync(&[]).0.expect(3);
    place.sync(&[]).0.expect(3);
    assert_eq!(heard(&ear), ["opened api:status"]);
    // Three hours go by.
    let back = |hours: i32| {
        database.run(&format!(
            "UPDATE sync_cases SET document = jsonb_set(document, '{{alerted_at}}', to_jsonb(to_char( \
             (document->>'alerted_at')::timestamptz AT TIME ZONE 'UTC' - interval '{hours} hours', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')))"
        ));
    };
    back(3);
    place.sync(&[]).0.expect(3);
    place.sync(&[]).0.expect(3);
    assert_eq!(heard(&ear), ["opened api:status", "reminder api:status"]);
    back(1);
    place.sync(&[]).0.expect(3);
    assert_eq!(heard(&ear).len(), 2, "an hour is not two");
    let reminder = &bodies(&ear)[1];
    assert_eq!(reminder["dedup_key"], bodies(&ear)[0]["dedup_key"]);
    assert_eq!(reminder["occurrences"], 3);
}

#[test]
fn each_list_hears_of_its_own_side_and_both_of_what_is_neithers() {
    let cluster = Cluster::new(&[], &[]);
    let database = cluster.database();
    let (web, dba) = (ear().start(), ear().start());
    let bad = Server::new()
        .records(texts(30).iter().map(|text| text.replace(":90", ":10")))
        .start();
    let broken = broken();
    let place = hasty(Workplace::connected(bad.url(), &database));
    place.edit(
        "mappings.yaml",
        "    strategy: log_and_continue                # keep fetching, keep batches in the spool; or: stop\n    notification: alert_ops_team",
        "    notification: database_people",
    );
    place.edit(
        "mappings.yaml",
        "    - webhook: ${OPS_WEBHOOK_URL:-}           # empty is off",
        &format!(
            "    - webhook: {}\n  database_people:\n    - webhook: {}",
            address(&web),
            address(&dba)
        ),
    );
    place.sync(&[]).0.expect(5);
    let place = place.with_api(broken.url());
    place.sync(&[]).0.expect(3);
    cluster.stop("fast");
    place.sync(&[]).0.expect(4);
    let both = "opened threshold:rejection_rate";
    assert_eq!(heard(&web)[..2], [both, "opened api:status"]);
    assert!(!heard(&web).iter().any(|line| line.contains("database")));
    assert_eq!(heard(&dba), [both, "opened database:unreachable"]);
}

#[test]
fn what_was_spooled_is_an_alert_only_beyond_the_share_that_is_allowed() {
    for (limit, crossed) in [("5%", true), ("9.9%", true), ("10%", false), ("50%", false)] {
        let database = Database::new();
        let (api, ear) = (api(100), ear().start());
        let place = place(&api, &database, &ear);
        place.edit("mappings.yaml", "batch_size: 5000", "batch_size: 10");
        place.edit("mappings.yaml", "lock_timeout: 10s", "lock_timeout: 50ms");
        place.edit(
            "mappings.yaml",
            "sync_failure_rate: 5%",
            &format!("sync_failure_rate: {limit}"),
        );
        place.sync(&[]).0.expect(0);
        // One row is held, so the ten of its batch are not taken.
        let mut holder = database.client();
        holder
            .batch_execute(
                "BEGIN; UPDATE customers SET email = 'held' WHERE customer_id = 'A-00007'",
            )
            .unwrap();
        let changed = texts(100)
            .into_iter()
            .map(|text| text.replace("lead", "partner"));
        let changed = Server::new().records(changed).start();
        let place = place.with_api(changed.url());
        let (finished, report) = place.sync(&[]);
        finished.expect(4);
        assert_eq!(report["ledger"]["spooled"], 10, "{limit}");
        let sentence = format!(
            "sync_failure_rate: 10.0 % of the records were spooled, more than {:.1} %",
            limit.trim_end_matches('%').parse::<f64>().unwrap()
        );
        let mut opened = vec!["opened database:lock_timeout"];
        if crossed {
            assert_eq!(report["alerts"], serde_json::json!([sentence]));
            opened.push("opened threshold:sync_failure_rate");
        } else {
            assert_eq!(report["alerts"], serde_json::json!([]), "{limit}");
        }
        assert_eq!(heard(&ear), opened, "{limit}");
        assert_eq!(report["open_cases"], opened.len(), "{limit}");
        holder.batch_execute("ROLLBACK").unwrap();
        place.run(&["retry"]).expect(0);
        let closed = heard(&ear);
        assert_eq!(closed.len(), 2 * opened.len(), "{closed:?}");
        assert!(
            closed[opened.len()..]
                .iter()
                .all(|line| line.starts_with("closed "))
        );
    }
}

#[test]
fn a_pool_that_was_exhausted_is_an_alert_unless_nobody_wants_to_hear_of_it() {
    // Heavy enough to have to wait for the only connection, which is slow.
    let heavy = texts(2_000).into_iter().map(|text| {
        text.replace(
            "\"record_type\"",
            &format!("\"remark\":\"{}\",\"record_type\"", "x".repeat(5_000)),
        )
    });
    let api = Server::new().records(heavy).start();
    for wanted in [true, false] {
        let database = Database::undistributed();
        database.run(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN PERFORM pg_sleep(0.6); RETURN NULL; END $$; \
             CREATE TRIGGER slow BEFORE INSERT ON customers FOR EACH STATEMENT EXECUTE FUNCTION slow()",
        );
        let ear = ear().start();
        let place = place(&api, &database, &ear);
        place.edit("mappings.yaml", "min_connections: 2", "min_connections: 1");
        place.edit("mappings.yaml", "max_connections: 10", "max_connections: 1");
        place.edit(
            "mappings.yaml",
            "pool_exhaustion: true",
            &format!("pool_exhaustion: {wanted}"),
        );
        let (finished, report) = place.sync(&[]);
        finished.expect(0);
        assert_eq!(report["pool"]["exhausted"], true, "{report}");
        assert_eq!(report["case_id"], Value::Null);
        let told: &[&str] = if wanted {
            &["opened threshold:pool_exhaustion"]
        } else {
            &[]
        };
        assert_eq!(heard(&ear), told);
        assert_eq!(report["open_cases"], told.len());
        assert_eq!(report["alerts"].as_array().unwrap().len(), told.len());
        if wanted {
            let alert = &bodies(&ear)[0];
            assert_eq!(alert["severity"], "warning");
            assert!(alert["text"].as_str().unwrap().contains("pool_exhaustion"));
        }
    }
}

#[test]
fn slow_answers_are_an_alert_without_an_exit_code_and_close_by_themselves() {
    let database = Database::new();
    let (api, ear) = (api(20), ear().start());
    let place = place(&api, &database, &ear);
    place.edit(
        "mappings.yaml",
        "api_response_time: 10s",
        "api_response_time: 1ms",
    );
    let place = place.env("DATASYNC_METRICS_TEXTFILE", "m.prom");
    let slow = Server::new()
        .records(texts(20))
        .latency(Duration::from_millis(50))
        .start();
    let place = place.with_api(slow.url());
    for _ in 0..2 {
        let (finished, report) = place.sync(&[]);
        finished.expect(0);
        assert_eq!(report["case_id"], Value::Null);
        assert_eq!(report["open_cases"], 1);
        assert!(report["alerts"].to_string().contains("api_response_time"));
    }
    let metrics = std::fs::read_to_string(place.path("m.prom")).unwrap();
    assert!(metrics.contains("datasync_last_run_alert{alert=\"api_response_time\"} 1\n"));
    assert_eq!(heard(&ear), ["opened threshold:api_response_time"]);
    assert_eq!(bodies(&ear)[0]["severity"], "warning");
    place.edit(
        "mappings.yaml",
        "api_response_time: 1ms",
        "api_response_time: 10s",
    );
    place.sync(&[]).0.expect(0);
    assert_eq!(
        heard(&ear),
        [
            "opened threshold:api_response_time",
            "closed threshold:api_response_time"
        ]
    );
}

#[test]
fn with_nothing_left_to_write_to_the_alert_is_still_sent() {
    let cluster = Cluster::new(&[], &[]);
    let database = cluster.database();
    let (api, ear) = (api(20), ear().start());
    let place = place(&api, &database, &ear);
    // A file where the folder of cases should be: not even root can write there.
    std::fs::create_dir(place.state()).unwrap();
    std::fs::write(place.state().join("cases"), "in the way").unwrap();
    // With the database up the case is kept there, and told once.
    let broken = broken();
    let place = place.with_api(broken.url());
    for _ in 0..2 {
        place.run(&["sync"]).expect(6);
        assert_eq!(heard(&ear), ["opened api:status"]);
    }
    cluster.stop("fast");
    let place = place.with_api(api.url());
    place.run(&["sync"]).expect(6);
    assert!(
        heard(&ear).contains(&"opened database:unreachable".to_owned()),
        "{:?}",
        heard(&ear)
    );
}

/// A program that the alert is given to.
fn program(place: &Workplace, name: &str, script: &str) -> String {
    place.write(name, &format!("#!/bin/sh\n{script}\n"));
    let path = place.path(name);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

fn command(place: &Workplace, words: &str) {
    place.edit(
        "mappings.yaml",
        "# - command: [/usr/local/bin/page-ops]    # gets",
        &format!("- command: [{words}] # gets"),
    );
}

#[test]
fn a_case_that_turns_out_to_be_an_older_one_is_closed_for_those_who_heard_of_it() {
    let cluster = Cluster::new(&[], &[]);
    let database = cluster.database();
    let (good, broken, ear) = (api(20), broken(), ear().start());
    let place = place(&good, &database, &ear);
    cluster.stop("fast");
    place.sync(&[]).0.expect(4);
    // The case moves into the database and stays open, since the run fails.
    cluster.start();
    let place = place.with_api(broken.url());
    place.sync(&[]).0.expect(3);
    // Away again: the open case cannot be seen, so another is opened.
    cluster.stop("fast");
    place.sync(&[]).0.expect(4);
    cluster.start();
    let place = place.with_api(good.url());
    place.sync(&[]).0.expect(0);
    let told: Vec<(String, String, String)> = bodies(&ear)
        .iter()
        .filter(|alert| alert["fingerprint"] == "database:unreachable")
        .map(|alert| {
            let text = |key: &str| alert[key].as_str().unwrap_or("").to_owned();
            (text("case_id"), text("event"), text("closing"))
        })
        .collect();
    let (first, second) = (told[0].0.clone(), told[1].0.clone());
    assert_ne!(first, second);
    let line = |id: &str, event: &str, closing: &str| {
        (id.to_owned(), event.to_owned(), closing.to_owned())
    };
    assert_eq!(
        told,
        [
            line(&first, "opened", ""),
            line(&second, "opened", ""),
            line(&second, "closed", "merged"),
            line(&first, "closed", "recovered"),
        ]
    );
}

#[test]
fn no_value_token_password_or_address_is_in_alert_ping_metrics_case_or_log() {
    let canaries = [
        "canary-token-1f",
        "canary-pass-2e",
        "Canary Name 3d",
        "canary.mail.4c",
        "canary-type-5b",
    ];
    let hba = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
    let cluster = Cluster::new(&[], &[("pg_hba.conf", hba)]);
    let database = cluster.database();
    database.run("CREATE ROLE canary LOGIN SUPERUSER PASSWORD 'canary-pass-2e'");
    database.run("ALTER TABLE customers ADD CONSTRAINT picky CHECK (customer_id <> 'V-3')");
    let mut records = texts(4);
    for i in 0..8 {
        let score = if i < 4 { 90 } else { 20 };
        records.push(format!(
            r#"{{"external_id":"V-{i}","full_name":"Canary Name 3d","contact_email":"canary.mail.4c{}example.com","quality_score":{score},"record_type":"canary-type-5b"}}"#,
            if i == 2 { " " } else { "@" }
        ));
    }
    let api = Server::new()
        .records(records)
        .token(Some("canary-token-1f"))
        .start();
    let ear = Server::new()
        .token(None)
        .always(Fault::Body("text/plain", b"ok".to_vec()))
        .start();
    let deaf = ear_that_refuses();
    let place = hasty(Workplace::connected(api.url(), &database))
        .env("API_TOKEN", "canary-token-1f")
        .env("DB_HOST", "127.0.0.1")
        .env("DB_USER", "canary")
        .env("DB_PASSWORD", "canary-pass-2e")
        .env("OPS_WEBHOOK_URL", address(&ear))
        .env("HEALTHCHECK_URL", address(&ear))
        .env("DATASYNC_METRICS_TEXTFILE", "m.prom")
        .env("PATH", "/usr/bin:/bin")
        .env("RUST_LOG", "trace");
    let script = program(&place, "page-ops", "cat >> alerts.json; env >> alerts.json");
    command(
        &place,
        &format!("{script}]\n    - webhook: {}\n    # [", address(&deaf)),
    );
    let mut said = String::new();
    let mut keep = |finished: crate::support::command::Finished| {
        said += &finished.stderr;
        said += &finished.stdout;
    };
    let finished = place.run(&["sync", "-vvv"]);
    finished.expect(5);
    keep(finished);
    cluster.stop("fast");
    keep(place.run(&["sync", "-vvv"]));
    cluster.start();
    let place = place.env("API_TOKEN", "canary-token-1f-wrong");
    keep(place.run(&["sync", "-vvv", "--log-format", "json"]));
    keep(place.run(&["case", "list", "--output", "json"]));
    said += &std::fs::read_to_string(place.path("m.prom")).unwrap();
    assert!(
        !said.contains("canary-hook-9z"),
        "an address is a secret too"
    );
    said += &std::fs::read_to_string(place.path("alerts.json"))
        .unwrap()
        .lines()
        .filter(|line| {
            !line.starts_with("OPS_WEBHOOK_URL=") && !line.starts_with("HEALTHCHECK_URL=")
        })
        .collect::<Vec<_>>()
        .join("\n");
    for request in ear.requests() {
        said += &format!("{:?} {}\n", request.headers, request.body);
    }
    assert!(ear.requests().len() >= 9, "{}", ear.requests().len());
    for part in [
        "threshold:rejection_rate",
        "api:unauthorized",
        "database:unreachable",
    ] {
        assert!(said.contains(part), "{part}");
    }
    for canary in canaries {
        let at = said.find(canary).map(|at| {
            let from = said.floor_char_boundary(at.saturating_sub(200));
            let to = said.floor_char_boundary((at + 60).min(said.len()));
            said[from..to].to_owned()
        });
        assert_eq!(at, None, "{canary} got out");
    }
}

/// One that answers 400, so that its failure is noted and logged.
fn ear_that_refuses() -> Running {
    ear().always(Fault::Status(400)).start()
}
