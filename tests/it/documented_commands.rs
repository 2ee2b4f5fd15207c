//! Every command in README.md and the documents is run here, or listed with the reason why not. One that is in neither of
//! the two lists fails.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::Path;

use regex::Regex;

use crate::support::Workplace;
use crate::support::http::{Fault, Server};
use crate::support::postgres::Database;

/// Commands that are not run by this test, and why.
const NOT_RUN: &[(&str, &str)] = &[
    ("make", "prints the targets; make help is its default"),
    ("make audit", "needs the network"),
    ("make bench", "takes ten minutes"),
    ("make demo", "demo.rs runs it"),
    (
        "make dist",
        "needs a clean tree and a release compiler; packaging.rs checks what it packs",
    ),
    (
        "make fixtures",
        "examples/make_customers.rs has tests that compare the files",
    ),
    ("make memcheck", "takes ten minutes"),
    ("make pictures", "needs a browser"),
    ("make soak", "takes an hour"),
    ("make test", "runs this test"),
    (
        "make versions",
        "fetches six PostgreSQL servers; make test tries the one at hand",
    ),
    (
        "sudo apt install ./dist/datasync_*.deb",
        "changes the machine",
    ),
    (
        "cp .env.example .env && chmod 600 .env",
        "the_template_of_variables_can_be_copied runs it",
    ),
    (
        "git diff fixtures/config",
        "shows what a developer has changed",
    ),
    ("cargo build --release", "make test runs it"),
    ("cargo build --release --locked", "make test runs it"),
    ("cargo check", "compiles, as make test does"),
    ("cargo install --locked --path .", "changes the machine"),
    (
        "cargo run --example make_customers",
        "make fixtures runs it",
    ),
    ("cargo test", "runs this test"),
    (
        "cargo test --locked --lib -- decision::feel",
        "runs a part of make test",
    ),
    (
        "cargo test --locked --test it -- --list",
        "runs a part of make test",
    ),
    (
        "cargo test --locked --test it -- validate::",
        "runs a part of make test",
    ),
    ("cargo bench --bench decision", "measures for minutes"),
    ("cargo bench --bench transform", "measures for minutes"),
    (
        "scripts/with-postgres cargo bench --bench throughput -- huge",
        "measures for an hour",
    ),
    (
        "UPDATE_GOLDEN=1 cargo test --locked --test it -- config::mistakes",
        "writes golden files anew",
    ),
    (
        "TEST_DATABASE_URL=postgresql://postgres:secret@127.0.0.1:5432/postgres cargo test --locked --test it -- \\",
        "needs a Citus cluster",
    ),
    (
        "sync:: incidents:: simulation:: store:: checks:: citus:: concurrency:: database_con",
        "goes on with the line before",
    ),
];

/// `cargo fuzz` needs a nightly compiler.
const NOT_RUN_BEGINNINGS: [&str; 2] = ["cargo fuzz ", "cargo +nightly fuzz "];

/// What is written in the documents for something of one's own, and what stands for it here.
const PLACEHOLDERS: &[(&str, &str)] = &[
    ("COMMAND", "sync"),
    ("FILE", "records.ndjson"),
    ("OLD.dmn.xml", "old.dmn.xml"),
    ("SHELL", "bash"),
    ("TEXT", "seen"),
    ("N", "5"),
    ("fixtures/customers/customers.ndjson", "records.ndjson"),
    ("new.dmn.xml", "old.dmn.xml"),
];

fn documents() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = vec![
        root.join("README.md"),
        root.join("CONTRIBUTING.md"),
        root.join("SECURITY.md"),
        root.join("examples/deploy/README.md"),
        root.join("fixtures/customers/README.md"),
    ];
    for entry in std::fs::read_dir(root.join("docs")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "md") {
            files.push(path);
        }
    }
    let read = |path: &std::path::PathBuf| std::fs::read_to_string(path).unwrap();
    files.iter().map(read).collect()
}

/// Every command of the documents: the lines of shell blocks, lines after a prompt, and commands within a sentence.
fn commands() -> BTreeSet<String> {
    let remark = Regex::new(r"\s+#.*").unwrap();
    let inline = Regex::new(
        "`((?:datasync|make|cargo|sudo|scripts/\\S+) [^`]+|sync --[^`]+|history --[^`]+)`",
    )
    .unwrap();
    let mut commands = BTreeSet::new();
    for text in documents() {
        let mut block: Option<&str> = None;
        for line in text.lines() {
            match (line.strip_prefix("```"), block) {
                (Some(_), Some(_)) => block = None,
                (Some(kind), None) => block = Some(kind),
                (None, Some("sh")) => {
                    commands.insert(remark.replace(line, "").trim().to_owned());
                }
                (None, Some(_)) => commands.extend(line.strip_prefix("$ ").map(str::to_owned)),
                (None, None) => commands.extend(
                    inline
                        .captures_iter(line)
                        .map(|found| found[1].trim().to_owned()),
                ),
            }
        }
    }
    commands.remove("");
    commands
}

