//! TLS settings for the API, and the advice when there is no secure connection to it.

use rustls::ClientConfig;

use super::error::{ApiError, Kind};
use crate::config::plan::ApiTls;
use crate::support::tls::{Accept, Identity, TlsFault, Verifier, https_with, read_pem};

/// Accepts certificates of the authorities in `tls.ca`, or of this machine's if there is none.
pub(super) fn verifier(files: &ApiTls) -> Result<Verifier, ApiError> {
    let Some(ca) = &files.ca else {
        return Verifier::of_this_machine().map_err(|error| setup(&error));
    };
    let roots = read_pem(ca).map_err(|why| {
        unusable(format!(
            "the certificates of {} cannot be read: {why}",
            ca.display()
        ))
    })?;
    Verifier::new(Accept::Name, roots).map_err(|error| {
        unusable(format!(
            "the certificates of {} cannot be used: {error}",
            ca.display()
        ))
    })
}

/// The client certificate, for an API that asks for one.
pub(super) fn identity(files: &ApiTls) -> Result<Option<Identity>, ApiError> {
    files
        .client
        .as_ref()
        .map(|client| {
            Identity::read(&client.certificate, &client.key).map_err(|why| {
                // The shared code names the variables of the database; here the files come from mappings.yaml.
                unusable(why.replace(" (DB_SSLCERT)", "").replace(" (DB_SSLKEY)", ""))
            })
        })
        .transpose()
}

/// The settings of connections to the API.
pub(super) fn settings(files: &ApiTls, is_https: bool) -> Result<ClientConfig, ApiError> {
    let verifier = is_https.then(|| verifier(files)).transpose()?;
    let identity = if is_https { identity(files)? } else { None };
    https_with(verifier, identity).map_err(|error| match (&error, &files.client) {
        (rustls::Error::InconsistentKeys(_), Some(client)) => unusable(format!(
            "the key {} is not that of the certificate {}",
            client.key.display(),
            client.certificate.display()
        )),
        _ => setup(&error),
    })
}

fn unusable(what: String) -> ApiError {
    ApiError::new(
        Kind::Tls,
        what,
        "check `client_certificate`, `client_key` and `ca` of mappings.api.tls",
    )
}

/// The error where TLS could not be set up at all.
pub(super) fn setup(error: &rustls::Error) -> ApiError {
    ApiError::new(
        Kind::Tls,
        format!("TLS cannot be set up: {error}"),
        "are trusted certificates installed on this machine (package ca-certificates)? SSL_CERT_FILE can name a file with them",
    )
}

/// What to do about a failed handshake. It never suggests to switch the checks off.
pub(super) const fn hint(fault: TlsFault) -> &'static str {
    match fault {
        TlsFault::Expired => {
            "the API's certificate is out of date: its operator has to renew it (and check this machine's clock)"
        }
        TlsFault::NotYetValid => {
            "the API's certificate is not valid yet: check this machine's clock"
        }
        TlsFault::WrongName => {
            "the certificate belongs to another name: check the host in API_BASE_URL"
        }
        TlsFault::UnknownIssuer => {
            "the certificate's issuer is not trusted here: if it is your own authority, install it or name its file in SSL_CERT_FILE"
        }
        TlsFault::AuthorityAsServer => {
            "the API shows the certificate of an authority (CA:TRUE) as its own, which is refused however much the authority is trusted (CaUsedAsEndEntity): its operator has to have the authority sign a certificate for the host (CA:FALSE), and you name the file of the authority in SSL_CERT_FILE"
        }
        TlsFault::ClientRefused => {
            "the API demands a client certificate, which datasync shows to the database alone; let a proxy show it"
        }
        TlsFault::Other => "check scheme and port in API_BASE_URL, and the API's TLS settings",
    }
}
