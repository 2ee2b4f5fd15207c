//! `datasync check-db`: checks the connection, the tables against the mapping, and the spool.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::commands::cli::{CheckDbArgs, Global};
use crate::config::Needs;
use crate::config::plan::Database;
use crate::exit::Exit;
use crate::model::record::Check;
use crate::spool;
use crate::store::{self, Connection};
use crate::support::text::counted;

pub(super) fn run(global: &Global, args: &CheckDbArgs) -> Result<Exit> {
    let plan = super::load(
        global,
        Needs {
            api: false,
            database: true,
        },
    )?;
    let database = plan.database()?;
    let not_applied = if args.apply_schema {
        apply_schema(database)?
    } else {
        None
    };
    let mut found = store::check(database, &plan.mapping);
    let well = found.checks.iter().all(|check| check.ok);
    let is_locked = not_applied
        .as_ref()
        .is_some_and(|(_, is_locked)| *is_locked);
    found
        .checks
        .splice(0..0, not_applied.map(|(check, _)| check));
    found.checks.push(waiting(&plan.state_dir));
    let ok = super::checks::show(global, &found.checks);
    Ok(if ok {
        Exit::Success
    } else if !is_locked && (well || found.misconfigured) {
        Exit::Configuration
    } else {
        Exit::Database
    })
}

/// Creates what is missing. What kept it from that, and whether that is a lock, which somebody gives back.
fn apply_schema(database: &Database) -> Result<Option<(Check, bool)>> {
    let started = Instant::now();
    let mut connection = Connection::open(database, database.connection_timeout)?;
    let Err(error) = store::apply_schema(&mut connection, database) else {
        return Ok(None);
    };
    let is_locked = error.is_lock_timeout();
    let hint = if error.kind() == "privilege" {
        // The check of privileges lists what is missing.
        "type the GRANTs of `privileges` below and try again; a table that is there already is changed by its owner: run this as that role"
    } else if is_locked {
        error.hint()
    } else {
        return Err(error).context("schema.sql could not be applied");
    };
    let check = Check {
        name: "apply-schema",
        ok: false,
        seconds: started.elapsed().as_secs_f64(),
        detail: error.what().to_owned(),
        hint: Some(hint.to_owned()),
    };
    Ok(Some((check, is_locked)))
}

/// The batches that earlier runs left in the spool, and whether the state directory can be written.
fn waiting(state_dir: &Path) -> Check {
    let started = Instant::now();
    let (ok, detail, hint) = match spool::status(state_dir) {
        Ok(seen) => {
            let (mut details, mut hints) = (Vec::new(), Vec::new());
            if seen.files > 0 {
                let since = seen
                    .oldest
                    .and_then(|at| jiff::Timestamp::from_microsecond(at.0).ok())
                    .map_or_else(String::new, |at| format!(", the oldest since {at:.0}"));
                details.push(format!(
                    "{} ({}{since})",
                    counted(seen.files, "file waits", "files wait"),
                    counted(seen.bytes, "byte", "bytes")
                ));
                hints.push(
                    "the next `datasync sync` replays them, `datasync retry` does it now"
                        .to_owned(),
                );
            }
            if seen.quarantined > 0 {
                let folder = state_dir.join("quarantine");
                details.push(counted(
                    seen.quarantined,
                    "damaged file was set aside",
                    "damaged files were set aside",
                ));
                hints.push(format!(
                    "`datasync sync --full` fetches their records again; then remove the files in {}",
                    folder.display()
                ));
            }
            if details.is_empty() {
                details.push(format!("nothing waits in {}", state_dir.display()));
            }
            (
                true,
                details.join("; "),
                (!hints.is_empty()).then(|| hints.join("; ")),
            )
        }
        Err(error) => (
            false,
            error.to_string(),
            Some(
                "make it writable, or name another folder with --state-dir (DATASYNC_STATE_DIR)"
                    .to_owned(),
            ),
        ),
    };
    Check {
        name: "spool",
        ok,
        seconds: started.elapsed().as_secs_f64(),
        detail,
        hint,
    }
}
