//! A report on its way to its file: whole or not at all, for its owner's eyes only.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::support::atomic_file;

/// Can a report be written here? Asked before anything is done, so that a mistyped path costs nothing.
pub fn probe(path: &Path) -> Result<()> {
    // What is renamed over a device or a pipe takes its place for good.
    match fs::metadata(path) {
        Ok(found) if !found.is_file() => bail!("{} is no ordinary file", path.display()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).context(path.display().to_string()),
    }
    atomic_file::probe(path).with_context(|| path.display().to_string())
}

/// Puts the report in its place.
pub fn write(path: &Path, text: &str) -> Result<()> {
    atomic_file::replace(path, text.as_bytes(), 0o600).with_context(|| path.display().to_string())
}
