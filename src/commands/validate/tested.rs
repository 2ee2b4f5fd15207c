//! Runs the tests of a decision table, and lists the rules that no test reaches.

use std::fmt;

use serde_json::{Value, json};

use crate::config::{DecisionTest, DecisionTests, Expected, Given};
use crate::decision::{Scratch, TableRule, Verdict};
use crate::model::record::{Action, Validation};
use crate::pipeline::{Decided, Refusal, Rules, decide};
use crate::support::spelling::nearest;
use crate::support::text::{clean, counted};
use crate::transform::Mapped;

/// The results of all tests.
#[derive(Debug)]
pub(super) struct Tested {
    /// The path of the file of tests.
    pub(super) file: String,
    pub(super) results: Vec<TestResult>,
    rules: usize,
    /// Rules that no test reaches.
    pub(super) unreached: Vec<TableRule>,
}

/// The result of one test.
#[derive(Debug)]
pub(super) struct TestResult {
    pub(super) name: String,
    /// The line of the test in its file.
    pub(super) line: usize,
    /// How the result differs from what the test expects; none if the test passes.
    pub(super) failure: Option<String>,
}

/// The verdict, in the terms of a test.
struct ActualResult {
    validation: Validation,
    action: Action,
    rules: Vec<String>,
    rejection: Option<&'static str>,
    reason: String,
}

/// Runs all tests of the file.
pub(super) fn run(tests: &DecisionTests, rules: Rules<'_>) -> Tested {
    let table_rules = rules.decision.table_rules();
    let mut reached = vec![false; table_rules.len()];
    let mut scratch = Scratch::default();
    let results = tests
        .tests
        .iter()
        .map(|test| TestResult {
            name: test.name.clone(),
            line: test.line,
            failure: unknown_rule(&test.expected, &table_rules)
                .or_else(|| failure(test, rules, &mut reached, &mut scratch)),
        })
        .collect();
    Tested {
        file: tests.file.clone(),
        results,
        rules: table_rules.len(),
        unreached: table_rules
            .into_iter()
            .zip(reached)
            .filter_map(|(rule, reached)| (!reached).then_some(rule))
            .collect(),
    }
}

/// Decides, notes the rules that were reached, and compares. None: the result is as expected.
fn failure(
    test: &DecisionTest,
    rules: Rules<'_>,
    reached: &mut [bool],
    scratch: &mut Scratch,
) -> Option<String> {
    let found = match &test.given {
        Given::Record(raw) => {
            let mut mapped = Mapped::new();
            rules.transform.apply(raw, &mut mapped);
            if mapped.is_well_formed() {
                let variables = &mapped.variables;
                for rule in rules.decision.rules_reached(variables, scratch) {
                    reached[rule] = true;
                }
            }
            match decide(rules, &mut mapped, scratch) {
                Decided::Accepted(verdict) => ActualResult::of_verdict(&verdict),
                Decided::Refused(refusal) => ActualResult::of_refusal(refusal),
            }
        }
        Given::Variables(given) => {
            let variables = match rules.transform.variables_given(given) {
                Ok(variables) => variables,
                Err(why) => return Some(why),
            };
            for rule in rules.decision.rules_reached(&variables, scratch) {
                reached[rule] = true;
            }
            ActualResult::of_verdict(&rules.decision.decide(&variables, scratch))
        }
    };
    found.differs_from(&test.expected)
}

/// A sentence about a rule that a test expects but no table has.
fn unknown_rule(expected: &Expected, rules: &[TableRule]) -> Option<String> {
    let is_known = |name: &String| rules.iter().any(|rule| rule.id == **name);
    let name = expected
        .rules
        .iter()
        .flatten()
        .find(|name| !is_known(name))?;
    let hint = nearest(name, rules.iter().map(|rule| rule.id.as_str()))
        .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
    Some(format!(
        "it expects the rule `{name}`, which is in no table{hint}"
    ))
}

