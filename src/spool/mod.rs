//! The spool: records that the database did not take, kept on disk until their COMMIT is proven.
//!
//! Batches are gathered in a file in `<state>/spool` until it is sealed: it is written under a temporary name, synced and
//! renamed, and the folder is synced, before anything in it counts as spooled. So a file is complete or it does not exist. It
//! holds the raw records and the time they were requested, so that a replay applies today's mapping and decision and never
//! overwrites newer data. A file that cannot be replayed is moved to `quarantine`. It is neither skipped nor deleted, unless
//! a later run has spooled all of its records again. `format.rs` has the layout.
//!
//! This file knows nothing of mapping, decisions or SQL.

mod format;
mod one_record;
mod repeated;
mod status;
#[cfg(test)]
mod tests;
mod unsealed;

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::support::atomic_file::{create_private, sync_folder};

use unsealed::UnsealedFile;

pub use format::{Entry, Header};
pub use one_record::{RecordMatcher, RemovedCopies, SpooledCopies, SpooledRecord, find, remove};
pub use status::{SpoolStatus, status};
pub use unsealed::Sealed;

/// The state directory cannot be read or written. The exit code is 6, or 2 at the start of a run.
#[derive(Debug)]
pub struct SpoolError {
    what: String,
    path: PathBuf,
    source: Option<io::Error>,
}

impl SpoolError {
    fn new(what: impl Into<String>, path: &Path, source: io::Error) -> Self {
        Self {
            what: what.into(),
            path: path.to_owned(),
            source: Some(source),
        }
    }
}

impl fmt::Display for SpoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.what, self.path.display())?;
        if let Some(source) = &self.source {
            write!(f, ": {source}")?;
        }
        Ok(())
    }
}

/// The text contains the system's error already. A `source` would make a chain of causes repeat it.
impl std::error::Error for SpoolError {}

/// The folder of spool files, whose total size is bounded.
#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    quarantine: PathBuf,
    max_bytes: u64,
    /// Bytes of all files that wait, those of earlier runs included.
    bytes: u64,
    unsealed: Option<UnsealedFile>,
    /// Set where several sources feed one table: each source replays only its own files, by its own mapping.
    source_key: Option<String>,
}

/// A complete file that waits to be replayed. It stays locked while this value lives, so that no other process replays it.
#[derive(Debug)]
pub struct Waiting {
    pub path: PathBuf,
    pub header: Header,
    /// Its records, in the order they were written.
    pub entries: Vec<Entry>,
    bytes: u64,
    _lock: File,
}

/// The result of opening a file in order to replay it.
#[derive(Debug)]
pub enum Opened {
    /// The file is complete, and locked by this process.
    Ready(Waiting),
    /// Another process is replaying it, or has just finished.
    Taken,
    /// The file cannot be replayed. It was moved to this path, for this reason.
    Quarantined(PathBuf, String),
}

impl Spool {
    /// A spool for runs that neither write nor replay, such as dry runs. The file system is not touched.
    pub fn untouched(state_dir: &Path, max_bytes: u64) -> Self {
        Self {
            folder: state_dir.join("spool"),
            quarantine: state_dir.join("quarantine"),
            max_bytes,
            bytes: 0,
            unsealed: None,
            source_key: None,
        }
    }

    /// Opens the spool below the state directory (creating it, mode 0700, if need be), and tests that it can be written.
    pub fn open(state_dir: &Path, max_bytes: u64) -> Result<Self, SpoolError> {
        let mut spool = Self::untouched(state_dir, max_bytes);
        for path in [state_dir, &spool.folder, &spool.quarantine] {
            create_private(path)
                .map_err(|e| SpoolError::new("cannot create the state directory", path, e))?;
        }
        check_owner(state_dir)?;
        spool.sweep()?;
        for path in spool.files()? {
            spool.bytes += fs::metadata(&path).map_or(0, |data| data.len());
        }
        match spool.probe() {
            // The waiting files fill the disk. The run goes on, since replaying them makes room.
            Err(error) if error.kind() == io::ErrorKind::StorageFull && spool.bytes > 0 => {
                log::warn!(
                    "{} is full; replaying the spool makes room",
                    spool.folder.display()
                );
            }
            Err(error) => {
                let what = "cannot write to the state directory";
                return Err(SpoolError::new(what, &spool.folder, error));
            }
            Ok(()) => {}
        }
        Ok(spool)
    }

