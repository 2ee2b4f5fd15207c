//! Writes the findings of `validate` as JUnit XML, for continuous integration.
//!
//! A test case fails if its finding makes the exit code non-zero. Other findings are shown as output.

use super::Findings;
use super::verdicts::RecordVerdict;
use crate::commands::cli::ValidateArgs;
use crate::config::plan::Plan;
use crate::decision::{Check, Severity};
use crate::support::text::clean;

struct TestSuite {
    name: String,
    cases: Vec<TestCase>,
}

#[derive(Default)]
struct TestCase {
    name: String,
    /// The file and line of the finding.
    place: Option<(String, usize)>,
    failure: Option<String>,
    /// A message that is not a failure.
    output: Option<String>,
}

impl TestCase {
    /// A test case with this message. It fails with it or only shows it.
    fn of(name: String, fails: bool, message: String) -> Self {
        let (failure, output) = if fails {
            (Some(message), None)
        } else {
            (None, Some(message))
        };
        Self {
            name,
            place: None,
            failure,
            output,
        }
    }

    fn at(mut self, file: &str, line: usize) -> Self {
        self.place = Some((file.to_owned(), line));
        self
    }
}

/// All findings.
pub(super) fn report(args: &ValidateArgs, plan: Option<&Plan>, findings: &Findings) -> String {
    written(&suites(args, plan, findings))
}

/// The error that ended the command, and what was found before.
pub(super) fn failed(
    args: &ValidateArgs,
    plan: Option<&Plan>,
    findings: &Findings,
    errors: Vec<(String, Option<(String, usize)>)>,
) -> String {
    let mut suites = suites(args, plan, findings);
    let cases = errors.into_iter().map(|(message, place)| TestCase {
        name: message.lines().next().unwrap_or_default().to_owned(),
        place,
        failure: Some(message),
        output: None,
    });
    suites.insert(
        0,
        TestSuite {
            name: "errors".to_owned(),
            cases: cases.collect(),
        },
    );
    written(&suites)
}

fn suites(args: &ValidateArgs, plan: Option<&Plan>, findings: &Findings) -> Vec<TestSuite> {
    let configuration = TestSuite {
        name: "configuration".to_owned(),
        cases: findings
            .warnings
            .iter()
            .map(|warning| {
                let name = warning.message.lines().next().unwrap_or_default();
                TestCase::of(name.to_owned(), false, warning.to_string())
            })
            .collect(),
    };
    let mut suites = vec![configuration];
    let Some(plan) = plan else {
        return suites;
    };
    let file = plan.decisions_file.name();
    suites.push(lint(args.strict, &file, findings));
    if let Some(tested) = &findings.tests {
        let results = tested.results.iter().map(|test| {
            let case = TestCase {
                name: test.name.clone(),
                failure: test.failure.clone(),
                ..TestCase::default()
            };
            case.at(&tested.file, test.line)
        });
        let unreached = tested.unreached.iter().map(|rule| {
            let name = format!("a test reaches {}", rule.name());
            let message = format!("no test reaches {} of \"{}\"", rule.name(), rule.decision);
            TestCase::of(name, args.strict, message).at(&file, rule.line)
        });
        suites.push(TestSuite {
            name: tested.file.clone(),
            cases: results.chain(unreached).collect(),
        });
    }
    if args.decides_records() {
        suites.push(TestSuite {
            name: "records".to_owned(),
            cases: findings
                .decided
                .verdicts
                .iter()
                .map(|verdict| record(args.strict, verdict))
                .collect(),
        });
    }
    if let Some(impact) = &findings.decided.impact {
        let pairs = impact.changes.iter().flat_map(|change| {
            change.by_rule.iter().map(move |pair| {
                let name = format!("{} → {} ({pair})", change.from, change.to);
                let message = format!("{} records: {}", pair.count, pair.records());
                TestCase::of(name, args.strict, message)
            })
        });
        suites.push(TestSuite {
            name: "changed verdicts".to_owned(),
            cases: pairs.collect(),
        });
    }
    suites
}

/// A test case for each finding, and one for each check that found nothing.
fn lint(strict: bool, file: &str, findings: &Findings) -> TestSuite {
    let mut cases = Vec::new();
    for check in Check::ALL {
        let found = findings.lint.findings.iter();
        let mut found = found.filter(|finding| finding.check == check).peekable();
        if found.peek().is_none() {
            cases.push(TestCase {
                name: check.name().to_owned(),
                ..TestCase::default()
            });
        }
        for finding in found {
            let name = match finding.rules.as_slice() {
                [] => format!("{} (line {})", check.name(), finding.line),
                rules => format!("{}: {}", check.name(), rules.join(", ")),
            };
            let fails = strict || finding.severity == Severity::Error;
            cases.push(TestCase::of(name, fails, finding.to_string()).at(file, finding.line));
        }
    }
    TestSuite {
        name: format!("lint of {file}"),
        cases,
    }
}

fn record(strict: bool, verdict: &RecordVerdict) -> TestCase {
    let fails = strict && verdict.is_invalid();
    TestCase::of(verdict.id.clone(), fails, verdict.text())
}

fn written(suites: &[TestSuite]) -> String {
    let failures = |suite: &TestSuite| {
        let failed = suite.cases.iter().filter(|case| case.failure.is_some());
        failed.count()
    };
    let cases: usize = suites.iter().map(|suite| suite.cases.len()).sum();
    let failed: usize = suites.iter().map(failures).sum();
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"datasync validate\" tests=\"{cases}\" failures=\"{failed}\" errors=\"0\">\n"
    );
    for suite in suites {
        xml += &format!(
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"0\">\n",
            escaped(&suite.name),
            suite.cases.len(),
            failures(suite)
        );
        for case in &suite.cases {
            xml += &of_case(&suite.name, case);
        }
        xml += "  </testsuite>\n";
    }
    xml + "</testsuites>\n"
}

fn of_case(suite: &str, case: &TestCase) -> String {
    let mut xml = format!(
        "    <testcase classname=\"{}\" name=\"{}\"",
        escaped(suite),
        escaped(&case.name)
    );
    if let Some((file, line)) = &case.place {
        xml += &format!(" file=\"{}\" line=\"{line}\"", escaped(file));
    }
    let lines = |text: &str| {
        let lines: Vec<String> = text.trim_end().lines().map(escaped).collect();
        lines.join("\n")
    };
    match (&case.failure, &case.output) {
        (Some(failure), _) => {
            let first = failure.lines().next().unwrap_or_default();
            xml += &format!(
                ">\n      <failure message=\"{}\">{}</failure>\n    </testcase>\n",
                escaped(first),
                lines(failure)
            );
        }
        (None, Some(output)) => {
            xml += &format!(
                ">\n      <system-out>{}</system-out>\n    </testcase>\n",
                lines(output)
            );
        }
        (None, None) => xml += "/>\n",
    }
    xml
}

/// Escapes text for an element or an attribute. XML cannot contain control characters, not even escaped.
fn escaped(text: &str) -> String {
    let text: String = clean(text)
        .chars()
        .filter(|c| !matches!(c, '\u{fffe}' | '\u{ffff}'))
        .collect();
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
