//! TLS for every connection of the program, HTTPS and PostgreSQL alike. The one place that chooses the cryptographic
//! provider (ring) and decides whether a server's certificate is accepted. Knows nothing of what is said over a connection.

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

/// The provider of all cryptography in TLS.
fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(rustls::crypto::ring::default_provider())))
}

/// The settings of a client that accepts what `verifier` accepts, and shows its identity to a server that asks for it.
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

/// The settings of an HTTP client. `is_https` false: plain http, for which no certificate is loaded, since loading those of
/// the machine takes longer than a page.
pub fn https(is_https: bool) -> Result<ClientConfig, rustls::Error> {
    let verifier = is_https.then(Verifier::of_this_machine).transpose()?;
    https_with(verifier, None)
}

/// The same with authorities of one's own, and an identity. Without a verifier: plain http.
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
    /// Any: the connection is encrypted, but nothing says with whom.
    Any,
    /// One that a trusted authority has signed, for whatever name.
    Chain,
    /// One that a trusted authority has signed for the name of the server.
    Name,
}

/// Decides whether a server's certificate is accepted, and keeps the certificate that it was shown last.
#[derive(Debug)]
pub struct Verifier {
    accept: Accept,
    /// Certificates of the root file: a server that shows one of them itself (self-signed) is trusted, too.
    roots: Vec<CertificateDer<'static>>,
    /// None: any certificate is accepted.
    authorities: Option<Arc<dyn ServerCertVerifier>>,
    shown: Mutex<Option<CertificateDer<'static>>>,
}

impl Verifier {
    /// Trusts the authorities that this machine trusts (`SSL_CERT_FILE` included), and checks the name.
    pub fn of_this_machine() -> Result<Self, rustls::Error> {
        Self::new(Accept::Name, Vec::new())
    }

    /// `roots`: the only authorities to trust; empty: those of this machine.
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
            // The chain is checked before the name, so a wrong name says that the chain was right.
            Err(error) if self.accept == Accept::Chain && Fault::of(&error) == Fault::WrongName => {
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
pub enum Fault {
    Expired,
    NotYetValid,
    WrongName,
    UnknownIssuer,
    /// The server shows the certificate of an authority as its own.
    AuthorityAsServer,
    /// The server does not accept what it was shown of this client, or wants to be shown something.
    ClientRefused,
    Other,
}

impl Fault {
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
            // rustls has no variant of its own for it.
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

/// The error of TLS in a chain of causes.
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
