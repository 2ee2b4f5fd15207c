//! Files that are replaced as a whole or not at all. This file knows nothing of their content.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Writes a new file beside the old one, syncs it and renames it over the old one. After an error the old file is untouched.
pub fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let (temporary, mut file) = create_temporary(path, mode)?;
    file.write_all(content)
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&temporary, path))
        .inspect_err(|_| {
            // The half-written file is useless. If it cannot be removed, the error above is still the one to report.
            fs::remove_file(&temporary).unwrap_or_default();
        })
}

/// Like [`replace`], but creates the folder, and only the owner may read the file. After `Ok` it survives a power cut.
pub fn keep(folder: &Path, path: &Path, content: &[u8]) -> io::Result<()> {
    create_private(folder)?;
    replace(path, content, 0o600)?;
    sync_folder(folder)
}

/// Creates a folder, and those above it, for its owner alone. After `Ok` their names survive a power cut.
pub fn create_private(folder: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = folder
        .ancestors()
        .take_while(|path| !path.as_os_str().is_empty() && !path.exists())
        .collect();
    for path in missing.into_iter().rev() {
        match fs::DirBuilder::new().mode(0o700).create(path) {
            // Another process has created it meanwhile.
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let parent = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        sync_folder(parent.unwrap_or(Path::new(".")))?;
    }
    if folder.is_dir() {
        Ok(())
    } else {
        Err(io::ErrorKind::NotADirectory.into())
    }
}

/// Tests that a file can be written here. Leaves nothing behind.
pub fn probe(path: &Path) -> io::Result<()> {
    let (temporary, _file) = create_temporary(path, 0o600)?;
    fs::remove_file(temporary)
}

/// Syncs a folder: the names of new and renamed files in it survive a power cut.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Creates a new file in the same folder. Its name ends in `.tmp`, so nothing that looks for finished files takes it for one.
fn create_temporary(path: &Path, mode: u32) -> io::Result<(PathBuf, File)> {
    let Some(name) = path.file_name() else {
        let why = "the path does not end in the name of a file";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    };
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(hidden);
    // A killed process with the same process id may have left one. In a container the id is always the same.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // `create_new` does not follow a symbolic link that somebody may have put there.
    let file = File::options()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&temporary)?;
    Ok((temporary, file))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_process_of_our_number_left_is_no_obstacle() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("known.json");
        fs::write(&path, "before").unwrap();
        let left = format!(".known.json.{}.tmp", std::process::id());
        fs::write(folder.path().join(left), "half").unwrap();
        replace(&path, b"after", 0o600).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "after");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
