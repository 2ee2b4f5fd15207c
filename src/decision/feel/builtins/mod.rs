//! The built-in functions. A call that fits no meaning is null, as the standard has it.

mod contexts;
mod conversion;
mod intervals;
mod lists;
mod text;

use jiff::civil;
use rust_decimal::prelude::ToPrimitive;
use rust_decimal::{Decimal, MathematicalOps, RoundingStrategy};

use self::contexts::{context, context_merge, context_put};
pub use self::conversion::temporal_literal;
use self::conversion::{date, date_and_time, duration, months_between, number, range, time};
pub use self::lists::sum;
use self::lists::{
    distinct, extreme, flatten, get_entries, insert_before, junction, listed, mean, median, mode,
    reduce, remove, replace_item, sort, spread, stddev, sublist,
};
pub use self::text::wrong_pattern;
use self::text::{matches, replace, split, string_join, substring};
use super::ast::Arithmetic;
use super::temporal::{DateTime, Zone};
use super::value::{Kind, Value, equal};

/// A built-in function.
#[derive(Debug)]
pub struct Function {
    /// Its name, words separated by one space.
    pub name: &'static str,
    /// Names of its parameters; a trailing `?` marks an optional one, a trailing `*` any number
    /// of them; `a|b` may be called by either.
    pub parameters: &'static [&'static str],
    /// The type of its result, when it has but one.
    pub result: Kind,
    /// What it does. Missing optional arguments are null.
    pub body: fn(&[Value]) -> Value,
}

macro_rules! functions {
    ($($name:literal ($($parameter:literal),*) -> $kind:ident = $body:expr;)*) => {
        &[$(Function { name: $name, parameters: &[$($parameter),*], result: Kind::$kind, body: $body }),*]
    };
}

