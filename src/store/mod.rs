//! PostgreSQL: connections with deadlines, the schema, the write path, the audit log.
//!
//! This room owns every SQL statement of the program. It must not know where records come from (HTTP), how they became cells
//! (the mapping) or why they were accepted (DMN). It works behind pgbouncer in transaction mode: no prepared statement
//! outlives its round trip, every setting is `SET LOCAL`, and a session holds no state.

mod answer; // reads the fields of PostgreSQL's answers
pub mod batch; // rows and rejections that are written in one transaction
pub mod cases; // cases, one open row a cause
pub mod check; // what check-db reports
mod citus; // recognises Citus, and checks its tables
mod column; // a field's values as its column takes them
pub mod connect; // one connection, with a deadline for every call
pub mod customers; // reads stored records back
mod dial; // how PostgreSQL is reached: settings, TLS or plain text
mod encode; // cells → PostgreSQL's binary field format
pub mod error; // SQLSTATE → class: decides every retry
mod finding; // the result of one step of a check
pub mod grants; // the privileges of two roles, as statements
pub mod held; // finds and removes one record in the tables
pub mod history; // reads past runs back
mod jsonb; // JSON text as PostgreSQL prints it
pub mod lease; // one run at a time for one target
pub mod log; // sync_log, and the deletion of old rows
pub mod outbox; // messages that wait to be sent to the API
pub mod rejections; // reads open rejections back, to be decided again
pub mod schema; // schema.sql, and the comparison of the table with the mapping
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

/// An identifier in quotes, safe for SQL whatever it contains.
pub(crate) fn quote(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

/// Makes a statement that is a transaction of its own not wait for the disk. It is used where losing the change in a crash of
/// the server is harmless. It is an expression, because a statement before it would be another transaction.
pub(crate) const UNFLUSHED: &str = "set_config('synchronous_commit', 'off', true)";

/// For a batch the planner may read the whole table, or in a table that has grown since it was last analysed compare a copy
/// of it with each row. Lookups by the unique key are always the right plan, so the others are switched off.
const LOOKUPS_ONLY: &str = "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; \
     SET LOCAL enable_material = off; SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; \
     SET LOCAL jit = off;";

/// `"schema"."table"`.
pub(crate) fn quote_table(schema: &str, table: &str) -> String {
    format!("{}.{}", quote(schema), quote(table))
}

/// The program's own tables, all in the schema of the audit tables. That of write-back is only included where that is on.
fn own_tables(db: &Database) -> Vec<&str> {
    let mut names = vec![db.log_table.as_str()];
    names.extend(
        grants::WRITTEN
            .iter()
            .filter(|name| **name != "sync_outbox"),
    );
    if !db.write_back.is_empty() {
        names.push("sync_outbox");
    }
    names
}
