//! The built-in functions. A call that fits no meaning is null, as the standard has it.

use std::cell::RefCell;
use std::sync::Arc;

use jiff::civil;
use regex::{Regex, RegexBuilder};
use rust_decimal::prelude::ToPrimitive;
use rust_decimal::{Decimal, MathematicalOps, RoundingStrategy};

use super::ast::Arithmetic;
use super::eval::arithmetic;
use super::temporal::{self, DateTime, ParsedDuration, Time, Zone};
use super::value::{Kind, Value, equal, order};

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
    "union" ("list*") -> List = |a| Value::list(distinct(a.iter().flat_map(listed)));
    "insert before" ("list", "position", "newItem") -> List = insert_before;
    "remove" ("list", "position") -> List = remove;
    "reverse" ("list") -> List = |a| on_list(a, |items| Value::list(items.iter().rev().cloned().collect()));
    "index of" ("list", "match") -> List = |a| on_list(a, |items| Value::list(
        items.iter().enumerate().filter(|(_, item)| equal(item, &a[1]) == Some(true)).map(|(i, _)| Value::integer(to_i64(i + 1))).collect()));
    "distinct values" ("list") -> List = |a| on_list(a, |items| Value::list(distinct(items.iter().cloned())));
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
    super::parse::nearest(name, FUNCTIONS.iter().map(|function| function.name))
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

// ── conversion ───────────────────────────────────────────────────────────────────────────────────────────────────────

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

