//! The file in the making: batches are gathered in it until it is sealed.
//!
//! Whatever goes wrong, a file under its final name is complete. Knows nothing of files that wait.

use std::fs::{self, File};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{Header, Spool, SpoolError, format};
use crate::model::clock::Micros;
use crate::support::atomic_file::sync_folder;

/// A file is sealed when it has so many bytes. What a replay takes in memory grows with it.
const FILE_BYTES: u64 = 4 << 20;
/// And when its first record has waited so long to be durable.
const FILE_AGE: Duration = Duration::from_secs(1);

/// A file in the making. Nothing in it counts before it is sealed.
#[derive(Debug)]
pub(super) struct Draft {
    temporary: PathBuf,
    path: PathBuf,
    file: File,
    bytes: u64,
    records: u64,
    since: Instant,
}

/// A file that has become durable.
#[derive(Debug)]
pub struct Sealed {
    pub path: PathBuf,
    pub records: u64,
}

impl Spool {
    /// Adds a batch to the file in the making. It counts only once that is sealed; after an error what was added before can
    /// still be.
    pub fn add(&mut self, header: &Header, entries: &[(Micros, &str)]) -> Result<(), SpoolError> {
        let text = format::frames(entries);
        let drafted = self.draft.as_ref().map_or(0, |draft| draft.bytes);
        let size = drafted + text.len() as u64 + format::END_BYTES;
        if self.bytes.saturating_add(size) > self.max_bytes {
            return Err(SpoolError {
                what: format!(
                    "the spool is full: {} bytes wait and spool.max_bytes is {}; bring the database back and run `datasync retry`, or raise the bound; folder",
                    self.bytes + drafted,
                    self.max_bytes
                ),
                path: self.folder.clone(),
                source: None,
            });
        }
        if self.draft.is_none() {
            self.draft = Some(self.begin(header).map_err(|e| self.cannot_keep(e))?);
        }
        let Some(draft) = &mut self.draft else {
            return Ok(());
        };
        if let Err(error) = draft.append(&text) {
            // What was added before is still whole.
            let begun = draft.records > 0 && draft.cut().is_ok();
            if !begun {
                self.drop_draft();
            }
            return Err(self.cannot_keep(error));
        }
        draft.records += entries.len() as u64;
        Ok(())
    }

    /// Is it time to seal the file in the making?
    pub fn is_due(&self) -> bool {
        self.draft
            .as_ref()
            .is_some_and(|draft| draft.bytes >= FILE_BYTES || draft.since.elapsed() >= FILE_AGE)
    }

    /// Makes durable what was added. When this returns Ok the file survives a power cut; until then nothing is counted. None:
    /// nothing was added.
    pub fn seal(&mut self) -> Result<Option<Sealed>, SpoolError> {
        let Some(draft) = &mut self.draft else {
            return Ok(None);
        };
        let written = draft
            .append(&format::end(draft.records))
            .and_then(|()| draft.file.sync_all())
            .and_then(|()| fs::rename(&draft.temporary, &draft.path))
            .and_then(|()| sync_folder(&self.folder));
        if let Err(error) = written {
            self.drop_draft();
            return Err(self.cannot_keep(error));
        }
        Ok(self.draft.take().map(|draft| {
            self.bytes += draft.bytes;
            Sealed {
                path: draft.path,
                records: draft.records,
            }
        }))
    }

    /// One batch in a file of its own.
    pub fn keep(
        &mut self,
        header: &Header,
        entries: &[(Micros, &str)],
    ) -> Result<PathBuf, SpoolError> {
        self.add(header, entries)?;
        let sealed = self.seal()?;
        Ok(sealed.map_or_else(|| self.folder.clone(), |sealed| sealed.path))
    }

    fn begin(&self, header: &Header) -> io::Result<Draft> {
        let source = self.source_key.as_ref();
        let source = source.map_or_else(String::new, |key| format!("@{key}"));
        let name = format!(
            "{:020}-{}-{:08}{source}.spool",
            header.created.0, header.run_id, header.batch
        );
        let (temporary, file) = self.temporary(&name)?;
        let mut draft = Draft {
            temporary,
            path: self.folder.join(&name),
            file,
            bytes: 0,
            records: 0,
            since: Instant::now(),
        };
        draft
            .append(&format::beginning(header)?)
            .inspect_err(|_| draft.remove())?;
        Ok(draft)
    }

    fn drop_draft(&mut self) {
        if let Some(draft) = self.draft.take() {
            draft.remove();
        }
    }

    fn cannot_keep(&self, error: io::Error) -> SpoolError {
        SpoolError::new("cannot keep a batch in", &self.folder, error)
    }
}

impl Draft {
    fn append(&mut self, text: &[u8]) -> io::Result<()> {
        self.file.write_all(text)?;
        self.bytes += text.len() as u64;
        Ok(())
    }

    /// Cuts off what was written in part.
    fn cut(&mut self) -> io::Result<()> {
        self.file.set_len(self.bytes)?;
        self.file.seek(SeekFrom::Start(self.bytes)).map(|_| ())
    }

    /// It is of no use to anybody; failing to remove it changes nothing.
    fn remove(&self) {
        fs::remove_file(&self.temporary).unwrap_or_default();
    }
}

/// A run that ends by an error leaves nothing half-written.
impl Drop for Spool {
    fn drop(&mut self) {
        self.drop_draft();
    }
}
