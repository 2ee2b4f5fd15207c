//! docs/troubleshooting.md quotes the program: every section is provoked here, and every line it quotes must be said.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use regex::Regex;
use rustix::process::Signal;

use crate::support::command::{Finished, finish};
use crate::support::http::{Fault, Running, Server};
use crate::support::postgres::{Cluster, Database};
use crate::support::{Workplace, until};

/// Section → the lines it quotes.
fn sections() -> BTreeMap<String, Vec<String>> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/troubleshooting.md");
    let mut all = BTreeMap::<String, Vec<String>>::new();
    let (mut section, mut quoting) = (String::new(), false);
    for line in std::fs::read_to_string(page).unwrap().lines() {
        if let Some(title) = line.strip_prefix("## ") {
            title.clone_into(&mut section);
        } else if line.starts_with("```") {
            quoting = line == "```text";
        } else if quoting && !line.starts_with(['$', '…']) {
            all.entry(section.clone())
                .or_default()
                .push(line.to_owned());
        }
    }
    all
}

/// Without what differs from run to run.
fn normal(text: &str) -> String {
    let mut text = text.to_owned();
    for (pattern, instead) in [
        (
            r"Case C[0-9a-f]{8} is open: datasync case show C[0-9a-f]{8}",
            "Case C is open",
        ),
        (r"C[0-9a-f]{8}", "C"),
        (r"started by .* on .* at \S+Z", "started by W on H at T"),
        (r"folder \S+", "folder F"),
        (r"since \S+Z", "since T"),
        (r"[0-9][0-9,.]*", "#"),
        (r"[ \t]+", " "),
    ] {
        text = Regex::new(pattern)
            .unwrap()
            .replace_all(&text, instead)
            .into_owned();
    }
    text
}

/// Checks that these commands said what the section quotes.
#[track_caller]
fn holds(section: &str, said: &[&Finished]) {
    let mut all = String::new();
    for finished in said {
        write!(all, "{}\n{}\n", finished.stdout, finished.stderr).unwrap();
    }
    let heard = normal(&all);
    let heard: Vec<&str> = heard.lines().map(str::trim).collect();
    let quoted = &sections()[section];
    assert!(!quoted.is_empty());
    for line in quoted {
        assert!(
            heard.contains(&normal(line).trim()),
            "docs/troubleshooting.md, {section}, quotes\n{line}\nbut nobody said that:\n{all}"
        );
    }
}

fn texts(count: u32, score: impl Fn(u32) -> u32) -> Vec<String> {
    (0..count)
        .map(|i| {
            format!(
                r#"{{"external_id":"CUST-{i:06}","full_name":"Name {i}","contact_email":"c{i}@example.com","quality_score":{},"record_type":"customer"}}"#,
                score(i)
            )
        })
        .collect()
}

fn good(count: u32) -> Server {
    Server::new().records(texts(count, |_| 90))
}

fn place(api: &Running, database: &Database) -> Workplace {
    let place = Workplace::connected(api.url(), database);
    place.edit("mappings.yaml", "initial: 500ms", "initial: 5ms");
    place.edit("mappings.yaml", "timeout: 30s ", "timeout: 1s ");
    place
}

#[test]
fn every_exit_code_has_its_section() {
    let page: Vec<String> = sections().into_keys().collect();
    let codes: Vec<&str> = page
        .iter()
        .flat_map(|title| title.split(|c: char| !c.is_ascii_digit()))
        .filter(|number| !number.is_empty())
        .collect();
    let mut expected = ["0", "1", "2", "3", "4", "5", "6", "75", "129", "130", "143"];
    let mut codes = codes;
    codes.sort_unstable();
    expected.sort_unstable();
    assert_eq!(codes, expected);
}

#[test]
fn a_good_run_is_quoted_as_it_is() {
    let (api, database) = (good(300).start(), Database::new());
    let finished = place(&api, &database).run(&["sync"]);
    holds("Exit 0: all is well", &[finished.expect(0)]);
}

