//! The log of runs: what it keeps for an auditor, and how people look at it.
#![allow(clippy::unwrap_used)]

use serde_json::Value;

use crate::support::Workplace;
use crate::support::http::{Fault, Server};
use crate::support::postgres::{Cluster, Database};

fn texts(count: u32) -> Vec<String> {
    (1..=count)
        .map(|i| {
            format!(
                r#"{{"external_id":"H-{i:05}","full_name":"Name {i}","contact_email":"u{i}@example.com","quality_score":{}}}"#,
                if i % 10 == 0 { 20 } else { 90 }
            )
        })
        .collect()
}

fn history(place: &Workplace, arguments: &[&str]) -> Value {
    let finished = place.run(&[&["history", "--output", "json"], arguments].concat());
    finished.expect(0);
    finished.json()
}

#[test]
fn the_log_of_runs_tells_who_ran_what_from_where_with_what_and_what_came_of_it() {
    let api = Server::new().records(texts(40)).start();
    let database = Database::new();
    let place = Workplace::connected(api.url(), &database).env("USER", "auditee");
    let (finished, report) = place.sync(&["--limit", "30", "--deadline", "5m", "--accept-drop"]);
    finished.expect(0);
    let row: Value =
        serde_json::from_str(&database.one("SELECT to_jsonb(l)::text FROM sync_log l")).unwrap();
    let text = |name: &str| {
        row[name]
            .as_str()
            .unwrap_or_else(|| panic!("no {name}: {row}"))
            .to_owned()
    };
    assert_eq!(text("sync_id"), report["run_id"].as_str().unwrap());
    assert_eq!(text("os_user"), "auditee");
    assert_eq!(
        text("host"),
        std::fs::read_to_string("/proc/sys/kernel/hostname")
            .unwrap()
            .trim()
    );
    assert_eq!(text("version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(text("config_hash").len(), 64);
    assert_eq!(
        text("command"),
        "sync --limit 30 --deadline 300000ms --accept-drop"
    );
    assert_eq!(text("source"), format!("{}/api/v1/data", api.url()));
    assert_eq!(text("target"), "public.customers");
    assert_eq!(text("mode"), "full");
    assert_eq!(
        (row["exit_code"].clone(), row["complete"].clone()),
        (0.into(), false.into())
    );
    assert!(row["process_id"].as_u64().unwrap() > 0);
    for (column, figure) in [
        ("records_processed", "fetched"),
        ("inserted", "inserted"),
        ("rejected", "rejected"),
    ] {
        assert_eq!(row[column], report["ledger"][figure], "{column}");
    }
    for stage in ["fetch", "transform", "decide", "write"] {
        let stored = row[format!("{stage}_seconds")].as_f64().unwrap();
        let told = report["seconds"][stage].as_f64().unwrap();
        assert!(
            (stored - told).abs() < 1e-9 && stored > 0.0,
            "{stage}: {stored} and {told}"
        );
    }
    assert!(text("started_at") < text("completed_at"));
    // Another mapping is another configuration.
    place.edit("mappings.yaml", "batch_size: 5000", "batch_size: 999");
    place.sync(&[]).0.expect(0);
    assert_eq!(
        database.one("SELECT count(DISTINCT config_hash)::text FROM sync_log"),
        "2"
    );
}

#[test]
fn history_shows_the_last_runs_the_success_rate_and_how_long_they_took() {
    let api = Server::new().records(texts(20)).start();
    let database = Database::new();
    let place = Workplace::connected(api.url(), &database);
    place
        .run(&["history"])
        .expect(0)
        .says("No runs of public.customers yet");
    place.sync(&[]).0.expect(0);
    place.sync(&[]).0.expect(0);
    let broken = Server::new().always(Fault::Status(401)).start();
    let place = place.with_api(broken.url());
    let (failed, report) = place.sync(&[]);
    failed.expect(3);
    database.run(
        "INSERT INTO sync_log (sync_id, status, target, mode, started_at) VALUES \
         (gen_random_uuid(), 'ABANDONED', 'public.customers', 'full', now() - interval '1 day'), \
         (gen_random_uuid(), 'RUNNING', 'public.customers', 'full', now()), \
         (gen_random_uuid(), 'SUCCESS', 'public.others', 'full', now())",
    );
    let told = history(&place, &[]);
    let runs = told["runs"].as_array().unwrap();
    let states: Vec<&str> = runs
        .iter()
        .map(|run| run["status"].as_str().unwrap())
        .collect();
    assert_eq!(
        states,
        ["running", "failed", "success", "success", "abandoned"]
    );
    assert_eq!(runs[1]["run_id"], report["run_id"]);
    assert_eq!(runs[1]["case_id"], report["case_id"]);
    assert_eq!(
        (runs[2]["fetched"].clone(), runs[2]["unchanged"].clone()),
        (20.into(), 18.into())
    );
    assert_eq!(runs[3]["inserted"], 18);
    assert_eq!(told["summary"]["ended"], 4);
    assert_eq!(told["summary"]["success_rate"], 0.5);
    assert_eq!(
        history(&place, &["--limit", "2"])["runs"]
            .as_array()
            .unwrap()
            .len(),
        2
    );

    let shown = place.run(&["history"]);
    shown
        .expect(0)
        .says("The last 5 runs of public.customers, newest first")
        .says("killed")
        .says("2 of 4 succeeded (50.0 %)");
    let longest = runs
        .iter()
        .filter_map(|run| run["seconds"].as_f64())
        .fold(0.0, f64::max);
    let bar = "█".repeat(20);
    let line = shown
        .stdout
        .lines()
        .find(|line| line.ends_with(&bar))
        .unwrap();
    assert!(line.contains(&format!("{longest:.2}")), "{shown}");
    assert_eq!(place.run(&["history", "-q"]).stdout, "");
    place.run(&["history", "--limit", "0"]).expect(2);
}

#[test]
fn while_the_database_is_away_history_shows_what_waits_on_disk() {
    let cluster = Cluster::new(&[], &[]);
    let database = cluster.database();
    let api = Server::new().records(texts(5)).start();
    let place = Workplace::connected(api.url(), &database);
    place.sync(&[]).0.expect(0);
    cluster.stop("fast");
    let (failed, report) = place.sync(&[]);
    failed.expect(4);
    let finished = place.run(&["history", "--output", "json"]);
    finished.expect(4);
    let told = finished.json();
    assert_eq!(told["database_ok"], false);
    let runs = told["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 1);
    assert_eq!(runs[0]["run_id"], report["run_id"]);
    assert_eq!(runs[0]["spooled"], 5);
    place
        .run(&["history"])
        .expect(4)
        .says("Only what waits in the state directory is shown");
    cluster.start();
    assert_eq!(history(&place, &[])["runs"].as_array().unwrap().len(), 2);
}

#[test]
fn a_case_shows_the_runs_it_came_from() {
    let broken = Server::new().always(Fault::Status(401)).start();
    let database = Database::new();
    let place = Workplace::connected(broken.url(), &database);
    let (_, first) = place.sync(&[]);
    let (_, second) = place.sync(&[]);
    let id = first["case_id"].as_str().unwrap();
    let shown = place.run(&["case", "show", id]);
    shown.expect(0).says("Its last runs, newest first");
    for report in [&first, &second] {
        let run: String = report["run_id"]
            .as_str()
            .unwrap()
            .chars()
            .take(13)
            .collect();
        assert!(shown.stdout.contains(&run), "{shown}");
    }
    assert!(
        shown
            .stdout
            .trim_end()
            .lines()
            .last()
            .unwrap()
            .starts_with("Next: "),
        "{shown}"
    );
    let json = place.run(&["case", "show", id, "--output", "json"]).json();
    assert_eq!(json["runs"][0]["run_id"], second["run_id"]);
    assert_eq!(json["runs"].as_array().unwrap().len(), 2);
}

#[test]
fn a_log_of_runs_from_an_older_version_is_told_before_anything_is_fetched() {
    let api = Server::new().records(texts(5)).start();
    let database = Database::new();
    let place = Workplace::connected(api.url(), &database);
    database.run("ALTER TABLE sync_log DROP COLUMN write_seconds, DROP COLUMN command");
    place
        .run(&["sync"])
        .expect(2)
        .says("sync_log lacks command, write_seconds")
        .says("check-db --apply-schema");
    assert!(api.requests().is_empty());
    place.run(&["check-db", "--apply-schema"]).expect(0);
    place.sync(&[]).0.expect(0);
}
