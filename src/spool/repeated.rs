//! Removes files all of whose records were spooled again by a later run. If the table refuses every row, each run spools the
//! same records; without this the spool would grow by the whole source each time.

use std::collections::HashSet;
use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use super::{Opened, Spool, SpoolError, Waiting, format};
use crate::support::digest::Digest;

/// The number of records that are compared at a time, which bounds memory.
const COMPARED_AT_ONCE: usize = 200_000;

/// The first half of the SHA-256 of a record's text.
type TextDigest = [u8; 16];

/// A file of an earlier run, with those of its records that were not found in a file of this run so far.
struct OlderFile {
    waiting: Waiting,
    records: u64,
    missing: HashSet<TextDigest>,
}

impl Spool {
    /// Removes the files in `older` all of whose records this run has spooled again with the same text: the copies that were
    /// requested later are replayed instead. Returns how many records the removed files held.
    pub fn remove_repeated(&mut self, older: &[PathBuf], run_id: &str) -> Result<u64, SpoolError> {
        let of_this_run: Vec<PathBuf> = self
            .files()?
            .into_iter()
            .filter(|path| !older.contains(path))
            .collect();
        let mut removed = 0;
        let mut left = older.iter();
        while !of_this_run.is_empty() {
            let mut compared = Vec::new();
            let mut records = 0;
            for path in left.by_ref() {
                if let Opened::Ready(mut waiting) = self.open_file(path)? {
                    let entries = std::mem::take(&mut waiting.entries);
                    records += entries.len();
                    compared.push(OlderFile {
                        waiting,
                        records: entries.len() as u64,
                        missing: entries
                            .iter()
                            .map(|entry| text_digest(&entry.raw))
                            .collect(),
                    });
                }
                if records >= COMPARED_AT_ONCE {
                    break;
                }
            }
            if compared.is_empty() {
                break;
            }
            for path in &of_this_run {
                // A file that cannot be read is skipped here: the next replay reports it.
                let Ok(Ok((header, entries))) =
                    File::open(path).map(|file| format::decode(BufReader::new(file)))
                else {
                    continue;
                };
                if header.run_id != run_id {
                    continue;
                }
                for entry in &entries {
                    let kept = text_digest(&entry.raw);
                    for older in &mut compared {
                        older.missing.remove(&kept);
                    }
                }
            }
            for file in compared.iter().filter(|file| file.missing.is_empty()) {
                self.remove(&file.waiting)?;
                removed += file.records;
            }
        }
        Ok(removed)
    }
}

fn text_digest(raw: &str) -> TextDigest {
    Digest::default().with(raw.as_bytes()).short()
}
