//! The log of runs, the watermark, and what is removed after a time.

use std::time::Duration;

use datasync::model::clock::Micros;
use datasync::store::{self, Connection};
use uuid::Uuid;

use super::{Bench, LIMIT, SECOND, T0, customers, plan_of};
use crate::support::postgres::Database;

#[test]
fn the_run_log_the_watermark_and_the_retention() {
    use datasync::model::record::Ledger;
    use store::log::{self, RunEnd, RunHeader};
    use store::state;
    let database = Database::new();
    let db = plan_of(&database);
    let mut conn = Connection::open(&db, LIMIT).unwrap();
    let clock = log::read_clock(&mut conn).unwrap();
    let offset = clock.now().0 - Micros::local().0;
    assert!(offset.abs() < 2 * SECOND, "{offset}");
    let header = |at| RunHeader {
        run_id: Uuid::now_v7(),
        mode: "full".to_owned(),
        shard: None,
        started_at: Micros(at),
        host: "host".to_owned(),
        os_user: "user".to_owned(),
        process_id: 7,
        version: "0.1.0".to_owned(),
        config_hash: "abc".to_owned(),
        watermark_before: None,
        command: Some("sync".to_owned()),
        source: None,
        source_key: Some("source".to_owned()),
    };
    let (killed, good) = (header(T0), header(T0 + SECOND));
    log::start(&mut conn, &db, &killed).unwrap();
    assert_eq!(log::abandon(&mut conn, &db, None, good.run_id).unwrap(), 1);
    let ledger = Ledger {
        fetched: 10,
        inserted: 7,
        rejected: 2,
        spooled: 1,
        ..Ledger::default()
    };
    let end = RunEnd {
        status: "SUCCESS".to_owned(),
        ledger,
        replayed: 0,
        flagged: 1,
        pages: 3,
        complete: true,
        end: Some("announced".to_owned()),
        completed_at: Micros(T0 + 2 * SECOND),
        error_message: None,
        watermark_after: Some("2025".to_owned()),
        exit_code: 0,
        case_id: None,
        write_back: None,
        api_retries: 0,
        db_retries: 0,
        stage_seconds: [0.1, 0.2, 0.3, 0.4],
    };
    assert_eq!(
        log::previous_complete(&mut conn, &db, "source", None).unwrap(),
        None
    );
    log::start(&mut conn, &db, &good).unwrap();
    log::finish(&mut conn, &db, &good, &end).unwrap();
    let previous = log::previous_complete(&mut conn, &db, "source", None)
        .unwrap()
        .unwrap();
    assert_eq!(
        (previous.fetched, previous.started_at),
        (10, Micros(T0 + SECOND))
    );
    assert_eq!(previous.run_id, good.run_id);
    assert!(log::complete_run_since(&mut conn, &db, "source", None, Micros(T0)).unwrap());
    assert!(!log::complete_run_since(&mut conn, &db, "source", None, Micros(T0 + SECOND)).unwrap());
    assert_eq!(
        log::previous_complete(&mut conn, &db, "source", Some("1/2")).unwrap(),
        None
    );
    assert_eq!(
        database.list(
            "SELECT status || records_processed || '/' || records_failed FROM sync_log ORDER BY id"
        ),
        ["ABANDONED0/0", "SUCCESS10/3"]
    );
    let run = good.run_id;
    assert_eq!(state::read(&mut conn, &db, "watermark").unwrap(), None);
    assert!(state::advance(&mut conn, &db, "watermark", None, "1", run).unwrap());
    assert!(!state::advance(&mut conn, &db, "watermark", None, "2", run).unwrap());
    assert!(state::advance(&mut conn, &db, "watermark", Some("1"), "2", run).unwrap());
    assert!(!state::advance(&mut conn, &db, "watermark", Some("1"), "3", run).unwrap());
    assert_eq!(
        state::read(&mut conn, &db, "watermark").unwrap().as_deref(),
        Some("2")
    );
    let mut bench = Bench::new(&database, &customers());
    bench.rows(T0, &[("a", "Ann", "1")]);
    let day = Duration::from_hours(24);
    // That of the killed run, which never ended, as well.
    assert_eq!(log::trim(&mut conn, &db, day).unwrap(), 2);
    assert_eq!(database.one("SELECT count(*) FROM sync_log"), "0");
    assert_eq!(database.one("SELECT count(*) FROM sync_batches"), "1");
}
