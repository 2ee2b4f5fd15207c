//! The run's sequence of pages, shared by all fetch threads.
//!
//! Styles where a page names the next one (link, cursor) are a chain: one page in flight. Numbered styles (page, offset)
//! keep several in flight. A page is given out with its index, so that the caller can restore the order; nothing is
//! given out further ahead of the slowest than a few pages, so that restoring it takes bounded memory.

mod address;
mod chain;
mod guard;
mod numbered;
mod page;
mod stats;
mod turn;

use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use reqwest::Url;

use super::client::{Answer, Ask, Client, Done};
use super::control::{self, Control};
use super::error::{ApiError, Kind};
use super::hints::Hints;
use super::pace::Pace;
use super::retry;
use crate::config::plan::{Api, PageStyle, Pagination};

use address::{base, sized};
use guard::Guard;
use page::{Parsed, nothing, page};

pub use page::Page;
pub use stats::Stats;

/// What a run asks for beside the configuration.
#[derive(Clone, Debug, Default)]
pub struct Want {
    /// Value of `incremental.param`: RFC 3339, overlap already subtracted.
    pub since: Option<String>,
    /// Stop asking once this many records are known; the last page may bring more.
    pub limit: Option<u64>,
    /// End of the run: no try and no sleep goes beyond it.
    pub deadline: Option<Instant>,
}

/// The sequence; see the file's head.
#[derive(Debug)]
pub struct Pages {
    paging: Pagination,
    records_path: Option<Vec<String>>,
    page_cap: u64,
    limit: Option<u64>,
    /// Endpoint with fixed parameters and watermark, before any paging parameter.
    base: Url,
    control: Arc<Control>,
    state: Mutex<State>,
    changed: Condvar,
}

/// How the next page is found.
#[derive(Clone, Debug)]
enum Course {
    /// One page in flight; the page just read named the next.
    Chain { next: Option<Url> },
    /// Page or offset numbers.
    Numbered {
        offset: bool,
        /// Number of the page at `index` 0.
        first: u64,
        /// Distance from page to page: 1, or the records a page really has.
        step: u64,
    },
}

#[derive(Debug)]
struct State {
    course: Course,
    style: Option<&'static str>,
    /// Index of the next page to give out.
    next_index: u64,
    in_flight: BTreeSet<u64>,
    /// No page at or after this index, by what the API announced.
    announced_end: Option<u64>,
    /// The same, found by meeting an empty page.
    found_end: Option<u64>,
    /// The last page was shorter than the first: probably the last, so ask only for one more at a time.
    short: bool,
    /// Records a full page has.
    full: u64,
    finished: bool,
    complete: bool,
    guard: Guard,
    pages: u64,
    records: u64,
    announced_total: Option<u64>,
    /// Index of the page that announced it.
    announced_by: u64,
    first_asked_at: Option<i64>,
    fell: Option<(u64, u64)>,
    warnings: Vec<String>,
}

impl Pages {
    pub fn new(api: &Api, want: Want) -> Result<Self, ApiError> {
        let Want {
            since,
            limit,
            deadline,
        } = want;
        let base = base(api, since.as_deref())?;
        let mut paging = api.pagination.clone();
        paging.concurrency = paging.concurrency.max(1);
        paging.size = paging.size.max(1);
        let course = match paging.style {
            PageStyle::Page | PageStyle::Offset => Course::Numbered {
                offset: paging.style == PageStyle::Offset,
                first: paging.first,
                step: if paging.style == PageStyle::Offset {
                    u64::from(paging.size)
                } else {
                    1
                },
            },
            PageStyle::None => Course::Chain {
                next: Some(base.clone()),
            },
            PageStyle::Auto | PageStyle::Cursor | PageStyle::Link => Course::Chain {
                next: Some(sized(&base, &paging)),
            },
        };
        Ok(Self {
            state: Mutex::new(State {
                course,
                style: None,
                next_index: 0,
                in_flight: BTreeSet::new(),
                announced_end: None,
                found_end: None,
                short: false,
                full: u64::from(paging.size),
                finished: false,
                complete: false,
                guard: Guard::default(),
                pages: 0,
                records: 0,
                announced_total: None,
                announced_by: 0,
                first_asked_at: None,
                fell: None,
                warnings: Vec::new(),
            }),
            changed: Condvar::new(),
            control: Arc::new(Control::new(
                deadline,
                Pace::new(api.max_requests_per_second, paging.concurrency),
            )),
            records_path: api.records.clone().filter(|path| !path.is_empty()),
            page_cap: api.max_pages,
            limit,
            paging,
            base,
        })
    }

