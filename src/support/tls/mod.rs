//! TLS for every connection of the program, HTTPS and PostgreSQL alike. Only this file chooses the cryptographic provider
//! (ring) and decides whether a server's certificate is accepted. It knows nothing of what is sent over a connection.

mod certificate;
mod identity;

use std::error::Error as StdError;
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore,
    SignatureScheme,
};

pub use certificate::{Description, read_pem};
pub use identity::Identity;

/// The provider of all cryptography for TLS.
fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(rustls::crypto::ring::default_provider())))
}

/// Client settings that accept what `verifier` accepts, and present `identity` to a server that asks for it.
pub fn client(
    verifier: Arc<Verifier>,
    identity: Option<Identity>,
) -> Result<ClientConfig, rustls::Error> {
    let client = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    match identity {
        Some(Identity { chain, key }) => client.with_client_auth_cert(chain, key),
        None => Ok(client.with_no_client_auth()),
    }
}

/// The settings of an HTTP client. Plain http (`is_https` is false) loads no certificates: that takes longer than a page.
pub fn https(is_https: bool) -> Result<ClientConfig, rustls::Error> {
    let verifier = is_https.then(Verifier::of_this_machine).transpose()?;
    https_with(verifier, None)
}

/// Like [`https`], with a verifier and an identity of the caller's choice. Without a verifier only plain http is possible.
pub fn https_with(
    verifier: Option<Verifier>,
    identity: Option<Identity>,
) -> Result<ClientConfig, rustls::Error> {
    let mut config = if let Some(verifier) = verifier {
        client(Arc::new(verifier), identity)?
    } else {
        ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth()
    };
    config.alpn_protocols = http_protocols();
    Ok(config)
}

/// The versions of HTTP that are offered in the handshake.
pub fn http_protocols() -> Vec<Vec<u8>> {
    vec![b"h2".to_vec(), b"http/1.1".to_vec()]
}

/// Which certificates of a server are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accept {
    /// Any certificate: the connection is encrypted, but the server's identity is not checked.
    Any,
    /// A certificate that a trusted authority has signed, for whatever name.
    Chain,
    /// A certificate that a trusted authority has signed for the server's name.
    Name,
}

/// Decides whether a server's certificate is accepted, and remembers the certificate that was shown last.
#[derive(Debug)]
pub struct Verifier {
    accept: Accept,
    /// Certificates of the root file. A server that shows one of them itself (self-signed) is trusted, too.
    roots: Vec<CertificateDer<'static>>,
    /// None where any certificate is accepted.
    authorities: Option<Arc<dyn ServerCertVerifier>>,
    shown: Mutex<Option<CertificateDer<'static>>>,
}

impl Verifier {
    /// Trusts the authorities that this machine trusts (`SSL_CERT_FILE` included), and checks the name.
    pub fn of_this_machine() -> Result<Self, rustls::Error> {
        Self::new(Accept::Name, Vec::new())
    }

    /// Trusts the authorities in `roots`, or where that is empty, those of this machine.
    pub fn new(accept: Accept, roots: Vec<CertificateDer<'static>>) -> Result<Self, rustls::Error> {
        let authorities: Option<Arc<dyn ServerCertVerifier>> = if accept == Accept::Any {
            None
        } else if roots.is_empty() {
            Some(Arc::new(rustls_platform_verifier::Verifier::new(
                provider(),
            )?))
        } else {
            let mut store = RootCertStore::empty();
            for root in &roots {
                store.add(root.clone())?;
            }
            let verifier =
                WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider()).build();
            Some(verifier.map_err(|error| rustls::Error::General(error.to_string()))?)
        };
        Ok(Self {
            accept,
            roots,
            authorities,
            shown: Mutex::default(),
        })
    }

    /// The certificate that a server showed last, accepted or not.
    pub fn shown(&self) -> Option<Description> {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.as_ref().and_then(Description::of)
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
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(end_entity.clone().into_owned());
        let Some(authorities) = &self.authorities else {
            return Ok(ServerCertVerified::assertion());
        };
        let verdict = if self.roots.iter().any(|root| root == end_entity) {
            rustls::client::verify_server_name(
                &ParsedCertificate::try_from(end_entity)?,
                server_name,
            )
            .map(|()| ServerCertVerified::assertion())
        } else {
            authorities.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                now,
            )
        };
        match verdict {
            // The chain is checked before the name. An error about the name therefore means that the chain is right.
            Err(error)
                if self.accept == Accept::Chain && TlsFault::of(&error) == TlsFault::WrongName =>
            {
                Ok(ServerCertVerified::assertion())
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &provider().signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &provider().signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Why a handshake failed, as far as the advice depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsFault {
    Expired,
    NotYetValid,
    WrongName,
    UnknownIssuer,
    /// The server shows a certificate of an authority as its own.
    AuthorityAsServer,
    /// The server does not accept this client's certificate, or requires one.
    ClientRefused,
    Other,
}

impl TlsFault {
    pub fn of(error: &rustls::Error) -> Self {
        let error = match error {
            rustls::Error::InvalidCertificate(error) => error,
            rustls::Error::AlertReceived(alert) if is_about_certificate(*alert) => {
                return Self::ClientRefused;
            }
            _ => return Self::Other,
        };
        match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Self::NotYetValid
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Self::WrongName
            }
            CertificateError::UnknownIssuer => Self::UnknownIssuer,
            // rustls has no variant of its own for this error.
            other if format!("{other:?}").contains("CaUsedAsEndEntity") => Self::AuthorityAsServer,
            _ => Self::Other,
        }
    }
}

const fn is_about_certificate(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::NoCertificate
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::CertificateRequired
    )
}

/// The error of TLS in a chain of causes, if there is one.
pub fn error_in<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e rustls::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some(tls);
        }
        cause = inner(error);
    }
    None
}

/// The next cause in a chain.
pub fn inner<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e (dyn StdError + 'static)> {
    match error.downcast_ref::<io::Error>() {
        // `source()` of an io::Error skips the error that it wraps.
        Some(io) => io.get_ref().map(|inner| inner as _),
        None => error.source(),
    }
}
