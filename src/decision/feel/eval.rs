//! Computes expressions and unary tests. What cannot be computed is null, as the standard has it; nothing here fails.

use std::cmp::Ordering;
use std::sync::Arc;

use rust_decimal::{Decimal, MathematicalOps};

use super::ast::{Arithmetic, Comparison, Expr, Iteration, Test};
use super::temporal::{self, DateTime};
use super::value::{Range, Value, equal, order};

/// Most items a `for`, `some`, `every` or filter may look at for one value.
const MAX_ITEMS: usize = 100_000;

/// The values an expression can see.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    /// By slot: facts, results of required decisions, local names.
    pub values: Vec<Value>,
    /// `?`
    pub input: Value,
    /// Items looked at so far.
    pub work: usize,
}

/// An expression that reads nothing.
pub fn constant(expr: &Expr) -> Value {
    evaluate(expr, &mut Frame::default())
}

/// The value of an expression.
pub fn evaluate(expr: &Expr, frame: &mut Frame) -> Value {
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
            arithmetic(*operator, &left, &right)
        }
        Expr::Compare(comparison, pair) => {
            let left = evaluate(&pair[0], frame);
            let right = evaluate(&pair[1], frame);
            Value::from_truth(compare(*comparison, &left, &right))
        }
        Expr::And(items) => junction(items, false, frame),
        Expr::Or(items) => junction(items, true, frame),
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
        Expr::InstanceOf(inner, kind) => {
            use super::value::Kind;
            let value = evaluate(inner, frame);
            Value::Boolean(!value.is_null() && (*kind == Kind::Any || value.kind() == *kind))
        }
        Expr::List(items) => Value::list(items.iter().map(|item| evaluate(item, frame)).collect()),
        Expr::Context(entries) => {
            let mut values = Vec::with_capacity(entries.len());
            for (name, slot, entry) in entries {
                let value = evaluate(entry, frame);
                set(frame, *slot, value.clone());
                values.push((Arc::clone(name), value));
            }
            Value::Context(Arc::from(values))
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
            let mut results = Vec::new();
            let finished = each(iterations, frame, &mut |frame| {
                set(frame, *partial, Value::list(results.clone()));
                results.push(evaluate(body, frame));
                true
            });
            if finished {
                Value::list(results)
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
            (function.body)(&values)
        }
    }
}

fn set(frame: &mut Frame, slot: usize, value: Value) {
    if frame.values.len() <= slot {
        frame.values.resize(slot + 1, Value::Null);
    }
    frame.values[slot] = value;
}

