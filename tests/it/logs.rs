//! The log: lines that people and collectors can read, levels as documented, nothing hostile in them.
#![allow(clippy::unwrap_used)]

use serde_json::Value;

use crate::support::Workplace;
use crate::support::command::Finished;
use crate::support::http::{Fault, Server};
use crate::support::postgres::{Cluster, Database};

/// Records that the shipped rules reject, and as many that they do not.
fn mixed(count: u32) -> Vec<String> {
    (1..=count)
        .flat_map(|i| {
            [20, 90].map(|score| {
                format!(
                    r#"{{"external_id":"L-{i}-{score}","full_name":"Name {i}","contact_email":"u{i}@example.com","quality_score":{score}}}"#
                )
            })
        })
        .collect()
}

fn objects(finished: &Finished) -> Vec<Value> {
    finished
        .stderr
        .lines()
        .map(|line| {
            let value: Value = serde_json::from_str(line)
                .unwrap_or_else(|error| panic!("{error}: {line}\n{finished}"));
            assert!(value.is_object(), "{line}");
            value
        })
        .collect()
}

#[test]
fn every_line_of_a_json_log_is_an_object_with_the_runs_id() {
    let api = Server::new()
        .records(mixed(30))
        .max_page_size(20)
        .fault(2, Fault::Status(503))
        .start();
    let database = Database::new();
    let place = Workplace::connected(api.url(), &database);
    place.edit("mappings.yaml", "initial: 500ms", "initial: 5ms");
    let (finished, report) = place.sync(&["--log-format", "json", "-vvv"]);
    let lines = objects(&finished);
    assert!(lines.len() > 22, "{finished}");
    let mut levels = std::collections::BTreeSet::new();
    for line in &lines {
        assert_eq!(line["run_id"], report["run_id"], "{line}");
        let time = line["time"].as_str().unwrap();
        assert!(time.parse::<jiff::Timestamp>().is_ok(), "{line}");
        assert!(!line["message"].as_str().unwrap().is_empty(), "{line}");
        assert!(
            line["target"].as_str().unwrap().starts_with("datasync"),
            "{line}"
        );
        levels.insert(line["level"].as_str().unwrap().to_owned());
    }
    assert!(levels.contains("warn"), "{levels:?}");
    for level in &levels {
        assert!(
            ["error", "warn", "info", "debug", "trace"].contains(&level.as_str()),
            "{level}"
        );
    }
}

#[test]
fn a_json_log_says_in_json_why_a_command_ended() {
    let place = Workplace::new();
    let finished = place.run(&["sync", "--log-format", "json"]);
    finished.expect(2);
    let lines = objects(&finished);
    let all: String = lines
        .iter()
        .map(|line| line["message"].as_str().unwrap())
        .collect();
    assert!(
        all.contains("API_TOKEN") && all.contains("DB_HOST"),
        "{finished}"
    );

    place.edit("mappings.yaml", "batch_size", "batchsize");
    let finished = place.run(&["validate", "--log-format", "json", "-q"]);
    finished.expect(2);

    let database = Database::new();
    database.run("DROP TABLE customers");
    let place = Workplace::connected("http://127.0.0.1:9", &database);
    let finished = place.run(&["sync", "--log-format", "json", "-q"]);
    finished.expect(2);
    let lines = objects(&finished);
    let told = lines.iter().any(|line| {
        line["level"] == "error" && line["message"].as_str().unwrap().contains("--apply-schema")
    });
    assert!(told, "{finished}");
}

#[test]
fn rejections_are_warnings_three_of_a_reason_and_all_of_them_for_v_and_json() {
    let api = Server::new().records(mixed(33)).start();
    let database = Database::new();
    let place = Workplace::connected(api.url(), &database);
    let single = "rejected (decision Rule_ScoreTooLow): The";
    let finished = place.run(&["sync"]);
    assert_eq!(finished.stderr.matches(single).count(), 3, "{finished}");
    let rest = "WARN  and 30 more records rejected (decision Rule_ScoreTooLow): ";
    let query = finished
        .stderr
        .lines()
        .find_map(|line| line.split_once(rest))
        .unwrap_or_else(|| panic!("no {rest} in {finished}"))
        .1;
    // What is said can be typed.
    assert_eq!(database.client().query(query, &[]).unwrap().len(), 33);
    let again = place.run(&["sync"]);
    let query = again.stderr.lines().find_map(|line| line.split_once(rest));
    let rows = database.client().query(query.unwrap().1, &[]).unwrap();
    assert_eq!(rows.len(), 33, "also of rejections that came again");

    for arguments in [&["sync", "-v"][..], &["sync", "--log-format", "json"]] {
        let finished = place.run(arguments);
        assert_eq!(finished.stderr.matches(single).count(), 33, "{finished}");
        assert!(!finished.stderr.contains("more records"), "{finished}");
    }
    let finished = place.run(&["sync", "--log-format", "json"]);
    for line in objects(&finished) {
        assert_eq!(line["level"], "warn", "{line}");
    }
    place
        .run(&["sync", "--dry-run"])
        .expect(5)
        .says("and 30 more records rejected (decision Rule_ScoreTooLow): `datasync sync --dry-run -v` names all of them");
}

