//! What is said when there is no secure connection to the API.

use super::error::{ApiError, Kind};
use crate::support::tls::Fault;

/// TLS could not even be set up.
pub(super) fn setup(error: &rustls::Error) -> ApiError {
    ApiError::new(
        Kind::Tls,
        format!("TLS cannot be set up: {error}"),
        "are trusted certificates installed on this machine (package ca-certificates)? SSL_CERT_FILE can name a file with them",
    )
}

/// What to do about a failed handshake. Never to switch the checks off.
pub(super) const fn hint(fault: Fault) -> &'static str {
    match fault {
        Fault::Expired => {
            "the API's certificate is out of date: its operator has to renew it (and check this machine's clock)"
        }
        Fault::NotYetValid => "the API's certificate is not valid yet: check this machine's clock",
        Fault::WrongName => {
            "the certificate belongs to another name: check the host in API_BASE_URL"
        }
        Fault::UnknownIssuer => {
            "the certificate's issuer is not trusted here: if it is your own authority, install it or name its file in SSL_CERT_FILE"
        }
        Fault::ClientRefused => {
            "the API demands a client certificate, which datasync shows to the database alone; let a proxy show it"
        }
        Fault::Other => "check scheme and port in API_BASE_URL, and the API's TLS settings",
    }
}
