//! `check-db`: every condition has a line of its own, with what was found and what to type.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{black_hole, check, failed};
use crate::support::command::finish;
use crate::support::http::Server;
use crate::support::postgres::{Cluster, Database};
use crate::support::{Workplace, until};

fn at(database: &Database) -> Workplace {
    let place = Workplace::new().with_database(database);
    place.edit(
        "mappings.yaml",
        "connection_timeout: 5s",
        "connection_timeout: 1s",
    );
    place
}

/// Runs `check-db`, which ends with this code and leaves no state behind.
fn look(place: &Workplace, code: i32) -> Value {
    let there = place.state().exists();
    let finished = place.run(&["check-db", "--output", "json"]);
    finished.expect(code);
    assert_eq!(place.state().exists(), there, "a check changes nothing");
    let result = finished.json();
    assert_eq!(result["ok"], code == 0, "{result}");
    result
}

/// The check of this name has failed, with these words in its detail and in its hint, and nothing comes after it.
#[track_caller]
fn last_failed(result: &Value, name: &str, detail: &str, hint: &str) {
    failed(result, name, detail, hint);
    let checks = result["checks"].as_array().unwrap();
    // The spool is no business of the database.
    let last = &checks[checks.len() - 2];
    assert_eq!(last["name"], name, "{result}");
}

#[test]
fn a_server_that_cannot_be_reached_is_told_by_name_port_and_silence() {
    let database = Database::new();
    let place = at(&database).env("DB_HOST", "no-such-host.invalid");
    let result = look(&place, 4);
    last_failed(&result, "dns", "no-such-host.invalid", "DB_HOST");

    let place = at(&database).env("DB_PORT", "1");
    let result = look(&place, 4);
    last_failed(&result, "tcp", "refused", "start PostgreSQL");

    let (_hole, address) = black_hole();
    let place = at(&database)
        .env("DB_HOST", "127.0.0.1")
        .env("DB_PORT", address.port().to_string());
    let started = Instant::now();
    let result = look(&place, 4);
    last_failed(&result, "tcp", "did not answer within 1 s", "firewall");
    assert!(started.elapsed() < Duration::from_secs(5));

    // Accepted, and then not a word.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let place = at(&database)
        .env("DB_HOST", "127.0.0.1")
        .env("DB_PORT", port.to_string());
    let result = look(&place, 4);
    last_failed(&result, "server", "did not answer within", "stopped");

    let folder = tempfile::tempdir().unwrap();
    let place = at(&database).env("DB_HOST", folder.path().display().to_string());
    let result = look(&place, 4);
    last_failed(&result, "socket", "cannot be reached", "DB_HOST");
}

#[test]
fn tls_that_fails_is_told_with_the_reason() {
    let named = rcgen::generate_simple_self_signed(vec!["db.example".to_owned()]).unwrap();
    let certificate = named.cert.pem();
    let cluster = Cluster::new(
        &[("ssl", "on")],
        &[
            ("server.crt", &certificate),
            ("server.key", &named.signing_key.serialize_pem()),
        ],
    );
    let database = cluster.database();
    let place = at(&database)
        .env("DB_HOST", "localhost")
        .env("DB_SSLMODE", "verify-full");
    let result = look(&place, 4);
    last_failed(&result, "tls", "UnknownIssuer", "DB_SSLROOTCERT");
    // Trusted, but for another name.
    place.write("root.pem", &certificate);
    let root = place.path("root.pem").display().to_string();
    let place = place.env("DB_SSLROOTCERT", root);
    let result = look(&place, 4);
    last_failed(&result, "tls", "db.example", "DB_HOST");
    let place = place.env("DB_SSLMODE", "verify-ca");
    let result = look(&place, 0);
    assert!(
        check(&result, "tls")["detail"]
            .as_str()
            .unwrap()
            .contains("certificate verified")
    );
    // A server without TLS.
    let plain = Database::new();
    let place = at(&plain).env("DB_SSLMODE", "require");
    let result = look(&place, 4);
    last_failed(&result, "tls", "does not support TLS", "ssl = on");
}

#[test]
fn a_login_that_fails_is_told_from_a_database_that_is_missing() {
    let database = Database::direct();
    let place = at(&database).env("DB_PASSWORD", "canary-wrong-password");
    let finished = place.run(&["check-db", "--output", "json"]);
    finished.expect(4);
    last_failed(
        &finished.json(),
        "authentication",
        "password authentication failed",
        "DB_PASSWORD",
    );
    assert!(!format!("{finished}").contains("canary-wrong-password"));
    let place = at(&database).env("DB_NAME", "no_such_database");
    let result = look(&place, 4);
    last_failed(&result, "database", "no_such_database", "DB_NAME");
}

#[test]
fn a_server_that_takes_no_writes_is_told_why() {
    let cluster = Cluster::new(&[], &[]);
    let database = cluster.database();
    database.run(&format!(
        "ALTER DATABASE {} SET default_transaction_read_only = on",
        database.name
    ));
    let place = at(&database);
    let result = look(&place, 4);
    failed(
        &result,
        "read-write",
        "read-only",
        "default_transaction_read_only",
    );
    // A replica: a server that recovers for ever.
    let data = database.one("SHOW data_directory");
    cluster.stop("fast");
    std::fs::write(std::path::Path::new(&data).join("standby.signal"), "").unwrap();
    cluster.start();
    let result = look(&place, 4);
    failed(&result, "read-write", "recovery", "primary");
}

