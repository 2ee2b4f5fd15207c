//! The flow of records through the stages. The stages meet in this room only.
//!
//! ```text
//! fetch (N threads) ──pages──▶ shape (1 thread) ──batches──▶ write (2..10 threads) ──results──▶ the calling thread
//! ```
//!
//! `threads.rs` starts and joins the threads. The calling thread alone owns the ledger, the spool and the progress bar
//! (`accounting.rs`). Every channel is bounded, so a stalled database holds back the fetch instead of filling the memory.
//! Batches are consecutive records. A batch goes to a writer only when no other writer has an earlier batch with one of its
//! keys, so two versions of one record never race. Each page needs one of a fixed number of permits until it is shaped, so
//! the number of pages that wait behind a slow one is bounded, too.

mod accounting;
mod brake;
mod decide;
mod flow;
mod intake;
mod pool;
mod queue;
mod rejected;
mod shape;
mod threads;
mod write;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;

use crate::api::{ApiError, Pages};
use crate::config::plan;
use crate::model::clock::DatabaseClock;
use crate::model::record::{Ledger, Rejection};
use crate::model::shard::Shard;
use crate::spool::Spool;
use crate::store::{Batch, Keys};
use crate::support::progress::Progress;

use accounting::Accountant;
use pool::Pool;
use queue::{Claim, DoneOnDrop, Queue};
use threads::{Stages, Threads};
use write::{BatchResult, Shared};

pub use brake::Brake;
pub use decide::{Decided, Refusal, Rules, decide};
pub use flow::{Braked, ChangeTimes, Counts, Ends, Examples, Flow, PoolFigures, Timings};
pub use rejected::RejectionLog;
pub use shape::PageInput;
pub use write::{Spare, Target, Task};

/// Memory for all batches, from shaping to the end of their transaction, in bytes.
const BUDGET: usize = 5 << 20;
/// How many empty batches are kept, so that their memory is used again.
const EMPTIES: usize = 2;
/// How many events may wait for the calling thread.
const EVENTS: usize = 64;
/// How often the calling thread checks signals and the pool while no event comes.
const TICK: Duration = Duration::from_millis(100);
/// After a signal, batches have this long to be written before the rest is spooled.
pub const GRACE: Duration = Duration::from_secs(6);

/// Where the records come from.
#[derive(Debug)]
pub enum Feed<'a> {
    /// Pages of the API, fetched by this many threads.
    Api {
        api: &'a plan::Api,
        pages: &'a Pages,
        threads: u32,
        /// PostgreSQL's clock, which tells when a page was requested.
        clock: DatabaseClock,
    },
    /// Records that were read already: a spool file, or stored rejections.
    Inputs(Vec<PageInput>),
}

/// The limits of a flow, and what may stop it.
#[derive(Debug)]
pub struct Limits<'a> {
    /// The brake that may stop a full run.
    pub brake: Brake,
    /// Only records of this shard are processed. Others are not counted either.
    pub shard: Option<Shard>,
    /// At most this many records are processed.
    pub records: Option<u64>,
    pub batch_size: u32,
    pub min_connections: u32,
    pub max_connections: u32,
    /// True for `on_failure: log_and_continue`, false for `stop`.
    pub continue_on_database_failure: bool,
    pub deadline: Option<Instant>,
    /// Set by a signal: the flow ends in order.
    pub stop: &'a AtomicBool,
    /// Set by a signal: the progress is logged.
    pub progress_wanted: &'a AtomicBool,
    /// Which rejected records have been logged.
    pub rejections: &'a RejectionLog,
}

/// Where batches go that the database did not take.
#[derive(Debug)]
pub struct Keep<'a> {
    pub spool: &'a mut Spool,
    pub config_hash: &'a str,
}

