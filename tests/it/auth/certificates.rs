//! Client certificates for the API, and authorities of its own.

use std::os::unix::fs::PermissionsExt as _;

use super::{place, records};
use crate::support::Workplace;
use crate::support::http::{Running, Server};
use crate::support::postgres::Database;

/// An authority, and an API that asks for a certificate of it.
struct Setting {
    api: Running,
    server_certificate: String,
    client_certificate: String,
    client_key: String,
}

fn setting() -> Setting {
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap();
    let issuer = rcgen::Issuer::new(params, key);
    let client_key = rcgen::KeyPair::generate().unwrap();
    let mut client = rcgen::CertificateParams::new(Vec::new()).unwrap();
    client.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let client = client.signed_by(&client_key, &issuer).unwrap();
    let (server, server_certificate) = Server::new()
        .records(records(3))
        .token(None)
        .tls_for_clients_of(authority.der().clone());
    Setting {
        api: server.start(),
        server_certificate,
        client_certificate: client.pem(),
        client_key: client_key.serialize_pem(),
    }
}

/// A workplace with these lines of `tls`, and the files they may name.
fn at(setting: &Setting, tls: &str) -> Workplace {
    let place = place(&setting.api, &format!("{{ type: none }}\n    tls: {tls}"));
    place.write("ca.pem", &setting.server_certificate);
    place.write("client.pem", &setting.client_certificate);
    place.write("client.key", &setting.client_key);
    let private = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(place.path("client.key"), private).unwrap();
    place.edit("mappings.yaml", "max_attempts: 3", "max_attempts: 0");
    place
}

const ALL: &str = "{ client_certificate: client.pem, client_key: client.key, ca: ca.pem }";

#[test]
fn an_api_that_asks_for_a_certificate_is_read_with_one_and_its_authority_is_trusted() {
    let setting = setting();
    let database = Database::new();
    let place = at(&setting, ALL).with_database(&database);
    place.run(&["check-api"]).expect(0).says("TLS 1.3");
    let (finished, report) = place.sync(&[]);
    finished.expect(0);
    assert_eq!(report["ledger"]["inserted"], 3);
}

#[test]
fn what_is_wrong_with_the_files_of_tls_is_said_by_name() {
    let setting = setting();
    let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
    for (tls, key_mode, says) in [
        ("{ ca: ca.pem }", 0o600, "tls"),
        (
            "{ client_certificate: client.pem, client_key: client.key }",
            0o600,
            "issuer",
        ),
        (
            "{ client_certificate: absent.pem, client_key: client.key, ca: ca.pem }",
            0o600,
            "the client certificate absent.pem cannot be read",
        ),
        (
            "{ client_certificate: client.pem, client_key: absent.key, ca: ca.pem }",
            0o600,
            "the key absent.key of the client certificate cannot be used",
        ),
        (
            "{ client_certificate: client.pem, client_key: other.key, ca: ca.pem }",
            0o600,
            "is not that of the certificate client.pem",
        ),
        (
            "{ ca: client.key }",
            0o600,
            "the certificates of client.key cannot be",
        ),
        (ALL, 0o644, "chmod 600"),
    ] {
        let place = at(&setting, tls);
        place.write("other.key", &other);
        for (file, mode) in [("client.key", key_mode), ("other.key", 0o600)] {
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(place.path(file), mode).unwrap();
        }
        let finished = place.run(&["check-api"]);
        finished.expect(3).says(says);
        assert!(!format!("{finished}").contains("DB_SSL"), "{finished}");
        assert!(!format!("{finished}").contains("PRIVATE KEY"), "{finished}");
    }
    assert!(setting.api.requests().is_empty());
}
