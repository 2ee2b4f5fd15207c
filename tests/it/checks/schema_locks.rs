//! `check-db --apply-schema` on a table that is in use: it locks nothing where it has nothing to do, waits for no lock for
//! long, and says whom it waits for.

use std::time::{Duration, Instant};

use super::{at, check, failed};
use crate::support::command::finish;
use crate::support::postgres::Database;
use crate::support::until;

/// A transaction of an application called `report` that has done this.
fn report(database: &Database, sql: &str) -> (postgres::Client, i32) {
    let mut client = database.client();
    client
        .batch_execute(&format!("SET application_name = 'report'; BEGIN; {sql}"))
        .unwrap();
    let pid = client.query_one("SELECT pg_backend_pid()", &[]).unwrap();
    (client, pid.get(0))
}

#[test]
fn with_nothing_to_do_no_lock_is_waited_for_and_no_table_has_to_be_ones_own() {
    let database = Database::direct();
    let role = format!("role_{}", database.name);
    database.run(&format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'pw'; \
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}; REVOKE CREATE ON SCHEMA public FROM public"
    ));
    // Only those who read get past these locks; and somebody else has the turn to change the schema.
    let (mut writer, _) = report(
        &database,
        "LOCK TABLE customers, sync_log, sync_batches, sync_rejections, sync_explanations, sync_rejections_seen, \
         sync_outbox, sync_cases, sync_state, sync_lease IN EXCLUSIVE MODE; \
         SELECT pg_advisory_xact_lock(x'6461746173796e63'::bit(64)::bigint)",
    );
    let place = at(&database).env("DB_USER", &role).env("DB_PASSWORD", "pw");
    let started = Instant::now();
    place.run(&["check-db", "--apply-schema"]).expect(0);
    assert!(started.elapsed() < Duration::from_secs(5));
    writer.batch_execute("ROLLBACK").unwrap();
    drop(place);
    database.run(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

#[test]
fn a_table_that_somebody_reads_is_waited_for_in_short_turns_and_the_reader_is_named() {
    let database = Database::direct();
    database.run("ALTER TABLE customers DROP COLUMN sync_id");
    let (mut reader, pid) = report(&database, "SELECT count(*) FROM customers");
    let place = at(&database);
    let child = place.start(&["check-db", "--apply-schema", "--output", "json"]);
    // Others are never kept for longer than one short wait.
    let mut other = database.client();
    let mut longest = Duration::ZERO;
    let until_then = Instant::now() + Duration::from_secs(6);
    while Instant::now() < until_then {
        let asked = Instant::now();
        other.query("SELECT count(*) FROM customers", &[]).unwrap();
        longest = longest.max(asked.elapsed());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(longest < Duration::from_millis(2_500), "{longest:?}");
    let finished = finish(child);
    finished.expect(4);
    let whom = format!("table customers is locked by process {pid} (application report, user ");
    assert!(finished.stderr.contains(&whom), "{finished}");
    assert!(finished.stderr.contains("try 1 of 5"), "{finished}");
    failed(
        &finished.json(),
        "apply-schema",
        &whom,
        "pg_terminate_backend",
    );
    failed(
        &finished.json(),
        "apply-schema",
        "idle in transaction",
        "nothing was changed",
    );
    reader.batch_execute("ROLLBACK").unwrap();
    place.run(&["check-db", "--apply-schema"]).expect(0);
    let columns = "SELECT count(*) FROM pg_attribute WHERE attrelid = 'customers'::regclass AND attname = 'sync_id'";
    assert_eq!(database.one(columns), "1");
}

#[test]
fn a_reader_that_ends_in_time_is_waited_for() {
    let database = Database::direct();
    database.run(
        "ALTER TABLE sync_log DROP COLUMN write_seconds; DROP INDEX sync_batches_committed_at_idx",
    );
    // A write keeps an index from being built; a read would not.
    let (mut writer, pid) = report(&database, "LOCK TABLE sync_batches IN ROW EXCLUSIVE MODE");
    let (mut reader, _) = report(&database, "LOCK TABLE sync_batches IN ACCESS SHARE MODE");
    let place = at(&database);
    let child = place.start(&["check-db", "--apply-schema", "--output", "json"]);
    until("a wait for the lock", || {
        database.one("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'sync_batches'::regclass") == "1"
    });
    std::thread::sleep(Duration::from_millis(1_200));
    writer.batch_execute("COMMIT").unwrap();
    let finished = finish(child);
    finished.expect(0);
    assert!(
        finished.stderr.contains(&format!("process {pid} ")),
        "{finished}"
    );
    assert_eq!(check(&finished.json(), "tables")["ok"], true);
    reader.batch_execute("COMMIT").unwrap();
}