/// One flow: its records, rules, target and limits.
#[derive(Debug)]
pub struct Job<'a> {
    pub feed: Feed<'a>,
    pub rules: Rules<'a>,
    pub target: Target<'a>,
    pub limits: Limits<'a>,
    /// None: batches that the database does not take are only counted.
    pub keep: Option<Keep<'a>>,
    /// The number of the next batch, which the flow increases. With the run's id it identifies a transaction.
    pub next_batch: &'a mut u64,
    /// Connections for the writers, first that of the run. If none is open afterwards, all were lost.
    pub spare: &'a mut Spare,
    pub shown: Shown<'a>,
}

/// Who is informed of the progress.
#[derive(Debug)]
pub struct Shown<'a> {
    pub progress: &'a Progress,
    /// The number of records accounted for, which the lease shows to other runs.
    pub accounted: &'a AtomicU64,
}

impl Shown<'_> {
    fn update(&self, ledger: &Ledger) {
        self.accounted.store(ledger.accounted(), Ordering::Relaxed);
        self.progress.update(ledger.accounted(), ledger.rejected);
    }
}

impl Claim for Keys {
    fn shares_key_with(&self, other: &Self) -> bool {
        Self::meets(self, other)
    }
}

/// What threads report to the calling thread.
enum Event<'a> {
    /// This many records of a page have been shaped. The events come in page order.
    Shaped(u64),
    /// The result of a batch. Until it is entered, its keys stay claimed and its memory counted, since it may be spooled.
    Settled(BatchResult, DoneOnDrop<'a, Keys, Box<Batch>>),
    FetchFailed(ApiError),
    Braked(Braked),
    /// A writer has ended because the server had no free connection.
    ConnectionsExhausted,
    /// A thread that sends events has ended, normally or by a panic.
    Ended,
}

/// Runs the flow from feed to target, and returns when every record is accounted for.
///
/// Failures of API, database, spool and threads are results in [`Flow`]: what was fetched is still written or spooled.
pub fn run(job: Job<'_>) -> Flow {
    let Job {
        feed,
        rules,
        target,
        limits,
        keep,
        next_batch,
        spare,
        shown,
    } = job;
    let most_writers = limits.max_connections.max(1);
    let pool = Pool::new(limits.min_connections.clamp(1, most_writers), most_writers);
    let queue = Queue::new(BUDGET, pool.size);
    let shared = Shared::new(limits.deadline, std::mem::take(spare));
    let (events, inbox) = bounded(EVENTS);
    let (empties, emptied) = bounded(EMPTIES);
    let flow = std::thread::scope(|scope| {
        let stages = Stages {
            feed: &feed,
            rules,
            target: &target,
            limits: &limits,
            queue: &queue,
            shared: &shared,
            events,
        };
        let mut accountant = Accountant {
            flow: Flow::default(),
            keep,
            unsealed: 0,
            limits: &limits,
            target: &target,
            shared: &shared,
            empties,
        };
        // Nothing may leave the scope early: threads would wait for ever for one that was never started.
        let mut threads = Threads::start(scope, stages, pool, emptied, next_batch);
        threads.handle_events(&inbox, &mut accountant, &shown);
        for batch in queue.take_rest() {
            accountant.refused(&batch, None);
        }
        accountant.seal();
        let ended = threads.join();
        shown.update(&accountant.flow.ledger);
        accountant.close(ended)
    });
    *spare = shared.take_connections();
    flow
}

/// The reason of a rejection as reports show it.
fn reason(rejection: &Rejection) -> Cow<'_, str> {
    match (rejection.reason, rejection.rules.first()) {
        ("decision", Some(rule)) => Cow::Owned(["decision ", rule].concat()),
        (reason, _) => Cow::Borrowed(reason),
    }
}

/// Adds 1 to the count of `name`, and returns the sum.
fn count_one_more(counts: &mut BTreeMap<String, u64>, name: &str) -> u64 {
    if let Some(count) = counts.get_mut(name) {
        *count += 1;
        return *count;
    }
    counts.insert(name.to_owned(), 1);
    1
}
