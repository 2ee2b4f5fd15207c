//! Cases of runs over a part of the source: shards, `--limit`, `--since`.

use crate::support::Workplace;
use crate::support::http::{Running, Server};
use crate::support::postgres::Database;

/// A port where nobody listens.
const NOBODY: &str = "http://127.0.0.1:9";

/// Every other record is refused.
fn api() -> Running {
    let texts: Vec<_> = (0..100)
        .map(|i| {
            format!(
                r#"{{"external_id":"S-{i:05}","full_name":"Name {i}","contact_email":"s{i}@example.com","quality_score":{},"record_type":"lead"}}"#,
                if i % 2 == 0 { 90 } else { 10 }
            )
        })
        .collect();
    Server::new().records(texts).start()
}

fn place(api: &Running, database: &Database) -> Workplace {
    let place = Workplace::connected(api.url(), database);
    place.edit("mappings.yaml", "initial: 500ms", "initial: 5ms");
    place
}

fn cases(database: &Database) -> Vec<String> {
    database
        .list("SELECT concat_ws(' ', fingerprint, status, occurrences) FROM sync_cases ORDER BY 1")
}

#[test]
fn a_shard_that_goes_well_does_not_end_the_case_of_another() {
    let database = Database::new();
    let api = api();
    let well = place(&api, &database);
    well.edit(
        "mappings.yaml",
        "rejection_rate: 20%",
        "rejection_rate: 90%",
    );
    let ill = place(&api, &database).with_api(NOBODY);
    for hour in 1..=3 {
        ill.sync(&["--shard", "2/2"]).0.expect(3);
        well.sync(&["--shard", "1/2"]).0.expect(0);
        assert_eq!(
            cases(&database),
            [format!("api:refused open {hour}")],
            "one case, and one alert, for as long as it lasts"
        );
    }
    let id = database.one("SELECT id FROM sync_cases");
    well.run(&["case", "show", &id])
        .expect(0)
        .says("not over yet: public.customers shard 2/2");
    well.sync(&["--shard", "2/2"]).0.expect(0);
    assert_eq!(cases(&database), ["api:refused closed 3"]);
}

#[test]
fn whoever_reads_of_a_run_reads_which_shard_it_was() {
    let database = Database::new();
    let api = api();
    let place = place(&api, &database);
    place.edit(
        "mappings.yaml",
        "rejection_rate: 20%",
        "rejection_rate: 90%",
    );
    place
        .run(&["sync", "--shard", "1/2", "--report", "run.html"])
        .expect(0)
        .says("(full, shard 1/2)");
    let page = std::fs::read_to_string(place.path("run.html")).unwrap();
    assert!(page.contains("full, shard 1/2") && page.contains(">full 1/2</td>"));
    let (_, report) = place.sync(&["--shard", "2/2"]);
    assert_eq!(
        (&report["mode"], &report["shard"]),
        (&"full".into(), &"2/2".into())
    );
    place.run(&["history"]).expect(0).says("full 2/2");
    let (_, whole) = place.sync(&[]);
    assert_eq!(whole["shard"], serde_json::Value::Null);

    // The sum, as docs/size.md has it.
    let docs = include_str!("../../../docs/size.md");
    let (_, sql) = docs.split_once("  SELECT coalesce(shard").unwrap();
    let (sql, _) = sql.split_once(';').unwrap();
    let of_three = format!(
        "SELECT concat_ws(' ', shard, fetched, inserted, rejected) FROM (SELECT coalesce(shard{sql}) AS documented"
    );
    let found = database.list(&of_three);
    assert_eq!(found.len(), 3, "{found:?}");
    assert_eq!(found[2], "all 100 50 50");
}

#[test]
fn a_part_of_the_source_that_goes_well_does_not_end_the_case_of_the_whole() {
    let database = Database::new();
    let api = api();
    let place = place(&api, &database);
    place.sync(&[]).0.expect(5);
    place.sync(&["--limit", "1"]).0.expect(0);
    assert_eq!(cases(&database), ["threshold:rejection_rate open 1"]);
    place.edit(
        "mappings.yaml",
        "rejection_rate: 20%",
        "rejection_rate: 90%",
    );
    place.sync(&[]).0.expect(0);
    assert_eq!(cases(&database), ["threshold:rejection_rate closed 1"]);
}
