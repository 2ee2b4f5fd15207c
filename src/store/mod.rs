//! PostgreSQL: connections with deadlines, the schema, the write path, the audit log.
//!
//! Owns every SQL statement of the program. Must not know where records come from (HTTP), how they became cells (the
//! mapping's rules) or why they were accepted (DMN). Works behind pgbouncer in transaction mode: no prepared statement
//! outlives its round trip, every setting is `SET LOCAL`, nothing is kept in a session.

mod answer; // fields of what PostgreSQL answered
pub mod batch; // rows on their way to one transaction
pub mod cases; // incidents, one open row a cause
pub mod check; // what check-db reports
mod citus; // Citus, recognised
mod column; // one field's values as its column takes them
pub mod connect; // one connection, one deadline
pub mod customers; // stored records, read back
mod dial; // how PostgreSQL is reached: settings, TLS or plain text
mod encode; // cells → PostgreSQL's binary field format
pub mod error; // SQLSTATE → class: decides every retry
mod finding; // what one step of a check found
pub mod grants; // the privileges of two roles, as statements
pub mod held; // what the tables hold of one record
pub mod history; // past runs, read back
mod jsonb; // JSON text as PostgreSQL prints it
pub mod lease; // one run at a time for one target
pub mod log; // sync_log, retention
pub mod outbox; // what the API has still to be told
pub mod rejections; // open rejections, to be decided again
pub mod schema; // schema.sql, and the table against the mapping
pub mod state; // sync_state: the watermark
mod tls; // sslmode with libpq's meaning
pub mod upsert; // all SQL of the write path

use crate::config::plan::Database;

pub use batch::{Batch, Columns, Keys, NewRow};
pub use cases::CaseRow;
pub use check::{Findings, check};
pub use connect::{Connection, Opening};
pub use error::{Class, StoreError};
pub use history::PastRun;
pub use log::{RunEnd, RunHeader};
pub use outbox::MessageBuilder;
pub use schema::{Layout, SchemaError, apply_schema, inspect, settled};
pub use upsert::{BatchOutcome, Difference, Refused, Texts, Writer, committed};

/// An identifier, quoted for SQL whatever it contains.
pub(crate) fn quote(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

/// Ends a statement that is a transaction of its own without waiting for the disk: for what a crash of the server may undo
/// without harm. As an expression, since a statement before it would be another transaction.
pub(crate) const UNFLUSHED: &str = "set_config('synchronous_commit', 'off', true)";

/// The planner takes a batch for reason enough to read the whole table, or, of a table that has grown since it was last
/// analysed, to go through a copy of it for each row; lookups by the unique key are always right.
const LOOKUPS_ONLY: &str = "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; \
     SET LOCAL enable_material = off; SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; \
     SET LOCAL jit = off;";

/// `"schema"."table"`.
pub(crate) fn quote_table(schema: &str, table: &str) -> String {
    format!("{}.{}", quote(schema), quote(table))
}

/// The tables of the program itself, all in the schema of the audit tables; that of write-back only where it is on.
fn own_tables(db: &Database) -> Vec<&str> {
    let mut names = vec![
        db.log_table.as_str(),
        "sync_batches",
        "sync_rejections",
        "sync_rejections_seen",
        "sync_explanations",
        "sync_cases",
        "sync_state",
        "sync_lease",
    ];
    if !db.write_back.is_empty() {
        names.push("sync_outbox");
    }
    names
}
