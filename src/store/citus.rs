//! Recognises Citus (PostgreSQL whose tables may be distributed over several servers), and checks its tables.
//!
//! This file reads the catalogue of Citus and reports what does not fit. It must not know how rows are written. schema.sql
//! shows the layout that is expected, docs/citus.md explains it.

use tokio_postgres::types::Type;

use super::answer::{count, single, text, value};
use super::connect::Connection;
use super::error::StoreError;
use super::finding::{StepResult, bad};
use super::grants;
use super::quote_table;
use crate::config::plan::Database;

/// The version of Citus; no row where it is not installed.
pub(super) const EXTENSION_SQL: &str =
    "SELECT extversion::text FROM pg_extension WHERE extname = 'citus'";
const WHAT: &str = "reading Citus's catalogue";
/// The schema into which tables of the program are moved that were distributed by mistake.
const ASIDE_SCHEMA: &str = "datasync_aside";

/// How Citus stores one table.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ManagedTable {
    /// The name of the table in messages.
    shown: String,
    /// The quoted name, for statements to type.
    quoted: String,
    /// The column whose hash determines the server; none for a reference table and the like.
    column: Option<String>,
}

/// What the catalogue of Citus says.
#[derive(Clone, Debug, Default)]
struct Cluster {
    version: String,
    /// The group of this server. Group 0 is the coordinator.
    group: i64,
    /// The number of servers that hold shards of the target.
    nodes: u64,
    shards: u64,
    target: Option<ManagedTable>,
    /// Tables of the program that are not plain tables of the coordinator.
    managed: Vec<ManagedTable>,
}

fn extension(conn: &mut Connection) -> Result<Option<String>, StoreError> {
    conn.query(WHAT, EXTENSION_SQL, &[])?
        .first()
        .map(|row| text(row, 0).map(str::to_owned))
        .transpose()
}

/// Whether Citus manages this (quoted) table. Citus must be installed.
pub(super) fn manages(conn: &mut Connection, table: &str) -> Result<bool, StoreError> {
    Ok(!spread(conn, &[(String::new(), table.to_owned())])?.is_empty())
}

/// Those of the tables (name in messages, quoted name) that Citus manages, with their distribution columns.
fn spread(
    conn: &mut Connection,
    tables: &[(String, String)],
) -> Result<Vec<ManagedTable>, StoreError> {
    let quoted: Vec<&str> = tables.iter().map(|(_, quoted)| quoted.as_str()).collect();
    let rows = conn.query(
        WHAT,
        "SELECT n.position, column_to_column_name(p.logicalrelid, p.partkey)::text \
         FROM unnest($1::text[]) WITH ORDINALITY AS n(name, position) \
         JOIN pg_dist_partition p ON p.logicalrelid = to_regclass(n.name) ORDER BY n.position",
        &[(&quoted, Type::TEXT_ARRAY)],
    )?;
    rows.iter()
        .map(|row| {
            let position: i64 = value(row, 0, WHAT)?;
            let (shown, quoted) = usize::try_from(position - 1)
                .ok()
                .and_then(|index| tables.get(index))
                .cloned()
                .unwrap_or_default();
            Ok(ManagedTable {
                shown,
                quoted,
                column: value(row, 1, WHAT)?,
            })
        })
        .collect()
}

/// Checks whether this is Citus, and whether its tables are as the program needs them. None without Citus.
pub(super) fn inspect(
    conn: &mut Connection,
    db: &Database,
    key: &str,
) -> Result<Option<StepResult>, StoreError> {
    let Some(version) = extension(conn)? else {
        return Ok(None);
    };
    let target = quote_table(&db.schema, &db.table);
    let group = single(conn.query(
        WHAT,
        "SELECT coalesce((SELECT groupid FROM pg_dist_local_group), 0)::bigint",
        &[],
    )?)?;
    let placed = single(conn.query(
        WHAT,
        "SELECT count(DISTINCT p.groupid), count(DISTINCT s.shardid) FROM pg_dist_shard s \
         JOIN pg_dist_placement p ON p.shardid = s.shardid WHERE s.logicalrelid = to_regclass($1)",
        &[(&target, Type::TEXT)],
    )?)?;
    let log_tables = std::iter::once(db.log_table.as_str()).chain(grants::WRITTEN);
    let tables: Vec<(String, String)> = std::iter::once((&db.schema, db.table.as_str()))
        .chain(log_tables.map(|table| (&db.log_schema, table)))
        .map(|(schema, table)| (format!("{schema}.{table}"), quote_table(schema, table)))
        .collect();
    let (of_target, managed) = spread(conn, &tables)?
        .into_iter()
        .partition(|spread| spread.quoted == target);
    let of_target: Vec<ManagedTable> = of_target;
    let cluster = Cluster {
        version,
        group: value(&group, 0, WHAT)?,
        nodes: count(&placed, 0)?,
        shards: count(&placed, 1)?,
        target: of_target.into_iter().next(),
        managed,
    };
    Ok(Some(findings(&cluster, &tables[0].0, key)))
}

