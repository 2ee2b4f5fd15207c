//! `datasync history`: the last runs, from the log of runs, or while the database is away from the rows that wait on disk.

use anyhow::Result;

use crate::commands::cli::{Global, HistoryArgs, Output};
use crate::config::Needs;
use crate::exit::Exit;
use crate::reporting::past_runs::PastRuns;
use crate::reporting::report::history::{Summary, text};
use crate::reporting::report::past;
use crate::store;

pub(super) fn run(global: &Global, args: &HistoryArgs) -> Result<Exit> {
    let plan = super::load(global, Needs::DATABASE)?;
    if let Some(path) = &args.report {
        super::report::probe(path)?;
    }
    let target = store::log::target(plan.database()?);
    let past = PastRuns::everywhere(&plan, args.limit)?;
    let exit = if past.missing_because.is_some() {
        Exit::Database
    } else {
        Exit::Success
    };
    if let Some(path) = &args.report {
        super::report::write(path, &past::page_of(&target, &past));
    }
    if !(global.quiet && exit == Exit::Success) {
        show(global, &target, &past);
    }
    Ok(exit)
}

fn show(global: &Global, target: &str, past: &PastRuns) {
    if global.output == Output::Json {
        let value = serde_json::json!({
            "target": target,
            "summary": Summary::of(&past.runs),
            "runs": past.runs,
            "database_ok": past.missing_because.is_none(),
        });
        super::print(&(value.to_string() + "\n"));
        return;
    }
    let mut shown = text(target, &past.runs);
    if let Some(why) = &past.missing_because {
        shown += &format!("Only what waits in the state directory is shown: {why}\n");
    }
    super::print(&shown);
}
