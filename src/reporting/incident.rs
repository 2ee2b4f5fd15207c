//! What a run leaves behind when it ends: its log row and, when it failed, its case; in the database, or in the state
//! directory while that is away, from where the next run moves them.
//!
//! It connects `case` (the model), `store` (where cases and log rows live) and the checks (the evidence).

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::config::plan::{Database, Plan};
use crate::exit::Exit;
use crate::model::cause::{Cause, Threshold};
use crate::model::record::Ledger;
use crate::reporting::alert;
use crate::reporting::case::{
    self, Case, CheckFound, Closing, Evidence, Fault, LocalCaseStore, Scope, Side,
};
use crate::store::{self, CaseRow, Connection, RunEnd, RunHeader, StoreError};
use crate::support::atomic_file;

/// Something that went wrong in a run, and the exit code that it calls for.
#[derive(Clone, Debug)]
pub struct Failure {
    pub exit: Exit,
    pub cause: Cause,
    pub sentence: String,
}

/// A threshold without an exit code that was crossed.
#[derive(Clone, Debug)]
pub struct Remark {
    pub threshold: Threshold,
    pub sentence: String,
}

/// How a run has ended.
#[derive(Debug)]
pub struct Ending<'a> {
    pub exit: Exit,
    /// Worst first.
    pub failures: &'a [Failure],
    /// Thresholds without an exit code.
    pub remarks: &'a [Remark],
}

/// What is known when a run ends.
#[derive(Debug)]
pub struct RunSummary<'a> {
    pub plan: &'a Plan,
    pub run_id: &'a str,
    pub ending: Ending<'a>,
    /// It is a retry, which closes its cases itself.
    pub retrying: bool,
    /// Somebody has asked for the whole source.
    pub full: bool,
    /// What the run was about.
    pub scope: Scope,
    /// It asked for all of that, or for all that had changed.
    pub whole: bool,
    /// Ids of the first records concerned.
    pub samples: &'a [String],
    pub ledger: &'a Ledger,
    pub spool_files: u64,
    /// What a single step of the evidence may take.
    pub patience: Duration,
    /// What may be spent on writing down what was seen.
    pub closing: Duration,
}

impl RunSummary<'_> {
    /// Where a cause was met. A retry is about what other runs met.
    fn met(&self) -> Option<Scope> {
        (!self.retrying).then(|| self.scope.clone())
    }
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

/// What became of the cases at the end of a run.
#[derive(Debug, Default)]
pub struct Kept {
    /// The case that belongs to the exit code.
    pub case_id: Option<String>,
    /// Cases that are open, as far as they are known.
    pub open: u64,
    /// Why a case could not be kept, or the others not be read.
    pub error: Option<anyhow::Error>,
}

/// Opens a case for each cause of a failed run (or adds to the open one), closes what a good run has shown to be over,
/// and tells those who want to hear of it: also of a case that could not be kept, since then the alert is all there is.
pub fn keep_case(summary: &RunSummary<'_>, mut connection: Option<&mut Connection>) -> Kept {
    let plan = summary.plan;
    let local_cases = LocalCaseStore::new(&plan.state_dir);
    let mut kept = Kept::default();
    let mut others = match open_cases(connection.as_deref_mut(), plan, &local_cases) {
        Ok(cases) => cases,
        Err(error) => {
            kept.error = Some(error);
            // What the database knows is not to be told again.
            stored_cases(connection.as_deref_mut(), plan).unwrap_or_default()
        }
    };
    let mut touched = Vec::new();
    let faults = faults(summary);
    if !faults.is_empty() {
        let evidence = evidence(summary);
        if let Some(connection) = connection.as_deref_mut() {
            // However long the looking took.
            connection.set_deadline(Some(Instant::now() + summary.closing));
        }
        for fault in &faults {
            let known = others
                .iter()
                .position(|case| case.fingerprint == fault.cause);
            let case = match known {
                Some(at) => {
                    let mut case = others.remove(at);
                    case.add_occurrence(fault, summary.run_id, evidence.clone());
                    case
                }
                None => Case::open(fault, summary.run_id, evidence.clone()),
            };
            if fault.exit_code != 0 {
                kept.case_id.get_or_insert_with(|| case.id.clone());
            }
            touched.push(case);
        }
    }
    if matches!(summary.ending.exit, Exit::Success | Exit::Threshold)
        && !summary.retrying
        && summary.whole
        && connection.is_some()
    {
        let (passed, still): (Vec<_>, Vec<_>) = others
            .into_iter()
            .partition(|case| has_passed(summary, case));
        others = still;
        for mut case in passed {
            let known = case.scopes.len();
            if case.is_over(&summary.scope) {
                touched.push(recovered(case, summary.run_id));
            } else if case.scopes.len() < known {
                touched.push(case);
            } else {
                others.push(case);
            }
        }
    }
    for case in &touched {
        if let Err(error) = keep(connection.as_deref_mut(), plan, &local_cases, case) {
            kept.error.get_or_insert(error);
        }
    }
    touched.append(&mut others);
    kept.open = touched.iter().filter(|case| case.is_open()).count() as u64;
    // A retry that succeeded closes the others in a moment; who ends a run by a signal is waiting.
    let asked = matches!(summary.ending.exit, Exit::Interrupted | Exit::Terminated);
    if !(asked || summary.retrying && summary.ending.exit == Exit::Success) {
        let limit = Some(summary.closing);
        tell(
            plan,
            summary.run_id,
            connection,
            &local_cases,
            touched,
            limit,
        );
    }
    kept
}

