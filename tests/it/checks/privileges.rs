//! `check-db` on privileges: it prints all missing GRANTs at once, and typing them solves the problem.

use super::{at, check, check_db, failed};
use crate::support::http::Server;
use crate::support::postgres::Database;

#[test]
fn privileges_on_the_columns_that_are_written_are_enough() {
    let database = Database::direct();
    let role = format!("role_{}", database.name);
    let own = "customer_id, customer_name, email, record_type, quality_score, created_at, validation_status, needs_review, \
               source_version, sync_id, updated_at";
    database.run(&format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'pw'; GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}; \
         REVOKE INSERT, UPDATE ON customers FROM {role}; GRANT INSERT ({own}), UPDATE ({own}) ON customers TO {role}; \
         REVOKE UPDATE (customer_id) ON customers FROM {role}"
    ));
    let api = Server::new().records(super::texts(20)).start();
    let place = at(&database)
        .with_api(api.url())
        .env("DB_USER", &role)
        .env("DB_PASSWORD", "pw");
    check_db(&place, 0);
    place.sync(&[]).0.expect(0);
    database.run("UPDATE customers SET customer_name = 'x'");
    let (finished, report) = place.sync(&[]);
    finished.expect(0);
    assert_eq!(report["ledger"]["updated"], 20, "{report}");
    database.run(&format!("REVOKE UPDATE (email) ON customers FROM {role}"));
    let result = check_db(&place, 2);
    failed(
        &result,
        "privileges",
        "lacks UPDATE on public.customers",
        "GRANT UPDATE ON \"public\".\"customers\"",
    );
    drop(place);
    database.run(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

#[test]
fn a_role_that_may_not_create_tables_is_told_the_grant_and_one_that_need_not_may_not() {
    let database = Database::direct();
    let role = format!("role_{}", database.name);
    database.run(&format!(
        "DROP SCHEMA public CASCADE; CREATE SCHEMA public; CREATE ROLE {role} LOGIN PASSWORD 'pw'; \
         GRANT USAGE ON SCHEMA public TO {role}"
    ));
    let place = at(&database).env("DB_USER", &role).env("DB_PASSWORD", "pw");
    let applied = place.run(&["check-db", "--apply-schema", "--output", "json"]);
    applied.expect(2);
    failed(
        &applied.json(),
        "apply-schema",
        "permission denied for schema public",
        "type the GRANTs",
    );
    failed(
        &applied.json(),
        "privileges",
        "lacks CREATE on schema public, where a table is missing",
        &format!("GRANT CREATE ON SCHEMA \"public\" TO \"{role}\";"),
    );
    database.run(
        check(&applied.json(), "privileges")["hint"]
            .as_str()
            .unwrap(),
    );
    place.run(&["check-db", "--apply-schema"]).expect(0);
    // Where nothing is missing nothing is asked for: not the schema, and not the tables, which are another's.
    database.run(&format!(
        "REVOKE CREATE ON SCHEMA public FROM {role}; REASSIGN OWNED BY {role} TO CURRENT_USER; \
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}"
    ));
    place.run(&["check-db", "--apply-schema"]).expect(0);
    drop(place);
    database.run(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

#[test]
fn each_missing_privilege_is_named_with_its_grant_and_granting_them_helps() {
    let database = Database::direct();
    let role = format!("role_{}", database.name);
    database.run(&format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'pw'; GRANT SELECT ON customers TO {role}; \
         REVOKE USAGE ON SCHEMA public FROM public; \
         CREATE SEQUENCE numbers OWNED BY customers.id; "
    ));
    let place = at(&database).env("DB_USER", &role).env("DB_PASSWORD", "pw");
    database.run("CREATE INDEX ON customers (email)");
    let result = check_db(&place, 2);
    failed(
        &result,
        "privileges",
        "lacks USAGE on schema public",
        &format!("GRANT USAGE ON SCHEMA \"public\" TO \"{role}\";"),
    );
    for (detail, hint) in [
        (
            "INSERT, UPDATE on public.customers",
            "GRANT INSERT, UPDATE ON \"public\".\"customers\"",
        ),
        (
            "SELECT, INSERT, UPDATE, DELETE on public.sync_log",
            "GRANT SELECT, INSERT, UPDATE, DELETE ON \"public\".\"sync_log\"",
        ),
        (
            "USAGE on sequence public.numbers",
            "GRANT USAGE ON SEQUENCE public.numbers",
        ),
    ] {
        failed(&result, "privileges", detail, hint);
    }
    database.run(check(&result, "privileges")["hint"].as_str().unwrap());
    check_db(&place, 0);
    let api = Server::new().records(super::texts(20)).start();
    let place = place.with_api(api.url());
    place.sync(&[]).0.expect(0);
    drop(place);
    database.run(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}
