//! Every command, every option and every format, on the program that is shipped: each run ends with a documented exit
//! code, never by a signal, and what it prints as JSON is JSON.
//!
//! The rows are held against the definition of the command line itself, so a new option without a row fails.
#![allow(clippy::unwrap_used)]

use clap::CommandFactory as _;
use datasync::commands::cli::Cli;
use datasync::exit::Exit;

use crate::support::Workplace;
use crate::support::command::{Finished, wrapper};
use crate::support::http::{Fault, Running, Server};
use crate::support::postgres::Database;

/// One way to call the program.
struct Row {
    /// The subcommand, in words.
    command: &'static str,
    /// What follows it; `{case}` is the id of a case that is open.
    arguments: &'static str,
    /// Its exit code where the API, the database and the configuration are all right.
    code: i32,
}

const fn row(command: &'static str, arguments: &'static str, code: i32) -> Row {
    Row {
        command,
        arguments,
        code,
    }
}

const ROWS: [Row; 82] = [
    row("init", "", 0),
    row("init", "--url http://127.0.0.1:1/data", 2),
    row(
        "init",
        "--url http://127.0.0.1:1/data?token=x --mappings new.yaml --auth none --records data",
        2,
    ),
    row("init", "--url http://127.0.0.1:1/data --auth other", 2),
    row("sync", "", 0),
    row("sync", "--dry-run", 0),
    row("sync", "--limit 3", 0),
    row("sync", "--limit 0", 2),
    row("sync", "--deadline 60s", 0),
    row("sync", "--deadline soon", 2),
    row("sync", "--wait 1s", 0),
    row("sync", "--accept-drop", 0),
    row("sync", "--full", 0),
    row(
        "sync",
        "--since 2026-01-31T00:00:00Z --mappings incremental.yaml",
        0,
    ),
    row("sync", "--since 2026-01-31T00:00:00Z", 2),
    row("sync", "--since 2026-01-31T00:00:00Z --full", 2),
    row("sync", "--shard 1/2", 0),
    row("sync", "--shard 3/2", 2),
    row("sync", "--report run.html", 0),
    row("sync", "--report run.html --show-values", 0),
    row("sync", "--show-values", 2),
    row("sync", "--dry-run --report run.html --limit 2", 0),
    row("validate", "", 0),
    row("validate", "--strict", 0),
    row("validate", "--input records.json", 0),
    row("validate", "--input records.json --strict", 5),
    row("validate", "--input records.json --limit 1", 0),
    row("validate", "--input records.json --explain U-1", 0),
    row("validate", "--input records.json --explain U-20", 0),
    row("validate", "--input records.json --explain nobody", 2),
    row("validate", "--input records.json --against old.dmn.xml", 0),
    row("validate", "--input no-such-file.json", 2),
    row("validate", "--fetch", 0),
    row("validate", "--stored", 0),
    row("validate", "--stored --explain U-1", 0),
    row("validate", "--output github", 0),
    row("validate", "--output junit", 0),
    row("validate", "--explain U-1", 2),
    row("check-api", "", 0),
    row("check-db", "", 0),
    row("check-db", "--grants", 0),
    row("show", "U-1", 0),
    row("show", "nobody", 0),
    row("forget", "U-20 --dry-run", 0),
    row("forget", "U-20", 0),
    row("check-db", "--apply-schema", 0),
    row("retry", "", 0),
    row("retry", "--case {case}", 0),
    row("retry", "--case nobody", 2),
    row("retry", "--rejected", 0),
    row("retry", "--note done", 0),
    row("case list", "", 0),
    row("case show", "{case}", 0),
    row("case show", "nobody", 2),
    row("case note", "{case} seen", 0),
    row("case complete", "{case} investigate", 0),
    row("case complete", "{case} investigate --note found", 0),
    row("case complete", "{case} resolve", 0),
    row("history", "", 0),
    row("history", "--limit 1", 0),
    row("history", "--report history.html", 0),
    row("completions", "bash", 0),
    row("completions", "elvish", 0),
    row("completions", "fish", 0),
    row("completions", "powershell", 0),
    row("completions", "zsh", 0),
    row("completions", "cmd", 2),
    row("man", "", 0),
    row("schema", "", 0),
    // Options of every command, here once each; `every_form_of_every_command` combines the forms with all of them.
    row("validate", "--mappings mappings.yaml", 0),
    row("validate", "--mappings no-such-file.yaml", 2),
    row("validate", "--decisions decisions.dmn.xml", 0),
    row("validate", "--env-file empty.env", 0),
    row("validate", "--state-dir elsewhere", 0),
    row("validate", "--output text", 0),
    row("validate", "--output json", 0),
    row("validate", "--log-format text", 0),
    row("validate", "--log-format json", 0),
    row("validate", "--quiet", 0),
    row("validate", "--verbose", 0),
    row("validate", "--no-color", 0),
    row("validate", "--no-such-option", 2),
];

