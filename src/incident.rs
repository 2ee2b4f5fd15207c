//! What a run leaves behind when it ends: its log row and, when it failed, its case; in the database, or in the state
//! directory while that is away, from where the next run moves them.
//!
//! It connects `case` (the model), `store` (where cases and log rows live) and the checks (the evidence).

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::case::{Case, Cause, CheckFound, Closing, Evidence, Shelf};
use crate::config::plan::{Database, Plan};
use crate::exit::Exit;
use crate::record::Ledger;
use crate::store::{self, CaseRow, Connection, RunEnd, RunHeader, StoreError};

/// What is known when a run ends.
#[derive(Debug)]
pub struct Books<'a> {
    pub plan: &'a Plan,
    pub run_id: &'a str,
    /// Worst first: exit, fingerprint, sentence.
    pub failures: &'a [(Exit, String, String)],
    pub exit: Exit,
    /// `retry` closes the cases itself.
    pub retrying: bool,
    /// Ids of the first records concerned.
    pub samples: &'a [String],
    pub ledger: &'a Ledger,
    pub spool_files: u64,
}

/// A finished run's log row, as it is kept on disk.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct LogRow {
    pub header: RunHeader,
    pub end: RunEnd,
}

/// `user@host`: who did it.
pub fn who() -> String {
    format!(
        "{}@{}",
        crate::config::user_name(),
        store::lease::host_name()
    )
}

/// Opens a case for each cause of a failed run (or adds to the open one), closes what a good run has shown to be over,
/// and returns the id of the case that belongs to the exit code.
pub fn keep_case(books: &Books<'_>, connection: Option<&mut Connection>) -> Result<Option<String>> {
    let shelf = Shelf::new(&books.plan.state_dir);
    let mut connection = connection;
    let causes = causes(books);
    if causes.is_empty() {
        if books.exit == Exit::Success
            && !books.retrying
            && let Some(connection) = connection
        {
            recover(books, connection)?;
        }
        return Ok(None);
    }
    let evidence = evidence(books);
    let mut first = None;
    for cause in &causes {
        let known = open_cases(connection.as_deref_mut(), books.plan, &shelf)?;
        let case = match known
            .into_iter()
            .find(|case| case.fingerprint == cause.fingerprint)
        {
            Some(mut case) => {
                case.add_occurrence(cause, books.run_id, evidence.clone());
                case
            }
            None => Case::open(cause, books.run_id, evidence.clone()),
        };
        keep(connection.as_deref_mut(), books.plan, &shelf, &case)?;
        first.get_or_insert(case.id);
    }
    Ok(first)
}

/// The causes a case is opened for, the one of the exit code first.
fn causes(books: &Books<'_>) -> Vec<Cause> {
    if matches!(books.exit, Exit::Interrupted | Exit::Terminated) {
        // Somebody meant it.
        return Vec::new();
    }
    let mut causes: Vec<Cause> = Vec::new();
    for (exit, fingerprint, sentence) in books.failures {
        let cased = matches!(
            exit,
            Exit::Internal | Exit::Api | Exit::Database | Exit::Threshold | Exit::State
        );
        if cased && !causes.iter().any(|cause| cause.fingerprint == *fingerprint) {
            causes.push(Cause {
                fingerprint: fingerprint.clone(),
                exit_code: exit.code(),
                sentence: sentence.clone(),
                // What a later good run proves to be over; damage and bugs want a person's eye.
                transient: matches!(exit, Exit::Api | Exit::Database | Exit::Threshold),
            });
        }
    }
    causes
}

/// Looks at both ends while the trouble is fresh.
fn evidence(books: &Books<'_>) -> Evidence {
    let mut checks = Vec::new();
    if let Some(api) = &books.plan.api {
        let found = crate::api::check(
            api,
            &books.plan.mapping,
            books.plan.alerts.api_response_time,
        );
        checks.extend(found.iter().map(|check| CheckFound::new("api", check)));
    }
    if let Some(database) = &books.plan.database {
        let found = store::check(database, &books.plan.mapping);
        checks.extend(
            found
                .checks
                .iter()
                .map(|check| CheckFound::new("database", check)),
        );
    }
    Evidence {
        errors: books
            .failures
            .iter()
            .map(|(_, _, sentence)| sentence.clone())
            .collect(),
        ledger: crate::case::ledger_counts(books.ledger),
        samples: books.samples.to_vec(),
        checks,
        spool_files: books.spool_files,
    }
}

