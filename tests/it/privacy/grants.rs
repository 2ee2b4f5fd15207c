//! Least privilege: the GRANTs that `check-db --grants` prints are enough for everything, and hold for nothing more.

use crate::support::Workplace;
use crate::support::http::{Reply, Server};
use crate::support::postgres::Cluster;

fn record(id: &str, score: u32) -> String {
    format!(
        r#"{{"external_id":"{id}","full_name":"Name","contact_email":"a@mail.example","quality_score":{score},"version":"1"}}"#
    )
}

fn statements(grants: &serde_json::Value, name: &str) -> String {
    let list = grants[name].as_array().unwrap();
    let texts: Vec<&str> = list.iter().map(|text| text.as_str().unwrap()).collect();
    texts.join(" ")
}

#[test]
fn both_roles_can_do_all_that_they_are_for_with_the_grants_that_are_printed_and_nothing_more() {
    let cluster = Cluster::new(&[], &[]);
    let database = cluster.database();
    let password = database.password.replace('\'', "''");
    database.run(&format!(
        "REVOKE ALL ON SCHEMA public FROM PUBLIC; CREATE ROLE datasync_app LOGIN PASSWORD '{password}'; \
         CREATE ROLE datasync_reader LOGIN PASSWORD '{password}'"
    ));
    database.run(&format!(
        "REVOKE ALL ON DATABASE \"{}\" FROM PUBLIC",
        database.name
    ));
    let records: Vec<String> = (1..=30)
        .map(|i| record(&format!("G-{i}"), if i % 10 == 0 { 10 } else { 90 }))
        .collect();
    let api = Server::new()
        .records(records)
        .script(|request| {
            (request.method == "PUT").then(|| Reply::Instead(503, Vec::new(), "{}".to_owned()))
        })
        .start();
    let place = Workplace::connected(api.url(), &database);
    place.edit("mappings.yaml", "enabled: false", "enabled: true");
    place.edit(
        "mappings.yaml",
        "method: PUT",
        "method: PUT\n        retry: { initial: 5ms, max: 20ms }",
    );
    place.run(&["check-db", "--apply-schema"]).expect(0);
    // A serial column, whose sequence needs a privilege of its own.
    database.run("ALTER TABLE customers ADD COLUMN number serial");
    // The role cannot get in yet, or not without that: the statements are printed all the same.
    let place = place.env("DB_USER", "datasync_app");
    let printed = place.run(&["check-db", "--grants", "--output", "json"]);
    printed.expect(0);
    let place = place.env("DB_USER", &database.user);
    let owner = place
        .run(&["check-db", "--grants", "--output", "json"])
        .expect(0)
        .json();
    assert!(
        statements(&owner, "program").contains("SEQUENCE public.customers_number_seq"),
        "{owner}"
    );
    place
        .run(&["check-db", "--grants"])
        .expect(0)
        .says("datasync_reader");
    let program = statements(&owner, "program")
        .replace(&format!("TO \"{}\"", database.user), "TO datasync_app");
    database.run(&program);
    database.run(&statements(&owner, "reader"));
    let place = place.env("DB_USER", "datasync_app");

    place.run(&["check-db"]).expect(0);
    place.sync(&[]).0.expect(3);
    place.sync(&["--full"]).0.expect(3);
    place.run(&["sync", "--dry-run"]).expect(0);
    place.run(&["validate", "--stored"]).expect(0);
    place
        .run(&["case", "list"])
        .expect(0)
        .says("api:write_back");
    let case = database.one("SELECT id FROM sync_cases");
    place.run(&["case", "show", &case]).expect(0);
    place.run(&["case", "note", &case, "seen"]).expect(0);
    place.run(&["retry", "--rejected"]).expect(3);
    place.run(&["history"]).expect(0);
    place.run(&["show", "G-10"]).expect(0).says("below 50");
    place.run(&["forget", "G-10"]).expect(0);
    assert_eq!(
        database.one("SELECT count(*)::text FROM sync_rejections WHERE key = 'G-10'"),
        "0"
    );
    // While the server is away, and back again.
    cluster.stop("fast");
    place.run(&["sync"]).expect(4);
    cluster.start();
    place.run(&["retry"]).expect(3);
    // It owns nothing, and deletes no row of the table.
    let as_role = |role: &str, sql: &str| {
        database
            .client()
            .batch_execute(&format!("SET ROLE {role}; {sql}"))
            .is_ok()
    };
    assert!(!as_role("datasync_app", "DELETE FROM customers"));
    assert!(!as_role("datasync_app", "DROP TABLE sync_log"));
    assert!(!as_role("datasync_app", "CREATE TABLE mine (a int)"));

    // The reader sees runs and cases, and no value.
    let reader = place.env("DB_USER", "datasync_reader");
    reader.run(&["history"]).expect(0);
    reader.run(&["case", "list"]).expect(0);
    reader.run(&["case", "show", &case]).expect(0);
    reader
        .run(&["show", "G-1"])
        .expect(4)
        .says("permission denied");
    for table in [
        "customers",
        "sync_rejections",
        "sync_rejections_now",
        "sync_explanations",
        "sync_outbox",
    ] {
        assert!(
            !as_role("datasync_reader", &format!("SELECT FROM {table}")),
            "{table}"
        );
    }
    database.run(&statements(&owner, "reader_of_records"));
    reader
        .run(&["show", "G-1"])
        .expect(0)
        .says("a@mail.example");
    reader.run(&["validate", "--stored"]).expect(0);
    assert!(!as_role("datasync_reader", "DELETE FROM sync_rejections"));
    assert!(!as_role(
        "datasync_reader",
        "UPDATE sync_cases SET status = 'open'"
    ));
    // What it may not do is said with what is missing.
    reader.run(&["sync"]).says("permission denied");
}
