//! Rows 32 to 42: the way to PostgreSQL.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{count, patient, place, rows, signal, texts};
use crate::support::bouncer::{self, Bouncer};
use crate::support::command::finish;
use crate::support::http::{Running, Server};
use crate::support::postgres::{Cluster, Database};
use crate::support::proxy::{Mode, Proxy};
use crate::support::{Workplace, until};

fn api(count: u32) -> Running {
    Server::new().records(texts(count)).start()
}

/// Deadlines against the database that do not keep a test waiting.
fn quick(place: Workplace) -> Workplace {
    place.edit(
        "mappings.yaml",
        "statement_timeout: 60s",
        "statement_timeout: 1s",
    );
    place.edit("mappings.yaml", "lock_timeout: 10s", "lock_timeout: 1s");
    place.edit(
        "mappings.yaml",
        "connection_timeout: 5s",
        "connection_timeout: 1s",
    );
    place
}

/// The statement that writes rows, in whichever of its forms: a regular expression.
const WRITE: &str = r#"(INSERT INTO|COPY) "public"."customers""#;

/// Waits until a statement of the program runs in this database, and gives its back end.
fn backend(database: &Database, statement: &str) -> String {
    let sql = format!(
        "SELECT pid::text FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'datasync' AND state = 'active' AND query ~ '{statement}'"
    );
    let mut client = database.client();
    for _ in 0..400 {
        let found = client.simple_query(&sql).unwrap();
        for message in found {
            if let postgres::SimpleQueryMessage::Row(row) = message {
                return row.get(0).unwrap().to_owned();
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("no statement of the program was seen");
}

/// Keeps every write waiting in its statement until the transaction of the returned client ends.
fn held_writes(database: &Database) -> postgres::Client {
    database.run(
        "CREATE TABLE gate (); \
         CREATE FUNCTION wait_at_gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM FROM gate; RETURN NULL; END $$; \
         CREATE TRIGGER held BEFORE INSERT ON customers FOR EACH STATEMENT EXECUTE FUNCTION wait_at_gate()",
    );
    let mut keeper = database.client();
    keeper
        .batch_execute("BEGIN; LOCK TABLE gate IN ACCESS EXCLUSIVE MODE")
        .unwrap();
    keeper
}

#[test]
fn row_32_a_database_that_is_down_is_spooled_for_and_the_next_run_does_not_fetch_again() {
    let cluster = Cluster::new(&[], &[]);
    let database = cluster.database();
    let api = api(450);
    let place = place(&api, &database);
    cluster.stop("fast");
    let (finished, report) = place.sync(&[]);
    finished.expect(4);
    assert_eq!(
        (count(&report, "fetched"), count(&report, "spooled")),
        (450, 450)
    );
    let (finished, report) = place.sync(&[]);
    finished
        .expect(4)
        .says("in the spool until the database is back");
    assert_eq!(count(&report, "fetched"), 0);
    cluster.start();
    let (finished, report) = place.sync(&[]);
    finished.expect(0);
    assert_eq!(report["replayed"], 450);
    assert_eq!(count(&report, "unchanged"), 450);
    assert_eq!(rows(&database), "450");
}

#[test]
fn row_33_a_stopped_postmaster_meets_the_connect_deadline() {
    let cluster = Cluster::new(&[], &[]);
    let database = cluster.database();
    let api = api(150);
    let place = quick(place(&api, &database));
    let postmaster = cluster.postmaster().to_string();
    signal(Signal::STOP, &postmaster);
    let started = Instant::now();
    let (finished, report) = place.sync(&[]);
    signal(Signal::CONT, &postmaster);
    finished.expect(4);
    assert_eq!(count(&report, "spooled"), 150);
    assert!(
        started.elapsed() < Duration::from_secs(30),
        "{:?}",
        started.elapsed()
    );
    place.run(&["retry"]).expect(0);
    assert_eq!(rows(&database), "150");
}

#[test]
fn row_34_a_back_end_stopped_in_a_statement_is_abandoned_and_its_batch_is_not_lost() {
    let database = Database::undistributed();
    let mut keeper = held_writes(&database);
    let api = api(60);
    let place = quick(place(&api, &database));
    let child = place.start(&["sync", "--output", "json"]);
    let pid = backend(&database, WRITE);
    signal(Signal::STOP, &pid);
    keeper.batch_execute("ROLLBACK").unwrap();
    let started = Instant::now();
    let finished = finish(child);
    signal(Signal::CONT, &pid);
    let report = finished.json();
    crate::support::command::assert_balanced(&report);
    assert!(matches!(finished.code, 0 | 4), "{finished}");
    assert!(
        started.elapsed() < Duration::from_secs(20),
        "{:?}",
        started.elapsed()
    );
    // Whatever the stopped one did when it woke up: nothing is lost, nothing doubled.
    place.run(&["sync"]).expect(0);
    assert_eq!(rows(&database), "60");
}

#[test]
fn row_35_a_peer_that_vanishes_is_given_up_and_the_batch_is_spooled() {
    let database = Database::new();
    let proxy = Proxy::start(database.port);
    let api = api(60);
    let place = quick(place(&api, &database))
        .env("DB_HOST", "127.0.0.1")
        .env("DB_PORT", proxy.port.to_string());
    place.run(&["check-db"]).expect(0);
    proxy.set(Mode::BlackHole);
    let started = Instant::now();
    let (finished, report) = place.sync(&[]);
    finished.expect(4);
    assert!(
        started.elapsed() < Duration::from_secs(30),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(
        (count(&report, "fetched"), count(&report, "spooled")),
        (60, 60),
        "{finished}"
    );
    proxy.set(Mode::Forward);
    place.run(&["retry"]).expect(0);
    place.run(&["sync"]).expect(0);
    assert_eq!(rows(&database), "60");
}

#[test]
fn row_35_a_peer_that_vanishes_after_the_first_batch_keeps_it_and_the_others_are_spooled() {
    let database = Database::new();
    let proxy = Proxy::start(database.port);
    let api = Server::new().records(texts(600)).held_after(1).start();
    let place = quick(patient(place(&api, &database)))
        .env("DB_HOST", "127.0.0.1")
        .env("DB_PORT", proxy.port.to_string());
    place.edit("mappings.yaml", "concurrency: 4", "concurrency: 1");
    place.edit("mappings.yaml", "batch_size: 5000 ", "batch_size: 100 ");
    let child = place.start(&["sync", "--output", "json"]);
    until("the first batch", || rows(&database) == "100");
    proxy.set(Mode::BlackHole);
    api.let_go();
    let started = Instant::now();
    let finished = finish(child);
    finished.expect(4);
    assert!(
        started.elapsed() < Duration::from_secs(30),
        "{:?}",
        started.elapsed()
    );
    let report = finished.json();
    crate::support::command::assert_balanced(&report);
    assert_eq!(
        ["fetched", "inserted", "spooled"].map(|name| count(&report, name)),
        [600, 100, 500],
        "{finished}"
    );
    proxy.set(Mode::Forward);
    place.run(&["retry"]).expect(0);
    assert_eq!(rows(&database), "600");
    assert_eq!(
        database.one("SELECT sum(inserted)::text FROM sync_batches"),
        "600"
    );
}

#[test]
fn row_36_a_terminated_back_end_is_replaced_and_the_batch_written_once() {
    let database = Database::undistributed();
    let mut keeper = held_writes(&database);
    let api = api(60);
    let place = place(&api, &database);
    let child = place.start(&["sync", "--output", "json"]);
    let pid = backend(&database, WRITE);
    assert_eq!(
        database.one(&format!("SELECT pg_terminate_backend({pid}, 5000)::text")),
        "true",
        "it is gone before the writes are let go"
    );
    keeper.batch_execute("ROLLBACK").unwrap();
    let finished = finish(child);
    finished.expect(0);
    let report = finished.json();
    assert_eq!(count(&report, "inserted"), 60);
    assert!(report["db_retries"].as_u64().unwrap() >= 1, "{report}");
}

#[test]
fn row_37_a_lost_reply_to_commit_is_resolved_by_the_batch_log() {
    let database = Database::new();
    let proxy = Proxy::start(database.port);
    let api = api(80);
    let place = place(&api, &database)
        .env("DB_HOST", "127.0.0.1")
        .env("DB_PORT", proxy.port.to_string());
    proxy.set(Mode::CutAfterCommit);
    let (finished, report) = place.sync(&[]);
    finished.expect(0);
    assert_eq!(proxy.mode(), Mode::Forward, "the fault has struck");
    assert_eq!(
        count(&report, "inserted"),
        80,
        "nothing is counted twice, nothing as unchanged: {report}"
    );
    assert_eq!(
        database.one("SELECT sum(inserted)::text FROM sync_batches"),
        "80"
    );
    assert_eq!(rows(&database), "80");
}

#[test]
fn row_38_a_restart_in_the_middle_is_survived() {
    let cluster = Cluster::new(&[], &[]);
    let database = cluster.database();
    // The stop ends its session as well, and the writes are let go.
    let _keeper = held_writes(&database);
    let api = Server::new()
        .records(texts(3_000))
        .latency(Duration::from_millis(30))
        .start();
    let place = place(&api, &database);
    let child = place.start(&["sync", "--output", "json"]);
    backend(&database, WRITE);
    cluster.stop("fast");
    cluster.start();
    let finished = finish(child);
    let report = finished.json();
    crate::support::command::assert_balanced(&report);
    assert_eq!(count(&report, "fetched"), 3_000);
    place.run(&["sync"]).expect(0);
    assert_eq!(rows(&database), "3000");
}

#[test]
fn the_fetch_goes_on_while_the_database_is_away_and_writing_goes_on_when_it_is_back() {
    let cluster = Cluster::new(&[], &[]);
    let database = cluster.database();
    let api = Server::new()
        .records(texts(6_000))
        .latency(Duration::from_millis(120))
        .start();
    let place = quick(place(&api, &database));
    place.edit("mappings.yaml", "concurrency: 4", "concurrency: 1");
    place.edit("mappings.yaml", "batch_size: 5000 ", "batch_size: 20 ");
    let child = place.start(&["sync", "--output", "json"]);
    until("the first rows", || rows(&database) != "0");
    cluster.stop("fast");
    let at_the_stop = api.requests().len();
    until("requests go on without the database", || {
        api.requests().len() >= at_the_stop + 15
    });
    cluster.start();
    let finished = finish(child);
    finished
        .expect(4)
        .says("batches go to the spool, it is probed now and then");
    let report = finished.json();
    crate::support::command::assert_balanced(&report);
    assert_eq!(count(&report, "fetched"), 6_000, "the fetch never stopped");
    assert_eq!(report["status"], "partial");
    assert!(count(&report, "spooled") > 0, "{report}");
    assert!(
        count(&report, "inserted") > 2_000,
        "it was probed again and taken up again: {report}"
    );
    place.run(&["retry"]).expect(0);
    assert_eq!(rows(&database), "6000");
}

#[test]
fn strategy_stop_ends_the_fetch_when_the_database_fails() {
    let cluster = Cluster::new(&[], &[]);
    let database = cluster.database();
    let api = Server::new()
        .records(texts(20_000))
        .latency(Duration::from_millis(30))
        .start();
    let place = quick(place(&api, &database));
    place.edit("mappings.yaml", "log_and_continue", "stop");
    let child = place.start(&["sync", "--output", "json"]);
    until("the first rows", || rows(&database) != "0");
    cluster.stop("fast");
    let finished = finish(child);
    finished.expect(4);
    let report = finished.json();
    crate::support::command::assert_balanced(&report);
    assert!(
        count(&report, "fetched") < 20_000,
        "it went on fetching: {report}"
    );
    assert!(
        count(&report, "spooled") > 0,
        "what had come is kept: {report}"
    );
    cluster.start();
    place.run(&["retry"]).expect(0);
    assert_eq!(rows(&database), "20000", "a retry fetches what was not");
}

#[test]
fn row_39_too_many_clients_is_waited_for_or_spooled_and_never_lost() {
    let cluster = Cluster::new(
        &[
            ("max_connections", "8"),
            ("superuser_reserved_connections", "3"),
        ],
        &[],
    );
    let database = cluster.database();
    database.run("CREATE ROLE plain LOGIN PASSWORD 'plain'; GRANT ALL ON ALL TABLES IN SCHEMA public TO plain; GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO plain");
    let api = api(150);
    let place = quick(place(&api, &database))
        .env("DB_USER", "plain")
        .env("DB_PASSWORD", "plain");
    let hogs: Vec<_> = (0..5).map(|_| database.client()).collect();
    let (finished, report) = place.sync(&[]);
    finished.expect(4);
    assert_eq!(
        (count(&report, "fetched"), count(&report, "spooled")),
        (150, 150)
    );
    drop(hogs);
    place.run(&["retry"]).expect(0);
    place.run(&["sync"]).expect(0);
    assert_eq!(rows(&database), "150");
}

#[test]
fn row_40_a_read_only_database_takes_nothing_and_loses_nothing() {
    let database = Database::direct();
    let api = api(120);
    let place = place(&api, &database);
    database.run(&format!(
        "ALTER DATABASE {} SET default_transaction_read_only = on",
        database.name
    ));
    let (finished, report) = place.sync(&[]);
    finished.expect(4).says("read-only");
    assert_eq!(count(&report, "inserted"), 0);
    database.run(&format!(
        "BEGIN READ WRITE; ALTER DATABASE {} RESET default_transaction_read_only; COMMIT",
        database.name
    ));
    place.run(&["retry"]).expect(0);
    place.run(&["sync"]).expect(0);
    assert_eq!(rows(&database), "120");
}

#[test]
fn row_41_a_wrong_password_or_database_needs_a_person_and_nothing_is_fetched() {
    let hba = "local all all trust\nhost all secured 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n";
    let cluster = Cluster::new(&[], &[("pg_hba.conf", hba)]);
    let database = cluster.database();
    database.run("CREATE ROLE secured LOGIN PASSWORD 'right-password' SUPERUSER");
    let api = api(20);
    let place = place(&api, &database)
        .env("DB_HOST", "127.0.0.1")
        .env("DB_USER", "secured");
    let place = place.env("DB_PASSWORD", "canary-password");
    let (finished, report) = place.sync(&[]);
    finished.expect(4);
    assert_eq!(count(&report, "fetched"), 0);
    assert!(
        report["case_id"].is_string(),
        "a person is needed: {report}"
    );
    assert_eq!(report["db_retries"], 0);
    // One request is the evidence for the case; no page was fetched for the run.
    assert!(api.requests().len() <= 1);
    assert!(!format!("{finished}").contains("canary-password"));
    // A person reads it once, without contradiction and without a table of zeros.
    let shown = place.run(&["sync"]);
    shown
        .expect(4)
        .says("Failed: nothing was fetched")
        .says("Exit 4: the database failed; nothing was fetched, nothing is lost");
    let said = shown.to_string();
    assert_eq!(
        said.matches("password authentication failed").count(),
        1,
        "{said}"
    );
    for text in ["spool", "  inserted", " 0 records"] {
        assert!(!said.contains(text), "{text}: {said}");
    }
    let place = place.env("DB_PASSWORD", "right-password");
    place.run(&["retry"]).expect(0);
    assert_eq!(rows(&database), "20");
}

#[test]
fn row_42_behind_pgbouncer_in_transaction_mode_everything_works() {
    let Some(program) = bouncer::program() else {
        crate::support::not_run("row 42, needs pgbouncer");
        return;
    };
    let database = Database::new();
    let bouncer = Bouncer::start(&program, &database.server, 2);
    let api = api(2_000);
    let through = |place: Workplace| {
        place
            .env("DB_HOST", "127.0.0.1")
            .env("DB_PORT", bouncer.port.to_string())
    };
    let place = through(place(&api, &database));
    place.edit("mappings.yaml", "batch_size: 5000 ", "batch_size: 50 ");
    place.run(&["check-db"]).expect(0).says("pgbouncer");
    let (finished, report) = place.sync(&[]);
    finished.expect(0);
    assert_eq!(count(&report, "inserted"), 2_000);
    let (finished, report) = place.sync(&[]);
    finished.expect(0);
    assert_eq!(count(&report, "unchanged"), 2_000);
    assert_eq!(
        database.one("SELECT sum(inserted)::text FROM sync_batches"),
        "2000"
    );
    assert_eq!(database.one("SELECT count(*)::text FROM sync_lease"), "0");
    // Dry run, two at once, and a case: the lease and the read-only transactions too.
    place.run(&["sync", "--dry-run"]).expect(0);
    let (first, second) = (
        place.start(&["sync", "--wait", "20s"]),
        place.start(&["sync", "--wait", "20s"]),
    );
    finish(first).expect(0);
    finish(second).expect(0);
    assert_eq!(rows(&database), "2000");
}
