//! `make demo`: it runs, it prints what README.md shows, and if something is missing its first line says what to type.
#![allow(clippy::unwrap_used)]

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use regex::Regex;

use crate::support::command::{Finished, finish};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn run(command: &mut Command) -> Finished {
    command
        .current_dir(root())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    finish(command.spawn().unwrap())
}

/// The lines that README.md quotes in its section "Try it"; `…` stands for lines left out.
fn quoted() -> Vec<String> {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let (_, section) = readme.split_once("\n## Try it\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let mut lines = Vec::new();
    let mut quoting = false;
    for line in section.lines() {
        if line.starts_with("```") {
            quoting = line == "```text";
        } else if quoting && line != "…" {
            lines.push(line.to_owned());
        }
    }
    assert!(lines.len() > 30, "{lines:?}");
    lines
}

/// Without what differs from run to run: how long it took, and into which of three counts a record falls whose key comes
/// twice. That depends on which pages happen to be written together.
fn normal(line: &str) -> String {
    let line = Regex::new(r"in [0-9.]+ s ")
        .unwrap()
        .replace(line.trim_end(), "in T s ");
    Regex::new(r"^  (updated|superseded|duplicates) +\d+ .*")
        .unwrap()
        .replace(&line, "  $1 N")
        .into_owned()
}

/// The counts of a `sync` as the demo prints them.
fn counts(said: &str) -> Vec<(String, u64)> {
    said.lines()
        .skip(1)
        .take(8)
        .map(|line| {
            let mut words = line.split_whitespace();
            let name = words.next().unwrap().to_owned();
            (
                name,
                words.next().unwrap().replace(',', "").parse().unwrap(),
            )
        })
        .collect()
}

#[test]
fn make_demo_prints_what_the_readme_shows_and_settles() {
    let finished = run(Command::new("make").args(["-s", "demo"]));
    finished.expect(0);
    let printed: Vec<String> = finished.stdout.lines().map(normal).collect();
    let mut from = 0;
    for line in quoted() {
        let at = printed[from..]
            .iter()
            .position(|said| *said == normal(&line));
        let at = at.unwrap_or_else(|| {
            panic!("README.md shows, in this order,\n{line}\nwhich the demo does not print:\n{finished}")
        });
        from += at + 1;
    }
    let syncs: Vec<&str> = finished.stdout.split("$ datasync sync\n").skip(1).collect();
    assert_eq!(syncs.len(), 2, "{finished}");
    let of = |sync: &str, names: &[&str]| -> u64 {
        let counts = counts(sync);
        assert_eq!(counts.len(), 8);
        counts
            .iter()
            .filter(|(name, _)| names.contains(&name.as_str()))
            .map(|(_, count)| count)
            .sum()
    };
    let twice = ["updated", "superseded", "duplicates"];
    assert_eq!((of(syncs[0], &twice), of(syncs[1], &twice)), (20, 20));
    // The second run finds everything as it is.
    assert_eq!(of(syncs[1], &["inserted", "updated"]), 0, "{finished}");
    assert_eq!(of(syncs[1], &["unchanged"]), of(syncs[0], &["inserted"]));
}

/// A folder with nothing but these programs, to stand for PATH.
fn path_with(folder: &Path, programs: &[&str]) -> PathBuf {
    let path = folder.join("path");
    std::fs::create_dir(&path).unwrap();
    let found = std::env::var_os("PATH").unwrap();
    for program in programs {
        let file = std::env::split_paths(&found)
            .map(|folder| folder.join(program))
            .find(|file| file.is_file())
            .unwrap_or_else(|| panic!("{program} is not installed"));
        symlink(file, path.join(program)).unwrap();
    }
    path
}

#[test]
fn the_first_line_says_what_to_type_where_something_is_missing() {
    for (programs, first) in [
        (&["sh", "dirname"][..], "Install Rust 1.95 or later: "),
        (&["sh", "dirname", "cargo"], "Install a C compiler"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = path_with(folder.path(), programs);
        let finished = run(Command::new("scripts/requirements")
            .arg("database")
            .env_remove("CARGO")
            .env("PATH", path));
        finished.expect(1);
        let line = finished.stderr.lines().next().unwrap();
        assert!(line.contains(first), "{finished}");
    }
}

#[test]
fn without_rights_to_install_the_first_line_says_whom_to_ask() {
    let folder = tempfile::tempdir().unwrap();
    let path = path_with(folder.path(), &["sh", "dirname"]);
    // A machine with apt-get and without sudo, whose user is not root.
    for (name, text) in [("apt-get", "exit 1"), ("id", "echo 1000")] {
        let file = path.join(name);
        std::fs::write(&file, format!("#!/bin/sh\n{text}\n")).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&file, mode).unwrap();
    }
    let script = ". scripts/postgres.sh && ! may_install && pg_ask_administrator";
    let finished = run(Command::new("sh").args(["-c", script]).env("PATH", path));
    finished.expect(0);
    assert!(
        finished.stderr.starts_with(
            "Ask an administrator to run apt-get install postgresql, or set PG_BIN to the folder of "
        ),
        "{finished}"
    );
}
