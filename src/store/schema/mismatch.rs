//! Where the database does not fit the mapping: each mismatch with a remedy to type. [`super::inspect`] looks for them.

use tokio_postgres::types::Type;

use super::super::answer::{single, value};
use super::super::connect::Connection;
use super::super::encode::Wire;
use super::super::error::StoreError;
use super::super::quote;
use super::catalogue::{CatalogueColumn, Relation, RelationKind};
use super::names::LogColumns;
use super::{FILLED, LayoutColumn, Target, named};
use crate::config::plan::{Database, Field, Mapping};
use crate::model::record::Validation;

/// Casts that must be written out may lose information: an INSERT would refuse the value.
const CAST_SQL: &str = "
SELECT EXISTS (SELECT 1 FROM pg_cast WHERE castsource = to_regtype($1) AND casttarget = to_regtype($2)
AND castcontext <> 'e')";

/// Why a table cannot take the mapped records.
#[derive(Debug)]
pub enum SchemaError {
    /// The database could not be asked.
    Store(StoreError),
    /// The tables do not fit. Holds everything that was found.
    Mismatch(Vec<SchemaMismatch>),
}

/// One way in which the database does not fit the mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaMismatch {
    pub part: Part,
    /// What is wrong, in one sentence.
    pub problem: String,
    pub remedy: String,
}

/// The part of the database that a mismatch is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The target is missing or is not a table that can be written, so nothing else can be checked.
    Target,
    /// One of the program's own tables is missing, or the database's encoding does not suit.
    Tables,
    /// A column is missing, has an unsuitable type, or must not be left empty.
    Columns,
    /// The conflict key.
    Key,
}

impl SchemaMismatch {
    /// A mismatch: what it is about, what is wrong, and what to do.
    pub(super) fn new(part: Part, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            part,
            problem: problem.into(),
            remedy: remedy.into(),
        }
    }
}

impl std::fmt::Display for SchemaMismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}; {}", self.problem, self.remedy)
    }
}

impl std::fmt::Display for SchemaError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Mismatch(problems) => {
                f.write_str("the database does not fit the mapping:")?;
                problems
                    .iter()
                    .try_for_each(|problem| write!(f, "\n  {problem}"))
            }
        }
    }
}

impl std::error::Error for SchemaError {}

impl From<StoreError> for SchemaError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// An encoding that cannot represent every text.
pub(super) fn encoding(encoding: &str) -> Option<SchemaMismatch> {
    (encoding != "UTF8").then(|| {
        SchemaMismatch::new(
            Part::Tables,
            format!("the database's encoding is {encoding}, which cannot hold every text"),
            "create it anew: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0",
        )
    })
}

/// The target table does not exist.
pub(super) fn missing_target(target: &Target<'_>) -> SchemaMismatch {
    let db = target.db;
    let is_usual = (db.schema.as_str(), db.table.as_str()) == ("public", "customers");
    SchemaMismatch::new(
        Part::Target,
        format!(
            "table {} does not exist, or {} may not see it",
            target.shown, db.user
        ),
        if is_usual {
            "type: datasync check-db --apply-schema"
        } else {
            "correct database.tables.customers in mappings.yaml, or create it with: datasync check-db --apply-schema"
        },
    )
}

/// `kind` has no unique key by which PostgreSQL could update it.
pub(super) fn not_a_table(target: &Target<'_>, kind: &str) -> SchemaMismatch {
    SchemaMismatch::new(
        Part::Target,
        format!("{} is a {kind}, which takes no upsert", target.shown),
        "name a table of this database in database.tables.customers of mappings.yaml",
    )
}

/// The key of the mapping has no column.
pub(super) fn key_without_a_column(mapping: &Mapping) -> SchemaMismatch {
    let key = mapping
        .fields
        .get(mapping.key)
        .map_or("", |field| &field.name);
    SchemaMismatch::new(
        Part::Key,
        format!("field {key} feeds the conflict key but has no column"),
        "give the field its column in mappings.yaml: it is mapped with `column: false`",
    )
}

