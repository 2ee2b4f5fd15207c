//! The watermark: when it moves and how far, when it must not, and how the source's times are read.

use std::sync::Mutex;
use std::time::Duration;

use super::source::{
    SECOND, Source, Style, answer, assert_nothing_lost, day_ago, incremental, marks, micros,
    stored, time,
};
use crate::support::Workplace;
use crate::support::http::{Fault, Server};
use crate::support::postgres::Database;

fn clock(database: &Database) -> i64 {
    let sql = "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000000)::bigint::text";
    database.one(sql).parse().unwrap()
}

#[test]
fn a_run_that_did_not_see_everything_leaves_the_watermark() {
    let source = Source::new(200);
    let api = source.serve(Style::Page, |_, _| {}).start();
    let database = Database::new();
    let place = incremental(api.url(), &database, "0s");
    place.sync(&[]).0.expect(0);
    let first = stored(&database);
    for id in 1..=200 {
        source.lock().change(id * 10);
    }
    let held = |server: Server, arguments: &[&str], code: i32, place: Workplace| {
        let api = server.start();
        let place = place.with_api(api.url());
        let (finished, report) = place.sync(arguments);
        finished.expect(code);
        assert_eq!(report["watermark"]["after"], first.as_str(), "{finished}");
        assert_eq!(stored(&database), first, "{arguments:?}\n{finished}");
        place
    };
    let serve = || source.serve(Style::Page, |_, _| {});
    let place = held(serve(), &["--limit", "150"], 0, place);
    let place = held(serve(), &["--dry-run"], 0, place);
    let place = held(serve(), &["--since", &first], 0, place);
    let mut broken = serve();
    for request in 2..9 {
        broken = broken.fault(request, Fault::Status(503));
    }
    let place = held(broken, &[], 3, place);
    // An announced total that is not met.
    let liar = source.clone();
    let lying = Server::new().rewrite(move |request, _| {
        let body = answer(&liar.lock(), Style::Page, request);
        body.replace("\"total\":200", "\"total\":201")
    });
    let place = held(lying, &[], 3, place);
    // A total that falls: a row may have slipped through.
    let falling = source.serve(Style::Page, |request, state| {
        if request.param("page") == Some("1") {
            state.records.remove(&10);
        }
    });
    let place = held(falling, &[], 0, place);
    // And one that rises: what came in between may have moved others.
    let rising = source.serve(Style::Page, |request, state| {
        if request.param("page") == Some("1") {
            state.change(11);
        }
    });
    let place = held(rising, &[], 0, place);
    // Records that the database did not take.
    let mut holder = database.client();
    holder
        .batch_execute("BEGIN; UPDATE customers SET email = 'held' WHERE customer_id = 'M-000100'")
        .unwrap();
    source.lock().change(100);
    place.edit("mappings.yaml", "lock_timeout: 10s", "lock_timeout: 100ms");
    let place = held(serve(), &[], 4, place);
    holder.batch_execute("ROLLBACK").unwrap();

    let api = serve().start();
    let place = place.with_api(api.url());
    place.sync(&[]).0.expect(0);
    assert!(micros(&stored(&database)) > micros(&first), "then it moves");
    assert_nothing_lost(&source, &database, i64::MAX, "in the end");
}

#[test]
fn rejected_records_count_as_seen() {
    let source = Source::new(50);
    source.lock().spoil(70);
    let newest = source.lock().records[&70].changed_at;
    let api = source.serve(Style::Page, |_, _| {}).start();
    let database = Database::new();
    let (finished, report) = incremental(api.url(), &database, "0s").sync(&[]);
    finished.expect(0);
    assert_eq!(report["ledger"]["rejected"], 1);
    assert_eq!(stored(&database), time(newest));
}

#[test]
fn the_watermark_never_goes_back() {
    let source = Source::new(50);
    let api = source.serve(Style::Page, |_, _| {}).start();
    let database = Database::new();
    let place = incremental(api.url(), &database, "0s");
    place.sync(&[]).0.expect(0);
    let first = stored(&database);
    // The newest records are gone.
    source.lock().records.retain(|id, _| *id <= 200);
    let (finished, report) = place.sync(&["--full", "--accept-drop"]);
    finished.expect(0);
    assert_eq!(
        marks(&report),
        ("full".into(), first.clone(), first.clone())
    );
    assert_eq!(stored(&database), first);
}

