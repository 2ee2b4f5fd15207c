//! The Prometheus textfile: written however a run ends, read by Prometheus' own parser.
#![allow(clippy::unwrap_used)]

mod agreement;
mod exits;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::http::{Fault, Reply, Running, Server};
use crate::support::postgres::{Cluster, Database};
use crate::support::{Workplace, promtool};

const SUCCESS: &str = "datasync_last_success_timestamp_seconds";

fn texts(count: u32) -> Vec<String> {
    (1..=count)
        .map(|i| {
            format!(
                r#"{{"external_id":"M-{i:05}","full_name":"Name {i}","contact_email":"u{i}@example.com","quality_score":{},"record_type":"lead"}}"#,
                if i % 10 == 0 { 20 } else { 90 }
            )
        })
        .collect()
}

fn api(count: u32) -> Running {
    Server::new().records(texts(count)).start()
}

/// A workplace whose metrics go to `metrics/datasync.prom`, and retries that do not keep a test waiting.
fn place(api: &Running, database: &Database) -> Workplace {
    let place = Workplace::connected(api.url(), database);
    place.edit("mappings.yaml", "initial: 500ms", "initial: 5ms");
    place.edit("mappings.yaml", "max: 30s ", "max: 20ms ");
    std::fs::create_dir(place.path("metrics")).unwrap();
    let file = textfile(&place).display().to_string();
    place.env("DATASYNC_METRICS_TEXTFILE", file)
}

/// A source of 20 whose API takes no message. Meanwhile somebody else takes one away, which is then neither told nor kept.
fn with_a_message_taken_away(database: &Database) -> (Running, Workplace) {
    let thief = std::sync::Mutex::new(database.client());
    let api = Server::new()
        .records(texts(20))
        .script(move |request| {
            if request.method != "PUT" {
                return None;
            }
            thief
                .lock()
                .unwrap()
                .execute("DELETE FROM sync_outbox WHERE record_id = 'M-00009'", &[])
                .unwrap();
            Some(Reply::Instead(503, Vec::new(), String::new()))
        })
        .start();
    let place = place(&api, database);
    place.edit("mappings.yaml", "enabled: false", "enabled: true");
    place.edit(
        "mappings.yaml",
        "method: PUT",
        "method: PUT\n        retry: { initial: 5ms, max: 20ms }",
    );
    (api, place)
}

fn textfile(place: &Workplace) -> PathBuf {
    place.path("metrics/datasync.prom")
}

/// The file, checked by promtool: series → value.
#[track_caller]
fn read(place: &Workplace) -> BTreeMap<String, f64> {
    let text = std::fs::read_to_string(textfile(place)).unwrap();
    promtool::check_metrics(&text);
    let left: Vec<_> = std::fs::read_dir(place.path("metrics")).unwrap().collect();
    assert_eq!(left.len(), 1, "nothing half-written stays: {left:?}");
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            (series.to_owned(), value.parse().unwrap())
        })
        .collect()
}

#[track_caller]
fn expect(metrics: &BTreeMap<String, f64>, series: &str, value: f64) {
    let found = metrics
        .get(series)
        .unwrap_or_else(|| panic!("no {series} in {metrics:#?}"));
    assert!(
        (found - value).abs() < 1e-9,
        "{series} is {found}, not {value}"
    );
}

/// What is told after a run that was the first to end with this code.
fn ended(place: &Workplace, code: u32) -> BTreeMap<String, f64> {
    let metrics = read(place);
    expect(&metrics, "datasync_last_run_exit_code", f64::from(code));
    let runs = format!("datasync_runs_total{{exit_code=\"{code}\"}}");
    expect(&metrics, &runs, 1.0);
    metrics
}

fn outcome(name: &str) -> String {
    format!("datasync_last_run_records{{outcome=\"{name}\"}}")
}

