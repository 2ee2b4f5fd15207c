//! The lint: each check finds its mistake, names the rules, and shows a record for which it is true.

use datasync::decision::{Check, Decision, Finding, Lint, Scratch, Severity, lint};
use datasync::record::Cell;

use super::build::TableFile;

const FACTS: &[&str] = &[
    "recordType",
    "qualityScore",
    "hasRequiredFields",
    "createdAt",
    "name",
];

fn look(table: &TableFile) -> Lint {
    lint(&table.xml(), "t.dmn.xml", None, FACTS).unwrap_or_else(|problems| panic!("{problems}"))
}

fn only(table: &TableFile, check: Check) -> Vec<Finding> {
    look(table)
        .findings
        .into_iter()
        .filter(|finding| finding.check == check)
        .collect()
}

fn one(table: &TableFile, check: Check) -> Finding {
    let findings = only(table, check);
    assert_eq!(findings.len(), 1, "{findings:#?}");
    findings.into_iter().next().unwrap()
}

/// The example as facts of a record.
fn facts_of(finding: &Finding) -> Vec<Cell<'static>> {
    let example = finding.example.as_ref().unwrap();
    FACTS
        .iter()
        .map(|fact| match example.get(*fact) {
            None | Some(serde_json::Value::Null) => Cell::Null,
            Some(serde_json::Value::Bool(truth)) => Cell::Boolean(*truth),
            Some(serde_json::Value::Number(number)) => {
                Cell::Decimal(number.to_string().parse().unwrap())
            }
            Some(serde_json::Value::String(text)) => Cell::Text(text.clone().into()),
            Some(other) => panic!("{other}"),
        })
        .collect()
}

fn class_of(table: &TableFile, finding: &Finding) -> &'static str {
    let decision = Decision::compile(&table.xml(), "t.dmn.xml", None, FACTS).unwrap();
    let mut scratch = Scratch::default();
    decision.decide(&facts_of(finding), &mut scratch).class
}

fn scores() -> TableFile {
    TableFile::deciding("UNIQUE").input("qualityScore: number")
}

#[test]
fn the_shipped_table_has_no_finding() {
    let report = lint(super::SHIPPED, "decisions.dmn.xml", None, super::FACTS).unwrap();
    assert!(report.findings.is_empty(), "{:#?}", report.findings);
    assert!(report.notes.is_empty(), "{:?}", report.notes);
}

#[test]
fn an_overlap_under_unique_is_an_error_with_a_record_that_both_match() {
    let table = scores()
        .verdict(">= 80", "VALID")
        .verdict("[50..80]", "WARNING")
        .verdict("< 50", "INVALID");
    let finding = one(&table, Check::Overlap);
    assert_eq!(finding.severity, Severity::Error);
    assert_eq!(finding.rules, ["R1", "R2"]);
    assert_eq!(finding.rows, [1, 2]);
    assert_eq!(class_of(&table, &finding), "several_rules");
    assert!(
        finding.message.contains("qualityScore 80"),
        "{}",
        finding.message
    );
}

#[test]
fn an_overlap_under_any_counts_only_with_different_outputs() {
    let table = TableFile::deciding("ANY")
        .input("qualityScore: number")
        .verdict(">= 80", "VALID")
        .verdict(">= 70", "VALID")
        .verdict("< 75", "WARNING");
    let finding = one(&table, Check::Overlap);
    assert_eq!(finding.rules, ["R2", "R3"]);
    assert_eq!(class_of(&table, &finding), "conflicting_rules");
}

#[test]
fn overlaps_of_rules_with_several_inputs_need_all_of_them() {
    let table = TableFile::deciding("UNIQUE")
        .input("qualityScore: number")
        .input("recordType: string")
        .verdict("> 50 | \"lead\"", "VALID")
        .verdict("> 60 | \"partner\"", "VALID")
        .verdict("<= 50 | -", "INVALID")
        .verdict("> 50 | not(\"lead\", \"partner\", \"x\")", "WARNING")
        .verdict("> 90 | \"lead\", \"y\"", "WARNING");
    let pairs: Vec<Vec<usize>> = only(&table, Check::Overlap)
        .into_iter()
        .map(|finding| finding.rows)
        .collect();
    assert_eq!(pairs, [vec![1, 5], vec![4, 5]]);
}

