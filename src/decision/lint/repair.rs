//! Finds the smallest change that ends an overlap: one cell of one rule no longer accepts what the other rule accepts,
//! provided that no record is left without a rule.

use super::finding::Repair;
use super::linter::Linter;
use crate::decision::bits::{Bits, SetOperations as _};
use crate::decision::feel::parse::Scope;
use crate::decision::rule_space::Dimension;

impl Linter<'_> {
    /// The smallest cell that ends the overlap of two rules, for either of them where there is one; the smaller change first.
    pub(super) fn repairs(&self, first: usize, second: usize) -> Vec<Repair> {
        let ways = [(first, second), (second, first)];
        let mut repairs: Vec<Repair> = ways
            .into_iter()
            .filter_map(|(keep, cut)| self.smallest_cut(keep, cut))
            .collect();
        repairs.sort_by_key(|repair| repair.taken);
        repairs
    }

    /// The remedy of an overlap in words: its repairs, and what else would do.
    pub(super) fn repair_text(&self, repairs: &[Repair], otherwise: &str) -> String {
        let named = |id: &str| {
            let is = |row: &usize| &*self.table.rules[*row].id == id;
            let row = (0..self.table.rules.len()).find(is);
            row.map_or_else(|| id.to_owned(), |row| self.rule_name(row))
        };
        let mut ways: Vec<String> = repairs
            .iter()
            .map(|repair| {
                format!(
                    "write `{}` for `{}` in {}, so that {} decides such records",
                    repair.entry,
                    repair.input,
                    named(&repair.rule),
                    named(&repair.decides)
                )
            })
            .collect();
        ways.push(otherwise.to_owned());
        ways.join("; or ")
    }

    /// Cuts one cell of the rule `cut` by what the rule `keep` accepts there.
    fn smallest_cut(&self, keep: usize, cut: usize) -> Option<Repair> {
        let groups = (0..self.groups.len()).filter(|group| self.groups[*group].len() == 1);
        let cuts = groups.filter_map(|group| {
            let dimension = self.rule_space.dimensions[group].as_ref()?;
            let cells = &self.rule_space.cells[group];
            let (kept, whole) = (cells[keep].as_ref()?, cells[cut].as_ref()?);
            let rest = whole.and(&kept.inverted());
            let taken = whole.and(kept).and(&dimension.possible).ones().count();
            if rest.and(&dimension.possible).is_clear() || !self.covers(keep, cut, group) {
                return None;
            }
            Some(Repair {
                rule: self.table.rules[cut].id.to_string(),
                row: self.table.rules[cut].row,
                input: self.column_name(group).to_owned(),
                entry: entry_text(dimension, &rest)?,
                decides: self.table.rules[keep].id.to_string(),
                taken,
            })
        });
        cuts.min_by_key(|repair| (repair.taken, repair.entry.len()))
    }

    /// Does one rule accept all that the other one does, in every column but this?
    fn covers(&self, keep: usize, cut: usize, without: usize) -> bool {
        let others = (0..self.groups.len()).filter(|group| *group != without);
        let mut columns = others.map(|group| {
            let cells = &self.rule_space.cells[group];
            (
                &self.rule_space.dimensions[group],
                &cells[keep],
                &cells[cut],
            )
        });
        columns.all(|(dimension, keep, cut)| match (dimension, keep, cut) {
            (Some(dimension), Some(keep), Some(cut)) => {
                cut.and(&dimension.possible).is_subset(keep)
            }
            (None, Some(_), Some(_)) => true,
            _ => false,
        })
    }
}

/// The shortest cell that accepts this set, of the values that records can bring. It has been read back.
fn entry_text(dimension: &Dimension, set: &Bits) -> Option<String> {
    let wanted = set.and(&dimension.possible);
    let mut others = set.inverted();
    others.remove(dimension.null());
    let texts = [
        dimension.text_of(set),
        format!("not({})", dimension.text_of(&others)),
    ];
    let accepts = |text: &String| {
        let tests = Scope::new(true).tests(text).ok();
        let read = tests.and_then(|tests| dimension.set_of(&tests));
        read.is_some_and(|read| read.and(&dimension.possible) == wanted)
    };
    texts.into_iter().filter(accepts).min_by_key(String::len)
}
