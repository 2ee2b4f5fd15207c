//! The write path against a real PostgreSQL.
#![allow(clippy::unwrap_used)]

mod forms;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datasync::config::plan::{self, Field, Kind, Mapping, QualityScore, SslMode};
use datasync::config::secret::Secret;
use datasync::record::{Cell, FieldError, Rejection, Validation};
use datasync::store::{
    self, Batch, BatchOutcome, Class, Columns, Connection, SchemaError, StoreError, Writer,
};
use rust_decimal::Decimal;
use uuid::Uuid;

use crate::support::postgres::{Cluster, Database};

const LIMIT: Duration = Duration::from_secs(5);
/// 2025-01-01T00:00:00Z in microseconds.
const T0: i64 = 1_735_689_600_000_000;
const SECOND: i64 = 1_000_000;

fn provider() {
    // Somebody else may have installed it already.
    drop(rustls::crypto::ring::default_provider().install_default());
}

fn plan_of(database: &Database) -> plan::Database {
    provider();
    plan::Database {
        host: database.host.clone(),
        port: database.port,
        name: database.name.clone(),
        user: database.user.clone(),
        password: Secret::new(database.password.clone()),
        ssl_mode: SslMode::Prefer,
        ssl_root_cert: None,
        min_connections: 2,
        max_connections: 10,
        connection_timeout: LIMIT,
        statement_timeout: Duration::from_secs(20),
        lock_timeout: Duration::from_secs(10),
        batch_size: 1000,
        schema: "public".to_owned(),
        table: "customers".to_owned(),
        conflict_key: "customer_id".to_owned(),
        log_schema: "public".to_owned(),
        log_table: "sync_log".to_owned(),
        owed: Vec::new(),
    }
}

fn field(name: &str, column: &str, kind: Kind) -> Field {
    Field {
        source: vec![name.to_owned()],
        name: name.to_owned(),
        column: Some(column.to_owned()),
        kind,
        required: false,
        default: None,
        format: None,
        timezone: None,
        max_length: None,
        trim: false,
        min: None,
        max: None,
        pattern: None,
        one_of: Vec::new(),
        weight: Decimal::ONE,
    }
}

fn mapping_of(fields: Vec<Field>, version: Option<usize>) -> Mapping {
    Mapping {
        fields,
        key: 0,
        version,
        quality_score: QualityScore {
            field: None,
            fallback_completeness: true,
        },
    }
}

fn customers() -> Mapping {
    mapping_of(
        vec![
            field("customerId", "customer_id", Kind::String),
            field("customerName", "customer_name", Kind::String),
            field("qualityScore", "quality_score", Kind::Decimal),
        ],
        None,
    )
}

/// A writer, its connection and what is needed to fill batches.
struct Bench {
    db: plan::Database,
    conn: Connection,
    columns: Arc<Columns>,
    writer: Writer,
    run: Uuid,
    next: u64,
}

impl Bench {
    fn new(database: &Database, mapping: &Mapping) -> Self {
        Self::with(plan_of(database), mapping)
    }

    fn with(db: plan::Database, mapping: &Mapping) -> Self {
        let mut conn = Connection::open(&db, LIMIT).unwrap();
        let layout = store::inspect(&mut conn, &db, mapping).unwrap();
        let run = Uuid::now_v7();
        let writer = Writer::new(&db, &layout, run, 0);
        Self {
            db,
            conn,
            columns: Arc::new(Columns::new(mapping).unwrap()),
            writer,
            run,
            next: 0,
        }
    }

    fn batch(&mut self) -> Batch {
        self.next += 1;
        Batch::new(Arc::clone(&self.columns), self.next)
    }

    fn write(&mut self, mut batch: Batch) -> Result<BatchOutcome, StoreError> {
        batch.seal();
        self.writer.write(&mut self.conn, &batch)
    }

    /// Writes rows of key, name, score, all requested at one time.
    fn rows(&mut self, at: i64, rows: &[(&str, &str, &str)]) -> BatchOutcome {
        let mut batch = self.batch();
        for (sequence, (key, name, score)) in rows.iter().enumerate() {
            push(&mut batch, key, name, score, at, sequence as u64);
        }
        self.write(batch).unwrap()
    }
}

