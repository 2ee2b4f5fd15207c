//! Threads and channels: the only file that spawns a thread of the flow, and the only one where stages meet.
//!
//! ```text
//! fetch (N threads) ──pages──▶ shape (1 thread) ──batches──▶ write (2..10 threads) ──fates──▶ the calling thread
//! ```
//!
//! The calling thread alone owns the ledger, the spool and the progress bar. Every channel is bounded, so a stalled
//! database holds back the fetch instead of filling the memory. Every thread is joined; a panic in one is an error of
//! the run. Batches are consecutive records; one goes to a writer only when no earlier batch with one of its keys is out
//! still, so versions of one record never race. A page in flight holds one of a fixed number of tokens until it has been
//! shaped in its turn, so pages that overtake a slow one are bounded too.

mod accounting;
mod brake;
mod decide;
mod intake;
mod pool;
mod queue;
mod rejected;
mod shape;
mod write;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};

use crate::api::{ApiError, Pages};
use crate::config::plan;
use crate::model::cause::BrakeCause;
use crate::model::record::{Ledger, Message, Rejection};
use crate::model::shard::Shard;
use crate::reporting::report::{Difference, Example, Judged};
use crate::spool::{Spool, SpoolError};
use crate::store::{Batch, Keys, StoreError};
use crate::support::histogram::Histogram;
use crate::support::progress::Progress;

use accounting::{Accountant, EXAMPLES, SAMPLES};
use intake::{PagesOut, fetch, shape_all};
use pool::{Change, Pool};
use queue::{Claim, CloseOnDrop, DoneOnDrop, LeaveOnDrop, Queue, Taken};
use shape::{ShapeStats, Shaper};
use write::{BatchResult, BatchWriter, Breaker, Shared};

pub use brake::Brake;
pub use decide::{Decided, Rules, decide};
pub use rejected::RejectionLog;
pub use shape::PageInput;
pub use write::{Spare, Target, Task};

/// What batches may take in memory between shaping and their fate, bytes.
const BUDGET: usize = 5 << 20;
/// Empty batches kept for their room.
const EMPTIES: usize = 2;
/// How often the calling thread looks at signals and at the pool when nothing happens.
const TICK: Duration = Duration::from_millis(100);
/// After a signal, batches have this long to finish before the rest is spooled.
pub const GRACE: Duration = Duration::from_secs(6);

/// Where records come from.
#[derive(Debug)]
pub enum Feed<'a> {
    /// Pages of the API, fetched by so many threads.
    Api {
        api: &'a plan::Api,
        pages: &'a Pages,
        threads: u32,
        clock_offset: i64,
    },
    /// Sheets at hand: a spool file.
    Sheets(Vec<PageInput>),
}

/// What the run may do when something fails, and how it is bounded.
#[derive(Debug)]
pub struct Limits<'a> {
    /// What stops a full run.
    pub brake: Brake,
    /// Only the records of this shard are taken; the others are none of this run's.
    pub shard: Option<Shard>,
    /// Of all records that come, so many are taken.
    pub records: Option<u64>,
    pub batch_size: u32,
    pub min_connections: u32,
    pub max_connections: u32,
    /// `log_and_continue` (true) or `stop`.
    pub continue_on_database_failure: bool,
    pub deadline: Option<Instant>,
    /// Set by a signal: end in order.
    pub stop: &'a AtomicBool,
    /// What has been logged of rejected records.
    pub rejections: &'a RejectionLog,
}

/// Where refused batches are kept.
#[derive(Debug)]
pub struct Keep<'a> {
    pub spool: &'a mut Spool,
    pub config_hash: &'a str,
}

/// One flow: what comes, by which rules, where it goes, and within which bounds.
#[derive(Debug)]
pub struct Job<'a> {
    pub feed: Feed<'a>,
    pub rules: Rules<'a>,
    pub target: Target<'a>,
    pub limits: Limits<'a>,
    /// None: what the database does not take is only counted.
    pub keep: Option<Keep<'a>>,
    /// Number of the last batch of this run, moved on: with the run's id it names a transaction.
    pub next_batch: &'a mut u64,
    /// Connections that writers may use meanwhile, the run's own first. None is open afterwards: none has survived.
    pub spare: &'a mut Spare,
    pub shown: Shown<'a>,
}

