//! The nearest change that would pass: for each better verdict, the smallest change of a record's values that gives it.
//!
//! Every proposal has been decided for real. Knows nothing of how it is shown.

use std::fmt;

use rust_decimal::Decimal;
use serde::Serialize;

use super::bits::{Bits, SetOperations as _};
use super::compiled::{Decision, Scratch};
use super::feel::ast::Expr;
use super::feel::eval::{self, Frame};
use super::feel::value::Value;
use super::program::Node;
use super::rule_space::{Dimension, RuleSpace};
use super::table::{HitPolicy, Rule, Table};
use super::verdict::{self, Rules};
use crate::model::record::{Cell, Validation};

/// Under FIRST, earlier rules must not match any more: how many of them are avoided.
const MAX_EARLIER: usize = 10;
/// Most candidates for a change that are tried.
const MAX_TRIES: usize = 60;

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
    /// All values that would do.
    accepts: String,
}

impl Decision {
    fn rule_space(&self, table: &Table) -> &RuleSpace {
        self.rule_space.get_or_init(|| RuleSpace::of(table))
    }

    /// True when no record can pass, whatever its values: no rule that can match passes it, and no default does. A computed
    /// output may have any value.
    pub(super) fn is_hopeless(&self, table: &Table) -> bool {
        let rule_space = self.rule_space(table);
        let dead = |rule: usize| {
            let mut columns = rule_space.cells.iter().zip(&rule_space.dimensions);
            columns.any(|(cells, dimension)| {
                let both = cells[rule].as_ref().zip(dimension.as_ref());
                both.is_some_and(|(set, dimension)| set.and(&dimension.live).is_clear())
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

    /// For each better verdict, the smallest change of input variables that gives it. Every proposal has been decided for real.
    pub(super) fn nearest(
        &self,
        node: &Node,
        table: &Table,
        inputs: &[Value],
        variables: &[Cell<'_>],
        current: Validation,
    ) -> Vec<Nearest> {
        let rule_space = self.rule_space(table);
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
            for (index, rule) in table.rules.iter().enumerate() {
                let result = table.result(index, &mut frame);
                let verdict = verdict::read(&result, None, Rules::None);
                if verdict.validation != wanted || !verdict.passes() {
                    continue;
                }
                if let Some((distance, changes)) =
                    changes(table, rule_space, index, inputs, &mut frame)
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
            let proposal = candidates.into_iter().take(MAX_TRIES).find_map(
                |Candidate { row, changes, .. }| {
                    self.tried(node, table, row, &changes, inputs, variables, wanted)
                },
            );
            found.extend(proposal);
        }
        found
    }

    /// Makes the changes and decides. Returns a proposal only when the record then gets the wanted verdict.
    #[allow(clippy::too_many_arguments)]
    fn tried(
        &self,
        node: &Node,
        table: &Table,
        row: usize,
        changes: &[Step],
        inputs: &[Value],
        variables: &[Cell<'_>],
        wanted: Validation,
    ) -> Option<Nearest> {
        let mut changed: Vec<Cell<'_>> = variables.to_vec();
        for step in changes {
            // Only a record's own values can be changed, not what is computed from them.
            let Expr::Slot(slot) = &table.inputs[step.column].expr else {
                return None;
            };
            *changed.get_mut(*slot)? = step.to.to_cell()?;
        }
        let mut scratch = Scratch::default();
        let verdict = self.decide_by_table(&changed, &mut scratch);
        if verdict.validation != wanted || !verdict.passes() || node.name != self.name {
            return None;
        }
        let rule = &table.rules[row - 1];
        Some(Nearest {
            changes: changes
                .iter()
                .map(|step| Change {
                    input: table.inputs[step.column].name.clone(),
                    from: inputs[step.column].clone(),
                    to: step.to.clone(),
                    accepts: step.accepts.clone(),
                })
                .collect(),
            gives: verdict.validation.as_str(),
            action: verdict.action.as_str(),
            rule: verdict
                .rules
                .as_slice()
                .first()
                .map_or_else(|| rule.id.to_string(), |id| (*id).to_owned()),
        })
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
        let set = set.map(|(set, dimension)| set.and(&dimension.live));
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