/// Rules on INSERT or UPDATE. PostgreSQL refuses an upsert on a table that has one.
pub(super) fn rules(target: &Target<'_>, relation: &Relation) -> Option<SchemaMismatch> {
    if relation.rules.is_empty() {
        return None;
    }
    let drops: Vec<String> = relation
        .rules
        .iter()
        .map(|rule| format!("DROP RULE {} ON {};", quote(rule), target.table))
        .collect();
    let instead = if relation.kind == RelationKind::View {
        "name the table behind it in database.tables.customers of mappings.yaml, or type: "
    } else {
        "a trigger can do the same; to drop the rules type: "
    };
    Some(SchemaMismatch::new(
        Part::Target,
        format!(
            "{} has a rule on INSERT or UPDATE ({}), and PostgreSQL refuses an upsert there",
            target.shown,
            relation.rules.join(", ")
        ),
        format!("{instead}{}", drops.join(" ")),
    ))
}

/// A field is mapped to a column that the program fills itself.
pub(super) fn own_column(target: &Target<'_>, field: &str, column: &str) -> SchemaMismatch {
    SchemaMismatch::new(
        Part::Columns,
        format!(
            "field {field}: column {column} of {} is filled by datasync itself",
            target.shown
        ),
        "give the field another column, or `column: false`",
    )
}

/// Columns that every statement fills, but that are missing or have another type.
pub(super) fn filled_columns(
    target: &Target<'_>,
    found: &[CatalogueColumn],
) -> Vec<SchemaMismatch> {
    FILLED
        .into_iter()
        .filter_map(|(name, ty)| match named(found, name) {
            None => Some(missing_own_column(target, name, ty)),
            // Both are sent in the same form, and the session is in UTC.
            Some(column) if column.ty.name == "timestamp" && ty == "timestamptz" => None,
            Some(column) if column.ty.name != ty => Some(SchemaMismatch::new(
                Part::Columns,
                format!(
                    "column {name} of {} is {}; expected {ty}",
                    target.shown, column.ty.shown
                ),
                format!(
                    "type: ALTER TABLE {} ALTER COLUMN {name} TYPE {ty} USING {name}::text::{ty}",
                    target.table
                ),
            )),
            Some(_) => None,
        })
        .collect()
}

/// Columns that must not be null but get no value.
pub(super) fn columns_left_empty(
    target: &Target<'_>,
    found: &[CatalogueColumn],
    written: &[LayoutColumn],
) -> Vec<SchemaMismatch> {
    let is_written = |name: &str| {
        written.iter().any(|column| column.name == name)
            || FILLED.iter().any(|(filled, _)| *filled == name)
    };
    found
        .iter()
        .filter(|column| column.not_null && !column.filled && !is_written(&column.name))
        .map(|column| {
            SchemaMismatch::new(
                Part::Columns,
                format!(
                    "column {} of {} must have a value (NOT NULL) but no field feeds it and it has no default",
                    column.name, target.shown
                ),
                format!(
                    "map a field to it, or type: ALTER TABLE {} ALTER COLUMN {} DROP NOT NULL (or SET DEFAULT …)",
                    target.table,
                    quote(&column.name)
                ),
            )
        })
        .collect()
}

/// Missing tables. `names` are without their schema.
pub(super) fn missing_tables<'n>(
    db: &'n Database,
    names: &'n [&str],
) -> impl Iterator<Item = SchemaMismatch> + 'n {
    names.iter().map(|name| {
        SchemaMismatch::new(
            Part::Tables,
            format!("table {}.{name} does not exist", db.log_schema),
            "type: datasync check-db --apply-schema",
        )
    })
}

/// Columns that the log of runs lacks: either a later version of schema.sql has added them, or it is another table.
pub(super) fn missing_log_columns(db: &Database, missing: &[&str]) -> Option<SchemaMismatch> {
    let first = LogColumns::of_schema().first;
    let foreign = missing.iter().any(|column| first.contains(column));
    (!missing.is_empty()).then(|| {
        SchemaMismatch::new(
            Part::Tables,
            format!(
                "table {}.{} lacks {}",
                db.log_schema,
                db.log_table,
                missing.join(", ")
            ),
            if foreign {
                "it is no log of runs: name another in database.tables.sync_log of mappings.yaml, or rename this one"
            } else {
                "type: datasync check-db --apply-schema"
            },
        )
    })
}

