//! What fetching took and what it saw. Plain figures: how they come about is for [`super::Pages`] to know.

use crate::histogram::Histogram;

/// What fetching took and what it saw, so far.
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
    /// Records in all, by the latest page that said so.
    pub announced_total: Option<u64>,
    /// Paging style seen: `page`, `offset`, `cursor`, `link`, `none`; none before the first page.
    pub style: Option<&'static str>,
    /// The sequence came to the API's own end: not to `limit`, an error or a stop.
    pub complete: bool,
    /// The API's own clock (its Date header) when the first page was asked for, at the earliest; microseconds since the
    /// epoch.
    pub first_asked_at: Option<i64>,
    /// The announced total fell while pages were read, from and to: the rows behind moved up, and one may have slipped
    /// through between two pages.
    pub fell: Option<(u64, u64)>,
    /// Remarks for the log, for example that there may be more than one page.
    pub warnings: Vec<String>,
}

impl Stats {
    /// Announced and received, where a complete sequence brought another number than announced.
    pub fn mismatch(&self) -> Option<(u64, u64)> {
        self.announced_total
            .filter(|total| self.complete && *total != self.records)
            .map(|total| (total, self.records))
    }
}
