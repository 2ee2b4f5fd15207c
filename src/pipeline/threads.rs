//! Starts and joins all threads of a flow. No other file starts one.
//!
//! If a thread cannot be started, the flow ends in order: the others are stopped, and nothing waits for the missing one. A
//! panic in a thread is noticed when it is joined. This file knows nothing of the ledger.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{Scope, ScopedJoinHandle};
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::accounting::{Accountant, JoinedThreads};
use super::intake::{PagesOut, fetch, shape_all};
use super::pool::{Change, Pool};
use super::queue::{CloseOnDrop, DoneOnDrop, Queue, RemoveWriterOnDrop, Taken};
use super::shape::{PageInput, ShapeStats, Shaper};
use super::write::{BatchWriter, Shared};
use super::{Event, Feed, GRACE, Limits, Rules, Shown, TICK, Target, Task};
use crate::api::ApiError;
use crate::store::{Batch, Keys};

/// What the threads of a flow share.
pub(super) struct Stages<'q> {
    pub(super) feed: &'q Feed<'q>,
    pub(super) rules: Rules<'q>,
    pub(super) target: &'q Target<'q>,
    pub(super) limits: &'q Limits<'q>,
    pub(super) queue: &'q Queue<Keys, Box<Batch>>,
    pub(super) shared: &'q Shared,
    pub(super) events: Sender<Event<'q>>,
}

impl Stages<'_> {
    fn stop_pages(&self) {
        if let Feed::Api { pages, .. } = self.feed {
            pages.stop();
        }
    }
}

/// The threads of a flow, and how many of them are running.
pub(super) struct Threads<'scope, 'q> {
    scope: &'scope Scope<'scope, 'q>,
    stages: Stages<'q>,
    pool: Pool,
    shaping: Option<ScopedJoinHandle<'scope, ShapeStats>>,
    /// Threads that fetch and write.
    others: Vec<ScopedJoinHandle<'scope, ()>>,
    /// How many of the threads that shape and write have not ended.
    at_work: u32,
    /// Why the flow cannot go on; none while it can.
    broken: Option<String>,
}

/// Tells the calling thread that this thread has ended, by a panic or not.
struct EndOnDrop<'a>(Sender<Event<'a>>);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        // The calling thread listens until it has heard of the end of every thread, so this does not fail.
        self.0.send(Event::Ended).unwrap_or_default();
    }
}

