//! The tables: `schema.sql`, and the comparison of the target table with the mapping.
//!
//! [`inspect`] finds every mismatch before anything is fetched. Its layout is all that the write path knows of the table.

mod apply;
mod catalogue;
mod key;
mod layout;
mod locks;
mod mismatch;
mod names;
mod survey;
mod trial;

use super::answer::{single, value};
use super::batch::{Columns, KEPT};
use super::citus;
use super::connect::Connection;
use super::encode::Wire;
use super::error::StoreError;
use super::quote_table;
use crate::config::plan::{Database, Mapping};

use catalogue::{CatalogueColumn, RelationKind};
use key::key_problem;
use survey::Survey;

pub use apply::apply_schema;
pub use key::settled;
pub use layout::{Layout, LayoutColumn};
pub use mismatch::{Part, SchemaError, SchemaMismatch};
pub use names::SCHEMA_SQL;

/// Columns that every statement fills that writes a row.
const FILLED: [(&str, &str); 2] = [("sync_id", "uuid"), ("updated_at", "timestamptz")];

/// The names of the target.
struct Target<'a> {
    db: &'a Database,
    /// `schema.table`, for messages.
    shown: String,
    /// The quoted name, for statements.
    table: String,
}

impl<'a> Target<'a> {
    fn new(db: &'a Database) -> Self {
        Self {
            db,
            shown: format!("{}.{}", db.schema, db.table),
            table: quote_table(&db.schema, &db.table),
        }
    }
}

/// Compares the table with a mapping that [`settled`] has returned. Returns the layout, or everything that does not fit.
pub fn inspect(
    conn: &mut Connection,
    db: &Database,
    mapping: &Mapping,
) -> Result<Layout, SchemaError> {
    let target = Target::new(db);
    let mut problems = Vec::new();
    let survey = Survey::take(conn, &target)?;
    problems.extend(mismatch::encoding(&survey.encoding));
    problems.extend(mismatch::missing_tables(db, &survey.missing_tables));
    problems.extend(mismatch::missing_log_columns(
        db,
        &survey.missing_log_columns,
    ));
    let Some(relation) = survey.relation else {
        return mismatched(problems, mismatch::missing_target(&target));
    };
    if let RelationKind::Other(kind) = relation.kind {
        return mismatched(problems, mismatch::not_a_table(&target, kind));
    }
    let Some(wanted) = Columns::new(mapping) else {
        return mismatched(problems, mismatch::key_without_a_column(mapping));
    };
    let found = survey.columns;
    let mut columns = mapped_columns(conn, &target, mapping, &wanted, &found, &mut problems)?;
    columns.extend(kept_columns(&target, &found, &mut problems));
    problems.extend(mismatch::filled_columns(&target, &found));
    problems.extend(mismatch::columns_left_empty(&target, &found, &columns));
    let unique = survey.unique;
    problems.extend(key_problem(conn, &target, mapping, relation.kind, unique)?);
    problems.extend(mismatch::rules(&target, &relation));
    if problems.is_empty() && relation.kind == RelationKind::View {
        problems.extend(trial::problem(
            conn,
            &target,
            &columns,
            mapping.key_column(),
        )?);
    }
    if !problems.is_empty() {
        return Err(SchemaError::Mismatch(problems));
    }
    let stored = if relation.has_heirs {
        format!("ONLY {}", target.table)
    } else {
        target.table.clone()
    };
    Ok(Layout {
        columns,
        key: wanted.key,
        version_is_content: mapping.version.is_some(),
        versions_since: None,
        empty: relation.is_readable && relation.takes_no_space
            || relation.kind != RelationKind::Table && is_empty(conn, &stored)?,
        distributed: survey.has_citus && citus::manages(conn, &target.table)?,
        has_system_columns: relation.kind == RelationKind::Table && relation.is_readable,
        target: target.shown,
        stored,
        interceptors: relation.interceptors,
        functions: relation.functions,
    })
}

/// A problem after which nothing else can be checked.
fn mismatched(
    mut problems: Vec<SchemaMismatch>,
    last: SchemaMismatch,
) -> Result<Layout, SchemaError> {
    problems.push(last);
    Err(SchemaError::Mismatch(problems))
}

/// The columns that fields are stored in, as far as they exist.
fn mapped_columns(
    conn: &mut Connection,
    target: &Target<'_>,
    mapping: &Mapping,
    wanted: &Columns,
    found: &[CatalogueColumn],
    problems: &mut Vec<SchemaMismatch>,
) -> Result<Vec<LayoutColumn>, StoreError> {
    let mut columns = Vec::new();
    for stored in &wanted.mapped {
        let field = &mapping.fields[stored.field];
        let is_own = KEPT.map(|(name, _)| name).contains(&&*stored.column)
            || FILLED.map(|(name, _)| name).contains(&&*stored.column);
        if is_own {
            problems.push(mismatch::own_column(target, &stored.name, &stored.column));
        }
        let Some(column) = named(found, &stored.column) else {
            problems.push(mismatch::missing_column(
                target,
                &stored.name,
                &stored.column,
                found,
            ));
            continue;
        };
        let layout =
            LayoutColumn::new(column, field.kind, field.timezone.as_deref(), &target.table);
        problems.extend(mismatch::unfit_type(conn, field, &layout, column)?);
        columns.push(layout);
    }
    Ok(columns)
}

/// The columns that the program fills itself, as far as they exist.
fn kept_columns(
    target: &Target<'_>,
    found: &[CatalogueColumn],
    problems: &mut Vec<SchemaMismatch>,
) -> Vec<LayoutColumn> {
    let mut columns = Vec::new();
    for (name, kind) in KEPT {
        let Some(column) = named(found, name) else {
            let ty = Wire::of(kind).typname();
            problems.push(mismatch::missing_own_column(target, name, ty));
            continue;
        };
        let layout = LayoutColumn::new(column, kind, None, &target.table);
        problems.extend(mismatch::narrow_column(target, name, &layout));
        columns.push(layout);
    }
    columns
}

fn named<'a>(found: &'a [CatalogueColumn], name: &str) -> Option<&'a CatalogueColumn> {
    found.iter().find(|column| column.name == name)
}

/// True if the table has no row. A table that may not be read counts as filled: `check-db` prints the missing GRANT.
fn is_empty(conn: &mut Connection, stored: &str) -> Result<bool, StoreError> {
    const WHAT: &str = "looking into the table";
    let sql = format!("SELECT NOT EXISTS (SELECT 1 FROM {stored})");
    match conn.query(WHAT, &sql, &[]) {
        Ok(rows) => value(&single(rows)?, 0, WHAT),
        Err(error) if error.kind() == "privilege" => Ok(false),
        Err(error) => Err(error),
    }
}
