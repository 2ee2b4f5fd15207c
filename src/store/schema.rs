//! The tables: `schema.sql`, and what the target table looks like next to the mapping.
//!
//! [`inspect`] finds every disagreement before anything is fetched; what it returns is all the write path knows of the
//! table. Nothing here writes a row.

mod apply;
mod key;
mod misfit;

use tokio_postgres::types::Type;

use super::batch::{Columns, KEPT};
use super::citus;
use super::connect::Connection;
use super::encode::Wire;
use super::error::StoreError;
use super::upsert::{single, text};
use super::{quote, quote_table};
use crate::config::plan::{Database, Mapping};

use key::key_problem;
use misfit::{misfit, missing_column, missing_kept, missing_log_columns, missing_tables};

pub use apply::{SCHEMA_SQL, apply_schema};
pub use key::settled;
pub use misfit::{Misfit, Part, SchemaError};

/// What the write path needs to know of the table.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The mapped columns in the mapping's order, then those the program keeps.
    pub(crate) columns: Vec<LayoutColumn>,
    /// Position of the conflict key in `columns`.
    pub(crate) key: usize,
    /// The version is mapped from the source, hence part of a row's content.
    pub(crate) version_is_content: bool,
    /// `schema.table`, as rejections and the log name it.
    pub(crate) target: String,
    /// No row yet.
    pub(crate) empty: bool,
    /// Citus keeps the table on other servers.
    pub(crate) distributed: bool,
}

/// One column of the table that is written.
#[derive(Clone, Debug)]
pub struct LayoutColumn {
    pub name: String,
    /// The column's type as PostgreSQL prints it.
    pub type_name: String,
    /// Longest text in characters, where the type bounds it.
    pub max_characters: Option<usize>,
    /// What values are cast to before they are compared and stored.
    pub(crate) cast: String,
    /// The type has no equality, or one that is coarser than that of its text.
    pub(crate) compare_as_text: bool,
    pub(crate) wire: Wire,
    /// The column reads values as they travel: no cast is needed, COPY will do.
    pub(crate) takes_wire: bool,
}

impl Layout {
    /// Longest text of a column in characters, where its type bounds it.
    pub fn max_characters(&self, column: &str) -> Option<usize> {
        self.columns
            .iter()
            .find(|known| known.name == column)
            .and_then(|known| known.max_characters)
    }

    /// `schema.table`: names the target in every table of the program.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The written columns.
    pub fn columns(&self) -> &[LayoutColumn] {
        &self.columns
    }
}

/// A column as the catalogue describes it.
#[allow(clippy::struct_excessive_bools)] // independent facts, each a column of the query
struct Found {
    name: String,
    type_name: String,
    /// The type under any domain, with its modifier, without a length for text.
    cast: String,
    typname: String,
    is_text: bool,
    max_characters: Option<usize>,
    not_null: bool,
    filled: bool,
    generated: bool,
    compare_as_text: bool,
}

const COLUMNS_SQL: &str = "
WITH RECURSIVE base(attnum, typid, typmod) AS (
    SELECT attnum, atttypid, atttypmod FROM pg_attribute
    WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped
  UNION ALL
    SELECT b.attnum, t.typbasetype, CASE WHEN t.typtypmod >= 0 THEN t.typtypmod ELSE b.typmod END
    FROM base b JOIN pg_type t ON t.oid = b.typid WHERE t.typtype = 'd'
)
SELECT a.attname::text, format_type(a.atttypid, a.atttypmod),
       CASE WHEN t.typcategory = 'S' THEN format_type(b.typid, -1) ELSE format_type(b.typid, b.typmod) END,
       t.typname::text, t.typcategory = 'S',
       CASE WHEN t.typname IN ('varchar', 'bpchar') AND b.typmod > 4 THEN (b.typmod - 4)::bigint END,
       a.attnotnull, a.atthasdef OR a.attidentity <> '', a.attgenerated <> '' OR a.attidentity = 'a',
       (t.typcategory = 'S' AND t.typnamespace <> 'pg_catalog'::regnamespace)
         OR NOT coalesce((SELECT c.collisdeterministic FROM pg_collation c WHERE c.oid = a.attcollation), true)
         OR (t.typtype NOT IN ('e', 'r', 'm') AND t.typcategory <> 'A' AND NOT EXISTS (
               SELECT 1 FROM pg_opclass o JOIN pg_am m ON m.oid = o.opcmethod
               WHERE m.amname = 'btree' AND o.opcdefault AND (o.opcintype = t.oid
                 OR (t.typname = 'varchar' AND o.opcintype = 'text'::regtype))))
FROM base b JOIN pg_type t ON t.oid = b.typid AND t.typtype <> 'd'
JOIN pg_attribute a ON a.attrelid = to_regclass($1) AND a.attnum = b.attnum
ORDER BY a.attnum";

fn columns_of(conn: &mut Connection, table: &str) -> Result<Vec<Found>, StoreError> {
    const WHAT: &str = "reading the table's columns";
    let rows = conn.query(WHAT, COLUMNS_SQL, &[(&table, Type::TEXT)])?;
    rows.iter()
        .map(|row| {
            Ok(Found {
                name: row.try_get(0)?,
                type_name: row.try_get(1)?,
                cast: row.try_get(2)?,
                typname: row.try_get(3)?,
                is_text: row.try_get(4)?,
                max_characters: row
                    .try_get::<_, Option<i64>>(5)?
                    .and_then(|length| usize::try_from(length).ok()),
                not_null: row.try_get(6)?,
                filled: row.try_get(7)?,
                generated: row.try_get(8)?,
                compare_as_text: row.try_get(9)?,
            })
        })
        .collect::<Result<Vec<_>, tokio_postgres::Error>>()
        .map_err(|error| StoreError::from_driver(WHAT, &error))
}