fn raw(key: &str, name: &str) -> String {
    serde_json::json!({"customerId": key, "customerName": name}).to_string()
}

fn push_cells(
    batch: &mut Batch,
    key: &str,
    name: &str,
    cells: &[Cell<'_>],
    at: i64,
    sequence: u64,
) {
    let page = Arc::new(raw(key, name));
    let length = u32::try_from(page.len()).unwrap();
    batch
        .push_row(
            &page,
            0..length,
            key,
            cells,
            Validation::Valid,
            false,
            at,
            at,
            sequence,
        )
        .unwrap();
}

fn push(batch: &mut Batch, key: &str, name: &str, score: &str, at: i64, sequence: u64) {
    let cells = [
        Cell::Text(key.into()),
        Cell::Text(name.into()),
        if score.is_empty() {
            Cell::Null
        } else {
            Cell::Decimal(score.parse().unwrap())
        },
    ];
    push_cells(batch, key, name, &cells, at, sequence);
}

fn rejection(key: &str, at: i64, sequence: u64) -> Rejection {
    Rejection {
        key: key.to_owned(),
        record_id: Some(key.to_owned()),
        payload: format!(
            "{{\"customerId\": {}, \"x\":\"\\u0000\"}}",
            serde_json::json!(key)
        ),
        reason: "field_error".to_owned(),
        message: "qualityScore is no number".to_owned(),
        loggable: true,
        errors: vec![FieldError {
            field: "quality_score".into(),
            expected: "decimal".into(),
            problem: "text".into(),
        }],
        rules: vec!["Rule_1".to_owned()],
        explanation: Some("{\"saw\":\"\\u0000\"}".to_owned()),
        requested_at: at,
        sequence,
    }
}

fn figures(o: &BatchOutcome) -> [u64; 6] {
    [
        o.inserted,
        o.updated,
        o.unchanged,
        o.superseded,
        o.duplicates,
        o.rejected,
    ]
}

fn identity_of(database: &Database) -> String {
    database.one("SELECT last_value || ' ' || is_called FROM customers_id_seq")
}

fn versions_of(database: &Database) -> Vec<String> {
    database.list(
        "SELECT customer_id || ' ' || xmin || ' ' || xmax || ' ' || ctid FROM customers ORDER BY 1",
    )
}

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
            .push_row(
                &page,
                0..length,
                "a",
                &cells,
                Validation::Warning,
                true,
                version,
                at,
                0,
            )
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
                outcome.inserted + outcome.updated == 1,
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
fn a_refused_row_is_found_and_its_neighbours_are_written() {
    let database = Database::undistributed();
    database.run(
        "ALTER TABLE customers ADD CONSTRAINT score_range CHECK (quality_score BETWEEN 0 AND 100);
         ALTER TABLE customers ALTER customer_name SET NOT NULL;
         ALTER TABLE customers ADD CONSTRAINT one_name UNIQUE (customer_name) DEFERRABLE INITIALLY DEFERRED;
         CREATE FUNCTION no_zed() RETURNS trigger LANGUAGE plpgsql AS
           $$BEGIN IF NEW.customer_name = 'Zed' THEN RAISE 'secret value %', NEW.customer_name; END IF; RETURN NEW; END$$;
         CREATE TRIGGER no_zed BEFORE INSERT OR UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION no_zed()",
    );
    let mut bench = Bench::new(&database, &customers());
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
                    r.sqlstate.as_str(),
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
        database.one("SELECT concat_ws('|', key, occurrences, resolved_at IS NULL, first_run = last_run) FROM sync_rejections")
    };
    for (round, expected) in ["r1|1|t|t", "r1|2|t|t"].iter().enumerate() {
        let mut batch = bench.batch();
        batch.push_rejection(rejection("r1", T0 + i64::try_from(round).unwrap(), 0));
        assert_eq!(figures(&bench.write(batch).unwrap()), [0, 0, 0, 0, 0, 1]);
        assert_eq!(state(), *expected);
    }
    assert_eq!(
        database.one("SELECT payload FROM sync_rejections"),
        rejection("r1", 0, 0).payload
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

fn signal(name: &str, pid: &str) {
    assert!(
        std::process::Command::new("kill")
            .args([name, pid])
            .status()
            .unwrap()
            .success()
    );
}

#[test]
fn a_stopped_back_end_costs_the_deadline_and_no_more() {
    let cluster = Cluster::new(&[], &[]);
    let database = cluster.database();
    let mut db = plan_of(&database);
    db.statement_timeout = Duration::from_millis(700);
    let mut bench = Bench::with(db, &customers());
    let pid = database.one("SELECT pid FROM pg_stat_activity WHERE application_name = 'datasync'");
    signal("-STOP", &pid);
    let started = Instant::now();
    let mut batch = bench.batch();
    push(&mut batch, "a", "Ann", "1", T0, 0);
    let error = bench.write(batch).unwrap_err();
    assert_eq!((error.class(), error.kind()), (Class::Transient, "timeout"));
    assert!(bench.conn.is_dead());
    drop(bench);
    assert!(
        started.elapsed() < Duration::from_millis(1900),
        "{:?}",
        started.elapsed()
    );
    signal("-CONT", &pid);
}

#[test]
fn a_stopped_server_costs_the_connect_limit_and_no_more() {
    let cluster = Cluster::new(&[], &[]);
    let database = cluster.database();
    let db = plan_of(&database);
    let pid = cluster.postmaster().to_string();
    signal("-STOP", &pid);
    let started = Instant::now();
    let error = Connection::open(&db, Duration::from_millis(500)).unwrap_err();
    assert_eq!((error.class(), error.kind()), (Class::Transient, "timeout"));
    assert!(
        started.elapsed() < Duration::from_millis(1500),
        "{:?}",
        started.elapsed()
    );
    signal("-CONT", &pid);
    cluster.stop("immediate");
    let error = Connection::open(&db, LIMIT).unwrap_err();
    assert_eq!(
        (error.class(), error.kind()),
        (Class::Transient, "unreachable")
    );
    cluster.start();
    Connection::open(&db, LIMIT).unwrap();
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
fn wrong_password_and_missing_database_need_a_person() {
    let database = Database::direct();
    let mut wrong = plan_of(&database);
    wrong.password = Secret::new("canary-password".to_owned());
    let error = Connection::open(&wrong, LIMIT).unwrap_err();
    assert_eq!(
        (error.class(), error.sqlstate()),
        (Class::Fatal, Some("28P01"))
    );
    assert!(!error.to_string().contains("canary"), "{error}");
    let mut none = plan_of(&database);
    none.password = Secret::default();
    let error = Connection::open(&none, LIMIT).unwrap_err();
    assert_eq!(
        (error.class(), error.kind()),
        (Class::Fatal, "authentication"),
        "{error}"
    );
    let mut missing = plan_of(&database);
    missing.name = "no_such_database".to_owned();
    let error = Connection::open(&missing, LIMIT).unwrap_err();
    assert_eq!(
        (error.class(), error.sqlstate()),
        (Class::Fatal, Some("3D000"))
    );
}

#[test]
fn a_read_only_database_is_transient_and_the_connection_is_given_up() {
    let database = Database::direct();
    let mut bench = Bench::new(&database, &customers());
    database.run(&format!(
        "ALTER DATABASE {} SET default_transaction_read_only = on",
        database.name
    ));
    bench.conn = Connection::open(&bench.db, LIMIT).unwrap();
    let mut batch = bench.batch();
    push(&mut batch, "a", "Ann", "1", T0, 0);
    let error = bench.write(batch).unwrap_err();
    assert_eq!(
        (error.class(), error.kind()),
        (Class::Transient, "read_only")
    );
    assert!(bench.conn.is_dead());
    let found = store::check(&bench.db, &customers());
    let failed: Vec<_> = found
        .checks
        .iter()
        .filter(|c| !c.ok)
        .map(|c| c.name)
        .collect();
    assert_eq!(failed, ["read-write"]);
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
                            Ok(o) => {
                                assert_eq!(
                                    o.inserted + o.updated + o.unchanged + o.superseded,
                                    100
                                );
                            }
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
    db.conflict_key = "select \"x'; --".to_owned();
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

#[test]
fn a_table_that_does_not_fit_is_described_in_full() {
    let database = Database::undistributed();
    database.run(
        "ALTER TABLE customers DROP needs_review, ADD must text NOT NULL, ADD born date, ADD code text;
         DROP TABLE sync_lease; ALTER TABLE customers DROP CONSTRAINT customers_customer_id_key",
    );
    let db = plan_of(&database);
    let mut mapping = customers();
    mapping
        .fields
        .push(field("customerNam", "customer_nam", Kind::String));
    mapping.fields.push(field("flag", "born", Kind::Boolean));
    mapping
        .fields
        .push(field("status", "validation_status", Kind::String));
    let mut conn = Connection::open(&db, LIMIT).unwrap();
    let Err(SchemaError::Mismatch(problems)) = store::inspect(&mut conn, &db, &mapping) else {
        panic!("the table does not fit");
    };
    let all = SchemaError::Mismatch(problems.clone()).to_string();
    for part in [
        "sync_lease does not exist",
        "field customerNam: table public.customers has no column customer_nam; the nearest is customer_name",
        "field flag is of type boolean, but column born is date",
        "validation_status of public.customers is filled by datasync",
        "no column needs_review",
        "column must of public.customers must have a value",
        "ADD UNIQUE (\"customer_id\")",
    ] {
        assert!(all.contains(part), "{part}\nnot in\n{all}");
    }
    assert_eq!(problems.len(), 7, "{all}");
    let found = store::check(&db, &mapping);
    assert!(found.misconfigured);
    for name in ["tables", "columns", "key"] {
        let check = found.checks.iter().find(|c| c.name == name).unwrap();
        assert!(!check.ok && check.hint.is_some(), "{check:?}");
    }
}

#[test]
fn the_schema_can_be_applied_again_and_by_several_at_once() {
    let database = Database::undistributed();
    database.run("DROP SCHEMA public CASCADE; CREATE SCHEMA public; CREATE TABLE sync_log (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, sync_id uuid, status varchar(50), records_processed integer, records_failed integer, started_at timestamptz, completed_at timestamptz, error_message text)");
    let db = plan_of(&database);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut conn = Connection::open(&db, LIMIT).unwrap();
                store::apply_schema(&mut conn, &db).unwrap();
                store::apply_schema(&mut conn, &db).unwrap();
            });
        }
    });
    let mut conn = Connection::open(&db, LIMIT).unwrap();
    let layout = store::inspect(&mut conn, &db, &customers()).unwrap();
    assert_eq!(layout.max_characters("customer_name"), Some(255));
    assert_eq!(layout.max_characters("quality_score"), None);
    assert!(store::check(&db, &customers()).checks.iter().all(|c| c.ok));
}

