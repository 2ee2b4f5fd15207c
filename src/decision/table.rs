//! Decision tables: which rules match, and what the hit policy makes of them.

use std::cmp::Ordering;
use std::sync::Arc;

use super::feel::ast::{Expr, Test};
use super::feel::builtins;
use super::feel::eval::{self, Frame};
use super::feel::value::{Kind, Value, equal, order};
use super::problem::Problem;

/// A compiled table.
#[derive(Debug)]
pub struct Table {
    /// The hit policy: what several matching rules mean.
    pub hit: HitPolicy,
    /// An aggregation beside a hit policy that has none: passed over.
    pub stray_aggregation: Option<Box<str>>,
    /// Input columns.
    pub inputs: Vec<Column>,
    /// Output columns.
    pub outputs: Vec<Output>,
    /// Rows.
    pub rules: Vec<Rule>,
    /// Line in the file.
    pub line: usize,
}

/// An input column.
#[derive(Debug)]
pub struct Column {
    /// The expression as written, by which messages name the column.
    pub name: String,
    /// What is tested.
    pub expr: Expr,
    /// Its type as declared, or [`Kind::Any`].
    pub kind: Kind,
    /// Is it declared as a list of that type?
    pub collection: bool,
    /// Allowed values; none = all.
    pub allowed: Option<Vec<Test>>,
    /// The allowed values as written.
    pub allowed_text: Option<String>,
    /// Line in the file.
    pub line: usize,
}

/// An output column.
#[derive(Debug)]
pub struct Output {
    /// Its name, if it has one.
    pub name: Option<Arc<str>>,
    /// Its type as declared, or [`Kind::Any`].
    pub kind: Kind,
    /// Allowed values; the earlier, the higher their priority.
    pub values: Vec<Value>,
    /// Its value when no rule matches.
    pub default: Option<Expr>,
    /// Line in the file.
    pub line: usize,
}

/// A row.
#[derive(Debug)]
pub struct Rule {
    /// Row, from 1.
    pub row: usize,
    /// Its name in messages and rejections: its id, or `row 3`.
    pub id: Box<str>,
    /// Has it an id in the file?
    pub has_id: bool,
    /// Its description, else its annotations.
    pub note: Option<Box<str>>,
    /// One an input column; the entry holds when one of its tests does.
    pub tests: Vec<Vec<Test>>,
    /// The input entries as written.
    pub texts: Vec<Box<str>>,
    /// One an output column.
    pub outputs: Vec<Expr>,
    /// Line in the file.
    pub line: usize,
}

/// The hit policy: what several matching rules mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HitPolicy {
    /// At most one may match.
    Unique,
    /// All that match must agree.
    Any,
    /// The highest output priority wins.
    Priority,
    /// The first in row order wins.
    First,
    /// All, in row order.
    RuleOrder,
    /// All, in the order of output priority.
    OutputOrder,
    /// All, or one value made of them.
    Collect(Option<Aggregation>),
}

/// How a COLLECT table makes one value of its results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aggregation {
    /// `C+`
    Sum,
    /// `C#`
    Count,
    /// `C<`
    Min,
    /// `C>`
    Max,
}

impl HitPolicy {
    /// Understands the long and the short spellings. An absent one is UNIQUE. An aggregation counts under COLLECT only:
    /// beside another hit policy it is passed over, and the lint warns of it.
    pub fn parse(text: &str, aggregation: Option<&str>) -> Result<Self, String> {
        Ok(match text.trim() {
            "" | "UNIQUE" | "U" => Self::Unique,
            "ANY" | "A" => Self::Any,
            "PRIORITY" | "P" => Self::Priority,
            "FIRST" | "F" => Self::First,
            "RULE ORDER" | "R" => Self::RuleOrder,
            "OUTPUT ORDER" | "O" => Self::OutputOrder,
            "COLLECT" | "C" => Self::Collect(match aggregation.map(str::trim) {
                None | Some("" | "NONE" | "LIST") => None,
                Some("SUM") => Some(Aggregation::Sum),
                Some("COUNT") => Some(Aggregation::Count),
                Some("MIN") => Some(Aggregation::Min),
                Some("MAX") => Some(Aggregation::Max),
                Some(other) => {
                    return Err(format!(
                        "there is no aggregation `{other}`: expected SUM, COUNT, MIN or MAX"
                    ));
                }
            }),
            "C+" => Self::Collect(Some(Aggregation::Sum)),
            "C#" => Self::Collect(Some(Aggregation::Count)),
            "C<" => Self::Collect(Some(Aggregation::Min)),
            "C>" => Self::Collect(Some(Aggregation::Max)),
            other => {
                return Err(format!(
                    "there is no hit policy `{other}`: expected UNIQUE, ANY, PRIORITY, FIRST, RULE ORDER, OUTPUT ORDER or COLLECT"
                ));
            }
        })
    }

