//! The privileges a run needs, for `check-db`: which are missing, and the GRANT to type. Changes nothing.

use tokio_postgres::types::Type;

use super::check::{Found, bad, failed, well};
use super::connect::Connection;
use super::error::StoreError;
use super::upsert::{single, text};
use super::{log, own_tables, quote, quote_table};
use crate::config::plan::Database;

const MISSING_PRIVILEGES: &str = "
SELECT t.name, t.privilege FROM unnest($1::text[], $2::text[]) AS t(name, privilege)
WHERE to_regclass(t.name) IS NOT NULL AND NOT has_table_privilege(to_regclass(t.name), t.privilege)";

const MISSING_SEQUENCES: &str = "
SELECT format('%I.%I', n.nspname, s.relname) FROM pg_depend d
JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S' JOIN pg_namespace n ON n.oid = s.relnamespace
WHERE d.refobjid = to_regclass($1) AND d.deptype = 'a' AND NOT has_sequence_privilege(s.oid, 'USAGE')";

/// One privilege that is missing, and the statement that gives it.
struct Missing {
    what: String,
    grant: String,
}

/// What the role may not do, with the statements that let it.
pub(super) fn missing(conn: &mut Connection, db: &Database) -> Found {
    let mut missing: Vec<Missing> = Vec::new();
    let role = quote(&db.user);
    for schema in [&db.schema, &db.log_schema] {
        let allowed = conn
            .query(
                "reading privileges",
                "SELECT coalesce((SELECT has_schema_privilege(oid, 'USAGE') FROM pg_namespace WHERE nspname = $1), true)",
                &[(schema, Type::TEXT)],
            )
            .and_then(single)
            .map_err(|error| failed(&error))?;
        if !allowed.try_get::<_, bool>(0).unwrap_or(false) {
            let grant = format!("GRANT USAGE ON SCHEMA {} TO {role};", quote(schema));
            if !missing.iter().any(|known| known.grant == grant) {
                let what = format!("USAGE on schema {schema}");
                missing.push(Missing { what, grant });
            }
        }
    }
    if missing.is_empty() {
        missing = table_privileges(conn, db, &role).map_err(|error| failed(&error))?;
    }
    if missing.is_empty() {
        return well(format!("{} has all that are needed", db.user));
    }
    let (what, grants): (Vec<_>, Vec<_>) = missing
        .into_iter()
        .map(|missing| (missing.what, missing.grant))
        .unzip();
    bad(
        format!("{} lacks {}", db.user, what.join(", ")),
        grants.join(
            "
",
        ),
    )
}

fn table_privileges(
    conn: &mut Connection,
    db: &Database,
    role: &str,
) -> Result<Vec<Missing>, StoreError> {
    let target = quote_table(&db.schema, &db.table);
    let mut tables = vec![(target.clone(), log::target(db), "SELECT, INSERT, UPDATE")];
    for table in own_tables(db) {
        tables.push((
            quote_table(&db.log_schema, table),
            format!("{}.{table}", db.log_schema),
            "SELECT, INSERT, UPDATE, DELETE",
        ));
    }
    let (mut names, mut wanted) = (Vec::new(), Vec::new());
    for (quoted, _, privileges) in &tables {
        for privilege in privileges.split(", ") {
            names.push(quoted.clone());
            wanted.push(privilege);
        }
    }
    let rows = conn.query(
        "reading privileges",
        MISSING_PRIVILEGES,
        &[(&names, Type::TEXT_ARRAY), (&wanted, Type::TEXT_ARRAY)],
    )?;
    let mut lacking: Vec<(&str, &str)> = Vec::new();
    for row in &rows {
        lacking.push((text(row, 0)?, text(row, 1)?));
    }
    let mut missing = Vec::new();
    for (quoted, shown, _) in &tables {
        let privileges: Vec<&str> = lacking
            .iter()
            .filter(|(table, _)| table == quoted)
            .map(|(_, privilege)| *privilege)
            .collect();
        if !privileges.is_empty() {
            let list = privileges.join(", ");
            missing.push(Missing {
                what: format!("{list} on {shown}"),
                grant: format!("GRANT {list} ON {quoted} TO {role};"),
            });
        }
    }
    for row in &conn.query(
        "reading privileges",
        MISSING_SEQUENCES,
        &[(&target, Type::TEXT)],
    )? {
        let sequence = text(row, 0)?;
        missing.push(Missing {
            what: format!("USAGE on sequence {sequence}"),
            grant: format!("GRANT USAGE ON SEQUENCE {sequence} TO {role};"),
        });
    }
    Ok(missing)
}
