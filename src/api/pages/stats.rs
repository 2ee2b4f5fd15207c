//! What fetching took and what it saw. Plain figures: how they come about is for [`super::Pages`] to know.

use super::end::End;
use crate::support::histogram::Histogram;

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
    /// Whether the source has been read whole, once all fetching has ended.
    pub end: End,
    /// A page named the next one: where a later run finds none, that is a sign of the end.
    pub next_was_named: bool,
    /// Lines of `pagination` in mappings.yaml that say what style `auto` has found out.
    pub lines: Vec<String>,
    /// The API's own clock (its Date header) when the first page was asked for, at the earliest; microseconds since the
    /// epoch.
    pub first_asked_at: Option<i64>,
}

impl Stats {
    /// The source has been read whole, and that is proven.
    pub const fn is_complete(&self) -> bool {
        self.end.is_proven()
    }
}
