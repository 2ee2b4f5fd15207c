//! Mappings and tables in the plain convention of similar tools, which were not made for datasync.
#![allow(clippy::unwrap_used)]

use crate::support::Workplace;
use crate::support::http::Server;
use crate::support::postgres::Database;

const TABLES: &str = "
CREATE TABLE customers (
    id SERIAL PRIMARY KEY,
    customer_id VARCHAR(100) UNIQUE NOT NULL,
    customer_name VARCHAR(255) NOT NULL,
    email VARCHAR(255),
    record_type VARCHAR(50),
    quality_score INTEGER,
    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE sync_log (
    id SERIAL PRIMARY KEY,
    sync_id VARCHAR(100) NOT NULL,
    status VARCHAR(50) NOT NULL,
    records_processed INTEGER DEFAULT 0,
    records_failed INTEGER DEFAULT 0,
    started_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    completed_at TIMESTAMP,
    error_message TEXT
);";

fn record(id: u32, score: &str) -> String {
    format!(
        r#"{{"external_id":"C-{id}","full_name":"Name {id}","contact_email":"c{id}@example.com","created_date":"2026-01-31T08:00:00+01:00","quality_score":{score},"record_type":"lead"}}"#
    )
}

/// A workplace with the convention's mapping file as it is, and the convention's tables.
fn workplace(api: &str, database: &Database, sync_id: &str) -> Workplace {
    let owned = "DROP TABLE customers, sync_log, sync_batches, sync_rejections, sync_explanations, sync_rejections_seen, \
                 sync_outbox, sync_cases, sync_state, sync_lease CASCADE";
    database.run(owned);
    database.run(&TABLES.replace("sync_id VARCHAR(100)", &format!("sync_id {sync_id}")));
    database.run(&format!(
        "ALTER DATABASE {} SET TimeZone = 'Asia/Kolkata'",
        database.name
    ));
    let place = Workplace::connected(api, database).env("DB_SSLMODE", "disable");
    place.write(
        "mappings.yaml",
        include_str!("../../fixtures/config/convention.yaml"),
    );
    place
}

#[test]
fn the_tables_of_the_convention_are_completed_and_written_twice() {
    for sync_id in ["UUID", "VARCHAR(100)", "TEXT UNIQUE"] {
        let mut records: Vec<String> = (1..10).map(|id| record(id, "95")).collect();
        records.push(record(10, "79.5"));
        let api = Server::new().records(records).start();
        let database = Database::undistributed();
        let place = workplace(api.url(), &database, sync_id);
        place
            .run(&["check-db"])
            .expect(2)
            .says("datasync check-db --apply-schema");
        place.run(&["check-db", "--apply-schema"]).expect(0);
        for fate in ["inserted", "unchanged"] {
            let (finished, report) = place.sync(&[]);
            finished.expect(0);
            assert_eq!(report["ledger"][fate], 9, "{sync_id}: {finished}");
            assert_eq!(report["ledger"]["rejected"], 1, "{sync_id}: {finished}");
            assert_eq!(
                report["rejections_by_reason"]["field_error"], 1,
                "{finished}"
            );
            let others = finished
                .stderr
                .lines()
                .filter(|line| !line.contains("record C-10 rejected"));
            assert_eq!(others.collect::<Vec<_>>(), Vec::<&str>::new(), "{sync_id}");
        }
        // What a run that was killed leaves behind.
        database.run("UPDATE sync_log SET status = 'RUNNING' WHERE id = 2");
        place
            .run(&["sync"])
            .expect(0)
            .says("record C-10 rejected (field_error): quality_score: expected a whole number");
        let log = database.list(
            "SELECT status || ' ' || records_processed || ' ' || records_failed || ' ' || \
             (abs(extract(epoch FROM started_at - localtimestamp)) < 600)::text || ' ' || (completed_at >= started_at)::text \
             FROM sync_log ORDER BY id",
        );
        assert_eq!(
            log,
            [
                "SUCCESS 10 1 true true",
                "ABANDONED 10 1 true true",
                "SUCCESS 10 1 true true"
            ],
            "{sync_id}"
        );
        let created = "SELECT DISTINCT created_at::text FROM customers";
        assert_eq!(database.one(created), "2026-01-31 07:00:00", "{sync_id}");
        let rejection = "SELECT errors::text FROM sync_rejections_now";
        let error = database.one(rejection);
        assert!(
            error.contains("quality_score") && error.contains("whole number"),
            "{sync_id}: {error}"
        );
        let history = place.run(&["history", "--output", "json"]);
        history.expect(0);
        let runs = history.json();
        let runs = runs["runs"].as_array().unwrap();
        assert_eq!(runs.len(), 3, "{history}");
        assert!(
            runs.iter().all(|run| run["seconds"].is_number()),
            "{history}"
        );
    }
}