impl ActualResult {
    fn of_verdict(verdict: &Verdict<'_>) -> Self {
        let rules = verdict.rules.as_slice().iter();
        Self {
            validation: verdict.validation,
            action: verdict.action,
            rules: rules.map(|&rule| rule.to_owned()).collect(),
            rejection: (!verdict.passes()).then_some(match verdict.class {
                "decided" => "decision",
                class => class,
            }),
            reason: verdict.reason.to_string(),
        }
    }

    fn of_refusal(refusal: Refusal) -> Self {
        Self {
            validation: Validation::Invalid,
            action: Action::Reject,
            rules: refusal.rules,
            rejection: Some(refusal.reason),
            reason: refusal.message,
        }
    }

    /// The differences from what a test expects, and the whole verdict.
    fn differs_from(&self, expected: &Expected) -> Option<String> {
        let mut wrong = Vec::new();
        let mut compare = |what: &str, expected: Option<&str>, found: &str| {
            if let Some(expected) = expected.filter(|expected| *expected != found) {
                wrong.push(format!("expected {what} {expected}, found {found}"));
            }
        };
        let validation = expected.validation.map(Validation::as_str);
        compare("validationResult", validation, self.validation.as_str());
        let action = expected.action.map(Action::as_str);
        compare("action", action, self.action.as_str());
        let listed = |rules: &[String]| match rules {
            [] => "none".to_owned(),
            rules => rules.join(", "),
        };
        let rules = expected.rules.as_ref().map(|rules| listed(rules));
        compare("rule", rules.as_deref(), &listed(&self.rules));
        let rejection = expected.rejection.as_deref();
        compare("rejection", rejection, self.rejection.unwrap_or("none"));
        compare("reason", expected.reason.as_deref(), &self.reason);
        (!wrong.is_empty()).then(|| format!("{}\n    the verdict: {self}", wrong.join("; ")))
    }
}

impl fmt::Display for ActualResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.validation.as_str(), self.action.as_str())?;
        if let Some(rejection) = self.rejection {
            write!(f, " ({rejection})")?;
        }
        if !self.rules.is_empty() {
            write!(f, " by {}", self.rules.join(", "))?;
        }
        if !self.reason.is_empty() {
            write!(f, ": {}", self.reason)?;
        }
        Ok(())
    }
}

impl Tested {
    /// The tests that failed.
    pub(super) fn failures(&self) -> impl Iterator<Item = &TestResult> {
        self.results.iter().filter(|test| test.failure.is_some())
    }

    /// A summary: how many tests there are, how many fail, and which rules no test reaches.
    pub(super) fn summary(&self) -> String {
        let failed = self.failures().count();
        let reached = self.rules - self.unreached.len();
        let mut text = format!(
            "{}: {}, {failed} failed; they reach {reached} of {}",
            clean(&self.file),
            counted(self.results.len() as u64, "test", "tests"),
            counted(self.rules as u64, "rule", "rules"),
        );
        if !self.unreached.is_empty() {
            let names: Vec<String> = self.unreached.iter().map(TableRule::name).collect();
            text += &format!(", and none reaches {}", clean(&names.join(", ")));
        }
        text
    }

    /// The results as text.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for test in self.failures() {
            let failure = test.failure.as_deref().unwrap_or_default();
            let failure: Vec<String> = failure.lines().map(clean).collect();
            text += &format!(
                "{}:{}: error[test] {}: {}\n",
                clean(&self.file),
                test.line,
                clean(&test.name),
                failure.join("\n")
            );
        }
        text + &self.summary() + "\n"
    }

    /// The results as JSON.
    pub(super) fn json(&self) -> Value {
        let failures: Vec<Value> = self
            .failures()
            .map(|test| json!({ "name": test.name, "line": test.line, "message": test.failure }))
            .collect();
        let unreached: Vec<Value> = self
            .unreached
            .iter()
            .map(|rule| json!({ "decision": rule.decision, "row": rule.row, "rule": rule.id, "line": rule.line }))
            .collect();
        json!({
            "file": self.file,
            "total": self.results.len(),
            "failed": failures.len(),
            "failures": failures,
            "rules": self.rules,
            "rules_reached": self.rules - self.unreached.len(),
            "unreached": unreached,
        })
    }
}
