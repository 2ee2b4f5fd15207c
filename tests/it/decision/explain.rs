//! Explanations and the impact of a rule change.

use datasync::decision::{Decision, Explanation, Impact};
use datasync::model::record::Cell;

use super::build::TableFile;
use super::{SHIPPED, VARIABLES, decimal};

fn shipped() -> Decision {
    Decision::compile(SHIPPED, "decisions.dmn.xml", None, VARIABLES).unwrap()
}

fn variables(kind: &str, score: &str, complete: bool) -> Vec<Cell<'static>> {
    vec![
        Cell::Text("C-1".into()),
        Cell::Text("Ada".into()),
        Cell::Text(kind.to_owned().into()),
        decimal(score),
        Cell::Boolean(complete),
    ]
}

fn nearest(explanation: &Explanation) -> Vec<String> {
    explanation
        .nearest
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn a_low_score_is_told_both_changes_that_would_pass() {
    let explanation = shipped().explain(&variables("lead", "48", true));
    assert_eq!(explanation.fired, ["Rule_ScoreTooLow"]);
    assert_eq!(
        nearest(&explanation),
        [
            "qualityScore 48 → 50 gives WARNING, REVIEW (Rule_ScoreMiddling)",
            "qualityScore 48 → 80 gives VALID, PROCESS (Rule_Good)",
        ]
    );
}

#[test]
fn a_warning_is_told_what_makes_it_valid() {
    let explanation = shipped().explain(&variables("lead", "58", true));
    assert_eq!(
        nearest(&explanation),
        ["qualityScore 58 → 80 gives VALID, PROCESS (Rule_Good)"]
    );
    // Where the type counts as well, both changes are named.
    let old = "<inputEntry id=\"Rule_Good_In3\">\n          <text>-</text>";
    assert!(SHIPPED.contains(old));
    let choosy = SHIPPED.replacen(old, &old.replace('-', "\"customer\", \"lead\""), 1);
    let choosy = Decision::compile(&choosy, "choosy", None, VARIABLES)
        .unwrap_or_else(|problems| panic!("{problems}"));
    let explanation = choosy.explain(&variables("martian", "79.5", true));
    assert_eq!(
        nearest(&explanation),
        [
            "qualityScore 79.5 → 80 and recordType \"martian\" → \"customer\" gives VALID, PROCESS (Rule_Good)"
        ]
    );
    assert!(
        shipped()
            .explain(&variables("lead", "95", true))
            .nearest
            .is_empty()
    );
}

#[test]
fn every_rule_tells_which_cells_failed() {
    let explanation = shipped().explain(&variables("lead", "48", true));
    let failed: Vec<(usize, bool, Vec<&str>)> = explanation
        .rules
        .iter()
        .map(|rule| {
            (
                rule.row,
                rule.matched,
                rule.failed.iter().map(|cell| cell.entry.as_str()).collect(),
            )
        })
        .collect();
    assert_eq!(
        failed,
        [
            (1, false, vec!["false"]),
            (2, false, vec!["null"]),
            (3, true, vec![]),
            (4, false, vec!["[50..80)"]),
            (5, false, vec![">= 80"]),
        ]
    );
    let text = explanation.to_string();
    assert!(
        text.contains("because: The quality score is below 50"),
        "{text}"
    );
    assert!(text.contains("qualityScore is 48, not >= 80"), "{text}");
    let json = serde_json::to_value(&explanation).unwrap();
    assert_eq!(json["validationResult"], "INVALID");
    assert_eq!(json["facts"][1]["name"], "qualityScore");
    assert_eq!(json["facts"][1]["value"], 48);
    assert_eq!(json["nearest"][0]["changes"][0]["to"], 50);
}

#[test]
fn a_record_that_no_rule_matches_is_told_the_nearest_rule() {
    let table = TableFile::deciding("UNIQUE")
        .input("qualityScore: number")
        .verdict("> 80", "VALID")
        .verdict("< 50", "INVALID");
    let decision = Decision::compile(&table.xml(), "t.dmn.xml", None, VARIABLES).unwrap();
    let explanation = decision.explain(&variables("lead", "60", true));
    assert_eq!(explanation.class, "no_rule");
    assert_eq!(
        nearest(&explanation),
        ["qualityScore 60 → 81 gives VALID, PROCESS (R1)"]
    );
}

#[test]
fn the_same_records_by_two_tables_show_what_changed() {
    let old = shipped();
    let new = Decision::compile(
        &SHIPPED
            .replace("&gt;= 80", "&gt;= 90")
            .replace("[50..80)", "[50..90)"),
        "new",
        None,
        VARIABLES,
    )
    .unwrap();
    let records = (0..100_u32).map(|score| {
        (
            format!("C-{score}"),
            variables("lead", &score.to_string(), true),
        )
    });
    let impact = Impact::of(&old, &new, records);
    assert_eq!(
        (impact.total, impact.changed, impact.reworded),
        (100, 10, 0)
    );
    assert_eq!(impact.changes.len(), 1);
    assert_eq!(
        (
            impact.changes[0].from.as_str(),
            impact.changes[0].to.as_str()
        ),
        ("VALID/PROCESS", "WARNING/REVIEW")
    );
    assert_eq!(
        impact.changes[0].ids.first().map(String::as_str),
        Some("C-80")
    );
    assert!(
        impact
            .to_string()
            .starts_with("10 of 100 records change their verdict")
    );
}
