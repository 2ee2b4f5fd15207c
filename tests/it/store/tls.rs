//! TLS to the database: the modes with libpq's meaning.

use std::path::PathBuf;
use std::time::Duration;

use datasync::config::plan::SslMode;
use datasync::store::{self, Class, Connection};

use super::{LIMIT, customers, plan_of};
use crate::support::postgres::{Cluster, Database};

fn tls_cluster(names: &[&str]) -> (Cluster, String) {
    let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let certificate = made.cert.pem();
    let cluster = Cluster::new(
        &[("ssl", "on")],
        &[
            ("server.crt", &certificate),
            ("server.key", &made.signing_key.serialize_pem()),
        ],
    );
    (cluster, certificate)
}

#[test]
fn tls_modes_mean_what_libpq_means() {
    let (cluster, certificate) = tls_cluster(&["db.example"]);
    let stranger = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()])
        .unwrap()
        .cert
        .pem();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| -> PathBuf {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let own = file("own.pem", &certificate);
    let other = file("other.pem", &stranger);
    let empty = file("empty.pem", "nothing");
    let database = cluster.database();
    let open = |mode: SslMode, root: Option<&PathBuf>, host: &str| {
        let mut db = plan_of(&database);
        db.ssl_mode = mode;
        db.ssl_root_cert = root.cloned();
        db.host = host.to_owned();
        Connection::open(&db, LIMIT).map(|conn| {
            let encrypted = database.one(
                "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'datasync'",
            );
            drop(conn);
            // The server frees the slot a moment after the good-bye.
            while database.one("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'datasync'") != "0" {
                std::thread::sleep(Duration::from_millis(5));
            }
            encrypted == "t"
        })
    };
    let host = "127.0.0.1";
    assert!(!open(SslMode::Disable, None, host).unwrap());
    assert!(open(SslMode::Prefer, None, host).unwrap());
    assert!(open(SslMode::Require, None, host).unwrap());
    assert!(open(SslMode::Require, Some(&own), host).unwrap());
    assert!(open(SslMode::VerifyCa, Some(&own), host).unwrap());
    for (mode, root) in [
        (SslMode::VerifyFull, Some(&own)),
        (SslMode::VerifyFull, Some(&other)),
        (SslMode::VerifyCa, Some(&other)),
        (SslMode::Require, Some(&other)),
        (SslMode::VerifyCa, Some(&empty)),
        (SslMode::VerifyFull, None),
    ] {
        let error = open(mode, root, host).unwrap_err();
        assert_eq!(
            (error.class(), error.kind()),
            (Class::Fatal, "tls"),
            "{mode:?} {root:?} {error}"
        );
    }
    assert!(!open(SslMode::VerifyFull, None, &cluster.socket()).unwrap());
}

#[test]
fn a_certificate_of_the_right_name_is_verified_in_full() {
    let (cluster, certificate) = tls_cluster(&["localhost", "127.0.0.1"]);
    let database = cluster.database();
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root.pem");
    std::fs::write(&root, certificate).unwrap();
    let mut db = plan_of(&database);
    db.ssl_mode = SslMode::VerifyFull;
    db.ssl_root_cert = Some(root);
    let found = store::check(&db, &customers());
    let tls = found.checks.iter().find(|c| c.name == "tls").unwrap();
    assert!(tls.ok && tls.detail.contains("name verified"), "{tls:?}");
    assert!(found.checks.iter().all(|c| c.ok), "{found:?}");
}

#[test]
fn a_server_without_tls_is_refused_unless_it_is_not_required() {
    let database = Database::new();
    let mut db = plan_of(&database);
    db.ssl_mode = SslMode::Require;
    let error = Connection::open(&db, LIMIT).unwrap_err();
    assert_eq!(
        (error.class(), error.kind()),
        (Class::Fatal, "tls"),
        "{error}"
    );
    db.ssl_mode = SslMode::Prefer;
    Connection::open(&db, LIMIT).unwrap();
}
