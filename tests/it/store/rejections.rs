//! Rejections: the refused row among good ones, and how long a rejection stays open.

use std::collections::BTreeMap;

use datasync::model::record::Cell;

use super::{Bench, SECOND, T0, customers, figures, push, push_cells, raw, rejection};
use crate::support::postgres::Database;

#[test]
fn a_refused_row_is_found_and_its_neighbours_are_written() {
    let database = Database::undistributed();
    database.run(
        "ALTER TABLE customers ADD CONSTRAINT score_range CHECK (quality_score BETWEEN 0 AND 100);
         ALTER TABLE customers ALTER customer_name SET NOT NULL;
         ALTER TABLE customers ADD CONSTRAINT one_name UNIQUE (customer_name) DEFERRABLE INITIALLY DEFERRED;
         CREATE FUNCTION no_zed() RETURNS trigger LANGUAGE plpgsql AS
           $$BEGIN IF NEW.customer_name = 'Zed' THEN RAISE 'secret value %', NEW.customer_name; END IF; RETURN NEW; END$$;
         CREATE TRIGGER no_zed BEFORE INSERT OR UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION no_zed();
         ALTER TABLE customers ALTER customer_id TYPE text, ALTER customer_name TYPE text",
    );
    let mut bench = Bench::new(&database, &customers());
    // Somebody makes them narrower after the table was looked at: the texts are not known to be too long.
    database.run("ALTER TABLE customers ALTER customer_id TYPE varchar(100), ALTER customer_name TYPE varchar(255)");
    let mut batch = bench.batch();
    for i in 0..200 {
        push(
            &mut batch,
            &format!("good{i:03}"),
            &format!("Name {i}"),
            "50",
            T0,
            i,
        );
    }
    push(&mut batch, "check", "Check", "101", T0, 200);
    push_cells(
        &mut batch,
        "notnull",
        "",
        &[Cell::Text("notnull".into()), Cell::Null, Cell::Null],
        T0,
        201,
    );
    push(&mut batch, "unique", "Name 7", "1", T0, 202);
    push(&mut batch, "trigger", "Zed", "1", T0, 203);
    push(&mut batch, "nul", "a\0b", "1", T0, 204);
    push(&mut batch, "long", &"x".repeat(256), "1", T0, 205);
    push(&mut batch, &"k".repeat(101), "Key", "1", T0, 206);
    let outcome = bench.write(batch).unwrap();
    assert_eq!(figures(&outcome), [200, 0, 0, 0, 0, 7]);
    let refused: BTreeMap<_, _> = outcome
        .refused
        .iter()
        .map(|r| {
            (
                r.record_id.chars().take(7).collect::<String>(),
                (
                    r.sqlstate.as_deref().unwrap_or_default(),
                    r.constraint.as_deref(),
                    r.column.as_deref(),
                ),
            )
        })
        .collect();
    let expected: BTreeMap<_, _> = [
        ("check", ("23514", Some("score_range"), None)),
        ("kkkkkkk", ("22001", None, None)),
        ("long", ("22001", None, None)),
        ("notnull", ("23502", None, Some("customer_name"))),
        ("nul", ("22021", None, None)),
        ("trigger", ("P0001", None, None)),
        ("unique", ("23505", Some("one_name"), None)),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into();
    assert_eq!(refused, expected);
    assert_eq!(database.one("SELECT count(*) FROM customers"), "200");
    assert_eq!(
        database.list("SELECT reason FROM sync_rejections WHERE resolved_at IS NULL"),
        vec!["database"; 7]
    );
    let stored =
        database.one("SELECT message || errors::text FROM sync_rejections WHERE key = 'notnull'");
    assert!(
        stored.contains("23502") && stored.contains("customerName"),
        "{stored}"
    );
    assert_eq!(
        database.one("SELECT payload FROM sync_rejections WHERE key = 'check'"),
        raw("check", "Check")
    );
    // What a trigger says may quote the row.
    assert_eq!(
        database.one("SELECT count(*) FROM sync_rejections WHERE message LIKE '%secret%' OR message LIKE '%Name 7%'"),
        "0"
    );
}

#[test]
fn a_rejection_stays_open_counts_occurrences_and_is_resolved_when_the_record_passes() {
    let database = Database::new();
    let mut bench = Bench::new(&database, &customers());
    let state = || {
        database.one("SELECT concat_ws('|', key, occurrences, resolved_at IS NULL, first_run = last_run) FROM sync_rejections_now")
    };
    for (round, expected) in ["r1|1|t|t", "r1|2|t|t"].iter().enumerate() {
        let mut batch = bench.batch();
        batch.push_rejection(rejection("r1", T0 + i64::try_from(round).unwrap(), 0));
        assert_eq!(figures(&bench.write(batch).unwrap()), [0, 0, 0, 0, 0, 1]);
        assert_eq!(state(), *expected);
    }
    assert_eq!(
        database.one("SELECT payload FROM sync_rejections"),
        *rejection("r1", 0, 0).payload
    );
    // Another run sees it again, out of order too: the older one changes nothing.
    let mut later = Bench::new(&database, &customers());
    let mut batch = later.batch();
    batch.push_rejection(rejection("r1", T0 + SECOND, 0));
    later.write(batch).unwrap();
    assert_eq!(state(), "r1|3|t|f");
    let mut batch = later.batch();
    batch.push_rejection(rejection("r1", T0 - SECOND, 0));
    later.write(batch).unwrap();
    assert_eq!(state(), "r1|3|t|f");
    // Passing in an older page does not resolve it, in a later one does.
    assert_eq!(later.rows(T0, &[("r1", "Ann", "1")]).resolved, 0);
    assert_eq!(
        later.rows(T0 + 2 * SECOND, &[("r1", "Ann", "1")]).resolved,
        1
    );
    assert_eq!(state(), "r1|3|f|f");
    // A replay of the old rejection does not open it again, a new one opens a second row.
    let mut batch = later.batch();
    batch.push_rejection(rejection("r1", T0 + SECOND, 0));
    later.write(batch).unwrap();
    assert_eq!(state(), "r1|3|f|f");
    let mut batch = later.batch();
    batch.push_rejection(rejection("r1", T0 + 3 * SECOND, 0));
    later.write(batch).unwrap();
    assert_eq!(
        database.one("SELECT count(*) FILTER (WHERE resolved_at IS NULL) || ' of ' || count(*) FROM sync_rejections"),
        "1 of 2"
    );
}

#[test]
fn within_a_batch_the_later_of_rejection_and_row_decides() {
    let database = Database::new();
    let mut bench = Bench::new(&database, &customers());
    let mut batch = bench.batch();
    batch.push_rejection(rejection("passes", T0, 1));
    push(&mut batch, "passes", "Ann", "1", T0, 2);
    push(&mut batch, "fails", "Bo", "1", T0, 3);
    batch.push_rejection(rejection("fails", T0, 4));
    batch.push_rejection(rejection("twice\0", T0, 5));
    batch.push_rejection(rejection("twice\0", T0, 6));
    batch.push_rejection(rejection(&"long".repeat(1000), T0, 7));
    let outcome = bench.write(batch).unwrap();
    assert_eq!(figures(&outcome), [2, 0, 0, 0, 0, 5]);
    assert_eq!(outcome.resolved, 1);
    assert_eq!(
        database.list("SELECT left(key, 7) || occurrences FROM sync_rejections WHERE resolved_at IS NULL ORDER BY 1"),
        ["fails1", "sha256:1", "sha256:2"]
    );
}
