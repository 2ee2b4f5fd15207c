//! Figures about fetching, filled in by [`super::Pages`].

use super::end::End;
use crate::support::histogram::Histogram;

/// Figures about fetching so far.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Pages with records.
    pub pages: u64,
    pub records: u64,
    pub requests: u64,
    pub retries: u64,
    /// Retries by cause, as in [`crate::api::ApiError::kind`].
    pub retries_by_kind: Vec<(&'static str, u64)>,
    /// Body bytes over the wire.
    pub bytes: u64,
    /// Every exchange, failed ones included, body included.
    pub response_seconds: Histogram,
    /// Total of records, as the latest page that has one announces it.
    pub announced_total: Option<u64>,
    /// Paging style seen: `page`, `offset`, `cursor`, `link`, `none`; none before the first page.
    pub style: Option<&'static str>,
    /// Whether the source has been read whole, once all fetching has ended.
    pub end: End,
    /// Some page named the next one. A later run then takes a page that names none for the last.
    pub next_was_named: bool,
    /// Lines of `pagination` in mappings.yaml that say what style `auto` has found out.
    pub lines: Vec<String>,
    /// The earliest time, by the API's clock (its Date header), at which the first page was requested; microseconds since the
    /// epoch.
    pub first_asked_at: Option<i64>,
}

impl Stats {
    /// The source has been read whole, and that is proven.
    pub const fn is_complete(&self) -> bool {
        self.end.is_proven()
    }
}
