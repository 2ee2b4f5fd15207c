//! What the page of a run is made of.

use super::Report;
use crate::config::plan::Field;
use crate::exit::Exit;
use crate::reporting::past_runs::PastRuns;

/// Everything that is shown on the page of one run.
#[derive(Debug)]
pub struct ReportInput<'a> {
    /// `schema.table`.
    pub target: &'a str,
    /// None where the run ended before it fetched anything; then `error` says why.
    pub report: Option<&'a Report>,
    /// The exit code.
    pub exit: Exit,
    /// Why there is no report.
    pub error: Option<&'a str>,
    /// The fields that records are mapped by: only they are shown of a rejected one.
    pub fields: &'a [Field],
    /// Answers that take longer raise an alert.
    pub alert_seconds: f64,
    /// The last runs, this one among them.
    pub past: &'a PastRuns,
    /// Address of the API.
    pub source: &'a str,
    /// `user@host`.
    pub who: &'a str,
    /// SHA-256 of the configuration.
    pub config_hash: &'a str,
    /// Show values of customers.
    pub show_values: bool,
}
