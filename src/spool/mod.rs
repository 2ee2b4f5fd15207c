//! The spool: records that the database did not take, kept on disk until their COMMIT is proven.
//!
//! One file a batch, in `<state>/spool`. A file is complete or it does not exist: it is written under a temporary name,
//! synced, renamed, and the folder is synced, before anything in it is counted as spooled. It holds the raw records and
//! the time they were requested, so that replaying them goes through today's mapping and decision and never overwrites
//! newer data. A damaged file is moved to `quarantine`, never skipped and never deleted.
//!
//! This file knows nothing of mapping, decisions or SQL.

mod format;
mod status;

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::support::atomic_file::sync_folder;
use format::{decode, encode};

pub use format::{Entry, Header};
pub use status::{SpoolStatus, status};

/// The state directory cannot be read or written. Exit 6; exit 2 at the start of a run.
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

impl std::error::Error for SpoolError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}

/// The folder of spool files, bounded in size.
#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    quarantine: PathBuf,
    max_bytes: u64,
    /// Bytes of all waiting files, those of earlier runs included.
    bytes: u64,
}

/// A complete file that waits to be replayed. It stays locked while this value lives, so no other process replays it.
#[derive(Debug)]
pub struct Waiting {
    /// Where it is.
    pub path: PathBuf,
    /// Its head.
    pub header: Header,
    /// Its records, in the order they were written.
    pub entries: Vec<Entry>,
    bytes: u64,
    _lock: File,
}

