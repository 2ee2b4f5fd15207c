//! Incremental runs: what is asked for, and whether the table is what the source is.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;

use super::source::{
    SECOND, Source, Style, answer, assert_nothing_lost, incremental, marks, micros, stored, table,
    time,
};
use crate::support::Workplace;
use crate::support::http::{Fault, Server};
use crate::support::postgres::{Cluster, Database};

#[test]
fn after_a_full_run_only_changes_are_fetched_and_full_fetches_everything() {
    let source = Source::new(250);
    let api = source.serve(Style::Page, |_, _| {}).start();
    let database = Database::new();
    let place = incremental(api.url(), &database, "5m");
    let newest = source.lock().records[&2_500].changed_at;

    let (finished, report) = place.sync(&[]);
    finished.expect(0);
    assert_eq!(marks(&report), ("full".into(), String::new(), time(newest)));
    assert_eq!(source.lock().asked[0], None);

    let change = newest + 900 * SECOND + 250_000;
    source.lock().change_at(10, change);
    source.lock().asked.clear();
    let (_, report) = place.sync(&[]);
    assert_eq!(
        marks(&report),
        ("incremental".into(), time(newest), time(change))
    );
    assert_eq!(report["ledger"]["updated"], 1, "{report}");
    let asked: Vec<_> = source.lock().asked.drain(..).collect();
    let expected = Some(time(newest - 300 * SECOND));
    assert!(
        asked.iter().all(|since| *since == expected),
        "the watermark less the overlap, in UTC: {asked:?}"
    );

    // Fractions of a second are not asked for: they are rounded down.
    let (_, report) = place.sync(&[]);
    assert_eq!(report["ledger"]["fetched"], 1, "{report}");
    let expected = time(newest + (900 - 300) * SECOND);
    assert_eq!(source.lock().asked[0], Some(expected));

    source.lock().asked.clear();
    let (finished, report) = place.sync(&["--full"]);
    finished.expect(0);
    assert_eq!(report["mode"], "full");
    assert_eq!(report["ledger"]["fetched"], 250);
    assert_eq!(source.lock().asked[0], None);
    let (first, then) = (time(newest), time(change));
    assert_eq!(
        database.list("SELECT concat_ws(' ', mode, watermark_before, watermark_after) FROM sync_log ORDER BY id"),
        [
            format!("full {first}"),
            format!("incremental {first} {then}"),
            format!("incremental {then} {then}"),
            format!("full {then} {then}"),
        ]
    );
}

#[test]
fn a_row_that_appears_late_at_the_boundary_is_not_dropped() {
    for (overlap, late) in [("0s", 0), ("5m", 299 * SECOND)] {
        let source = Source::new(50);
        let api = source.serve(Style::Page, |_, _| {}).start();
        let database = Database::new();
        let place = incremental(api.url(), &database, overlap);
        place.sync(&[]).0.expect(0);
        let mark = micros(&stored(&database));
        // Its transaction began before the run and was committed after it.
        source.lock().change_at(5, mark - late);
        place.sync(&[]).0.expect(0);
        let name = table(&database).get("M-000005").cloned();
        assert_eq!(name.as_deref(), Some("Name 5 0"), "{overlap}");
    }
}

#[test]
fn since_is_asked_for_as_given_and_leaves_the_watermark_alone() {
    let source = Source::new(40);
    let api = source.serve(Style::Page, |_, _| {}).start();
    let database = Database::new();
    let place = incremental(api.url(), &database, "5m");
    place.sync(&[]).0.expect(0);
    let first = stored(&database);
    source.lock().change_at(20, micros(&first) + 7 * SECOND);

    let since = Timestamp::from_microsecond(micros(&first) - 10 * SECOND).unwrap();
    let elsewhere = since.to_zoned(jiff::tz::TimeZone::fixed(jiff::tz::offset(2)));
    source.lock().asked.clear();
    let (finished, report) = place.sync(&["--since", &elsewhere.strftime("%FT%T%:z").to_string()]);
    finished.expect(0);
    assert_eq!(
        marks(&report),
        ("incremental".into(), first.clone(), first.clone())
    );
    assert_eq!(source.lock().asked[0], Some(since.to_string()), "in UTC");
    assert_eq!(report["ledger"]["updated"], 1);
    assert_eq!(stored(&database), first);

    place.sync(&["--full"]).0.expect(0);
    assert_eq!(stored(&database), time(micros(&first) + 7 * SECOND));
}

