//! Explanations where people find them: beside the stored rejection, and for records as the API has them.

use serde_json::Value;

use crate::support::Workplace;
use crate::support::http::Server;
use crate::support::postgres::Database;

#[test]
fn the_explanation_is_stored_with_the_rejection_and_shown_for_the_apis_records() {
    let records: Vec<String> = [("K-1", "95"), ("K-2", "12")]
        .iter()
        .map(|(id, score)| {
            format!(
                r#"{{"external_id":"{id}","full_name":"Name","contact_email":"k@example.com","quality_score":{score},"record_type":"lead"}}"#
            )
        })
        .collect();
    let api = Server::new().records(records).start();
    let database = Database::new();
    let place = Workplace::connected(api.url(), &database);
    place
        .run(&["validate", "--fetch", "--explain", "K-2"])
        .expect(0)
        .says("Rule_ScoreTooLow  ")
        .says("qualityScore 12 → 80 gives VALID");
    place.sync(&[]);
    let stored = database.one("SELECT explanation::text FROM sync_rejections_now");
    let stored: Value = serde_json::from_str(&stored).unwrap();
    assert_eq!(stored["fired"], serde_json::json!(["Rule_ScoreTooLow"]));
    let changes = stored["nearest"].as_array().unwrap();
    let last = changes.last().unwrap();
    assert_eq!(last["gives"], "VALID");
    assert_eq!(last["changes"][0]["to"], 80);
    assert!(
        stored["facts"].to_string().contains("qualityScore")
            && stored["rules"].to_string().contains("Rule_Good"),
        "{stored}"
    );
}