#[test]
fn a_good_run_tells_prometheus_what_it_tells_on_stdout() {
    let database = Database::new();
    let api = api(250);
    let place = place(&api, &database);
    let (finished, report) = place.sync(&[]);
    finished.expect(0);
    let metrics = read(&place);
    for (name, count) in report["ledger"].as_object().unwrap() {
        let series = match name.as_str() {
            "fetched" => "datasync_last_run_fetched_records".to_owned(),
            name => outcome(name),
        };
        expect(&metrics, &series, count.as_f64().unwrap());
    }
    expect(&metrics, &outcome("inserted"), 225.0);
    let of = |path: &[&str]| {
        path.iter()
            .fold(&report, |value: &Value, key| &value[*key])
            .as_f64()
            .unwrap_or_else(|| panic!("no {path:?} in {report}"))
    };
    for (series, path) in [
        ("datasync_last_run_success_ratio", &["success_rate"] as &[_]),
        (
            "datasync_last_run_per_record_seconds",
            &["seconds_per_record"],
        ),
        ("datasync_last_run_pages", &["pages"]),
        ("datasync_last_run_retries{side=\"api\"}", &["api_retries"]),
        ("datasync_last_run_exit_code", &["exit_code"]),
        (
            "datasync_last_run_stage_seconds{stage=\"fetch\"}",
            &["seconds", "fetch"],
        ),
        (
            "datasync_last_run_stage_seconds{stage=\"write\"}",
            &["seconds", "write"],
        ),
        (
            "datasync_last_run_api_response_max_seconds",
            &["api_response_seconds", "max"],
        ),
        (
            "datasync_api_response_seconds_count",
            &["api_response_seconds", "count"],
        ),
        (
            "datasync_api_response_seconds_sum",
            &["api_response_seconds", "sum"],
        ),
        (
            "datasync_database_statement_seconds_count",
            &["db_query_seconds", "count"],
        ),
        (
            "datasync_last_run_pool_connections",
            &["pool", "connections"],
        ),
        (
            "datasync_pool_max_connections",
            &["pool", "max_connections"],
        ),
        (
            "datasync_last_run_pool_wait_seconds",
            &["pool", "wait_seconds"],
        ),
        ("datasync_spool_files", &["spool", "files"]),
        ("datasync_spool_bytes", &["spool", "bytes"]),
        ("datasync_open_cases", &["open_cases"]),
    ] {
        expect(&metrics, series, of(path));
    }
    expect(&metrics, "datasync_pool_max_connections", 10.0);
    expect(
        &metrics,
        "datasync_last_run_outcome{outcome=\"success\"}",
        1.0,
    );
    expect(
        &metrics,
        "datasync_last_run_outcome{outcome=\"failed\"}",
        0.0,
    );
    expect(&metrics, "datasync_runs_total{exit_code=\"0\"}", 1.0);
    expect(&metrics, "datasync_runs_total{exit_code=\"3\"}", 0.0);
    expect(
        &metrics,
        "datasync_rejections_total{reason=\"decision Rule_ScoreTooLow\"}",
        25.0,
    );
    expect(
        &metrics,
        concat!(
            "datasync_build_info{version=\"",
            env!("CARGO_PKG_VERSION"),
            "\"}"
        ),
        1.0,
    );
    let age = jiff::Timestamp::now().as_second() as f64 - metrics[SUCCESS];
    assert!((-1.0..600.0).contains(&age), "{age}");
}

#[test]
fn counters_and_histograms_grow_over_the_runs_and_gauges_do_not() {
    let database = Database::new();
    let api = api(100);
    let place = place(&api, &database);
    place.sync(&[]).0.expect(0);
    let first = read(&place);
    place.sync(&[]).0.expect(0);
    let second = read(&place);
    expect(&second, &outcome("unchanged"), 90.0);
    expect(&second, &outcome("inserted"), 0.0);
    expect(
        &second,
        "datasync_records_total{outcome=\"inserted\"}",
        90.0,
    );
    expect(
        &second,
        "datasync_records_total{outcome=\"unchanged\"}",
        90.0,
    );
    expect(
        &second,
        "datasync_records_total{outcome=\"rejected\"}",
        20.0,
    );
    expect(&second, "datasync_runs_total{exit_code=\"0\"}", 2.0);
    for name in ["api_response", "database_statement"] {
        let count = format!("datasync_{name}_seconds_count");
        let all = format!("datasync_{name}_seconds_bucket{{le=\"+Inf\"}}");
        assert!(second[&count] > first[&count] && first[&count] > 0.0);
        expect(&second, &all, second[&count]);
    }
    assert!(second[SUCCESS] > first[SUCCESS]);
}

