//! Loops and filters over lists, within a bound on the items looked at.

use std::sync::Arc;

use super::{Frame, evaluate, set};
use crate::decision::feel::ast::{Expr, Iteration};
use crate::decision::feel::temporal;
use crate::decision::feel::value::Value;

/// Most items of a range that is run over.
const MAX_ITEMS: usize = 100_000;

/// Runs over all combinations; false when there was nothing to run over, or too much.
pub(super) fn each(
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
                let Some(items) = steps(&range.low, &range.high, frame) else {
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
                let to = evaluate(to, frame);
                let Some(items) = steps(&from, &to, frame) else {
                    *finished = false;
                    return false;
                };
                Arc::from(items)
            }
        };
        for item in items.iter() {
            if !frame.spend(1) {
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

/// `from..to` of whole numbers or days, upwards or downwards. One that is too long uses up the work limit.
fn steps(from: &Value, to: &Value, frame: &mut Frame) -> Option<Vec<Value>> {
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
        frame.exhaust();
        return None;
    }
    if from <= to {
        (from..=to).map(make).collect()
    } else {
        (to..=from).rev().map(make).collect()
    }
}

pub(super) fn filter(item: usize, list: &Expr, condition: &Expr, frame: &mut Frame) -> Value {
    use rust_decimal::prelude::ToPrimitive;
    let items: Arc<[Value]> = match evaluate(list, frame) {
        Value::List(items) => items,
        Value::Null => return Value::list(Vec::new()),
        single => Arc::from([single]),
    };
    // A number picks one item, from 1 on, or from the end with a minus.
    if condition.kind() != crate::decision::feel::value::Kind::Boolean {
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
        if !frame.spend(1) {
            return Value::Null;
        }
        set(frame, item, value.clone());
        if evaluate(condition, frame).truth() == Some(true) {
            kept.push(value.clone());
        }
    }
    Value::list(kept)
}
