//! Searches for a record that shows a finding: the mapping accepts its values, they can occur together, and the decision
//! does with it what the finding says. If none is found within bounds, the finding is not reported as certain.
//!
//! Values of plain input variables can be combined freely. Results of required decisions and computed inputs cannot, so
//! whole records are decided, from the input variables on.

use super::finding::Example;
use super::linter::Linter;
use crate::decision::bits::Bits;
use crate::decision::computed_values;
use crate::decision::feel::ast::{Expr, Test};
use crate::decision::feel::eval::{self, Frame};
use crate::decision::feel::value::{Kind, Value, equal};
use crate::decision::input_variable::Role;
use crate::decision::program::NodeLogic;
use crate::decision::rule_space::RuleSpace;
use crate::decision::table::Outcome;

/// Most records that are tried for one finding.
const MAX_TRIES: u64 = 200;

/// Most records that are looked at for one finding; most of them cannot occur where a score is computed.
const MAX_LOOKS: u64 = 20_000;

/// Most values that are tried for one input variable.
const MAX_VALUES: usize = 40;

/// Rules that may be matched in all searches of one check of a table.
const MAX_STEPS: usize = 1_000_000;

/// What a search tries, made once a table.
pub(super) struct RecordSearch {
    /// By input variable that is read: values that the cells of some column mention, and some between them.
    pools: Vec<(usize, Vec<Value>)>,
    /// What the decision on one record costs.
    cost: usize,
    steps: usize,
    /// Has the last search left out records that it could have tried?
    pub(super) left_out: bool,
}

/// A record after the table has seen it.
pub(super) struct Decided<'r> {
    /// The values of the table's columns.
    pub(super) inputs: &'r [Value],
    pub(super) outcome: &'r Outcome,
}

impl RecordSearch {
    /// Has the search used up its steps?
    pub(super) const fn is_spent(&self) -> bool {
        self.steps >= MAX_STEPS
    }
}

