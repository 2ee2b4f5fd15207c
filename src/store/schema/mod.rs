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
use super::column::{ColumnType, Encoder};
use super::connect::Connection;
use super::encode::Wire;
use super::error::StoreError;
use super::upsert::{single, text};
use super::{quote, quote_table};
use crate::config::plan::{Database, Kind, Mapping};
use crate::model::clock::Micros;

use key::key_problem;
use misfit::{misfit, missing_column, missing_kept, missing_log_columns, missing_tables, narrow};

pub use apply::{SCHEMA_SQL, apply_schema};
pub use key::settled;
pub use misfit::{Misfit, Part, SchemaError};

/// What the write path needs to know of the table.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools)] // independent facts of the table
pub struct Layout {
    /// The mapped columns in the mapping's order, then those the program keeps.
    pub(crate) columns: Vec<LayoutColumn>,
    /// Position of the conflict key in `columns`.
    pub(crate) key: usize,
    /// The version is mapped from the source, hence part of a row's content.
    pub(crate) version_is_content: bool,
    /// Rows that were written before this moment hold the time of a request instead of a version.
    pub(crate) versions_since: Option<Micros>,
    /// `schema.table`, as rejections and the log name it.
    pub(crate) target: String,
    /// No row yet.
    pub(crate) empty: bool,
    /// Citus keeps the table on other servers.
    pub(crate) distributed: bool,
    /// An INSERT can return `xmax`: neither a partitioned table nor a view can.
    pub(crate) has_system_columns: bool,
    /// Names of triggers that may change or skip a row before it is stored, and of rules.
    pub(crate) interceptors: Vec<String>,
}

/// One column of the table that is written.
#[derive(Clone, Debug)]
pub struct LayoutColumn {
    pub name: String,
    /// The column's type as PostgreSQL prints it.
    pub type_name: String,
    /// Longest text in characters, where the type bounds it.
    pub max_characters: Option<usize>,
    pub(crate) ty: ColumnType,
    /// The type below any domain, without length or precision, as SQL.
    pub(crate) cast: String,
    /// The type has no equality, or one that is coarser than that of its text.
    pub(crate) compare_as_text: bool,
    pub(crate) encoder: Encoder,
    /// The column reads values as they travel: no cast is needed, COPY will do.
    pub(crate) takes_wire: bool,
    /// How a value that has travelled becomes one of the column.
    conversion: Conversion,
    /// The domain, where the column's type is one.
    domain: Option<String>,
    operators: Option<String>,
}

/// How a value becomes one of its column, as an INSERT of that very value would have it: what an INSERT refuses is refused,
/// and nothing is cut.
#[derive(Clone, Debug)]
enum Conversion {
    /// It travels as what the column is.
    None,
    /// By a cast to this type.
    Cast(String),
    /// By the type's own reading of text, which knows the column's length: a cast would cut what is too long. The row type
    /// of the table, and the name of the column as a text.
    Read(String, String),
}

impl LayoutColumn {
    pub(crate) const fn wire(&self) -> Wire {
        self.encoder.wire
    }

    /// An operator of the column's type, found whatever the session's `search_path` is.
    pub(crate) fn operator(&self, name: &str) -> String {
        match &self.operators {
            Some(beginning) => format!("{beginning}{name})"),
            None => name.to_owned(),
        }
    }

    /// The expression that makes a value of the column of one that has travelled.
    pub(crate) fn stored(&self, value: &str) -> String {
        let converted = match &self.conversion {
            Conversion::None => value.to_owned(),
            Conversion::Cast(ty) => format!("{value}::{ty}"),
            Conversion::Read(table, name) => {
                return format!(
                    "(pg_catalog.json_populate_record(NULL::{table}, pg_catalog.json_build_object({name}, {value}))).{}",
                    quote(&self.name)
                );
            }
        };
        match &self.domain {
            Some(domain) => format!("{converted}::{domain}"),
            None => converted,
        }
    }
}

impl Layout {
    /// The version has been mapped since then.
    pub const fn set_versions_since(&mut self, moment: Option<Micros>) {
        self.versions_since = moment;
    }

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

