//! The client certificate by which the program proves to a server who it is, with its private key.

use std::fs::{self, Metadata};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::certificate::{read_bounded, read_pem};

/// A certificate with the certificates of its issuers, and its private key.
#[derive(Debug)]
pub struct Identity {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

impl Identity {
    /// Reads both files. The error names the file and what is wrong with it.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, String> {
        let chain = read_pem(certificate).map_err(|why| {
            format!(
                "the client certificate {} (DB_SSLCERT) cannot be read: {why}; expected a PEM file",
                certificate.display()
            )
        })?;
        let key = private_key(key).map_err(|why| {
            format!(
                "the key {} (DB_SSLKEY) of the client certificate cannot be used: {why}",
                key.display()
            )
        })?;
        Ok(Self { chain, key })
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let data = fs::metadata(path).map_err(|error| error.to_string())?;
    if !data.is_file() {
        return Err("it is no regular file".to_owned());
    }
    is_private(&data)?;
    let pem = read_bounded(path)?;
    let is_encrypted = |word: &[u8]| pem.windows(word.len()).any(|part| part == word);
    if is_encrypted(b"ENCRYPTED") {
        return Err(
            "it is encrypted, and nobody is there to type its password; decrypt it: openssl pkey -in KEY -out PLAIN_KEY"
                .to_owned(),
        );
    }
    PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|error| format!("{error}; expected a private key as a PEM file"))
}

/// Refuses a key file that others can read, as libpq does: mode 0600 or less; 0640 or less where it belongs to root.
fn is_private(data: &Metadata) -> Result<(), String> {
    let (others, wanted) = if data.uid() == 0 {
        (0o037, "0640 or less, since it belongs to root")
    } else {
        (0o077, "0600 or less")
    };
    let mode = data.permissions().mode();
    if mode & others == 0 {
        return Ok(());
    }
    Err(format!(
        "others than its owner have access to it (mode {:04o}); type chmod 600, it has to be {wanted}",
        mode & 0o7777
    ))
}
