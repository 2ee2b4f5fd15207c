//! The run's sequence of pages, shared by all fetch threads.
//!
//! Styles where a page names the next one (link, cursor) are a chain: one page in flight. Numbered styles (page, offset)
//! keep several in flight. A page is given out with its index, so that the caller can restore the order; nothing is
//! given out further ahead of the slowest than a few pages, so that restoring it takes bounded memory.

use std::collections::{BTreeSet, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use reqwest::Url;
use reqwest::header::HeaderMap;
use serde_json::{Map, Value};

use super::body;
use super::client::{Answer, Ask, Client, Done};
use super::control::{self, Control};
use super::envelope;
use super::error::{ApiError, Kind, printable};
use super::hints::{Hints, Next};
use super::pace::Pace;
use super::retry;
use crate::config::plan::{Api, PageStyle, Pagination};
use crate::histogram::Histogram;

/// Empty pages in a row, each naming a next one, before we call it a loop.
const MAX_EMPTY_IN_A_ROW: u64 = 100;

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

/// One page, cut into records.
#[derive(Clone, Debug)]
pub struct Page {
    /// Position in the sequence, from 0, without gaps.
    pub index: u64,
    /// The whole body; records are slices of it.
    pub text: Arc<String>,
    /// Byte range of each record's raw JSON in `text`.
    pub records: Vec<Range<u32>>,
    /// When it was requested (the try that succeeded), this machine's clock, microseconds since the epoch.
    pub requested_at_local_micros: i64,
    /// How long that try took, body included.
    pub seconds: f64,
    /// Tries it took, 1 when all is well.
    pub tries: u32,
    /// Records in all pages together, when the API says so on this page.
    pub announced_total: Option<u64>,
}

impl Page {
    /// Raw JSON of one record; empty when there is no such record.
    pub fn record(&self, number: usize) -> &str {
        self.records
            .get(number)
            .and_then(|range| self.text.get(range.start as usize..range.end as usize))
            .unwrap_or_default()
    }

    /// Raw JSON of every record, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.records.len()).map(|number| self.record(number))
    }
}

/// What fetching took and what it saw, so far.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Pages with records.
    pub pages: u64,
    pub records: u64,
    pub requests: u64,
    pub retries: u64,
    /// Retries by cause, as in [`ApiError::kind`].
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
    /// Hashes of the addresses and of the pages seen.
    seen: HashSet<u64>,
    prints: Vec<u64>,
    empty_in_a_row: u64,
    pages: u64,
    records: u64,
    announced_total: Option<u64>,
    /// Index of the page that announced it.
    announced_by: u64,
    first_asked_at: Option<i64>,
    fell: Option<(u64, u64)>,
    warnings: Vec<String>,
}

/// The right to fetch one page. Dropped without being settled (a panic), it ends the sequence: nobody waits for ever.
struct Turn<'p> {
    pages: &'p Pages,
    index: u64,
    settled: bool,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if !self.settled {
            let mut state = self.pages.lock();
            state.finished = true;
            state.in_flight.remove(&self.index);
            self.pages.changed.notify_all();
        }
    }
}

/// A body taken apart.
struct Parsed {
    text: String,
    records: Vec<Range<u32>>,
    headers: HeaderMap,
    beside: Map<String, Value>,
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
            PageStyle::Auto | PageStyle::Cursor | PageStyle::Link => {
                let mut url = base.clone();
                set(&mut url, &paging.size_param, &paging.size.to_string());
                Course::Chain { next: Some(url) }
            }
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
                seen: HashSet::new(),
                prints: Vec::new(),
                empty_in_a_row: 0,
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

    /// Waits until there is a page to fetch; none = the end.
    fn turn(&self) -> Option<Result<(Turn<'_>, Url), ApiError>> {
        let mut state = self.lock();
        loop {
            if state.finished {
                return None;
            }
            match self.pick(&mut state) {
                Pick::Go(url) => {
                    let index = state.next_index;
                    if index >= self.page_cap {
                        state.finished = true;
                        self.changed.notify_all();
                        return Some(Err(self.too_many()));
                    }
                    state.next_index += 1;
                    state.in_flight.insert(index);
                    let turn = Turn {
                        pages: self,
                        index,
                        settled: false,
                    };
                    return Some(Ok((turn, url)));
                }
                Pick::Wait => {
                    state = self
                        .changed
                        .wait(state)
                        .unwrap_or_else(PoisonError::into_inner);
                }
                Pick::End { complete } => {
                    state.finished = true;
                    state.complete = complete;
                    self.changed.notify_all();
                    return None;
                }
            }
        }
    }

