//! Parses the command line. `DATASYNC_*` variables can set its global options.
//!
//! Options that apply before the configuration is read are looked up in `.env` here; `config` does it for the others.

use std::path::Path;

use clap::builder::Resettable;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, CommandFactory as _, FromArgMatches as _, ValueEnum};

use crate::commands::cli::{Cli, Command, Global, Output, is_yes, verbosity};
use crate::config;

/// Parses the command line. Variables supply options that it does not have.
///
/// # Errors
/// A mistake on the command line or in a variable. `--help` and `--version` are returned as errors, too.
pub fn parse() -> Result<Cli, clap::Error> {
    // Help names the variables, and never shows their values.
    let mut command = Cli::command().mut_args(|arg| without_empty(arg).hide_env_values(true));
    let matches = command.try_get_matches_from_mut(std::env::args_os())?;
    let mut cli = Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
    add_env_file(&mut cli.global, &matches)
        .and_then(|()| for_this_command(&cli))
        .map_err(|wrong| command.error(ErrorKind::InvalidValue, wrong))?;
    Ok(cli)
}

/// An empty variable counts as not set, since templates have lines such as `NAME=`.
fn without_empty(arg: Arg) -> Arg {
    let empty = arg
        .get_env()
        .and_then(std::env::var_os)
        .is_some_and(|value| value.is_empty());
    if empty {
        arg.env(Resettable::Reset)
    } else {
        arg
    }
}

/// Takes options from `.env` that neither the command line nor the environment sets.
fn add_env_file(global: &mut Global, matches: &ArgMatches) -> Result<(), String> {
    let is_default = |option: &str| matches.value_source(option) == Some(ValueSource::DefaultValue);
    for (name, value) in config::early(global.env_file.as_deref()) {
        let wrong = |expected: &str| {
            let file = global.env_file.as_deref().unwrap_or(Path::new(".env"));
            format!("{name} in {}: expected {expected}", file.display())
        };
        match name {
            "DATASYNC_OUTPUT" if is_default("output") => {
                global.output = form(&value).map_err(|expected| wrong(&expected))?;
            }
            "DATASYNC_LOG_FORMAT" if is_default("log_format") => {
                global.log_format = form(&value).map_err(|expected| wrong(&expected))?;
            }
            "DATASYNC_QUIET" if is_default("quiet") => global.quiet = is_yes(&value),
            "DATASYNC_VERBOSE" if is_default("verbose") => global.verbose = verbosity(&value),
            "DATASYNC_NO_COLOR" if is_default("no_color") => global.no_color = is_yes(&value),
            _ => {}
        }
    }
    Ok(())
}

/// Refuses `--output github` and `junit` except for `validate`, whose findings have a file and a line.
fn for_this_command(cli: &Cli) -> Result<(), String> {
    let form = match (cli.global.output, &cli.command) {
        (_, Command::Validate(_)) | (Output::Text | Output::Json, _) => return Ok(()),
        (Output::Github, _) => "github",
        (Output::Junit, _) => "junit",
    };
    Err(format!(
        "--output {form} (or DATASYNC_OUTPUT={form}) is for validate only; type text or json"
    ))
}

/// Parses an option with a few possible values. The error lists them.
fn form<T: ValueEnum + Default>(text: &str) -> Result<T, String> {
    if text.is_empty() {
        return Ok(T::default());
    }
    T::from_str(text, false).map_err(|_| {
        let forms = T::value_variants().iter();
        let names: Vec<_> = forms
            .filter_map(ValueEnum::to_possible_value)
            .map(|form| form.get_name().to_owned())
            .collect();
        format!("one of {}", names.join(", "))
    })
}
