//! `check-db` on the tables: what is missing, what does not fit, what is too narrow, what acts on the rows. Typing what it
//! prints helps.

use serde_json::Value;

use super::{at, check, check_db, customer, failed};
use crate::support::http::Server;
use crate::support::postgres::Database;

#[test]
fn a_rule_that_keeps_rows_from_being_written_is_told_and_dropping_it_helps() {
    let database = Database::undistributed();
    database.run(
        "CREATE TABLE audit (what text); \
         CREATE RULE \"keep it\" AS ON INSERT TO customers DO ALSO INSERT INTO audit VALUES (NEW.customer_id)",
    );
    let place = at(&database);
    let result = check_db(&place, 2);
    failed(
        &result,
        "tables",
        "public.customers has a rule on INSERT or UPDATE (keep it)",
        "to drop the rules type: DROP RULE",
    );
    let hint = check(&result, "tables")["hint"].as_str().unwrap();
    database.run(hint.split_once("type: ").unwrap().1);
    check_db(&place, 0);
}

#[test]
fn a_server_behind_the_table_that_is_away_is_a_failure_of_the_database() {
    let database = Database::undistributed();
    // As Citus reports a worker that is down.
    database.run(
        "CREATE FUNCTION away() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN \
         RAISE EXCEPTION 'connection to the remote node worker:5432 failed' USING ERRCODE = '08006'; END $$; \
         ALTER TABLE customers RENAME TO stored; INSERT INTO stored (customer_id) VALUES ('a'); \
         CREATE VIEW customers AS SELECT * FROM stored WHERE away()",
    );
    let api = crate::support::http::Server::new()
        .records(super::texts(5))
        .start();
    let place = at(&database).with_api(api.url());
    let result = check_db(&place, 4);
    failed(&result, "tables", "SQLSTATE 08006", "");
    let (finished, report) = place.sync(&[]);
    finished.expect(4).says("08006");
    assert_eq!(
        report["ledger"]["spooled"], 5,
        "what was fetched is kept: {report}"
    );
    database.run("CREATE OR REPLACE FUNCTION away() RETURNS boolean LANGUAGE sql AS 'SELECT true'");
    check_db(&place, 0);
    place.sync(&[]).0.expect(0);
}

#[test]
fn tables_columns_and_key_that_do_not_fit_are_told_apart() {
    let database = Database::undistributed();
    let place = at(&database);
    database.run("DROP TABLE sync_cases");
    let result = check_db(&place, 2);
    failed(
        &result,
        "tables",
        "public.sync_cases does not exist",
        "check-db --apply-schema",
    );
    assert_eq!(check(&result, "columns")["ok"], true);
    place.run(&["check-db", "--apply-schema"]).expect(0);

    database.run(
        "ALTER TABLE customers RENAME email TO e_mail; \
         ALTER TABLE customers ALTER quality_score TYPE boolean USING true",
    );
    let result = check_db(&place, 2);
    failed(
        &result,
        "columns",
        "field email: table public.customers has no column email",
        "the nearest is e_mail",
    );
    failed(
        &result,
        "columns",
        "field qualityScore is of type decimal, but column quality_score is boolean",
        "change the field's type",
    );
    assert_eq!(check(&result, "tables")["ok"], true);
    database.run(
        "ALTER TABLE customers RENAME e_mail TO email; ALTER TABLE customers DROP quality_score; \
         ALTER TABLE customers ADD quality_score numeric; \
         ALTER TABLE customers ADD region text NOT NULL DEFAULT 'x'; ALTER TABLE customers ALTER region DROP DEFAULT",
    );
    let result = check_db(&place, 2);
    failed(
        &result,
        "columns",
        "column region of public.customers must have a value",
        "ALTER COLUMN \"region\" DROP NOT NULL",
    );
    database.run(
        "ALTER TABLE customers DROP region; ALTER TABLE customers DROP CONSTRAINT customers_customer_id_key",
    );
    let result = check_db(&place, 2);
    failed(
        &result,
        "key",
        "customer_id of public.customers is the conflict key but not unique",
        "ADD UNIQUE (\"customer_id\")",
    );
    // Typing it helps.
    let hint = check(&result, "key")["hint"].as_str().unwrap().to_owned();
    database.run(hint.strip_prefix("type: ").unwrap());
    check_db(&place, 0);
    // A table that is not there at all.
    database.run("ALTER TABLE customers RENAME TO clients");
    let result = check_db(&place, 2);
    failed(
        &result,
        "tables",
        "public.customers does not exist",
        "check-db --apply-schema",
    );
}

#[test]
fn a_text_that_may_be_longer_than_its_column_is_told_with_both_lengths() {
    let database = Database::new();
    let place = at(&database);
    place.edit(
        "mappings.yaml",
        "full_name: { to: customerName, max_length: 255 }",
        "full_name: { to: customerName, max_length: 400 }",
    );
    let result = check_db(&place, 2);
    failed(
        &result,
        "lengths",
        "field customerName: max_length is 400, column customer_name holds 255",
        "TYPE varchar(400)",
    );
    database.run("ALTER TABLE customers ALTER COLUMN customer_name TYPE varchar(400)");
    check_db(&place, 0);
}

