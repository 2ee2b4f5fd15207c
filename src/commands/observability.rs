//! Metrics and pings of a `sync` or `retry`, whether it succeeds or fails.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;

use crate::commands::cli::Global;
use crate::config::{Needs, Sources, plan::Plan};
use crate::exit::{self, Exit};
use crate::reporting::alert;
use crate::reporting::metrics::{self, Coverage};
use crate::reporting::report::{self, Report};

/// How many lines of the log the last ping carries.
const LINES: usize = 20;

/// Runs the work, then writes metrics and pings the dead man's switch, also after a failure, if the address is known.
pub(super) fn with_monitoring(
    global: &Global,
    coverage: Coverage,
    work: impl FnOnce(&Plan) -> Result<(Exit, Option<Report>)>,
) -> Result<Exit> {
    let started = Instant::now();
    let plan = match super::load(global, Needs::BOTH) {
        Ok(plan) => plan,
        Err(errors) => {
            let textfile = crate::config::metrics_textfile(&super::sources(global));
            keep(
                textfile.as_deref(),
                Exit::Configuration,
                started,
                coverage,
                None,
            );
            return Err(errors.into());
        }
    };
    let result = work(&plan);
    let (exit, report) = match &result {
        Ok((exit, report)) => (*exit, report.as_ref()),
        Err(error) => (exit::of(error), None),
    };
    keep(
        plan.metrics_textfile.as_deref(),
        exit,
        started,
        coverage,
        report,
    );
    // If another run is at work, that run pings. If a retry had nothing to do, there was no run.
    let no_ping = exit == Exit::Busy || (exit == Exit::Success && report.is_none());
    if !no_ping {
        let mut text = crate::support::logging::last_lines(LINES).concat();
        text += &match &result {
            Ok(_) => summary(exit, report),
            Err(error) => format!("exit {}: {error:#}\n", exit.code()),
        };
        alert::ping::end(&plan.notifications, exit, &text);
    }
    result.map(|(exit, _)| exit)
}

/// Writes the metrics for a command line that cannot be parsed, for example because of a typing error in a crontab.
pub fn keep_usage_error() {
    let words: Vec<_> = std::env::args_os().collect();
    let has = |word: &str| words.iter().any(|typed| typed == word);
    if (has("sync") || has("retry")) && !has("--dry-run") {
        let textfile = crate::config::metrics_textfile(&Sources::default());
        keep(
            textfile.as_deref(),
            Exit::Configuration,
            Instant::now(),
            Coverage::AsBefore,
            None,
        );
    }
}

fn summary(exit: Exit, report: Option<&Report>) -> String {
    let counts: Vec<String> = report
        .iter()
        .flat_map(|report| report.ledger.counts())
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    format!(
        "exit {}: {}\n{}\n",
        exit.code(),
        report.map_or(report::meaning(exit), |report| report.meaning(exit)),
        counts.join(", ")
    )
}

/// Writes the metrics. A failure is only a warning, and the exit code stays the same.
fn keep(
    textfile: Option<&Path>,
    exit: Exit,
    started: Instant,
    coverage: Coverage,
    report: Option<&Report>,
) {
    let Some(path) = textfile else { return };
    let ended = metrics::FinishedRun {
        exit,
        seconds: started.elapsed().as_secs_f64(),
        coverage,
        report,
    };
    if let Err(error) = metrics::keep(path, &ended) {
        log::warn!("{error:#}");
    }
}
