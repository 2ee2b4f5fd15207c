//! The privileges of the program's own role and of a role that only reads, as statements. Changes nothing.

use tokio_postgres::types::Type;

use super::answer::text;
use super::connect::Connection;
use super::error::StoreError;
use super::{quote, quote_table};
use crate::config::plan::Database;

/// The statements for both roles.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Grants {
    /// For the role that runs datasync.
    pub program: Vec<String>,
    /// For a role that reads runs and cases. These tables hold no values.
    pub reader: Vec<String>,
    /// In addition, for a role that may also read records.
    pub reader_of_records: Vec<String>,
}

/// Tables of the program that it writes.
pub(super) const WRITTEN: [&str; 8] = [
    "sync_batches",
    "sync_rejections",
    "sync_rejections_seen",
    "sync_explanations",
    "sync_outbox",
    "sync_cases",
    "sync_state",
    "sync_lease",
];
/// The view of rejections, which combines both of their tables.
const VIEW: &str = "sync_rejections_now";
/// Tables without values that a reader may see, besides the log of runs.
const WITHOUT_VALUES: [&str; 4] = ["sync_batches", "sync_cases", "sync_state", "sync_lease"];
/// Tables with values, besides that of the records.
const WITH_VALUES: [&str; 5] = [
    "sync_rejections",
    "sync_rejections_seen",
    "sync_explanations",
    "sync_outbox",
    VIEW,
];

/// Sequences that an insert into the table uses. Those of identity columns need no privilege.
const SEQUENCES: &str = "
SELECT format('%I.%I', n.nspname, s.relname) FROM pg_depend d
JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S' JOIN pg_namespace n ON n.oid = s.relnamespace
JOIN pg_class t ON t.oid = d.refobjid JOIN pg_namespace tn ON tn.oid = t.relnamespace
WHERE tn.nspname = $1 AND t.relname = $2 AND d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
  AND d.deptype = 'a' ORDER BY 1";

/// The sequences of the table, as quoted names.
pub fn sequences(conn: &mut Connection, db: &Database) -> Result<Vec<String>, StoreError> {
    const WHAT: &str = "looking for the table's sequences";
    conn.query(
        WHAT,
        SEQUENCES,
        &[(&db.schema, Type::TEXT), (&db.table, Type::TEXT)],
    )?
    .iter()
    .map(|row| text(row, 0).map(str::to_owned))
    .collect()
}

/// The statements. `reader` is the name of the role that reads.
pub fn grants(db: &Database, sequences: &[String], reader: &str) -> Grants {
    let (program, reader) = (quote(&db.user), quote(reader));
    let own = |name: &str| quote_table(&db.log_schema, name);
    let (customers, log) = (quote_table(&db.schema, &db.table), own(&db.log_table));
    let usage = |role: &str| {
        let mut schemas = vec![db.schema.as_str()];
        if db.log_schema != db.schema {
            schemas.push(&db.log_schema);
        }
        let mut grants = vec![format!(
            "GRANT CONNECT ON DATABASE {} TO {role};",
            quote(&db.name)
        )];
        grants.extend(
            schemas
                .iter()
                .map(|schema| format!("GRANT USAGE ON SCHEMA {} TO {role};", quote(schema))),
        );
        grants
    };
    let mut to_program = usage(&program);
    to_program.push(format!(
        "GRANT SELECT, INSERT, UPDATE ON {customers} TO {program};"
    ));
    let written = WRITTEN.iter().map(|name| own(name));
    for table in std::iter::once(log.clone()).chain(written) {
        to_program.push(format!(
            "GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {program};"
        ));
    }
    to_program.push(format!("GRANT SELECT ON {} TO {program};", own(VIEW)));
    to_program.extend(
        sequences
            .iter()
            .map(|sequence| format!("GRANT USAGE ON SEQUENCE {sequence} TO {program};")),
    );
    let select = |table: &str| format!("GRANT SELECT ON {table} TO {reader};");
    let mut to_reader = usage(&reader);
    to_reader.push(select(&log));
    to_reader.extend(WITHOUT_VALUES.iter().map(|name| select(&own(name))));
    let mut of_records = vec![select(&customers)];
    of_records.extend(WITH_VALUES.iter().map(|name| select(&own(name))));
    Grants {
        program: to_program,
        reader: to_reader,
        reader_of_records: of_records,
    }
}
