//! Citus. `check-db` on a real cluster needs one: `TEST_DATABASE_URL` naming its coordinator (docs/citus.md), and then all
//! end-to-end tests run on distributed tables. Elsewhere those tests say so and do not pretend.
#![allow(clippy::unwrap_used)]

use crate::support::Workplace;
use crate::support::http::Server;
use crate::support::postgres::{Database, on_citus};

fn texts(name: &str) -> Vec<String> {
    (0..300)
        .map(|i| {
            format!(
                r#"{{"external_id":"C-{i:04}","full_name":"{name} {i}","contact_email":"c{i}@example.com","quality_score":90,"record_type":"lead"}}"#
            )
        })
        .collect()
}

fn left_out() -> bool {
    let plain = !on_citus();
    if plain {
        eprintln!("left out: TEST_DATABASE_URL names no Citus cluster");
    }
    plain
}

#[test]
fn without_citus_nobody_hears_of_it() {
    if on_citus() {
        return;
    }
    let database = Database::new();
    let finished = Workplace::new().with_database(&database).run(&["check-db"]);
    finished.expect(0);
    assert!(
        !finished.stdout.to_lowercase().contains("citus"),
        "{finished}"
    );
}

#[test]
fn check_db_recognises_citus_and_names_the_table_that_is_in_the_way() {
    if left_out() {
        return;
    }
    let database = Database::new();
    let place = Workplace::new().with_database(&database);
    place
        .run(&["check-db"])
        .expect(0)
        .says("public.customers is distributed by customer_id, 4 shards on");
    database.run("SELECT create_reference_table('sync_log')");
    let finished = place.run(&["check-db"]);
    finished
        .expect(2)
        .says("FAIL citus")
        .says("public.sync_log must be a plain table of the coordinator");
    // What it says is what helps.
    for line in finished.stdout.lines() {
        if let Some((_, statement)) = line.split_once("→ ")
            && statement.ends_with(';')
        {
            database.run(statement);
        }
    }
    place.run(&["check-db", "--apply-schema"]).expect(0);
}

#[test]
fn a_table_distributed_by_another_column_is_told_before_anything_is_fetched() {
    if left_out() {
        return;
    }
    let database = Database::new();
    database.run(
        "DROP TABLE customers; CREATE TABLE customers (id bigint, customer_id varchar(100) NOT NULL, \
         customer_name varchar(255), email varchar(255), record_type varchar(50), quality_score numeric, \
         created_at timestamptz); SELECT create_distributed_table('customers', 'id')",
    );
    let api = Server::new().records(texts("Name")).start();
    let place = Workplace::connected(api.url(), &database);
    place
        .run(&["check-db"])
        .expect(2)
        .says("public.customers is distributed by id, but a record is found by customer_id alone")
        .says("make public.customers anew, distributed by customer_id");
    place.run(&["sync"]).expect(2);
    assert!(api.requests().is_empty());
}

#[test]
fn a_distributed_table_takes_inserts_updates_and_what_stays_as_it_is() {
    if left_out() {
        return;
    }
    let database = Database::new();
    let place = |texts| {
        let api = Server::new().records(texts).start();
        (Workplace::connected(api.url(), &database), api)
    };
    let mut records = texts("Name");
    let (first, _api) = place(records.clone());
    assert_eq!(first.sync(&[]).1["ledger"]["inserted"], 300);
    records.splice(0..100, texts("Other").into_iter().take(100));
    let (second, _api) = place(records);
    database.run("DELETE FROM customers WHERE customer_id >= 'C-0290'");
    for arguments in [&["--dry-run"][..], &[]] {
        let (_, report) = second.sync(arguments);
        let ledger = &report["ledger"];
        assert_eq!(
            (
                &ledger["inserted"],
                &ledger["updated"],
                &ledger["unchanged"]
            ),
            (&10.into(), &100.into(), &190.into()),
            "{report}"
        );
    }
    assert_eq!(
        database.one("SELECT count(*)::text FROM customers WHERE customer_name LIKE 'Other%'"),
        "100"
    );
}
