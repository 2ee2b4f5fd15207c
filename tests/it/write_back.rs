//! Write-back: after the commit one message a record is sent to the API. Whatever fails or is killed in between, no message
//! is lost, and no change that others made at the API is overwritten.
#![allow(clippy::unwrap_used)]

mod answers;
mod interrupted;
mod unsendable;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::Workplace;
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
    let fates = all[1..].iter().sum::<u64>() + unsendable(report);
    assert_eq!(all[0], fates, "{report}");
    all
}

fn unsendable(report: &Value) -> u64 {
    report["write_back"]["unsendable"].as_u64().unwrap()
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
    assert_eq!(
        database.one("SELECT write_back->>'sent' FROM sync_log"),
        "250",
        "the log says the same"
    );
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
    // Longer than the limit has requests follow each other.
    let latency = Duration::from_millis(400);
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
            drop(state);
            if request.method == "PUT" {
                std::thread::sleep(latency);
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
    let in_flight = puts(&api).iter().map(|put| put.in_flight).max().unwrap();
    assert!(
        (2..=4).contains(&in_flight),
        "{in_flight} messages were in flight at once"
    );
}

#[test]
fn as_many_messages_are_in_flight_as_the_concurrency_allows_and_no_more() {
    for (concurrency, least, most) in [(1, 1, 1), (4, 2, 4), (8, 5, 8)] {
        let database = Database::new();
        let api = server(texts(24), |_| {
            std::thread::sleep(Duration::from_millis(100));
            says(200)
        });
        let workplace = place(&api, &database);
        workplace.edit(
            "mappings.yaml",
            "concurrency: 4",
            &format!("concurrency: {concurrency}"),
        );
        let (finished, report) = workplace.sync(&[]);
        finished.expect(0);
        assert_eq!(ledger(&report), [24, 24, 0, 0, 0]);
        assert_eq!(puts(&api).len(), 24, "each once");
        let in_flight = puts(&api).iter().map(|put| put.in_flight).max().unwrap();
        assert!(
            (least..=most).contains(&in_flight),
            "{in_flight} in flight where {concurrency} may be"
        );
    }
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
