//! Channels of alerts: a command, a webhook, and what happens when an alert cannot be delivered.

use std::time::Duration;

use serde_json::Value;

use super::{address, bodies, broken, command, ear, hasty, place, program};
use crate::support::http::{Fault, Server};
use crate::support::postgres::Database;
use crate::support::{TOKEN, Workplace};

#[test]
fn an_alert_that_is_not_delivered_is_tried_again_noted_once_and_changes_nothing() {
    let database = Database::new();
    let broken = broken();
    let mut server = ear();
    for number in 1..=6 {
        server = server.fault(number, Fault::Status(502));
    }
    let ear = server.start();
    let place = place(&broken, &database, &ear);
    let (finished, report) = place.sync(&[]);
    finished.expect(3).says("an alert was not delivered");
    let id = report["case_id"].as_str().unwrap();
    assert_eq!(ear.requests().len(), 3, "three tries");
    place.sync(&[]).0.expect(3);
    assert_eq!(ear.requests().len(), 6, "nobody had heard of it");
    let shown = place.run(&["case", "show", id, "--output", "json"]).json();
    let notes = shown["notes"].as_array().unwrap();
    assert_eq!(notes.len(), 1, "{notes:?}");
    let note = notes[0]["text"].as_str().unwrap();
    assert!(note.contains("webhook 1 of alert_ops_team: it answered 502"));
    // Now somebody does, once.
    place.sync(&[]).0.expect(3);
    place.sync(&[]).0.expect(3);
    assert_eq!(ear.requests().len(), 7);
    assert_eq!(bodies(&ear)[6]["event"], "opened");
    assert_eq!(bodies(&ear)[6]["occurrences"], 3);
}

#[test]
fn a_redirect_is_not_followed_and_an_untrusted_certificate_not_accepted() {
    let database = Database::new();
    let broken = broken();
    let stranger = ear().start();
    let moved = ear()
        .always(Fault::StatusWith(
            307,
            vec![("Location", address(&stranger))],
        ))
        .start();
    let finished = place(&broken, &database, &moved).run(&["sync"]);
    finished.expect(3).says("a redirect, which is not followed");
    assert_eq!(moved.requests().len(), 1, "it will not move back");

    let (server, _) = ear().tls();
    let unknown = server.start();
    let finished = place(&broken, &database, &unknown).run(&["sync"]);
    finished.expect(3).says("its certificate is not accepted");
    assert!(stranger.requests().is_empty() && unknown.requests().is_empty());
}

#[test]
fn a_command_gets_the_alert_on_its_input_without_a_shell_and_without_our_secrets() {
    let database = Database::new();
    let broken = broken();
    let place = hasty(Workplace::connected(broken.url(), &database));
    let script = program(
        &place,
        "page-ops",
        "cat > alert.json; env > env.txt; printf '%s\\n' \"$@\" > words.txt",
    );
    command(&place, &format!("{script}, '$(touch shell); *'"));
    place.edit(
        "mappings.yaml",
        "'$(touch shell); *']",
        "'$(touch shell); *']\n      env: [PAGER_KEY]",
    );
    let place = place
        .env("PATH", "/usr/bin:/bin")
        .env("PAGER_KEY", "of the command");
    let (finished, report) = place.sync(&[]);
    finished.expect(3);
    let read = |name: &str| std::fs::read_to_string(place.path(name)).unwrap();
    let alert: Value = serde_json::from_str(&read("alert.json")).unwrap();
    assert_eq!(alert["case_id"], report["case_id"]);
    assert_eq!(alert["event"], "opened");
    assert_eq!(read("words.txt"), "$(touch shell); *\n");
    assert!(!place.path("shell").exists());
    let env = read("env.txt");
    assert!(env.contains("PAGER_KEY"));
    assert!(
        !env.contains(TOKEN) && !env.contains("DB_PASSWORD"),
        "{env}"
    );
}

#[test]
fn channels_that_hang_are_given_up_and_hold_up_no_other() {
    let database = Database::new();
    let broken = broken();
    let hanging = ear().always(Fault::Delay(Duration::from_mins(1))).start();
    let place = place(&broken, &database, &hanging);
    // What the command starts ends with it.
    let script = program(
        &place,
        "hangs",
        "echo $$ > parent; sleep 600 & echo $! > child; wait",
    );
    let prompt = program(&place, "prompt", "cat > alert.json");
    command(&place, &format!("{script}]\n    - command: [{prompt}"));
    let place = place.env("PATH", "/usr/bin:/bin");
    let finished = place.run(&["sync"]);
    finished
        .expect(3)
        .says("webhook 1 of alert_ops_team: no answer within")
        .says("command 2 of alert_ops_team: it did not end within");
    assert!(place.path("alert.json").exists());
    for name in ["parent", "child"] {
        let pid = std::fs::read_to_string(place.path(name)).unwrap();
        let status = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
        assert!(
            status.is_err() || status.unwrap().contains(") Z "),
            "{name} is still there"
        );
    }
    // One of them heard it, so that is that.
    place.run(&["sync"]).expect(3);
    assert_eq!(hanging.requests().len(), 2, "the hour after is quiet");
}

#[test]
fn a_run_that_is_out_of_time_leaves_the_alert_little_of_it() {
    let database = Database::new();
    let slow = Server::new()
        .always(Fault::Delay(Duration::from_mins(1)))
        .start();
    let hanging = ear().always(Fault::Delay(Duration::from_mins(1))).start();
    let place = place(&slow, &database, &hanging);
    let finished = place.run(&["sync", "--deadline", "1s"]);
    finished
        .expect(3)
        .says("webhook 1 of alert_ops_team: no answer within");
    assert_eq!(hanging.requests().len(), 1, "no time for another try");
    // The note was kept in the case nevertheless.
    let document = database.one("SELECT document::text FROM sync_cases");
    assert!(document.contains("no answer within"), "{document}");
}

#[test]
fn a_command_that_fails_or_is_not_there_is_noted() {
    let database = Database::new();
    let broken = broken();
    let place = hasty(Workplace::connected(broken.url(), &database));
    let fails = program(&place, "fails", "echo >> tries; exit 7");
    command(
        &place,
        &format!("{fails}]\n    - command: [/no/such/program"),
    );
    let place = place.env("PATH", "/usr/bin:/bin");
    let finished = place.run(&["sync"]);
    finished
        .expect(3)
        .says("command 1 of alert_ops_team: it ended with exit status: 7")
        .says("command 2 of alert_ops_team: it cannot be started");
    let tries = std::fs::read_to_string(place.path("tries")).unwrap();
    assert_eq!(tries.lines().count(), 3);
}
