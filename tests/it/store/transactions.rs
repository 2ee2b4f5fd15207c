//! A batch is one transaction: proven when it has committed, without a trace when it has not, and in no dead-lock with others.

use std::time::Duration;

use datasync::store::{self, Class, Connection, StoreError};

use super::{Bench, LIMIT, T0, customers, figures, plan_of, push, rejection};
use crate::support::postgres::Database;

#[test]
fn the_batch_log_proves_a_commit_and_makes_a_second_try_harmless() {
    let database = Database::new();
    let mut bench = Bench::new(&database, &customers());
    let mut batch = bench.batch();
    push(&mut batch, "a", "Ann", "1", T0, 0);
    batch.push_rejection(rejection("r", T0, 1));
    batch.seal();
    let (db, run) = (bench.db.clone(), bench.run);
    assert_eq!(
        store::committed(&mut bench.conn, &db, run, 1).unwrap(),
        None
    );
    let first = bench.writer.write(&mut bench.conn, &batch).unwrap();
    let known = store::committed(&mut bench.conn, &db, run, 1)
        .unwrap()
        .unwrap();
    assert_eq!(figures(&known), figures(&first));
    let second = bench.writer.write(&mut bench.conn, &batch).unwrap();
    assert_eq!(figures(&second), [1, 0, 0, 0, 0, 1]);
    assert_eq!(database.one("SELECT occurrences FROM sync_rejections"), "1");
    assert_eq!(database.one("SELECT count(*) FROM sync_batches"), "1");
}

#[test]
fn a_failed_transaction_leaves_nothing_and_says_why() {
    let database = Database::new();
    let mut bench = Bench::new(&database, &customers());
    database.run("ALTER TABLE sync_batches RENAME TO elsewhere");
    let mut batch = bench.batch();
    push(&mut batch, "a", "Ann", "1", T0, 0);
    batch.push_rejection(rejection("r", T0, 1));
    let error = bench.write(batch).unwrap_err();
    assert_eq!(
        (error.class(), error.sqlstate()),
        (Class::Fatal, Some("42P01"))
    );
    assert!(error.to_string().contains("sync_batches"), "{error}");
    assert_eq!(database.one("SELECT count(*) FROM customers"), "0");
    assert_eq!(database.one("SELECT count(*) FROM sync_rejections"), "0");
    // The connection is of use again.
    database.run("ALTER TABLE elsewhere RENAME TO sync_batches");
    assert_eq!(
        figures(&bench.rows(T0, &[("a", "Ann", "1")])),
        [1, 0, 0, 0, 0, 0]
    );
    // A column lost in mid-run is not a row's fault: no bisection, no rejection.
    database.run("ALTER TABLE customers DROP quality_score");
    let mut batch = bench.batch();
    push(&mut batch, "b", "Bo", "1", T0, 0);
    assert_eq!(bench.write(batch).unwrap_err().sqlstate(), Some("42703"));
    assert_eq!(database.one("SELECT count(*) FROM sync_rejections"), "0");
}

#[test]
fn a_terminated_back_end_is_transient_and_the_batch_can_be_written_again() {
    let database = Database::direct();
    let mut bench = Bench::new(&database, &customers());
    database.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'datasync' AND datname = current_database()");
    let mut batch = bench.batch();
    push(&mut batch, "a", "Ann", "1", T0, 0);
    batch.seal();
    let error = bench.writer.write(&mut bench.conn, &batch).unwrap_err();
    assert_eq!(error.class(), Class::Transient, "{error}");
    assert!(bench.conn.is_dead());
    bench.conn = Connection::open(&bench.db, LIMIT).unwrap();
    assert_eq!(
        store::committed(&mut bench.conn, &bench.db, bench.run, 1).unwrap(),
        None
    );
    let outcome = bench.writer.write(&mut bench.conn, &batch).unwrap();
    assert_eq!(figures(&outcome), [1, 0, 0, 0, 0, 0]);
}

#[test]
fn a_held_row_lock_ends_in_a_lock_timeout() {
    let database = Database::new();
    let mut db = plan_of(&database);
    db.lock_timeout = Duration::from_millis(200);
    let mut bench = Bench::with(db, &customers());
    bench.rows(T0, &[("a", "Ann", "1")]);
    let mut client = database.client();
    let mut held = client.transaction().unwrap();
    held.batch_execute("UPDATE customers SET email = 'x'")
        .unwrap();
    let mut batch = bench.batch();
    push(&mut batch, "a", "Bea", "1", T0 + 1, 0);
    let error = bench.write(batch).unwrap_err();
    assert_eq!(
        (error.class(), error.kind()),
        (Class::Transient, "lock_timeout")
    );
    assert!(!bench.conn.is_dead());
    held.rollback().unwrap();
    assert_eq!(
        figures(&bench.rows(T0 + 1, &[("a", "Bea", "1")])),
        [0, 1, 0, 0, 0, 0]
    );
}

#[test]
fn writers_of_the_same_keys_in_any_order_do_not_dead_lock() {
    let database = Database::new();
    let db = plan_of(&database);
    let errors: Vec<StoreError> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let db = db.clone();
                scope.spawn(move || {
                    let mut bench = Bench::with(db, &customers());
                    let mut errors = Vec::new();
                    for round in 0..15_i64 {
                        let mut batch = bench.batch();
                        let mut keys: Vec<u32> = (0..100).collect();
                        fastrand::Rng::with_seed(thread * 100 + round.unsigned_abs())
                            .shuffle(&mut keys);
                        for (sequence, key) in keys.iter().enumerate() {
                            let name = format!("{thread} {round}");
                            push(
                                &mut batch,
                                &format!("k{key}"),
                                &name,
                                "1",
                                T0 + round,
                                sequence as u64,
                            );
                        }
                        match bench.write(batch) {
                            Ok(outcome) => assert_eq!(outcome.ledger.accounted(), 100),
                            Err(error) => errors.push(error),
                        }
                    }
                    errors
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|t| t.join().unwrap())
            .collect()
    });
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(database.one("SELECT count(*) FROM customers"), "100");
    assert_eq!(
        database.one("SELECT count(*) FROM customers WHERE customer_name NOT LIKE '% 14'"),
        "0"
    );
}
