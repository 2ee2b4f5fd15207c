//! Sends what waits in the outbox to the API, several messages at once, and keeps an account of it.
//!
//! It runs after everything fetched has its fate: by then a message that waits from an earlier run has been replaced by
//! what was fetched now, so that the API is never told something older than what it has just told us. A message is removed
//! from the outbox only after its answer; killed in between, the next run sends it again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender as Channel, unbounded};

use super::Run;
use crate::api::{ApiError, Class, Sender, Sent};
use crate::config::plan::{WriteBack, WriteBackOutcome};
use crate::exit::Exit;
use crate::model::cause::{ApiCause, Cause, InternalCause};
use crate::model::record::WriteBackLedger;
use crate::pipeline::Flow;
use crate::reporting::incident;
use crate::store::lease::{self, Asked, Heartbeat};
use crate::store::outbox::{self, Waiting};
use crate::store::{self, Connection, StoreError};

/// Messages read from the outbox, sent and removed together.
const AT_ONCE: i64 = 200;
/// After so many failures in a row, each with its own retries, the API is left in peace.
const FAILURES_IN_A_ROW: u32 = 3;
/// The same for messages the API refuses one by one: what refuses so many will refuse them all.
const REFUSALS_IN_A_ROW: u32 = 10;
/// How often signals are looked at while answers are waited for.
const TICK: Duration = Duration::from_millis(100);
/// Ids that a sentence names.
const NAMED: usize = 10;

/// What came of sending.
#[derive(Debug, Default)]
pub(super) struct Delivery {
    pub ledger: WriteBackLedger,
    /// Id and fields that differ, of the first conflicts.
    conflicts: Vec<String>,
    /// Ids of the first records the API no longer has.
    gone: Vec<String>,
    /// Why messages are kept: the first failure, with the id it happened to.
    failure: Option<(String, ApiError)>,
    store_error: Option<StoreError>,
    /// Answers of the kind that prove the address right: then a 404 means that record and not the address.
    proven: bool,
    /// 404s that wait for such a proof, and the first of them.
    unproven: Vec<Waiting>,
    unproven_failure: Option<(String, ApiError)>,
    failures_in_a_row: u32,
    refusals_in_a_row: u32,
}

/// One answer, or none: the message was not tried, or the thread that had it is gone.
type Answer = (Waiting, Option<Sent>);

/// Hands its message back when a thread is lost over it, so that nobody waits for ever.
struct Held<'a> {
    message: Option<Waiting>,
    answers: &'a Channel<Answer>,
}

impl Held<'_> {
    fn answer(mut self, sent: Option<Sent>) {
        if let Some(message) = self.message.take() {
            self.answers.send((message, sent)).unwrap_or_default();
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Some(message) = self.message.take() {
            self.answers.send((message, None)).unwrap_or_default();
        }
    }
}

