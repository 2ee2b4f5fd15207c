//! Stores cases in the state directory while the database is away: one file per case, synced to disk.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::support::atomic_file;

use super::{Case, Step};

/// The folder of cases in the state directory.
#[derive(Clone, Debug)]
pub struct LocalCaseStore {
    folder: PathBuf,
}

impl LocalCaseStore {
    /// The store in this state directory.
    pub fn new(state_dir: &Path) -> Self {
        Self {
            folder: state_dir.join("cases"),
        }
    }

    /// Writes a case and syncs it to disk, so that it survives a power cut.
    pub fn put(&self, case: &Case) -> Result<()> {
        let text = serde_json::to_vec_pretty(case).context("cannot write a case down")?;
        let path = self.path(&case.id);
        atomic_file::keep(&self.folder, &path, &text)
            .with_context(|| format!("cannot keep the case in {}", path.display()))
    }

    /// All cases in the state directory. A case that cannot be read is logged, and its file is left there.
    pub fn all(&self) -> Result<Vec<Case>> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => {
                return Err(e).with_context(|| format!("cannot read {}", self.folder.display()));
            }
        };
        let mut cases = Vec::new();
        for entry in entries {
            let path = entry
                .with_context(|| format!("cannot read {}", self.folder.display()))?
                .path();
            if path.extension().is_none_or(|ext| ext != "json") {
                continue;
            }
            let text =
                fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            match serde_json::from_slice::<Case>(&text) {
                Ok(case) if case.items.len() == Step::ALL.len() => cases.push(case),
                Ok(_) | Err(_) => log::warn!(
                    "{} is not a readable case; it is left as it is",
                    path.display()
                ),
            }
        }
        cases.sort_by(|a, b| a.opened_at.cmp(&b.opened_at));
        Ok(cases)
    }

    /// Removes a case, once it is stored in the database.
    pub fn remove(&self, id: &str) -> Result<()> {
        let path = self.path(id);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                Err(e).with_context(|| format!("cannot remove {}", path.display()))
            }
            _ => Ok(()),
        }
    }

    fn path(&self, id: &str) -> PathBuf {
        self.folder.join(format!("{id}.json"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::reporting::case::{Evidence, Fault};

    #[test]
    fn a_case_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let local_cases = LocalCaseStore::new(folder.path());
        assert!(local_cases.all().unwrap().is_empty());
        let case = Case::open(
            &Fault {
                cause: crate::model::cause::Cause::api("timeout"),
                exit_code: 3,
                sentence: "page 7 was not answered within 30 s".into(),
                transient: true,
                scope: None,
                records: Vec::new(),
            },
            "run-1",
            Evidence {
                samples: vec!["C-1".into()],
                ..Evidence::default()
            },
        );
        local_cases.put(&case).unwrap();
        local_cases.put(&case).unwrap();
        let all = local_cases.all().unwrap();
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].evidence.samples, ["C-1"]);
        local_cases.remove(&case.id).unwrap();
        assert!(local_cases.all().unwrap().is_empty());
    }
}
