//! Which data is newer, where the source says so, and where it says nothing.

use serde_json::Value;

use crate::support::Workplace;
use crate::support::http::Server;
use crate::support::postgres::Database;

/// A source of one record, whose version is mapped.
fn run(database: &Database, name: &str, version: &str) -> (i32, Value) {
    run_with(database, name, version, true)
}

fn run_with(database: &Database, name: &str, version: &str, is_mapped: bool) -> (i32, Value) {
    run_changed(database, name, version, is_mapped, &|_| {})
}

fn run_changed(
    database: &Database,
    name: &str,
    version: &str,
    is_mapped: bool,
    change: &dyn Fn(&Workplace),
) -> (i32, Value) {
    let record = format!(
        r#"{{"external_id":"V-1","full_name":"{name}","contact_email":"v@example.com","quality_score":90,"record_type":"lead","updated_date":{version}}}"#
    );
    let api = Server::new().records([record]).start();
    let place = Workplace::connected(api.url(), database);
    place.edit("mappings.yaml", "# updated_date:", "updated_date:");
    if is_mapped {
        place.edit("mappings.yaml", "# version_field:", "version_field:");
    }
    place.edit(
        "mappings.yaml",
        "rejection_rate: 20%",
        "rejection_rate: 100%",
    );
    change(&place);
    let (finished, report) = place.sync(&[]);
    (finished.code, report["ledger"].clone())
}

#[track_caller]
fn expect(database: &Database, name: &str, version: &str, outcome: &str) {
    let (code, ledger) = run(database, name, version);
    assert_eq!(code, 0, "{ledger}");
    assert_eq!(ledger[outcome], 1, "{name} {version}: {ledger}");
}

fn stored(database: &Database) -> String {
    database.one(
        "SELECT customer_name || ' ' || coalesce(to_char(source_version AT TIME ZONE 'UTC', 'YYYY'), 'none') FROM customers",
    )
}

#[test]
fn a_record_without_a_version_is_compared_by_its_content_and_never_takes_the_time_of_its_request() {
    let database = Database::new();
    expect(&database, "Ann", "null", "inserted");
    assert_eq!(stored(&database), "Ann none");
    expect(&database, "Ann", "null", "unchanged");
    expect(&database, "Bo", "null", "updated");
    expect(&database, "Bo", "\"2020-01-01T00:00:00Z\"", "updated");
    assert_eq!(stored(&database), "Bo 2020");
    // Without a version nothing says that it is older; what is known of the version stays.
    expect(&database, "Bo", "null", "unchanged");
    expect(&database, "Cy", "null", "updated");
    assert_eq!(stored(&database), "Cy 2020");
    expect(&database, "Di", "\"2019-01-01T00:00:00Z\"", "superseded");
    expect(&database, "Di", "\"2020-01-01T00:00:00Z\"", "updated");
    assert_eq!(stored(&database), "Di 2020");
}

#[test]
fn a_version_far_in_the_future_is_a_field_error_and_does_not_make_a_row_stale_for_good() {
    let database = Database::new();
    expect(&database, "Ann", "\"2020-01-01T00:00:00Z\"", "inserted");
    expect(&database, "Bo", "\"2999-01-01T00:00:00Z\"", "rejected");
    let message = database.one("SELECT message FROM sync_rejections");
    assert!(message.contains("at most 1d ahead"), "{message}");
    expect(&database, "Cy", "\"2021-01-01T00:00:00Z\"", "updated");
    assert_eq!(stored(&database), "Cy 2021");
}

#[test]
fn how_far_a_version_may_be_ahead_is_a_setting() {
    let database = Database::new();
    let in_an_hour = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
    let version = format!("\"{in_an_hour:.0}\"");
    let ahead = |limit: &'static str| {
        move |place: &Workplace| {
            let keys = format!("version_field: sourceUpdatedAt\n  version_max_ahead: {limit} #");
            place.edit("mappings.yaml", "version_field: sourceUpdatedAt", &keys);
        }
    };
    let (code, ledger) = run_changed(&database, "Ann", &version, true, &ahead("30m"));
    assert_eq!(
        (code, &ledger["rejected"]),
        (0, &Value::from(1)),
        "{ledger}"
    );
    let message = database.one("SELECT message FROM sync_rejections");
    assert!(
        message.contains("at most 30m ahead") && message.contains("version_max_ahead"),
        "{message}"
    );
    let (code, ledger) = run_changed(&database, "Ann", &version, true, &ahead("2h"));
    assert_eq!(
        (code, &ledger["inserted"]),
        (0, &Value::from(1)),
        "{ledger}"
    );
    let far = "\"2099-01-01T00:00:00Z\"";
    let (code, ledger) = run_changed(&database, "Bo", far, true, &ahead("36500d"));
    assert_eq!((code, &ledger["updated"]), (0, &Value::from(1)), "{ledger}");
}

/// The rows hold times of requests, which are later than any version of the source.
#[test]
fn a_version_that_is_mapped_later_is_not_compared_with_the_times_of_requests() {
    let database = Database::new();
    let (code, ledger) = run_with(&database, "Ann", "\"2020-01-01T00:00:00Z\"", false);
    assert_eq!(
        (code, &ledger["inserted"]),
        (0, &Value::from(1)),
        "{ledger}"
    );
    expect(&database, "Bo", "\"2020-01-01T00:00:00Z\"", "updated");
    assert_eq!(stored(&database), "Bo 2020");
    expect(&database, "Bo", "\"2020-01-01T00:00:00Z\"", "unchanged");
    // From then on the guard holds.
    expect(&database, "Cy", "\"2019-01-01T00:00:00Z\"", "superseded");
    expect(&database, "Di", "\"2021-01-01T00:00:00Z\"", "updated");
    assert_eq!(stored(&database), "Di 2021");
}
