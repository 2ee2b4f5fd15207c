//! The lint and the explanations know what the mapping lets through: whatever they show is run through mapping and table.

use datasync::config::plan::{Field, KeyChoice, Kind, Mapping, QualityScore};
use datasync::decision::{Check, Decision, Finding, Lint, Scratch, lint};
use datasync::pipeline::Rules;
use datasync::run::rules::input_variables;
use datasync::transform::{Mapped, Transform};
use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::build::TableFile;

pub(super) fn field(name: &str, kind: Kind) -> Field {
    Field {
        source: vec![name.to_owned()],
        name: name.to_owned(),
        column: None,
        kind,
        required: false,
        default: None,
        format: None,
        timezone: None,
        max_length: None,
        trim: false,
        blank_is_null: false,
        origin: datasync::config::plan::Origin::Path,
        min: None,
        max: None,
        pattern: None,
        one_of: Vec::new(),
        weight: Decimal::ONE,
    }
}

/// A mapping with the key `id` in front; a field `qualityScore` is the score.
pub(super) fn mapping(fields: Vec<Field>) -> Mapping {
    let mut all = vec![field("id", Kind::String)];
    all.extend(fields);
    let score = all.iter().position(|field| field.name == "qualityScore");
    Mapping {
        fields: all,
        key: 0,
        key_choice: KeyChoice::Settled,
        version: None,
        version_max_ahead: std::time::Duration::from_hours(24),
        quality_score: QualityScore {
            field: score,
            fallback_completeness: true,
        },
    }
}

fn look(fields: Vec<Field>, table: &TableFile) -> Lint {
    let transform = Transform::new(&mapping(fields)).unwrap();
    lint(
        &table.xml(),
        "t.dmn.xml",
        None,
        &input_variables(&transform),
    )
    .unwrap_or_else(|problems| panic!("{problems}"))
}

pub(super) fn gaps(lint: &Lint) -> Vec<&Finding> {
    let gap = |finding: &&Finding| finding.check == Check::Gap;
    lint.findings.iter().filter(gap).collect()
}

/// A whole number from 0 to 100, never null.
fn whole() -> Field {
    Field {
        min: Some(Decimal::ZERO),
        max: Some(Decimal::ONE_HUNDRED),
        default: Some("0".to_owned()),
        ..field("n", Kind::Integer)
    }
}

fn numbers(cells: &[&str]) -> TableFile {
    let table = TableFile::deciding("UNIQUE").input("n: number");
    cells
        .iter()
        .fold(table, |table, cell| table.verdict(cell, "VALID"))
}

#[test]
fn values_that_cannot_occur_are_no_gap() {
    let cells = ["< 50", "[50..79]", ">= 80"];
    assert!(gaps(&look(vec![whole()], &numbers(&cells))).is_empty());
    let decimal = Field {
        kind: Kind::Decimal,
        ..whole()
    };
    let lint = look(vec![decimal.clone()], &numbers(&cells));
    assert_eq!(
        gaps(&lint)[0].example.as_ref().unwrap()["n"],
        79.5,
        "{lint:#?}"
    );
    assert!(gaps(&look(vec![decimal], &numbers(&["[0..100]"]))).is_empty());
    let listed = Field {
        one_of: vec!["a".to_owned(), "b".to_owned()],
        default: Some("\"a\"".to_owned()),
        ..field("t", Kind::String)
    };
    let table = |cells: &[&str]| {
        let table = TableFile::deciding("UNIQUE").input("t: string");
        cells
            .iter()
            .fold(table, |table, cell| table.verdict(cell, "VALID"))
    };
    assert!(gaps(&look(vec![listed.clone()], &table(&["\"a\"", "\"b\""]))).is_empty());
    let lint = look(vec![listed], &table(&["\"a\""]));
    assert_eq!(gaps(&lint)[0].example.as_ref().unwrap()["t"], "b");
}

#[test]
fn a_null_that_no_rule_takes_is_a_gap_of_its_own() {
    let optional = Field {
        default: None,
        ..whole()
    };
    let cells = ["[0..79]", ">= 80"];
    let lint = look(vec![optional], &numbers(&cells));
    let found = gaps(&lint);
    assert_eq!(found.len(), 1, "{lint:#?}");
    assert!(found[0].message.contains("`n` is null"), "{}", found[0]);
    assert_eq!(found[0].example.as_ref().unwrap()["n"], Value::Null);
    assert!(gaps(&look(vec![whole()], &numbers(&cells))).is_empty());
    // Where a rule takes null there is none.
    let optional = Field {
        default: None,
        ..whole()
    };
    assert!(
        gaps(&look(
            vec![optional],
            &numbers(&["[0..79]", ">= 80", "null"])
        ))
        .is_empty()
    );
}

