//! Write-back: after the commit the API is told, once, what became of a record; whatever fails or is killed in between,
//! nothing is forgotten and nothing foreign is overwritten.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::Workplace;
use crate::support::command::finish;
use crate::support::http::{Reply, Request, Running, Server};
use crate::support::postgres::Database;

/// A record as the source has it, with a version.
fn text(id: &str, name: &str, version: u32) -> String {
    json!({
        "external_id": id, "full_name": name, "contact_email": "u@example.com", "quality_score": 90,
        "record_type": "lead", "version": version,
    })
    .to_string()
}

fn texts(count: u32) -> Vec<String> {
    (1..=count)
        .map(|i| text(&format!("W-{i:04}"), &format!("Name {i}"), 1))
        .collect()
}

/// The shipped mapping with write-back on and retries that do not keep a test waiting.
fn place(api: &Running, database: &Database) -> Workplace {
    let place = Workplace::connected(api.url(), database);
    place.edit("mappings.yaml", "enabled: false", "enabled: true");
    place.edit(
        "mappings.yaml",
        "method: PUT",
        "method: PUT\n        retry: { initial: 5ms, max: 20ms }",
    );
    place
}

/// A server whose PUTs are answered by `put`; everything else as usual.
fn server(
    records: Vec<String>,
    put: impl Fn(&Request) -> Reply + Send + Sync + 'static,
) -> Running {
    Server::new()
        .records(records)
        .script(move |request| (request.method == "PUT").then(|| put(request)))
        .start()
}

fn says(status: u16) -> Reply {
    Reply::Instead(status, Vec::new(), "{}".to_owned())
}

fn puts(api: &Running) -> Vec<Request> {
    let mut requests = api.requests();
    requests.retain(|request| request.method == "PUT");
    requests
}

/// The ids that were told, each as often as it was.
fn told(api: &Running) -> BTreeMap<String, usize> {
    let mut told = BTreeMap::new();
    for request in puts(api) {
        let id = request.path.rsplit('/').next().unwrap().to_owned();
        *told.entry(id).or_default() += 1;
    }
    told
}

fn waiting(database: &Database) -> Vec<String> {
    database.list("SELECT record_id FROM sync_outbox ORDER BY 1")
}

/// The small ledger, its balance checked.
#[track_caller]
fn ledger(report: &Value) -> [u64; 5] {
    let of = |name: &str| report["write_back"][name].as_u64().unwrap();
    let all = ["due", "sent", "conflicts", "gone", "kept"].map(of);
    assert_eq!(all[0], all[1..].iter().sum::<u64>(), "{report}");
    all
}

#[test]
fn what_was_committed_is_told_once_and_what_did_not_change_is_not() {
    let database = Database::new();
    let early = Arc::new(AtomicUsize::new(0));
    let (seen, client) = (Arc::clone(&early), Mutex::new(database.client()));
    let api = server(texts(250), move |request| {
        let id = request.path.rsplit('/').next().unwrap();
        let row = client
            .lock()
            .unwrap()
            .query("SELECT 1 FROM customers WHERE customer_id = $1", &[&id])
            .unwrap();
        if row.is_empty() {
            seen.fetch_add(1, Ordering::SeqCst);
        }
        says(204)
    });
    let workplace = place(&api, &database);
    let (finished, report) = workplace.sync(&[]);
    finished.expect(0);
    assert_eq!(ledger(&report), [250, 250, 0, 0, 0]);
    assert_eq!(told(&api).len(), 250);
    assert_eq!(puts(&api).len(), 250, "each once");
    assert_eq!(
        early.load(Ordering::SeqCst),
        0,
        "told before it was committed"
    );
    assert!(waiting(&database).is_empty());
    let first = &puts(&api)[0];
    assert_eq!(first.headers["content-type"], "application/json");
    assert!(first.headers["authorization"].starts_with("Bearer "));
    assert!(
        !first.headers.contains_key("if-match"),
        "nobody asked for it"
    );
    let body: Value = serde_json::from_str(&first.body).unwrap();
    let number = first
        .path
        .rsplit('-')
        .next()
        .unwrap()
        .parse::<u32>()
        .unwrap();
    assert_eq!(
        body,
        json!({
            "external_id": format!("W-{number:04}"), "full_name": format!("Name {number}"),
            "contact_email": "u@example.com",
        })
    );

    let (finished, report) = workplace.sync(&[]);
    finished.expect(0);
    assert_eq!(ledger(&report), [0; 5]);
    assert_eq!(puts(&api).len(), 250, "nothing has changed");

    // One changed, one is new.
    let mut changed = texts(251);
    changed[6] = text("W-0007", "Another name", 2);
    let api = server(changed, |_| says(200));
    let workplace = workplace.with_api(api.url());
    let (finished, report) = workplace.sync(&[]);
    finished.expect(0);
    assert_eq!(ledger(&report), [2, 2, 0, 0, 0]);
    let ids: Vec<String> = told(&api).into_keys().collect();
    assert_eq!(ids, ["W-0007", "W-0251"]);
    workplace.run(&["sync"]).expect(0).says("Write-back");
}