    /// Triggers and rules that may change or skip a row before it is stored: what a dry run cannot foresee.
    pub fn interceptors(&self) -> &[String] {
        &self.interceptors
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
    ty: ColumnType,
    /// The type under any domain, quoted and with its schema.
    base: String,
    /// The same with its length or precision.
    precise: String,
    /// A length of text or bits, which a cast cuts to.
    cut_by_casts: bool,
    domain: Option<String>,
    /// The beginning of its operators where they are not PostgreSQL's own: `OPERATOR(public.`.
    operators: Option<String>,
    not_null: bool,
    filled: bool,
    generated: bool,
    compare_as_text: bool,
}

/// Names of types are qualified here: what `format_type` leaves out depends on the session's `search_path`.
const COLUMNS_SQL: &str = "
WITH RECURSIVE base(attnum, typid, typmod) AS (
    SELECT attnum, atttypid, atttypmod FROM pg_attribute
    WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped
  UNION ALL
    SELECT b.attnum, t.typbasetype, CASE WHEN t.typtypmod >= 0 THEN t.typtypmod ELSE b.typmod END
    FROM base b JOIN pg_type t ON t.oid = b.typid WHERE t.typtype = 'd'
)
SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), t.typname::text,
       t.typnamespace = 'pg_catalog'::regnamespace, t.typcategory = 'S', b.typmod,
       ARRAY(SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder),
       format('%I.%I', n.nspname, t.typname),
       CASE WHEN t.typnamespace = 'pg_catalog'::regnamespace THEN format_type(b.typid, b.typmod)
            ELSE format('%I.%I', n.nspname, t.typname) || substring(format_type(b.typid, b.typmod) FROM '[(][^()]*[)]$') END,
       b.typmod >= 0 AND coalesce(element.typcategory, t.typcategory) IN ('S', 'V'),
       CASE WHEN a.atttypid <> b.typid THEN (SELECT format('%I.%I', dn.nspname, d.typname) FROM pg_type d
         JOIN pg_namespace dn ON dn.oid = d.typnamespace WHERE d.oid = a.atttypid) END,
       (SELECT format('OPERATOR(%I.', on_.nspname) FROM pg_operator o JOIN pg_namespace on_ ON on_.oid = o.oprnamespace
         WHERE o.oprname = '=' AND o.oprleft = t.oid AND o.oprright = t.oid AND o.oprnamespace <> 'pg_catalog'::regnamespace
         ORDER BY o.oid LIMIT 1),
       a.attnotnull, a.atthasdef OR a.attidentity <> '', a.attgenerated <> '' OR a.attidentity = 'a',
       (t.typnamespace <> 'pg_catalog'::regnamespace AND t.typtype NOT IN ('e', 'r', 'm', 'c'))
         OR (a.atttypid <> b.typid AND t.typtype IN ('e', 'r', 'm'))
         OR NOT coalesce((SELECT c.collisdeterministic FROM pg_collation c WHERE c.oid = a.attcollation), true)
         OR (t.typtype NOT IN ('e', 'r', 'm') AND t.typcategory <> 'A' AND NOT EXISTS (
               SELECT 1 FROM pg_opclass o JOIN pg_am m ON m.oid = o.opcmethod
               WHERE m.amname = 'btree' AND o.opcdefault AND (o.opcintype = t.oid
                 OR (t.typname = 'varchar' AND o.opcintype = 'text'::regtype))))
FROM base b JOIN pg_type t ON t.oid = b.typid AND t.typtype <> 'd' JOIN pg_namespace n ON n.oid = t.typnamespace
LEFT JOIN pg_type element ON element.oid = t.typelem AND t.typcategory = 'A'
JOIN pg_attribute a ON a.attrelid = to_regclass($1) AND a.attnum = b.attnum
ORDER BY a.attnum";

const KIND: &str = "reading the kind of the table";
/// A trigger's type has bits: 2 for BEFORE, 64 for INSTEAD OF, 4 for INSERT and 16 for UPDATE.
const KIND_SQL: &str = "
SELECT c.relkind IN ('r', 'f'), ARRAY(
    SELECT format('trigger %s', tgname) FROM pg_trigger WHERE NOT tgisinternal AND tgenabled IN ('O', 'A')
      AND tgtype & 66 <> 0 AND tgtype & 20 <> 0
      AND (tgrelid = c.oid OR tgrelid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = c.oid))
  UNION
    SELECT format('rule %s', rulename) FROM pg_rewrite
    WHERE ev_class = c.oid AND rulename <> '_RETURN' AND ev_type IN ('2', '3')
  ORDER BY 1)
