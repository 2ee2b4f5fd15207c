//! Stored records read back, as JSON text by internal field name, so that rules can be tried on what is there.

use tokio_postgres::types::Type;

use super::connect::Connection;
use super::error::StoreError;
use super::upsert::signed;
use super::{quote, quote_table};
use crate::config::plan::{Database, Mapping};

/// Up to `count` stored records whose keys come after `after`, by key: the key and the record as a JSON object whose
/// names are the internal ones. Fields without a column are absent.
pub fn stored(
    connection: &mut Connection,
    db: &Database,
    mapping: &Mapping,
    after: &str,
    count: u64,
) -> Result<Vec<(String, String)>, StoreError> {
    const WHAT: &str = "reading the stored records";
    let members: Vec<String> = mapping
        .fields
        .iter()
        .filter_map(|field| {
            let name = field.name.replace('\'', "''");
            Some(format!("'{name}', {}", quote(field.column.as_deref()?)))
        })
        .collect();
    let key = format!("{}::text COLLATE \"C\"", quote(mapping.key_column()));
    let sql = format!(
        "SELECT {key}, json_build_object({})::text FROM {} WHERE {key} > $1 ORDER BY {key} LIMIT $2",
        members.join(", "),
        quote_table(&db.schema, &db.table)
    );
    let unreadable = |error: tokio_postgres::Error| StoreError::from_driver(WHAT, &error);
    connection
        .query(
            WHAT,
            &sql,
            &[(&after, Type::TEXT), (&signed(count), Type::INT8)],
        )?
        .iter()
        .map(|row| {
            Ok((
                row.try_get(0).map_err(unreadable)?,
                row.try_get(1).map_err(unreadable)?,
            ))
        })
        .collect()
}