#[test]
fn missing_privileges_are_named_with_the_grant_to_type() {
    let database = Database::direct();
    let role = format!("role_{}", database.name);
    database.run(&format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'pw'; GRANT SELECT ON customers, sync_log TO {role}; GRANT INSERT ON sync_log TO {role}"
    ));
    let mut db = plan_of(&database);
    db.user.clone_from(&role);
    db.password = Secret::new("pw".to_owned());
    let found = store::check(&db, &customers());
    let hint = found
        .checks
        .iter()
        .find(|c| c.name == "privileges")
        .unwrap()
        .hint
        .clone()
        .unwrap();
    assert!(found.misconfigured);
    assert!(
        hint.contains(&format!(
            "GRANT INSERT, UPDATE ON \"public\".\"customers\" TO \"{role}\";"
        )),
        "{hint}"
    );
    // Typing them helps.
    database.run(&hint);
    let found = store::check(&db, &customers());
    assert!(found.checks.iter().all(|c| c.ok), "{found:?}");
    let mut bench = Bench::with(db, &customers());
    assert_eq!(bench.rows(T0, &[("a", "Ann", "1")]).inserted, 1);
    drop(bench);
    database.run(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

#[test]
fn the_run_log_the_watermark_and_the_retention() {
    use datasync::record::Ledger;
    use store::log::{self, RunEnd, RunHeader};
    use store::state;
    let database = Database::new();
    let db = plan_of(&database);
    let mut conn = Connection::open(&db, LIMIT).unwrap();
    let offset = log::clock_offset(&mut conn).unwrap();
    assert!(offset.abs() < 2 * SECOND, "{offset}");
    let header = |at| RunHeader {
        run_id: Uuid::now_v7(),
        mode: "full".to_owned(),
        shard: None,
        started_at: at,
        host: "host".to_owned(),
        os_user: "user".to_owned(),
        process_id: 7,
        version: "0.1.0".to_owned(),
        config_hash: "abc".to_owned(),
        watermark_before: None,
        command: Some("sync".to_owned()),
        source: None,
    };
    let (killed, good) = (header(T0), header(T0 + SECOND));
    log::start(&mut conn, &db, &killed).unwrap();
    assert_eq!(log::abandon(&mut conn, &db, None, good.run_id).unwrap(), 1);
    let ledger = Ledger {
        fetched: 10,
        inserted: 7,
        rejected: 2,
        spooled: 1,
        ..Ledger::default()
    };
    let end = RunEnd {
        status: "SUCCESS".to_owned(),
        ledger,
        replayed: 0,
        flagged: 1,
        pages: 3,
        complete: true,
        completed_at: T0 + 2 * SECOND,
        error_message: None,
        watermark_after: Some("2025".to_owned()),
        exit_code: 0,
        case_id: None,
        write_back: None,
        api_retries: 0,
        db_retries: 0,
        stage_seconds: [0.1, 0.2, 0.3, 0.4],
    };
    assert_eq!(log::previous_complete(&mut conn, &db, None).unwrap(), None);
    log::start(&mut conn, &db, &good).unwrap();
    log::finish(&mut conn, &db, &good, &end).unwrap();
    let previous = log::previous_complete(&mut conn, &db, None)
        .unwrap()
        .unwrap();
    assert_eq!((previous.fetched, previous.started_at), (10, T0 + SECOND));
    assert_eq!(previous.run_id, good.run_id);
    assert!(log::complete_run_since(&mut conn, &db, None, T0).unwrap());
    assert!(!log::complete_run_since(&mut conn, &db, None, T0 + SECOND).unwrap());
    assert_eq!(
        log::previous_complete(&mut conn, &db, Some("1/2")).unwrap(),
        None
    );
    assert_eq!(
        database.list(
            "SELECT status || records_processed || '/' || records_failed FROM sync_log ORDER BY id"
        ),
        ["ABANDONED0/0", "SUCCESS10/3"]
    );
    let run = good.run_id;
    assert_eq!(state::read(&mut conn, &db, "watermark").unwrap(), None);
    assert!(state::advance(&mut conn, &db, "watermark", None, "1", run).unwrap());
    assert!(!state::advance(&mut conn, &db, "watermark", None, "2", run).unwrap());
    assert!(state::advance(&mut conn, &db, "watermark", Some("1"), "2", run).unwrap());
    assert!(!state::advance(&mut conn, &db, "watermark", Some("1"), "3", run).unwrap());
    assert_eq!(
        state::read(&mut conn, &db, "watermark").unwrap().as_deref(),
        Some("2")
    );
    let mut bench = Bench::new(&database, &customers());
    bench.rows(T0, &[("a", "Ann", "1")]);
    let day = Duration::from_hours(24);
    assert_eq!(log::trim(&mut conn, &db, day).unwrap(), 1);
    assert_eq!(database.list("SELECT status FROM sync_log"), ["ABANDONED"]);
    assert_eq!(database.one("SELECT count(*) FROM sync_batches"), "1");
}

fn tls_cluster(names: &[&str]) -> (Cluster, String) {
    let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let certificate = made.cert.pem();
    let cluster = Cluster::new(
        &[("ssl", "on")],
        &[
            ("server.crt", &certificate),
            ("server.key", &made.signing_key.serialize_pem()),
        ],
    );
    (cluster, certificate)
}

#[test]
fn tls_modes_mean_what_libpq_means() {
    let (cluster, certificate) = tls_cluster(&["db.example"]);
    let stranger = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()])
        .unwrap()
        .cert
        .pem();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| -> PathBuf {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let own = file("own.pem", &certificate);
    let other = file("other.pem", &stranger);
    let empty = file("empty.pem", "nothing");
    let database = cluster.database();
    let open = |mode: SslMode, root: Option<&PathBuf>, host: &str| {
        let mut db = plan_of(&database);
        db.ssl_mode = mode;
        db.ssl_root_cert = root.cloned();
        db.host = host.to_owned();
        Connection::open(&db, LIMIT).map(|conn| {
            let encrypted = database.one(
                "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'datasync'",
            );
            drop(conn);
            // The server frees the slot a moment after the good-bye.
            while database.one("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'datasync'") != "0" {
                std::thread::sleep(Duration::from_millis(5));
            }
            encrypted == "t"
        })
    };
    let host = "127.0.0.1";
    assert!(!open(SslMode::Disable, None, host).unwrap());
    assert!(open(SslMode::Prefer, None, host).unwrap());
    assert!(open(SslMode::Require, None, host).unwrap());
    assert!(open(SslMode::Require, Some(&own), host).unwrap());
    assert!(open(SslMode::VerifyCa, Some(&own), host).unwrap());
    for (mode, root) in [
        (SslMode::VerifyFull, Some(&own)),
        (SslMode::VerifyFull, Some(&other)),
        (SslMode::VerifyCa, Some(&other)),
        (SslMode::Require, Some(&other)),
        (SslMode::VerifyCa, Some(&empty)),
        (SslMode::VerifyFull, None),
    ] {
        let error = open(mode, root, host).unwrap_err();
        assert_eq!(
            (error.class(), error.kind()),
            (Class::Fatal, "tls"),
            "{mode:?} {root:?} {error}"
        );
    }
    assert!(!open(SslMode::VerifyFull, None, &cluster.socket()).unwrap());
}

