//! Open rejections that come again unchanged: they are not written again, but it is noted when they were last seen.

use datasync::store::{log, rejections};
use std::time::Duration;
use uuid::Uuid;

use super::{Bench, SECOND, T0, customers, push, rejection};
use crate::support::postgres::Database;

fn reject(bench: &mut Bench, at: i64, keys: impl Iterator<Item = String>) {
    let mut batch = bench.batch();
    for (sequence, key) in keys.enumerate() {
        batch.push_rejection(rejection(&key, at, sequence as u64));
    }
    let sent = batch.rejections().len() as u64;
    assert_eq!(bench.write(batch).unwrap().ledger.rejected, sent);
}

fn keys(range: std::ops::Range<u32>) -> impl Iterator<Item = String> {
    range.map(|n| format!("r{n:05}"))
}

fn changed(key: &str, at: i64) -> datasync::model::record::Rejection {
    let mut other = rejection(key, at, 0);
    "something else is wrong".clone_into(&mut other.message);
    other
}

#[test]
fn a_rejection_that_has_not_changed_is_not_written_again() {
    let database = Database::new();
    let rows = || {
        database
            .list("SELECT concat_ws(' ', id, ctid, xmin, xmax) FROM sync_rejections ORDER BY id")
    };
    reject(&mut Bench::new(&database, &customers()), T0, keys(0..300));
    let before = rows();
    let mut second = Bench::new(&database, &customers());
    reject(&mut second, T0 + SECOND, keys(0..300));
    assert_eq!(rows(), before);
    let told = |run: Uuid| {
        format!(
            "SELECT count(*) FROM sync_rejections_now WHERE occurrences = 2 AND last_run = '{run}' AND first_run <> last_run \
                 AND last_seen = first_seen + interval '1 second'"
        )
    };
    assert_eq!(database.one(&told(second.run)), "300");
    // One of them changes, and only that one is written.
    let mut batch = second.batch();
    batch.push_rejection(changed("r00007", T0 + 2 * SECOND));
    second.write(batch).unwrap();
    let after = rows();
    let touched = after.iter().filter(|row| !before.contains(row)).count();
    assert_eq!((touched, after.len()), (1, 300));
    assert_eq!(
        database.one("SELECT count(*) FROM sync_rejections_now WHERE occurrences = 3"),
        "1"
    );
}

#[test]
fn what_was_seen_again_later_is_neither_replaced_nor_settled_by_older_data() {
    let database = Database::new();
    let mut bench = Bench::new(&database, &customers());
    reject(&mut bench, T0, keys(0..3));
    reject(&mut bench, T0 + 10 * SECOND, keys(0..3));
    // Records that were fetched in between come late.
    let mut batch = bench.batch();
    batch.push_rejection(changed("r00000", T0 + 5 * SECOND));
    push(&mut batch, "r00001", "Ann", "1", T0 + 5 * SECOND, 1);
    assert_eq!(bench.write(batch).unwrap().resolved, 0);
    assert_eq!(
        database.list("SELECT DISTINCT message FROM sync_rejections WHERE resolved_at IS NULL"),
        ["qualityScore is no number"]
    );
    // What is newer does both.
    let mut batch = bench.batch();
    batch.push_rejection(changed("r00000", T0 + 15 * SECOND));
    push(&mut batch, "r00001", "Ann", "1", T0 + 15 * SECOND, 1);
    assert_eq!(bench.write(batch).unwrap().resolved, 1);
    assert_eq!(
        database.list("SELECT key || ' ' || message FROM sync_rejections WHERE resolved_at IS NULL ORDER BY key"),
        ["r00000 something else is wrong", "r00002 qualityScore is no number"]
    );
    // Whoever decides stored rejections again has to know as well.
    let open = rejections::open(&mut bench.conn, &bench.db, "r00001", 10).unwrap();
    assert_eq!(open[0].last_seen, T0 + 10 * SECOND);
}

