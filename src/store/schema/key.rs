//! Finds the conflict key if mappings.yaml names none: the only mapped unique column besides the primary key.

use std::borrow::Cow;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::super::answer::{text, value};
use super::super::connect::Connection;
use super::super::error::StoreError;
use super::super::{quote, quote_table};
use super::catalogue::RelationKind;
use super::mismatch::{Part, SchemaMismatch};
use super::{Target, trial};
use crate::config::plan::{Database, KeyChoice, Mapping};

/// Unique indexes on exactly one column that ON CONFLICT can use, and whether it is the primary key's.
pub(super) const UNIQUE_SQL: &str = "
SELECT a.attname::text, bool_and(i.indisprimary) FROM pg_index i
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
WHERE i.indrelid = to_regclass($1) AND i.indisunique AND i.indisvalid AND i.indimmediate
  AND i.indnkeyatts = 1 AND i.indpred IS NULL AND i.indexprs IS NULL GROUP BY 1 ORDER BY 1";

const WHAT: &str = "reading the table's unique keys";

/// A column that is unique by itself.
pub(super) struct Unique {
    name: String,
    primary: bool,
}

fn unique_columns(conn: &mut Connection, table: &str) -> Result<Vec<Unique>, StoreError> {
    unique(&conn.query(WHAT, UNIQUE_SQL, &[(&table, Type::TEXT)])?)
}

/// The answer to [`UNIQUE_SQL`].
pub(super) fn unique(rows: &[Row]) -> Result<Vec<Unique>, StoreError> {
    rows.iter()
        .map(|row| {
            Ok(Unique {
                name: value(row, 0, WHAT)?,
                primary: value(row, 1, WHAT)?,
            })
        })
        .collect()
}

/// The unique columns of a view, which has no index of its own: those of the candidates by which PostgreSQL would upsert.
fn unique_through_view(
    conn: &mut Connection,
    table: &str,
    mapping: &Mapping,
) -> Result<Vec<Unique>, StoreError> {
    let mut columns: Vec<&str> = if mapping.key_choice == KeyChoice::Settled {
        vec![mapping.key_column()]
    } else {
        let fields = 0..mapping.fields.len();
        fields.filter_map(|field| mapping.column(field)).collect()
    };
    columns.sort_unstable();
    let mut unique = Vec::new();
    for column in columns {
        if trial::is_unique(conn, table, column)? {
            unique.push(Unique {
                name: column.to_owned(),
                primary: false,
            });
        }
    }
    Ok(unique)
}

/// The fields that are mapped to one of these columns and could be the key.
fn fed(mapping: &Mapping, unique: &[Unique], primary: bool) -> Vec<usize> {
    let is_unique = |column: &str| {
        unique
            .iter()
            .any(|unique| unique.name == column && unique.primary == primary)
    };
    (0..mapping.fields.len())
        .filter(|index| mapping.fields[*index].can_be_key())
        .filter(|index| mapping.column(*index).is_some_and(is_unique))
        .collect()
}

/// The mapping with the key that the table determines, if the file names none and there is one candidate. Else unchanged.
pub fn settled<'a>(
    conn: &mut Connection,
    db: &Database,
    mapping: &'a Mapping,
) -> Result<Cow<'a, Mapping>, StoreError> {
    if mapping.key_choice == KeyChoice::Settled {
        return Ok(Cow::Borrowed(mapping));
    }
    let table = quote_table(&db.schema, &db.table);
    let mut unique = unique_columns(conn, &table)?;
    if unique.is_empty() && RelationKind::read(conn, &table)? == Some(RelationKind::View) {
        unique = unique_through_view(conn, &table, mapping)?;
    }
    let [key] = fed(mapping, &unique, false)[..] else {
        return Ok(Cow::Borrowed(mapping));
    };
    let mut mapping = mapping.clone();
    mapping.key = key;
    mapping.fields[key].required = true;
    mapping.key_choice = KeyChoice::Settled;
    Ok(Cow::Owned(mapping))
}

/// What is wrong with the key of a mapping that [`settled`] has returned.
pub(super) fn key_problem(
    conn: &mut Connection,
    target: &Target<'_>,
    mapping: &Mapping,
    kind: RelationKind,
    unique: Vec<Unique>,
) -> Result<Option<SchemaMismatch>, StoreError> {
    let unique = if kind == RelationKind::View {
        unique_through_view(conn, &target.table, mapping)?
    } else {
        unique
    };
    let (db, shown) = (target.db, &target.shown);
    if mapping.key_choice != KeyChoice::Settled {
        return undecided(conn, db, mapping, &unique, shown).map(Some);
    }
    let key = mapping.key_column();
    let is_unique = unique.iter().any(|unique| unique.name == key);
    if is_unique {
        return Ok(None);
    }
    Ok(Some(SchemaMismatch::new(
        Part::Key,
        format!("column {key} of {shown} is the conflict key but not unique by itself"),
        make_unique(conn, db, key)?,
    )))
}