/// What became of one file that was to be replayed.
#[derive(Debug)]
pub enum Opened {
    /// It is complete, and locked by us.
    Ready(Waiting),
    /// Another process is replaying it, or has just finished.
    Taken,
    /// Damaged: moved aside to this path, for this reason.
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
        }
    }

    /// Opens (and creates, mode 0700) the spool below the state directory, and proves that it can be written.
    pub fn open(state_dir: &Path, max_bytes: u64) -> Result<Self, SpoolError> {
        let mut spool = Self::untouched(state_dir, max_bytes);
        for path in [&spool.folder, &spool.quarantine] {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(path)
                .map_err(|e| SpoolError::new("cannot create the state directory", path, e))?;
        }
        spool.sweep()?;
        for path in spool.files()? {
            spool.bytes += fs::metadata(&path).map_or(0, |data| data.len());
        }
        match spool.probe() {
            // The waiting files fill the disk. Replaying them makes room, so that is no reason to stop.
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

    /// Removes the half-written files of killed runs. Their records were never counted as spooled, and are fetched again.
    fn sweep(&self) -> Result<(), SpoolError> {
        for path in self.named("tmp")? {
            let gone =
                |e: io::Error| SpoolError::new("cannot remove the half-written file", &path, e);
            let Ok(file) = File::open(&path) else {
                continue;
            };
            // We hold its lock and the name still leads to it: no other process writes it.
            if own(&file, &path).map_err(gone)? {
                fs::remove_file(&path).map_err(gone)?;
            }
        }
        Ok(())
    }

    /// Can anything be made durable here?
    fn probe(&self) -> io::Result<()> {
        let (path, mut file) = self.temporary(&format!("probe-{}", std::process::id()))?;
        let written = file.write_all(b"x").and_then(|()| file.sync_all());
        let removed = fs::remove_file(&path);
        written.and(removed)
    }

    /// A new file `<stem>.<n>.tmp` that only we write, locked for as long as it is open.
    ///
    /// A process that starts removes such files where they are not locked, since their writers are gone. Between our create
    /// and our lock it may remove ours, too: then the name is gone or the lock is taken, and we try the next number.
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
            if own(&file, &path)? {
                return Ok((path, file));
            }
        }
        Err(io::Error::other(
            "64 temporary files in a row were swept by other processes",
        ))
    }

    /// Files that wait, oldest first.
    pub fn files(&self) -> Result<Vec<PathBuf>, SpoolError> {
        self.named("spool")
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

    /// Makes one batch durable. When this returns Ok the file survives a power cut; until then nothing is counted.
    pub fn keep(
        &mut self,
        header: &Header,
        entries: &[(i64, &str)],
    ) -> Result<PathBuf, SpoolError> {
        let text = encode(header, entries)
            .map_err(|e| SpoolError::new("cannot describe a batch for", &self.folder, e.into()))?;
        let size = text.len() as u64;
        if self.bytes.saturating_add(size) > self.max_bytes {
            return Err(SpoolError {
                what: format!(
                    "the spool is full: {} bytes wait and spool.max_bytes is {}; bring the database back and run `datasync retry`, or raise the bound; folder",
                    self.bytes, self.max_bytes
                ),
                path: self.folder.clone(),
                source: None,
            });
        }
        let name = format!(
            "{:020}-{}-{:08}.spool",
            header.created, header.run_id, header.batch
        );
        let path = self.folder.join(&name);
        let failed =
            |error: io::Error| SpoolError::new("cannot keep a batch in", &self.folder, error);
        let (temporary, mut file) = self.temporary(&name).map_err(failed)?;
        let written = file
            .write_all(&text)
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&temporary, &path))
            .and_then(|()| sync_folder(&self.folder));
        if let Err(error) = written {
            // The half-written file is of no use. Failing to remove it changes nothing.
            fs::remove_file(&temporary).unwrap_or_default();
            return Err(failed(error));
        }
        self.bytes += size;
        Ok(path)
    }

    /// Locks and reads one waiting file.
    pub fn open_file(&self, path: &Path) -> Result<Opened, SpoolError> {
        let unreadable = |e: io::Error| SpoolError::new("cannot read the spool file", path, e);
        let mut file = match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Opened::Taken),
            Err(e) => return Err(unreadable(e)),
        };
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(Opened::Taken),
            Err(e) => return Err(unreadable(e.into())),
        }
        // Between our open and our lock another process may have replayed and removed it.
        if !path.try_exists().map_err(unreadable)? {
            return Ok(Opened::Taken);
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(unreadable)?;
        match decode(&bytes) {
            Ok((header, entries)) => Ok(Opened::Ready(Waiting {
                path: path.to_owned(),
                header,
                entries,
                bytes: bytes.len() as u64,
                _lock: file,
            })),
            Err(reason) => {
                let aside = self.quarantine.join(path.file_name().unwrap_or_default());
                fs::rename(path, &aside)
                    .and_then(|()| sync_folder(&self.quarantine))
                    .and_then(|()| sync_folder(&self.folder))
                    .map_err(|e| {
                        SpoolError::new("cannot move a damaged spool file to", &aside, e)
                    })?;
                Ok(Opened::Quarantined(aside, reason))
            }
        }
    }

    /// Removes a file whose records are all proven to be committed.
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

