//! One writer: takes batches, commits them over its own connection, and hands back what the database did not take.
//!
//! The first writer that has a batch takes the connection that the run has already, so a small run needs only one.
//!
//! Where the server has no connection to spare, the writer leaves its batch to the others and ends.
//!
//! A batch that failed is tried once more on a new connection. Before that the batch log is read: it tells whether the first try
//! was committed and only the reply was lost. So no batch is written, or counted, twice.

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

/// Tries of a batch whose failure is a conflict with somebody else's transaction (dead-lock, serialisation).
const CONFLICT_TRIES: u32 = 5;

/// What writers do with a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Commit it.
    Write,
    /// Compare it with what is stored, in a read-only transaction, and collect up to so many differences.
    Compare { differences: usize },
}

/// Where batches go.
#[derive(Debug)]
pub struct Target<'a> {
    pub database: &'a plan::Database,
    /// What a row consists of.
    pub columns: Arc<Columns>,
    /// The tables as they are; None when the database could not be asked.
    pub layout: Option<&'a Layout>,
    pub run_id: uuid::Uuid,
    /// PostgreSQL's: stamps what is written.
    pub clock: DatabaseClock,
    pub task: Task,
    /// Makes the messages of write-back; None: it is off.
    pub message_builder: Option<&'a store::MessageBuilder>,
    /// Takes the values out of rejected records, where they are not to be kept.
    pub mask: &'a Mask,
    /// Names the mapping and the rules: the hash of both files.
    pub config_hash: &'a str,
}

/// What writers share: the breaker, the end of the run, and a connection.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) breaker: Breaker,
    /// Set when nothing more is to be written: the batches that are left go to the spool.
    pub(super) give_up: Arc<AtomicBool>,
    pub(super) retries: AtomicU64,
    pub(super) deadline: Option<Instant>,
    /// Connections that nobody uses at the moment.
    pub(super) spare: Mutex<Spare>,
}

impl Shared {
    pub(super) fn new(deadline: Option<Instant>, spare: Spare) -> Self {
        Self {
            breaker: Breaker::default(),
            give_up: Arc::default(),
            retries: AtomicU64::new(0),
            deadline,
            spare: Mutex::new(spare),
        }
    }

    /// Takes the connections that writers have left.
    pub(super) fn left_connections(&self) -> Spare {
        std::mem::take(&mut *self.spare())
    }

    /// A panic of a thread that held the lock cannot have left them half-changed.
    fn spare(&self) -> std::sync::MutexGuard<'_, Spare> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_spare(&self) -> Option<Connection> {
        let mut spare = self.spare();
        let open = spare.open.take();
        let opening = if open.is_none() {
            spare.opening.take()
        } else {
            None
        };
        // Free the lock first: waiting for the connection may take long.
        drop(spare);
        open.or_else(|| opening?.wait(&self.give_up, self.deadline))
            .filter(|connection| !connection.is_dead())
    }
}

/// Connections at hand.
#[derive(Debug, Default)]
pub struct Spare {
    /// That of the run, until a writer takes it, and again after that writer has ended.
    pub open: Option<Connection>,
    /// One that is being opened since the start of the run, for the second writer.
    pub opening: Option<Opening>,
}

/// What became of a batch.
#[derive(Debug)]
pub(super) enum BatchResult {
    Written(Box<Batch>, BatchOutcome, Vec<Difference>),
    /// Not taken: to be spooled. The error is the first one; None when nothing was tried.
    Refused(Box<Batch>, Option<StoreError>),
}

/// What PostgreSQL made of a batch, and in a dry run what would change.
type Written = (BatchOutcome, Vec<Difference>);

/// Writes one batch after the other until there are none.
pub(super) struct BatchWriter<'a> {
    target: &'a Target<'a>,
    shared: &'a Shared,
    session: Option<Connection>,
    writer: Option<Writer>,
    rules: Rules<'a>,
}

