//! Promise 10: memory does not grow with the number of records. The peak is the kernel's own high-water mark of the
//! process; the pages are made while they are asked for, so that the source can be of any size.
#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;
use std::time::Duration;

use crate::support::command::{assert_balanced, finish};
use crate::support::http::{Reply, Request, Running, Server};
use crate::support::postgres::Database;
use crate::support::{Workplace, not_run};

/// Records a page, and rows a batch.
const PAGE: usize = 1_000;

/// A source of so many records, none of which is kept anywhere.
fn source(total: usize) -> Running {
    Server::new()
        .script(move |request| Some(page(request, total)))
        .start()
}

fn page(request: &Request, total: usize) -> Reply {
    let number = |name: &str| request.param(name).unwrap().parse::<usize>().unwrap();
    let (at, size) = (number("page"), number("page_size"));
    let mut body = String::from("{\"data\":[");
    for i in ((at - 1) * size)..(at * size).min(total) {
        let comma = if i % size == 0 { "" } else { "," };
        // Every hundredth is rejected.
        let score = if i % 100 == 0 { 10 } else { 90 };
        write!(
            body,
            r#"{comma}{{"external_id":"M-{i:07}","full_name":"Name {i}","contact_email":"u{i}@example.com","created_date":"2024-01-01T00:00:00Z","quality_score":{score},"record_type":"lead"}}"#
        )
        .unwrap();
    }
    write!(
        body,
        "],\"page\":{at},\"page_size\":{size},\"total\":{total},\"total_pages\":{}}}",
        total.div_ceil(size)
    )
    .unwrap();
    Reply::Instead(200, Vec::new(), body)
}

/// The largest resident memory of a living process so far, in KiB.
fn high_water(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// Syncs so many records into an empty table and returns the peak in KiB; 0 where the system does not tell.
fn peak(total: usize) -> u64 {
    let (database, api) = (Database::new(), source(total));
    let place = Workplace::connected(api.url(), &database);
    place.edit("mappings.yaml", "size: 100 ", "size: 1000 ");
    // Small enough for the smaller run to fill all that is ever in flight.
    place.edit(
        "mappings.yaml",
        "batch_size: 5000",
        &format!("batch_size: {PAGE}"),
    );
    place.edit("mappings.yaml", "max_connections: 10", "max_connections: 2");
    let mut child = place.start(&["sync", "--output", "json"]);
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        peak = peak.max(high_water(child.id()).unwrap_or(0));
        std::thread::sleep(Duration::from_millis(5));
    }
    let finished = finish(child);
    finished.expect(0);
    let report = finished.json();
    assert_balanced(&report);
    assert_eq!(report["ledger"]["fetched"], total);
    assert_eq!(report["ledger"]["rejected"], total / 100);
    assert_eq!(report["ledger"]["inserted"], total - total / 100);
    peak
}

/// The peak of a command, KiB; 0 where the system does not tell.
fn peak_of(place: &Workplace, arguments: &[&str]) -> u64 {
    let mut child = place.start(arguments);
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        peak = peak.max(high_water(child.id()).unwrap_or(0));
        std::thread::sleep(Duration::from_millis(5));
    }
    finish(child).expect(0);
    peak
}

/// They are read by their bytes, not by their number.
#[test]
fn large_rejections_that_are_decided_again_take_no_more_memory_than_small_ones() {
    let peaks = [100, 60_000].map(|length| {
        let database = Database::new();
        let api = Server::new().start();
        let place = Workplace::connected(api.url(), &database);
        place.run(&["check-db", "--apply-schema"]).expect(0);
        database.run(&format!(
            "INSERT INTO sync_rejections (target, key, record_id, payload, reason, message, first_run, last_run, first_seen, last_seen) \
             SELECT 'public.customers', 'L-' || n, 'L-' || n, '{{\"external_id\":\"L-' || n || '\",\"full_name\":\"N\",\"quality_score\":10,\"note\":\"' || \
             repeat(md5(n::text), {length} / 32) || '\"}}', 'decision', 'too low', gen_random_uuid(), gen_random_uuid(), now(), now() \
             FROM generate_series(1, 2000) n"
        ));
        peak_of(&place, &["retry", "--rejected"])
    });
    if peaks[0] == 0 {
        return not_run("the peak of memory, needs VmHWM in /proc");
    }
    let more = peaks[1].saturating_sub(peaks[0]);
    assert!(
        more < 96 << 10,
        "{peaks:?} KiB for small and large rejections"
    );
}