    /// What to do next, by the state alone.
    fn pick(&self, state: &mut State) -> Pick {
        let busy = !state.in_flight.is_empty();
        if let Some(limit) = self.limit {
            let expected = state.records + state.in_flight.len() as u64 * state.full;
            if expected >= limit {
                return if busy {
                    Pick::Wait
                } else {
                    Pick::End {
                        complete: state.at_end(),
                    }
                };
            }
        }
        let index = state.next_index;
        match &mut state.course {
            Course::Chain { .. } if busy => Pick::Wait,
            Course::Chain { next } => next.take().map_or(Pick::End { complete: true }, Pick::Go),
            Course::Numbered {
                offset,
                first,
                step,
            } => {
                if state
                    .announced_end
                    .or(state.found_end)
                    .is_some_and(|end| index >= end)
                {
                    return if busy {
                        Pick::Wait
                    } else {
                        Pick::End { complete: true }
                    };
                }
                // Before the first page has told its size, and when the last was short, one at a time.
                let alone = index == 1 || (state.announced_end.is_none() && state.short);
                let window = u64::from(self.paging.concurrency) * 4;
                let too_far = state
                    .in_flight
                    .first()
                    .is_some_and(|oldest| index >= oldest + window);
                let full = state.in_flight.len() >= self.paging.concurrency as usize;
                if busy && (alone || too_far || full) {
                    return Pick::Wait;
                }
                let name = if *offset {
                    &self.paging.offset_param
                } else {
                    &self.paging.page_param
                };
                let mut url = self.base.clone();
                set(&mut url, name, &(*first + index * *step).to_string());
                set(
                    &mut url,
                    &self.paging.size_param,
                    &self.paging.size.to_string(),
                );
                Pick::Go(url)
            }
        }
    }

