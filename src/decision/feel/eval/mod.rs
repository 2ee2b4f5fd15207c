//! Computes expressions and unary tests. What cannot be computed is null, as the standard has it; nothing here fails.

mod arithmetic;
mod lists;

use std::cmp::Ordering;
use std::sync::Arc;

use rust_decimal::Decimal;

pub use self::arithmetic::arithmetic;
use self::lists::{each, filter};
use super::ast::{Comparison, Expr, Test};
use super::temporal::{self, DateTime};
use super::value::{Range, Value, equal, order};

/// The values an expression can see.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    /// By slot: input variables, results of required decisions, local names.
    pub values: Vec<Value>,
    /// `?`
    pub input: Value,
    /// Steps taken so far for this record, plus the weight of the values that were made.
    pub work: usize,
}

/// The work limit of one record, in steps: a few tenths of a second. A table that needs more is a mistake, or hostile.
const MAX_WORK: usize = 1_000_000;
/// Items of a list that are copied in the time of a step.
const COPIED_IN_A_STEP: usize = 8;

impl Frame {
    /// Takes so many steps; false when there were too many.
    fn spend(&mut self, steps: usize) -> bool {
        self.work = self.work.saturating_add(steps);
        self.work <= MAX_WORK
    }

    /// Is the work limit used up? Then what was computed is not to be trusted.
    pub const fn is_exhausted(&self) -> bool {
        self.work > MAX_WORK
    }

    /// Uses up the work limit: something is too large to be computed.
    pub(super) const fn exhaust(&mut self) {
        self.work = usize::MAX;
    }

    /// Pays for reading all of a value.
    fn looks_at(&mut self, value: &Value) -> bool {
        let small = !matches!(value, Value::Text(_) | Value::List(_) | Value::Context(_));
        small || self.spend(value.weight(MAX_WORK))
    }

    /// Pays for a value that was made; null when it is too much.
    pub fn keep(&mut self, value: Value) -> Value {
        if self.looks_at(&value) {
            value
        } else {
            Value::Null
        }
    }
}

/// An expression that reads nothing.
pub fn constant(expr: &Expr) -> Value {
    evaluate(expr, &mut Frame::default())
}

/// The value of an expression.
pub fn evaluate(expr: &Expr, frame: &mut Frame) -> Value {
    if !frame.spend(1) {
        return Value::Null;
    }
    match expr {
        Expr::Const(value) => value.clone(),
        Expr::Slot(slot) => frame.values.get(*slot).cloned().unwrap_or_default(),
        Expr::Input => frame.input.clone(),
        Expr::Member(inner, name) => member(&evaluate(inner, frame), name),
        Expr::Negate(inner) => match evaluate(inner, frame) {
            Value::Number(number) => Value::Number(-number),
            Value::Duration(nanos) => Value::Duration(-nanos),
            Value::Months(months) => Value::Months(-months),
            _ => Value::Null,
        },
        Expr::Arithmetic(operator, pair) => {
            let left = evaluate(&pair[0], frame);
            let right = evaluate(&pair[1], frame);
            frame.keep(arithmetic(*operator, &left, &right))
        }
        Expr::Compare(comparison, pair) => {
            let left = evaluate(&pair[0], frame);
            let right = evaluate(&pair[1], frame);
            if frame.looks_at(&left) && frame.looks_at(&right) {
                Value::from_truth(compare(*comparison, &left, &right))
            } else {
                Value::Null
            }
        }
        Expr::And(items) => junction(truths(items, frame), false),
        Expr::Or(items) => junction(truths(items, frame), true),
        Expr::If(parts) => {
            let chosen = match evaluate(&parts[0], frame).truth() {
                Some(true) => &parts[1],
                _ => &parts[2],
            };
            evaluate(chosen, frame)
        }
        Expr::Between(parts) => {
            let value = evaluate(&parts[0], frame);
            let low = evaluate(&parts[1], frame);
            let high = evaluate(&parts[2], frame);
            let above = compare(Comparison::AtLeast, &value, &low);
            let below = compare(Comparison::AtMost, &value, &high);
            Value::from_truth(match (above, below) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            })
        }
        Expr::In(value, tests) => {
            let value = evaluate(value, frame);
            Value::from_truth(holds_any(tests, &value, frame))
        }
        Expr::InstanceOf(inner, name) => {
            let value = evaluate(inner, frame);
            if frame.looks_at(&value) {
                Value::Boolean(name.has(&value))
            } else {
                Value::Null
            }
        }
        Expr::List(items) => {
            let list = Value::list(items.iter().map(|item| evaluate(item, frame)).collect());
            frame.keep(list)
        }
        Expr::Context(entries) => {
            let mut values = Vec::with_capacity(entries.len());
            for (name, slot, entry) in entries {
                let value = evaluate(entry, frame);
                set(frame, *slot, value.clone());
                values.push((Arc::clone(name), value));
            }
            frame.keep(Value::Context(Arc::from(values)))
        }
        Expr::Range(range) => {
            let low = range.low.as_ref().map(|end| evaluate(end, frame));
            let high = range.high.as_ref().map(|end| evaluate(end, frame));
            let fits = match (&low, &high) {
                (Some(low), Some(high)) => low.kind() == high.kind() && low.kind().is_ordered(),
                (Some(end), None) | (None, Some(end)) => end.kind().is_ordered(),
                (None, None) => false,
            };
            if !fits {
                return Value::Null;
            }
            let (low, high) = (low.unwrap_or_default(), high.unwrap_or_default());
            Value::Range(Arc::new(Range {
                low,
                low_included: range.low_included,
                high,
                high_included: range.high_included,
            }))
        }
        Expr::Filter(item, pair) => filter(*item, &pair[0], &pair[1], frame),
        Expr::For(iterations, partial, body) => {
            let mut looks_back = false;
            expr.slots(&mut |slot| looks_back |= slot == *partial);
            let mut results = Vec::new();
            let finished = each(iterations, frame, &mut |frame| {
                if looks_back {
                    set(frame, *partial, Value::list(results.clone()));
                }
                results.push(evaluate(body, frame));
                !looks_back || frame.spend(results.len() / COPIED_IN_A_STEP)
            });
            if finished && frame.spend(0) {
                frame.keep(Value::list(results))
            } else {
                Value::Null
            }
        }
        Expr::Quantified(every, iterations, body) => {
            let mut result = Some(*every);
            let finished = each(iterations, frame, &mut |frame| {
                match evaluate(body, frame).truth() {
                    Some(truth) if truth != *every => {
                        result = Some(truth);
                        return false;
                    }
                    Some(_) => {}
                    None => result = None,
                }
                true
            });
            if finished {
                Value::from_truth(result)
            } else {
                Value::Null
            }
        }
        Expr::Call(function, arguments) => {
            let values: Vec<Value> = arguments
                .iter()
                .map(|argument| evaluate(argument, frame))
                .collect();
            if !values.iter().all(|value| frame.looks_at(value)) {
                return Value::Null;
            }
            let result = (function.body)(&values);
            if result.is_null() && function.gave_up(&values) {
                frame.exhaust();
            }
            frame.keep(result)
        }
    }
}

