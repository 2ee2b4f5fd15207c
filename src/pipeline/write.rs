//! One writer: it takes batches, commits them over its own connection, and returns those that the database did not take.
//!
//! The first writer that gets a batch uses the connection of the run, so a small run needs only one.
//!
//! If the server has no free connection, the writer leaves its batch to the others and ends.
//!
//! A batch that failed is tried once more on a new connection. Before that the batch log is read, which shows whether the
//! first try was committed and only the reply was lost. So no batch is written or counted twice.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::decide::{Rules, explain};
use crate::config::plan::{self, KeepPayload};
use crate::model::clock::DatabaseClock;
use crate::model::record::Rejection;
use crate::store::{
    self, Batch, BatchOutcome, Class, Columns, Connection, Difference, Layout, Opening, StoreError,
    Texts, Writer,
};
use crate::transform::Mask;

/// Tries of a batch that conflicts with another transaction (dead-lock, serialisation failure).
const CONFLICT_TRIES: u32 = 5;

/// Open connections that are kept after their writers have ended.
const MOST_SPARE: usize = 2;

/// What writers do with batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    Write,
    /// Compare it with the stored rows, in a read-only transaction, and collect at most this many differences.
    Compare {
        differences: usize,
    },
}

/// The target of a flow.
#[derive(Debug)]
pub struct Target<'a> {
    pub database: &'a plan::Database,
    /// The columns of a row.
    pub columns: Arc<Columns>,
    /// The layout of the tables; none where the database could not be reached.
    pub layout: Option<&'a Layout>,
    pub run_id: uuid::Uuid,
    /// PostgreSQL's clock, which stamps the rows.
    pub clock: DatabaseClock,
    pub task: Task,
    /// Builds the messages of write-back; none where write-back is off.
    pub message_builder: Option<&'a store::MessageBuilder>,
    /// Removes the values from rejected records, where they are not to be stored.
    pub mask: &'a Mask,
    /// The hash of the mapping and the rules.
    pub config_hash: &'a str,
}

/// What all writers share: the breaker, the end of the run, and spare connections.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) breaker: Breaker,
    /// Set when nothing more is to be written. The remaining batches go to the spool.
    pub(super) give_up: Arc<AtomicBool>,
    pub(super) retries: AtomicU64,
    pub(super) deadline: Option<Instant>,
    /// Connections that no writer uses at the moment.
    pub(super) spare: Mutex<Spare>,
}

impl Shared {
    /// A closed breaker, and these spare connections.
    pub(super) fn new(deadline: Option<Instant>, spare: Spare) -> Self {
        Self {
            breaker: Breaker::default(),
            give_up: Arc::default(),
            retries: AtomicU64::new(0),
            deadline,
            spare: Mutex::new(spare),
        }
    }

    /// Takes the connections that the writers have left.
    pub(super) fn take_connections(&self) -> Spare {
        std::mem::take(&mut *self.spare())
    }

    /// A poisoned lock is used as it is: a panic cannot leave the connections half-changed.
    fn spare(&self) -> std::sync::MutexGuard<'_, Spare> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_spare(&self) -> Option<Connection> {
        let mut spare = self.spare();
        let open = spare.open.pop();
        let opening = if open.is_none() {
            spare.opening.take()
        } else {
            None
        };
        // The lock is freed first, since waiting for the connection may take long.
        drop(spare);
        let opened = || {
            let opened = opening?.wait(&self.give_up, self.deadline)?;
            // The next try reports why it failed.
            opened.inspect_err(|error| log::debug!("{error}")).ok()
        };
        open.or_else(opened)
            .filter(|connection| !connection.is_dead())
    }
}

/// Spare connections.
#[derive(Debug, Default)]
pub struct Spare {
    /// Open connections: that of the run is the last one, which a writer takes first. Writers that have ended leave theirs here:
    /// a server takes milliseconds to end a connection, and a run that is nearly over need not wait for it.
    pub open: Vec<Connection>,
    /// A connection for the second writer, which is being opened since the start of the run.
    pub opening: Option<Opening>,
}

/// The result of a batch.
#[derive(Debug)]
pub(super) enum BatchResult {
    Written(Box<Batch>, BatchOutcome, Vec<Difference>),
    /// The batch was not taken and has to be spooled. The error is the first one, and none where nothing was tried.
    Refused(Box<Batch>, Option<StoreError>),
}

