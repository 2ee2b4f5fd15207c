//! Finds for each better verdict the smallest change of a record's values that gives it.
//!
//! Every proposal has been decided by the table. Knows nothing of how it is shown.

use std::fmt;

use rust_decimal::Decimal;
use serde::Serialize;

use super::bits::{Bits, SetOperations as _};
use super::compiled::{Decision, Scratch};
use super::computed_values;
use super::feel::ast::Expr;
use super::feel::eval::{self, Frame};
use super::feel::value::{Kind, Value};
use super::input_variable::Role;
use super::program::NodeLogic;
use super::rule_space::{Dimension, RuleSpace};
use super::table::{Column, HitPolicy, Rule, Table};
use super::verdict::{self, Rules};
use crate::model::record::{Cell, Validation};

/// Under FIRST, earlier rules must not match any more: how many of them are avoided.
const MAX_EARLIER: usize = 10;
/// Most candidates for a change that are tried.
const MAX_TRIES: usize = 60;
/// Most values of single input variables that are tried, where inputs are computed.
const MAX_SINGLE_TRIES: usize = 200;

/// A record whose values can be changed. It knows what else changes with them, and which changes the mapping refuses.
pub trait Changeable {
    /// All values of the record after some of them have changed, by slot; none when that cannot be.
    fn with_changes(&self, changes: &[(usize, Cell<'static>)]) -> Option<Vec<Cell<'_>>>;
}

/// A record each value of which can be changed by itself.
#[derive(Debug)]
pub struct AsGiven<'r>(pub &'r [Cell<'r>]);

impl Changeable for AsGiven<'_> {
    fn with_changes(&self, changes: &[(usize, Cell<'static>)]) -> Option<Vec<Cell<'_>>> {
        let mut cells: Vec<Cell<'_>> = self.0.to_vec();
        for (slot, cell) in changes {
            *cells.get_mut(*slot)? = cell.clone();
        }
        Some(cells)
    }
}

/// A record as the deciding table has seen it.
pub(super) struct Seen<'s> {
    pub(super) table: &'s Table,
    /// The values of the table's columns.
    pub(super) inputs: &'s [Value],
    /// The values of the input variables, by slot.
    pub(super) variables: &'s [Cell<'s>],
    pub(super) record: &'s dyn Changeable,
}

impl Seen<'_> {
    /// The value of an input variable.
    fn value(&self, slot: usize) -> Value {
        let cell = self.variables.get(slot);
        cell.map(Value::of_cell).unwrap_or_default()
    }
}

/// A change of some input variables that would pass.
#[derive(Clone, Debug, Serialize)]
pub struct Nearest {
    /// What to change.
    pub changes: Vec<Change>,
    /// VALID or WARNING.
    pub gives: &'static str,
    /// PROCESS or REVIEW.
    pub action: &'static str,
    /// The rule that would fire.
    pub rule: String,
}

/// A change of one input variable.
#[derive(Clone, Debug, Serialize)]
pub struct Change {
    /// Which.
    pub input: String,
    /// Its value.
    pub from: Value,
    /// A value that would do.
    pub to: Value,
    /// All values that would do, as the cell has it.
    pub accepts: String,
}

/// A rule that would pass, and the change that makes it match. The fewer columns change, and the smaller the distance, the
/// nearer it is.
struct Candidate {
    columns: usize,
    distance: Decimal,
    row: usize,
    changes: Vec<Step>,
}

/// A new value for a column.
struct Step {
    column: usize,
    to: Value,
    /// All values that would give the verdict.
    accepts: String,
}

impl Decision {
    fn rule_space(&self, table: &Table) -> &RuleSpace {
        self.rule_space.get_or_init(|| {
            RuleSpace::with_values(table, |column| {
                computed_values::of_expression(&self.program, &self.variables, &column.expr)
            })
        })
    }

    /// True when no record can pass, whatever its values: no rule that can match passes it, and no default does. A computed
    /// output may have any value.
    pub(super) fn is_hopeless(&self, table: &Table) -> bool {
        let rule_space = self.rule_space(table);
        let dead = |rule: usize| {
            let mut columns = rule_space.cells.iter().zip(&rule_space.dimensions);
            columns.any(|(cells, dimension)| {
                let both = cells[rule].as_ref().zip(dimension.as_ref());
                both.is_some_and(|(set, dimension)| set.and(&dimension.possible).is_clear())
            })
        };
        let constant = |rule: &Rule| {
            let mut outputs = rule.outputs.iter();
            outputs.all(|output| output.constant().is_some())
        };
        let refuses = |rule: usize| {
            let result = table.result(rule, &mut Frame::default());
            constant(&table.rules[rule]) && !verdict::read(&result, None, Rules::None).passes()
        };
        table.outputs.iter().all(|output| output.default.is_none())
            && (0..table.rules.len()).all(|rule| refuses(rule) || dead(rule))
    }

    /// For each better verdict, the smallest change of a record's values that gives it. Every proposal has been decided for
    /// real, on a record that the mapping lets through.
    pub(super) fn nearest(&self, seen: &Seen<'_>, current: Validation) -> Vec<Nearest> {
        let rule_space = self.rule_space(seen.table);
        let mut frame = Frame::default();
        let mut found: Vec<Nearest> = Vec::new();
        for wanted in [Validation::Warning, Validation::Valid] {
            if current == wanted {
                found.clear();
                continue;
            }
            if current == Validation::Valid {
                return Vec::new();
            }
            let mut candidates: Vec<Candidate> = Vec::new();
            for (index, rule) in seen.table.rules.iter().enumerate() {
                let result = seen.table.result(index, &mut frame);
                let verdict = verdict::read(&result, None, Rules::None);
                if verdict.validation != wanted || !verdict.passes() {
                    continue;
                }
                if let Some((distance, changes)) =
                    changes(seen.table, rule_space, index, seen.inputs, &mut frame)
                {
                    candidates.push(Candidate {
                        columns: changes.len(),
                        distance,
                        row: rule.row,
                        changes,
                    });
                }
            }
            candidates
                .sort_by_key(|candidate| (candidate.columns, candidate.distance, candidate.row));
            let proposal = candidates
                .into_iter()
                .take(MAX_TRIES)
                .find_map(|candidate| self.tried(seen, &candidate.changes, wanted))
                .or_else(|| self.nearest_by_trying(seen, wanted))
                .or_else(|| self.nearest_by_filling(seen, wanted));
            found.extend(proposal);
        }
        found
    }

    /// Makes the changes and decides. Returns a proposal only when the record then gets the wanted verdict.
    fn tried(&self, seen: &Seen<'_>, steps: &[Step], wanted: Validation) -> Option<Nearest> {
        let mut changes: Vec<(usize, Change)> = Vec::new();
        for step in steps {
            // Only a record's own values can be changed, not what is computed from them.
            let Expr::Slot(slot) = seen.table.inputs[step.column].expr else {
                return None;
            };
            let variable = self.variables.get(slot)?;
            if variable.role == Role::Complete && variable.values.nullable.is_some() {
                if step.to.truth() != Some(true) {
                    return None;
                }
                continue;
            }
            let change = Change {
                input: seen.table.inputs[step.column].name.clone(),
                from: seen.inputs[step.column].clone(),
                to: step.to.clone(),
                accepts: step.accepts.clone(),
            };
            changes.push((slot, change));
        }
        // A record is complete when the required fields that it lacks are there.
        let completes = steps.iter().any(|step| {
            let slot = match seen.table.inputs[step.column].expr {
                Expr::Slot(slot) => self.variables.get(slot),
                _ => None,
            };
            slot.is_some_and(|variable| {
                variable.role == Role::Complete && variable.values.nullable.is_some()
            })
        });
        if completes {
            for (slot, variable) in self.variables.iter().enumerate() {
                let from = seen.value(slot);
                if variable.role == Role::Required
                    && from.is_blank()
                    && changes.iter().all(|(other, _)| *other != slot)
                {
                    let change = Change {
                        input: variable.name.to_string(),
                        from,
                        to: variable.any_value()?,
                        accepts: "not(null)".to_owned(),
                    };
                    changes.push((slot, change));
                }
            }
        }
        self.proposal(seen, changes, wanted)
    }

    /// The proposal, if the changed record gets the wanted verdict.
    pub(super) fn proposal(
        &self,
        seen: &Seen<'_>,
        changes: Vec<(usize, Change)>,
        wanted: Validation,
    ) -> Option<Nearest> {
        let cells: Vec<(usize, Cell<'static>)> = changes
            .iter()
            .map(|(slot, change)| Some((*slot, change.to.to_cell()?)))
            .collect::<Option<_>>()?;
        let changed = (!cells.is_empty()).then(|| seen.record.with_changes(&cells))??;
        let mut scratch = Scratch::default();
        let verdict = self.decide_by_table(&changed, &mut scratch);
        if verdict.validation != wanted || !verdict.passes() {
            return None;
        }
        Some(Nearest {
            gives: verdict.validation.as_str(),
            action: verdict.action.as_str(),
            rule: verdict
                .rules
                .as_slice()
                .first()
                .map_or_else(String::new, |id| (*id).to_owned()),
            changes: changes.into_iter().map(|(_, change)| change).collect(),
        })
    }

    /// Where inputs are computed or made by required decisions: the nearest change of one value that gives the wanted
    /// verdict, found by trying the values that cells mention.
    fn nearest_by_trying(&self, seen: &Seen<'_>, wanted: Validation) -> Option<Nearest> {
        let plain = |column: &Column| matches!(column.expr, Expr::Slot(slot) if slot < self.variables.len());
        if seen.table.inputs.iter().all(plain) {
            return None;
        }
        let mut best: Option<(Decimal, Nearest)> = None;
        let mut tries = 0;
        for (slot, pool) in self.pools() {
            let from = seen.value(slot);
            for to in pool {
                tries += 1;
                if tries > MAX_SINGLE_TRIES {
                    return best.map(|(_, nearest)| nearest);
                }
                let distance = match (&to, &from) {
                    (Value::Number(to), Value::Number(from)) => {
                        to.checked_sub(*from).map_or(Decimal::MAX, |gap| gap.abs())
                    }
                    _ => Decimal::ONE,
                };
                if best
                    .as_ref()
                    .is_some_and(|(shortest, _)| *shortest <= distance)
                {
                    continue;
                }
                let change = Change {
                    input: self.variables[slot].name.to_string(),
                    from: from.clone(),
                    accepts: to.literal(),
                    to,
                };
                if let Some(nearest) = self.proposal(seen, vec![(slot, change)], wanted) {
                    best = Some((distance, nearest));
                }
            }
        }
        best.map(|(_, nearest)| nearest)
    }

    /// By input variable that is read: the possible values that cells of any needed table mention, and some between them.
    fn pools(&self) -> Vec<(usize, Vec<Value>)> {
        let mut values: Vec<(Kind, Value)> = Vec::new();
        for node in &self.program.nodes {
            let NodeLogic::Table(table) = &node.logic else {
                continue;
            };
            for dimension in RuleSpace::of(table).dimensions.into_iter().flatten() {
                let segments = dimension.live.ones().take(MAX_SINGLE_TRIES);
                let samples = segments.filter_map(|segment| dimension.sample(segment));
                values.extend(samples.map(|value| (dimension.kind, value)));
            }
        }
        let slots = self.program.used.iter().copied();
        slots
            .filter(|slot| self.variables[*slot].role != Role::Complete)
            .map(|slot| {
                let variable = &self.variables[slot];
                let fits = |(kind, value): &(Kind, Value)| {
                    !value.is_null()
                        && (variable.kind == Kind::Any || variable.kind == *kind)
                        && variable.values.allow(value)
                };
                let mentioned = values
                    .iter()
                    .filter(|value| fits(value))
                    .map(|(_, value)| value.clone());
                let listed = variable
                    .values
                    .candidates()
                    .filter(|value| variable.values.allow(value));
                (slot, mentioned.chain(listed).collect())
            })
            .collect()
    }

    /// The input variables that computed inputs and required decisions read.
    pub(super) fn variables_behind(&self, table: &Table) -> Vec<String> {
        let is_plain = |column: &Column| matches!(column.expr, Expr::Slot(slot) if slot < self.variables.len());
        if table.inputs.iter().all(is_plain) {
            return Vec::new();
        }
        let plain: Vec<usize> = table
            .inputs
            .iter()
            .filter_map(|column| match column.expr {
                Expr::Slot(slot) => Some(slot),
                _ => None,
            })
            .collect();
        let used = self.program.used.iter();
        used.filter(|slot| !plain.contains(slot))
            .map(|slot| self.variables[*slot].name.to_string())
            .collect()
    }
}

/// The change that makes a rule match: the nearest value of each column, and their distance in all. A cell that is more than
/// comparisons with constants must hold already.
fn changes(
    table: &Table,
    rule_space: &RuleSpace,
    rule: usize,
    inputs: &[Value],
    frame: &mut Frame,
) -> Option<(Decimal, Vec<Step>)> {
    let mut wanted: Vec<Option<Bits>> = Vec::new();
    for (column, input) in inputs.iter().enumerate() {
        let known = rule_space.cells[column][rule].as_ref();
        let set = known.zip(rule_space.dimensions[column].as_ref());
        let set = set.map(|(set, dimension)| set.and(&dimension.possible));
        if set.is_none()
            && eval::holds_any(&table.rules[rule].tests[column], input, frame) != Some(true)
        {
            return None;
        }
        wanted.push(set);
    }
    let mut target = nearest_record(rule_space, &wanted, inputs)?;
    if table.hit == HitPolicy::First {
        for _ in 0..MAX_EARLIER {
            let mut above = (0..rule).filter(|other| table.rules[*other].matches(&target.1, frame));
            let Some(earlier) = above.next() else {
                break;
            };
            (wanted, target) = leaving(rule_space, earlier, &wanted, inputs)?;
        }
    }
    let (distance, values) = target;
    let steps = values.into_iter().enumerate().filter_map(|(column, to)| {
        let dimension = rule_space.dimensions[column].as_ref()?;
        let set = wanted[column].as_ref()?;
        let here = dimension.segment_of(&inputs[column]);
        (!here.is_some_and(|segment| set.contains(segment))).then(|| Step {
            column,
            accepts: dimension.text_of(set),
            to,
        })
    });
    Some((distance, steps.collect()))
}

/// The nearest values within the sets, and their distance in all.
fn nearest_record(
    rule_space: &RuleSpace,
    wanted: &[Option<Bits>],
    inputs: &[Value],
) -> Option<(Decimal, Vec<Value>)> {
    let mut distance = Decimal::ZERO;
    let mut values = Vec::new();
    for (column, input) in inputs.iter().enumerate() {
        let set = wanted[column]
            .as_ref()
            .zip(rule_space.dimensions[column].as_ref());
        let away = set.filter(|(set, dimension)| {
            let here = dimension.segment_of(input);
            !here.is_some_and(|segment| set.contains(segment))
        });
        values.push(match away {
            None => input.clone(),
            Some((set, dimension)) => {
                let (value, steps) = nearest_value(dimension, set, input)?;
                distance = distance.checked_add(steps)?;
                value
            }
        });
    }
    Some((distance, values))
}

/// The sets without the values that an earlier rule accepts, taken from the column where the nearest record stays nearest.
#[allow(clippy::type_complexity)]
fn leaving(
    rule_space: &RuleSpace,
    earlier: usize,
    wanted: &[Option<Bits>],
    inputs: &[Value],
) -> Option<(Vec<Option<Bits>>, (Decimal, Vec<Value>))> {
    let ways = (0..wanted.len()).filter_map(|column| {
        let taken = rule_space.cells[column][earlier].as_ref()?;
        let rest = wanted[column].as_ref()?.and(&taken.inverted());
        let mut narrowed = wanted.to_vec();
        narrowed[column] = (!rest.is_clear()).then_some(rest);
        narrowed[column].as_ref()?;
        let target = nearest_record(rule_space, &narrowed, inputs)?;
        Some((narrowed, target))
    });
    ways.min_by_key(|(_, (distance, _))| *distance)
}

/// The value of the set that is nearest to the given one.
fn nearest_value(dimension: &Dimension, set: &Bits, from: &Value) -> Option<(Value, Decimal)> {
    set.ones()
        .filter(|segment| *segment != dimension.null())
        .filter_map(|segment| {
            let value = dimension.nearest_in(segment, from)?;
            let steps = match (&value, from) {
                (Value::Number(to), Value::Number(from)) => to
                    .checked_sub(*from)
                    .map_or(Decimal::from(u64::MAX), |gap| {
                        gap.abs().min(Decimal::from(u64::MAX))
                    }),
                _ => Decimal::ONE,
            };
            Some((value, steps))
        })
        .min_by(|a, b| a.1.cmp(&b.1))
        .or_else(|| {
            set.contains(dimension.null())
                .then_some((Value::Null, Decimal::ONE))
        })
}

impl fmt::Display for Nearest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, change) in self.changes.iter().enumerate() {
            if i > 0 {
                f.write_str(" and ")?;
            }
            write!(
                f,
                "{} {} → {}",
                change.input,
                change.from.literal(),
                change.to.literal()
            )?;
        }
        write!(f, " gives {}, {} ({})", self.gives, self.action, self.rule)
    }
}
