//! Records that are at hand already: what earlier runs left in the spool, and stored rejections.

use std::sync::Arc;

use anyhow::Result;

use super::{Records, Run};
use crate::exit::Exit;
use crate::model::cause::{Cause, InternalCause, StateCause};
use crate::pipeline::{Flow, PageInput};
use crate::spool::{Entry, Opened, Waiting};
use crate::store;
use crate::support::progress::Progress;

/// Stored rejections that are read and judged together.
const REJECTIONS_AT_ONCE: u64 = 5_000;

/// What became of a file of the spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Replayed {
    Done,
    /// The table does not take it, and nothing says that it would not take others: it stays.
    Refused,
    /// The database is away, or the run ends: the others wait.
    Stopped,
}

impl Run<'_> {
    /// Writes what earlier runs left in the spool, oldest first. A file is removed only when all of it is committed. False:
    /// the database went away meanwhile, and what waits comes before anything new.
    pub(super) fn replay(&mut self, progress: &Progress) -> Result<bool> {
        let was_there = self.session.connection.is_some();
        for path in self.spool.files()? {
            if self.inputs.signals.asked().is_some() {
                break;
            }
            match self.spool.open_file(&path)? {
                Opened::Ready(waiting) => {
                    if self.replay_file(&waiting, progress)? == Replayed::Stopped {
                        break;
                    }
                }
                Opened::Taken => {}
                Opened::Quarantined(aside, reason) => {
                    let sentence = format!(
                        "a spool file was damaged ({reason}) and moved to {}; its records are not lost: run `datasync sync --full`, then remove the file",
                        aside.display()
                    );
                    log::error!("{sentence}");
                    let cause = Cause::State(StateCause::Damaged);
                    self.outcome.fail(Exit::State, cause, &sentence);
                }
            }
        }
        Ok(!was_there || self.session.connection.is_some())
    }

    /// Replays one file.
    fn replay_file(&mut self, waiting: &Waiting, progress: &Progress) -> Result<Replayed> {
        if self.is_outdated(waiting)? {
            log::warn!(
                "{} records of run {} were fetched before a later complete run: superseded as a whole",
                waiting.entries.len(),
                waiting.header.run_id
            );
            self.outcome.replayed += waiting.entries.len() as u64;
            self.spool.remove(waiting)?;
            return Ok(Replayed::Done);
        }
        let flow = self.write_inputs(page_inputs(&waiting.entries), progress)?;
        if let Some(error) = &flow.ends.store_error {
            if error.may_be_of_a_row() && flow.ledger.balances() {
                self.outcome.store_failed(error);
                return Ok(Replayed::Refused);
            }
            self.session.lost(error, &mut self.outcome);
        }
        if let Some(sentence) = flow.ledger.imbalance() {
            let cause = Cause::Internal(InternalCause::Ledger);
            self.outcome.fail(Exit::Internal, cause, &sentence);
            return Ok(Replayed::Stopped);
        }
        if flow.ledger.spooled > 0 {
            return Ok(Replayed::Stopped);
        }
        self.outcome.replayed += flow.ledger.fetched;
        self.spool.remove(waiting)?;
        Ok(Replayed::Done)
    }

    /// Without a version field an unchanged row does not show when it was last confirmed. But a complete run that began
    /// after these records were fetched has seen all of them, and what it wrote is newer.
    fn is_outdated(&mut self, waiting: &Waiting) -> Result<bool> {
        let newest = waiting.entries.iter().map(|entry| entry.requested_at).max();
        let (None, Some(newest)) = (self.inputs.plan.mapping.version, newest) else {
            return Ok(false);
        };
        Ok(self.was_read_since(newest)?)
    }

    /// Judges the stored rejections again. What passes is written, under the freshness guard, and settles its
    /// rejection; the rest stays, with its new reason.
    pub(super) fn decide_again(&mut self, progress: &Progress) -> Result<Flow> {
        let mut flow = Flow::default();
        let mut after = String::new();
        while let Some(connection) = self.session.connection.as_mut() {
            let open = match store::rejections::open(
                connection,
                self.inputs.database,
                &after,
                REJECTIONS_AT_ONCE,
            ) {
                Ok(open) => open,
                Err(error) => {
                    flow.ends.store_error = Some(error);
                    break;
                }
            };
            let Some(last) = open.last() else { break };
            after.clone_from(&last.key);
            let entries: Vec<Entry> = open
                .into_iter()
                .map(|rejection| Entry {
                    requested_at: rejection.last_seen,
                    raw: rejection.payload,
                })
                .collect();
            let part = self.write_inputs(page_inputs(&entries), progress)?;
            let failed = part.ends.store_error.is_some() || part.ledger.spooled > 0;
            flow.absorb(part);
            // What was not written is still a stored rejection: nothing of it is in the spool.
            flow.counts.lost_in_memory += std::mem::take(&mut flow.ledger.spooled);
            if failed || self.inputs.signals.asked().is_some() {
                break;
            }
        }
        flow.ledger.fetched -= flow.counts.lost_in_memory.min(flow.ledger.fetched);
        flow.counts.lost_in_memory = 0;
        Ok(flow)
    }

    /// Takes records that are at hand through the pipeline.
    fn write_inputs(&mut self, inputs: Vec<PageInput>, progress: &Progress) -> Result<Flow> {
        let flow = self.run_flow(Records::AtHand(inputs), progress);
        match flow.ends.broken {
            Some(why) => Err(anyhow::anyhow!(why)),
            None => Ok(flow),
        }
    }
}

/// The entries of a spool file as pages: records that were requested together stay together.
fn page_inputs(entries: &[Entry]) -> Vec<PageInput> {
    let mut inputs: Vec<PageInput> = Vec::new();
    for group in entries.chunk_by(|a, b| a.requested_at == b.requested_at) {
        let mut text = String::new();
        let mut records = Vec::with_capacity(group.len());
        for entry in group {
            let start = u32::try_from(text.len()).unwrap_or(u32::MAX);
            text.push_str(&entry.raw);
            records.push(start..u32::try_from(text.len()).unwrap_or(u32::MAX));
        }
        let requested_at = group.first().map_or(0, |entry| entry.requested_at);
        inputs.push(PageInput {
            text: Arc::new(text),
            records,
            requested_at,
            announced_total: None,
        });
    }
    inputs
}
