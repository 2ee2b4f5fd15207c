//! Certificates: reading them from files, and describing them to people.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::time::Time;

use crate::support::bounded_read;

/// Largest file of certificates that is read. That of a whole system has some 250 KiB.
const LARGEST: u64 = 16 << 20;

/// The bytes of a file of certificates or of a key, or why it cannot be read.
pub(super) fn read_bounded(path: &Path) -> Result<Vec<u8>, String> {
    bounded_read::read(path, LARGEST)
        .map_err(|error| error.to_string())?
        .ok_or_else(|| "it is larger than 16 MiB".to_owned())
}

/// The certificates in a PEM file, at least one, or why they cannot be read.
pub fn read_pem(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = CertificateDer::pem_slice_iter(&read_bounded(path)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| error.to_string())?;
    if certificates.is_empty() {
        return Err("it holds no certificate".to_owned());
    }
    Ok(certificates)
}

/// What a certificate says, for messages. The other side wrote these texts.
#[derive(Debug)]
pub struct Description {
    /// The names it is valid for, or its subject where it has none.
    pub names: Vec<String>,
    pub issuer: String,
    /// The day it becomes valid, such as `2026-01-31`.
    pub valid_from: String,
    pub valid_to: String,
    /// Time until it expires; none where it has expired.
    pub left: Option<Duration>,
}

impl Description {
    /// None where the certificate cannot be parsed.
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let certificate = Certificate::from_der(certificate).ok()?;
        let tbs = &certificate.tbs_certificate;
        let mut names = alternative_names(&certificate);
        if names.is_empty() {
            names.push(tbs.subject.to_string());
        }
        let end = tbs.validity.not_after.to_unix_duration();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok();
        Some(Self {
            names,
            issuer: tbs.issuer.to_string(),
            valid_from: day(tbs.validity.not_before),
            valid_to: day(tbs.validity.not_after),
            left: now.and_then(|now| end.checked_sub(now)),
        })
    }
}

/// The host names and addresses in the certificate's subject alternative name.
fn alternative_names(certificate: &Certificate) -> Vec<String> {
    let extension = certificate.tbs_certificate.get::<SubjectAltName>();
    extension
        .ok()
        .flatten()
        .map(|(_, names)| names.0.iter().filter_map(name).collect())
        .unwrap_or_default()
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