/// What is wrong with the cluster. `shown` is the target's name, and `key` its conflict key.
fn findings(cluster: &Cluster, shown: &str, key: &str) -> StepResult {
    let version = &cluster.version;
    if cluster.group != 0 {
        return bad(
            format!("Citus {version}: this is a worker"),
            "let DB_HOST and DB_PORT point at the coordinator",
        );
    }
    let (mut wrong, mut hints) = (Vec::new(), Vec::new());
    if let Some(ManagedTable {
        column: Some(column),
        ..
    }) = &cluster.target
        && column != key
    {
        wrong.push(format!(
            "{shown} is distributed by {column}, but a record is found by {key} alone: every unique key must contain the \
             distribution column"
        ));
        hints.push(format!(
            "make {shown} anew, distributed by {key}: the end of schema.sql has the statements"
        ));
    }
    if !cluster.managed.is_empty() {
        // Citus cannot undistribute a table with an identity column, which two of these tables have, so they are moved aside.
        hints.push(format!("CREATE SCHEMA IF NOT EXISTS {ASIDE_SCHEMA};"));
        for table in &cluster.managed {
            wrong.push(format!(
                "{} must be a plain table of the coordinator",
                table.shown
            ));
            hints.push(format!(
                "ALTER TABLE {} SET SCHEMA {ASIDE_SCHEMA};",
                table.quoted
            ));
        }
        hints.push("then `datasync check-db --apply-schema` makes plain ones".to_owned());
    }
    if !wrong.is_empty() {
        return bad(
            format!("Citus {version}: {}", wrong.join("\n")),
            hints.join("\n"),
        );
    }
    let (detail, hint) = match &cluster.target {
        Some(ManagedTable {
            column: Some(column),
            ..
        }) => (
            format!(
                "{shown} is distributed by {column}, {} shards on {} nodes",
                cluster.shards, cluster.nodes
            ),
            None,
        ),
        Some(_) => (format!("{shown} is not distributed by a column"), None),
        None => (
            format!("{shown} is a plain table of the coordinator"),
            Some("the end of schema.sql says how to distribute it".to_owned()),
        ),
    };
    Ok((format!("Citus {version}: {detail}"), hint))
}

#[cfg(test)]
mod tests {
    use super::super::finding::StepFailure;
    use super::*;

    fn table(name: &str, column: Option<&str>) -> ManagedTable {
        ManagedTable {
            shown: format!("public.{name}"),
            quoted: quote_table("public", name),
            column: column.map(str::to_owned),
        }
    }

    fn verdict(cluster: &Cluster) -> StepResult {
        findings(cluster, "public.customers", "customer_id")
    }

    #[test]
    fn the_layout_of_schema_sql_is_well_and_a_plain_table_is_told_how_to_become_it() {
        let finding = verdict(&Cluster {
            version: "13.0-1".into(),
            nodes: 2,
            shards: 32,
            target: Some(table("customers", Some("customer_id"))),
            ..Cluster::default()
        });
        let well =
            "Citus 13.0-1: public.customers is distributed by customer_id, 32 shards on 2 nodes";
        assert_eq!(finding, Ok((well.to_owned(), None)));
        let plain = verdict(&Cluster::default());
        assert!(plain.is_ok_and(|(_, hint)| hint.is_some_and(|hint| hint.contains("schema.sql"))));
    }

    #[test]
    fn what_is_missing_comes_with_the_statement_to_type() {
        let Err(StepFailure {
            detail: wrong,
            hint: Some(hint),
            ..
        }) = verdict(&Cluster {
            target: Some(table("customers", Some("region"))),
            managed: vec![table("sync_lease", None)],
            ..Cluster::default()
        })
        else {
            panic!("a layout on which no batch can be written")
        };
        assert!(wrong.contains("distributed by region"), "{wrong}");
        assert!(
            wrong.contains("public.sync_lease must be a plain table"),
            "{wrong}"
        );
        assert!(hint.contains("anew, distributed by customer_id"), "{hint}");
        assert!(
            hint.contains("ALTER TABLE \"public\".\"sync_lease\" SET SCHEMA datasync_aside;"),
            "{hint}"
        );
    }

    #[test]
    fn a_worker_is_not_the_place_to_connect_to() {
        let finding = verdict(&Cluster {
            group: 2,
            ..Cluster::default()
        });
        assert!(finding.is_err_and(|failure| failure.detail.contains("worker")));
    }
}
