//! The account of write-back: what became of each message, and when sending makes no sense any more.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::api::{ApiError, Class, Sent, Unsendable};
use crate::config::plan::Database;
use crate::exit::Exit;
use crate::model::cause::{ApiCause, Cause, InternalCause};
use crate::model::record::WriteBackLedger;
use crate::run::outcome::Outcome;
use crate::store::outbox::{self, Waiting};
use crate::store::{Connection, StoreError};

/// After so many failures in a row, each with its own retries, nothing more is sent.
const FAILURES_IN_A_ROW: u32 = 3;
/// The same for messages the API refuses one by one: what refuses so many will refuse them all.
const REFUSALS_IN_A_ROW: u32 = 10;
/// Ids that a sentence names.
const NAMED: usize = 10;
/// Ids that a case holds of one run.
const IN_CASE: usize = 1_000;

/// What came of sending.
#[derive(Debug, Default)]
pub(in crate::run) struct Delivery {
    pub(super) ledger: WriteBackLedger,
    /// Id and fields that differ, of the first conflicts.
    conflicts: Vec<String>,
    /// Ids of the first records the API no longer has.
    gone: Vec<String>,
    /// Id and reason of the first messages that cannot be sent as they are.
    unsendable: Vec<String>,
    /// Why messages are kept: the first failure, with the id it happened to.
    failure: Option<(String, ApiError)>,
    pub(super) store_error: Option<StoreError>,
    /// A thread panicked, or none could be started.
    pub(super) broken: Option<String>,
    /// An answer has shown that the address is right: from then on a 404 means the record and not the address.
    proven: bool,
    /// Messages answered by 404 before such an answer, and the first of those answers.
    unproven: Vec<Waiting>,
    unproven_failure: Option<(String, ApiError)>,
    failures_in_a_row: u32,
    refusals_in_a_row: u32,
}

/// A message that has been answered for good.
pub(super) type Settled = (Waiting, Answered);

/// What a settled message counts as.
pub(super) enum Answered {
    Sent,
    Conflict(Vec<String>),
    Gone,
    Unsendable(Unsendable),
}

impl Delivery {
    /// Takes an answer: a message is settled, or stays for the next run. None: it was not tried.
    pub(super) fn take_answer(
        &mut self,
        message: Waiting,
        sent: Option<Sent>,
        settled: &mut Vec<Settled>,
        stop: &AtomicBool,
    ) {
        let id = message.message.record_id.clone();
        match sent {
            None => {}
            Some(Sent::Done) => {
                self.delivered();
                settled.push((message, Answered::Sent));
            }
            Some(Sent::Conflict(fields)) => {
                self.delivered();
                settled.push((message, Answered::Conflict(fields)));
            }
            Some(Sent::Unsendable(why)) => settled.push((message, Answered::Unsendable(why))),
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
                // The fault is probably of this record alone.
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

    /// Once the address is proven right, records answered by 404 are gone.
    pub(super) fn take_gone(&mut self) -> Vec<Settled> {
        if !self.proven {
            return Vec::new();
        }
        let gone = std::mem::take(&mut self.unproven);
        gone.into_iter()
            .map(|message| (message, Answered::Gone))
            .collect()
    }

    /// Why messages are kept, if any are and not on purpose.
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

    /// Removes what was answered from the outbox, and counts what was really removed.
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
    /// Enters what went wrong. What was fetched is safe all the same, so neither the run's status nor a watermark depends on
    /// it.
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

/// The first few, and how many more.
fn listed(named: &[String], all: u64) -> String {
    let more = all.saturating_sub(named.len() as u64);
    let mut text = named.join(", ");
    if more > 0 {
        text += &format!(" and {more} more");
    }
    text
}
