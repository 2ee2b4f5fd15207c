//! `datasync retry`: the checks, the spool, what failed, and the case.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde_json::json;

use super::observability::watched;
use crate::api;
use crate::commands::cli::{Global, Output, RetryArgs};
use crate::config::plan::Plan;
use crate::exit::{Exit, Misconfigured};
use crate::model::cause::{ApiCause, Cause, Threshold};
use crate::reporting::case::{Case, CheckFound, Closing, LocalCaseStore, Side, State, Step};
use crate::reporting::incident;
use crate::reporting::metrics::Share;
use crate::reporting::report::Report;
use crate::run::{self, Purpose, Request};
use crate::spool::{self, Spool};
use crate::store::{self, Connection};
use crate::support::progress::Progress;
use crate::support::signals::Signals;

pub(super) fn run(global: &Global, args: &RetryArgs) -> Result<Exit> {
    watched(global, Share::AsBefore, |plan| retry(global, args, plan))
}

fn retry(global: &Global, args: &RetryArgs, plan: &Plan) -> Result<(Exit, Option<Report>)> {
    let signals = Signals::listen().context("cannot listen for signals")?;
    let local_cases = LocalCaseStore::new(&plan.state_dir);
    let database = plan.database()?;
    let (mut connection, away) = match Connection::open(database, database.connection_timeout) {
        Ok(connection) => (Some(connection), None),
        Err(error) => (None, Some(error)),
    };
    let mut cases = chosen(
        plan,
        &local_cases,
        connection.as_mut(),
        args.case.as_deref(),
    )?;
    // Others may keep theirs beside ours.
    cases.retain(|case| args.case.is_some() || case.concerns(&store::log::target(database)));
    let waiting = Spool::open(&plan.state_dir, plan.spool_max_bytes)
        .map_err(|error| Misconfigured(error.to_string()))?
        .files()?
        .len();
    // Messages of a run that was killed wait without a case.
    let untold = match connection.as_mut() {
        Some(connection) if !database.owed.is_empty() => {
            store::outbox::extent(connection, database, None).map_or(0, |(messages, _)| messages)
        }
        _ => 0,
    };
    if cases.is_empty() && waiting == 0 && untold == 0 && !args.rejected {
        if let Some(error) = away {
            // Its cases and rejections are not known: that is not "nothing to do".
            return Err(anyhow::Error::new(error)
                .context("nothing waits on disk, but the database cannot be asked for its cases"));
        }
        if !global.quiet {
            super::print(match global.output {
                Output::Json => "{\"status\":\"success\",\"nothing_to_do\":true,\"exit_code\":0}\n",
                _ => "Nothing to do: no case is open and the spool is empty.\n",
            });
        }
        return Ok((Exit::Success, None));
    }

    let found = look(plan)?;
    if let Some(asked) = signals.asked() {
        return Ok((asked.into(), None));
    }
    let api_ok = found.iter().all(|check| check.ok || check.of != Side::Api);
    let database_ok = found
        .iter()
        .all(|check| check.ok || check.of != Side::Database);
    let who = incident::who();
    for mut case in cases.clone() {
        if let Some(note) = &args.note {
            case.add_note(&who, note);
        }
        note_checks(&mut case, &found);
        case.set(Step::Retry, State::Active, &who, None);
        incident::keep(connection.as_mut(), plan, &local_cases, &case)?;
    }
    drop(connection);

    let unread = cases.iter().filter(|case| needs_fetch(case, plan));
    let (fetch, full) = unread.fold((false, false), |(_, full), case| {
        (true, full || case.evidence.full)
    });
    let failed = found
        .iter()
        .find(|check| !check.ok && check.of == Side::Api);
    let api_down = failed.filter(|_| fetch).map(|check| {
        (
            known_cause(&cases, plan),
            format!("the API is not well yet: {}", check.detail),
        )
    });
    let request = Request {
        api_down,
        purpose: Purpose::Retry {
            // With the API away the spool can still be brought home.
            fetch: fetch && api_ok,
            rejected: args.rejected,
        },
        full,
        ..Request::default()
    };
    let progress =
        Progress::new(!global.quiet && !global.no_color && global.output == Output::Text);
    let (mut report, exit) = match run::sync(plan, &request, &signals, progress) {
        Ok(done) => done,
        Err(error) => {
            // It ended before it had begun: another run is at work, or the tables do not fit.
            if let Err(failed) = send_back(plan, &local_cases, &cases, &error) {
                log::warn!("the cases still say that they are being retried: {failed:#}");
            }
            return Err(error);
        }
    };

    let mut connection = Connection::open(database, database.connection_timeout).ok();
    let outcome = Outcome {
        plan,
        exit,
        errors: &report.errors_by_type,
        fetched: fetch && api_ok,
        waiting: spool::status(&plan.state_dir)?.files,
    };
    let mut closed = Vec::new();
    for mut case in open_again(plan, &local_cases, connection.as_mut(), &cases)? {
        if outcome.has_settled(&case) {
            case.close(
                Closing::Resolved,
                &who,
                &format!("run {} succeeded in it", report.run_id),
            );
            closed.push(case.clone());
        } else {
            let why = report.problems.first().or(report.alerts.first()).cloned();
            case.retry_failed(
                &who,
                &why.unwrap_or_else(|| format!("exit {}", exit.code())),
            );
        }
        incident::keep(connection.as_mut(), plan, &local_cases, &case)?;
        if !case.is_open() {
            let connection = connection.as_mut();
            incident::tell(
                plan,
                &report.run_id,
                connection,
                &local_cases,
                vec![case],
                None,
            );
        }
    }
    report.open_cases = incident::open_cases(connection.as_mut(), plan, &local_cases)?.len() as u64;
    if report.case_id.is_none() && exit != Exit::Success {
        report.case_id = cases.first().map(|case| case.id.clone());
    }
    show(
        global,
        &report,
        exit,
        (&cases, &closed),
        (api_ok, database_ok),
    )?;
    Ok((exit, Some(report)))
}

