//! Values and names: compared as the column stores them, bound and quoted whatever they hold.

use datasync::config::plan::Kind;
use datasync::model::record::Cell;
use rust_decimal::Decimal;

use super::{Bench, T0, field, figures, mapping_of, plan_of, push_cells};
use crate::support::postgres::Database;

#[test]
fn values_are_compared_as_the_column_stores_them() {
    let database = Database::undistributed();
    database.run(
        "CREATE DOMAIN short AS varchar(5);
         ALTER TABLE customers ADD amount numeric(10,2), ADD seen timestamp(0), ADD born date, ADD small smallint,
           ADD flag boolean, ADD ref uuid, ADD doc jsonb, ADD rawdoc json, ADD fixed char(6), ADD dom short, ADD ts timestamptz(0), ADD big numeric",
    );
    let mapping = mapping_of(
        vec![
            field("id", "customer_id", Kind::String),
            field("amount", "amount", Kind::Decimal),
            field("seen", "seen", Kind::DateTime),
            field("born", "born", Kind::Date),
            field("small", "small", Kind::Integer),
            field("flag", "flag", Kind::Boolean),
            field("ref", "ref", Kind::Uuid),
            field("doc", "doc", Kind::Json),
            field("rawdoc", "rawdoc", Kind::Json),
            field("fixed", "fixed", Kind::String),
            field("dom", "dom", Kind::String),
            field("ts", "ts", Kind::DateTime),
            field("big", "big", Kind::Decimal),
        ],
        None,
    );
    let mut bench = Bench::new(&database, &mapping);
    let cells = |big: &str| {
        vec![
            Cell::Text("a".into()),
            Cell::Decimal("12.3456".parse().unwrap()),
            Cell::DateTime(T0 + 700_000),
            Cell::Date(-1),
            Cell::Integer(-7),
            Cell::Boolean(true),
            Cell::Uuid([7; 16]),
            Cell::Json("{\"b\": 1.50,  \"a\":[null]}".into()),
            Cell::Json("{\"b\": 1.50,  \"a\":[null]}".into()),
            Cell::Text("ab".into()),
            Cell::Text("äöüßé".into()),
            Cell::DateTime(T0 + 700_000),
            Cell::Decimal(big.parse().unwrap()),
        ]
    };
    for (round, big) in [
        "0",
        "-0.0001",
        "123456789012345678901234567.8",
        "0.0000000000000000000000000001",
        "10000",
        "99990000.00",
        "-79228162514264337593543950335",
        "1e-3",
        "1.5",
        "0.00010000",
    ]
    .into_iter()
    .enumerate()
    {
        let big = Decimal::from_scientific(big).map_or_else(|_| big.to_owned(), |d| d.to_string());
        for expected in [true, false] {
            let mut batch = bench.batch();
            push_cells(
                &mut batch,
                "a",
                "",
                &cells(&big),
                T0 + i64::try_from(round).unwrap(),
                0,
            );
            let outcome = bench.write(batch).unwrap();
            assert_eq!(
                outcome.ledger.inserted + outcome.ledger.updated == 1,
                expected,
                "{big} {outcome:?}"
            );
        }
        assert_eq!(database.one("SELECT big::text FROM customers"), big);
    }
    assert_eq!(
        database.one("SELECT concat_ws('|', amount, seen, born, small, flag, ref, doc, rawdoc, fixed, dom, ts AT TIME ZONE 'UTC') FROM customers"),
        "12.35|2025-01-01 00:00:01|1969-12-31|-7|t|07070707-0707-0707-0707-070707070707|{\"a\": [null], \"b\": 1.50}|{\"b\": 1.50,  \"a\":[null]}|ab    |äöüßé|2025-01-01 00:00:01"
    );
}

#[test]
fn names_are_quoted_and_values_are_bound() {
    let database = Database::new();
    database.run(
        r#"CREATE SCHEMA "a "" b"; CREATE TABLE "a "" b"."drop; table" ("select ""x'; --" text UNIQUE, "ünï $1" text,
           validation_status text, needs_review bool, source_version timestamptz, sync_id uuid, updated_at timestamptz)"#,
    );
    let mut db = plan_of(&database);
    db.schema = "a \" b".to_owned();
    db.table = "drop; table".to_owned();
    let mapping = mapping_of(
        vec![
            field("k", "select \"x'; --", Kind::String),
            field("v", "ünï $1", Kind::String),
        ],
        None,
    );
    let mut bench = Bench::with(db, &mapping);
    for expected in [[1, 0, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0]] {
        let mut batch = bench.batch();
        let hostile = "'); DROP TABLE customers; --";
        push_cells(
            &mut batch,
            hostile,
            "",
            &[
                Cell::Text(hostile.into()),
                Cell::Text("$1 \\ '' {\"}".into()),
            ],
            T0,
            0,
        );
        assert_eq!(figures(&bench.write(batch).unwrap()), expected);
    }
    assert_eq!(
        database.one(r#"SELECT "ünï $1" FROM "a "" b"."drop; table""#),
        "$1 \\ '' {\"}"
    );
}
