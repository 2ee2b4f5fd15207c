//! Arithmetic on numbers, text, dates and durations. What has no result is null.

use rust_decimal::{Decimal, MathematicalOps};

use crate::decision::feel::ast::Arithmetic;
use crate::decision::feel::temporal::{self, DateTime};
use crate::decision::feel::value::Value;

/// `left operator right`
pub fn arithmetic(operator: Arithmetic, left: &Value, right: &Value) -> Value {
    use Arithmetic::{Add, Divide, Multiply, Power, Subtract};
    // A subtraction adds the opposite.
    let is_added = operator == Add;
    let months_added = |months: i64| {
        if is_added {
            Some(months)
        } else {
            months.checked_neg()
        }
    };
    let nanos_added = |nanos: i128| {
        if is_added {
            Some(nanos)
        } else {
            nanos.checked_neg()
        }
    };
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
        | (Add, Value::Months(months), Value::Date(date)) => months_added(*months)
            .and_then(|months| temporal::plus_months(*date, months))
            .map(Value::Date),
        (Add | Subtract, Value::Date(date), Value::Duration(nanos))
        | (Add, Value::Duration(nanos), Value::Date(date)) => {
            let moment = DateTime {
                local: date.to_datetime(jiff::civil::Time::midnight()),
                zone: temporal::Zone::Local,
            };
            nanos_added(*nanos)
                .and_then(|nanos| moment.plus(nanos))
                .map(|moment| Value::Date(moment.local.date()))
        }
        (Add | Subtract, Value::DateTime(moment), Value::Months(months))
        | (Add, Value::Months(months), Value::DateTime(moment)) => months_added(*months)
            .and_then(|months| moment.plus_months(months))
            .map(Value::DateTime),
        (Add | Subtract, Value::DateTime(moment), Value::Duration(nanos))
        | (Add, Value::Duration(nanos), Value::DateTime(moment)) => nanos_added(*nanos)
            .and_then(|nanos| moment.plus(nanos))
            .map(Value::DateTime),
        (Add | Subtract, Value::Time(time), Value::Duration(nanos))
        | (Add, Value::Duration(nanos), Value::Time(time)) => {
            nanos_added(*nanos).map(|nanos| Value::Time(time.plus(nanos)))
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

pub(super) fn months(result: Option<Decimal>) -> Option<Value> {
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
