//! `datasync check-db`: checks the connection, compares the tables with the mapping, and checks the spool.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::commands::cli::{CheckDbArgs, Global, Output};
use crate::config::Needs;
use crate::config::plan::Database;
use crate::exit::Exit;
use crate::model::clock::{self, Micros};
use crate::model::record::Check;
use crate::spool;
use crate::store::{self, Connection, grants};
use crate::support::text::{counted, span};

pub(super) fn run(global: &Global, args: &CheckDbArgs) -> Result<Exit> {
    let plan = super::load(global, Needs::DATABASE)?;
    let database = plan.database()?;
    if args.grants {
        print_grants(global, database);
        return Ok(Exit::Success);
    }
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

/// Creates what is missing. Else returns the failed check, and whether a lock is to blame, so that a later try may work.
fn apply_schema(database: &Database) -> Result<Option<(Check, bool)>> {
    let started = Instant::now();
    let mut connection = Connection::open(database, database.connection_timeout)?;
    let Err(error) = store::apply_schema(&mut connection, database) else {
        return Ok(None);
    };
    let is_locked = error.is_lock_timeout();
    let hint = if error.kind() == "privilege" {
        // The check of privileges lists the missing privileges.
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

/// The name that stands for the reader's role in the printed statements.
const READER: &str = "datasync_reader";

/// Prints the GRANTs of both roles, for the owner of the tables to type. The role need not be able to log in yet.
fn print_grants(global: &Global, database: &Database) {
    let sequences = Connection::open(database, database.connection_timeout)
        .and_then(|mut connection| grants::sequences(&mut connection, database));
    let sequences = sequences.unwrap_or_else(|error| {
        log::warn!(
            "which sequences the table has could not be asked: {}",
            error.what()
        );
        Vec::new()
    });
    let grants = grants::grants(database, &sequences, READER);
    if global.output == Output::Json {
        let text = serde_json::to_string(&grants).unwrap_or_default();
        super::print(&(text + "\n"));
        return;
    }
    let user = &database.user;
    super::print(&format!(
        "-- For the role that runs datasync ({user}); the tables are made by their owner, with check-db --apply-schema\n{}\n\
         -- For a role that looks at runs and cases: no values are in these tables\n{}\n\
         -- More for a role that may read records, too: show, validate --stored\n{}\n",
        grants.program.join("\n"),
        grants.reader.join("\n"),
        grants.reader_of_records.join("\n")
    ));
}

/// Checks the state directory: whether it can be written, and which batches of earlier runs wait in the spool.
fn waiting(state_dir: &Path) -> Check {
    let started = Instant::now();
    let (ok, detail, hint) = match spool::status(state_dir) {
        Ok(seen) => {
            let (mut details, mut hints) = (Vec::new(), Vec::new());
            if seen.files > 0 {
                let since = since(seen.oldest);
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
                details.push(format!(
                    "{}{}",
                    counted(
                        seen.quarantined,
                        "damaged file was set aside",
                        "damaged files were set aside",
                    ),
                    since(seen.oldest_quarantined)
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

/// `, the oldest since 2026-01-31T00:00:00Z (3 d 4 h ago)`: the records are in clear text, so their age matters.
fn since(oldest: Option<Micros>) -> String {
    let time = oldest.and_then(|at| jiff::Timestamp::from_microsecond(at.0).ok());
    oldest.zip(time).map_or_else(String::new, |(oldest, at)| {
        let ago = span(clock::age(oldest, Micros::local()));
        format!(", the oldest since {at:.0} ({ago} ago)")
    })
}
