//! Shows the findings of `validate` as text, as JSON, or as annotations of a pull request.

use serde_json::{Value, json};

use super::verdicts::{DecidedRecords, RecordVerdict};
use super::{Findings, annotations};
use crate::commands::cli::ValidateArgs;
use crate::config::plan::Plan;
use crate::decision::{Impact, Severity};
use crate::exit::Exit;
use crate::support::text::{counted, grouped};

/// How many records an annotation names.
const ANNOTATED: usize = 5;
/// How many annotations show changes by rule. A workflow shows only ten of each level.
const ANNOTATED_RULES: usize = 8;
/// How many verdicts the text lists one by one. The JSON has all of them.
const LISTED: usize = 50;

/// The findings as JSON.
pub(super) fn json(findings: &Findings, exit: Exit) -> Value {
    let decided = &findings.decided;
    let mut object = json!({
        "config": { "errors": [], "warnings": findings.warnings },
        "lint": findings.lint.findings,
        "lint_notes": findings.lint.notes,
        "tests": findings.tests.as_ref().map(super::tested::Tested::json),
        "records": {
            "total": decided.total, "valid": decided.valid, "warning": decided.warning, "invalid": decided.invalid,
        },
        "verdicts": decided.verdicts.iter().map(RecordVerdict::json).collect::<Vec<_>>(),
        "exit_code": exit.code(),
    });
    if let (Some(impact), Some(object)) = (&decided.impact, object.as_object_mut()) {
        object.insert(
            "impact".into(),
            serde_json::to_value(impact).unwrap_or_default(),
        );
    }
    object
}

/// The findings as annotations of GitHub Actions.
pub(super) fn github(args: &ValidateArgs, plan: &Plan, findings: &Findings) -> String {
    let file = plan.decisions_file.name();
    // With --strict a warning makes the check fail, so it is shown as an error.
    let warning = if args.strict { "error" } else { "warning" };
    let mut lines: String = plan
        .warnings
        .iter()
        .map(|problem| annotations::of_config("notice", problem))
        .collect();
    for finding in &findings.lint.findings {
        let level = match finding.severity {
            Severity::Warning => warning,
            Severity::Error => "error",
        };
        lines += &annotations::of_finding(level, &file, finding);
    }
    if let Some(tested) = &findings.tests {
        for test in tested.failures() {
            let failure = test.failure.as_deref().unwrap_or_default();
            let message = format!("{}: {failure}", test.name);
            lines += &annotations::at("error", &tested.file, test.line, "test", &message);
        }
        for rule in &tested.unreached {
            let message = format!("no test in {} reaches {}", tested.file, rule.name());
            lines += &annotations::at(warning, &file, rule.line, "coverage", &message);
        }
    }
    if findings.decided.invalid > 0 {
        lines += &annotations::of_records(warning, &invalid_records(&findings.decided));
    }
    if let Some(impact) = findings.decided.impact.as_ref().filter(|i| i.changed > 0) {
        lines += &annotations::of_records(warning, impact_text(impact, args).trim_end());
        lines += &changes_by_rule(warning, &file, findings, impact);
    }
    lines
}

/// One annotation, at its line, for each rule that decides records which had another verdict. Most records come first.
fn changes_by_rule(level: &str, file: &str, findings: &Findings, impact: &Impact) -> String {
    let mut rules: Vec<(&[String], u64, Vec<String>)> = Vec::new();
    for change in &impact.changes {
        for pair in &change.by_rule {
            let change = format!(
                "{} {} → {} ({pair}): {}",
                grouped(pair.count),
                change.from,
                change.to,
                pair.records()
            );
            match rules
                .iter_mut()
                .find(|(rules, ..)| *rules == pair.new_rules)
            {
                Some((_, count, lines)) => {
                    *count += pair.count;
                    lines.push(change);
                }
                None => rules.push((&pair.new_rules, pair.count, vec![change])),
            }
        }
    }
    rules.sort_by_key(|(_, count, _)| std::cmp::Reverse(*count));
    let line_of = |rules: &[String]| {
        let rule = rules.first()?;
        let known = findings.rules.iter().rev().find(|known| known.id == *rule);
        known.map(|rule| rule.line)
    };
    let annotation = |(rules, count, changes): &(&[String], u64, Vec<String>)| {
        let now = match rules {
            [] => "no rule".to_owned(),
            rules => rules.join(", "),
        };
        let message = format!(
            "{} get another verdict, now by {now}\n{}",
            counted(*count, "record", "records"),
            changes.join("\n")
        );
        annotations::at(
            level,
            file,
            line_of(rules).unwrap_or(0),
            "records",
            &message,
        )
    };
    rules.iter().take(ANNOTATED_RULES).map(annotation).collect()
}

/// The findings as text.
pub(super) fn text(args: &ValidateArgs, plan: &Plan, findings: &Findings) -> String {
    let file = plan.decisions_file.name();
    let decided = &findings.decided;
    let mut text = String::new();
    for warning in &plan.warnings {
        text += &format!("note: {warning}\n");
    }
    for finding in &findings.lint.findings {
        text += &format!("{file}: {finding}\n");
    }
    for note in &findings.lint.notes {
        text += &format!("{file}: note: {note}\n");
    }
    let errors = findings
        .lint
        .findings
        .iter()
        .filter(|f| f.severity == Severity::Error)
        .count();
    let warnings = findings.lint.findings.len() - errors;
    text += &match (errors, warnings) {
        (0, 0) => format!("ok: the mapping and {file} are fit to run\n"),
        (0, _) => format!(
            "ok: the mapping and {file} are fit to run; {}\n",
            counted(warnings as u64, "warning", "warnings")
        ),
        _ => format!(
            "not fit to run: {} and {} in {file}\n",
            counted(errors as u64, "error", "errors"),
            counted(warnings as u64, "warning", "warnings")
        ),
    };
    if let Some(tested) = &findings.tests {
        text += &tested.text();
    }
    if !args.decides_records() || errors > 0 {
        return text;
    }
    let wanted = decided
        .verdicts
        .iter()
        .filter(|verdict| match &args.explain {
            Some(id) => verdict.id == *id,
            None => verdict.is_worth_a_line(),
        });
    let mut more = 0_usize;
    for (at, verdict) in wanted.enumerate() {
        if at < LISTED {
            text += &verdict.text();
        } else {
            more += 1;
        }
    }
    if more > 0 {
        text += &format!("… and {more} more; --output json lists all\n");
    }
    text += &format!(
        "{}: {} valid, {} to review, {} invalid\n",
        counted(decided.total, "record", "records"),
        grouped(decided.valid),
        grouped(decided.warning),
        grouped(decided.invalid)
    );
    if let Some(impact) = &decided.impact {
        text += &impact_text(impact, args);
    }
    text
}

/// A sentence with the number of INVALID records, and the first of them with their reasons.
fn invalid_records(decided: &DecidedRecords) -> String {
    let mut text = format!(
        "{} of {} {} INVALID",
        grouped(decided.invalid),
        counted(decided.total, "record", "records"),
        if decided.invalid == 1 { "is" } else { "are" }
    );
    let invalid = decided
        .verdicts
        .iter()
        .filter(|verdict| verdict.is_invalid());
    for verdict in invalid.take(ANNOTATED) {
        text += "\n";
        text += verdict.text().lines().next().unwrap_or_default();
    }
    text
}

fn impact_text(impact: &Impact, args: &ValidateArgs) -> String {
    let old = args
        .against
        .as_deref()
        .map(|path| path.display().to_string())
        .unwrap_or_default();
    format!("Against {old}: {}\n", impact.to_string().trim_end())
}
