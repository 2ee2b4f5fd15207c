//! TLS to the database: the modes with libpq's meaning.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use datasync::config::plan::{self, SslMode};
use datasync::config::secret::Secret;
use datasync::store::{self, Class, Connection};

use super::{LIMIT, customers, plan_of};
use crate::support::postgres::{Cluster, Database};

fn tls_cluster(names: &[&str]) -> (Cluster, String) {
    tls_cluster_with(names, &[], &[])
}

fn tls_cluster_with(
    names: &[&str],
    settings: &[(&str, &str)],
    files: &[(&str, &str)],
) -> (Cluster, String) {
    let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let certificate = made.cert.pem();
    let key = made.signing_key.serialize_pem();
    let own = [
        ("server.crt", certificate.as_str()),
        ("server.key", key.as_str()),
    ];
    let cluster = Cluster::new(
        &[&[("ssl", "on")], settings].concat(),
        &[&own, files].concat(),
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

/// Whether each mode connects, with the kind of error of those that do not.
fn outcomes(cluster: &Cluster) -> [Result<(), String>; 3] {
    let database = cluster.database();
    [SslMode::Prefer, SslMode::Require, SslMode::VerifyFull].map(|mode| {
        let mut db = plan_of(&database);
        db.ssl_mode = mode;
        Connection::open(&db, LIMIT)
            .map(drop)
            .map_err(|error| error.kind().to_owned())
    })
}

#[test]
fn prefer_goes_on_in_plain_text_where_the_server_lets_only_that_in() {
    let hba = "local all all trust\nhostnossl all all 127.0.0.1/32 scram-sha-256\n";
    let (cluster, _) = tls_cluster_with(&["127.0.0.1"], &[], &[("pg_hba.conf", hba)]);
    let [prefer, require, verify] = outcomes(&cluster);
    assert_eq!(prefer, Ok(()));
    assert_eq!(require, Err("authentication".to_owned()));
    assert_eq!(verify, Err("tls".to_owned()));
    // The second try is the one that is told of.
    let mut db = plan_of(&cluster.database());
    db.password = Secret::new("wrong".to_owned());
    let error = Connection::open(&db, LIMIT).unwrap_err();
    assert_eq!(error.sqlstate(), Some("28P01"), "{error}");
}

#[test]
fn prefer_goes_on_in_plain_text_where_the_handshake_fails() {
    let old = [
        ("ssl_min_protocol_version", "TLSv1"),
        ("ssl_max_protocol_version", "TLSv1.1"),
    ];
    let (cluster, _) = tls_cluster_with(&["127.0.0.1"], &old, &[]);
    let [prefer, require, verify] = outcomes(&cluster);
    assert_eq!(prefer, Ok(()));
    assert_eq!(require, Err("tls".to_owned()));
    assert_eq!(verify, Err("tls".to_owned()));
    drop(cluster);

    // Plain text is not let in: what is wrong is the handshake.
    let hba = "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n";
    let (cluster, _) = tls_cluster_with(&["127.0.0.1"], &old, &[("pg_hba.conf", hba)]);
    let db = plan::Database {
        host: "127.0.0.1".to_owned(),
        port: cluster.port,
        ..plan_of(&Database::direct())
    };
    let error = Connection::open(&db, LIMIT).unwrap_err();
    assert_eq!(error.kind(), "tls", "{error}");
}

#[test]
fn both_tries_of_prefer_share_one_deadline() {
    // Takes the request for TLS, then nothing more: neither try may wait longer than both together.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        while let Ok((mut stream, _)) = listener.accept() {
            let mut request = [0; 8];
            if kept.is_empty() && stream.read_exact(&mut request).is_ok() {
                // No handshake can begin like this.
                stream.write_all(b"Sno TLS at all").unwrap();
            }
            kept.push(stream);
        }
    });
    let db = plan::Database {
        host: "127.0.0.1".to_owned(),
        port,
        ..plan_of(&Database::direct())
    };
    let started = Instant::now();
    let error = Connection::open(&db, Duration::from_secs(1)).unwrap_err();
    assert_eq!(error.kind(), "timeout", "{error}");
    assert!(started.elapsed() < Duration::from_millis(1_900));
}
