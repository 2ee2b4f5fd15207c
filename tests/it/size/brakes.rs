//! Brakes: a source that suddenly has no records, far fewer than before, or many that the rules reject.

use super::source::{Source, Style, incremental, stored};
use crate::support::Workplace;
use crate::support::http::Server;
use crate::support::postgres::{Cluster, Database};

fn text(i: u32, score: u32) -> String {
    format!(
        r#"{{"external_id":"B-{i:05}","full_name":"B {i}","contact_email":"b@example.com","quality_score":{score},"record_type":"lead"}}"#
    )
}

fn rows(database: &Database) -> String {
    database.one("SELECT count(*)::text FROM customers")
}

#[test]
fn the_first_thousand_records_decide_whatever_the_size_of_a_page() {
    for size in ["100", "2500"] {
        // 400 of the first 1,000 are refused, and then none.
        let texts = (0..2_500).map(|i| text(i, if i < 400 { 10 } else { 90 }));
        let api = Server::new().records(texts).start();
        let database = Database::new();
        let place = Workplace::connected(api.url(), &database);
        place.edit("mappings.yaml", "size: 100 ", &format!("size: {size} "));
        place.edit(
            "mappings.yaml",
            "max_drop: 50%",
            "max_drop: 50%\n  max_rejection: 30%",
        );
        let (finished, report) = place.sync(&[]);
        finished
            .expect(5)
            .says("400 of the first 1000 records were rejected")
            .says("--accept-drop");
        assert_eq!(report["status"], "failed");
        let page_with_the_thousandth = if size == "100" { 1_000 } else { 2_500 };
        assert_eq!(report["ledger"]["fetched"], page_with_the_thousandth);
        let (finished, report) = place.sync(&["--accept-drop"]);
        finished.expect(0);
        assert_eq!(report["ledger"]["fetched"], 2_500);
    }
}

#[test]
fn a_run_that_the_database_ended_is_not_taken_for_a_source_that_shrank() {
    // So large that writers which wait hold the fetch back.
    let texts = |version: u32| {
        (0..8_000).map(move |i| {
            format!(
                r#"{{"external_id":"B-{i:05}","full_name":"B {version}","contact_email":"b@example.com","quality_score":90,"record_type":"lead","notes":"{}"}}"#,
                "-".repeat(3_000)
            )
        })
    };
    let first = Server::new().records(texts(1)).start();
    let database = Database::undistributed();
    let place = Workplace::connected(first.url(), &database);
    place.edit(
        "mappings.yaml",
        "strategy: log_and_continue",
        "strategy: stop",
    );
    place.sync(&[]).0.expect(0);
    database.run(
        "CREATE FUNCTION away() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.5); \
         RAISE EXCEPTION 'away' USING ERRCODE = 'cannot_connect_now'; END $$; \
         CREATE TRIGGER away BEFORE INSERT ON customers FOR EACH STATEMENT EXECUTE FUNCTION away()",
    );
    let second = Server::new().records(texts(2)).start();
    let place = place.with_api(second.url());
    let (finished, report) = place.sync(&[]);
    finished.expect(4);
    let fetched = report["ledger"]["fetched"].as_u64().unwrap();
    assert!(fetched < 4_000, "the fetch was held back: {fetched}");
    let braked = |kind: &str| kind.starts_with("brake:");
    let errors = report["errors_by_type"].as_object().unwrap();
    assert!(!errors.keys().any(|kind| braked(kind)), "{report}");
    assert_eq!(report["status"], "partial");
}

#[test]
fn with_the_database_away_the_size_of_the_last_run_here_is_known() {
    let cluster = Cluster::new(&[("synchronous_commit", "on")], &[]);
    let database = cluster.database();
    let full = Server::new().records((0..300).map(|i| text(i, 90))).start();
    let place = Workplace::connected(full.url(), &database);
    place.sync(&[]).0.expect(0);
    cluster.stop("immediate");
    let few = Server::new().records((0..100).map(|i| text(i, 90))).start();
    let place = place.with_api(few.url());
    let (finished, report) = place.sync(&[]);
    finished.expect(4).says("the 300 of the last complete run");
    assert_eq!(report["ledger"]["spooled"], 0, "nothing was kept of it");
    cluster.start();
}

