//! `datasync history`: the last runs, from the log of runs; while the database is away, those whose rows wait on disk.

use anyhow::Result;

use crate::commands::cli::{Global, HistoryArgs, Output};
use crate::config::Needs;
use crate::config::plan::Plan;
use crate::exit::Exit;
use crate::reporting::incident;
use crate::reporting::report::history::{Summary, text};
use crate::reporting::report::past;
use crate::store::{self, Connection, PastRun};

pub(super) fn run(global: &Global, args: &HistoryArgs) -> Result<Exit> {
    let needs = Needs {
        api: false,
        database: true,
    };
    let plan = super::load(global, needs)?;
    if let Some(path) = &args.report {
        super::report::probe(path)?;
    }
    let target = store::log::target(plan.database()?);
    let (mut runs, away) = match past_runs(&plan, args.limit) {
        Ok(runs) => (runs, None),
        Err(error) => (Vec::new(), Some(format!("{error:#}"))),
    };
    for (_, row) in incident::waiting_log_rows(&plan.state_dir)? {
        let waiting = PastRun::waiting(&row.header, &row.end, target.clone());
        // The table may still say that it runs.
        runs.retain(|run| run.run_id != waiting.run_id);
        runs.push(waiting);
    }
    runs.sort_by(|a, b| b.started_at.cmp(&a.started_at));
    runs.truncate(usize::try_from(args.limit).unwrap_or(usize::MAX));
    let exit = if away.is_some() {
        Exit::Database
    } else {
        Exit::Success
    };
    if let Some(path) = &args.report {
        super::report::write(path, &past::page_of(&target, &runs, away.as_deref()));
    }
    if !(global.quiet && exit == Exit::Success) {
        show(global, &target, &runs, away.as_deref());
    }
    Ok(exit)
}

/// The last runs, newest first.
pub(super) fn past_runs(plan: &Plan, count: u64) -> Result<Vec<PastRun>> {
    let database = plan.database()?;
    let mut connection = Connection::open(database, database.connection_timeout)?;
    Ok(store::history::last(&mut connection, database, count)?)
}

fn show(global: &Global, target: &str, runs: &[PastRun], away: Option<&str>) {
    if global.output == Output::Json {
        let value = serde_json::json!({
            "target": target,
            "summary": Summary::of(runs),
            "runs": runs,
            "database_ok": away.is_none(),
        });
        super::print(&(value.to_string() + "\n"));
        return;
    }
    let mut shown = text(target, runs);
    if let Some(error) = away {
        shown += &format!("Only what waits in the state directory is shown: {error}\n");
    }
    super::print(&shown);
}
