//! Logging in by a client certificate, as libpq has it, against a server that demands one for the role's name.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::support::Workplace;
use crate::support::command::Finished;
use crate::support::http::Server;
use crate::support::postgres::{Cluster, Database};

/// Who signs certificates.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// A certificate of this common name for these hosts, and its key.
    fn sign(&self, name: &str, hosts: &[&str]) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let signed = params.signed_by(&key, &self.issuer).unwrap();
        (signed.pem(), key.serialize_pem())
    }
}

/// Over TLS one gets in by a certificate of one's own name and a password (`sync`), or by the certificate alone (`bare`).
const HBA: &str = "local all all trust\nhostnossl all all 127.0.0.1/32 scram-sha-256\n\
    hostssl all bare 127.0.0.1/32 cert\nhostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-full\n";

fn cluster(authority: &Authority) -> (Cluster, Database) {
    let (certificate, key) = authority.sign("server", &["localhost", "127.0.0.1"]);
    let cluster = Cluster::new(
        &[("ssl", "on"), ("ssl_ca_file", "ca.crt")],
        &[
            ("server.crt", &certificate),
            ("server.key", &key),
            ("ca.crt", &authority.pem),
            ("pg_hba.conf", HBA),
        ],
    );
    let database = cluster.database();
    for role in ["sync", "bare"] {
        database.run(&format!(
            "CREATE ROLE {role} LOGIN PASSWORD 'pw'; GRANT ALL ON SCHEMA public TO {role}; \
             GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}"
        ));
    }
    (cluster, database)
}

/// Writes a file that its owner alone can read.
fn keep(place: &Workplace, name: &str, text: &str) -> String {
    let path = place.path(name);
    std::fs::write(&path, text).unwrap();
    chmod(&path, 0o600);
    path.display().to_string()
}

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// A place of the role `sync` that verifies the server in full, and shows no certificate.
fn place(api: &str, cluster: &Cluster, database: &Database, authority: &Authority) -> Workplace {
    let place = Workplace::connected(api, database)
        .env("DB_HOST", "127.0.0.1")
        .env("DB_PORT", cluster.port.to_string())
        .env("DB_USER", "sync")
        .env("DB_PASSWORD", "pw")
        .env("DB_SSLMODE", "verify-full");
    let root = keep(&place, "root.pem", &authority.pem);
    place.env("DB_SSLROOTCERT", root)
}

