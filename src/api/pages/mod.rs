//! The run's sequence of pages, shared by all fetch threads.
//!
//! Styles where a page names the next one (link, cursor) have one page in flight. Numbered styles (page, offset) have
//! several. A page is given out with its index, so that the caller can restore the order. No page is given out that is more
//! than a few pages ahead of the slowest one, so that restoring the order takes bounded memory.

mod address;
mod beyond;
mod cursor;
mod detect;
mod end;
mod loop_detector;
mod page;
mod page_number;
mod request_body;
mod schedule;
mod state;
mod stats;
mod unproven;
mod version_path;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use reqwest::Url;

use super::client::{Answer, CallResult, Client, Request};
use super::control::{self, Control};
use super::error::{ApiError, Kind};
use super::pace::Pace;
use super::page_metadata::PageMetadata;
use super::retry;
use super::token::Tokens;
use crate::config::plan::{Api, PageFormat, PageStyle, Pagination};

use address::base;
use detect::Detected;
use end::PageStatement;
use page::{Parsed, empty_page, page};
use page_number::AfterShortPage;
use request_body::RequestBody;
pub(super) use request_body::parameters;
use state::{PagingMethod, State};

pub use end::{End, Proof};
pub use page::Page;
pub use stats::Stats;

/// What a run asks for, beyond the configuration.
#[derive(Clone, Debug, Default)]
pub struct FetchOptions {
    /// Value of `incremental.param`: RFC 3339, overlap already subtracted.
    pub since: Option<String>,
    /// Ask for no more pages once this many records have come; the last page may bring more.
    pub limit: Option<u64>,
    /// End of the run: no request and no sleep goes beyond it.
    pub deadline: Option<Instant>,
    /// In an earlier run with the same mapping, pages named the next one.
    pub next_was_named: bool,
}

/// The sequence; see the file's head.
#[derive(Debug)]
pub struct Pages {
    paging: Pagination,
    format: PageFormat,
    records_path: Option<Vec<String>>,
    /// Where the records of the first page were, if no path is configured.
    found_at: OnceLock<Vec<String>>,
    page_cap: u64,
    limit: Option<u64>,
    is_incremental: bool,
    next_was_named_before: bool,
    /// Endpoint with fixed parameters and watermark, before any paging parameter.
    base: Url,
    body: RequestBody,
    /// `if_match` of write-back: some record of the first page must have it.
    version_path: Option<Vec<String>>,
    control: Arc<Control>,
    state: Mutex<State>,
    changed: Condvar,
}

impl Pages {
    pub fn new(api: &Api, want: FetchOptions) -> Result<Self, ApiError> {
        let FetchOptions {
            since,
            limit,
            deadline,
            next_was_named,
        } = want;
        let body = RequestBody::new(api)?;
        let base = base(api, &body, since.as_deref())?;
        let mut paging = api.pagination.clone();
        paging.concurrency = paging.concurrency.max(1);
        paging.size = paging.size.max(1);
        let method = PagingMethod::new(&paging, &base, &body);
        let pace = Pace::new(api.max_requests_per_second, paging.concurrency);
        let tokens = Tokens::new(api, deadline);
        let update = api.update.as_ref();
        Ok(Self {
            state: Mutex::new(State::new(method, &paging)),
            changed: Condvar::new(),
            control: Arc::new(Control::new(deadline, pace).with_tokens(tokens)),
            format: api.format,
            records_path: api.records.clone().filter(|path| !path.is_empty()),
            found_at: OnceLock::new(),
            page_cap: api.max_pages,
            limit,
            is_incremental: since.is_some(),
            next_was_named_before: next_was_named,
            version_path: update.and_then(|update| update.if_match.clone()),
            paging,
            base,
            body,
        })
    }

    /// Waits for the next page; none when the sequence has ended. After an error no further page is requested, but pages in
    /// flight are still delivered.
    pub fn next(&self, client: &Client) -> Option<Result<Page, ApiError>> {
        let page = self.next_with(client, |_| {})?;
        Some(page.and_then(|page| match self.no_version_in(&page) {
            None => Ok(page),
            Some(error) => {
                self.stop();
                Err(error)
            }
        }))
    }

