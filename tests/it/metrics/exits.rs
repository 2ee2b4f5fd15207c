//! What a run leaves in the textfile, by the exit code it ended with.

use super::{SUCCESS, api, ended, expect, outcome, place, read, texts, with_a_message_taken_away};
use crate::support::http::Server;
use crate::support::postgres::{Cluster, Database};
use crate::support::until;

#[test]
fn a_run_that_finds_another_at_work_is_counted_as_busy() {
    let database = Database::new();
    let slow = Server::new().records(texts(30)).held_after(0).start();
    let place = place(&slow, &database);
    let first = place.start(&["sync"]);
    until("a request", || !slow.requests().is_empty());
    place.run(&["sync"]).expect(75);
    let metrics = read(&place);
    expect(&metrics, "datasync_last_run_outcome{outcome=\"busy\"}", 1.0);
    expect(&metrics, "datasync_runs_total{exit_code=\"75\"}", 1.0);
    expect(&metrics, SUCCESS, 0.0);
    slow.let_go();
    crate::support::command::finish(first).expect(0);
    let metrics = read(&place);
    expect(&metrics, "datasync_runs_total{exit_code=\"75\"}", 1.0);
    expect(&metrics, "datasync_runs_total{exit_code=\"0\"}", 1.0);
}

#[test]
fn a_terminated_run_and_one_over_a_threshold_are_written_too() {
    let database = Database::new();
    let slow = Server::new().records(texts(30)).held_after(0).start();
    let place = place(&slow, &database);
    let child = place.start(&["sync"]);
    until("a request", || !slow.requests().is_empty());
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    crate::support::command::finish(child).expect(143);
    expect(&read(&place), "datasync_last_run_exit_code", 143.0);

    let bad = Server::new()
        .records(texts(40).iter().map(|text| text.replace(":90", ":30")))
        .start();
    let place = place.with_api(bad.url());
    place.sync(&[]).0.expect(5);
    let metrics = read(&place);
    expect(&metrics, "datasync_last_run_exit_code", 5.0);
    expect(
        &metrics,
        "datasync_last_run_alert{alert=\"rejection_rate\"}",
        1.0,
    );
    expect(&metrics, SUCCESS, 0.0);
}

#[test]
fn an_interrupted_run_is_written_with_what_it_did_and_claims_no_success() {
    let database = Database::new();
    let slow = Server::new().records(texts(400)).held_after(2).start();
    let place = place(&slow, &database);
    place.edit("mappings.yaml", "concurrency: 4", "concurrency: 1");
    let child = place.start(&["sync", "--output", "json"]);
    until("a third request", || slow.requests().len() >= 3);
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let finished = crate::support::command::finish(child);
    finished.expect(130);
    let report = finished.json();
    crate::support::command::assert_balanced(&report);
    let metrics = ended(&place, 130);
    expect(&metrics, "datasync_runs_total{exit_code=\"0\"}", 0.0);
    expect(
        &metrics,
        "datasync_last_run_outcome{outcome=\"partial\"}",
        1.0,
    );
    let fetched = report["ledger"]["fetched"].as_f64().unwrap();
    assert_eq!(report["ledger"]["fetched"], 200, "{report}");
    expect(&metrics, "datasync_last_run_fetched_records", fetched);
    let inserted = report["ledger"]["inserted"].as_f64().unwrap();
    expect(&metrics, &outcome("inserted"), inserted);
    expect(&metrics, "datasync_open_cases", 0.0);
    expect(&metrics, SUCCESS, 0.0);
}

#[test]
fn a_run_whose_spool_is_full_says_what_is_kept_and_what_was_not() {
    let cluster = Cluster::new(&[], &[]);
    let database = cluster.database();
    let api = api(9_000);
    let place = place(&api, &database);
    place.edit(
        "mappings.yaml",
        "spool: { max_bytes: 1GiB }",
        "spool: { max_bytes: 1MiB }",
    );
    place.edit("mappings.yaml", "size: 100 ", "size: 1000 ");
    cluster.stop("fast");
    let (finished, report) = place.sync(&[]);
    finished.expect(6).says("the spool is full");
    let metrics = ended(&place, 6);
    expect(&metrics, "datasync_errors_total{type=\"state:spool\"}", 1.0);
    let spooled = report["ledger"]["spooled"].as_f64().unwrap();
    assert!(spooled > 0.0 && spooled < 9_000.0, "{report}");
    expect(&metrics, &outcome("spooled"), spooled);
    let kept: Vec<u64> = std::fs::read_dir(place.state().join("spool"))
        .unwrap()
        .map(|file| file.unwrap().metadata().unwrap().len())
        .collect();
    expect(&metrics, "datasync_spool_files", kept.len() as f64);
    expect(
        &metrics,
        "datasync_spool_bytes",
        kept.iter().sum::<u64>() as f64,
    );
    expect(&metrics, SUCCESS, 0.0);
}