#[test]
fn a_certificate_of_the_right_name_is_verified_in_full() {
    let (cluster, certificate) = tls_cluster(&["localhost", "127.0.0.1"]);
    let database = cluster.database();
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root.pem");
    std::fs::write(&root, certificate).unwrap();
    let mut db = plan_of(&database);
    db.ssl_mode = SslMode::VerifyFull;
    db.ssl_root_cert = Some(root);
    let found = store::check(&db, &customers());
    let tls = found.checks.iter().find(|c| c.name == "tls").unwrap();
    assert!(tls.ok && tls.detail.contains("name verified"), "{tls:?}");
    assert!(found.checks.iter().all(|c| c.ok), "{found:?}");
}

#[test]
fn a_server_without_tls_is_refused_unless_it_is_not_required() {
    let database = Database::new();
    let mut db = plan_of(&database);
    db.ssl_mode = SslMode::Require;
    let error = Connection::open(&db, LIMIT).unwrap_err();
    assert_eq!(
        (error.class(), error.kind()),
        (Class::Fatal, "tls"),
        "{error}"
    );
    db.ssl_mode = SslMode::Prefer;
    Connection::open(&db, LIMIT).unwrap();
}

#[test]
fn too_many_clients_is_transient() {
    let cluster = Cluster::new(&[("max_connections", "8")], &[]);
    let database = cluster.database();
    let mut held = Vec::new();
    let db = plan_of(&database);
    database.run("CREATE ROLE plain LOGIN PASSWORD 'pw'");
    let mut db = plan::Database {
        user: "plain".to_owned(),
        ..db
    };
    db.password = Secret::new("pw".to_owned());
    let error = loop {
        match Connection::open(&db, LIMIT) {
            Ok(conn) => held.push(conn),
            Err(error) => break error,
        }
        assert!(held.len() < 20);
    };
    assert_eq!(
        (error.class(), error.kind()),
        (Class::Transient, "too_many_connections"),
        "{error}"
    );
    held.pop();
    let started = Instant::now();
    while Connection::open(&db, LIMIT).is_err() {
        assert!(started.elapsed() < LIMIT);
    }
}
