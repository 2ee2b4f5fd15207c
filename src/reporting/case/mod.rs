//! Cases: a case records an incident, with its evidence and a plan of five steps.
//!
//! A case has one cause. The next run with the same cause adds an occurrence to the open case instead of opening another.
//! This file owns the model, and `plan` the five steps. `store::cases` stores cases in the database, [`LocalCaseStore`] in
//! the state directory while the database is away. `text` shows a case as text.

mod local_store;
mod plan;
#[cfg(test)]
mod tests;
mod text;

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use crate::model::cause::Cause;
use crate::model::record::{Check, Ledger};

pub use local_store::LocalCaseStore;
pub use plan::{Item, State, Step};

/// How many occurrences and notes a case holds. Older ones are only counted.
const KEPT: usize = 50;
/// How many records to be settled a case names.
const RECORDS: usize = 1_000;

/// A run that failed for this cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Occurrence {
    pub run_id: String,
    /// When it ended, as RFC 3339.
    pub at: String,
    pub exit_code: u8,
}

/// A note, by a person or by the program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// When it was made, as RFC 3339.
    pub at: String,
    /// Who made it: `user@host`, or `datasync` for the program.
    pub who: String,
    pub text: String,
}

/// What was found when a run failed. It never holds values of customers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Evidence {
    /// The chain of errors, outermost first.
    pub errors: Vec<String>,
    /// The counts of the run's ledger.
    pub ledger: Vec<(String, u64)>,
    /// Ids of the first records that were concerned.
    pub samples: Vec<String>,
    /// Results of `check-api` and `check-db`.
    pub checks: Vec<CheckFound>,
    /// How many files waited in the spool.
    pub spool_files: u64,
    /// True if the run had been asked for the whole source (`--full`), so that a retry asks for it again.
    #[serde(default)]
    pub full: bool,
}

/// The two sides between which records are synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The API.
    Api,
    /// The database.
    Database,
}

impl Side {
    /// The name that a case shows.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Database => "database",
        }
    }
}

/// The result of one check of `check-api` or `check-db`, made when the run failed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CheckFound {
    /// The command that the check belongs to.
    pub of: Side,
    pub name: String,
    /// True if nothing was wrong.
    pub ok: bool,
    pub detail: String,
    /// What a person can do about it.
    pub hint: Option<String>,
}

impl CheckFound {
    /// The result of a check, for a case.
    pub fn new(of: Side, check: &Check) -> Self {
        Self {
            of,
            name: check.name.to_owned(),
            ok: check.ok,
            // A case shows each check on one line.
            detail: check.detail.replace('\n', "; "),
            hint: check.hint.as_ref().map(|hint| hint.replace('\n', "; ")),
        }
    }
}

/// Why a case was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Closing {
    /// A retry succeeded.
    Resolved,
    /// A later run succeeded by itself.
    Recovered,
    /// An older case of the same cause was open already. It has taken over the occurrences of this one.
    Merged,
}

/// An incident: one cause of failure, with all runs that failed for it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Case {
    /// `C` and eight hexadecimal digits.
    pub id: String,
    /// The cause. Its text is, for example, `api:timeout`, `database:57P03` or `threshold:rejection_rate`.
    pub fingerprint: Cause,
    /// The exit code of the first run that failed for this cause.
    pub exit_code: u8,
    /// What happened, in one sentence.
    pub cause: String,
    /// True if the cause may pass by itself, so that a later good run closes the case.
    pub transient: bool,
    /// When it was opened, as RFC 3339.
    pub opened_at: String,
    /// When it was closed, as RFC 3339; none while it is open.
    pub closed_at: Option<String>,
    /// Why it was closed.
    pub closing: Option<Closing>,
    /// How many runs have failed for this cause.
    pub count: u64,
    /// The first of these runs, and the last ones.
    pub occurrences: Vec<Occurrence>,
    /// What was found when the last of these runs failed.
    pub evidence: Evidence,
    /// The plan: the five steps in order.
    pub items: Vec<Item>,
    /// The last notes.
    pub notes: Vec<Note>,
    /// When the last alert or reminder was sent, as RFC 3339.
    #[serde(default)]
    pub alerted_at: Option<String>,
    /// Tables and shards in which a run has failed for this cause, and none has succeeded since.
    #[serde(default)]
    pub scopes: BTreeSet<Scope>,
    /// Records that a person has to settle, each with the reason. At most 1,000 are named.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub records: BTreeSet<String>,
}