/// Locks an open temporary file. False when another process holds the lock, or the name is gone or leads to another file.
fn own(file: &File, path: &Path) -> io::Result<bool> {
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            run_id: "run".into(),
            batch: 7,
            config_hash: "hash".into(),
            created: 1_700_000_000_000_000,
        }
    }

    fn kept(folder: &Path, records: &[(i64, &str)]) -> (Spool, PathBuf) {
        let mut spool = Spool::open(folder, 1 << 20).unwrap();
        let path = spool.keep(&header(), records).unwrap();
        (spool, path)
    }

    #[test]
    fn what_is_kept_is_what_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let records = [(1, r#"{"id":1}"#), (2, ""), (i64::MIN, "Zoë 李 🦀")];
        let (mut spool, path) = kept(folder.path(), &records);
        let Opened::Ready(waiting) = spool.open_file(&path).unwrap() else {
            panic!("not ready")
        };
        assert_eq!(waiting.header.batch, 7);
        let read: Vec<_> = waiting
            .entries
            .iter()
            .map(|e| (e.requested_at, e.raw.as_str()))
            .collect();
        assert_eq!(read, records);
        // Held by us: nobody else gets it, until it is removed, and then it is gone.
        assert!(matches!(spool.open_file(&path).unwrap(), Opened::Taken));
        spool.remove(&waiting).unwrap();
        assert!(spool.files().unwrap().is_empty());
        assert_eq!(spool.bytes(), 0);
    }

    #[test]
    fn every_torn_or_flipped_file_is_quarantined() {
        let folder = tempfile::tempdir().unwrap();
        let (spool, path) = kept(folder.path(), &[(1, r#"{"id":1}"#), (2, r#"{"id":2}"#)]);
        let whole = fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            assert!(decode(&whole[..cut]).is_err(), "cut at {cut} was accepted");
        }
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut flipped = whole.clone();
                flipped[at] ^= 1 << bit;
                assert!(
                    decode(&flipped).is_err(),
                    "bit {bit} of byte {at} was accepted"
                );
            }
        }
        fs::write(&path, &whole[..whole.len() - 3]).unwrap();
        let Opened::Quarantined(aside, reason) = spool.open_file(&path).unwrap() else {
            panic!("not quarantined")
        };
        assert!(aside.exists() && !path.exists());
        assert!(
            reason.contains("frame") || reason.contains("end"),
            "{reason}"
        );
    }

    #[test]
    fn what_a_killed_run_left_half_written_is_swept_and_what_a_live_one_writes_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (_, path) = kept(folder.path(), &[(1, "{}")]);
        let (dead, live) = (
            path.with_file_name("probe-7.0.tmp"),
            path.with_file_name("live.0.tmp"),
        );
        fs::write(&dead, "half").unwrap();
        let writing = File::create_new(&live).unwrap();
        assert!(own(&writing, &live).unwrap());
        let spool = Spool::open(folder.path(), 1 << 20).unwrap();
        assert!(!dead.exists() && live.exists());
        assert_eq!(spool.files().unwrap(), [path]);
    }

    /// Writers and starting processes at once: a sweep between a writer's create and its lock takes nothing from it.
    #[test]
    fn a_starting_process_never_sweeps_what_another_is_about_to_write() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        Spool::open(root, 1 << 20).unwrap();
        std::thread::scope(|scope| {
            for writer in 0..3_u64 {
                scope.spawn(move || {
                    let mut spool = Spool::open(root, 1 << 20).unwrap();
                    for batch in 0..40 {
                        let header = Header {
                            batch: writer * 100 + batch,
                            ..header()
                        };
                        spool.keep(&header, &[(1, "{}")]).unwrap();
                    }
                });
            }
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..60 {
                        Spool::open(root, 1 << 20).unwrap();
                    }
                });
            }
        });
        let spool = Spool::open(root, 1 << 20).unwrap();
        assert_eq!(spool.files().unwrap().len(), 120);
        assert_eq!(
            fs::read_dir(root.join("spool")).unwrap().count(),
            120,
            "no temporary file is left"
        );
    }

    #[test]
    fn the_status_shows_what_waits_and_creates_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("not").join("yet");
        assert_eq!(status(&state).unwrap(), SpoolStatus::default());
        assert!(!state.exists());
        let mut spool = Spool::open(&state, 1 << 20).unwrap();
        let path = spool.keep(&header(), &[(1, "{}")]).unwrap();
        fs::write(state.join("quarantine").join("damaged.spool"), "x").unwrap();
        let seen = status(&state).unwrap();
        assert_eq!((seen.files, seen.quarantined), (1, 1));
        assert_eq!(seen.bytes, fs::metadata(path).unwrap().len());
        assert_eq!(seen.oldest, Some(header().created));
        // A file where the folder should be.
        let blocked = folder.path().join("file");
        fs::write(&blocked, "").unwrap();
        assert!(status(&blocked.join("state")).is_err());
    }

    #[test]
    fn a_full_spool_says_so_and_keeps_what_it_has() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(folder.path(), 400).unwrap();
        spool.keep(&header(), &[(1, "{}")]).unwrap();
        let long = "x".repeat(400);
        let error = spool
            .keep(
                &Header {
                    batch: 8,
                    ..header()
                },
                &[(1, long.as_str())],
            )
            .unwrap_err();
        assert!(error.to_string().contains("spool is full"), "{error}");
        assert_eq!(spool.files().unwrap().len(), 1);
    }
}