/// What prevents a column from being made unique. It is only asked for a column that is not unique.
const OBSTACLES_SQL: &str = "
SELECT c.relkind::text, EXISTS (SELECT FROM pg_opclass o JOIN pg_am m ON m.oid = o.opcmethod AND m.amname = 'btree'
    WHERE o.opcdefault AND (o.opcintype = b.oid OR b.typtype = 'e' OR b.typcategory = 'A'
      OR (b.typname = 'varchar' AND o.opcintype = 'text'::regtype))),
  coalesce((SELECT string_agg(i.indexrelid::regclass::text, ', ') FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique
    AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum), '')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
JOIN pg_type t ON t.oid = a.atttypid JOIN pg_type b ON b.oid = CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.oid END
WHERE n.nspname = $1 AND c.relname = $2 AND a.attname = $3";

/// The statement that makes a column unique, or why PostgreSQL would refuse it.
fn make_unique(conn: &mut Connection, db: &Database, column: &str) -> Result<String, StoreError> {
    const WHAT: &str = "looking for what keeps a column from being unique";
    let table = quote_table(&db.schema, &db.table);
    let quoted = quote(column);
    let usual = format!("type: ALTER TABLE {table} ADD UNIQUE ({quoted})");
    let rows = conn.query(
        WHAT,
        OBSTACLES_SQL,
        &[
            (&db.schema, Type::TEXT),
            (&db.table, Type::TEXT),
            (&column, Type::TEXT),
        ],
    )?;
    let Some(row) = rows.first() else {
        return Ok(usual);
    };
    let sortable: bool = value(row, 1, WHAT)?;
    let unusable = text(row, 2)?;
    Ok(match text(row, 0)? {
        "p" => format!(
            "a partitioned table is unique by {column} alone only where it is partitioned by {column} alone: then {usual}; else sync into a table that is not partitioned"
        ),
        "v" => "no unique key of a table behind this view decides: name the table behind it in database.tables.customers of mappings.yaml".to_owned(),
        _ if !sortable => format!(
            "a column of this type cannot be unique: type: ALTER TABLE {table} ALTER COLUMN {quoted} TYPE text USING {quoted}::text, ADD UNIQUE ({quoted})"
        ),
        _ if !unusable.is_empty() => format!(
            "{unusable} is unique but partial, deferrable or invalid, which decides no insert; {usual}"
        ),
        _ => {
            let twice = conn.query(
                WHAT,
                &format!(
                    "SELECT FROM {table} WHERE {quoted} IS NOT NULL GROUP BY {quoted} HAVING count(*) > 1 LIMIT 1"
                ),
                &[],
            );
            // If the table may not be read, this cannot be known before the statement is typed.
            if twice.is_ok_and(|rows| !rows.is_empty()) {
                format!(
                    "some rows have the same {column}: remove all but one of each (SELECT {quoted}, count(*) FROM {table} GROUP BY 1 HAVING count(*) > 1 lists them), then {usual}"
                )
            } else {
                usual
            }
        }
    })
}

/// There are several candidates for the key, or none.
fn undecided(
    conn: &mut Connection,
    db: &Database,
    mapping: &Mapping,
    unique: &[Unique],
    shown: &str,
) -> Result<SchemaMismatch, StoreError> {
    let names = |fields: &[usize]| -> Vec<String> {
        let columns = fields.iter().filter_map(|index| mapping.column(*index));
        columns.map(str::to_owned).collect()
    };
    let say = |columns: &[String]| {
        format!(
            "write `conflict_key: {}` in database.tables.customers of mappings.yaml",
            columns.join("` or `conflict_key: ")
        )
    };
    let several = names(&fed(mapping, unique, false));
    if !several.is_empty() {
        return Ok(SchemaMismatch::new(
            Part::Key,
            format!(
                "{} of {shown} are unique and fed by fields, and `conflict_key` does not say which of them decides insert or update",
                several.join(" and ")
            ),
            say(&several),
        ));
    }
    let none =
        format!("no column of {shown} is unique and fed by a field, apart from the primary key");
    let primary = names(&fed(mapping, unique, true));
    let remedy = if !primary.is_empty() {
        say(&primary)
    } else if mapping.key_choice == KeyChoice::Assumed {
        make_unique(conn, db, mapping.key_column())?
    } else {
        let table = quote_table(&db.schema, &db.table);
        format!("type: ALTER TABLE {table} ADD UNIQUE (…) with the column that identifies a record")
    };
    Ok(SchemaMismatch::new(Part::Key, none, remedy))
}
