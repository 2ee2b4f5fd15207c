//! What a run must know while the database is away, noted in the state directory by the last run that reached it.
//!
//! If the file is missing or old, more is fetched than needed, or a brake cannot compare. Stored data never depends on it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::model::shard::Shard;
use crate::support::atomic_file;

/// The content of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cache {
    /// The database, table and source it was noted for. It is ignored for any other.
    pub(super) of: String,
    /// Name and value of the watermark, as in `sync_state`.
    pub(super) watermark: Option<(String, String)>,
    /// The number of records of the last complete full run.
    pub(super) last_complete: Option<u64>,
}

impl Cache {
    /// Reads the file. The cache is empty where the file is missing, unreadable or about another target.
    pub(super) fn load(path: &Path, of: &str) -> Self {
        let known = fs::read(path)
            .ok()
            .and_then(|text| serde_json::from_slice::<Self>(&text).ok())
            .filter(|known| known.of == of);
        known.unwrap_or_else(|| Self {
            of: of.to_owned(),
            ..Self::default()
        })
    }

    /// Replaces the file as a whole or not at all.
    pub(super) fn save(&self, path: &Path) -> io::Result<()> {
        atomic_file::replace(path, &serde_json::to_vec(self)?, 0o600)
    }
}

/// The path of the file: each source and shard has its own.
pub(super) fn path(state_dir: &Path, source_key: &str, shard: Option<Shard>) -> PathBuf {
    state_dir.join(shard.map_or_else(
        || format!("known-{source_key}.json"),
        |shard| format!("known-{source_key}-{}.json", shard.file_part()),
    ))
}
