//! Tables that others have made, shape by shape. Each either works in every run, or is refused with a message, by `check-db`
//! and before the first request to the API.
//!
//! [`shape`] says what is tried on each; the other files list the shapes, kind by kind. `make versions` runs them on several
//! versions of PostgreSQL and writes docs/tables.md.
#![allow(
    clippy::unwrap_used,
    clippy::semicolon_if_nothing_returned,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::too_many_lines,
    reason = "lists of shapes read better so"
)]

mod access;
mod columns;
mod constraints;
mod keys;
mod partitions;
mod relations;
mod shape;
mod triggers;
mod types;

/// One test a kind: all of its shapes are tried, and the message lists those that failed.
macro_rules! kinds {
    ($($test:ident, $title:literal: $shapes:expr;)*) => {$(
        #[test]
        fn $test() {
            shape::try_all($title, $shapes);
        }
    )*};
}

kinds! {
    keys, "Keys": keys::shapes();
    numbers_and_times, "Numbers, dates and times": types::numbers_and_times();
    texts_and_documents, "Texts and documents": types::texts_and_documents();
    composed_types, "Domains, enums, arrays and ranges": types::composed();
    columns, "Defaults, generated columns, identity, narrow columns": columns::shapes();
    constraints, "Constraints and indexes": constraints::shapes();
    foreign_keys, "Foreign keys": constraints::foreign_keys();
    partitions, "Partitions and inheritance": partitions::shapes();
    triggers, "Triggers": triggers::shapes();
    rules, "Rules": triggers::rules();
    views, "Views and foreign tables": relations::views();
    names_and_storage, "Names, schemas and storage": relations::names_and_storage();
    access, "Policies and privileges": access::shapes();
}

#[test]
fn every_shape_is_documented() {
    let all = [
        keys::shapes(),
        types::numbers_and_times(),
        types::texts_and_documents(),
        types::composed(),
        columns::shapes(),
        constraints::shapes(),
        constraints::foreign_keys(),
        partitions::shapes(),
        triggers::shapes(),
        triggers::rules(),
        relations::views(),
        relations::names_and_storage(),
        access::shapes(),
    ]
    .concat();
    assert!(all.len() >= 60, "{} shapes", all.len());
    let names: std::collections::HashSet<&str> = all.iter().map(|shape| shape.name).collect();
    assert_eq!(names.len(), all.len());
    // What `make versions` has written knows each of them.
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/tables.md")).unwrap();
    for shape in &all {
        let row = format!("| {} | {} |", shape.name, shape.outcome());
        assert!(
            page.contains(&row),
            "docs/tables.md lacks: {row}; run `make versions`"
        );
    }
}
