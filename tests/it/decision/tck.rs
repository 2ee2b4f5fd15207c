//! The public DMN Technology Compatibility Kit, where a copy of it is at hand: every decision-table model of it is run.
//!
//! `DMN_TCK_DIR` names a folder in the kit's layout (folders of `*.dmn` with `*-test-*.xml` beside them, at any depth);
//! without it `../shared/tck` beside the project is taken when that exists. `DMN_TCK_ALL=1` also runs the models
//! without a table, as far as they stay within what this program computes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datasync::decision::feel::builtins::temporal_literal;
use datasync::decision::feel::eval::Frame;
use datasync::decision::feel::value::{Value, equal};
use datasync::decision::model::{Logic, Model};
use datasync::decision::program::Program;
use datasync::decision::xml::{self, Element};
use rust_decimal::Decimal;

#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
    /// Results by the reason why they are not looked at.
    out_of_scope: BTreeMap<String, usize>,
    failures: Vec<String>,
}

impl Tally {
    fn outside(&self) -> usize {
        self.out_of_scope.values().sum()
    }

    fn set_aside(&mut self, reason: impl Into<String>, results: usize) {
        *self.out_of_scope.entry(reason.into()).or_default() += results;
    }
}

#[test]
fn every_decision_table_model_of_the_tck_passes() {
    let folder = std::env::var_os("DMN_TCK_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/tck"),
        PathBuf::from,
    );
    let asked_for = std::env::var_os("DMN_TCK_DIR").is_some();
    if !folder.is_dir() {
        assert!(!asked_for, "DMN_TCK_DIR={} is no folder", folder.display());
        eprintln!(
            "tck: no kit at {}; set DMN_TCK_DIR to run one",
            folder.display()
        );
        return;
    }
    let mut folders = Vec::new();
    model_folders(&folder, &mut folders);
    folders.sort();
    assert!(
        !folders.is_empty(),
        "{} holds no *.dmn file",
        folder.display()
    );
    let mut report = String::new();
    let (mut passed, mut failed, mut outside) = (0, 0, 0);
    for path in folders {
        let tally = run_folder(&path);
        let name = path
            .strip_prefix(&folder)
            .unwrap_or(&path)
            .display()
            .to_string();
        writeln!(
            report,
            "tck: {name:<60} passed {:>3}  failed {:>3}  out of scope {:>3}",
            tally.passed,
            tally.failed,
            tally.outside(),
        )
        .unwrap();
        for (reason, results) in &tally.out_of_scope {
            writeln!(report, "tck:     {results} out of scope: {reason}").unwrap();
        }
        for failure in &tally.failures {
            writeln!(report, "tck:     FAILED {failure}").unwrap();
        }
        passed += tally.passed;
        failed += tally.failed;
        outside += tally.outside();
    }
    writeln!(
        report,
        "tck: passed {passed}, failed {failed}, out of scope {outside}"
    )
    .unwrap();
    tell(&report);
    assert_eq!(failed, 0, "{report}");
    assert!(passed > 0, "{report}");
}

/// Past the capture of the test harness, so that `make test` shows the counts.
fn tell(text: &str) {
    std::io::Write::write_all(&mut std::io::stderr().lock(), text.as_bytes()).unwrap();
}

fn model_folders(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut has_model = false;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            model_folders(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "dmn") {
            has_model = true;
        }
    }
    if has_model {
        found.push(folder.to_owned());
    }
}

fn run_folder(folder: &Path) -> Tally {
    let mut tally = Tally::default();
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    for file in files
        .iter()
        .filter(|file| file.extension().is_some_and(|e| e == "xml"))
    {
        let text = std::fs::read_to_string(file).unwrap();
        let Ok(cases) = xml::read(&text, &file.display().to_string()) else {
            continue;
        };
        if cases.name != "testCases" {
            continue;
        }
        let model_name = cases.first("modelName").map_or("", |name| name.text.trim());
        let model_path = folder.join(model_name);
        let Ok(model_text) = std::fs::read_to_string(&model_path) else {
            tally.failed += 1;
            tally.failures.push(format!("{model_name} cannot be read"));
            continue;
        };
        match Model::read(&model_text, model_name) {
            Ok(model) => {
                let root = xml::read(&model_text, model_name).unwrap();
                run_cases(&model, &root, &cases, &mut tally);
            }
            Err(problems) => {
                // No decision in it at all: nothing here can be decided by a table.
                let results = cases
                    .all("testCase")
                    .map(|case| case.all("resultNode").count());
                tally.set_aside(problems.to_string(), results.sum());
            }
        }
    }
    tally
}

