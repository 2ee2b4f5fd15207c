//! Keys of columns of any type: in the order of their index, and one row for one key.

use std::sync::Arc;

use datasync::config::plan::Kind;
use datasync::model::clock::Micros;
use datasync::model::record::{Cell, Validation};
use datasync::store::NewRow;

use super::super::{Bench, SECOND, T0, field, figures, mapping_of, plan_of};
use super::{database, text};
use crate::support::postgres::Database;

/// Makes one key of many.
type Key = fn(i32) -> Cell<'static>;

#[test]
fn keys_of_any_type_are_known_again_without_being_sent() {
    use Kind::{Date, Decimal, Integer, String, Uuid};
    let database = database();
    let keys: [(&str, Kind, Key); 10] = [
        ("bigint", Integer, |n| Cell::Integer(i64::from(n) - 500)),
        ("integer", Integer, |n| Cell::Integer(i64::from(n) - 500)),
        ("smallint", Integer, |n| Cell::Integer(i64::from(n) - 500)),
        ("integer", String, |n| {
            Cell::Text((n - 500).to_string().into())
        }),
        ("varchar(20)", Integer, |n| Cell::Integer(i64::from(n))),
        ("char(20)", String, |n| {
            Cell::Text(format!("k{n:04}").into())
        }),
        ("citext", String, |n| Cell::Text(format!("K{n:04}").into())),
        ("uuid", Uuid, |n| {
            Cell::Uuid(u128::from(n.unsigned_abs()).to_be_bytes())
        }),
        ("numeric", Decimal, |n| Cell::Decimal((n + 1_000).into())),
        ("date", Date, Cell::Date),
    ];
    for (index, (column, kind, key)) in keys.into_iter().enumerate() {
        let name = format!("keyed_{index}");
        database.run(&format!(
            "CREATE TABLE {name} (k {column} UNIQUE, v text, validation_status text, needs_review boolean, \
               source_version timestamptz, sync_id uuid, updated_at timestamptz); \
             CREATE TRIGGER see BEFORE INSERT ON {name} FOR EACH STATEMENT EXECUTE FUNCTION see()"
        ));
        let mut db = plan_of(&database);
        db.table.clone_from(&name);
        let mapping = mapping_of(vec![field("k", "k", kind), field("v", "v", String)], None);
        for (at, expected) in [
            (T0, [1_000, 0, 0, 0, 0, 0]),
            (T0 + SECOND, [0, 0, 1_000, 0, 0, 0]),
        ] {
            let mut bench = Bench::with(db.clone(), &mapping);
            let mut batch = bench.batch();
            for n in 0..1_000 {
                let cell = key(n);
                let spelled = match &cell {
                    Cell::Text(text) => text.to_string(),
                    Cell::Uuid(bytes) => uuid::Uuid::from_bytes(*bytes).to_string(),
                    Cell::Integer(n) => n.to_string(),
                    Cell::Decimal(n) => n.to_string(),
                    other => format!("{other:?}"),
                };
                let page = Arc::new("{}".to_owned());
                batch
                    .push_row(&NewRow {
                        page: &page,
                        raw: 0..2,
                        key: &spelled,
                        cells: &[cell, text("x")],
                        validation: Validation::Valid,
                        flagged: false,
                        version: Some(Micros(at)),
                        requested_at: Micros(at),
                        sequence: 0,
                    })
                    .unwrap();
            }
            assert_eq!(
                figures(&bench.write(batch).unwrap()),
                expected,
                "{column} {kind:?}"
            );
        }
        let seen = database.list(&format!("SELECT what FROM seen WHERE tab = '{name}'"));
        assert_eq!(
            seen,
            ["copy"],
            "{column} {kind:?}: nothing that writes was sent"
        );
    }
}

#[test]
fn keys_that_are_one_number_are_one_row_however_they_are_spelled() {
    let database = Database::undistributed();
    database.run("ALTER TABLE customers ALTER customer_id TYPE integer USING customer_id::integer");
    let mapping = mapping_of(
        vec![
            field("id", "customer_id", Kind::String),
            field("name", "customer_name", Kind::String),
        ],
        None,
    );
    let mut bench = Bench::new(&database, &mapping);
    let mut batch = bench.batch();
    for (sequence, key) in ["7", "10", "007", "9"].into_iter().enumerate() {
        let page = Arc::new("{}".to_owned());
        batch
            .push_row(&NewRow {
                page: &page,
                raw: 0..2,
                key,
                cells: &[text(key), text(key)],
                validation: Validation::Valid,
                flagged: false,
                version: Some(Micros(T0)),
                requested_at: Micros(T0),
                sequence: sequence as u64,
            })
            .unwrap();
    }
    assert_eq!(figures(&bench.write(batch).unwrap()), [3, 0, 0, 0, 1, 0]);
    assert_eq!(
        database.one("SELECT string_agg(customer_id || ' ' || customer_name, ', ' ORDER BY customer_id) FROM customers"),
        "7 007, 9 9, 10 10"
    );
}
