//! A look at the API's TLS, for `check-api`: one handshake of its own, which keeps the certificate that was shown, trusted or
//! not, so that it can be named. Sends nothing after the handshake.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::time::Time;

use super::error::printable;
use super::tls;

/// A certificate that ends sooner than this is worth a word.
const SOON: Duration = Duration::from_hours(14 * 24);
/// Names of a certificate are listed up to here.
const LISTED: usize = 5;

/// What a handshake showed.
#[derive(Debug)]
pub(super) struct Seen {
    /// Protocol and certificate, or why there is no secure connection, and the certificate where one was shown.
    pub detail: String,
    pub hint: Option<String>,
    pub ok: bool,
}

/// Shakes hands as a client of `host` would, within `limit`.
pub(super) fn look(stream: TcpStream, host: &str, limit: Duration) -> Seen {
    let witness = match Witness::new() {
        Ok(witness) => Arc::new(witness),
        Err(error) => return failed(&format!("TLS cannot be set up: {error}"), None),
    };
    let shaken = shake(stream, host, limit, &witness);
    let shown = witness
        .shown
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take()
        .and_then(|der| Certificate::from_der(&der).ok());
    let named = shown.as_ref().map(describe);
    match shaken {
        Ok(protocol) => {
            let left = shown.as_ref().and_then(left);
            Seen {
                detail: format!(
                    "{protocol}, {}",
                    named.unwrap_or_else(|| "certificate verified".to_owned())
                ),
                hint: left.filter(|left| *left < SOON).map(|left| {
                    format!(
                        "the certificate ends in {} days: its operator has to renew it",
                        left.as_secs() / 86_400
                    )
                }),
                ok: true,
            }
        }
        Err(why) => failed(&why, named),
    }
}

fn failed(why: &str, named: Option<String>) -> Seen {
    let hint = tls::hint(why).to_owned();
    Seen {
        detail: named.map_or_else(
            || why.to_owned(),
            |named| format!("{why}; it showed a {named}"),
        ),
        hint: Some(hint),
        ok: false,
    }
}

/// The protocol that was agreed on, or why there is none.
fn shake(
    stream: TcpStream,
    host: &str,
    limit: Duration,
    witness: &Arc<Witness>,
) -> Result<String, String> {
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| format!("{} is no name for TLS", printable(host, 120)))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(witness) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    config.alpn_protocols = tls::protocols();
    let mut connection = ClientConnection::new(Arc::new(config), name)
        .map_err(|error| printable(&error.to_string(), 300))?;
    let mut stream = Hasty {
        stream,
        until: Instant::now() + limit,
    };
    while connection.is_handshaking() {
        connection.complete_io(&mut stream).map_err(|error| {
            if matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
            ) {
                format!(
                    "no answer to the handshake within {} s",
                    limit.as_secs_f64()
                )
            } else if error.kind() == io::ErrorKind::UnexpectedEof {
                "the connection was closed during the handshake".to_owned()
            } else {
                printable(&error.to_string(), 300)
            }
        })?;
    }
    Ok(connection
        .protocol_version()
        .and_then(|version| {
            version
                .as_str()
                .map(|name| name.replace("TLSv1_", "TLS 1."))
        })
        .unwrap_or_else(|| "TLS".to_owned()))
}

/// A stream whose reads and writes all end at one moment.
struct Hasty {
    stream: TcpStream,
    until: Instant,
}

impl Hasty {
    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(Some(left))
    }
}

impl Read for Hasty {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(buffer)
    }
}

impl Write for Hasty {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// Keeps what was shown and leaves the verdict to the platform.
#[derive(Debug)]
struct Witness {
    inner: rustls_platform_verifier::Verifier,
    shown: Mutex<Option<CertificateDer<'static>>>,
}

impl Witness {
    fn new() -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        Ok(Self {
            inner: rustls_platform_verifier::Verifier::new(provider)?,
            shown: Mutex::default(),
        })
    }
}

impl ServerCertVerifier for Witness {
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
        self.inner
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// `certificate for a.example, b.example, issued by CN=…, valid from … to …`.
fn describe(certificate: &Certificate) -> String {
    let tbs = &certificate.tbs_certificate;
    let mut names: Vec<String> = tbs
        .get::<SubjectAltName>()
        .ok()
        .flatten()
        .map(|(_, names)| names.0.iter().filter_map(name).collect())
        .unwrap_or_default();
    if names.is_empty() {
        names.push(tbs.subject.to_string());
    }
    let more = names.len().saturating_sub(LISTED);
    names.truncate(LISTED);
    let mut list = names.join(", ");
    if more > 0 {
        list += &format!(" and {more} more");
    }
    format!(
        "certificate for {}, issued by {}, valid from {} to {}",
        printable(&list, 300),
        printable(&tbs.issuer.to_string(), 120),
        day(tbs.validity.not_before),
        day(tbs.validity.not_after)
    )
}

fn name(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => Some(name.to_string()),
        GeneralName::IpAddress(bytes) => match *bytes.as_bytes() {
            [a, b, c, d] => Some(std::net::Ipv4Addr::new(a, b, c, d).to_string()),
            ref long => <[u8; 16]>::try_from(long)
                .ok()
                .map(|bytes| std::net::Ipv6Addr::from(bytes).to_string()),
        },
        _ => None,
    }
}

fn day(time: Time) -> String {
    i64::try_from(time.to_unix_duration().as_secs())
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
        .map_or_else(|| "?".to_owned(), |at| at.strftime("%F").to_string())
}

/// Time until the certificate ends; none when it has.
fn left(certificate: &Certificate) -> Option<Duration> {
    let end = certificate
        .tbs_certificate
        .validity
        .not_after
        .to_unix_duration();
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .ok()?;
    end.checked_sub(now)
}
