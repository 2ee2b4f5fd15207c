//! What is known of a sequence of pages while it is read: how the next page is found, which pages are in flight, and what
//! speaks for the end.

use std::collections::BTreeSet;

use reqwest::Url;

use super::super::client::CallResult;
use super::super::error::ApiError;
use super::super::page_metadata::NextPageSearch;
use super::address::sized;
use super::end::{Evidence, PageStatement, Proof};
use super::loop_detector::{LoopDetector, Noted, Order, Prints};
use super::page::Parsed;
use super::request_body::RequestBody;
use super::unproven::Seen;
use crate::config::plan::{CursorIn, PageStyle, Pagination};

/// How the next page is found.
#[derive(Clone, Debug)]
pub(super) enum PagingMethod {
    /// One page in flight; the page just read named the next.
    Named { next: Option<Url> },
    /// Page or offset numbers.
    Numbered {
        param: String,
        offset: bool,
        /// Number of the page at `index` 0.
        first: u64,
        /// Distance from page to page: 1, or the records a page really has.
        step: u64,
    },
}

/// What is known of the sequence so far.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) method: PagingMethod,
    pub(super) style: Option<&'static str>,
    /// Which values of a page lead to the next one, and the parameter that takes a cursor.
    pub(super) way: NextPageSearch,
    pub(super) cursor_param: String,
    /// The path of the next cursor in the last record, if the cursor is there.
    pub(super) last_record: Option<Vec<String>>,
    /// Index of the next page to give out.
    pub(super) next_index: u64,
    pub(super) in_flight: BTreeSet<u64>,
    /// An answer that was requested before its turn, to find out how the API pages; or the error.
    pub(super) ahead: Option<(Url, CallResult<Parsed>)>,
    pub(super) failed_ahead: Option<ApiError>,
    /// No page at or after this index, by what the API announced.
    pub(super) announced_end: Option<u64>,
    /// No page at or after this index, by a page without records or another sign of the end.
    pub(super) found_end: Option<u64>,
    /// The latest page was shorter than the first, so it is probably the last: ask for one page at a time from here on.
    pub(super) short: bool,
    /// Records a full page has.
    pub(super) full: u64,
    pub(super) finished: bool,
    /// The sequence came to its own end.
    pub(super) ended: bool,
    pub(super) loops: LoopDetector,
    pub(super) order: Order,
    pub(super) evidence: Evidence,
    /// The sign of the end that came first, in the order of pages.
    pub(super) sign: Option<(u64, String)>,
    pub(super) seen: Seen,
    pub(super) pages: u64,
    pub(super) records: u64,
    pub(super) announced_total: Option<u64>,
    /// Index of the page that announced it.
    pub(super) announced_by: u64,
    pub(super) first_asked_at: Option<i64>,
}

impl Default for PagingMethod {
    fn default() -> Self {
        Self::Named { next: None }
    }
}

impl PagingMethod {
    pub(super) fn new(paging: &Pagination, base: &Url, body: &RequestBody) -> Self {
        let numbered = |param: &str, offset: bool| Self::Numbered {
            param: param.to_owned(),
            offset,
            first: paging.first.unwrap_or(u64::from(!offset)),
            step: if offset { u64::from(paging.size) } else { 1 },
        };
        let (page, offset) = (paging.page_param.name(), paging.offset_param.name());
        match (paging.style, page, offset) {
            (PageStyle::Page, Some(param), _) => numbered(param, false),
            (PageStyle::Offset, _, Some(param)) => numbered(param, true),
            (PageStyle::None, ..) => Self::Named {
                next: Some(base.clone()),
            },
            _ => Self::Named {
                next: Some(sized(base, paging, body)),
            },
        }
    }
}

impl State {
    pub(super) fn new(method: PagingMethod, paging: &Pagination) -> Self {
        Self {
            method,
            way: match paging.style {
                PageStyle::Link => NextPageSearch::Link,
                PageStyle::Cursor => NextPageSearch::Cursor,
                _ => NextPageSearch::Any,
            },
            cursor_param: paging.cursor_param.name().unwrap_or("cursor").to_owned(),
            last_record: (paging.cursor_in == CursorIn::LastRecord)
                .then(|| paging.cursor_path.clone())
                .flatten(),
            full: u64::from(paging.size),
            ..Self::default()
        }
    }

    /// Counts a page that is here, and its records.
    pub(super) fn count(&mut self, index: u64, records: u64, announced_total: Option<u64>) {
        self.in_flight.remove(&index);
        self.records += records;
        self.pages += u64::from(records > 0);
        if announced_total.is_some() && index >= self.announced_by {
            self.announced_total = announced_total;
            self.announced_by = index;
        }
        self.loops.count(records);
    }

    /// No page at or after this index has records.
    pub(super) fn end_at(&mut self, index: u64) {
        self.found_end = Some(self.found_end.unwrap_or(u64::MAX).min(index));
    }

    /// Notes what a page shows, once all pages before it have come. True if it repeats the page before it.
    pub(super) fn note(
        &mut self,
        index: u64,
        statement: PageStatement,
        prints: Prints,
        sign: Option<String>,
    ) -> bool {
        let noted = Noted {
            statement,
            prints,
            sign,
        };
        let mut repeats = false;
        for page in self.order.note(index, noted, self.full) {
            if page.repeats {
                repeats |= page.index == index;
                self.end_at(page.index);
                self.evidence.see(Proof::Same);
                self.sign
                    .get_or_insert_with(|| (page.index, "repeats the one before it".to_owned()));
                continue;
            }
            self.evidence.note(page.statement);
            if let Some((at, sign)) = &self.sign
                && page.statement.count > 0
                && page.index > *at
            {
                let (at, number) = (at + 1, page.index + 1);
                self.evidence.contradicted.get_or_insert_with(|| {
                    format!("page {at} {sign}, but page {number} has records")
                });
            }
            if let (None, Some(sign)) = (&self.sign, page.sign) {
                self.sign = Some((page.index, sign));
            }
        }
        repeats
    }
}