#[test]
fn the_outcomes_in_when_decide_who_is_told() {
    let database = Database::new();
    let mut records = texts(30);
    let api = server(records.clone(), |_| says(200));
    let workplace = place(&api, &database);
    workplace.edit(
        "mappings.yaml",
        "when: [inserted, updated]",
        "when: [updated]",
    );
    let (_, report) = workplace.sync(&[]);
    assert_eq!(ledger(&report), [0; 5], "inserted is not in `when`");

    workplace.edit("mappings.yaml", "when: [updated]", "when: [unchanged]");
    records[0] = text("W-0001", "Changed", 2);
    records.push(text("W-0031", "New", 1));
    let api = server(records, |_| says(200));
    let workplace = workplace.with_api(api.url());
    let (_, report) = workplace.sync(&[]);
    assert_eq!(ledger(&report), [29, 29, 0, 0, 0]);
    assert!(!told(&api).contains_key("W-0001") && !told(&api).contains_key("W-0031"));
}

#[test]
fn a_record_that_changed_meanwhile_is_not_overwritten_and_the_case_says_what_differs() {
    let database = Database::new();
    let changed = |request: &Request| {
        // The version that was read is 1, but W-0002 is at 2 by now; W-0003 is at 2 because our own first try arrived.
        let id = request.path.rsplit('/').next().unwrap();
        if id == "W-0001" || request.headers["if-match"] == "\"2\"" {
            says(200)
        } else {
            says(412)
        }
    };
    let api = Server::new()
        .records(texts(3))
        .script(move |request| match (request.method.as_str(), request.path.as_str()) {
            ("PUT", _) => Some(changed(request)),
            ("GET", "/api/v1/data/W-0002") => Some(Reply::Instead(
                200,
                Vec::new(),
                json!({"data": serde_json::from_str::<Value>(&text("W-0002", "canary name", 2)).unwrap()})
                    .to_string(),
            )),
            ("GET", "/api/v1/data/W-0003") => {
                Some(Reply::Instead(200, Vec::new(), text("W-0003", "Name 3", 2)))
            }
            _ => None,
        })
        .start();
    let workplace = place(&api, &database).env("RUST_LOG", "trace");
    workplace.edit(
        "mappings.yaml",
        "when: [inserted, updated]",
        "when: [inserted, updated]\n        if_match: version",
    );
    let (finished, report) = workplace.sync(&[]);
    finished.expect(3);
    assert_eq!(ledger(&report), [3, 2, 1, 0, 0]);
    assert_eq!(report["status"], "success", "what was fetched is safe");
    assert!(waiting(&database).is_empty());
    assert_eq!(puts(&api)[0].headers["if-match"], "\"1\"");
    let id = report["case_id"].as_str().unwrap();
    let case = workplace.run(&["case", "show", id]);
    case.expect(0).says("W-0002 (full_name)");
    for text in [&finished.stdout, &finished.stderr, &case.stdout] {
        assert!(!text.contains("canary"), "{text}");
    }

    // The next run reads what the API has now, tells it with the new version, and closes the case.
    let mut records = texts(3);
    records[1] = text("W-0002", "canary name", 2);
    let api = server(records, move |request| changed(request));
    let workplace = workplace.with_api(api.url());
    let (finished, report) = workplace.sync(&[]);
    finished.expect(0);
    assert_eq!(ledger(&report), [1, 1, 0, 0, 0]);
    workplace
        .run(&["case", "list", "--output", "json"])
        .says("recovered");
}

