//! Rows 86 to 88: whatever a run waits for, it ends at its deadline and at a signal.

use std::time::{Duration, Instant};

use super::{count, place, rows, text, texts};
use crate::support::command::{Finished, finish};
use crate::support::http::{Reply, Running, Server};
use crate::support::postgres::Database;
use crate::support::{Workplace, signal, until};

/// No run outlives its deadline, or a signal, by more than this.
const SOON: Duration = Duration::from_secs(10);

/// Runs a command with the time it took.
fn timed(place: &Workplace, arguments: &[&str]) -> (Finished, Duration) {
    let started = Instant::now();
    (place.run(arguments), started.elapsed())
}

/// Starts a command, asks it to end once it waits for this table, and takes the time from then on.
fn terminated(place: &Workplace, database: &Database, arguments: &[&str]) -> (Finished, Duration) {
    let child = place.start(arguments);
    until("somebody waits for a lock", || {
        let waiting = "SELECT count(*)::text FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        database.one(waiting) != "0"
    });
    let asked = Instant::now();
    signal(rustix::process::Signal::TERM, child.id());
    (finish(child), asked.elapsed())
}

/// A source whose messages the API does not take, so that they wait in the outbox.
fn with_messages(database: &Database) -> (Running, Workplace) {
    let api = Server::new()
        .records(texts(20))
        .script(|request| {
            (request.method == "PUT").then(|| Reply::Instead(503, Vec::new(), String::new()))
        })
        .start();
    let place = place(&api, database);
    place.edit("mappings.yaml", "enabled: false", "enabled: true");
    place.edit(
        "mappings.yaml",
        "method: PUT",
        "method: PUT\n        retry: { initial: 5ms, max: 20ms }",
    );
    place.run(&["sync"]).expect(3);
    (api, place)
}

#[test]
fn row_87_write_back_that_waits_for_a_lock_hears_deadline_and_signal() {
    let database = Database::new();
    let (_api, place) = with_messages(&database);
    let mut client = database.client();
    let mut lock = client.transaction().unwrap();
    lock.execute("LOCK TABLE sync_outbox IN ACCESS EXCLUSIVE MODE", &[])
        .unwrap();
    let (finished, took) = timed(&place, &["sync", "--deadline", "3s"]);
    assert!(took < Duration::from_secs(3) + SOON, "{took:?}\n{finished}");
    finished.expect(4);
    let (finished, took) = terminated(&place, &database, &["sync"]);
    assert!(took < SOON, "{took:?}\n{finished}");
    assert_ne!(finished.code, 0, "{finished}");
}

#[test]
fn row_87_a_retry_that_waits_for_the_cases_hears_the_signal_and_does_not_say_that_all_is_done() {
    let database = Database::new();
    let api = Server::new().records(texts(20)).start();
    let place = place(&api, &database);
    place.run(&["sync"]).expect(0);
    let mut client = database.client();
    let mut lock = client.transaction().unwrap();
    lock.execute("LOCK TABLE sync_cases IN ACCESS EXCLUSIVE MODE", &[])
        .unwrap();
    let (finished, took) = terminated(&place, &database, &["retry"]);
    assert!(took < SOON, "{took:?}\n{finished}");
    finished.expect(143);
}

/// The end of a run is written down in `sync_log` and `sync_cases`.
#[test]
fn row_87_a_run_that_cannot_write_down_its_end_hears_deadline_and_signal() {
    for table in ["sync_cases", "sync_log"] {
        let database = Database::new();
        let slow = Server::new().records(texts(300)).held_after(2).start();
        let place = place(&slow, &database);
        place.edit("mappings.yaml", "timeout: 1s ", "timeout: 30s ");
        place.edit("mappings.yaml", "concurrency: 4", "concurrency: 1");
        let mut client = database.client();
        let child = place.start(&["sync", "--deadline", "20s"]);
        until("a third request", || slow.requests().len() >= 3);
        let mut lock = client.transaction().unwrap();
        let lock_table = format!("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE");
        lock.execute(&lock_table, &[]).unwrap();
        slow.let_go();
        until("the run waits for the lock", || {
            database.one("SELECT count(*)::text FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'") != "0"
        });
        let asked = Instant::now();
        signal(rustix::process::Signal::TERM, child.id());
        let finished = finish(child);
        let took = asked.elapsed();
        assert!(took < SOON, "{table}: {took:?}\n{finished}");
        assert_eq!(rows(&database), "300", "{table}: {finished}");
    }
}

#[test]
fn row_87_a_dry_run_that_waits_for_a_lock_ends_at_its_deadline() {
    let database = Database::new();
    let api = Server::new().records(texts(2_500)).start();
    let place = place(&api, &database);
    place.run(&["sync", "--limit", "10"]).expect(0);
    let mut client = database.client();
    let slow = Server::new().records(texts(2_500)).held_after(2).start();
    let place = place.with_api(slow.url());
    place.edit("mappings.yaml", "timeout: 1s ", "timeout: 30s ");
    let child = place.start(&["sync", "--dry-run", "--deadline", "4s"]);
    let started = Instant::now();
    until("a request", || slow.requests().len() >= 2);
    let mut lock = client.transaction().unwrap();
    lock.execute("LOCK TABLE customers IN ACCESS EXCLUSIVE MODE", &[])
        .unwrap();
    slow.let_go();
    let finished = finish(child);
    let took = started.elapsed();
    assert!(took < Duration::from_secs(7), "{took:?}\n{finished}");
}

