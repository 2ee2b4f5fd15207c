//! `datasync sync`: runs once and prints a report.

use std::time::Instant;

use anyhow::{Context as _, Result};

use super::observability::with_monitoring;
use crate::commands::cli::{Global, Output, SyncArgs};
use crate::config::{Needs, plan::Plan};
use crate::exit::Exit;
use crate::reporting::report::Report;
use crate::reporting::report::proportions::proportions;
use crate::run::{self, Purpose, Request};
use crate::support::progress::Progress;
use crate::support::signals::Signals;
use crate::support::terminal;

pub(super) fn run(global: &Global, args: &SyncArgs) -> Result<Exit> {
    if args.dry_run {
        // A dry run changes nothing and is watched by a person, so it writes no metrics and sends no ping.
        let plan = super::load(global, Needs::BOTH)?;
        return Ok(sync(global, args, &plan)?.0);
    }
    with_monitoring(global, args.shard.into(), |plan| sync(global, args, plan))
}

fn sync(global: &Global, args: &SyncArgs, plan: &Plan) -> Result<(Exit, Option<Report>)> {
    if let Some(path) = &args.page.report {
        super::report::probe(path)?;
    }
    let signals = Signals::listen().context("cannot listen for signals")?;
    let progress =
        Progress::new(!global.quiet && !global.no_color && global.output == Output::Text);
    let request = Request {
        purpose: if args.dry_run {
            Purpose::DryRun
        } else {
            Purpose::Sync
        },
        limit: args.limit,
        deadline: args.deadline,
        wait: args.wait,
        accept_drop: args.accept_drop,
        full: args.full,
        since: args.since,
        shard: args.shard,
        api_down: None,
        cases: Vec::new(),
    };
    let started = Instant::now();
    let done = run::sync(plan, &request, &signals, progress);
    if let Some(path) = &args.page.report {
        let late = args
            .deadline
            .is_some_and(|deadline| started.elapsed() >= deadline);
        let html = super::report::of_run(plan, &done, args.page.show_values, late);
        super::report::write(path, &html);
    }
    let (report, exit) = done?;
    show(global, &report, exit)?;
    Ok((exit, Some(report)))
}

/// Prints a run's report, but nothing with `-q` and exit 0.
pub(super) fn show(global: &Global, report: &Report, exit: Exit) -> Result<()> {
    if global.quiet && exit == Exit::Success {
        return Ok(());
    }
    match global.output {
        Output::Json => super::print(
            &(serde_json::to_string(report).context("cannot write the report")? + "\n"),
        ),
        Output::Text | Output::Github | Output::Junit => {
            let mut text = report.text(exit, global.verbose > 0);
            if let Some(columns) = terminal::columns(std::io::stdout()) {
                let colors = terminal::colors_wanted(global.no_color);
                text += &proportions(&report.ledger, columns, colors).unwrap_or_default();
            }
            super::print(&text);
        }
    }
    Ok(())
}