/// A deciding table over `hits`, which another table makes of `n`.
fn of_hits(hit: &str, result: &str, rows: &[&str], cells: &[&str]) -> String {
    let table = TableFile::deciding("UNIQUE").input("hits: number");
    let table = cells
        .iter()
        .fold(table, |table, cell| table.verdict(cell, "VALID"));
    let rules: Vec<String> = rows
        .iter()
        .map(|row| format!("<rule><inputEntry><text>{}</text></inputEntry><outputEntry><text>{result}</text></outputEntry></rule>", super::build::escaped(row)))
        .collect();
    let rules = rules.concat();
    let decision = format!(
        "<decision id=\"hits\" name=\"hits\"><variable name=\"hits\"/><decisionTable hitPolicy=\"COLLECT\" {hit}><input>\
         <inputExpression typeRef=\"number\"><text>n</text></inputExpression></input><output typeRef=\"number\"/>{rules}</decisionTable></decision>\n<decision id=\"table\""
    );
    table
        .xml()
        .replacen("<decisionTable hitPolicy=\"UNIQUE\">", "<informationRequirement><requiredDecision href=\"#hits\"/></informationRequirement><decisionTable hitPolicy=\"UNIQUE\">", 1)
        .replacen("<decision id=\"table\"", &decision, 1)
}

#[test]
fn a_count_is_a_whole_number_from_0_on_and_an_aggregate_of_nothing_is_null() {
    let of = |xml: &str| {
        let transform = Transform::new(&mapping(vec![whole()])).unwrap();
        lint(xml, "t.dmn.xml", None, &input_variables(&transform))
            .unwrap_or_else(|problems| panic!("{problems}"))
    };
    let rows = ["> 10", "> 20"];
    let count = "aggregation=\"COUNT\"";
    assert!(gaps(&of(&of_hits(count, "1", &rows, &["0", "1", "2"]))).is_empty());
    let lint = of(&of_hits(count, "1", &rows, &["0", "2"]));
    let example = gaps(&lint)[0].example.as_ref().unwrap();
    let n = example["n"].as_i64().unwrap();
    assert!(n > 10 && n <= 20, "{lint:#?}");
    let lint = of(&of_hits("aggregation=\"SUM\"", "5", &rows, &["5", "10"]));
    assert!(
        gaps(&lint)
            .iter()
            .any(|gap| gap.message.contains("`hits` is null")),
        "{lint:#?}"
    );
}

#[test]
fn a_computed_input_that_comes_to_null_is_a_gap_of_its_own() {
    let optional = |name: &str| Field {
        default: None,
        name: name.to_owned(),
        source: vec![name.to_owned()],
        ..whole()
    };
    let table = TableFile::deciding("UNIQUE")
        .input("n + m: number")
        .verdict(">= 100", "VALID")
        .verdict("< 100", "INVALID");
    let lint = look(vec![optional("n"), optional("m")], &table);
    let found = gaps(&lint);
    assert_eq!(found.len(), 1, "{lint:#?}");
    assert!(found[0].message.contains("`n + m` is null"), "{}", found[0]);
    let m = Field {
        name: "m".to_owned(),
        source: vec!["m".to_owned()],
        ..whole()
    };
    assert!(gaps(&look(vec![whole(), m], &table)).is_empty());
}

#[test]
fn a_suggestion_never_takes_the_key_away_and_fills_in_what_a_score_is_made_of() {
    let keyless = TableFile::deciding("UNIQUE")
        .input("id: string")
        .verdict("null", "VALID")
        .verdict("not(null)", "INVALID");
    assert!(nearest(Vec::new(), &keyless, &json!({"id": "1"})).is_empty());
    let scored = TableFile::deciding("UNIQUE")
        .input("qualityScore: number")
        .verdict(">= 75", "VALID")
        .verdict("[50..75)", "WARNING")
        .verdict("< 50", "INVALID");
    let fields = ["a", "b", "c"]
        .map(|name| field(name, Kind::String))
        .to_vec();
    assert_eq!(
        nearest(fields, &scored, &json!({"id": "1"})),
        [
            "a null → \"anything\" gives WARNING, REVIEW (R2)",
            "a null → \"anything\" and b null → \"anything\" gives VALID, PROCESS (R1)"
        ]
    );
}

