//! Shards: several processes at once against one database.

use super::source::{
    SECOND, Source, Style, assert_nothing_lost, incremental, micros, stored, time,
};
use crate::support::command::{assert_balanced, finish};
use crate::support::http::{Running, Server};
use crate::support::postgres::Database;
use crate::support::{Workplace, until};

const SHARDS: [&str; 4] = ["1/4", "2/4", "3/4", "4/4"];

/// A host for each shard: a state directory of its own.
fn hosts(api: &Running, database: &Database) -> Vec<Workplace> {
    SHARDS
        .iter()
        .map(|_| incremental(api.url(), database, "0s"))
        .collect()
}

/// Runs these shards at once; all must succeed. Returns what each fetched.
fn together(hosts: &[Workplace], shards: &[usize]) -> Vec<u64> {
    let children: Vec<_> = shards
        .iter()
        .map(|&at| hosts[at].start(&["sync", "--output", "json", "--shard", SHARDS[at]]))
        .collect();
    let finished: Vec<_> = children.into_iter().map(finish).collect();
    finished
        .iter()
        .map(|finished| {
            finished.expect(0);
            let report = finished.json();
            assert_balanced(&report);
            report["ledger"]["fetched"].as_u64().unwrap()
        })
        .collect()
}

#[test]
fn shards_at_once_one_of_them_killed_and_run_again_are_one_sync_with_one_watermark() {
    let source = Source::new(1_000);
    for id in [70, 140, 210, 280] {
        source.lock().spoil(id);
    }
    let slow = source.serve(Style::Page, |_, _| {}).held_after(0).start();
    let database = Database::new();
    let hosts = hosts(&slow, &database);

    let mut victim = hosts[2].start(&["sync", "--shard", "3/4"]);
    let others: Vec<_> = [0, 1, 3]
        .map(|at| hosts[at].start(&["sync", "--output", "json", "--shard", SHARDS[at]]))
        .into();
    until("all four are at work", || {
        database.one("SELECT count(*)::text FROM sync_lease") == "4" && slow.requests().len() >= 4
    });
    victim.kill().unwrap();
    finish(victim).expect(-9);
    slow.let_go();
    let mut sum = 0;
    for child in others {
        let finished = finish(child);
        finished.expect(0);
        let report = finished.json();
        assert_balanced(&report);
        assert!(report["watermark"]["after"].is_null(), "{finished}");
        sum += report["ledger"]["fetched"].as_u64().unwrap();
    }
    assert!(sum < 1_000, "a shard's records are missing");
    assert_eq!(stored(&database), "", "one has not succeeded");

    // Its records are stored by itself, on another host, without help.
    let elsewhere = incremental(slow.url(), &database, "0s");
    let (finished, report) = elsewhere.sync(&["--shard", "3/4"]);
    finished.expect(0);
    sum += report["ledger"]["fetched"].as_u64().unwrap();
    assert_eq!(sum, 1_000, "every record is in the ledger of one shard");
    assert_nothing_lost(&source, &database, i64::MAX, "after all four");
    let newest = source.lock().records.values().map(|r| r.changed_at).max();
    assert!(micros(&stored(&database)) <= newest.unwrap());
    assert_eq!(report["watermark"]["after"], stored(&database).as_str());
    assert_eq!(
        database.one("SELECT sum(records_processed) || ' ' || sum(inserted) || ' ' || sum(rejected) FROM sync_log WHERE status = 'SUCCESS'"),
        "1000 996 4"
    );
    assert_eq!(
        database.list("SELECT shard || ' ' || status FROM sync_log ORDER BY 1"),
        [
            "1/4 SUCCESS",
            "2/4 SUCCESS",
            "3/4 ABANDONED",
            "3/4 SUCCESS",
            "4/4 SUCCESS"
        ]
    );
    assert_eq!(database.one("SELECT count(*)::text FROM sync_lease"), "0");
}

