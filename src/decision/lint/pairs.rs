//! Checks that compare rules with one another: duplicates, overlaps, rules that could be one.

use std::collections::{HashMap, HashSet};

use super::record_search::Decided;
use super::{Linter, MAX_WORK};
use crate::decision::bits::{Bits, SetOperations as _};
use crate::decision::feel::ast::Expr;
use crate::decision::feel::eval::Frame;
use crate::decision::problem::{Check, Severity};
use crate::decision::table::{HitPolicy, Outcome};

/// Most overlaps that are counted beyond those that are listed.
const MAX_COUNTED: usize = 1000;

/// By group: the segments accepted, or the cells as written where they are unknown.
type Conditions = Vec<(Option<Bits>, String)>;

impl Linter<'_> {
    /// The conditions of a rule, column by column, in a form that can be compared; `-` in all forms is the same.
    pub(super) fn conditions(&self, row: usize, without: Option<usize>) -> Conditions {
        (0..self.groups.len())
            .filter(|group| Some(*group) != without)
            .map(|group| {
                match (
                    &self.rule_space.cells[group][row],
                    &self.rule_space.dimensions[group],
                ) {
                    (Some(set), Some(dimension)) => (Some(set.and(&dimension.live)), String::new()),
                    (Some(set), None) => (Some(set.clone()), String::new()),
                    (None, _) => (
                        None,
                        self.groups[group]
                            .iter()
                            .map(|column| &*self.table.rules[row].texts[*column])
                            .collect::<Vec<_>>()
                            .join("\u{0}"),
                    ),
                }
            })
            .collect()
    }

    fn output_text(&self, row: usize) -> String {
        self.table.rules[row]
            .outputs
            .iter()
            .map(|output| match output {
                Expr::Const(value) => value.literal(),
                computed => format!("{computed:?}"),
            })
            .collect::<Vec<_>>()
            .join("\u{0}")
    }

    pub(super) fn duplicates(&mut self) {
        let mut seen: HashMap<(Conditions, String), usize> = HashMap::new();
        for row in 0..self.table.rules.len() {
            let key = (self.conditions(row, None), self.output_text(row));
            if let Some(first) = seen.get(&key).copied() {
                let example = self.example_in(&[first, row]);
                let message = format!(
                    "{} and {} have the same conditions and the same outputs",
                    self.rule_name(first),
                    self.rule_name(row)
                );
                self.find(
                    Check::Duplicate,
                    Severity::Warning,
                    &[first, row],
                    example,
                    message,
                    "remove one of them",
                );
            } else {
                seen.insert(key, row);
            }
        }
    }

    /// Can they both accept, column by column? Unknown cells cannot.
    pub(super) fn meet(&self, first: usize, second: usize, work: &mut u64) -> bool {
        *work += 1;
        self.rule_space
            .cells
            .iter()
            .zip(&self.rule_space.dimensions)
            .all(
                |(cells, dimension)| match (&cells[first], &cells[second], dimension) {
                    (Some(a), Some(b), Some(_)) => {
                        *work += a.as_slice().len() as u64;
                        !a.is_disjoint(b)
                    }
                    (Some(_), Some(_), None) => true,
                    _ => false,
                },
            )
    }

    pub(super) fn overlaps(&mut self) {
        let table = self.table;
        if !matches!(table.hit, HitPolicy::Unique | HitPolicy::Any) {
            return;
        }
        let free = self.is_free();
        let mut search = self.record_search();
        let outputs: Vec<String> = (0..table.rules.len())
            .map(|row| self.output_text(row))
            .collect();
        let mut work = 0_u64;
        let mut more = 0_usize;
        'all: for first in 0..table.rules.len() {
            for second in first + 1..table.rules.len() {
                if table.hit == HitPolicy::Any && outputs[first] == outputs[second] {
                    continue;
                }
                let meets = self.meet(first, second, &mut work);
                if work > 8 * MAX_WORK {
                    self.notes.push(format!(
                        "\"{}\": the search for overlaps stopped at {}",
                        self.name,
                        self.rule_name(first)
                    ));
                    break 'all;
                }
                if !meets {
                    continue;
                }
                let common = self.common(&[first, second]);
                let Some(sets) = common.and_then(|sets| self.possible(sets)) else {
                    continue;
                };
                let values = self.sample(&sets);
                if !self.matches_all(&[first, second], &values) {
                    continue;
                }
                let hopeless = !free && search.is_spent();
                if self.is_enough(Check::Overlap, Severity::Error)
                    || (hopeless && self.is_enough(Check::Overlap, Severity::Warning))
                {
                    more += 1;
                    if more >= MAX_COUNTED {
                        break 'all;
                    }
                    continue;
                }
                let region = self.region_text(&sets);
                let refused = |decided: &Decided<'_>, frame: &mut Frame| {
                    matches!(decided.outcome, Outcome::Several(_) | Outcome::Conflict(_))
                        && [first, second]
                            .iter()
                            .all(|rule| table.rules[*rule].matches(decided.inputs, frame))
                };
                let (verb, severity, example) = match self.record_of(&sets, &mut search, &refused) {
                    Some(record) if free => ("both match", Severity::Error, record),
                    Some(record) => ("both match the record shown, of", Severity::Error, record),
                    // No such record comes through the mapping, or none was found in time.
                    None if free && !search.is_spent() && !search.left_out => continue,
                    None if free && search.is_spent() => {
                        ("both match", Severity::Error, self.example_of(&values))
                    }
                    None => (
                        "may both match",
                        Severity::Warning,
                        self.example_of(&values),
                    ),
                };
                let repairs = self.repairs(first, second);
                let (consequence, otherwise) = match (table.hit, repairs.is_empty()) {
                    (HitPolicy::Unique, false) => (
                        "UNIQUE allows one, so such a record is refused",
                        "choose a hit policy that says which wins (FIRST, PRIORITY)",
                    ),
                    (HitPolicy::Unique, true) => (
                        "UNIQUE allows one, so such a record is refused",
                        "narrow one of them, or choose a hit policy that says which wins (FIRST, PRIORITY)",
                    ),
                    (_, false) => (
                        "ANY wants the same outputs, so such a record is refused",
                        "give both the same outputs, or choose FIRST or PRIORITY",
                    ),
                    (_, true) => (
                        "ANY wants the same outputs, so such a record is refused",
                        "give both the same outputs, narrow one of them, or choose FIRST or PRIORITY",
                    ),
                };
                let remedy = self.repair_text(&repairs, otherwise);
                let message = format!(
                    "{} and {} {verb} {region}: {consequence}",
                    self.rule_name(first),
                    self.rule_name(second)
                );
                let found = self.find(
                    Check::Overlap,
                    severity,
                    &[first, second],
                    Some(example),
                    message,
                    &remedy,
                );
                if let Some(finding) = found {
                    finding.repairs = repairs;
                }
            }
        }
        if more > 0 {
            self.notes.push(format!(
                "\"{}\": {}{more} further overlaps are not listed",
                self.name,
                if more >= MAX_COUNTED { "at least " } else { "" }
            ));
        }
    }

    /// Rules that differ in one column only and could be one rule.
    pub(super) fn mergeable(&mut self) {
        let table = self.table;
        if !matches!(
            table.hit,
            HitPolicy::Unique | HitPolicy::Any | HitPolicy::First
        ) {
            return;
        }
        let mut reported: HashSet<usize> = HashSet::new();
        for group in 0..self.groups.len() {
            if self.rule_space.dimensions[group].is_none() {
                continue;
            }
            let mut alike: HashMap<(Conditions, String, Option<&str>), Vec<usize>> = HashMap::new();
            for (row, rule) in table.rules.iter().enumerate() {
                if self.rule_space.cells[group][row].is_some() {
                    let key = (
                        self.conditions(row, Some(group)),
                        self.output_text(row),
                        rule.note.as_deref(),
                    );
                    alike.entry(key).or_default().push(row);
                }
            }
            let mut found: Vec<Vec<usize>> =
                alike.into_values().filter(|rows| rows.len() > 1).collect();
            found.sort();
            for rows in found {
                let neighbours = rows.windows(2).all(|pair| pair[1] == pair[0] + 1);
                if rows.iter().any(|row| reported.contains(row))
                    || (table.hit == HitPolicy::First && !neighbours)
                {
                    continue;
                }
                let Some(dimension) = &self.rule_space.dimensions[group] else {
                    continue;
                };
                let mut union = Bits::with_capacity(dimension.segments());
                let mut distinct = HashSet::new();
                for row in &rows {
                    if let Some(set) = &self.rule_space.cells[group][*row] {
                        union.union_with(set);
                        distinct.insert(set.clone());
                    }
                }
                if distinct.len() < 2 {
                    continue;
                }
                let text = dimension.text_of(&union);
                reported.extend(&rows);
                let names: Vec<String> = rows.iter().map(|row| self.rule_name(*row)).collect();
                let message = format!(
                    "{} differ only in `{}` and give the same: they could be one rule",
                    names.join(", "),
                    self.column_name(group)
                );
                let remedy = format!(
                    "keep one of them, with `{text}` in `{}`",
                    self.column_name(group)
                );
                let example = self.example_in(&rows[..1]);
                self.find(
                    Check::Mergeable,
                    Severity::Warning,
                    &rows,
                    example,
                    message,
                    &remedy,
                );
            }
        }
    }
}