/// Records without a key, all alike, in one page: bounded time, few files.
#[test]
fn row_86_a_page_of_thousands_of_empty_records_is_kept_in_few_files_at_the_deadline() {
    let database = Database::new();
    let page = format!("[{}]", vec!["{}"; 300_000].join(","));
    let api = Server::new()
        .script(move |_| {
            let json = vec![("Content-Type", "application/json".to_owned())];
            Some(Reply::Instead(200, json, page.clone()))
        })
        .start();
    let place = place(&api, &database);
    place.edit("mappings.yaml", "timeout: 1s ", "timeout: 30s ");
    // Nothing can be written, and the deadline finds all of it waiting.
    let mut client = database.client();
    let mut lock = client.transaction().unwrap();
    lock.execute("LOCK TABLE sync_rejections IN ACCESS EXCLUSIVE MODE", &[])
        .unwrap();
    let started = Instant::now();
    let (finished, report) = place.sync(&["--deadline", "5s"]);
    let took = started.elapsed();
    assert!(took < Duration::from_secs(5) + SOON, "{took:?}\n{finished}");
    assert_ne!(finished.code, 0, "{finished}");
    let files = std::fs::read_dir(place.state().join("spool")).unwrap();
    let files = files.count();
    assert!(
        files <= 30,
        "{files} files for {} records",
        count(&report, "spooled")
    );
}

#[test]
fn what_is_no_regular_file_in_the_spool_keeps_neither_the_others_nor_the_fetch_waiting() {
    let database = Database::new();
    let api = Server::new().records(texts(20)).start();
    let place = place(&api, &database);
    let closed = place.run(&["sync"]);
    closed.expect(0);
    let spool = place.state().join("spool");
    let fifo = spool.join("00000000000000000001-x-00000001.spool");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(made.unwrap().success());
    let more = Server::new()
        .records(texts(20).into_iter().chain([text("F-NEW")]))
        .start();
    let place = place.with_api(more.url());
    let (finished, took) = timed(&place, &["sync", "--deadline", "10s"]);
    assert!(took < SOON, "{took:?}\n{finished}");
    finished.expect(6).says("it is not a regular file");
    assert_eq!(rows(&database), "21", "what was fetched is written");
    assert!(!fifo.exists());
    // The next run needs no help.
    place.run(&["sync"]).expect(0);
}

/// Files that a user names.
#[test]
fn what_has_no_end_is_not_read_for_ever() {
    let place = Workplace::new();
    let fifo = place.path("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(made.unwrap().success());
    let fifo = fifo.display().to_string();
    let huge = place.path("huge");
    std::fs::File::create(&huge)
        .unwrap()
        .set_len(3 << 30)
        .unwrap();
    let huge = huge.display().to_string();
    for name in [fifo.as_str(), "/dev/zero", huge.as_str()] {
        for arguments in [
            ["validate", "--mappings", name],
            ["validate", "--env-file", name],
            ["validate", "--decisions", name],
            ["validate", "--input", name],
        ] {
            let (finished, took) = timed(&place, &arguments);
            assert!(took < Duration::from_secs(20), "{arguments:?} {took:?}");
            finished.expect(2);
        }
    }
}

/// The server closes what is idle: the connection that wrote first, and the spare one. Which writer takes the next batch is
/// left to chance, so there are a few rounds.
#[test]
fn row_88_connections_that_died_of_age_are_replaced_and_nothing_is_spooled() {
    for round in 0..5 {
        let database = Database::direct();
        database.run(&format!(
            "ALTER DATABASE {} SET idle_session_timeout = '500ms'",
            database.name
        ));
        let slow = Server::new().records(texts(200)).held_after(1).start();
        let place = place(&slow, &database);
        place.edit("mappings.yaml", "timeout: 1s ", "timeout: 30s ");
        place.edit("mappings.yaml", "concurrency: 4", "concurrency: 1");
        place.edit("mappings.yaml", "batch_size: 5000 ", "batch_size: 100 ");
        let child = place.start(&["sync", "--output", "json"]);
        until("a second request", || slow.requests().len() >= 2);
        until("the first page is written", || rows(&database) == "100");
        std::thread::sleep(Duration::from_millis(1_500));
        slow.let_go();
        let finished = finish(child);
        finished.expect(0);
        let report = finished.json();
        assert_eq!(count(&report, "spooled"), 0, "round {round}: {report}");
        assert_eq!(rows(&database), "200");
        assert_eq!(database.one("SELECT status FROM sync_log"), "SUCCESS");
    }
}
