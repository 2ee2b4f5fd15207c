//! The impact of a changed decision file: the same records decided by the old and the new one, and the verdicts compared.

use std::fmt;

use serde::Serialize;

use super::compiled::{Decision, Scratch};
use super::verdict::Verdict;
use crate::model::record::Cell;
use crate::support::text::clean;

/// Most ids of records that are kept for one kind of change.
const MAX_IDS: usize = 1000;

/// The verdicts of two decisions on the same records, compared.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Impact {
    /// Records compared.
    pub total: u64,
    /// Records whose validation result or action differ.
    pub changed: u64,
    /// Records with the same verdict for another reason (another rule, or another sentence).
    pub reworded: u64,
    /// What became of those that changed, the most frequent first.
    pub changes: Vec<VerdictChange>,
}

/// All records that changed in the same way.
#[derive(Clone, Debug, Serialize)]
pub struct VerdictChange {
    /// The old verdict, `WARNING/REVIEW`.
    pub from: String,
    /// The new verdict.
    pub to: String,
    /// How many.
    pub count: u64,
    /// Their ids; at most 1,000 of them.
    pub ids: Vec<String>,
}

impl Impact {
    /// Decides all records by both.
    pub fn of<'c, R>(old: &Decision, new: &Decision, records: R) -> Self
    where
        R: IntoIterator<Item = (String, Vec<Cell<'c>>)>,
    {
        let mut impact = Self::default();
        let (mut scratch, mut other) = (Scratch::default(), Scratch::default());
        for (id, variables) in records {
            let before = old.decide(&variables, &mut scratch);
            let after = new.decide(&variables, &mut other);
            impact.add(&id, &before, &after);
        }
        impact.finish()
    }

    /// Adds one record.
    pub fn add(&mut self, id: &str, before: &Verdict<'_>, after: &Verdict<'_>) {
        self.total += 1;
        if (before.validation, before.action) == (after.validation, after.action) {
            if before.reason != after.reason || before.rules != after.rules {
                self.reworded += 1;
            }
            return;
        }
        self.changed += 1;
        let name = |verdict: &Verdict<'_>| {
            format!(
                "{}/{}",
                verdict.validation.as_str(),
                verdict.action.as_str()
            )
        };
        let (from, to) = (name(before), name(after));
        let position = self
            .changes
            .iter()
            .position(|change| change.from == from && change.to == to)
            .unwrap_or_else(|| {
                self.changes.push(VerdictChange {
                    from,
                    to,
                    count: 0,
                    ids: Vec::new(),
                });
                self.changes.len() - 1
            });
        let change = &mut self.changes[position];
        change.count += 1;
        if change.ids.len() < MAX_IDS {
            change.ids.push(id.to_owned());
        }
    }

    /// Puts the most frequent change first.
    #[must_use]
    pub fn finish(mut self) -> Self {
        self.changes
            .sort_by_key(|change| std::cmp::Reverse(change.count));
        self
    }
}

impl fmt::Display for Impact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} of {} records change their verdict; {} keep it for another reason",
            self.changed, self.total, self.reworded
        )?;
        for change in &self.changes {
            write!(
                f,
                "  {:>8}  {} → {}: ",
                change.count, change.from, change.to
            )?;
            let shown = change.ids.len().min(10);
            f.write_str(&clean(&change.ids[..shown].join(", ")))?;
            if change.count > shown as u64 {
                write!(f, " and {} more", change.count - shown as u64)?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