fn date(arguments: &[Value]) -> Value {
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

fn time(arguments: &[Value]) -> Value {
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

fn date_and_time(arguments: &[Value]) -> Value {
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

fn duration(arguments: &[Value]) -> Value {
    match &arguments[0] {
        Value::Text(text) => match temporal::parse_duration(text) {
            Some(ParsedDuration::Months(months)) => Value::Months(months),
            Some(ParsedDuration::Nanos(nanos)) => Value::Duration(nanos),
            None => Value::Null,
        },
        Value::Duration(_) | Value::Months(_) => arguments[0].clone(),
        _ => Value::Null,
    }
}

fn months_between(arguments: &[Value]) -> Value {
    let date = |value: &Value| match value {
        Value::Date(date) => Some(date.to_datetime(civil::Time::midnight())),
        Value::DateTime(moment) => Some(moment.local),
        _ => None,
    };
    let (Some(from), Some(to)) = (date(&arguments[0]), date(&arguments[1])) else {
        return Value::Null;
    };
    let count = |moment: civil::DateTime| i64::from(moment.year()) * 12 + i64::from(moment.month());
    // The time of day has no say.
    let mut months = count(to) - count(from);
    if months > 0 && to.day() < from.day() {
        months -= 1;
    } else if months < 0 && to.day() > from.day() {
        months += 1;
    }
    Value::Months(months)
}

fn number(arguments: &[Value]) -> Value {
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

// ── text ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

/// The range of items that a start position (from 1, or from the end with a minus) and a length mean.
fn span(length: usize, start: &Value, count: &Value) -> Option<std::ops::Range<usize>> {
    let total = to_i64(length);
    let start = match integer(start)? {
        0 => return None,
        start if start > 0 => start - 1,
        start => total.checked_add(start)?,
    };
    let end = match count {
        Value::Null => total,
        count => start.checked_add(integer(count)?)?,
    };
    let clamp = |position: i64| usize::try_from(position.clamp(0, total)).ok();
    let (start, end) = (clamp(start)?, clamp(end)?);
    Some(start..end.max(start))
}

fn substring(arguments: &[Value]) -> Value {
    on_text(arguments, |text| {
        let chars: Vec<char> = text.chars().collect();
        span(chars.len(), &arguments[1], &arguments[2]).map_or(Value::Null, |span| {
            Value::text(&chars[span].iter().collect::<String>())
        })
    })
}

thread_local! {
    /// The expressions used last. Cells bring the same few for every record, and building one costs far more than using it.
    static EXPRESSIONS: RefCell<Vec<Kept>> = const { RefCell::new(Vec::new()) };
}

/// Most regular expressions that a thread keeps.
const MAX_EXPRESSIONS: usize = 32;

/// A regular expression and what it was made of: pattern and flags.
type Kept = (Arc<str>, Arc<str>, Option<Regex>);

/// A regular expression in the dialect of `XPath`; none when it is none.
fn regex(pattern: &Value, flags: &Value) -> Option<Regex> {
    let Value::Text(pattern) = single(pattern) else {
        return None;
    };
    let flags = match flags {
        Value::Null => Arc::from(""),
        Value::Text(flags) => Arc::clone(flags),
        _ => return None,
    };
    EXPRESSIONS.with_borrow_mut(|kept| {
        if let Some((_, _, regex)) = kept
            .iter()
            .find(|(text, with, _)| text == pattern && *with == flags)
        {
            return regex.clone();
        }
        let regex = build_regex(pattern, &flags);
        if kept.len() == MAX_EXPRESSIONS {
            kept.remove(0);
        }
        kept.push((Arc::clone(pattern), flags, regex.clone()));
        regex
    })
}

fn build_regex(pattern: &str, flags: &str) -> Option<Regex> {
    let text = if flags.contains('q') {
        regex::escape(pattern)
    } else {
        translated(pattern, flags.contains('x'))
    };
    let mut builder = RegexBuilder::new(&text);
    // A dot means neither end of a line.
    builder.crlf(true).size_limit(1 << 20);
    for flag in flags.chars() {
        match flag {
            'i' => builder.case_insensitive(true),
            's' => builder.dot_matches_new_line(true),
            'm' => builder.multi_line(true),
            'x' | 'q' => &mut builder,
            _ => return None,
        };
    }
    builder.build().ok()
}

/// From the dialect of `XPath` to that of the regex library: `[a-z-[aeiou]]` takes characters away, and `x` lets white
/// space be written outside of brackets.
fn translated(pattern: &str, spaced: bool) -> String {
    let mut text = String::with_capacity(pattern.len());
    let mut depth = 0_u32;
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            c if spaced && depth == 0 && c.is_ascii_whitespace() => continue,
            '\\' => {
                text.push(c);
                while spaced && depth == 0 && chars.next_if(char::is_ascii_whitespace).is_some() {}
                text.extend(chars.next());
                continue;
            }
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            '-' if depth > 0 && chars.peek() == Some(&'[') => text.push('-'),
            _ => {}
        }
        text.push(c);
    }
    text
}

fn matches(arguments: &[Value]) -> Value {
    on_text(arguments, |text| {
        regex(&arguments[1], &arguments[2])
            .map_or(Value::Null, |regex| Value::Boolean(regex.is_match(text)))
    })
}

fn replace(arguments: &[Value]) -> Value {
    let Value::Text(replacement) = &arguments[2] else {
        return Value::Null;
    };
    on_text(arguments, |text| {
        let Some(regex) = regex(&arguments[1], &arguments[3]) else {
            return Value::Null;
        };
        // `$1a` means group 1 and an `a`; the regex library would read it as the group named `1a`.
        let mut braced = String::with_capacity(replacement.len());
        let mut chars = replacement.chars().peekable();
        while let Some(c) = chars.next() {
            if c == '$' && chars.peek().is_some_and(char::is_ascii_digit) {
                braced.push_str("${");
                while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                    braced.push(digit);
                }
                braced.push('}');
            } else if c == '\\' && chars.peek() == Some(&'$') {
                chars.next();
                braced.push_str("$$");
            } else {
                braced.push(c);
            }
        }
        Value::text(&regex.replace_all(text, braced.as_str()))
    })
}

fn split(arguments: &[Value]) -> Value {
    on_text(arguments, |text| {
        regex(&arguments[1], &Value::Null).map_or(Value::Null, |regex| {
            Value::list(regex.split(text).map(Value::text).collect())
        })
    })
}

fn string_join(arguments: &[Value]) -> Value {
    let delimiter = match &arguments[1] {
        Value::Null => "",
        Value::Text(text) => text,
        _ => return Value::Null,
    };
    on_list(arguments, |items| {
        let mut parts = Vec::new();
        for item in items {
            match item {
                Value::Text(text) => parts.push(&**text),
                Value::Null => {}
                _ => return Value::Null,
            }
        }
        Value::text(&parts.join(delimiter))
    })
}

// ── lists ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/// `min([1, 2])` and `min(1, 2)` mean the same.
fn spread(arguments: &[Value]) -> Vec<Value> {
    match arguments {
        [Value::List(items)] => items.to_vec(),
        _ => arguments.to_vec(),
    }
}

fn listed(value: &Value) -> Vec<Value> {
    match value {
        Value::List(items) => items.to_vec(),
        single => vec![single.clone()],
    }
}

fn extreme(arguments: &[Value], wanted: std::cmp::Ordering) -> Value {
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

fn reduce(items: &[Value], operator: Arithmetic) -> Value {
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

fn mean(arguments: &[Value]) -> Value {
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

fn median(arguments: &[Value]) -> Value {
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

fn stddev(arguments: &[Value]) -> Value {
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

fn mode(arguments: &[Value]) -> Value {
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

fn junction(arguments: &[Value], decisive: bool) -> Value {
    let mut unknown = false;
    for item in spread(arguments) {
        match item.truth() {
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

fn sublist(arguments: &[Value]) -> Value {
    on_list(arguments, |items| {
        span(items.len(), &arguments[1], &arguments[2])
            .map_or(Value::Null, |span| Value::list(items[span].to_vec()))
    })
}

fn position(length: usize, value: &Value) -> Option<usize> {
    let index = match integer(value)? {
        0 => return None,
        position if position > 0 => position - 1,
        position => to_i64(length) + position,
    };
    usize::try_from(index).ok().filter(|index| *index < length)
}

fn insert_before(arguments: &[Value]) -> Value {
    on_list(arguments, |items| {
        position(items.len(), &arguments[1]).map_or(Value::Null, |index| {
            let mut items = items.to_vec();
            items.insert(index, arguments[2].clone());
            Value::list(items)
        })
    })
}

fn remove(arguments: &[Value]) -> Value {
    on_list(arguments, |items| {
        position(items.len(), &arguments[1]).map_or(Value::Null, |index| {
            let mut items = items.to_vec();
            items.remove(index);
            Value::list(items)
        })
    })
}

fn distinct(items: impl Iterator<Item = Value>) -> Vec<Value> {
    let mut kept: Vec<Value> = Vec::new();
    for item in items {
        if !kept.iter().any(|other| equal(other, &item) == Some(true)) {
            kept.push(item);
        }
    }
    kept
}

fn flatten(items: &[Value], flat: &mut Vec<Value>, depth: u32) {
    for item in items {
        match item {
            Value::List(inner) if depth < 100 => flatten(inner, flat, depth + 1),
            other => flat.push(other.clone()),
        }
    }
}

fn get_entries(arguments: &[Value]) -> Value {
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

// ── numbers ──────────────────────────────────────────────────────────────────────────────────────────────────────────

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

// ── time ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

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
