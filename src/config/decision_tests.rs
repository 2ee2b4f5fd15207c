//! `decisions.tests.yaml`: the tests of a decision table, in a file beside it. Each has a record, or values of input
//! variables, and the expected result.
//!
//! Reads the file only; knows nothing of mappings and rules. `${NAME}` is not replaced here: a test does not depend on the
//! environment.

use std::path::{Path, PathBuf};

use super::context::Context;
use super::environment::Environment;
use super::problem::{ConfigErrors, Problem};
use super::reader::{Section, parse_flag};
use super::yaml::{self, Entry, Kind, Node};
use crate::model::record::{Action, Validation};
use crate::support::bounded_read;

/// A file of tests may be this large (bytes).
const LARGEST: u64 = 8 << 20;
/// Most values in it, those that aliases repeat included.
const MOST_VALUES: usize = 500_000;

/// The tests of one decision file.
#[derive(Clone, Debug, Default)]
pub struct DecisionTests {
    /// The file, for messages.
    pub file: String,
    pub tests: Vec<DecisionTest>,
}

/// One test.
#[derive(Clone, Debug)]
pub struct DecisionTest {
    /// What it is called; `test 3` where it has no name.
    pub name: String,
    /// Line in the file, from 1.
    pub line: usize,
    pub given: Given,
    pub expected: Expected,
}

/// The input of the test.
#[derive(Clone, Debug)]
pub enum Given {
    /// A record as the source sends it, as JSON text; it is mapped first.
    Record(String),
    /// Input variables by name, each with its value as JSON text; the table gets them as they are.
    Variables(Vec<(String, String)>),
}

/// The expected result. What is none may be anything, but not all of it is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    pub validation: Option<Validation>,
    pub action: Option<Action>,
    /// The rules that give the verdict, by id or as `row 3`.
    pub rules: Option<Vec<String>>,
    /// Why the record is rejected, as `sync_rejections.reason` has it.
    pub rejection: Option<String>,
    /// The sentence that says why.
    pub reason: Option<String>,
}

/// The file with the tests of a decision file: `decisions.tests.yaml` beside `decisions.dmn.xml`.
fn beside(decisions_file: &Path) -> Option<PathBuf> {
    let name = decisions_file.file_name()?.to_str()?;
    let stem = [".dmn.xml", ".dmn", ".xml"]
        .into_iter()
        .find_map(|end| name.strip_suffix(end))
        .unwrap_or(name);
    Some(decisions_file.with_file_name(format!("{stem}.tests.yaml")))
}

/// Reads the tests beside a decision file; none where there is no such file.
///
/// # Errors
/// Every mistake in the file, with its place.
pub(super) fn read(decisions_file: &Path) -> Result<Option<DecisionTests>, ConfigErrors> {
    let Some(path) = beside(decisions_file) else {
        return Ok(None);
    };
    let name = path.display().to_string();
    let wrong = |message: &str| Problem::new(message).in_file(&name);
    let bytes = match bounded_read::read(&path, LARGEST) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Err(wrong("is larger than 8 MiB").into()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(wrong(&format!("cannot be read: {error}")).into()),
    };
    let text = String::from_utf8(bytes).map_err(|_| wrong("is not valid UTF-8"))?;
    parse(&name, &text).map(Some)
}

fn parse(name: &str, text: &str) -> Result<DecisionTests, ConfigErrors> {
    let (source, tree, problems) = yaml::parse_up_to(MOST_VALUES, name, text)?;
    let environment = Environment::empty();
    let context = Context::new(&source, &environment, problems);
    let root = Section::open(&context, &tree, "", &["tests"], true);
    if root.entry("tests").is_none() {
        root.absent_key("tests", "list the tests below it, one `- record: …` each");
    }
    let tests = root.items("tests");
    let tests = tests
        .iter()
        .enumerate()
        .filter_map(|(index, (node, path))| test(&context, index, node, path))
        .collect();
    context.finish()?;
    Ok(DecisionTests {
        file: name.to_owned(),
        tests,
    })
}

fn test(context: &Context<'_>, index: usize, node: &Node, path: &str) -> Option<DecisionTest> {
    let keys = ["name", "record", "variables", "expect"];
    let section = Section::open(context, node, path, &keys, true);
    let name = text(&section, "name").unwrap_or_else(|| format!("test {}", index + 1));
    let given = given(&section);
    let expected = expected(&section);
    Some(DecisionTest {
        name,
        line: node.span.line,
        given: given?,
        expected: expected?,
    })
}

fn given(section: &Section<'_>) -> Option<Given> {
    match (section.entry("record"), section.entry("variables")) {
        (Some(record), None) => map(section, record).map(|_| Given::Record(json(&record.value))),
        (None, Some(variables)) => {
            let named = map(section, variables)?.iter();
            let named = named.map(|entry| (entry.key.clone(), json(&entry.value)));
            Some(Given::Variables(named.collect()))
        }
        (Some(_), Some(both)) => {
            section.wrong_key(
                both,
                "a test has a `record` or `variables`, not both",
                "keep one of them: a record goes through the mapping, variables go to the table as they are",
            );
            None
        }
        (None, None) => {
            section.absent_key(
                "record",
                "write the record as the source sends it, or `variables` with the inputs of the table",
            );
            None
        }
    }
}

/// The entries of a value that must be a mapping.
fn map<'n>(section: &Section<'_>, entry: &'n Entry) -> Option<&'n [Entry]> {
    if let Kind::Map(entries) = &entry.value.kind {
        return Some(entries);
    }
    let found = entry.value.describe();
    section.wrong(
        &entry.key,
        format!("expected a mapping (`key: value`), found {found}"),
        "write one `name: value` a line, or `{ name: value }`",
    );
    None
}