#[test]
fn a_failing_run_keeps_the_time_of_the_last_success_and_says_what_failed() {
    let cluster = Cluster::new(&[], &[]);
    let database = cluster.database();
    let good = api(300);
    let place = place(&good, &database);
    place.sync(&[]).0.expect(0);
    let success = read(&place)[SUCCESS];

    let broken = Server::new().always(Fault::Status(503)).start();
    let place = place.with_api(broken.url());
    let (finished, report) = place.sync(&[]);
    finished.expect(3);
    let metrics = read(&place);
    expect(&metrics, SUCCESS, success);
    expect(&metrics, "datasync_last_run_exit_code", 3.0);
    expect(
        &metrics,
        "datasync_last_run_outcome{outcome=\"failed\"}",
        1.0,
    );
    expect(&metrics, "datasync_last_run_success_ratio", 0.0);
    expect(&metrics, "datasync_retries_total{side=\"api\"}", 3.0);
    let errors = report["errors_by_type"]["api:status"].as_f64().unwrap();
    assert!(errors >= 4.0, "{report}");
    expect(
        &metrics,
        "datasync_errors_total{type=\"api:status\"}",
        errors,
    );
    expect(&metrics, "datasync_open_cases", 1.0);

    cluster.stop("fast");
    let place = place.with_api(good.url());
    let (finished, report) = place.sync(&[]);
    finished.expect(4);
    let metrics = read(&place);
    expect(&metrics, SUCCESS, success);
    expect(&metrics, &outcome("spooled"), 300.0);
    expect(
        &metrics,
        "datasync_last_run_outcome{outcome=\"partial\"}",
        1.0,
    );
    expect(
        &metrics,
        "datasync_last_run_alert{alert=\"sync_failure_rate\"}",
        1.0,
    );
    expect(
        &metrics,
        "datasync_last_run_alert{alert=\"rejection_rate\"}",
        0.0,
    );
    expect(
        &metrics,
        "datasync_errors_total{type=\"database:unreachable\"}",
        1.0,
    );
    let waiting: Vec<u64> = std::fs::read_dir(place.state().join("spool"))
        .unwrap()
        .map(|file| file.unwrap().metadata().unwrap().len())
        .collect();
    expect(&metrics, "datasync_spool_files", waiting.len() as f64);
    expect(
        &metrics,
        "datasync_spool_bytes",
        waiting.iter().sum::<u64>() as f64,
    );
    assert_eq!(report["spool"]["files"], waiting.len());

    // What retry brings home counts as replayed.
    cluster.start();
    place.run(&["retry"]).expect(0);
    let metrics = read(&place);
    expect(&metrics, "datasync_last_run_replayed_records", 300.0);
    expect(&metrics, "datasync_spool_files", 0.0);
    expect(&metrics, "datasync_open_cases", 0.0);
    for code in [0, 3, 4] {
        let runs = format!("datasync_runs_total{{exit_code=\"{code}\"}}");
        expect(&metrics, &runs, if code == 0 { 2.0 } else { 1.0 });
    }
}

#[test]
fn the_alert_rules_are_well_formed_and_fire_when_they_should() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/monitoring");
    let rules = format!("{folder}/prometheus-rules.yml");
    promtool::run(&["check", "rules", &rules], "");
    let played = format!("{folder}/prometheus-rules.test.yml");
    promtool::run(&["test", "rules", &played], "");
    // They name nothing that a run does not write.
    let database = Database::new();
    let api = api(10);
    let place = place(&api, &database);
    place.sync(&[]).0.expect(0);
    let written = std::fs::read_to_string(textfile(&place)).unwrap();
    let text = std::fs::read_to_string(&rules).unwrap();
    let names: std::collections::BTreeSet<&str> = text
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("datasync_"))
        .collect();
    assert!(names.len() >= 7, "{names:?}");
    for name in names {
        let family = name.trim_end_matches("_bucket");
        assert!(written.contains(&format!("# TYPE {family} ")), "{name}");
    }
}

#[test]
fn write_back_has_its_own_small_ledger() {
    let database = Database::new();
    // The first is gone, the second cannot be told now, the others are well.
    let api = Server::new()
        .records(texts(20))
        .script(|request| {
            let status = match request.path.rsplit('-').next() {
                _ if request.method != "PUT" => return None,
                Some("00001") => 404,
                Some("00002") => 503,
                _ => 204,
            };
            Some(Reply::Instead(status, Vec::new(), "{}".to_owned()))
        })
        .start();
    let place = place(&api, &database);
    place.edit("mappings.yaml", "enabled: false", "enabled: true");
    place.edit(
        "mappings.yaml",
        "method: PUT",
        "method: PUT\n        retry: { initial: 5ms, max: 20ms }",
    );
    let report = place.run(&["sync", "--output", "json"]).json();
    let metrics = read(&place);
    for outcome in ["sent", "conflicts", "gone", "unsendable", "kept"] {
        let count = report["write_back"][outcome].as_f64().unwrap();
        let series = format!("datasync_last_run_write_back_messages{{outcome=\"{outcome}\"}}");
        expect(&metrics, &series, count);
        let total = format!("datasync_write_back_messages_total{{outcome=\"{outcome}\"}}");
        if outcome == "kept" {
            assert!(!metrics.contains_key(&total), "it may still be sent");
        } else {
            expect(&metrics, &total, count);
        }
    }
    assert!(report["write_back"]["gone"] == 1 && report["write_back"]["kept"] != 0);
}

