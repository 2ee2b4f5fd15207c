//! `check-api` and `check-db` name each possible cause of failure, and change nothing.
#![allow(clippy::unwrap_used)]

mod database;
mod key;
mod privileges;
mod schema_locks;
mod source;
mod tables;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::Workplace;
use crate::support::http::{Fault, Server};
use crate::support::postgres::Database;

fn texts(count: u32) -> Vec<String> {
    (0..count)
        .map(|i| format!(r#"{{"external_id":"K-{i}","full_name":"Name","contact_email":"k@example.com","created_date":"2024-01-01T00:00:00Z","quality_score":90,"record_type":"lead","shoe_size":41}}"#))
        .collect()
}

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
fn check_db(place: &Workplace, code: i32) -> Value {
    let there = place.state().exists();
    let finished = place.run(&["check-db", "--output", "json"]);
    finished.expect(code);
    assert_eq!(place.state().exists(), there, "a check changes nothing");
    let result = finished.json();
    assert_eq!(result["ok"], code == 0, "{result}");
    result
}

/// A customer as the API gives it.
fn customer(id: &str, name: &str, email: &str) -> String {
    json!({"external_id": id, "full_name": name, "contact_email": email,
        "created_date": "2025-01-01T00:00:00Z", "quality_score": 90})
    .to_string()
}

fn check<'a>(result: &'a Value, name: &str) -> &'a Value {
    result["checks"]
        .as_array()
        .unwrap()
        .iter()
        .find(|check| check["name"] == name)
        .unwrap_or_else(|| panic!("no check {name} in {result}"))
}

/// The check of this name has failed, with these words in its detail and in its hint.
#[track_caller]
fn failed(result: &Value, name: &str, detail: &str, hint: &str) {
    let found = check(result, name);
    assert_eq!(found["ok"], false, "{found}");
    for (part, words) in [("detail", detail), ("hint", hint)] {
        assert!(
            found[part].as_str().unwrap_or_default().contains(words),
            "{part} does not say {words:?}: {found}"
        );
    }
    assert!(found["seconds"].is_number());
}

/// A port on which connections are neither accepted nor refused, for as long as the first part lives.
fn black_hole() -> (impl Sized, SocketAddr) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    socket.bind(&any.into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let fillers: Vec<_> = (0..4)
        .filter_map(|_| {
            std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok()
        })
        .collect();
    assert!(!fillers.is_empty());
    ((socket, fillers), address)
}

/// Runs `check-api`, which ends with this code and leaves no state behind.
fn look(url: &str, code: i32) -> Value {
    let place = Workplace::new().with_api(url);
    let finished = place.run(&["check-api", "--output", "json"]);
    finished.expect(code);
    assert!(!place.state().exists(), "a check changes nothing");
    let result = finished.json();
    assert_eq!(result["ok"], code == 0);
    assert!(
        !format!("{finished}").contains(crate::support::TOKEN),
        "the token is shown"
    );
    result
}

#[test]
fn an_api_in_order_is_told_in_every_step() {
    let api = Server::new().records(texts(250)).start();
    let result = look(api.url(), 0);
    for name in [
        "dns",
        "tcp",
        "http",
        "authentication",
        "json",
        "records",
        "fields",
        "pagination",
        "latency",
    ] {
        assert_eq!(check(&result, name)["ok"], true, "{name}");
    }
    assert!(
        check(&result, "fields")["detail"]
            .as_str()
            .unwrap()
            .contains("mapped by nobody: shoe_size")
    );
    assert_eq!(api.requests().len(), 1, "one page is enough");
    let finished = Workplace::new().with_api(api.url()).run(&["check-api"]);
    finished.expect(0).says("ok   authentication");
}

#[test]
fn a_page_that_is_no_page_is_told_without_its_content() {
    let html = b"<html>secret-page-content</html>".to_vec();
    let api = Server::new().always(Fault::Body("text/html", html)).start();
    let result = look(api.url(), 3);
    assert_eq!(check(&result, "json")["ok"], false);
    assert!(!result.to_string().contains("secret-page-content"));
    let api = Server::new()
        .always(Fault::Body("application/json", b"{\"data\":null}".to_vec()))
        .start();
    assert_eq!(check(&look(api.url(), 3), "records")["ok"], false);
}