/// Looks at the table through the mapping, which [`settled`] has seen: its layout, or everything that does not fit.
pub fn inspect(
    conn: &mut Connection,
    db: &Database,
    mapping: &Mapping,
) -> Result<Layout, SchemaError> {
    let shown = format!("{}.{}", db.schema, db.table);
    let table = quote_table(&db.schema, &db.table);
    let mut problems = Vec::new();
    let encoding = single(conn.query(
        "reading the encoding",
        "SELECT current_setting('server_encoding')",
        &[],
    )?)?;
    let encoding = text(&encoding, 0)?;
    if encoding != "UTF8" {
        problems.push(Misfit::new(
            Part::Tables,
            format!("the database's encoding is {encoding}, which cannot hold every text"),
            "create it anew: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0",
        ));
    }
    problems.extend(missing_tables(conn, db)?);
    problems.extend(missing_log_columns(conn, db)?);
    let found = columns_of(conn, &table)?;
    if found.is_empty() {
        problems.push(Misfit::new(
            Part::Tables,
            format!(
                "table {shown} does not exist, or {} may not see it",
                db.user
            ),
            if (db.schema.as_str(), db.table.as_str()) == ("public", "customers") {
                "type: datasync check-db --apply-schema"
            } else {
                "correct database.tables.customers in mappings.yaml, or create it with: datasync check-db --apply-schema"
            },
        ));
        return Err(SchemaError::Mismatch(problems));
    }
    let Some(wanted) = Columns::new(mapping) else {
        let key = mapping.fields.get(mapping.key).map_or("", |f| &f.name);
        problems.push(Misfit::new(
            Part::Key,
            format!("field {key} feeds the conflict key but has no column"),
            "give the field its column in mappings.yaml: it is mapped with `column: false`",
        ));
        return Err(SchemaError::Mismatch(problems));
    };
    let mut columns = Vec::new();
    for stored in &wanted.mapped {
        let kind = mapping.fields[stored.field].kind;
        let own = KEPT
            .iter()
            .map(|(name, _)| *name)
            .chain(["sync_id", "updated_at"])
            .any(|name| name == stored.column);
        if own {
            problems.push(Misfit::new(
                Part::Columns,
                format!(
                    "field {}: column {} of {shown} is filled by datasync itself",
                    stored.name, stored.column
                ),
                "give the field another column, or `column: false`",
            ));
        }
        match found.iter().find(|column| column.name == stored.column) {
            None => problems.push(missing_column(&stored.name, &stored.column, &shown, &found)),
            Some(column) => {
                if let Some(problem) = misfit(conn, &stored.name, kind, stored.wire, column)? {
                    problems.push(problem);
                }
                columns.push(layout_column(column, stored.wire));
            }
        }
    }
    for (name, wire) in KEPT {
        match found.iter().find(|column| column.name == name) {
            None => problems.push(missing_kept(name, wire.sql(), &table, &shown)),
            Some(column) => columns.push(layout_column(column, wire)),
        }
    }
    for (name, ty) in [("sync_id", "uuid"), ("updated_at", "timestamptz")] {
        match found.iter().find(|column| column.name == name) {
            None => problems.push(missing_kept(name, ty, &table, &shown)),
            Some(column) if column.typname != ty => problems.push(Misfit::new(
                Part::Columns,
                format!(
                    "column {name} of {shown} is {}; expected {ty}",
                    column.type_name
                ),
                format!(
                    "type: ALTER TABLE {table} ALTER COLUMN {name} TYPE {ty} USING {name}::{ty}"
                ),
            )),
            Some(_) => {}
        }
    }
    for column in &found {
        let written = columns.iter().any(|known| known.name == column.name)
            || ["sync_id", "updated_at"].contains(&column.name.as_str());
        if !written && column.not_null && !column.filled {
            problems.push(Misfit::new(
                Part::Columns,
                format!(
                    "column {} of {shown} must have a value (NOT NULL) but no field feeds it and it has no default",
                    column.name
                ),
                format!(
                    "map a field to it, or type: ALTER TABLE {table} ALTER COLUMN {0} DROP NOT NULL (or SET DEFAULT …)",
                    quote(&column.name)
                ),
            ));
        }
    }
    problems.extend(key_problem(conn, db, mapping, &shown)?);
    if !problems.is_empty() {
        return Err(SchemaError::Mismatch(problems));
    }
    // Whether it may be read at all is for check-db to say, with the GRANT to type.
    let empty = match conn.query(
        "looking into the table",
        &format!("SELECT NOT EXISTS (SELECT 1 FROM {table})"),
        &[],
    ) {
        Ok(rows) => single(rows)?.try_get(0).unwrap_or(false),
        Err(error) if error.kind() == "privilege" => false,
        Err(error) => return Err(error.into()),
    };
    Ok(Layout {
        columns,
        key: wanted.key,
        version_is_content: mapping.version.is_some(),
        target: shown,
        empty,
        distributed: citus::manages(conn, &table)?,
    })
}

fn layout_column(found: &Found, wire: Wire) -> LayoutColumn {
    LayoutColumn {
        name: found.name.clone(),
        type_name: found.type_name.clone(),
        max_characters: found.max_characters,
        cast: found.cast.clone(),
        compare_as_text: found.compare_as_text,
        wire,
        takes_wire: found.typname == wire.typname()
            || (wire == Wire::Text && found.typname == "varchar"),
    }
}
