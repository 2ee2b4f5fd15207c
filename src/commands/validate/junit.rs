//! Writes what `validate` found as JUnit XML, which continuous integration reads.
//!
//! A test case fails where the finding makes the exit code another than 0; what is only worth a look is in its output.

use super::Findings;
use super::verdicts::Shown;
use crate::commands::cli::ValidateArgs;
use crate::config::plan::Plan;
use crate::decision::{Check, Severity};
use crate::support::text::clean;

/// A suite of test cases.
struct Suite {
    name: String,
    cases: Vec<Case>,
}

/// One test case.
#[derive(Default)]
struct Case {
    name: String,
    /// The file and the line that it is about.
    place: Option<(String, usize)>,
    failure: Option<String>,
    /// What is said without being a failure.
    output: Option<String>,
}

impl Case {
    /// Passes, and says what was found, or fails with it.
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

/// Everything that was found.
pub(super) fn report(args: &ValidateArgs, plan: Option<&Plan>, findings: &Findings) -> String {
    written(&suites(args, plan, findings))
}

/// What was found before an error ended the command, and the error.
pub(super) fn failed(
    args: &ValidateArgs,
    plan: Option<&Plan>,
    findings: &Findings,
    errors: Vec<(String, Option<(String, usize)>)>,
) -> String {
    let mut suites = suites(args, plan, findings);
    let cases = errors.into_iter().map(|(message, place)| Case {
        name: message.lines().next().unwrap_or_default().to_owned(),
        place,
        failure: Some(message),
        output: None,
    });
    suites.insert(
        0,
        Suite {
            name: "errors".to_owned(),
            cases: cases.collect(),
        },
    );
    written(&suites)
}

fn suites(args: &ValidateArgs, plan: Option<&Plan>, findings: &Findings) -> Vec<Suite> {
    let configuration = Suite {
        name: "configuration".to_owned(),
        cases: findings
            .warnings
            .iter()
            .map(|warning| {
                let name = warning.message.lines().next().unwrap_or_default();
                Case::of(name.to_owned(), false, warning.to_string())
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
            let case = Case {
                name: test.name.clone(),
                failure: test.failure.clone(),
                ..Case::default()
            };
            case.at(&tested.file, test.line)
        });
        let unreached = tested.unreached.iter().map(|rule| {
            let name = format!("a test reaches {}", rule.name());
            let message = format!("no test reaches {} of \"{}\"", rule.name(), rule.decision);
            Case::of(name, args.strict, message).at(&file, rule.line)
        });
        suites.push(Suite {
            name: tested.file.clone(),
            cases: results.chain(unreached).collect(),
        });
    }
    if args.judges() {
        suites.push(Suite {
            name: "records".to_owned(),
            cases: findings
                .judged
                .verdicts
                .iter()
                .map(|verdict| record(args.strict, verdict))
                .collect(),
        });
    }
    if let Some(impact) = &findings.judged.impact {
        let pairs = impact.changes.iter().flat_map(|change| {
            change.by_rule.iter().map(move |pair| {
                let name = format!("{} → {} ({pair})", change.from, change.to);
                let message = format!("{} records: {}", pair.count, pair.records());
                Case::of(name, args.strict, message)
            })
        });
        suites.push(Suite {
            name: "changed verdicts".to_owned(),
            cases: pairs.collect(),
        });
    }
    suites
}

/// A case for each finding, and one for each check without any.
fn lint(strict: bool, file: &str, findings: &Findings) -> Suite {
    let mut cases = Vec::new();
    for check in Check::ALL {
        let found = findings.lint.findings.iter();
        let mut found = found.filter(|finding| finding.check == check).peekable();
        if found.peek().is_none() {
            cases.push(Case {
                name: check.name().to_owned(),
                ..Case::default()
            });
        }
        for finding in found {
            let name = match finding.rules.as_slice() {
                [] => format!("{} (line {})", check.name(), finding.line),
                rules => format!("{}: {}", check.name(), rules.join(", ")),
            };
            let fails = strict || finding.severity == Severity::Error;
            cases.push(Case::of(name, fails, finding.to_string()).at(file, finding.line));
        }
    }
    Suite {
        name: format!("lint of {file}"),
        cases,
    }
}

fn record(strict: bool, verdict: &Shown) -> Case {
    let fails = strict && verdict.is_invalid();
    Case::of(verdict.id.clone(), fails, verdict.text())
}

fn written(suites: &[Suite]) -> String {
    let failures = |suite: &Suite| {
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

fn of_case(suite: &str, case: &Case) -> String {
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

/// Text of an element or an attribute. XML knows no control characters, not even as references.
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
