//! The dead man's switch: pinged when a run starts and when it ends.

use super::{SECRET, address, api, broken, ear, hasty, place, texts};
use crate::support::command::finish;
use crate::support::http::{Fault, Running, Server};
use crate::support::postgres::Database;
use crate::support::{Workplace, until};

/// Paths and bodies of the pings so far, the secret part cut off.
fn pings(ear: &Running) -> Vec<(String, String)> {
    ear.requests()
        .into_iter()
        .map(|request| {
            let path = request.path.strip_prefix(SECRET).unwrap().to_owned();
            (path, request.body)
        })
        .collect()
}

fn paths(ear: &Running) -> Vec<String> {
    pings(ear).into_iter().map(|(path, _)| path).collect()
}

#[test]
fn the_dead_mans_switch_hears_of_start_success_and_failure() {
    let database = Database::new();
    // Every address below the secret one is right.
    let ear = Server::new()
        .token(None)
        .always(Fault::Body("text/plain", b"OK".to_vec()))
        .start();
    let (good, broken) = (api(20), broken());
    let place = hasty(Workplace::connected(good.url(), &database))
        .env("HEALTHCHECK_URL", format!("{}?create=1", address(&ear)));
    place.sync(&[]).0.expect(0);
    assert_eq!(paths(&ear), ["/start", ""]);
    assert_eq!(ear.requests()[0].param("create"), Some("1"));
    assert!(pings(&ear)[1].1.contains("fetched 20, inserted 20"));

    let place = place.with_api(broken.url());
    place.run(&["sync", "-q"]).expect(3);
    assert_eq!(paths(&ear)[2..], ["/start", "/3"]);
    let body = &pings(&ear)[3].1;
    assert!(
        body.contains("WARN") && body.contains("503") && body.contains("exit 3"),
        "the last log lines: {body}"
    );

    // A dry run is nobody's business, nor is a retry with nothing to do.
    let place = place.with_api(good.url());
    place.run(&["sync", "--dry-run"]).expect(0);
    assert_eq!(ear.requests().len(), 4);
    place.run(&["retry"]).expect(0);
    assert_eq!(paths(&ear)[4..], ["/start", ""], "a retry is a run");
    place.run(&["retry"]).expect(0).says("Nothing to do");
    assert_eq!(ear.requests().len(), 6);

    // Found before the run could begin.
    place.edit("decisions.dmn.xml", "&lt; 50", "&lt;&lt; 50");
    place.run(&["sync"]).expect(2);
    assert_eq!(paths(&ear)[6..], ["/2"]);
    assert!(pings(&ear)[6].1.contains("decisions.dmn.xml"));
}

#[test]
fn a_run_that_finds_another_at_work_leaves_the_pings_to_it_and_sigterm_is_told_but_no_case() {
    let database = Database::new();
    let ear = Server::new()
        .token(None)
        .always(Fault::Body("text/plain", b"OK".to_vec()))
        .start();
    let slow = Server::new().records(texts(30)).held_after(0).start();
    let place = place(&slow, &database, &ear).env("HEALTHCHECK_URL", address(&ear));
    let child = place.start(&["sync"]);
    until("a request", || !slow.requests().is_empty());
    place.run(&["sync"]).expect(75);
    assert_eq!(paths(&ear), ["/start"]);
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    finish(child).expect(143);
    assert_eq!(paths(&ear), ["/start", "/143"]);
}

#[test]
fn a_ping_that_does_not_arrive_is_a_warning() {
    let database = Database::new();
    let api = api(5);
    let closed = {
        let ear = ear().start();
        address(&ear)
    };
    let place = Workplace::connected(api.url(), &database).env("HEALTHCHECK_URL", closed);
    let finished = place.run(&["sync"]);
    finished
        .expect(0)
        .says("the dead man's switch was not pinged: no connection");
}
