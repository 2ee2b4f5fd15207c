//! What grows with every run is kept in bounds, however the runs end.

use crate::support::Workplace;
use crate::support::http::{Fault, Server};
use crate::support::postgres::Database;

const RECORD: &str = r#"{"external_id":"G-1","full_name":"Name","contact_email":"g@example.com","quality_score":90,"record_type":"lead"}"#;

fn place(api: &str, database: &Database) -> Workplace {
    let place = Workplace::connected(api, database);
    place.edit("mappings.yaml", "initial: 500ms", "initial: 5ms");
    place.edit("mappings.yaml", "max: 30s ", "max: 20ms ");
    place
}

#[test]
fn old_rows_are_removed_whatever_the_exit_code_and_those_of_killed_runs_too() {
    let database = Database::new();
    let broken = Server::new().always(Fault::Status(500)).start();
    let place = place(broken.url(), &database);
    place.run(&["check-db", "--apply-schema"]).expect(0);
    let old = "now() - interval '200 days'";
    database.run(&format!(
        "INSERT INTO sync_log (sync_id, status, started_at, completed_at, target) VALUES \
         (gen_random_uuid(), 'FAILED', {old}, {old}, 'public.customers'), \
         (gen_random_uuid(), 'ABANDONED', {old}, NULL, 'public.customers')"
    ));
    place.run(&["sync"]).expect(3);
    assert_eq!(
        database.one(
            "SELECT count(*)::text FROM sync_log WHERE started_at < now() - interval '90 days'"
        ),
        "0"
    );
}

/// Their text is all that they are known by: when it changes with every run, what was stored of them stays.
#[test]
fn open_rejections_of_records_without_an_id_are_bounded() {
    let database = Database::new();
    let nameless = RECORD.replace("G-1", "");
    let api = Server::new().records([RECORD.to_owned(), nameless]).start();
    let place = place(api.url(), &database);
    place.edit(
        "mappings.yaml",
        "rejection_rate: 20%",
        "rejection_rate: 90%",
    );
    place.run(&["sync"]).expect(0);
    database.run(
        "INSERT INTO sync_rejections (target, key, payload, reason, message, first_run, last_run, first_seen, last_seen) \
         SELECT 'public.customers', 'sha256:' || md5(n::text), '{}', 'missing_required', 'no id', gen_random_uuid(), \
         gen_random_uuid(), now() - n * interval '1 minute', now() - n * interval '1 minute' FROM generate_series(1, 10050) n",
    );
    let open = "SELECT count(*)::text FROM sync_rejections WHERE resolved_at IS NULL";
    assert_eq!(database.one(open), "10051");
    place
        .run(&["sync"])
        .expect(0)
        .says("50 rejections of records without an id were closed");
    // The oldest went, and what the run has seen stayed.
    assert_eq!(database.one(open), "10001");
    let oldest = "SELECT (min(last_seen) > now() - interval '10001 minutes')::text FROM sync_rejections WHERE resolved_at IS NULL";
    assert_eq!(database.one(oldest), "true");
}