impl Linter<'_> {
    /// The input variable that a group of columns tests, when it is nothing else.
    pub(super) fn variable_of(&self, group: usize) -> Option<usize> {
        match &self.table.inputs[self.groups[group][0]].expr {
            Expr::Slot(slot) if *slot < self.variables.len() => Some(*slot),
            _ => None,
        }
    }

    /// The region without records that cannot occur: values that the mapping does not let through, and null in a required
    /// field of a complete record. None when nothing is left.
    pub(super) fn possible(&self, mut region: Vec<Bits>) -> Option<Vec<Bits>> {
        let role = |group: usize| {
            self.variable_of(group)
                .map(|slot| self.variables[slot].role)
        };
        for (set, dimension) in region.iter_mut().zip(&self.rule_space.dimensions) {
            if let Some(dimension) = dimension {
                set.intersect_with(&dimension.possible);
            }
        }
        let complete = (0..region.len()).any(|group| {
            let dimension = self.rule_space.dimensions[group].as_ref();
            role(group) == Some(Role::Complete)
                && dimension
                    .and_then(|dimension| dimension.segment_of(&Value::Boolean(false)))
                    .is_some_and(|no| !region[group].contains(no))
        });
        for (group, set) in region.iter_mut().enumerate() {
            let Some(dimension) = &self.rule_space.dimensions[group] else {
                continue;
            };
            if complete && role(group) == Some(Role::Required) {
                set.remove(dimension.null());
                if let Some(blank) = dimension
                    .segment_of(&Value::text(""))
                    .filter(|at| at % 2 == 1)
                {
                    set.remove(blank);
                }
            }
            if set.is_clear() {
                return None;
            }
        }
        Some(region)
    }

    pub(super) fn record_search(&self) -> RecordSearch {
        let mut values: Vec<Value> = Vec::new();
        let mut kinds: Vec<(usize, Kind)> = Vec::new();
        let mut cost = 2;
        for node in &self.program.nodes[..=self.node] {
            let NodeLogic::Table(table) = &node.logic else {
                cost += 1;
                continue;
            };
            cost += table.rules.len() + 1;
            let space = RuleSpace::with_values(table, |column| {
                computed_values::of_expression(self.program, self.variables, &column.expr)
            });
            for (column, dimension) in table.inputs.iter().zip(space.dimensions) {
                let Some(dimension) = dimension.filter(|dimension| dimension.kind != Kind::Any)
                else {
                    continue;
                };
                if let Expr::Slot(slot) = &column.expr {
                    kinds.push((*slot, dimension.kind));
                }
                let samples = dimension.possible.ones().take(MAX_VALUES);
                values.extend(samples.filter_map(|segment| dimension.sample(segment)));
            }
        }
        values.retain(|value| value.to_cell().is_some() && !value.is_null());
        let pools = self.program.used.iter().map(|slot| {
            let variable = &self.variables[*slot];
            let known = Some(variable.kind).filter(|kind| *kind != Kind::Any);
            let kind = known.or_else(|| kinds.iter().find(|(of, _)| of == slot).map(|of| of.1));
            let fits = |value: &Value| {
                kind.is_none_or(|kind| value.kind() == kind) && variable.values.allow(value)
            };
            let mut pool: Vec<Value> = Vec::new();
            for value in values.iter().cloned().chain(variable.values.candidates()) {
                let is_new = |known: &Value| equal(known, &value) != Some(true);
                if fits(&value) && pool.iter().all(is_new) && pool.len() < MAX_VALUES {
                    pool.push(value);
                }
            }
            if kind == Some(Kind::Boolean) {
                pool = [true, false]
                    .map(Value::Boolean)
                    .into_iter()
                    .filter(fits)
                    .collect();
            }
            if variable.values.allow(&Value::Null) {
                pool.push(Value::Null);
            }
            (*slot, pool)
        });
        RecordSearch {
            pools: pools.collect(),
            cost,
            steps: 0,
            left_out: false,
        }
    }

    /// A record of the region that the decision treats as `shows` asks for.
    pub(super) fn record_of(
        &self,
        region: &[Bits],
        search: &mut RecordSearch,
        shows: &dyn Fn(&Decided<'_>, &mut Frame) -> bool,
    ) -> Option<Example> {
        let mut pools: Vec<(usize, Vec<Value>)> = search
            .pools
            .iter()
            .map(|(slot, pool)| {
                let within = (0..self.groups.len())
                    .find(|group| self.variable_of(*group) == Some(*slot))
                    .and_then(|group| self.samples(group, &region[group]));
                (*slot, within.unwrap_or_else(|| pool.clone()))
            })
            .collect();
        self.keep_consistent(&mut pools);
        if self.is_free() {
            self.keep_different(&mut pools);
        }
        let total = pools.iter().fold(1_u64, |total, (_, pool)| {
            total.saturating_mul(pool.len() as u64)
        });
        let looks = total.min(MAX_LOOKS);
        let mut tries = 0;
        search.left_out = looks < total;
        for number in 0..looks {
            if search.is_spent() || tries == MAX_TRIES {
                search.left_out = true;
                return None;
            }
            search.steps += 1;
            // All of them when they are few, else some from everywhere.
            let mut pick = number.wrapping_mul(1_000_003) % total;
            let mut record = Vec::new();
            for (slot, pool) in &pools {
                let size = pool.len() as u64;
                let index = usize::try_from(pick % size).unwrap_or_default();
                record.push((*slot, &pool[index]));
                pick /= size;
            }
            if !self.can_occur(&record) {
                continue;
            }
            tries += 1;
            search.steps += search.cost;
            if self.decides(&record, shows) {
                let shown = record
                    .into_iter()
                    .filter(|(slot, _)| self.is_worth_showing(*slot));
                let named = |(slot, value): (usize, &Value)| {
                    let value = serde_json::to_value(value).unwrap_or_default();
                    (self.variables[slot].name.to_string(), value)
                };
                return Some(shown.map(named).collect());
            }
        }
        None
    }

    /// A variable that no cell says anything of is left out of examples.
    fn is_worth_showing(&self, slot: usize) -> bool {
        let group = (0..self.groups.len()).find(|group| self.variable_of(*group) == Some(slot));
        group.is_none_or(|group| self.is_tested(group))
    }

    /// Is the type of the column known, or does a cell say anything of it?
    pub(super) fn is_tested(&self, group: usize) -> bool {
        let dimension = self.rule_space.dimensions[group].as_ref();
        let mut columns = self.groups[group].iter();
        dimension.is_some_and(|dimension| dimension.kind != Kind::Any)
            || columns.any(|column| {
                let mut rules = self.table.rules.iter();
                rules.any(|rule| !matches!(rule.tests[*column].as_slice(), [Test::Any]))
            })
    }

    /// Leaves out values that cannot go together: required fields of records that are certainly complete.
    fn keep_consistent(&self, pools: &mut [(usize, Vec<Value>)]) {
        let complete = pools.iter().any(|(slot, pool)| {
            self.variables[*slot].role == Role::Complete
                && matches!(pool.as_slice(), [Value::Boolean(true)])
        });
        let incomplete = pools.iter().any(|(slot, pool)| {
            self.variables[*slot].role == Role::Complete
                && matches!(pool.as_slice(), [Value::Boolean(false)])
        });
        for (slot, pool) in pools {
            if self.variables[*slot].role != Role::Required {
                continue;
            }
            if complete && pool.iter().any(|value| !value.is_blank()) {
                pool.retain(|value| !value.is_blank());
            }
            if incomplete {
                pool.sort_by_key(|value| !value.is_blank());
            }
        }
    }

    /// Where columns are combined freely, all values of a region are treated alike by the table. Only what makes a difference
    /// to other variables is kept: a value, none, a default, and every score that can be computed.
    fn keep_different(&self, pools: &mut [(usize, Vec<Value>)]) {
        for (slot, pool) in pools {
            let variable = &self.variables[*slot];
            let values = &variable.values;
            let is_score = variable.kind == Kind::Number
                && (values.one_of.is_some() || !values.also.is_empty());
            if is_score || variable.role == Role::Complete {
                continue;
            }
            let mut is_first = true;
            pool.retain(|value| {
                let is_example = |known: &Value| equal(known, value) == Some(true);
                value.is_blank()
                    || std::mem::take(&mut is_first)
                    || values.examples.iter().any(is_example)
            });
        }
    }

    /// Can one record bring these values: do the required fields, the variable that says whether they are complete, and a
    /// computed score fit together?
    fn can_occur(&self, record: &[(usize, &Value)]) -> bool {
        let together = self.variables.iter().find_map(|one| one.together.as_ref());
        if let Some(together) = together {
            let cells = record
                .iter()
                .filter_map(|(slot, value)| Some((*slot, value.to_cell()?)));
            return (together.0)(&cells.collect::<Vec<_>>());
        }
        let role = |slot: &usize| self.variables[*slot].role;
        let lacks_one = record
            .iter()
            .any(|(slot, value)| role(slot) == Role::Required && value.is_blank());
        match record.iter().find(|(slot, _)| role(slot) == Role::Complete) {
            Some((_, Value::Boolean(true))) => !lacks_one,
            Some((_, Value::Boolean(false))) => {
                // A required field that the decision does not read may be the one that is missing.
                lacks_one
                    || self.variables.iter().enumerate().any(|(slot, variable)| {
                        variable.role == Role::Required
                            && variable.values.nullable != Some(false)
                            && record.iter().all(|(read, _)| *read != slot)
                    })
                    || self
                        .variables
                        .iter()
                        .all(|variable| variable.role != Role::Required)
            }
            _ => true,
        }
    }

    /// Does a record lie in the region, as far as its columns are cut into segments?
    pub(super) fn lies_in(&self, region: &[Bits], inputs: &[Value]) -> bool {
        let dimensions = self.rule_space.dimensions.iter();
        self.groups
            .iter()
            .zip(dimensions)
            .zip(region)
            .all(|((group, dimension), set)| {
                dimension.as_ref().is_none_or(|dimension| {
                    let segment = dimension.segment_of(&inputs[group[0]]);
                    segment.is_some_and(|segment| set.contains(segment))
                })
            })
    }

    /// Values of a column within a set, easy ones first; none when the column is not cut into segments.
    fn samples(&self, group: usize, set: &Bits) -> Option<Vec<Value>> {
        let dimension = self.rule_space.dimensions[group].as_ref()?;
        let mut segments: Vec<usize> = set.ones().take(MAX_VALUES).collect();
        // A value that a cell mentions is easier to read than one between two of them, and null comes last.
        segments.sort_by_key(|segment| (*segment == dimension.null(), (segment + 1) % 2));
        let mut values: Vec<Value> = segments
            .into_iter()
            .filter_map(|segment| dimension.sample(segment))
            .collect();
        // Where only some values are possible, another one of the same segment may go with the rest of the record.
        for value in dimension.values.candidates() {
            let is_new = |known: &Value| equal(known, &value) != Some(true);
            let within = dimension.segment_of(&value);
            if within.is_some_and(|segment| set.contains(segment))
                && dimension.values.allow(&value)
                && values.iter().all(is_new)
                && values.len() < MAX_VALUES
            {
                values.push(value);
            }
        }
        if dimension.kind == Kind::Boolean {
            values.sort_by_key(|value| match value {
                Value::Boolean(true) => 0,
                Value::Boolean(false) => 1,
                _ => 2,
            });
        }
        (dimension.kind != Kind::Any && !values.is_empty()).then_some(values)
    }

    /// Decides the record, and asks whether that is what is looked for.
    fn decides(
        &self,
        record: &[(usize, &Value)],
        shows: &dyn Fn(&Decided<'_>, &mut Frame) -> bool,
    ) -> bool {
        let mut frame = Frame::default();
        frame.values.resize(self.program.slots, Value::Null);
        for (slot, value) in record {
            frame.values[*slot] = (*value).clone();
        }
        let mut failures = Vec::new();
        for (index, node) in self.program.nodes[..self.node].iter().enumerate() {
            let value = node.logic.run(&mut frame, index, &mut failures);
            frame.values[node.slot] = frame.keep(value);
        }
        // A table above without a matching rule leaves null; any other failure would reject the record.
        if failures
            .iter()
            .any(|failure| !matches!(failure.outcome, Outcome::NoRule(_)))
        {
            return false;
        }
        let columns = &self.table.inputs;
        let inputs: Vec<Value> = columns
            .iter()
            .map(|column| eval::evaluate(&column.expr, &mut frame))
            .collect();
        let outcome = self.table.decide(&mut frame);
        let decided = Decided {
            inputs: &inputs,
            outcome: &outcome,
        };
        shows(&decided, &mut frame)
    }
}
