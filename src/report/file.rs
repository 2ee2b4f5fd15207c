//! A report on its way to its file: whole or not at all, for its owner's eyes only.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

/// Can a report be written here? Asked before anything is done, so that a mistyped path costs nothing.
pub fn probe(path: &Path) -> Result<()> {
    // What is renamed over a device or a pipe takes its place for good.
    match fs::metadata(path) {
        Ok(found) if !found.is_file() => bail!("{} is no ordinary file", path.display()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).context(path.display().to_string()),
    }
    let (temporary, _file) = beside(path)?;
    fs::remove_file(&temporary).with_context(|| path.display().to_string())
}

/// Writes the report beside its place and renames it.
pub fn write(path: &Path, text: &str) -> Result<()> {
    let (temporary, mut file) = beside(path)?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // The first error says what happened.
        fs::remove_file(&temporary).unwrap_or_default();
    }
    written.with_context(|| path.display().to_string())
}

/// A new file in the same folder, 0600.
fn beside(path: &Path) -> Result<(PathBuf, File)> {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
        bail!("{} has no file name", path.display());
    };
    let temporary = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .with_context(|| path.display().to_string())?;
    Ok((temporary, file))
}