#[test]
fn a_run_that_was_overtaken_leaves_the_watermark_to_the_other() {
    let source = Source::new(50);
    let database = Database::new();
    let other = Mutex::new(database.client());
    let later = time(day_ago() + 7_200 * SECOND);
    let moved = later.clone();
    let api = source
        .serve(Style::Page, move |_, _| {
            let sql = format!("UPDATE sync_state SET value = '{moved}'");
            other.lock().unwrap().batch_execute(&sql).unwrap();
        })
        .start();
    let place = incremental(api.url(), &database, "0s");
    place.sync(&[]).0.expect(0);
    let mine = stored(&database);
    source.lock().change(10);
    let (finished, report) = place.sync(&[]);
    finished
        .expect(0)
        .says("another run has moved the watermark");
    assert_eq!(
        marks(&report),
        ("incremental".into(), mine.clone(), mine),
        "this run moved nothing"
    );
    assert_eq!(stored(&database), later);
}

#[test]
fn a_time_from_the_future_moves_the_watermark_no_further_than_the_start_of_the_run() {
    let source = Source::new(50);
    source.lock().change_at(70, micros("2099-01-01T00:00:00Z"));
    let api = source
        .serve(Style::Page, |_, _| {})
        .latency(Duration::from_millis(300))
        .start();
    let database = Database::new();
    let place = incremental(api.url(), &database, "0s");
    let before = clock(&database);
    place.sync(&[]).0.expect(0);
    let mark = micros(&stored(&database));
    assert!(
        before < mark && mark < clock(&database) - 250_000,
        "{}: between the start of the run and its first answer",
        time(mark)
    );
    // What changes now is seen, although the liar is still there.
    source.lock().change(10);
    place.sync(&[]).0.expect(0);
    assert_nothing_lost(&source, &database, i64::MAX, "after the second run");
}

/// The watermark after one run over records with these values of `updated_date`, mapped so; and what was said.
fn mark_of(values: &[&str], mapped: Option<&str>) -> (String, String) {
    let records = values.iter().enumerate().map(|(i, value)| {
        format!(
            r#"{{"external_id":"U-{i}","full_name":"U {i}","contact_email":"u@example.com","quality_score":90,"updated_date":{value}}}"#
        )
    });
    let api = Server::new().records(records).start();
    let database = Database::new();
    let place = incremental(api.url(), &database, "0s");
    if let Some(mapped) = mapped {
        place.edit(
            "mappings.yaml",
            "# updated_date: { to: sourceUpdatedAt, type: datetime, column: false }",
            &format!("updated_date: {{ to: sourceUpdatedAt, {mapped}, column: false }}"),
        );
    }
    let finished = place.run(&["sync"]);
    (stored(&database), finished.to_string())
}

#[test]
fn time_zones_and_units_are_those_of_the_mapping_and_the_watermark_is_utc() {
    let cases: [(&[&str], Option<&str>, &str); 5] = [
        (
            &[
                "\"2026-03-01T10:00:00+05:30\"",
                "\"2026-03-01T05:00:00.25Z\"",
            ],
            None,
            "2026-03-01T05:00:00.25Z",
        ),
        (
            &["\"2026-03-01T10:00:00+05:30\"", "\"2026-03-01T04:00:00Z\""],
            None,
            "2026-03-01T04:30:00Z",
        ),
        (
            &["1772357400", "1772357399"],
            Some("type: datetime, format: epoch_seconds"),
            "2026-03-01T09:30:00Z",
        ),
        (
            &["1772357400125"],
            Some("type: datetime, format: epoch_milliseconds"),
            "2026-03-01T09:30:00.125Z",
        ),
        (
            &["\"2026-07-01 12:00:00\""],
            Some("type: datetime, format: \"%Y-%m-%d %H:%M:%S\", timezone: Europe/Madrid"),
            "2026-07-01T10:00:00Z",
        ),
    ];
    for (values, mapped, expected) in cases {
        let (mark, said) = mark_of(values, mapped);
        assert_eq!(mark, expected, "{values:?} {mapped:?}\n{said}");
    }
}

