//! Reading a file that somebody names: no more than it may have, and not for ever.
//!
//! A device says nothing of its size, and a FIFO may have nobody who writes.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// What is no regular file must have been read within this time.
const PATIENCE: Duration = Duration::from_secs(10);

/// The content of a file of at most `most` bytes. None: it is larger.
pub fn read(path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
    let data = fs::metadata(path)?;
    if data.is_file() || data.is_dir() {
        return if data.len() > most && data.is_file() {
            Ok(None)
        } else {
            take(File::open(path)?, most)
        };
    }
    let (done, result) = channel();
    let path = path.to_owned();
    // Opening it may wait as well. Where nothing comes the thread is left behind: it holds nothing.
    std::thread::Builder::new()
        .name("read".to_owned())
        .spawn(move || {
            let read = File::open(&path).and_then(|file| take(file, most));
            done.send(read).unwrap_or_default();
        })?;
    match result.recv_timeout(PATIENCE) {
        Ok(read) => read,
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "it is no regular file, and did not end within 10 s",
        )),
    }
}

/// The same for what is open already.
pub fn take(from: impl Read, most: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    from.take(most + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= most).then_some(bytes))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_large_or_has_no_end_is_not_read_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "12345").unwrap();
        assert_eq!(read(&path, 5).unwrap(), Some(b"12345".to_vec()));
        assert_eq!(read(&path, 4).unwrap(), None);
        File::create(&path).unwrap().set_len(3 << 30).unwrap();
        assert_eq!(read(&path, 1 << 20).unwrap(), None);
        assert_eq!(read(Path::new("/dev/zero"), 1 << 20).unwrap(), None);
        assert!(read(folder.path(), 5).is_err());
    }
}
