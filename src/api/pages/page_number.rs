//! Styles `page` and `offset`. Several pages are in flight. The end is announced by the API, or found by a page without
//! records.

use reqwest::Url;

use super::super::client::{CallResult, Client};
use super::super::error::{ApiError, Kind, printable};
use super::super::page_metadata::{Continuation, NextPageSearch, PageMetadata};
use super::end::Proof;
use super::loop_detector::MAX_EMPTY_IN_A_ROW;
use super::page::Parsed;
use super::{Pages, PagingMethod, State};
use crate::config::plan::PageStyle;

/// What comes right after the last record of a short page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AfterShortPage {
    Nothing,
    /// Records that would be skipped, since the next page begins a whole step further.
    Records,
    Unknown,
}

impl State {
    /// Notes after the first page how large pages are, and how many there will be.
    pub(super) fn expect(&mut self, metadata: &PageMetadata<'_>, count: u64) {
        let PagingMethod::Numbered { offset, step, .. } = &mut self.method else {
            return;
        };
        // A server may give fewer or more records than requested: the first page shows the real size.
        if count > 0 && count != self.full {
            self.short = count < self.full;
            self.full = count;
            if *offset {
                *step = count;
            }
        }
        let total = metadata.total().map(|total| total.value);
        let pages = metadata.total_pages().map(|pages| pages.value);
        let is_larger_than_this_page =
            |total: &u64| *total > count || metadata.size().is_some_and(|size| size.value > count);
        // A total that is no greater than this page may count this page alone.
        self.announced_end = pages
            .or_else(|| Some(total.filter(is_larger_than_this_page)?.div_ceil(self.full)))
            .map(|pages| pages.max(1))
            .filter(|_| count > 0 || pages.is_some() || total == Some(0));
        if count == 0 && self.announced_end.is_none_or(|end| end <= 1) {
            self.found_end = Some(0);
            self.evidence.see(Proof::Empty);
        }
    }

    /// Does the page say that it is the last? An announced number of pages or records is preferred to such a flag.
    pub(super) fn says_last(&mut self, metadata: &PageMetadata<'_>) -> bool {
        if !matches!(self.method, PagingMethod::Numbered { .. }) {
            return false;
        }
        let next = metadata.next(NextPageSearch::Any);
        // An empty next link counts only if an earlier page had one: otherwise its key may mean something else.
        let is_named_no_more = next == Continuation::Ended && self.seen.next_was_named;
        self.seen.next_was_named |= matches!(next, Continuation::Next(_));
        (metadata.has_more() == Some(false) || is_named_no_more) && self.announced_end.is_none()
    }

    /// Decides whether there is more after this page.
    pub(super) fn number(
        &mut self,
        index: u64,
        count: u64,
        metadata: &PageMetadata<'_>,
        (is_last, repeats): (bool, bool),
    ) -> Result<(), ApiError> {
        if index > 0 {
            let pages = metadata.total_pages().map(|pages| pages.value).or_else(|| {
                let total = metadata.total()?.value;
                Some(total.div_ceil(self.full))
            });
            if let (Some(end), Some(pages)) = (self.announced_end, pages) {
                // Rows were inserted meanwhile.
                self.announced_end = Some(end.max(pages));
            }
            self.short = count < self.full;
            self.full = self.full.max(count);
        }
        if is_last {
            self.evidence.see(Proof::Marked);
            self.end_at(index + 1);
        }
        if self.loops.is_idle() {
            return Err(ApiError::new(
                Kind::Loop,
                format!(
                    "{MAX_EMPTY_IN_A_ROW} pages in a row are empty, although more were announced"
                ),
                "the number of pages the API announces is wrong; report it to its operator",
            ));
        }
        if repeats && self.announced_end.is_some_and(|end| index < end) {
            return Err(not_understood(self));
        }
        Ok(())
    }

