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
use datasync::decision::problem::Problems;
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

    fn fail(&mut self, what: String) {
        self.failed += 1;
        self.failures.push(what);
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

/// A kit of one folder with this model and these test cases.
fn kit(model: &str, cases: &str) -> Tally {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("m.dmn"), model).unwrap();
    std::fs::write(folder.path().join("m-test-01.xml"), cases).unwrap();
    run_folder(folder.path())
}

/// A test case that wants 5 of a decision.
fn wants_five(decision: &str) -> String {
    format!(
        "<testCases><modelName>m.dmn</modelName><testCase id=\"1\"><inputNode name=\"a\"><value \
         xsi:type=\"xsd:decimal\">1</value></inputNode><resultNode name=\"{decision}\"><expected><value \
         xsi:type=\"xsd:decimal\">5</value></expected></resultNode></testCase></testCases>"
    )
}

#[test]
fn what_the_tck_runner_cannot_read_or_find_is_a_failure() {
    const HEAD: &str = "<definitions xmlns=\"https://www.omg.org/spec/DMN/20191111/MODEL/\">";
    let table = |requires: &str, cell: &str| {
        format!(
            "{HEAD}<decision id=\"d\" name=\"Table\">{requires}<decisionTable><input><inputExpression><text>a</text>\
             </inputExpression></input><output/><rule><inputEntry><text>1</text></inputEntry><outputEntry>\
             <text>{cell}</text></outputEntry></rule></decisionTable></decision>\
             <businessKnowledgeModel id=\"k\" name=\"Known\"/><inputData name=\"a\"/></definitions>"
        )
    };
    let cases = wants_five("Table").replace(
        "<testCases>",
        "<testCases xmlns=\"http://www.omg.org/spec/DMN/20160719/testcase\">",
    );
    let of = |tally: &Tally| (tally.passed, tally.failed, tally.outside());
    let good = table("", "5");
    let requires = "<knowledgeRequirement><requiredKnowledge href=\"#k\"/></knowledgeRequirement>";
    for (model, cases, expected) in [
        (&*good, &*cases, (1, 0, 0)),
        // A wrong result, and a table that this program does not understand.
        (&table("", "4"), &cases, (0, 1, 0)),
        (&table("", "no such name"), &cases, (0, 1, 0)),
        (
            &good.replace("<decisionTable>", "<decisionTable hitPolicy=\"X\">"),
            &cases,
            (0, 1, 0),
        ),
        // Files that cannot be read, and a decision that is not there.
        (&good[..good.len() / 2], &cases, (0, 1, 0)),
        (
            &good.replace("www.omg.org", "example.com"),
            &cases,
            (0, 1, 0),
        ),
        (&good, &cases[..cases.len() / 2], (0, 1, 0)),
        (&good, &cases.replace("m.dmn", "other.dmn"), (0, 1, 0)),
        (&good, &cases.replace("\"Table\"", "\"Tabel\""), (0, 1, 0)),
        // A business knowledge model that is required and not called is none of the table's business.
        (&table(requires, "5"), &cases, (1, 0, 0)),
        // Out of scope: what is no decision, what calls such a model, and what is no table.
        (&good, &cases.replace("\"Table\"", "\"Known\""), (0, 0, 1)),
        (&table(requires, "Known(1)"), &cases, (0, 0, 1)),
        (
            &format!(
                "{HEAD}<decision name=\"Table\"><literalExpression><text>5</text></literalExpression></decision></definitions>"
            ),
            &cases,
            (0, 0, 1),
        ),
    ] {
        let tally = kit(model, cases);
        assert_eq!(
            of(&tally),
            expected,
            "{:?} {:?}\n{model}\n{cases}",
            tally.failures,
            tally.out_of_scope
        );
    }
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
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let read = std::fs::read_to_string(file)
            .map_err(|error| error.to_string())
            .and_then(|text| xml::read(&text, &name).map_err(|problems| problems.to_string()));
        match read {
            Ok(cases) if cases.name == "testCases" => run_file(folder, &cases, &mut tally),
            // An XML file of another kind is no test.
            Ok(_) => {}
            Err(why) => tally.fail(format!("{name} cannot be read: {why}")),
        }
    }
    tally
}