impl Run<'_> {
    /// Tells the API what it is owed, from this run and earlier ones.
    ///
    /// # Errors
    /// A thread panicked or could not be started: a bug. Failures of the API and the database become failures of the run.
    pub(super) fn write_back(&mut self, flow: &Flow) -> Result<()> {
        let Some(update) = &self.api.update else {
            return Ok(());
        };
        let away = self.connection.is_none() || flow.spool_error.is_some();
        if self.is_dry() || away || flow.braked.is_some() {
            return Ok(());
        }
        let mut delivery = Delivery::default();
        // That of the run may have been idle for hours.
        let sent = match Connection::open(self.database, self.database.connection_timeout) {
            Ok(mut connection) => self.deliver_alone(update, &mut connection, &mut delivery),
            Err(error) => {
                delivery.store_error = Some(error);
                Ok(())
            }
        };
        log::info!(
            "write-back: {} due, {} sent, {} conflicts, {} gone, {} kept",
            delivery.ledger.due,
            delivery.ledger.sent,
            delivery.ledger.conflicts,
            delivery.ledger.gone,
            delivery.ledger.kept
        );
        self.delivery = Some(delivery);
        sent
    }

    /// One run at a time sends: two could have an older and a newer message of one record in flight at once. Shards of a
    /// run come to this at about the same time.
    fn deliver_alone(
        &self,
        update: &WriteBack,
        connection: &mut Connection,
        delivery: &mut Delivery,
    ) -> Result<()> {
        let lease = format!("{} write-back", store::log::target(self.database));
        match outbox::extent(connection, self.database, None) {
            Ok((0, _)) => return Ok(()),
            Ok((due, _)) => {
                delivery.ledger.due = due;
                delivery.ledger.kept = due;
            }
            Err(error) => {
                delivery.store_error = Some(error);
                return Ok(());
            }
        }
        match self.take_turn(connection, &lease) {
            // What waits is being sent by another run, or by the next.
            Ok(false) => return Ok(()),
            Ok(true) => {}
            Err(error) => {
                delivery.store_error = Some(error);
                return Ok(());
            }
        }
        let heartbeat = Heartbeat::start(self.database, &lease, self.id, Arc::default())
            .context("cannot start the heartbeat of the lease")?;
        let sent = self.deliver(update, connection, delivery);
        drop(heartbeat);
        if let Err(error) = lease::release(connection, self.database, &lease, self.id) {
            log::info!("{error}");
        }
        sent
    }

    /// Waits for the lease of sending; false when the run has to end before.
    fn take_turn(&self, connection: &mut Connection, lease: &str) -> Result<bool, StoreError> {
        let who = incident::who();
        loop {
            match lease::acquire(connection, self.database, lease, self.id, &who)? {
                Asked::Granted { .. } => return Ok(true),
                Asked::Held(holder) => log::debug!("run {} is sending", holder.run_id),
            }
            let late = self
                .deadline
                .is_some_and(|deadline| Instant::now() >= deadline);
            if late || self.signals.asked().is_some() {
                return Ok(false);
            }
            std::thread::sleep(TICK);
        }
    }

    fn deliver(
        &self,
        update: &WriteBack,
        connection: &mut Connection,
        delivery: &mut Delivery,
    ) -> Result<()> {
        let (due, last) = match outbox::extent(connection, self.database, None) {
            Ok(extent) => extent,
            Err(error) => {
                delivery.store_error = Some(error);
                return Ok(());
            }
        };
        delivery.ledger.due = due;
        if due > 0 {
            self.send_all(update, connection, last, delivery)?;
        }
        // Counted where they wait, so that the balance is a real check.
        delivery.ledger.kept = match outbox::extent(connection, self.database, Some(last)) {
            Ok((kept, _)) => kept,
            Err(error) => {
                delivery.store_error.get_or_insert(error);
                let ledger = &delivery.ledger;
                due - (ledger.sent + ledger.conflicts + ledger.gone).min(due)
            }
        };
        Ok(())
    }

    fn send_all(
        &self,
        update: &WriteBack,
        connection: &mut Connection,
        last: i64,
        delivery: &mut Delivery,
    ) -> Result<()> {
        let (messages, to_send) = unbounded::<Waiting>();
        let (answers, answered) = unbounded::<Answer>();
        let stop = AtomicBool::new(false);
        let threads = u64::from(self.api.pagination.concurrency.max(1)).min(delivery.ledger.due);
        std::thread::scope(|scope| {
            let mut senders = Vec::new();
            for number in 0..threads {
                let (to_send, answers, stop) = (to_send.clone(), answers.clone(), &stop);
                let work = move || self.send_some(update, &to_send, &answers, stop);
                let thread = std::thread::Builder::new()
                    .name(format!("write-back-{number}"))
                    .spawn_scoped(scope, work);
                match thread {
                    Ok(thread) => senders.push(thread),
                    Err(error) if number == 0 => {
                        return Err(error).context("cannot start a thread of write-back");
                    }
                    Err(error) => {
                        log::warn!("{number} threads send instead of {threads}: {error}");
                        break;
                    }
                }
            }
            drop((to_send, answers));
            let threads = senders.len();
            let mut after = 0;
            while !stop.load(Ordering::Relaxed) {
                let chunk = match outbox::read(connection, self.database, after, last, AT_ONCE) {
                    Ok(chunk) => chunk,
                    Err(error) => {
                        delivery.store_error = Some(error);
                        break;
                    }
                };
                let Some(end) = chunk.last() else { break };
                after = end.id;
                let mut chunk = chunk.into_iter();
                let mut in_flight = 0;
                let mut settled = Vec::new();
                loop {
                    // One for each thread and none in reserve: what one answer says is heeded by the next message.
                    while in_flight < threads
                        && !stop.load(Ordering::Relaxed)
                        && let Some(message) = chunk.next()
                    {
                        messages.send(message).context("nobody sends")?;
                        in_flight += 1;
                    }
                    if in_flight == 0 {
                        break;
                    }
                    if self.signals.asked().is_some() {
                        self.pages.stop();
                    }
                    match answered.recv_timeout(TICK) {
                        Ok((message, sent)) => {
                            in_flight -= 1;
                            delivery.judge(message, sent, &mut settled, &stop);
                        }
                        Err(RecvTimeoutError::Timeout) => {}
                        Err(RecvTimeoutError::Disconnected) => break,
                    }
                }
                if delivery.proven {
                    let gone = std::mem::take(&mut delivery.unproven);
                    settled.extend(gone.into_iter().map(|message| (message, Answered::Gone)));
                }
                if let Err(error) = delivery.settle(connection, self, settled) {
                    delivery.store_error = Some(error);
                    break;
                }
            }
            drop(messages);
            for thread in senders {
                thread
                    .join()
                    .map_err(|_| anyhow!("a thread of write-back panicked"))??;
            }
            Ok(())
        })
    }

    /// One thread: sends until there is nothing left, or sending makes no sense any more.
    fn send_some(
        &self,
        update: &WriteBack,
        to_send: &Receiver<Waiting>,
        answers: &Channel<Answer>,
        stop: &AtomicBool,
    ) -> Result<()> {
        let mut sender: Option<Sender> = None;
        for message in to_send {
            let held = Held {
                message: Some(message),
                answers,
            };
            if stop.load(Ordering::Relaxed) {
                held.answer(None);
                continue;
            }
            let ready = match sender.take() {
                Some(ready) => ready,
                None => Sender::new(self.api, update, &self.pages)?,
            };
            let sent = held
                .message
                .as_ref()
                .map(|waiting| ready.send(&waiting.message));
            held.answer(sent);
            sender = Some(ready);
        }
        Ok(())
    }

    /// The account for the report; in a dry run what would be due by it.
    pub(super) fn told(&self, flow: &Flow) -> Option<WriteBackLedger> {
        if self.is_dry() {
            let ledger = &flow.ledger;
            let due = self.database.owed.iter().map(|outcome| match outcome {
                WriteBackOutcome::Inserted => ledger.inserted,
                WriteBackOutcome::Updated => ledger.updated,
                WriteBackOutcome::Unchanged => ledger.unchanged,
            });
            let due = due.sum();
            return self.composer.as_ref().map(|_| WriteBackLedger {
                due,
                kept: due,
                ..WriteBackLedger::default()
            });
        }
        self.delivery.as_ref().map(|delivery| delivery.ledger)
    }

    /// Failures of write-back become failures of the run. What was fetched is safe all the same, so neither the run's
    /// status nor a watermark depends on them.
    pub(super) fn judge_write_back(&mut self) {
        let Some(mut delivery) = self.delivery.take() else {
            return;
        };
        let ledger = delivery.ledger;
        if let Some(error) = &delivery.store_error {
            self.store_failed(error);
        } else if !ledger.balances() {
            let sentence = format!(
                "the ledger of write-back does not balance: {} messages due, {} accounted for; please report this",
                ledger.due,
                ledger.sent + ledger.conflicts + ledger.gone + ledger.kept
            );
            self.fail(
                Exit::Internal,
                Cause::Internal(InternalCause::WriteBackLedger),
                &sentence,
            );
        }
        if ledger.conflicts > 0 {
            let sentence = format!(
                "write-back: {} had changed at the API since it was read, and was not overwritten: {}",
                counted(ledger.conflicts, "record"),
                listed(&delivery.conflicts, ledger.conflicts)
            );
            self.fail(
                Exit::Api,
                Cause::Api(ApiCause::WriteBackConflict),
                &sentence,
            );
        }
        if ledger.gone > 0 {
            let sentence = format!(
                "write-back: the API no longer has {}: {}",
                counted(ledger.gone, "record"),
                listed(&delivery.gone, ledger.gone)
            );
            self.fail(Exit::Api, Cause::Api(ApiCause::WriteBackGone), &sentence);
        }
        if let Some((id, error)) = &delivery.failure() {
            let sentence = format!(
                "write-back: {} not delivered and kept for the next run: record {id}: {error}",
                counted(ledger.kept, "message")
            );
            self.fail(Exit::Api, Cause::Api(ApiCause::WriteBack), &sentence);
        }
        self.failures.sort_by_key(|failure| failure.exit.rank());
        self.delivery = Some(delivery);
    }
}

