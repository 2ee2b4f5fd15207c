//! The cases that a retry was started for: each is closed if its cause is over, and else returns to the step "resolve".

use super::Run;
use super::request::Inputs;
use crate::config::plan::Plan;
use crate::exit::Exit;
use crate::model::cause::{ApiCause, Cause, Threshold};
use crate::pipeline::Flow;
use crate::reporting::case::{Case, Closing, LocalCaseStore};
use crate::reporting::incident;
use crate::reporting::report::Report;

/// True if a retry has to fetch. Replaying the spool suffices only where all was fetched and only the database failed.
pub fn needs_fetch(case: &Case, plan: &Plan) -> bool {
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
    // With `on_failure: stop` the failed run stopped fetching as well.
    !stored_late || fetched == 0 || !plan.on_failure.continue_on_database_failure
}

impl Run<'_> {
    /// Closes the cases of a retry, or returns them to the step "resolve".
    pub(super) fn settle_cases(&mut self, flow: &Flow, complete: bool) {
        let cases = &self.inputs.request.cases;
        if cases.is_empty() {
            return;
        }
        let report = self.report(flow, complete);
        let exit = self.conclude(flow).exit;
        self.session.set_limit(self.time_to_close());
        // The cases are read again, since the run may have added to them.
        let open = self.open_cases();
        for case in cases {
            let by_now = open.iter().find(|open| open.id == case.id);
            let case = by_now.unwrap_or(case).clone();
            let id = case.id.clone();
            if let Err(error) = self.settle_case(case, &report, exit) {
                self.outcome
                    .not_kept(format!("case {id} could not be kept: {error:#}"));
            }
        }
        self.outcome.cases.open = self.open_cases().len() as u64;
        if exit != Exit::Success && self.outcome.cases.id.is_none() {
            self.outcome.cases.id = cases.first().map(|case| case.id.clone());
        }
    }

    fn open_cases(&mut self) -> Vec<Case> {
        let plan = self.inputs.plan;
        let local_cases = LocalCaseStore::new(&plan.state_dir);
        let connection = self.session.connection.as_mut();
        incident::open_cases(connection, plan, &local_cases).unwrap_or_else(|error| {
            self.outcome
                .not_kept(format!("the open cases could not be read: {error:#}"));
            Vec::new()
        })
    }

    fn settle_case(&mut self, mut case: Case, report: &Report, exit: Exit) -> anyhow::Result<()> {
        let Inputs { plan, id, .. } = self.inputs;
        let local_cases = LocalCaseStore::new(&plan.state_dir);
        let who = incident::who();
        if self.has_settled(&case, report, exit) {
            let why = format!("run {id} succeeded in it");
            case.close(Closing::Resolved, &who, &why);
        } else {
            let why = report.problems.first().or(report.alerts.first()).cloned();
            case.retry_failed(
                &who,
                &why.unwrap_or_else(|| format!("exit {}", exit.code())),
            );
        }
        let connection = self.session.connection.as_mut();
        incident::keep(connection, plan, &local_cases, &case)?;
        if !case.is_open() {
            let closed = (case.id.clone(), case.fingerprint.clone());
            self.outcome.cases.closed.push(closed);
            let run_id = id.to_string();
            let limit = Some(self.time_to_close());
            let connection = self.session.connection.as_mut();
            incident::send_alerts(plan, &run_id, connection, &local_cases, vec![case], limit);
        }
        Ok(())
    }

    /// True if this case is over. A cause that persists does not keep the case of another one open: the exit code is that of
    /// the most severe failure (in the order 1, 6, 4, 3, 5), so no failure before it in that order has happened.
    fn has_settled(&self, case: &Case, report: &Report, exit: Exit) -> bool {
        if exit == Exit::Success {
            return true;
        }
        let plan = self.inputs.plan;
        let database_ok = matches!(exit, Exit::Api | Exit::Threshold) && report.spool.files == 0;
        let api_ok = exit == Exit::Threshold && self.source.fetched;
        match case.fingerprint {
            Cause::Database(_) => database_ok && (api_ok || !needs_fetch(case, plan)),
            Cause::Threshold(_) if !needs_fetch(case, plan) => database_ok,
            Cause::Api(_) => api_ok,
            Cause::Threshold(_) | Cause::Brake(_) => {
                let known = case.fingerprint.to_string();
                api_ok && !report.errors_by_type.contains_key(&known)
            }
            _ => false,
        }
    }
}
