//! Opens and closes the cases of runs: in the database, or in the state directory until the database is back.
//!
//! This file connects `case` (the model), `store` (where cases and log rows are stored) and the checks (the evidence).

use std::fs;
use std::sync::atomic::AtomicBool;
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
use crate::reporting::local_log;
use crate::store::{self, CaseRow, Connection, StoreError};
use crate::support::detached;

/// A failure of a run, with the exit code that it requires.
#[derive(Clone, Debug)]
pub struct Failure {
    pub exit: Exit,
    pub cause: Cause,
    pub sentence: String,
    /// Records that a person has to settle, each with the reason.
    pub records: Vec<String>,
}

/// A crossed threshold that does not change the exit code.
#[derive(Clone, Debug)]
pub struct Remark {
    pub threshold: Threshold,
    pub sentence: String,
}

/// How a run has ended.
#[derive(Debug)]
pub struct Ending<'a> {
    pub exit: Exit,
    /// All failures, the most severe first.
    pub failures: &'a [Failure],
    /// Crossed thresholds that do not change the exit code.
    pub remarks: &'a [Remark],
}

/// Everything about a finished run that its cases depend on.
#[derive(Debug)]
pub struct RunSummary<'a> {
    pub plan: &'a Plan,
    pub run_id: &'a str,
    pub ending: Ending<'a>,
    /// True for a retry, which closes its cases itself.
    pub retrying: bool,
    /// True if the whole source was asked for.
    pub full: bool,
    /// The table or shard that the run wrote.
    pub scope: Scope,
    /// True if the run asked for everything in that scope, or for all that had changed.
    pub whole: bool,
    /// Ids of the first records that were concerned.
    pub samples: &'a [String],
    pub ledger: &'a Ledger,
    pub spool_files: u64,
    pub limits: TimeLimits<'a>,
}

/// Time limits at the end of a run.
#[derive(Clone, Copy, Debug)]
pub struct TimeLimits<'a> {
    /// For a single check.
    pub checks: Duration,
    /// For storing the cases.
    pub storing: Duration,
    /// Set when the program is asked to end. No more checks are run then.
    pub stop: &'a AtomicBool,
}

impl RunSummary<'_> {
    /// The scope in which the causes occurred; none for a retry, whose causes occurred in other runs.
    fn met(&self) -> Option<Scope> {
        (!self.retrying).then(|| self.scope.clone())
    }
}

/// The person or job that runs the program: `user@host`.
pub fn who() -> String {
    format!(
        "{}@{}",
        crate::config::user_name(),
        store::lease::host_name()
    )
}

/// The cases after the end of a run.
#[derive(Debug, Default)]
pub struct CaseSummary {
    /// The case of the failure that decides the exit code.
    pub case_id: Option<String>,
    /// How many cases are open, as far as is known.
    pub open: u64,
    /// Why a case could not be stored, or the others could not be read.
    pub error: Option<anyhow::Error>,
}