/// Sends the alerts that are due for these cases, and notes in them what became of it; each of the two may take as long
/// as `limit` says. Nothing of it changes how a run ends.
pub fn tell(
    plan: &Plan,
    run_id: &str,
    mut connection: Option<&mut Connection>,
    local_cases: &LocalCaseStore,
    cases: Vec<Case>,
    limit: Option<Duration>,
) {
    let due: Vec<_> = cases
        .into_iter()
        .filter_map(|case| Some((alert::due(&case, plan.alerts.reminder)?, case)))
        .collect();
    let alerts: Vec<_> = due.iter().map(|(event, case)| (*event, case)).collect();
    let deliveries = alert::send(plan, run_id, &alerts, limit);
    if let (Some(connection), Some(limit)) = (connection.as_deref_mut(), limit) {
        connection.set_deadline(Some(Instant::now() + limit));
    }
    for ((_, mut case), delivery) in due.into_iter().zip(deliveries) {
        let mut changed = delivery.heard;
        if delivery.heard {
            case.alerted_at = Some(case::now());
        }
        for failure in delivery.failed {
            let text = format!("an alert was not delivered: {failure}");
            log::warn!("case {}: {text}", case.id);
            // Every hour the same is one note.
            if !case.notes.iter().any(|note| note.text == text) {
                case.add_note("datasync", &text);
                changed = true;
            }
        }
        if changed && let Err(error) = keep(connection.as_deref_mut(), plan, local_cases, &case) {
            log::warn!("case {} does not know of its alert: {error:#}", case.id);
        }
    }
}

/// The faults a case is opened for, the one of the exit code first.
fn faults(summary: &RunSummary<'_>) -> Vec<Fault> {
    if matches!(summary.ending.exit, Exit::Interrupted | Exit::Terminated) {
        // Somebody meant it.
        return Vec::new();
    }
    let mut faults: Vec<Fault> = Vec::new();
    for Failure {
        exit,
        cause,
        sentence,
    } in summary.ending.failures
    {
        let cased = matches!(
            exit,
            Exit::Internal | Exit::Api | Exit::Database | Exit::Threshold | Exit::State
        );
        if cased && !faults.iter().any(|known| known.cause == *cause) {
            faults.push(Fault {
                cause: cause.clone(),
                exit_code: exit.code(),
                sentence: sentence.clone(),
                // What a later good run proves to be over; damage and bugs want a person's eye.
                transient: matches!(exit, Exit::Api | Exit::Database | Exit::Threshold),
                scope: summary.met(),
            });
        }
    }
    faults.extend(summary.ending.remarks.iter().map(|remark| Fault {
        cause: Cause::Threshold(remark.threshold),
        exit_code: Exit::Success.code(),
        sentence: remark.sentence.clone(),
        transient: true,
        scope: summary.met(),
    }));
    faults
}

/// Whether a run that ended like this shows that the cause of a case has passed. One that had nothing but too many
/// rejections has still read all of the source and written to the database.
fn has_passed(summary: &RunSummary<'_>, case: &Case) -> bool {
    let braked = summary
        .ending
        .failures
        .iter()
        .any(|failure| matches!(failure.cause, Cause::Brake(_)));
    let of_a_side = matches!(case.fingerprint, Cause::Api(_) | Cause::Database(_));
    case.transient && (summary.ending.exit == Exit::Success || (!braked && of_a_side))
}