/// The outcome of a batch, and for a dry run the differences.
type Written = (BatchOutcome, Vec<Difference>);

/// Writes batches, one after the other.
pub(super) struct BatchWriter<'a> {
    target: &'a Target<'a>,
    shared: &'a Shared,
    session: Option<Connection>,
    writer: Option<Writer>,
    rules: Rules<'a>,
}

impl<'a> BatchWriter<'a> {
    /// A writer without a connection. It opens one for its first batch.
    pub(super) fn new(target: &'a Target<'a>, shared: &'a Shared, rules: Rules<'a>) -> Self {
        let writer = target.layout.map(|layout| {
            let mut writer = Writer::new(target.database, layout, target.run_id, target.clock);
            writer.set_config_hash(target.config_hash);
            if let Some(message_builder) = target.message_builder {
                writer.enable_write_back(target.database, message_builder.clone());
            }
            writer
        });
        Self {
            target,
            shared,
            session: None,
            writer,
            rules,
        }
    }

    /// Leaves its connection to the next writer, or to the run; closes it where enough wait already.
    pub(super) fn leave_connection(self) {
        let session = self.session.filter(|session| !session.is_dead());
        let mut spare = self.shared.spare();
        if spare.open.len() < MOST_SPARE {
            spare.open.extend(session);
        }
    }

    /// Writes a batch and returns its result. None: the server had no connection, and the batch was returned to the queue.
    pub(super) fn settle(
        &mut self,
        mut batch: Box<Batch>,
        mut give_back: impl FnMut(Box<Batch>) -> Result<(), Box<Batch>>,
    ) -> Option<BatchResult> {
        let mut first: Option<StoreError> = None;
        let mut tries = 0;
        loop {
            let late = self
                .shared
                .deadline
                .is_some_and(|deadline| Instant::now() >= deadline);
            if late
                || self.shared.give_up.load(Ordering::Relaxed)
                || !self.shared.breaker.allows_try()
            {
                return Some(BatchResult::Refused(batch, first));
            }
            tries += 1;
            let error = match self.attempt(&batch, first.is_some()) {
                Ok(Some((outcome, differences))) => {
                    self.shared.breaker.succeeded();
                    return Some(BatchResult::Written(batch, outcome, differences));
                }
                Ok(None) => return Some(BatchResult::Refused(batch, first)),
                Err(error) => error,
            };
            // If an earlier try may have been committed, this writer keeps the batch, since only it asks the batch log.
            if error.is_connections_exhausted() && first.is_none() {
                match give_back(batch) {
                    Ok(()) => return None,
                    Err(own) => batch = own,
                }
            }
            log::info!("batch {} was not taken: {error}", batch.number);
            let usable = error.is_conflict() || error.may_be_of_a_row();
            if self.session.as_ref().is_some_and(Connection::is_dead) || !usable {
                self.session = None;
            }
            let again = match error.class() {
                Class::Transient if error.is_conflict() => tries < CONFLICT_TRIES,
                Class::Transient => tries < 2,
                // The writer switches to another statement for the next try.
                Class::Data | Class::Fatal => error.is_of_refused_copy() && tries < CONFLICT_TRIES,
            };
            if !again {
                // If a row is at fault, other batches may still be taken, so the breaker does not count it.
                if !error.may_be_of_a_row() {
                    self.shared.breaker.failed();
                }
                return Some(BatchResult::Refused(
                    batch,
                    Some(error_to_report(first, error)),
                ));
            }
            self.shared.retries.fetch_add(1, Ordering::Relaxed);
            if error.is_conflict() {
                std::thread::sleep(Duration::from_millis(fastrand::u64(
                    5..50 * u64::from(tries),
                )));
            }
            first.get_or_insert(error);
        }
    }