/// Open cases, wherever they are. A database that does not answer hides only its own: what is opened meanwhile is
/// merged later.
pub fn open_cases(
    connection: Option<&mut Connection>,
    plan: &Plan,
    shelf: &Shelf,
) -> Result<Vec<Case>> {
    let mut cases: Vec<Case> = shelf.all()?.into_iter().filter(Case::is_open).collect();
    let Some(connection) = connection else {
        return Ok(cases);
    };
    let documents = match store::cases::open(connection, plan.database()?) {
        Ok(documents) => documents,
        Err(error) => {
            log::info!("only the cases of the state directory are known: {error}");
            return Ok(cases);
        }
    };
    for document in documents {
        let case: Case =
            serde_json::from_str(&document).context("a stored case is not readable")?;
        cases.retain(|shelved| shelved.id != case.id);
        cases.push(case);
    }
    Ok(cases)
}

/// Keeps a case in the database, else on the shelf.
pub fn keep(
    connection: Option<&mut Connection>,
    plan: &Plan,
    shelf: &Shelf,
    case: &Case,
) -> Result<()> {
    if let Some(connection) = connection {
        match save(connection, plan.database()?, case) {
            Ok(true) => return shelf.remove(&case.id),
            Ok(false) => {}
            Err(error) => log::info!("the case stays in the state directory for now: {error}"),
        }
    }
    shelf.put(case)
}

/// Stores a case; false when another open case has its fingerprint.
pub fn save(connection: &mut Connection, db: &Database, case: &Case) -> Result<bool, StoreError> {
    let row = CaseRow {
        id: case.id.clone(),
        fingerprint: case.fingerprint.clone(),
        open: case.is_open(),
        opened_at: case.opened_at.clone(),
        closed_at: case.closed_at.clone(),
        count: case.count,
        document: serde_json::to_string(case).unwrap_or_default(),
    };
    store::cases::save(connection, db, &row)
}

/// A good run closes the cases whose cause was transient.
fn recover(books: &Books<'_>, connection: &mut Connection) -> Result<()> {
    let shelf = Shelf::new(&books.plan.state_dir);
    for mut case in open_cases(Some(connection), books.plan, &shelf)? {
        if case.transient {
            case.close(
                Closing::Recovered,
                "datasync",
                &format!("run {} succeeded", books.run_id),
            );
            log::warn!(
                "case {} is closed: {} has passed by itself",
                case.id,
                case.fingerprint
            );
            keep(Some(connection), books.plan, &shelf, &case)?;
        }
    }
    Ok(())
}

/// Keeps the log row of a finished run. With the database away it goes to the state directory.
pub fn keep_log(connection: Option<&mut Connection>, plan: &Plan, row: &LogRow) -> Result<()> {
    if let Some(connection) = connection {
        match store::log::finish(connection, plan.database()?, &row.header, &row.end) {
            Ok(()) => return Ok(()),
            Err(error) => log::info!("the log row stays in the state directory for now: {error}"),
        }
    }
    let folder = plan.state_dir.join("log");
    let path = folder.join(format!("{}.json", row.header.run_id));
    let text = serde_json::to_vec(row).context("cannot write the log row down")?;
    let write = || -> io::Result<()> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)?;
        let temporary = path.with_extension("tmp");
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        fs::File::open(&folder)?.sync_all()
    };
    write().with_context(|| format!("cannot keep the log row in {}", path.display()))
}

/// Moves log rows and cases from the state directory into the database. What was moved and not yet removed (a crash in
/// between) is moved again, which changes nothing.
pub fn move_shelved(connection: &mut Connection, plan: &Plan) -> Result<()> {
    let database = plan.database()?;
    for (path, row) in shelved_log(&plan.state_dir)? {
        store::log::finish(connection, database, &row.header, &row.end)?;
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    let shelf = Shelf::new(&plan.state_dir);
    for mut case in shelf.all()? {
        if let Some(document) = store::cases::find(connection, database, &case.id)? {
            let stored: Case =
                serde_json::from_str(&document).context("a stored case is not readable")?;
            case.merge(&stored);
        }
        if !save(connection, database, &case)? {
            // The cause has an open case already: it takes over what this one knows.
            for document in store::cases::open(connection, database)? {
                let mut stored: Case =
                    serde_json::from_str(&document).context("a stored case is not readable")?;
                if stored.fingerprint == case.fingerprint {
                    stored.merge(&case);
                    save(connection, database, &stored)?;
                }
            }
        }
        shelf.remove(&case.id)?;
    }
    Ok(())
}

fn shelved_log(state_dir: &Path) -> Result<Vec<(std::path::PathBuf, LogRow)>> {
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
