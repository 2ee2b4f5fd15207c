//! Functions that make one type from another: dates, times, durations, numbers.

use std::cmp::Ordering;

use jiff::civil;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use super::integer;
use crate::decision::feel::ast::Expr;
use crate::decision::feel::duration::{ParsedDuration, parse_duration};
use crate::decision::feel::parse::Scope;
use crate::decision::feel::temporal::{self, DateTime, Time, Zone};
use crate::decision::feel::value::{Value, order};

/// `@"…"`: whatever temporal value the text is.
pub fn temporal_literal(text: &str) -> Value {
    if let Some(date) = temporal::parse_date(text) {
        return Value::Date(date);
    }
    if text.contains('T') && !text.trim_start_matches('-').starts_with('P') {
        return temporal::parse_date_time(text).map_or(Value::Null, Value::DateTime);
    }
    if let Some(time) = temporal::parse_time(text) {
        return Value::Time(time);
    }
    duration(&[Value::text(text)])
}

/// `range("[1..5)")`: an interval whose ends are literals.
pub(super) fn range(arguments: &[Value]) -> Value {
    let Value::Text(text) = &arguments[0] else {
        return Value::Null;
    };
    let Ok(Expr::Const(Value::Range(range))) = Scope::new(true).expression(text) else {
        return Value::Null;
    };
    // `date("…")` is a literal, `date(string("…"))` is none.
    let ends = text.trim_start().get(1..).unwrap_or_default();
    let mut outside = ends.split('"').step_by(2);
    let is_nested = |part: &str| part.trim_end().ends_with('(') && part.matches('(').count() > 1;
    let upwards = order(&range.low, &range.high).is_none_or(Ordering::is_le);
    if !upwards || outside.any(is_nested) {
        return Value::Null;
    }
    Value::Range(range)
}

pub(super) fn date(arguments: &[Value]) -> Value {
    match arguments {
        [Value::Text(text), Value::Null, Value::Null] => {
            temporal::parse_date(text).map_or(Value::Null, Value::Date)
        }
        [Value::DateTime(moment), Value::Null, Value::Null] => Value::Date(moment.local.date()),
        [Value::Date(date), Value::Null, Value::Null] => Value::Date(*date),
        [year, month, day] => (|| {
            civil::Date::new(
                i16::try_from(integer(year)?).ok()?,
                i8::try_from(integer(month)?).ok()?,
                i8::try_from(integer(day)?).ok()?,
            )
            .ok()
        })()
        .map_or(Value::Null, Value::Date),
        _ => Value::Null,
    }
}

pub(super) fn time(arguments: &[Value]) -> Value {
    let whole = arguments[1..].iter().all(Value::is_null);
    match &arguments[0] {
        Value::Text(text) if whole => temporal::parse_time(text).map_or(Value::Null, Value::Time),
        Value::DateTime(moment) if whole => Value::Time(Time {
            clock: moment.local.time(),
            zone: moment.zone.clone(),
        }),
        Value::Time(_) if whole => arguments[0].clone(),
        Value::Date(_) if whole => Value::Time(Time {
            clock: civil::Time::midnight(),
            zone: Zone::Offset(0),
        }),
        Value::Number(_) => (|| {
            let Value::Number(second) = &arguments[2] else {
                return None;
            };
            let nanos = (second.fract() * Decimal::from(1_000_000_000)).to_i32()?;
            let clock = civil::Time::new(
                i8::try_from(integer(&arguments[0])?).ok()?,
                i8::try_from(integer(&arguments[1])?).ok()?,
                second.trunc().to_i8()?,
                nanos,
            )
            .ok()?;
            let zone = match &arguments[3] {
                Value::Null => Zone::Local,
                Value::Duration(nanos) => {
                    let seconds = i32::try_from(nanos / 1_000_000_000).ok()?;
                    if seconds.abs() > 14 * 3600 {
                        return None;
                    }
                    Zone::Offset(seconds)
                }
                _ => return None,
            };
            Some(Value::Time(Time { clock, zone }))
        })()
        .unwrap_or_default(),
        _ => Value::Null,
    }
}

pub(super) fn date_and_time(arguments: &[Value]) -> Value {
    match (&arguments[0], &arguments[1]) {
        (Value::Text(text), Value::Null) => {
            temporal::parse_date_time(text).map_or(Value::Null, Value::DateTime)
        }
        (Value::DateTime(_), Value::Null) => arguments[0].clone(),
        (Value::Date(date), Value::Null) => Value::DateTime(DateTime {
            local: date.to_datetime(civil::Time::midnight()),
            zone: Zone::Local,
        }),
        (Value::Date(_) | Value::DateTime(_), Value::Time(time)) => {
            let date = match &arguments[0] {
                Value::Date(date) => *date,
                Value::DateTime(moment) => moment.local.date(),
                _ => return Value::Null,
            };
            Value::DateTime(DateTime {
                local: date.to_datetime(time.clock),
                zone: time.zone.clone(),
            })
        }
        (Value::DateTime(moment), Value::Text(zone)) => {
            // The same instant, read in another zone.
            temporal::named_zone(zone)
                .and_then(|zone| moment.in_zone(zone))
                .map_or(Value::Null, Value::DateTime)
        }
        _ => Value::Null,
    }
}

pub(super) fn duration(arguments: &[Value]) -> Value {
    match &arguments[0] {
        Value::Text(text) => match parse_duration(text) {
            Some(ParsedDuration::Months(months)) => Value::Months(months),
            Some(ParsedDuration::Nanos(nanos)) => Value::Duration(nanos),
            None => Value::Null,
        },
        Value::Duration(_) | Value::Months(_) => arguments[0].clone(),
        _ => Value::Null,
    }
}

pub(super) fn months_between(arguments: &[Value]) -> Value {
    let date = |value: &Value| match value {
        Value::Date(date) => Some(date.to_datetime(civil::Time::midnight())),
        Value::DateTime(moment) => Some(moment.local),
        _ => None,
    };
    let (Some(from), Some(to)) = (date(&arguments[0]), date(&arguments[1])) else {
        return Value::Null;
    };
    let count = |moment: civil::DateTime| i64::from(moment.year()) * 12 + i64::from(moment.month());
    // The time of day does not count.
    let mut months = count(to) - count(from);
    if months > 0 && to.day() < from.day() {
        months -= 1;
    } else if months < 0 && to.day() > from.day() {
        months += 1;
    }
    Value::Months(months)
}

pub(super) fn number(arguments: &[Value]) -> Value {
    let Value::Text(text) = &arguments[0] else {
        return match &arguments[0] {
            Value::Number(_) => arguments[0].clone(),
            _ => Value::Null,
        };
    };
    let separator = |value: &Value, allowed: &[&str]| match value {
        Value::Null => Some(None),
        Value::Text(text) if allowed.contains(&&**text) => Some(Some(text.to_string())),
        _ => None,
    };
    let (Some(grouping), Some(point)) = (
        separator(&arguments[1], &[" ", ",", "."]),
        separator(&arguments[2], &[",", "."]),
    ) else {
        return Value::Null;
    };
    if grouping.is_some() && grouping == point {
        return Value::Null;
    }
    let mut plain = text.to_string();
    if let Some(grouping) = grouping {
        plain = plain.replace(&grouping, "");
    }
    if let Some(point) = point {
        plain = plain.replace(&point, ".");
    }
    if plain.contains('_') {
        return Value::Null;
    }
    plain
        .parse::<Decimal>()
        .or_else(|_| Decimal::from_scientific(&plain))
        .map_or(Value::Null, Value::Number)
}
