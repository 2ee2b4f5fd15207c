//! `sslmode` with libpq's meaning, over rustls.
//!
//! `require` encrypts without verifying (unless a root certificate is given, then it is `verify-ca`), `prefer` the
//! same but goes on in plain text where the server offers no TLS, TLS fails or is not let in (see `connect`), `verify-ca` checks the chain, `verify-full` the name as well.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::error::{Class, StoreError};
use crate::config::plan::SslMode;

fn broken(message: String) -> StoreError {
    StoreError::new(Class::Fatal, "tls", message)
}

/// The connector of a mode; `Disable` never uses it.
pub(super) fn connector(
    mode: SslMode,
    root_cert: Option<&Path>,
) -> Result<MakeRustlsConnect, StoreError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let depth = match (mode, root_cert) {
        (SslMode::Disable | SslMode::Prefer, _) | (SslMode::Require, None) => Depth::None,
        (SslMode::Require, Some(_)) | (SslMode::VerifyCa, _) => Depth::Chain,
        (SslMode::VerifyFull, _) => Depth::Name,
    };
    let verifier = Verifier {
        depth,
        provider: Arc::clone(&provider),
        pinned: if depth == Depth::None {
            Vec::new()
        } else {
            read_roots(root_cert)?
        },
        inner: None,
    };
    let verifier = verifier.with_roots()?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| broken(format!("TLS cannot be set up: {error}")))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn read_roots(path: Option<&Path>) -> Result<Vec<CertificateDer<'static>>, StoreError> {
    let Some(path) = path else {
        return Ok(Vec::new());
    };
    let unreadable = |why: &str| {
        broken(format!(
            "the root certificate {} (DB_SSLROOTCERT) cannot be read: {why}; expected a PEM file",
            path.display()
        ))
    };
    let roots = CertificateDer::pem_file_iter(path)
        .map_err(|error| unreadable(&error.to_string()))?
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unreadable(&error.to_string()))?;
    if roots.is_empty() {
        return Err(unreadable("it holds no certificate"));
    }
    Ok(roots)
}

/// How far a certificate is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Depth {
    None,
    Chain,
    Name,
}

#[derive(Debug)]
struct Verifier {
    depth: Depth,
    provider: Arc<CryptoProvider>,
    /// Certificates of the root file: a server that presents one of them itself (self-signed) is trusted too.
    pinned: Vec<CertificateDer<'static>>,
    inner: Option<Arc<dyn ServerCertVerifier>>,
}

impl Verifier {
    fn with_roots(mut self) -> Result<Self, StoreError> {
        if self.depth == Depth::None {
            return Ok(self);
        }
        let inner: Arc<dyn ServerCertVerifier> = if self.pinned.is_empty() {
            Arc::new(
                rustls_platform_verifier::Verifier::new(Arc::clone(&self.provider)).map_err(
                    |error| {
                        broken(format!(
                            "the system's root certificates cannot be used: {error}; name a root certificate in DB_SSLROOTCERT"
                        ))
                    },
                )?,
            )
        } else {
            let mut roots = RootCertStore::empty();
            for certificate in &self.pinned {
                roots.add(certificate.clone()).map_err(|error| {
                    broken(format!(
                        "a certificate of DB_SSLROOTCERT cannot be used: {error}"
                    ))
                })?;
            }
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider))
                .build()
                .map_err(|error| broken(format!("DB_SSLROOTCERT cannot be used: {error}")))?
        };
        self.inner = Some(inner);
        Ok(self)
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(inner) = &self.inner else {
            return Ok(ServerCertVerified::assertion());
        };
        if self.pinned.iter().any(|pinned| pinned == end_entity) {
            if self.depth == Depth::Name {
                rustls::client::verify_server_name(
                    &ParsedCertificate::try_from(end_entity)?,
                    server_name,
                )?;
            }
            return Ok(ServerCertVerified::assertion());
        }
        match inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The chain is checked before the name, so a wrong name says that the chain was right.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if self.depth == Depth::Chain => Ok(ServerCertVerified::assertion()),
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
