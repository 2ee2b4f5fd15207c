//! What must not allocate. A program of its own, since counting takes the place of its allocator.
#![allow(missing_docs, clippy::unwrap_used)]

use std::fmt::Write as _;
use std::hint::black_box;

use allocation_counter::measure;
use datasync::decision::{Decision, Scratch};
use datasync::model::record::{Cell, Validation};
use rust_decimal::Decimal;

const VARIABLES: &[&str] = &[
    "customerId",
    "recordType",
    "qualityScore",
    "hasRequiredFields",
];
/// On each side of every bound of the shipped table, and none at all.
const SCORES: [Option<(i64, u32)>; 9] = [
    None,
    Some((0, 0)),
    Some((49, 0)),
    Some((49_999_999, 6)),
    Some((50, 0)),
    Some((795, 1)),
    Some((79_999_999, 6)),
    Some((80, 0)),
    Some((100, 0)),
];

/// Records of every kind, all of them made before anything is counted.
fn records() -> Vec<[Cell<'static>; 4]> {
    let mut records = Vec::new();
    for score in SCORES {
        for kind in ["customer", "lead", "partner", "martian", ""] {
            for complete in [true, false] {
                records.push([
                    Cell::Text(format!("C-{}", records.len()).into()),
                    Cell::Text(kind.into()),
                    score.map_or(Cell::Null, |(digits, scale)| {
                        Cell::Decimal(Decimal::new(digits, scale))
                    }),
                    Cell::Boolean(complete),
                ]);
            }
        }
    }
    records
}

/// Decides all records several times; the allocations, and how many were valid, to be looked at, and invalid.
fn decide(xml: &str) -> (u64, [usize; 3]) {
    let decision = Decision::compile(xml, "test", None, VARIABLES).unwrap();
    let (records, mut scratch, mut verdicts) = (records(), Scratch::default(), [0; 3]);
    let counted = measure(|| {
        for _ in 0..100 {
            for record in &records {
                let verdict = black_box(decision.decide(black_box(record), &mut scratch));
                verdicts[match verdict.validation {
                    Validation::Valid => 0,
                    Validation::Warning => 1,
                    Validation::Invalid => 2,
                }] += 1;
            }
        }
    });
    (counted.count_total, verdicts)
}

#[test]
fn the_shipped_table_decides_without_an_allocation() {
    let (allocations, verdicts) = decide(include_str!("../decisions.dmn.xml"));
    assert_eq!(allocations, 0);
    // Two scores of nine are good, three are to be looked at; half of all records are complete.
    assert_eq!(verdicts, [1_000, 1_500, 6_500]);
}

#[test]
fn nor_does_a_table_of_five_hundred_rules_over_four_inputs_allocate() {
    let mut xml = String::from(
        "<definitions xmlns=\"https://www.omg.org/spec/DMN/20191111/MODEL/\"><decision id=\"d\" name=\"d\"><decisionTable>\
         <input><inputExpression typeRef=\"number\"><text>qualityScore</text></inputExpression></input>\
         <input><inputExpression typeRef=\"string\"><text>recordType</text></inputExpression></input>\
         <input><inputExpression typeRef=\"boolean\"><text>hasRequiredFields</text></inputExpression></input>\
         <input><inputExpression typeRef=\"string\"><text>customerId</text></inputExpression></input>\
         <output name=\"validationResult\"/><output name=\"action\"/>",
    );
    let mut rule = |cells: [&str; 4], verdict: &str, action: &str| {
        xml += "<rule>";
        for cell in cells {
            write!(xml, "<inputEntry><text>{cell}</text></inputEntry>").unwrap();
        }
        for cell in [verdict, action] {
            write!(xml, "<outputEntry><text>\"{cell}\"</text></outputEntry>").unwrap();
        }
        xml += "</rule>";
    };
    // Complete: 50 bands of scores for each of 5 types, half of them in two by the id; the last band has 100 in it.
    for (kind, name) in ["customer", "lead", "partner", "martian", ""]
        .iter()
        .enumerate()
    {
        for band in 0..50 {
            let end = if band == 49 { "]" } else { ")" };
            let score = format!("[{}..{}{end}", 2 * band, 2 * band + 2);
            let name = format!("\"{name}\"");
            if (band + kind) % 2 == 0 {
                rule([&score, &name, "true", "-"], "VALID", "PROCESS");
            } else {
                rule([&score, &name, "true", "&lt; \"C-5\""], "VALID", "PROCESS");
                rule([&score, &name, "true", "&gt;= \"C-5\""], "VALID", "PROCESS");
            }
        }
    }
    // Incomplete: 125 bands whatever the type is.
    for band in 0..125 {
        let end = if band == 124 { "]" } else { ")" };
        let tenths = |band: i64| Decimal::new(8 * band, 1);
        let score = format!("[{}..{}{end}", tenths(band), tenths(band + 1));
        rule([&score, "-", "false", "-"], "WARNING", "REVIEW");
    }
    // One more for records without a score.
    rule(["null", "-", "-", "-"], "INVALID", "REJECT");
    xml += "</decisionTable></decision></definitions>";
    assert_eq!(xml.matches("<rule>").count(), 501);
    assert_eq!(decide(&xml), (0, [4_000, 4_000, 1_000]));
}

#[test]
fn an_allocation_would_be_counted() {
    let counted = measure(|| drop(black_box(String::from("a text of its own"))));
    assert_eq!(counted.count_total, 1);
}