#[test]
fn a_record_the_api_no_longer_has_is_let_go_and_a_wrong_address_is_not_taken_for_that() {
    let database = Database::new();
    let api = server(texts(20), |request| {
        says(if request.path.ends_with("W-0005") {
            404
        } else {
            200
        })
    });
    let workplace = place(&api, &database);
    let (finished, report) = workplace.sync(&[]);
    finished.expect(3).says("W-0005");
    assert_eq!(ledger(&report), [20, 19, 0, 1, 0]);
    assert!(waiting(&database).is_empty());
    assert_eq!(report["errors_by_type"]["api:write_back_gone"], 1);

    // Nothing was ever taken at this address: all of them stay.
    let database = Database::new();
    let api = server(texts(40), |_| says(404));
    let workplace = place(&api, &database);
    let (finished, report) = workplace.sync(&[]);
    finished.expect(3).says("404");
    assert_eq!(ledger(&report), [40, 0, 0, 0, 40]);
    assert!(
        puts(&api).len() < 20,
        "a wrong address is not tried for ever"
    );
    assert_eq!(waiting(&database).len(), 40);
}

#[test]
fn a_failure_that_passes_is_tried_again_by_the_same_rules_as_fetching() {
    let database = Database::new();
    let asked = AtomicU32::new(0);
    let api = server(texts(12), move |_| {
        match asked.fetch_add(1, Ordering::SeqCst) {
            0 => says(503),
            3 => Reply::Instead(429, vec![("Retry-After", "0".to_owned())], String::new()),
            5 => says(500),
            _ => says(200),
        }
    });
    let (finished, report) = place(&api, &database).sync(&[]);
    finished.expect(0);
    assert_eq!(ledger(&report), [12, 12, 0, 0, 0]);
    assert_eq!(puts(&api).len(), 15);
    assert_eq!(report["api_retries"], 3);
}

#[test]
fn while_the_api_is_away_messages_are_kept_and_retry_sends_them_without_fetching() {
    let database = Database::new();
    let away = Arc::new(AtomicBool::new(true));
    let down = Arc::clone(&away);
    let api = server(texts(60), move |_| {
        says(if down.load(Ordering::SeqCst) {
            503
        } else {
            200
        })
    });
    let workplace = place(&api, &database);
    let (finished, report) = workplace.sync(&[]);
    finished.expect(3).says("kept for the next run");
    assert_eq!(ledger(&report), [60, 0, 0, 0, 60]);
    assert!(
        puts(&api).len() <= 40,
        "a dead API is left in peace: {}",
        puts(&api).len()
    );
    assert_eq!(
        database.one("SELECT concat_ws(' ', status, complete, exit_code) FROM sync_log"),
        "SUCCESS t 3",
        "what was fetched is complete all the same"
    );
    let id = report["case_id"].as_str().unwrap().to_owned();

    away.store(false, Ordering::SeqCst);
    let before = api.requests().len();
    let retried = workplace.run(&["retry", "--output", "json"]);
    retried.expect(0);
    assert_eq!(ledger(&retried.json()), [60, 60, 0, 0, 0]);
    assert!(waiting(&database).is_empty());
    let pages = api.requests()[before..]
        .iter()
        .filter(|r| r.method == "GET")
        .count();
    assert!(pages <= 1, "only check-api reads a page: {pages}");
    let case = workplace
        .run(&["case", "show", &id, "--output", "json"])
        .json();
    assert_eq!(case["closing"], "resolved");
    workplace.run(&["retry"]).expect(0).says("Nothing to do");
}

#[test]
fn a_message_that_still_waits_is_replaced_by_what_was_fetched_later() {
    let database = Database::new();
    let api = server(texts(3), |_| says(503));
    let workplace = place(&api, &database);
    workplace.sync(&[]).0.expect(3);
    let mut records = texts(3);
    records[1] = text("W-0002", "Newer", 2);
    let api = server(records, |_| says(200));
    let workplace = workplace.with_api(api.url());
    let (finished, report) = workplace.sync(&[]);
    finished.expect(0);
    assert_eq!(ledger(&report), [3, 3, 0, 0, 0]);
    let bodies: Vec<String> = puts(&api)
        .into_iter()
        .filter(|request| request.path.ends_with("W-0002"))
        .map(|request| request.body)
        .collect();
    assert_eq!(bodies.len(), 1);
    assert!(
        bodies[0].contains("Newer"),
        "never what is older than what the API has said: {bodies:?}"
    );
}

