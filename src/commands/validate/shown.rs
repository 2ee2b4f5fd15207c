//! What `validate` found, as text for a person, as JSON, and as annotations of a pull request.

use serde_json::{Value, json};

use super::verdicts::{Judgements, Shown};
use super::{Findings, annotations};
use crate::commands::cli::ValidateArgs;
use crate::config::plan::Plan;
use crate::decision::{Impact, Severity};
use crate::exit::Exit;
use crate::support::text::{counted, grouped};

/// Records that an annotation names.
const ANNOTATED: usize = 5;
/// Annotations of a changed table: a workflow shows ten of each level.
const ANNOTATED_RULES: usize = 8;
/// Verdicts a text result lists one by one; the JSON has them all.
const LISTED: usize = 50;

pub(super) fn json(findings: &Findings, exit: Exit) -> Value {
    let judged = &findings.judged;
    let mut object = json!({
        "config": { "errors": [], "warnings": findings.warnings },
        "lint": findings.lint.findings,
        "lint_notes": findings.lint.notes,
        "tests": findings.tests.as_ref().map(super::tested::Tested::json),
        "records": {
            "total": judged.total, "valid": judged.valid, "warning": judged.warning, "invalid": judged.invalid,
        },
        "verdicts": judged.verdicts.iter().map(Shown::json).collect::<Vec<_>>(),
        "exit_code": exit.code(),
    });
    if let (Some(impact), Some(object)) = (&judged.impact, object.as_object_mut()) {
        object.insert(
            "impact".into(),
            serde_json::to_value(impact).unwrap_or_default(),
        );
    }
    object
}

pub(super) fn github(args: &ValidateArgs, plan: &Plan, findings: &Findings) -> String {
    let file = plan.decisions_file.name();
    // With --strict a warning fails the check, so it is shown as an error.
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
    if findings.judged.invalid > 0 {
        lines += &annotations::of_records(warning, &invalid_records(&findings.judged));
    }
    if let Some(impact) = findings.judged.impact.as_ref().filter(|i| i.changed > 0) {
        lines += &annotations::of_records(warning, impact_text(impact, args).trim_end());
        lines += &changes_by_rule(warning, &file, findings, impact);
    }
    lines
}

/// One annotation for each rule that decides records now which had another verdict before, at its line; those with the most
/// records first.
fn changes_by_rule(level: &str, file: &str, findings: &Findings, impact: &Impact) -> String {
    let mut rules: Vec<(&[String], u64, Vec<String>)> = Vec::new();
    for change in &impact.changes {
        for pair in &change.by_rule {
            let told = format!(
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
                    lines.push(told);
                }
                None => rules.push((&pair.new_rules, pair.count, vec![told])),
            }
        }
    }
    rules.sort_by_key(|(_, count, _)| std::cmp::Reverse(*count));
    let line_of = |rules: &[String]| {
        let rule = rules.first()?;
        let known = findings.rules.iter().rev().find(|known| known.id == *rule);
        known.map(|rule| rule.line)
    };
    let annotation = |(rules, count, told): &(&[String], u64, Vec<String>)| {
        let now = match rules {
            [] => "no rule".to_owned(),
            rules => rules.join(", "),
        };
        let message = format!(
            "{} get another verdict, now by {now}\n{}",
            counted(*count, "record", "records"),
            told.join("\n")
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

pub(super) fn text(args: &ValidateArgs, plan: &Plan, findings: &Findings) -> String {
    let file = plan.decisions_file.name();
    let judged = &findings.judged;
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
    if !args.judges() || errors > 0 {
        return text;
    }
    let wanted = judged
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
        counted(judged.total, "record", "records"),
        grouped(judged.valid),
        grouped(judged.warning),
        grouped(judged.invalid)
    );
    if let Some(impact) = &judged.impact {
        text += &impact_text(impact, args);
    }
    text
}

/// How many records are INVALID, and the first of them with the reason.
fn invalid_records(judged: &Judgements) -> String {
    let mut text = format!(
        "{} of {} {} INVALID",
        grouped(judged.invalid),
        counted(judged.total, "record", "records"),
        if judged.invalid == 1 { "is" } else { "are" }
    );
    let invalid = judged
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
