//! `check-db` on the conflict key: which column it is, and how another becomes unique.

use serde_json::json;

use super::{at, check, check_db, customer, failed};
use crate::support::Workplace;
use crate::support::http::Server;
use crate::support::postgres::Database;

#[test]
fn a_key_is_only_to_be_made_unique_where_postgresql_would_do_it() {
    let database = Database::undistributed();
    let place = at(&database);
    let hint = |words: &str| {
        let result = check_db(&place, 2);
        failed(&result, "key", "not unique by itself", words);
        check(&result, "key")["hint"].as_str().unwrap().to_owned()
    };
    let typed = |hint: &str| {
        let statement = hint.rsplit_once("type: ").unwrap().1;
        database.run(statement);
        check_db(&place, 0);
    };
    database.run(
        "ALTER TABLE customers DROP CONSTRAINT customers_customer_id_key; \
         INSERT INTO customers (customer_id) VALUES ('a'), ('a'), ('b')",
    );
    let told = hint("some rows have the same customer_id: remove all but one of each");
    let list = told
        .split_once('(')
        .unwrap()
        .1
        .split_once(" lists them)")
        .unwrap()
        .0;
    assert_eq!(
        database.list(&format!("SELECT count::text FROM ({list}) l")),
        ["2"]
    );
    database.run("DELETE FROM customers c USING customers d WHERE c.customer_id = d.customer_id AND c.id > d.id");
    typed(&told);
    database.run(
        "ALTER TABLE customers DROP CONSTRAINT customers_customer_id_key; \
         CREATE UNIQUE INDEX partly ON customers (customer_id) WHERE needs_review",
    );
    typed(&hint("partly is unique but partial"));
    database.run(
        "DROP INDEX partly; ALTER TABLE customers DROP CONSTRAINT customers_customer_id_key; \
         TRUNCATE customers; ALTER TABLE customers ALTER customer_id TYPE json USING NULL",
    );
    typed(&hint("a column of this type cannot be unique"));
    database.run(
        "ALTER TABLE customers RENAME TO clients; CREATE VIEW customers AS SELECT DISTINCT * FROM clients",
    );
    hint("name the table behind it");
    database.run(
        "DROP VIEW customers; CREATE TABLE customers (LIKE clients) PARTITION BY HASH (email)",
    );
    hint("only where it is partitioned by customer_id alone");
    // A key that is the primary key is as good as any.
    database.run(
        "DROP TABLE customers; ALTER TABLE clients RENAME TO customers; \
         DO $$ DECLARE c text; BEGIN FOR c IN SELECT conname FROM pg_constraint WHERE conrelid = 'customers'::regclass \
           LOOP EXECUTE format('ALTER TABLE customers DROP CONSTRAINT %I', c); END LOOP; END $$; \
         ALTER TABLE customers ADD PRIMARY KEY (customer_id)",
    );
    check_db(&place, 0);
}

/// The shipped mapping without a word on the conflict key.
fn without_a_key(database: &Database) -> Workplace {
    let place = at(database);
    place.edit("mappings.yaml", ", conflict_key: customer_id", "");
    place
}