/// Kills the child whose id is known by then, once.
fn killer() -> (Arc<AtomicU32>, impl Fn() + Send + Sync) {
    let child = Arc::new(AtomicU32::new(0));
    let target = Arc::clone(&child);
    let kill = move || {
        let deadline = Instant::now() + Duration::from_secs(20);
        while target.load(Ordering::SeqCst) == 0 && Instant::now() < deadline {
            std::thread::yield_now();
        }
        let id = target.load(Ordering::SeqCst).to_string();
        std::process::Command::new("kill")
            .args(["-9", &id])
            .status()
            .unwrap();
    };
    (child, kill)
}

#[test]
fn killed_while_it_tells_nothing_is_forgotten() {
    for at in [1, 2, 90, 205] {
        let database = Database::new();
        let (child, kill) = killer();
        let asked = AtomicU32::new(0);
        let api = server(texts(230), move |_| {
            if asked.fetch_add(1, Ordering::SeqCst) + 1 == at {
                kill();
            }
            says(200)
        });
        let workplace = place(&api, &database);
        let started = workplace.start(&["sync"]);
        child.store(started.id(), Ordering::SeqCst);
        assert_eq!(finish(started).code, -9, "killed at PUT {at}");
        let owed: BTreeSet<String> = waiting(&database).into_iter().collect();
        let sent = told(&api);
        for row in database.list("SELECT customer_id FROM customers") {
            assert!(
                owed.contains(&row) || sent.contains_key(&row),
                "{row} is forgotten"
            );
        }
        let (finished, report) = workplace.sync(&["--wait", "40s"]);
        finished.expect(0);
        assert_eq!(ledger(&report)[4], 0);
        assert_eq!(told(&api).len(), 230, "killed at PUT {at}");
        assert!(waiting(&database).is_empty());
    }
}

#[test]
fn killed_between_the_commit_and_the_first_put_everything_is_told_by_the_next_run() {
    let database = Database::new();
    let (child, kill) = killer();
    let (client, armed) = (Mutex::new(database.client()), AtomicBool::new(true));
    let api = Server::new()
        .records(texts(600))
        .latency(Duration::from_millis(5))
        .script(move |request| {
            if request.method == "PUT" {
                return Some(says(200));
            }
            // The last page: some batches are committed by then, or soon will be.
            if request.param("page") == Some("6") && armed.swap(false, Ordering::SeqCst) {
                let deadline = Instant::now() + Duration::from_secs(20);
                let count = "SELECT count(*) FROM customers";
                while client
                    .lock()
                    .unwrap()
                    .query_one(count, &[])
                    .unwrap()
                    .get::<_, i64>(0)
                    == 0
                    && Instant::now() < deadline
                {
                    std::thread::yield_now();
                }
                kill();
            }
            None
        })
        .start();
    let workplace = place(&api, &database);
    workplace.edit("mappings.yaml", "batch_size: 5000", "batch_size: 50");
    let started = workplace.start(&["sync"]);
    child.store(started.id(), Ordering::SeqCst);
    assert_eq!(finish(started).code, -9);
    let committed = database.list("SELECT customer_id FROM customers ORDER BY 1");
    assert!(!committed.is_empty());
    assert_eq!(
        waiting(&database),
        committed,
        "both are in the same transaction"
    );
    assert!(puts(&api).is_empty());

    // `retry` knows of them without a case.
    let retried = workplace.run(&["retry", "--output", "json"]);
    retried.expect(0);
    assert_eq!(told(&api).len(), committed.len());
    let (finished, _) = workplace.sync(&[]);
    finished.expect(0);
    assert_eq!(told(&api).len(), 600);
    assert_eq!(puts(&api).len(), 600, "and nobody twice");
}

