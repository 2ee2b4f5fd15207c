//! TLS to the API and to whoever is told of its failures: ring, and the certificates this machine trusts (`SSL_CERT_FILE` included, by the platform verifier).

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;

use super::error::{ApiError, Kind};

/// The TLS side of a client. `needed`: the address is https; otherwise a machine without any trusted certificate will do.
pub(crate) fn config(needed: bool) -> Result<ClientConfig, ApiError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| setup(&error))?;
    let verified = if needed {
        builder
            .with_platform_verifier()
            .map_err(|error| setup(&error))?
    } else {
        // Plain http: nothing to verify, and loading the machine's certificates costs more than a page.
        builder.with_root_certificates(RootCertStore::empty())
    };
    let mut config = verified.with_no_client_auth();
    config.alpn_protocols = protocols();
    Ok(config)
}

/// What we offer to speak.
pub(super) fn protocols() -> Vec<Vec<u8>> {
    vec![b"h2".to_vec(), b"http/1.1".to_vec()]
}

fn setup(error: &rustls::Error) -> ApiError {
    ApiError::new(
        Kind::Tls,
        format!("TLS cannot be set up: {error}"),
        "are trusted certificates installed on this machine (package ca-certificates)? SSL_CERT_FILE can name a file with them",
    )
}

/// What to do about a failed handshake. Never to switch the checks off.
pub(super) fn hint(detail: &str) -> &'static str {
    if detail.contains("Expired") || detail.contains("expired") {
        "the API's certificate is out of date: its operator has to renew it (and check this machine's clock)"
    } else if detail.contains("NotValidYet") || detail.contains("not valid yet") {
        "the API's certificate is not valid yet: check this machine's clock"
    } else if detail.contains("NotValidForName") || detail.contains("not valid for name") {
        "the certificate belongs to another name: check the host in API_BASE_URL"
    } else if detail.contains("UnknownIssuer") || detail.contains("CaUsedAsEndEntity") {
        "the certificate's issuer is not trusted here: if it is your own authority, install it or name its file in SSL_CERT_FILE"
    } else {
        "check scheme and port in API_BASE_URL, and the API's TLS settings"
    }
}
