//! What a run must know with the database away, kept in the state directory by the last run that saw it.
//!
//! It may be missing or behind: then more is fetched than needed, or a brake does not know what to compare with. Nothing
//! that is decided for good depends on it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::model::shard::Shard;
use crate::support::atomic_file;

/// See the file's head.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cache {
    /// The database and table that it was learnt from: of another it says nothing.
    pub(super) of: String,
    /// Name and value, as in `sync_state`.
    pub(super) watermark: Option<(String, String)>,
    /// Records of the last complete full run.
    pub(super) last_complete: Option<u64>,
}

impl Cache {
    /// What is known of a target; nothing, where the file is absent, unreadable or about another.
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

    /// Replaces the file as a whole, or not at all.
    pub(super) fn save(&self, path: &Path) -> io::Result<()> {
        atomic_file::replace(path, &serde_json::to_vec(self)?, 0o600)
    }
}

/// The file of the cache: each shard has its own.
pub(super) fn path(state_dir: &Path, shard: Option<Shard>) -> PathBuf {
    state_dir.join(shard.map_or_else(
        || "known.json".to_owned(),
        |shard| format!("known-{}.json", shard.file_part()),
    ))
}
