//! What the outside learns of a `sync` or `retry`, however it ends.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;

use crate::commands::cli::Global;
use crate::config::{Needs, Sources, plan::Plan};
use crate::exit::{self, Exit};
use crate::reporting::alert;
use crate::reporting::metrics::{self, Share};
use crate::reporting::report::{self, Report};

/// Lines of the log that go with the last ping.
const LINES: usize = 20;

/// Runs the work, keeps the metrics and pings the dead man's switch, whatever the work comes to. Of a run whose
/// configuration cannot be read the metrics tell, and that no ping comes.
pub(super) fn watched(
    global: &Global,
    share: Share,
    work: impl FnOnce(&Plan) -> Result<(Exit, Option<Report>)>,
) -> Result<Exit> {
    let started = Instant::now();
    let needs = Needs {
        api: true,
        database: true,
    };
    let plan = match super::load(global, needs) {
        Ok(plan) => plan,
        Err(errors) => {
            let textfile = crate::config::metrics_textfile(&super::sources(global));
            keep(
                textfile.as_deref(),
                Exit::Configuration,
                started,
                share,
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
        share,
        report,
    );
    // Another run is at work and will say how it ends; where there was nothing to do there was no run.
    let silent = exit == Exit::Busy || (exit == Exit::Success && report.is_none());
    if !silent {
        let mut said = crate::support::logging::last_lines(LINES).concat();
        said += &match &result {
            Ok(_) => summary(exit, report),
            Err(error) => format!("exit {}: {error:#}\n", exit.code()),
        };
        alert::ping::end(&plan.notifications, exit, &said);
    }
    result.map(|(exit, _)| exit)
}

/// The command line cannot be parsed. Where it was to be a run, a crontab with a slip of the pen for example, the metrics
/// tell of it.
pub fn mistyped() {
    let words: Vec<_> = std::env::args_os().collect();
    let says = |word: &str| words.iter().any(|said| said == word);
    if (says("sync") || says("retry")) && !says("--dry-run") {
        let textfile = crate::config::metrics_textfile(&Sources::default());
        keep(
            textfile.as_deref(),
            Exit::Configuration,
            Instant::now(),
            Share::AsBefore,
            None,
        );
    }
}

fn summary(exit: Exit, report: Option<&Report>) -> String {
    let counts: Vec<String> = report
        .iter()
        .flat_map(|report| report::rows(&report.ledger))
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    format!(
        "exit {}: {}\n{}\n",
        exit.code(),
        report.map_or(report::meaning(exit), |report| report.meaning(exit)),
        counts.join(", ")
    )
}

/// Metrics that cannot be written change nothing but the log.
fn keep(
    textfile: Option<&Path>,
    exit: Exit,
    started: Instant,
    share: Share,
    report: Option<&Report>,
) {
    let Some(path) = textfile else { return };
    let ended = metrics::Ended {
        exit,
        seconds: started.elapsed().as_secs_f64(),
        share,
        report,
    };
    if let Err(error) = metrics::keep(path, &ended) {
        log::warn!("{error:#}");
    }
}