#[test]
fn a_computed_score_and_the_fields_it_is_made_of_give_no_gap_that_cannot_occur() {
    let table = |low: &str, high: &str| {
        TableFile::deciding("UNIQUE")
            .input("a: string")
            .input("qualityScore: number")
            .verdict(&format!("null | {low}"), "INVALID")
            .verdict(&format!("not(null) | {high}"), "VALID")
    };
    let fields = || {
        ["a", "b", "c"]
            .map(|name| field(name, Kind::String))
            .to_vec()
    };
    // Without a, at most three of four fields are there; with it, at least one is.
    let lint = look(fields(), &table("< 100", ">= 25"));
    assert!(
        lint.findings.is_empty() && lint.notes.is_empty(),
        "{lint:#?}"
    );
    let lint = look(fields(), &table("< 75", ">= 25"));
    let found = gaps(&lint);
    assert_eq!(found.len(), 1, "{lint:#?}");
    let example = found[0].example.as_ref().unwrap();
    assert_eq!(
        (&example["a"], &example["qualityScore"]),
        (&Value::Null, &json!(75))
    );
    // A score of the source can be anything.
    let mut scored = fields();
    scored.push(field("qualityScore", Kind::Decimal));
    assert!(!gaps(&look(scored, &table("< 100", ">= 25"))).is_empty());
}

#[test]
fn inputs_that_depend_on_each_other_give_no_example_that_contradicts_itself() {
    let table = TableFile::deciding("UNIQUE")
        .input("n: number")
        .input("n > 5: boolean")
        .verdict("> 5 | true", "VALID")
        .verdict("<= 5 | false", "INVALID");
    assert!(gaps(&look(vec![whole()], &table)).is_empty());
}

/// The table of docs/decisions.md that judges types of records differently.
fn documented_table() -> TableFile {
    let page = std::fs::read_to_string("docs/decisions.md").unwrap();
    let (_, after) = page.split_once("### Rules for one type of record").unwrap();
    let (section, _) = after.split_once("\n## ").unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let table = TableFile::deciding("UNIQUE")
        .input("hasRequiredFields: boolean")
        .input("qualityScore: number")
        .input("recordType: string");
    rows.fold(table, |table, row| {
        let cells: Vec<&str> = row
            .trim_matches('|')
            .split('|')
            .map(|cell| cell.trim().trim_matches('`'))
            .collect();
        let (inputs, outputs) = cells.split_at(3);
        table.rule(&format!(
            "{} => {}",
            inputs.join(" | "),
            outputs.join(" | ")
        ))
    })
}

#[test]
fn the_documented_table_judges_customers_and_transactions_differently() {
    let table = documented_table();
    let fields = vec![
        field("qualityScore", Kind::Decimal),
        field("recordType", Kind::String),
    ];
    let lint = look(fields.clone(), &table);
    assert!(lint.findings.is_empty(), "{:#?}", lint.findings);
    let transform = Transform::new(&mapping(fields)).unwrap();
    let variables = input_variables(&transform);
    let decision = Decision::compile(&table.xml(), "t.dmn.xml", None, &variables).unwrap();
    for (kind, score, expected) in [
        ("customer", 79, "WARNING"),
        ("customer", 80, "VALID"),
        ("transaction", 79, "VALID"),
        ("transaction", 59, "INVALID"),
        ("lead", 59, "WARNING"),
    ] {
        let raw = json!({"id": "1", "qualityScore": score, "recordType": kind}).to_string();
        let mut mapped = Mapped::new();
        transform.apply(&raw, &mut mapped);
        let mut scratch = Scratch::default();
        let verdict = decision.decide(&mapped.variables, &mut scratch);
        assert_eq!(verdict.validation.as_str(), expected, "{raw}");
    }
}

