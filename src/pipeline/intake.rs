//! Pages on their way through the pipeline: what a fetch thread does, and what the shaping thread takes of it, in order.
//!
//! Starts no thread. Knows nothing of writers.

use std::sync::atomic::Ordering;
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::shape::{InOrder, LONGEST_WAIT, ShapeStats, Shaper};
use super::{Event, Feed, Limits, PageInput};
use crate::api::{self, ApiError, Client};

/// Where the shaping thread takes pages from, and returns the permit of each.
pub(super) struct PagesOut {
    pub(super) pages: Receiver<(u64, Result<PageInput, ApiError>)>,
    pub(super) permits: Sender<()>,
}

/// One fetch thread.
pub(super) fn fetch(
    feed: &Feed<'_>,
    permits: &Receiver<()>,
    pages_in: &Sender<(u64, Result<PageInput, ApiError>)>,
) {
    match feed {
        Feed::Api {
            api, pages, clock, ..
        } => {
            let client = match Client::new(api) {
                Ok(client) => client,
                Err(error) => {
                    pages.stop();
                    // Fails only where shaping has ended, and then a worse error is known already.
                    pages_in.send((0, Err(error))).unwrap_or_default();
                    return;
                }
            };
            while permits.recv().is_ok() {
                let Some(next) = pages.next(&client) else {
                    break;
                };
                let (index, input) = match next {
                    Ok(page) => {
                        let input = PageInput {
                            text: page.text,
                            records: page.records,
                            requested_at: clock.at(page.requested),
                            announced_total: page.announced_total,
                        };
                        (page.index, Ok(input))
                    }
                    // Pages are numbered from 1 in messages; an error of no page comes after all of them.
                    Err(error) => (
                        error.page().map_or(u64::MAX, |number| number - 1),
                        Err(error),
                    ),
                };
                if pages_in.send((index, input)).is_err() {
                    break;
                }
            }
        }
        Feed::Inputs(inputs) => {
            for (index, input) in inputs.iter().enumerate() {
                if permits.recv().is_err()
                    || pages_in.send((index as u64, Ok(input.clone()))).is_err()
                {
                    break;
                }
            }
        }
    }
}

/// The shaping thread: pages in order, until they end or one has failed.
pub(super) fn shape_all(
    mut shaper: Shaper<'_>,
    PagesOut { pages, permits }: &PagesOut,
    events: &Sender<Event<'_>>,
    (limits, is_fetched): (&Limits<'_>, bool),
) -> ShapeStats {
    let mut order = InOrder::new(0);
    let mut intake = Intake {
        left: limits.records.unwrap_or(u64::MAX),
        failed: false,
        is_fetched,
        limits,
        events,
    };
    loop {
        match pages.recv_timeout(LONGEST_WAIT / 4) {
            Ok((index, page)) => order.add(index, page),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        while let Some(page) = order.take() {
            // Fetch threads that have ended do not need their permit.
            permits.try_send(()).unwrap_or_default();
            intake.take(page, &mut shaper);
        }
        shaper.send_overdue();
    }
    // Pages behind one that is missing. That page failed, and its error is among these.
    for page in order.rest() {
        if page.is_err() {
            intake.take(page, &mut shaper);
        }
    }
    shaper.finish()
}

/// What the shaping thread takes of the pages: up to the limit, and nothing after a page that failed or a brake.
struct Intake<'a, 'e> {
    /// Records that may still come.
    left: u64,
    failed: bool,
    /// From the API, which can be asked again.
    is_fetched: bool,
    limits: &'a Limits<'a>,
    events: &'a Sender<Event<'e>>,
}

impl<'e> Intake<'_, 'e> {
    fn take(&mut self, page: Result<PageInput, ApiError>, shaper: &mut Shaper<'_>) {
        if self.failed {
            // What comes after a page that failed is fetched again by the next run.
            return;
        }
        match page {
            Ok(input) => self.shape(input, shaper),
            Err(error) => self.end(Event::FetchFailed(error)),
        }
    }

    fn shape(&mut self, mut input: PageInput, shaper: &mut Shaper<'_>) {
        let brake = &self.limits.brake;
        if let Some(stop) = input
            .announced_total
            .and_then(|total| brake.on_announced(total))
        {
            return self.end(Event::Braked(stop));
        }
        input
            .records
            .truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= input.records.len() as u64;
        let (own, is_whole) = shaper.add(&input, self.limits.shard, || self.is_over());
        if !is_whole {
            // The next run fetches the page again.
            let stopped = self.limits.stop.load(Ordering::Relaxed);
            self.end(Event::FetchFailed(if stopped {
                api::stopped()
            } else {
                api::out_of_time()
            }));
        }
        if let Some(stop) = shaper.check_rejections(brake) {
            self.end(Event::Braked(stop));
        }
        // The calling thread listens until this one has ended.
        self.events.send(Event::Shaped(own)).unwrap_or_default();
    }

    /// Pages are not to be shaped to their end. What is at hand is: a spool file is removed as a whole.
    fn is_over(&self) -> bool {
        let is_late = || {
            let deadline = self.limits.deadline;
            deadline.is_some_and(|deadline| Instant::now() >= deadline)
        };
        self.is_fetched && (self.limits.stop.load(Ordering::Relaxed) || is_late())
    }

    /// No further page is shaped.
    fn end(&mut self, why: Event<'e>) {
        self.failed = true;
        self.events.send(why).unwrap_or_default();
    }
}
