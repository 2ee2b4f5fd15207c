//! `datasync man`: one manual page for all commands, generated from the definition of the command line.

use anyhow::Result;
use clap::CommandFactory as _;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::commands::cli::Cli;
use crate::exit::Exit;

/// Environment variables, and what they are for.
const ENVIRONMENT: [(&str, &str); 10] = [
    (
        "API_BASE_URL, API_TOKEN",
        "where records come from, and the bearer token",
    ),
    (
        "DB_HOST, DB_PORT, DB_NAME, DB_USER, DB_PASSWORD",
        "where they go; the port is 5432 unless set, the password may be empty",
    ),
    ("DATABASE_URL", "instead of DB_*, when none of them is set"),
    (
        "DB_SSLMODE, DB_SSLROOTCERT",
        "as in libpq; verify-full unless set, and prefer on loopback",
    ),
    (
        "DB_SSLCERT, DB_SSLKEY",
        "client certificate and its key, where the server demands one: PEM files",
    ),
    (
        "NAME_FILE",
        "for each NAME above: a file that holds the value, for example DB_PASSWORD_FILE",
    ),
    (
        "DATASYNC_*",
        "every global option, for example DATASYNC_OUTPUT=json for --output json",
    ),
    ("RUST_LOG", "levels of the log by module; wins over -v"),
    (
        "SSL_CERT_FILE",
        "certificates to trust instead of the system's",
    ),
    ("NO_COLOR", "no colours"),
];

const FILES: [(&str, &str); 5] = [
    (
        "./mappings.yaml",
        "which field becomes which column, and what happens on failure",
    ),
    ("./decisions.dmn.xml", "which records are fit"),
    (
        "./decisions.tests.yaml",
        "tests of that table, which validate runs; not needed",
    ),
    ("./.env", "variables, where the environment has none"),
    (
        "$XDG_STATE_HOME/datasync",
        "what the database has not taken yet, and cases: keep it between runs",
    ),
];

pub(super) fn run() -> Result<Exit> {
    super::print(&page()?);
    Ok(Exit::Success)
}

fn page() -> Result<String> {
    let mut command = Cli::command();
    // The exit codes get a section of their own.
    let exit_codes = command.get_after_help().map(ToString::to_string);
    command.build();
    let top = command.clone().after_help("");
    let mut page = Vec::new();
    let man = Man::new(top);
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    for sub in command.get_subcommands() {
        commands(sub, "datasync", &mut page)?;
    }
    man.render_options_section(&mut page)?;
    for (title, entries) in [("ENVIRONMENT", &ENVIRONMENT[..]), ("FILES", &FILES[..])] {
        let mut roff = Roff::new();
        roff.control("SH", [title]);
        for (name, meaning) in entries {
            entry(&mut roff, name, meaning);
        }
        roff.to_writer(&mut page)?;
    }
    let mut roff = Roff::new();
    roff.control("SH", ["EXIT STATUS"]);
    for line in exit_codes.iter().flat_map(|text| text.lines()).skip(1) {
        if let Some((code, meaning)) = line.trim().split_once("  ") {
            entry(&mut roff, code, meaning);
        }
    }
    roff.to_writer(&mut page)?;
    man.render_version_section(&mut page)?;
    Ok(String::from_utf8(page)?)
}

fn entry(roff: &mut Roff, name: &str, meaning: &str) {
    roff.control("TP", []);
    roff.text([bold(name)]);
    roff.text([roman(meaning)]);
}

/// A command and its subcommands: what each does, how it is called, and its options.
fn commands(command: &clap::Command, parent: &str, page: &mut Vec<u8>) -> Result<()> {
    let name = format!("{parent} {}", command.get_name());
    if command.get_name() == "help" {
        return Ok(());
    }
    if command.has_subcommands() {
        for sub in command.get_subcommands() {
            commands(sub, &name, page)?;
        }
        return Ok(());
    }
    let own = command
        .clone()
        .mut_args(|arg| {
            let global = arg.is_global_set() || matches!(arg.get_id().as_str(), "help" | "version");
            arg.hide(global)
        })
        .disable_help_flag(true);
    let mut roff = Roff::new();
    roff.control("SH", [name.to_uppercase().as_str()]);
    if let Some(about) = command.get_long_about().or(command.get_about()) {
        roff.text([roman(about.to_string())]);
    }
    roff.to_writer(page)?;
    let mut options = Vec::new();
    let man = Man::new(own);
    man.render_synopsis_section(&mut options)?;
    man.render_options_section(&mut options)?;
    // The options become a subsection, since they belong to this command's section.
    let options = String::from_utf8(options)?.replace(".SH ", ".SS ");
    page.extend_from_slice(options.as_bytes());
    Ok(())
}