#[test]
fn a_ledger_that_does_not_balance_is_an_internal_error_and_counted_as_one() {
    let database = Database::new();
    let (_api, place) = with_a_message_taken_away(&database);
    let (finished, report) = place.sync(&[]);
    finished
        .expect(1)
        .says("the ledger of write-back does not balance: 18 messages due, 17 accounted for");
    assert_eq!(report["exit_code"], 1);
    let metrics = ended(&place, 1);
    expect(
        &metrics,
        "datasync_errors_total{type=\"internal:write_back_ledger\"}",
        1.0,
    );
    // What was fetched is committed all the same, and told as it is.
    expect(&metrics, &outcome("inserted"), 18.0);
    expect(&metrics, SUCCESS, 0.0);
}

#[test]
fn a_configuration_error_is_counted_and_the_figures_of_the_run_before_stay() {
    let database = Database::new();
    let api = api(100);
    let place = place(&api, &database);
    place.sync(&[]).0.expect(0);
    let before = read(&place);

    // The table is wrong: found after the configuration was read.
    place.edit("decisions.dmn.xml", "&lt; 50", "&lt;&lt; 50");
    place.run(&["sync"]).expect(2);
    // mappings.yaml cannot be read at all, by sync or retry.
    place.write("mappings.yaml", "version: [");
    place.run(&["sync"]).expect(2);
    place.run(&["retry"]).expect(2);
    // Nor can .env, which may be where the path stands.
    place.write(".env", "API_TOKEN='never closed\n");
    place.run(&["sync"]).expect(2);
    let after = read(&place);
    expect(&after, "datasync_last_run_exit_code", 2.0);
    expect(&after, "datasync_last_run_outcome{outcome=\"failed\"}", 1.0);
    expect(&after, "datasync_runs_total{exit_code=\"2\"}", 4.0);
    expect(&after, "datasync_errors_total{type=\"configuration\"}", 4.0);
    expect(&after, SUCCESS, before[SUCCESS]);
    expect(&after, &outcome("inserted"), 90.0);
    expect(&after, "datasync_last_run_success_ratio", 0.9);
    expect(
        &after,
        "datasync_api_response_seconds_count",
        before["datasync_api_response_seconds_count"],
    );
}

#[test]
fn a_command_line_that_cannot_be_parsed_is_counted_where_it_was_to_be_a_run() {
    let database = Database::new();
    let api = api(10);
    let place = place(&api, &database);
    place.sync(&[]).0.expect(0);
    let before = read(&place);
    place.run(&["-q", "sync", "--limit", "many"]).expect(2);
    let after = read(&place);
    expect(&after, "datasync_runs_total{exit_code=\"2\"}", 1.0);
    expect(&after, SUCCESS, before[SUCCESS]);
    // None of these was to be one.
    place
        .run(&["sync", "--dry-run", "--limit", "many"])
        .expect(2);
    place.run(&["case", "shwo"]).expect(2);
    place.run(&["sync", "--help"]).expect(0);
    assert_eq!(read(&place), after);
}

#[test]
fn a_shards_series_say_which_and_whoever_does_not_know_it_goes_on_from_them() {
    let database = Database::new();
    let api = api(100);
    let place = place(&api, &database);
    let (finished, report) = place.sync(&["--shard", "1/2"]);
    finished.expect(0);
    let fetched = report["ledger"]["fetched"].as_f64().unwrap();
    let metrics = read(&place);
    assert!(
        metrics
            .keys()
            .all(|series| series.contains("{shard=\"1/2\"")),
        "{metrics:#?}"
    );
    let records = "datasync_last_run_fetched_records{shard=\"1/2\"}";
    let succeeded = format!("{SUCCESS}{{shard=\"1/2\"}}");
    expect(&metrics, records, fetched);

    place.sync(&["--shard", "1/2"]).0.expect(0);
    place.run(&["retry"]).expect(0);
    place
        .run(&["sync", "--shard", "1/2", "--limit", "many"])
        .expect(2);
    let after = read(&place);
    assert!(after.keys().all(|series| series.contains("{shard=\"1/2\"")));
    expect(
        &after,
        "datasync_runs_total{shard=\"1/2\",exit_code=\"0\"}",
        3.0,
    );
    expect(
        &after,
        "datasync_runs_total{shard=\"1/2\",exit_code=\"2\"}",
        1.0,
    );
    assert!(after[&succeeded] > metrics[&succeeded]);

    // The whole has its own.
    place.sync(&[]).0.expect(0);
    let whole = read(&place);
    expect(&whole, "datasync_last_run_fetched_records", 100.0);
    assert!(whole.keys().all(|series| !series.contains("shard")));
}