#[test]
fn the_watermark_moves_when_all_have_come_further_from_the_same_place() {
    let source = Source::new(200);
    let api = source.serve(Style::Page, |_, _| {}).start();
    let database = Database::new();
    let hosts = hosts(&api, &database);
    assert_eq!(together(&hosts, &[0, 1, 2, 3]).iter().sum::<u64>(), 200);
    let first = micros(&stored(&database));

    // Three of four see a change; one does not run; then all see a later one.
    source.lock().change_at(10, first + 60 * SECOND);
    together(&hosts, &[0, 1, 3]);
    assert_eq!(stored(&database), time(first));
    source.lock().change_at(20, first + 120 * SECOND);
    together(&hosts, &[2]);
    assert_eq!(
        stored(&database),
        time(first + 60 * SECOND),
        "as far as the slowest"
    );
    // A whole run moves it on; what shards had reached from the old place counts no more.
    together(&hosts, &[0, 1, 2]);
    source.lock().change_at(30, first + 180 * SECOND);
    incremental(api.url(), &database, "0s")
        .sync(&[])
        .0
        .expect(0);
    assert_eq!(stored(&database), time(first + 180 * SECOND));
    together(&hosts, &[3]);
    assert_eq!(stored(&database), time(first + 180 * SECOND));
    assert_nothing_lost(&source, &database, micros(&stored(&database)), "so far");
    together(&hosts, &[0, 1, 2, 3]);
    assert_nothing_lost(&source, &database, i64::MAX, "in the end");
}

#[test]
fn a_whole_run_and_shards_of_another_number_wait_their_turn() {
    let source = Source::new(600);
    let slow = source.serve(Style::Page, |_, _| {}).held_after(1).start();
    let database = Database::new();
    let hosts = hosts(&slow, &database);
    let child = hosts[0].start(&["sync", "--shard", "1/4"]);
    until("a second request", || slow.requests().len() >= 2);
    let other = incremental(slow.url(), &database, "0s");
    for arguments in [
        &["sync"][..],
        &["sync", "--shard", "2/3"],
        &["sync", "--shard", "1/4"],
    ] {
        other
            .run(arguments)
            .expect(75)
            .says("another run is writing");
    }
    assert_eq!(database.one("SELECT count(*)::text FROM sync_lease"), "1");
    let waiting = other.start(&["sync", "--wait", "60s"]);
    slow.let_go();
    finish(waiting).expect(0);
    finish(child).expect(0);
    assert_nothing_lost(&source, &database, i64::MAX, "in the end");
    other
        .run(&["sync", "--shard", "5/4"])
        .expect(2)
        .says("such as 1/4");
}

/// Both see each other's lease: one of them goes on.
#[test]
fn of_a_whole_run_and_a_shard_that_begin_together_one_goes_on() {
    let source = Source::new(50);
    let api = source.serve(Style::Page, |_, _| {}).start();
    let database = Database::new();
    let hosts = hosts(&api, &database);
    hosts[0].run(&["sync"]).expect(0);
    for round in 0..12 {
        let children = [
            hosts[0].start(&["sync"]),
            hosts[1].start(&["sync", "--shard", "1/2"]),
        ];
        let codes = children.map(|child| finish(child).code);
        assert!(codes.contains(&0), "round {round}: {codes:?}");
        assert!(codes.iter().all(|code| [0, 75].contains(code)), "{codes:?}");
    }
}

#[test]
fn records_without_a_key_are_in_one_ledger() {
    let records: Vec<String> = (0..100)
        .map(|i| {
            let key = if i % 10 == 0 { String::new() } else { format!("K-{i}") };
            format!(r#"{{"external_id":"{key}","full_name":"K {i}","contact_email":"k@example.com","quality_score":90}}"#)
        })
        .collect();
    let api = Server::new().records(records).start();
    let database = Database::new();
    let mut rejected = Vec::new();
    for shard in SHARDS {
        let (finished, report) =
            Workplace::connected(api.url(), &database).sync(&["--shard", shard]);
        assert!(matches!(finished.code, 0 | 5), "{finished}");
        rejected.push(report["ledger"]["rejected"].as_u64().unwrap());
    }
    assert_eq!(rejected, [10, 0, 0, 0]);
    assert_eq!(database.one("SELECT count(*)::text FROM customers"), "90");
}
