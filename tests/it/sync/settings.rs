//! Settings of the role or the database (`TimeZone`, `DateStyle`, …) do not change what is written.

use serde_json::json;

use crate::support::Workplace;
use crate::support::http::Server;
use crate::support::postgres::Database;

fn record(id: u32) -> String {
    json!({"external_id": format!("K-{id}"), "full_name": "Ann", "contact_email": "k@example.com",
        "created_date": "2024-03-04T23:30:00Z", "quality_score": 90, "record_type": "lead"})
    .to_string()
}

#[test]
fn settings_of_the_session_change_no_value_and_no_count() {
    let database = Database::undistributed();
    // Types of the convention, and a key whose operators are an extension's.
    database.run(
        "CREATE EXTENSION citext; ALTER TABLE customers ALTER customer_id TYPE citext, ALTER quality_score TYPE integer, \
           ALTER created_at TYPE timestamp, ALTER updated_at TYPE timestamp, ADD birthday date",
    );
    // By the database, and by the role in it.
    let set_by = |place: usize| match place % 2 {
        0 => format!("ALTER DATABASE {}", database.name),
        _ => format!("ALTER ROLE CURRENT_USER IN DATABASE {}", database.name),
    };
    for (place, setting) in [
        "TimeZone = 'Asia/Kolkata'",
        "DateStyle = 'SQL, DMY'",
        "IntervalStyle = 'sql_standard'",
        "bytea_output = 'escape'",
        "extra_float_digits = -15",
        "default_transaction_isolation = 'serializable'",
        "search_path = 'pg_catalog'",
    ]
    .into_iter()
    .enumerate()
    {
        database.run(&format!("{} SET {setting}", set_by(place)));
    }
    let api = Server::new().records((0..300).map(record)).start();
    let place = Workplace::connected(api.url(), &database);
    place.run(&["check-db"]).expect(0);
    for fate in ["inserted", "unchanged"] {
        let (finished, report) = place.sync(&["--dry-run"]);
        finished.expect(0);
        assert_eq!(report["ledger"][fate], 300, "{report}");
        let (finished, report) = place.sync(&[]);
        finished.expect(0);
        assert_eq!(report["ledger"][fate], 300, "{report}");
    }
    assert_eq!(
        database.list(
            "SELECT DISTINCT to_char(created_at, 'YYYY-MM-DD HH24:MI') || ' ' || quality_score || ' ' || \
               (abs(extract(epoch FROM updated_at - now() AT TIME ZONE 'UTC')) < 3600) FROM public.customers"
        ),
        ["2024-03-04 23:30 90 true"]
    );
    place
        .run(&["validate", "--stored"])
        .expect(0)
        .says("300 records: 300 valid, 0 to review, 0 invalid");
    place.run(&["history"]).expect(0);
}
