//! Open rejections, read back so that they can be decided again.

use tokio_postgres::types::Type;

use super::connect::Connection;
use super::encode::Micros;
use super::error::StoreError;
use super::log::target;
use super::quote_table;
use super::upsert::signed;
use crate::config::plan::Database;

/// A record that is kept out, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    pub key: String,
    /// The raw JSON text.
    pub payload: String,
    /// When its page was requested: PostgreSQL's clock, microseconds since 1970-01-01T00:00:00Z.
    pub last_seen: i64,
}

/// Up to `count` open rejections whose keys come after `after`, by key.
pub fn open(
    connection: &mut Connection,
    db: &Database,
    after: &str,
    count: u64,
) -> Result<Vec<Open>, StoreError> {
    const WHAT: &str = "reading the stored rejections";
    let sql = format!(
        "SELECT key, payload, last_seen FROM {} WHERE target = $1 AND resolved_at IS NULL AND key COLLATE \"C\" > $2 \
         ORDER BY key COLLATE \"C\" LIMIT $3",
        quote_table(&db.log_schema, "sync_rejections")
    );
    let unreadable = |error: tokio_postgres::Error| StoreError::from_driver(WHAT, &error);
    connection
        .query(
            WHAT,
            &sql,
            &[
                (&target(db), Type::TEXT),
                (&after, Type::TEXT),
                (&signed(count), Type::INT8),
            ],
        )?
        .iter()
        .map(|row| {
            Ok(Open {
                key: row.try_get(0).map_err(unreadable)?,
                payload: row.try_get(1).map_err(unreadable)?,
                last_seen: row.try_get::<_, Micros>(2).map_err(unreadable)?.0,
            })
        })
        .collect()
}