    /// The long spelling.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unique => "UNIQUE",
            Self::Any => "ANY",
            Self::Priority => "PRIORITY",
            Self::First => "FIRST",
            Self::RuleOrder => "RULE ORDER",
            Self::OutputOrder => "OUTPUT ORDER",
            Self::Collect(_) => "COLLECT",
        }
    }

    /// Does it yield one result, not a list or an aggregate?
    pub const fn is_single(self) -> bool {
        matches!(
            self,
            Self::Unique | Self::Any | Self::Priority | Self::First
        )
    }
}

/// The outcome of a table for one record.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// A result, and the rules (by index) it came from; none when defaults applied.
    Value(Value, Vec<usize>),
    /// No rule matched. Holds the first column whose input is null and which some rule tests.
    NoRule(Option<usize>),
    /// Several matched under UNIQUE.
    Several(Vec<usize>),
    /// Rules that matched under ANY disagree.
    Conflict(Vec<usize>),
    /// The input of a column is of another type than declared; holds the type it has.
    WrongType(usize, &'static str),
    /// The input of a column is none of its allowed values.
    NotAllowed(usize),
}

impl Table {
    /// Decides.
    pub fn decide(&self, frame: &mut Frame) -> Outcome {
        let mut inputs = Vec::with_capacity(self.inputs.len());
        for (index, column) in self.inputs.iter().enumerate() {
            let value = eval::evaluate(&column.expr, frame);
            if let Some(found) = column.wrong_type(&value) {
                return Outcome::WrongType(index, found);
            }
            if let Some(allowed) = &column.allowed
                && !value.is_null()
                && !column.allows(allowed, &value, frame)
            {
                return Outcome::NotAllowed(index);
            }
            inputs.push(value);
        }
        let mut matched = Vec::new();
        for (index, rule) in self.rules.iter().enumerate() {
            if rule.matches(&inputs, frame) {
                matched.push(index);
                if self.hit == HitPolicy::First {
                    break;
                }
            }
        }
        self.outcome(matched, &inputs, frame)
    }

    /// Applies the hit policy to the rules that matched.
    pub fn outcome(&self, matched: Vec<usize>, inputs: &[Value], frame: &mut Frame) -> Outcome {
        if matched.is_empty() {
            return match self.default_value(frame) {
                Some(value) => Outcome::Value(value, matched),
                None => match self.hit {
                    HitPolicy::Collect(Some(Aggregation::Count)) => {
                        Outcome::Value(Value::integer(0), matched)
                    }
                    _ => Outcome::NoRule(self.null_that_is_tested(inputs)),
                },
            };
        }
        match self.hit {
            HitPolicy::Unique if matched.len() > 1 => Outcome::Several(matched),
            HitPolicy::Unique | HitPolicy::First => {
                Outcome::Value(self.result(matched[0], frame), vec![matched[0]])
            }
            HitPolicy::Any => {
                let first = self.result(matched[0], frame);
                for other in &matched[1..] {
                    if equal(&first, &self.result(*other, frame)) != Some(true) {
                        return Outcome::Conflict(matched);
                    }
                }
                Outcome::Value(first, matched)
            }
            HitPolicy::Priority => {
                let best = self.by_priority(&matched, frame)[0];
                Outcome::Value(self.result(best, frame), vec![best])
            }
            HitPolicy::RuleOrder | HitPolicy::Collect(None) => {
                let results = matched
                    .iter()
                    .map(|rule| self.result(*rule, frame))
                    .collect();
                Outcome::Value(Value::list(results), matched)
            }
            HitPolicy::OutputOrder => {
                let matched = self.by_priority(&matched, frame);
                let results = matched
                    .iter()
                    .map(|rule| self.result(*rule, frame))
                    .collect();
                Outcome::Value(Value::list(results), matched)
            }
            HitPolicy::Collect(Some(aggregation)) => {
                let results: Vec<Value> = matched
                    .iter()
                    .map(|rule| self.result(*rule, frame))
                    .collect();
                Outcome::Value(aggregate(aggregation, &results), matched)
            }
        }
    }

