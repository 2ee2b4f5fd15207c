//! The account of write-back: it counts what became of each message, and decides when to stop sending.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::api::{ApiError, Class, SendOutcome, Unsendable};
use crate::config::plan::Database;
use crate::exit::Exit;
use crate::model::cause::{ApiCause, Cause, InternalCause};
use crate::model::record::WriteBackLedger;
use crate::run::outcome::Outcome;
use crate::store::outbox::{self, QueuedMessage};
use crate::store::{Connection, StoreError};

/// After this many failures in a row, each after its own retries, sending stops.
const FAILURES_IN_A_ROW: u32 = 3;
/// The same for messages that the API refuses: an API that has refused so many will probably refuse them all.
const REFUSALS_IN_A_ROW: u32 = 10;
/// How many ids a sentence names.
const NAMED: usize = 10;
/// How many ids of one run a case holds.
const IN_CASE: usize = 1_000;

/// The results of sending.
#[derive(Debug, Default)]
pub(in crate::run) struct Delivery {
    pub(super) ledger: WriteBackLedger,
    /// The first conflicts: id and the fields that differ.
    conflicts: Vec<String>,
    /// The first records that the API no longer has: their ids.
    gone: Vec<String>,
    /// The first messages that cannot be sent as they are: id and reason.
    unsendable: Vec<String>,
    /// The first failure, with the id it happened to. It explains why messages are kept.
    failure: Option<(String, ApiError)>,
    pub(super) store_error: Option<StoreError>,
    /// Set if a thread panicked, or none could be started.
    pub(super) broken: Option<String>,
    /// True once an answer has shown that the address is right. Only then does a 404 mean that the record is gone.
    proven: bool,
    /// Messages that got a 404 before such an answer.
    unproven: Vec<QueuedMessage>,
    unproven_failure: Option<(String, ApiError)>,
    failures_in_a_row: u32,
    refusals_in_a_row: u32,
}

/// A message that has its final answer.
pub(super) type Settled = (QueuedMessage, Answered);

/// The outcome under which a message is counted.
pub(super) enum Answered {
    Sent,
    Conflict(Vec<String>),
    Gone,
    Unsendable(Unsendable),
}