static FUNCTIONS: &[Function] = functions! {
    // Conversion.
    "date" ("from|year", "month?", "day?") -> Date = date;
    "time" ("from|hour", "minute?", "second?", "offset?") -> Time = time;
    "date and time" ("from|date", "time?") -> DateTime = date_and_time;
    "duration" ("from") -> Any = duration;
    "years and months duration" ("from", "to") -> Months = months_between;
    "number" ("from", "grouping separator?", "decimal separator?") -> Number = number;
    "string" ("from") -> Text = |a| match &a[0] { Value::Null => Value::Null, value => Value::text(&value.to_string()) };
    // Boolean.
    "not" ("negand") -> Boolean = |a| Value::from_truth(a[0].truth().map(|truth| !truth));
    "is defined" ("value") -> Boolean = |a| Value::Boolean(!a[0].is_null());
    "is" ("value1", "value2") -> Boolean = |a| Value::Boolean(same(&a[0], &a[1]));
    // Text.
    "substring" ("string", "start position", "length?") -> Text = substring;
    "string length" ("string") -> Number = |a| on_text(a, |text| Value::integer(to_i64(text.chars().count())));
    "upper case" ("string") -> Text = |a| on_text(a, |text| Value::text(&text.to_uppercase()));
    "lower case" ("string") -> Text = |a| on_text(a, |text| Value::text(&text.to_lowercase()));
    "trim" ("string") -> Text = |a| on_text(a, |text| Value::text(text.trim()));
    "substring before" ("string", "match") -> Text = |a| on_texts(a, |text, part| Value::text(text.split_once(part).map_or("", |(before, _)| before)));
    "substring after" ("string", "match") -> Text = |a| on_texts(a, |text, part| Value::text(text.split_once(part).map_or("", |(_, after)| after)));
    "contains" ("string", "match") -> Boolean = |a| on_texts(a, |text, part| Value::Boolean(text.contains(part)));
    "starts with" ("string", "match") -> Boolean = |a| on_texts(a, |text, part| Value::Boolean(text.starts_with(part)));
    "ends with" ("string", "match") -> Boolean = |a| on_texts(a, |text, part| Value::Boolean(text.ends_with(part)));
    "matches" ("input", "pattern", "flags?") -> Boolean = matches;
    "replace" ("input", "pattern", "replacement", "flags?") -> Text = replace;
    "split" ("string", "delimiter") -> List = split;
    "string join" ("list", "delimiter?") -> Text = string_join;
    // Lists.
    "list contains" ("list", "element") -> Boolean = |a| on_list(a, |items| Value::Boolean(items.iter().any(|item| equal(item, &a[1]) == Some(true))));
    "count" ("list") -> Number = |a| on_list(a, |items| Value::integer(to_i64(items.len())));
    "min" ("list*") -> Any = |a| extreme(a, std::cmp::Ordering::Less);
    "max" ("list*") -> Any = |a| extreme(a, std::cmp::Ordering::Greater);
    "sum" ("list*") -> Any = |a| sum(&spread(a));
    "product" ("list*") -> Any = |a| reduce(&spread(a), Arithmetic::Multiply);
    "mean" ("list*") -> Any = mean;
    "median" ("list*") -> Number = median;
    "stddev" ("list*") -> Number = stddev;
    "mode" ("list*") -> List = mode;
    "all" ("list*") -> Boolean = |a| junction(a, false);
    "any" ("list*") -> Boolean = |a| junction(a, true);
    "sublist" ("list", "start position", "length?") -> List = sublist;
    "append" ("list", "item*") -> List = |a| on_list(a, |items| Value::list(items.iter().chain(&a[1..]).cloned().collect()));
    "concatenate" ("list*") -> List = |a| Value::list(a.iter().flat_map(listed).collect());
    "union" ("list*") -> List = |a| distinct(a.iter().flat_map(listed));
    "insert before" ("list", "position", "newItem") -> List = insert_before;
    "remove" ("list", "position") -> List = remove;
    "list replace" ("list", "position|match", "newItem") -> List = replace_item;
    "sort" ("list") -> List = sort;
    "reverse" ("list") -> List = |a| on_list(a, |items| Value::list(items.iter().rev().cloned().collect()));
    "index of" ("list", "match") -> List = |a| on_list(a, |items| Value::list(
        items.iter().enumerate().filter(|(_, item)| equal(item, &a[1]) == Some(true)).map(|(i, _)| Value::integer(to_i64(i + 1))).collect()));
    "distinct values" ("list") -> List = |a| on_list(a, |items| distinct(items.iter().cloned()));
    "flatten" ("list") -> List = |a| on_list(a, |items| { let mut flat = Vec::new(); flatten(items, &mut flat, 0); Value::list(flat) });
    // Numbers.
    "decimal" ("n", "scale") -> Number = |a| rounded_to(a, RoundingStrategy::MidpointNearestEven);
    "round" ("n", "scale?") -> Number = |a| rounded(a, RoundingStrategy::MidpointAwayFromZero);
    "round up" ("n", "scale") -> Number = |a| rounded_to(a, RoundingStrategy::AwayFromZero);
    "round down" ("n", "scale") -> Number = |a| rounded_to(a, RoundingStrategy::ToZero);
    "round half up" ("n", "scale") -> Number = |a| rounded_to(a, RoundingStrategy::MidpointAwayFromZero);
    "round half down" ("n", "scale") -> Number = |a| rounded_to(a, RoundingStrategy::MidpointTowardZero);
    "floor" ("n", "scale?") -> Number = |a| rounded(a, RoundingStrategy::ToNegativeInfinity);
    "ceiling" ("n", "scale?") -> Number = |a| rounded(a, RoundingStrategy::ToPositiveInfinity);
    "abs" ("n") -> Any = |a| match &a[0] {
        Value::Number(n) => Value::Number(n.abs()),
        Value::Duration(nanos) => Value::Duration(nanos.abs()),
        Value::Months(months) => Value::Months(months.abs()),
        _ => Value::Null,
    };
    "modulo" ("dividend", "divisor") -> Number = modulo;
    "sqrt" ("number") -> Number = |a| on_number(a, |n| n.sqrt());
    "log" ("number") -> Number = |a| on_number(a, |n| n.checked_ln());
    "exp" ("number") -> Number = |a| on_number(a, |n| n.checked_exp());
    "odd" ("number") -> Boolean = |a| parity(a, true);
    "even" ("number") -> Boolean = |a| parity(a, false);
    // Time.
    "today" () -> Date = |_| Value::Date(now().date());
    "now" () -> DateTime = |_| Value::DateTime(DateTime { local: now(), zone: Zone::Offset(0) });
    "day of year" ("date") -> Number = |a| on_date(a, |date| Value::integer(date.day_of_year().into()));
    "day of week" ("date") -> Text = |a| on_date(a, |date| Value::text(weekday_name(date.weekday())));
    "month of year" ("date") -> Text = |a| on_date(a, |date| Value::text(month_name(date.month())));
    "week of year" ("date") -> Number = |a| on_date(a, |date| Value::integer(date.iso_week_date().week().into()));
    // Contexts.
    "get value" ("m", "key") -> Any = |a| match &a[1] { Value::Text(key) => a[0].entry(key).cloned().unwrap_or_default(), _ => Value::Null };
    "get entries" ("m") -> List = get_entries;
    "context" ("entries") -> Context = context;
    "context put" ("context", "key|keys", "value") -> Context = context_put;
    "context merge" ("contexts") -> Context = context_merge;
    // Intervals.
    "range" ("from") -> Range = range;
    "before" ("point1|range1|point|range", "point2|range2|range|point") -> Boolean = intervals::before;
    "after" ("point1|range1|point|range", "point2|range2|range|point") -> Boolean = intervals::after;
    "meets" ("range1", "range2") -> Boolean = intervals::meets;
    "met by" ("range1", "range2") -> Boolean = intervals::met_by;
    "overlaps" ("range1", "range2") -> Boolean = intervals::overlaps;
    "overlaps before" ("range1", "range2") -> Boolean = intervals::overlaps_before;
    "overlaps after" ("range1", "range2") -> Boolean = intervals::overlaps_after;
    "includes" ("range|range1", "point|range2") -> Boolean = intervals::includes;
    "during" ("point|range1", "range|range2") -> Boolean = intervals::during;
    "starts" ("point|range1", "range|range2") -> Boolean = intervals::starts;
    "started by" ("range|range1", "point|range2") -> Boolean = intervals::started_by;
    "finishes" ("point|range1", "range|range2") -> Boolean = intervals::finishes;
    "finished by" ("range|range1", "point|range2") -> Boolean = intervals::finished_by;
    "coincides" ("point1|range1", "point2|range2") -> Boolean = intervals::coincides;
};