/// What a settled message counts as.
enum Answered {
    Sent,
    Conflict(Vec<String>),
    Gone,
}

impl Delivery {
    /// Takes an answer: a message is settled, or stays for the next run.
    fn judge(
        &mut self,
        message: Waiting,
        sent: Option<Sent>,
        settled: &mut Vec<(Waiting, Answered)>,
        stop: &AtomicBool,
    ) {
        let id = message.message.record_id.clone();
        match sent {
            None => {}
            Some(Sent::Done) => {
                self.well();
                settled.push((message, Answered::Sent));
            }
            Some(Sent::Conflict(fields)) => {
                self.well();
                settled.push((message, Answered::Conflict(fields)));
            }
            Some(Sent::Gone(error)) => {
                self.unproven.push(message);
                if !self.proven {
                    self.unproven_failure.get_or_insert((id, error));
                    self.refused(stop);
                }
            }
            Some(Sent::Failed(error)) => match (error.class(), error.status(), error.kind()) {
                (_, _, "stopped") => stop.store(true, Ordering::Relaxed),
                (Class::Transient, ..) => {
                    self.failures_in_a_row += 1;
                    self.failure.get_or_insert((id, error));
                    if self.failures_in_a_row >= FAILURES_IN_A_ROW {
                        stop.store(true, Ordering::Relaxed);
                    }
                }
                // About this record, as far as one can tell.
                (_, Some(400..=499), "status") | (_, None, "config") => {
                    self.failure.get_or_insert((id, error));
                    self.refused(stop);
                }
                _ => {
                    self.failure.get_or_insert((id, error));
                    stop.store(true, Ordering::Relaxed);
                }
            },
        }
    }

