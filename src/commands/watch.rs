//! What the outside learns of a `sync` or `retry`, however it ends.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;

use crate::cli::Global;
use crate::config::{Needs, plan::Plan};
use crate::exit::{self, Exit};
use crate::metrics;
use crate::report::Report;

/// Runs the work and keeps the metrics, also when the configuration cannot be read.
pub(super) fn watched(
    global: &Global,
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
            keep(textfile.as_deref(), Exit::Configuration, started, None);
            return Err(errors.into());
        }
    };
    let result = work(&plan);
    let (exit, report) = match &result {
        Ok((exit, report)) => (*exit, report.as_ref()),
        Err(error) => (exit::of(error), None),
    };
    keep(plan.metrics_textfile.as_deref(), exit, started, report);
    result.map(|(exit, _)| exit)
}

/// Metrics that cannot be written change nothing but the log.
fn keep(textfile: Option<&Path>, exit: Exit, started: Instant, report: Option<&Report>) {
    let Some(path) = textfile else { return };
    let ended = metrics::Ended {
        exit,
        seconds: started.elapsed().as_secs_f64(),
        report,
    };
    if let Err(error) = metrics::keep(path, &ended) {
        log::warn!("{error:#}");
    }
}