fn junction(items: &[Expr], decisive: bool, frame: &mut Frame) -> Value {
    let mut unknown = false;
    for item in items {
        match evaluate(item, frame).truth() {
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

/// Runs over all combinations; false when there was nothing to run over, or too much.
fn each(
    iterations: &[Iteration],
    frame: &mut Frame,
    visit: &mut dyn FnMut(&mut Frame) -> bool,
) -> bool {
    fn level(
        iterations: &[Iteration],
        frame: &mut Frame,
        visit: &mut dyn FnMut(&mut Frame) -> bool,
        finished: &mut bool,
    ) -> bool {
        let Some((first, rest)) = iterations.split_first() else {
            return visit(frame);
        };
        let items: Arc<[Value]> = match (&first.to, evaluate(&first.over, frame)) {
            (None, Value::List(items)) => items,
            (None, Value::Range(range)) => {
                let Some(items) = steps(&range.low, &range.high) else {
                    *finished = false;
                    return false;
                };
                Arc::from(items)
            }
            (None, Value::Null) => {
                *finished = false;
                return false;
            }
            (None, single) => Arc::from([single]),
            (Some(to), from) => {
                let Some(items) = steps(&from, &evaluate(to, frame)) else {
                    *finished = false;
                    return false;
                };
                Arc::from(items)
            }
        };
        for item in items.iter() {
            frame.work += 1;
            if frame.work > MAX_ITEMS {
                *finished = false;
                return false;
            }
            set(frame, first.slot, item.clone());
            if !level(rest, frame, visit, finished) {
                return false;
            }
        }
        true
    }
    let mut finished = true;
    level(iterations, frame, visit, &mut finished);
    finished
}

/// `from..to` of whole numbers or days, upwards or downwards.
fn steps(from: &Value, to: &Value) -> Option<Vec<Value>> {
    use rust_decimal::prelude::ToPrimitive;
    let (from, to, make): (i64, i64, fn(i64) -> Option<Value>) = match (from, to) {
        (Value::Number(from), Value::Number(to)) if from.is_integer() && to.is_integer() => {
            (from.to_i64()?, to.to_i64()?, |number| {
                Some(Value::integer(number))
            })
        }
        (Value::Date(from), Value::Date(to)) => (
            i64::from(temporal::days_of_date(*from)),
            i64::from(temporal::days_of_date(*to)),
            |days| temporal::date_of_days(i32::try_from(days).ok()?).map(Value::Date),
        ),
        _ => return None,
    };
    if from.abs_diff(to) >= MAX_ITEMS as u64 {
        return None;
    }
    if from <= to {
        (from..=to).map(make).collect()
    } else {
        (to..=from).rev().map(make).collect()
    }
}

fn filter(item: usize, list: &Expr, condition: &Expr, frame: &mut Frame) -> Value {
    use rust_decimal::prelude::ToPrimitive;
    let items: Arc<[Value]> = match evaluate(list, frame) {
        Value::List(items) => items,
        Value::Null => return Value::list(Vec::new()),
        single => Arc::from([single]),
    };
    // A number picks one item, from 1 on, or from the end with a minus.
    if condition.kind() != super::value::Kind::Boolean {
        set(frame, item, Value::Null);
        if let Value::Number(position) = evaluate(condition, frame) {
            let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
            let index = match position.to_i64() {
                Some(position) if position.is_positive() => position - 1,
                Some(position) if position.is_negative() => length + position,
                _ => return Value::Null,
            };
            return usize::try_from(index)
                .ok()
                .and_then(|index| items.get(index).cloned())
                .unwrap_or_default();
        }
    }
    let mut kept = Vec::new();
    for value in items.iter() {
        frame.work += 1;
        if frame.work > MAX_ITEMS {
            return Value::Null;
        }
        set(frame, item, value.clone());
        if evaluate(condition, frame).truth() == Some(true) {
            kept.push(value.clone());
        }
    }
    Value::list(kept)
}

/// `value.name`
pub fn member(value: &Value, name: &str) -> Value {
    let zone_offset = |zone: &temporal::Zone, date| {
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

/// `left operator right`
pub fn arithmetic(operator: Arithmetic, left: &Value, right: &Value) -> Value {
    use Arithmetic::{Add, Divide, Multiply, Power, Subtract};
    let result = match (operator, left, right) {
        (_, Value::Number(a), Value::Number(b)) => match operator {
            Add => a.checked_add(*b),
            Subtract => a.checked_sub(*b),
            Multiply => a.checked_mul(*b),
            Divide => a.checked_div(*b),
            Power => power(*a, *b),
        }
        .map(Value::Number),
        (Add, Value::Text(a), Value::Text(b)) => Some(Value::text(&format!("{a}{b}"))),
        (Add, Value::Duration(a), Value::Duration(b)) => a.checked_add(*b).map(Value::Duration),
        (Subtract, Value::Duration(a), Value::Duration(b)) => {
            a.checked_sub(*b).map(Value::Duration)
        }
        (Add, Value::Months(a), Value::Months(b)) => a.checked_add(*b).map(Value::Months),
        (Subtract, Value::Months(a), Value::Months(b)) => a.checked_sub(*b).map(Value::Months),
        (Multiply, Value::Duration(a), Value::Number(b))
        | (Multiply, Value::Number(b), Value::Duration(a)) => {
            scaled(*a, |a| a.checked_mul(*b)).map(Value::Duration)
        }
        (Divide, Value::Duration(a), Value::Number(b)) => {
            scaled(*a, |a| a.checked_div(*b)).map(Value::Duration)
        }
        (Divide, Value::Duration(a), Value::Duration(b)) => {
            let a = Decimal::try_from_i128_with_scale(*a, 0).ok();
            let b = Decimal::try_from_i128_with_scale(*b, 0).ok();
            a.zip(b)
                .and_then(|(a, b)| a.checked_div(b))
                .map(Value::Number)
        }
        (Multiply, Value::Months(a), Value::Number(b))
        | (Multiply, Value::Number(b), Value::Months(a)) => {
            months(Decimal::from(*a).checked_mul(*b))
        }
        (Divide, Value::Months(a), Value::Number(b)) => months(Decimal::from(*a).checked_div(*b)),
        (Divide, Value::Months(a), Value::Months(b)) => Decimal::from(*a)
            .checked_div(Decimal::from(*b))
            .map(Value::Number),
        (Add | Subtract, Value::Date(date), Value::Months(months))
        | (Add, Value::Months(months), Value::Date(date)) => {
            let months = if operator == Add {
                Some(*months)
            } else {
                months.checked_neg()
            };
            months
                .and_then(|months| temporal::plus_months(*date, months))
                .map(Value::Date)
        }
        (Add | Subtract, Value::Date(date), Value::Duration(nanos))
        | (Add, Value::Duration(nanos), Value::Date(date)) => {
            let moment = DateTime {
                local: date.to_datetime(jiff::civil::Time::midnight()),
                zone: temporal::Zone::Local,
            };
            let nanos = if operator == Add {
                Some(*nanos)
            } else {
                nanos.checked_neg()
            };
            nanos
                .and_then(|nanos| moment.plus(nanos))
                .map(|moment| Value::Date(moment.local.date()))
        }
        (Add | Subtract, Value::DateTime(moment), Value::Months(months))
        | (Add, Value::Months(months), Value::DateTime(moment)) => {
            let months = if operator == Add {
                Some(*months)
            } else {
                months.checked_neg()
            };
            months
                .and_then(|months| moment.plus_months(months))
                .map(Value::DateTime)
        }
        (Add | Subtract, Value::DateTime(moment), Value::Duration(nanos))
        | (Add, Value::Duration(nanos), Value::DateTime(moment)) => {
            let nanos = if operator == Add {
                Some(*nanos)
            } else {
                nanos.checked_neg()
            };
            nanos
                .and_then(|nanos| moment.plus(nanos))
                .map(Value::DateTime)
        }
        (Add | Subtract, Value::Time(time), Value::Duration(nanos))
        | (Add, Value::Duration(nanos), Value::Time(time)) => {
            let nanos = if operator == Add {
                Some(*nanos)
            } else {
                nanos.checked_neg()
            };
            nanos.map(|nanos| Value::Time(time.plus(nanos)))
        }
        (Subtract, Value::Time(a), Value::Time(b)) => Some(Value::Duration(a.minus(b))),
        (Subtract, Value::Date(_) | Value::DateTime(_), Value::Date(_) | Value::DateTime(_)) => {
            instant(left)
                .zip(instant(right))
                .map(|(a, b)| Value::Duration(a - b))
        }
        _ => None,
    };
    result.unwrap_or_default()
}

fn instant(value: &Value) -> Option<i128> {
    match value {
        Value::Date(date) => Some(i128::from(temporal::days_of_date(*date)) * 86_400_000_000_000),
        Value::DateTime(moment) => Some(moment.instant()),
        _ => None,
    }
}

fn scaled(nanos: i128, compute: impl Fn(Decimal) -> Option<Decimal>) -> Option<i128> {
    let exact = Decimal::try_from_i128_with_scale(nanos, 0).ok()?;
    let result = compute(exact)?.round();
    Some(result.mantissa() / 10_i128.pow(result.scale()))
}

fn months(result: Option<Decimal>) -> Option<Value> {
    use rust_decimal::prelude::ToPrimitive;
    result?.trunc().to_i64().map(Value::Months)
}

fn power(base: Decimal, exponent: Decimal) -> Option<Decimal> {
    use rust_decimal::prelude::ToPrimitive;
    if exponent.is_integer() {
        let exponent = exponent.to_i64()?;
        if exponent.abs() > 10_000 {
            return None;
        }
        return base.checked_powi(exponent);
    }
    if base.is_sign_negative() {
        return None;
    }
    base.checked_powd(exponent)
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