/// The longest built-in name at the head of the text, by `measure(text, name)`.
pub fn longest_match(
    text: &str,
    measure: impl Fn(&str, &str) -> Option<usize>,
) -> Option<(usize, &'static Function)> {
    FUNCTIONS
        .iter()
        .filter_map(|function| measure(text, function.name).map(|length| (length, function)))
        .max_by_key(|(length, _)| *length)
}

/// The built-in name that looks most like this one.
pub fn nearest(name: &str) -> Option<&'static str> {
    crate::support::spelling::nearest(name, FUNCTIONS.iter().map(|function| function.name))
}

impl Function {
    /// Same arguments, same result?
    pub fn is_pure(&self) -> bool {
        !matches!(self.name, "today" | "now" | "is defined")
    }

    /// Does it write a literal, so that a null result is a mistake?
    pub fn is_literal(&self) -> bool {
        matches!(self.name, "date" | "time" | "date and time" | "duration")
    }

    /// Is this null result one of arguments that are too large, not of arguments that fit no meaning?
    pub fn gave_up(&self, arguments: &[Value]) -> bool {
        match self.name {
            "distinct values" => !arguments[0].is_null(),
            "union" => true,
            "replace" => text::is_too_long(arguments),
            _ => false,
        }
    }

    /// Puts arguments into the order of the parameters.
    pub fn arrange<E>(&self, positional: Vec<E>, named: Vec<(String, E)>) -> Result<Vec<E>, String>
    where
        E: NullArgument,
    {
        let usage = || format!("`{}` is called as {}", self.name, self.usage());
        let variadic = self
            .parameters
            .last()
            .is_some_and(|last| last.ends_with('*'));
        let required = self.parameters.iter().filter(|p| !p.ends_with('?')).count();
        if named.is_empty() {
            if positional.len() < required
                || (!variadic && positional.len() > self.parameters.len())
            {
                return Err(usage());
            }
            let mut arguments = positional;
            while arguments.len() < self.parameters.len() {
                arguments.push(E::null());
            }
            return Ok(arguments);
        }
        if !positional.is_empty() {
            return Err(format!("{}; arguments are all named or all not", usage()));
        }
        let mut slots: Vec<Option<E>> = self.parameters.iter().map(|_| None).collect();
        for (name, argument) in named {
            let position = self
                .parameters
                .iter()
                .position(|parameter| names_of(parameter).any(|known| known == name));
            match position {
                Some(position) if slots[position].is_none() => slots[position] = Some(argument),
                _ => return Err(usage()),
            }
        }
        let missing = slots
            .iter()
            .zip(self.parameters)
            .any(|(slot, parameter)| slot.is_none() && !parameter.ends_with('?'));
        if missing {
            return Err(usage());
        }
        Ok(slots
            .into_iter()
            .map(|slot| slot.unwrap_or_else(E::null))
            .collect())
    }