#[test]
fn since_needs_a_parameter_and_a_time_with_its_offset() {
    let source = Source::new(1);
    let api = source.serve(Style::Page, |_, _| {}).start();
    let database = Database::new();
    Workplace::connected(api.url(), &database)
        .run(&["sync", "--since", "2026-01-01T00:00:00Z"])
        .expect(2)
        .says("`incremental`");
    let place = incremental(api.url(), &database, "0s");
    place
        .run(&["sync", "--since", "2026-01-01"])
        .expect(2)
        .says("with its offset");
    place
        .run(&["sync", "--since", "2026-01-01T00:00:00Z", "--full"])
        .expect(2);
    assert!(api.requests().is_empty());
}

#[test]
fn what_changes_behind_the_reader_is_fetched_by_the_next_run() {
    let source = Source::new(400);
    // Page 1 has been read when its records change; later pages bring still later times.
    let api = source
        .serve(Style::Page, |request, state| {
            let page: u32 = request.param("page").unwrap().parse().unwrap();
            state.change(page * 10);
            state.change(4_000 - page * 10);
        })
        .latency(Duration::from_millis(600))
        .start();
    let database = Database::new();
    let place = incremental(api.url(), &database, "0s");
    place.sync(&[]).0.expect(0);
    let next = micros(&stored(&database)).div_euclid(SECOND) * SECOND;
    assert_nothing_lost(&source, &database, next, "after the first run");
    let api = source.serve(Style::Page, |_, _| {}).start();
    place.with_api(api.url()).sync(&[]).0.expect(0);
    assert_nothing_lost(&source, &database, i64::MAX, "after the second run");
}

#[test]
fn a_source_whose_clock_is_behind_is_told_by_its_date_header() {
    let source = Source::new(300);
    source.lock().skew = -3_600 * SECOND;
    let served = Timestamp::now().as_second() - 3_600;
    let date = jiff::fmt::rfc2822::DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&Timestamp::from_second(served).unwrap())
        .unwrap();
    let api = source
        .serve(Style::Page, |request, state| {
            let page: u32 = request.param("page").unwrap().parse().unwrap();
            state.change(page * 10);
            state.change(2_990 - page * 10);
        })
        .latency(Duration::from_millis(700))
        .fault(1, Fault::Headers(vec![("Date", date)]))
        .start();
    let database = Database::new();
    let place = incremental(api.url(), &database, "0s");
    place.sync(&[]).0.expect(0);
    let mark = micros(&stored(&database));
    assert!(
        mark <= served * SECOND,
        "{} is after {}",
        time(mark),
        time(served * SECOND)
    );
    let next = mark.div_euclid(SECOND) * SECOND;
    assert_nothing_lost(&source, &database, next, "after the first run");
}

/// The library that lies about the clock. Where there are several, that of this machine's architecture.
fn libfaketime() -> Option<std::path::PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").into_iter().flatten();
    folders
        .filter_map(|entry| Some(entry.ok()?.path()))
        .chain(["/usr/lib".into()])
        .map(|folder| folder.join("faketime/libfaketime.so.1"))
        .filter(|file| file.is_file())
        .min_by_key(|file| !file.to_string_lossy().contains(std::env::consts::ARCH))
}

#[test]
fn a_clock_of_ours_that_is_wrong_changes_nothing() {
    let Some(library) = libfaketime() else {
        crate::support::not_run("a wrong clock of ours, needs libfaketime");
        return;
    };
    let source = Source::new(50);
    source.lock().change_at(70, micros("2099-01-01T00:00:00Z"));
    let api = source.serve(Style::Page, |_, _| {}).start();
    let database = Database::new();
    let place = incremental(api.url(), &database, "0s")
        .env("LD_PRELOAD", library.display().to_string())
        .env("FAKETIME", "+3d");
    place.sync(&[]).0.expect(0);
    let first = micros(&stored(&database));
    let now = Timestamp::now().as_microsecond();
    assert!(first <= now, "PostgreSQL's clock counts");
    source.lock().change(10);
    let place = place.env("FAKETIME", "-3d");
    place.sync(&[]).0.expect(0);
    assert!(micros(&stored(&database)) >= first, "it never regresses");
    assert_nothing_lost(&source, &database, i64::MAX, "in the end");
}

