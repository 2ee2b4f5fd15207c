//! Reads a file that the user has named, within bounds of size and time.
//!
//! The size of a device is unknown in advance, and opening a FIFO waits for somebody who writes to it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// A file that is not a regular file must have been read within this time.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// The content of a file of at most `most` bytes; none where it is larger.
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
    // Opening may block as well. If nothing comes the thread is abandoned, which is safe, because it holds no lock.
    std::thread::Builder::new()
        .name("read".to_owned())
        .spawn(move || {
            let read = File::open(&path).and_then(|file| take(file, most));
            done.send(read).unwrap_or_default();
        })?;
    match result.recv_timeout(TIME_LIMIT) {
        Ok(read) => read,
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "it is no regular file, and did not end within 10 s",
        )),
    }
}

/// Like [`read`], for a stream that is open already.
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