    fn usage(&self) -> String {
        let parameters: Vec<String> = self
            .parameters
            .iter()
            .map(|parameter| {
                let parameter = parameter.split('|').next().unwrap_or(parameter);
                if let Some(name) = parameter.strip_suffix('?') {
                    format!("[{name}]")
                } else if let Some(name) = parameter.strip_suffix('*') {
                    format!("{name}, …")
                } else {
                    parameter.to_owned()
                }
            })
            .collect();
        format!("{}({})", self.name, parameters.join(", "))
    }
}

/// The names of a parameter: `from|year` has two, one a way of calling.
pub fn names_of(parameter: &'static str) -> impl Iterator<Item = &'static str> {
    parameter.trim_end_matches(['?', '*']).split('|')
}

/// Something that can stand for a missing argument.
pub trait NullArgument {
    /// The missing argument.
    fn null() -> Self;
}

impl NullArgument for super::ast::Expr {
    fn null() -> Self {
        Self::Const(Value::Null)
    }
}

fn to_i64(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A list of one counts as its item where a single value is wanted, as the standard has it.
fn single(value: &Value) -> &Value {
    match value {
        Value::List(items) if items.len() == 1 => &items[0],
        other => other,
    }
}

fn on_text(arguments: &[Value], then: impl Fn(&str) -> Value) -> Value {
    match single(&arguments[0]) {
        Value::Text(text) => then(text),
        _ => Value::Null,
    }
}

fn on_texts(arguments: &[Value], then: impl Fn(&str, &str) -> Value) -> Value {
    match (single(&arguments[0]), single(&arguments[1])) {
        (Value::Text(a), Value::Text(b)) => then(a, b),
        _ => Value::Null,
    }
}

fn on_number(arguments: &[Value], then: impl Fn(Decimal) -> Option<Decimal>) -> Value {
    match single(&arguments[0]) {
        Value::Number(number) => then(*number).map_or(Value::Null, Value::Number),
        _ => Value::Null,
    }
}

/// A single value counts as a list of one, as the standard has it.
fn on_list(arguments: &[Value], then: impl Fn(&[Value]) -> Value) -> Value {
    match &arguments[0] {
        Value::List(items) => then(items),
        Value::Null => Value::Null,
        single => then(std::slice::from_ref(single)),
    }
}

fn on_date(arguments: &[Value], then: impl Fn(civil::Date) -> Value) -> Value {
    match single(&arguments[0]) {
        Value::Date(date) => then(*date),
        Value::DateTime(moment) => then(moment.local.date()),
        _ => Value::Null,
    }
}

fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.trunc().to_i64(),
        _ => None,
    }
}

