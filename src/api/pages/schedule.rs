//! Gives out pages to the fetch threads: which page a thread fetches next, and when.

use reqwest::Url;

use super::super::error::{ApiError, Kind};
use super::{Pages, PagingMethod, State};

/// Permission to fetch one page. If it is dropped without an outcome (a panic), the sequence ends, so that no thread waits
/// for ever.
pub(super) struct PageTicket<'p> {
    pages: &'p Pages,
    pub(super) index: u64,
    pub(super) settled: bool,
}

impl Drop for PageTicket<'_> {
    fn drop(&mut self) {
        if !self.settled {
            let mut state = self.pages.lock();
            state.finished = true;
            state.in_flight.remove(&self.index);
            self.pages.changed.notify_all();
        }
    }
}

enum NextStep {
    Go(Url),
    Wait,
    /// The sequence is over; true: by its own end.
    End(bool),
}

impl Pages {
    /// Waits until there is a page to fetch; none = the end.
    pub(super) fn next_ticket(&self) -> Option<Result<(PageTicket<'_>, Url), ApiError>> {
        let mut state = self.lock();
        loop {
            if state.finished {
                return None;
            }
            if let Some(error) = state.failed_ahead.take() {
                state.finished = true;
                self.changed.notify_all();
                return Some(Err(error));
            }
            match self.pick(&mut state) {
                NextStep::Go(url) => {
                    let index = state.next_index;
                    if index >= self.page_cap {
                        state.finished = true;
                        self.changed.notify_all();
                        return Some(Err(self.too_many()));
                    }
                    state.next_index += 1;
                    state.in_flight.insert(index);
                    let ticket = PageTicket {
                        pages: self,
                        index,
                        settled: false,
                    };
                    return Some(Ok((ticket, url)));
                }
                NextStep::Wait => state = self.wait(state),
                NextStep::End(by_itself) => {
                    state.finished = true;
                    state.ended = by_itself;
                    self.changed.notify_all();
                    return None;
                }
            }
        }
    }

    /// Decides by the state alone what to do next.
    fn pick(&self, state: &mut State) -> NextStep {
        let busy = !state.in_flight.is_empty();
        let over = |by_itself: bool| {
            if busy {
                NextStep::Wait
            } else {
                NextStep::End(by_itself)
            }
        };
        if let Some(limit) = self.limit {
            let expected = state.records + state.in_flight.len() as u64 * state.full;
            if expected >= limit {
                return over(false);
            }
        }
        let index = state.next_index;
        if let PagingMethod::Named { next } = &mut state.method {
            return match next.take() {
                _ if busy => NextStep::Wait,
                Some(url) => NextStep::Go(url),
                None => NextStep::End(true),
            };
        }
        if state.found_end.is_some_and(|end| index >= end) {
            return over(true);
        }
        let is_past_announced = state.announced_end.is_some_and(|end| index >= end);
        if is_past_announced {
            if busy {
                return NextStep::Wait;
            }
            // All announced pages have come. Ask for one more only if they do not have as many records as announced.
            if !state.evidence.wants_another_page() {
                return NextStep::End(true);
            }
        }
        // One page at a time: until the first page has shown its size, until the second has shown that the API
        // understands the page number, and after a short page.
        let alone = index == 1 || (state.announced_end.is_none() && (index == 2 || state.short));
        let window = u64::from(self.paging.concurrency) * 4;
        let too_far = state
            .in_flight
            .first()
            .is_some_and(|oldest| index >= oldest + window);
        let full = state.in_flight.len() >= self.paging.concurrency as usize;
        if busy && (alone || too_far || full) {
            return NextStep::Wait;
        }
        let PagingMethod::Numbered {
            param, first, step, ..
        } = &state.method
        else {
            return NextStep::End(true);
        };
        let number = State::number_of(*first, *step, index);
        NextStep::Go(self.with(param, &number.to_string()))
    }

    fn too_many(&self) -> ApiError {
        ApiError::new(
            Kind::TooManyPages,
            format!("the API has more than {} pages", self.page_cap),
            "if that is right, raise max_pages in mappings.yaml or ask for larger pages; else its paging never ends",
        )
    }
}