    /// Why messages are kept, if any are and not on purpose.
    fn failure(&mut self) -> Option<(String, ApiError)> {
        let unproven = self.unproven_failure.take().filter(|_| !self.proven);
        self.failure
            .take()
            .or(unproven)
            .filter(|_| self.ledger.kept > 0)
    }

    fn well(&mut self) {
        self.proven = true;
        self.failures_in_a_row = 0;
        self.refusals_in_a_row = 0;
    }

    fn refused(&mut self, stop: &AtomicBool) {
        self.refusals_in_a_row += 1;
        if self.refusals_in_a_row >= REFUSALS_IN_A_ROW {
            stop.store(true, Ordering::Relaxed);
        }
    }

    /// Removes what was answered from the outbox, and counts what was really removed.
    fn settle(
        &mut self,
        connection: &mut Connection,
        run: &Run<'_>,
        settled: Vec<(Waiting, Answered)>,
    ) -> Result<(), StoreError> {
        let answered: Vec<(i64, i64)> = settled
            .iter()
            .map(|(message, _)| (message.id, message.revision))
            .collect();
        let removed = outbox::settle(connection, run.database, &answered)?;
        for (message, fate) in settled {
            if !removed.contains(&message.id) {
                continue;
            }
            let id = message.message.record_id;
            match fate {
                Answered::Sent => self.ledger.sent += 1,
                Answered::Conflict(fields) => {
                    self.ledger.conflicts += 1;
                    if self.conflicts.len() < NAMED {
                        let fields = if fields.is_empty() {
                            "what differs could not be read".to_owned()
                        } else {
                            fields.join(", ")
                        };
                        self.conflicts.push(format!("{id} ({fields})"));
                    }
                }
                Answered::Gone => {
                    self.ledger.gone += 1;
                    if self.gone.len() < NAMED {
                        self.gone.push(id);
                    }
                }
            }
        }
        Ok(())
    }
}

fn counted(count: u64, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

/// The first few, and how many more.
fn listed(named: &[String], all: u64) -> String {
    let more = all.saturating_sub(named.len() as u64);
    let mut text = named.join(", ");
    if more > 0 {
        text += &format!(" and {more} more");
    }
    text
}
