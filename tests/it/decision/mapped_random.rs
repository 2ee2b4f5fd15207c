//! Tables and mappings at random: every gap, overlap, repair and suggestion is run through mapping and table.
//!
//! `make soak` confirms 10,000 of them.

use datasync::config::plan::{Field, Kind};
use datasync::decision::{Check, Decision, Finding, InputVariable, Lint, Scratch, lint};
use datasync::pipeline::Rules;
use datasync::run::rules::input_variables;
use datasync::transform::{Mapped, Transform};
use fastrand::Rng;
use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

use super::build::TableFile;
use super::mapped::{field, gaps, mapping};

/// How many findings and suggestions are confirmed.
fn wanted() -> usize {
    let number = std::env::var("DATASYNC_FINDINGS").ok();
    number.map_or(1_000, |number| {
        number.parse().expect("a number in DATASYNC_FINDINGS")
    })
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
fn every_gap_overlap_and_suggestion_is_confirmed_by_mapping_and_table() {
    let (mut found, mut suggested, mut repaired) = (0, 0, 0);
    let mut seed = 0;
    let wanted = wanted();
    // Six in ten are gaps and overlaps, and one overlap in ten has a repair at least.
    while found < wanted * 6 / 10 || suggested < wanted * 4 / 10 || repaired < wanted / 10 {
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