/// Says in the cases that their retry failed, and why: they are to be resolved.
fn send_back(
    plan: &Plan,
    local_cases: &LocalCaseStore,
    cases: &[Case],
    why: &anyhow::Error,
) -> Result<()> {
    let database = plan.database()?;
    let mut connection = Connection::open(database, database.connection_timeout).ok();
    let (who, why) = (incident::who(), why.to_string());
    for mut case in open_again(plan, local_cases, connection.as_mut(), cases)? {
        case.retry_failed(&who, &why);
        incident::keep(connection.as_mut(), plan, local_cases, &case)?;
    }
    Ok(())
}

/// The same cases, as they are by now: a run may have added to them.
fn open_again(
    plan: &Plan,
    local_cases: &LocalCaseStore,
    connection: Option<&mut Connection>,
    cases: &[Case],
) -> Result<Vec<Case>> {
    let open = incident::open_cases(connection, plan, local_cases)?;
    let by_now = cases.iter().map(|case| {
        let known = open.iter().find(|open| open.id == case.id);
        known.unwrap_or(case).clone()
    });
    Ok(by_now.collect())
}

/// The open cases, or the one that was asked for: the one with this id, or the only one whose id begins so.
fn chosen(
    plan: &Plan,
    local_cases: &LocalCaseStore,
    connection: Option<&mut Connection>,
    id: Option<&str>,
) -> Result<Vec<Case>> {
    let mut cases = incident::open_cases(connection, plan, local_cases)?;
    let Some(id) = id else { return Ok(cases) };
    if cases.iter().any(|case| case.id == id) {
        cases.retain(|case| case.id == id);
    } else {
        cases.retain(|case| case.id.starts_with(id));
    }
    let wrong = match cases.len() {
        1 => return Ok(cases),
        0 => format!("there is no open case {id}; `datasync case list` shows those there are"),
        count => format!("{count} open cases begin with {id}; say more of it"),
    };
    Err(Misconfigured(wrong).into())
}

/// Both checks, on the spot.
fn look(plan: &Plan) -> Result<Vec<CheckFound>> {
    let api = api::check(plan.api()?, &plan.mapping, plan.alerts.api_response_time);
    let database = store::check(plan.database()?, &plan.mapping);
    let api = api.iter().map(|check| CheckFound::new(Side::Api, check));
    let database = database
        .checks
        .iter()
        .map(|check| CheckFound::new(Side::Database, check));
    Ok(api.chain(database).collect())
}

