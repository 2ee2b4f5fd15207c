//! `datasync case`: shows cases, and takes a person's notes and finished steps.

use anyhow::{Context as _, Result};

use crate::commands::cli::{CaseCommand, Global, HumanStep, Output};
use crate::config::Needs;
use crate::config::plan::Plan;
use crate::exit::{Exit, Misconfigured};
use crate::reporting::case::{Case, LocalCaseStore};
use crate::reporting::incident;
use crate::reporting::report::history::table;
use crate::store::{self, Connection, PastRun, StoreError};

/// How many cases `case list` shows at most.
const LISTED: i64 = 100;
/// How many runs `case show` shows at most.
const SHOWN_RUNS: usize = 5;

pub(super) fn run(global: &Global, command: &CaseCommand) -> Result<Exit> {
    let plan = super::load(global, Needs::DATABASE)?;
    let database = plan.database()?;
    let local_cases = LocalCaseStore::new(&plan.state_dir);
    // While the database is away, the cases of the state directory can still be shown.
    let (mut connection, away) = match Connection::open(database, database.connection_timeout) {
        Ok(connection) => (Some(connection), None),
        Err(error) => (None, Some(error)),
    };
    let case = match command {
        CaseCommand::List => return list(global, &plan, &local_cases, connection.as_mut(), away),
        CaseCommand::Show { id } => {
            let case = find(&plan, &local_cases, connection.as_mut(), away, id)?;
            let runs = runs(&plan, connection.as_mut(), &case);
            show(global, &case, &runs)?;
            return Ok(Exit::Success);
        }
        CaseCommand::Note { id, text } => {
            let mut case = find(&plan, &local_cases, connection.as_mut(), away, id)?;
            case.add_note(&incident::who(), text);
            case
        }
        CaseCommand::Complete { id, step, note } => {
            let mut case = find(&plan, &local_cases, connection.as_mut(), away, id)?;
            let step = match step {
                HumanStep::Investigate => crate::reporting::case::Step::Investigate,
                HumanStep::Resolve => crate::reporting::case::Step::Resolve,
            };
            case.complete(step, &incident::who(), note.clone())
                .map_err(|error| Misconfigured(error.to_string()))?;
            case
        }
    };
    incident::keep(connection.as_mut(), &plan, &local_cases, &case)?;
    show(global, &case, &[])?;
    Ok(Exit::Success)
}

/// Cases of database and state directory. Of a case that is in both, the copy in the state directory is used: it is newer.
fn all_cases(
    plan: &Plan,
    local_cases: &LocalCaseStore,
    connection: Option<&mut Connection>,
) -> Result<Vec<Case>> {
    let mut cases = local_cases.all()?;
    if let Some(connection) = connection {
        for document in store::cases::last(connection, plan.database()?, LISTED)? {
            let case: Case =
                serde_json::from_str(&document).context("a stored case is not readable")?;
            if !cases.iter().any(|known| known.id == case.id) {
                cases.push(case);
            }
        }
    }
    cases.sort_by(|a, b| {
        b.is_open()
            .cmp(&a.is_open())
            .then(b.opened_at.cmp(&a.opened_at))
    });
    Ok(cases)
}

/// The case with this id, or the only one whose id begins with it.
fn find(
    plan: &Plan,
    local_cases: &LocalCaseStore,
    mut connection: Option<&mut Connection>,
    away: Option<StoreError>,
    id: &str,
) -> Result<Case> {
    if let Some(connection) = connection.as_deref_mut()
        && let Some(document) = store::cases::find(connection, plan.database()?, id)?
    {
        let mut case: Case =
            serde_json::from_str(&document).context("a stored case is not readable")?;
        if let Some(local) = local_cases.all()?.iter().find(|local| local.id == case.id) {
            case.merge(local);
        }
        return Ok(case);
    }
    let mut matching = all_cases(plan, local_cases, connection)?;
    matching.retain(|case| case.id.starts_with(id));
    match (matching.len(), away) {
        (1, _) => Ok(matching.remove(0)),
        (0, Some(error)) => {
            Err(anyhow::Error::new(error)
                .context(format!("case {id} is not in the state directory")))
        }
        (0, None) => Err(Misconfigured(format!(
            "there is no case {id}; `datasync case list` shows those there are"
        ))
        .into()),
        (count, _) => Err(Misconfigured(format!(
            "{count} cases begin with {id}; type more of the id"
        ))
        .into()),
    }
}

/// Prints the list. While the database is away it holds only the cases of the state directory, and the exit code is 4.
fn list(
    global: &Global,
    plan: &Plan,
    local_cases: &LocalCaseStore,
    connection: Option<&mut Connection>,
    away: Option<StoreError>,
) -> Result<Exit> {
    let (cases, away) = match (all_cases(plan, local_cases, connection), away) {
        (Ok(cases), away) => (cases, away),
        (Err(error), _) => {
            let away = error.downcast::<StoreError>()?;
            (all_cases(plan, local_cases, None)?, Some(away))
        }
    };
    let exit = if away.is_some() {
        Exit::Database
    } else {
        Exit::Success
    };
    if !(global.quiet && exit == Exit::Success) {
        print_list(global, &cases, away.as_ref());
    }
    Ok(exit)
}

fn print_list(global: &Global, cases: &[Case], away: Option<&StoreError>) {
    if global.output == Output::Json {
        let list = serde_json::json!({ "cases": cases, "database_ok": away.is_none() });
        super::print(&(list.to_string() + "\n"));
        return;
    }
    let mut text = String::new();
    for case in cases {
        text += &(case.line() + "\n");
    }
    if cases.is_empty() && away.is_none() {
        text += "No cases.\n";
    } else if cases.is_empty() {
        text += "No cases in the state directory.\n";
    }
    if let Some(error) = away {
        text += &format!("Only those of the state directory are shown: {error}\n");
    }
    super::print(&text);
}

/// The last runs of a case, newest first, by the log of runs; none while the database is away.
fn runs(plan: &Plan, connection: Option<&mut Connection>, case: &Case) -> Vec<PastRun> {
    let last = case.occurrences.iter().rev().take(SHOWN_RUNS);
    let ids: Vec<&str> = last.map(|occurrence| occurrence.run_id.as_str()).collect();
    let found = connection
        .zip(plan.database.as_ref())
        .map(|(connection, database)| {
            store::history::of(connection, database, &ids)
                .inspect_err(|error| log::warn!("{error}"))
                .unwrap_or_default()
        });
    let mut runs = found.unwrap_or_default();
    runs.reverse();
    runs
}

/// Prints a case, but nothing with `-q`: the command has succeeded already.
fn show(global: &Global, case: &Case, runs: &[PastRun]) -> Result<()> {
    if global.quiet {
        return Ok(());
    }
    if global.output == Output::Json {
        let mut value = serde_json::to_value(case).context("cannot write the case")?;
        if let (Some(object), false) = (value.as_object_mut(), runs.is_empty()) {
            let runs = serde_json::to_value(runs).context("cannot write the runs")?;
            object.insert("runs".into(), runs);
        }
        super::print(&(value.to_string() + "\n"));
        return Ok(());
    }
    let runs = if runs.is_empty() {
        String::new()
    } else {
        format!("Its last runs, newest first\n{}", table(runs))
    };
    super::print(&case.text(&runs));
    Ok(())
}