#[test]
fn incremental_runs_are_small_and_a_braked_full_run_holds_the_watermark() {
    let source = Source::new(300);
    let api = source.serve(Style::Page, |_, _| {}).start();
    let database = Database::new();
    let place = incremental(api.url(), &database, "0s");
    place.sync(&[]).0.expect(0);
    source.lock().change(10);
    place.sync(&[]).0.expect(0);
    let mark = stored(&database);
    // Two thirds are gone, and one record is newer. The API announces nothing: it is found at the end.
    source.lock().records.retain(|id, _| *id <= 1_000);
    source.lock().change(20);
    let silent = source.serve(Style::Bare, |_, _| {}).start();
    let place = place.with_api(silent.url());
    place.sync(&["--full"]).0.expect(5).says("--accept-drop");
    assert_eq!(stored(&database), mark);
    place.sync(&["--full", "--accept-drop"]).0.expect(0);
    assert!(stored(&database) > mark);
}

#[test]
fn shards_are_compared_with_themselves_and_an_announced_total_with_their_sum() {
    let database = Database::new();
    let full = Server::new().records((0..400).map(|i| text(i, 90))).start();
    for shard in ["1/2", "2/2"] {
        let place = Workplace::connected(full.url(), &database);
        place.sync(&["--shard", shard]).0.expect(0);
    }
    // Half is no more than max_drop: of the whole as of each shard.
    let half = Server::new().records((0..230).map(|i| text(i, 90))).start();
    let place = Workplace::connected(half.url(), &database);
    place.sync(&["--shard", "1/2"]).0.expect(0);
    let few = Server::new()
        .records((500..530).map(|i| text(i, 90)))
        .start();
    let place = place.with_api(few.url());
    place
        .sync(&["--shard", "2/2"])
        .0
        .expect(5)
        .says("--accept-drop");
    assert_eq!(rows(&database), "400", "nothing was written");
    let empty = Server::new().start();
    let place = place.with_api(empty.url());
    place
        .sync(&["--shard", "2/2"])
        .0
        .expect(5)
        .says("the source has no records");
    place.sync(&["--shard", "2/2", "--accept-drop"]).0.expect(0);
}

/// Row 85: two sources feed one table, from the same machine. What one has come to says nothing of the other.
#[test]
fn row_85_two_sources_of_one_table_have_their_own_spool_baseline_and_replay() {
    let cluster = Cluster::new(&[], &[]);
    let database = cluster.database();
    let serve = |path: &str, first: u32, count: u32| {
        let texts = (first..first + count).map(|i| text(i, 90));
        Server::new().path(path).records(texts).start()
    };
    let (large, small) = (
        serve("/api/v1/data", 0, 400),
        serve("/api/v1/leads", 10_000, 40),
    );
    let place = Workplace::connected(large.url(), &database);
    let leads = std::fs::read_to_string(place.path("mappings.yaml"))
        .unwrap()
        .replace("path: /api/v1/data\n", "path: /api/v1/leads\n");
    place.write("leads.yaml", &leads);
    place.run(&["sync"]).expect(0);
    let place = place.with_api(small.url());
    // A tenth of what the other source has is no drop.
    let of_leads = ["sync", "--mappings", "leads.yaml"];
    place.run(&of_leads).expect(0);
    assert_eq!(rows(&database), "440");

    // New leads come while the database is away; then the other source has a complete run.
    let more = serve("/api/v1/leads", 20_000, 60);
    let place = place.with_api(more.url());
    cluster.stop("fast");
    place.run(&of_leads).expect(4);
    cluster.start();
    let place = place.with_api(large.url());
    let (finished, report) = place.sync(&[]);
    finished.expect(0);
    assert_eq!(report["replayed"], 0, "{report}");
    assert_eq!(rows(&database), "440");
    // What waits is replayed by its own mapping, and is not superseded by the other source.
    let place = place.with_api(more.url());
    let finished = place.run(&["sync", "--mappings", "leads.yaml", "--output", "json"]);
    finished.expect(0);
    assert_eq!(finished.json()["replayed"], 60, "{finished}");
    assert_eq!(rows(&database), "500");
}
