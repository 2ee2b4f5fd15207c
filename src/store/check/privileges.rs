//! The privileges that a run needs, for `check-db`: which are missing, and the GRANT statements. Changes nothing.

use tokio_postgres::types::Type;

use super::super::answer::{text, value};
use super::super::batch::KEPT;
use super::super::connect::Connection;
use super::super::error::StoreError;
use super::super::finding::{StepResult, bad, well};
use super::super::{own_tables, quote, quote_table};
use crate::config::plan::{Database, Mapping};

const WHAT: &str = "reading privileges";

/// For each of some schemas: whether it exists, and which privileges are missing.
const SCHEMAS: &str = "
SELECT n.oid IS NOT NULL, coalesce(has_schema_privilege(n.oid, 'USAGE'), true),
       coalesce(has_schema_privilege(n.oid, 'CREATE'), has_database_privilege(current_database(), 'CREATE')),
       current_database()::text
FROM unnest($1::text[]) WITH ORDINALITY AS u(name, place) LEFT JOIN pg_namespace n ON n.nspname = u.name ORDER BY u.place";

/// For some tables, even without a privilege on the schema: whether they exist, and which privileges are missing.
const TABLES: &str = "
SELECT u.place, CASE WHEN c.oid IS NOT NULL THEN w.privilege END
FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS u(schema, name, privileges, place)
CROSS JOIN LATERAL unnest(string_to_array(u.privileges, ', ')) WITH ORDINALITY AS w(privilege, rank)
LEFT JOIN pg_namespace s ON s.nspname = u.schema
LEFT JOIN pg_class c ON c.relnamespace = s.oid AND c.relname = u.name AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
WHERE (c.oid IS NULL AND w.rank = 1) OR (c.oid IS NOT NULL AND NOT has_table_privilege(c.oid, w.privilege)
  AND NOT (u.place = 1 AND w.privilege IN ('SELECT', 'INSERT', 'UPDATE') AND NOT EXISTS (
    SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
      AND a.attname = ANY($4::text[]) AND NOT (a.attname = $5 AND w.privilege = 'UPDATE')
      AND NOT has_column_privilege(c.oid, a.attnum, w.privilege))))
ORDER BY u.place, w.rank";

/// The type is checked before the privileges, because indexes depend on a table as well but have no privileges.
const SEQUENCES: &str = "
SELECT format('%I.%I', n.nspname, s.relname) FROM pg_depend d
JOIN pg_class s ON s.oid = d.objid JOIN pg_namespace n ON n.oid = s.relnamespace
JOIN pg_class t ON t.oid = d.refobjid JOIN pg_namespace tn ON tn.oid = t.relnamespace
WHERE tn.nspname = $1 AND t.relname = $2 AND d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
  AND d.deptype = 'a' AND CASE s.relkind WHEN 'S' THEN NOT has_sequence_privilege(s.oid, 'USAGE') ELSE false END
ORDER BY 1";

/// A missing privilege, and the statement that grants it.
struct MissingPrivilege {
    what: String,
    grant: String,
}

/// The missing privileges, with all statements that grant them.
pub(super) fn missing(conn: &mut Connection, db: &Database, mapping: &Mapping) -> StepResult {
    let missing = look(conn, db, mapping)?;
    if missing.is_empty() {
        return well(format!("{} has all that are needed", db.user));
    }
    let (what, grants): (Vec<_>, Vec<_>) = missing
        .into_iter()
        .map(|missing| (missing.what, missing.grant))
        .unzip();
    bad(
        format!("{} lacks {}", db.user, what.join(", ")),
        grants.join("\n"),
    )
}

