//! Functions on lists and contexts.

use std::sync::Arc;

use rust_decimal::{Decimal, MathematicalOps};

use super::text::span;
use super::{integer, on_list, to_i64};
use crate::decision::feel::ast::Arithmetic;
use crate::decision::feel::eval::{self, arithmetic};
use crate::decision::feel::value::{Value, equal, order};

/// `min([1, 2])` and `min(1, 2)` mean the same.
pub(super) fn spread(arguments: &[Value]) -> Vec<Value> {
    match arguments {
        [Value::List(items)] => items.to_vec(),
        _ => arguments.to_vec(),
    }
}

pub(super) fn listed(value: &Value) -> Vec<Value> {
    match value {
        Value::List(items) => items.to_vec(),
        single => vec![single.clone()],
    }
}

pub(super) fn extreme(arguments: &[Value], wanted: std::cmp::Ordering) -> Value {
    let items = spread(arguments);
    let mut best: Option<Value> = None;
    for item in items {
        match &best {
            None if item.kind().is_ordered() => best = Some(item),
            None => return Value::Null,
            Some(current) => match order(&item, current) {
                Some(order) if order == wanted => best = Some(item),
                Some(_) => {}
                None => return Value::Null,
            },
        }
    }
    best.unwrap_or_default()
}

/// The sum of numbers or of durations; null for none, or for anything else among them.
pub fn sum(items: &[Value]) -> Value {
    reduce(items, Arithmetic::Add)
}

pub(super) fn reduce(items: &[Value], operator: Arithmetic) -> Value {
    let Some((first, rest)) = items.split_first() else {
        return Value::Null;
    };
    if !matches!(
        first,
        Value::Number(_) | Value::Duration(_) | Value::Months(_)
    ) {
        return Value::Null;
    }
    rest.iter().fold(first.clone(), |total, item| {
        arithmetic(operator, &total, item)
    })
}

pub(super) fn mean(arguments: &[Value]) -> Value {
    let items = spread(arguments);
    let count = Value::integer(to_i64(items.len()));
    arithmetic(Arithmetic::Divide, &sum(&items), &count)
}

fn numbers(arguments: &[Value]) -> Option<Vec<Decimal>> {
    spread(arguments)
        .iter()
        .map(|item| match item {
            Value::Number(number) => Some(*number),
            _ => None,
        })
        .collect()
}

pub(super) fn median(arguments: &[Value]) -> Value {
    let Some(mut items) = numbers(arguments) else {
        return Value::Null;
    };
    items.sort();
    let middle = items.len() / 2;
    match items.len() {
        0 => Value::Null,
        length if length % 2 == 1 => Value::Number(items[middle]),
        _ => items[middle - 1]
            .checked_add(items[middle])
            .map_or(Value::Null, |sum| Value::Number(sum / Decimal::TWO)),
    }
}

pub(super) fn stddev(arguments: &[Value]) -> Value {
    (|| {
        let items = numbers(arguments)?;
        if items.len() < 2 {
            return None;
        }
        let count = Decimal::from(items.len());
        let mut total = Decimal::ZERO;
        for item in &items {
            total = total.checked_add(*item)?;
        }
        let mean = total.checked_div(count)?;
        let mut squares = Decimal::ZERO;
        for item in &items {
            let difference = item.checked_sub(mean)?;
            squares = squares.checked_add(difference.checked_mul(difference)?)?;
        }
        squares.checked_div(count - Decimal::ONE)?.sqrt()
    })()
    .map_or(Value::Null, Value::Number)
}

pub(super) fn mode(arguments: &[Value]) -> Value {
    let Some(mut items) = numbers(arguments) else {
        return Value::Null;
    };
    items.sort();
    let mut counted: Vec<(Decimal, usize)> = Vec::new();
    for item in items {
        match counted.last_mut() {
            Some((last, count)) if *last == item => *count += 1,
            _ => counted.push((item, 1)),
        }
    }
    let most = counted.iter().map(|(_, count)| *count).max().unwrap_or(0);
    Value::list(
        counted
            .into_iter()
            .filter(|(_, count)| *count == most)
            .map(|(item, _)| Value::Number(item))
            .collect(),
    )
}

pub(super) fn junction(arguments: &[Value], decisive: bool) -> Value {
    eval::junction(spread(arguments).iter().map(Value::truth), decisive)
}

pub(super) fn sublist(arguments: &[Value]) -> Value {
    on_list(arguments, |items| {
        span(items.len(), &arguments[1], &arguments[2])
            .map_or(Value::Null, |span| Value::list(items[span].to_vec()))
    })
}

pub(super) fn position(length: usize, value: &Value) -> Option<usize> {
    let index = match integer(value)? {
        0 => return None,
        position if position > 0 => position - 1,
        position => to_i64(length) + position,
    };
    usize::try_from(index).ok().filter(|index| *index < length)
}

pub(super) fn insert_before(arguments: &[Value]) -> Value {
    on_list(arguments, |items| {
        position(items.len(), &arguments[1]).map_or(Value::Null, |index| {
            let mut items = items.to_vec();
            items.insert(index, arguments[2].clone());
            Value::list(items)
        })
    })
}

pub(super) fn remove(arguments: &[Value]) -> Value {
    on_list(arguments, |items| {
        position(items.len(), &arguments[1]).map_or(Value::Null, |index| {
            let mut items = items.to_vec();
            items.remove(index);
            Value::list(items)
        })
    })
}

pub(super) fn replace_item(arguments: &[Value]) -> Value {
    on_list(arguments, |items| {
        position(items.len(), &arguments[1]).map_or(Value::Null, |index| {
            let mut items = items.to_vec();
            items[index] = arguments[2].clone();
            Value::list(items)
        })
    })
}

/// Upwards; null where two values have no order.
pub(super) fn sort(arguments: &[Value]) -> Value {
    on_list(arguments, |items| {
        let kind = items.first().map(Value::kind);
        // Values of one ordered type always have an order.
        if !items
            .iter()
            .all(|item| Some(item.kind()) == kind && item.kind().is_ordered())
        {
            return Value::Null;
        }
        let mut items = items.to_vec();
        items.sort_by(|a, b| order(a, b).unwrap_or(std::cmp::Ordering::Equal));
        Value::list(items)
    })
}

/// Most values that are compared each with each.
const MOST_DISTINCT: usize = 5_000;

/// Each value once; null when there are too many of them.
pub(super) fn distinct(items: impl Iterator<Item = Value>) -> Value {
    let mut kept: Vec<Value> = Vec::new();
    for item in items {
        if kept.len() == MOST_DISTINCT {
            return Value::Null;
        }
        if !kept.iter().any(|other| equal(other, &item) == Some(true)) {
            kept.push(item);
        }
    }
    Value::list(kept)
}

pub(super) fn flatten(items: &[Value], flat: &mut Vec<Value>, depth: u32) {
    for item in items {
        match item {
            Value::List(inner) if depth < 100 => flatten(inner, flat, depth + 1),
            other => flat.push(other.clone()),
        }
    }
}

pub(super) fn get_entries(arguments: &[Value]) -> Value {
    match &arguments[0] {
        Value::Context(entries) => Value::list(
            entries
                .iter()
                .map(|(key, value)| {
                    Value::Context(Arc::from([
                        (Arc::from("key"), Value::Text(Arc::clone(key))),
                        (Arc::from("value"), value.clone()),
                    ]))
                })
                .collect(),
        ),
        _ => Value::Null,
    }
}
