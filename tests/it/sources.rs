//! The source is read whole, or the run says that it cannot know: products and frameworks as they page, and random servers.
//!
//! The table in docs/sources.md is made of the shapes here; [`the_table_of_the_documentation_is_that_of_the_tests`] says
//! how it has to read.
#![allow(clippy::unwrap_used)]

mod business;
mod frameworks;
mod headers;
mod lines;
mod platforms;
mod post;
mod random;
mod reading;
mod recipes;
mod services;
mod shape;
mod standards;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use reading::{mappings, plan, read};
use shape::{Proofs, Shape};

/// Sources read at a time.
const LANES: usize = 4;

fn shapes() -> Vec<Shape> {
    [
        frameworks::shapes(),
        standards::shapes(),
        headers::shapes(),
        business::shapes(),
        services::shapes(),
        platforms::shapes(),
    ]
    .concat()
}

/// Does something with every shape, several at a time, and fails with all that is wrong.
#[track_caller]
fn for_all(check: impl Fn(&Shape) -> Vec<String> + Sync) {
    let shapes = shapes();
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                while let Some(shape) = shapes.get(next.fetch_add(1, Ordering::Relaxed)) {
                    wrong.lock().unwrap().extend(check(shape));
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(
        wrong.is_empty(),
        "{} are wrong\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// Reads a shape of many sizes by these lines of `pagination`, and compares records and proofs.
fn misread(shape: &Shape, lines: &str, page_size: usize, proofs: &Proofs) -> Vec<String> {
    let mut wrong = Vec::new();
    for all in Shape::sizes(page_size) {
        let server = shape.serve(all).start();
        let text = mappings(shape.path, shape.records, lines, shape.fields);
        let reading = read(&plan(server.url(), &text));
        let expected = proofs[Shape::class(all, page_size)];
        let proof = reading.proof.as_deref().unwrap_or("-");
        let here = format!("{}, {all} records, {{ {lines} }}", shape.name);
        if reading.is_complete() && reading.distinct() != shape.texts(all) {
            wrong.push(format!(
                "{here}: complete ({proof}) with {} records",
                reading.records.len()
            ));
        } else if !expected.split('|').any(|expected| expected == proof) {
            wrong.push(format!(
                "{here}: {proof} instead of {expected}; {}",
                reading.why_not
            ));
        } else if proof == "-" {
            let unsaid = shape
                .says
                .iter()
                .find(|word| !reading.why_not.contains(**word));
            wrong.extend(
                unsaid.map(|word| format!("{here}: no word of `{word}` in {}", reading.why_not)),
            );
        }
        let requests = server.requests();
        if lines == AUTO && !requests[0].query.is_empty() {
            wrong.push(format!(
                "{here}: the first request has parameters: {:?}",
                requests[0].query
            ));
        }
    }
    wrong
}

const AUTO: &str = "style: auto";

#[test]
fn auto_reads_a_source_whole_or_says_that_it_cannot_know() {
    for_all(|shape| misread(shape, AUTO, shape.default_size, &shape.auto));
}

#[test]
fn the_lines_of_the_documentation_read_a_source_whole() {
    for_all(|shape| {
        misread(
            shape,
            shape.lines,
            shape.configured_size(),
            &shape.configured,
        )
    });
    let unproven: Vec<&str> = shapes()
        .iter()
        // Whether a 204 instead of the first page is an end or a failure, nobody can know.
        .filter(|shape| {
            shape.configured[1..]
                .iter()
                .any(|proof| proof.contains('-'))
        })
        .map(|shape| shape.name)
        .collect();
    assert!(unproven.is_empty(), "no lines read all of {unproven:?}");
}

/// `datasync init --url` for every shape: what it drafts reads the source whole, or does not claim that it does.
#[test]
fn a_drafted_mapping_reads_what_auto_reads() {
    for_all(|shape| {
        let size = if shape.default_size > 1000 {
            20
        } else {
            shape.default_size
        };
        let all = 3 * size + 7;
        let server = shape.serve(all).start();
        let place = crate::support::Workplace::new();
        let url = format!("{}{}", server.url(), shape.path);
        let arguments = [
            "init",
            "--url",
            &url,
            "--mappings",
            "drafted.yaml",
            "--output",
            "json",
        ];
        let records = ["--records", shape.records];
        let records = if shape.records.is_empty() {
            &[][..]
        } else {
            &records
        };
        let finished = place.run(&[&arguments[..], records].concat());
        let here = format!("{}: {}{}", shape.name, finished.stdout, finished.stderr);
        if finished.code != 0 {
            let is_unsure = shape.auto[3].contains('-');
            return if is_unsure { Vec::new() } else { vec![here] };
        }
        let text = std::fs::read_to_string(place.path("drafted.yaml")).unwrap();
        let reading = read(&plan(server.url(), &text));
        let mut wrong = Vec::new();
        if reading.is_complete() && reading.distinct() != shape.texts(all) {
            wrong.push(format!(
                "{here}: complete with {} of {all} records\n{text}",
                reading.records.len()
            ));
        }
        if !reading.is_complete() && !shape.auto[3].contains('-') {
            wrong.push(format!("{here}: {}\n{text}", reading.why_not));
        }
        let draft = &finished.json()["draft"];
        if draft["key"].is_null() || draft["fit"] != draft["records"] {
            wrong.push(format!("{here}\n{text}"));
        }
        wrong
    });
}

/// What `auto` makes of a source, in the words of docs/sources.md.
fn told(shape: &Shape) -> &'static str {
    let is_unsure = |class: usize| shape.auto[class].contains('-');
    if is_unsure(3) {
        "cannot know, and says so"
    } else if is_unsure(1) || is_unsure(2) {
        "reads it; where one page is all, it cannot know"
    } else {
        "reads it"
    }
}

/// The tables of docs/sources.md.
fn tables() -> String {
    let groups = [
        (
            "Frameworks and libraries",
            [frameworks::shapes(), standards::shapes()].concat(),
        ),
        ("Paging in headers, and plain arrays", headers::shapes()),
        ("Sales, support, payments, mail", business::shapes()),
        (
            "Work, content, search, infrastructure",
            [services::shapes(), platforms::shapes()].concat(),
        ),
    ];
    let mut text = String::new();
    for (title, shapes) in groups {
        text += &format!("## {title}\n\n| API | `auto` | `pagination` |\n|---|---|---|\n");
        for shape in shapes {
            let records = if shape.records.is_empty() {
                String::new()
            } else {
                format!(", beside it `records: {}`", shape.records)
            };
            text += &format!(
                "| {} | {} | `{{ {} }}`{records} |\n",
                shape.name,
                told(&shape),
                shape.lines
            );
        }
        text += "\n";
    }
    text
}

#[test]
fn the_table_of_the_documentation_is_that_of_the_tests() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/sources.md");
    let text = std::fs::read_to_string(file).unwrap();
    let tables = tables();
    assert!(
        text.contains(tables.trim_end()),
        "docs/sources.md has to hold\n\n{tables}"
    );
}

#[test]
fn auto_reads_most_of_them() {
    let shapes = shapes();
    let read = shapes
        .iter()
        .filter(|shape| !shape.auto[3].contains('-'))
        .count();
    // Two in three; the others are named in the documentation.
    assert!(read * 41 >= shapes.len() * 28, "{read} of {}", shapes.len());
}