fn note_checks(case: &mut Case, found: &[CheckFound]) {
    for (of, step) in [
        (Side::Api, Step::CheckApi),
        (Side::Database, Step::CheckDatabase),
    ] {
        let bad: Vec<&str> = found
            .iter()
            .filter(|check| check.of == of && !check.ok)
            .map(|check| check.detail.as_str())
            .collect();
        if bad.is_empty() {
            case.set(
                step,
                State::Completed,
                "datasync",
                Some("all well".to_owned()),
            );
        } else {
            case.set(step, State::Failed, "datasync", Some(bad.join("; ")));
        }
    }
}

/// What an API that is away is counted as: the cause of the case that waits for it, so that no second one is opened.
fn known_cause(cases: &[Case], plan: &Plan) -> Cause {
    let known = cases
        .iter()
        .find(|case| matches!(case.fingerprint, Cause::Api(_)) && needs_fetch(case, plan));
    known.map_or(Cause::api("check"), |case| case.fingerprint.clone())
}

/// Replaying the spool is enough only where everything had been fetched and the database alone had failed.
fn needs_fetch(case: &Case, plan: &Plan) -> bool {
    let fetched = case
        .evidence
        .ledger
        .first()
        .map_or(0, |(_, fetched)| *fetched);
    let stored_late = matches!(
        case.fingerprint,
        Cause::Database(_)
            | Cause::Api(ApiCause::WriteBack)
            | Cause::Threshold(Threshold::SyncFailureRate)
    );
    // With the strategy `stop` the fetch had ended with the database.
    !stored_late || fetched == 0 || !plan.on_failure.continue_on_database_failure
}

/// What a retry has come to, as far as cases care.
struct Outcome<'a> {
    plan: &'a Plan,
    exit: Exit,
    /// Fingerprints of what went wrong, among others.
    errors: &'a BTreeMap<String, u64>,
    /// The source was read.
    fetched: bool,
    /// Files left in the spool.
    waiting: u64,
}

impl Outcome<'_> {
    /// Whether this case is over. One cause that is still there does not keep the case of another open: the exit code is
    /// the worst of them (1, 6, 4, 3, 5), so what ranks below it has not happened.
    fn has_settled(&self, case: &Case) -> bool {
        if self.exit == Exit::Success {
            return true;
        }
        let database_ok = matches!(self.exit, Exit::Api | Exit::Threshold) && self.waiting == 0;
        let api_ok = self.exit == Exit::Threshold && self.fetched;
        match case.fingerprint {
            Cause::Database(_) => database_ok && (api_ok || !needs_fetch(case, self.plan)),
            Cause::Threshold(_) if !needs_fetch(case, self.plan) => database_ok,
            Cause::Api(_) => api_ok,
            Cause::Threshold(_) | Cause::Brake(_) => {
                api_ok && !self.errors.contains_key(&case.fingerprint.to_string())
            }
            _ => false,
        }
    }
}

fn show(
    global: &Global,
    report: &Report,
    exit: Exit,
    (cases, closed): (&[Case], &[Case]),
    (api_ok, database_ok): (bool, bool),
) -> Result<()> {
    if global.output == Output::Json {
        let mut value = serde_json::to_value(report).context("cannot write the report")?;
        if let Some(object) = value.as_object_mut() {
            let ids: Vec<&str> = cases.iter().map(|case| case.id.as_str()).collect();
            object.insert(
                "retry".into(),
                json!({ "cases": ids, "api_ok": api_ok, "database_ok": database_ok }),
            );
        }
        if !(global.quiet && exit == Exit::Success) {
            super::print(&(value.to_string() + "\n"));
        }
        return Ok(());
    }
    super::sync::show(global, report, exit)?;
    if !(global.quiet && exit == Exit::Success) {
        for case in closed {
            super::print(&format!(
                "Case {} is closed: {}\n",
                case.id, case.fingerprint
            ));
        }
    }
    Ok(())
}
