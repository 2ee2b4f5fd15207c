//! How PostgreSQL goes about each statement of the write path: through an index, by the keys of the batch, whatever it
//! knows of the tables. A table that has just been filled has no statistics, and a plan that happens to be cheap for an
//! empty table must not be the one for a full one.

use datasync::store;
use datasync::store::upsert::{Listed, statements_of};
use serde_json::Value;

use super::{LIMIT, customers, plan_of};
use crate::support::postgres::Database;

/// Tables that grow with the source.
const LARGE: [&str; 4] = [
    "customers",
    "sync_rejections",
    "sync_rejections_seen",
    "sync_explanations",
];
/// What a condition on an index must be about for a lookup to be one: the target alone is all of the table.
const BY: [&str; 8] = [
    "customer_id",
    "key",
    "resolved_at",
    "seen",
    "digest",
    "id",
    "used_at",
    "explained_by",
];

/// Fills the tables without any statistics. 200,000 rows and 100,000 rejections are many times what a plan may read; a
/// million take longer and are told from these by no estimate.
const FILL: &str = "
ALTER TABLE customers SET (autovacuum_enabled = off);
ALTER TABLE sync_rejections SET (autovacuum_enabled = off);
ALTER TABLE sync_rejections_seen SET (autovacuum_enabled = off);
INSERT INTO customers (customer_id, customer_name, quality_score, source_version)
SELECT 'K' || lpad(n::text, 8, '0'), 'Name ' || n, 50, '2025-01-01Z' FROM generate_series(1, 200000) n;
INSERT INTO sync_rejections (target, key, payload, reason, message, first_run, last_run, first_seen, last_seen)
SELECT 'public.customers', 'R' || lpad(n::text, 8, '0'), '{}', 'decision', 'low', '00000000-0000-0000-0000-000000000001',
       '00000000-0000-0000-0000-000000000001', '2025-01-01Z', '2025-01-01Z' FROM generate_series(1, 100000) n;
INSERT INTO sync_rejections (target, key, payload, reason, message, first_run, last_run, first_seen, last_seen, resolved_at)
SELECT 'public.customers', 'R' || lpad(n::text, 8, '0'), '{}', 'decision', 'low', '00000000-0000-0000-0000-000000000001',
       '00000000-0000-0000-0000-000000000001', '2024-01-01Z', '2024-01-01Z', '2024-06-01Z' FROM generate_series(1, 20000) n;
INSERT INTO sync_explanations (id, explanation, used_at) SELECT md5(n::text)::uuid, '{}', '2025-01-01Z' FROM generate_series(1, 100000) n;
INSERT INTO sync_rejections_seen (target, digest, low, high, seen, last_run, times, base, ids)
SELECT 'public.customers', decode(md5(p::text), 'hex'), p * 100, p * 100 + 99, '2025-01-02Z', '00000000-0000-0000-0000-000000000001', 1, 0,
       ARRAY(SELECT generate_series(p * 100, p * 100 + 99)) FROM generate_series(1, 1000) p;";

/// A value for a parameter: a thousand for an array, as a batch has them.
fn value(sql_type: &str) -> String {
    let many = |one: &dyn Fn(u32) -> String| {
        let all: Vec<String> = (1..=1000).map(|n| format!("'{}'", one(n))).collect();
        format!("ARRAY[{}]::{sql_type}", all.join(","))
    };
    match sql_type {
        "text[]" => many(&|n| format!("R{:08}", n * 7)),
        "bool[]" => many(&|_| "true".to_owned()),
        "timestamptz[]" => many(&|_| "2025-01-01Z".to_owned()),
        "json[]" => format!("{}::text[]", many(&|_| "{}".to_owned())),
        "bytea[]" => many(&|_| r"\\x00".to_owned()),
        "uuid[]" => many(&|n| format!("00000000-0000-0000-0000-{n:012}")),
        array if array.ends_with("[]") => many(&|n| n.to_string()),
        "text" => "'public.customers'::text".to_owned(),
        "uuid" => "'00000000-0000-0000-0000-000000000002'::uuid".to_owned(),
        "timestamptz" => "'2025-01-01Z'::timestamptz".to_owned(),
        number => format!("1000::{number}"),
    }
}

fn bound(statement: &Listed) -> String {
    let mut sql = statement.sql.clone();
    for (index, sql_type) in statement.params.iter().enumerate().rev() {
        sql = sql.replace(&format!("${}", index + 1), &value(sql_type));
    }
    assert!(
        !sql.contains('$'),
        "{}: a parameter is not listed",
        statement.name
    );
    sql
}

