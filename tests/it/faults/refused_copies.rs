//! A COPY that PostgreSQL refuses before any row: the message has the real error, and rows that another statement may write
//! are written. Each table here is empty, so that a run begins with COPY.

use super::{count, place, rows, text, texts};
use crate::support::Workplace;
use crate::support::command::{Finished, finish};
use crate::support::http::{Running, Server};
use crate::support::postgres::Database;
use crate::support::until;

/// What was told of a connection in place of the error that ended it.
const GIVEN_UP: &str = "was given up";

/// A role with every privilege but those that are revoked by `less`, and a place where it is logged in.
fn as_role(api: &Running, database: &Database, less: &str) -> (Workplace, String) {
    let role = format!("role_{}", database.name);
    database.run(
        &format!(
            "CREATE ROLE {role} LOGIN PASSWORD 'pw'; GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}; {less}"
        )
        .replace("ROLE_NAME", &role),
    );
    let place = place(api, database)
        .env("DB_USER", &role)
        .env("DB_PASSWORD", "pw");
    (place, role)
}

fn gone(database: &Database, role: &str) {
    database.run(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

#[track_caller]
fn says_the_true_error(finished: &Finished, sqlstate: &str) {
    finished.says(sqlstate);
    assert!(!format!("{finished}").contains(GIVEN_UP), "{finished}");
}

/// Types the GRANTs of `check-db`; then everything is written.
fn mended_by_check_db(place: &Workplace, database: &Database, grant: &str) {
    let checked = place.run(&["check-db", "--output", "json"]);
    checked.expect(2);
    let checked = checked.json();
    let privileges = checked["checks"].as_array().unwrap().iter();
    let privileges = privileges
        .clone()
        .find(|check| check["name"] == "privileges");
    let hint = privileges.unwrap()["hint"].as_str().unwrap();
    assert!(hint.contains(grant), "{hint}");
    database.run(hint);
    let (finished, report) = place.sync(&["--full"]);
    finished.expect(0);
    assert_eq!(count(&report, "spooled"), 0, "{report}");
    assert_eq!(rows(database), "120");
}

#[test]
fn row_47_a_role_that_may_not_insert_is_told_so_with_the_grant_to_type() {
    let api = Server::new().records(texts(120)).start();
    let database = Database::direct();
    let (place, role) = as_role(&api, &database, "REVOKE INSERT ON customers FROM ROLE_NAME");
    let (finished, report) = place.sync(&[]);
    finished.expect(4);
    assert_eq!(count(&report, "spooled"), 120, "{report}");
    says_the_true_error(
        &finished,
        "permission denied for table customers (SQLSTATE 42501)",
    );
    finished.says("check-db");
    let told = database.list("SELECT document::text FROM sync_cases");
    assert!(told.iter().any(|case| case.contains("42501")), "{told:?}");
    assert!(!told.iter().any(|case| case.contains(GIVEN_UP)), "{told:?}");
    mended_by_check_db(
        &place,
        &database,
        "GRANT INSERT ON \"public\".\"customers\"",
    );
    gone(&database, &role);
}

#[test]
fn row_47_a_column_that_may_not_be_inserted_into_is_told_with_the_grant_to_type() {
    let api = Server::new().records(texts(120)).start();
    let database = Database::direct();
    let columns = "customer_id, customer_name, record_type, quality_score, created_at, validation_status, needs_review, \
                   source_version, sync_id, updated_at";
    let less = format!(
        "REVOKE INSERT ON customers FROM ROLE_NAME; GRANT INSERT ({columns}) ON customers TO ROLE_NAME"
    );
    let (place, role) = as_role(&api, &database, &less);
    let (finished, report) = place.sync(&[]);
    finished.expect(4);
    assert_eq!(count(&report, "spooled"), 120, "{report}");
    says_the_true_error(&finished, "SQLSTATE 42501");
    mended_by_check_db(
        &place,
        &database,
        "GRANT INSERT ON \"public\".\"customers\"",
    );
    gone(&database, &role);
}

#[test]
fn row_81_a_table_with_policies_takes_no_copy_and_is_written_all_the_same() {
    let api = Server::new().records(texts(120)).start();
    let database = Database::direct();
    let (place, role) = as_role(
        &api,
        &database,
        "ALTER TABLE customers ENABLE ROW LEVEL SECURITY; CREATE POLICY every ON customers USING (true)",
    );
    let (finished, report) = place.sync(&["-v"]);
    finished.expect(0);
    assert_eq!(count(&report, "inserted"), 120, "{report}");
    says_the_true_error(&finished, "SQLSTATE 0A000");
    gone(&database, &role);
}

#[test]
fn row_40_a_server_that_turns_read_only_before_the_first_copy_is_told() {
    let api = Server::new().records(texts(120)).held_after(0).start();
    let database = Database::direct();
    let (place, role) = as_role(&api, &database, "");
    let place = super::patient(place);
    let child = place.start(&["sync", "--output", "json"]);
    until("a request", || !api.requests().is_empty());
    database.run(&format!(
        "ALTER ROLE {role} SET default_transaction_read_only = on; \
         SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'"
    ));
    api.let_go();
    let finished = finish(child);
    finished.expect(4);
    assert_eq!(count(&finished.json(), "spooled"), 120, "{finished}");
    says_the_true_error(&finished, "SQLSTATE 25006");
    database.run(&format!(
        "ALTER ROLE {role} RESET default_transaction_read_only"
    ));
    place.sync(&["--full"]).0.expect(0);
    assert_eq!(rows(&database), "120");
    gone(&database, &role);
}

#[test]
fn row_50_a_lock_on_the_table_before_the_first_copy_is_waited_for_and_told() {
    let api = Server::new()
        .records(vec![text("F-00001")])
        .held_after(0)
        .start();
    let database = Database::direct();
    let place = super::patient(place(&api, &database));
    place.edit("mappings.yaml", "lock_timeout: 10s", "lock_timeout: 200ms");
    let child = place.start(&["sync", "--output", "json"]);
    until("a request", || !api.requests().is_empty());
    let mut holder = database.client();
    let mut held = holder.transaction().unwrap();
    held.batch_execute("LOCK TABLE customers IN ACCESS EXCLUSIVE MODE")
        .unwrap();
    api.let_go();
    let finished = finish(child);
    finished.expect(4);
    says_the_true_error(&finished, "SQLSTATE 55P03");
    held.rollback().unwrap();
    place.sync(&["--full"]).0.expect(0);
    assert_eq!(rows(&database), "1");
}

#[test]
fn row_47_a_column_that_goes_before_the_first_copy_is_named() {
    let api = Server::new().records(texts(120)).held_after(0).start();
    let database = Database::direct();
    let place = super::patient(place(&api, &database));
    let child = place.start(&["sync", "--output", "json"]);
    until("a request", || !api.requests().is_empty());
    database.run("ALTER TABLE customers RENAME COLUMN email TO mail");
    api.let_go();
    let finished = finish(child);
    finished.expect(4);
    assert_eq!(count(&finished.json(), "spooled"), 120, "{finished}");
    says_the_true_error(&finished, "SQLSTATE 42703");
}