impl Delivery {
    /// Takes the answer to a message, which is then settled or stays for the next run. None means that it was not tried.
    pub(super) fn take_answer(
        &mut self,
        message: QueuedMessage,
        sent: Option<SendOutcome>,
        settled: &mut Vec<Settled>,
        stop: &AtomicBool,
    ) {
        let id = message.message.record_id.clone();
        match sent {
            None => {}
            Some(SendOutcome::Done) => {
                self.delivered();
                settled.push((message, Answered::Sent));
            }
            Some(SendOutcome::Conflict(fields)) => {
                self.delivered();
                settled.push((message, Answered::Conflict(fields)));
            }
            Some(SendOutcome::Unsendable(why)) => {
                settled.push((message, Answered::Unsendable(why)));
            }
            Some(SendOutcome::Gone(error)) => {
                self.unproven.push(message);
                if !self.proven {
                    self.unproven_failure.get_or_insert((id, error));
                    self.refused(stop);
                }
            }
            Some(SendOutcome::Failed(error)) => match (error.class(), error.status(), error.kind())
            {
                (_, _, "stopped") => stop.store(true, Ordering::Relaxed),
                (Class::Transient, ..) => {
                    self.failures_in_a_row += 1;
                    self.failure.get_or_insert((id, error));
                    if self.failures_in_a_row >= FAILURES_IN_A_ROW {
                        stop.store(true, Ordering::Relaxed);
                    }
                }
                // Probably only this record is at fault, so sending goes on.
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

    /// Settles the messages that got a 404 as gone, once the address is proven right.
    pub(super) fn take_gone(&mut self) -> Vec<Settled> {
        if !self.proven {
            return Vec::new();
        }
        let gone = std::mem::take(&mut self.unproven);
        gone.into_iter()
            .map(|message| (message, Answered::Gone))
            .collect()
    }

    /// The failure to report, if messages are kept unintentionally.
    fn failure(&mut self) -> Option<(String, ApiError)> {
        let unproven = self.unproven_failure.take().filter(|_| !self.proven);
        self.failure
            .take()
            .or(unproven)
            .filter(|_| self.ledger.kept > 0)
    }

    fn delivered(&mut self) {
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

    /// Removes settled messages from the outbox, and counts those that were really removed.
    pub(super) fn settle(
        &mut self,
        connection: &mut Connection,
        database: &Database,
        settled: Vec<Settled>,
    ) -> Result<(), StoreError> {
        let answered: Vec<(i64, i64)> = settled
            .iter()
            .map(|(message, _)| (message.id, message.revision))
            .collect();
        let removed = outbox::settle(connection, database, &answered)?;
        for (message, answer) in settled {
            if !removed.contains(&message.id) {
                continue;
            }
            let id = message.message.record_id;
            match answer {
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
                Answered::Unsendable(why) => {
                    self.ledger.unsendable += 1;
                    if self.unsendable.len() < IN_CASE {
                        self.unsendable.push(format!("{id} ({})", why.as_str()));
                    }
                }
            }
        }
        Ok(())
    }
}

impl Delivery {
    /// Enters the failures of write-back. Run status and watermark do not depend on them: everything fetched is stored.
    pub(super) fn enter_failures(&mut self, outcome: &mut Outcome) {
        if let Some(sentence) = &self.broken {
            let sentence = format!("write-back: {sentence}");
            let cause = Cause::Internal(InternalCause::WriteBack);
            outcome.write_back_failed(Exit::Internal, cause, &sentence);
        }
        let ledger = self.ledger;
        if let Some(error) = &self.store_error {
            let cause = Cause::database(error.kind());
            outcome.write_back_failed(Exit::Database, cause, &error.to_string());
        } else if !ledger.balances() {
            let sentence = format!(
                "the ledger of write-back does not balance: {} messages due, {} accounted for; please report this",
                ledger.due,
                ledger.sent + ledger.conflicts + ledger.gone + ledger.unsendable + ledger.kept
            );
            let cause = Cause::Internal(InternalCause::WriteBackLedger);
            outcome.write_back_failed(Exit::Internal, cause, &sentence);
        }
        if ledger.conflicts > 0 {
            let sentence = format!(
                "write-back: {} had changed at the API since it was read, and was not overwritten: {}",
                counted(ledger.conflicts, "record"),
                listed(&self.conflicts, ledger.conflicts)
            );
            let cause = Cause::Api(ApiCause::WriteBackConflict);
            outcome.write_back_failed(Exit::Api, cause, &sentence);
        }
        if ledger.gone > 0 {
            let sentence = format!(
                "write-back: the API no longer has {}: {}",
                counted(ledger.gone, "record"),
                listed(&self.gone, ledger.gone)
            );
            let cause = Cause::Api(ApiCause::WriteBackGone);
            outcome.write_back_failed(Exit::Api, cause, &sentence);
        }
        if ledger.unsendable > 0 {
            let named = &self.unsendable[..self.unsendable.len().min(NAMED)];
            let sentence = format!(
                "write-back: {} cannot be told to the API, and nothing was sent: {}",
                counted(ledger.unsendable, "record"),
                listed(named, ledger.unsendable)
            );
            let cause = Cause::Api(ApiCause::WriteBackUnsendable);
            let records = std::mem::take(&mut self.unsendable);
            outcome.write_back_failed_for(Exit::Api, cause, &sentence, records);
        }
        if let Some((id, error)) = self.failure() {
            let sentence = format!(
                "write-back: {} not delivered and kept for the next run: record {id}: {error}",
                counted(ledger.kept, "message")
            );
            let cause = Cause::Api(ApiCause::WriteBack);
            outcome.write_back_failed(Exit::Api, cause, &sentence);
        }
    }
}

fn counted(count: u64, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

/// The first ids, and how many more there are.
fn listed(named: &[String], all: u64) -> String {
    let more = all.saturating_sub(named.len() as u64);
    let mut text = named.join(", ");
    if more > 0 {
        text += &format!(" and {more} more");
    }
    text
}
