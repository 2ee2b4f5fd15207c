//! Searches for a record that shows an overlap, where columns are computed from others, and decides it for real.
//!
//! Columns of plain input variables can be combined freely. The result of a required decision and a computed input cannot: an
//! overlap of such columns is proven only by a record. Where none is found within bounds, it is only reported as possible.

use super::Linter;
use crate::decision::bits::Bits;
use crate::decision::feel::ast::Expr;
use crate::decision::feel::eval::{self, Frame};
use crate::decision::feel::value::{Kind, Value};
use crate::decision::input_variable::Role;
use crate::decision::program::NodeLogic;
use crate::decision::rule_space::RuleSpace;
use crate::decision::table::Outcome;

/// Most records that are tried for one pair of rules.
const MAX_TRIES: u64 = 200;

/// Most values that are tried for one input variable.
const MAX_VALUES: usize = 40;

/// Rules that may be matched in the search for all pairs of a table.
const MAX_STEPS: usize = 1_000_000;

/// What the search tries, made once a table.
pub(super) struct OverlapSearch {
    /// By input variable that is read: values that the cells of some column mention, and some between them.
    pools: Vec<(usize, Vec<Value>)>,
    /// What the required decisions of one record cost.
    cost: usize,
    steps: usize,
}

impl OverlapSearch {
    /// Has the search used up its steps?
    pub(super) const fn spent(&self) -> bool {
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

    /// The region without records that cannot occur: one with all required fields has no null in a required field. None when
    /// nothing is left.
    pub(super) fn possible(&self, mut region: Vec<Bits>) -> Option<Vec<Bits>> {
        let role = |group: usize| {
            self.variable_of(group)
                .map(|slot| self.variables[slot].role)
        };
        let complete = (0..region.len()).any(|group| {
            let dimension = self.rule_space.dimensions[group].as_ref();
            role(group) == Some(Role::Complete)
                && dimension
                    .and_then(|dimension| dimension.segment_of(&Value::Boolean(false)))
                    .is_some_and(|no| !region[group].contains(no))
        });
        if !complete {
            return Some(region);
        }
        for (group, set) in region.iter_mut().enumerate() {
            let Some(dimension) = &self.rule_space.dimensions[group] else {
                continue;
            };
            if role(group) == Some(Role::Required) {
                set.remove(dimension.null());
                if let Some(blank) = dimension
                    .segment_of(&Value::text(""))
                    .filter(|at| at % 2 == 1)
                {
                    set.remove(blank);
                }
                if set.is_clear() {
                    return None;
                }
            }
        }
        Some(region)
    }

    pub(super) fn overlap_search(&self) -> OverlapSearch {
        let mut values: Vec<Value> = Vec::new();
        let mut kinds: Vec<(usize, Kind)> = Vec::new();
        let mut cost = 2;
        for node in &self.program.nodes[..=self.node] {
            let NodeLogic::Table(table) = &node.logic else {
                cost += 1;
                continue;
            };
            cost += table.rules.len() + 1;
            for (column, dimension) in table.inputs.iter().zip(RuleSpace::of(table).dimensions) {
                let Some(dimension) = dimension.filter(|dimension| dimension.kind != Kind::Any)
                else {
                    continue;
                };
                if let Expr::Slot(slot) = &column.expr {
                    kinds.push((*slot, dimension.kind));
                }
                let samples = dimension.live.ones().take(MAX_VALUES);
                values.extend(samples.filter_map(|segment| dimension.sample(segment)));
            }
        }
        values.retain(|value| value.to_cell().is_some() && !value.is_null());
        let pools = self.program.used.iter().map(|slot| {
            let known = Some(self.variables[*slot].kind).filter(|kind| *kind != Kind::Any);
            let kind = known.or_else(|| kinds.iter().find(|(of, _)| of == slot).map(|of| of.1));
            let fitting = values
                .iter()
                .filter(|value| kind.is_none_or(|kind| value.kind() == kind));
            let pool = fitting.take(MAX_VALUES).cloned().chain([Value::Null]);
            (*slot, pool.collect())
        });
        OverlapSearch {
            pools: pools.collect(),
            cost,
            steps: 0,
        }
    }

    /// A record of the region that the table refuses since both rules match it.
    pub(super) fn proven(
        &self,
        rules: [usize; 2],
        region: &[Bits],
        search: &mut OverlapSearch,
    ) -> Option<serde_json::Map<String, serde_json::Value>> {
        let pools: Vec<(usize, Vec<Value>)> = search
            .pools
            .iter()
            .map(|(slot, pool)| {
                let within = (0..self.groups.len())
                    .find(|group| self.variable_of(*group) == Some(*slot))
                    .and_then(|group| self.samples(group, &region[group]));
                (*slot, within.unwrap_or_else(|| pool.clone()))
            })
            .collect();
        let total = pools.iter().fold(1_u64, |total, (_, pool)| {
            total.saturating_mul(pool.len() as u64)
        });
        for number in 0..total.min(MAX_TRIES) {
            if search.spent() {
                return None;
            }
            search.steps += search.cost;
            // All of them when they are few, else some from everywhere.
            let mut pick = number.wrapping_mul(1_000_003) % total;
            let mut record = Vec::new();
            for (slot, pool) in &pools {
                let size = pool.len() as u64;
                let index = usize::try_from(pick % size).unwrap_or_default();
                record.push((*slot, &pool[index]));
                pick /= size;
            }
            if self.refuses(rules, &record) {
                let named = |(slot, value): (usize, &Value)| {
                    let value = serde_json::to_value(value).unwrap_or_default();
                    (self.variables[slot].name.to_owned(), value)
                };
                return Some(record.into_iter().map(named).collect());
            }
        }
        None
    }

    /// Values of a column within a set; none when the column is not cut into segments.
    fn samples(&self, group: usize, set: &Bits) -> Option<Vec<Value>> {
        let dimension = self.rule_space.dimensions[group].as_ref()?;
        let segments = set.ones().take(MAX_VALUES);
        let values: Vec<Value> = segments
            .filter_map(|segment| dimension.sample(segment))
            .collect();
        (dimension.kind != Kind::Any && !values.is_empty()).then_some(values)
    }

    /// Decides the record: do both rules stand in its way?
    fn refuses(&self, rules: [usize; 2], record: &[(usize, &Value)]) -> bool {
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
        let columns = &self.table.inputs;
        let inputs: Vec<Value> = columns
            .iter()
            .map(|column| eval::evaluate(&column.expr, &mut frame))
            .collect();
        let both = rules
            .iter()
            .all(|rule| self.table.rules[*rule].matches(&inputs, &mut frame));
        // A table above without a matching rule leaves null; any other failure would reject the record.
        let failed = failures
            .iter()
            .any(|failure| !matches!(failure.outcome, Outcome::NoRule(_)));
        !failed
            && both
            && matches!(
                self.table.decide(&mut frame),
                Outcome::Several(_) | Outcome::Conflict(_)
            )
    }
}
