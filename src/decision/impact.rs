//! The impact of a changed decision file: the same records decided by the old and the new one, and the verdicts compared.

use std::fmt;

use serde::Serialize;

use super::compiled::{Decision, Scratch};
use super::verdict::Verdict;
use crate::model::record::Cell;
use crate::support::text::{clean, counted, grouped};

/// Most ids of records that are kept for one kind of change.
const MAX_IDS: usize = 1000;
/// Most ids that are kept for one pair of rules.
const MAX_IDS_OF_RULES: usize = 100;
/// Most pairs of rules that are told apart in one kind of change.
const MAX_PAIRS: usize = 1000;

/// The verdicts of two decisions on the same records, compared.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Impact {
    /// Records compared.
    pub total: u64,
    /// Records whose validation result or action differ.
    pub changed: u64,
    /// Of them, those that were written and would now be rejected.
    pub now_rejected: u64,
    /// Of them, those that were rejected and would now be written.
    pub now_accepted: u64,
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
    /// The same records by the rules that gave the old verdict and the new one, the most frequent pair first.
    pub by_rule: Vec<RuleChange>,
}

/// Records that one rule decided before, and another one now.
#[derive(Clone, Debug, Serialize)]
pub struct RuleChange {
    /// The old table's rules, by id; none where no rule decided.
    pub old_rules: Vec<String>,
    /// The new table's.
    pub new_rules: Vec<String>,
    /// How many records.
    pub count: u64,
    /// Their ids; at most 100 of them.
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
        self.now_rejected += u64::from(before.passes() && !after.passes());
        self.now_accepted += u64::from(!before.passes() && after.passes());
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
                    by_rule: Vec::new(),
                });
                self.changes.len() - 1
            });
        let change = &mut self.changes[position];
        change.count += 1;
        if change.ids.len() < MAX_IDS {
            change.ids.push(id.to_owned());
        }
        change.add(id, before.rules.as_slice(), after.rules.as_slice());
    }

    /// Puts the most frequent change first.
    #[must_use]
    pub fn finish(mut self) -> Self {
        self.changes
            .sort_by_key(|change| std::cmp::Reverse(change.count));
        for change in &mut self.changes {
            change
                .by_rule
                .sort_by_key(|pair| std::cmp::Reverse(pair.count));
        }
        self
    }
}

impl VerdictChange {
    /// Adds a record to those of its pair of rules. Pairs beyond the bound are counted together, without rules.
    fn add(&mut self, id: &str, old: &[&str], new: &[&str]) {
        let (old, new) = match self.by_rule.len() {
            MAX_PAIRS.. if self.pair(old, new).is_none() => (&[][..], &[][..]),
            _ => (old, new),
        };
        let position = self.pair(old, new).unwrap_or_else(|| {
            let owned = |rules: &[&str]| rules.iter().map(|&id| id.to_owned()).collect();
            self.by_rule.push(RuleChange {
                old_rules: owned(old),
                new_rules: owned(new),
                count: 0,
                ids: Vec::new(),
            });
            self.by_rule.len() - 1
        });
        let pair = &mut self.by_rule[position];
        pair.count += 1;
        if pair.ids.len() < MAX_IDS_OF_RULES {
            pair.ids.push(id.to_owned());
        }
    }

    fn pair(&self, old: &[&str], new: &[&str]) -> Option<usize> {
        let is = |pair: &RuleChange| pair.old_rules == old && pair.new_rules == new;
        self.by_rule.iter().position(is)
    }
}

impl fmt::Display for RuleChange {
    /// `Rule_A → Rule_B`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |rules: &[String]| match rules {
            [] => "no rule".to_owned(),
            rules => clean(&rules.join(", ")),
        };
        write!(f, "{} → {}", named(&self.old_rules), named(&self.new_rules))
    }
}

/// The first ids, and how many more there are.
fn first_of(ids: &[String], count: u64, most: usize) -> String {
    let shown = &ids[..ids.len().min(most)];
    let mut text = clean(&shown.join(", "));
    if count > shown.len() as u64 {
        text += &format!(" and {} more", count - shown.len() as u64);
    }
    text
}

impl Impact {
    /// The counts, in one sentence.
    pub fn counts(&self) -> String {
        format!(
            "{} of {} change their verdict ({} would be rejected now, {} accepted now); {} keep it for another reason",
            grouped(self.changed),
            counted(self.total, "record", "records"),
            grouped(self.now_rejected),
            grouped(self.now_accepted),
            grouped(self.reworded)
        )
    }
}

impl RuleChange {
    /// Its records: the first ids, and how many more there are.
    pub fn records(&self) -> String {
        first_of(&self.ids, self.count, 10)
    }
}

impl fmt::Display for Impact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.counts())?;
        for change in &self.changes {
            writeln!(
                f,
                "  {:>8}  {} → {}: {}",
                change.count,
                change.from,
                change.to,
                first_of(&change.ids, change.count, 10)
            )?;
            for pair in &change.by_rule {
                writeln!(f, "            {:>8}  {pair}", pair.count)?;
            }
        }
        Ok(())
    }
}