    /// Like `next`, and shows each answer to the caller before it is parsed.
    pub(super) fn next_with(
        &self,
        client: &Client,
        look: impl Fn(&Answer),
    ) -> Option<Result<Page, ApiError>> {
        let (mut ticket, url) = match self.next_ticket()? {
            Ok(given) => given,
            Err(error) => return Some(Err(error)),
        };
        let ahead = {
            let mut state = self.lock();
            let is_it = state.ahead.as_ref().is_some_and(|(known, _)| *known == url);
            state.ahead.take_if(|_| is_it)
        };
        let outcome = match ahead {
            Some((_, done)) => Ok(done),
            None => self.ask(client, &url, ticket.index, &look),
        };
        let page = match outcome {
            Ok(done) => self.arrived(client, ticket.index, &url, done),
            Err(error) => self.refused(client, ticket.index, &url, error),
        };
        ticket.settled = true;
        Some(page)
    }

    /// Asks for one page.
    fn ask(
        &self,
        client: &Client,
        url: &Url,
        index: u64,
        look: impl Fn(&Answer),
    ) -> Result<CallResult<Parsed>, ApiError> {
        let full = self.lock().full;
        let body = self.body.of(url);
        let request = Request {
            may_be_unchanged: index == 0 && self.is_incremental,
            body: body.as_deref(),
            ..Request::page(url, index + 1)
        };
        client.call(request, &self.control, |answer| {
            look(&answer);
            self.parse(answer, client.max_bytes(), index, full)
        })
    }

    /// Ends the sequence now: requests no new page, and gives up sleeps and requests in flight.
    pub fn stop(&self) {
        self.control.stop();
        self.lock().finished = true;
        self.changed.notify_all();
    }

    /// Pace, deadline and stop, for other requests to the same API in this run.
    pub(super) const fn control(&self) -> &Arc<Control> {
        &self.control
    }

    /// Where the records of the first page were, when no place is configured.
    pub(super) fn records_at(&self) -> Option<&[String]> {
        self.found_at.get().map(Vec::as_slice)
    }

    /// Records in all pages together, as soon as a page has said so.
    pub fn announced_total(&self) -> Option<u64> {
        self.lock().announced_total
    }

    pub fn stats(&self) -> Stats {
        let traffic = self.control.traffic();
        let state = self.lock();
        Stats {
            pages: state.pages,
            records: state.records,
            requests: traffic.requests,
            retries: traffic.retries.values().sum(),
            retries_by_kind: traffic.retries.into_iter().collect(),
            bytes: traffic.bytes,
            response_seconds: traffic.response_seconds,
            announced_total: state.announced_total,
            style: state.style,
            end: self.end(&state),
            next_was_named: state.seen.next_was_named,
            lines: state.seen.lines.clone(),
            first_asked_at: state.first_asked_at,
        }
    }

    /// What a page says of the others.
    fn metadata<'p>(&'p self, page: &'p Parsed) -> PageMetadata<'p> {
        PageMetadata::new(&self.paging, &page.headers, &page.beside, &page.at)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'s>(&self, state: MutexGuard<'s, State>) -> MutexGuard<'s, State> {
        self.changed
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a page that has come.
    fn arrived(
        &self,
        client: &Client,
        index: u64,
        url: &Url,
        done: CallResult<Parsed>,
    ) -> Result<Page, ApiError> {
        let done = if index > 0 && done.value.records.is_empty() {
            match self.without_records(client, index, url, done)? {
                beyond::Found::Page(done) => *done,
                beyond::Found::Nothing(page) => return Ok(page),
            }
        } else {
            done
        };
        if index == 1 {
            self.check_that_numbers_are_understood(client, &done)?;
        }
        match self.look_behind_short_page(client, index, &done) {
            AfterShortPage::Nothing => {
                let mut state = self.lock();
                state.end_at(index + 1);
                state.evidence.see(Proof::Empty);
            }
            AfterShortPage::Records => {
                let number = index + 1;
                self.lock().evidence.contradicted.get_or_insert_with(|| {
                    format!(
                        "page {number} is shorter than others, and the offset of the next page leaves out records behind it"
                    )
                });
            }
            AfterShortPage::Unknown => {}
        }
        let detected = (index == 0 && self.paging.style == PageStyle::Auto)
            .then(|| self.detect(client, &done.value));
        self.settle(index, url, done, detected)
    }

