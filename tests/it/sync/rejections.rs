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
