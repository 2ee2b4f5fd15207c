//! `decisions.tests.yaml`: the tests beside a decision table.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::Workplace;

const TESTS: &str = "decisions.tests.yaml";

/// The shipped table with the shipped tests.
fn shipped() -> Workplace {
    let place = Workplace::new();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(TESTS);
    std::fs::copy(file, place.path(TESTS)).unwrap();
    place
}

fn tests_of(place: &Workplace, code: i32) -> Value {
    let finished = place.run(&["validate", "--output", "json"]);
    finished.expect(code);
    let result = finished.json();
    assert_eq!(result["exit_code"], code, "{finished}");
    result["tests"].clone()
}

#[test]
fn the_shipped_tests_pass_and_reach_every_rule() {
    let place = shipped();
    let tests = tests_of(&place, 0);
    assert_eq!(
        (&tests["total"], &tests["failed"]),
        (&json!(7), &json!(0)),
        "{tests}"
    );
    assert_eq!(
        (&tests["rules"], &tests["rules_reached"]),
        (&json!(5), &json!(5))
    );
    assert_eq!(tests["unreached"], json!([]));
    place.run(&["validate", "--strict", "-q"]).expect(0);
    // Without such a file there is nothing to say.
    assert_eq!(tests_of(&Workplace::new(), 0), Value::Null);
}

#[test]
fn a_test_that_fails_is_exit_2_with_its_line_and_the_whole_verdict() {
    let place = shipped();
    place.edit("decisions.dmn.xml", "[50..80)", "[50..75)");
    place.edit("decisions.dmn.xml", "&gt;= 80", "&gt;= 75");
    place
        .run(&["validate"])
        .expect(2)
        .says("decisions.tests.yaml:10: error[test] just below 80 is for a person to look at: expected validationResult WARNING, found VALID;")
        .says("the verdict: VALID, PROCESS by Rule_Good")
        .says("decisions.tests.yaml: 7 tests, 1 failed; they reach 5 of 5 rules");
    let failures = tests_of(&place, 2)["failures"].clone();
    assert_eq!(failures[0]["line"], 10, "{failures}");
    place
        .run(&["validate", "--output", "github"])
        .expect(2)
        .says("::error file=decisions.tests.yaml,line=10,title=test::just below 80");
    // A run does not read the tests: it decides by the table as it is.
    place.run(&["sync"]).expect(2).says("API_BASE_URL");
}

#[test]
fn a_rule_that_no_test_reaches_is_named_and_an_error_when_strict() {
    let place = shipped();
    place.edit(
        TESTS,
        "variables: { qualityScore: null }",
        "variables: { qualityScore: 10 }",
    );
    place.edit(
        TESTS,
        "rule: Rule_NoScore, reason: There is no quality score to judge by",
        "rule: Rule_ScoreTooLow",
    );
    let said = "they reach 4 of 5 rules, and none reaches rule 2 (Rule_NoScore)";
    place.run(&["validate"]).expect(0).says(said);
    place.run(&["validate", "--strict"]).expect(2).says(said);
    let unreached = tests_of(&place, 0)["unreached"].clone();
    assert_eq!(unreached[0]["rule"], "Rule_NoScore", "{unreached}");
    place
        .run(&["validate", "--output", "github"])
        .expect(0)
        .says("title=coverage::no test in decisions.tests.yaml reaches rule 2 (Rule_NoScore)");
}

