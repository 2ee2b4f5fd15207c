//! Where the database does not fit the mapping, and what to do about it: every disagreement with its remedy to type.
//! Which of them are looked for, and when, is [`super::inspect`]'s business.

use tokio_postgres::types::Type;

use super::super::connect::Connection;
use super::super::encode::Wire;
use super::super::error::StoreError;
use super::super::upsert::single;
use super::super::{own_tables, quote_table};
use super::{Found, LayoutColumn, SCHEMA_SQL};
use crate::config::plan::{Database, Field};
use crate::model::record::Validation;

/// Casts that only work where they are written out may lose something: an INSERT would refuse the value.
const CAST_SQL: &str = "
SELECT EXISTS (SELECT 1 FROM pg_cast WHERE castsource = to_regtype($1) AND casttarget = to_regtype($2)
AND castcontext <> 'e')";

/// Why a table cannot take the mapped records.
#[derive(Debug)]
pub enum SchemaError {
    /// The database could not be asked.
    Store(StoreError),
    /// The tables do not fit: everything that was found.
    Mismatch(Vec<Misfit>),
}

/// One way in which the database does not fit the mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    pub part: Part,
    /// What is wrong, in one sentence.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

/// What a misfit is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A table is missing, or the database cannot hold the text at all.
    Tables,
    /// A column is missing, of a type that does not fit, or left empty against its will.
    Columns,
    /// The conflict key.
    Key,
}

impl Misfit {
    pub(super) fn new(part: Part, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            part,
            problem: problem.into(),
            remedy: remedy.into(),
        }
    }
}

impl std::fmt::Display for Misfit {
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

pub(super) fn missing_tables(
    conn: &mut Connection,
    db: &Database,
) -> Result<Vec<Misfit>, StoreError> {
    let names = own_tables(db);
    let quoted: Vec<String> = names
        .iter()
        .map(|name| quote_table(&db.log_schema, name))
        .collect();
    let rows = conn.query(
        "looking for the sync tables",
        "SELECT u.n FROM unnest($1::text[]) WITH ORDINALITY AS u(name, n) WHERE to_regclass(u.name) IS NULL ORDER BY 1",
        &[(&quoted, Type::TEXT_ARRAY)],
    )?;
    Ok(rows
        .iter()
        .filter_map(|row| row.try_get::<_, i64>(0).ok())
        .filter_map(|n| names.get(usize::try_from(n - 1).ok()?))
        .map(|name| {
            Misfit::new(
                Part::Tables,
                format!("table {}.{name} does not exist", db.log_schema),
                "type: datasync check-db --apply-schema",
            )
        })
        .collect())
}

/// Columns the log of runs lacks: a later version of schema.sql has given it some, or it is another table altogether.
pub(super) fn missing_log_columns(
    conn: &mut Connection,
    db: &Database,
) -> Result<Option<Misfit>, StoreError> {
    let first_word = |line: &'static str| line.split_whitespace().next();
    let own: Vec<&str> = SCHEMA_SQL
        .lines()
        .skip_while(|line| *line != "CREATE TABLE IF NOT EXISTS sync_log (")
        .skip(1)
        .take_while(|line| *line != ");")
        .filter_map(first_word)
        .collect();
    let later = SCHEMA_SQL
        .lines()
        .filter_map(|line| line.strip_prefix("ALTER TABLE sync_log ADD COLUMN IF NOT EXISTS "))
        .filter_map(first_word);
    let columns: Vec<&str> = own.iter().copied().chain(later).collect();
    let table = quote_table(&db.log_schema, &db.log_table);
    let rows = conn.query(
        "looking at the log of runs",
        "SELECT u.n FROM unnest($1::text[]) WITH ORDINALITY AS u(name, n) WHERE to_regclass($2) IS NOT NULL \
         AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = to_regclass($2) AND a.attname = u.name) ORDER BY 1",
        &[(&columns, Type::TEXT_ARRAY), (&table, Type::TEXT)],
    )?;
    let missing: Vec<&str> = rows
        .iter()
        .filter_map(|row| row.try_get::<_, i64>(0).ok())
        .filter_map(|n| columns.get(usize::try_from(n - 1).ok()?).copied())
        .collect();
    let foreign = missing.iter().any(|column| own.contains(column));
    Ok((!missing.is_empty()).then(|| {
        Misfit::new(
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
    }))
}

pub(super) fn missing_column(field: &str, column: &str, table: &str, found: &[Found]) -> Misfit {
    let nearest = found
        .iter()
        .map(|known| (distance(column, &known.name), &known.name))
        .min()
        .filter(|(distance, _)| *distance <= column.chars().count().max(3) / 2)
        .map_or_else(String::new, |(_, name)| {
            format!("the nearest is {name} (`column: {name}`); ")
        });
    Misfit::new(
        Part::Columns,
        format!("field {field}: table {table} has no column {column}"),
        format!(
            "{nearest}add the column, or keep the field for decisions only with `column: false`"
        ),
    )
}

pub(super) fn missing_kept(name: &str, ty: &str, table: &str, shown: &str) -> Misfit {
    Misfit::new(
        Part::Columns,
        format!("table {shown} has no column {name}, which datasync fills"),
        format!("type: ALTER TABLE {table} ADD COLUMN {name} {ty}"),
    )
}

/// Why a column cannot hold what the program itself writes into it.
pub(super) fn narrow(
    name: &str,
    column: &LayoutColumn,
    table: &str,
    shown: &str,
) -> Option<Misfit> {
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
        Misfit::new(
            Part::Columns,
            format!(
                "column {name} of {shown} is {}, which cannot hold {needed}; datasync fills it",
                column.type_name
            ),
            format!(
                "type: ALTER TABLE {table} ALTER COLUMN {name} DROP DEFAULT, ALTER COLUMN {name} TYPE {ty} USING {using}"
            ),
        )
    })
}

/// Why a field's values cannot become the column's.
pub(super) fn misfit(
    conn: &mut Connection,
    field: &Field,
    fitting: &LayoutColumn,
    column: &Found,
) -> Result<Option<Misfit>, StoreError> {
    let name = &field.name;
    if column.generated {
        return Ok(Some(Misfit::new(
            Part::Columns,
            format!(
                "field {name}: column {} is always generated by the database and cannot be written",
                column.name
            ),
            "give the field another column, or `column: false`",
        )));
    }
    // Text becomes anything by its input function.
    if fitting.takes_wire || fitting.wire() == Wire::Text {
        return Ok(None);
    }
    let row = single(conn.query(
        "looking for a cast",
        CAST_SQL,
        &[
            (&fitting.wire().typname(), Type::TEXT),
            (&column.base, Type::TEXT),
        ],
    )?)?;
    let castable: bool = row
        .try_get(0)
        .map_err(|error| StoreError::from_driver("looking for a cast", &error))?;
    Ok((!castable).then(|| {
        Misfit::new(
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

/// Edits (insert, delete, replace) between two names.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
