//! Every pair of a field's type and a column's: loaded, left alone, changed, compared by a dry run, and refused where a
//! value does not fit. Those that are written directly take COPY and the walk along the index; all others work as well.

mod keys;

use datasync::config::plan::{Kind, Mapping};
use datasync::model::clock::Micros;
use datasync::model::record::{Cell, FieldError, Validation};
use datasync::store::{self, Batch, BatchOutcome, Connection, NewRow};
use std::sync::Arc;

use super::{Bench, LIMIT, SECOND, T0, field, figures, mapping_of, plan_of};
use crate::support::postgres::Database;

/// One column, and what a field of some type brings to it.
struct Case {
    column: &'static str,
    kind: Kind,
    timezone: Option<&'static str>,
    /// Written without PostgreSQL's help: by COPY, and known again without being sent.
    direct: bool,
    /// A value, what the column makes of it, and another value.
    value: Cell<'static>,
    stored: &'static str,
    other: Cell<'static>,
    /// Values that do not fit, each with words of its field error, or the SQLSTATE by which PostgreSQL refuses it.
    unfit: Vec<(Cell<'static>, &'static str)>,
}

impl Case {
    fn new(
        column: &'static str,
        kind: Kind,
        value: Cell<'static>,
        stored: &'static str,
        other: Cell<'static>,
    ) -> Self {
        Self {
            column,
            kind,
            timezone: None,
            direct: true,
            value,
            stored,
            other,
            unfit: Vec::new(),
        }
    }

    fn by_postgresql(mut self) -> Self {
        self.direct = false;
        self
    }

    fn without(mut self, value: Cell<'static>, why: &'static str) -> Self {
        self.unfit.push((value, why));
        self
    }

    fn at(mut self, timezone: &'static str) -> Self {
        self.timezone = Some(timezone);
        self
    }

    fn mapping(&self) -> Mapping {
        let mut value = field("v", "v", self.kind);
        value.timezone = self.timezone.map(str::to_owned);
        mapping_of(vec![field("id", "customer_id", Kind::String), value], None)
    }
}