    /// Body → records and hints.
    fn parse(&self, answer: Answer, max: u64) -> Result<Parsed, ApiError> {
        let length = answer.body.len() as u64;
        let Answer { headers, body } = answer;
        let text = body::text(&headers, body, max)?;
        let also = self
            .paging
            .cursor_path
            .as_deref()
            .and_then(|path| path.first());
        let page = envelope::read(
            &text,
            self.records_path.as_deref(),
            also.map(String::as_str),
        )
        .map_err(|error| match error.cause() {
            Kind::NotJson | Kind::NoRecords => error.noting(&format!(
                "{}, {}",
                body::size(length),
                body::content_type(&headers)
            )),
            _ => error,
        })?;
        Ok(Parsed {
            text,
            records: page.records,
            headers,
            beside: page.beside,
        })
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
        state.empty_in_a_row = if count == 0 {
            state.empty_in_a_row + 1
        } else {
            0
        };
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

    /// Chain: the page names its successor.
    fn follow(
        &self,
        state: &mut State,
        index: u64,
        url: &Url,
        count: u64,
        hints: &Hints<'_>,
    ) -> Result<(), ApiError> {
        state.seen.insert(hash(url.as_str()));
        let next = match self.paging.style {
            PageStyle::None => None,
            _ if hints.has_more() == Some(false) => None,
            PageStyle::Link => hints.link(),
            PageStyle::Cursor => hints.cursor(self.paging.cursor_path.as_deref()),
            _ => hints.next(),
        };
        let auto = self.paging.style == PageStyle::Auto;
        let Some(next) = next else {
            if auto && index == 0 && self.start_numbers(state, count, hints) {
                return Ok(());
            }
            if self.paging.style != PageStyle::None && hints.has_more() == Some(true) {
                return Err(ApiError::new(
                    Kind::NoNext,
                    "the API says there are more records, but names no next page that could be followed",
                    "set pagination.style (and cursor_path, page_param or offset_param) in mappings.yaml",
                ));
            }
            if state.style.is_none() {
                state.style = Some(match self.paging.style {
                    PageStyle::Link => "link",
                    PageStyle::Cursor => "cursor",
                    _ => "none",
                });
            }
            if auto
                && index == 0
                && count > 0
                && count.is_multiple_of(u64::from(self.paging.size))
                && state.announced_total.is_none()
            {
                state.warnings.push(format!(
                    "the API answered with exactly {count} records and names no next page: if there are more, set pagination.style in mappings.yaml"
                ));
            }
            return Ok(());
        };
        if state.empty_in_a_row > MAX_EMPTY_IN_A_ROW {
            return Err(ApiError::new(
                Kind::Loop,
                format!("{MAX_EMPTY_IN_A_ROW} pages in a row are empty, and each names a next one"),
                "the API pages for ever; report it to its operator",
            ));
        }
        let (style, target) = match &next {
            Next::Link(link) => ("link", self.resolve(url, link)?),
            Next::Cursor(cursor) => {
                let mut target = self.base.clone();
                set(
                    &mut target,
                    &self.paging.size_param,
                    &self.paging.size.to_string(),
                );
                set(&mut target, &self.paging.cursor_param, cursor);
                ("cursor", target)
            }
            Next::Page(number) => {
                let mut target = self.base.clone();
                set(
                    &mut target,
                    &self.paging.size_param,
                    &self.paging.size.to_string(),
                );
                set(&mut target, &self.paging.page_param, &number.to_string());
                ("page", target)
            }
        };
        state.style = Some(style);
        if !state.seen.insert(hash(target.as_str())) || target == *url {
            return Err(ApiError::new(
                Kind::Loop,
                match next {
                    Next::Link(_) => "the API names a next link that was already followed",
                    Next::Cursor(_) => "the API names a next cursor that was already used",
                    Next::Page(_) => "the API names a next page that was already fetched",
                },
                "the paging of the API runs in a circle; report it to its operator, or set pagination.style",
            ));
        }
        state.course = Course::Chain { next: Some(target) };
        Ok(())
    }

    /// `auto`, after the first page: does it count its pages?
    fn start_numbers(&self, state: &mut State, count: u64, hints: &Hints<'_>) -> bool {
        let page = hints.page();
        let pages = hints.total_pages().or_else(|| {
            // Without a page number the total alone says nothing about how to ask for the rest.
            page.and(hints.total())
                .filter(|_| count > 0)
                .map(|total| total.div_ceil(count))
        });
        let Some(pages) = pages.filter(|pages| *pages > 1) else {
            return false;
        };
        state.style = Some("page");
        state.full = count.max(1);
        state.announced_end = Some(pages);
        state.course = Course::Numbered {
            offset: false,
            first: page.unwrap_or(self.paging.first),
            step: 1,
        };
        true
    }

    /// Numbered styles: is there more after this page?
    fn number(
        &self,
        state: &mut State,
        index: u64,
        parsed: &Parsed,
        count: u64,
        hints: &Hints<'_>,
    ) -> Result<(), ApiError> {
        if index == 0 {
            // A server may give fewer records than asked for; pages are as large as it makes them.
            if count > 0 && count < state.full {
                state.full = count;
                if let Course::Numbered {
                    offset: true, step, ..
                } = &mut state.course
                {
                    *step = count;
                }
                state.short = true;
            }
            state.announced_end = hints
                .total_pages()
                .or_else(|| Some(hints.total()?.div_ceil(state.full)))
                // The total of the first page may be that of the page: at least what is here counts.
                .map(|pages| pages.max(1));
            if count == 0 && state.announced_end.is_none() {
                state.found_end = Some(0);
            }
        } else {
            let pages = hints
                .total_pages()
                .or_else(|| Some(hints.total()?.div_ceil(state.full)));
            if let (Some(end), Some(pages)) = (state.announced_end, pages) {
                // Rows came while we paged.
                state.announced_end = Some(end.max(pages));
            }
            if state.announced_end.is_none() {
                if count == 0 {
                    state.found_end = Some(state.found_end.unwrap_or(u64::MAX).min(index));
                } else if state.found_end.is_some_and(|end| index >= end) {
                    // A page beyond an empty one has records: the empty one was not the end.
                    state.found_end = None;
                }
            }
            state.short = count < state.full;
        }
        if hints.has_more() == Some(false) && state.announced_end.is_none() {
            state.found_end = Some(state.found_end.unwrap_or(u64::MAX).min(index + 1));
        }
        if state.empty_in_a_row > MAX_EMPTY_IN_A_ROW {
            return Err(ApiError::new(
                Kind::Loop,
                format!(
                    "{MAX_EMPTY_IN_A_ROW} pages in a row are empty, although more were announced"
                ),
                "the number of pages the API announces is wrong; report it to its operator",
            ));
        }
        if let Some(print) = fingerprint(parsed)
            && count == state.full
        {
            if state.prints.contains(&print) {
                let name = match state.course {
                    Course::Numbered { offset: true, .. } => &self.paging.offset_param,
                    _ => &self.paging.page_param,
                };
                return Err(ApiError::new(
                    Kind::Loop,
                    "the page has the same content as one before it",
                    format!(
                        "does the API know the parameter `{}`? Set pagination.page_param or offset_param in mappings.yaml",
                        printable(name, 40)
                    ),
                ));
            }
            // The first page and the latest few: enough to see a parameter ignored or a number clamped.
            if state.prints.len() > 16 {
                state.prints.remove(1);
            }
            state.prints.push(print);
        }
        Ok(())
    }

    /// A next link, allowed only to the configured origin.
    fn resolve(&self, from: &Url, link: &str) -> Result<Url, ApiError> {
        let unreadable = |_| {
            ApiError::new(
                Kind::ForeignLink,
                "the next link of the page is not an address",
                "the API has to be corrected, or set pagination.style in mappings.yaml",
            )
        };
        let mut target = from.join(link).map_err(unreadable)?;
        target.set_fragment(None);
        if target.origin() != self.base.origin()
            || !target.username().is_empty()
            || target.password().is_some()
        {
            return Err(ApiError::new(
                Kind::ForeignLink,
                format!(
                    "the next link leads to {}, but the token belongs to {} only",
                    printable(&target.origin().ascii_serialization(), 120),
                    self.base.origin().ascii_serialization()
                ),
                "if the API has moved, change API_BASE_URL; behind a proxy the API may need to be told its public address",
            ));
        }
        Ok(target)
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

    fn too_many(&self) -> ApiError {
        ApiError::new(
            Kind::TooManyPages,
            format!("the API has more than {} pages", self.page_cap),
            "if that is right, raise max_pages in mappings.yaml or ask for larger pages; else its paging never ends",
        )
    }
}

impl State {
    /// Would the sequence have ended here anyway?
    fn at_end(&self) -> bool {
        match &self.course {
            Course::Chain { next } => next.is_none(),
            Course::Numbered { .. } => self
                .announced_end
                .or(self.found_end)
                .is_some_and(|end| self.next_index >= end),
        }
    }
}

enum Pick {
    Go(Url),
    Wait,
    End { complete: bool },
}

fn page(
    index: u64,
    parsed: Parsed,
    announced_total: Option<u64>,
    requested_at: i64,
    took: Duration,
    tries: u32,
) -> Page {
    Page {
        index,
        text: Arc::new(parsed.text),
        records: parsed.records,
        requested_at_local_micros: requested_at,
        seconds: took.as_secs_f64(),
        tries,
        announced_total,
    }
}

/// The page beyond the last: the index is taken, so it is delivered, empty.
fn nothing(index: u64, tries: u32) -> Page {
    Page {
        index,
        text: Arc::default(),
        records: Vec::new(),
        requested_at_local_micros: 0,
        seconds: 0.0,
        tries,
        announced_total: None,
    }
}

/// Address of the endpoint with everything that is the same for all pages.
fn base(api: &Api, since: Option<&str>) -> Result<Url, ApiError> {
    let text = format!(
        "{}/{}",
        api.base_url.as_str().trim_end_matches('/'),
        api.fetch.path.trim_start_matches('/')
    );
    let mut url = Url::parse(&text).map_err(|error| {
        ApiError::new(
            Kind::Config,
            format!("API_BASE_URL and the endpoint's path make no address: {error}"),
            "correct API_BASE_URL or the endpoint's path in mappings.yaml",
        )
    })?;
    for (name, value) in &api.params {
        set(&mut url, name, value);
    }
    if let (Some(incremental), Some(since)) = (&api.incremental, since) {
        set(&mut url, &incremental.param, since);
    }
    Ok(url)
}

fn set(url: &mut Url, name: &str, value: &str) {
    url.query_pairs_mut().append_pair(name, value);
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// Tells pages apart cheaply: a large page by its number of records, its first and its last, a small one by all of it.
/// None for a page of one record or none: a source may well hold the same record twice.
fn fingerprint(parsed: &Parsed) -> Option<u64> {
    let [first, .., last] = parsed.records.as_slice() else {
        return None;
    };
    let text = parsed.text.as_str();
    let slice = |range: &Range<u32>| text.get(range.start as usize..range.end as usize);
    let mut hasher = DefaultHasher::new();
    parsed.records.len().hash(&mut hasher);
    if parsed.records.len() <= 16 {
        text.get(first.start as usize..last.end as usize)
            .hash(&mut hasher);
    } else {
        slice(first).hash(&mut hasher);
        slice(last).hash(&mut hasher);
    }
    Some(hasher.finish())
}