impl<'scope, 'q: 'scope> Threads<'scope, 'q> {
    /// Starts fetching, shaping and the first writers.
    pub(super) fn start(
        scope: &'scope Scope<'scope, 'q>,
        stages: Stages<'q>,
        pool: Pool,
        emptied: Receiver<Batch>,
        next_batch: &'q mut u64,
    ) -> Self {
        let mut threads = Self {
            scope,
            stages,
            pool,
            shaping: None,
            others: Vec::new(),
            at_work: 0,
            broken: None,
        };
        let pages_out = threads.start_fetching();
        threads.start_shaping(pages_out, emptied, next_batch);
        threads.start_writers();
        threads
    }

    /// Starts fetching. At most as many pages as there are permits come out of the returned channel at a time.
    fn start_fetching(&mut self) -> PagesOut {
        let feed = self.stages.feed;
        let fetchers = match feed {
            Feed::Api { threads, .. } => (*threads).max(1),
            Feed::Inputs(_) => 1,
        };
        let (pages_in, pages) = bounded::<(u64, Result<PageInput, ApiError>)>(4);
        let (permits, returned) = bounded::<()>(fetchers as usize * 2);
        for _ in 0..fetchers * 2 {
            // The channel has room for all permits.
            permits.try_send(()).unwrap_or_default();
        }
        for number in 0..fetchers {
            let (pages_in, permit) = (pages_in.clone(), returned.clone());
            let work = move || fetch(feed, &permit, &pages_in);
            match spawn(self.scope, &format!("fetch-{number}"), work) {
                Ok(thread) => self.others.push(thread),
                Err(error) if number == 0 => {
                    self.broken.get_or_insert(error);
                    break;
                }
                Err(error) => {
                    log::warn!("{error}: {number} threads fetch instead of {fetchers}");
                    break;
                }
            }
        }
        PagesOut { pages, permits }
    }

    fn start_shaping(
        &mut self,
        pages_out: PagesOut,
        emptied: Receiver<Batch>,
        next_batch: &'q mut u64,
    ) {
        let events = self.stages.events.clone();
        let (queue, rules, limits) = (self.stages.queue, self.stages.rules, self.stages.limits);
        let target = self.stages.target;
        let is_fetched = matches!(self.stages.feed, Feed::Api { .. });
        let work = move || {
            let _end = EndOnDrop(events.clone());
            let _close = CloseOnDrop(queue);
            let columns = Arc::clone(&target.columns);
            let batch_size = limits.batch_size;
            let mut shaper = Shaper::new(rules, columns, queue, emptied, batch_size, next_batch);
            if let Task::Compare { differences } = target.task {
                shaper.show_verdicts(differences);
            }
            shape_all(shaper, &pages_out, &events, (limits, is_fetched))
        };
        match spawn(self.scope, "shape", work) {
            Ok(thread) => {
                self.shaping = Some(thread);
                self.at_work += 1;
            }
            Err(error) => {
                self.stages.queue.close();
                self.broken.get_or_insert(error);
            }
        }
    }

    /// Starts the first writers. The queue counts them already.
    fn start_writers(&mut self) {
        for number in 0..self.pool.size {
            match self.start_writer(number) {
                Ok(()) => {}
                Err(error) => {
                    self.stages.queue.remove_writer();
                    if number == 0 {
                        self.broken.get_or_insert(error);
                    } else {
                        self.pool.could_not_start(&error);
                    }
                }
            }
        }
    }

    fn start_writer(&mut self, number: u32) -> Result<(), String> {
        let Stages {
            rules,
            target,
            queue,
            shared,
            ..
        } = self.stages;
        let events = self.stages.events.clone();
        let work = move || {
            let _end = EndOnDrop(events.clone());
            write_all(queue, &events, BatchWriter::new(target, shared, rules));
        };
        let thread = spawn(self.scope, &format!("write-{number}"), work)?;
        self.others.push(thread);
        self.at_work += 1;
        Ok(())
    }

    /// Handles events until shaping and all writers have ended, and stops the threads when the flow has to end.
    pub(super) fn handle_events(
        &mut self,
        inbox: &Receiver<Event<'q>>,
        accountant: &mut Accountant<'_>,
        shown: &Shown<'_>,
    ) {
        let stop = &self.stages.limits.stop;
        let mut grace: Option<Instant> = None;
        while self.at_work > 0 {
            match inbox.recv_timeout(TICK) {
                Ok(Event::Ended) => self.at_work -= 1,
                Ok(event) => {
                    if matches!(event, Event::ConnectionsExhausted) {
                        self.pool.connections_exhausted();
                    }
                    accountant.enter(event);
                    shown.update(&accountant.flow.ledger);
                }
                // This thread has a sender itself, so the channel is never disconnected.
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
            let stopped = stop.load(Ordering::Relaxed);
            if stopped
                || self.broken.is_some()
                || self.stages.queue.has_no_writer()
                || accountant.must_stop()
            {
                self.stages.stop_pages();
            }
            if stopped && *grace.get_or_insert_with(|| Instant::now() + GRACE) < Instant::now() {
                self.stages.shared.give_up.store(true, Ordering::Relaxed);
            }
            if let Feed::Api { pages, .. } = self.stages.feed
                && let Some(total) = pages.announced_total()
                && self.stages.limits.shard.is_none()
            {
                shown.progress.announce(total);
            }
            accountant.seal_if_due();
            if self
                .stages
                .limits
                .progress_wanted
                .swap(false, Ordering::Relaxed)
            {
                log::warn!("so far {}", accountant.flow.ledger);
            }
            self.resize(accountant.flow.ledger.accounted());
        }
        if self.broken.is_some() {
            self.stages.stop_pages();
        }
    }

    /// Adds or removes a writer, as the pool decides.
    fn resize(&mut self, accounted: u64) {
        match self.pool.tick(self.stages.queue, accounted) {
            Change::Grow => match self.start_writer(self.pool.size - 1) {
                Ok(()) => self.stages.queue.add_writer(),
                Err(error) => self.pool.could_not_start(&error),
            },
            Change::Shrink => self.stages.queue.retire_one(),
            Change::None => {}
        }
    }

    /// Waits until all threads have ended.
    pub(super) fn join(self) -> JoinedThreads {
        let mut broken = self.broken;
        let stats = match self.shaping.map(ScopedJoinHandle::join) {
            Some(Ok(stats)) => stats,
            Some(Err(_)) => {
                broken.get_or_insert_with(|| "the shaping thread panicked".to_owned());
                ShapeStats::default()
            }
            None => ShapeStats::default(),
        };
        for thread in self.others {
            let name = thread.thread().name().unwrap_or("pipeline").to_owned();
            if thread.join().is_err() {
                broken.get_or_insert_with(|| format!("thread {name} panicked"));
            }
        }
        JoinedThreads {
            stats,
            pool: self.pool,
            broken,
        }
    }
}

/// The work of one writer: it takes batches until there are none, or until the pool has too many writers.
fn write_all<'q>(
    queue: &'q Queue<Keys, Box<Batch>>,
    events: &Sender<Event<'q>>,
    mut writer: BatchWriter<'_>,
) {
    let mut place = RemoveWriterOnDrop {
        queue,
        counted: true,
    };
    loop {
        let (ticket, batch) = match queue.take() {
            Taken::Work(ticket, batch) => (ticket, batch),
            Taken::Nothing => break,
            Taken::Retired => {
                place.counted = false;
                break;
            }
        };
        let mut held = DoneOnDrop::new(queue, ticket);
        let Some(result) = writer.settle(batch, |batch| held.give_back(batch)) else {
            place.counted = false;
            // The event that this thread has ended follows in any case.
            events.send(Event::ConnectionsExhausted).unwrap_or_default();
            break;
        };
        // The calling thread listens until every writer has ended, so this does not fail.
        events
            .send(Event::Settled(result, held))
            .unwrap_or_default();
    }
    writer.leave_connection();
}

fn spawn<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &str,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, T>, String> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn_scoped(scope, work)
        .map_err(|error| {
            format!("cannot start the thread {name}: {error}; the limit on processes (ulimit -u, pids.max) may be too low")
        })
}
