//! One file a subcommand. A command composes and prints; it decides nothing.

mod annotations;
mod case;
mod check_api;
mod check_db;
mod checks;
mod completions;
mod history;
mod man;
mod options;
mod report;
mod retry;
mod schema;
mod sync;
mod validate;
mod verdicts;
mod watch;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;

use anyhow::Result;

use crate::cli::{Cli, Command, Global, Output};
use crate::config::{ConfigErrors, Needs, Problem, Sources, plan, plan::Plan};
use crate::decision::feel::value::Kind;
use crate::decision::{self, Decision, Fact, Role, Severity};
use crate::exit::{self, Exit, Misconfigured};
use crate::logging;
use crate::transform::Transform;

pub use options::parse;
pub use watch::mistyped;

/// A decision table larger than this is refused, bytes.
const MAX_DECISIONS: u64 = 8 << 20;

/// Runs what was asked for and says how it ended.
pub fn run(cli: &Cli) -> Exit {
    let global = &cli.global;
    let result = match &cli.command {
        Command::Sync(args) => sync::run(global, args),
        Command::Validate(args) => Ok(validate::run(global, args)),
        Command::CheckApi => check_api::run(global),
        Command::CheckDb(args) => check_db::run(global, args),
        Command::Retry(args) => retry::run(global, args),
        Command::Case(command) => case::run(global, command),
        Command::History(args) => history::run(global, args),
        Command::Completions { shell } => completions::run(*shell),
        Command::Man => man::run(),
        Command::Schema => schema::run(),
    };
    result.unwrap_or_else(|error| {
        let exit = exit::of(&error);
        complain(&error);
        if global.output == Output::Json {
            print(&(failure_json(&error, exit) + "\n"));
        }
        exit
    })
}

/// The configuration for a command that needs these parts.
fn load(global: &Global, needs: Needs) -> Result<Plan, ConfigErrors> {
    crate::config::load(&sources(global), needs)
}

fn sources(global: &Global) -> Sources {
    Sources {
        mappings: global.mappings.clone(),
        decisions: global.decisions.clone(),
        env_file: global.env_file.clone(),
        state_dir: global.state_dir.clone(),
        ..Sources::default()
    }
}

/// Prints a result. A full or closed stdout must not change what happened to the data, so it only earns a warning.
fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        log::warn!("the result could not be printed: {error}");
    }
}

/// Prints why a command ended before it had a result.
fn complain(error: &anyhow::Error) {
    let errors = error.downcast_ref::<ConfigErrors>();
    let lines = match errors {
        Some(errors) => errors.problems().iter().map(one_line).collect(),
        None => vec![format!("{error:#}").lines().collect::<Vec<_>>().join("; ")],
    };
    if logging::end_in_json(&lines) {
        return;
    }
    let text = errors.map_or_else(|| format!("datasync: {error:#}"), ToString::to_string);
    std::io::stderr()
        .lock()
        .write_all((text.trim_end().to_owned() + "\n").as_bytes())
        .unwrap_or_default();
}

fn one_line(problem: &Problem) -> String {
    let text = problem.to_string();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines.join("; ")
}

/// What `config.errors` has of an error.
fn errors_json(error: &anyhow::Error) -> serde_json::Value {
    error.downcast_ref::<ConfigErrors>().map_or_else(
        || serde_json::json!([{ "message": format!("{error:#}") }]),
        |errors| serde_json::to_value(errors).unwrap_or_default(),
    )
}

fn failure_json(error: &anyhow::Error, exit: Exit) -> String {
    serde_json::json!({
        "status": "failed",
        "exit_code": exit.code(),
        "config": { "errors": errors_json(error), "warnings": [] },
    })
    .to_string()
}

/// The text of a decision table, and its name for messages.
/// No more is read than a table may have, whatever the file says of its size: a device says nothing of it.
fn read_decision(path: &Path) -> Result<(String, String)> {
    let name = path.display().to_string();
    let unreadable =
        |why: &str| Misconfigured(format!("{name}: the decision table cannot be read: {why}"));
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_DECISIONS + 1).read_to_end(&mut bytes))
        .map_err(|error| unreadable(&error.to_string()))?;
    if bytes.len() as u64 > MAX_DECISIONS {
        let most = MAX_DECISIONS >> 20;
        return Err(unreadable(&format!(
            "it is larger than {most} MiB; is it the right file?"
        ))
        .into());
    }
    let text = String::from_utf8(bytes).map_err(|_| unreadable("it is not valid UTF-8"))?;
    Ok((text, name))
}

/// The facts that the mapping gives, with their types as a table knows them.
fn typed_facts(transform: &Transform) -> Vec<Fact<'_>> {
    let names = transform.fact_names();
    let last = names.len() - 1;
    let typed = names.into_iter().zip(transform.fact_kinds()).enumerate();
    typed
        .map(|(slot, (name, kind))| Fact {
            name,
            kind: kind.map_or(Kind::Any, kind_of),
            role: match slot {
                slot if slot == last => Role::Complete,
                slot if transform.is_required(slot) => Role::Required,
                _ => Role::Free,
            },
        })
        .collect()
}

/// The type that a table sees of a field. JSON may be anything.
const fn kind_of(kind: plan::Kind) -> Kind {
    match kind {
        plan::Kind::String | plan::Kind::Email | plan::Kind::Uuid => Kind::Text,
        plan::Kind::Integer | plan::Kind::Decimal => Kind::Number,
        plan::Kind::Boolean => Kind::Boolean,
        plan::Kind::Date => Kind::Date,
        plan::Kind::DateTime => Kind::DateTime,
        plan::Kind::Json => Kind::Any,
    }
}

/// Reads and compiles the decision table for the facts that the mapping gives. A table that would misjudge or refuse
/// records is refused itself.
pub(crate) fn load_decision(plan: &Plan, transform: &Transform) -> Result<Decision> {
    let (text, name) = read_decision(&plan.decisions_file)?;
    let facts = transform.fact_names();
    let refused = |problems: decision::Problems| Misconfigured(problems.to_string());
    let typed = typed_facts(transform);
    let lint = decision::lint(&text, &name, plan.decision.as_deref(), &typed).map_err(refused)?;
    let errors: Vec<String> = lint
        .findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error)
        .map(|finding| format!("{name}: {finding}"))
        .collect();
    if !errors.is_empty() {
        return Err(Misconfigured(errors.join("\n")).into());
    }
    for finding in &lint.findings {
        log::info!("{name}: {finding}");
    }
    Ok(Decision::compile(&text, &name, plan.decision.as_deref(), &facts).map_err(refused)?)
}
