//! Tables that would take for ever, or all memory, to decide a single record: that is bounded, and the record rejected.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use datasync::decision::{Decision, Scratch};
use datasync::model::record::{Cell, Validation};

use super::VARIABLES;
use super::build::{TableFile, escaped};

/// Decides one record by a table with this input, which sees the last of the decisions `d0`, `d1`, …: `first`, and then
/// each as `next` makes it of the one before.
fn decide(input: &str, first: &str, next: impl Fn(&str) -> String, count: usize) -> &'static str {
    let mut decisions = String::new();
    for i in 0..=count {
        let (needs, text) = match i.checked_sub(1) {
            None => (String::new(), first.to_owned()),
            Some(before) => (
                format!(
                    "<informationRequirement><requiredDecision href=\"#d{before}\"/></informationRequirement>"
                ),
                next(&format!("d{before}")),
            ),
        };
        write!(
            decisions,
            "<decision id=\"d{i}\" name=\"d{i}\">{needs}<literalExpression><text>{}</text></literalExpression></decision>",
            escaped(&text)
        )
        .unwrap();
    }
    let xml = TableFile::deciding("FIRST")
        .input(&format!("{}: number", input.replace("LAST", &format!("d{count}"))))
        .verdict("> 0", "VALID")
        .xml()
        .replace(
            "<decision id=\"table\" name=\"Table\">",
            &format!("<decision id=\"table\" name=\"Table\"><informationRequirement><requiredDecision href=\"#d{count}\"/></informationRequirement>"),
        )
        .replace("</definitions>", &(decisions + "</definitions>"));
    let started = Instant::now();
    let decision = Decision::compile(&xml, "t.dmn.xml", Some("Table"), VARIABLES)
        .unwrap_or_else(|problems| panic!("{input}: {problems}"));
    let variables = vec![Cell::Null; VARIABLES.len()];
    let verdict = decision.decide(&variables, &mut Scratch::default());
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{input} of {first}: {:?}",
        started.elapsed()
    );
    assert_eq!(
        verdict.validation,
        Validation::Invalid,
        "{input} of {first}"
    );
    verdict.class
}

#[test]
fn what_grows_with_every_decision_is_given_up() {
    let twice = |before: &str| format!("{before} + {before}");
    decide("string length(LAST)", "\"abcdefgh\"", twice, 40);
    let both = |before: &str| format!("[{before}, {before}]");
    for input in [
        "string length(string(LAST))",
        "count(flatten(LAST))",
        "if LAST = [LAST] then 1 else 0",
    ] {
        decide(input, "[1]", both, 40);
    }
    let longer = |before: &str| format!("concatenate({before}, {before})");
    decide("count(LAST)", "[1, 2]", longer, 40);
    let replaced = |before: &str| format!("replace({before}, \"a\", {before})");
    decide("string length(LAST)", "\"aaaa\"", replaced, 40);
}

#[test]
fn a_loop_over_too_long_a_range_is_a_rejection_that_says_so() {
    for body in [
        "count(for i in 1..100001 return i)",
        "if some i in 1..100001 satisfies i < 0 then 1 else 2",
    ] {
        assert_eq!(decide(body, "1", str::to_owned, 1), "work_limit", "{body}");
    }
}

#[test]
fn what_is_too_large_for_a_function_is_a_rejection_that_says_so() {
    for (input, first) in [
        ("count(distinct values(LAST))", "for i in 1..20000 return i"),
        ("count(union(LAST, LAST))", "for i in 1..20000 return i"),
        (
            "string length(replace(string(LAST), \"[0-9]\", string(LAST)))",
            "for i in 1..2000 return i",
        ),
    ] {
        assert_eq!(
            decide(input, first, str::to_owned, 1),
            "work_limit",
            "{input}"
        );
    }
}

#[test]
fn loops_over_loops_are_given_up() {
    for body in [
        "count(for i in 1..1000, j in 1..1000, k in 1..1000 return i)",
        "count(distinct values(for i in 1..20000 return i))",
        "count(for i in 1..20000 return count(LAST))",
        "count(for i in 1..20000 return count(partial))",
    ] {
        decide(body, "for i in 1..9999 return string(i)", str::to_owned, 1);
    }
}
