//! Tables that look right and are not, and tables that look wrong and are right: the lint tells them apart.

use datasync::decision::{Check, Decision, Finding, Lint, Scratch, Severity, lint};
use datasync::record::Cell;

use super::build::TableFile;

const FACTS: &[&str] = &["qualityScore", "recordType", "name"];

fn look_at(xml: &str) -> Lint {
    lint(xml, "t.dmn.xml", None, FACTS).unwrap_or_else(|problems| panic!("{problems}"))
}

fn found(report: &Lint, check: Check) -> Vec<&Finding> {
    report
        .findings
        .iter()
        .filter(|finding| finding.check == check)
        .collect()
}

fn one(report: &Lint, check: Check) -> &Finding {
    let findings = found(report, check);
    assert_eq!(findings.len(), 1, "{:#?}", report.findings);
    findings[0]
}

fn scores(hit: &str) -> TableFile {
    TableFile::deciding(hit).input("qualityScore: number")
}

/// What becomes of a record with this score, type and name.
fn class_of(xml: &str, facts: &[Cell<'_>]) -> String {
    let decision = Decision::compile(xml, "t.dmn.xml", None, FACTS).unwrap();
    let mut scratch = Scratch::default();
    decision.decide(facts, &mut scratch).class.to_owned()
}

fn scored(score: i64) -> [Cell<'static>; 3] {
    [Cell::Integer(score), Cell::Null, Cell::Null]
}

#[test]
fn a_default_of_one_output_alone_leaves_the_gap() {
    let xml = scores("UNIQUE").verdict("> 50", "VALID").xml();
    let half = xml.replacen(
        "</outputValues></output>",
        "</outputValues><defaultOutputEntry><text>\"INVALID\"</text></defaultOutputEntry></output>",
        1,
    );
    assert_eq!(class_of(&half, &scored(50)), "bad_output");
    let report = look_at(&half);
    let gap = one(&report, Check::Gap);
    assert!(gap.remedy.contains("every output"), "{gap}");
    let whole = half.replacen(
        "</outputValues></output>",
        "</outputValues><defaultOutputEntry><text>\"REJECT\"</text></defaultOutputEntry></output>",
        1,
    );
    assert_eq!(class_of(&whole, &scored(50)), "decided");
    assert!(found(&look_at(&whole), Check::Gap).is_empty());
}

#[test]
fn a_deciding_table_without_rules_is_an_error() {
    let report = look_at(&scores("UNIQUE").xml());
    let finding = one(&report, Check::Empty);
    assert_eq!(finding.severity, Severity::Error);
    assert!(finding.message.contains("has no rule"), "{finding}");
    assert!(found(&report, Check::Gap).is_empty(), "{report:#?}");
    assert_eq!(class_of(&scores("UNIQUE").xml(), &scored(50)), "no_rule");
}
