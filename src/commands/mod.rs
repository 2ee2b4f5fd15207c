//! The command line: a file for each subcommand. A command calls other rooms and prints their results. It decides nothing.

pub mod cli; // the types of the command line, for clap

mod case;
mod check_api;
mod check_db;
mod checks;
mod completions;
mod forget;
mod history;
mod init;
mod man;
mod observability;
mod options;
mod report;
mod retry;
mod schema;
mod show;
mod subject; // the record that `show` and `forget` are about
mod sync;
mod validate;

use std::io::Write as _;

use anyhow::Result;

use crate::commands::cli::{Cli, Command, Global, Output};
use crate::config::{ConfigErrors, Needs, Problem, Sources, plan::Plan};
use crate::exit::{self, Exit};
use crate::support::logging;

pub use observability::keep_usage_error;
pub use options::parse;

/// Runs the command and returns its exit code.
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
        Command::Init(args) => init::run(global, args),
        Command::Show { id } => show::run(global, id),
        Command::Forget(args) => forget::run(global, args),
        Command::Completions { shell } => completions::run(*shell),
        Command::Man => man::run(),
        Command::Schema => schema::run(),
    };
    result.unwrap_or_else(|error| {
        let exit = exit::of(&error);
        print_error(&error);
        if global.output == Output::Json {
            print(&(failure_json(&error, exit) + "\n"));
        }
        exit
    })
}

/// Reads the configuration for a command that needs these parts of it.
fn load(global: &Global, needs: Needs) -> Result<Plan, ConfigErrors> {
    let plan = crate::config::load(&sources(global), needs)?;
    // Every command warns of a file with secrets that other users can read.
    for warning in &plan.exposed {
        log::warn!("{warning}");
    }
    Ok(plan)
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

/// Prints a result. If stdout fails, the data is as it is all the same, so that is only a warning.
fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        log::warn!("the result could not be printed: {error}");
    }
}

/// Prints why a command ended without a result.
fn print_error(error: &anyhow::Error) {
    let errors = error.downcast_ref::<ConfigErrors>();
    let lines = match errors {
        Some(errors) => errors.problems().iter().map(one_line).collect(),
        None => vec![format!("{error:#}").lines().collect::<Vec<_>>().join("; ")],
    };
    if logging::end_in_json(&lines) {
        return;
    }
    let text = errors.map_or_else(
        || format!("error: {error:#}"),
        |errors| {
            let problems: Vec<String> = errors
                .problems()
                .iter()
                .map(|problem| format!("error: {}", problem.full()))
                .collect();
            problems.join("\n")
        },
    );
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

/// The error as the list that the JSON output has under `config.errors`.
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
