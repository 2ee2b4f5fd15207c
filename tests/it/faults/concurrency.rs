//! Rows 49 to 54: several at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{count, hasty, patient, place, rows, signal, text, texts};
use crate::support::command::{assert_balanced, finish};
use crate::support::http::Server;
use crate::support::postgres::{Cluster, Database};
use crate::support::{Workplace, until};

#[test]
fn row_49_a_dead_lock_with_a_hostile_session_is_retried() {
    const UNTIL_SOMEBODY_WAITS: &str = "DO $$ BEGIN FOR n IN 1..30 LOOP PERFORM pg_stat_clear_snapshot(); \
         EXIT WHEN EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'); \
         PERFORM pg_sleep(0.001); END LOOP; END $$";
    let api = Server::new().records(texts(400)).start();
    let database = Database::new();
    let place = place(&api, &database);
    place.edit("mappings.yaml", "min_connections: 2", "min_connections: 4");
    place.edit("mappings.yaml", "batch_size: 5000", "batch_size: 100");
    place.sync(&[]).0.expect(0);
    // Every row changes, and somebody updates pairs of rows meanwhile: in the opposite order, and now and then in ours.
    let changed: Vec<String> = texts(400)
        .iter()
        .map(|text| text.replace("\"lead\"", "\"partner\""))
        .collect();
    let source = |records| {
        let server = Server::new().records(records);
        server.latency(Duration::from_millis(20)).start()
    };
    let sources = [source(changed), source(texts(400))];
    let lost = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let hostile = {
        let (stop, mut client) = (std::sync::Arc::clone(&stop), database.client());
        let lost = std::sync::Arc::clone(&lost);
        std::thread::spawn(move || {
            let mut i = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                i = (i + 37) % 390;
                let (mut one, mut other) = (i + 9, i);
                if i % 3 == 0 {
                    std::mem::swap(&mut one, &mut other);
                }
                let sql = format!(
                    "BEGIN; UPDATE customers SET updated_at = updated_at WHERE customer_id = 'F-{one:05}'; {UNTIL_SOMEBODY_WAITS}; \
                     UPDATE customers SET updated_at = updated_at WHERE customer_id = 'F-{other:05}'; COMMIT",
                );
                if client.batch_execute(&sql).is_err() {
                    client.batch_execute("ROLLBACK").unwrap();
                    lost.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                }
            }
        })
    };
    let (mut place, mut met) = (place, 0);
    // A dead-lock needs two to meet; on a busy machine they may miss each other for a whole run.
    for round in 0..20 {
        place = place.with_api(sources[round % 2].url());
        let (finished, report) = place.sync(&[]);
        finished.expect(0);
        assert_eq!(count(&report, "updated"), 400, "{report}");
        met += report["db_retries"].as_u64().unwrap();
        if met + lost.load(std::sync::atomic::Ordering::Relaxed) > 0 {
            break;
        }
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    hostile.join().unwrap();
    let lost = lost.load(std::sync::atomic::Ordering::Relaxed);
    assert!(met + lost >= 1, "no dead-lock came about in 20 runs");
}

#[test]
fn row_50_a_row_lock_that_is_held_meets_the_lock_timeout_and_the_batch_is_spooled() {
    let api = Server::new().records(texts(50)).start();
    let database = Database::new();
    let place = place(&api, &database);
    place.edit("mappings.yaml", "lock_timeout: 10s", "lock_timeout: 200ms");
    place.sync(&[]).0.expect(0);
    let mut holder = database.client();
    holder
        .batch_execute("BEGIN; UPDATE customers SET email = 'held' WHERE customer_id = 'F-00007'")
        .unwrap();
    let changed: Vec<String> = texts(50)
        .iter()
        .map(|text| text.replace("\"lead\"", "\"partner\""))
        .collect();
    let second = Server::new().records(changed).start();
    let place = place.with_api(second.url());
    let started = Instant::now();
    let (finished, report) = place.sync(&[]);
    finished.expect(4).says("55P03");
    assert!(started.elapsed() < Duration::from_secs(20));
    assert!(count(&report, "spooled") >= 1);
    assert!(report["db_retries"].as_u64().unwrap() >= 1);
    holder.batch_execute("ROLLBACK").unwrap();
    place.run(&["retry"]).expect(0);
    assert_eq!(
        database.one("SELECT count(*)::text FROM customers WHERE record_type = 'partner'"),
        "50"
    );
}