    /// The number in the address of the page at an index.
    pub(super) const fn number_of(first: u64, step: u64, index: u64) -> u64 {
        first.saturating_add(index.saturating_mul(step))
    }
}

impl Pages {
    /// With style offset, a page that is shorter than others may be cut by a limit of the server, may be the last, or may
    /// lack records. A request for what comes right after its last record shows which. An announced total decides instead.
    pub(super) fn look_behind_short_page(
        &self,
        client: &Client,
        index: u64,
        done: &CallResult<Parsed>,
    ) -> AfterShortPage {
        let count = done.value.count();
        let (behind, further) = {
            let state = self.lock();
            match &state.method {
                PagingMethod::Numbered {
                    param,
                    offset: true,
                    first,
                    step,
                } if index > 0
                    && count > 0
                    && count < *step
                    && state.announced_end.is_none()
                    && state.found_end.is_none_or(|end| index < end) =>
                {
                    let number = State::number_of(*first, *step, index);
                    (
                        self.with(param, &(number + count).to_string()),
                        self.with(param, &(number + step).to_string()),
                    )
                }
                _ => return AfterShortPage::Unknown,
            }
        };
        let ask = |url: &Url| self.ask(client, url, index + 1, |_| {});
        match ask(&behind) {
            Ok(next) if next.value.records.is_empty() => AfterShortPage::Nothing,
            // These are not the records of the next page, which would skip them.
            Ok(next)
                if next.value.prints.shared(&done.value.prints) == 0
                    && ask(&further)
                        .is_ok_and(|page| page.value.prints.first != next.value.prints.first) =>
            {
                AfterShortPage::Records
            }
            _ => AfterShortPage::Unknown,
        }
    }

    /// Page 2 repeats page 1: either the API has no more pages and repeats its last one, or it does not know the parameter. A
    /// request for the second record alone shows which: only an API that knows the parameter answers that record.
    pub(super) fn check_that_numbers_are_understood(
        &self,
        client: &Client,
        done: &CallResult<Parsed>,
    ) -> Result<(), ApiError> {
        if self.paging.style == PageStyle::Auto {
            // Style `auto` has tried the second page already.
            return Ok(());
        }
        let (param, number, second) = {
            let mut state = self.lock();
            let PagingMethod::Numbered { param, first, .. } = &state.method else {
                return Ok(());
            };
            let (param, number) = (param.clone(), first + 1);
            let previous = state.order.previous();
            if !done.value.prints.repeats(previous) || previous.len() == 1 {
                return Ok(());
            }
            let second = previous
                .second
                .filter(|second| Some(*second) != previous.first);
            // Other threads need not ask for more meanwhile.
            state.found_end = Some(1);
            (
                param,
                number,
                second.filter(|_| state.announced_end.is_none()),
            )
        };
        let understood = match (self.paging.size_param.name(), second) {
            (Some(size), Some(second)) => {
                let mut url = self.base.clone();
                self.body.set(&mut url, &param, &number.to_string());
                self.body.set(&mut url, size, "1");
                let answer = self.ask(client, &url, 1, |_| {});
                answer.is_ok_and(|answer| answer.value.prints.first == Some(second))
            }
            _ => false,
        };
        if understood {
            return Ok(());
        }
        self.give_up(1);
        Err(not_understood(&self.lock()).on_page(2).after(done.tries))
    }
}

fn not_understood(state: &State) -> ApiError {
    let (param, key) = match &state.method {
        PagingMethod::Numbered { param, offset, .. } => (
            param.as_str(),
            if *offset {
                "offset_param"
            } else {
                "page_param"
            },
        ),
        PagingMethod::Named { .. } => ("page", "page_param"),
    };
    ApiError::new(
        Kind::Loop,
        "the page has the same content as the one before it",
        format!(
            "does the API know the parameter `{}`? Set pagination.{key} in mappings.yaml, or `style: none` where the API does not page",
            printable(param, 40)
        ),
    )
}
