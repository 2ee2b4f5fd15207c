//! What a release packs: every file it names is there, and what is made for it works. The packing itself is `make dist`.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::Workplace;
use crate::support::command::{Finished, finish, program};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap()
}

/// Runs this in the root of the sources, as `make dist` does.
fn run(command: &mut Command) -> Finished {
    let child = command
        .current_dir(root())
        .env("CARGO", env!("CARGO"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    finish(child)
}

/// What `scripts/package-files` makes with the program under test.
fn package_files(place: &Workplace) -> PathBuf {
    let folder = place.path("package");
    run(Command::new("scripts/package-files")
        .arg(program())
        .arg(&folder))
    .expect(0);
    folder
}

/// `[package.metadata.deb]` of Cargo.toml.
fn debian_package() -> Value {
    let finished = run(Command::new(env!("CARGO")).args([
        "metadata",
        "--no-deps",
        "--locked",
        "--format-version",
        "1",
    ]));
    finished.expect(0);
    finished.json()["packages"][0]["metadata"]["deb"].clone()
}

#[test]
fn every_file_that_the_debian_package_names_is_there() {
    let place = Workplace::new();
    let made = package_files(&place);
    let package = debian_package();
    let mut installed = BTreeSet::new();
    for asset in package["assets"].as_array().unwrap() {
        let (from, to) = (asset[0].as_str().unwrap(), asset[1].as_str().unwrap());
        let path = match from.strip_prefix("target/package/") {
            // Made of the sources of all crates.
            Some("THIRD-PARTY-LICENCES") => continue,
            Some(file) => made.join(file),
            None if from == "target/release/datasync" => continue,
            None => root().join(from.trim_end_matches("/*")),
        };
        assert!(path.exists(), "{from} does not exist");
        if !from.ends_with('*') {
            let name = path.file_name().unwrap().to_str().unwrap();
            installed.insert(if to.ends_with('/') {
                format!("/{to}{name}")
            } else {
                format!("/{to}")
            });
        }
    }
    for file in package["conf-files"].as_array().unwrap() {
        assert!(installed.contains(file.as_str().unwrap()), "{file}");
    }
    assert_eq!(package["systemd-units"]["enable"], false);
    assert_eq!(package["systemd-units"]["start"], false);
}

#[test]
fn the_packaged_unit_differs_from_the_example_in_where_things_are_and_nothing_else() {
    let place = Workplace::new();
    let folder = package_files(&place).join("systemd");
    for unit in ["datasync.service", "datasync.timer"] {
        let packaged = std::fs::read_to_string(folder.join(unit)).unwrap();
        assert!(!packaged.contains("/usr/local/") && !packaged.contains("/etc/systemd/"));
        let example = text(&format!("examples/deploy/systemd/{unit}"))
            .replace("/usr/local/bin/", "/usr/bin/")
            .replace("/etc/systemd/", "/usr/lib/systemd/");
        assert_eq!(packaged, example);
    }
}

#[test]
fn the_variables_of_the_service_are_those_it_cannot_do_without() {
    let unit = text("examples/deploy/systemd/datasync.service");
    assert!(unit.contains("EnvironmentFile=/etc/datasync/datasync.env\n"));
    let place = Workplace::new();
    let file = root().join("examples/deploy/systemd/datasync.env");
    place.write("token", "t").write("password", "p");
    let place = place
        .env("API_TOKEN_FILE", "token")
        .env("DB_PASSWORD_FILE", "password")
        .env("DATASYNC_ENV_FILE", file.to_str().unwrap());
    // As it is installed, empty: each is named, and no other is missing.
    let finished = place.run(&["sync"]);
    finished.expect(2);
    for name in ["API_BASE_URL", "DB_HOST", "DB_NAME", "DB_USER"] {
        finished.says(name);
        assert!(text("examples/deploy/systemd/datasync.env").contains(&format!("\n{name}=\n")));
    }
    for name in ["API_TOKEN", "DB_PASSWORD"] {
        assert!(!finished.stderr.contains(name), "{finished}");
    }
}

#[test]
fn the_folder_of_the_tarball_works_where_it_is() {
    let place = Workplace::new();
    let folder = package_files(&place).join("tarball");
    let program = folder.join("datasync");
    let run = |arguments: &[&str]| {
        finish(
            Command::new(&program)
                .args(arguments)
                .current_dir(&folder)
                .env_clear()
                .env("HOME", &folder)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap(),
        )
    };
    run(&["validate"]).expect(0);
    let page = std::fs::read_to_string(folder.join("man/datasync.1")).unwrap();
    assert_eq!(page, run(&["man"]).stdout);
    for (shell, file) in [
        ("bash", "datasync.bash"),
        ("zsh", "_datasync"),
        ("fish", "datasync.fish"),
    ] {
        let script = std::fs::read_to_string(folder.join("completions").join(file)).unwrap();
        assert_eq!(script, run(&["completions", shell]).stdout);
    }
    for file in [
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "CHANGELOG.md",
        "schema.sql",
        ".env.example",
        "docs/mappings.schema.json",
        "examples/deploy/crontab",
    ] {
        assert!(folder.join(file).is_file(), "{file}");
    }
    let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
    let links = readme
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')').map(|(link, _)| link))
        // The place within a page is not the file's name.
        .filter_map(|link| link.split('#').next())
        // The records to try things with stay in the repository.
        .filter(|link| !link.contains("://") && !link.starts_with("fixtures/"));
    for link in links {
        assert!(folder.join(link).exists(), "README.md links to {link}");
    }
}

#[test]
fn the_licences_of_all_crates_in_the_program_are_found() {
    let finished = run(&mut Command::new("scripts/third-party-licences"));
    finished.expect(0);
    for crate_name in ["ring v", "rustls v", "tokio-postgres v", "serde_json v"] {
        finished.says(&format!("\n{crate_name}"));
    }
    // Tests alone use it.
    assert!(!finished.stdout.contains("\nproptest v"));
    finished.says("Permission is hereby granted, free of charge");
}

/// Releases 1.77 to 1.96 compile some correct code wrongly, and so does 1.98.0: rust-lang/rust 155241 and 158830.
#[test]
fn what_builds_releases_is_a_compiler_with_the_mending() {
    let mut named = Vec::new();
    let image = text("examples/deploy/Dockerfile");
    let (_, version) = image.split_once("FROM rust:").unwrap();
    named.push(version.split('-').next().unwrap().to_owned());
    let workflow = text(".github/workflows/ci.yml");
    let (_, dist) = workflow.split_once("\n  dist:").unwrap();
    let (_, version) = dist.split_once("rustup default ").unwrap();
    named.push(version.lines().next().unwrap().to_owned());
    for version in named {
        let parts: Vec<u32> = version
            .split('.')
            .map(|part| part.parse().unwrap())
            .collect();
        assert!(
            parts >= vec![1, 97, 1] && parts != vec![1, 98, 0],
            "{version}"
        );
    }
}

#[test]
fn continuous_integration_calls_targets_that_exist() {
    let workflow = text(".github/workflows/ci.yml");
    let makefile = text("Makefile");
    let called: Vec<&str> = workflow
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("- run: make "))
        .collect();
    assert_eq!(called, ["test", "audit", "dist"]);
    for target in called {
        assert!(makefile.contains(&format!("\n{target}:")), "{target}");
    }
}
