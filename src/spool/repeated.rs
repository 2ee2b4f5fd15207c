//! Files whose records were all kept again. A table that refuses every row has the same records spooled by every run; without
//! this the spool would grow by the whole source each time.

use std::collections::HashSet;
use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use super::{Opened, Spool, SpoolError, Waiting, format};
use crate::support::digest::Digest;

/// Records that are compared at once: this bounds memory.
const COMPARED_AT_ONCE: usize = 200_000;

/// Half a SHA-256 of a record's text.
type Fingerprint = [u8; 16];

/// A file of an earlier run, with the records that no file of this run has yet.
struct Older {
    waiting: Waiting,
    records: u64,
    missing: HashSet<Fingerprint>,
}

impl Spool {
    /// Removes those of some files whose records this run has all kept again, with the same text: what was requested later
    /// is replayed in their place. How many records that were.
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
                    compared.push(Older {
                        waiting,
                        records: entries.len() as u64,
                        missing: entries
                            .iter()
                            .map(|entry| fingerprint(&entry.raw))
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
                // What cannot be read is for the next replay to report.
                let Ok(Ok((header, entries))) =
                    File::open(path).map(|file| format::decode(BufReader::new(file)))
                else {
                    continue;
                };
                if header.run_id != run_id {
                    continue;
                }
                for entry in &entries {
                    let kept = fingerprint(&entry.raw);
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

fn fingerprint(raw: &str) -> Fingerprint {
    Digest::default().with(raw.as_bytes()).short()
}