#[test]
fn tables_columns_and_key_that_do_not_fit_are_told_apart() {
    let database = Database::undistributed();
    let place = at(&database);
    database.run("DROP TABLE sync_cases");
    let result = look(&place, 2);
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
    let result = look(&place, 2);
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
    let result = look(&place, 2);
    failed(
        &result,
        "columns",
        "column region of public.customers must have a value",
        "ALTER COLUMN \"region\" DROP NOT NULL",
    );
    database.run(
        "ALTER TABLE customers DROP region; ALTER TABLE customers DROP CONSTRAINT customers_customer_id_key",
    );
    let result = look(&place, 2);
    failed(
        &result,
        "key",
        "customer_id of public.customers is the conflict key but not unique",
        "ADD UNIQUE (\"customer_id\")",
    );
    // Typing it helps.
    let hint = check(&result, "key")["hint"].as_str().unwrap().to_owned();
    database.run(hint.strip_prefix("type: ").unwrap());
    look(&place, 0);
    // A table that is not there at all.
    database.run("ALTER TABLE customers RENAME TO clients");
    let result = look(&place, 2);
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
    let result = look(&place, 2);
    failed(
        &result,
        "lengths",
        "field customerName: max_length is 400, column customer_name holds 255",
        "TYPE varchar(400)",
    );
    database.run("ALTER TABLE customers ALTER COLUMN customer_name TYPE varchar(400)");
    look(&place, 0);
}

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
    look(&place, 0);
    place.sync(&[]).0.expect(0);
    database.run("UPDATE customers SET customer_name = 'x'");
    let (finished, report) = place.sync(&[]);
    finished.expect(0);
    assert_eq!(report["ledger"]["updated"], 20, "{report}");
    database.run(&format!("REVOKE UPDATE (email) ON customers FROM {role}"));
    let result = look(&place, 2);
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
        let result = look(&place, 2);
        let told = format!("column {column} of public.customers is ");
        failed(&result, "columns", &told, "type: ALTER TABLE");
        let hint = check(&result, "columns")["hint"]
            .as_str()
            .unwrap()
            .to_owned();
        database.run(hint.strip_prefix("type: ").unwrap());
        look(&place, 0);
    }
}

