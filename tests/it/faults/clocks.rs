//! Row 84: the clock of the machine orders nothing that is stored, however wrong it is and whenever it is set.
//!
//! Needs libfaketime; without it the tests say so.

use super::{count, hasty, text, texts};
use crate::support::command::finish;
use crate::support::http::Server;
use crate::support::postgres::{Cluster, Database};
use crate::support::{Workplace, until};

fn faketime() -> Option<&'static str> {
    let found = [
        "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
        "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
    ]
    .into_iter()
    .find(|path| std::path::Path::new(path).exists());
    if found.is_none() {
        crate::support::not_run("row 84, needs libfaketime (Debian: apt-get install faketime)");
    }
    found
}

/// No row may be stamped later than this moment of PostgreSQL.
#[track_caller]
fn nothing_is_from_the_future(database: &Database) {
    let late = database.one(
        "SELECT count(*)::text FROM customers WHERE source_version > clock_timestamp() OR updated_at > clock_timestamp()",
    );
    assert_eq!(late, "0", "rows from the future");
}

fn changed(count: u32) -> Vec<String> {
    let texts = texts(count).into_iter();
    texts
        .map(|text| text.replace("\"lead\"", "\"partner\""))
        .collect()
}

#[test]
fn row_84_what_was_fetched_by_a_clock_that_is_ahead_is_not_newer_than_what_comes_after_it() {
    let Some(library) = faketime() else { return };
    let cluster = Cluster::new(&[], &[]);
    let database = cluster.database();
    let (first, second) = (
        Server::new().records(texts(50)).start(),
        Server::new().records(changed(50)).start(),
    );
    let place = hasty(Workplace::connected(first.url(), &database))
        .env("LD_PRELOAD", library)
        .env("FAKETIME", "+1h");
    cluster.stop("fast");
    let (finished, report) = place.sync(&[]);
    finished.expect(4);
    assert_eq!(count(&report, "spooled"), 50, "{report}");
    cluster.start();
    let place = place.env("LD_PRELOAD", "").env("FAKETIME", "");
    place.run(&["retry"]).expect(0);
    assert_eq!(super::rows(&database), "50");
    nothing_is_from_the_future(&database);
    let (finished, report) = place.with_api(second.url()).sync(&[]);
    finished.expect(0);
    assert_eq!(count(&report, "updated"), 50, "{report}");
}

#[test]
fn row_84_a_clock_that_is_set_an_hour_ahead_in_mid_run_stamps_no_row_in_the_future() {
    let Some(library) = faketime() else { return };
    let database = Database::new();
    let slow = Server::new().records(texts(300)).held_after(1).start();
    let place = hasty(Workplace::connected(slow.url(), &database));
    place.edit("mappings.yaml", "timeout: 1s ", "timeout: 30s ");
    place.edit("mappings.yaml", "concurrency: 4", "concurrency: 1");
    place.write("clock", "+0s\n");
    let clock = place.path("clock").display().to_string();
    let place = place
        .env("LD_PRELOAD", library)
        .env("FAKETIME_TIMESTAMP_FILE", clock)
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    let child = place.start(&["sync"]);
    until("a second request", || slow.requests().len() >= 2);
    place.write("clock", "+1h\n");
    slow.let_go();
    finish(child).expect(0);
    assert_eq!(super::rows(&database), "300");
    nothing_is_from_the_future(&database);
    // And what comes next is newer.
    let next = Server::new()
        .records(changed(300).into_iter().chain([text("F-NEW")]))
        .start();
    let place = hasty(Workplace::connected(next.url(), &database));
    let (finished, report) = place.sync(&[]);
    finished.expect(0);
    assert_eq!(count(&report, "updated"), 300, "{report}");
}
