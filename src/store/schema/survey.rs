//! What is asked of PostgreSQL's catalogue when a run begins, all of it in one round trip: the encoding, the program's own
//! tables, and the target's kind, columns and unique keys. Judges nothing.

use tokio_postgres::Row;
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

const ENCODING_SQL: &str = "SELECT current_setting('server_encoding')";
const MISSING_TABLES_SQL: &str = "
SELECT u.n FROM unnest($1::text[]) WITH ORDINALITY AS u(name, n) WHERE to_regclass(u.name) IS NULL ORDER BY 1";
const MISSING_COLUMNS_SQL: &str = "
SELECT u.n FROM unnest($1::text[]) WITH ORDINALITY AS u(name, n) WHERE to_regclass($2) IS NOT NULL
AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = to_regclass($2) AND a.attname = u.name) ORDER BY 1";

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
        let log_columns = LogColumns::of_schema();
        let log_columns: Vec<&'static str> = log_columns.all().collect();
        let of_target: &[Param<'_>] = &[(&target.table, Type::TEXT)];
        let answers = conn.query_together(
            WHAT,
            &[
                (ENCODING_SQL, &[]),
                (MISSING_TABLES_SQL, &[(&quoted, Type::TEXT_ARRAY)]),
                (
                    MISSING_COLUMNS_SQL,
                    &[(&log_columns, Type::TEXT_ARRAY), (&log, Type::TEXT)],
                ),
                (catalogue::RELATION_SQL, of_target),
                (catalogue::COLUMNS_SQL, of_target),
                (key::UNIQUE_SQL, of_target),
                (citus::EXTENSION_SQL, &[]),
            ],
        )?;
        let mut answers = answers.into_iter();
        let mut next = || answers.next().unwrap_or_default();
        Ok(Self {
            encoding: value(&single(next())?, 0, WHAT)?,
            missing_tables: picked(&next(), &tables)?,
            missing_log_columns: picked(&next(), &log_columns)?,
            relation: Relation::of(&next())?,
            columns: catalogue::columns(&next())?,
            unique: key::unique(&next())?,
            has_citus: !next().is_empty(),
        })
    }
}

/// Those of `names` whose positions (from 1 on) were answered.
fn picked<'n>(rows: &[Row], names: &[&'n str]) -> Result<Vec<&'n str>, StoreError> {
    let mut found = Vec::new();
    for row in rows {
        let position: i64 = value(row, 0, WHAT)?;
        let index = usize::try_from(position - 1).ok();
        found.extend(index.and_then(|index| names.get(index)));
    }
    Ok(found)
}
