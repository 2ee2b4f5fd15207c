//! The write path against a real PostgreSQL: what its tests have in common.
#![allow(clippy::unwrap_used)]

mod client_certificates;
mod column_types;
mod connections;
mod copied_rejections;
mod counts;
mod explanations;
mod forms;
mod log;
mod plans;
mod pooler;
mod rejections;
mod schema;
mod seen_again;
mod tls;
mod transactions;
mod values;

use std::sync::Arc;
use std::time::Duration;

use datasync::config::plan::{self, Field, KeyChoice, Kind, Mapping, QualityScore, SslMode};
use datasync::config::secret::Secret;
use datasync::model::clock::{DatabaseClock, Micros};
use datasync::model::record::{Cell, FieldError, Rejection, Validation};
use datasync::store::{self, Batch, BatchOutcome, Columns, Connection, NewRow, StoreError, Writer};
use rust_decimal::Decimal;
use uuid::Uuid;

use crate::support::postgres::Database;

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
        client_certificate: None,
        min_connections: 2,
        max_connections: 10,
        connection_timeout: LIMIT,
        statement_timeout: Duration::from_secs(20),
        lock_timeout: Duration::from_secs(10),
        batch_size: 1000,
        schema: "public".to_owned(),
        table: "customers".to_owned(),
        log_schema: "public".to_owned(),
        log_table: "sync_log".to_owned(),
        write_back: Vec::new(),
        keep_payload: datasync::config::plan::KeepPayload::Full,
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
        blank_is_null: false,
        origin: datasync::config::plan::Origin::Path,
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
        key_choice: KeyChoice::Settled,
        version,
        version_max_ahead: Duration::from_hours(24),
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
        let writer = Writer::new(&db, &layout, run, DatabaseClock::local());
        Self {
            db,
            conn,
            columns: Arc::new(Columns::new(mapping).unwrap().fitted(&layout)),
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
        .push_row(&NewRow {
            page: &page,
            raw: 0..length,
            key,
            cells,
            validation: Validation::Valid,
            flagged: false,
            version: Some(Micros(at)),
            requested_at: Micros(at),
            sequence,
        })
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
        has_id: true,
        payload: format!(
            "{{\"customerId\": {}, \"x\":\"\\u0000\"}}",
            serde_json::json!(key)
        )
        .into(),
        reason: "field_error",
        message: "qualityScore is no number".to_owned(),
        loggable: true,
        errors: vec![FieldError {
            field: "quality_score".into(),
            expected: "decimal".into(),
            problem: "text".into(),
        }],
        rules: vec!["Rule_1".to_owned()],
        decided_on: Some([7; 16]),
        requested_at: at,
        sequence,
    }
}

fn figures(outcome: &BatchOutcome) -> [u64; 6] {
    let o = &outcome.ledger;
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