fn records() -> Vec<String> {
    (0..30)
        .map(|i| format!(r#"{{"external_id":"C-{i}","full_name":"Name","contact_email":"c@example.com","created_date":"2024-01-01T00:00:00Z","quality_score":90,"record_type":"lead"}}"#))
        .collect()
}

#[track_caller]
fn refused(finished: &Finished, words: &[&str]) {
    finished.expect(4);
    for word in words {
        finished.says(word);
    }
}

#[test]
fn a_certificate_of_the_role_lets_it_in_and_nothing_else_does() {
    let authority = Authority::new("ours");
    let (cluster, database) = cluster(&authority);
    let api = Server::new().records(records()).start();
    let place = place(api.url(), &cluster, &database, &authority);
    refused(&place.run(&["check-db"]), &["28000", "DB_SSLCERT"]);

    let (certificate, key) = authority.sign("sync", &[]);
    let certificate = keep(&place, "sync.pem", &certificate);
    let key = keep(&place, "sync.key", &key);
    let place = place
        .env("DB_SSLCERT", certificate.as_str())
        .env("DB_SSLKEY", key.as_str());
    place
        .run(&["check-db"])
        .expect(0)
        .says("certificate and name verified, client certificate /CN=sync");
    let (finished, report) = place.sync(&[]);
    finished.expect(0);
    assert_eq!(report["ledger"]["inserted"], 30, "{finished}");

    // Of another name, and of an authority that the server does not know.
    let (other, other_key) = authority.sign("somebody", &[]);
    let other = keep(&place, "other.pem", &other);
    let other_key = keep(&place, "other.key", &other_key);
    let place = place
        .env("DB_SSLCERT", other.as_str())
        .env("DB_SSLKEY", other_key.as_str());
    refused(&place.run(&["check-db"]), &["28P01"]);
    let bare = place.env("DB_USER", "bare");
    refused(&bare.run(&["check-db"]), &["28000", "of its name"]);
    let place = bare.env("DB_USER", "sync");
    let (strange, strange_key) = Authority::new("theirs").sign("sync", &[]);
    let strange = keep(&place, "strange.pem", &strange);
    let strange_key = keep(&place, "strange.key", &strange_key);
    let place = place
        .env("DB_SSLCERT", strange)
        .env("DB_SSLKEY", strange_key);
    let checked = place.run(&["check-db", "--output", "json"]);
    refused(&checked, &["does not accept the client certificate"]);
    let last = checked.json()["checks"]
        .as_array()
        .unwrap()
        .iter()
        .rev()
        .nth(1)
        .unwrap()
        .clone();
    assert_eq!(
        (&last["name"], &last["ok"]),
        (&"tls".into(), &false.into()),
        "{last}"
    );

    // A run says the same, and fetches nothing.
    let (finished, report) = place.sync(&[]);
    refused(&finished, &["does not accept the client certificate"]);
    assert_eq!(report["ledger"]["fetched"], 0, "{report}");

    // The key of another certificate, one that others can read, one that is encrypted, and files that are none.
    let place = place
        .env("DB_SSLCERT", certificate.as_str())
        .env("DB_SSLKEY", other_key.as_str());
    refused(
        &place.run(&["check-db"]),
        &["is not that of the client certificate"],
    );
    let place = place.env("DB_SSLKEY", key.as_str());
    for mode in [0o604, 0o620, 0o644] {
        chmod(Path::new(&key), mode);
        refused(
            &place.run(&["check-db"]),
            &["others than its owner", "chmod 600"],
        );
    }
    chmod(Path::new(&key), 0o600);
    place.run(&["check-db"]).expect(0);
    let text = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let encrypted = keep(&place, "encrypted.key", text);
    let place = place.env("DB_SSLKEY", encrypted);
    refused(
        &place.run(&["check-db"]),
        &["it is encrypted", "openssl pkey"],
    );
    let empty = keep(&place, "empty.key", "");
    let place = place.env("DB_SSLKEY", empty.as_str());
    refused(
        &place.run(&["check-db"]),
        &["empty.key (DB_SSLKEY)", "expected a private key"],
    );
    let folder = place.path("").display().to_string();
    let place = place.env("DB_SSLKEY", folder);
    refused(&place.run(&["check-db"]), &["it is no regular file"]);
    let place = place
        .env("DB_SSLKEY", key.as_str())
        .env("DB_SSLCERT", empty);
    refused(
        &place.run(&["check-db"]),
        &["empty.key (DB_SSLCERT)", "it holds no certificate"],
    );
}

#[test]
fn database_url_and_mappings_name_the_files_as_well() {
    let authority = Authority::new("ours");
    let (cluster, database) = cluster(&authority);
    let api = Server::new().records(records()).start();
    // No password at all: the certificate is enough.
    let place = Workplace::new().with_api(api.url());
    let (certificate, key) = authority.sign("bare", &[]);
    let files = [
        keep(&place, "bare.pem", &certificate),
        keep(&place, "bare.key", &key),
        keep(&place, "root.pem", &authority.pem),
    ];
    let encoded = files.each_ref().map(|path| path.replace('/', "%2F"));
    let address = format!("bare@localhost:{}/{}", cluster.port, database.name);
    let [certificate, key, root] = &encoded;
    let place = place.env(
        "DATABASE_URL",
        format!("postgresql://{address}?sslmode=verify-full&sslrootcert={root}&sslcert={certificate}&sslkey={key}"),
    );
    place
        .run(&["check-db"])
        .expect(0)
        .says("client certificate /CN=bare");
    let (finished, report) = place.sync(&[]);
    finished.expect(0);
    assert_eq!(report["ledger"]["inserted"], 30, "{finished}");

    let place = Workplace::new()
        .with_api(api.url())
        .with_database(&database);
    let place = place
        .env("DB_HOST", "localhost")
        .env("DB_PORT", cluster.port.to_string())
        .env("DB_USER", "bare")
        .env("DB_PASSWORD", "");
    let [certificate, key, root] = &files;
    let keys = format!(
        "ssl_mode: verify-full\n      ssl_root_cert: {root}\n      ssl_cert: {certificate}\n      ssl_key: {key}\n      #"
    );
    place.edit("mappings.yaml", "# ssl_mode: verify-full", &keys);
    place
        .run(&["check-db"])
        .expect(0)
        .says("client certificate /CN=bare");
    let (finished, report) = place.sync(&[]);
    finished.expect(0);
    assert_eq!(report["ledger"]["unchanged"], 30, "{finished}");
}
