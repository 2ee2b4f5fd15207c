//! Writes a report page to its file, as a whole or not at all. Only the file's owner can read it.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::support::atomic_file;

/// Checks that a report can be written. This happens before the run, so that a wrong path is noticed at once.
pub fn probe(path: &Path) -> Result<()> {
    // The report replaces what is there by a rename, which would destroy a device or a pipe.
    match fs::metadata(path) {
        Ok(found) if !found.is_file() => bail!("{} is no ordinary file", path.display()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).context(path.display().to_string()),
    }
    atomic_file::probe(path).with_context(|| path.display().to_string())
}

/// Writes the report, replacing a former one.
pub fn write(path: &Path, text: &str) -> Result<()> {
    atomic_file::replace(path, text.as_bytes(), 0o600).with_context(|| path.display().to_string())
}
