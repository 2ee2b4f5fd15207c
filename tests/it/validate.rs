//! `validate`: the smoke check of a CI, and the answer to "why was this record rejected".
#![allow(clippy::unwrap_used)]

mod decision_tests;
mod names;
mod reports;

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::Workplace;
use crate::support::http::Server;
use crate::support::postgres::Database;

fn texts() -> Vec<String> {
    ["95", "79.5", "58", "12", "null"]
        .iter()
        .enumerate()
        .map(|(i, score)| {
            format!(
                r#"{{"external_id":"V-{i}","full_name":"Name {i}","contact_email":"v{i}@example.com","quality_score":{score},"record_type":"lead"}}"#
            )
        })
        .collect()
}

fn counts(result: &Value) -> [u64; 4] {
    ["total", "valid", "warning", "invalid"].map(|name| result["records"][name].as_u64().unwrap())
}

#[test]
fn the_shipped_files_are_fit_to_run_without_any_variable() {
    let place = Workplace::new();
    let finished = place.run(&["validate", "--output", "json"]);
    finished.expect(0);
    let result = finished.json();
    assert_eq!(result["config"]["errors"], serde_json::json!([]));
    assert_eq!(result["lint"], serde_json::json!([]));
    assert!(
        result["config"]["warnings"]
            .to_string()
            .contains("API_TOKEN"),
        "unset variables are named"
    );
    place.run(&["validate", "-q"]).expect(0);
    place.run(&["validate", "--strict"]).expect(0);
    assert!(!place.state().exists(), "nothing is written");
}

#[test]
fn records_come_as_array_lines_or_page_from_file_or_stdin() {
    let place = Workplace::new();
    let lines = texts().join("\n");
    let array = format!("[{}]", texts().join(","));
    let page = format!("{{\"data\":{array},\"next\":null}}");
    for text in [&lines, &array, &page] {
        let finished =
            place.run_with_input(&["validate", "--input", "-", "--output", "json"], text);
        finished.expect(0);
        assert_eq!(counts(&finished.json()), [5, 2, 2, 1], "{finished}");
    }
    place.write("records.ndjson", &lines);
    let finished = place.run(&[
        "validate",
        "--input",
        "records.ndjson",
        "--limit",
        "2",
        "--output",
        "json",
    ]);
    assert_eq!(counts(&finished.json()), [2, 1, 1, 0]);
    let verdict = &finished.json()["verdicts"][1];
    assert_eq!(verdict["id"], "V-1");
    assert_eq!(verdict["validationResult"], "WARNING");
    assert_eq!(verdict["action"], "REVIEW");
    assert_eq!(verdict["rules"], serde_json::json!(["Rule_ScoreMiddling"]));
    place
        .run(&["validate", "--input", "absent.json"])
        .expect(2)
        .says("absent.json");
    place
        .run_with_input(&["validate", "--input", "-"], "[{},")
        .expect(2)
        .says("cut short");
}

