//! Sends the messages in the outbox to the API, several at a time, and counts what becomes of them.
//!
//! This runs after everything fetched is accounted for. By then a message of an earlier run has been replaced by a newer one,
//! if its record was fetched again, so the API never gets older data than it has just sent. A message is removed from the
//! outbox only after its answer: if the run is killed in between, the next run sends it again.

mod account;
mod send;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::RecvTimeoutError;

use super::Run;
use super::request::Inputs;
use crate::config::plan::{WriteBack, WriteBackOutcome};
use crate::model::record::{Ledger, WriteBackLedger};
use crate::pipeline::Flow;
use crate::reporting::incident;
use crate::store::lease::{self, Asked, Heartbeat};
use crate::store::outbox::{self, QueuedMessage};
use crate::store::{self, Connection, StoreError};

pub(super) use account::Delivery;
use account::Settled;
use send::{Recipient, Senders};

/// Messages that are read from the outbox, sent and removed together.
const AT_ONCE: i64 = 200;
/// How often signals are checked while waiting for answers.
const TICK: Duration = Duration::from_millis(100);

impl Run<'_> {
    /// Sends all messages in the outbox, of this run and earlier ones. Failures are entered as failures of the run.
    pub(super) fn write_back(&mut self, flow: &Flow) {
        let Some(update) = &self.inputs.api.update else {
            return;
        };
        let away = self.session.connection.is_none() || flow.ends.spool_error.is_some();
        if self.inputs.is_dry() || away || flow.ends.braked.is_some() {
            return;
        }
        let mut delivery = Delivery::default();
        let database = self.inputs.database;
        // The run's own connection may have been idle for hours, so a new one is opened.
        let limit = self.inputs.at_most(database.connection_timeout);
        let stop = &self.inputs.signals.stop;
        match Connection::open_unless(stop, database, limit) {
            Ok(mut connection) => {
                connection.set_deadline(self.inputs.deadline);
                connection.give_up_on(Arc::clone(stop));
                self.deliver_alone(update, &mut connection, &mut delivery);
            }
            Err(error) => delivery.store_error = Some(error),
        }
        let ledger = delivery.ledger;
        log::info!(
            "write-back: {} due, {} sent, {} conflicts, {} gone, {} unsendable, {} kept",
            ledger.due,
            ledger.sent,
            ledger.conflicts,
            ledger.gone,
            ledger.unsendable,
            ledger.kept
        );
        self.delivery = Some(delivery);
    }

    /// One run sends at a time, so that an older message cannot overtake a newer one of the same record.
    fn deliver_alone(
        &self,
        update: &WriteBack,
        connection: &mut Connection,
        delivery: &mut Delivery,
    ) {
        let Inputs { database, id, .. } = self.inputs;
        let lease = format!("{} write-back", store::log::target(database));
        match outbox::extent(connection, database, None) {
            Ok((0, _)) => return,
            Ok((due, _)) => {
                delivery.ledger.due = due;
                delivery.ledger.kept = due;
            }
            Err(error) => {
                delivery.store_error = Some(error);
                return;
            }
        }
        match self.wait_for_lease(connection, &lease) {
            // Another run is sending the messages, or the next run will.
            Ok(false) => return,
            Ok(true) => {}
            Err(error) => {
                delivery.store_error = Some(error);
                return;
            }
        }
        match Heartbeat::start(database, &lease, id, Arc::default()) {
            Ok(heartbeat) => {
                self.deliver(update, connection, delivery);
                drop(heartbeat);
            }
            Err(error) => {
                delivery.broken = Some(format!("cannot start the heartbeat of the lease: {error}"));
            }
        }
        if let Err(error) = lease::release(connection, database, &lease, id) {
            log::info!("{error}");
        }
    }

    /// Waits for the lease that permits sending. False if the run has to end before.
    fn wait_for_lease(&self, connection: &mut Connection, lease: &str) -> Result<bool, StoreError> {
        let Inputs { database, id, .. } = self.inputs;
        let who = incident::who();
        loop {
            match lease::acquire(connection, database, (lease, lease), id, &who)? {
                Asked::Granted { .. } => return Ok(true),
                Asked::Held(holder) => log::debug!("run {} is sending", holder.run_id),
            }
            if self.inputs.is_late() || self.inputs.signals.asked().is_some() {
                return Ok(false);
            }
            std::thread::sleep(TICK);
        }
    }

    fn deliver(&self, update: &WriteBack, connection: &mut Connection, delivery: &mut Delivery) {
        let database = self.inputs.database;
        let (due, last) = match outbox::extent(connection, database, None) {
            Ok(extent) => extent,
            Err(error) => {
                delivery.store_error = Some(error);
                return;
            }
        };
        delivery.ledger.due = due;
        if due > 0 {
            self.send_all(update, connection, last, delivery);
        }
        // Kept messages are counted in the outbox itself, so that comparing the counts is a real check.
        delivery.ledger.kept = match outbox::extent(connection, database, Some(last)) {
            Ok((kept, _)) => kept,
            Err(error) => {
                delivery.store_error.get_or_insert(error);
                let ledger = &delivery.ledger;
                due - (ledger.sent + ledger.conflicts + ledger.gone + ledger.unsendable).min(due)
            }
        };
    }

    /// Sends all messages up to the id `last`.
    fn send_all(
        &self,
        update: &WriteBack,
        connection: &mut Connection,
        last: i64,
        delivery: &mut Delivery,
    ) {
        let Inputs { api, database, .. } = self.inputs;
        let stop = AtomicBool::new(false);
        let recipient = Recipient {
            api,
            update,
            pages: &self.source.pages,
            stop: &stop,
        };
        let wanted = u64::from(api.pagination.concurrency.max(1)).min(delivery.ledger.due);
        std::thread::scope(|scope| {
            let senders = match Senders::start(scope, recipient, wanted) {
                Ok(senders) => senders,
                Err(why) => {
                    delivery.broken = Some(why);
                    return;
                }
            };
            let mut after = 0;
            while !stop.load(Ordering::Relaxed) {
                let sent =
                    outbox::read(connection, database, after, last, AT_ONCE).and_then(|chunk| {
                        match chunk.last().map(|end| end.id) {
                            None => Ok(None),
                            Some(end) => {
                                let settled = self.send_chunk(&senders, chunk, delivery, &stop);
                                delivery.settle(connection, database, settled)?;
                                Ok(Some(end))
                            }
                        }
                    });
                match sent {
                    Ok(Some(end)) => after = end,
                    Ok(None) => break,
                    Err(error) => {
                        delivery.store_error = Some(error);
                        break;
                    }
                }
            }
            delivery.broken = senders.join();
        });
    }

    /// Sends a chunk of messages and waits for the answers. Returns the messages that are settled.
    fn send_chunk(
        &self,
        senders: &Senders<'_>,
        chunk: Vec<QueuedMessage>,
        delivery: &mut Delivery,
        stop: &AtomicBool,
    ) -> Vec<Settled> {
        let mut chunk = chunk.into_iter();
        let mut in_flight = 0;
        let mut settled = Vec::new();
        loop {
            // Each thread gets one message and none waits in a queue, so that every answer can influence the next message.
            while in_flight < senders.count()
                && !stop.load(Ordering::Relaxed)
                && let Some(message) = chunk.next()
            {
                if !senders.send(message) {
                    break;
                }
                in_flight += 1;
            }
            if in_flight == 0 {
                break;
            }
            if self.inputs.signals.asked().is_some() {
                self.source.pages.stop();
            }
            match senders.answer(TICK) {
                Ok((message, sent)) => {
                    in_flight -= 1;
                    delivery.take_answer(message, sent, &mut settled, stop);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        settled.extend(delivery.take_gone());
        settled
    }

    /// The counts of write-back for the report. For a dry run they are derived from the ledger of the records.
    pub(super) fn write_back_ledger(&self, ledger: &Ledger) -> Option<WriteBackLedger> {
        if self.inputs.is_dry() {
            let due = self
                .inputs
                .database
                .write_back
                .iter()
                .map(|outcome| match outcome {
                    WriteBackOutcome::Inserted => ledger.inserted,
                    WriteBackOutcome::Updated => ledger.updated,
                    WriteBackOutcome::Unchanged => ledger.unchanged,
                });
            let due = due.sum();
            return self
                .compiled
                .message_builder
                .as_ref()
                .map(|_| WriteBackLedger {
                    due,
                    kept: due,
                    ..WriteBackLedger::default()
                });
        }
        self.delivery.as_ref().map(|delivery| delivery.ledger)
    }

    /// Enters the failures of write-back.
    pub(super) fn enter_write_back_failures(&mut self) {
        if let Some(delivery) = &mut self.delivery {
            delivery.enter_failures(&mut self.outcome);
        }
    }
}
