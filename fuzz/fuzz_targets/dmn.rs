//! Any bytes as a decision file: read, compiled, linted, asked for a verdict and for an explanation. Nothing may panic,
//! hang or overflow the stack, and the index must decide as the table does.
#![no_main]

use datasync::decision::{Decision, Scratch, lint};
use datasync::model::record::Cell;
use libfuzzer_sys::fuzz_target;

const VARIABLES: &[&str] = &[
    "recordType",
    "qualityScore",
    "hasRequiredFields",
    "createdAt",
];

fuzz_target!(|data: &[u8]| {
    let Ok(xml) = std::str::from_utf8(data) else {
        return;
    };
    let linted = lint(xml, "fuzz", None, VARIABLES);
    let Ok(decision) = Decision::compile(xml, "fuzz", None, VARIABLES) else {
        return;
    };
    assert!(linted.is_ok(), "what compiles can be linted");
    let mut scratch = Scratch::default();
    for variables in [
        [Cell::Null, Cell::Null, Cell::Null, Cell::Null],
        [
            Cell::Text("lead".into()),
            Cell::Decimal(795.into()),
            Cell::Boolean(true),
            Cell::Date(20_454),
        ],
        [
            Cell::Text("".into()),
            Cell::Integer(i64::MIN),
            Cell::Boolean(false),
            Cell::DateTime(0),
        ],
    ] {
        let verdict = decision.decide(&variables, &mut scratch);
        let explanation = decision.explain(&variables);
        assert_eq!(verdict.validation.as_str(), explanation.validation);
        assert_eq!(verdict.class, explanation.class);
        assert!(
            explanation
                .nearest
                .iter()
                .all(|nearest| nearest.gives != "INVALID")
        );
        assert!(!explanation.to_string().is_empty());
    }
});
