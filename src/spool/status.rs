//! The state of the spool, for checks and dry runs: what waits there, and whether a run could write. Changes nothing on disk.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::SpoolError;
use crate::model::clock::Micros;

/// What the state directory contains.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpoolStatus {
    /// Files that wait to be replayed.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When the oldest of them was written.
    pub oldest: Option<Micros>,
    /// Files in quarantine.
    pub quarantined: u64,
    /// When the oldest file in quarantine was written.
    pub oldest_quarantined: Option<Micros>,
}

/// Reads the state of the spool. Fails where a run could not write to it.
pub fn status(state_dir: &Path) -> Result<SpoolStatus, SpoolError> {
    let mut seen = SpoolStatus::default();
    let list = |folder: &Path| -> Result<Vec<PathBuf>, SpoolError> {
        let unreadable = |e: std::io::Error| SpoolError::new("cannot read", folder, e);
        match fs::read_dir(folder) {
            Ok(entries) => entries
                .map(|entry| entry.map(|entry| entry.path()).map_err(unreadable))
                .collect(),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(e) => Err(unreadable(e)),
        }
    };
    let spool = state_dir.join("spool");
    for path in list(&spool)? {
        if path.extension().is_some_and(|ext| ext == "spool") {
            seen.files += 1;
            // A file that no longer exists was replayed by another process meanwhile.
            seen.bytes += fs::metadata(&path).map_or(0, |data| data.len());
            seen.oldest = earlier(seen.oldest, written(&path));
        }
    }
    for path in list(&state_dir.join("quarantine"))? {
        seen.quarantined += 1;
        seen.oldest_quarantined = earlier(seen.oldest_quarantined, written(&path));
    }
    // The first run creates a missing folder, in the nearest folder above that exists.
    let there = spool
        .ancestors()
        .find(|path| path.exists())
        .unwrap_or(state_dir);
    rustix::fs::access(
        there,
        rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK,
    )
    .and_then(|()| {
        if there.is_dir() {
            Ok(())
        } else {
            Err(rustix::io::Errno::NOTDIR)
        }
    })
    .map_err(|e| SpoolError::new("cannot write to the state directory", state_dir, e.into()))?;
    Ok(seen)
}

/// When a file was begun, as its name says; otherwise when it was last changed.
fn written(path: &Path) -> Option<Micros> {
    let by_name = path
        .file_name()
        .and_then(|name| name.to_str()?.split('-').next()?.parse().ok())
        .map(Micros);
    by_name.or_else(|| {
        let changed = fs::symlink_metadata(path).ok()?.modified().ok()?;
        let since = changed.duration_since(std::time::UNIX_EPOCH).ok()?;
        Some(Micros(i64::try_from(since.as_micros()).ok()?))
    })
}

fn earlier(a: Option<Micros>, b: Option<Micros>) -> Option<Micros> {
    match (a, b) {
        (Some(a), Some(b)) => Some(std::cmp::min(a, b)),
        (a, b) => a.or(b),
    }
}