fn set(frame: &mut Frame, slot: usize, value: Value) {
    if frame.values.len() <= slot {
        frame.values.resize(slot + 1, Value::Null);
    }
    frame.values[slot] = value;
}

fn truths(items: &[Expr], frame: &mut Frame) -> impl Iterator<Item = Option<bool>> {
    items.iter().map(|item| evaluate(item, frame).truth())
}

/// `and` (decided by one that is false) or `or` (decided by one that is true) of truths, as far as they have to be known.
pub(super) fn junction(truths: impl Iterator<Item = Option<bool>>, decisive: bool) -> Value {
    let mut unknown = false;
    for truth in truths {
        match truth {
            Some(truth) if truth == decisive => return Value::Boolean(decisive),
            Some(_) => {}
            None => unknown = true,
        }
    }
    if unknown {
        Value::Null
    } else {
        Value::Boolean(!decisive)
    }
}

/// `value.name`
pub fn member(value: &Value, name: &str) -> Value {
    let zone_offset = |zone: &temporal::Zone, date: jiff::civil::Date| {
        zone.offset(date).map_or(Value::Null, |seconds| {
            Value::Duration(i128::from(seconds) * 1_000_000_000)
        })
    };
    match value {
        Value::Context(_) => value.entry(name).cloned().unwrap_or_default(),
        Value::List(items) => Value::list(items.iter().map(|item| member(item, name)).collect()),
        Value::Date(date) => date_part(*date, name),
        Value::DateTime(DateTime { local, zone }) => match name {
            "time offset" => zone_offset(zone, local.date()),
            "timezone" => zone
                .name()
                .map_or(Value::Null, |name| Value::Text(Arc::clone(name))),
            _ => match date_part(local.date(), name) {
                Value::Null => clock_part(local.time(), name),
                part => part,
            },
        },
        Value::Time(time) => match name {
            "time offset" => zone_offset(&time.zone, jiff::civil::date(1970, 1, 1)),
            "timezone" => time
                .zone
                .name()
                .map_or(Value::Null, |name| Value::Text(Arc::clone(name))),
            _ => clock_part(time.clock, name),
        },
        Value::Duration(nanos) => {
            let seconds = nanos / 1_000_000_000;
            let part = match name {
                "days" => seconds / 86_400,
                "hours" => seconds / 3600 % 24,
                "minutes" => seconds / 60 % 60,
                "seconds" => {
                    return Decimal::try_from_i128_with_scale(nanos % 60_000_000_000, 9)
                        .map_or(Value::Null, |seconds| Value::Number(seconds.normalize()));
                }
                _ => return Value::Null,
            };
            i64::try_from(part).map_or(Value::Null, Value::integer)
        }
        Value::Months(months) => match name {
            "years" => Value::integer(months / 12),
            "months" => Value::integer(months % 12),
            _ => Value::Null,
        },
        Value::Range(range) => match name {
            "start" => range.low.clone(),
            "end" => range.high.clone(),
            "start included" => Value::Boolean(range.low_included),
            "end included" => Value::Boolean(range.high_included),
            _ => Value::Null,
        },
        _ => Value::Null,
    }
}