/// The arguments of a command of the program; none of another command.
fn arguments(command: &str) -> Option<Vec<String>> {
    let command = command.split(" | ").next().unwrap();
    let words: Vec<&str> = command.split_whitespace().collect();
    let words = match words[0] {
        "datasync" => &words[1..],
        "sync" | "history" if !command.contains("::") => &words[..],
        _ => return None,
    };
    let stands_for = |word: &&str| {
        let known = PLACEHOLDERS.iter().find(|(name, _)| name == word);
        known.map_or(*word, |(_, value)| value).to_owned()
    };
    Some(words.iter().map(stands_for).collect())
}

#[test]
fn every_command_in_the_documents_is_one_that_is_run_or_listed() {
    let commands = commands();
    assert!(commands.len() > 50, "{commands:#?}");
    for command in &commands {
        let listed = NOT_RUN.iter().any(|(known, _)| known == command)
            || NOT_RUN_BEGINNINGS
                .iter()
                .any(|beginning| command.starts_with(beginning));
        assert_ne!(
            listed,
            arguments(command).is_some(),
            "`{command}` is in the documents: run it in this file, or list it with the reason why not"
        );
    }
    for (command, _) in NOT_RUN.iter().filter(|(command, _)| command.contains(' ')) {
        assert!(commands.contains(*command), "`{command}` is in no document");
    }
}

#[test]
fn every_command_of_the_program_in_the_documents_does_what_it_should() {
    let record = |i: u32, score: u32| {
        format!(
            r#"{{"external_id":"CUST-{i:06}","full_name":"Name {i}","contact_email":"c{i}@example.com","quality_score":{score},"updated_date":"2026-03-01T00:00:00Z"}}"#
        )
    };
    let records: Vec<String> = (1..=200)
        .map(|i| record(i, if i % 20 == 3 { 20 } else { 90 }))
        .collect();
    let lines = records.join("\n");
    let broken = Server::new().always(Fault::Status(401)).start();
    let api = Server::new().records(records).start();
    let database = Database::new();
    let place = Workplace::connected(broken.url(), &database);
    place.write("records.ndjson", &lines);
    std::fs::copy(place.path("decisions.dmn.xml"), place.path("old.dmn.xml")).unwrap();
    place.edit(
        "mappings.yaml",
        "        # incremental:",
        "        incremental:",
    );
    // A case, for the commands that are about one.
    let (failed, report) = place.sync(&[]);
    failed.expect(3);
    let case = report["case_id"].as_str().unwrap().to_owned();
    let place = place.with_api(api.url());

    let mut all: Vec<Vec<String>> = commands()
        .iter()
        .filter_map(|command| arguments(command))
        .collect();
    // Cases are looked at while they are open; the whole source is read before shares of it are; a record is shown before
    // it is forgotten.
    all.sort_by_key(|words| match words[0].as_str() {
        "case" => 0,
        "sync" if words.len() == 1 => 1,
        "sync" => 3,
        "forget" => 4,
        _ => 2,
    });
    assert!(all.len() > 30, "{all:#?}");
    for words in all {
        let words: Vec<&str> = words
            .iter()
            .map(|word| match word.as_str() {
                "ID" if words[0] == "case" => case.as_str(),
                "ID" | "CUST-000133" => "CUST-000003",
                word => word,
            })
            .collect();
        let url = format!("{}/api/v1/data", api.url());
        let words: Vec<&str> = if words.starts_with(&["init", "--url"]) {
            // There is a mappings.yaml here.
            vec!["init", "--url", &url, "--mappings", "drafted.yaml"]
        } else {
            words
        };
        let finished = place.run(&words);
        assert_eq!(finished.code, 0, "datasync {}\n{finished}", words.join(" "));
    }
}

#[test]
fn the_template_of_variables_can_be_copied() {
    let place = Workplace::new();
    let template = Path::new(env!("CARGO_MANIFEST_DIR")).join(".env.example");
    std::fs::copy(template, place.path(".env.example")).unwrap();
    let status = std::process::Command::new("sh")
        .args(["-c", "cp .env.example .env && chmod 600 .env"])
        .current_dir(place.path("."))
        .status()
        .unwrap();
    assert!(status.success());
    // It is read, and lacks what only its owner knows.
    place.run(&["sync"]).expect(2).says("API_TOKEN");
}
