//! Makes the records that findings show, from values in the segments that rules accept.

use std::collections::HashSet;

use super::finding::Example;
use super::linter::Linter;
use crate::decision::bits::{Bits, SetOperations as _};
use crate::decision::feel::eval::{self, Frame};
use crate::decision::feel::value::Value;

impl Linter<'_> {
    /// The segments that all these rules accept, by group; none where a cell is unknown or nothing is accepted by all.
    pub(super) fn common(&self, rules: &[usize]) -> Option<Vec<Bits>> {
        (0..self.groups.len())
            .map(|group| {
                let cells = &self.rule_space.cells[group];
                let Some(dimension) = &self.rule_space.dimensions[group] else {
                    // In such a column only `-` is known to accept.
                    return rules
                        .iter()
                        .all(|rule| cells[*rule].is_some())
                        .then(|| Bits::all(2));
                };
                let mut set = dimension.live.clone();
                for rule in rules {
                    set = set.and(cells[*rule].as_ref()?);
                }
                (!set.is_clear()).then_some(set)
            })
            .collect()
    }

    pub(super) fn example_in(&self, rules: &[usize]) -> Option<Example> {
        let sets = self.common(rules)?;
        let values = self.sample(&sets);
        Some(self.example_of(&values))
    }

    /// A record that some rule matches.
    pub(super) fn example_of_any(&self) -> Option<Example> {
        (0..self.table.rules.len()).find_map(|row| self.example_in(&[row]))
    }

    /// A record that the rule matches in all columns except those of one group.
    pub(super) fn example_beside(&self, row: usize, group: usize) -> Example {
        let sets: Vec<Bits> = self
            .rule_space
            .dimensions
            .iter()
            .zip(&self.rule_space.cells)
            .enumerate()
            .map(|(other, (dimension, cells))| {
                let Some(dimension) = dimension else {
                    return Bits::all(2);
                };
                cells[row]
                    .as_ref()
                    .filter(|_| other != group)
                    .map(|set| set.and(&dimension.live))
                    .filter(|set| !set.is_clear())
                    .unwrap_or_else(|| dimension.live.clone())
            })
            .collect();
        self.example_of(&self.sample(&sets))
    }

    /// The group a column belongs to.
    pub(super) fn group_of(&self, column: usize) -> usize {
        self.groups
            .iter()
            .position(|group| group.contains(&column))
            .unwrap_or_default()
    }

    /// A value for every group, from its set; not null where there is another.
    pub(super) fn sample(&self, sets: &[Bits]) -> Vec<Value> {
        sets.iter()
            .zip(&self.rule_space.dimensions)
            .map(|(set, dimension)| {
                dimension
                    .as_ref()
                    .and_then(|dimension| {
                        // A value that a cell mentions is easier to read than one between two of them.
                        let first = |value: &dyn Fn(usize) -> Option<Value>| {
                            set.ones()
                                .filter(|segment| *segment != dimension.null())
                                .filter_map(|segment| Some((segment, value(segment)?)))
                                .min_by_key(|(segment, _)| (segment + 1) % 2)
                                .map(|(_, value)| value)
                        };
                        first(&|segment| dimension.sample(segment)).or_else(|| {
                            if set.contains(dimension.null()) {
                                return Some(Value::Null);
                            }
                            first(&|segment| dimension.plain_sample(segment))
                        })
                    })
                    .unwrap_or_default()
            })
            .collect()
    }

    pub(super) fn example_of(&self, values: &[Value]) -> Example {
        values
            .iter()
            .enumerate()
            .filter(|(group, _)| self.is_tested(*group))
            .map(|(group, value)| {
                (
                    self.column_name(group).to_owned(),
                    serde_json::to_value(value).unwrap_or_default(),
                )
            })
            .collect()
    }

    /// Do the rules really match these values, when evaluated?
    pub(super) fn matches_all(&self, rules: &[usize], values: &[Value]) -> bool {
        let mut inputs = vec![Value::Null; self.table.inputs.len()];
        for (group, value) in self.groups.iter().zip(values) {
            for column in group {
                inputs[*column] = value.clone();
            }
        }
        let mut frame = Frame::default();
        rules.iter().all(|rule| {
            self.table.rules[*rule]
                .tests
                .iter()
                .zip(&inputs)
                .all(|(tests, input)| eval::holds_any(tests, input, &mut frame) == Some(true))
        })
    }

    /// Are all inputs input variables of their own, so that any combination of values can occur?
    pub(super) fn is_free(&self) -> bool {
        let mut seen = HashSet::new();
        (0..self.groups.len()).all(|group| {
            self.variable_of(group)
                .is_some_and(|slot| seen.insert(slot))
        })
    }
}