/// One file of test cases, with the model it names.
fn run_file(folder: &Path, cases: &Element, tally: &mut Tally) {
    let name = cases.first("modelName").map_or("", |name| name.text.trim());
    let read = std::fs::read_to_string(folder.join(name))
        .map_err(|error| error.to_string())
        .and_then(|text| {
            xml::read(&text, name)
                .map_err(|problems| problems.to_string())
                .map(|root| (text, root))
        });
    let (text, root) = match read {
        Ok(read) => read,
        Err(why) => return tally.fail(format!("{name} cannot be read: {why}")),
    };
    // Told by the file itself, not by what the reader under test makes of it.
    let decisions = root
        .children
        .iter()
        .any(|child| child.name == "decision" && holds(child, "decisionTable"));
    let results: usize = cases
        .all("testCase")
        .map(|case| case.all("resultNode").count())
        .sum();
    if results == 0 {
        return tally.fail(format!("there is no test in the test cases of {name}"));
    }
    if !decisions && std::env::var_os("DMN_TCK_ALL").is_none() {
        let reason = if holds(&root, "decisionTable") {
            "the only tables are in business knowledge models: these are not supported"
        } else {
            "no decision table in the model"
        };
        return tally.set_aside(reason, results);
    }
    match Model::read(&text, name) {
        Ok(model) => run_cases(&model, decisions, cases, tally),
        Err(problems) => tally.fail(problems.to_string()),
    }
}

fn run_cases(model: &Model, has_table: bool, cases: &Element, tally: &mut Tally) {
    for case in cases.all("testCase") {
        for result in case.all("resultNode") {
            let name = result.attribute("name").unwrap_or_default();
            let id = format!("{}/{name}", case.attribute("id").unwrap_or_default());
            let Some(index) = model.decision(name) else {
                match foreign(model, case, name) {
                    Some(kind) => {
                        let reason = format!("the test asks for a {kind}: these are not supported");
                        tally.set_aside(reason, 1);
                    }
                    None => tally.fail(format!("{id}: there is no such decision in the model")),
                }
                continue;
            };
            // A decision without logic gets its result from the test, like an input.
            let made_elsewhere = model
                .decisions
                .iter()
                .filter(|decision| matches!(decision.logic, Logic::Missing))
                .map(datasync::decision::model::DecisionModel::variable_name);
            let variables: Vec<&str> = model
                .inputs
                .iter()
                .map(|input| input.name.as_str())
                .chain(made_elsewhere)
                .collect();
            let program = match Program::compile(model, index, &variables, false) {
                Ok(program) => program,
                Err(problems) => {
                    if !has_table
                        && result
                            .first("expected")
                            .is_none_or(|e| value_of(e).is_null())
                    {
                        // Refused at start, where the standard has null at run time.
                        tally.passed += 1;
                    } else if let Some(reason) = beyond_tables(model, &problems) {
                        tally.set_aside(reason, 1);
                    } else {
                        tally.fail(format!("{id}: {problems}"));
                    }
                    continue;
                }
            };
            let mut frame = Frame::default();
            frame.values.resize(program.slots, Value::Null);
            for node in case.all("inputNode") {
                let input = node.attribute("name").unwrap_or_default();
                if let Some(slot) = variables.iter().position(|variable| *variable == input) {
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
                tally.fail(format!(
                    "{id}: found {}, expected {}",
                    found.literal(),
                    expected.literal()
                ));
            }
        }
    }
}

/// What a test asks for when it is not a decision of the model: a decision service or a business knowledge model.
fn foreign(model: &Model, case: &Element, result: &str) -> Option<&'static str> {
    let asked = [case.attribute("invocableName"), Some(result)];
    model
        .foreign
        .iter()
        .find(|(_, name, _)| asked.contains(&Some(name)))
        .map(|(_, _, kind)| *kind)
}

/// The reason when these problems are of the few things that tables are not run for, and of names that only these would
/// give; every other problem is a failure.
fn beyond_tables(model: &Model, problems: &Problems) -> Option<String> {
    const BEYOND: &[&str] = &[
        "a business knowledge model: these are not supported",
        "a decision service: these are not supported",
        "imports are not supported",
        "functions as values are not supported",
        "calls of functions that the file defines are not supported",
        // What calls a business knowledge model, and what makes a function.
        "<invocation> is not supported",
        "<functionDefinition> is not supported",
    ];
    let beyond = |message: &str| BEYOND.iter().any(|words| message.contains(words));
    let follows = |message: &str| {
        model
            .foreign
            .iter()
            .any(|(_, name, _)| message.contains(&format!("no input or decision named `{name}`")))
    };
    let reason = problems.0.iter().find(|problem| beyond(&problem.message))?;
    problems
        .0
        .iter()
        .all(|problem| beyond(&problem.message) || follows(&problem.message))
        .then(|| reason.to_string())
}

/// Is there such an element somewhere below?
fn holds(element: &Element, name: &str) -> bool {
    element
        .children
        .iter()
        .any(|child| child.name == name || holds(child, name))
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
