//! Stores refresh tokens that the server changes with every use. The newest one is in the state directory, in a file that
//! only its owner may read, and is synced to disk before the access token that came with it is used.
//!
//! The name of the file is a hash of the configured token, so another configured token begins anew. A lock makes processes
//! on one machine take turns.

use std::fs::{File, TryLockError};
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::super::error::{ApiError, Kind};
use crate::config::plan::OAuth2;
use crate::config::secret::Secret;
use crate::support::atomic_file;
use crate::support::bounded_read;
use crate::support::digest::Digest;

/// Longest wait for another process.
const PATIENCE: Duration = Duration::from_mins(1);
const STEP: Duration = Duration::from_millis(50);
/// Largest file that is read.
const LARGEST: u64 = 64 << 10;

/// The locked file; dropping this unlocks it.
pub(super) struct Lock {
    folder: PathBuf,
    path: PathBuf,
    _file: File,
}

/// Waits for the lock. `pause` sleeps, and fails at a stop.
pub(super) fn lock(
    oauth: &OAuth2,
    configured: &Secret,
    pause: impl Fn(Duration) -> Result<(), ApiError>,
) -> Result<Lock, ApiError> {
    let name = Digest::default()
        .with_part(oauth.token_url.as_str().as_bytes())
        .with_part(oauth.client_id.expose().as_bytes())
        .with_part(configured.expose().as_bytes())
        .hex();
    let folder = oauth.state_dir.join("oauth");
    let path = folder.join(format!("{}.token", &name[..32]));
    let unusable = |error: &io::Error| unusable(&folder, error);
    atomic_file::create_private(&folder).map_err(|error| unusable(&error))?;
    // Check this before the server changes the token: a new one that cannot be stored would be lost.
    atomic_file::probe(&path).map_err(|error| unusable(&error))?;
    let file = File::options()
        .create(true)
        .append(true)
        .open(path.with_extension("lock"))
        .map_err(|error| unusable(&error))?;
    let started = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if started.elapsed() < PATIENCE => pause(STEP)?,
            Err(TryLockError::WouldBlock) => {
                return Err(ApiError::new(
                    Kind::Token,
                    "another process has been asking for a token for a minute",
                    "wait for it to end, or end it",
                ));
            }
            Err(TryLockError::Error(error)) => return Err(unusable(&error)),
        }
    }
    Ok(Lock {
        folder,
        path,
        _file: file,
    })
}

impl Lock {
    /// The token that was stored last.
    pub fn read(&self) -> Result<Option<Secret>, ApiError> {
        match bounded_read::read(&self.path, LARGEST) {
            Ok(Some(bytes)) => {
                let text = String::from_utf8(bytes).unwrap_or_default();
                Ok(Some(Secret::new(text)).filter(|token| !token.is_empty()))
            }
            Ok(None) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unusable(&self.folder, &error)),
        }
    }

    /// Stores the token to use from now on.
    pub fn keep(&self, token: &Secret) -> Result<(), ApiError> {
        atomic_file::keep(&self.folder, &self.path, token.expose().as_bytes())
            .map_err(|error| unusable(&self.folder, &error))
    }
}

fn unusable(folder: &std::path::Path, error: &io::Error) -> ApiError {
    ApiError::new(
        Kind::Token,
        format!(
            "the refresh token cannot be kept in {}: {error}",
            folder.display()
        ),
        "make the state directory writable for this user (--state-dir, DATASYNC_STATE_DIR)",
    )
    .of_token_endpoint()
}
