//! What PostgreSQL counts: inserted, updated, unchanged, superseded and duplicate, in a dry run too.

use std::sync::Arc;

use datasync::config::plan::{Field, Kind};
use datasync::model::clock::Micros;
use datasync::model::record::{Cell, Validation};
use datasync::store::NewRow;

use super::{
    Bench, SECOND, T0, customers, field, figures, identity_of, push, raw, rejection, versions_of,
};
use crate::support::postgres::Database;

#[test]
fn postgresql_counts_what_is_inserted_updated_unchanged_and_superseded() {
    let database = Database::new();
    let mut bench = Bench::new(&database, &customers());
    let first = bench.rows(
        T0,
        &[("a", "Ann", "80"), ("b", "Bo", "79.5"), ("c", "Cy", "")],
    );
    assert_eq!(figures(&first), [3, 0, 0, 0, 0, 0]);
    let second = bench.rows(
        T0 + SECOND,
        &[("a", "Ann", "80.0"), ("b", "Bob", "79.5"), ("d", "Di", "1")],
    );
    assert_eq!(figures(&second), [1, 1, 1, 0, 0, 0]);
    // a was not touched by the second batch, so its version is still the first's; b and d are newer than this one.
    let stale = bench.rows(
        T0 + SECOND / 2,
        &[("a", "Ann", "80"), ("b", "Bo", "79.5"), ("d", "Old", "2")],
    );
    assert_eq!(figures(&stale), [0, 0, 1, 2, 0, 0]);
    assert_eq!(
        database.list("SELECT customer_id || customer_name || coalesce(quality_score::text, '-') FROM customers ORDER BY 1"),
        ["aAnn80", "bBob79.5", "cCy-", "dDi1"]
    );
    assert_eq!(
        database.one("SELECT count(*) FROM customers WHERE validation_status = 'VALID' AND NOT needs_review AND source_version IS NOT NULL AND updated_at IS NOT NULL AND sync_id IS NOT NULL"),
        "4"
    );
}

#[test]
fn an_unchanged_row_is_not_locked_not_written_and_burns_no_sequence_value() {
    let database = Database::new();
    let mut bench = Bench::new(&database, &customers());
    let rows: Vec<(String, String)> = (0..2000)
        .map(|i| (format!("k{i:05}"), format!("Name {i}")))
        .collect();
    let rows: Vec<(&str, &str, &str)> = rows.iter().map(|(k, n)| (&**k, &**n, "80")).collect();
    assert_eq!(figures(&bench.rows(T0, &rows)), [2000, 0, 0, 0, 0, 0]);
    let (versions, identity) = (versions_of(&database), identity_of(&database));
    // A later run: a writer that finds the table filled.
    let mut again = Bench::new(&database, &customers());
    let outcome = again.rows(T0 + SECOND, &rows);
    assert_eq!(figures(&outcome), [0, 0, 2000, 0, 0, 0]);
    assert_eq!(versions_of(&database), versions);
    assert_eq!(identity_of(&database), identity);
}

#[test]
fn both_forms_of_the_statement_count_alike() {
    let database = Database::new();
    let mut plain = Bench::new(&database, &customers());
    plain.rows(T0, &[("a", "Ann", "1"), ("b", "Bo", "2")]);
    // All were new, so this batch goes the plain way, where unchanged and superseded are told apart afterwards.
    let outcome = plain.rows(
        T0 - SECOND,
        &[("a", "Ann", "1"), ("b", "Other", "2"), ("c", "Cy", "3")],
    );
    assert_eq!(figures(&outcome), [1, 0, 0, 2, 0, 0]);
    let mut plain = Bench::new(&database, &customers());
    plain.rows(T0, &[("x", "X", "1")]);
    let outcome = plain.rows(
        T0 + SECOND,
        &[("a", "Ann", "1"), ("b", "New", "2"), ("e", "E", "3")],
    );
    assert_eq!(figures(&outcome), [1, 1, 1, 0, 0, 0]);
}

#[test]
fn a_row_that_a_trigger_changes_is_counted_once_in_either_form() {
    let database = Database::undistributed();
    database.run(
        "CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN UPDATE customers SET customer_name = upper(customer_name) WHERE id = NEW.id; RETURN NULL; END $$; \
         CREATE TRIGGER shout AFTER INSERT ON customers FOR EACH ROW EXECUTE FUNCTION shout()",
    );
    let mut bench = Bench::new(&database, &customers());
    assert_eq!(
        figures(&bench.rows(T0, &[("a", "Ann", "1")])),
        [1, 0, 0, 0, 0, 0]
    );
    // b and c are new; a, and they by now, differ from the source by what the trigger did.
    let outcome = bench.rows(
        T0 + SECOND,
        &[("a", "Ann", "1"), ("b", "Bo", "2"), ("c", "Cy", "3")],
    );
    assert_eq!(figures(&outcome), [2, 1, 0, 0, 0, 0]);
    let outcome = bench.rows(T0 + 2 * SECOND, &[("b", "Bo", "2"), ("d", "Di", "4")]);
    assert_eq!(figures(&outcome), [1, 0, 1, 0, 0, 0]);
}

