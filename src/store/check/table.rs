//! What `check-db` says about the target table itself: what else affects rows that are written. This never fails.

use tokio_postgres::types::Type;

use super::super::answer::text;
use super::super::connect::Connection;
use super::super::finding::{StepResult, well};
use crate::config::plan::{Database, Mapping};

/// Triggers on rows or statements, policies that apply to this role, and columns that are filled by their defaults.
const FACTS: &str = "
WITH target AS (SELECT c.oid, c.relrowsecurity, c.relforcerowsecurity, c.relowner FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2)
SELECT format('trigger %s fires on what is written', string_agg(g.tgname::text, ', ' ORDER BY g.tgname))
  FROM target t JOIN pg_trigger g ON g.tgrelid = t.oid
  WHERE NOT g.tgisinternal AND g.tgenabled IN ('O', 'A') AND g.tgtype & 20 <> 0 HAVING count(*) > 0
UNION ALL
SELECT format('row-level security is on: %s', coalesce(string_agg('policy ' || p.polname::text, ', ' ORDER BY p.polname),
    'no policy, so that no row is seen or taken'))
  FROM target t LEFT JOIN pg_policy p ON p.polrelid = t.oid
  WHERE t.relrowsecurity AND (t.relforcerowsecurity OR NOT pg_has_role(t.relowner, 'USAGE'))
    AND NOT (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user) HAVING count(*) > 0
UNION ALL
SELECT format('filled by their defaults: %s', string_agg(a.attname::text, ', ' ORDER BY a.attnum))
  FROM target t JOIN pg_attribute a ON a.attrelid = t.oid
  WHERE a.attnum > 0 AND NOT a.attisdropped AND (a.atthasdef OR a.attidentity <> '') AND a.attname <> ALL($3::text[])
  HAVING count(*) > 0";

/// What besides the program affects the rows.
pub(super) fn facts(conn: &mut Connection, db: &Database, mapping: &Mapping) -> StepResult {
    let written: Vec<&str> = mapping
        .fields
        .iter()
        .filter_map(|field| field.column.as_deref())
        .chain(super::super::batch::KEPT.map(|(name, _)| name))
        .collect();
    let rows = conn.query(
        "reading the table's triggers",
        FACTS,
        &[
            (&db.schema, Type::TEXT),
            (&db.table, Type::TEXT),
            (&written, Type::TEXT_ARRAY),
        ],
    )?;
    let facts: Result<Vec<&str>, _> = rows.iter().map(|row| text(row, 0)).collect();
    let facts = facts?;
    well(if facts.is_empty() {
        "no trigger or policy acts on it".to_owned()
    } else {
        facts.join("\n")
    })
}