#[test]
fn rejections_of_many_spool_files_are_summed_up_as_those_of_one_run() {
    // So large that they fill several files.
    let note = "x".repeat(100_000);
    let records = (1..=60).map(|i| {
        format!(
            r#"{{"external_id":"S-{i}","full_name":"Name {i}","contact_email":"u{i}@example.com","quality_score":20,"note":"{note}"}}"#
        )
    });
    let api = Server::new().records(records).max_page_size(10).start();
    let cluster = Cluster::new(&[], &[]);
    let database = cluster.database();
    let place = Workplace::connected(api.url(), &database);
    place.edit("mappings.yaml", "batch_size: 5000", "batch_size: 10");
    cluster.stop("fast");
    place.run(&["sync"]).expect(4);
    let files = std::fs::read_dir(place.state().join("spool"))
        .unwrap()
        .count();
    assert!(files > 1, "one file only");
    cluster.start();
    let finished = place.run(&["retry"]);
    let of = |text: &str| finished.stderr.matches(text).count();
    // The retry fetches nothing: all of them come from the spool.
    assert_eq!(
        of("rejected (decision Rule_ScoreTooLow): The"),
        3,
        "{finished}"
    );
    assert_eq!(
        of("and 57 more records rejected (decision Rule_ScoreTooLow): SELECT "),
        1,
        "{finished}"
    );
}

#[test]
fn the_level_of_rejections_is_the_one_of_the_file() {
    let api = Server::new().records(mixed(3)).start();
    let database = Database::new();
    let place = Workplace::connected(api.url(), &database);
    place.edit("mappings.yaml", "log_level: warning", "log_level: info");
    let finished = place.run(&["sync"]);
    assert!(
        !finished.stderr.contains("rejected (decision"),
        "{finished}"
    );
    let finished = place.run(&["sync", "-v"]);
    assert!(
        finished.stderr.contains("INFO  record L-1-20 rejected"),
        "{finished}"
    );
}

#[test]
fn levels_are_asked_for_by_v_and_by_rust_log_which_wins() {
    let api = Server::new().records(mixed(3)).start();
    let database = Database::new();
    let place = Workplace::connected(api.url(), &database);
    // A key that is ignored is worth an `info`.
    place.edit(
        "mappings.yaml",
        "      host: ${DB_HOST}",
        "      driver: postgresql\n      host: ${DB_HOST}",
    );
    let levels = |finished: &Finished| -> std::collections::BTreeSet<String> {
        finished
            .stderr
            .lines()
            .filter_map(|line| line.split_whitespace().nth(1))
            .map(str::to_owned)
            .collect()
    };
    for (flag, shown) in [
        (None, &["WARN"] as &[_]),
        (Some("-v"), &["INFO", "WARN"]),
        (Some("-vv"), &["DEBUG", "INFO", "WARN"]),
        (Some("-vvv"), &["DEBUG", "INFO", "TRACE", "WARN"]),
    ] {
        let words: Vec<_> = ["sync"].into_iter().chain(flag).collect();
        let found = levels(&place.run(&words));
        assert_eq!(found.into_iter().collect::<Vec<_>>(), shown, "{flag:?}");
    }
    let place = place.env("RUST_LOG", "error");
    let none = levels(&place.run(&["sync", "-vv"]));
    assert!(none.is_empty(), "{none:?}");
}

#[test]
fn control_characters_of_the_source_never_reach_the_log() {
    let hostile = r#"{"external_id":"X\u001b[31m\u000a2026-01-01 ERROR forged\u202e","full_name":"N","contact_email":"a@example.com","quality_score":1}"#;
    let api = Server::new().records([hostile]).start();
    let database = Database::new();
    let place = Workplace::connected(api.url(), &database);
    let finished = place.run(&["sync"]);
    let allowed =
        |c: char| c == '\n' || !(c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c));
    assert!(
        finished.stderr.chars().all(allowed),
        "{:?}",
        finished.stderr
    );
    assert!(
        finished
            .stderr
            .contains("X\\u{1b}[31m\\u{a}2026-01-01 ERROR forged\\u{202e}"),
        "{finished}"
    );
    assert!(
        !finished
            .stderr
            .lines()
            .any(|line| line.starts_with("2026-01-01 ERROR forged")),
        "{finished}"
    );
    let json = place.run(&["sync", "--log-format", "json"]);
    assert!(json.stderr.chars().all(allowed), "{:?}", json.stderr);
    assert!(!objects(&json).is_empty());
}

#[test]
fn a_quiet_run_says_nothing_when_all_is_well_and_everything_when_it_is_not() {
    let api = Server::new().records(mixed(1)).start();
    let database = Database::new();
    let place = Workplace::connected(api.url(), &database);
    place.edit(
        "mappings.yaml",
        "rejection_rate: 20%",
        "rejection_rate: 90%",
    );
    let finished = place.run(&["sync", "-q"]);
    finished.expect(0);
    assert_eq!(
        (finished.stdout.as_str(), finished.stderr.as_str()),
        ("", "")
    );
    place.edit(
        "mappings.yaml",
        "rejection_rate: 90%",
        "rejection_rate: 20%",
    );
    let finished = place.run(&["sync", "-q"]);
    finished.expect(5).says("record L-1-20 rejected");
}