#[test]
fn the_result_in_json_has_its_shape_and_what_was_found_whatever_goes_wrong() {
    let failing = |place: &Workplace, more: &[&str], says: &str| {
        let arguments = [&["validate", "--output", "json"], more].concat();
        let finished = place.run(&arguments);
        finished.expect(2);
        let result = finished.json();
        for (key, at) in [
            ("errors", &result["config"]["errors"]),
            ("warnings", &result["config"]["warnings"]),
            ("lint", &result["lint"]),
            ("lint_notes", &result["lint_notes"]),
            ("verdicts", &result["verdicts"]),
        ] {
            assert!(at.is_array(), "{key} of {more:?}\n{finished}");
        }
        counts(&result);
        assert_eq!(result["exit_code"], 2, "{finished}");
        let told = result["config"]["errors"].to_string();
        assert!(
            told.contains(says),
            "{says} is not among the errors\n{finished}"
        );
        result
    };
    let place = Workplace::new();
    // A gap is a warning of the lint.
    place.edit("decisions.dmn.xml", "[50..80)", "[50..79]");
    place.write("records.ndjson", &texts().join("\n"));
    place.write("broken.json", "[{},");
    for (more, says) in [
        (&["--input", "absent.json"][..], "absent.json"),
        (&["--input", "broken.json"], "cut short"),
        (
            &["--input", "records.ndjson", "--against", "absent.dmn.xml"],
            "absent.dmn.xml",
        ),
        (
            &["--input", "records.ndjson", "--explain", "nobody"],
            "none of 5 records has this id",
        ),
    ] {
        let result = failing(&place, more, says);
        let warnings = result["config"]["warnings"].to_string();
        assert!(warnings.contains("API_TOKEN"), "{more:?}: {result}");
        assert_eq!(result["lint"][0]["check"], "gap", "{more:?}: {result}");
        let judged = if says.contains("of 5") { 5 } else { 0 };
        assert_eq!(counts(&result)[0], judged, "{more:?}: {result}");
    }
    // What an API or a database does has its own exit code, and the same shape.
    let away = place
        .env("API_BASE_URL", "http://127.0.0.1:9")
        .env("API_TOKEN", "x");
    away.edit("mappings.yaml", "max_attempts: 3", "max_attempts: 0");
    let fetched = away.run(&["validate", "--fetch", "--output", "json"]);
    fetched.expect(3);
    assert_eq!(fetched.json()["lint"][0]["check"], "gap", "{fetched}");
    assert_eq!(counts(&fetched.json()), [0; 4]);

    let place = Workplace::new();
    std::fs::remove_file(place.path("decisions.dmn.xml")).unwrap();
    let result = failing(&place, &[], "decisions.dmn.xml");
    let warnings = result["config"]["warnings"].to_string();
    assert!(warnings.contains("API_TOKEN"), "{result}");
    place.write("decisions.dmn.xml", "<definitions");
    failing(&place, &[], "decisions.dmn.xml");
    place.edit("mappings.yaml", "pagination:", "pagnation:");
    failing(&place, &[], "pagnation");
}

#[test]
fn an_explanation_names_the_cells_that_said_no_and_the_nearest_change_that_passes() {
    let place = Workplace::new();
    place.write("records.ndjson", &texts().join("\n"));
    let finished = place.run(&["validate", "--input", "records.ndjson", "--explain", "V-2"]);
    finished
        .expect(0)
        .says("Rule_ScoreMiddling  yes")
        .says("qualityScore is 58, not < 50")
        .says("qualityScore 58 → 80 gives VALID");
    let finished = place.run(&[
        "validate",
        "--input",
        "records.ndjson",
        "--explain",
        "nobody",
    ]);
    finished.expect(2).says("none of 5 records has this id");
}

#[test]
fn a_table_that_would_misjudge_is_refused_everywhere_with_an_example() {
    let place = Workplace::new();
    place.edit("decisions.dmn.xml", "[50..80)", "[45..80)");
    let finished = place.run(&["validate", "--output", "json"]);
    finished.expect(2);
    let finding = finished.json()["lint"][0].clone();
    assert_eq!(finding["check"], "overlap");
    assert_eq!(finding["severity"], "error");
    assert_eq!(
        finding["rules"],
        serde_json::json!(["Rule_ScoreTooLow", "Rule_ScoreMiddling"])
    );
    let score = finding["example"]["qualityScore"].as_f64().unwrap();
    assert!((45.0..50.0).contains(&score), "{finding}");

    // As annotations, with file and line.
    let finished = place.run(&["validate", "--output", "github"]);
    finished.expect(2);
    let line = finished
        .stdout
        .lines()
        .find(|line| line.starts_with("::error "))
        .unwrap();
    assert!(
        line.contains("file=decisions.dmn.xml,line=") && line.contains("title=overlap::"),
        "{line}"
    );

    // And no run starts with it.
    let api = Server::new().records(texts()).start();
    let database = Database::new();
    let place = place.with_api(api.url()).with_database(&database);
    place.run(&["sync"]).expect(2).says("overlap");
    assert!(api.requests().is_empty());
}