#[test]
fn the_path_may_stand_in_mappings_yaml_or_in_dotenv() {
    let database = Database::new();
    let api = api(10);
    let place = Workplace::connected(api.url(), &database);
    std::fs::create_dir(place.path("metrics")).unwrap();
    place.edit(
        "mappings.yaml",
        "# metrics: { textfile: /var/lib/node_exporter/textfile/datasync.prom }",
        "metrics: { textfile: metrics/datasync.prom }",
    );
    place.sync(&[]).0.expect(0);
    expect(&read(&place), "datasync_last_run_exit_code", 0.0);
    place.write(".env", "DATASYNC_METRICS_TEXTFILE=metrics/datasync.prom\n");
    place.write("mappings.yaml", "version: [");
    place.run(&["sync"]).expect(2);
    expect(&read(&place), "datasync_last_run_exit_code", 2.0);
}

#[test]
fn a_dry_run_and_a_part_of_the_source_claim_no_success() {
    let database = Database::new();
    let api = api(100);
    let place = place(&api, &database);
    place.run(&["sync", "--dry-run"]).expect(0);
    assert!(!textfile(&place).exists(), "a dry run is nobody's business");
    place.sync(&["--limit", "10"]).0.expect(0);
    let metrics = read(&place);
    expect(&metrics, SUCCESS, 0.0);
    expect(&metrics, "datasync_last_run_exit_code", 0.0);
    expect(&metrics, "datasync_last_run_fetched_records", 10.0);
}

#[test]
fn a_textfile_that_cannot_be_written_is_a_warning_and_changes_nothing() {
    let database = Database::new();
    let api = api(10);
    let place = place(&api, &database);
    std::fs::remove_dir(place.path("metrics")).unwrap();
    let finished = place.run(&["sync"]);
    finished.expect(0).says("the metrics cannot be kept in");
    // A folder in its place.
    std::fs::create_dir_all(textfile(&place)).unwrap();
    place
        .run(&["sync"])
        .expect(0)
        .says("the metrics cannot be kept in");
    std::fs::remove_dir(textfile(&place)).unwrap();
    // A file of somebody else's, or one that was damaged, is written anew.
    std::fs::write(textfile(&place), [0xff, b'\n', b'x']).unwrap();
    let finished = place.run(&["sync", "-q"]);
    finished.expect(0);
    assert_eq!(format!("{}{}", finished.stdout, finished.stderr), "");
    expect(&read(&place), "datasync_runs_total{exit_code=\"0\"}", 1.0);
}

#[test]
fn what_was_written_back_is_counted_where_it_is_on() {
    let database = Database::new();
    let api = Server::new()
        .records(texts(10))
        .script(|request| {
            (request.method == "PUT").then(|| Reply::Instead(204, Vec::new(), String::new()))
        })
        .start();
    let place = place(&api, &database);
    place.run(&["sync"]).expect(0);
    assert!(
        read(&place)
            .keys()
            .all(|series| !series.contains("write_back"))
    );
    place.edit("mappings.yaml", "enabled: false", "enabled: true");
    place.edit(
        "mappings.yaml",
        "when: [inserted, updated]",
        "when: [unchanged]",
    );
    for run in [1.0, 2.0] {
        place.run(&["sync"]).expect(0);
        let figures = read(&place);
        let last = "datasync_last_run_write_back_messages{outcome=\"sent\"}";
        let all = "datasync_write_back_messages_total{outcome=\"sent\"}";
        assert_eq!((figures[last], figures[all]), (9.0, 9.0 * run));
    }
    // A run that comes to nothing loses no count.
    place.write("mappings.yaml", "version: [");
    place.run(&["sync"]).expect(2);
    let total = "datasync_write_back_messages_total{outcome=\"sent\"}";
    expect(&read(&place), total, 18.0);
}