#[test]
fn with_the_database_away_the_watermark_of_the_last_run_is_asked_for_and_held() {
    let source = Source::new(100);
    let api = source.serve(Style::Page, |_, _| {}).start();
    // A server that is stopped at once must not forget what it has confirmed.
    let cluster = Cluster::new(&[("synchronous_commit", "on")], &[]);
    let database = cluster.database();
    let place = incremental(api.url(), &database, "0s");
    place.sync(&[]).0.expect(0);
    let first = stored(&database);
    source.lock().change(10);
    source.lock().asked.clear();
    cluster.stop("immediate");
    let (finished, report) = place.sync(&[]);
    finished.expect(4);
    assert_eq!(source.lock().asked[0], Some(first.clone()));
    assert_eq!(
        marks(&report),
        ("incremental".into(), first.clone(), first.clone())
    );
    assert_eq!(report["ledger"]["spooled"], 2);
    cluster.start();
    assert_eq!(stored(&database), first);
    // Whoever has the table but not this state directory fetches all of it again.
    let elsewhere = incremental(api.url(), &database, "0s");
    let (finished, report) = elsewhere.sync(&[]);
    finished.expect(0);
    assert_eq!(report["ledger"]["fetched"], 2);
    assert_nothing_lost(&source, &database, i64::MAX, "without the spool");
    place.sync(&[]).0.expect(0);
    assert!(micros(&stored(&database)) > micros(&first));
}

#[test]
fn a_retry_asks_for_everything_where_the_run_that_failed_was_to() {
    let source = Source::new(100);
    let api = source.serve(Style::Page, |_, _| {}).start();
    let database = Database::new();
    let place = incremental(api.url(), &database, "0s");
    place.sync(&[]).0.expect(0);
    source.lock().asked.clear();

    let place = place.with_api("http://127.0.0.1:9");
    place.sync(&["--full"]).0.expect(3);
    // The next hour's run fails as well, and adds to the case.
    place.sync(&[]).0.expect(3);
    place.run(&["case", "list"]).expect(0).says(" 2 × api:");
    let id = database.one("SELECT document->>'id' FROM sync_cases");
    place
        .run(&["case", "show", &id])
        .expect(0)
        .says("`retry` asks for it again");

    let place = place.with_api(api.url());
    let finished = place.run(&["retry", "--output", "json"]);
    finished.expect(0);
    assert_eq!(finished.json()["ledger"]["fetched"], 100);
    assert!(source.lock().asked.iter().all(Option::is_none));
    assert_eq!(
        database.one("SELECT command FROM sync_log ORDER BY id DESC LIMIT 1"),
        "retry"
    );

    // One that was not is retried as it was.
    let place = place.with_api("http://127.0.0.1:9");
    place.sync(&[]).0.expect(3);
    let place = place.with_api(api.url());
    let finished = place.run(&["retry", "--output", "json"]);
    finished.expect(0);
    assert!(finished.json()["ledger"]["fetched"].as_u64().unwrap() < 100);
}

#[test]
fn pages_are_read_one_after_the_other_where_a_watermark_depends_on_it() {
    let database = Database::new();
    for (configured, together) in [(true, false), (false, true)] {
        let source = Source::new(600);
        let busy = Arc::new(Mutex::new((0_u32, 0_u32)));
        let seen = Arc::clone(&busy);
        let api = Server::new()
            .rewrite(move |request, _| {
                {
                    let mut busy = seen.lock().unwrap();
                    busy.0 += 1;
                    busy.1 = busy.1.max(busy.0);
                }
                std::thread::sleep(Duration::from_millis(50));
                let body = answer(&source.lock(), Style::Page, request);
                seen.lock().unwrap().0 -= 1;
                body
            })
            .start();
        let place = if configured {
            incremental(api.url(), &database, "0s")
        } else {
            Workplace::connected(api.url(), &database)
        };
        place.sync(&[]).0.expect(0);
        let most = busy.lock().unwrap().1;
        assert_eq!(most > 1, together, "configured: {configured}");
    }
}
