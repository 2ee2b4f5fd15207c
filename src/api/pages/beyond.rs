//! Decides whether a page without records, or one that the API refuses, lies beyond the end of the source. Such a page is
//! asked for again, and is not taken for the end while a page after it may have records.

use super::super::client::{CallResult, Client};
use super::super::error::ApiError;
use super::super::page_metadata::{Continuation, NextPageSearch};
use super::end::{PageStatement, Proof};
use super::loop_detector::Prints;
use super::page::{NoRecords, Page, Parsed, empty_page};
use super::{Pages, PagingMethod, State};
use reqwest::Url;

/// Statuses by which an API may refuse a page that does not exist.
const REFUSALS: [u16; 4] = [400, 404, 416, 422];

/// What a page has turned out to be.
pub(super) enum Found {
    /// It exists, even if only the second request gave it.
    Page(Box<CallResult<Parsed>>),
    /// It lies beyond the end, and is delivered without records.
    Nothing(Page),
}

/// What is expected of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// No records: the end was found before it.
    Nothing,
    /// Records: the API announced that the page exists.
    Records,
    /// Either is possible.
    Either,
}

/// What is known when all pages before this one have come.
struct PagesBefore {
    expected: Expected,
    /// The page before it was full, so this may well be a page in the middle.
    is_after_full: bool,
    /// Pages larger than the one before it have been seen.
    is_after_short: bool,
    /// A page after this one has records.
    has_records_later: bool,
}

impl Pages {
    /// Handles a page that came without records.
    pub(super) fn without_records(
        &self,
        client: &Client,
        index: u64,
        url: &Url,
        done: CallResult<Parsed>,
    ) -> Result<Found, ApiError> {
        let is_array = done.value.no_records != Some(NoRecords::NoArray);
        if !self.is_numbered() {
            // An empty array is believed if the page also says how it goes on, or that it does not. Anything else is asked
            // for again.
            if is_array && self.says_how_it_goes_on(&done.value) {
                return Ok(Found::Page(Box::new(done)));
            }
            return self
                .ask(client, url, index, |_| {})
                .map(|done| Found::Page(Box::new(done)))
                .inspect_err(|_| self.give_up(index));
        }
        let before = self.wait_for_pages_before(index);
        if before.expected == Expected::Nothing {
            return Ok(Found::Nothing(self.end_at(index, done.tries, None, |_| {})));
        }
        let confirm = !is_array
            || before.expected == Expected::Records
            || before.is_after_full
            || !before.is_after_short
            || before.has_records_later;
        let mut done = done;
        if confirm {
            done = self
                .ask(client, url, index, |_| {})
                .inspect_err(|_| self.give_up(index))?;
            if !done.value.records.is_empty() {
                return Ok(Found::Page(Box::new(done)));
            }
        }
        if before.expected == Expected::Records {
            return Ok(Found::Page(Box::new(done)));
        }
        let page = self.end_at(index, done.tries, Some("was empty"), |state| {
            state.evidence.see(Proof::Empty);
        });
        Ok(Found::Nothing(page))
    }

    fn says_how_it_goes_on(&self, parsed: &Parsed) -> bool {
        let metadata = self.metadata(parsed);
        metadata.has_more().is_some() || metadata.next(NextPageSearch::Any) != Continuation::Absent
    }

    /// Handles a page that the API answered with an error.
    pub(super) fn beyond_the_end(
        &self,
        client: &Client,
        index: u64,
        url: &Url,
        error: ApiError,
    ) -> Result<Found, ApiError> {
        let is_guess = self.is_numbered() || self.lock().last_record.is_some();
        if index == 0 || !is_guess {
            return Err(error);
        }
        let before = self.wait_for_pages_before(index);
        if before.expected == Expected::Nothing {
            let page = self.end_at(index, error.tries(), None, |_| {});
            return Ok(Found::Nothing(page));
        }
        let Some(status) = error.status() else {
            return Err(error);
        };
        let is_end = self.paging.end_status.contains(&status);
        if !is_end && !REFUSALS.contains(&status) {
            return Err(error);
        }
        let again = match self.ask(client, url, index, |_| {}) {
            Ok(done) if !done.value.records.is_empty() || before.expected == Expected::Records => {
                return Ok(Found::Page(Box::new(done)));
            }
            Ok(_) => None,
            Err(again) => Some(again),
        };
        if let Some(again) = again
            && (again.status() != Some(status) || before.expected == Expected::Records)
        {
            return Err(again);
        }
        if before.has_records_later || (before.is_after_full && self.has_records(client, index + 1))
        {
            return Err(error.noting(&format!("twice, although page {} has records", index + 2)));
        }
        if is_end {
            let page = self.end_at(index, error.tries(), Some("was refused"), |state| {
                state.evidence.see(Proof::Empty);
            });
            return Ok(Found::Nothing(page));
        }
        // Only with numbered pages is their size known.
        if before.is_after_short && self.is_numbered() {
            let page = self.end_at(index, error.tries(), Some("was refused"), |state| {
                state.evidence.see(Proof::Short);
            });
            return Ok(Found::Nothing(page));
        }
        Err(error.advising(&format!(
            "if that is how this API says that there is no such page, write `end_status: [{status}]` under pagination in mappings.yaml"
        )))
    }

    fn is_numbered(&self) -> bool {
        matches!(self.lock().method, PagingMethod::Numbered { .. })
    }

    fn wait_for_pages_before(&self, index: u64) -> PagesBefore {
        let mut state = self.lock();
        while state.in_flight.first().is_some_and(|first| *first < index) && !state.finished {
            state = self.wait(state);
        }
        let last = state.order.last_count;
        PagesBefore {
            expected: if state.found_end.is_some_and(|end| index >= end) {
                Expected::Nothing
            } else if state.announced_end.is_some_and(|end| index < end) {
                Expected::Records
            } else {
                Expected::Either
            },
            // A first page is full unless it is shorter than what was requested.
            is_after_full: last >= state.full && !(index == 1 && state.short),
            is_after_short: last < state.full || state.evidence.states_larger(last),
            has_records_later: state.order.has_records_later(),
        }
    }

    /// Does the page at this index have records?
    fn has_records(&self, client: &Client, index: u64) -> bool {
        let url = {
            let state = self.lock();
            match &state.method {
                PagingMethod::Numbered {
                    param, first, step, ..
                } => self.with(param, &State::number_of(*first, *step, index).to_string()),
                PagingMethod::Named { .. } => return false,
            }
        };
        self.ask(client, &url, index, |_| {})
            .is_ok_and(|done| !done.value.records.is_empty())
    }

    /// Ends the sequence at this page, which is delivered without records.
    fn end_at(
        &self,
        index: u64,
        tries: u32,
        sign: Option<&str>,
        proven: impl FnOnce(&mut State),
    ) -> Page {
        let mut state = self.lock();
        state.in_flight.remove(&index);
        state.end_at(index);
        state.note(
            index,
            PageStatement::default(),
            Prints::default(),
            sign.map(str::to_owned),
        );
        proven(&mut state);
        self.changed.notify_all();
        empty_page(index, tries)
    }
}