/// What a run writes: a table, or one shard of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Scope {
    /// `schema.table`.
    pub target: String,
    /// `3/4`; none for the whole table.
    pub shard: Option<String>,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.target)?;
        match &self.shard {
            Some(shard) => write!(f, " shard {shard}"),
            None => Ok(()),
        }
    }
}

/// A failure for which a case is opened.
#[derive(Clone, Debug)]
pub struct Fault {
    pub cause: Cause,
    /// The exit code of the failure.
    pub exit_code: u8,
    /// What happened, in one sentence.
    pub sentence: String,
    /// True if the cause may pass by itself.
    pub transient: bool,
    /// What the run wrote; none for a retry, which repeats what other runs have failed at.
    pub scope: Option<Scope>,
    /// Records that a person has to settle, each with the reason.
    pub records: Vec<String>,
}

/// The current time as RFC 3339, as cases store it.
pub fn now() -> String {
    format!("{:.0}", jiff::Timestamp::now())
}

/// The names and counts of a ledger, for the evidence.
pub fn ledger_counts(ledger: &Ledger) -> Vec<(String, u64)> {
    ledger
        .counts()
        .iter()
        .map(|(name, count)| ((*name).to_owned(), *count))
        .collect()
}

impl Case {
    /// A new case for this cause. Its first step is active, and the steps of the checks have the results in the evidence.
    pub fn open(fault: &Fault, run_id: &str, evidence: Evidence) -> Self {
        let items = Step::ALL.iter().map(|&step| Item {
            step,
            state: State::Available,
            who: None,
            when: None,
            note: None,
        });
        // The id is a checksum of run and cause, short enough to be typed.
        let id: String = run_id.chars().filter(char::is_ascii_hexdigit).collect();
        let short: String = crc32fast::hash(format!("{id}{}", fault.cause).as_bytes())
            .to_be_bytes()
            .iter()
            .fold(String::from("C"), |mut text, byte| {
                // Writing to a String cannot fail.
                write!(text, "{byte:02x}").unwrap_or_default();
                text
            });
        let mut case = Self {
            id: short,
            fingerprint: fault.cause.clone(),
            exit_code: fault.exit_code,
            cause: fault.sentence.clone(),
            transient: fault.transient,
            opened_at: now(),
            closed_at: None,
            closing: None,
            count: 0,
            occurrences: Vec::new(),
            evidence: Evidence::default(),
            items: items.collect(),
            notes: Vec::new(),
            alerted_at: None,
            scopes: BTreeSet::new(),
            records: BTreeSet::new(),
        };
        case.item_mut(Step::Investigate).state = State::Active;
        case.add_occurrence(fault, run_id, evidence);
        case
    }

    /// Adds a run that failed for this cause. Adding the same run again changes nothing.
    pub fn add_occurrence(&mut self, fault: &Fault, run_id: &str, evidence: Evidence) {
        if self.occurrences.iter().any(|seen| seen.run_id == run_id) {
            return;
        }
        self.count += 1;
        self.occurrences.push(Occurrence {
            run_id: run_id.to_owned(),
            at: now(),
            exit_code: fault.exit_code,
        });
        if self.occurrences.len() > KEPT {
            self.occurrences.remove(1);
        }
        self.cause.clone_from(&fault.sentence);
        self.scopes.extend(fault.scope.clone());
        self.add_records(&fault.records);
        for (of, step) in [
            (Side::Api, Step::CheckApi),
            (Side::Database, Step::CheckDatabase),
        ] {
            let mut found = evidence
                .checks
                .iter()
                .filter(|check| check.of == of)
                .peekable();
            if found.peek().is_some() {
                let bad: Vec<&str> = found
                    .filter(|check| !check.ok)
                    .map(|check| check.detail.as_str())
                    .collect();
                let state = if bad.is_empty() {
                    State::Completed
                } else {
                    State::Failed
                };
                let note = if bad.is_empty() {
                    "all well".to_owned()
                } else {
                    bad.join("; ")
                };
                self.set(step, state, "datasync", Some(note));
            }
        }
        let full = self.evidence.full || evidence.full;
        self.evidence = Evidence { full, ..evidence };
    }

