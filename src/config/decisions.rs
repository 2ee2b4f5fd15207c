//! The file of the decision table. It is read once, so that the hash of a run is of the text that its rules come from.
//!
//! Knows nothing of DMN.

use std::path::{Path, PathBuf};

use super::decision_tests::{self, DecisionTests};
use super::problem::ConfigErrors;
use crate::support::bounded_read;

/// A file of decisions may be this large (bytes).
const LARGEST: u64 = 8 << 20;

/// A decision file as it was when it was read.
#[derive(Clone, Debug)]
pub struct DecisionsFile {
    path: PathBuf,
    /// The text, or why there is none.
    content: Result<String, String>,
}

impl DecisionsFile {
    /// Reads the file. If it cannot be read, that is an error only for a command that needs its text.
    pub fn read(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            content: read(path),
        }
    }

    /// Its name for messages.
    pub fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// The tests in the file beside it; none if there is no such file.
    ///
    /// # Errors
    /// Every mistake in that file.
    pub fn tests(&self) -> Result<Option<DecisionTests>, ConfigErrors> {
        decision_tests::read(&self.path)
    }

    /// Its text.
    ///
    /// # Errors
    /// One sentence with the name of the file: it cannot be opened, is larger than 8 MiB, or is not UTF-8.
    pub fn text(&self) -> Result<&str, String> {
        self.content.as_deref().map_err(|why| {
            format!(
                "{}: the decision table cannot be read: {why}",
                self.path.display()
            )
        })
    }
}

/// Reads at most one byte more than a table may have. The size that the file system reports is not used, since a device
/// reports none.
fn read(path: &Path) -> Result<String, String> {
    let read = bounded_read::read(path, LARGEST).map_err(|error| error.to_string())?;
    let Some(bytes) = read else {
        let most = LARGEST >> 20;
        return Err(format!(
            "it is larger than {most} MiB; is it the right file?"
        ));
    };
    String::from_utf8(bytes).map_err(|_| "it is not valid UTF-8".to_owned())
}
