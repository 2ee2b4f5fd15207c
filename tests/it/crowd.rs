//! A PostgreSQL with few free connections: the run works with those it gets, and says so.
#![allow(clippy::unwrap_used)]

use crate::support::Workplace;
use crate::support::http::{Running, Server};
use crate::support::postgres::{Cluster, Database};

const RECORDS: usize = 3_000;

fn api() -> Running {
    let texts: Vec<_> = (0..RECORDS)
        .map(|i| {
            format!(
                r#"{{"external_id":"P-{i:05}","full_name":"Name {i}","contact_email":"p{i}@example.com","quality_score":90,"record_type":"lead"}}"#
            )
        })
        .collect();
    Server::new().records(texts).start()
}

/// A role that may have so many connections at once, and a place that uses it.
fn limited(api: &Running, database: &Database, connections: u32) -> Workplace {
    database.run(&format!(
        "CREATE ROLE plain LOGIN PASSWORD 'plain' CONNECTION LIMIT {connections}; \
         GRANT ALL ON ALL TABLES IN SCHEMA public TO plain; GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO plain"
    ));
    let place = Workplace::connected(api.url(), database)
        .env("DB_USER", "plain")
        .env("DB_PASSWORD", "plain");
    place.edit("mappings.yaml", "batch_size: 5000 ", "batch_size: 100 ");
    place
}

fn told(report: &serde_json::Value) -> bool {
    let alerts = report["alerts"].as_array().unwrap();
    alerts.iter().any(|alert| {
        alert
            .as_str()
            .unwrap()
            .starts_with("pool_exhaustion: PostgreSQL had no connection to spare")
    })
}

#[test]
fn with_one_connection_all_is_written_and_the_exhausted_pool_is_told() {
    let cluster = Cluster::new(&[], &[]);
    let database = cluster.database();
    let api = api();
    let place = limited(&api, &database, 1);
    let (finished, report) = place.sync(&[]);
    finished.expect(0);
    assert_eq!(report["ledger"]["inserted"], RECORDS);
    assert_eq!(report["pool"]["exhausted"], true, "{report}");
    assert!(told(&report), "{report}");
    assert_eq!(
        database.one("SELECT fingerprint FROM sync_cases WHERE status = 'open'"),
        "threshold:pool_exhaustion"
    );

    database.run("ALTER ROLE plain CONNECTION LIMIT 20");
    let (finished, report) = place.sync(&[]);
    finished.expect(0);
    assert_eq!(report["ledger"]["unchanged"], RECORDS);
    assert!(!told(&report), "{report}");
    assert_eq!(
        database.one("SELECT count(*) FROM sync_cases WHERE status = 'open'"),
        "0"
    );
}

#[test]
fn with_no_connection_at_all_it_is_told_as_well_and_nothing_is_lost() {
    let cluster = Cluster::new(&[], &[]);
    let database = cluster.database();
    let api = api();
    let place = limited(&api, &database, 0);
    let (finished, report) = place.sync(&[]);
    finished.expect(4);
    assert_eq!(report["ledger"]["spooled"], RECORDS);
    assert!(told(&report), "{report}");

    database.run("ALTER ROLE plain CONNECTION LIMIT 20");
    place.run(&["retry"]).expect(0);
    assert_eq!(
        database.one("SELECT count(*)::text FROM customers"),
        RECORDS.to_string()
    );
}
