//! Other tools that load the same records, where they are found on this machine: the executables of a folder, `peers` beside
//! this file unless `PEERS` names another.
//!
//! Each is started with the phase, `first` or `again`, as its argument. It finds the source in `API_BASE_URL`, `API_TOKEN` and
//! `PAGE_SIZE`, and in `DB_HOST`, `DB_PORT`, `DB_NAME`, `DB_USER` and `DB_PASSWORD` a database to which the folder's
//! `schema.sql` was applied; it leaves all records in its table `customers`. Exit code 69 says that it cannot: what it needs is
//! not installed, or it has no such phase.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::Context;

use crate::contestants::{Phase, Source};
use crate::database::{self, Database};
use crate::measure::{self, Measured};

/// `EX_UNAVAILABLE` of sysexits.h.
const UNAVAILABLE: i32 = 69;

/// An executable that loads.
#[derive(Clone, Debug)]
pub struct Peer {
    pub name: String,
    program: PathBuf,
}

/// All that there are, by name.
pub fn found() -> anyhow::Result<Vec<Peer>> {
    let folder = env::var_os("PEERS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/throughput/peers"),
        PathBuf::from,
    );
    let mut peers = Vec::new();
    let entries = fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
    for entry in entries {
        let program = entry?.path();
        let is_program = fs::metadata(&program)
            .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0);
        if is_program && let Some(name) = program.file_stem() {
            let name = name.to_string_lossy().into_owned();
            peers.push(Peer { name, program });
        }
    }
    peers.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(peers)
}

impl Peer {
    /// What it needs of the database.
    pub fn prepare(&self, database: &Database) -> anyhow::Result<()> {
        let schema = self.program.with_file_name("schema.sql");
        let sql = fs::read_to_string(&schema).with_context(|| schema.display().to_string())?;
        database.connect()?.batch_execute("DROP TABLE customers")?;
        database.connect()?.batch_execute(&sql)?;
        Ok(())
    }

    /// Loads all records once; None when it cannot.
    pub fn load(
        &self,
        database: &Database,
        source: &Source,
        phase: Phase,
    ) -> anyhow::Result<Option<Measured>> {
        let mut command = Command::new(&self.program);
        command
            .arg(match phase {
                Phase::First => "first",
                Phase::Again => "again",
            })
            .env("API_BASE_URL", &source.url)
            .env("API_TOKEN", "not-checked")
            .env("PAGE_SIZE", source.page_size.to_string())
            .env("NO_PROXY", "127.0.0.1")
            .env("PATH", {
                let path = env::var("PATH").unwrap_or_default();
                format!("{}:{path}", database.programs)
            })
            .env("DB_HOST", &database.host)
            .env("DB_PORT", database.port.to_string())
            .env("DB_NAME", database::NAME)
            .env("DB_USER", &database.user)
            .env("DB_PASSWORD", &database.password);
        match measure::command(&mut command, 0) {
            Ok((mut measured, _)) => {
                // What it started itself is not seen.
                measured.peak_rss_bytes = None;
                Ok(Some(measured))
            }
            Err(error) => match error.downcast_ref::<measure::WrongExit>() {
                Some(exit) if exit.0.code() == Some(UNAVAILABLE) => Ok(None),
                _ => Err(error),
            },
        }
    }
}
