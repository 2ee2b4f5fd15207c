//! `--report FILE.html`: collects what the page shows, and writes it.

use std::path::Path;

use anyhow::Result;

use crate::config::plan::Plan;
use crate::exit::{self, Exit, Misconfigured};
use crate::reporting::incident;
use crate::reporting::past_runs::PastRuns;
use crate::reporting::report::input::ReportInput;
use crate::reporting::report::{Report, file, page};
use crate::store;

/// How many past runs the page of a run shows.
const PAST: u64 = 30;

/// Checks before the run begins that the page can be written.
pub(super) fn probe(path: &Path) -> Result<()> {
    file::probe(path).map_err(|error| {
        Misconfigured(format!(
            "the report cannot be written: {error:#}; name another file with --report"
        ))
        .into()
    })
}

/// Writes the page. A failure does not concern the data, so it is only logged.
pub(super) fn write(path: &Path, html: &str) {
    if let Err(error) = file::write(path, html) {
        log::error!("the report could not be written: {error:#}");
    }
}

/// The page of a run, successful or not. `late`: the deadline is over, so the database is not asked for past runs.
pub(super) fn of_run(
    plan: &Plan,
    done: &Result<(Report, Exit)>,
    show_values: bool,
    late: bool,
) -> String {
    let (report, exit, error) = match done {
        Ok((report, exit)) => (Some(report), *exit, None),
        Err(error) => (None, exit::of(error), Some(format!("{error:#}"))),
    };
    // While the database is away, asking it again would only cost a timeout.
    let past = if exit == Exit::Database {
        PastRuns::unknown("the database has just failed")
    } else if late {
        PastRuns::unknown("the deadline is over")
    } else {
        PastRuns::in_database(plan, PAST)
    };
    let target = plan.database.as_ref().map(store::log::target);
    let source = plan.api.as_ref().map(crate::config::plan::Api::shown_base);
    page::of_run(&ReportInput {
        target: target.as_deref().unwrap_or_default(),
        report,
        exit,
        error: error.as_deref(),
        fields: &plan.mapping.fields,
        alert_seconds: plan.alerts.api_response_time.as_secs_f64(),
        past: &past,
        source: source.as_deref().unwrap_or_default(),
        who: &incident::who(),
        config_hash: &plan.config_hash,
        show_values,
    })
}
