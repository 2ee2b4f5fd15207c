//! The lint and the explanations know what the mapping lets through: whatever they show is run through mapping and table.

use datasync::config::plan::{Field, KeyChoice, Kind, Mapping, QualityScore};
use datasync::decision::{Check, Decision, Finding, InputVariable, Lint, Scratch, lint};
use datasync::pipeline::Rules;
use datasync::run::rules::input_variables;
use datasync::transform::{Mapped, Transform};
use fastrand::Rng;
use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

use super::build::TableFile;

fn field(name: &str, kind: Kind) -> Field {
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
fn mapping(fields: Vec<Field>) -> Mapping {
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

fn gaps(lint: &Lint) -> Vec<&Finding> {
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

/// A record that brings these values of variables, with whatever the other fields need; none when there is none.
fn record_with(
    transform: &Transform,
    fields: &[Field],
    example: &Map<String, Value>,
) -> Option<String> {
    for present in 0..1_u32 << fields.len() {
        let mut record = Map::new();
        for (index, field) in fields.iter().enumerate() {
            if present & (1 << index) == 0 {
                continue;
            }
            let value = example.get(&field.name).cloned();
            record.insert(
                field.name.clone(),
                value.unwrap_or_else(|| some_value(field)),
            );
        }
        let raw = Value::Object(record).to_string();
        let mut mapped = Mapped::new();
        transform.apply(&raw, &mut mapped);
        let names = transform.variable_names();
        let brings = |(name, value): (&String, &Value)| {
            let slot = names.iter().position(|known| known == name).unwrap();
            let cell = datasync::decision::feel::value::Value::of_cell(&mapped.variables[slot]);
            serde_json::to_value(&cell).unwrap() == *value
        };
        if mapped.errors.is_empty() && example.iter().all(brings) {
            return Some(raw);
        }
    }
    None
}

fn some_value(field: &Field) -> Value {
    let decimal = |number: Decimal| serde_json::from_str(&number.normalize().to_string()).unwrap();
    match field.kind {
        Kind::Integer | Kind::Decimal => {
            let listed = field.one_of.first().map(|text| text.parse().unwrap());
            decimal(listed.or(field.min).or(field.max).unwrap_or(Decimal::ONE))
        }
        Kind::Boolean => true.into(),
        Kind::Date => "2026-01-05".into(),
        Kind::Email => "a@b.example".into(),
        _ => match (&field.pattern, field.one_of.first()) {
            (Some(_), _) => "AB-1".into(),
            (_, Some(value)) => value.as_str().into(),
            _ => "x".into(),
        },
    }
}

const WORDS: [&str; 6] = ["", "a", "b", "AB-1", "AC-22", "a@b.example"];

fn random_fields(random: &mut Rng) -> Vec<Field> {
    let mut fields = vec![
        field("number", [Kind::Integer, Kind::Decimal][random.usize(..2)]),
        field(
            "text",
            [Kind::String, Kind::String, Kind::Email][random.usize(..3)],
        ),
        field("flag", Kind::Boolean),
        field("day", Kind::Date),
    ];
    // A score of its own, or one that is only computed.
    if random.bool() {
        fields.push(Field {
            min: Some(Decimal::ZERO),
            max: Some(Decimal::ONE_HUNDRED),
            ..field(
                "qualityScore",
                [Kind::Integer, Kind::Decimal][random.usize(..2)],
            )
        });
    }
    match random.u8(..4) {
        0 => {
            fields[0].min = Some(random.i64(-10..40).into());
            fields[0].max = Some(random.i64(40..100).into());
        }
        1 => {
            let places = u32::from(fields[0].kind == Kind::Decimal);
            fields[0].min = Some(Decimal::new(random.i64(-100..400), places));
        }
        2 => fields[0].max = Some(random.i64(20..100).into()),
        _ => {}
    }
    if fields[1].kind == Kind::String {
        match random.u8(..4) {
            0 => fields[1].one_of = ["a", "b", "AB-1"].map(str::to_owned).to_vec(),
            1 => fields[1].pattern = Some("A[BC]-[0-9]{1,2}".to_owned()),
            2 => fields[1].max_length = Some(4),
            _ => {}
        }
    }
    for field in &mut fields {
        field.required = random.u8(..4) == 0;
        if random.u8(..4) == 0 && !field.required {
            field.default = Some(some_value(field).to_string());
        }
    }
    fields
}

fn random_cell(kind: Kind, random: &mut Rng) -> String {
    let number = |random: &mut Rng| {
        Decimal::new(random.i64(-20..210) * 5, u32::from(random.bool())).to_string()
    };
    let literal = |random: &mut Rng| match kind {
        Kind::Integer | Kind::Decimal => number(random),
        Kind::Boolean => random.bool().to_string(),
        Kind::Date => format!("date(\"2026-01-{:02}\")", random.u8(1..=28)),
        _ => format!("\"{}\"", WORDS[random.usize(..WORDS.len())]),
    };
    let (one, two) = (literal(random), literal(random));
    if kind == Kind::Boolean {
        return [one, "-".to_owned(), "null".to_owned()][random.usize(..3)].clone();
    }
    match random.u8(..9) {
        0 => format!("< {one}"),
        1 => format!(">= {one}"),
        2 => format!("[{one}..{two}]"),
        3 => format!("({one}..{two})"),
        4 => format!("not({one}, {two})"),
        5 => format!("{one}, {two}"),
        6 => "null".to_owned(),
        7 => "-".to_owned(),
        _ => one,
    }
}

fn random_table(fields: &[Field], hit: &str, random: &mut Rng) -> TableFile {
    let kind_name = |kind: Kind| match kind {
        Kind::Integer | Kind::Decimal => "number",
        Kind::Boolean => "boolean",
        Kind::Date => "date",
        _ => "string",
    };
    let mut columns: Vec<(&str, Kind)> = fields
        .iter()
        .map(|field| (field.name.as_str(), field.kind))
        .collect();
    columns.push(("hasRequiredFields", Kind::Boolean));
    columns.push(("qualityScore", Kind::Decimal));
    columns.dedup_by_key(|(name, _)| *name);
    if fields.iter().any(|field| field.name == "qualityScore") {
        columns.pop();
    }
    random.shuffle(&mut columns);
    columns.truncate(random.usize(1..=3));
    let mut table = TableFile::deciding(hit);
    for (name, kind) in &columns {
        table = table.input(&format!("{name}: {}", kind_name(*kind)));
    }
    for _ in 0..random.usize(1..=5) {
        let cells: Vec<String> = columns
            .iter()
            .map(|(_, kind)| random_cell(*kind, random))
            .collect();
        let verdict = ["VALID", "WARNING", "INVALID"][random.usize(..3)];
        table = table.verdict(&cells.join(" | "), verdict);
    }
    table
}

/// A record of the mapping, at random.
fn random_record(fields: &[Field], random: &mut Rng) -> Map<String, Value> {
    let mut record = Map::from_iter([("id".to_owned(), json!("1"))]);
    for field in fields {
        if random.u8(..4) > 0 {
            record.insert(field.name.clone(), some_value(field));
        }
    }
    record
}

/// Each repair of an overlap ends it, for the record shown as for all others, and leaves no record without a rule. Returns how
/// many there were.
fn confirm_repairs(
    seed: u64,
    table: &TableFile,
    finding: &Finding,
    before: &Lint,
    shown: &Mapped<'_>,
    variables: &[InputVariable<'_>],
) -> usize {
    for repair in &finding.repairs {
        let table = table
            .clone()
            .with_entry(repair.row, &repair.input, &repair.entry);
        let xml = table.xml();
        let after = lint(&xml, "t", None, variables)
            .unwrap_or_else(|problems| panic!("seed {seed}: {repair:?}: {problems}"));
        let again = |other: &&Finding| other.check == Check::Overlap && other.rows == finding.rows;
        assert!(
            !after.findings.iter().any(|other| again(&other)),
            "seed {seed}: {repair:?} does not end {finding}\n{xml}"
        );
        assert!(
            !gaps(before).is_empty() || gaps(&after).is_empty(),
            "seed {seed}: {repair:?} leaves {:?}\n{xml}",
            gaps(&after)
        );
        let decision = Decision::compile(&xml, "t", None, variables).unwrap();
        let mut scratch = Scratch::default();
        let verdict = decision.decide(&shown.variables, &mut scratch);
        let rules = verdict.rules.as_slice();
        assert!(
            rules.contains(&repair.decides.as_str()) && !rules.contains(&repair.rule.as_str()),
            "seed {seed}: {verdict:?} after {repair:?}\n{xml}"
        );
    }
    finding.repairs.len()
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

#[test]
fn every_gap_overlap_and_suggestion_is_confirmed_by_mapping_and_table() {
    let (mut found, mut suggested, mut repaired) = (0, 0, 0);
    let mut seed = 0;
    while found < 6_000 || suggested < 4_000 || repaired < 1_000 {
        seed += 1;
        let mut random = Rng::with_seed(seed);
        let fields = random_fields(&mut random);
        let hit = ["UNIQUE", "UNIQUE", "ANY", "FIRST"][random.usize(..4)];
        let table = random_table(&fields, hit, &mut random);
        let xml = table.xml();
        let mapping = mapping(fields);
        let fields = &mapping.fields;
        let transform = Transform::new(&mapping).unwrap_or_else(|error| panic!("{error:#}"));
        let variables = input_variables(&transform);
        let Ok(lint) = lint(&xml, "t", None, &variables) else {
            continue; // An interval of the wrong way round, which strict reading refuses.
        };
        let decision = Decision::compile(&xml, "t", None, &variables).unwrap();
        let rules = Rules {
            transform: &transform,
            decision: &decision,
        };
        let mut scratch = Scratch::default();
        for finding in &lint.findings {
            if !matches!(finding.check, Check::Gap | Check::Overlap) {
                continue;
            }
            let example = finding.example.as_ref().unwrap();
            let raw = record_with(&transform, fields, example).unwrap_or_else(|| {
                panic!("seed {seed}: no record brings {example:?} of {finding}\n{fields:#?}\n{xml}")
            });
            let mut mapped = Mapped::new();
            transform.apply(&raw, &mut mapped);
            let verdict = decision.decide(&mapped.variables, &mut scratch);
            let shows = match finding.check {
                Check::Gap => matches!(verdict.class, "no_rule" | "null_input"),
                _ => {
                    matches!(verdict.class, "several_rules" | "conflicting_rules")
                        && finding
                            .rules
                            .iter()
                            .all(|rule| verdict.rules.as_slice().contains(&rule.as_str()))
                }
            };
            assert!(
                shows,
                "seed {seed}: {raw} is {verdict:?}, not {finding}\n{xml}"
            );
            found += 1;
            repaired += confirm_repairs(seed, &table, finding, &lint, &mapped, &variables);
        }
        for _ in 0..5 {
            let record = random_record(&fields[1..], &mut random);
            let raw = Value::Object(record.clone()).to_string();
            let mut mapped = Mapped::new();
            transform.apply(&raw, &mut mapped);
            assert!(mapped.errors.is_empty(), "{raw}: {:?}", mapped.errors);
            for nearest in rules.explain(&mapped).nearest {
                let mut changed = record.clone();
                for change in &nearest.changes {
                    let to = serde_json::to_value(&change.to).unwrap();
                    changed.insert(change.input.clone(), to);
                }
                let raw = Value::Object(changed).to_string();
                let mut mapped = Mapped::new();
                transform.apply(&raw, &mut mapped);
                assert!(
                    mapped.errors.is_empty(),
                    "seed {seed}: {nearest}: {:?}",
                    mapped.errors
                );
                let verdict = decision.decide(&mapped.variables, &mut scratch);
                assert!(
                    verdict.passes() && verdict.validation.as_str() == nearest.gives,
                    "seed {seed}: {raw} is {verdict:?}, not as {nearest}\n{xml}"
                );
                suggested += 1;
            }
        }
    }
}
