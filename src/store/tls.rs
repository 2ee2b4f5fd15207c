//! `sslmode`, as libpq defines it.
//!
//! `require` encrypts without verification (with a root certificate it acts as `verify-ca`). `prefer` does the same, but
//! falls back to plain text if the server offers no TLS, or TLS fails or is refused (see `connect`). `verify-ca` checks the
//! chain, and `verify-full` also the name.

use std::sync::Arc;

use tokio_postgres_rustls::MakeRustlsConnect;

use super::error::{Class, StoreError};
use crate::config::plan::{Database, SslMode};
use crate::support::tls::{self, Accept, Identity, Verifier};

fn broken(message: String) -> StoreError {
    StoreError::new(Class::Fatal, "tls", message)
}

/// The TLS connector for a database. It is not used with the mode `Disable`.
pub(super) fn connector(db: &Database) -> Result<MakeRustlsConnect, StoreError> {
    let (mode, root_cert) = (db.ssl_mode, db.ssl_root_cert.as_deref());
    let accept = match (mode, root_cert) {
        (SslMode::Disable | SslMode::Prefer, _) | (SslMode::Require, None) => Accept::Any,
        (SslMode::Require, Some(_)) | (SslMode::VerifyCa, _) => Accept::Chain,
        (SslMode::VerifyFull, _) => Accept::Name,
    };
    let roots = match root_cert {
        Some(path) if accept != Accept::Any => tls::read_pem(path).map_err(|why| {
            broken(format!(
                "the root certificate {} (DB_SSLROOTCERT) cannot be read: {why}; expected a PEM file",
                path.display()
            ))
        })?,
        _ => Vec::new(),
    };
    let is_of_machine = roots.is_empty();
    let verifier = Verifier::new(accept, roots).map_err(|error| {
        broken(if is_of_machine {
            format!(
                "the system's root certificates cannot be used: {error}; name a root certificate in DB_SSLROOTCERT"
            )
        } else {
            format!("DB_SSLROOTCERT cannot be used: {error}")
        })
    })?;
    let identity = match &db.client_certificate {
        Some(files) if mode != SslMode::Disable => {
            Some(Identity::read(&files.certificate, &files.key).map_err(broken)?)
        }
        _ => None,
    };
    let config = tls::client(Arc::new(verifier), identity).map_err(|error| {
        broken(match (&error, &db.client_certificate) {
            (rustls::Error::InconsistentKeys(_), Some(files)) => format!(
                "the key {} (DB_SSLKEY) is not that of the client certificate {} (DB_SSLCERT)",
                files.key.display(),
                files.certificate.display()
            ),
            _ => format!("TLS cannot be set up: {error}"),
        })
    })?;
    Ok(MakeRustlsConnect::new(config))
}
