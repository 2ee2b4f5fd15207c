//! Rejections follow their record through a run: a record that is refused and comes again in order has no open rejection.

use serde_json::Value;

use crate::support::Workplace;
use crate::support::http::Server;
use crate::support::postgres::Database;

fn text(id: &str, score: u32) -> String {
    format!(
        r#"{{"external_id":"{id}","full_name":"Name of {id}","contact_email":"r@example.com","quality_score":{score},"record_type":"lead"}}"#
    )
}

/// Forty records that are refused at first and good later in the same run; many pages and batches lie between.
fn source() -> Vec<String> {
    let bad = (0..40).map(|i| text(&format!("R-{i:03}"), 10));
    let others = (0..400).map(|i| text(&format!("S-{i:03}"), 90));
    let good = (0..40).map(|i| text(&format!("R-{i:03}"), 90));
    bad.chain(others).chain(good).collect()
}

#[test]
fn a_record_that_is_refused_and_good_later_in_the_run_has_no_open_rejection() {
    let api = Server::new().records(source()).page_size(10).start();
    let database = Database::new();
    let place = Workplace::connected(api.url(), &database);
    place.edit("mappings.yaml", "size: 100 ", "size: 10 ");
    place.edit("mappings.yaml", "batch_size: 5000 ", "batch_size: 10 ");
    place.edit("mappings.yaml", "min_connections: 2", "min_connections: 4");
    for run in 0..3 {
        let (finished, report) = place.sync(&[]);
        finished.expect(0);
        let open =
            database.one("SELECT count(*)::text FROM sync_rejections WHERE resolved_at IS NULL");
        assert_eq!(open, "0", "run {run}: {report}");
        assert_eq!(report["status"], Value::from("success"));
    }
    // An unchanged source leaves as many as it did at first.
    let stored = database.one("SELECT count(*)::text FROM sync_rejections");
    assert_eq!(stored, "40");
    assert_eq!(database.one("SELECT count(*)::text FROM customers"), "440");
}

#[test]
fn open_rejections_of_an_earlier_run_and_of_the_database_follow_the_record_too() {
    let database = Database::undistributed();
    database.run("ALTER TABLE customers ADD CHECK (quality_score <> 81)");
    let start = |records: Vec<String>| Server::new().records(records).page_size(10).start();
    let all = |score| (0..40).map(move |i| text(&format!("R-{i:03}"), score));
    let others = |name: &'static str| (0..400).map(move |i| text(&format!("{name}-{i:03}"), 90));
    let open = "SELECT count(*)::text FROM sync_rejections WHERE resolved_at IS NULL";
    // Refused by the rules, by the table, and good at last; whichever of them the run before has left open.
    for (round, (scores, left)) in [
        (&[10][..], "40"),
        (&[10, 90], "0"),
        (&[90, 81], "40"),
        (&[81, 90], "0"),
        (&[90, 10], "40"),
        (&[81, 10, 90], "0"),
        (&[10, 90, 81, 90], "0"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut records = Vec::new();
        for score in scores {
            records.extend(all(*score));
            records.extend(others("S"));
        }
        let api = start(records);
        let place = Workplace::connected(api.url(), &database);
        place.edit("mappings.yaml", "size: 100 ", "size: 10 ");
        place.edit("mappings.yaml", "batch_size: 5000 ", "batch_size: 10 ");
        place.edit("mappings.yaml", "min_connections: 2", "min_connections: 4");
        place.edit(
            "mappings.yaml",
            "rejection_rate: 20%",
            "rejection_rate: 100%",
        );
        let (finished, report) = place.sync(&[]);
        finished.expect(0);
        assert_eq!(
            database.one(open),
            left,
            "round {round} {scores:?}: {report}"
        );
    }
}

/// What costs one row of the database costs no more than that.
#[test]
fn refused_and_repeated_records_do_not_make_batches_small() {
    let database = Database::new();
    let refused: Vec<String> = (0..20_000)
        .map(|i| text(&format!("R-{i:05}"), 10))
        .collect();
    let repeated = (0..1_000).map(|_| text("SAME", 90));
    let page = format!(
        "[{}]",
        repeated.chain(refused).collect::<Vec<_>>().join(",")
    );
    let api = Server::new()
        .script(move |_| {
            let json = vec![("Content-Type", "application/json".to_owned())];
            Some(crate::support::http::Reply::Instead(
                200,
                json,
                page.clone(),
            ))
        })
        .start();
    let place = Workplace::connected(api.url(), &database);
    place.edit("mappings.yaml", "style: page ", "style: none ");
    place.edit(
        "mappings.yaml",
        "rejection_rate: 20%",
        "rejection_rate: 100%",
    );
    let (finished, report) = place.sync(&[]);
    finished.expect(0);
    assert_eq!(report["ledger"]["rejected"], 20_000, "{report}");
    assert_eq!(database.one("SELECT count(*) FROM customers"), "1");
    let batches: u64 = database
        .one("SELECT count(*) FROM sync_batches")
        .parse()
        .unwrap();
    assert!(batches <= 40, "{batches} transactions for 21,000 records");
    // The first two batches are small, so that writing begins at once.
    let written = "SELECT sum(inserted + updated) FROM sync_batches";
    assert!(database.one(written).parse::<u64>().unwrap() <= 2);
}
