//! The customer fixture, synced with the demo's mapping: every record ends as `expected.tsv` says, and a second run writes
//! nothing.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::support::Workplace;
use crate::support::http::Server;
use crate::support::postgres::Database;

/// One line of the fixture: the record's id if it has a usable one, what should become of it, what is special about it.
struct Line {
    id: Option<String>,
    expected: String,
    case: String,
}

fn read(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/customers");
    std::fs::read_to_string(folder.join(name)).unwrap()
}

fn lines(records: &str) -> Vec<Line> {
    records
        .lines()
        .zip(read("expected.tsv").lines().skip(1))
        .map(|(record, line)| {
            let mut columns = line.split('\t').skip(1).map(str::to_owned);
            Line {
                id: id(record),
                expected: columns.next().unwrap(),
                case: columns.next().unwrap(),
            }
        })
        .collect()
}

/// The text of the id up to the next comma: not every record of the fixture is JSON that a parser takes.
fn id(record: &str) -> Option<String> {
    let rest = record.split_once("\"external_id\":")?.1;
    let text = rest.split(',').next()?.trim_matches('"');
    (!text.trim().is_empty() && text != "null" && !text.starts_with('[') && text.len() <= 100)
        .then(|| text.to_owned())
}

#[test]
fn every_customer_of_the_fixture_meets_its_expected_fate_and_a_second_run_writes_nothing() {
    let records = read("customers.ndjson");
    let lines = lines(&records);
    let server = Server::new()
        .records(records.lines())
        .page_size(100)
        .start();
    let database = Database::new();
    let mapping = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo/mappings.yaml");
    let place = Workplace::connected(server.url(), &database)
        .env("DATASYNC_MAPPINGS", mapping.to_str().unwrap());
    place.run(&["check-db", "--apply-schema"]).expect(0);

    let (finished, report) = place.sync(&[]);
    finished.expect(0);
    let ledger = &report["ledger"];
    assert_eq!(ledger["fetched"], lines.len());

    let written: BTreeMap<String, String> = database
        .client()
        .query(
            "SELECT customer_id, lower(validation_status) FROM customers",
            &[],
        )
        .unwrap()
        .into_iter()
        .map(|row| (row.get(0), row.get(1)))
        .collect();
    let fit: BTreeSet<&String> = lines
        .iter()
        .filter(|line| line.expected != "rejected")
        .filter_map(|line| line.id.as_ref())
        .collect();
    assert_eq!(written.keys().collect::<BTreeSet<_>>(), fit);
    for line in &lines {
        if let Some(status) = line.id.as_ref().and_then(|id| written.get(id)) {
            assert_eq!(status, &line.expected, "{:?} ({})", line.id, line.case);
        }
    }
    let rejected = lines.iter().filter(|line| line.expected == "rejected");
    assert_eq!(ledger["rejected"], rejected.clone().count());
    // A record without a usable id is kept by its payload, and the same payload comes once only.
    let open = database.one("SELECT count(*)::text FROM sync_rejections WHERE resolved_at IS NULL");
    assert_eq!(open, rejected.count().to_string());

    let (finished, report) = place.sync(&[]);
    finished.expect(0);
    assert_eq!(report["ledger"]["inserted"], 0);
    assert_eq!(report["ledger"]["updated"], 0);
}
