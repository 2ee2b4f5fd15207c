//! Replays records of earlier runs: those in the spool, and stored rejections.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;

use super::{Records, Run};
use crate::exit::Exit;
use crate::model::cause::{Cause, InternalCause, StateCause};
use crate::model::clock::Micros;
use crate::pipeline::{Flow, PageInput};
use crate::spool::{Entry, Opened, Waiting};
use crate::store;
use crate::support::progress::Progress;

/// How many stored rejections are read and decided at a time.
const REJECTIONS_AT_ONCE: u64 = 5_000;

/// The result of replaying one file of the spool.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Replayed {
    Done,
    /// The database refuses its records, for this reason.
    Refused(String),
    /// It could not be replayed now, but the next file may be.
    Later,
    /// The database is away or the run ends, so no further file is tried.
    Stopped,
}

impl Run<'_> {
    /// Writes the records that earlier runs left in the spool, oldest file first. A file is removed only when all of it is
    /// committed. Returns false if the database went away meanwhile: then nothing new may be fetched before these.
    pub(super) fn replay(&mut self, progress: &Progress) -> Result<bool> {
        let was_there = self.session.connection.is_some();
        for path in self.spool.files()? {
            if self.inputs.signals.asked().is_some() {
                break;
            }
            match self.open_spool_file(&path) {
                None => {}
                Some(waiting) => match self.replay_file(&waiting, progress)? {
                    Replayed::Done => {}
                    Replayed::Refused(_) | Replayed::Later => self.refused_files.push(path),
                    Replayed::Stopped => break,
                },
            }
        }
        Ok(!was_there || self.session.connection.is_some())
    }

    /// Tries the files that could not be replayed once more, each alone. The database has taken other records of this run, so
    /// a file that fails again is at fault itself and is moved to quarantine. If the database has taken none, the files stay.
    pub(super) fn replay_refused(&mut self, flow: &Flow, progress: &Progress) -> Result<()> {
        let refused = std::mem::take(&mut self.refused_files);
        if refused.is_empty() {
            return Ok(());
        }
        let ledger = &flow.ledger;
        let taken = ledger.inserted + ledger.updated + ledger.unchanged + self.outcome.replayed;
        if taken == 0 || self.session.connection.is_none() {
            // The table takes no row, so files whose records this run has spooled again would only be duplicates.
            let repeated = self
                .spool
                .remove_repeated(&refused, &self.inputs.id.to_string())?;
            if repeated > 0 {
                log::info!(
                    "{repeated} records of the spool were fetched and kept again: their older copies are removed"
                );
            }
            return Ok(());
        }
        for path in refused {
            if self.inputs.signals.asked().is_some() || self.inputs.is_late() {
                break;
            }
            let Some(waiting) = self.open_spool_file(&path) else {
                continue;
            };
            match self.replay_file(&waiting, progress)? {
                Replayed::Done | Replayed::Later => {}
                Replayed::Stopped => break,
                Replayed::Refused(reason) => match self.spool.quarantine(&waiting) {
                    Ok(aside) => self.enter_spool_failure(&format!(
                        "the database refuses the records of a spool file ({reason}), which was moved to {}; nothing is lost: when the database takes them, move it back to {} and run `datasync retry`",
                        aside.display(),
                        path.parent().unwrap_or(&path).display()
                    )),
                    Err(error) => self.enter_spool_failure(&error.to_string()),
                },
            }
        }
        Ok(())
    }

    /// Opens a file for replay. None: another process has it, or it could not be read and is in quarantine now.
    fn open_spool_file(&mut self, path: &Path) -> Option<Waiting> {
        match self.spool.open_file(path) {
            Ok(Opened::Ready(waiting)) => return Some(waiting),
            Ok(Opened::Taken) => {}
            Ok(Opened::Quarantined(aside, reason)) => self.enter_quarantined(&aside, &reason),
            Err(error) => self.enter_spool_failure(&error.to_string()),
        }
        None
    }

    fn enter_quarantined(&mut self, aside: &Path, reason: &str) {
        self.enter_spool_failure(&format!(
            "a spool file was damaged ({reason}) and moved to {}; its records are not lost: run `datasync sync --full`, then remove the file",
            aside.display()
        ));
    }

    fn enter_spool_failure(&mut self, sentence: &str) {
        log::error!("{sentence}");
        let cause = Cause::State(StateCause::Damaged);
        self.outcome.fail(Exit::State, cause, sentence);
    }

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
        let inputs = page_inputs(&waiting.entries, self.session.clock.now());
        let flow = self.run_flow(Records::AtHand(inputs), progress);
        if let Some(error) = &flow.ends.store_error {
            if error.may_be_of_a_row() && flow.ledger.balances() {
                self.outcome.store_failed(error);
                return Ok(Replayed::Refused(error.to_string()));
            }
            self.session.lost(error, &mut self.outcome);
            // A file that makes the database end connections does not stop the others. A database that is away does.
            if self.refused_files.is_empty() && self.session.reconnect(&self.inputs) {
                return Ok(Replayed::Later);
            }
        }
        let broken = flow.ends.broken.or_else(|| flow.ledger.imbalance());
        if let Some(sentence) = broken {
            let cause = Cause::Internal(InternalCause::Error);
            self.outcome.fail(Exit::Internal, cause, &sentence);
            return Ok(Replayed::Refused(sentence));
        }
        if flow.ledger.spooled > 0 {
            return Ok(Replayed::Stopped);
        }
        self.outcome.replayed += flow.ledger.fetched;
        self.spool.remove(waiting)?;
        Ok(Replayed::Done)
    }

    /// True if a complete run has begun after these records were fetched: it has seen them all, and what it wrote is newer.
    /// This matters without a version field, where an unchanged row does not show when it was last confirmed.
    fn is_outdated(&mut self, waiting: &Waiting) -> Result<bool> {
        let newest = waiting.entries.iter().map(|entry| entry.requested_at).max();
        let (None, Some(newest)) = (self.inputs.plan.mapping.version, newest) else {
            return Ok(false);
        };
        Ok(self.was_read_since(newest)?)
    }

    /// Decides the stored rejections again. Records that pass are written and their rejections resolved.
    pub(super) fn decide_again(&mut self, flow: &mut Flow, progress: &Progress) -> Result<()> {
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
                    requested_at: Micros(rejection.last_seen),
                    raw: rejection.payload,
                })
                .collect();
            let inputs = page_inputs(&entries, self.session.clock.now());
            let part = self.run_flow(Records::AtHand(inputs), progress);
            if let Some(why) = &part.ends.broken {
                return Err(anyhow::anyhow!(why.clone()));
            }
            let failed = part.ends.store_error.is_some() || part.ledger.spooled > 0;
            flow.absorb(part);
            // A record that could not be written is still a stored rejection, so it must not count as spooled.
            flow.counts.lost_in_memory += std::mem::take(&mut flow.ledger.spooled);
            if failed || self.inputs.signals.asked().is_some() {
                break;
            }
        }
        flow.ledger.fetched -= flow.counts.lost_in_memory.min(flow.ledger.fetched);
        flow.counts.lost_in_memory = 0;
        Ok(())
    }
}

/// The entries of a spool file as pages: records that were requested together stay together.
///
/// While the database was away, their times came from the clock of some machine. If that clock was ahead, rows would get a
/// time in the future, and newer data could not replace them until then. So no time may be later than `now`.
fn page_inputs(entries: &[Entry], now: Micros) -> Vec<PageInput> {
    let mut inputs: Vec<PageInput> = Vec::new();
    for group in entries.chunk_by(|a, b| a.requested_at == b.requested_at) {
        let mut text = String::new();
        let mut records = Vec::with_capacity(group.len());
        for entry in group {
            let start = u32::try_from(text.len()).unwrap_or(u32::MAX);
            text.push_str(&entry.raw);
            records.push(start..u32::try_from(text.len()).unwrap_or(u32::MAX));
        }
        let requested_at = group
            .first()
            .map_or(now, |entry| entry.requested_at.min(now));
        inputs.push(PageInput {
            text: Arc::new(text),
            records,
            requested_at,
            announced_total: None,
        });
    }
    inputs
}