#[test]
fn notes_of_earlier_runs_go_when_a_later_run_has_noted_the_same() {
    let database = Database::new();
    let mut bench = Bench::new(&database, &customers());
    reject(&mut bench, T0, keys(0..10));
    // The pages are cut otherwise in each run, and 9 does not come again.
    for (round, cut) in [(1, 4), (2, 6)] {
        let mut run = Bench::new(&database, &customers());
        let all = if round == 1 { 10 } else { 9 };
        reject(&mut run, T0 + round * SECOND, keys(0..cut));
        reject(&mut run, T0 + round * SECOND + 1, keys(cut..all));
        rejections::drop_repeated_notes(&mut run.conn, &run.db, run.run).unwrap();
    }
    assert_eq!(
        database.list("SELECT cardinality(ids) FROM sync_rejections_seen ORDER BY 1"),
        ["1", "3", "6"]
    );
    // Of each rejection it is still known when it was last seen.
    assert_eq!(
        database.list(
            "SELECT key || ' ' || extract(epoch FROM last_seen - first_seen)::int FROM sync_rejections_now \
             WHERE key IN ('r00000', 'r00009') ORDER BY key"
        ),
        ["r00000 2", "r00009 1"]
    );
    log::trim(&mut bench.conn, &bench.db, Duration::from_hours(1)).unwrap();
    assert_eq!(
        database.one("SELECT count(*) FROM sync_rejections_seen"),
        "0"
    );
}

#[test]
fn a_thousand_runs_in_which_nothing_changes_keep_no_more_than_the_first() {
    let database = Database::new();
    let mut bench = Bench::new(&database, &customers());
    reject(&mut bench, T0, keys(0..200));
    reject(&mut bench, T0 + SECOND, keys(0..200));
    let size = || -> i64 {
        database
            .one("SELECT pg_total_relation_size('sync_rejections') + pg_total_relation_size('sync_rejections_seen')")
            .parse()
            .unwrap()
    };
    let before = size();
    for run in 2..1_000 {
        reject(&mut bench, T0 + run * SECOND, keys(0..200));
        if run % 100 == 0 {
            // What autovacuum does every minute; the test is faster than that.
            database.run("VACUUM sync_rejections_seen");
        }
    }
    let grown = size() - before;
    assert!(
        grown <= 256 << 10,
        "{grown} bytes more after a thousand runs"
    );
    assert_eq!(
        database.one("SELECT min(occurrences) || ' ' || max(occurrences) FROM sync_rejections_now"),
        "1000 1000"
    );
}

#[test]
fn rows_that_pass_beside_many_open_rejections_cost_what_they_cost_without() {
    let database = Database::undistributed();
    // Nobody analyses the table: what the planner does not know must not matter.
    database.run(
        "ALTER TABLE sync_rejections SET (autovacuum_enabled = off); \
         INSERT INTO sync_rejections (target, key, payload, reason, message, first_run, last_run, first_seen, last_seen) \
         SELECT 'public.customers', 'r' || lpad(n::text, 5, '0'), '{}', 'decision', '', gen_random_uuid(), gen_random_uuid(), \
         '2024-01-01Z', '2024-01-01Z' FROM generate_series(1, 12000) n",
    );
    let mut bench = Bench::new(&database, &customers());
    for batch_number in 0..3 {
        let mut batch = bench.batch();
        for n in 0..500 {
            push(
                &mut batch,
                &format!("q{batch_number}-{n:05}"),
                "Ann",
                "1",
                T0,
                n,
            );
        }
        push(
            &mut batch,
            &format!("r{:05}", batch_number * 4_000 + 1),
            "Ann",
            "1",
            T0,
            500,
        );
        // From one end of the open rejections to the other.
        push(
            &mut batch,
            "zzz",
            "Ann",
            "1",
            T0 + i64::from(batch_number),
            501,
        );
        assert_eq!(bench.write(batch).unwrap().resolved, 1);
    }
    drop(bench);
    while database.one("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = 'datasync'") != "0" {
        std::thread::sleep(Duration::from_millis(20));
    }
    let read: u64 = database
        .one("SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes WHERE relname = 'sync_rejections'")
        .parse()
        .unwrap();
    assert!(
        read <= 3 * 2 * 502 + 3 * 502,
        "{read} entries of the index were read for 1,506 rows"
    );
}