/// The very same value: of the same type and, for times, written with the same zone.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Time(_), Value::Time(_)) | (Value::DateTime(_), Value::DateTime(_)) => {
            a.to_string() == b.to_string()
        }
        _ => a.kind() == b.kind() && equal(a, b) == Some(true),
    }
}

fn rounded(arguments: &[Value], strategy: RoundingStrategy) -> Value {
    let Value::Number(number) = &arguments[0] else {
        return Value::Null;
    };
    let scale = match arguments.get(1) {
        None | Some(Value::Null) => 0,
        Some(scale) => match integer(scale) {
            Some(scale) if (-6111..=6176).contains(&scale) => scale,
            _ => return Value::Null,
        },
    };
    if scale >= 0 {
        let scale = u32::try_from(scale).unwrap_or(0);
        return Value::Number(number.round_dp_with_strategy(scale, strategy));
    }
    // Tens, hundreds, …
    let Some(unit) = Decimal::TEN.checked_powi(-scale) else {
        return Value::integer(0);
    };
    number
        .checked_div(unit)
        .map(|scaled| scaled.round_dp_with_strategy(0, strategy))
        .and_then(|rounded| rounded.checked_mul(unit))
        .map_or(Value::Null, Value::Number)
}

/// Like [`rounded`], where the scale must be given.
fn rounded_to(arguments: &[Value], strategy: RoundingStrategy) -> Value {
    if arguments[1].is_null() {
        return Value::Null;
    }
    rounded(arguments, strategy)
}

fn modulo(arguments: &[Value]) -> Value {
    let (Value::Number(dividend), Value::Number(divisor)) = (&arguments[0], &arguments[1]) else {
        return Value::Null;
    };
    // The sign is the divisor's.
    dividend
        .checked_rem(*divisor)
        .map_or(Value::Null, |remainder| {
            if !remainder.is_zero() && remainder.is_sign_negative() != divisor.is_sign_negative() {
                Value::Number(remainder + divisor)
            } else {
                Value::Number(remainder)
            }
        })
}

fn parity(arguments: &[Value], odd: bool) -> Value {
    match &arguments[0] {
        Value::Number(number) if number.is_integer() => number
            .checked_rem(Decimal::TWO)
            .map_or(Value::Null, |rest| Value::Boolean(rest.is_zero() != odd)),
        _ => Value::Null,
    }
}

/// This moment in UTC, as records are.
fn now() -> civil::DateTime {
    jiff::tz::Offset::UTC.to_datetime(jiff::Timestamp::now())
}

const fn weekday_name(day: civil::Weekday) -> &'static str {
    match day {
        civil::Weekday::Monday => "Monday",
        civil::Weekday::Tuesday => "Tuesday",
        civil::Weekday::Wednesday => "Wednesday",
        civil::Weekday::Thursday => "Thursday",
        civil::Weekday::Friday => "Friday",
        civil::Weekday::Saturday => "Saturday",
        civil::Weekday::Sunday => "Sunday",
    }
}

const fn month_name(month: i8) -> &'static str {
    match month {
        1 => "January",
        2 => "February",
        3 => "March",
        4 => "April",
        5 => "May",
        6 => "June",
        7 => "July",
        8 => "August",
        9 => "September",
        10 => "October",
        11 => "November",
        _ => "December",
    }
}
