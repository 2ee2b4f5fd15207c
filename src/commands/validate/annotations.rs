//! Writes findings as workflow commands of GitHub Actions: `::error file=…,line=…,title=…::message`.

use crate::config::Problem;
use crate::decision::{Finding, Problem as TableProblem};

/// A finding in mappings.yaml or the environment.
pub(super) fn of_config(level: &str, problem: &Problem) -> String {
    let mut message = problem.message.clone();
    if let Some(hint) = &problem.hint {
        message += "\n";
        message += hint;
    }
    line(
        level,
        problem.file.as_deref(),
        problem.line,
        problem.column,
        "configuration",
        &message,
    )
}

/// An error because of which the decision table cannot be read.
pub(super) fn of_table(problem: &TableProblem) -> String {
    let text = problem.to_string();
    // The annotation itself has the place, so the message need not repeat it.
    let message = text
        .strip_prefix(&format!("{}:{}: ", problem.file, problem.line))
        .or_else(|| text.strip_prefix(&format!("{}: ", problem.file)))
        .unwrap_or(&text);
    line(
        "error",
        Some(&problem.file),
        Some(problem.line),
        None,
        "decision table",
        message,
    )
}

/// A finding about the records, which has no file and no line.
pub(super) fn of_records(level: &str, message: &str) -> String {
    line(level, None, None, None, "records", message)
}

/// A finding at a line of a file. Line 0 stands for the whole file.
pub(super) fn at(level: &str, file: &str, number: usize, title: &str, message: &str) -> String {
    line(level, Some(file), Some(number), None, title, message)
}

/// Why a command ended without a result.
pub(super) fn of_failure(message: &str) -> String {
    line("error", None, None, None, "datasync", message)
}

/// A finding in the decision table.
pub(super) fn of_finding(level: &str, file: &str, finding: &Finding) -> String {
    let mut message = finding.message.clone();
    if let Some(example) = &finding.example {
        message += &format!("\nexample: {}", serde_json::Value::Object(example.clone()));
    }
    message += &format!("\nremedy: {}", finding.remedy);
    line(
        level,
        Some(file),
        Some(finding.line),
        None,
        finding.check.name(),
        &message,
    )
}

fn line(
    level: &str,
    file: Option<&str>,
    line: Option<usize>,
    column: Option<usize>,
    title: &str,
    message: &str,
) -> String {
    let mut properties = Vec::new();
    if let Some(file) = file {
        properties.push(format!("file={}", property(file)));
    }
    for (name, value) in [("line", line), ("col", column)] {
        if let Some(value) = value.filter(|value| *value > 0) {
            properties.push(format!("{name}={value}"));
        }
    }
    properties.push(format!("title={}", property(title)));
    format!("::{level} {}::{}\n", properties.join(","), data(message))
}

/// Escapes a message.
fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// Escapes a property. More characters are special there than in a message.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_would_end_a_command_are_escaped() {
        let text = line(
            "error",
            Some("a,b:c.yaml"),
            Some(3),
            None,
            "overlap",
            "100 %\nboth",
        );
        assert_eq!(
            text,
            "::error file=a%2Cb%3Ac.yaml,line=3,title=overlap::100 %25%0Aboth\n"
        );
    }
}