#[test]
fn a_key_is_only_to_be_made_unique_where_postgresql_would_do_it() {
    let database = Database::undistributed();
    let place = at(&database);
    let hint = |words: &str| {
        let result = look(&place, 2);
        failed(&result, "key", "not unique by itself", words);
        check(&result, "key")["hint"].as_str().unwrap().to_owned()
    };
    let typed = |hint: &str| {
        let statement = hint.rsplit_once("type: ").unwrap().1;
        database.run(statement);
        look(&place, 0);
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
        "ALTER TABLE customers RENAME TO clients; CREATE VIEW customers AS SELECT * FROM clients",
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
    look(&place, 0);
}

#[test]
fn what_else_acts_on_the_rows_is_told() {
    let database = Database::undistributed();
    let place = at(&database);
    let facts = || {
        let result = look(&place, 0);
        check(&result, "beside")["detail"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(facts(), "filled by their defaults: id");
    database.run(
        "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; \
         CREATE TRIGGER touch BEFORE INSERT ON customers FOR EACH ROW EXECUTE FUNCTION touch(); \
         CREATE RULE also AS ON UPDATE TO customers WHERE false DO ALSO NOTHING; \
         ALTER TABLE customers ADD region text DEFAULT 'x'",
    );
    let told = facts();
    for fact in [
        "trigger touch fires on what is written",
        "rule also rewrites what is written",
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
    let result = look(&place, 0);
    assert!(
        types(&result).contains("rows are written by COPY"),
        "{result}"
    );
    // Tables of the convention.
    database.run(
        "ALTER TABLE customers ALTER quality_score TYPE integer, ALTER created_at TYPE timestamp",
    );
    let result = look(&place, 0);
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
    let result = look(&place, 0);
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
    let result = look(&place, 2);
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
    look(&place, 0);
    let api = Server::new().records(super::texts(20)).start();
    let place = place.with_api(api.url());
    place.sync(&[]).0.expect(0);
    drop(place);
    database.run(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

#[test]
fn free_connections_are_counted_against_the_pool_whoever_holds_them() {
    let cluster = Cluster::new(&[("max_connections", "24")], &[]);
    let database = cluster.database();
    database.run(
        "CREATE ROLE plain LOGIN PASSWORD 'pw'; GRANT ALL ON ALL TABLES IN SCHEMA public TO plain",
    );
    let place = at(&database)
        .env("DB_USER", "plain")
        .env("DB_PASSWORD", "pw");
    look(&place, 0);
    // Another role's, which this one may not look into.
    let hogs: Vec<_> = (0..12).map(|_| database.client()).collect();
    let result = look(&place, 4);
    failed(
        &result,
        "connections",
        "a run takes up to 10 for its pool and 2 beside it",
        "max_connections to",
    );
    drop(hogs);
    database.run("ALTER ROLE plain CONNECTION LIMIT 5");
    let result = look(&place, 4);
    failed(&result, "connections", "of 24 are free", "CONNECTION LIMIT");
    place.edit("mappings.yaml", "max_connections: 10", "max_connections: 2");
    look(&place, 0);
}

#[test]
fn who_holds_the_lease_is_told_and_whether_that_run_still_lives() {
    let database = Database::new();
    let api = Server::new()
        .records(super::texts(400))
        .held_after(1)
        .start();
    let place = at(&database).with_api(api.url());
    place.edit("mappings.yaml", "concurrency: 4", "concurrency: 1");
    let free = look(&place, 0);
    assert_eq!(
        check(&free, "lease")["detail"],
        "free: no run is at work",
        "{free}"
    );
    let mut child = place.start(&["sync"]);
    until("a run has the lease", || {
        database.one("SELECT count(*)::text FROM sync_lease") != "0"
    });
    let held = look(&place, 0);
    let lease = check(&held, "lease");
    let host = database.one("SELECT host FROM sync_lease");
    for part in ["public.customers", &host, "records so far"] {
        assert!(lease["detail"].as_str().unwrap().contains(part), "{lease}");
    }
    assert!(
        lease["hint"].as_str().unwrap().contains("--wait"),
        "{lease}"
    );
    child.kill().unwrap();
    finish(child);
    let left = look(&place, 0);
    let lease = check(&left, "lease");
    assert!(
        lease["detail"].as_str().unwrap().contains("ended without")
            && lease["hint"].as_str().unwrap().contains("takes over"),
        "{lease}"
    );
}

#[test]
fn what_waits_on_disk_is_told_and_a_state_directory_that_cannot_be_written_is_exit_2() {
    let cluster = Cluster::new(&[], &[]);
    let database = cluster.database();
    let api = Server::new().records(super::texts(60)).start();
    let place = at(&database).with_api(api.url());
    let empty = look(&place, 0);
    assert!(
        check(&empty, "spool")["detail"]
            .as_str()
            .unwrap()
            .contains("nothing waits")
    );
    cluster.stop("fast");
    place.sync(&[]).0.expect(4);
    cluster.start();
    let files = std::fs::read_dir(place.state().join("spool"))
        .unwrap()
        .count();
    let waiting = look(&place, 0);
    let spool = check(&waiting, "spool");
    assert!(
        spool["detail"]
            .as_str()
            .unwrap()
            .starts_with(&if files == 1 {
                "1 file waits (".to_owned()
            } else {
                format!("{files} files wait (")
            })
            && spool["hint"].as_str().unwrap().contains("datasync retry"),
        "{spool}"
    );
    place.run(&["retry"]).expect(0);
    std::fs::write(place.state().join("quarantine").join("x.spool"), "torn").unwrap();
    let damaged = look(&place, 0);
    assert!(
        check(&damaged, "spool")["detail"]
            .as_str()
            .unwrap()
            .contains("1 damaged file was set aside"),
        "{damaged}"
    );
    let blocked = at(&database).env("DATASYNC_STATE_DIR", "/dev/null");
    let result = look(&blocked, 2);
    failed(&result, "spool", "/dev/null", "--state-dir");
}

/// A customer as the API gives it.
fn customer(id: &str, name: &str, email: &str) -> String {
    json!({"external_id": id, "full_name": name, "contact_email": email,
        "created_date": "2025-01-01T00:00:00Z", "quality_score": 90})
    .to_string()
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
        let result = look(&place, 0);
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
    let result = look(&place, 2);
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
    look(&place, 0);
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
    let result = look(&place, 2);
    failed(&result, "key", none, "ADD UNIQUE (\"customer_id\")");
    place.run(&["sync"]).expect(2).says(none);
    assert!(api.requests().is_empty());
    // The primary key is the key where the file says so.
    database.run("ALTER TABLE customers DROP id, ADD PRIMARY KEY (customer_id)");
    let result = look(&place, 2);
    failed(&result, "key", none, "write `conflict_key: customer_id`");
    place.edit(
        "mappings.yaml",
        "primary_key: id }",
        "primary_key: id, conflict_key: customer_id }",
    );
    look(&place, 0);
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
    let result = look(&place, 2);
    for table in ["public.clients", "public.audit"] {
        failed(
            &result,
            "tables",
            &format!("{table} does not exist"),
            "datasync check-db --apply-schema",
        );
    }
    place.run(&["check-db", "--apply-schema"]).expect(0);
    look(&place, 0);
    place.run(&["sync"]).expect(0);
    assert_eq!(database.one("SELECT email FROM clients"), "a@b.example");
    assert_eq!(database.one("SELECT status FROM audit"), "SUCCESS");
    assert_eq!(columns(), before, "what is called so is another's");
    assert_eq!(
        database.list("SELECT count(*) FROM customers UNION ALL SELECT count(*) FROM sync_log"),
        ["0", "0"]
    );
}