    /// Removes the unsealed files of killed runs. Their records never counted as spooled, and will be fetched again.
    fn sweep(&self) -> Result<(), SpoolError> {
        for path in self.named("tmp")? {
            let failed =
                |e: io::Error| SpoolError::new("cannot remove the half-written file", &path, e);
            let Ok(file) = File::open(&path) else {
                continue;
            };
            // This process has the lock and the name still leads to the file, so no other process writes it.
            if lock(&file, &path).map_err(failed)? {
                fs::remove_file(&path).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Tests that a file can be written and synced here.
    fn probe(&self) -> io::Result<()> {
        let (path, mut file) = self.temporary(&format!("probe-{}", std::process::id()))?;
        let written = file.write_all(b"x").and_then(|()| file.sync_all());
        let removed = fs::remove_file(&path);
        written.and(removed)
    }

    /// Creates and locks a new file `<stem>.<n>.tmp`. The lock is held for as long as the file is open.
    ///
    /// A process that starts removes such files where they are not locked, since their writers have ended. It may remove this
    /// one, too, between our create and our lock. Then the name is missing or the lock taken, and the next number is tried.
    fn temporary(&self, stem: &str) -> io::Result<(PathBuf, File)> {
        for n in 0..64 {
            let path = self.folder.join(format!("{stem}.{n}.tmp"));
            let file = match OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)
            {
                Ok(file) => file,
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(e) => return Err(e),
            };
            if lock(&file, &path)? {
                return Ok((path, file));
            }
        }
        Err(io::Error::other(
            "64 temporary files in a row were swept by other processes",
        ))
    }

    /// From now on only the files of this source are seen, and new files carry its key.
    pub fn restrict_to(&mut self, source_key: &str) {
        self.source_key = Some(source_key.to_owned());
    }

    /// The files that wait, oldest first. A file that names no source belongs to every source.
    pub fn files(&self) -> Result<Vec<PathBuf>, SpoolError> {
        let mut files = self.named("spool")?;
        if let Some(own) = &self.source_key {
            files.retain(|path| source_of(path).is_none_or(|key| key == own));
        }
        Ok(files)
    }

    fn named(&self, extension: &str) -> Result<Vec<PathBuf>, SpoolError> {
        let unreadable = |e: io::Error| SpoolError::new("cannot read the spool", &self.folder, e);
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if path.extension().is_some_and(|ext| ext == extension) {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    }

    /// Bytes of all waiting files.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Locks and reads one waiting file. A file that cannot be read is moved to quarantine.
    pub fn open_file(&self, path: &Path) -> Result<Opened, SpoolError> {
        // Only a regular file is read: reading a FIFO or a device might never end.
        match fs::symlink_metadata(path) {
            Ok(data) if data.is_file() => {}
            Ok(_) => return self.set_aside(path, "it is not a regular file".to_owned()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Opened::Taken),
            Err(e) => return self.set_aside(path, format!("it cannot be read: {e}")),
        }
        let file = match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Opened::Taken),
            Err(e) => return self.set_aside(path, format!("it cannot be opened: {e}")),
        };
        match lock(&file, path) {
            Ok(true) => {}
            // Another process has it, or replayed, removed or rewrote it between our open and our lock.
            Ok(false) => return Ok(Opened::Taken),
            Err(e) => return self.set_aside(path, format!("it cannot be locked: {e}")),
        }
        match format::decode(BufReader::new(&file)) {
            Ok((header, entries)) => Ok(Opened::Ready(Waiting {
                path: path.to_owned(),
                header,
                entries,
                bytes: file.metadata().map_or(0, |data| data.len()),
                _lock: file,
            })),
            Err(reason) => self.set_aside(path, reason),
        }
    }

    /// Moves a file that cannot be replayed to quarantine.
    fn set_aside(&self, path: &Path, reason: String) -> Result<Opened, SpoolError> {
        let aside = self.quarantine.join(path.file_name().unwrap_or_default());
        fs::rename(path, &aside)
            .and_then(|()| sync_folder(&self.quarantine))
            .and_then(|()| sync_folder(&self.folder))
            .map_err(|e| SpoolError::new("cannot move a damaged spool file to", &aside, e))?;
        Ok(Opened::Quarantined(aside, reason))
    }

    /// Moves a file to quarantine because the database takes other records but not these. Returns its new path.
    pub fn quarantine(&mut self, waiting: &Waiting) -> Result<PathBuf, SpoolError> {
        let aside = match self.set_aside(&waiting.path, String::new())? {
            Opened::Quarantined(aside, _) => aside,
            Opened::Ready(_) | Opened::Taken => waiting.path.clone(),
        };
        self.bytes = self.bytes.saturating_sub(waiting.bytes);
        Ok(aside)
    }

    /// Removes a file. All of its records must be proven to be committed.
    pub fn remove(&mut self, waiting: &Waiting) -> Result<(), SpoolError> {
        fs::remove_file(&waiting.path)
            .and_then(|()| sync_folder(&self.folder))
            .map_err(|e| {
                SpoolError::new("cannot remove the replayed spool file", &waiting.path, e)
            })?;
        self.bytes = self.bytes.saturating_sub(waiting.bytes);
        Ok(())
    }
}

/// The source key in the name of a file: what follows the last `@`.
fn source_of(path: &Path) -> Option<&str> {
    let (_, key) = path.file_stem()?.to_str()?.rsplit_once('@')?;
    Some(key)
}

/// Refuses a state directory to which others may write: files that they put there would be replayed as ours.
fn check_owner(state_dir: &Path) -> Result<(), SpoolError> {
    let wrong = |what: &str| {
        Err(SpoolError {
            what: what.to_owned(),
            path: state_dir.to_owned(),
            source: None,
        })
    };
    let data = fs::symlink_metadata(state_dir)
        .map_err(|e| SpoolError::new("cannot read the state directory", state_dir, e))?;
    if data.is_symlink() {
        return wrong(
            "the state directory is a link, and whoever changes it has other records replayed; name the folder itself:",
        );
    }
    let user = rustix::process::geteuid().as_raw();
    if data.uid() != user {
        let owner = data.uid();
        return wrong(&format!(
            "the state directory belongs to another user (uid {owner}, this is {user}):"
        ));
    }
    let mode = data.mode();
    let groups = rustix::process::getgroups().unwrap_or_default();
    let own_group = data.gid() == rustix::process::getegid().as_raw()
        || groups.iter().any(|group| group.as_raw() == data.gid());
    if mode & 0o002 != 0 || (mode & 0o020 != 0 && !own_group) {
        return wrong(&format!(
            "others may write to the state directory (mode {:o}); type chmod 700",
            mode & 0o7777
        ));
    }
    if mode & 0o020 != 0 {
        // Kubernetes grants this right to the group of a volume at every start, so it is taken away without an error.
        log::info!(
            "{}: the group may no longer write to it",
            state_dir.display()
        );
        fs::set_permissions(state_dir, fs::Permissions::from_mode(0o700)).map_err(|e| {
            SpoolError::new("cannot make the state directory private", state_dir, e)
        })?;
    }
    Ok(())
}

/// Locks an open file. False where another process has the lock, or the name no longer leads to this file.
fn lock(file: &File, path: &Path) -> io::Result<bool> {
    match rustix::fs::flock(file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Ok(false),
        Err(e) => return Err(e.into()),
    }
    match fs::metadata(path) {
        Ok(there) => Ok(there.ino() == file.metadata()?.ino()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}