/// Looks at both ends while the trouble is fresh. A run that is only slow has shown that both are there.
fn evidence(summary: &RunSummary<'_>) -> Evidence {
    let mut checks = Vec::new();
    let looks = !summary.ending.failures.is_empty();
    if let Some(api) = summary.plan.api.as_ref().filter(|_| looks) {
        let mut hasty = api.clone();
        hasty.fetch.timeout = hasty.fetch.timeout.min(summary.patience);
        let found = crate::api::check(
            &hasty,
            &summary.plan.mapping,
            summary.plan.alerts.api_response_time,
        );
        checks.extend(found.iter().map(|check| CheckFound::new(Side::Api, check)));
    }
    if let Some(database) = summary.plan.database.as_ref().filter(|_| looks) {
        let mut hasty = database.clone();
        hasty.connection_timeout = hasty.connection_timeout.min(summary.patience);
        hasty.statement_timeout = hasty.statement_timeout.min(summary.patience);
        let found = store::check(&hasty, &summary.plan.mapping);
        checks.extend(
            found
                .checks
                .iter()
                .map(|check| CheckFound::new(Side::Database, check)),
        );
    }
    Evidence {
        errors: summary
            .ending
            .failures
            .iter()
            .map(|failure| &failure.sentence)
            .chain(summary.ending.remarks.iter().map(|remark| &remark.sentence))
            .cloned()
            .collect(),
        ledger: case::ledger_counts(summary.ledger),
        samples: summary.samples.to_vec(),
        checks,
        spool_files: summary.spool_files,
        full: summary.full,
    }
}

/// Open cases, wherever they are. A database that does not answer hides only its own: what is opened meanwhile is
/// merged later.
pub fn open_cases(
    connection: Option<&mut Connection>,
    plan: &Plan,
    local_cases: &LocalCaseStore,
) -> Result<Vec<Case>> {
    let mut cases: Vec<Case> = local_cases
        .all()?
        .into_iter()
        .filter(Case::is_open)
        .collect();
    for case in stored_cases(connection, plan)? {
        cases.retain(|local| local.id != case.id);
        cases.push(case);
    }
    Ok(cases)
}

/// Open cases of the database; none when it does not answer.
fn stored_cases(connection: Option<&mut Connection>, plan: &Plan) -> Result<Vec<Case>> {
    let Some(connection) = connection else {
        return Ok(Vec::new());
    };
    match store::cases::open(connection, plan.database()?) {
        Ok(documents) => documents
            .iter()
            .map(|document| serde_json::from_str(document).context("a stored case is not readable"))
            .collect(),
        Err(error) => {
            log::info!("only the cases of the state directory are known: {error}");
            Ok(Vec::new())
        }
    }
}

/// Keeps a case in the database, else in the state directory.
pub fn keep(
    connection: Option<&mut Connection>,
    plan: &Plan,
    local_cases: &LocalCaseStore,
    case: &Case,
) -> Result<()> {
    if let Some(connection) = connection {
        match save(connection, plan.database()?, case) {
            Ok(true) => return local_cases.remove(&case.id),
            Ok(false) => {}
            Err(error) => log::info!("the case stays in the state directory for now: {error}"),
        }
    }
    local_cases.put(case)
}

/// Stores a case; false when another open case has its fingerprint.
pub fn save(connection: &mut Connection, db: &Database, case: &Case) -> Result<bool, StoreError> {
    let row = CaseRow {
        id: case.id.clone(),
        fingerprint: case.fingerprint.to_string(),
        open: case.is_open(),
        opened_at: case.opened_at.clone(),
        closed_at: case.closed_at.clone(),
        count: case.count,
        document: serde_json::to_string(case).unwrap_or_default(),
    };
    store::cases::save(connection, db, &row)
}

/// A good run has shown that a transient cause is over.
fn recovered(mut case: Case, run_id: &str) -> Case {
    let why = format!("run {run_id} succeeded");
    case.close(Closing::Recovered, "datasync", &why);
    log::warn!(
        "case {} is closed: {} has passed by itself",
        case.id,
        case.fingerprint
    );
    case
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
    atomic_file::keep(&folder, &path, &text)
        .with_context(|| format!("cannot keep the log row in {}", path.display()))
}

/// Moves log rows and cases from the state directory into the database. What was moved and not yet removed (a crash in
/// between) is moved again, which changes nothing.
pub fn move_from_state_dir(connection: &mut Connection, plan: &Plan, run_id: &str) -> Result<()> {
    let database = plan.database()?;
    let mut merged = Vec::new();
    for (path, row) in waiting_log_rows(&plan.state_dir)? {
        store::log::finish(connection, database, &row.header, &row.end)?;
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    let local_cases = LocalCaseStore::new(&plan.state_dir);
    for mut case in local_cases.all()? {
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
                    let why = format!("it goes on as case {}", stored.id);
                    case.close(Closing::Merged, "datasync", &why);
                }
            }
        }
        local_cases.remove(&case.id)?;
        if !case.is_open() {
            merged.push(case);
        }
    }
    // Whoever was told of them as cases of their own hears that they are none.
    let over: Vec<_> = merged
        .iter()
        .filter_map(|case| Some((alert::due(case, None)?, case)))
        .collect();
    for failure in alert::send(plan, run_id, &over, None)
        .iter()
        .flat_map(|d| &d.failed)
    {
        log::warn!("an alert was not delivered: {failure}");
    }
    Ok(())
}

/// Log rows that wait in the state directory.
pub fn waiting_log_rows(state_dir: &Path) -> Result<Vec<(std::path::PathBuf, LogRow)>> {
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
