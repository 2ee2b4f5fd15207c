//! `datasync validate`: checks configuration and decision table, runs the table's tests, decides records. Writes nothing.

mod annotations; // workflow commands of GitHub Actions
mod junit; // JUnit XML, for continuous integration
mod shown; // text, JSON, annotations
mod tested; // the tests beside a decision table
mod verdicts; // decides the records, and collects the verdicts

use anyhow::Result;
use serde_json::json;

use crate::commands::cli::{Global, Output, ValidateArgs};
use crate::config::plan::Plan;
use crate::config::{ConfigErrors, DecisionsFile, Needs, Problem};
use crate::decision::{Decision, Lint, Problems, TableRule, lint};
use crate::exit::{self, Exit, Misconfigured};
use crate::model::clock::Micros;
use crate::pipeline::Rules;
use crate::run::rules;
use crate::transform::Transform;
use tested::Tested;
use verdicts::{DecidedRecords, Decider};

/// Everything `validate` found.
#[derive(Debug, Default)]
struct Findings {
    /// Warnings of the configuration.
    warnings: Vec<Problem>,
    lint: Lint,
    /// The rules of all tables; empty where the decision cannot be used.
    rules: Vec<TableRule>,
    /// None where there is no file of tests.
    tests: Option<Tested>,
    decided: DecidedRecords,
}

pub(super) fn run(global: &Global, args: &ValidateArgs) -> Exit {
    let needs = Needs {
        api: args.fetch,
        database: args.stored,
    };
    let mut findings = Findings::default();
    // `commands::load` would also log the warnings that are printed below.
    let plan = match crate::config::load(&super::sources(global), needs) {
        Ok(plan) => plan,
        Err(errors) => return end_with_error(global, args, None, &findings, &errors.into()),
    };
    findings.warnings.clone_from(&plan.warnings);
    if let Err(error) = examine(args, &plan, &mut findings) {
        return end_with_error(global, args, Some(&plan), &findings, &error);
    }
    let exit = exit(args, &findings);
    if !(global.quiet && exit == Exit::Success) {
        super::print(&match global.output {
            Output::Json => shown::json(&findings, exit).to_string() + "\n",
            Output::Github => shown::github(args, &plan, &findings),
            Output::Junit => junit::report(args, Some(&plan), &findings),
            Output::Text => shown::text(args, &plan, &findings),
        });
    }
    exit
}

/// Lints the table and, unless that finds an error, runs its tests and decides records. After an error `findings` holds
/// what was found before it.
fn examine(args: &ValidateArgs, plan: &Plan, findings: &mut Findings) -> Result<()> {
    let mut transform =
        Transform::new(&plan.mapping).map_err(|error| Misconfigured(format!("{error:#}")))?;
    transform.refuse_versions_ahead_of(Micros::local());
    let name = plan.decisions_file.name();
    let text = plan.decisions_file.text().map_err(Misconfigured)?;
    let typed = rules::input_variables(&transform);
    findings.lint = lint(text, &name, plan.decision.as_deref(), &typed)?;
    let tests = plan.decisions_file.tests()?;
    if findings.lint.has_errors() {
        return Ok(());
    }
    let compile = |text: &str, name: &str| {
        Decision::compile(text, name, plan.decision.as_deref(), &typed)
            .map_err(|problems| Misconfigured(problems.to_string()))
    };
    let decision = compile(text, &name)?;
    findings.rules = decision.table_rules();
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
    findings.tests = tests.map(|tests| tested::run(&tests, rules));
    let (decided, ended) = Decider::new(plan, rules, old.as_ref(), args).all();
    findings.decided = decided;
    ended
}

/// The exit code for these findings.
fn exit(args: &ValidateArgs, findings: &Findings) -> Exit {
    let strict = args.strict;
    let decided = &findings.decided;
    let tests = findings.tests.as_ref();
    let failed = tests.is_some_and(|tests| tests.failures().next().is_some());
    let unreached = tests.is_some_and(|tests| !tests.unreached.is_empty());
    let warned = unreached || !findings.lint.findings.is_empty();
    if findings.lint.has_errors() || failed || (strict && warned) {
        Exit::Configuration
    } else if strict
        && (decided.invalid > 0 || decided.impact.as_ref().is_some_and(|i| i.changed > 0))
    {
        Exit::Threshold
    } else {
        Exit::Success
    }
}

/// Prints the error that ended the command, and what was found before.
fn end_with_error(
    global: &Global,
    args: &ValidateArgs,
    plan: Option<&Plan>,
    findings: &Findings,
    error: &anyhow::Error,
) -> Exit {
    // A decision table that cannot be read counts as an error in the configuration.
    let problems = error.downcast_ref::<Problems>();
    let exit = problems.map_or_else(|| exit::of(error), |_| Exit::Configuration);
    match global.output {
        Output::Json => {
            let mut object = shown::json(findings, exit);
            object["config"]["errors"] = match problems {
                Some(problems) => serde_json::to_value(&problems.0).unwrap_or_default(),
                None => super::errors_json(error),
            };
            object["status"] = json!("failed");
            super::print(&(object.to_string() + "\n"));
        }
        Output::Github => super::print(&annotated(error)),
        Output::Junit => super::print(&junit::failed(args, plan, findings, placed(error))),
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

/// Each error, with its file and line where it has them.
fn placed(error: &anyhow::Error) -> Vec<(String, Option<(String, usize)>)> {
    if let Some(errors) = error.downcast_ref::<ConfigErrors>() {
        let place = |problem: &Problem| Some((problem.file.clone()?, problem.line?));
        let problems = errors.problems().iter();
        problems.map(|p| (p.to_string(), place(p))).collect()
    } else if let Some(problems) = error.downcast_ref::<Problems>() {
        let problems = problems.0.iter();
        let placed = problems.map(|p| (p.to_string(), Some((p.file.clone(), p.line))));
        placed.collect()
    } else {
        vec![(format!("{error:#}"), None)]
    }
}