    /// Waits for the next page; none when the sequence has ended. After an error no further page begins, pages in flight
    /// are still delivered.
    pub fn next(&self, client: &Client) -> Option<Result<Page, ApiError>> {
        self.next_with(client, |_| {})
    }

    /// The same, with a look at each answer before it is read.
    pub(super) fn next_with(
        &self,
        client: &Client,
        look: impl Fn(&Answer),
    ) -> Option<Result<Page, ApiError>> {
        let (mut turn, url) = match self.turn()? {
            Ok(given) => given,
            Err(error) => return Some(Err(error)),
        };
        let outcome = client.call(Ask::page(&url, turn.index + 1), &self.control, |answer| {
            look(&answer);
            self.parse(answer, client.max_bytes())
        });
        let page = match outcome {
            Ok(done) => self.arrived(turn.index, &url, done),
            Err(error) => self.failed(turn.index, error),
        };
        turn.settled = true;
        Some(page)
    }

    /// Ends the sequence now: no new pages, sleeps and exchanges in flight are given up.
    pub fn stop(&self) {
        self.control.stop();
        self.lock().finished = true;
        self.changed.notify_all();
    }

    /// Pace, deadline and stop, for others who talk to the same API in this run.
    pub(super) const fn control(&self) -> &Arc<Control> {
        &self.control
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
            complete: state.complete,
            first_asked_at: state.first_asked_at,
            fell: state.fell,
            warnings: state.warnings.clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A page is here: what does it say about the rest?
    fn arrived(&self, index: u64, url: &Url, done: Done<Parsed>) -> Result<Page, ApiError> {
        let Done {
            value: parsed,
            requested_at,
            took,
            tries,
        } = done;
        let hints = Hints::new(&parsed.headers, &parsed.beside);
        let announced_total = hints.total();
        let count = parsed.records.len() as u64;
        log::trace!("page {}: {count} records in {took:.3?}", index + 1);

        let mut state = self.lock();
        state.in_flight.remove(&index);
        state.records += count;
        state.pages += u64::from(count > 0);
        if index == 0 {
            state.first_asked_at = retry::server_time(&parsed.headers).map(|answered| {
                let took = i64::try_from(took.as_micros()).unwrap_or(i64::MAX);
                answered.as_microsecond().saturating_sub(took)
            });
        }
        if let (Some(before), Some(now)) = (state.announced_total, announced_total)
            && now < before
        {
            state.fell.get_or_insert((before, now));
        }
        if announced_total.is_some() && index >= state.announced_by {
            state.announced_total = announced_total;
            state.announced_by = index;
        }
        state.guard.count(count);
        let outcome = match state.course {
            Course::Chain { .. } => self.follow(&mut state, index, url, count, &hints),
            Course::Numbered { offset, .. } => {
                state.style = Some(if offset { "offset" } else { "page" });
                self.number(&mut state, index, &parsed, count, &hints)
            }
        };
        if outcome.is_err() {
            state.finished = true;
        }
        self.changed.notify_all();
        drop(state);
        outcome.map_err(|error| error.on_page(index + 1).after(tries))?;
        Ok(page(
            index,
            parsed,
            announced_total,
            requested_at,
            took,
            tries,
        ))
    }

    /// A page could not be had.
    fn failed(&self, index: u64, error: ApiError) -> Result<Page, ApiError> {
        let mut state = self.lock();
        let numbered = matches!(state.course, Course::Numbered { .. });
        if numbered && index > 0 && state.announced_end.is_none() {
            // This page was a guess. Pages before it may show that it lies beyond the end; APIs answer that in many ways.
            while state.in_flight.first().is_some_and(|first| *first < index) && !state.finished {
                state = self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            let beyond = state.found_end.is_some_and(|end| index >= end);
            if beyond || error.status() == Some(404) {
                state.found_end = Some(state.found_end.unwrap_or(u64::MAX).min(index));
                state.in_flight.remove(&index);
                self.changed.notify_all();
                drop(state);
                return Ok(nothing(index, error.tries()));
            }
        }
        state.in_flight.remove(&index);
        state.finished = true;
        self.changed.notify_all();
        drop(state);
        if error.cause() == Kind::Stopped {
            return Err(control::stopped().on_page(index + 1));
        }
        Err(error)
    }
}
