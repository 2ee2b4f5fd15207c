//! The API is away, or the program is killed or told to stop: no message is lost.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{ledger, place, puts, says, server, text, texts, told, waiting};
use crate::support::command::finish;
use crate::support::http::Server;
use crate::support::postgres::{Cluster, Database};

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
        crate::support::signal(rustix::process::Signal::KILL, target.load(Ordering::SeqCst));
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
            crate::support::signal(rustix::process::Signal::TERM, target.load(Ordering::SeqCst));
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
fn one_run_at_a_time_sends() {
    let database = Database::new();
    let api = server(texts(40), |_| says(200));
    let workplace = place(&api, &database);
    // Another run holds the lease of sending, and is heard of.
    database.run(
        "INSERT INTO sync_lease (target, run_id, who, host, process, started_at, heartbeat_at, expires_at) \
         SELECT 'public.customers write-back', gen_random_uuid(), 'shard 2', 'elsewhere', '', now(), now(), now() + interval '1 hour'",
    );
    let started = workplace.start(&["sync", "--output", "json"]);
    let deadline = Instant::now() + Duration::from_secs(20);
    while waiting(&database).len() < 40 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(puts(&api).is_empty(), "somebody else is sending");
    database.run("DELETE FROM sync_lease WHERE target LIKE '% write-back'");
    let finished = finish(started);
    finished.expect(0);
    assert_eq!(ledger(&finished.json()), [40, 40, 0, 0, 0]);
    assert_eq!(database.one("SELECT count(*) FROM sync_lease"), "0");
}

/// Nothing is committed while the database is away, so nothing may be told; once it is back, everything is, once.
#[test]
fn while_the_database_is_away_nothing_is_told_and_a_replay_tells_each_once() {
    let cluster = Cluster::new(&[], &[]);
    for again in ["retry", "sync"] {
        let database = cluster.database();
        let early = Arc::new(AtomicU32::new(0));
        let (seen, rows) = (Arc::clone(&early), database.server.clone());
        let (name, client) = (database.name.clone(), Mutex::new(None));
        let api = server(texts(60), move |request| {
            let id = request.path.rsplit('/').next().unwrap();
            let mut client = client.lock().unwrap();
            let client = client.get_or_insert_with(|| rows.client(&name));
            let row = "SELECT 1 FROM customers WHERE customer_id = $1";
            if client.query(row, &[&id]).unwrap().is_empty() {
                seen.fetch_add(1, Ordering::SeqCst);
            }
            says(204)
        });
        let workplace = place(&api, &database);
        cluster.stop("fast");
        let (finished, report) = workplace.sync(&[]);
        finished.expect(4);
        assert_eq!(report["ledger"]["spooled"], 60);
        assert!(
            report.get("write_back").is_none(),
            "what is due is not known: {report}"
        );
        assert!(puts(&api).is_empty(), "told before it was committed");

        cluster.start();
        let replayed = workplace.run(&[again, "--output", "json"]);
        replayed.expect(0);
        let report = replayed.json();
        assert_eq!(report["replayed"], 60, "{again}");
        assert_eq!(ledger(&report), [60, 60, 0, 0, 0], "{again}");
        assert_eq!(told(&api).len(), 60);
        assert_eq!(puts(&api).len(), 60, "{again}: each once");
        assert_eq!(early.load(Ordering::SeqCst), 0);
        assert!(waiting(&database).is_empty());

        let (finished, report) = workplace.sync(&[]);
        finished.expect(0);
        assert_eq!(ledger(&report), [0; 5], "nothing has changed");
        assert_eq!(puts(&api).len(), 60);
    }
}