fn text(text: &'static str) -> Cell<'static> {
    Cell::Text(text.into())
}

fn json(text: &'static str) -> Cell<'static> {
    Cell::Json(text.into())
}

fn decimal(text: &str) -> Cell<'static> {
    Cell::Decimal(text.parse().unwrap())
}

const DAY: i32 = 20_089; // 2025-01-01

#[allow(clippy::too_many_lines)]
fn cases() -> Vec<Case> {
    use Kind::{Boolean, Date, DateTime, Decimal, Integer, Json, String, Uuid};
    let (int, time) = (Cell::Integer, Cell::DateTime);
    let noon = T0 + 12 * 3_600 * SECOND + 1_500_000;
    vec![
        // Whole numbers.
        Case::new("smallint", Integer, int(-7), "-7", int(8))
            .without(int(32_768), "whole number from -32768 to 32767 (column v is smallint), found a number out of range"),
        Case::new("integer", Integer, int(7), "7", int(8))
            .without(int(1 << 31), "column v is integer), found a number out of range"),
        Case::new("integer", Decimal, decimal("79.00"), "79", decimal("80"))
            .without(decimal("79.5"), "column v is integer), found a number with a fraction")
            .without(decimal("1e10"), "a number out of range"),
        Case::new("bigint", Decimal, decimal("-79"), "-79", decimal("80"))
            .without(decimal("9223372036854775808"), "a number out of range"),
        Case::new("bigint", Integer, int(i64::MIN), "-9223372036854775808", int(1)),
        Case::new("integer", String, text(" +0079 "), "79", text("80"))
            .without(text("79.0"), "column v is integer), found text that is no whole number")
            .without(text("2147483648"), "a number out of range"),
        Case::new("integer", Boolean, Cell::Boolean(true), "1", Cell::Boolean(false)),
        // Other numbers.
        Case::new("numeric", Decimal, decimal("12.3456"), "12.3456", decimal("-0.001")),
        Case::new("numeric", Integer, int(12), "12", int(-10_000)),
        Case::new("numeric(10,2)", Decimal, decimal("12.345"), "12.35", decimal("-12.345"))
            .without(decimal("100000000"), "at most 8 digits before the decimal point (column v is numeric(10,2)), found a number out of range"),
        Case::new("numeric(3)", Decimal, decimal("99.5"), "100", decimal("7"))
            .without(decimal("999.5"), "column v is numeric(3,0)"),
        Case::new("double precision", Decimal, decimal("0.1"), "0.1", decimal("79.5")),
        Case::new("double precision", Integer, int(3), "3", int(4)),
        Case::new("real", Decimal, decimal("0.1"), "0.1", decimal("16777217.5")),
        Case::new("money", Decimal, decimal("12.5"), "$12.50", decimal("7")).by_postgresql(),
        Case::new("numeric", String, text("12.50"), "12.50", text("1e3"))
            .by_postgresql()
            .without(text("twelve"), "22P02"),
        // Text.
        Case::new("text", String, text("Ä b"), "Ä b", text("")),
        Case::new("varchar(4)", String, text("äöüß"), "äöüß", text("x"))
            .without(text("äöüße"), "at most 4 characters (column v is character varying(4)), found 5 characters"),
        Case::new("char(5)", String, text("äb"), "äb", text("xyz  "))
            .without(text("abcdef"), "at most 5 characters (column v is character(5)), found 6 characters"),
        Case::new("citext", String, text("Ann"), "Ann", text("ANN")),
        Case::new("name", String, text("Ann"), "Ann", text("Bo"))
            .without(text("Lorem ipsum dolor sit amet consectetur adipiscing elit sed do eius"), "at most 63 bytes"),
        Case::new("\"char\"", String, text("a"), "a", text("b"))
            .by_postgresql()
            .without(text("ab"), "at most 1 bytes (column v is \"char\")"),
        Case::new("short", String, text("abc"), "abc", text("x"))
            .without(text("abcdef"), "at most 5 characters (column v is short)"),
        Case::new("lower_case", String, text("abc"), "abc", text("x")).without(text("ABC"), "23514"),
        Case::new("varchar(40)", Integer, int(-7), "-7", int(8)),
        Case::new("varchar(3)", Integer, int(100), "100", int(8))
            .without(int(1_000), "at most 3 characters"),
        Case::new("text", Decimal, decimal("1.50"), "1.50", decimal("1.5")),
        Case::new("text", Boolean, Cell::Boolean(true), "true", Cell::Boolean(false)),
        Case::new("text", Date, Cell::Date(DAY), "2025-01-01", Cell::Date(-1)),
        Case::new("text", DateTime, time(noon), "2025-01-01 12:00:01.5+00", time(T0)),
        Case::new("text", DateTime, time(noon), "2025-01-01 13:00:01.5+01", time(T0)).at("Europe/Berlin"),
        Case::new("text", Uuid, Cell::Uuid([7; 16]), "07070707-0707-0707-0707-070707070707", Cell::Uuid([8; 16])),
        Case::new("text", Json, json("{\"a\":  1}"), "{\"a\":  1}", json("[]")),
        Case::new("varchar(4)", Json, json("[1]"), "[1]", json("[]"))
            .without(json("[1,2]"), "at most 4 characters"),
        // Truth, identity, choice.
        Case::new("boolean", Boolean, Cell::Boolean(true), "true", Cell::Boolean(false)),
        Case::new("boolean", String, text("YES"), "true", text("off"))
            .without(text("maybe"), "column v is boolean), found text that is no boolean"),
        Case::new("uuid", Uuid, Cell::Uuid([7; 16]), "07070707-0707-0707-0707-070707070707", Cell::Uuid([8; 16])),
        Case::new("uuid", String, text("07070707-0707-0707-0707-0707070707AA"), "07070707-0707-0707-0707-0707070707aa", text("07070707070707070707070707070707"))
            .without(text("7"), "column v is uuid), found text that is no UUID"),
        Case::new("mood", String, text("happy"), "happy", text("so so"))
            .without(text("Happy"), "one of sad, so so, happy (column v is mood), found another value"),
        Case::new("good_mood", String, text("happy"), "happy", text("so so"))
            .without(text("sad"), "23514")
            .without(text("glad"), "column v is good_mood"),
        // Days and times.
        Case::new("date", Date, Cell::Date(DAY), "2025-01-01", Cell::Date(-1))
            .without(Cell::Date(i32::MAX), "a date PostgreSQL can hold (column v is date)"),
        Case::new("date", DateTime, time(T0 - 1), "2024-12-31", time(T0)),
        Case::new("date", DateTime, time(T0 - 1), "2025-01-01", time(T0 - 7_200 * SECOND)).at("Europe/Berlin"),
        Case::new("timestamp", DateTime, time(noon), "2025-01-01 12:00:01.5", time(T0))
            .without(time(i64::MIN), "a time PostgreSQL can hold (column v is timestamp without time zone)"),
        Case::new("timestamp", DateTime, time(noon), "2025-01-01 13:00:01.5", time(T0)).at("Europe/Berlin"),
        Case::new("timestamp(0)", DateTime, time(noon), "2025-01-01 12:00:02", time(T0)),
        Case::new("timestamp", Date, Cell::Date(DAY), "2025-01-01 00:00:00", Cell::Date(-1)),
        Case::new("timestamptz", DateTime, time(noon), "2025-01-01 12:00:01.5+00", time(T0)),
        Case::new("timestamptz", DateTime, time(noon), "2025-01-01 12:00:01.5+00", time(T0)).at("Europe/Berlin"),
        Case::new("timestamptz(0)", DateTime, time(-noon), "1914-12-31 11:59:58+00", time(T0)),
        Case::new("timestamptz", Date, Cell::Date(DAY), "2025-01-01 00:00:00+00", Cell::Date(-1)),
        Case::new("time(0)", DateTime, time(noon), "12:00:02", time(T0)).by_postgresql(),
        Case::new("timestamp", String, text("2025-01-31 10:00"), "2025-01-31 10:00:00", text("2025-01-31"))
            .by_postgresql()
            .without(text("31 Foo"), "22007"),
        Case::new("interval(0)", String, text("1 day 1.6 seconds"), "1 day 00:00:02", text("PT1H"))
            .by_postgresql()
            .without(text("soon"), "22007"),
        // Documents.
        Case::new("json", Json, json("{\"b\": 1.50,  \"a\":[null]}"), "{\"b\": 1.50,  \"a\":[null]}", json("{}")),
        Case::new("jsonb", Json, json("{\"bb\": 1.50,  \"a\":[null, 1e2]}"), "{\"a\": [null, 100], \"bb\": 1.50}", json("{}")),
        Case::new("jsonb", String, text("[\"\\u00e9\"]"), "[\"é\"]", text("{}"))
            .without(text("{"), "22P02"),
        // What is left to PostgreSQL, and must not be cut.
        Case::new("bytea", String, text("\\x00ff"), "\\x00ff", text("abc")).by_postgresql(),
        Case::new("inet", String, text("10.0.0.1"), "10.0.0.1/32", text("::1"))
            .by_postgresql()
            .without(text("10.0.0.256"), "22P02"),
        Case::new("bit(4)", String, text("1010"), "1010", text("0000"))
            .by_postgresql()
            .without(text("10101"), "22026")
            .without(text("101"), "22026"),
        Case::new("bit varying(4)", String, text("101"), "101", text(""))
            .by_postgresql()
            .without(text("10101"), "22001"),
        Case::new("four_bits", String, text("1010"), "1010", text("0000"))
            .by_postgresql()
            .without(text("10101"), "22026"),
        Case::new("varchar(3)[]", String, text("{abc,d}"), "{abc,d}", text("{}"))
            .by_postgresql()
            .without(text("{abcd}"), "22001"),
        Case::new("char(3)[]", String, text("{abc,d}"), "{abc,\"d  \"}", text("{}"))
            .by_postgresql()
            .without(text("{abcd}"), "22001"),
        Case::new("short_list", String, text("{abc}"), "{abc}", text("{}"))
            .by_postgresql()
            .without(text("{abcd}"), "22001"),
        Case::new("numeric(5,1)[]", String, text("{1.25,2}"), "{1.3,2.0}", text("{}")).by_postgresql(),
        Case::new("integer[]", String, text("{1,2}"), "{1,2}", text("{}"))
            .by_postgresql()
            .without(text("{x}"), "22P02"),
    ]
}

/// Its own settings for the role of the tests would reach every other test: they are the database's.
const HOSTILE_SETTINGS: [&str; 6] = [
    "TimeZone = 'Asia/Kolkata'",
    "DateStyle = 'SQL, DMY'",
    "IntervalStyle = 'sql_standard'",
    "bytea_output = 'escape'",
    "extra_float_digits = -15",
    "default_transaction_isolation = 'serializable'",
];

/// A table for a case, in a database of settings that none would expect.
fn table(database: &Database, index: usize, case: &Case) -> super::plan::Database {
    let name = format!("table_{index}");
    database.run(&format!(
        "CREATE TABLE {name} (customer_id varchar(20) UNIQUE, v {}, validation_status text, needs_review boolean, \
           source_version timestamptz, sync_id uuid, updated_at timestamptz); \
         CREATE TRIGGER see BEFORE INSERT ON {name} FOR EACH STATEMENT EXECUTE FUNCTION see()",
        case.column
    ));
    let mut db = plan_of(database);
    db.table = name;
    db
}

fn database() -> Database {
    let database = Database::undistributed();
    database.run(
        "CREATE EXTENSION citext; CREATE DOMAIN short AS varchar(5); \
         CREATE DOMAIN lower_case AS text CHECK (VALUE = lower(VALUE)); CREATE DOMAIN four_bits AS bit(4); \
         CREATE DOMAIN short_list AS varchar(3)[]; CREATE TYPE mood AS ENUM ('sad', 'so so', 'happy'); \
         CREATE DOMAIN good_mood AS mood CHECK (VALUE <> 'sad'); CREATE TABLE seen (what text, tab text); \
         CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
           INSERT INTO public.seen SELECT CASE WHEN current_query() LIKE 'COPY%' THEN 'copy' ELSE 'insert' END, TG_TABLE_NAME; \
           RETURN NULL; END $$",
    );
    for setting in HOSTILE_SETTINGS {
        database.run(&format!("ALTER DATABASE {} SET {setting}", database.name));
    }
    database
}

fn push(batch: &mut Batch, key: &str, value: &Cell<'_>, at: i64) -> Result<(), Vec<FieldError>> {
    let page = Arc::new("{}".to_owned());
    batch.push_row(&NewRow {
        page: &page,
        raw: 0..2,
        key,
        cells: &[Cell::Text(key.into()), value.clone()],
        validation: Validation::Valid,
        flagged: false,
        version: Some(Micros(at)),
        requested_at: Micros(at),
        sequence: 0,
    })
}

/// Compares and then writes the same rows, as a new run: both say the same.
fn write(
    db: &super::plan::Database,
    case: &Case,
    rows: &[(&str, &Cell<'_>)],
    at: i64,
) -> BatchOutcome {
    let mut bench = Bench::with(db.clone(), &case.mapping());
    let mut batch = bench.batch();
    for (key, value) in rows {
        push(&mut batch, key, value, at).unwrap();
    }
    batch.seal();
    let context = format!("{:?} into {}", case.kind, case.column);
    let (dry, differences) = bench
        .writer
        .compare(&mut bench.conn, &batch, 10)
        .expect(&context);
    let written = bench.writer.write(&mut bench.conn, &batch).expect(&context);
    assert_eq!(
        figures(&dry),
        figures(&written),
        "{context}: the dry run and the run"
    );
    assert_eq!(
        differences.len() as u64,
        written.ledger.updated,
        "{context}"
    );
    written
}

fn versions(database: &Database, db: &super::plan::Database) -> Vec<String> {
    database.list(&format!(
        "SELECT concat_ws(' ', xmin, ctid, v::text) FROM {} ORDER BY customer_id",
        db.table
    ))
}

#[test]
fn every_pair_of_types_is_loaded_left_alone_changed_and_refused() {
    let database = database();
    for (index, case) in cases().iter().enumerate() {
        let context = format!("{:?} into {} ({:?})", case.kind, case.column, case.timezone);
        let db = table(&database, index, case);
        let seen = || database.list(&format!("SELECT what FROM seen WHERE tab = '{}'", db.table));
        let null = Cell::Null;
        let mut rows = [("a", &case.value), ("b", &case.other), ("c", &null)];
        assert_eq!(
            figures(&write(&db, case, &rows, T0)),
            [3, 0, 0, 0, 0, 0],
            "{context}"
        );
        let mut client = database.client();
        client.batch_execute("SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; SET IntervalStyle = 'postgres'; SET bytea_output = 'hex'; SET extra_float_digits = 1").unwrap();
        let stored: String = client
            .query_one(
                &format!("SELECT v::text FROM {} WHERE customer_id = 'a'", db.table),
                &[],
            )
            .unwrap()
            .get(0);
        assert_eq!(stored, case.stored, "{context}");
        if case.direct {
            assert_eq!(seen(), ["copy"], "{context}");
        }
        let before = versions(&database, &db);
        assert_eq!(
            figures(&write(&db, case, &rows, T0 + SECOND)),
            [0, 0, 3, 0, 0, 0],
            "{context}"
        );
        assert_eq!(
            versions(&database, &db),
            before,
            "{context}: nothing has moved"
        );
        if case.direct {
            assert_eq!(seen(), ["copy"], "{context}: nothing that writes was sent");
        }
        rows[0].1 = &case.other;
        assert_eq!(
            figures(&write(&db, case, &rows, T0 + 2 * SECOND)),
            [0, 1, 2, 0, 0, 0],
            "{context}"
        );
        let same = format!(
            "SELECT count(DISTINCT v::text COLLATE \"C\") FROM {} WHERE v IS NOT NULL",
            db.table
        );
        assert_eq!(
            database.one(&same),
            "1",
            "{context}: both have the other value now"
        );
        for (value, why) in &case.unfit {
            refused(&database, &db, case, value, why, &context);
        }
    }
}

/// A value that its column cannot hold costs no other row, and neither the run nor its dry run takes it for written.
fn refused(
    database: &Database,
    db: &super::plan::Database,
    case: &Case,
    value: &Cell<'_>,
    why: &str,
    context: &str,
) {
    let mut bench = Bench::with(db.clone(), &case.mapping());
    let mut batch = bench.batch();
    if why.len() != 5 {
        let errors = push(&mut batch, "z", value, T0).expect_err(context);
        assert_eq!(errors.len(), 1, "{context}");
        assert_eq!(errors[0].field, "v", "{context}");
        let said = errors[0].to_string();
        assert!(said.contains(why), "{context}: {said}");
        assert_eq!(batch.len(), 0, "{context}");
        return;
    }
    drop((batch, bench));
    let rows = [("y", &case.value), ("z", value)];
    let outcome = write(db, case, &rows, T0 + 3 * SECOND);
    assert_eq!(figures(&outcome), [1, 0, 0, 0, 0, 1], "{context}");
    assert_eq!(
        outcome.refused[0].sqlstate.as_deref(),
        Some(why),
        "{context}"
    );
    database.run(&format!("DELETE FROM {} WHERE customer_id = 'y'", db.table));
}

#[test]
fn every_field_that_does_not_fit_is_named() {
    let database = Database::undistributed();
    database.run("ALTER TABLE customers ADD small smallint, ADD letter char(1)");
    let mapping = mapping_of(
        vec![
            field("id", "customer_id", Kind::String),
            field("number", "small", Kind::Decimal),
            field("letter", "letter", Kind::String),
        ],
        None,
    );
    let mut bench = Bench::new(&database, &mapping);
    let mut batch = bench.batch();
    let errors = batch
        .push_row(&NewRow {
            page: &Arc::new("{}".to_owned()),
            raw: 0..2,
            key: "a",
            cells: &[text("a"), decimal("0.5"), text("ab")],
            validation: Validation::Valid,
            flagged: false,
            version: Some(Micros(T0)),
            requested_at: Micros(T0),
            sequence: 0,
        })
        .unwrap_err();
    let fields: Vec<_> = errors.iter().map(|error| error.field.as_ref()).collect();
    assert_eq!(fields, ["number", "letter"]);
}

#[test]
fn the_tables_of_the_convention_take_copy() {
    let database = Database::undistributed();
    database.run(
        "DROP TABLE customers; CREATE TABLE customers (id serial PRIMARY KEY, customer_id varchar(100) UNIQUE NOT NULL, \
           customer_name varchar(255), quality_score integer, created_at timestamp, updated_at timestamp, \
           validation_status varchar(20), needs_review boolean, source_version timestamp, sync_id uuid)",
    );
    let db = plan_of(&database);
    let mapping = mapping_of(
        vec![
            field("id", "customer_id", Kind::String),
            field("score", "quality_score", Kind::Decimal),
            field("created", "created_at", Kind::DateTime),
        ],
        None,
    );
    database.run(&format!(
        "ALTER DATABASE {} SET TimeZone = 'Asia/Kolkata'",
        database.name
    ));
    let mut conn = Connection::open(&db, LIMIT).unwrap();
    store::inspect(&mut conn, &db, &mapping).unwrap();
    for (form, expected) in [("copy", [2, 0, 0, 0, 0, 0]), ("look", [0, 0, 2, 0, 0, 0])] {
        let mut bench = Bench::with(db.clone(), &mapping);
        let mut batch = bench.batch();
        for key in ["a", "b"] {
            super::push_cells(
                &mut batch,
                key,
                "",
                &[
                    Cell::Text(key.to_owned().into()),
                    decimal("79"),
                    Cell::DateTime(T0),
                ],
                T0,
                0,
            );
        }
        assert_eq!(figures(&bench.write(batch).unwrap()), expected, "{form}");
    }
    assert_eq!(
        database.one("SELECT DISTINCT concat_ws('|', quality_score, created_at::text, source_version::text) FROM customers"),
        "79|2025-01-01 00:00:00|2025-01-01 00:00:00"
    );
    // When it was written, by UTC, whatever the session's time zone.
    assert_eq!(
        database.one("SELECT bool_and(abs(extract(epoch FROM updated_at - (now() AT TIME ZONE 'UTC'))) < 3600) FROM customers"),
        "t"
    );
}