fn date_part(date: jiff::civil::Date, name: &str) -> Value {
    match name {
        "year" => Value::integer(date.year().into()),
        "month" => Value::integer(date.month().into()),
        "day" => Value::integer(date.day().into()),
        "weekday" => Value::integer(date.weekday().to_monday_one_offset().into()),
        _ => Value::Null,
    }
}

fn clock_part(clock: jiff::civil::Time, name: &str) -> Value {
    match name {
        "hour" => Value::integer(clock.hour().into()),
        "minute" => Value::integer(clock.minute().into()),
        "second" => Value::integer(clock.second().into()),
        _ => Value::Null,
    }
}

/// `left comparison right`
pub fn compare(comparison: Comparison, left: &Value, right: &Value) -> Option<bool> {
    match comparison {
        Comparison::Equal => equal(left, right),
        Comparison::Unequal => equal(left, right).map(|same| !same),
        _ => {
            let order = order(left, right)?;
            Some(match comparison {
                Comparison::Less => order == Ordering::Less,
                Comparison::AtMost => order != Ordering::Greater,
                Comparison::Greater => order == Ordering::Greater,
                _ => order != Ordering::Less,
            })
        }
    }
}

/// Does one of the tests hold for the input?
pub fn holds_any(tests: &[Test], input: &Value, frame: &mut Frame) -> Option<bool> {
    let mut unknown = false;
    for test in tests {
        match holds(test, input, frame) {
            Some(true) => return Some(true),
            Some(false) => {}
            None => unknown = true,
        }
    }
    (!unknown).then_some(false)
}

/// Does the test hold for the input?
pub fn holds(test: &Test, input: &Value, frame: &mut Frame) -> Option<bool> {
    match test {
        Test::Any => Some(true),
        Test::Compare(comparison, operand) => {
            let operand = operand_of(operand, input, frame);
            compare(*comparison, input, &operand)
        }
        Test::Value(expr) => {
            let value = operand_of(expr, input, frame);
            if value.is_null() && matches!(expr, Expr::Range(_)) {
                return None;
            }
            is_or_is_in(input, &value)
        }
        Test::Truth(expr) => {
            let reads_input = expr.reads_input();
            match operand_of(expr, input, frame) {
                Value::Boolean(truth) if reads_input || !matches!(input, Value::Boolean(_)) => {
                    Some(truth)
                }
                Value::Null => None,
                value => is_or_is_in(input, &value),
            }
        }
        Test::Not(tests) => holds_any(tests, input, frame).map(|truth| !truth),
    }
}

fn operand_of(expr: &Expr, input: &Value, frame: &mut Frame) -> Value {
    if let Expr::Const(value) = expr {
        return value.clone();
    }
    let outer = std::mem::replace(&mut frame.input, input.clone());
    let value = evaluate(expr, frame);
    frame.input = outer;
    value
}

/// What a plain value in a cell means: equality, or membership in a list or an interval.
fn is_or_is_in(input: &Value, value: &Value) -> Option<bool> {
    match value {
        Value::Range(range) => match input {
            Value::Range(_) => equal(input, value),
            _ => range.contains(input),
        },
        Value::List(items) => {
            if matches!(input, Value::List(_)) && equal(input, value) == Some(true) {
                return Some(true);
            }
            Some(items.iter().any(|item| match (item, input) {
                (Value::Range(range), input) if !matches!(input, Value::Range(_)) => {
                    range.contains(input) == Some(true)
                }
                _ => equal(input, item) == Some(true),
            }))
        }
        _ => match input {
            // A list as the input of a plain test: one of its items may be it.
            Value::List(items) if !value.is_null() => {
                Some(items.iter().any(|item| equal(item, value) == Some(true)))
            }
            _ => equal(input, value),
        },
    }
}