#[test]
fn a_column_too_narrow_for_what_datasync_fills_is_told_and_typing_the_remedy_helps() {
    let database = Database::undistributed();
    database.run("CREATE TYPE status AS ENUM ('VALID', 'INVALID')");
    let place = at(&database);
    for (column, ty) in [
        ("validation_status", "varchar(3)"),
        ("validation_status", "integer"),
        ("validation_status", "status"),
        ("needs_review", "varchar(3)"),
        ("needs_review", "date"),
        ("source_version", "date"),
        ("source_version", "text"),
    ] {
        database.run(&format!(
            "ALTER TABLE customers DROP {column}; ALTER TABLE customers ADD {column} {ty}"
        ));
        let result = check_db(&place, 2);
        let told = format!("column {column} of public.customers is ");
        failed(&result, "columns", &told, "type: ALTER TABLE");
        let hint = check(&result, "columns")["hint"]
            .as_str()
            .unwrap()
            .to_owned();
        database.run(hint.strip_prefix("type: ").unwrap());
        check_db(&place, 0);
    }
}

#[test]
fn what_else_acts_on_the_rows_is_told() {
    let database = Database::undistributed();
    let place = at(&database);
    let facts = || {
        let result = check_db(&place, 0);
        check(&result, "beside")["detail"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(facts(), "filled by their defaults: id");
    database.run(
        "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; \
         CREATE TRIGGER touch BEFORE INSERT ON customers FOR EACH ROW EXECUTE FUNCTION touch(); \
         ALTER TABLE customers ADD region text DEFAULT 'x'",
    );
    let told = facts();
    for fact in [
        "trigger touch fires on what is written",
        "filled by their defaults: id, region",
    ] {
        assert!(told.contains(fact), "{told}");
    }
}

#[test]
fn columns_that_take_no_value_directly_and_times_without_a_zone_are_told() {
    let database = Database::undistributed();
    let place = at(&database);
    let types = |result: &Value| {
        check(result, "types")["detail"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let result = check_db(&place, 0);
    assert!(
        types(&result).contains("rows are written by COPY"),
        "{result}"
    );
    // Tables of the convention.
    database.run(
        "ALTER TABLE customers ALTER quality_score TYPE integer, ALTER created_at TYPE timestamp",
    );
    let result = check_db(&place, 0);
    assert!(
        types(&result).contains("rows are written by COPY"),
        "{result}"
    );
    assert!(
        types(&result).contains(
            "column created_at (timestamp without time zone) has no time zone: it gets the date and time of UTC"
        ),
        "{result}"
    );
    database.run("ALTER TABLE customers ALTER record_type TYPE timestamp USING null, ALTER email TYPE inet USING null");
    let result = check_db(&place, 0);
    for column in ["record_type (timestamp without time zone)", "email (inet)"] {
        let told = format!("column {column} has its values converted by PostgreSQL");
        assert!(types(&result).contains(&told), "{result}");
    }
    assert_eq!(
        check(&result, "types")["hint"],
        "give field recordType `type: datetime` in mappings.yaml"
    );
}

#[test]
fn the_remedies_for_tables_under_other_names_lead_to_a_sync() {
    let database = Database::undistributed();
    database
        .run("ALTER TABLE customers RENAME COLUMN email TO mail; ALTER TABLE sync_log DROP pages");
    let columns = || {
        database.list(
            "SELECT table_name || '.' || column_name FROM information_schema.columns \
             WHERE table_schema = 'public' AND table_name IN ('customers', 'sync_log') ORDER BY 1",
        )
    };
    let before = columns();
    let api = Server::new()
        .records([customer("1", "Ann", "a@b.example")])
        .start();
    let place = at(&database).with_api(api.url());
    place.edit("mappings.yaml", "name: customers,", "name: clients,");
    place.edit("mappings.yaml", "{ name: sync_log,", "{ name: audit,");
    let result = check_db(&place, 2);
    for table in ["public.clients", "public.audit"] {
        failed(
            &result,
            "tables",
            &format!("{table} does not exist"),
            "datasync check-db --apply-schema",
        );
    }
    place.run(&["check-db", "--apply-schema"]).expect(0);
    check_db(&place, 0);
    place.run(&["sync"]).expect(0);
    assert_eq!(database.one("SELECT email FROM clients"), "a@b.example");
    assert_eq!(database.one("SELECT status FROM audit"), "SUCCESS");
    assert_eq!(columns(), before, "what is called so is another's");
    assert_eq!(
        database.list("SELECT count(*) FROM customers UNION ALL SELECT count(*) FROM sync_log"),
        ["0", "0"]
    );
}
