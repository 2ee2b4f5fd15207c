//! `datasync retry`: runs the checks, replays the spool, repeats what failed, and closes the case.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use serde_json::json;

use super::observability::with_monitoring;
use crate::api;
use crate::commands::cli::{Global, Output, RetryArgs};
use crate::config::plan::Plan;
use crate::exit::{Exit, Misconfigured};
use crate::model::cause::Cause;
use crate::reporting::case::{Case, CheckFound, LocalCaseStore, Side, State, Step};
use crate::reporting::incident;
use crate::reporting::metrics::Coverage;
use crate::reporting::report::Report;
use crate::run::{self, Purpose, Request, needs_fetch, source_key};
use crate::spool::Spool;
use crate::store::{self, Connection, StoreError};
use crate::support::detached;
use crate::support::progress::Progress;
use crate::support::signals::Signals;

pub(super) fn run(global: &Global, args: &RetryArgs) -> Result<Exit> {
    with_monitoring(global, Coverage::AsBefore, |plan| retry(global, args, plan))
}

fn retry(global: &Global, args: &RetryArgs, plan: &Plan) -> Result<(Exit, Option<Report>)> {
    let signals = Signals::listen().context("cannot listen for signals")?;
    let database = plan.database()?;
    let opened = Connection::open_unless(&signals.stop, database, database.connection_timeout);
    let (mut connection, away) = match opened {
        Ok(mut connection) => {
            connection.give_up_on(Arc::clone(&signals.stop));
            (Some(connection), None)
        }
        Err(error) => (None, Some(error)),
    };
    let (cases, doubt) = chosen(plan, connection.as_mut(), args.case.as_deref())?;
    if let Some(asked) = signals.asked() {
        return Ok((asked.into(), None));
    }
    let away = away.or(doubt);
    if cases.is_empty() && !args.rejected && !anything_waits(plan, connection.as_mut())? {
        if let Some(error) = away {
            // Without the database, cases and rejections are unknown, which must not be reported as "nothing to do".
            return Err(anyhow::Error::new(error)
                .context("nothing waits on disk, but the database cannot be asked for its cases"));
        }
        say_nothing_to_do(global);
        return Ok((Exit::Success, None));
    }
    let found = Sides::look(plan, &signals)?;
    if let Some(asked) = signals.asked() {
        return Ok((asked.into(), None));
    }
    let found = found.context("the checks ended without a result; please report this")?;
    begin_retry(
        plan,
        connection.as_mut(),
        args.note.as_deref(),
        &cases,
        &found,
    )?;
    drop(connection);

    let request = request(plan, args, cases, &found);
    let progress =
        Progress::new(!global.quiet && !global.no_color && global.output == Output::Text);
    match run::sync(plan, &request, &signals, progress) {
        Ok((report, exit)) => {
            show(global, &report, exit, &request.cases, &found)?;
            Ok((exit, Some(report)))
        }
        Err(error) => {
            // The run did not begin: another run is at work, or the tables do not fit.
            if let Err(failed) = return_to_resolve(plan, &request.cases, &error) {
                log::warn!("the cases still say that they are being retried: {failed:#}");
            }
            Err(error)
        }
    }
}

/// True if the spool holds batches or the outbox holds messages. A killed run leaves them behind without a case.
fn anything_waits(plan: &Plan, connection: Option<&mut Connection>) -> Result<bool> {
    let mut spool = Spool::open(&plan.state_dir, plan.spool_max_bytes)
        .map_err(|error| Misconfigured(error.to_string()))?;
    spool.restrict_to(&source_key(plan.api()?));
    if !spool.files()?.is_empty() {
        return Ok(true);
    }
    let database = plan.database()?;
    Ok(match connection {
        Some(connection) if !database.write_back.is_empty() => {
            store::outbox::extent(connection, database, None)
                .is_ok_and(|(messages, _)| messages > 0)
        }
        _ => false,
    })
}

fn say_nothing_to_do(global: &Global) {
    if !global.quiet {
        super::print(match global.output {
            Output::Json => "{\"status\":\"success\",\"nothing_to_do\":true,\"exit_code\":0}\n",
            _ => "Nothing to do: no case is open and the spool is empty.\n",
        });
    }
}

/// Notes the results of the checks in the cases, and that a retry begins.
fn begin_retry(
    plan: &Plan,
    mut connection: Option<&mut Connection>,
    note: Option<&str>,
    cases: &[Case],
    found: &Sides,
) -> Result<()> {
    let (local_cases, who) = (LocalCaseStore::new(&plan.state_dir), incident::who());
    for case in cases {
        let mut case = case.clone();
        if let Some(note) = note {
            case.add_note(&who, note);
        }
        note_checks(&mut case, found);
        case.set(Step::Retry, State::Active, &who, None);
        incident::keep(connection.as_deref_mut(), plan, &local_cases, &case)?;
    }
    Ok(())
}

