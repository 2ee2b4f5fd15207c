//! Who may fetch which page, and when: the hand-out of pages to the fetch threads.

use std::sync::PoisonError;

use reqwest::Url;

use super::super::error::{ApiError, Kind};
use super::address::set;
use super::{Course, Pages, State};

/// The right to fetch one page. Dropped without being settled (a panic), it ends the sequence: nobody waits for ever.
pub(super) struct Turn<'p> {
    pages: &'p Pages,
    pub(super) index: u64,
    pub(super) settled: bool,
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

enum Pick {
    Go(Url),
    Wait,
    End { complete: bool },
}

impl Pages {
    /// Waits until there is a page to fetch; none = the end.
    pub(super) fn turn(&self) -> Option<Result<(Turn<'_>, Url), ApiError>> {
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