FROM pg_class c WHERE c.oid = to_regclass($1)";

fn columns_of(conn: &mut Connection, table: &str) -> Result<Vec<Found>, StoreError> {
    const WHAT: &str = "reading the table's columns";
    let rows = conn.query(WHAT, COLUMNS_SQL, &[(&table, Type::TEXT)])?;
    rows.iter()
        .map(|row| {
            let base: String = row.try_get(7)?;
            Ok(Found {
                name: row.try_get(0)?,
                ty: ColumnType {
                    shown: row.try_get(1)?,
                    name: row.try_get(2)?,
                    native: row.try_get(3)?,
                    is_text: row.try_get(4)?,
                    modifier: row.try_get(5)?,
                    labels: row.try_get::<_, Vec<String>>(6)?.into(),
                },
                precise: row
                    .try_get::<_, Option<_>>(8)?
                    .unwrap_or_else(|| base.clone()),
                base,
                cut_by_casts: row.try_get(9)?,
                domain: row.try_get(10)?,
                operators: row.try_get(11)?,
                not_null: row.try_get(12)?,
                filled: row.try_get(13)?,
                generated: row.try_get(14)?,
                compare_as_text: row.try_get(15)?,
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
        let field = &mapping.fields[stored.field];
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
                let fitting = layout_column(column, field.kind, field.timezone.as_deref(), &table);
                problems.extend(misfit(conn, field, &fitting, column)?);
                columns.push(fitting);
            }
        }
    }
    for (name, kind) in KEPT {
        let ty = Wire::of(kind).typname();
        match found.iter().find(|column| column.name == name) {
            None => problems.push(missing_kept(name, ty, &table, &shown)),
            Some(column) => {
                let fitting = layout_column(column, kind, None, &table);
                problems.extend(narrow(name, &fitting, &table, &shown));
                columns.push(fitting);
            }
        }
    }
    for (name, ty) in [("sync_id", "uuid"), ("updated_at", "timestamptz")] {
        match found.iter().find(|column| column.name == name) {
            None => problems.push(missing_kept(name, ty, &table, &shown)),
            // Both are the same on the wire, and the session is in UTC.
            Some(column) if column.ty.name == "timestamp" && ty == "timestamptz" => {}
            Some(column) if column.ty.name != ty => problems.push(Misfit::new(
                Part::Columns,
                format!(
                    "column {name} of {shown} is {}; expected {ty}",
                    column.ty.shown
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
    let kind = single(conn.query(KIND, KIND_SQL, &[(&table, Type::TEXT)])?)?;
    let unreadable = |error: tokio_postgres::Error| StoreError::from_driver(KIND, &error);
    Ok(Layout {
        columns,
        key: wanted.key,
        version_is_content: mapping.version.is_some(),
        versions_since: None,
        target: shown,
        empty,
        distributed: citus::manages(conn, &table)?,
        has_system_columns: kind.try_get(0).map_err(unreadable)?,
        interceptors: kind.try_get(1).map_err(unreadable)?,
    })
}

fn layout_column(found: &Found, kind: Kind, timezone: Option<&str>, table: &str) -> LayoutColumn {
    let (encoder, takes_wire) = Encoder::fitting(kind, timezone, &found.name, &found.ty);
    let same = found.ty.native && found.ty.name == encoder.wire.typname();
    let conversion = if same && (encoder.wire != Wire::Numeric || found.ty.modifier < 0) {
        Conversion::None
    } else if takes_wire && !same {
        // No length: what is too long is for the column to refuse.
        Conversion::Cast(found.base.clone())
    } else if found.cut_by_casts && encoder.wire == Wire::Text {
        let name = found.name.replace('\'', "''");
        Conversion::Read(table.to_owned(), format!("'{name}'"))
    } else {
        // Times and numbers are rounded as they are when they are stored.
        Conversion::Cast(found.precise.clone())
    };
    LayoutColumn {
        name: found.name.clone(),
        type_name: found.ty.shown.clone(),
        max_characters: found.ty.max_characters(),
        ty: found.ty.clone(),
        cast: found.base.clone(),
        compare_as_text: found.compare_as_text,
        encoder,
        takes_wire,
        conversion,
        domain: found.domain.clone(),
        operators: found.operators.clone(),
    }
}