fn expected(section: &Section<'_>) -> Option<Expected> {
    let keys = [
        "validationResult",
        "action",
        "rule",
        "rules",
        "rejection",
        "reason",
    ];
    let expect = section.section("expect", &keys);
    if expect.entries().is_empty() {
        section.absent_key(
            "expect",
            "say what must come of it, such as `expect: { validationResult: VALID, rule: Rule_Good }`",
        );
        return None;
    }
    let validations = [Validation::Valid, Validation::Warning, Validation::Invalid];
    let actions = [Action::Process, Action::Review, Action::Reject];
    let rule = text(&expect, "rule").map(|rule| vec![rule]);
    if let (Some(_), Some(entry)) = (&rule, expect.entry("rules")) {
        expect.wrong_key(
            entry,
            "`rule` and `rules` are both here",
            "keep one of them",
        );
    }
    Some(Expected {
        validation: expect.choice("validationResult", &validations.map(|v| (v.as_str(), v))),
        action: expect.choice("action", &actions.map(|a| (a.as_str(), a))),
        rules: rule.or_else(|| expect.entry("rules").map(|_| texts(&expect, "rules"))),
        rejection: text(&expect, "rejection"),
        reason: text(&expect, "reason"),
    })
}

/// A single value as it is written.
fn text(section: &Section<'_>, key: &str) -> Option<String> {
    let entry = section.entry(key)?;
    scalar(&entry.value).or_else(|| {
        let found = entry.value.describe();
        section.wrong(
            key,
            format!("expected a single value, found {found}"),
            "write one",
        );
        None
    })
}

fn texts(section: &Section<'_>, key: &str) -> Vec<String> {
    let items = section.items(key);
    let texts: Vec<String> = items.iter().filter_map(|(item, _)| scalar(item)).collect();
    if texts.len() < items.len() {
        section.wrong(key, "expected a list of single values", "write `[a, b]`");
    }
    texts
}

fn scalar(node: &Node) -> Option<String> {
    match &node.kind {
        Kind::Scalar { text, .. } => Some(text.clone()),
        _ => None,
    }
}

/// The value as JSON. Unquoted numbers, `true`, `false` and `null` are what they are in JSON; all else is text.
fn json(node: &Node) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    match &node.kind {
        Kind::Null => "null".to_owned(),
        Kind::Scalar { text, plain: true } => match parse_flag(text) {
            Some(flag) => flag.to_string(),
            None if is_number(text) => text.clone(),
            None => quoted(text),
        },
        Kind::Scalar { text, plain: false } => quoted(text),
        Kind::List(items) => {
            let items: Vec<String> = items.iter().map(json).collect();
            format!("[{}]", items.join(","))
        }
        Kind::Map(entries) => {
            let entries: Vec<String> = entries
                .iter()
                .map(|entry| format!("{}:{}", quoted(&entry.key), json(&entry.value)))
                .collect();
            format!("{{{}}}", entries.join(","))
        }
    }
}

/// Is it a number as JSON writes them?
fn is_number(text: &str) -> bool {
    text.starts_with(|c: char| c == '-' || c.is_ascii_digit())
        && text.ends_with(|c: char| c.is_ascii_digit())
        && serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_tests_stand_beside_the_table_under_its_name() {
        for (table, tests) in [
            ("decisions.dmn.xml", "decisions.tests.yaml"),
            ("a/rules.dmn", "a/rules.tests.yaml"),
            ("/x/rules.xml", "/x/rules.tests.yaml"),
            ("rules", "rules.tests.yaml"),
        ] {
            assert_eq!(beside(Path::new(table)), Some(PathBuf::from(tests)));
        }
    }

    #[test]
    fn a_record_is_what_json_would_have_it() {
        let text = "tests:\n- record: { a: 1.50, b: '1', c: yes, d: true, e: , f: [x, 007], \"g\": {h: -1e400} }\n  expect: { action: REJECT }\n";
        let tests = parse("t", text).unwrap().tests;
        let Given::Record(record) = &tests[0].given else {
            panic!("{tests:?}");
        };
        let wanted =
            r#"{"a":1.50,"b":"1","c":"yes","d":true,"e":null,"f":["x","007"],"g":{"h":-1e400}}"#;
        assert_eq!(record, wanted);
        assert_eq!((tests[0].name.as_str(), tests[0].line), ("test 1", 2));
    }

    #[test]
    fn every_mistake_is_told_with_its_place() {
        for (text, told) in [
            ("tests: 5", "t:1:8: expected a list, found a single value"),
            ("test: []", "unknown key `test`"),
            ("{}", "`tests` is missing"),
            (
                "tests: [{ expect: { action: REJECT } }]",
                "`record` is missing",
            ),
            (
                "tests: [{ record: {}, variables: {}, expect: { action: REJECT } }]",
                "not both",
            ),
            (
                "tests: [{ record: 5, expect: { action: REJECT } }]",
                "expected a mapping",
            ),
            ("tests: [{ record: {} }]", "`expect` is missing"),
            ("tests: [{ record: {}, expect: {} }]", "`expect` is missing"),
            (
                "tests: [{ record: {}, expect: { action: REJEKT } }]",
                "did you mean `REJECT`?",
            ),
            (
                "tests: [{ record: {}, expect: { rule: a, rules: [b] } }]",
                "both here",
            ),
            (
                "tests: [{ record: {}, expect: { rules: [[b]] } }]",
                "single values",
            ),
            (
                "tests: [{ record: {}, expect: { rule: {} } }]",
                "a single value",
            ),
            (
                "tests: [{ record: {}, record: {}, expect: { rule: a } }]",
                "twice",
            ),
        ] {
            let errors = parse("t", text).unwrap_err().to_string();
            assert!(errors.contains(told), "{text}: {errors}");
        }
    }
}
