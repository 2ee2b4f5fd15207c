//! `sync_state`: small values that outlive a run, above all the watermark. This file does not know what they mean.

use tokio_postgres::types::Type;
use uuid::Uuid;

use super::answer::value;
use super::connect::{Connection, Param};
use super::error::StoreError;
use super::log::target;
use super::quote_table;
use crate::config::plan::Database;

/// Reads a value, for example the watermark.
pub fn read(
    conn: &mut Connection,
    db: &Database,
    name: &str,
) -> Result<Option<String>, StoreError> {
    let [stored] = read_all(conn, db, [name])?;
    Ok(stored)
}

/// Reads several values in one round trip; none for a name under which nothing is stored.
pub fn read_all<const N: usize>(
    conn: &mut Connection,
    db: &Database,
    names: [&str; N],
) -> Result<[Option<String>; N], StoreError> {
    const WHAT: &str = "reading the stored state";
    let sql = format!(
        "SELECT name, value FROM {} WHERE target = $1 AND name = ANY($2)",
        quote_table(&db.log_schema, "sync_state")
    );
    let wanted = names.as_slice();
    let rows = conn.query(
        WHAT,
        &sql,
        &[(&target(db), Type::TEXT), (&wanted, Type::TEXT_ARRAY)],
    )?;
    let mut stored = [const { None }; N];
    for row in &rows {
        let name: &str = value(row, 0, WHAT)?;
        if let Some(place) = names.iter().position(|known| *known == name) {
            stored[place] = Some(value(row, 1, WHAT)?);
        }
    }
    Ok(stored)
}

/// Changes a value only if it still is what this run has read. Returns false if another run has changed it.
pub fn advance(
    conn: &mut Connection,
    db: &Database,
    name: &str,
    before: Option<&str>,
    after: &str,
    run_id: Uuid,
) -> Result<bool, StoreError> {
    let table = quote_table(&db.log_schema, "sync_state");
    let sql = match before {
        None => format!(
            "INSERT INTO {table} (target, name, value, run_id, updated_at) VALUES ($1, $2, $3, $4, clock_timestamp()) \
             ON CONFLICT (target, name) DO NOTHING"
        ),
        Some(_) => format!(
            "UPDATE {table} SET value = $3, run_id = $4, updated_at = clock_timestamp() \
             WHERE target = $1 AND name = $2 AND value = $5"
        ),
    };
    let target = target(db);
    let mut params: Vec<Param<'_>> = vec![
        (&target, Type::TEXT),
        (&name, Type::TEXT),
        (&after, Type::TEXT),
        (&run_id, Type::UUID),
    ];
    if before.is_some() {
        params.push((&before, Type::TEXT));
    }
    conn.execute("moving the stored state", &sql, &params)
        .map(|moved| moved == 1)
}

/// Sets a value unconditionally.
pub fn put(
    conn: &mut Connection,
    db: &Database,
    name: &str,
    value: &str,
    run_id: Uuid,
) -> Result<(), StoreError> {
    let sql = format!(
        "INSERT INTO {} (target, name, value, run_id, updated_at) VALUES ($1, $2, $3, $4, clock_timestamp()) \
         ON CONFLICT (target, name) DO UPDATE SET value = excluded.value, run_id = excluded.run_id, \
         updated_at = excluded.updated_at",
        quote_table(&db.log_schema, "sync_state")
    );
    let params: [Param<'_>; 4] = [
        (&target(db), Type::TEXT),
        (&name, Type::TEXT),
        (&value, Type::TEXT),
        (&run_id, Type::UUID),
    ];
    conn.execute("setting the stored state", &sql, &params)
        .map(|_set| ())
}