fn look(
    conn: &mut Connection,
    db: &Database,
    mapping: &Mapping,
) -> Result<Vec<MissingPrivilege>, StoreError> {
    let role = quote(&db.user);
    let mut tables = vec![(&db.schema, db.table.as_str(), "SELECT, INSERT, UPDATE")];
    for table in own_tables(db) {
        tables.push((&db.log_schema, table, "SELECT, INSERT, UPDATE, DELETE"));
    }
    let lacking = lacking(conn, mapping, &tables)?;
    let mut missing = schemas(conn, db, &role, |schema| {
        lacking
            .iter()
            .filter(|(_, privileges)| privileges.is_empty())
            .map(|(place, _)| tables[*place])
            .any(|(of, ..)| of == schema)
    })?;
    for (place, privileges) in lacking {
        let (schema, table, _) = tables[place];
        if privileges.is_empty() {
            // A missing table is reported by the step `tables`.
            continue;
        }
        let list = privileges.join(", ");
        let quoted = quote_table(schema, table);
        missing.push(MissingPrivilege {
            what: format!("{list} on {schema}.{table}"),
            grant: format!("GRANT {list} ON {quoted} TO {role};"),
        });
    }
    for row in &conn.query(
        WHAT,
        SEQUENCES,
        &[(&db.schema, Type::TEXT), (&db.table, Type::TEXT)],
    )? {
        let sequence = text(row, 0)?;
        missing.push(MissingPrivilege {
            what: format!("USAGE on sequence {sequence}"),
            grant: format!("GRANT USAGE ON SEQUENCE {sequence} TO {role};"),
        });
    }
    Ok(missing)
}

/// Missing privileges on the schemas. `lacks_a_table`: a table has to be created in this schema.
fn schemas(
    conn: &mut Connection,
    db: &Database,
    role: &str,
    lacks_a_table: impl Fn(&str) -> bool,
) -> Result<Vec<MissingPrivilege>, StoreError> {
    let mut names = vec![db.schema.as_str()];
    if db.log_schema != db.schema {
        names.push(&db.log_schema);
    }
    let rows = conn.query(WHAT, SCHEMAS, &[(&names, Type::TEXT_ARRAY)])?;
    let mut missing: Vec<MissingPrivilege> = Vec::new();
    for (row, schema) in rows.iter().zip(names) {
        let there: bool = value(row, 0, WHAT)?;
        let usable: bool = value(row, 1, WHAT)?;
        let creatable: bool = value(row, 2, WHAT)?;
        if !usable {
            missing.push(MissingPrivilege {
                what: format!("USAGE on schema {schema}"),
                grant: format!("GRANT USAGE ON SCHEMA {} TO {role};", quote(schema)),
            });
        }
        if creatable || !lacks_a_table(schema) {
            continue;
        }
        let (what, on) = if there {
            let what = format!("CREATE on schema {schema}, where a table is missing");
            (what, format!("SCHEMA {}", quote(schema)))
        } else {
            let database = text(row, 3)?;
            let what = format!("CREATE on database {database}, where schema {schema} is missing");
            (what, format!("DATABASE {}", quote(database)))
        };
        let grant = format!("GRANT CREATE ON {on} TO {role};");
        if missing.iter().all(|known| known.grant != grant) {
            missing.push(MissingPrivilege { what, grant });
        }
    }
    Ok(missing)
}

/// The tables that do not exist (with an empty list) or lack privileges, by their places in the list.
fn lacking<'a>(
    conn: &mut Connection,
    mapping: &Mapping,
    tables: &[(&String, &'a str, &'a str)],
) -> Result<Vec<(usize, Vec<String>)>, StoreError> {
    let schemas: Vec<&str> = tables.iter().map(|table| table.0.as_str()).collect();
    let names: Vec<&str> = tables.iter().map(|table| table.1).collect();
    let wanted: Vec<&str> = tables.iter().map(|table| table.2).collect();
    let columns: Vec<&str> = mapping
        .fields
        .iter()
        .filter_map(|field| field.column.as_deref())
        .chain(KEPT.map(|(name, _)| name))
        .chain(["sync_id", "updated_at"])
        .collect();
    let rows = conn.query(
        WHAT,
        TABLES,
        &[
            (&schemas, Type::TEXT_ARRAY),
            (&names, Type::TEXT_ARRAY),
            (&wanted, Type::TEXT_ARRAY),
            (&columns, Type::TEXT_ARRAY),
            (&mapping.key_column(), Type::TEXT),
        ],
    )?;
    let mut lacking: Vec<(usize, Vec<String>)> = Vec::new();
    for row in &rows {
        let place: i64 = value(row, 0, WHAT)?;
        let privilege: Option<String> = value(row, 1, WHAT)?;
        let place = usize::try_from(place - 1).unwrap_or_default();
        match lacking.last_mut() {
            Some((last, privileges)) if *last == place => privileges.extend(privilege),
            _ => lacking.push((place, privilege.into_iter().collect())),
        }
    }
    Ok(lacking)
}