#[test]
fn a_gap_is_a_warning_and_an_error_when_strict() {
    let place = Workplace::new();
    place.edit("decisions.dmn.xml", "[50..80)", "[50..79]");
    place
        .run(&["validate"])
        .expect(0)
        .says("warning[gap]")
        .says("\"qualityScore\":79.5");
    place.run(&["validate", "--strict"]).expect(2);
}

#[test]
fn a_decision_table_without_end_is_refused_at_once() {
    let place = Workplace::new();
    std::fs::File::create(place.path("huge.dmn.xml"))
        .and_then(|file| file.set_len(100 << 20))
        .unwrap();
    for name in ["huge.dmn.xml", "/dev/zero"] {
        let said = format!(
            "{name}: the decision table cannot be read: it is larger than 8 MiB; is it the right file?"
        );
        for arguments in [
            ["validate", "--decisions", name].as_slice(),
            &["validate", "--against", name, "--input", "-"],
        ] {
            let started = Instant::now();
            place.run(arguments).expect(2).says(&said);
            assert!(started.elapsed() < Duration::from_secs(20));
        }
    }
    std::fs::write(place.path("latin.dmn.xml"), b"<definitions name=\"\xe9\"/>").unwrap();
    place
        .run(&["validate", "--decisions", "latin.dmn.xml"])
        .expect(2)
        .says("it is not valid UTF-8");
}

#[test]
fn a_mistake_in_the_configuration_is_annotated_in_its_place() {
    let place = Workplace::new();
    place.edit("mappings.yaml", "pagination:", "pagnation:");
    let finished = place.run(&["validate", "--output", "github"]);
    finished.expect(2);
    assert!(
        finished.stdout.contains("::error file=mappings.yaml,line="),
        "{finished}"
    );
    assert!(
        finished.stdout.contains("did you mean `pagination`"),
        "{finished}"
    );
    let finished = place.run(&["validate", "--output", "json"]);
    finished.expect(2);
    assert_eq!(
        finished.json()["config"]["errors"][0]["file"],
        "mappings.yaml"
    );
}

/// Whether a line of stdout is an annotation of this level at this place.
fn annotated(finished: &crate::support::command::Finished, head: &str, words: &str) {
    assert!(
        finished
            .stdout
            .lines()
            .any(|line| line.starts_with(head) && line.contains(words)),
        "no annotation {head} … {words}\n{finished}"
    );
    assert!(
        finished
            .stdout
            .lines()
            .all(|line| ["::error ", "::warning ", "::notice "]
                .iter()
                .any(|level| line.starts_with(level))),
        "a line is no annotation\n{finished}"
    );
}