#[test]
fn the_one_unique_column_that_a_field_feeds_is_the_conflict_key() {
    let database = Database::undistributed();
    database.run(
        "ALTER TABLE customers DROP CONSTRAINT customers_customer_id_key, ADD UNIQUE (email), \
         ADD code text UNIQUE, ADD UNIQUE (customer_name, email)",
    );
    let usual = without_a_key(&database);
    let place = without_a_key(&database);
    place.edit(
        "mappings.yaml",
        "external_id: { to: customerId, max_length: 100 }",
        "external_id: { to: customerId, max_length: 100, column: customer_code }",
    );
    let api = |name: &str| {
        Server::new()
            .records([
                customer("1", name, "a@b.example"),
                customer("2", name, "c@d.example"),
            ])
            .start()
    };
    // Whether the usual column is fed or not.
    for (place, column) in [(usual, "customer_id"), (place, "customer_code")] {
        if column == "customer_code" {
            database.run(
                "TRUNCATE customers; ALTER TABLE customers RENAME customer_id TO customer_code",
            );
        }
        let result = check_db(&place, 0);
        let key = check(&result, "key")["detail"].as_str().unwrap().to_owned();
        assert!(key.ends_with("is unique by email"), "{key}");
        let first = api("Ann");
        let place = place.with_api(first.url());
        place.run(&["sync"]).expect(0);
        let second = api("Bob");
        let place = place.with_api(second.url());
        let (finished, report) = place.sync(&[]);
        finished.expect(0);
        assert_eq!(report["ledger"]["updated"], 2, "{report}");
        assert_eq!(
            database.list(&format!(
                "SELECT concat_ws(' ', {column}, customer_name, email) FROM customers ORDER BY 1"
            )),
            ["1 Bob a@b.example", "2 Bob c@d.example"]
        );
        place.run(&["validate", "--stored"]).expect(0);
    }
}

#[test]
fn where_two_columns_could_be_the_conflict_key_it_must_be_said() {
    let database = Database::undistributed();
    database.run("ALTER TABLE customers ADD UNIQUE (email)");
    let api = Server::new()
        .records([customer("1", "Ann", "a@b.example")])
        .start();
    let place = without_a_key(&database).with_api(api.url());
    let result = check_db(&place, 2);
    failed(
        &result,
        "key",
        "customer_id and email of public.customers are unique",
        "write `conflict_key: customer_id` or `conflict_key: email` in database.tables.customers",
    );
    place
        .run(&["sync"])
        .expect(2)
        .says("write `conflict_key: customer_id` or `conflict_key: email`");
    assert!(api.requests().is_empty());
    place
        .run(&["validate", "--stored"])
        .expect(2)
        .says("check-db");
    place.edit(
        "mappings.yaml",
        "primary_key: id }",
        "primary_key: id, conflict_key: email }",
    );
    check_db(&place, 0);
    place.run(&["sync"]).expect(0);
}

#[test]
fn where_no_column_could_be_the_conflict_key_the_statement_to_type_is_told() {
    let database = Database::undistributed();
    database.run("ALTER TABLE customers DROP CONSTRAINT customers_customer_id_key");
    let api = Server::new()
        .records([customer("1", "Ann", "a@b.example")])
        .start();
    let place = without_a_key(&database).with_api(api.url());
    let none =
        "no column of public.customers is unique and fed by a field, apart from the primary key";
    let result = check_db(&place, 2);
    failed(&result, "key", none, "ADD UNIQUE (\"customer_id\")");
    place.run(&["sync"]).expect(2).says(none);
    assert!(api.requests().is_empty());
    // The primary key is the key where the file says so.
    database.run("ALTER TABLE customers DROP id, ADD PRIMARY KEY (customer_id)");
    let result = check_db(&place, 2);
    failed(&result, "key", none, "write `conflict_key: customer_id`");
    place.edit(
        "mappings.yaml",
        "primary_key: id }",
        "primary_key: id, conflict_key: customer_id }",
    );
    check_db(&place, 0);
}

#[test]
fn a_conflict_key_that_only_the_table_knows_is_waited_for() {
    let database = Database::undistributed();
    let api = Server::new()
        .records([customer("1", "Ann", "a@b.example")])
        .start();
    let place = without_a_key(&database)
        .with_api(api.url())
        .env("DB_PORT", "1");
    place.edit(
        "mappings.yaml",
        "external_id: { to: customerId, max_length: 100 }",
        "external_id: { to: customerId, max_length: 100, column: customer_code }",
    );
    let (finished, report) = place.sync(&[]);
    finished.expect(4).says("nothing was fetched");
    assert_eq!(
        (&report["pages"], &report["ledger"]["spooled"]),
        (&json!(0), &json!(0))
    );
    place
        .run(&["validate"])
        .expect(0)
        .says("`conflict_key` is missing");
}
