//! The flow of records through the stages: the only room where stages meet.
//!
//! ```text
//! fetch (N threads) ──pages──▶ shape (1 thread) ──batches──▶ write (2..10 threads) ──results──▶ the calling thread
//! ```
//!
//! `threads.rs` starts and joins the threads. The calling thread alone owns the ledger, the spool and the progress bar
//! (`accounting.rs`). Every channel is bounded, so a stalled database holds back the fetch instead of filling the memory.
//! Batches are consecutive records. A batch goes to a writer only when no other writer has an earlier batch with one of
//! its keys, so two versions of one record never race. A page holds one of a fixed number of permits until it has been
//! shaped, so that pages which are ahead of a slow one are bounded, too.

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

/// Memory for all batches between shaping and the end of their transaction, bytes.
const BUDGET: usize = 5 << 20;
/// Emptied batches whose memory is kept for later ones.
const EMPTIES: usize = 2;
/// Events that may wait for the calling thread.
const EVENTS: usize = 64;
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
        /// PostgreSQL's: tells when a page was requested.
        clock: DatabaseClock,
    },
    /// Records at hand: a spool file, or stored rejections.
    Inputs(Vec<PageInput>),
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
    /// Set by a signal: say how far the run is.
    pub progress_wanted: &'a AtomicBool,
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

impl Claim for Keys {
    fn meets(&self, other: &Self) -> bool {
        Self::meets(self, other)
    }
}

/// What the threads tell the calling thread.
enum Event<'a> {
    /// So many records of a page, in page order, have been shaped.
    Shaped(u64),
    /// What became of a batch. Its keys stay claimed, and its memory stays counted, until the result has been entered: a
    /// batch that waits to be spooled is in memory as well.
    Settled(BatchResult, DoneOnDrop<'a, Keys, Box<Batch>>),
    FetchFailed(ApiError),
    Braked(Braked),
    /// A writer has ended because the server has no connection for it.
    ConnectionsExhausted,
    /// A thread that sends events has ended, in whatever way.
    Ended,
}

/// Runs the flow from feed to target and returns when every record is accounted for.
///
/// Failures of the API, the database and the spool are results, in [`Flow`]. So are a thread that panicked and one that
/// could not be started: what was fetched by then is written or spooled all the same.
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
        // Nothing here leaves the scope early: a thread would wait for ever for one that was never started.
        let mut threads = Threads::start(scope, stages, pool, emptied, next_batch);
        threads.attend(&inbox, &mut accountant, &shown);
        for batch in queue.take_rest() {
            accountant.refused(&batch, None);
        }
        accountant.seal();
        let ended = threads.join();
        shown.update(&accountant.flow.ledger);
        accountant.close(ended)
    });
    *spare = shared.left_connections();
    flow
}

/// The reason of a rejection as reports have it.
fn reason(rejection: &Rejection) -> Cow<'_, str> {
    match (rejection.reason.as_str(), rejection.rules.first()) {
        ("decision", Some(rule)) => Cow::Owned(["decision ", rule].concat()),
        (reason, _) => Cow::Borrowed(reason),
    }
}

/// Counts one more of a name.
fn count_one_more(counts: &mut BTreeMap<String, u64>, name: &str) -> u64 {
    if let Some(count) = counts.get_mut(name) {
        *count += 1;
        return *count;
    }
    counts.insert(name.to_owned(), 1);
    1
}
