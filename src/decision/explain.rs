//! Why a record got its verdict: what went in, what each rule made of it, and the nearest change that would pass.
//!
//! Made on request and for rejections, never on the fast path. It shows values, so it goes where the user asked for
//! them (standard output, the stored rejection) and never into a log.

use std::borrow::Cow;
use std::fmt;

use rust_decimal::Decimal;
use serde::Serialize;

use super::bits::{Bits, SetOperations as _};
use super::feel::ast::Expr;
use super::feel::eval::{self, Frame};
use super::feel::temporal;
use super::feel::value::Value;
use super::program::{Node, NodeLogic};
use super::rule_space::{Dimension, RuleSpace};
use super::table::{HitPolicy, Rule, Table};
use super::verdict::{self, Rules};
use super::{Decision, Scratch};
use crate::model::record::{Action, Cell, Validation};

/// Most rules that are told one by one: those that came nearest to matching.
const MAX_RULES: usize = 25;
/// Most earlier rules that a change leaves, under FIRST.
const MAX_EARLIER: usize = 10;
/// Most candidates for a change that are tried.
const MAX_TRIES: usize = 60;

/// Why a record got its verdict.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// The decision that decided.
    pub decision: String,
    /// VALID, WARNING or INVALID.
    #[serde(rename = "validationResult")]
    pub validation: &'static str,
    /// PROCESS, REVIEW or REJECT.
    pub action: &'static str,
    /// As in the verdict.
    pub class: &'static str,
    /// As in the verdict.
    pub reason: String,
    /// Ids of the rules that gave the verdict, or stood in its way.
    pub fired: Vec<String>,
    /// The facts that the decision reads.
    pub facts: Vec<Named>,
    /// What the decisions it requires came to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub required: Vec<Named>,
    /// The rules considered, in row order.
    pub rules: Vec<RuleTrace>,
    /// How many further rules, farther from matching, are not told.
    pub rules_left_out: usize,
    /// The nearest changes that would pass, the better verdict last.
    pub nearest: Vec<Nearest>,
    /// Is it certain that no record passes, whatever its values?
    #[serde(skip)]
    pub hopeless: bool,
}

/// A name and its value.
#[derive(Clone, Debug, Serialize)]
pub struct Named {
    /// Of a fact or a decision.
    pub name: String,
    /// What it was.
    pub value: Value,
}