#[test]
fn a_machine_without_threads_is_an_internal_error() {
    if Command::new("prlimit").arg("--version").output().is_err() {
        crate::support::not_run("exit 1 of a machine without threads, needs prlimit (util-linux)");
        return;
    }
    let (api, database) = (good(300).start(), Database::new());
    let place = place(&api, &database);
    // Limits on threads do not bind root; nobody else may look into folders of ours.
    let program = place.path("datasync");
    std::fs::copy(crate::support::command::program(), &program).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::create_dir(place.state()).unwrap();
    let inner = place.command(&[]);
    let mut command = match crate::support::postgres::owner() {
        Some(owner) => {
            for path in [place.path(""), place.state()] {
                std::os::unix::fs::chown(path, Some(owner.uid), Some(owner.gid)).unwrap();
            }
            let mut command = Command::new("setpriv");
            command.args([
                &format!("--reuid={}", owner.uid),
                &format!("--regid={}", owner.gid),
                "--clear-groups",
                "prlimit",
            ]);
            command
        }
        None => Command::new("prlimit"),
    };
    command
        .arg("--nproc=1")
        .arg(&program)
        .arg("sync")
        .current_dir(place.path(""))
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .envs(
            inner
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let finished = finish(command.spawn().unwrap());
    holds("Exit 1: an internal error", &[finished.expect(1)]);
}

#[test]
fn mistakes_of_configuration_are_quoted_as_they_are() {
    let (api, database) = (good(10).start(), Database::new());
    let missing = Workplace::new()
        .with_database(&database)
        .with_api(api.url())
        .env("API_TOKEN", "")
        .env("DB_HOST", "")
        .run(&["sync"]);
    let misspelt = place(&api, &database)
        .edit("mappings.yaml", "max_attempts: 3", "max_atempts: 3")
        .run(&["sync"]);
    let twice = place(&api, &database)
        .with_api(&format!("{}/api/v1/data", api.url()))
        .run(&["sync"]);
    database.run("ALTER TABLE customers RENAME COLUMN email TO mail");
    let unfit = place(&api, &database).run(&["sync"]);
    let all = [
        missing.expect(2),
        misspelt.expect(2),
        twice.expect(2),
        unfit.expect(2),
    ];
    holds("Exit 2: the configuration", &all);
    assert!(api.requests().is_empty(), "nothing was fetched");
}

#[test]
fn an_api_that_times_out_or_refuses_is_quoted_as_it_is() {
    let database = Database::new();
    let slow = good(10)
        .always(Fault::Delay(Duration::from_secs(4)))
        .start();
    let place = place(&slow, &database);
    let timeout = place.run(&["sync"]);
    let check = place.run(&["check-api"]);
    let closed = good(10).start();
    let place = place.with_api(closed.url()).env("API_TOKEN", "wrong");
    let refused = place.run(&["sync"]);
    let partial = good(150)
        .rewrite(|_, body| body.replace("\"total\":150", "\"total\":200"))
        .start();
    let unproven = place
        .with_api(partial.url())
        .env("API_TOKEN", crate::support::TOKEN)
        .run(&["sync"]);
    holds(
        "Exit 3: the API times out or fails",
        &[
            timeout.expect(3),
            check.expect(3),
            refused.expect(3),
            unproven.expect(3),
        ],
    );
}

#[test]
fn a_database_that_is_away_or_refuses_is_quoted_as_it_is() {
    let cluster = Cluster::new(&[], &[]);
    let database = cluster.database();
    let api = good(300).start();
    let here = place(&api, &database);
    cluster.stop("fast");
    let away = here.run(&["sync"]);
    let check = here.run(&["check-db"]);
    cluster.start();
    let retried = here.run(&["retry"]);
    database.run(
        "CREATE ROLE reader LOGIN PASSWORD 'reader'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader",
    );
    let reader = here.env("DB_USER", "reader").env("DB_PASSWORD", "reader");
    let denied = reader.run(&["sync"]);
    let grants = reader.run(&["check-db"]);
    holds(
        "Exit 4: the database is away or refuses",
        &[
            away.expect(4),
            check.expect(4),
            retried.expect(0),
            denied.expect(4),
            grants.expect(2),
        ],
    );
}

#[test]
fn too_many_rejections_and_a_brake_are_quoted_as_they_are() {
    let database = Database::new();
    let all = good(300).start();
    place(&all, &database).run(&["sync"]).expect(0);
    let third = Server::new()
        .records(texts(300, |i| if i % 3 == 0 { 20 } else { 90 }))
        .start();
    let here = place(&third, &database);
    let rejected = here.run(&["sync"]);
    let explained = here.run(&["validate", "--stored", "--explain", "CUST-000003"]);
    let none = good(0).start();
    let braked = place(&none, &database).run(&["sync"]);
    holds(
        "Exit 5: too many rejections, or a brake",
        &[rejected.expect(5), explained.expect(0), braked.expect(5)],
    );
}

#[test]
fn a_full_spool_is_quoted_as_it_is() {
    let cluster = Cluster::new(&[], &[]);
    let database = cluster.database();
    let api = good(9_000).start();
    let place = place(&api, &database);
    place.edit(
        "mappings.yaml",
        "spool: { max_bytes: 1GiB }",
        "spool: { max_bytes: 1MiB }",
    );
    place.edit("mappings.yaml", "size: 100 ", "size: 1000 ");
    cluster.stop("fast");
    let full = place.run(&["sync"]);
    holds("Exit 6: the state directory is full", &[full.expect(6)]);
}

#[test]
fn a_second_run_and_one_that_is_told_to_stop_are_quoted_as_they_are() {
    let database = Database::new();
    let api = good(3_000).start();
    let first = place(&api, &database);
    first.edit("mappings.yaml", "timeout: 1s ", "timeout: 30s ");
    first.edit("mappings.yaml", "concurrency: 4", "concurrency: 1");
    let second = place(&api, &database);
    let mut stopped = Vec::new();
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let before = api.requests().len();
        api.hold_after(before + 3);
        let child = first.start(&["sync"]);
        until("a fourth request of this run", || {
            api.requests().len() >= before + 4
        });
        let busy = second.run(&["sync"]);
        holds("Exit 75: another run is at it", &[busy.expect(75)]);
        crate::support::signal(signal, child.id());
        let finished = finish(child);
        finished.expect(code);
        stopped.push(finished);
    }
    holds(
        "Exit 129, 130 and 143: told to stop",
        &[&stopped[0], &stopped[1]],
    );
}