    /// One try. None if the tables were never inspected, because the database was away at the start.
    fn attempt(
        &mut self,
        batch: &Batch,
        asked_before: bool,
    ) -> Result<Option<Written>, StoreError> {
        let Some(writer) = self.writer.as_mut() else {
            return Ok(None);
        };
        let session = if let Some(session) = self.session.as_mut() {
            session
        } else {
            // If a connection died of its age (`idle_session_timeout`, a firewall), the spare may be dead, so a new one is used.
            let spare = self.shared.take_spare().filter(|_| !asked_before);
            let mut session = if let Some(spare) = spare {
                spare
            } else {
                let mut limit = self.target.database.connection_timeout;
                if let Some(deadline) = self.shared.deadline {
                    limit = limit.min(deadline.saturating_duration_since(Instant::now()));
                }
                Connection::open_unless(&self.shared.give_up, self.target.database, limit)?
            };
            session.give_up_on(Arc::clone(&self.shared.give_up));
            self.session.insert(session)
        };
        session.set_deadline(self.shared.deadline);
        match self.target.task {
            Task::Compare { differences } => writer.compare(session, batch, differences).map(Some),
            Task::Write => {
                if asked_before
                    && let Some(outcome) = store::committed(
                        session,
                        self.target.database,
                        self.target.run_id,
                        batch.number,
                    )?
                {
                    return Ok(Some((outcome, Vec::new())));
                }
                let keep = self.target.database.keep_payload;
                let mask = self.target.mask;
                let masked = |rejection: &Rejection| match keep {
                    KeepPayload::Masked => mask.apply(&rejection.payload, &rejection.errors),
                    KeepPayload::Full | KeepPayload::None => String::new(),
                };
                let is_full = keep == KeepPayload::Full;
                let texts = Texts {
                    // The explanation quotes the values that were decided on.
                    explain: &|raw| is_full.then(|| explain(self.rules, raw)).flatten(),
                    payload: (!is_full).then_some(&masked),
                };
                writer
                    .write_explained(session, batch, texts)
                    .map(|outcome| Some((outcome, Vec::new())))
            }
        }
    }
}

/// The error to report for a batch: the first, unless the last needs a person, as when the server takes no writes.
fn error_to_report(first: Option<StoreError>, last: StoreError) -> StoreError {
    let needs_person = last.class() != Class::Transient || last.kind() == "read_only";
    first.filter(|_| !needs_person).unwrap_or(last)
}

/// A circuit breaker: after a few failures in a row nothing is tried for a while. The result of the next batch then decides.
#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<BreakerState>);

#[derive(Debug, Default)]
struct BreakerState {
    failures: u32,
    /// Until this time nothing is tried. After it one batch is tried, and the time is moved on for the others.
    open_until: Option<Instant>,
}

impl Breaker {
    const MAX_FAILURES: u32 = 3;
    const PAUSE: Duration = Duration::from_secs(1);
    const LONGEST_PAUSE: Duration = Duration::from_secs(30);

    fn state(&self) -> std::sync::MutexGuard<'_, BreakerState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn allows_try(&self) -> bool {
        let mut state = self.state();
        let Some(until) = state.open_until else {
            return true;
        };
        let now = Instant::now();
        if now < until {
            return false;
        }
        // This batch is tried, and the others wait for its result.
        state.open_until = Some(now + Self::pause(state.failures));
        true
    }

    fn pause(failures: u32) -> Duration {
        let doublings = failures.saturating_sub(Self::MAX_FAILURES).min(5);
        (Self::PAUSE * 2_u32.pow(doublings)).min(Self::LONGEST_PAUSE)
    }

    fn succeeded(&self) {
        *self.state() = BreakerState::default();
    }

    fn failed(&self) {
        let mut state = self.state();
        state.failures += 1;
        if state.failures >= Self::MAX_FAILURES {
            if state.failures == Self::MAX_FAILURES {
                log::warn!(
                    "the database failed {} times in a row: batches go to the spool, it is probed now and then",
                    state.failures
                );
            }
            state.open_until = Some(Instant::now() + Self::pause(state.failures));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_breaker_opens_after_three_failures_and_closes_on_success() {
        let breaker = Breaker::default();
        breaker.failed();
        breaker.failed();
        assert!(breaker.allows_try());
        breaker.failed();
        assert!(!breaker.allows_try());
        breaker.state().open_until = Some(Instant::now());
        assert!(
            breaker.allows_try(),
            "a probe passes when the pause is over"
        );
        assert!(!breaker.allows_try(), "but only one");
        breaker.succeeded();
        assert!(breaker.allows_try());
    }

    #[test]
    fn the_pause_grows_and_is_bounded() {
        assert_eq!(Breaker::pause(3), Duration::from_secs(1));
        assert_eq!(Breaker::pause(5), Duration::from_secs(4));
        assert_eq!(Breaker::pause(500), Duration::from_secs(30));
    }
}