/// What each row is called with besides.
const FORMS: [&str; 8] = [
    "--output text",
    "--output json",
    "--output json -q",
    "-q",
    "-v --log-format json",
    "-vvv --no-color",
    "--output json -v --log-format json",
    "--output text --log-format text",
];

/// Commands whose result has one form only.
const ONE_FORM: [&str; 3] = ["completions", "man", "schema"];

/// What a command finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum World {
    Good,
    NoDatabase,
    NoApi,
    /// The API answers with errors.
    BrokenApi,
    BrokenMapping,
    NoConfiguration,
}

struct Stage {
    place: Workplace,
    case: String,
    _api: Running,
    _database: Database,
}

fn record(id: u32, score: u32) -> String {
    format!(
        r#"{{"external_id":"U-{id}","full_name":"Name {id}","contact_email":"u{id}@example.com","quality_score":{score},"record_type":"lead"}}"#
    )
}

/// A place in which a run failed, so that a case is open, and another succeeded up to that.
fn stage(world: World) -> Stage {
    // One of twenty is rejected, which is below the threshold, and the last.
    let records: Vec<String> = (1..=20)
        .map(|id| record(id, if id == 20 { 20 } else { 55 + 2 * id }))
        .collect();
    let api = Server::new().records(records.clone()).start();
    let broken = Server::new().always(Fault::Status(501)).start();
    let database = Database::new();
    let place = Workplace::connected(api.url(), &database);
    place.write("records.json", &format!("[{}]", records.join(",")));
    place.write("empty.env", "");
    std::fs::copy(place.path("decisions.dmn.xml"), place.path("old.dmn.xml")).unwrap();
    let mappings = std::fs::read_to_string(place.path("mappings.yaml")).unwrap();
    place.write(
        "incremental.yaml",
        &mappings.replacen("# incremental:", "incremental:", 1),
    );
    place.run(&["sync"]).expect(0);
    let place = place.with_api(broken.url());
    let failed = place.run(&["sync", "--output", "json"]);
    failed.expect(3);
    let case = failed.json()["case_id"].as_str().unwrap().to_owned();
    let place = match world {
        World::Good | World::BrokenMapping => place.with_api(api.url()),
        World::NoDatabase => place.with_api(api.url()).env("DB_PORT", "1"),
        World::NoApi => place.with_api("http://127.0.0.1:1"),
        World::BrokenApi => place,
        World::NoConfiguration => Workplace::new(),
    };
    if world == World::BrokenMapping {
        place.edit("mappings.yaml", "field_mapping", "no_such_transform");
    }
    Stage {
        place,
        case,
        _api: if world == World::BrokenApi {
            broken
        } else {
            api
        },
        _database: database,
    }
}

/// Does a command leave the place as it was, so that another can follow it there?
fn only_looks(row: &Row) -> bool {
    !matches!(
        row.command,
        "retry" | "case complete" | "case note" | "forget"
    )
}

fn call(stage: &Stage, row: &Row, form: &str) -> Finished {
    let line = format!("{} {} {form}", row.command, row.arguments).replace("{case}", &stage.case);
    let words: Vec<&str> = line.split_whitespace().collect();
    let finished = stage.place.run(&words);
    let documented = Exit::ALL.map(|exit| i32::from(exit.code()));
    assert!(
        documented.contains(&finished.code),
        "datasync {line}: no documented end\n{finished}"
    );
    let json = form.contains("--output json") || row.arguments.contains("--output json");
    if json && !ONE_FORM.contains(&row.command) && !finished.stdout.is_empty() {
        finished.json();
    }
    finished
}

