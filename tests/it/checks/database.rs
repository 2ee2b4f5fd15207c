//! `check-db` from the name of the host to the lease and the spool: every condition has a line of its own, with what was
//! found and what to type.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{at, black_hole, check, check_db, failed};
use crate::support::command::finish;
use crate::support::http::Server;
use crate::support::postgres::{Cluster, Database};
use crate::support::until;

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
    let result = check_db(&place, 4);
    last_failed(&result, "dns", "no-such-host.invalid", "DB_HOST");

    let place = at(&database).env("DB_PORT", "1");
    let result = check_db(&place, 4);
    last_failed(&result, "tcp", "refused", "start PostgreSQL");

    let (_hole, address) = black_hole();
    let place = at(&database)
        .env("DB_HOST", "127.0.0.1")
        .env("DB_PORT", address.port().to_string());
    let started = Instant::now();
    let result = check_db(&place, 4);
    last_failed(&result, "tcp", "did not answer within 1 s", "firewall");
    assert!(started.elapsed() < Duration::from_secs(5));

    // Accepted, and then not a word.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let place = at(&database)
        .env("DB_HOST", "127.0.0.1")
        .env("DB_PORT", port.to_string());
    let result = check_db(&place, 4);
    last_failed(&result, "server", "did not answer within", "stopped");

    let folder = tempfile::tempdir().unwrap();
    let place = at(&database).env("DB_HOST", folder.path().display().to_string());
    let result = check_db(&place, 4);
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
    let result = check_db(&place, 4);
    last_failed(&result, "tls", "UnknownIssuer", "DB_SSLROOTCERT");
    // Trusted, but for another name.
    place.write("root.pem", &certificate);
    let root = place.path("root.pem").display().to_string();
    let place = place.env("DB_SSLROOTCERT", root);
    let result = check_db(&place, 4);
    last_failed(
        &result,
        "tls",
        "db.example",
        "let DB_HOST be a name that the certificate is for: names count in its subject alternative name (SAN)",
    );
    let place = place.env("DB_SSLMODE", "verify-ca");
    let result = check_db(&place, 0);
    assert!(
        check(&result, "tls")["detail"]
            .as_str()
            .unwrap()
            .contains("certificate verified")
    );
    // A server without TLS.
    let plain = Database::new();
    let place = at(&plain).env("DB_SSLMODE", "require");
    let result = check_db(&place, 4);
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
    let result = check_db(&place, 4);
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
    let result = check_db(&place, 4);
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
    let result = check_db(&place, 4);
    failed(&result, "read-write", "recovery", "primary");
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
    check_db(&place, 0);
    // Another role's, which this one may not look into.
    let hogs: Vec<_> = (0..12).map(|_| database.client()).collect();
    let result = check_db(&place, 4);
    failed(
        &result,
        "connections",
        "a run takes up to 10 for its pool and 2 beside it",
        "max_connections to",
    );
    drop(hogs);
    database.run("ALTER ROLE plain CONNECTION LIMIT 5");
    let result = check_db(&place, 4);
    failed(&result, "connections", "of 24 are free", "CONNECTION LIMIT");
    place.edit("mappings.yaml", "max_connections: 10", "max_connections: 2");
    check_db(&place, 0);
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
    let free = check_db(&place, 0);
    assert_eq!(
        check(&free, "lease")["detail"],
        "free: no run is at work",
        "{free}"
    );
    let mut child = place.start(&["sync"]);
    until("a run has the lease", || {
        database.one("SELECT count(*)::text FROM sync_lease") != "0"
    });
    let held = check_db(&place, 0);
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
    let left = check_db(&place, 0);
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
    let empty = check_db(&place, 0);
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
    let waiting = check_db(&place, 0);
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
    let damaged = check_db(&place, 0);
    assert!(
        check(&damaged, "spool")["detail"]
            .as_str()
            .unwrap()
            .contains("1 damaged file was set aside"),
        "{damaged}"
    );
    let blocked = at(&database).env("DATASYNC_STATE_DIR", "/dev/null");
    let result = check_db(&blocked, 2);
    failed(&result, "spool", "/dev/null", "--state-dir");
}