/// Who watches the run go on.
#[derive(Debug)]
pub struct Shown<'a> {
    pub progress: &'a Progress,
    /// Records accounted for, as other runs see them in the lease.
    pub accounted: &'a AtomicU64,
}

impl Shown<'_> {
    fn update(&self, ledger: &Ledger) {
        self.accounted.store(ledger.accounted(), Ordering::Relaxed);
        self.progress.update(ledger.accounted(), ledger.rejected);
    }
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Flow {
    pub ledger: Ledger,
    pub flagged: u64,
    pub resolved: u64,
    pub rejections_by_reason: BTreeMap<String, u64>,
    pub differences: Vec<Difference>,
    /// Of a dry run: the first rows that would be inserted.
    pub new_rows: Vec<Difference>,
    /// In a dry run: the first messages the API would be told.
    pub messages: Vec<Message>,
    /// Of a dry run: the first records that would be flagged and rejected, with the reason.
    pub for_review: Vec<Judged>,
    pub refused: Vec<Judged>,
    /// Ids of the first rejected and refused records: evidence for a case.
    pub samples: Vec<String>,
    /// The first rejected records of each reason.
    pub examples: BTreeMap<String, Vec<Example>>,
    pub db_retries: u64,
    pub db_seconds: Histogram,
    pub write_seconds: f64,
    pub transform_seconds: f64,
    pub decide_seconds: f64,
    /// Batches that went to the spool, or would have.
    pub batches_refused: u64,
    /// Records that could be neither written nor spooled; the next run fetches them again.
    pub lost_in_memory: u64,
    /// A thread that the run cannot do without was not to be had, or panicked: one sentence.
    pub broken: Option<String>,
    pub api_error: Option<ApiError>,
    /// A brake stopped it: which one, and a sentence.
    pub braked: Option<(BrakeCause, String)>,
    pub store_error: Option<StoreError>,
    pub spool_error: Option<SpoolError>,
    /// Largest number of writers, and whether the pool was at its maximum while batches waited.
    pub writers: u32,
    pub pool_exhausted: bool,
    /// The server had no connection to spare for a writer.
    pub connections_exhausted: bool,
    /// Seconds that shaping waited for the writers.
    pub pool_wait_seconds: f64,
    /// The latest time of change that a record had (rejected ones too), microseconds since 1970-01-01T00:00:00Z; where
    /// [`crate::transform::Transform::watch`] was asked for it.
    pub latest_change: Option<i64>,
    /// Records without a time of change that could be read.
    pub undated: u64,
}

impl Flow {
    /// Adds what another flow of the same run came to.
    pub fn absorb(&mut self, other: Self) {
        self.ledger.add(&other.ledger);
        self.flagged += other.flagged;
        self.resolved += other.resolved;
        for (reason, count) in other.rejections_by_reason {
            *self.rejections_by_reason.entry(reason).or_default() += count;
        }
        self.differences.extend(other.differences);
        self.new_rows.extend(other.new_rows);
        self.messages.extend(other.messages);
        self.for_review.extend(other.for_review);
        self.refused.extend(other.refused);
        self.samples.extend(other.samples);
        self.samples.truncate(SAMPLES);
        for (reason, examples) in other.examples {
            let known = self.examples.entry(reason).or_default();
            known.extend(examples);
            known.truncate(EXAMPLES);
        }
        self.db_retries += other.db_retries;
        self.db_seconds.merge(&other.db_seconds);
        self.write_seconds += other.write_seconds;
        self.transform_seconds += other.transform_seconds;
        self.decide_seconds += other.decide_seconds;
        self.batches_refused += other.batches_refused;
        self.lost_in_memory += other.lost_in_memory;
        self.broken = self.broken.take().or(other.broken);
        self.api_error = self.api_error.take().or(other.api_error);
        self.braked = self.braked.take().or(other.braked);
        self.store_error = self.store_error.take().or(other.store_error);
        self.spool_error = self.spool_error.take().or(other.spool_error);
        self.writers = self.writers.max(other.writers);
        self.pool_exhausted |= other.pool_exhausted;
        self.connections_exhausted |= other.connections_exhausted;
        self.pool_wait_seconds += other.pool_wait_seconds;
        self.latest_change = self.latest_change.max(other.latest_change);
        self.undated += other.undated;
    }
}