#[test]
fn a_dry_run_shows_what_would_be_sent_and_sends_nothing() {
    let database = Database::new();
    let api = server(texts(40), |_| says(200));
    let workplace = place(&api, &database).env("RUST_LOG", "trace");
    let (finished, report) = workplace.sync(&["--dry-run"]);
    finished.expect(0);
    assert_eq!(ledger(&report), [40, 0, 0, 0, 40]);
    let messages = report["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 20, "the first ones");
    let number = messages[0]["id"].as_str().unwrap()[2..]
        .parse::<u32>()
        .unwrap();
    assert_eq!(messages[0]["body"]["full_name"], format!("Name {number}"));
    assert!(
        !finished.stderr.contains("Name 1"),
        "values are for stdout alone"
    );
    workplace
        .run(&["sync", "--dry-run"])
        .expect(0)
        .says("40 messages would be sent")
        .says(r#"{"external_id":"W-0"#);
    assert!(puts(&api).is_empty() && waiting(&database).is_empty());

    // Compared with what is stored, only what differs is shown.
    workplace.sync(&[]).0.expect(0);
    let mut records = texts(40);
    records[2] = text("W-0003", "Changed", 2);
    let api = server(records, |_| says(200));
    let workplace = workplace.with_api(api.url());
    let (_, report) = workplace.sync(&["--dry-run"]);
    assert_eq!(ledger(&report)[0], 1);
    assert_eq!(report["messages"][0]["id"], "W-0003");
    assert!(puts(&api).is_empty());
}

#[test]
fn whatever_is_in_an_id_it_stays_one_segment_of_the_path() {
    let database = Database::new();
    let ids = [
        "a/b",
        "../../admin",
        "q?x=1#f",
        "100%",
        "Zoë 李",
        "@evil.example",
        "..",
    ];
    let records = ids.map(|id| text(id, "Name", 1)).to_vec();
    let api = server(records, |_| says(200));
    let workplace = place(&api, &database);
    let (finished, report) = workplace.sync(&[]);
    // `..` has no address of its own: it is kept and said, and hurts nobody else.
    finished.expect(3).says("makes no address");
    assert_eq!(ledger(&report), [7, 6, 0, 0, 1]);
    assert_eq!(waiting(&database), [".."]);
    let mut paths: Vec<String> = puts(&api).into_iter().map(|request| request.path).collect();
    paths.sort();
    assert_eq!(
        paths,
        [
            "/api/v1/data/%40evil.example",
            "/api/v1/data/..%2F..%2Fadmin",
            "/api/v1/data/100%25",
            "/api/v1/data/Zo%C3%AB%20%E6%9D%8E",
            "/api/v1/data/a%2Fb",
            "/api/v1/data/q%3Fx%3D1%23f",
        ]
    );
    assert!(puts(&api).iter().all(|request| request.query.is_empty()));
}

#[test]
fn a_redirect_is_not_followed_and_the_other_origin_hears_nothing() {
    let database = Database::new();
    let other = Server::new().start();
    let location = format!("{}/api/v1/data/W-0001", other.url());
    let api = server(texts(5), move |_| {
        Reply::Instead(307, vec![("Location", location.clone())], String::new())
    });
    let (finished, report) = place(&api, &database).sync(&[]);
    finished.expect(3).says("redirects are not followed");
    assert_eq!(ledger(&report), [5, 0, 0, 0, 5]);
    assert!(other.requests().is_empty());
    assert!(puts(&api).len() <= 4, "no more than were in flight");
}

#[test]
fn no_secret_and_no_value_gets_out_when_it_fails() {
    let database = Database::new();
    let record =
        text("W-0001", "canary-name-1a", 1).replace("u@example.com", "canary.mail-2b@example.com");
    let records = vec![record, text("W-0002", "canary-name-1a", 1)];
    let api = Server::new()
        .records(records)
        .token(Some("canary-token-3c"))
        .script(|request| {
            (request.method == "PUT").then(|| {
                let body = format!("no: {} canary-answer-4d", request.body);
                Reply::Instead(422, vec![("X-Why", "canary-header-5e".to_owned())], body)
            })
        })
        .start();
    let workplace = place(&api, &database)
        .env("API_TOKEN", "canary-token-3c")
        .env("RUST_LOG", "trace");
    let (finished, report) = workplace.sync(&[]);
    finished.expect(3).says("422");
    assert_eq!(ledger(&report), [2, 0, 0, 0, 2], "a refusal is kept");
    let case = workplace.run(&["case", "show", report["case_id"].as_str().unwrap()]);
    for text in [
        &finished.stdout,
        &finished.stderr,
        &case.stdout,
        &case.stderr,
    ] {
        assert!(!text.contains("canary"), "{text}");
    }
}

#[test]
fn what_the_database_refused_is_not_told() {
    let database = Database::new();
    database.run("ALTER TABLE customers ADD CHECK (customer_name <> 'Name 7')");
    let api = server(texts(30), |_| says(200));
    let (finished, report) = place(&api, &database).sync(&[]);
    finished.expect(0);
    assert_eq!(report["ledger"]["rejected"], 1);
    assert_eq!(ledger(&report), [29, 29, 0, 0, 0]);
    assert!(!told(&api).contains_key("W-0007"));
}

#[test]
fn fetching_and_telling_share_one_pace() {
    let database = Database::new();
    let state = Mutex::new((Instant::now(), 0_u32));
    let refused = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&refused);
    let api = Server::new()
        .records(texts(20))
        .script(move |request| {
            let mut state = state.lock().unwrap();
            if state.0.elapsed() >= Duration::from_secs(1) {
                *state = (Instant::now(), 0);
            }
            state.1 += 1;
            let left = 9_u32.saturating_sub(state.1);
            let headers = vec![
                ("RateLimit-Policy", "\"default\";q=9;w=1".to_owned()),
                ("RateLimit", format!("\"default\";r={left};t=1")),
            ];
            if state.1 > 9 {
                count.fetch_add(1, Ordering::SeqCst);
                return Some(Reply::Instead(429, headers, String::new()));
            }
            Some(if request.method == "PUT" {
                Reply::Instead(200, headers, String::new())
            } else {
                Reply::With(headers)
            })
        })
        .start();
    let workplace = place(&api, &database);
    workplace.edit("mappings.yaml", "size: 100 ", "size: 5 ");
    let (finished, report) = workplace.sync(&[]);
    finished.expect(0);
    assert_eq!(ledger(&report), [20, 20, 0, 0, 0]);
    assert_eq!(
        refused.load(Ordering::SeqCst),
        0,
        "the limit never had to be enforced"
    );
}

#[test]
fn a_signal_keeps_what_was_not_told_and_opens_no_case() {
    let database = Database::new();
    let child = Arc::new(AtomicU32::new(0));
    let (target, asked) = (Arc::clone(&child), AtomicU32::new(0));
    let api = server(texts(150), move |_| {
        if asked.fetch_add(1, Ordering::SeqCst) == 10 {
            let deadline = Instant::now() + Duration::from_secs(20);
            while target.load(Ordering::SeqCst) == 0 && Instant::now() < deadline {
                std::thread::yield_now();
            }
            let id = target.load(Ordering::SeqCst).to_string();
            std::process::Command::new("kill")
                .args(["-TERM", &id])
                .status()
                .unwrap();
        }
        std::thread::sleep(Duration::from_millis(20));
        says(200)
    });
    let workplace = place(&api, &database);
    let started = workplace.start(&["sync", "--output", "json"]);
    child.store(started.id(), Ordering::SeqCst);
    let finished = finish(started);
    finished.expect(143);
    let report = finished.json();
    let [due, sent, .., kept] = ledger(&report);
    assert!(due == 150 && sent > 0 && kept > 0, "{report}");
    assert_eq!(waiting(&database).len() as u64, kept);
    assert_eq!(report["case_id"], Value::Null);
    workplace.sync(&[]).0.expect(0);
    assert_eq!(told(&api).len(), 150);
}

#[test]
fn who_does_not_configure_it_never_meets_it() {
    let database = Database::new();
    database.run("DROP TABLE sync_outbox");
    let api = server(texts(5), |_| says(200));
    let workplace = Workplace::connected(api.url(), &database);
    let (finished, report) = workplace.sync(&[]);
    finished.expect(0);
    assert!(report.get("write_back").is_none() && puts(&api).is_empty());
    // And who does is told what is missing before anything is fetched.
    let before = api.requests().len();
    let workplace = place(&api, &database);
    workplace
        .run(&["sync"])
        .expect(2)
        .says("sync_outbox")
        .says("--apply-schema");
    assert_eq!(api.requests().len(), before);
}
