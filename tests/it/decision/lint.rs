//! The lint: each check finds its mistake, names the rules, and shows a record for which it is true.

use datasync::decision::{Check, Decision, Finding, Lint, Scratch, Severity, lint};
use datasync::model::record::Cell;

use super::build::TableFile;

const VARIABLES: &[&str] = &[
    "recordType",
    "qualityScore",
    "hasRequiredFields",
    "createdAt",
    "name",
];

fn look(table: &TableFile) -> Lint {
    lint(&table.xml(), "t.dmn.xml", None, VARIABLES).unwrap_or_else(|problems| panic!("{problems}"))
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

/// The example as input variables of a record.
fn variables_of(finding: &Finding) -> Vec<Cell<'static>> {
    let example = finding.example.as_ref().unwrap();
    VARIABLES
        .iter()
        .map(|variable| match example.get(*variable) {
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
    let decision = Decision::compile(&table.xml(), "t.dmn.xml", None, VARIABLES).unwrap();
    let mut scratch = Scratch::default();
    decision.decide(&variables_of(finding), &mut scratch).class
}

fn scores() -> TableFile {
    TableFile::deciding("UNIQUE").input("qualityScore: number")
}

#[test]
fn the_shipped_table_has_no_finding() {
    let report = lint(super::SHIPPED, "decisions.dmn.xml", None, super::VARIABLES).unwrap();
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
    let xml = scores().verdict(">= 80", "VALID").xml();
    let gaps = |xml: &str| {
        let report = lint(xml, "t.dmn.xml", None, VARIABLES).unwrap();
        report
            .findings
            .into_iter()
            .filter(|finding| finding.check == Check::Gap)
            .count()
    };
    assert!(gaps(&xml) > 0);
    let with_default = |validation: &str, action: &str| {
        let mut parts = xml.split("</outputValues></output>");
        let mut text = parts.next().unwrap().to_owned();
        for (default, rest) in [validation, action].iter().zip(parts) {
            text += &format!(
                "</outputValues><defaultOutputEntry><text>{default}</text></defaultOutputEntry></output>{rest}"
            );
        }
        text
    };
    let defaults = with_default("\"INVALID\"", "\"REJECT\"");
    assert_eq!(
        lint(&defaults, "t.dmn.xml", None, VARIABLES)
            .unwrap()
            .findings
            .len(),
        0
    );
    // A null default is no verdict, and no gap either.
    let report = lint(&with_default("null", "null"), "t.dmn.xml", None, VARIABLES).unwrap();
    let checks: Vec<Check> = report
        .findings
        .iter()
        .map(|finding| finding.check)
        .collect();
    assert_eq!(checks, [Check::UnknownOutput, Check::UnknownOutput]);
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

/// A file whose deciding table requires one more, with these attributes, output columns and output entries.
fn requiring(attributes: &str, outputs: &str, entries: [&str; 2]) -> String {
    let rule = |row: usize, condition: &str| {
        let entries = entries[row - 1].replace('|', "</text></outputEntry><outputEntry><text>");
        format!(
            "<rule id=\"P{row}\"><inputEntry><text>{condition}</text></inputEntry><outputEntry><text>{entries}</text></outputEntry></rule>"
        )
    };
    let required = format!(
        "<decision id=\"points\" name=\"points\"><decisionTable {attributes}><input><inputExpression \
         typeRef=\"number\"><text>qualityScore</text></inputExpression></input>{outputs}{}{}</decisionTable></decision>",
        rule(1, "&gt; 50"),
        rule(2, "-"),
    );
    scores()
        .verdict("> 50", "VALID")
        .verdict("<= 50, null", "INVALID")
        .xml()
        .replace("<decision id=\"table\"", &format!("{required}<decision id=\"table\""))
        .replace(
            "<decisionTable hitPolicy=\"UNIQUE\"",
            "<informationRequirement><requiredDecision href=\"#points\"/></informationRequirement><decisionTable hitPolicy=\"UNIQUE\"",
        )
}

#[test]
fn each_check_is_as_severe_as_the_manual_says() {
    use Check::{
        Aggregation, Cycle, Duplicate, Empty, Gap, Mergeable, Overlap, Ragged, Shadowed, Type,
        UnknownOutput,
    };
    use Severity::{Error, Warning};
    let scored = |hit: &str, rules: &[(&str, &str)]| {
        rules
            .iter()
            .fold(
                TableFile::deciding(hit).input("qualityScore: number"),
                |table, (cell, verdict)| table.verdict(cell, verdict),
            )
            .xml()
    };
    let whole = scored("UNIQUE", &[("> 50", "VALID"), ("<= 50, null", "INVALID")]);
    let one = "<output/>";
    let cases = [
        (Overlap, Error, scored("UNIQUE", &[("> 50", "VALID"), ("> 60", "VALID")])),
        (Overlap, Error, scored("ANY", &[("> 50", "VALID"), ("> 60", "WARNING")])),
        (Type, Error, scored("FIRST", &[("\"80\"", "VALID"), ("-", "INVALID")])),
        (Type, Error, requiring("hitPolicy=\"FIRST\"", "<output typeRef=\"number\"/>", ["\"a\"", "1"])),
        (Ragged, Error, scored("UNIQUE", &[("> 50 | -", "VALID")])),
        (UnknownOutput, Error, scored("UNIQUE", &[("-", "FINE")])),
        (
            UnknownOutput,
            Error,
            requiring("hitPolicy=\"FIRST\"", "<output><outputValues><text>1, 2</text></outputValues></output>", ["3", "1"]),
        ),
        (Cycle, Error, requiring("", one, ["1", "2"]).replace("name=\"points\">", "name=\"points\"><informationRequirement><requiredDecision href=\"#table\"/></informationRequirement>")),
        (Gap, Warning, scored("UNIQUE", &[("> 50", "VALID")])),
        (Shadowed, Warning, scored("FIRST", &[("> 50", "VALID"), ("> 60", "WARNING")])),
        (Empty, Warning, scored("FIRST", &[("[80..50]", "VALID"), ("-", "INVALID")])),
        (Duplicate, Warning, scored("ANY", &[("> 50", "VALID"), ("> 50", "VALID")])),
        (Mergeable, Warning, scored("UNIQUE", &[("[1..2)", "VALID"), ("[2..3]", "VALID")])),
        // What is passed over or comes to null, and what cannot be computed at all.
        (Aggregation, Warning, whole.replace("hitPolicy=\"UNIQUE\"", "hitPolicy=\"UNIQUE\" aggregation=\"SUM\"")),
        (Aggregation, Warning, requiring("hitPolicy=\"C+\"", one, ["\"a\"", "1"])),
        (Aggregation, Warning, requiring("hitPolicy=\"PRIORITY\"", one, ["1", "2"])),
        (Aggregation, Error, requiring("hitPolicy=\"COLLECT\" aggregation=\"AVERAGE\"", one, ["1", "2"])),
        (Aggregation, Error, requiring("hitPolicy=\"C+\"", "<output name=\"a\"/><output name=\"b\"/>", ["1|2", "3|4"])),
    ];
    let mut seen = std::collections::BTreeSet::new();
    for (check, severity, xml) in cases {
        let report =
            lint(&xml, "t.dmn.xml", None, VARIABLES).unwrap_or_else(|why| panic!("{why}\n{xml}"));
        let found: Vec<&Finding> = report
            .findings
            .iter()
            .filter(|finding| finding.check == check)
            .collect();
        assert!(
            !found.is_empty(),
            "{check:?}: {:#?}\n{xml}",
            report.findings
        );
        for finding in found {
            assert_eq!(finding.severity, severity, "{finding}");
            let every = finding.message.ends_with("every record shows it");
            assert_eq!(finding.example.is_some(), !every, "{finding}");
            assert!(!finding.remedy.is_empty(), "{finding}");
        }
        // An error keeps the program from starting, and nothing else does.
        let refused = Decision::compile(&xml, "t.dmn.xml", None, VARIABLES).is_err();
        assert!(!refused || report.has_errors(), "{check:?}");
        seen.insert(check.name());
    }
    assert_eq!(seen.len(), 11, "{seen:?}");
    // The manual's table says the same.
    let page = include_str!("../../../docs/decisions.md");
    for name in seen {
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
}

#[test]
fn an_aggregation_beside_another_hit_policy_is_passed_over_with_a_warning() {
    let xml = scores()
        .verdict("> 50", "VALID")
        .verdict("<= 50, null", "INVALID")
        .xml()
        .replace(
            "hitPolicy=\"UNIQUE\"",
            "hitPolicy=\"UNIQUE\" aggregation=\"SUM\"",
        );
    let findings = lint(&xml, "t.dmn.xml", None, VARIABLES).unwrap().findings;
    assert_eq!(findings.len(), 1, "{findings:#?}");
    assert_eq!(
        findings[0].message,
        "the aggregation SUM goes with the hit policy COLLECT only: under UNIQUE it is passed over"
    );
    let decision = Decision::compile(&xml, "t.dmn.xml", None, VARIABLES).unwrap();
    let verdict = decision
        .decide(&variables_of(&findings[0]), &mut Scratch::default())
        .class;
    assert_eq!(verdict, "decided");
}

#[test]
fn a_circle_of_decisions_is_found() {
    let xml = scores().verdict("-", "VALID").xml().replace(
        "<decisionTable",
        "<informationRequirement><requiredDecision href=\"#table\"/></informationRequirement><decisionTable",
    );
    let findings = lint(&xml, "t.dmn.xml", None, VARIABLES).unwrap().findings;
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
    let variables: Vec<&str> = names.iter().map(String::as_str).collect();
    let report = lint(&table.xml(), "t.dmn.xml", None, &variables).unwrap();
    assert!(
        report
            .notes
            .iter()
            .any(|note| note.contains("stopped before its end")),
        "{:?}",
        report.notes
    );
}
