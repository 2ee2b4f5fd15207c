//! The input of the page of a run.

use super::Report;
use crate::config::plan::Field;
use crate::exit::Exit;
use crate::reporting::past_runs::PastRuns;

/// Everything that is shown on the page of one run.
#[derive(Debug)]
pub struct ReportInput<'a> {
    /// `schema.table`.
    pub target: &'a str,
    /// None if the run ended before it fetched anything. Then `error` says why.
    pub report: Option<&'a Report>,
    pub exit: Exit,
    /// Why there is no report.
    pub error: Option<&'a str>,
    /// The mapped fields. Only these are shown of a rejected record.
    pub fields: &'a [Field],
    /// The threshold for slow answers of the API, in seconds.
    pub alert_seconds: f64,
    /// The last runs, including this one.
    pub past: &'a PastRuns,
    /// The address of the API.
    pub source: &'a str,
    /// Who ran it, as `user@host`.
    pub who: &'a str,
    /// The SHA-256 of the configuration.
    pub config_hash: &'a str,
    /// True if values of customers are shown.
    pub show_values: bool,
}
