//! Lists every statement of the write path by name, for tests of their plans. One that is not listed does not compile.

use super::super::super::log;
use super::super::super::schema::Layout;
use super::super::lookups;
use super::{IndexScan, RejectionStatements, Statements};
use crate::config::plan::Database;

/// A statement, and the SQL types of its parameters.
#[derive(Clone, Debug)]
pub struct Listed {
    pub name: &'static str,
    pub sql: String,
    pub params: Vec<String>,
}

/// The settings of a batch's transaction, and all statements that are planned. `distributed`: for a table on Citus.
pub fn list(db: &Database, layout: &Layout, distributed: bool) -> (String, Vec<Listed>) {
    let layout = &Layout {
        distributed,
        ..layout.clone()
    };
    let Statements {
        // COPY into a table has no plan.
        copy: _,
        index_scan,
        all_new,
        differing,
        superseded,
        lock_ascending,
        lock_descending,
        compare,
        differences,
        new_rows,
        upsert_and_enqueue,
        rows_by_outcome,
        skipped,
        unguarded,
        rejections,
        // It converts a single value.
        conversions: _,
        // It inserts a VALUES list.
        log: _,
        key_type: _,
    } = Statements::new(db, layout);
    let RejectionStatements {
        scan: rejection_scan,
        open_of,
        explanations,
        reject,
        // A COPY has no plan.
        copy: _,
        settled_later,
        seen,
        later,
        resolve,
    } = rejections;
    let columns: Vec<String> = layout
        .columns
        .iter()
        .map(|column| format!("{}[]", column.wire().typname()))
        .collect();
    let key = columns[layout.key].as_str();
    let of = |types: &str| -> Vec<String> { types.split(' ').map(str::to_owned).collect() };
    let rows = |more: &str| [columns.clone(), of(more)].concat();
    let written = rows("uuid timestamptz");
    let mut all = vec![
        ("all_new", all_new, written.clone()),
        ("differing", differing, written.clone()),
        (
            "superseded",
            superseded,
            of(&format!("{key} timestamptz[]")),
        ),
        ("lock_ascending", lock_ascending, of(key)),
        ("lock_descending", lock_descending, of(key)),
        ("compare", compare, columns.clone()),
        ("differences", differences, rows("bigint")),
        ("new_rows", new_rows, rows("bigint")),
        ("upsert_and_enqueue", upsert_and_enqueue, written.clone()),
        ("unguarded", unguarded, written),
        ("rows_by_outcome", rows_by_outcome, rows("int[] bigint")),
        ("skipped", skipped, rows("uuid bigint")),
        (
            "rejections.scan",
            rejection_scan,
            of("text text text bigint"),
        ),
        ("rejections.open_of", open_of, of("text text[]")),
        (
            "rejections.explanations",
            explanations,
            of("uuid[] json[] timestamptz"),
        ),
        (
            "rejections.reject",
            reject,
            of(
                "text uuid text[] text[] text[] text[] text[] json[] json[] uuid[] bytea[] timestamptz[] bigint[] timestamptz",
            ),
        ),
        ("rejections.settled_later", settled_later, of("timestamptz")),
        (
            "rejections.seen",
            seen,
            of("text uuid int[] bigint[] int[] int[] bigint[] bigint[] timestamptz[]"),
        ),
        (
            "rejections.later",
            later,
            of("text timestamptz bigint bigint bigint[]"),
        ),
        (
            "rejections.resolve",
            resolve,
            of("text uuid text[] timestamptz"),
        ),
    ];
    let trimming = log::trimming(db).map(|sql| ("trimming", sql, of("bigint")));
    all.extend(trimming);
    all.push((
        "trimming explanations",
        log::trimming_explanations(db),
        Vec::new(),
    ));
    if let Some(IndexScan { between: _, copy }) = index_scan {
        // The query whose result is copied.
        let select = copy.trim_start_matches("COPY (").to_owned() + "1000";
        all.push(("scan", select, Vec::new()));
    }
    let all = all
        .into_iter()
        .map(|(name, sql, params)| Listed { name, sql, params })
        .collect();
    (lookups(distributed), all)
}
