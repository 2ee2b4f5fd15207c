//! TLS to the database: `DB_SSLMODE`, `DB_SSLROOTCERT`, `DB_SSLCERT` and `DB_SSLKEY`, with libpq's meaning.

use std::path::PathBuf;

use super::database_url::{DatabaseUrl, SSL_MODES, parse_ssl_mode};
use super::plan::{ClientCertificate, SslMode};
use super::problem::Problem;
use super::reader::Section;

/// The TLS settings of the connection.
pub(super) struct Tls {
    /// If none, the host decides.
    pub mode: Option<SslMode>,
    pub root_cert: Option<PathBuf>,
    pub client_certificate: Option<ClientCertificate>,
}

/// Reads the settings. The environment wins over `DATABASE_URL`, which wins over the file.
pub(super) fn tls(connection: &Section<'_>, url: Option<&DatabaseUrl>) -> Tls {
    let file = |variable: &str, of_url: fn(&DatabaseUrl) -> &Option<String>, key: &str| {
        connection
            .context()
            .variable(variable, connection.is_needed())
            .or_else(|| url.and_then(|url| of_url(url).clone()))
            .or_else(|| connection.text(key))
    };
    let mode = ssl_mode(connection, url);
    let root_cert = file("DB_SSLROOTCERT", |url| &url.ssl_root_cert, "ssl_root_cert");
    let certificate = file("DB_SSLCERT", |url| &url.ssl_cert, "ssl_cert");
    let key = file("DB_SSLKEY", |url| &url.ssl_key, "ssl_key");
    let (mode, root_cert) = settle_root_cert(connection, mode, root_cert);
    Tls {
        mode,
        root_cert,
        client_certificate: client_certificate(connection, mode, certificate, key),
    }
}

fn ssl_mode(connection: &Section<'_>, url: Option<&DatabaseUrl>) -> Option<SslMode> {
    let context = connection.context();
    let needed = connection.is_needed();
    if let Some(text) = context.variable("DB_SSLMODE", needed) {
        return parse_ssl_mode(text.trim()).or_else(|| {
            context.problem_if(
                needed,
                Problem::new(
                    "DB_SSLMODE: expected disable, prefer, require, verify-ca or verify-full",
                ),
            );
            None
        });
    }
    url.and_then(|url| url.ssl_mode)
        .or_else(|| connection.choice("ssl_mode", &SSL_MODES))
}

/// `system` stands for the certificates that this machine trusts, and for `verify-full`, as in libpq.
fn settle_root_cert(
    connection: &Section<'_>,
    mode: Option<SslMode>,
    root_cert: Option<String>,
) -> (Option<SslMode>, Option<PathBuf>) {
    if root_cert.as_deref() != Some("system") {
        return (mode, root_cert.map(PathBuf::from));
    }
    if mode.is_some_and(|mode| mode != SslMode::VerifyFull) {
        connection.context().problem_if(
            connection.is_needed(),
            Problem::new("the root certificate `system` goes with the sslmode verify-full alone")
                .hint("set DB_SSLMODE=verify-full, or name a file in DB_SSLROOTCERT"),
        );
    }
    (Some(SslMode::VerifyFull), None)
}

/// A certificate needs its key, and the other way round. Unlike libpq, no file of the home directory is used by default.
fn client_certificate(
    connection: &Section<'_>,
    mode: Option<SslMode>,
    certificate: Option<String>,
    key: Option<String>,
) -> Option<ClientCertificate> {
    let wrong = |message: &str, hint: &str| {
        connection
            .context()
            .problem_if(connection.is_needed(), Problem::new(message).hint(hint));
    };
    let (certificate, key) = match (certificate, key) {
        (Some(certificate), Some(key)) => (certificate, key),
        (None, None) => return None,
        (Some(_), None) => {
            wrong(
                "the client certificate has no key",
                "name the file of its private key in DB_SSLKEY",
            );
            return None;
        }
        (None, Some(_)) => {
            wrong(
                "the key of a client certificate is named, and no certificate",
                "name its file in DB_SSLCERT",
            );
            return None;
        }
    };
    if mode == Some(SslMode::Disable) {
        wrong(
            "a client certificate cannot be shown with the sslmode disable",
            "set DB_SSLMODE=verify-full, or leave DB_SSLCERT and DB_SSLKEY out",
        );
    }
    Some(ClientCertificate {
        certificate: certificate.into(),
        key: key.into(),
    })
}