#[test]
fn everything_that_can_be_wrong_is_annotated_for_a_pull_request() {
    let github = |place: &Workplace, more: &[&str], code: i32| {
        let mut arguments = vec!["validate", "--output", "github"];
        arguments.extend_from_slice(more);
        let finished = place.run(&arguments);
        finished.expect(code);
        finished
    };
    // In order and offline: nothing but remarks on what is unset.
    let finished = github(&Workplace::new(), &[], 0);
    annotated(&finished, "::notice title=configuration::", "API_TOKEN");
    // A decision table that cannot be read: file and line.
    let place = Workplace::new();
    place.edit("decisions.dmn.xml", "&lt; 50", "=== 50");
    let line = std::fs::read_to_string(place.path("decisions.dmn.xml"))
        .unwrap()
        .lines()
        .position(|line| line.contains("=== 50"))
        .unwrap()
        + 1;
    let finished = github(&place, &[], 2);
    annotated(
        &finished,
        "::error file=decisions.dmn.xml,line=",
        "Rule_ScoreTooLow",
    );
    let told: usize = finished
        .stdout
        .split("line=")
        .nth(1)
        .unwrap()
        .chars()
        .take_while(char::is_ascii_digit)
        .collect::<String>()
        .parse()
        .unwrap();
    assert!(
        told.abs_diff(line) <= 1,
        "told {told}, it is {line}\n{finished}"
    );
    let json = place.run(&["validate", "--output", "json"]);
    json.expect(2);
    assert_eq!(
        json.json()["config"]["errors"][0]["file"],
        "decisions.dmn.xml"
    );
    // One that is cut short, and one that is not there.
    let whole = std::fs::read_to_string(place.path("decisions.dmn.xml")).unwrap();
    place.write("decisions.dmn.xml", &whole[..whole.len() / 3]);
    annotated(
        &github(&place, &[], 2),
        "::error file=decisions.dmn.xml",
        "",
    );
    std::fs::remove_file(place.path("decisions.dmn.xml")).unwrap();
    annotated(
        &github(&place, &[], 2),
        "::error title=datasync::",
        "decisions.dmn.xml",
    );
    // A warning is one, and with --strict what it does to the exit code.
    let place = Workplace::new();
    place.edit("decisions.dmn.xml", "[50..80)", "[50..79]");
    annotated(
        &github(&place, &[], 0),
        "::warning file=decisions.dmn.xml,line=",
        "79.5",
    );
    annotated(
        &github(&place, &["--strict"], 2),
        "::error file=decisions.dmn.xml,line=",
        "79.5",
    );
    // Records that are not fit.
    let place = Workplace::new();
    place.write("records.ndjson", &texts().join("\n"));
    let input = ["--input", "records.ndjson"];
    annotated(
        &github(&place, &input, 0),
        "::warning title=records::",
        "1 of 5 records is INVALID%0A",
    );
    let strict = [&input[..], &["--strict"]].concat();
    annotated(
        &github(&place, &strict, 5),
        "::error title=records::",
        "V-3",
    );
}

#[test]
fn the_impact_of_a_changed_rule_is_told_before_it_happens() {
    let place = Workplace::new();
    place.write("records.ndjson", &texts().join("\n"));
    std::fs::copy(place.path("decisions.dmn.xml"), place.path("old.dmn.xml")).unwrap();
    let arguments = [
        "validate",
        "--input",
        "records.ndjson",
        "--against",
        "old.dmn.xml",
        "--output",
        "json",
    ];
    let unchanged = place.run(&arguments);
    unchanged.expect(0);
    assert_eq!(unchanged.json()["impact"]["changed"], 0);

    place.edit("decisions.dmn.xml", "[50..80)", "[50..60)");
    place.edit("decisions.dmn.xml", "&gt;= 80", "&gt;= 60");
    let changed = place.run(&arguments);
    changed.expect(0);
    let impact = changed.json()["impact"].clone();
    assert_eq!(impact["changed"], 1);
    assert_eq!(impact["changes"][0]["from"], "WARNING/REVIEW");
    assert_eq!(impact["changes"][0]["to"], "VALID/PROCESS");
    assert_eq!(impact["changes"][0]["ids"], serde_json::json!(["V-1"]));
    let strict: Vec<&str> = arguments.iter().copied().chain(["--strict"]).collect();
    place.run(&strict).expect(5);
}

#[test]
fn an_invalid_record_is_exit_5_only_when_strict() {
    let place = Workplace::new();
    place.write("records.ndjson", &texts().join("\n"));
    place
        .run(&["validate", "--input", "records.ndjson"])
        .expect(0)
        .says("5 records: 2 valid, 2 to review, 1 invalid");
    place
        .run(&["validate", "--input", "records.ndjson", "--strict"])
        .expect(5);
}