/// Everything about a plan that costs more than the batch.
fn faults(plan: &Value, distributed: bool, found: &mut Vec<String>) {
    let text = |name: &str| plan[name].as_str().unwrap_or_default();
    let (node, relation) = (text("Node Type"), text("Relation Name"));
    if LARGE.contains(&relation) && node != "ModifyTable" {
        let condition = text("Index Cond");
        let by_key = |word: &&str| {
            let words = condition.split(|c: char| !c.is_alphanumeric() && c != '_');
            words.into_iter().any(|known| known == *word)
        };
        if node == "Tid Scan" {
            // By the places of rows that were found before.
        } else if node == "Seq Scan" {
            found.push(format!("{relation} is read whole"));
        } else if !BY.iter().any(by_key) {
            found.push(format!(
                "{node} of {relation} by {condition:?} reads more than the batch's keys"
            ));
        }
    }
    let parts: Vec<&Value> = plan["Plans"].as_array().into_iter().flatten().collect();
    let inner = parts
        .iter()
        .find(|part| part["Parent Relationship"] == "Inner");
    if let (true, Some(inner)) = (node.contains("Nested Loop"), inner) {
        let kind = inner["Node Type"].as_str().unwrap_or_default();
        // A list unpacked for each row of its table is no loop over another relation.
        let unpacked = inner["Function Call"]
            .as_str()
            .is_some_and(|call| call.contains("s.ids"));
        if !unpacked && ["Function Scan", "CTE Scan", "Materialize", "Seq Scan"].contains(&kind) {
            found.push(format!("a nested loop over a {kind}"));
        }
    }
    // A list of rows that were fetched by their keys may be hashed; a table is never joined but by its index.
    if node == "Merge Join" || (node == "Hash Join" && !distributed) {
        found.push(format!("a {node}"));
    }
    for part in parts {
        faults(part, distributed, found);
    }
}

#[test]
fn every_statement_finds_its_rows_by_an_index_whatever_the_statistics_say() {
    let database = Database::undistributed();
    let db = plan_of(&database);
    let mut conn = store::Connection::open(&db, LIMIT).unwrap();
    let layout = store::inspect(&mut conn, &db, &customers()).unwrap();
    let mut wrong = Vec::new();
    for (state, change) in [
        ("on a fresh database", "SELECT 1"),
        (
            "with 200,000 rows and 100,000 open rejections, without statistics",
            FILL,
        ),
        ("after ANALYZE", "ANALYZE"),
    ] {
        database.run(change);
        for distributed in [false, true] {
            let (settings, statements) = statements_of(&db, &layout, distributed);
            assert!(statements.len() >= 15);
            explain_all(
                &database,
                distributed,
                &settings,
                &statements,
                state,
                &mut wrong,
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

fn explain_all(
    database: &Database,
    distributed: bool,
    settings: &str,
    statements: &[Listed],
    state: &str,
    wrong: &mut Vec<String>,
) {
    let mut client = database.client();
    let mut explain = |statement: &Listed, more: &str| {
        client
            .batch_execute(&format!(
                "BEGIN; {settings} {more} SELECT set_config('datasync.first', 'K00000001', true), \
                     set_config('datasync.last', 'K00001000', true)"
            ))
            .unwrap();
        let sql = format!("EXPLAIN (VERBOSE, FORMAT JSON) {}", bound(statement));
        let rows = client.simple_query(&sql);
        let rows = rows.unwrap_or_else(|error| panic!("{}: {error:?}", statement.name));
        client.batch_execute("ROLLBACK").unwrap();
        let plan = rows
            .iter()
            .find_map(|row| match row {
                postgres::SimpleQueryMessage::Row(row) => row.get(0),
                _ => None,
            })
            .unwrap();
        let plan: Value = serde_json::from_str(plan).unwrap();
        let mut found = Vec::new();
        faults(&plan[0]["Plan"], distributed, &mut found);
        (found, plan)
    };
    for statement in statements {
        let (found, plan) = explain(statement, "");
        if !found.is_empty() {
            let table = if distributed { "distributed" } else { "plain" };
            wrong.push(format!(
                "{} of a {table} table {state}: {}\n{plan:#}",
                statement.name,
                found.join("; ")
            ));
        }
    }
    // What is looked for is found where it is: the same statement, as PostgreSQL would have it without our settings.
    let differing = statements.iter().find(|s| s.name == "differing").unwrap();
    let (found, _) = explain(
        differing,
        "SET LOCAL enable_seqscan = on; SET LOCAL enable_indexscan = off; SET LOCAL enable_indexonlyscan = off;",
    );
    assert!(!found.is_empty(), "a plan without an index passed {state}");
}
