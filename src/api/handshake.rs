//! One TLS handshake with the API, for `check-api`: it describes the server's certificate, accepted or not. Nothing is sent
//! after the handshake.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConnection;
use rustls::pki_types::ServerName;

use super::error::printable;
use super::tls::{hint, identity, verifier};
use crate::config::plan::ApiTls;
use crate::support::tls::{self, Description, Identity, TlsFault, Verifier};

/// A certificate that expires sooner than this gets a remark.
const ENDS_SOON: Duration = Duration::from_hours(14 * 24);
/// Most names of a certificate that are listed.
const MOST_NAMES: usize = 5;

/// How a handshake went.
#[derive(Debug)]
pub(super) struct Handshake {
    pub ok: bool,
    /// Protocol and certificate, or why there is no secure connection, and the certificate where one was shown.
    pub detail: String,
    pub hint: Option<String>,
}

/// Shakes hands as a client of `host` would, within `limit`.
pub(super) fn shake_hands(
    stream: TcpStream,
    host: &str,
    files: &ApiTls,
    limit: Duration,
) -> Handshake {
    let both = verifier(files).and_then(|verifier| Ok((verifier, identity(files)?)));
    let (verifier, identity) = match both {
        Ok((verifier, identity)) => (Arc::new(verifier), identity),
        Err(error) => return failed(Failure::new(error.what()), None),
    };
    let outcome = protocol(stream, host, limit, Arc::clone(&verifier), identity);
    let certificate = verifier.shown();
    let described = certificate.as_ref().map(describe);
    let protocol = match outcome {
        Ok(protocol) => protocol,
        Err(failure) => return failed(failure, described),
    };
    let described = described.unwrap_or_else(|| "certificate verified".to_owned());
    let left = certificate.and_then(|certificate| certificate.left);
    Handshake {
        ok: true,
        detail: format!("{protocol}, {described}"),
        hint: left.filter(|left| *left < ENDS_SOON).map(|left| {
            format!(
                "the certificate ends in {} days: its operator has to renew it",
                left.as_secs() / 86_400
            )
        }),
    }
}

/// Why there is no secure connection.
struct Failure {
    why: String,
    fault: TlsFault,
}

impl Failure {
    fn new(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            fault: TlsFault::Other,
        }
    }

    fn tls(error: &rustls::Error) -> Self {
        Self {
            why: printable(&error.to_string(), 300),
            fault: TlsFault::of(error),
        }
    }

    fn io(error: &io::Error, limit: Duration) -> Self {
        if let Some(error) = tls::error_in(error) {
            return Self::tls(error);
        }
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::new(format!(
                "no answer to the handshake within {} s",
                limit.as_secs_f64()
            )),
            io::ErrorKind::UnexpectedEof => {
                Self::new("the connection was closed during the handshake")
            }
            _ => Self::new(printable(&error.to_string(), 300)),
        }
    }
}

fn failed(failure: Failure, certificate: Option<String>) -> Handshake {
    let Failure { why, fault } = failure;
    Handshake {
        ok: false,
        detail: match certificate {
            Some(certificate) => format!("{why}; it showed a {certificate}"),
            None => why,
        },
        hint: Some(hint(fault).to_owned()),
    }
}

/// The version of TLS that was agreed on.
fn protocol(
    stream: TcpStream,
    host: &str,
    limit: Duration,
    verifier: Arc<Verifier>,
    identity: Option<Identity>,
) -> Result<String, Failure> {
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| Failure::new(format!("{} is no name for TLS", printable(host, 120))))?;
    let mut config = tls::client(verifier, identity).map_err(|error| Failure::tls(&error))?;
    config.alpn_protocols = tls::http_protocols();
    let mut connection =
        ClientConnection::new(Arc::new(config), name).map_err(|error| Failure::tls(&error))?;
    let mut stream = Bounded {
        stream,
        until: Instant::now() + limit,
    };
    while connection.is_handshaking() {
        connection
            .complete_io(&mut stream)
            .map_err(|error| Failure::io(&error, limit))?;
    }
    let version = connection.protocol_version();
    Ok(version
        .and_then(|version| version.as_str())
        .map_or_else(|| "TLS".to_owned(), |name| name.replace("TLSv1_", "TLS 1.")))
}

/// A stream whose reads and writes share one deadline.
struct Bounded {
    stream: TcpStream,
    until: Instant,
}

impl Bounded {
    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(Some(left))
    }
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(buffer)
    }
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// `certificate for a.example, b.example, issued by CN=…, valid from … to …`.
fn describe(certificate: &Description) -> String {
    let names = &certificate.names;
    let mut list = names[..names.len().min(MOST_NAMES)].join(", ");
    if names.len() > MOST_NAMES {
        list += &format!(" and {} more", names.len() - MOST_NAMES);
    }
    format!(
        "certificate for {}, issued by {}, valid from {} to {}",
        printable(&list, 300),
        printable(&certificate.issuer, 120),
        certificate.valid_from,
        certificate.valid_to
    )
}
