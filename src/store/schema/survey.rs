//! What is asked of PostgreSQL's catalogue when a run begins: the encoding, the program's own tables, and the target's kind,
//! columns and unique keys. Judges nothing.
//!
//! All of it is one round trip where the table has neither triggers nor rules nor partitions, and its columns are of plain
//! types. Most of a small run is such questions, and what they cost is their planning, so they join as few catalogues as
//! possible.

use tokio_postgres::types::Type;

use super::super::answer::{single, value};
use super::super::citus;
use super::super::connect::{Connection, Param};
use super::super::error::StoreError;
use super::super::{own_tables, quote_table};
use super::catalogue::{CatalogueColumn, Relation};
use super::key::Unique;
use super::names::LogColumns;
use super::{Target, catalogue, key};

const WHAT: &str = "looking at the tables";

/// The encoding; the places of those tables that are missing; the columns of the log of runs; and whether Citus is installed.
fn facts_sql() -> String {
    format!(
        "SELECT current_setting('server_encoding'), \
         ARRAY(SELECT u.n FROM unnest($1::text[]) WITH ORDINALITY AS u(name, n) WHERE to_regclass(u.name) IS NULL ORDER BY 1), \
         ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = to_regclass($2) AND a.attnum > 0), \
         EXISTS ({})",
        citus::EXTENSION_SQL
    )
}

/// The answers.
pub(super) struct Survey<'a> {
    /// `UTF8`, or another.
    pub(super) encoding: String,
    /// Tables of the program's own that are not there, by their names without a schema.
    pub(super) missing_tables: Vec<&'a str>,
    /// Columns that the log of runs lacks, if it is there.
    pub(super) missing_log_columns: Vec<&'static str>,
    /// The target; none where nothing has its name.
    pub(super) relation: Option<Relation>,
    /// The target's columns, in its order.
    pub(super) columns: Vec<CatalogueColumn>,
    /// Those of them that are unique by themselves.
    pub(super) unique: Vec<Unique>,
    /// Citus is installed in this database.
    pub(super) has_citus: bool,
}

impl<'a> Survey<'a> {
    pub(super) fn take(conn: &mut Connection, target: &Target<'a>) -> Result<Self, StoreError> {
        let db = target.db;
        let tables = own_tables(db);
        let quoted: Vec<String> = tables
            .iter()
            .map(|name| quote_table(&db.log_schema, name))
            .collect();
        let log = quote_table(&db.log_schema, &db.log_table);
        let of_target: &[Param<'_>] = &[(&target.table, Type::TEXT)];
        let answers = conn.query_together(
            WHAT,
            &[
                (
                    &facts_sql(),
                    &[(&quoted, Type::TEXT_ARRAY), (&log, Type::TEXT)],
                ),
                (catalogue::KIND_SQL, of_target),
                (catalogue::COLUMNS_SQL, of_target),
                (key::UNIQUE_SQL, of_target),
            ],
        )?;
        let mut answers = answers.into_iter();
        let mut next = || answers.next().unwrap_or_default();
        let facts = single(next())?;
        let (kind, columns, unique) = (next(), next(), next());
        let log_columns: Vec<String> = value(&facts, 2, WHAT)?;
        let is_missing =
            |name: &&str| !log_columns.is_empty() && !log_columns.iter().any(|known| known == name);
        Ok(Self {
            encoding: value(&facts, 0, WHAT)?,
            missing_tables: picked(&value::<Vec<i64>>(&facts, 1, WHAT)?, &tables),
            missing_log_columns: LogColumns::of_schema().all().filter(is_missing).collect(),
            relation: Relation::read(conn, &target.table, &kind)?,
            columns: catalogue::columns(conn, &target.table, &columns)?,
            unique: key::unique(&unique)?,
            has_citus: value(&facts, 3, WHAT)?,
        })
    }
}

/// Those of `names` at these places (from 1 on).
fn picked<'n>(places: &[i64], names: &[&'n str]) -> Vec<&'n str> {
    let indices = places
        .iter()
        .filter_map(|place| usize::try_from(place - 1).ok());
    indices
        .filter_map(|index| names.get(index).copied())
        .collect()
}