#[test]
fn fetched_and_stored_records_are_judged_and_nothing_is_written() {
    let api = Server::new().records(texts()).page_size(2).start();
    let database = Database::new();
    let place = Workplace::connected(api.url(), &database);
    place.edit("mappings.yaml", "size: 100", "size: 2");
    let fetched = place.run(&["validate", "--fetch", "--output", "json"]);
    fetched.expect(0);
    assert_eq!(counts(&fetched.json()), [5, 2, 2, 1]);
    assert_eq!(database.one("SELECT count(*)::text FROM customers"), "0");

    place.sync(&[]).0.expect(0);
    // One rule changed: what would it do to what is stored, rejections included?
    std::fs::copy(place.path("decisions.dmn.xml"), place.path("old.dmn.xml")).unwrap();
    place.edit("decisions.dmn.xml", "&lt; 50", "&lt; 10");
    place.edit("decisions.dmn.xml", "[50..80)", "[10..80)");
    let before = database
        .one("SELECT md5(string_agg(c::text || c.xmin::text, '' ORDER BY id)) FROM customers c");
    let stored = place.run(&[
        "validate",
        "--stored",
        "--against",
        "old.dmn.xml",
        "--output",
        "json",
    ]);
    stored.expect(0);
    assert_eq!(counts(&stored.json()), [5, 2, 3, 0], "{stored}");
    let impact = stored.json()["impact"].clone();
    assert_eq!(
        (&impact["total"], &impact["changed"]),
        (&5.into(), &1.into()),
        "{impact}"
    );
    assert_eq!(impact["changes"][0]["ids"], serde_json::json!(["V-3"]));
    let after = database
        .one("SELECT md5(string_agg(c::text || c.xmin::text, '' ORDER BY id)) FROM customers c");
    assert_eq!(before, after);

    // What has no column is not there to be judged.
    place.edit(
        "mappings.yaml",
        "to: qualityScore, type: decimal",
        "to: qualityScore, type: decimal, column: false",
    );
    place
        .run(&["validate", "--stored"])
        .expect(0)
        .says("customers are judged without what has no column: qualityScore");
}

#[test]
fn the_impact_of_a_changed_rule_on_what_the_api_has_is_told_without_a_database() {
    let api = Server::new().records(texts()).page_size(2).start();
    let place = Workplace::new().with_api(api.url());
    place.edit("mappings.yaml", "size: 100", "size: 2");
    std::fs::copy(place.path("decisions.dmn.xml"), place.path("old.dmn.xml")).unwrap();
    let arguments = [
        "validate",
        "--fetch",
        "--against",
        "old.dmn.xml",
        "--output",
        "json",
    ];
    let unchanged = place.run(&arguments);
    unchanged.expect(0);
    let impact = &unchanged.json()["impact"];
    assert_eq!(
        (&impact["total"], &impact["changed"]),
        (&5.into(), &0.into()),
        "{impact}"
    );

    // Whoever had to be looked at is let through from 55 on, and 10 is enough to be looked at.
    place.edit("decisions.dmn.xml", "&gt;= 80", "&gt;= 55");
    place.edit("decisions.dmn.xml", "[50..80)", "[10..55)");
    place.edit("decisions.dmn.xml", "&lt; 50", "&lt; 10");
    let before = api.requests().len();
    let changed = place.run(&arguments);
    changed.expect(0);
    assert_eq!(
        api.requests().len() - before,
        3,
        "each page is fetched once, for both tables"
    );
    assert_eq!(counts(&changed.json()), [5, 4, 1, 0], "{changed}");
    let impact = changed.json()["impact"].clone();
    assert_eq!(
        (&impact["total"], &impact["changed"]),
        (&5.into(), &3.into()),
        "{impact}"
    );
    let mut moved: Vec<_> = impact["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| {
            let of = |key: &str| change[key].as_str().unwrap();
            (of("from"), of("to"), change["ids"].to_string())
        })
        .collect();
    moved.sort_unstable();
    assert_eq!(
        moved,
        [
            ("INVALID/REJECT", "WARNING/REVIEW", r#"["V-3"]"#.to_owned()),
            (
                "WARNING/REVIEW",
                "VALID/PROCESS",
                r#"["V-1","V-2"]"#.to_owned()
            ),
        ]
    );
    let strict: Vec<&str> = arguments.iter().copied().chain(["--strict"]).collect();
    place.run(&strict).expect(5);
}

#[test]
fn what_is_about_records_wants_records() {
    let place = Workplace::new();
    for flags in [["--against", "old.dmn.xml"], ["--explain", "V-1"]] {
        let command = [&["validate"][..], &flags].concat();
        place
            .run(&command)
            .expect(2)
            .says("<--input <FILE>|--fetch|--stored>");
    }
}
