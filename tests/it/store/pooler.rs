//! Errors of pgbouncer: which of them need a person, and which are retried.

use std::time::Duration;

use datasync::store::{self, Class, Connection};

use super::{LIMIT, customers, plan_of};
use crate::support::bouncer::{self, Bouncer};
use crate::support::not_run;
use crate::support::postgres::Database;

/// The plan of a database behind a pgbouncer with these settings; None where there is none to try with.
fn behind(more: &str, pool: u32) -> Option<(Database, Bouncer, datasync::config::plan::Database)> {
    let Some(program) = bouncer::program() else {
        not_run("pgbouncer's errors, needs pgbouncer");
        return None;
    };
    let database = Database::direct();
    let bouncer = Bouncer::start_with(&program, &database.server, pool, more);
    let mut db = plan_of(&database);
    "127.0.0.1".clone_into(&mut db.host);
    db.port = bouncer.port;
    db.connection_timeout = Duration::from_secs(2);
    Some((database, bouncer, db))
}

fn check(db: &datasync::config::plan::Database) -> (bool, String, String) {
    let found = store::check(db, &customers());
    let pooler = found.checks.iter().find(|check| check.name == "pooler");
    let pooler = pooler.unwrap_or_else(|| panic!("{found:?}"));
    let hint = pooler.hint.clone().unwrap_or_default();
    (pooler.ok, pooler.detail.clone(), hint)
}

#[test]
fn statement_mode_is_recognised_and_refused() {
    let Some((_database, _bouncer, db)) = behind("pool_mode = statement\n", 2) else {
        return;
    };
    let (ok, detail, hint) = check(&db);
    assert!(!ok && detail.contains("statement pooling mode"), "{detail}");
    assert!(hint.contains("pool_mode = transaction"), "{hint}");
}

#[test]
fn session_mode_with_a_pool_of_one_is_told_to_need_two() {
    let Some((_database, _bouncer, db)) = behind("pool_mode = session\n", 1) else {
        return;
    };
    let (ok, detail, hint) = check(&db);
    assert!(!ok && detail.contains("a pool of one"), "{detail}");
    assert!(hint.contains("default_pool_size to 2"), "{hint}");
    let Some((_database, _bouncer, db)) = behind("pool_mode = session\n", 2) else {
        return;
    };
    let (ok, detail, _) = check(&db);
    assert!(ok, "{detail}");
}

#[test]
fn a_wrong_password_and_a_missing_database_need_a_person() {
    let Some((_database, _bouncer, db)) = behind("", 2) else {
        return;
    };
    let mut wrong = db.clone();
    wrong.password = datasync::config::secret::Secret::new("not this one".to_owned());
    let error = Connection::open(&wrong, LIMIT).unwrap_err();
    assert_eq!(
        (error.class(), error.kind()),
        (Class::Fatal, "authentication"),
        "{error}"
    );
    let mut nowhere = db.clone();
    "nowhere".clone_into(&mut nowhere.name);
    let error = Connection::open(&nowhere, LIMIT).unwrap_err();
    assert_eq!(
        (error.class(), error.kind()),
        (Class::Fatal, "no_such_database"),
        "{error}"
    );
}

#[test]
fn a_server_that_is_away_and_a_pool_without_a_free_connection_may_pass() {
    let away =
        "query_wait_timeout = 1\nserver_login_retry = 1\n[databases]\n* = host=127.0.0.1 port=1\n";
    let Some((_database, _bouncer, db)) = behind(away, 2) else {
        return;
    };
    for _ in 0..2 {
        let error = Connection::open(&db, LIMIT).unwrap_err();
        assert_eq!(error.class(), Class::Transient, "{error}");
        assert!(
            error.to_string().contains("server behind it")
                || error.to_string().contains("to the server"),
            "{error}"
        );
    }
    let Some((_database, _bouncer, db)) =
        behind("pool_mode = session\nquery_wait_timeout = 1\n", 1)
    else {
        return;
    };
    let mut held = postgres::Config::new();
    held.host(&db.host)
        .port(db.port)
        .dbname(&db.name)
        .user(&db.user)
        .password(db.password.expose());
    let mut held = held.connect(postgres::NoTls).unwrap();
    held.simple_query("SELECT 1").unwrap();
    let found = store::check(&db, &customers());
    let refused = found.checks.iter().find(|check| !check.ok);
    let refused = refused.unwrap_or_else(|| panic!("{found:?}"));
    assert!(refused.detail.contains("query_wait_timeout"), "{refused:?}");
    let hint = refused.hint.as_deref().unwrap_or_default();
    assert!(hint.contains("default_pool_size"), "{refused:?}");
}
