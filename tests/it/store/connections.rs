//! Connections: silent, refused or given up, each within its deadline and with its class.

use std::time::{Duration, Instant};

use datasync::config::plan;
use datasync::config::secret::Secret;
use datasync::store::{self, Class, Connection};
use rustix::process::Signal;

use super::{Bench, LIMIT, T0, customers, plan_of, push};
use crate::support::postgres::{Cluster, Database};
use crate::support::signal;

#[test]
fn a_stopped_back_end_costs_the_deadline_and_no_more() {
    let cluster = Cluster::new(&[], &[]);
    let database = cluster.database();
    let mut db = plan_of(&database);
    db.statement_timeout = Duration::from_millis(700);
    let mut bench = Bench::with(db, &customers());
    let pid = database.one("SELECT pid FROM pg_stat_activity WHERE application_name = 'datasync'");
    signal(Signal::STOP, &pid);
    let started = Instant::now();
    let mut batch = bench.batch();
    push(&mut batch, "a", "Ann", "1", T0, 0);
    let error = bench.write(batch).unwrap_err();
    assert_eq!((error.class(), error.kind()), (Class::Transient, "timeout"));
    assert!(bench.conn.is_dead());
    drop(bench);
    assert!(
        started.elapsed() < Duration::from_millis(1900),
        "{:?}",
        started.elapsed()
    );
    signal(Signal::CONT, &pid);
}

#[test]
fn a_stopped_server_costs_the_connect_limit_and_no_more() {
    let cluster = Cluster::new(&[], &[]);
    let database = cluster.database();
    let db = plan_of(&database);
    let pid = cluster.postmaster().to_string();
    signal(Signal::STOP, &pid);
    let started = Instant::now();
    let error = Connection::open(&db, Duration::from_millis(500)).unwrap_err();
    assert_eq!((error.class(), error.kind()), (Class::Transient, "timeout"));
    assert!(
        started.elapsed() < Duration::from_millis(1500),
        "{:?}",
        started.elapsed()
    );
    signal(Signal::CONT, &pid);
    cluster.stop("immediate");
    let error = Connection::open(&db, LIMIT).unwrap_err();
    assert_eq!(
        (error.class(), error.kind()),
        (Class::Transient, "unreachable")
    );
    cluster.start();
    Connection::open(&db, LIMIT).unwrap();
}

#[test]
fn wrong_password_and_missing_database_need_a_person() {
    let database = Database::direct();
    let mut wrong = plan_of(&database);
    wrong.password = Secret::new("canary-password".to_owned());
    let error = Connection::open(&wrong, LIMIT).unwrap_err();
    assert_eq!(
        (error.class(), error.sqlstate()),
        (Class::Fatal, Some("28P01"))
    );
    assert!(!error.to_string().contains("canary"), "{error}");
    let mut none = plan_of(&database);
    none.password = Secret::default();
    let error = Connection::open(&none, LIMIT).unwrap_err();
    assert_eq!(
        (error.class(), error.kind()),
        (Class::Fatal, "authentication"),
        "{error}"
    );
    let mut missing = plan_of(&database);
    missing.name = "no_such_database".to_owned();
    let error = Connection::open(&missing, LIMIT).unwrap_err();
    assert_eq!(
        (error.class(), error.sqlstate()),
        (Class::Fatal, Some("3D000"))
    );
}

#[test]
fn a_read_only_database_is_transient_and_the_connection_is_given_up() {
    let database = Database::direct();
    let mut bench = Bench::new(&database, &customers());
    database.run(&format!(
        "ALTER DATABASE {} SET default_transaction_read_only = on",
        database.name
    ));
    bench.conn = Connection::open(&bench.db, LIMIT).unwrap();
    let mut batch = bench.batch();
    push(&mut batch, "a", "Ann", "1", T0, 0);
    let error = bench.write(batch).unwrap_err();
    assert_eq!(
        (error.class(), error.kind()),
        (Class::Transient, "read_only")
    );
    assert!(bench.conn.is_dead());
    let found = store::check(&bench.db, &customers());
    let failed: Vec<_> = found
        .checks
        .iter()
        .filter(|c| !c.ok)
        .map(|c| c.name)
        .collect();
    assert_eq!(failed, ["read-write"]);
}

#[test]
fn too_many_clients_is_transient() {
    let cluster = Cluster::new(&[("max_connections", "8")], &[]);
    let database = cluster.database();
    let mut held = Vec::new();
    let db = plan_of(&database);
    database.run("CREATE ROLE plain LOGIN PASSWORD 'pw'");
    let mut db = plan::Database {
        user: "plain".to_owned(),
        ..db
    };
    db.password = Secret::new("pw".to_owned());
    let error = loop {
        match Connection::open(&db, LIMIT) {
            Ok(conn) => held.push(conn),
            Err(error) => break error,
        }
        assert!(held.len() < 20);
    };
    assert_eq!(
        (error.class(), error.kind()),
        (Class::Transient, "too_many_connections"),
        "{error}"
    );
    held.pop();
    let started = Instant::now();
    while Connection::open(&db, LIMIT).is_err() {
        assert!(started.elapsed() < LIMIT);
    }
}