#[test]
fn ten_times_the_records_take_no_more_memory() {
    let small = peak(20_000);
    if small == 0 {
        not_run("the peak of a process is read from /proc, which is not there");
        return;
    }
    let large = peak(200_000);
    // What is in flight reaches its bound a little later than the smaller run ends.
    let limit = (small * 13 / 10).max(44 << 10);
    assert!(
        large < limit,
        "{large} KiB for 200,000 records, {small} KiB for 20,000"
    );
}

/// What a page of 32 MiB may take beside itself, KiB.
const BESIDE_A_PAGE: u64 = 64 << 10;

/// Records that are as small as JSON can be: their number is bounded, or the time they take, and in any case their memory.
#[test]
fn a_page_of_millions_of_tiny_records_takes_little_more_memory_than_its_text() {
    const LARGEST: usize = 32 << 20;
    const TOO_MANY: &[i32] = &[3];
    // The deadline comes while records are fetched, decided or written, or after all of them on a fast machine.
    const ANY_END: &[i32] = &[3, 4, 5];
    let database = Database::new();
    let peak_of_page = |page: String, deadline: &str, codes: &[i32], says: &str| {
        let api = Server::new()
            .script(move |_| {
                let json = vec![("Content-Type", "application/json".to_owned())];
                Some(Reply::Instead(200, json, page.clone()))
            })
            .start();
        let place = Workplace::connected(api.url(), &database);
        place.edit("mappings.yaml", "style: page ", "style: none ");
        place.edit("mappings.yaml", "timeout: 30s ", "timeout: 120s ");
        let begun = std::time::Instant::now();
        let mut child = place.start(&["sync", "--output", "json", "--deadline", deadline]);
        let mut peak = 0;
        while child.try_wait().unwrap().is_none() {
            peak = peak.max(high_water(child.id()).unwrap_or(0));
            std::thread::sleep(Duration::from_millis(5));
        }
        let finished = finish(child);
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "{:?}",
            begun.elapsed()
        );
        assert!(codes.contains(&finished.code), "{finished}");
        finished.says(says);
        assert_balanced(&finished.json());
        peak
    };
    let array = |record: &str, count: usize| format!("[{}]", vec![record; count].join(","));
    let usual = peak_of_page(array("{}", 10), "10s", &[5], "rejected");
    if usual == 0 {
        return not_run("the peak of memory, needs VmHWM in /proc");
    }
    for (record, count, deadline, codes, says) in [
        (
            "1",
            LARGEST / 2 - 10,
            "10s",
            TOO_MANY,
            "more than 4194304 records",
        ),
        (
            "{}",
            LARGEST / 3 - 10,
            "10s",
            TOO_MANY,
            "more than 4194304 records",
        ),
        ("{}", 4_100_000, "2s", ANY_END, "fetched"),
        (
            "[1,1]",
            LARGEST / 6 - 10,
            "10s",
            TOO_MANY,
            "more than 4194304 records",
        ),
        ("[1,1,1,1]", LARGEST / 10 - 10, "2s", ANY_END, "fetched"),
    ] {
        let page = array(record, count);
        let text = page.len() as u64 >> 10;
        let peak = peak_of_page(page, deadline, codes, says);
        assert!(
            peak < usual + text + BESIDE_A_PAGE,
            "{peak} KiB for a page of {text} KiB with {count} times {record}; {usual} KiB for a small one"
        );
    }
}
