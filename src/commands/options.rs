//! The command line, over the `DATASYNC_*` variables that stand for its global options.

use clap::builder::Resettable;
use clap::{Arg, CommandFactory as _, FromArgMatches as _};

use crate::cli::Cli;

/// What was typed, and what variables say of the rest.
///
/// # Errors
/// A mistake on the command line or in a variable, and what is no mistake: a question for help or the version.
pub fn parse() -> Result<Cli, clap::Error> {
    let mut command = Cli::command().mut_args(without_empty);
    let matches = command.try_get_matches_from_mut(std::env::args_os())?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

/// `NAME=` is how a template says that there is no value.
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