/// Opens a case for each cause of a failed run, or adds an occurrence to the open one. Closes the cases that a good run has
/// shown to be over. Sends alerts, also about a case that could not be stored: then the alert is the only trace.
pub fn keep_case(summary: &RunSummary<'_>, mut connection: Option<&mut Connection>) -> CaseSummary {
    let plan = summary.plan;
    let local_cases = LocalCaseStore::new(&plan.state_dir);
    let mut kept = CaseSummary::default();
    let mut others = match open_cases(connection.as_deref_mut(), plan, &local_cases) {
        Ok(cases) => cases,
        Err(error) => {
            kept.error = Some(error);
            // The cases of the database are still used, so that no second case and no second alert is made for their causes.
            let stored = stored_cases(connection.as_deref_mut(), plan);
            stored.map_or_else(|_| Vec::new(), |(cases, _)| cases)
        }
    };
    let mut touched = Vec::new();
    let faults = faults(summary);
    if !faults.is_empty() {
        let evidence = evidence(summary);
        if let Some(connection) = connection.as_deref_mut() {
            // The checks may have taken long, so the time limit for storing starts here.
            connection.set_deadline(Some(Instant::now() + summary.limits.storing));
        }
        for fault in &faults {
            let case = occurred(fault, summary.run_id, &evidence, &mut others);
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
        touched.extend(recover(summary, &mut others));
    }
    for case in &touched {
        if let Err(error) = keep(connection.as_deref_mut(), plan, &local_cases, case) {
            kept.error.get_or_insert(error);
        }
    }
    touched.append(&mut others);
    kept.open = touched.iter().filter(|case| case.is_open()).count() as u64;
    // A retry that succeeded closes the others itself in a moment. After a signal nobody should have to wait.
    let asked = summary.ending.exit.is_by_signal();
    if !(asked || summary.retrying && summary.ending.exit == Exit::Success) {
        let limit = Some(summary.limits.storing);
        send_alerts(
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

/// Adds a fault to its open case, which is removed from `others`, or opens a case for it.
fn occurred(fault: &Fault, run_id: &str, evidence: &Evidence, others: &mut Vec<Case>) -> Case {
    let known = others
        .iter()
        .position(|case| case.fingerprint == fault.cause);
    let Some(at) = known else {
        return Case::open(fault, run_id, evidence.clone());
    };
    let mut case = others.remove(at);
    case.add_occurrence(fault, run_id, evidence.clone());
    case
}

/// Removes and returns the cases that a good run has shown to be over, at least for its part of the source.
fn recover(summary: &RunSummary<'_>, others: &mut Vec<Case>) -> Vec<Case> {
    let (passed, still): (Vec<_>, Vec<_>) = std::mem::take(others)
        .into_iter()
        .partition(|case| has_passed(summary, case));
    *others = still;
    let mut changed = Vec::new();
    for mut case in passed {
        let known = case.scopes.len();
        if case.is_over(&summary.scope) {
            changed.push(recovered(case, summary.run_id));
        } else if case.scopes.len() < known {
            changed.push(case);
        } else {
            others.push(case);
        }
    }
    changed
}

/// Sends the alerts that are due for these cases, and notes the results there. Each of the two may take `limit`.
pub fn send_alerts(
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
        let mut changed = delivery.delivered;
        if delivery.delivered {
            case.alerted_at = Some(case::now());
        }
        for failure in delivery.failed {
            let text = format!("an alert was not delivered: {failure}");
            log::warn!("case {}: {text}", case.id);
            // A note that repeats every hour is added only once.
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

/// The faults for which cases are opened. The one that decides the exit code comes first.
fn faults(summary: &RunSummary<'_>) -> Vec<Fault> {
    if summary.ending.exit.is_by_signal() {
        // A run that a person has ended has no fault.
        return Vec::new();
    }
    let mut faults: Vec<Fault> = Vec::new();
    for Failure {
        exit,
        cause,
        sentence,
        records,
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
                // A later good run proves that these causes are over. Damage and bugs need a person.
                transient: matches!(exit, Exit::Api | Exit::Database | Exit::Threshold)
                    && records.is_empty(),
                scope: summary.met(),
                records: records.clone(),
            });
        }
    }
    faults.extend(summary.ending.remarks.iter().map(|remark| Fault {
        cause: Cause::Threshold(remark.threshold),
        exit_code: Exit::Success.code(),
        sentence: remark.sentence.clone(),
        transient: true,
        scope: summary.met(),
        records: Vec::new(),
    }));
    faults
}

/// True if a run that ended so shows that a case's cause is over. After mere rejections both sides are known to work.
fn has_passed(summary: &RunSummary<'_>, case: &Case) -> bool {
    let braked = summary
        .ending
        .failures
        .iter()
        .any(|failure| matches!(failure.cause, Cause::Brake(_)));
    let of_a_side = matches!(case.fingerprint, Cause::Api(_) | Cause::Database(_));
    case.transient && (summary.ending.exit == Exit::Success || (!braked && of_a_side))
}

/// Runs the checks of both sides right after the failure. If a run was only slow, both sides are known to work.
fn run_checks(summary: &RunSummary<'_>) -> Vec<CheckFound> {
    if summary.ending.failures.is_empty() {
        return Vec::new();
    }
    let (plan, limit) = (summary.plan, summary.limits.checks);
    let (mut api, mut database) = (plan.api.clone(), plan.database.clone());
    if let Some(api) = &mut api {
        api.fetch.timeout = api.fetch.timeout.min(limit);
    }
    if let Some(database) = &mut database {
        database.connection_timeout = database.connection_timeout.min(limit);
        database.statement_timeout = database.statement_timeout.min(limit);
    }
    let (mapping, alert) = (plan.mapping.clone(), plan.alerts.api_response_time);
    let found = detached::run_unless(summary.limits.stop, move || {
        let mut found = Vec::new();
        if let Some(api) = &api {
            let checks = crate::api::check(api, &mapping, alert, crate::api::Reader::Anyone);
            found.extend(checks.iter().map(|check| CheckFound::new(Side::Api, check)));
        }
        if let Some(database) = &database {
            let checks = store::check(database, &mapping).checks;
            let checks = checks.iter();
            found.extend(checks.map(|check| CheckFound::new(Side::Database, check)));
        }
        found
    });
    found.unwrap_or_default()
}

/// The evidence at this moment.
fn evidence(summary: &RunSummary<'_>) -> Evidence {
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
        checks: run_checks(summary),
        spool_files: summary.spool_files,
        full: summary.full,
    }
}

/// The open cases of database and state directory. Without the database its cases are missing; duplicates are merged later.
pub fn open_cases(
    connection: Option<&mut Connection>,
    plan: &Plan,
    local_cases: &LocalCaseStore,
) -> Result<Vec<Case>> {
    Ok(open_cases_and_error(connection, plan, local_cases)?.0)
}

/// The same, with the reason why the cases of the database are unknown, if they are.
pub fn open_cases_and_error(
    connection: Option<&mut Connection>,
    plan: &Plan,
    local_cases: &LocalCaseStore,
) -> Result<(Vec<Case>, Option<StoreError>)> {
    let mut cases: Vec<Case> = local_cases
        .all()?
        .into_iter()
        .filter(Case::is_open)
        .collect();
    let (stored, doubt) = stored_cases(connection, plan)?;
    for case in stored {
        cases.retain(|local| local.id != case.id);
        cases.push(case);
    }
    Ok((cases, doubt))
}

/// The open cases of the database. If it does not answer: none, and the reason.
fn stored_cases(
    connection: Option<&mut Connection>,
    plan: &Plan,
) -> Result<(Vec<Case>, Option<StoreError>)> {
    let Some(connection) = connection else {
        return Ok((Vec::new(), None));
    };
    match store::cases::open(connection, plan.database()?) {
        Ok(documents) => {
            let cases: Result<Vec<Case>> = documents
                .iter()
                .map(|document| {
                    serde_json::from_str(document).context("a stored case is not readable")
                })
                .collect();
            Ok((cases?, None))
        }
        Err(error) => {
            log::info!("only the cases of the state directory are known: {error}");
            Ok((Vec::new(), Some(error)))
        }
    }
}

/// Stores a case in the database, or if that fails in the state directory.
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

/// Stores a case. Returns false if another open case has its fingerprint.
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

/// Closes a case because a good run has shown that its transient cause is over.
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

/// Moves log rows and cases from the state directory into the database. After a crash some are moved twice, harmlessly.
pub fn move_from_state_dir(connection: &mut Connection, plan: &Plan, run_id: &str) -> Result<()> {
    let database = plan.database()?;
    let mut merged = Vec::new();
    for (path, row) in local_log::waiting(&plan.state_dir)? {
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
            // The cause has an open case already, which takes over the occurrences of this one.
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
    // Whoever got alerts about the merged cases is told that these are closed.
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
