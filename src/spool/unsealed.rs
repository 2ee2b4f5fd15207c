//! The unsealed file: batches are gathered in it until it is sealed.
//!
//! Whatever goes wrong, a file under its final name is complete. This file knows nothing of files that wait for a replay.

use std::fs::{self, File};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{Header, Spool, SpoolError, format};
use crate::model::clock::Micros;
use crate::support::atomic_file::sync_folder;

/// A file is sealed when it has this many bytes. A replay reads a file whole, so the memory it takes grows with this.
const FILE_BYTES: u64 = 4 << 20;
/// A file is also sealed when its first record has waited this long.
const FILE_AGE: Duration = Duration::from_secs(1);

/// A file that is still written to. Its records are not counted as spooled before it is sealed.
#[derive(Debug)]
pub(super) struct UnsealedFile {
    temporary: PathBuf,
    path: PathBuf,
    file: File,
    bytes: u64,
    records: u64,
    since: Instant,
}

/// A file that was sealed: it survives a power cut.
#[derive(Debug)]
pub struct Sealed {
    pub path: PathBuf,
    pub records: u64,
}

impl Spool {
    /// Adds a batch. It counts as spooled after [`Self::seal`]. After an error the batches before it can still be sealed.
    pub fn add(&mut self, header: &Header, entries: &[(Micros, &str)]) -> Result<(), SpoolError> {
        let text = format::frames(entries);
        let gathered = self.unsealed.as_ref().map_or(0, |unsealed| unsealed.bytes);
        let size = gathered + text.len() as u64 + format::END_BYTES;
        if self.bytes.saturating_add(size) > self.max_bytes {
            return Err(SpoolError {
                what: format!(
                    "the spool is full: {} bytes wait and spool.max_bytes is {}; bring the database back and run `datasync retry`, or raise the bound; folder",
                    self.bytes + gathered,
                    self.max_bytes
                ),
                path: self.folder.clone(),
                source: None,
            });
        }
        if self.unsealed.is_none() {
            self.unsealed = Some(self.begin(header).map_err(|e| self.cannot_keep(e))?);
        }
        let Some(unsealed) = &mut self.unsealed else {
            return Ok(());
        };
        if let Err(error) = unsealed.append(&text) {
            // The batches before are whole once the part of this one is cut off.
            let begun = unsealed.records > 0 && unsealed.cut().is_ok();
            if !begun {
                self.drop_unsealed();
            }
            return Err(self.cannot_keep(error));
        }
        unsealed.records += entries.len() as u64;
        Ok(())
    }

    /// True when it is time to seal the unsealed file, by its size or its age.
    pub fn is_due(&self) -> bool {
        self.unsealed.as_ref().is_some_and(|unsealed| {
            unsealed.bytes >= FILE_BYTES || unsealed.since.elapsed() >= FILE_AGE
        })
    }

    /// Seals the unsealed file: after Ok it survives a power cut, and its records count as spooled. None: nothing was added.
    pub fn seal(&mut self) -> Result<Option<Sealed>, SpoolError> {
        let Some(unsealed) = &mut self.unsealed else {
            return Ok(None);
        };
        let written = unsealed
            .append(&format::end(unsealed.records))
            .and_then(|()| unsealed.file.sync_all())
            .and_then(|()| fs::rename(&unsealed.temporary, &unsealed.path))
            .and_then(|()| sync_folder(&self.folder));
        if let Err(error) = written {
            self.drop_unsealed();
            return Err(self.cannot_keep(error));
        }
        Ok(self.unsealed.take().map(|unsealed| {
            self.bytes += unsealed.bytes;
            Sealed {
                path: unsealed.path,
                records: unsealed.records,
            }
        }))
    }

    /// Writes one batch into a file of its own, sealed.
    pub fn keep(
        &mut self,
        header: &Header,
        entries: &[(Micros, &str)],
    ) -> Result<PathBuf, SpoolError> {
        self.add(header, entries)?;
        let sealed = self.seal()?;
        Ok(sealed.map_or_else(|| self.folder.clone(), |sealed| sealed.path))
    }

    fn begin(&self, header: &Header) -> io::Result<UnsealedFile> {
        let source = self.source_key.as_ref();
        let source = source.map_or_else(String::new, |key| format!("@{key}"));
        let name = format!(
            "{:020}-{}-{:08}{source}.spool",
            header.created.0, header.run_id, header.batch
        );
        let (temporary, file) = self.temporary(&name)?;
        let mut unsealed = UnsealedFile {
            temporary,
            path: self.folder.join(&name),
            file,
            bytes: 0,
            records: 0,
            since: Instant::now(),
        };
        unsealed
            .append(&format::beginning(header)?)
            .inspect_err(|_| unsealed.remove())?;
        Ok(unsealed)
    }

    fn drop_unsealed(&mut self) {
        if let Some(unsealed) = self.unsealed.take() {
            unsealed.remove();
        }
    }

    fn cannot_keep(&self, error: io::Error) -> SpoolError {
        SpoolError::new("cannot keep a batch in", &self.folder, error)
    }
}

impl UnsealedFile {
    fn append(&mut self, text: &[u8]) -> io::Result<()> {
        self.file.write_all(text)?;
        self.bytes += text.len() as u64;
        Ok(())
    }

    /// Cuts off a batch that was written only in part.
    fn cut(&mut self) -> io::Result<()> {
        self.file.set_len(self.bytes)?;
        self.file.seek(SeekFrom::Start(self.bytes)).map(|_| ())
    }

    /// Removes the file. A failure is ignored: the next run removes it (see `Spool::sweep`).
    fn remove(&self) {
        fs::remove_file(&self.temporary).unwrap_or_default();
    }
}

/// Removes an unsealed file, so that a run that ends by an error leaves nothing half-written.
impl Drop for Spool {
    fn drop(&mut self) {
        self.drop_unsealed();
    }
}