fn ends_as_documented(world: World, forms: &[&str]) {
    let shared = stage(world);
    for row in &ROWS {
        for form in forms {
            // An option is given once.
            let twice = [
                ("--output", "--output"),
                ("--log-format", "--log-format"),
                ("-q", "--quiet"),
                ("--no-color", "--no-color"),
            ];
            if twice.iter().any(|(in_form, in_row)| {
                form.split_whitespace().any(|word| word == *in_form)
                    && row.arguments.contains(in_row)
            }) {
                continue;
            }
            let finished = if only_looks(row) {
                call(&shared, row, form)
            } else {
                let own = stage(world);
                call(&own, row, form)
            };
            // Under valgrind a check may run into its time limit, and that has its documented end.
            if world == World::Good && wrapper().is_empty() {
                assert_eq!(
                    finished.code, row.code,
                    "datasync {} {} {form}\n{finished}",
                    row.command, row.arguments
                );
                let prints =
                    !(ONE_FORM.contains(&row.command) || row.arguments.contains("--quiet"));
                if row.code == 0 && *form == "--output json" && prints {
                    assert!(
                        !finished.stdout.is_empty(),
                        "datasync {} {} prints no JSON",
                        row.command,
                        row.arguments
                    );
                }
            }
        }
    }
}

#[test]
fn every_row_of_the_command_line_ends_as_documented() {
    ends_as_documented(World::Good, &["", "--output json"]);
}

#[test]
fn every_form_of_every_command_ends_as_documented() {
    ends_as_documented(World::Good, &FORMS[2..]);
}

#[test]
fn every_command_ends_in_order_without_a_database() {
    ends_as_documented(World::NoDatabase, &["--output json"]);
}

#[test]
fn every_command_ends_in_order_without_an_api() {
    ends_as_documented(World::NoApi, &["--output json"]);
}

#[test]
fn every_command_ends_in_order_where_the_api_answers_errors() {
    ends_as_documented(World::BrokenApi, &["--output text"]);
}

#[test]
fn every_command_ends_in_order_with_a_broken_mapping() {
    ends_as_documented(World::BrokenMapping, &["--output json"]);
}

#[test]
fn every_command_ends_in_order_without_any_configuration() {
    ends_as_documented(World::NoConfiguration, &["", "--output json"]);
}

/// Subcommands that do something, with their words: `case list`, not `case`.
fn commands(command: &clap::Command, words: &str, all: &mut Vec<(String, clap::Command)>) {
    let below: Vec<_> = command
        .get_subcommands()
        .filter(|sub| sub.get_name() != "help")
        .collect();
    if below.is_empty() {
        all.push((words.trim_start().to_owned(), command.clone()));
    }
    for sub in below {
        commands(sub, &format!("{words} {}", sub.get_name()), all);
    }
}

#[test]
fn every_command_option_and_value_has_a_row() {
    let mut cli = Cli::command();
    cli.build();
    let mut all = Vec::new();
    commands(&cli, "", &mut all);
    let mut missing = Vec::new();
    for (words, command) in &all {
        let own: Vec<&Row> = ROWS.iter().filter(|row| row.command == words).collect();
        if own.is_empty() {
            missing.push(format!("datasync {words}"));
        }
        for argument in command.get_arguments() {
            if ["help", "version"].contains(&argument.get_id().as_str()) {
                continue;
            }
            // A row of one command stands for an option that all of them have.
            let rows: Vec<&Row> = if argument.is_global_set() {
                ROWS.iter().collect()
            } else {
                own.clone()
            };
            let said = |text: &str| {
                rows.iter()
                    .any(|row| row.arguments.split_whitespace().any(|word| word == text))
            };
            if let Some(long) = argument.get_long()
                && !said(&format!("--{long}"))
            {
                missing.push(format!("datasync {words} --{long}"));
            }
            if !argument.get_action().takes_values() {
                continue;
            }
            for value in argument.get_possible_values() {
                if !said(value.get_name()) {
                    let name = argument.get_id();
                    missing.push(format!("datasync {words}: {} of {name}", value.get_name()));
                }
            }
        }
    }
    assert!(
        missing.is_empty(),
        "no row in ROWS for:\n{}",
        missing.join("\n")
    );
}

#[test]
fn every_command_has_its_help_and_its_version() {
    let mut cli = Cli::command();
    cli.build();
    let mut all = vec![(String::new(), cli.clone())];
    commands(&cli, "", &mut all);
    let place = Workplace::new();
    for (words, _) in all {
        for option in ["--help", "-h", "--version", "-V"] {
            let line = format!("{words} {option}");
            let words: Vec<&str> = line.split_whitespace().collect();
            let finished = place.run(&words);
            finished.expect(0);
            assert!(!finished.stdout.is_empty(), "datasync {line}\n{finished}");
        }
    }
}
