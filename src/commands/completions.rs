//! `datasync completions SHELL`: a script for the shell, generated from the definition of the command line.

use anyhow::Result;
use clap::CommandFactory as _;

use crate::commands::cli::Cli;
use crate::exit::Exit;

#[allow(clippy::unnecessary_wraps, reason = "every command has this signature")]
pub(super) fn run(shell: clap_complete::Shell) -> Result<Exit> {
    let mut command = Cli::command();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    super::print(&String::from_utf8_lossy(&script));
    Ok(Exit::Success)
}
