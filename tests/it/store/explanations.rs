//! Explanations of decisions: stored once for all rejections that share them, and deleted when none does any more.

use crate::support::Workplace;
use crate::support::http::Server;
use crate::support::postgres::Database;

fn lead(id: usize, score: u32) -> String {
    format!(
        r#"{{"external_id":"E-{id}","full_name":"Name {id}","contact_email":"e{id}@example.com","quality_score":{score},"record_type":"lead"}}"#
    )
}

/// Explanations that are stored, and different ones that rejections show.
fn stored_and_shown(database: &Database) -> [String; 2] {
    [
        database.one("SELECT count(*) FROM sync_explanations"),
        database.one("SELECT count(DISTINCT explanation::text) FROM sync_rejections_now WHERE explanation IS NOT NULL"),
    ]
}

/// Lets two days pass for what is stored, so that the next run deletes what nobody uses.
fn two_days_pass(database: &Database) {
    database.run("UPDATE sync_explanations SET used_at = used_at - interval '2 days'");
    database.run("DELETE FROM sync_state WHERE name = 'trimmed'");
}

#[test]
fn rejections_decided_on_the_same_values_share_an_explanation() {
    let database = Database::new();
    let scores = |first: u32| (0..400).map(move |id| lead(id, first + u32::from(id % 2 == 0)));
    let api = Server::new().records(scores(10)).page_size(100).start();
    let place = Workplace::connected(api.url(), &database);
    place.edit(
        "mappings.yaml",
        "rejection_rate: 20%",
        "rejection_rate: 100%",
    );
    place.sync(&[]).0.expect(0);
    assert_eq!(stored_and_shown(&database), ["2", "2"]);
    assert_eq!(
        database.one(
            "SELECT count(*) FROM sync_rejections_now WHERE explanation->>'validationResult' = 'INVALID'"
        ),
        "400"
    );
    // A day later they are still in use, and get a new date.
    two_days_pass(&database);
    place.sync(&[]).0.expect(0);
    assert_eq!(stored_and_shown(&database), ["2", "2"]);
    assert_eq!(
        database
            .one("SELECT count(*) FROM sync_explanations WHERE used_at > now() - interval '1 day'"),
        "2"
    );
    // Other values: the old ones are kept for a day, and then nobody refers to them.
    let api = Server::new().records(scores(20)).page_size(100).start();
    let place = place.with_api(api.url());
    place.sync(&[]).0.expect(0);
    assert_eq!(stored_and_shown(&database), ["4", "2"]);
    two_days_pass(&database);
    place.sync(&[]).0.expect(0);
    assert_eq!(stored_and_shown(&database), ["2", "2"]);
}