impl Claim for Keys {
    fn meets(&self, other: &Self) -> bool {
        Self::meets(self, other)
    }
}

enum Event<'a> {
    /// Records of a page, in page order, that have been shaped.
    Shaped(u64),
    /// With what it weighs, and its keys, which are held until its fate has been entered: a batch that waits to be spooled
    /// is in memory as well.
    Settled(BatchResult, DoneOnDrop<'a, Keys, Box<Batch>>),
    FetchFailed(ApiError),
    /// Fingerprint and sentence.
    Braked((BrakeCause, String)),
    /// A writer went home because the server has no connection for it.
    ConnectionsExhausted,
    /// A thread that sends events has ended, in whatever way.
    Ended,
}

/// Tells the calling thread that a thread has ended, a panic included.
struct EndOnDrop<'a>(Sender<Event<'a>>);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        // The calling thread leaves only after it has heard of every end.
        self.0.send(Event::Ended).unwrap_or_default();
    }
}

/// Runs the flow from feed to target and returns when every record has its fate.
///
/// Failures of the API, the database and the spool are results, in [`Flow`]. So are a thread that panicked and one that
/// could not be started: what was fetched by then is written or spooled all the same.
pub fn run(job: Job<'_>) -> Flow {
    let Job {
        ref feed,
        rules,
        ref target,
        ref limits,
        keep,
        next_batch,
        spare,
        ref shown,
    } = job;
    let most_writers = limits.max_connections.max(1);
    let writers = limits.min_connections.clamp(1, most_writers);
    let queue: Queue<Keys, Box<Batch>> = Queue::new(BUDGET, writers);
    let shared = Shared {
        breaker: Breaker::default(),
        give_up: Arc::default(),
        retries: AtomicU64::new(0),
        deadline: limits.deadline,
        spare: Mutex::new(std::mem::take(spare)),
    };
    let (events, inbox) = bounded::<Event<'_>>(64);
    let (empties, emptied) = bounded::<Batch>(EMPTIES);
    let fetchers = match feed {
        Feed::Api { threads, .. } => (*threads).max(1),
        Feed::Sheets(_) => 1,
    };
    let stop_pages = || {
        if let Feed::Api { pages, .. } = feed {
            pages.stop();
        }
    };

    let flow = std::thread::scope(|scope| {
        let mut threads = Vec::new();
        // Nothing below leaves this scope early: a thread that waits for one that never came would wait for ever.
        let mut broken: Option<String> = None;
        let pages_out = start_fetching(scope, feed, fetchers, &mut threads, &mut broken);

        let shaping = {
            let (events, queue) = (events.clone(), &queue);
            let columns = Arc::clone(&target.columns);
            spawn(scope, "shape", move || {
                let _end = EndOnDrop(events.clone());
                let _close = CloseOnDrop(queue);
                let mut shaper = Shaper::new(
                    rules,
                    columns,
                    queue,
                    emptied,
                    limits.batch_size,
                    next_batch,
                );
                if let Task::Compare { differences } = target.task {
                    shaper.show_verdicts(differences);
                }
                shape_all(shaper, &pages_out, &events, limits)
            })
        };
        let shaping = shaping
            .inspect_err(|_| queue.close())
            .map_err(|error| broken.get_or_insert(error))
            .ok();

        let write = |number: u32| {
            let (events, queue, shared) = (events.clone(), &queue, &shared);
            let work = move || {
                let _end = EndOnDrop(events.clone());
                write_all(queue, &events, BatchWriter::new(target, shared, rules));
            };
            spawn(scope, &format!("write-{number}"), work)
        };

        let mut pool = Pool::new(writers, most_writers);
        let mut started = 0;
        for number in 0..pool.size {
            match write(number) {
                Ok(thread) => {
                    threads.push(thread);
                    started += 1;
                }
                Err(error) => {
                    queue.leave();
                    if number == 0 {
                        broken.get_or_insert(error);
                    } else {
                        pool.could_not_start(&error);
                    }
                }
            }
        }

        let mut accountant = Accountant {
            flow: Flow::default(),
            keep,
            limits,
            target,
            shared: &shared,
            empties,
        };
        let mut grace: Option<Instant> = None;
        // Shaping and the writers.
        let mut at_work = u32::from(shaping.is_some()) + started;
        while at_work > 0 {
            match inbox.recv_timeout(TICK) {
                Ok(Event::Ended) => at_work -= 1,
                Ok(event) => {
                    if matches!(event, Event::ConnectionsExhausted) {
                        pool.connections_exhausted();
                    }
                    accountant.enter(event);
                    shown.update(&accountant.flow.ledger);
                }
                // This thread holds a sender itself, so none of the others can have been the last.
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
            if broken.is_some()
                || queue.is_deserted()
                || accountant.must_stop()
                || limits.stop.load(Ordering::Relaxed)
            {
                stop_pages();
            }
            if limits.stop.load(Ordering::Relaxed)
                && *grace.get_or_insert_with(|| Instant::now() + GRACE) < Instant::now()
            {
                shared.give_up.store(true, Ordering::Relaxed);
            }
            if let Feed::Api { pages, .. } = &feed
                && let Some(total) = pages.announced_total()
                && limits.shard.is_none()
            {
                shown.progress.announce(total);
            }
            match pool.tick(&queue, accountant.flow.ledger.accounted()) {
                Change::Grow => match write(pool.size - 1) {
                    Ok(thread) => {
                        threads.push(thread);
                        queue.welcome_one();
                        at_work += 1;
                    }
                    Err(error) => pool.could_not_start(&error),
                },
                Change::Shrink => queue.retire_one(),
                Change::None => {}
            }
        }
        if broken.is_some() {
            stop_pages();
        }
        for batch in queue.take_rest() {
            accountant.refused(&batch, None);
        }
        let stats = match shaping.map(ScopedJoinHandle::join) {
            Some(Ok(stats)) => stats,
            Some(Err(_)) => {
                broken.get_or_insert_with(|| "the shaping thread panicked".to_owned());
                ShapeStats::default()
            }
            None => ShapeStats::default(),
        };
        for thread in threads {
            let name = thread.thread().name().unwrap_or("pipeline").to_owned();
            if thread.join().is_err() {
                broken.get_or_insert_with(|| format!("thread {name} panicked"));
            }
        }
        shown.update(&accountant.flow.ledger);
        let mut flow = accountant.close(stats, &pool);
        flow.broken = broken;
        flow
    });
    *spare = shared
        .spare
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    flow
}

/// Starts the threads that fetch. Pages come out of what is returned, as many at once as there are permits.
fn start_fetching<'scope, 'env: 'scope>(
    scope: &'scope std::thread::Scope<'scope, 'env>,
    feed: &'env Feed<'env>,
    fetchers: u32,
    threads: &mut Vec<ScopedJoinHandle<'scope, ()>>,
    broken: &mut Option<String>,
) -> PagesOut {
    let (pages_in, pages) = bounded::<(u64, Result<PageInput, ApiError>)>(4);
    let (permits, returned) = bounded::<()>(fetchers as usize * 2);
    for _ in 0..fetchers * 2 {
        // It has room for all of them.
        permits.try_send(()).unwrap_or_default();
    }
    for number in 0..fetchers {
        let (pages_in, permit) = (pages_in.clone(), returned.clone());
        let work = move || fetch(feed, &permit, &pages_in);
        match spawn(scope, &format!("fetch-{number}"), work) {
            Ok(thread) => threads.push(thread),
            Err(error) if number == 0 => {
                broken.get_or_insert(error);
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

/// One writer: takes batches until there are none, or until it is one too many.
fn write_all<'q>(
    queue: &'q Queue<Keys, Box<Batch>>,
    events: &Sender<Event<'q>>,
    mut writer: BatchWriter<'_>,
) {
    let mut place = LeaveOnDrop {
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
            // The event that this thread has ended follows.
            events.send(Event::ConnectionsExhausted).unwrap_or_default();
            break;
        };
        // The calling thread listens until every writer has ended.
        events
            .send(Event::Settled(result, held))
            .unwrap_or_default();
    }
    writer.go_home();
}

fn spawn<'scope, T: Send + 'scope>(
    scope: &'scope std::thread::Scope<'scope, '_>,
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

/// The reason of a rejection as reports have it.
fn reason(rejection: &Rejection) -> String {
    match (rejection.reason.as_str(), rejection.rules.first()) {
        ("decision", Some(rule)) => format!("decision {rule}"),
        (reason, _) => reason.to_owned(),
    }
}