#[test]
fn a_mapped_version_is_content_and_guards() {
    let database = Database::new();
    let mut mapping = customers();
    mapping.fields.push(Field {
        column: None,
        ..field("updatedAt", "", Kind::DateTime)
    });
    mapping.version = Some(3);
    let mut bench = Bench::new(&database, &mapping);
    let write = |bench: &mut Bench, name: &str, version: i64, at: i64| {
        let mut batch = bench.batch();
        let page = Arc::new(raw("a", name));
        let cells = [
            Cell::Text("a".into()),
            Cell::Text(name.into()),
            Cell::Null,
            Cell::DateTime(version),
        ];
        let length = u32::try_from(page.len()).unwrap();
        batch
            .push_row(&NewRow {
                page: &page,
                raw: 0..length,
                key: "a",
                cells: &cells,
                validation: Validation::Warning,
                flagged: true,
                version: Some(Micros(version)),
                requested_at: Micros(at),
                sequence: 0,
            })
            .unwrap();
        figures(&bench.write(batch).unwrap())
    };
    assert_eq!(write(&mut bench, "Ann", T0, T0), [1, 0, 0, 0, 0, 0]);
    assert_eq!(
        write(&mut bench, "Ann", T0, T0 + SECOND),
        [0, 0, 1, 0, 0, 0]
    );
    assert_eq!(
        write(&mut bench, "Ann", T0 + 1, T0 + 2 * SECOND),
        [0, 1, 0, 0, 0, 0]
    );
    assert_eq!(
        write(&mut bench, "Ann", T0, T0 + 3 * SECOND),
        [0, 0, 0, 1, 0, 0]
    );
    assert_eq!(
        write(&mut bench, "Bea", T0, T0 + 4 * SECOND),
        [0, 0, 0, 1, 0, 0]
    );
    assert_eq!(
        write(&mut bench, "Bea", T0 + 1, T0 + 4 * SECOND),
        [0, 1, 0, 0, 0, 0]
    );
    assert_eq!(
        database.one("SELECT customer_name || validation_status || needs_review FROM customers"),
        "BeaWARNINGtrue"
    );
}

#[test]
fn a_key_twice_in_a_batch_leaves_the_newest_and_counts_the_other() {
    let database = Database::new();
    let mut bench = Bench::new(&database, &customers());
    let mut batch = bench.batch();
    push(&mut batch, "a", "newest", "1", T0 + SECOND, 0);
    push(&mut batch, "a", "old", "1", T0, 1);
    push(&mut batch, "b", "earlier", "1", T0, 2);
    push(&mut batch, "b", "later", "1", T0, 3);
    assert_eq!(figures(&bench.write(batch).unwrap()), [2, 0, 0, 0, 2, 0]);
    assert_eq!(
        database.list("SELECT customer_name FROM customers ORDER BY customer_id"),
        ["newest", "later"]
    );
}

#[test]
fn a_dry_run_counts_the_same_and_touches_nothing() {
    let database = Database::new();
    let mut bench = Bench::new(&database, &customers());
    bench.rows(T0, &[("a", "Ann", "1"), ("b", "Bo", "2"), ("c", "Cy", "3")]);
    let before = versions_of(&database);
    let rows = [("a", "Ann", "1.0"), ("b", "Bob", ""), ("d", "Di", "4")];
    let mut batch = bench.batch();
    for (sequence, (key, name, score)) in rows.iter().enumerate() {
        push(&mut batch, key, name, score, T0 + SECOND, sequence as u64);
    }
    push(&mut batch, "c", "Old", "3", T0 - SECOND, 9);
    batch.push_rejection(rejection("r", T0, 10));
    batch.seal();
    let (told, differences) = bench.writer.compare(&mut bench.conn, &batch, 5).unwrap();
    assert_eq!(versions_of(&database), before);
    assert_eq!(database.one("SELECT count(*) FROM sync_rejections"), "0");
    assert_eq!(figures(&told), [1, 1, 1, 1, 0, 1]);
    assert_eq!(differences.len(), 1);
    assert_eq!(differences[0].key, "b");
    let of = |column: &str| {
        differences[0]
            .fields
            .iter()
            .find(|f| f.0 == column)
            .map(|f| (f.1.as_deref(), f.2.as_deref()))
    };
    assert_eq!(of("customer_name"), Some((Some("Bo"), Some("Bob"))));
    assert_eq!(of("quality_score"), Some((Some("2"), None)));
    assert_eq!(of("validation_status"), None);
    let done = bench.writer.write(&mut bench.conn, &batch).unwrap();
    assert_eq!(figures(&done), figures(&told));
}