    /// The first column with a null input that a rule tests.
    fn null_that_is_tested(&self, inputs: &[Value]) -> Option<usize> {
        inputs.iter().enumerate().position(|(column, input)| {
            input.is_null()
                && self.rules.iter().any(|rule| {
                    !matches!(
                        rule.tests.get(column).map(Vec::as_slice),
                        None | Some([Test::Any])
                    )
                })
        })
    }

    /// The outputs of one rule: a value, or a context when there are several.
    pub fn result(&self, rule: usize, frame: &mut Frame) -> Value {
        let rule = &self.rules[rule];
        self.compose(|column| eval::evaluate(&rule.outputs[column], frame))
    }

    fn default_value(&self, frame: &mut Frame) -> Option<Value> {
        if self.outputs.iter().all(|output| output.default.is_none()) {
            return None;
        }
        Some(self.compose(|column| {
            self.outputs[column]
                .default
                .as_ref()
                .map_or(Value::Null, |default| eval::evaluate(default, frame))
        }))
    }

    fn compose(&self, mut value: impl FnMut(usize) -> Value) -> Value {
        if self.outputs.len() == 1 {
            return value(0);
        }
        Value::Context(
            self.outputs
                .iter()
                .enumerate()
                .map(|(column, output)| {
                    (
                        output.name.clone().unwrap_or_else(|| Arc::from("")),
                        value(column),
                    )
                })
                .collect(),
        )
    }

    /// Rules in the order of their outputs' priorities, and of rows among equals.
    pub fn by_priority(&self, matched: &[usize], frame: &mut Frame) -> Vec<usize> {
        let mut keyed: Vec<(Vec<usize>, usize)> = matched
            .iter()
            .map(|rule| {
                let ranks = self
                    .outputs
                    .iter()
                    .enumerate()
                    .map(|(column, output)| {
                        let value = eval::evaluate(&self.rules[*rule].outputs[column], frame);
                        output
                            .values
                            .iter()
                            .position(|listed| equal(listed, &value) == Some(true))
                            .unwrap_or(usize::MAX)
                    })
                    .collect();
                (ranks, *rule)
            })
            .collect();
        keyed.sort();
        keyed.into_iter().map(|(_, rule)| rule).collect()
    }
}

impl Column {
    /// What the value is instead of the declared type; none when it fits.
    pub fn wrong_type(&self, value: &Value) -> Option<&'static str> {
        if value.is_null() || self.kind == Kind::Any {
            return None;
        }
        let fits = if self.collection {
            matches!(value, Value::List(_))
        } else {
            value.kind() == self.kind
        };
        (!fits).then(|| value.kind_name())
    }

    /// Is the value, or each item of a list, among the allowed ones?
    pub fn allows(&self, allowed: &[Test], value: &Value, frame: &mut Frame) -> bool {
        match value {
            Value::List(items) if self.collection => items
                .iter()
                .all(|item| eval::holds_any(allowed, item, frame) == Some(true)),
            _ => eval::holds_any(allowed, value, frame) == Some(true),
        }
    }
}

impl Rule {
    /// Row and id, as messages have them.
    pub fn name(&self) -> String {
        Problem::rule_name(self.row, self.has_id.then_some(&*self.id))
    }

    /// Do all its entries hold?
    pub fn matches(&self, inputs: &[Value], frame: &mut Frame) -> bool {
        self.tests
            .iter()
            .zip(inputs)
            .all(|(tests, input)| eval::holds_any(tests, input, frame) == Some(true))
    }
}

fn aggregate(aggregation: Aggregation, results: &[Value]) -> Value {
    match aggregation {
        Aggregation::Count => Value::integer(i64::try_from(results.len()).unwrap_or(i64::MAX)),
        Aggregation::Sum => builtins::sum(results),
        Aggregation::Min | Aggregation::Max => {
            let wanted = if aggregation == Aggregation::Min {
                Ordering::Less
            } else {
                Ordering::Greater
            };
            let mut best = results[0].clone();
            for result in &results[1..] {
                match order(result, &best) {
                    Some(order) if order == wanted => best = result.clone(),
                    Some(_) => {}
                    None => return Value::Null,
                }
            }
            best
        }
    }
}
