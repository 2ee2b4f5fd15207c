//! Stores the log row of a finished run: in the database, or in the state directory while the database is away.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::config::plan::Plan;
use crate::store::{self, Connection, RunEnd, RunHeader};
use crate::support::atomic_file;

/// The log row of a finished run, as it is stored on disk.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct LogRow {
    pub header: RunHeader,
    pub end: RunEnd,
}

/// Stores the log row of a finished run. While the database is away it goes to the state directory.
pub fn keep(connection: Option<&mut Connection>, plan: &Plan, row: &LogRow) -> Result<()> {
    if let Some(connection) = connection {
        match store::log::finish(connection, plan.database()?, &row.header, &row.end) {
            Ok(()) => return Ok(()),
            Err(error) => log::info!("the log row stays in the state directory for now: {error}"),
        }
    }
    let folder = plan.state_dir.join("log");
    let path = folder.join(format!("{}.json", row.header.run_id));
    let text = serde_json::to_vec(row).context("cannot write the log row down")?;
    atomic_file::keep(&folder, &path, &text)
        .with_context(|| format!("cannot keep the log row in {}", path.display()))
}

/// The log rows that wait in the state directory, with their paths.
pub fn waiting(state_dir: &Path) -> Result<Vec<(PathBuf, LogRow)>> {
    let folder = state_dir.join("log");
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e).with_context(|| format!("cannot read {}", folder.display())),
    };
    let mut rows = Vec::new();
    for entry in entries {
        let path = entry
            .with_context(|| format!("cannot read {}", folder.display()))?
            .path();
        if path.extension().is_none_or(|ext| ext != "json") {
            continue;
        }
        let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        match serde_json::from_slice(&text) {
            Ok(row) => rows.push((path, row)),
            Err(_) => log::warn!(
                "{} is not a readable log row; it is left as it is",
                path.display()
            ),
        }
    }
    Ok(rows)
}
