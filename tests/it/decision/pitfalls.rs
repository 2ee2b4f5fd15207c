//! Tables with hidden mistakes, and correct tables that look wrong: the lint reports the former only.

use datasync::decision::feel::value::Kind;
use datasync::decision::{
    Check, Decision, Finding, InputVariable, Lint, Role, Scratch, Severity, lint,
};
use datasync::model::record::Cell;

use super::build::TableFile;
use crate::support::Workplace;

const VARIABLES: &[&str] = &["qualityScore", "recordType", "name"];

fn look_at(xml: &str) -> Lint {
    lint(xml, "t.dmn.xml", None, VARIABLES).unwrap_or_else(|problems| panic!("{problems}"))
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
fn class_of(xml: &str, variables: &[Cell<'_>]) -> String {
    let decision = Decision::compile(xml, "t.dmn.xml", None, VARIABLES).unwrap();
    let mut scratch = Scratch::default();
    decision.decide(variables, &mut scratch).class.to_owned()
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

/// A deciding table over a score and a grade that another table makes of that score.
fn graded(rules: &[(&str, &str)]) -> String {
    let mut table = scores("UNIQUE").input("grade: string");
    for (conditions, validation) in rules {
        table = table.verdict(conditions, validation);
    }
    requiring(
        &table.xml(),
        "<decisionTable hitPolicy=\"FIRST\"><input><inputExpression typeRef=\"number\"><text>qualityScore</text></inputExpression></input><output typeRef=\"string\"/><rule><inputEntry><text>&gt;= 70</text></inputEntry><outputEntry><text>\"good\"</text></outputEntry></rule><rule><inputEntry><text>-</text></inputEntry><outputEntry><text>\"bad\"</text></outputEntry></rule></decisionTable>",
    )
}

/// The table with a required decision `grade`.
fn requiring(xml: &str, logic: &str) -> String {
    let grade = format!(
        "<decision id=\"grade\" name=\"grade\"><variable name=\"grade\"/>{logic}</decision>\n<decision id=\"table\""
    );
    let needs = "<informationRequirement><requiredDecision href=\"#grade\"/></informationRequirement><decisionTable hitPolicy=\"UNIQUE\">";
    xml.replacen("<decisionTable hitPolicy=\"UNIQUE\">", needs, 1)
        .replacen("<decision id=\"table\"", &grade, 1)
}

#[test]
fn an_overlap_that_no_record_shows_is_a_warning() {
    let xml = graded(&[
        (">= 80 | -", "VALID"),
        ("- | \"bad\"", "INVALID"),
        ("[70..80) | -", "WARNING"),
    ]);
    let report = look_at(&xml);
    assert!(!report.has_errors(), "{report:#?}");
    let overlaps = found(&report, Check::Overlap);
    assert_eq!(overlaps.len(), 2, "{report:#?}");
    for overlap in overlaps {
        assert!(overlap.message.contains("may both match"), "{overlap}");
    }
}

#[test]
fn an_overlap_over_a_required_decision_is_an_error_with_the_facts_that_show_it() {
    let xml = graded(&[("> 65 | -", "VALID"), ("- | \"bad\"", "INVALID")]);
    let report = look_at(&xml);
    let overlap = one(&report, Check::Overlap);
    assert_eq!(overlap.severity, Severity::Error);
    let example = overlap.example.as_ref().unwrap();
    let score = example["qualityScore"].as_i64().unwrap();
    assert!(score > 65 && score < 70 && example.len() == 1, "{overlap}");
    assert_eq!(class_of(&xml, &scored(score)), "several_rules");
}

#[test]
fn an_overlap_of_a_computed_input_is_an_error_only_where_a_record_shows_it() {
    let half = |rule: &str| {
        let table = scores("UNIQUE")
            .input("grade: number")
            .verdict(">= 80 | -", "VALID")
            .verdict(rule, "INVALID");
        let literal = "<literalExpression><text>qualityScore / 2</text></literalExpression>";
        look_at(&requiring(&table.xml(), literal))
    };
    assert_eq!(
        one(&half("- | < 40"), Check::Overlap).severity,
        Severity::Warning
    );
    assert_eq!(
        one(&half("- | < 45"), Check::Overlap).severity,
        Severity::Error
    );
}

fn typed(xml: &str) -> Lint {
    let variables = [
        ("qualityScore", Kind::Number),
        ("recordType", Kind::Text),
        ("name", Kind::Any),
    ]
    .map(|(name, kind)| InputVariable {
        kind,
        ..name.into()
    });
    lint(xml, "t.dmn.xml", None, &variables).unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn a_column_of_another_type_than_its_fact_is_an_error_that_names_both() {
    for (input, cell) in [
        ("recordType: number", "> 4"),
        ("recordType: date", "date(\"2026-01-31\")"),
        ("qualityScore: string", "\"high\""),
        ("qualityScore", "\"high\""),
        ("qualityScore: boolean", "true"),
    ] {
        let table = TableFile::deciding("FIRST")
            .input(input)
            .verdict(cell, "VALID")
            .verdict("-", "INVALID");
        let report = typed(&table.xml());
        let finding = one(&report, Check::Type);
        assert_eq!(finding.severity, Severity::Error);
        let (name, variable) = if input.starts_with('q') {
            ("qualityScore", "number")
        } else {
            ("recordType", "string")
        };
        assert!(finding.message.contains(name), "{finding}");
        assert!(
            finding.message.contains(&format!("bring a {variable}")),
            "{finding}"
        );
        assert!(
            finding.example.as_ref().unwrap().contains_key(name),
            "{finding}"
        );
        assert_eq!(report.findings.len(), 1, "{report:#?}");
    }
}

#[test]
fn a_fact_whose_type_is_not_known_goes_with_any_column() {
    for input in ["name: number", "name", "recordType", "recordType: string"] {
        let cell = if input.ends_with("number") {
            "> 4"
        } else {
            "\"x\""
        };
        let table = TableFile::deciding("FIRST")
            .input(input)
            .verdict(cell, "VALID")
            .verdict("-", "INVALID");
        let report = typed(&table.xml());
        assert!(report.findings.is_empty(), "{report:#?}");
    }
}

#[test]
fn a_cell_of_another_type_than_the_fact_is_an_error_in_a_column_without_a_type() {
    let table = TableFile::deciding("FIRST")
        .input("qualityScore")
        .verdict("\"high\"", "VALID")
        .verdict("\"low\"", "WARNING")
        .verdict("> 20", "WARNING")
        .verdict("-", "INVALID");
    let report = typed(&table.xml());
    let rows: Vec<usize> = found(&report, Check::Type)
        .iter()
        .flat_map(|finding| finding.rows.clone())
        .collect();
    assert_eq!(rows, [1, 2], "{report:#?}");
}

#[test]
fn the_types_of_the_mapping_are_held_against_the_table_before_anything_is_fetched() {
    let place = Workplace::new();
    place.edit(
        "decisions.dmn.xml",
        "typeRef=\"boolean\"",
        "typeRef=\"string\"",
    );
    let finished = place.run(&["validate", "--output", "json"]);
    finished.expect(2);
    let lint = finished.json()["lint"].clone();
    let of_column = |finding: &serde_json::Value| {
        finding["check"] == "type" && finding["message"].to_string().contains("bring a boolean")
    };
    assert!(lint.as_array().unwrap().iter().any(of_column), "{lint}");
}

#[test]
fn a_rule_that_says_pass_and_reject_at_once_is_warned_of_and_its_rejection_says_so() {
    let xml = scores("UNIQUE")
        .rule("> 80 => \"VALID\" | \"REJECT\"")
        .rule("<= 80 => \"INVALID\" | \"PROCESS\"")
        .rule("null => \"INVALID\" | \"REJECT\"")
        .xml();
    let report = look_at(&xml);
    let findings = found(&report, Check::Contradiction);
    assert_eq!(findings.len(), 2, "{report:#?}");
    assert_eq!(
        (findings[0].severity, &findings[0].rows[..]),
        (Severity::Warning, &[1][..])
    );
    assert!(
        findings[1].message.contains("INVALID and PROCESS"),
        "{report:#?}"
    );
    let decision = Decision::compile(&xml, "t.dmn.xml", None, VARIABLES).unwrap();
    for (score, reason) in [
        (90, "its action is REJECT, though its result is not INVALID"),
        (10, "its result is INVALID, though its action is not REJECT"),
    ] {
        let record = scored(score);
        let verdict = decision.decide(&record, &mut Scratch::default());
        assert!(!verdict.passes());
        assert_eq!(verdict.reason, reason);
    }
}

#[test]
fn a_regular_expression_that_is_none_is_refused_with_its_place_and_why() {
    for (cell, why) in [
        ("matches(?, \"[a\")", "unclosed character class"),
        ("matches(?, \"a\", \"k\")", "there is no flag `k`"),
        ("replace(?, \"(\", \"x\") = \"x\"", "unclosed group"),
        (
            "count(split(?, \"*\")) > 1",
            "repetition operator missing expression",
        ),
        (
            "not(matches(?, \"(a)\\\\1\"))",
            "backreferences are not supported",
        ),
    ] {
        let table = TableFile::deciding("UNIQUE")
            .input("name: string")
            .verdict("\"x\"", "VALID")
            .verdict(cell, "INVALID");
        let problems = Decision::compile(&table.xml(), "t.dmn.xml", None, VARIABLES).unwrap_err();
        let text = problems.to_string();
        assert!(text.contains("rule 2 (R2), input \"name\""), "{text}");
        assert!(
            text.contains("is no regular expression") && text.contains(why),
            "{text}"
        );
        assert!(lint(&table.xml(), "t.dmn.xml", None, VARIABLES).is_err());
    }
    let table = TableFile::deciding("UNIQUE")
        .input("name: string")
        .verdict("matches(?, \"^[a-z-[aeiou]]+$\", \"i\")", "VALID");
    assert!(Decision::compile(&table.xml(), "t.dmn.xml", None, VARIABLES).is_ok());
}

#[test]
fn thousands_of_equal_rules_are_told_in_part_and_soon() {
    for hit in ["UNIQUE", "FIRST"] {
        let mut table = scores(hit);
        for _ in 0..5000 {
            table = table.verdict("-", "VALID");
        }
        let started = std::time::Instant::now();
        let report = look_at(&table.xml());
        assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
        for check in [Check::Duplicate, Check::Overlap, Check::Shadowed] {
            assert!(found(&report, check).len() <= 100, "{hit} {}", check.name());
        }
        let notes = report.notes.join("\n");
        assert!(
            notes.contains("4899 further findings of the check duplicate"),
            "{notes}"
        );
        let other = if hit == "UNIQUE" {
            "further overlaps"
        } else {
            "further shadowed"
        };
        assert!(notes.contains(other), "{notes}");
    }
}

#[test]
fn a_column_that_is_left_out_for_its_size_is_said_to_be_too_large() {
    let mut table = scores("UNIQUE");
    for row in 0..10_001 {
        table = table.verdict(&row.to_string(), "VALID");
    }
    let notes = look_at(&table.xml()).notes.join("\n");
    assert!(notes.contains("too large for it: qualityScore"), "{notes}");
    assert!(!notes.contains("more than comparisons"), "{notes}");
}

#[test]
fn an_element_with_too_many_attributes_is_refused_at_once() {
    let with = |count: usize| {
        let attributes: String = (0..count).fold(String::new(), |all, number| {
            all + &format!(" v{number}=\"\"")
        });
        let xml = scores("UNIQUE").verdict("-", "VALID").xml();
        xml.replacen("<decisionTable", &format!("<decisionTable{attributes}"), 1)
    };
    let started = std::time::Instant::now();
    let problems = lint(&with(700_000), "t.dmn.xml", None, VARIABLES).unwrap_err();
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
    assert!(
        problems.to_string().contains("more than 1000 attributes"),
        "{problems}"
    );
    assert!(lint(&with(900), "t.dmn.xml", None, VARIABLES).is_ok());
}

fn explained(xml: &str, variables: &[Cell<'_>]) -> String {
    let decision = Decision::compile(xml, "t.dmn.xml", None, VARIABLES).unwrap();
    decision.explain(variables).to_string()
}

#[test]
fn that_no_change_would_pass_is_said_only_where_it_is_certain() {
    let never = scores("FIRST")
        .verdict("> 50", "INVALID")
        .verdict("-", "INVALID");
    let text = explained(&never.xml(), &scored(58));
    assert!(
        text.contains("no change of the values alone would pass"),
        "{text}"
    );
    let computed = TableFile::deciding("UNIQUE")
        .input("qualityScore * 2: number")
        .verdict("500001", "VALID")
        .verdict("not(500001)", "INVALID");
    let text = explained(&computed.xml(), &scored(58));
    assert!(text.contains("no single change was found"), "{text}");
    assert!(
        text.contains("what it computes is made of: qualityScore"),
        "{text}"
    );
    let text = explained(
        &graded(&[("- | \"good\"", "VALID"), ("- | \"bad\"", "INVALID")]),
        &scored(58),
    );
    assert!(text.contains("qualityScore 58 → 70 gives VALID"), "{text}");
}

#[test]
fn a_change_that_leaves_an_earlier_rule_is_proposed() {
    let table = scores("FIRST")
        .input("recordType: string")
        .verdict("- | \"partner\"", "INVALID")
        .verdict(">= 50 | -", "VALID")
        .verdict("- | -", "INVALID");
    let record = [Cell::Integer(58), Cell::Text("partner".into()), Cell::Null];
    let text = explained(&table.xml(), &record);
    assert!(text.contains("recordType \"partner\" → "), "{text}");
    assert!(text.contains("gives VALID, PROCESS (R2)"), "{text}");
}

#[test]
fn a_cell_with_a_function_that_holds_already_is_no_obstacle_to_a_change() {
    let table = scores("FIRST")
        .input("name: string")
        .verdict("> 80 | starts with(?, \"B\")", "VALID")
        .verdict("- | -", "INVALID");
    let record = [Cell::Integer(58), Cell::Null, Cell::Text("Bob".into())];
    let text = explained(&table.xml(), &record);
    assert!(text.contains("qualityScore 58 → 81 gives VALID"), "{text}");
}

#[test]
fn a_complete_record_that_lacks_a_required_fact_is_no_overlap() {
    let variables = [
        ("complete", Kind::Boolean, Role::Complete),
        ("name", Kind::Text, Role::Required),
        ("note", Kind::Text, Role::Free),
    ]
    .map(|(name, kind, role)| InputVariable {
        kind,
        role,
        ..name.into()
    });
    for (input, overlaps) in [("name: string", 0), ("note: string", 1)] {
        let xml = TableFile::deciding("UNIQUE")
            .input("complete: boolean")
            .input(input)
            .verdict("true | -", "VALID")
            .verdict("- | null", "INVALID")
            .verdict("false | not(null)", "INVALID")
            .xml();
        let report = lint(&xml, "t.dmn.xml", None, &variables).unwrap();
        assert_eq!(
            found(&report, Check::Overlap).len(),
            overlaps,
            "{report:#?}"
        );
    }
}

#[test]
fn a_business_knowledge_model_is_refused_by_name_where_it_is_called_and_nowhere_else() {
    let with = |foreign: &str, requires: &str, input: &str, cell: &str| {
        TableFile::deciding("UNIQUE")
            .input(input)
            .verdict(cell, "VALID")
            .xml()
            .replace(
                "<decision id=\"table\" name=\"Table\">",
                &format!("{foreign}<decision id=\"table\" name=\"Table\">{requires}"),
            )
    };
    let model = "<businessKnowledgeModel id=\"b\" name=\"Risk Level\"><encapsulatedLogic><formalParameter name=\"x\"/>\
                 <literalExpression><text>x + 1</text></literalExpression></encapsulatedLogic></businessKnowledgeModel>";
    let requires = "<knowledgeRequirement><requiredKnowledge href=\"#b\"/></knowledgeRequirement>";
    for requires in ["", requires] {
        let unused = with(model, requires, "qualityScore: number", ">= 0");
        assert!(Decision::compile(&unused, "t", None, VARIABLES).is_ok());
        for (input, cell) in [
            ("Risk Level(qualityScore): number", ">= 0"),
            ("qualityScore: number", ">= Risk Level(5)"),
            ("qualityScore: number", "? > 0 and Risk  Level (?) > 1"),
        ] {
            let used = with(model, requires, input, cell);
            let refused = Decision::compile(&used, "t", None, VARIABLES)
                .unwrap_err()
                .to_string();
            assert!(
                refused.contains("`Risk Level` is a business knowledge model: these are not supported; write it as a decision"),
                "{refused}"
            );
        }
    }
    let service = "<decisionService id=\"s\" name=\"Scoring\"/>";
    let used = with(service, "", "Scoring(1): number", ">= 0");
    let refused = Decision::compile(&used, "t", None, VARIABLES)
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("`Scoring` is a decision service"),
        "{refused}"
    );
    let import = "<import name=\"other\" namespace=\"x\" importType=\"y\"/>";
    let used = with(import, "", "other.Rate(1): number", ">= 0");
    let refused = Decision::compile(&used, "t", None, VARIABLES)
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("`other` is another file: imports are not supported"),
        "{refused}"
    );
    let invoked = with("", "", "qualityScore: number", ">= 0").replace(
        "<decision id=\"table\" name=\"Table\">",
        &format!("{model}<decision id=\"i\" name=\"i\"><invocation><literalExpression><text>Risk Level</text></literalExpression></invocation></decision>\
                  <decision id=\"table\" name=\"Table\"><informationRequirement><requiredDecision href=\"#i\"/></informationRequirement>"),
    );
    let refused = Decision::compile(&invoked, "t", Some("Table"), VARIABLES)
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("<invocation> is not supported (here of `Risk Level`)"),
        "{refused}"
    );
}