#[test]
fn a_gap_is_shown_by_a_record_that_no_rule_matches() {
    let table = scores()
        .verdict(">= 80", "VALID")
        .verdict("[50..79]", "WARNING")
        .verdict("< 50", "INVALID");
    let finding = one(&table, Check::Gap);
    assert_eq!(finding.severity, Severity::Warning);
    assert!(finding.message.contains("(79..80)"), "{}", finding.message);
    assert_eq!(class_of(&table, &finding), "no_rule");
}

#[test]
fn gaps_across_inputs_are_found_and_joined() {
    let table = TableFile::deciding("UNIQUE")
        .input("hasRequiredFields: boolean")
        .input("qualityScore: number")
        .verdict("true | >= 50", "VALID")
        .verdict("false | < 50", "INVALID");
    let findings = only(&table, Check::Gap);
    assert_eq!(findings.len(), 2, "{findings:#?}");
    for finding in &findings {
        assert_eq!(class_of(&table, finding), "no_rule");
    }
}

#[test]
fn allowed_values_bound_the_search_for_gaps() {
    let table = TableFile::deciding("UNIQUE")
        .input_of("recordType: string", r#""lead", "partner""#)
        .input_of("qualityScore: number", "[0..100]")
        .verdict("\"lead\" | -", "VALID")
        .verdict("\"partner\" | [0..60]", "WARNING")
        .verdict("\"partner\" | (60..100]", "VALID");
    assert!(
        look(&table).findings.is_empty(),
        "{:#?}",
        look(&table).findings
    );
}

#[test]
fn adjacent_dates_have_nothing_between_them() {
    let table = TableFile::deciding("UNIQUE")
        .input("createdAt: date")
        .verdict("<= date(\"2025-12-31\")", "INVALID")
        .verdict(">= date(\"2026-01-01\")", "VALID");
    assert!(
        look(&table).findings.is_empty(),
        "{:#?}",
        look(&table).findings
    );
}

#[test]
fn a_default_output_leaves_no_gap() {
    let table = scores().verdict(">= 80", "VALID");
    let xml = table.xml().replace(
        "</outputValues></output>",
        "</outputValues><defaultOutputEntry><text>null</text></defaultOutputEntry></output>",
    );
    let report = lint(&xml, "t.dmn.xml", None, FACTS);
    // A null default is no verdict; what counts here is that it is no gap.
    if let Ok(report) = report {
        assert!(
            !report
                .findings
                .iter()
                .any(|finding| finding.check == Check::Gap)
        );
    }
}

#[test]
fn a_rule_below_the_ones_that_take_its_records_is_shadowed() {
    let table = TableFile::deciding("FIRST")
        .input("qualityScore: number")
        .input("recordType: string")
        .verdict(">= 50 | -", "VALID")
        .verdict("< 50 | \"lead\"", "WARNING")
        .verdict("[0..90] | \"lead\"", "WARNING")
        .verdict("- | -", "INVALID");
    let finding = one(&table, Check::Shadowed);
    assert_eq!(finding.severity, Severity::Warning);
    assert_eq!(finding.rules, ["R3", "R1", "R2"]);
    assert!(finding.example.is_some());
}

#[test]
fn under_priority_the_stronger_output_shadows() {
    let table = TableFile::deciding("PRIORITY")
        .input("qualityScore: number")
        .verdict(">= 50", "WARNING")
        .verdict(">= 40", "VALID")
        .verdict("< 40", "INVALID");
    assert_eq!(one(&table, Check::Shadowed).rules, ["R1", "R2"]);
}

#[test]
fn cells_that_nothing_satisfies_are_named() {
    let table = scores()
        .verdict("[80..50]", "VALID")
        .verdict("-", "INVALID");
    let finding = one(&table, Check::Empty);
    assert!(finding.message.contains("[80..50]"), "{}", finding.message);
    let table = TableFile::deciding("UNIQUE")
        .input_of("recordType: string", r#""lead", "partner""#)
        .verdict("\"lead\", \"partnr\"", "VALID")
        .verdict("\"partner\"", "INVALID");
    let finding = one(&table, Check::Empty);
    assert!(
        finding.message.contains("\"partnr\""),
        "{}",
        finding.message
    );
    assert!(
        finding.message.contains("allowed values"),
        "{}",
        finding.message
    );
}

#[test]
fn two_columns_on_the_same_input_that_exclude_each_other_are_empty() {
    let table = TableFile::deciding("FIRST")
        .input("qualityScore: number")
        .input("qualityScore: number")
        .verdict("> 80 | < 50", "VALID")
        .verdict("- | -", "INVALID");
    assert_eq!(one(&table, Check::Empty).rows, [1]);
}

#[test]
fn values_of_the_wrong_type_are_errors() {
    let table = scores().verdict("\"80\"", "VALID").verdict("-", "INVALID");
    let finding = one(&table, Check::Type);
    assert_eq!(finding.severity, Severity::Error);
    assert!(
        finding.message.contains("string") && finding.message.contains("number"),
        "{}",
        finding.message
    );
    let table = TableFile::deciding("FIRST")
        .input("createdAt: date")
        .verdict("< \"2026-01-01\"", "VALID")
        .verdict("-", "INVALID");
    assert!(one(&table, Check::Type).remedy.contains("date("));
    // Undeclared: the odd one out.
    let table = TableFile::deciding("FIRST")
        .input("qualityScore")
        .verdict("> 80", "VALID")
        .verdict("> 50", "WARNING")
        .verdict("\"low\"", "INVALID");
    assert_eq!(one(&table, Check::Type).rows, [3]);
}

#[test]
fn ragged_rules_and_unknown_outputs_are_errors() {
    let table = scores()
        .input("recordType: string")
        .verdict("> 50", "VALID")
        .verdict("- | -", "INVALID");
    let finding = one(&table, Check::Ragged);
    assert_eq!(
        (finding.severity, finding.rows.as_slice()),
        (Severity::Error, &[1][..])
    );
    let table = scores().verdict("> 50", "OK").verdict("<= 50", "INVALID");
    let finding = one(&table, Check::UnknownOutput);
    assert_eq!(finding.severity, Severity::Error);
    assert!(finding.message.contains("\"OK\""), "{}", finding.message);
}

#[test]
fn equal_rules_are_duplicates_and_neighbours_can_be_joined() {
    let table = TableFile::deciding("ANY")
        .input("qualityScore: number")
        .verdict("< 50, >= 80", "VALID")
        .verdict("not([50..80))", "VALID")
        .verdict("[50..80)", "WARNING");
    assert_eq!(one(&table, Check::Duplicate).rows, [1, 2]);
    let table = scores()
        .verdict("< 50", "INVALID")
        .verdict("[50..60)", "VALID")
        .verdict(">= 60", "VALID");
    let finding = one(&table, Check::Mergeable);
    assert_eq!(finding.rows, [2, 3]);
    assert!(finding.remedy.contains("`>= 50`"), "{}", finding.remedy);
}

#[test]
fn rules_with_different_reasons_are_not_joined() {
    let table = scores()
        .rule("< 50 => \"INVALID\" | \"REJECT\" # low")
        .rule("[50..60) => \"VALID\" | \"PROCESS\" # fair")
        .rule(">= 60 => \"VALID\" | \"PROCESS\" # good");
    assert!(
        look(&table).findings.is_empty(),
        "{:#?}",
        look(&table).findings
    );
}

#[test]
fn an_aggregation_without_collect_and_a_circle_are_found() {
    let xml = scores().verdict("-", "VALID").xml().replace(
        "hitPolicy=\"UNIQUE\"",
        "hitPolicy=\"UNIQUE\" aggregation=\"SUM\"",
    );
    let report = lint(&xml, "t.dmn.xml", None, FACTS);
    let findings = report.map(|report| report.findings).unwrap_or_default();
    assert!(
        findings
            .iter()
            .any(|finding| finding.check == Check::Aggregation),
        "{findings:?}"
    );
    let xml = scores().verdict("-", "VALID").xml().replace(
        "<decisionTable",
        "<informationRequirement><requiredDecision href=\"#table\"/></informationRequirement><decisionTable",
    );
    let findings = lint(&xml, "t.dmn.xml", None, FACTS).unwrap().findings;
    assert_eq!(findings[0].check, Check::Cycle);
    assert!(
        findings[0].message.contains("Table → Table"),
        "{}",
        findings[0].message
    );
}

#[test]
fn what_cannot_be_analysed_is_noted_and_not_guessed() {
    let table = TableFile::deciding("UNIQUE")
        .input("name: string")
        .verdict("starts with(?, \"A\")", "VALID")
        .verdict("ends with(?, \"z\")", "INVALID");
    let report = look(&table);
    assert!(report.findings.is_empty(), "{:#?}", report.findings);
    assert!(
        report.notes.iter().any(|note| note.contains("name")),
        "{:?}",
        report.notes
    );
}

#[test]
fn every_finding_on_rules_shows_a_record_and_names_the_rule_and_a_remedy() {
    let tables = [
        scores().verdict("\"80\"", "VALID").verdict("-", "INVALID"),
        scores()
            .verdict("[80..50]", "VALID")
            .verdict("-", "INVALID"),
        scores().verdict("> 50", "OK").verdict("<= 50", "INVALID"),
        TableFile::deciding("UNIQUE")
            .output("points: number", "1, 2")
            .input("qualityScore: number")
            .rule("> 50 => \"VALID\" | \"PROCESS\" | 3")
            .rule("<= 50 => \"INVALID\" | \"REJECT\" | \"none\""),
        TableFile::deciding("FIRST")
            .input("qualityScore: number")
            .verdict("> 50", "VALID")
            .verdict("> 60", "VALID")
            .verdict("<= 50", "INVALID"),
        scores()
            .verdict("< 50", "INVALID")
            .verdict("[50..60)", "VALID")
            .verdict("[50..60)", "VALID")
            .verdict("(60..70)", "VALID"),
    ];
    let mut seen = std::collections::HashSet::new();
    for table in &tables {
        let report = look(table);
        assert!(!report.findings.is_empty(), "{}", table.xml());
        for finding in report.findings {
            seen.insert(finding.check.name());
            let example = finding
                .example
                .as_ref()
                .unwrap_or_else(|| panic!("{finding}"));
            assert!(example.contains_key("qualityScore"), "{finding}");
            assert!(!finding.remedy.is_empty() && finding.line > 0, "{finding}");
            for (rule, row) in finding.rules.iter().zip(&finding.rows) {
                let name = format!("rule {row} ({rule})");
                assert!(finding.message.contains(&name), "{name}: {finding}");
            }
            if finding.check != Check::Gap {
                assert!(!finding.rules.is_empty(), "{finding}");
            }
        }
    }
    let mut seen: Vec<&str> = seen.into_iter().collect();
    seen.sort_unstable();
    assert_eq!(
        seen,
        [
            "duplicate",
            "empty",
            "gap",
            "mergeable",
            "overlap",
            "shadowed",
            "type",
            "unknown_output"
        ]
    );
}

#[test]
fn a_record_shown_for_an_unknown_output_gets_it() {
    let table = scores().verdict("> 50", "OK").verdict("<= 50", "INVALID");
    let finding = one(&table, Check::UnknownOutput);
    let score = finding.example.unwrap()["qualityScore"].as_f64().unwrap();
    assert!(score > 50.0, "{score}");
}

#[test]
fn a_table_that_takes_too_long_is_analysed_as_far_as_it_goes_and_says_so() {
    // Every rule leaves a corner free in another column: telling all gaps would take forever.
    let mut random = fastrand::Rng::with_seed(3);
    let names: Vec<String> = (0..24).map(|column| format!("c{column}")).collect();
    let mut table = TableFile::deciding("FIRST");
    for name in &names {
        table = table.input(&format!("{name}: number"));
    }
    for _ in 0..400 {
        let cells: Vec<String> = (0..24)
            .map(|_| {
                let low = random.i32(0..1000);
                format!("not([{low}..{}])", low + 1)
            })
            .collect();
        table = table.verdict(&cells.join(" | "), "VALID");
    }
    let facts: Vec<&str> = names.iter().map(String::as_str).collect();
    let report = lint(&table.xml(), "t.dmn.xml", None, &facts).unwrap();
    assert!(
        report
            .notes
            .iter()
            .any(|note| note.contains("stopped before its end")),
        "{:?}",
        report.notes
    );
}