    /// Adds records to be settled, while there is room.
    fn add_records<'a>(&mut self, records: impl IntoIterator<Item = &'a String>) {
        for record in records {
            if self.records.len() < RECORDS {
                self.records.insert(record.clone());
            }
        }
    }

    /// Merges the occurrences and notes of another copy of this case (of another host, or of the state directory), each once.
    pub fn merge(&mut self, other: &Self) {
        self.evidence.full |= other.evidence.full;
        self.scopes.extend(other.scopes.iter().cloned());
        self.add_records(&other.records);
        for seen in &other.occurrences {
            if !self
                .occurrences
                .iter()
                .any(|known| known.run_id == seen.run_id)
            {
                self.count += 1;
                self.occurrences.push(seen.clone());
            }
        }
        for note in &other.notes {
            if !self.notes.contains(note) {
                self.notes.push(note.clone());
            }
        }
        // All times have the same format, so the later one is the greater text.
        self.alerted_at = self.alerted_at.take().max(other.alerted_at.clone());
    }

    /// Notes that a run of this scope has succeeded. Returns true if no scope is left, so that the case is over.
    pub fn is_over(&mut self, scope: &Scope) -> bool {
        self.scopes.retain(|met| {
            let same_table = met.target == scope.target;
            // A run of the whole table covers all shards. A run of a shard covers a failure of the whole table, because a
            // table that is synced in shards is no longer synced as a whole.
            let covered = scope.shard.is_none() || met.shard.is_none() || met.shard == scope.shard;
            !(same_table && covered)
        });
        self.scopes.is_empty()
    }

    /// True if a run of this table has failed for this cause, or if the case does not say which table.
    pub fn concerns(&self, target: &str) -> bool {
        self.scopes.is_empty() || self.scopes.iter().any(|met| met.target == target)
    }

    /// True until the case is closed.
    pub const fn is_open(&self) -> bool {
        self.closed_at.is_none()
    }

    /// A step of the plan.
    pub fn item(&self, step: Step) -> &Item {
        // All five are always there: `open` creates them, and nothing removes one.
        self.items
            .iter()
            .find(|item| item.step == step)
            .unwrap_or(&self.items[0])
    }

    fn item_mut(&mut self, step: Step) -> &mut Item {
        let at = self
            .items
            .iter()
            .position(|item| item.step == step)
            .unwrap_or(0);
        &mut self.items[at]
    }

    /// Changes the state of a step.
    pub fn set(&mut self, step: Step, state: State, who: &str, note: Option<String>) {
        let item = self.item_mut(step);
        item.state = state;
        item.who = Some(who.to_owned());
        item.when = Some(now());
        if note.is_some() {
            item.note = note;
        }
    }

    /// Completes a human step.
    ///
    /// # Errors
    /// The case is closed.
    pub fn complete(&mut self, step: Step, who: &str, note: Option<String>) -> Result<()> {
        if !self.is_open() {
            bail!(
                "case {} is closed since {}",
                self.id,
                self.closed_at.as_deref().unwrap_or_default()
            );
        }
        self.set(step, State::Completed, who, note);
        let next = match step {
            Step::Investigate => Step::Resolve,
            _ => Step::Retry,
        };
        if self.item(next).state == State::Available || self.item(next).state == State::Failed {
            self.item_mut(next).state = State::Active;
        }
        Ok(())
    }

    /// Adds a note. If there are too many, the oldest one is dropped.
    pub fn add_note(&mut self, who: &str, text: &str) {
        self.notes.push(Note {
            at: now(),
            who: who.to_owned(),
            text: text.to_owned(),
        });
        if self.notes.len() > KEPT {
            self.notes.remove(0);
        }
    }

    /// Notes that a retry has failed. The next step is "resolve" again.
    pub fn retry_failed(&mut self, who: &str, why: &str) {
        self.set(Step::Retry, State::Failed, who, Some(why.to_owned()));
        self.item_mut(Step::Resolve).state = State::Active;
    }

    /// Closes the case. Human steps that are not completed are marked as skipped.
    pub fn close(&mut self, closing: Closing, who: &str, why: &str) {
        self.closed_at = Some(now());
        self.closing = Some(closing);
        self.set(Step::Retry, State::Completed, who, Some(why.to_owned()));
        for item in &mut self.items {
            if !matches!(item.state, State::Completed | State::Failed)
                || (item.step.is_human() && item.state == State::Failed)
            {
                item.state = State::Skipped;
            }
        }
    }
}