/// A field is mapped to a column that does not exist.
pub(super) fn missing_column(
    target: &Target<'_>,
    field: &str,
    column: &str,
    found: &[CatalogueColumn],
) -> SchemaMismatch {
    let nearest = found
        .iter()
        .map(|known| (strsim::levenshtein(column, &known.name), &known.name))
        .min()
        .filter(|(distance, _)| *distance <= column.chars().count().max(3) / 2)
        .map_or_else(String::new, |(_, name)| {
            format!("the nearest is {name} (`column: {name}`); ")
        });
    SchemaMismatch::new(
        Part::Columns,
        format!(
            "field {field}: table {} has no column {column}",
            target.shown
        ),
        format!(
            "{nearest}add the column, or keep the field for decisions only with `column: false`"
        ),
    )
}

/// A column that the program fills itself does not exist.
pub(super) fn missing_own_column(target: &Target<'_>, name: &str, ty: &str) -> SchemaMismatch {
    SchemaMismatch::new(
        Part::Columns,
        format!(
            "table {} has no column {name}, which datasync fills",
            target.shown
        ),
        format!("type: ALTER TABLE {} ADD COLUMN {name} {ty}", target.table),
    )
}

/// Why a column cannot hold what the program itself writes into it.
pub(super) fn narrow_column(
    target: &Target<'_>,
    name: &str,
    column: &LayoutColumn,
) -> Option<SchemaMismatch> {
    let statuses = [Validation::Valid, Validation::Warning].map(Validation::as_str);
    let holds = |texts: &[&str]| texts.iter().all(|text| column.encoder.holds(text));
    let (holds, needed, ty, using) = match name {
        "validation_status" => (
            holds(&statuses),
            "VALID and WARNING",
            "varchar(20)",
            "left(validation_status::text, 20)",
        ),
        "needs_review" => (
            column.wire() != Wire::Text || holds(&["true", "false"]),
            "true and false",
            "boolean",
            "false",
        ),
        _ => (
            matches!(column.wire(), Wire::Timestamp | Wire::Timestamptz),
            "times",
            "timestamptz",
            "NULL",
        ),
    };
    (!(holds && column.takes_wire)).then(|| {
        SchemaMismatch::new(
            Part::Columns,
            format!(
                "column {name} of {} is {}, which cannot hold {needed}; datasync fills it",
                target.shown, column.type_name
            ),
            format!(
                "type: ALTER TABLE {} ALTER COLUMN {name} DROP DEFAULT, ALTER COLUMN {name} TYPE {ty} USING {using}",
                target.table
            ),
        )
    })
}

/// Why a field's values cannot be converted for the column.
pub(super) fn unfit_type(
    conn: &mut Connection,
    field: &Field,
    layout: &LayoutColumn,
    column: &CatalogueColumn,
) -> Result<Option<SchemaMismatch>, StoreError> {
    const WHAT: &str = "looking for a cast";
    let name = &field.name;
    if column.generated {
        return Ok(Some(SchemaMismatch::new(
            Part::Columns,
            format!(
                "field {name}: column {} is always generated by the database and cannot be written",
                column.name
            ),
            "give the field another column, or `column: false`",
        )));
    }
    // Text is converted by the type's input function, which exists for every type.
    if layout.takes_wire || layout.wire() == Wire::Text {
        return Ok(None);
    }
    let row = single(conn.query(
        WHAT,
        CAST_SQL,
        &[
            (&layout.wire().typname(), Type::TEXT),
            (&column.base, Type::TEXT),
        ],
    )?)?;
    let is_castable: bool = value(&row, 0, WHAT)?;
    Ok((!is_castable).then(|| {
        SchemaMismatch::new(
            Part::Columns,
            format!(
                "field {name} is of type {}, but column {} is {}: PostgreSQL cannot make one of the other",
                format!("{:?}", field.kind).to_lowercase(),
                column.name,
                column.ty.shown
            ),
            "change the field's type in mappings.yaml, or the column's with ALTER TABLE",
        )
    }))
}
