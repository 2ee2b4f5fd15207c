//! Many new rejections are added by COPY: as those that a statement stores, and by the statement where COPY fails.

use super::{Bench, SECOND, T0, customers, push, rejection};
use crate::support::postgres::Database;
use datasync::model::record::Rejection;

/// More than are stored by a statement.
const MANY: u64 = 60;
/// Fewer than a COPY pays for.
const FEW: u64 = 10;

fn key(number: u64) -> String {
    format!("r{number:03}")
}

/// Rejections with and without an id, an explanation, errors and rules, and with text of other scripts.
fn many(at: i64) -> Vec<Rejection> {
    (0..MANY)
        .map(|number| {
            let mut made = rejection(&key(number), at, number);
            match number % 4 {
                0 => made.has_id = false,
                1 => made.decided_on = None,
                2 => made.message += ": Größe, 大きさ\0",
                _ => {
                    made.errors.clear();
                    made.rules.clear();
                }
            }
            made
        })
        .collect()
}

/// Writes down the first word of each statement that adds rejections.
fn watch(database: &Database) {
    database.run(
        "CREATE TABLE used (word text);
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
           $$BEGIN INSERT INTO used VALUES (split_part(ltrim(current_query()), ' ', 1)); RETURN NULL; END$$;
         CREATE TRIGGER note AFTER INSERT ON sync_rejections FOR EACH STATEMENT EXECUTE FUNCTION note()",
    );
}

const STORED: &str = "SELECT concat_ws('|', target, key, record_id, payload, reason, message, errors, rules, explained_by, \
    encode(digest, 'hex'), first_run = last_run, first_seen, last_seen, occurrences, resolved_at) FROM sync_rejections ORDER BY key";

#[test]
fn a_copied_rejection_is_stored_as_one_by_a_statement() {
    let (copied, inserted) = (Database::undistributed(), Database::undistributed());
    watch(&copied);
    watch(&inserted);
    let mut bench = Bench::new(&copied, &customers());
    let mut batch = bench.batch();
    for rejection in many(T0) {
        batch.push_rejection(rejection);
    }
    assert_eq!(bench.write(batch).unwrap().ledger.rejected, MANY);
    let mut bench = Bench::new(&inserted, &customers());
    let mut rejections = many(T0).into_iter();
    for _ in 0..MANY / FEW {
        let mut batch = bench.batch();
        for rejection in rejections.by_ref().take(FEW as usize) {
            batch.push_rejection(rejection);
        }
        bench.write(batch).unwrap();
    }
    assert_eq!(copied.list("SELECT DISTINCT word FROM used"), ["COPY"]);
    assert_eq!(inserted.list("SELECT DISTINCT word FROM used"), ["INSERT"]);
    let stored = copied.list(STORED);
    assert_eq!(stored.len() as u64, MANY);
    assert_eq!(stored, inserted.list(STORED));
    let explained = "SELECT count(*) FROM sync_rejections r WHERE explained_by IS NOT NULL \
        AND NOT EXISTS (SELECT FROM sync_explanations e WHERE e.id = r.explained_by)";
    assert_eq!(copied.one(explained), inserted.one(explained));
}

#[test]
fn where_a_copy_fails_the_statement_stores_them() {
    let database = Database::undistributed();
    watch(&database);
    database.run(
        "CREATE FUNCTION no_copy() RETURNS trigger LANGUAGE plpgsql AS
           $$BEGIN IF current_query() LIKE 'COPY%' THEN RAISE unique_violation; END IF; RETURN NEW; END$$;
         CREATE TRIGGER no_copy BEFORE INSERT ON sync_rejections FOR EACH ROW EXECUTE FUNCTION no_copy()",
    );
    let mut bench = Bench::new(&database, &customers());
    let mut batch = bench.batch();
    push(&mut batch, "good", "Good", "50", T0, MANY);
    for rejection in many(T0) {
        batch.push_rejection(rejection);
    }
    let outcome = bench.write(batch).unwrap();
    assert_eq!(
        (outcome.ledger.inserted, outcome.ledger.rejected),
        (1, MANY)
    );
    assert!(outcome.refused.is_empty());
    assert_eq!(
        database.one("SELECT count(*) FROM sync_rejections"),
        MANY.to_string()
    );
    assert_eq!(database.one("SELECT count(*) FROM customers"), "1");
    assert_eq!(database.list("SELECT DISTINCT word FROM used"), ["INSERT"]);
}

#[test]
fn rejections_that_were_settled_later_stay_settled() {
    let database = Database::undistributed();
    let mut bench = Bench::new(&database, &customers());
    let mut batch = bench.batch();
    for rejection in many(T0) {
        batch.push_rejection(rejection);
    }
    bench.write(batch).unwrap();
    let mut batch = bench.batch();
    for number in 0..MANY {
        push(
            &mut batch,
            &key(number),
            "Name",
            "50",
            T0 + 10 * SECOND,
            number,
        );
    }
    let settled = bench.write(batch).unwrap();
    assert_eq!((settled.resolved, settled.ledger.inserted), (MANY, MANY));
    // A page that was requested before arrives late.
    let mut batch = bench.batch();
    for rejection in many(T0 + 5 * SECOND) {
        batch.push_rejection(rejection);
    }
    bench.write(batch).unwrap();
    let open = "SELECT count(*) FROM sync_rejections WHERE resolved_at IS NULL";
    assert_eq!(database.one(open), "0");
}