#[test]
fn row_51_two_runs_at_once_one_is_told_who_is_at_work_or_waits() {
    let api = Server::new().records(texts(600)).held_after(1).start();
    let database = Database::new();
    let first = patient(place(&api, &database));
    first.edit("mappings.yaml", "concurrency: 4", "concurrency: 1");
    let mut first = first.start(&["sync"]);
    until("a second request", || api.requests().len() == 2);
    let second = place(&api, &database);
    let busy = second.run(&["sync"]);
    busy.expect(75)
        .says("another run is writing to public.customers")
        .says("records so far");
    let mut waiting = second.start(&["sync", "--output", "json", "--wait", "60s"]);
    // It asks every half second.
    std::thread::sleep(Duration::from_millis(1_200));
    assert!(waiting.try_wait().unwrap().is_none(), "it did not wait");
    assert!(first.try_wait().unwrap().is_none());
    assert_eq!(
        api.requests().len(),
        2,
        "neither the one that was told nor the one that waits did fetch"
    );
    api.let_go();
    let finished = finish(waiting);
    finished.expect(0);
    let report = finished.json();
    assert_balanced(&report);
    assert_eq!(count(&report, "unchanged"), 600, "it ran after the first");
    finish(first).expect(0);
    assert_eq!(rows(&database), "600");
    assert_eq!(database.one("SELECT count(*)::text FROM sync_lease"), "0");
}

#[test]
fn row_52_two_retries_at_once_replay_each_file_once() {
    let cluster = Cluster::new(&[], &[]);
    let database = cluster.database();
    let api = Server::new().records(texts(500)).start();
    let place = place(&api, &database);
    cluster.stop("fast");
    place.sync(&[]).0.expect(4);
    cluster.start();
    let children: Vec<_> = (0..2)
        .map(|_| place.start(&["retry", "--output", "json"]))
        .collect();
    let results: Vec<_> = children.into_iter().map(finish).collect();
    for finished in &results {
        assert!(matches!(finished.code, 0 | 75), "{finished}");
    }
    assert!(results.iter().any(|finished| finished.code == 0));
    place.run(&["sync"]).expect(0);
    assert_eq!(rows(&database), "500");
    assert_eq!(
        database.one("SELECT sum(inserted)::text FROM sync_batches"),
        "500",
        "nothing was written twice"
    );
}

#[test]
fn row_53_a_stale_replay_never_overwrites_newer_data() {
    // Without a version, one that was fetched before a complete run is not even tried; the guard has to see to the others.
    for (versioned, how, as_a_whole) in [
        (false, &[][..], true),
        (false, &["--limit", "1"], false),
        (true, &[], false),
    ] {
        let cluster = Cluster::new(&[], &[]);
        let database = cluster.database();
        let body = |name: &str, version: &str| {
            let record = text("S-1").replace("Name of S-1", name);
            vec![record.replace(
                "\"record_type\"",
                &format!("\"updated_date\":\"{version}\",\"record_type\""),
            )]
        };
        let old = Server::new()
            .records(body("old", "2024-01-01T00:00:00Z"))
            .start();
        let new = Server::new()
            .records(body("new", "2024-02-01T00:00:00Z"))
            .start();
        let prepare = |place: Workplace| {
            if versioned {
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
            }
            hasty(place)
        };
        // Host A has the old version in its spool; host B writes the new one.
        let a = prepare(Workplace::connected(old.url(), &database));
        let b = prepare(Workplace::connected(new.url(), &database));
        cluster.stop("fast");
        a.sync(&[]).0.expect(4);
        cluster.start();
        b.sync(how).0.expect(0);
        let retried = a.run(&["retry", "--output", "json"]);
        retried.expect(0);
        assert_eq!(retried.json()["replayed"], 1, "{retried}");
        let batches: &[&str] = if as_a_whole {
            retried.says("superseded as a whole");
            &["1 0"]
        } else {
            &["1 0", "0 1"]
        };
        assert_eq!(
            database.list(
                "SELECT inserted || ' ' || superseded FROM sync_batches ORDER BY committed_at"
            ),
            batches,
            "{retried}"
        );
        let name = database.one("SELECT customer_name FROM customers WHERE customer_id = 'S-1'");
        assert_eq!(name, "new", "versioned: {versioned}, {how:?}");
        assert_eq!(
            std::fs::read_dir(a.state().join("spool")).unwrap().count(),
            0,
            "the file is done with"
        );
    }
}

#[test]
fn row_54_a_lease_that_is_lost_does_not_make_a_run_wrong() {
    let held = Server::new().records(texts(800)).held_after(1).start();
    let free = Server::new().records(texts(800)).start();
    let database = Database::new();
    let slow = patient(place(&held, &database));
    slow.edit("mappings.yaml", "concurrency: 4", "concurrency: 1");
    let mut child = slow.start(&["sync", "--output", "json"]);
    until("a second request", || held.requests().len() == 2);
    assert_eq!(
        database.list("DELETE FROM sync_lease RETURNING target"),
        ["public.customers"]
    );
    let (finished, report) = place(&free, &database).sync(&[]);
    finished.expect(0);
    assert_eq!(count(&report, "fetched"), 800);
    assert!(
        child.try_wait().unwrap().is_none(),
        "the slow run is over: they were not at work at once"
    );
    held.let_go();
    let finished = finish(child);
    finished.expect(0);
    let report = finished.json();
    assert_balanced(&report);
    assert_eq!(count(&report, "fetched"), 800);
    assert_eq!(rows(&database), "800");
    assert_eq!(
        database.one("SELECT sum(inserted)::text FROM sync_batches"),
        "800"
    );
}

