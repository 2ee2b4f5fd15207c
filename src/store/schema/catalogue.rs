//! What PostgreSQL's catalogue says of the target: its kind, what acts on its rows, and its columns. Judges nothing.

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::super::answer::value;
use super::super::column::ColumnType;
use super::super::connect::Connection;
use super::super::error::StoreError;
use super::super::quote;

const WHAT: &str = "reading the kind of the table";
const READING_COLUMNS: &str = "reading the table's columns";

/// What the target is, and what acts on the rows that are written.
pub(super) struct Relation {
    pub(super) kind: RelationKind,
    /// Other tables inherit from it: their rows are not its own.
    pub(super) has_heirs: bool,
    /// The role may read all of its columns, those of the system included.
    pub(super) is_readable: bool,
    /// It takes no space on this server, so it has no row. Nothing is known of a relation that keeps its rows elsewhere.
    pub(super) takes_no_space: bool,
    /// Triggers that may change or skip a row before it is stored.
    pub(super) interceptors: Vec<String>,
    /// Rules on INSERT or UPDATE.
    pub(super) rules: Vec<String>,
    /// Functions of its triggers: `schema.name`.
    pub(super) functions: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RelationKind {
    Table,
    Partitioned,
    View,
    /// A foreign table, or one that cannot be written at all.
    Other(&'static str),
}

/// The kind of a relation, and whether [`TRIGGERS_AND_RULES_SQL`] may find anything.
pub(super) const KIND_SQL: &str = "
SELECT c.relkind::text, c.relkind = 'r' AND c.relhassubclass, has_table_privilege(c.oid, 'SELECT'),
  c.relkind = 'r' AND pg_relation_size(c.oid) = 0, c.relhastriggers OR c.relhasrules OR c.relhassubclass
FROM pg_class c WHERE c.oid = to_regclass($1)";

/// The triggers and rules that act on rows that are written, and the functions of the triggers. To plan it takes longer than all other questions together, so it is asked only where
/// `pg_class` says that there is something.
///
/// A trigger's type has bits: 2 for BEFORE, 64 for INSTEAD OF, 4 for INSERT and 16 for UPDATE. A rule on UPDATE counts even
/// where it is disabled: PostgreSQL refuses an upsert all the same.
const TRIGGERS_AND_RULES_SQL: &str = "
WITH RECURSIVE family(oid) AS (
    SELECT to_regclass($1)::oid UNION SELECT i.inhrelid FROM pg_inherits i JOIN family f ON i.inhparent = f.oid)
SELECT
  ARRAY(SELECT DISTINCT format('trigger %s', g.tgname) FROM pg_trigger g JOIN family f ON f.oid = g.tgrelid
    WHERE NOT g.tgisinternal AND g.tgenabled IN ('O', 'A') AND g.tgtype & 66 <> 0 AND g.tgtype & 20 <> 0 ORDER BY 1),
  ARRAY(SELECT r.rulename::text FROM pg_rewrite r
    WHERE r.ev_class = to_regclass($1) AND (r.ev_type = '2' OR r.ev_type = '3' AND r.ev_enabled IN ('O', 'A')) ORDER BY 1),
  ARRAY(SELECT DISTINCT format('%s.%s', n.nspname, p.proname) FROM pg_trigger g JOIN family f ON f.oid = g.tgrelid
    JOIN pg_proc p ON p.oid = g.tgfoid JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE NOT g.tgisinternal ORDER BY 1)";

impl Relation {
    /// None where there is no relation of this (quoted) name. `rows` are the answer to [`KIND_SQL`].
    pub(super) fn read(
        conn: &mut Connection,
        table: &str,
        rows: &[Row],
    ) -> Result<Option<Self>, StoreError> {
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let mut relation = Self {
            kind: RelationKind::of(row)?,
            has_heirs: value(row, 1, WHAT)?,
            is_readable: value(row, 2, WHAT)?,
            takes_no_space: value(row, 3, WHAT)?,
            interceptors: Vec::new(),
            rules: Vec::new(),
            functions: Vec::new(),
        };
        if value(row, 4, WHAT)?
            && let Some(found) = conn
                .query(WHAT, TRIGGERS_AND_RULES_SQL, &[(&table, Type::TEXT)])?
                .first()
        {
            relation.interceptors = value(found, 0, WHAT)?;
            relation.rules = value(found, 1, WHAT)?;
            relation.functions = value(found, 2, WHAT)?;
        }
        Ok(Some(relation))
    }
}

impl RelationKind {
    /// None where there is no relation of this (quoted) name.
    pub(super) fn read(conn: &mut Connection, table: &str) -> Result<Option<Self>, StoreError> {
        let rows = conn.query(WHAT, KIND_SQL, &[(&table, Type::TEXT)])?;
        rows.first().map(Self::of).transpose()
    }

    /// The first field of an answer to [`KIND_SQL`].
    fn of(row: &Row) -> Result<Self, StoreError> {
        Ok(match value(row, 0, WHAT)? {
            "r" => Self::Table,
            "p" => Self::Partitioned,
            "v" => Self::View,
            "m" => Self::Other("materialized view"),
            "f" => Self::Other("foreign table"),
            "S" => Self::Other("sequence"),
            "c" => Self::Other("composite type"),
            _ => Self::Other("relation of another kind"),
        })
    }
}

/// A column as the catalogue describes it.
#[allow(clippy::struct_excessive_bools)] // independent facts, each a column of the query
pub(super) struct CatalogueColumn {
    pub(super) name: String,
    pub(super) ty: ColumnType,
    /// The type under any domain, quoted and with its schema.
    pub(super) base: String,
    /// The same with its length or precision.
    pub(super) precise: String,
    /// A length of text or bits, which a cast cuts to.
    pub(super) cut_by_casts: bool,
    pub(super) domain: Option<String>,
    /// The beginning of its operators where they are not PostgreSQL's own: `OPERATOR(public.`.
    pub(super) operators: Option<String>,
    pub(super) not_null: bool,
    pub(super) filled: bool,
    pub(super) generated: bool,
    pub(super) compare_as_text: bool,
}

/// The columns, with what is sufficient to know where all are of [`PLAIN_TYPES`].
pub(super) const COLUMNS_SQL: &str = "
SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), a.atttypid, a.atttypmod, a.attcollation,
       a.attnotnull, a.atthasdef OR a.attidentity <> '', a.attgenerated <> '' OR a.attidentity = 'a'
FROM pg_attribute a WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";

/// Types of PostgreSQL's own that are sorted and compared by its own operators: their number says everything of them.
const PLAIN_TYPES: [Type; 15] = [
    Type::BOOL,
    Type::INT2,
    Type::INT4,
    Type::INT8,
    Type::FLOAT4,
    Type::FLOAT8,
    Type::NUMERIC,
    Type::TEXT,
    Type::VARCHAR,
    Type::BPCHAR,
    Type::DATE,
    Type::TIMESTAMP,
    Type::TIMESTAMPTZ,
    Type::UUID,
    Type::JSONB,
];
/// `default`, `C` and `POSIX`, by which equal texts are the same texts; 0 for types that have no collation.
const PLAIN_COLLATIONS: [u32; 4] = [0, 100, 950, 951];

/// The columns with everything that the catalogue says of their types: enums, domains, types of extensions, collations.
///
/// Names of types are qualified here: what `format_type` leaves out depends on the session's `search_path`.
const ANY_COLUMNS_SQL: &str = "
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

/// The columns of the (quoted) table, in its order. `rows` are the answer to [`COLUMNS_SQL`].
pub(super) fn columns(
    conn: &mut Connection,
    table: &str,
    rows: &[Row],
) -> Result<Vec<CatalogueColumn>, StoreError> {
    let read = rows.iter().map(plain_column).collect::<Result<_, _>>();
    let columns: Option<Vec<_>> = read.map_err(|error| of_columns(&error))?;
    match columns {
        Some(columns) => Ok(columns),
        None => any_columns(conn, table),
    }
}

fn of_columns(error: &tokio_postgres::Error) -> StoreError {
    StoreError::from_driver(READING_COLUMNS, error)
}

/// A column by its row of [`COLUMNS_SQL`]; none where its type or its collation is not plain.
fn plain_column(row: &Row) -> Result<Option<CatalogueColumn>, tokio_postgres::Error> {
    let (oid, modifier): (u32, i32) = (row.try_get(2)?, row.try_get(3)?);
    let collation: u32 = row.try_get(4)?;
    let ty = PLAIN_TYPES.iter().find(|ty| ty.oid() == oid);
    let Some(ty) = ty.filter(|_| PLAIN_COLLATIONS.contains(&collation)) else {
        return Ok(None);
    };
    let is_text = matches!(*ty, Type::TEXT | Type::VARCHAR | Type::BPCHAR);
    let shown: String = row.try_get(1)?;
    Ok(Some(CatalogueColumn {
        name: row.try_get(0)?,
        base: format!("pg_catalog.{}", quote(ty.name())),
        precise: shown.clone(),
        cut_by_casts: is_text && modifier >= 0,
        ty: ColumnType {
            shown,
            name: ty.name().to_owned(),
            native: true,
            is_text,
            modifier,
            labels: [].into(),
        },
        domain: None,
        operators: None,
        not_null: row.try_get(5)?,
        filled: row.try_get(6)?,
        generated: row.try_get(7)?,
        compare_as_text: false,
    }))
}

/// The columns of any types.
fn any_columns(conn: &mut Connection, table: &str) -> Result<Vec<CatalogueColumn>, StoreError> {
    conn.query(READING_COLUMNS, ANY_COLUMNS_SQL, &[(&table, Type::TEXT)])?
        .iter()
        .map(any_column)
        .collect::<Result<_, _>>()
        .map_err(|error| of_columns(&error))
}

fn any_column(row: &Row) -> Result<CatalogueColumn, tokio_postgres::Error> {
    let base: String = row.try_get(7)?;
    Ok(CatalogueColumn {
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
}
