//! Finds one record in the files of the state directory, for `show`, and removes it from them, for `forget`.
//!
//! To remove a record, a file is written anew beside the old one, with the right checksums and number of records, then synced
//! and renamed. A file that loses its last record is removed. Of damaged files in quarantine as much is read as can be.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use super::format::{self, Part};
use super::{Header, SpoolError, lock};
use crate::model::clock::Micros;
use crate::support::atomic_file;

/// Tells which record is wanted.
#[derive(Clone, Copy)]
pub struct RecordMatcher<'a> {
    /// True if this text is the record.
    pub is_it: &'a dyn Fn(&str) -> bool,
    /// True if these bytes, which are not a whole record, mention the record.
    pub is_mentioned: &'a dyn Fn(&[u8]) -> bool,
}

impl std::fmt::Debug for RecordMatcher<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RecordMatcher")
    }
}

/// The record, as one file holds it.
#[derive(Clone, Debug)]
pub struct SpooledRecord {
    pub path: PathBuf,
    /// The run that wrote the file; none where its header cannot be read.
    pub run_id: Option<String>,
    /// When the page of the record was requested.
    pub requested_at: Micros,
    /// The record's JSON text; none where it lies in a damaged part of the file.
    pub raw: Option<String>,
}

/// Everything the files hold of the record.
#[derive(Debug, Default)]
pub struct SpooledCopies {
    pub waiting: Vec<SpooledRecord>,
    pub quarantined: Vec<SpooledRecord>,
    /// Files that could not be read, with the reason.
    pub unread: Vec<(PathBuf, String)>,
}

/// How often the record was removed from the files, or would be in a dry run.
#[derive(Clone, Copy, Debug, Default)]
pub struct RemovedCopies {
    pub waiting: u64,
    pub quarantined: u64,
    /// Files that were rewritten or removed.
    pub files: u64,
}

/// Looks for the record in all files that wait or are in quarantine.
pub fn find(state_dir: &Path, wanted: RecordMatcher<'_>) -> Result<SpooledCopies, SpoolError> {
    let mut held = SpooledCopies::default();
    for (folder, quarantined) in folders(state_dir) {
        for path in files(&folder)? {
            let bytes = match read(&path) {
                Ok(Some(bytes)) => bytes,
                Ok(None) => continue,
                Err(why) => {
                    held.unread.push((path, why));
                    continue;
                }
            };
            let found = if quarantined {
                &mut held.quarantined
            } else {
                &mut held.waiting
            };
            found.extend(kept(&path, &bytes, wanted));
        }
    }
    Ok(held)
}

/// Removes the record from all files. The second value lists the files that could not be changed, with the reason.
pub fn remove(
    state_dir: &Path,
    wanted: RecordMatcher<'_>,
) -> Result<(RemovedCopies, Vec<(PathBuf, String)>), SpoolError> {
    let mut removed = RemovedCopies::default();
    let mut unread = Vec::new();
    for (folder, quarantined) in folders(state_dir) {
        for path in files(&folder)? {
            match remove_from(&path, wanted) {
                Ok(0) => {}
                Ok(records) => {
                    removed.files += 1;
                    if quarantined {
                        removed.quarantined += records;
                    } else {
                        removed.waiting += records;
                    }
                }
                Err(Failed::Unread(why)) => unread.push((path, why)),
                Err(Failed::Write(error)) => {
                    return Err(SpoolError::new("cannot rewrite", &path, error));
                }
            }
        }
    }
    Ok((removed, unread))
}

fn folders(state_dir: &Path) -> [(PathBuf, bool); 2] {
    [
        (state_dir.join("spool"), false),
        (state_dir.join("quarantine"), true),
    ]
}

/// All files of a folder; none where the folder is missing. Unsealed files (`.tmp`) are left out.
fn files(folder: &Path) -> Result<Vec<PathBuf>, SpoolError> {
    let unreadable = |error: io::Error| SpoolError::new("cannot read", folder, error);
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_none_or(|extension| extension != "tmp") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The bytes of a file; none where it no longer exists. Only a regular file is read: a FIFO or a device might never end.
fn read(path: &Path) -> Result<Option<Vec<u8>>, String> {
    match fs::symlink_metadata(path) {
        Ok(data) if data.is_file() => {}
        Ok(_) => return Err("it is not a regular file".to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("it cannot be read: {error}")),
    }
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("it cannot be read: {error}")),
    }
}

fn kept(path: &Path, bytes: &[u8], wanted: RecordMatcher<'_>) -> Vec<SpooledRecord> {
    let mut run_id = None;
    let mut found = Vec::new();
    for part in format::parts(bytes) {
        if let Part::Head { header, .. } = &part {
            run_id = header.as_ref().map(|header: &Header| header.run_id.clone());
        }
        if is_wanted(&part, wanted) {
            let (requested_at, raw) = part.record().unzip();
            found.push(SpooledRecord {
                path: path.to_owned(),
                run_id: run_id.clone(),
                requested_at: requested_at.unwrap_or(Micros(0)),
                raw: raw.map(str::to_owned),
            });
        }
    }
    found
}

/// True if this part of a file is the record, or is damaged and mentions it.
fn is_wanted(part: &Part<'_>, wanted: RecordMatcher<'_>) -> bool {
    match (part, part.record()) {
        (_, Some((_, raw))) => (wanted.is_it)(raw),
        (Part::Frame { bytes, .. } | Part::Rest { bytes }, None) => (wanted.is_mentioned)(bytes),
        _ => false,
    }
}

/// Why a file was not rewritten.
enum Failed {
    /// The file cannot be read, or another process has it.
    Unread(String),
    Write(io::Error),
}

/// Removes the record from one file. Returns how many parts were removed.
fn remove_from(path: &Path, wanted: RecordMatcher<'_>) -> Result<u64, Failed> {
    let Some(bytes) = read(path).map_err(Failed::Unread)? else {
        return Ok(0);
    };
    if !format::parts(&bytes).any(|part| is_wanted(&part, wanted)) {
        return Ok(0);
    }
    // The lock keeps a run from replaying the file now, which would write the record to the table again.
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map_err(|error| Failed::Unread(format!("it cannot be opened: {error}")))?;
    if !lock(&file, path).map_err(Failed::Write)? {
        return Err(Failed::Unread(
            "a run is at work with it: try again when that has ended".to_owned(),
        ));
    }
    let mut removed = 0;
    let mut records = 0_u64;
    let rewritten = format::rewrite(&bytes, |part| {
        let removed_part = is_wanted(part, wanted);
        removed += u64::from(removed_part);
        records +=
            u64::from(!removed_part && !matches!(part, Part::Head { .. } | Part::End { .. }));
        !removed_part
    });
    let folder = path.parent().unwrap_or(Path::new("."));
    let written = if records == 0 {
        fs::remove_file(path).and_then(|()| atomic_file::sync_folder(folder))
    } else {
        atomic_file::keep(folder, path, &rewritten)
    };
    drop::<File>(file);
    written.map_err(Failed::Write)?;
    Ok(removed)
}