#[test]
fn everything_that_can_be_expected_is_compared() {
    let record =
        "record: { external_id: C-1, full_name: Ada, quality_score: 95, contact_email: nobody }";
    let good = "record: { external_id: C-1, full_name: Ada, quality_score: 95 }";
    for (given, expected, told) in [
        (
            good,
            "validationResult: VALID, action: PROCESS, rule: Rule_Good, rejection: none",
            None,
        ),
        (
            good,
            "validationResult: INVALID",
            Some("expected validationResult INVALID, found VALID"),
        ),
        (
            good,
            "action: REVIEW",
            Some("expected action REVIEW, found PROCESS"),
        ),
        (
            good,
            "rules: [Rule_Good, Rule_NoScore]",
            Some("expected rule Rule_Good, Rule_NoScore, found Rule_Good"),
        ),
        (
            good,
            "rule: Rule_Goof",
            Some(
                "it expects the rule `Rule_Goof`, which is in no table; did you mean `Rule_Good`?",
            ),
        ),
        (
            good,
            "rejection: decision",
            Some("expected rejection decision, found none"),
        ),
        (
            good,
            "reason: fine",
            Some("expected reason fine, found The quality score is at least 80"),
        ),
        (record, "rejection: field_error, rules: []", None),
        (
            record,
            "rejection: decision",
            Some("contact_email: expected e-mail address"),
        ),
        (
            "variables: { qualityScor: 5 }",
            "action: REJECT",
            Some("there is no input variable `qualityScor`; did you mean `qualityScore`?"),
        ),
        (
            "variables: { qualityScore: 500 }",
            "action: REJECT",
            Some("the variable `qualityScore`: expected decimal from 0 to 100"),
        ),
        (
            "variables: { hasRequiredFields: 1 }",
            "action: REJECT",
            Some("expected true or false, found a number"),
        ),
        (
            "variables: { hasRequiredFields: false }",
            "rule: Rule_MissingField",
            None,
        ),
        (
            "variables: { createdAt: 2026-01-31T00:00:00Z, qualityScore: 50 }",
            "rule: Rule_ScoreMiddling",
            None,
        ),
        (
            "variables: { createdAt: 2026-01-31, qualityScore: 50 }",
            "rule: Rule_ScoreMiddling",
            Some("expected datetime"),
        ),
    ] {
        let place = Workplace::new();
        place.write(
            TESTS,
            &format!("tests:\n- {given}\n  expect: {{ {expected} }}\n"),
        );
        let finished = place.run(&["validate"]);
        match told {
            None => finished.expect(0).says("1 test, 0 failed"),
            Some(told) => finished.expect(2).says(told).says("1 test, 1 failed"),
        };
    }
}

#[test]
fn a_mistake_in_the_tests_is_told_like_one_in_the_mapping() {
    let place = shipped();
    place.edit(
        TESTS,
        "expect: { validationResult: VALID, rule: Rule_Good }",
        "expects: { validationResult: VALID, rule: Rule_Good }",
    );
    place
        .run(&["validate"])
        .expect(2)
        .says("decisions.tests.yaml:24:5: unknown key `expects`")
        .says("did you mean `expect`?");
    let finished = place.run(&["validate", "--output", "json"]);
    finished.expect(2);
    assert_eq!(finished.json()["config"]["errors"][0]["file"], TESTS);
    place
        .run(&["validate", "--output", "github"])
        .expect(2)
        .says("::error file=decisions.tests.yaml,line=24");
    std::fs::write(place.path(TESTS), b"tests: \xe9").unwrap();
    place
        .run(&["validate"])
        .expect(2)
        .says("decisions.tests.yaml: is not valid UTF-8");
}

/// A country decides on a risk, and the risk on the verdict.
const TWO_TABLES: &str = r##"<definitions xmlns="https://www.omg.org/spec/DMN/20191111/MODEL/" name="d" namespace="d">
<decision id="risk" name="risk"><variable name="risk"/><decisionTable hitPolicy="FIRST">
<input><inputExpression typeRef="string"><text>recordType</text></inputExpression></input><output name="risk" typeRef="string"/>
<rule id="Risk_High"><inputEntry><text>"lead"</text></inputEntry><outputEntry><text>"high"</text></outputEntry></rule>
<rule id="Risk_Low"><inputEntry><text>-</text></inputEntry><outputEntry><text>"low"</text></outputEntry></rule>
</decisionTable></decision>
<decision id="verdict" name="Verdict"><informationRequirement><requiredDecision href="#risk"/></informationRequirement><decisionTable>
<input><inputExpression><text>risk</text></inputExpression></input><output name="validationResult"/><output name="action"/>
<rule id="Verdict_High"><inputEntry><text>"high"</text></inputEntry><outputEntry><text>"WARNING"</text></outputEntry><outputEntry><text>"REVIEW"</text></outputEntry></rule>
<rule id="Verdict_Low"><inputEntry><text>"low"</text></inputEntry><outputEntry><text>"VALID"</text></outputEntry><outputEntry><text>"PROCESS"</text></outputEntry></rule>
</decisionTable></decision></definitions>"##;

#[test]
fn rules_of_required_decisions_are_to_be_reached_too() {
    let place = Workplace::new();
    place.write("rules.dmn.xml", TWO_TABLES);
    place.write(
        "rules.tests.yaml",
        "tests:\n- record: { external_id: a, full_name: A, record_type: lead }\n  expect: { rule: Verdict_High }\n",
    );
    place
        .run(&["validate", "--decisions", "rules.dmn.xml"])
        .expect(0)
        .says("rules.tests.yaml: 1 test, 0 failed; they reach 2 of 4 rules, and none reaches rule 2 (Risk_Low), rule 2 (Verdict_Low)");
}