/// The changes that would pass, for a record.
fn nearest(fields: Vec<Field>, table: &TableFile, record: &Value) -> Vec<String> {
    let transform = Transform::new(&mapping(fields)).unwrap();
    let variables = input_variables(&transform);
    let decision = Decision::compile(&table.xml(), "t.dmn.xml", None, &variables).unwrap();
    let rules = Rules {
        transform: &transform,
        decision: &decision,
    };
    let raw = record.to_string();
    let mut mapped = Mapped::new();
    transform.apply(&raw, &mut mapped);
    assert!(mapped.errors.is_empty(), "{:?}", mapped.errors);
    let explanation = rules.explain(&mapped);
    explanation
        .nearest
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn the_nearest_change_is_one_that_the_mapping_lets_through() {
    let table = |cell: &str| {
        TableFile::deciding("FIRST")
            .input("n: number")
            .verdict(cell, "VALID")
            .verdict("-", "INVALID")
    };
    let record = json!({"id": "1", "n": 60});
    assert_eq!(
        nearest(vec![whole()], &table("(79.2..100]"), &record),
        ["n 60 → 80 gives VALID, PROCESS (R1)"]
    );
    assert!(nearest(vec![whole()], &table("> 100"), &record).is_empty());
    let email = TableFile::deciding("FIRST")
        .input("email: string")
        .verdict("not(\"a@b.example\", null)", "VALID")
        .verdict("-", "INVALID");
    let record = json!({"id": "1", "email": "a@b.example"});
    let found = nearest(vec![field("email", Kind::Email)], &email, &record);
    assert!(found[0].contains("@example"), "{found:?}");
    // A missing required field is filled in; a required field is never emptied.
    let required = Field {
        required: true,
        ..field("name", Kind::String)
    };
    let complete = TableFile::deciding("FIRST")
        .input("hasRequiredFields: boolean")
        .verdict("true", "VALID")
        .verdict("-", "INVALID");
    let found = nearest(vec![required.clone()], &complete, &json!({"id": "1"}));
    assert_eq!(
        found,
        ["name null → \"anything\" gives VALID, PROCESS (R1)"]
    );
    let empty = TableFile::deciding("FIRST")
        .input("name: string")
        .input("hasRequiredFields: boolean")
        .verdict("null | true", "VALID")
        .verdict("- | -", "INVALID");
    assert!(nearest(vec![required], &empty, &json!({"id": "1", "name": "x"})).is_empty());
}

#[test]
fn the_nearest_change_goes_through_required_decisions() {
    let xml = of_hits("aggregation=\"COUNT\"", "1", &["> 10", "> 20"], &["2"]);
    let transform = Transform::new(&mapping(vec![whole()])).unwrap();
    let variables = input_variables(&transform);
    let decision = Decision::compile(&xml, "t.dmn.xml", Some("Table"), &variables).unwrap();
    let rules = Rules {
        transform: &transform,
        decision: &decision,
    };
    let mut mapped = Mapped::new();
    transform.apply(r#"{"id": "1", "n": 15}"#, &mut mapped);
    let explanation = rules.explain(&mapped);
    let change = &explanation.nearest[0].changes[0];
    assert_eq!(change.input, "n", "{explanation}");
}

#[test]
fn the_smallest_change_that_ends_an_overlap_is_told_for_either_rule() {
    let lint = look(vec![whole()], &numbers(&["< 50", "[45..80)", ">= 80"]));
    let overlaps = |finding: &&Finding| finding.check == Check::Overlap;
    let found: Vec<&Finding> = lint.findings.iter().filter(overlaps).collect();
    assert_eq!(found.len(), 1, "{lint:#?}");
    let told: Vec<_> = found[0]
        .repairs
        .iter()
        .map(|repair| (repair.row, repair.entry.as_str(), repair.decides.as_str()))
        .collect();
    assert_eq!(told, [(2, "[50..80)", "R1"), (1, "< 45", "R2")]);
    assert!(
        found[0].remedy.starts_with("write `[50..80)` for `n` in rule 2 (R2), so that rule 1 (R1) decides such records; or write `< 45`"),
        "{}",
        found[0]
    );
    // A rule for one type beside a rule for all.
    let types = TableFile::deciding("UNIQUE")
        .input("t: string")
        .verdict("-", "VALID")
        .verdict("\"lead\"", "WARNING");
    let lint = look(vec![field("t", Kind::String)], &types);
    let found: Vec<&Finding> = lint.findings.iter().filter(overlaps).collect();
    let [repair] = &found[0].repairs[..] else {
        panic!("{lint:#?}");
    };
    assert_eq!((repair.row, repair.entry.as_str()), (1, "not(\"lead\")"));
    // Where each cut would leave records without a rule there is none.
    let crossing = TableFile::deciding("UNIQUE")
        .input("n: number")
        .input("m: number")
        .verdict("[0..10] | [0..10]", "VALID")
        .verdict("[5..15] | [5..15]", "WARNING");
    let m = Field {
        name: "m".to_owned(),
        source: vec!["m".to_owned()],
        ..whole()
    };
    let lint = look(vec![whole(), m], &crossing);
    let found: Vec<&Finding> = lint.findings.iter().filter(overlaps).collect();
    assert!(found[0].repairs.is_empty(), "{lint:#?}");
    assert!(found[0].remedy.starts_with("narrow one of them"));
}