    /// Notes what a page says about the pages after it.
    fn settle(
        &self,
        index: u64,
        url: &Url,
        mut read: CallResult<Parsed>,
        detected: Option<Detected>,
    ) -> Result<Page, ApiError> {
        let prints = std::mem::take(&mut read.value.prints);
        let (parsed, took, tries) = (&read.value, read.took, read.tries);
        let metadata = self.metadata(parsed);
        let announced_total = metadata.total().map(|total| total.value);
        let count = parsed.count();
        log::trace!("page {}: {count} records in {took:.3?}", index + 1);

        let mut state = self.lock();
        state.count(index, count, announced_total);
        if index == 0 {
            state.first_asked_at = asked_at(parsed, took);
        }
        state.seen.note(&metadata, index);
        if let Some(detected) = detected {
            detected.apply(&mut state);
        }
        if index == 0 {
            state.expect(&metadata, count);
        }
        let statement = PageStatement {
            count,
            total: announced_total,
            pages: metadata.total_pages().map(|pages| pages.value),
            size: metadata.size().map(|size| size.value),
            shifted: false,
        };
        let sign = state
            .says_last(&metadata)
            .then(|| "says that it is the last".to_owned());
        let is_last = sign.is_some();
        let repeats = state.note(index, statement, prints, sign);
        let outcome = match state.method {
            PagingMethod::Named { .. } => {
                self.follow(&mut state, index, url, parsed, &metadata, repeats)
            }
            PagingMethod::Numbered { offset, .. } => {
                state.style = Some(if offset { "offset" } else { "page" });
                state.number(index, count, &metadata, (is_last, repeats))
            }
        };
        if outcome.is_err() {
            state.finished = true;
        }
        self.changed.notify_all();
        let is_again = repeats && outcome.is_ok();
        if is_again {
            // These are the records of the page before, which count once.
            state.records -= count;
            state.pages -= 1;
        }
        drop(state);
        outcome.map_err(|error| error.on_page(index + 1).after(tries))?;
        if is_again {
            return Ok(empty_page(index, tries));
        }
        Ok(page(index, read, announced_total))
    }

    /// Handles a page that the API answered with an error: it may lie beyond the end.
    fn refused(
        &self,
        client: &Client,
        index: u64,
        url: &Url,
        error: ApiError,
    ) -> Result<Page, ApiError> {
        match self.beyond_the_end(client, index, url, error) {
            Ok(beyond::Found::Page(done)) => self.settle(index, url, *done, None),
            Ok(beyond::Found::Nothing(page)) => Ok(page),
            Err(error) => {
                self.give_up(index);
                if error.cause() == Kind::Stopped {
                    return Err(control::stopped().on_page(index + 1));
                }
                Err(error)
            }
        }
    }

    /// Ends the sequence after a failure of the page at `index`.
    fn give_up(&self, index: u64) {
        let mut state = self.lock();
        state.in_flight.remove(&index);
        state.finished = true;
        self.changed.notify_all();
    }
}

/// When a page was asked for, by the clock of the server, which stamps its answers. Microseconds since 1970.
fn asked_at(page: &Parsed, took: Duration) -> Option<i64> {
    let answered = retry::server_time(&page.headers)?;
    let took = i64::try_from(took.as_micros()).unwrap_or(i64::MAX);
    Some(answered.as_microsecond().saturating_sub(took))
}