#[test]
fn row_54_a_run_that_slept_past_its_lease_does_not_overwrite_what_its_successor_wrote() {
    // The source changes after the fourth answer, which the sleeper has not read yet.
    let answers = Arc::new(AtomicUsize::new(0));
    let sent = Arc::clone(&answers);
    let api = Server::new()
        .records(texts(800))
        .held_after(3)
        .rewrite(move |_, body| {
            if sent.fetch_add(1, Ordering::SeqCst) < 4 {
                body
            } else {
                body.replace("\"lead\"", "\"partner\"")
            }
        })
        .start();
    let database = Database::new();
    let sleeper = patient(place(&api, &database));
    sleeper.edit("mappings.yaml", "concurrency: 4", "concurrency: 1");
    sleeper.edit("mappings.yaml", "batch_size: 5000 ", "batch_size: 100 ");
    let child = sleeper.start(&["sync", "--output", "json"]);
    until("a fourth request", || api.requests().len() == 4);
    until("three pages in the table", || rows(&database) == "300");
    signal(Signal::STOP, child.id());
    let stopped = rustix::process::waitid(
        rustix::process::WaitId::Pid(rustix::process::Pid::from_child(&child)),
        rustix::process::WaitIdOptions::STOPPED,
    );
    assert!(stopped.unwrap().unwrap().stopped(), "it has ended");
    assert_eq!(
        database.list(
            "UPDATE sync_lease SET expires_at = clock_timestamp() - interval '1 second' RETURNING target"
        ),
        ["public.customers"]
    );
    api.let_go();
    until("the fourth answer", || answers.load(Ordering::SeqCst) == 4);
    let (finished, report) = place(&api, &database).sync(&[]);
    finished.expect(0).says("this one takes over");
    assert_eq!(
        ["fetched", "updated", "inserted"].map(|name| count(&report, name)),
        [800, 300, 500],
        "{report}"
    );
    signal(Signal::CONT, child.id());
    let finished = finish(child);
    finished.expect(0);
    let report = finished.json();
    assert_balanced(&report);
    assert_eq!(
        ["fetched", "inserted", "superseded", "unchanged"].map(|name| count(&report, name)),
        [800, 300, 100, 400],
        "{report}"
    );
    assert_eq!(
        database.list("SELECT record_type || ' ' || count(*) FROM customers GROUP BY record_type"),
        ["partner 800"]
    );
    assert_eq!(
        database.one("SELECT concat_ws(' ', sum(inserted), sum(updated), sum(unchanged), sum(superseded)) FROM sync_batches"),
        "800 300 400 100"
    );
    assert_eq!(database.one("SELECT count(*)::text FROM sync_lease"), "0");
}

#[test]
fn a_run_that_was_killed_here_is_taken_over_at_once_and_its_log_row_says_abandoned() {
    let api = Server::new().records(texts(800)).held_after(1).start();
    let database = Database::new();
    let slow = patient(place(&api, &database));
    slow.edit("mappings.yaml", "concurrency: 4", "concurrency: 1");
    let mut child = slow.start(&["sync"]);
    until("a second request", || api.requests().len() == 2);
    child.kill().unwrap();
    finish(child).expect(-9);
    api.let_go();
    assert_eq!(database.one("SELECT count(*)::text FROM sync_lease"), "1");
    let started = Instant::now();
    let (finished, _) = place(&api, &database).sync(&[]);
    finished.expect(0).says("this one takes over");
    assert!(
        started.elapsed() < Duration::from_secs(15),
        "it waited for the expiry: {:?}",
        started.elapsed()
    );
    assert_eq!(
        database.list("SELECT status FROM sync_log ORDER BY started_at"),
        ["ABANDONED", "SUCCESS"]
    );
}

#[test]
fn a_run_of_another_host_that_is_not_heard_of_any_more_is_taken_over_at_its_expiry() {
    let api = Server::new().records(texts(50)).start();
    let database = Database::new();
    let place = place(&api, &database);
    database.run(
        "INSERT INTO sync_lease (target, run_id, who, host, process, started_at, heartbeat_at, expires_at, progress) \
         SELECT 'public.customers', gen_random_uuid(), 'ops', 'far-away', '', now(), now(), now() + interval '4 seconds', 1234",
    );
    // Whether it still lives cannot be known from here: who, where and how far is all there is to tell.
    place
        .run(&["sync"])
        .expect(75)
        .says("started by ops on far-away")
        .says("1,234 records so far");
    assert!(api.requests().is_empty());
    place
        .run(&["sync", "--wait", "60s"])
        .expect(0)
        .says("this one takes over");
    assert_eq!(rows(&database), "50");
}
