//! Inputs of a table that are called by several words, as modelers write them.

use crate::support::Workplace;
use crate::support::http::Server;
use crate::support::postgres::Database;

#[test]
fn an_input_of_several_words_is_a_mapped_field_from_the_source_to_the_column() {
    let record = |id: u32, score: u32| {
        format!(
            r#"{{"external_id":"N-{id}","full_name":"Name {id}","contact_email":"n{id}@example.com","quality_score":{score},"record_type":"lead"}}"#
        )
    };
    let records: Vec<String> = vec![
        record(1, 95),
        record(2, 60),
        record(3, 85),
        record(4, 81),
        record(5, 10),
    ];
    let api = Server::new().records(records).start();
    let database = Database::new();
    let place = Workplace::connected(api.url(), &database);
    for file in ["mappings.yaml", "decisions.dmn.xml"] {
        let text = std::fs::read_to_string(place.path(file)).unwrap();
        place.write(file, &text.replace("qualityScore", "Quality Score"));
    }
    let said = "`Quality Score` has a space, and no column is called so";
    place.run(&["validate"]).expect(2).says(said);
    place.edit(
        "mappings.yaml",
        "{ to: Quality Score, type: decimal }",
        "{ to: Quality Score, type: decimal, column: quality_score }",
    );
    place
        .run(&["validate", "--strict", "--output", "json"])
        .expect(0);
    place.write(
        "decisions.tests.yaml",
        "tests: [{ variables: { Quality Score: 95 }, expect: { rule: Rule_Good } }]",
    );
    place.run(&["validate"]).expect(0).says("1 test, 0 failed");
    let (finished, report) = place.sync(&[]);
    finished.expect(0);
    assert_eq!(report["ledger"]["inserted"], 4, "{finished}");
    let written = database.list("SELECT customer_id || ' ' || quality_score || ' ' || needs_review FROM customers ORDER BY id");
    assert_eq!(
        written,
        [
            "N-1 95 false",
            "N-2 60 true",
            "N-3 85 false",
            "N-4 81 false"
        ]
    );
    let stored = place.run(&["validate", "--stored", "--output", "json"]);
    stored.expect(0);
    assert_eq!(stored.json()["records"]["valid"], 3, "{stored}");
    let explained = place.run(&["validate", "--stored", "--explain", "N-5"]);
    explained
        .expect(0)
        .says("Quality Score 10 → 80 gives VALID");
}