impl<'a> BatchWriter<'a> {
    pub(super) fn new(target: &'a Target<'a>, shared: &'a Shared, rules: Rules<'a>) -> Self {
        let writer = target.layout.map(|layout| {
            let mut writer = Writer::new(target.database, layout, target.run_id, target.clock);
            writer.judged_by(target.config_hash);
            if let Some(message_builder) = target.message_builder {
                writer.tell_api(target.database, message_builder.clone());
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

    /// Leaves its connection to the next writer, or to the run.
    pub(super) fn leave_connection(self) {
        let session = self.session.filter(|session| !session.is_dead());
        let mut spare = self.shared.spare();
        // Closing a surplus connection needs no lock.
        let surplus = if spare.open.is_none() {
            spare.open = session;
            None
        } else {
            session
        };
        drop(spare);
        drop(surplus);
    }

    /// Writes a batch and says what became of it. None: the server had no connection for this writer, and others have taken the batch back.
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
                || !self.shared.breaker.lets_through()
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
            // Not where an earlier try may have been committed: this writer has to ask the batch log.
            if error.is_crowded() && first.is_none() {
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
                // The writer goes on with another statement.
                Class::Data | Class::Fatal => error.is_of_refused_copy() && tries < CONFLICT_TRIES,
            };
            if !again {
                // Where rows are to blame, other batches may well be taken.
                if !error.may_be_of_a_row() {
                    self.shared.breaker.failed();
                }
                return Some(BatchResult::Refused(
                    batch,
                    Some(more_telling(first, error)),
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

    /// One try. None when the tables were never seen (the database was away at the start).
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
            // Where one connection died of its age (`idle_session_timeout`, a firewall), the spare one has as well: a second try
            // takes one that is really new.
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
                    // It quotes the values that were decided on.
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

/// Of the errors of one batch the first is told, unless the last one needs a person: a connection that was ended, and then a
/// server that takes no writes.
fn more_telling(first: Option<StoreError>, last: StoreError) -> StoreError {
    let needs_person = last.class() != Class::Transient || last.kind() == "read_only";
    first.filter(|_| !needs_person).unwrap_or(last)
}

/// A circuit breaker: after a few failures in a row nothing is tried for a while. Then one batch is, and its result decides.
#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<BreakerState>);

#[derive(Debug, Default)]
struct BreakerState {
    failures: u32,
    /// Nothing is tried until then. Afterwards one batch may be tried, and the time is moved on for the others.
    closed_until: Option<Instant>,
}

impl Breaker {
    const PATIENCE: u32 = 3;
    const PAUSE: Duration = Duration::from_secs(1);
    const LONGEST_PAUSE: Duration = Duration::from_secs(30);

    fn state(&self) -> std::sync::MutexGuard<'_, BreakerState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lets_through(&self) -> bool {
        let mut state = self.state();
        let Some(until) = state.closed_until else {
            return true;
        };
        let now = Instant::now();
        if now < until {
            return false;
        }
        // This batch is tried; the others wait for its result.
        state.closed_until = Some(now + Self::pause(state.failures));
        true
    }

    fn pause(failures: u32) -> Duration {
        let doublings = failures.saturating_sub(Self::PATIENCE).min(5);
        (Self::PAUSE * 2_u32.pow(doublings)).min(Self::LONGEST_PAUSE)
    }

    fn succeeded(&self) {
        *self.state() = BreakerState::default();
    }

    fn failed(&self) {
        let mut state = self.state();
        state.failures += 1;
        if state.failures >= Self::PATIENCE {
            if state.failures == Self::PATIENCE {
                log::warn!(
                    "the database failed {} times in a row: batches go to the spool, it is probed now and then",
                    state.failures
                );
            }
            state.closed_until = Some(Instant::now() + Self::pause(state.failures));
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
        assert!(breaker.lets_through());
        breaker.failed();
        assert!(!breaker.lets_through());
        breaker.state().closed_until = Some(Instant::now());
        assert!(
            breaker.lets_through(),
            "a probe passes when the pause is over"
        );
        assert!(!breaker.lets_through(), "but only one");
        breaker.succeeded();
        assert!(breaker.lets_through());
    }

    #[test]
    fn the_pause_grows_and_is_bounded() {
        assert_eq!(Breaker::pause(3), Duration::from_secs(1));
        assert_eq!(Breaker::pause(5), Duration::from_secs(4));
        assert_eq!(Breaker::pause(500), Duration::from_secs(30));
    }
}
