//! The decision stage against real DMN files: the shipped one first of all.
#![allow(clippy::unwrap_used)]

mod budget;
pub mod build;
mod explain;
mod feel;
mod hostile;
mod kept;
mod lint;
mod mapped;
mod mapped_random;
mod pitfalls;
mod properties;
mod tables;
mod tck;

use datasync::decision::{Decision, Scratch};
use datasync::model::record::{Action, Cell, Validation};
use rust_decimal::Decimal;

const SHIPPED: &str = include_str!("../../decisions.dmn.xml");
const VARIABLES: &[&str] = &[
    "customerId",
    "customerName",
    "recordType",
    "qualityScore",
    "hasRequiredFields",
];

fn decimal(text: &str) -> Cell<'static> {
    if text == "null" {
        Cell::Null
    } else {
        Cell::Decimal(text.parse::<Decimal>().unwrap())
    }
}

#[test]
fn the_shipped_table_has_exactly_one_verdict_for_every_record() {
    let decision = Decision::compile(SHIPPED, "decisions.dmn.xml", None, VARIABLES)
        .unwrap_or_else(|problems| panic!("{problems}"));
    let mut scratch = Scratch::default();
    for score in [
        "null", "-1", "0", "49", "49.5", "49.99999", "50", "50.0", "79", "79.5", "79.99999", "80",
        "80.0001", "100", "101",
    ] {
        for kind in [
            None,
            Some("customer"),
            Some("lead"),
            Some("partner"),
            Some("reseller"),
            Some("martian"),
            Some(""),
        ] {
            for complete in [true, false] {
                let variables = [
                    Cell::Text("C-1".into()),
                    Cell::Null,
                    kind.map_or(Cell::Null, |kind| Cell::Text(kind.into())),
                    decimal(score),
                    Cell::Boolean(complete),
                ];
                let verdict = decision.decide(&variables, &mut scratch);
                let expected = match score.parse::<f64>() {
                    _ if !complete => (Validation::Invalid, Action::Reject),
                    Err(_) => (Validation::Invalid, Action::Reject),
                    Ok(score) if score < 50.0 => (Validation::Invalid, Action::Reject),
                    Ok(score) if score < 80.0 => (Validation::Warning, Action::Review),
                    // Whatever its type is.
                    Ok(_) => (Validation::Valid, Action::Process),
                };
                assert_eq!(
                    (verdict.validation, verdict.action),
                    expected,
                    "score {score}, type {kind:?}, complete {complete}: {verdict:?}"
                );
                assert_eq!(verdict.class, "decided");
                assert_eq!(verdict.rules.as_slice().len(), 1);
                assert!(verdict.reason.len() > 20, "{}", verdict.reason);
            }
        }
    }
}

#[test]
fn a_score_of_the_wrong_type_is_named_without_its_value() {
    let decision = Decision::compile(SHIPPED, "decisions.dmn.xml", None, VARIABLES).unwrap();
    let variables = [
        Cell::Null,
        Cell::Null,
        Cell::Text("lead".into()),
        Cell::Text("eighty".into()),
        Cell::Boolean(true),
    ];
    let mut scratch = Scratch::default();
    let verdict = decision.decide(&variables, &mut scratch);
    assert_eq!(verdict.class, "type_error");
    assert!(!verdict.passes());
    assert_eq!(
        verdict.reason,
        "the input `qualityScore` of \"Validate Record\" is a string, where a number is expected"
    );
}

#[test]
fn an_input_that_no_record_has_is_refused_with_the_nearest_field() {
    let problems = Decision::compile(
        &SHIPPED.replace("qualityScore", "qualtyScore"),
        "decisions.dmn.xml",
        None,
        VARIABLES,
    )
    .unwrap_err();
    let text = problems.to_string();
    assert!(text.contains("`qualtyScore`"), "{text}");
    assert!(
        text.contains("the nearest known name is `qualityScore`"),
        "{text}"
    );
}