#[test]
fn a_time_that_cannot_be_read_moves_nothing_and_is_told() {
    let good = "\"2026-03-01T04:00:00Z\"";
    let odd = [
        "\"yesterday\"",
        "null",
        "{}",
        "1772357400",
        "\"9999-99-99T00:00:00Z\"",
        good,
    ];
    assert_eq!(mark_of(&odd, None).0, "2026-03-01T04:00:00Z");
    // A field that is mapped and wrong rejects its record, which counts as seen.
    let (mark, _) = mark_of(&["\"yesterday\"", good], Some("type: datetime"));
    assert_eq!(mark, "2026-03-01T04:00:00Z");
    // Without an offset nobody knows the zone.
    let (mark, said) = mark_of(&["\"2026-03-01T04:00:00\"", "1772357400"], None);
    assert_eq!(mark, "");
    assert!(said.contains("no record says in `updated_date`"), "{said}");
}

#[test]
fn a_field_of_another_type_or_a_parameter_that_is_set_twice_is_a_mistake_in_the_file() {
    let place = Workplace::new();
    place.edit("mappings.yaml", "# incremental:", "incremental:");
    place.edit("mappings.yaml", "field: updated_date", "field: full_name");
    place
        .run(&["validate"])
        .expect(2)
        .says("which is no datetime")
        .says("mappings.yaml:");
    let place = Workplace::new();
    place.edit("mappings.yaml", "# incremental:", "incremental:");
    place.edit(
        "mappings.yaml",
        "# params: { sort: external_id }",
        "params: { updated_since: \"2026-01-01\" }",
    );
    place
        .run(&["validate"])
        .expect(2)
        .says("`params` sets this parameter too");
}

#[test]
fn a_record_whose_time_lies_in_an_object_that_is_none_is_no_worse_for_it() {
    let records = [
        r#"{"external_id":"N-1","full_name":"N 1","contact_email":"n@example.com","quality_score":90,"meta":"none"}"#,
        r#"{"external_id":"N-2","full_name":"N 2","contact_email":"n@example.com","quality_score":90,"meta":{"changed":"2026-03-01T04:00:00Z"}}"#,
    ];
    let api = Server::new().records(records).start();
    let database = Database::new();
    let place = incremental(api.url(), &database, "0s");
    place.edit(
        "mappings.yaml",
        "field: updated_date",
        "field: meta.changed",
    );
    let (finished, report) = place.sync(&[]);
    finished.expect(0);
    assert_eq!(report["ledger"]["inserted"], 2, "{finished}");
    assert_eq!(stored(&database), "2026-03-01T04:00:00Z");
}

#[test]
fn another_field_or_another_filter_is_another_watermark() {
    let source = Source::new(30);
    let api = source.serve(Style::Page, |_, _| {}).start();
    let database = Database::new();
    let place = incremental(api.url(), &database, "0s");
    place.sync(&[]).0.expect(0);
    place.edit(
        "mappings.yaml",
        "# params: { sort: external_id }",
        "params: { country: PT, key: canary-secret }",
    );
    let (_, report) = place.sync(&[]);
    assert_eq!(
        report["mode"], "full",
        "records of other countries were never asked for"
    );
    assert_eq!(report["ledger"]["fetched"], 30);
    let names =
        database.list("SELECT name FROM sync_state WHERE name LIKE 'watermark%' ORDER BY name");
    assert_eq!(names.len(), 2);
    for name in names {
        assert!(
            name.starts_with("watermark updated_date ") && !name.contains("canary"),
            "{name}"
        );
    }
}

#[test]
fn a_watermark_that_is_no_time_is_told_and_full_puts_it_right() {
    let source = Source::new(30);
    let api = source.serve(Style::Page, |_, _| {}).start();
    let database = Database::new();
    let place = incremental(api.url(), &database, "0s");
    place.sync(&[]).0.expect(0);
    database.run("UPDATE sync_state SET value = 'soon'");
    let before = api.requests().len();
    place
        .run(&["sync"])
        .expect(2)
        .says("sync_state is not a time")
        .says("--full");
    assert_eq!(api.requests().len(), before, "nothing was fetched");
    place.sync(&["--full"]).0.expect(0);
    micros(&stored(&database));
}