#[test]
fn a_required_field_that_no_record_has_is_a_failure() {
    let api = Server::new()
        .records(vec![r#"{"external_id":"1","name":"Ana"}"#])
        .start();
    let result = look(api.url(), 3);
    let found = check(&result, "fields");
    assert_eq!(found["ok"], false);
    assert!(
        found["detail"].as_str().unwrap().contains("full_name"),
        "{found}"
    );
    assert!(
        found["detail"]
            .as_str()
            .unwrap()
            .contains("mapped by nobody: name"),
        "{found}"
    );
}

#[test]
fn a_slow_answer_is_held_against_the_alert() {
    let api = Server::new()
        .records(texts(3))
        .latency(Duration::from_millis(300))
        .start();
    let place = Workplace::new().with_api(api.url());
    place.edit(
        "mappings.yaml",
        "api_response_time: 10s",
        "api_response_time: 100ms",
    );
    let finished = place.run(&["check-api", "--output", "json"]);
    finished.expect(3);
    assert_eq!(check(&finished.json(), "latency")["ok"], false);
}

#[test]
fn a_stray_proxy_is_named() {
    let api = Server::new().records(texts(3)).start();
    let place = Workplace::new().with_api("http://api.example").env(
        "HTTP_PROXY",
        format!("http://user:proxy-secret@127.0.0.1:{}", api.port()),
    );
    let finished = place.run(&["check-api", "--output", "json"]);
    let result = finished.json();
    let proxy = check(&result, "proxy")["detail"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        proxy.contains(&format!("127.0.0.1:{}", api.port())),
        "{proxy}"
    );
    assert!(!format!("{finished}").contains("proxy-secret"));
}

/// Every relation of the database, how many rows each table has and which transactions made them, and the sequences.
fn contents(database: &Database) -> Vec<String> {
    let ours =
        "relnamespace::regnamespace::text NOT IN ('pg_catalog', 'information_schema', 'pg_toast')";
    let mut all = database.list(&format!(
        "SELECT concat_ws(' ', oid, relnamespace::regnamespace, relname, relkind, relfilenode, xmin, relacl::text) \
         FROM pg_class WHERE {ours} ORDER BY oid"
    ));
    let of = |kinds: &str| {
        database.list(&format!(
            "SELECT oid::regclass::text FROM pg_class WHERE {ours} AND relkind IN ({kinds}) ORDER BY oid"
        ))
    };
    let tables = of("'r', 'p'");
    assert!(tables.len() >= 8, "{tables:?}");
    for table in tables {
        all.push(database.one(&format!(
            "SELECT concat_ws(' ', '{table}', count(*), string_agg(concat(ctid, ' ', xmin, ' ', xmax), ',' ORDER BY ctid)) FROM {table}"
        )));
    }
    for sequence in of("'S'") {
        all.push(database.one(&format!(
            "SELECT concat_ws(' ', '{sequence}', last_value, is_called) FROM {sequence}"
        )));
    }
    all
}

/// Everything below a folder, with its content.
fn files(folder: &std::path::Path) -> BTreeMap<std::path::PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
            found.insert(path, Vec::new());
        } else {
            let content = std::fs::read(&path).unwrap();
            found.insert(path, content);
        }
    }
    found
}

#[test]
fn a_database_in_order_is_told_in_every_step_and_nothing_changes() {
    let database = Database::new();
    let place = Workplace::new().with_database(&database);
    let finished = place.run(&["check-db", "--output", "json"]);
    finished.expect(0);
    assert!(!place.state().exists(), "a check leaves no state behind");
    let result = finished.json();
    for name in [
        "dns",
        "tcp",
        "tls",
        "authentication",
        "database",
        "version",
        "pooler",
        "read-write",
        "tables",
        "columns",
        "key",
        "lengths",
        "privileges",
        "connections",
        "lease",
        "spool",
    ] {
        assert_eq!(check(&result, name)["ok"], true, "{name}");
    }
}

#[test]
fn neither_check_changes_a_row_a_sequence_or_a_file() {
    // Plain on Citus too: what is looked at is in the tables themselves.
    let database = Database::undistributed();
    let mut records = texts(8);
    records.extend((0..4).map(|i| {
        format!(r#"{{"external_id":"LOW-{i}","full_name":"Low","contact_email":"l@example.com","quality_score":1}}"#)
    }));
    let api = Server::new().records(records).start();
    let used = Workplace::connected(api.url(), &database);
    used.run(&["sync"]).expect(5);
    // Somebody is at work, so that every table holds something.
    database.run(
        "INSERT INTO sync_lease (target, run_id, who, host, process, started_at, heartbeat_at, expires_at) \
         SELECT 'public.customers', gen_random_uuid(), 'somebody', 'elsewhere', '', now(), now(), now() + interval '1 hour'",
    );
    let (before, kept) = (contents(&database), files(&used.path("")));
    for table in [
        "customers 8 ",
        "sync_log 1 ",
        "sync_batches 1 ",
        "sync_rejections 4 ",
        "sync_cases 1 ",
        "sync_lease 1 ",
    ] {
        assert!(
            before.iter().any(|line| line.starts_with(table)),
            "{table}: {before:#?}"
        );
    }
    let broken = Server::new().always(Fault::Status(503)).start();
    let fresh = || Workplace::connected(api.url(), &database);
    for (place, command, code) in [
        (used, "check-db", 0),
        (fresh(), "check-db", 0),
        (fresh(), "check-api", 0),
        (fresh().with_api(broken.url()), "check-api", 3),
        (fresh().env("DB_PASSWORD", "wrong"), "check-db", 4),
    ] {
        let there = files(&place.path(""));
        place.run(&[command]).expect(code);
        assert_eq!(contents(&database), before, "{command}, exit {code}");
        assert_eq!(files(&place.path("")), there, "{command}, exit {code}");
    }
    assert!(
        kept.keys().any(|path| path.ends_with("state")),
        "a run has a state"
    );
}

#[test]
fn a_database_that_cannot_be_used_is_exit_4_and_one_that_does_not_fit_is_exit_2() {
    let database = Database::undistributed();
    let place = || Workplace::new().with_database(&database);
    place()
        .env("DB_PORT", "1")
        .run(&["check-db"])
        .expect(4)
        .says("FAIL tcp");
    place()
        .env("DB_NAME", "no_such_database")
        .run(&["check-db"])
        .expect(4)
        .says("no_such_database");
    database.run("ALTER TABLE customers RENAME COLUMN email TO mail");
    place().run(&["check-db"]).expect(2).says("email");
    // Nothing is fetched either.
    let api = Server::new().records(texts(3)).start();
    place()
        .with_api(api.url())
        .run(&["sync"])
        .expect(2)
        .says("email");
    assert!(api.requests().is_empty());
    database.run("ALTER TABLE customers RENAME COLUMN mail TO email; DROP TABLE sync_log");
    place().run(&["check-db"]).expect(2).says("sync_log");
    for _ in 0..2 {
        place().run(&["check-db", "--apply-schema"]).expect(0);
    }
    place().with_api(api.url()).run(&["sync"]).expect(0);
}