/// What became of one rule.
#[derive(Clone, Debug, Serialize)]
pub struct RuleTrace {
    /// Row, from 1.
    pub row: usize,
    /// Its id, or `row 3`.
    pub id: String,
    /// Did all its cells hold?
    pub matched: bool,
    /// The cells that did not.
    pub failed: Vec<FailedCell>,
    /// Its description or annotation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A cell that did not hold.
#[derive(Clone, Debug, Serialize)]
pub struct FailedCell {
    /// The column.
    pub input: String,
    /// The cell as written.
    pub entry: String,
    /// The value it was tested with.
    pub value: Value,
}

/// A change of some facts that would pass.
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

/// A change of one fact.
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

/// A rule that would pass, and what it takes to match it: the fewer columns and the smaller the distance, the nearer.
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
    /// Explains one record's verdict. The facts are those that [`Decision::decide`] takes.
    pub fn explain(&self, facts: &[Cell<'_>]) -> Explanation {
        let mut scratch = Scratch::default();
        let verdict = self.decide_by_table(facts, &mut scratch);
        let frame = &mut scratch.frame;
        let Some((last, required)) = self.program.nodes.split_last() else {
            return self.bare(&verdict);
        };
        let mut explanation = self.bare(&verdict);
        explanation.facts = self
            .program
            .used
            .iter()
            .filter_map(|slot| {
                Some(Named {
                    name: self.facts.get(*slot)?.clone(),
                    value: facts.get(*slot).map(Value::of_cell).unwrap_or_default(),
                })
            })
            .collect();
        explanation.required = required
            .iter()
            .map(|node| Named {
                name: node.name.clone(),
                value: frame.values.get(node.slot).cloned().unwrap_or_default(),
            })
            .collect();
        if let NodeLogic::Table(table) = &last.logic {
            let inputs: Vec<Value> = table
                .inputs
                .iter()
                .map(|column| eval::evaluate(&column.expr, frame))
                .collect();
            (explanation.rules, explanation.rules_left_out) = traces(table, &inputs, frame);
            explanation.nearest = self.nearest(last, table, &inputs, facts, verdict.validation);
            explanation.hopeless = self.is_hopeless(table);
        }
        explanation
    }

    /// The values of the facts that the decision reads: all that a verdict and its explanation depend on.
    pub fn facts_read(&self, facts: &[Cell<'_>]) -> String {
        let read = self.program.used.iter().map(|slot| facts.get(*slot));
        format!("{:?}", read.collect::<Vec<_>>())
    }

    fn bare(&self, verdict: &verdict::Verdict<'_>) -> Explanation {
        Explanation {
            decision: self.name.clone(),
            validation: verdict.validation.as_str(),
            action: verdict.action.as_str(),
            class: verdict.class,
            reason: verdict.reason.to_string(),
            fired: verdict
                .rules
                .as_slice()
                .iter()
                .map(|id| (*id).to_owned())
                .collect(),
            facts: Vec::new(),
            required: Vec::new(),
            rules: Vec::new(),
            rules_left_out: 0,
            nearest: Vec::new(),
            hopeless: false,
        }
    }

    fn rule_space(&self, table: &Table) -> &RuleSpace {
        self.rule_space.get_or_init(|| RuleSpace::of(table))
    }

    /// Can no rule pass a record, nor the defaults? What is computed may come to anything.
    fn is_hopeless(&self, table: &Table) -> bool {
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

    /// For each better verdict, the smallest change of facts that gives it. Every proposal has been decided for real.
    fn nearest(
        &self,
        node: &Node,
        table: &Table,
        inputs: &[Value],
        facts: &[Cell<'_>],
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
                    self.tried(node, table, row, &changes, inputs, facts, wanted)
                },
            );
            found.extend(proposal);
        }
        found
    }

    /// Makes the changes and decides: only what really passes is proposed.
    #[allow(clippy::too_many_arguments)]
    fn tried(
        &self,
        node: &Node,
        table: &Table,
        row: usize,
        changes: &[Step],
        inputs: &[Value],
        facts: &[Cell<'_>],
        wanted: Validation,
    ) -> Option<Nearest> {
        let mut changed: Vec<Cell<'_>> = facts.to_vec();
        for step in changes {
            // Only facts can be changed; what is computed from them follows.
            let Expr::Slot(slot) = &table.inputs[step.column].expr else {
                return None;
            };
            *changed.get_mut(*slot)? = cell_of(&step.to)?;
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

fn traces(table: &Table, inputs: &[Value], frame: &mut Frame) -> (Vec<RuleTrace>, usize) {
    let mut traces: Vec<RuleTrace> = table
        .rules
        .iter()
        .map(|rule| {
            let failed: Vec<FailedCell> = rule
                .tests
                .iter()
                .enumerate()
                .filter(|(column, tests)| {
                    eval::holds_any(tests, &inputs[*column], frame) != Some(true)
                })
                .map(|(column, _)| FailedCell {
                    input: table.inputs[column].name.clone(),
                    entry: rule.texts[column].to_string(),
                    value: inputs[column].clone(),
                })
                .collect();
            RuleTrace {
                row: rule.row,
                id: rule.id.to_string(),
                matched: failed.is_empty(),
                failed,
                note: rule.note.as_deref().map(str::to_owned),
            }
        })
        .collect();
    let left_out = traces.len().saturating_sub(MAX_RULES);
    if left_out > 0 {
        traces.sort_by_key(|trace| (trace.failed.len(), trace.row));
        traces.truncate(MAX_RULES);
        traces.sort_by_key(|trace| trace.row);
    }
    (traces, left_out)
}

/// What would have to change for a rule to fire: by column the nearest value, and how far away they are. Cells that are
/// more than comparisons with constants are left as they are, when they hold already.
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

/// The nearest values within the sets, and how far away they are in all.
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

/// The sets without what an earlier rule takes, in the column where that is nearest.
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

/// A value as a record's cell, where a record can hold it.
pub fn cell_of(value: &Value) -> Option<Cell<'static>> {
    Some(match value {
        Value::Null => Cell::Null,
        Value::Boolean(truth) => Cell::Boolean(*truth),
        Value::Number(number) => Cell::Decimal(*number),
        Value::Text(text) => Cell::Text(Cow::Owned(text.to_string())),
        Value::Date(date) => Cell::Date(temporal::days_of_date(*date)),
        Value::DateTime(moment) => Cell::DateTime(i64::try_from(moment.instant() / 1000).ok()?),
        _ => return None,
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

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}, {}", self.decision, self.validation, self.action)?;
        if !self.fired.is_empty() {
            write!(f, " by {}", self.fired.join(", "))?;
        }
        writeln!(f, "\n  because: {}", self.reason)?;
        for (heading, list) in [
            ("facts", &self.facts),
            ("required decisions", &self.required),
        ] {
            if list.is_empty() {
                continue;
            }
            writeln!(f, "  {heading}:")?;
            let width = list
                .iter()
                .map(|named| named.name.chars().count())
                .max()
                .unwrap_or(0);
            for named in list {
                writeln!(f, "    {:<width$}  {}", named.name, named.value.literal())?;
            }
        }
        if !self.rules.is_empty() {
            writeln!(f, "  rules:")?;
            let width = self
                .rules
                .iter()
                .map(|rule| rule.id.chars().count())
                .max()
                .unwrap_or(0);
            for rule in &self.rules {
                write!(f, "    {:>3}  {:<width$}  ", rule.row, rule.id)?;
                if rule.matched {
                    writeln!(f, "yes")?;
                } else {
                    let cells: Vec<String> = rule
                        .failed
                        .iter()
                        .map(|cell| {
                            format!(
                                "{} is {}, not {}",
                                cell.input,
                                cell.value.literal(),
                                cell.entry
                            )
                        })
                        .collect();
                    writeln!(f, "no: {}", cells.join("; "))?;
                }
            }
            if self.rules_left_out > 0 {
                writeln!(
                    f,
                    "    and {} rules farther from matching",
                    self.rules_left_out
                )?;
            }
        }
        if !self.nearest.is_empty() {
            writeln!(f, "  nearest change that would pass:")?;
            for nearest in &self.nearest {
                writeln!(f, "    {nearest}")?;
            }
        }
        if self.action == Action::Reject.as_str() && self.nearest.is_empty() {
            f.write_str(if self.hopeless {
                "  no change of the values alone would pass\n"
            } else {
                "  no single change was found that would pass\n"
            })?;
        }
        Ok(())
    }
}
