//! Writes a report page to its file, whole or not at all. Only its owner may read it.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::support::atomic_file;

/// Checks that a report can be written here. It is called before the run begins, so that a wrong path costs nothing.
pub fn probe(path: &Path) -> Result<()> {
    // The report is renamed into its place, which would remove a device or a pipe for good.
    match fs::metadata(path) {
        Ok(found) if !found.is_file() => bail!("{} is no ordinary file", path.display()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).context(path.display().to_string()),
    }
    atomic_file::probe(path).with_context(|| path.display().to_string())
}

/// Writes the report.
pub fn write(path: &Path, text: &str) -> Result<()> {
    atomic_file::replace(path, text.as_bytes(), 0o600).with_context(|| path.display().to_string())
}
