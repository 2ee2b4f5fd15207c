//! What the database did not take: records kept on disk until a COMMIT is proven.
//!
//! One file a batch, in `<state>/spool`. A file is complete or it does not exist: it is written under a temporary name,
//! synced, renamed, and the folder is synced, before anything in it is counted as spooled. It holds the raw records and
//! the time they were requested, so that replaying them goes through today's mapping and decision and never overwrites
//! newer data. A damaged file is moved to `quarantine`, never skipped and never deleted.
//!
//! Layout, integers little-endian:
//!
//! ```text
//! "DSPOOL1\n"
//! u32 length, u32 crc32, header (JSON: run_id, batch, config_hash, created)
//! repeated: u32 length, u32 crc32, frame = i64 requested_at µs, raw JSON
//! u32 0xFFFF_FFFF, u32 crc32, u64 number of frames
//! ```
//!
//! This file knows nothing of mapping, decisions or SQL.

mod status;

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::support::atomic_file::sync_folder;

pub use status::{SpoolStatus, status};

const MAGIC: &[u8; 8] = b"DSPOOL1\n";
const END: u32 = u32::MAX;
/// No frame of ours is longer: a page is capped well below.
const MAX_FRAME: u32 = 1 << 30;

/// What a spool file says of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Header {
    pub run_id: String,
    pub batch: u64,
    pub config_hash: String,
    /// When it was written, microseconds since 1970-01-01T00:00:00Z.
    pub created: i64,
}

/// One record: when its page was requested (PostgreSQL's clock, µs since 1970) and its raw JSON text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub requested_at: i64,
    pub raw: String,
}

/// The state directory does not do what it must. Always exit 6 (or 2 at the start of a run).
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
    /// Bytes of all files, ours and earlier ones.
    bytes: u64,
}

/// A complete file that waits to be replayed. Holds its lock: no other process replays it meanwhile.
#[derive(Debug)]
pub struct Waiting {
    pub path: PathBuf,
    pub header: Header,
    pub entries: Vec<Entry>,
    bytes: u64,
    _lock: File,
}

/// What became of one file that was to be replayed.
#[derive(Debug)]
pub enum Opened {
    Ready(Waiting),
    /// Another process is replaying it, or has just finished.
    Taken,
    /// Damaged: moved aside to this path, for this reason.
    Quarantined(PathBuf, String),
}

impl Spool {
    /// A spool nothing is kept in or taken from: the file system is left alone.
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
            // What waits takes the room: replaying it is what makes some.
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

    /// Removes what a killed run left half-written: it was never counted, and its records are fetched again.
    fn sweep(&self) -> Result<(), SpoolError> {
        for path in self.named("tmp")? {
            let gone =
                |e: io::Error| SpoolError::new("cannot remove the half-written file", &path, e);
            let Ok(file) = File::open(&path) else {
                continue;
            };
            // Locked by us and still of this name: then nobody else removes it, or puts another in its place.
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
    /// Whoever finds such a file unlocked knows that its writer is gone, and sweeps it. Between our create and our
    /// lock a starting process may think so of ours: then the name is gone or the lock is taken, and we take the next.
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

    /// Bytes that wait.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Makes one batch durable. When this returns Ok the file survives a power cut; until then nothing is counted.
    pub fn keep(
        &mut self,
        header: &Header,
        entries: &[(i64, &str)],
    ) -> Result<PathBuf, SpoolError> {
        let head = serde_json::to_vec(header)
            .map_err(|e| SpoolError::new("cannot describe a batch for", &self.folder, e.into()))?;
        // Whole batches pass here while the memory is full of them: no byte too many.
        let frames = entries.iter().map(|(_, raw)| raw.len() + size_of::<i64>());
        let texts = frames.map(|size| size + 2 * size_of::<u32>());
        let ends = MAGIC.len() + head.len() + 6 * size_of::<u32>();
        let mut text = Vec::with_capacity(ends + texts.sum::<usize>());
        text.extend_from_slice(MAGIC);
        frame(&mut text, &[&head]);
        for (requested_at, raw) in entries {
            frame(&mut text, &[&requested_at.to_le_bytes(), raw.as_bytes()]);
        }
        let count = entries.len() as u64;
        text.extend_from_slice(&END.to_le_bytes());
        text.extend_from_slice(&checksum(&[&count.to_le_bytes()]).to_le_bytes());
        text.extend_from_slice(&count.to_le_bytes());

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
            // The half-written file is of no use to anybody; failing to remove it changes nothing.
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

/// Locks an open temporary file. False when another process holds it, or its name is gone or another file's.
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

fn checksum(parts: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize()
}

fn frame(out: &mut Vec<u8>, parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let length = u32::try_from(length).unwrap_or(MAX_FRAME);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&checksum(parts).to_le_bytes());
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// Reads a whole file back, or says in one sentence what is wrong with it.
fn decode(bytes: &[u8]) -> Result<(Header, Vec<Entry>), String> {
    let mut rest = bytes
        .strip_prefix(MAGIC)
        .ok_or("it does not begin like a spool file of this version")?;
    let head = take_frame(&mut rest)?.ok_or("it has no header")?;
    let header: Header = serde_json::from_slice(head).map_err(|_| "its header is not readable")?;
    let mut entries = Vec::new();
    while let Some(body) = take_frame(&mut rest)? {
        let (time, raw) = body
            .split_first_chunk::<8>()
            .ok_or("a frame is too short")?;
        let raw = std::str::from_utf8(raw).map_err(|_| "a record is not UTF-8")?;
        entries.push(Entry {
            requested_at: i64::from_le_bytes(*time),
            raw: raw.to_owned(),
        });
    }
    let count = rest.first_chunk::<8>().ok_or("its end is missing")?;
    if u64::from_le_bytes(*count) != entries.len() as u64 || rest.len() != 8 {
        return Err("its number of records does not match its end".to_owned());
    }
    Ok((header, entries))
}

/// The next frame; None at the end marker (then `rest` begins with the count).
fn take_frame<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, String> {
    let torn = || "it ends in the middle of a frame".to_owned();
    let (length, tail) = rest.split_first_chunk::<4>().ok_or_else(torn)?;
    let (sum, tail) = tail.split_first_chunk::<4>().ok_or_else(torn)?;
    let (length, sum) = (u32::from_le_bytes(*length), u32::from_le_bytes(*sum));
    let (size, end) = if length == END {
        (8, true)
    } else {
        (length as usize, false)
    };
    let body = tail.get(..size).ok_or_else(torn)?;
    if checksum(&[body]) != sum {
        return Err("a checksum does not match".to_owned());
    }
    *rest = if end { tail } else { &tail[size..] };
    Ok((!end).then_some(body))
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
    fn a_glance_sees_what_waits_and_creates_nothing() {
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