/// The request for a run that retries these cases.
fn request(plan: &Plan, args: &RetryArgs, cases: Vec<Case>, found: &Sides) -> Request {
    let mut unread = cases
        .iter()
        .filter(|case| needs_fetch(case, plan))
        .peekable();
    let fetch = unread.peek().is_some();
    let full = unread.any(|case| case.evidence.full);
    let api_failed = found.failed(Side::Api);
    let api_down = api_failed.filter(|_| fetch).map(|check| {
        (
            known_cause(&cases, plan),
            format!("the API is not well yet: {}", check.detail),
        )
    });
    Request {
        purpose: Purpose::Retry {
            // The spool can be replayed even while the API is away.
            fetch: fetch && api_failed.is_none(),
            rejected: args.rejected,
        },
        api_down,
        full,
        cases,
        ..Request::default()
    }
}

/// Notes in the cases that their retry failed, and why, and returns them to the step "resolve".
fn return_to_resolve(plan: &Plan, cases: &[Case], why: &anyhow::Error) -> Result<()> {
    let database = plan.database()?;
    let local_cases = LocalCaseStore::new(&plan.state_dir);
    let mut connection = Connection::open(database, database.connection_timeout).ok();
    let (who, why) = (incident::who(), why.to_string());
    let open = incident::open_cases(connection.as_mut(), plan, &local_cases)?;
    for case in cases {
        // The case is read again, since the run may have added to it.
        let by_now = open.iter().find(|open| open.id == case.id);
        let mut case = by_now.unwrap_or(case).clone();
        case.retry_failed(&who, &why);
        incident::keep(connection.as_mut(), plan, &local_cases, &case)?;
    }
    Ok(())
}

/// The open cases, or the one requested by its id or the beginning of it. The second value says why the cases of the
/// database are unknown, if they are.
fn chosen(
    plan: &Plan,
    connection: Option<&mut Connection>,
    id: Option<&str>,
) -> Result<(Vec<Case>, Option<StoreError>)> {
    let local_cases = LocalCaseStore::new(&plan.state_dir);
    let (mut cases, doubt) = incident::open_cases_and_error(connection, plan, &local_cases)?;
    let Some(id) = id else {
        // Other tables may store their cases in the same place.
        let target = store::log::target(plan.database()?);
        cases.retain(|case| case.concerns(&target));
        return Ok((cases, doubt));
    };
    if cases.iter().any(|case| case.id == id) {
        cases.retain(|case| case.id == id);
    } else {
        cases.retain(|case| case.id.starts_with(id));
    }
    let wrong = match (cases.len(), doubt) {
        (1, doubt) => return Ok((cases, doubt)),
        (0, Some(error)) => return Err(error.into()),
        (0, None) => {
            format!("there is no open case {id}; `datasync case list` shows those there are")
        }
        (count, _) => format!("{count} open cases begin with {id}; type more of the id"),
    };
    Err(Misconfigured(wrong).into())
}

/// What the checks of both sides have found.
struct Sides(Vec<CheckFound>);

impl Sides {
    /// Runs both checks. None: the program was asked to end meanwhile.
    fn look(plan: &Plan, signals: &Signals) -> Result<Option<Self>> {
        let (api, database) = (plan.api()?.clone(), plan.database()?.clone());
        let (mapping, alert) = (plan.mapping.clone(), plan.alerts.api_response_time);
        let found = detached::run_unless(&signals.stop, move || {
            let api = api::check(&api, &mapping, alert, api::Reader::Anyone);
            let database = store::check(&database, &mapping).checks;
            let api = api.iter().map(|check| CheckFound::new(Side::Api, check));
            let database = database.iter();
            let database = database.map(|check| CheckFound::new(Side::Database, check));
            api.chain(database).collect()
        });
        Ok(found.map(Self))
    }

    /// The first failed check of one side.
    fn failed(&self, side: Side) -> Option<&CheckFound> {
        self.0.iter().find(|check| !check.ok && check.of == side)
    }
}

fn note_checks(case: &mut Case, found: &Sides) {
    for (of, step) in [
        (Side::Api, Step::CheckApi),
        (Side::Database, Step::CheckDatabase),
    ] {
        let bad: Vec<&str> = found
            .0
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

/// The cause under which an API that is away is reported: that of a case that waits for it, so that no second case opens.
fn known_cause(cases: &[Case], plan: &Plan) -> Cause {
    let known = cases
        .iter()
        .find(|case| matches!(case.fingerprint, Cause::Api(_)) && needs_fetch(case, plan));
    known.map_or(Cause::api("check"), |case| case.fingerprint.clone())
}

fn show(global: &Global, report: &Report, exit: Exit, cases: &[Case], found: &Sides) -> Result<()> {
    if global.output == Output::Json {
        let mut value = serde_json::to_value(report).context("cannot write the report")?;
        if let Some(object) = value.as_object_mut() {
            let ids: Vec<&str> = cases.iter().map(|case| case.id.as_str()).collect();
            object.insert(
                "retry".into(),
                json!({
                    "cases": ids,
                    "api_ok": found.failed(Side::Api).is_none(),
                    "database_ok": found.failed(Side::Database).is_none(),
                }),
            );
        }
        if !(global.quiet && exit == Exit::Success) {
            super::print(&(value.to_string() + "\n"));
        }
        return Ok(());
    }
    super::sync::show(global, report, exit)?;
    if !(global.quiet && exit == Exit::Success) {
        for (id, cause) in &report.closed_cases {
            super::print(&format!("Case {id} is closed: {cause}\n"));
        }
    }
    Ok(())
}
