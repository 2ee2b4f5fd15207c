//! Checks that compare rules with one another: duplicates, overlaps, rules that could be one.

use std::collections::{HashMap, HashSet};

use super::finding::Example;
use super::linter::{Linter, MAX_WORK};
use super::record_search::{Decided, RecordSearch};
use crate::decision::bits::{Bits, SetOperations as _};
use crate::decision::feel::ast::Expr;
use crate::decision::feel::eval::Frame;
use crate::decision::feel::value::Value;
use crate::decision::problem::{Check, Severity};
use crate::decision::table::{HitPolicy, Outcome};

/// Most overlaps that are counted beyond those that are listed.
const MAX_COUNTED: usize = 1000;

/// By group: the segments accepted, or the cells as written where they are unknown.
type Conditions = Vec<(Option<Bits>, String)>;

/// How an overlap is told, and the record that shows it.
struct Shown {
    verb: &'static str,
    severity: Severity,
    example: Example,
}

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
                let message = format!(
                    "{} and {} have the same conditions and the same outputs",
                    self.rule_name(first),
                    self.rule_name(row)
                );
                self.find(
                    Check::Duplicate,
                    Severity::Warning,
                    &[first, row],
                    self.example_in(&[first, row]),
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
        let count = table.rules.len();
        let outputs: Vec<String> = (0..count).map(|row| self.output_text(row)).collect();
        let mut search = self.record_search();
        let mut work = 0_u64;
        let mut more = 0_usize;
        let pairs =
            (0..count).flat_map(|first| (first + 1..count).map(move |second| [first, second]));
        for [first, second] in pairs {
            if table.hit == HitPolicy::Any && outputs[first] == outputs[second] {
                continue;
            }
            let meets = self.meet(first, second, &mut work);
            if work > 8 * MAX_WORK {
                let name = self.rule_name(first);
                self.note(&format!("the search for overlaps stopped at {name}"));
                break;
            }
            if !meets {
                continue;
            }
            let Some((sets, values)) = self.overlap_of([first, second]) else {
                continue;
            };
            if self.overlaps_are_enough(&search) {
                more += 1;
                if more >= MAX_COUNTED {
                    break;
                }
                continue;
            }
            if let Some(shown) = self.show_overlap([first, second], &sets, &values, &mut search) {
                self.find_overlap([first, second], &self.region_text(&sets), shown);
            }
        }
        if more > 0 {
            let at_least = if more >= MAX_COUNTED { "at least " } else { "" };
            self.note(&format!("{at_least}{more} further overlaps are not listed"));
        }
    }

    /// Where two rules accept the same values, and values for which both have been matched for real.
    fn overlap_of(&self, pair: [usize; 2]) -> Option<(Vec<Bits>, Vec<Value>)> {
        let sets = self.possible(self.common(&pair)?)?;
        let values = self.sample(&sets);
        self.matches_all(&pair, &values).then_some((sets, values))
    }

    /// Is no further overlap to be listed, whatever the search finds?
    fn overlaps_are_enough(&self, search: &RecordSearch) -> bool {
        let hopeless = !self.is_free() && search.is_spent();
        self.is_enough(Check::Overlap, Severity::Error)
            || (hopeless && self.is_enough(Check::Overlap, Severity::Warning))
    }

    /// Looks for a record that both rules match. None when there is no such record.
    fn show_overlap(
        &self,
        pair: [usize; 2],
        sets: &[Bits],
        values: &[Value],
        search: &mut RecordSearch,
    ) -> Option<Shown> {
        let rules = &self.table.rules;
        let refused = |decided: &Decided<'_>, frame: &mut Frame| {
            matches!(decided.outcome, Outcome::Several(_) | Outcome::Conflict(_))
                && pair
                    .iter()
                    .all(|rule| rules[*rule].matches(decided.inputs, frame))
        };
        let record = self.record_of(sets, search, &refused);
        let (verb, severity) = match (self.is_free(), &record) {
            (true, Some(_)) => ("both match", Severity::Error),
            (false, Some(_)) => ("both match the record shown, of", Severity::Error),
            (true, None) if search.is_spent() => ("both match", Severity::Error),
            // No such record comes through the mapping, or none was found in time.
            (true, None) if !search.left_out => return None,
            (_, None) => ("may both match", Severity::Warning),
        };
        Some(Shown {
            verb,
            severity,
            example: record.unwrap_or_else(|| self.example_of(values)),
        })
    }

    fn find_overlap(&mut self, [first, second]: [usize; 2], region: &str, shown: Shown) {
        let repairs = self.repairs(first, second);
        let (consequence, otherwise) = match (self.table.hit, repairs.is_empty()) {
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
        let message = format!(
            "{} and {} {} {region}: {consequence}",
            self.rule_name(first),
            self.rule_name(second),
            shown.verb
        );
        let remedy = self.repair_text(&repairs, otherwise);
        let found = self.find(
            Check::Overlap,
            shown.severity,
            &[first, second],
            Some(shown.example),
            message,
            &remedy,
        );
        if let Some(finding) = found {
            finding.repairs = repairs;
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
            let Some(dimension) = &self.rule_space.dimensions[group] else {
                continue;
            };
            let mut merged = Vec::new();
            for rows in self.alike_but_for(group) {
                let neighbours = rows.windows(2).all(|pair| pair[1] == pair[0] + 1);
                if rows.iter().any(|row| reported.contains(row))
                    || (table.hit == HitPolicy::First && !neighbours)
                {
                    continue;
                }
                let cells = &self.rule_space.cells[group];
                let distinct: HashSet<&Bits> =
                    rows.iter().filter_map(|row| cells[*row].as_ref()).collect();
                if distinct.len() < 2 {
                    continue;
                }
                let mut union = Bits::with_capacity(dimension.segments());
                for set in distinct {
                    union.union_with(set);
                }
                reported.extend(&rows);
                merged.push((rows, dimension.text_of(&union)));
            }
            for (rows, text) in merged {
                self.find_mergeable(group, &rows, &text);
            }
        }
    }

    /// Rules that have the same conditions in all other columns, and the same outputs.
    fn alike_but_for(&self, group: usize) -> Vec<Vec<usize>> {
        let mut alike: HashMap<(Conditions, String, Option<&str>), Vec<usize>> = HashMap::new();
        for (row, rule) in self.table.rules.iter().enumerate() {
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
        found
    }

    fn find_mergeable(&mut self, group: usize, rows: &[usize], text: &str) {
        let names: Vec<String> = rows.iter().map(|row| self.rule_name(*row)).collect();
        let (names, column) = (names.join(", "), self.column_name(group));
        let message =
            format!("{names} differ only in `{column}` and give the same: they could be one rule");
        let remedy = format!("keep one of them, with `{text}` in `{column}`");
        self.find(
            Check::Mergeable,
            Severity::Warning,
            rows,
            self.example_in(&rows[..1]),
            message,
            &remedy,
        );
    }
}