fn run_cases(model: &Model, root: &Element, cases: &Element, tally: &mut Tally) {
    let all = std::env::var_os("DMN_TCK_ALL").is_some();
    let has_table = model
        .decisions
        .iter()
        .any(|decision| is_table(&decision.logic));
    for case in cases.all("testCase") {
        for result in case.all("resultNode") {
            let name = result.attribute("name").unwrap_or_default();
            let id = format!("{}/{name}", case.attribute("id").unwrap_or_default());
            if !has_table && !all {
                let elsewhere = root
                    .all("businessKnowledgeModel")
                    .any(|knowledge| holds(knowledge, "decisionTable"));
                let reason = if elsewhere {
                    "the only tables are in business knowledge models: these are not supported"
                } else {
                    "no decision table in the model"
                };
                tally.set_aside(reason, 1);
                continue;
            }
            let Some(index) = model.decision(name) else {
                tally.set_aside(format!("`{name}` is no decision of the model"), 1);
                continue;
            };
            // A decision without logic gets its result from the test, like an input.
            let made_elsewhere = model
                .decisions
                .iter()
                .filter(|decision| matches!(decision.logic, Logic::Missing))
                .map(datasync::decision::model::DecisionModel::variable_name);
            let facts: Vec<&str> = model
                .inputs
                .iter()
                .map(|input| input.name.as_str())
                .chain(made_elsewhere)
                .collect();
            let program = match Program::compile(model, index, &facts, false) {
                Ok(program) => program,
                Err(problems) => {
                    let text = problems.to_string();
                    if !has_table
                        && result
                            .first("expected")
                            .is_none_or(|e| value_of(e).is_null())
                    {
                        // Refused at start, where the standard has null at run time.
                        tally.passed += 1;
                    } else if text.contains("not supported") {
                        tally.set_aside(text.lines().next().unwrap_or_default(), 1);
                    } else {
                        tally.failed += 1;
                        tally.failures.push(format!("{id}: {text}"));
                    }
                    continue;
                }
            };
            let mut frame = Frame::default();
            frame.values.resize(program.slots, Value::Null);
            for node in case.all("inputNode") {
                let input = node.attribute("name").unwrap_or_default();
                if let Some(slot) = facts.iter().position(|fact| *fact == input) {
                    frame.values[slot] = value_of(node);
                }
            }
            let found = program.run(&mut frame, &mut Vec::new());
            let expected = match result.first("expected") {
                Some(expected) if result.attribute("errorResult") != Some("true") => {
                    value_of(expected)
                }
                _ => Value::Null,
            };
            if same(&found, &expected) {
                tally.passed += 1;
            } else {
                tally.failed += 1;
                tally.failures.push(format!(
                    "{id}: found {}, expected {}",
                    found.literal(),
                    expected.literal()
                ));
            }
        }
    }
}

/// Is there such an element somewhere below?
fn holds(element: &Element, name: &str) -> bool {
    element
        .children
        .iter()
        .any(|child| child.name == name || holds(child, name))
}

fn is_table(logic: &Logic) -> bool {
    match logic {
        Logic::Table(_) => true,
        Logic::Context(entries) => entries.iter().any(|(_, entry)| is_table(entry)),
        Logic::List(items) => items.iter().any(is_table),
        _ => false,
    }
}

/// The value inside an element of a test case.
fn value_of(element: &Element) -> Value {
    if let Some(value) = element.first("value") {
        if value.attribute("xsi:nil") == Some("true") {
            return Value::Null;
        }
        let text = value.text.trim();
        let kind = value.attribute("xsi:type").unwrap_or("string");
        return match kind.rsplit(':').next().unwrap_or(kind) {
            "boolean" => Value::Boolean(text == "true"),
            "decimal" | "double" | "integer" | "float" | "int" | "long" => text
                .parse::<Decimal>()
                .or_else(|_| Decimal::from_scientific(text))
                .map_or(Value::Null, Value::Number),
            "date" | "time" | "dateTime" | "duration" => temporal_literal(text),
            // The text itself counts, with its spaces.
            _ => Value::text(&value.text),
        };
    }
    if let Some(list) = element.first("list") {
        return Value::list(list.all("item").map(value_of).collect());
    }
    let components: Vec<(Arc<str>, Value)> = element
        .all("component")
        .map(|component| {
            (
                Arc::from(component.attribute("name").unwrap_or_default()),
                value_of(component),
            )
        })
        .collect();
    if components.is_empty() {
        Value::Null
    } else {
        Value::Context(Arc::from(components))
    }
}

/// Equal, numbers within the 28 digits this program computes with.
fn same(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::Number(a), Value::Number(b)) => {
            // The kit writes some results with eight digits, others with those of a binary float.
            let (exponent, relative) = (
                Decimal::new(1, b.scale().min(27)),
                b.abs() * Decimal::new(1, 13),
            );
            let tolerance = if b.scale() >= 8 {
                exponent.max(relative)
            } else {
                relative
            };
            (*a - *b).abs() <= tolerance
        }
        (Value::List(a), Value::List(b)) => {
            a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| same(a, b))
        }
        (Value::Context(a), Value::Context(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(key, value)| expected.entry(key).is_some_and(|other| same(value, other)))
        }
        (Value::Time(a), Value::Time(b)) => {
            a.to_string() == b.to_string() || equal(found, expected) == Some(true)
        }
        _ => equal(found, expected) == Some(true),
    }
}
