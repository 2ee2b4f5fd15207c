//! `datasync validate`: the configuration, the decision table, and the verdict on given records. Writes nothing.

use anyhow::Result;
use serde_json::{Value, json};

use super::annotations;
use super::verdicts::{Judge, Judgements};
use crate::commands::cli::{Global, Output, ValidateArgs};
use crate::config::plan::Plan;
use crate::config::{ConfigErrors, DecisionsFile, Needs, Problem};
use crate::decision::{Decision, Impact, Lint, Problems, Severity, lint};
use crate::exit::{self, Exit, Misconfigured};
use crate::model::clock::Micros;
use crate::pipeline::Rules;
use crate::run::rules;
use crate::support::text::{counted, grouped};
use crate::transform::Transform;

/// Records that an annotation names.
const ANNOTATED: usize = 5;
/// Verdicts a text result lists one by one; the JSON has them all.
const LISTED: usize = 50;

/// Everything `validate` found.
#[derive(Debug, Default)]
struct Findings {
    /// Of the configuration.
    warnings: Vec<Problem>,
    lint: Lint,
    judged: Judgements,
}

pub(super) fn run(global: &Global, args: &ValidateArgs) -> Exit {
    let needs = Needs {
        api: args.fetch,
        database: args.stored,
    };
    let mut findings = Findings::default();
    // Not by `super::load`, which would log warnings that are printed below.
    let plan = match crate::config::load(&super::sources(global), needs) {
        Ok(plan) => plan,
        Err(errors) => return end_with_error(global, &findings, &errors.into()),
    };
    findings.warnings.clone_from(&plan.warnings);
    if let Err(error) = examine(args, &plan, &mut findings) {
        return end_with_error(global, &findings, &error);
    }
    let exit = exit(args, &findings);
    if !(global.quiet && exit == Exit::Success) {
        show(global, args, &plan, &findings, exit);
    }
    exit
}

/// Lints the decision table and, when it has no error, judges the records. When an error ends it early, `findings` has what
/// was found before.
fn examine(args: &ValidateArgs, plan: &Plan, findings: &mut Findings) -> Result<()> {
    let mut transform =
        Transform::new(&plan.mapping).map_err(|error| Misconfigured(format!("{error:#}")))?;
    transform.refuse_versions_ahead_of(Micros::local());
    let name = plan.decisions_file.name();
    let text = plan.decisions_file.text().map_err(Misconfigured)?;
    let typed = rules::input_variables(&transform);
    findings.lint = lint(text, &name, plan.decision.as_deref(), &typed)?;
    if findings.lint.has_errors() {
        return Ok(());
    }
    let compile = |text: &str, name: &str| {
        Decision::compile(text, name, plan.decision.as_deref(), &typed)
            .map_err(|problems| Misconfigured(problems.to_string()))
    };
    let decision = compile(text, &name)?;
    let old = match &args.against {
        Some(path) => {
            let old = DecisionsFile::read(path);
            Some(compile(old.text().map_err(Misconfigured)?, &old.name())?)
        }
        None => None,
    };
    let rules = Rules {
        transform: &transform,
        decision: &decision,
    };
    let (judged, ended) = Judge::new(plan, rules, old.as_ref(), args).all();
    findings.judged = judged;
    ended
}

/// The exit code of these findings.
fn exit(args: &ValidateArgs, findings: &Findings) -> Exit {
    let strict = args.strict;
    let judged = &findings.judged;
    if findings.lint.has_errors() || (strict && !findings.lint.findings.is_empty()) {
        Exit::Configuration
    } else if strict
        && (judged.invalid > 0 || judged.impact.as_ref().is_some_and(|i| i.changed > 0))
    {
        Exit::Threshold
    } else {
        Exit::Success
    }
}

/// Prints the error that ended the command, with what was found before.
fn end_with_error(global: &Global, findings: &Findings, error: &anyhow::Error) -> Exit {
    // A decision table that cannot be read is a mistake in the configuration.
    let problems = error.downcast_ref::<Problems>();
    let exit = problems.map_or_else(|| exit::of(error), |_| Exit::Configuration);
    match global.output {
        Output::Json => {
            let mut object = as_json(findings, exit);
            object["config"]["errors"] = match problems {
                Some(problems) => serde_json::to_value(&problems.0).unwrap_or_default(),
                None => super::errors_json(error),
            };
            object["status"] = json!("failed");
            super::print(&(object.to_string() + "\n"));
        }
        Output::Github => super::print(&annotated(error)),
        Output::Text => {}
    }
    super::print_error(error);
    exit
}

fn annotated(error: &anyhow::Error) -> String {
    if let Some(errors) = error.downcast_ref::<ConfigErrors>() {
        let problems = errors.problems().iter();
        problems
            .map(|problem| annotations::of_config("error", problem))
            .collect()
    } else if let Some(problems) = error.downcast_ref::<Problems>() {
        problems.0.iter().map(annotations::of_table).collect()
    } else {
        annotations::of_failure(&format!("{error:#}"))
    }
}

fn as_json(findings: &Findings, exit: Exit) -> Value {
    let judged = &findings.judged;
    let mut object = json!({
        "config": { "errors": [], "warnings": findings.warnings },
        "lint": findings.lint.findings,
        "lint_notes": findings.lint.notes,
        "records": {
            "total": judged.total, "valid": judged.valid, "warning": judged.warning, "invalid": judged.invalid,
        },
        "verdicts": judged.verdicts.iter().map(super::verdicts::Shown::json).collect::<Vec<_>>(),
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

fn show(global: &Global, args: &ValidateArgs, plan: &Plan, findings: &Findings, exit: Exit) {
    match global.output {
        Output::Json => super::print(&(as_json(findings, exit).to_string() + "\n")),
        Output::Github => {
            let file = plan.decisions_file.name();
            let mut lines: String = plan
                .warnings
                .iter()
                .map(|p| annotations::of_config("notice", p))
                .collect();
            for finding in &findings.lint.findings {
                let level = match finding.severity {
                    Severity::Warning if !args.strict => "warning",
                    // With --strict a warning fails the check, so it is shown as an error.
                    _ => "error",
                };
                lines += &annotations::of_finding(level, &file, finding);
            }
            if findings.judged.invalid > 0 {
                let level = if args.strict { "error" } else { "warning" };
                lines += &annotations::of_records(level, &invalid_records(&findings.judged));
            }
            if let Some(impact) = findings.judged.impact.as_ref().filter(|i| i.changed > 0) {
                let level = if args.strict { "error" } else { "warning" };
                lines += &annotations::of_records(level, impact_text(impact, args).trim_end());
            }
            super::print(&lines);
        }
        Output::Text => super::print(&as_text(args, plan, findings)),
    }
}

fn as_text(args: &ValidateArgs, plan: &Plan, findings: &Findings) -> String {
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
