//! What PostgreSQL's catalogue says of the target: its kind, what acts on its rows, and its columns. Judges nothing.

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::super::answer::value;
use super::super::column::ColumnType;
use super::super::connect::Connection;
use super::super::error::StoreError;

const WHAT: &str = "reading the kind of the table";

/// What the target is, and what acts on the rows that are written.
pub(super) struct Relation {
    pub(super) kind: RelationKind,
    /// Other tables inherit from it: their rows are not its own.
    pub(super) has_heirs: bool,
    /// The role may read all of its columns, those of the system included.
    pub(super) is_readable: bool,
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

/// A trigger's type has bits: 2 for BEFORE, 64 for INSTEAD OF, 4 for INSERT and 16 for UPDATE. A rule on UPDATE counts even
/// where it is disabled: PostgreSQL refuses an upsert all the same.
pub(super) const RELATION_SQL: &str = "
WITH RECURSIVE family(oid) AS (
    SELECT to_regclass($1)::oid UNION SELECT i.inhrelid FROM pg_inherits i JOIN family f ON i.inhparent = f.oid)
SELECT c.relkind::text, c.relkind = 'r' AND c.relhassubclass, has_table_privilege(c.oid, 'SELECT'),
  ARRAY(SELECT DISTINCT format('trigger %s', g.tgname) FROM pg_trigger g JOIN family f ON f.oid = g.tgrelid
    WHERE NOT g.tgisinternal AND g.tgenabled IN ('O', 'A') AND g.tgtype & 66 <> 0 AND g.tgtype & 20 <> 0 ORDER BY 1),
  ARRAY(SELECT r.rulename::text FROM pg_rewrite r
    WHERE r.ev_class = c.oid AND (r.ev_type = '2' OR r.ev_type = '3' AND r.ev_enabled IN ('O', 'A')) ORDER BY 1),
  ARRAY(SELECT DISTINCT format('%s.%s', n.nspname, p.proname) FROM pg_trigger g JOIN family f ON f.oid = g.tgrelid
    JOIN pg_proc p ON p.oid = g.tgfoid JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE NOT g.tgisinternal ORDER BY 1)
FROM pg_class c WHERE c.oid = to_regclass($1)";

impl Relation {
    /// None where there is no relation of this (quoted) name.
    pub(super) fn read(conn: &mut Connection, table: &str) -> Result<Option<Self>, StoreError> {
        Self::of(&conn.query(WHAT, RELATION_SQL, &[(&table, Type::TEXT)])?)
    }

    /// What [`RELATION_SQL`] has answered.
    pub(super) fn of(rows: &[Row]) -> Result<Option<Self>, StoreError> {
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let kind = match value(row, 0, WHAT)? {
            "r" => RelationKind::Table,
            "p" => RelationKind::Partitioned,
            "v" => RelationKind::View,
            "m" => RelationKind::Other("materialized view"),
            "f" => RelationKind::Other("foreign table"),
            "S" => RelationKind::Other("sequence"),
            "c" => RelationKind::Other("composite type"),
            _ => RelationKind::Other("relation of another kind"),
        };
        Ok(Some(Self {
            kind,
            has_heirs: value(row, 1, WHAT)?,
            is_readable: value(row, 2, WHAT)?,
            interceptors: value(row, 3, WHAT)?,
            rules: value(row, 4, WHAT)?,
            functions: value(row, 5, WHAT)?,
        }))
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

/// Names of types are qualified here: what `format_type` leaves out depends on the session's `search_path`.
pub(super) const COLUMNS_SQL: &str = "
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

/// The columns of a table, in its order, as [`COLUMNS_SQL`] has answered.
pub(super) fn columns(rows: &[Row]) -> Result<Vec<CatalogueColumn>, StoreError> {
    const WHAT: &str = "reading the table's columns";
    rows.iter()
        .map(|row| {
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
        })
        .collect::<Result<Vec<_>, tokio_postgres::Error>>()
        .map_err(|error| StoreError::from_driver(WHAT, &error))
}
