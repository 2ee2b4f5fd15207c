//! Functions on text, with the regular expressions of `XPath`.

use std::cell::RefCell;
use std::sync::Arc;

use regex::{Regex, RegexBuilder};

use super::{integer, on_list, on_text, single, to_i64};
use crate::decision::feel::ast::Expr;
use crate::decision::feel::value::Value;

thread_local! {
    /// The expressions used last. Cells bring the same few for every record, and building one costs far more than using it.
    static EXPRESSIONS: RefCell<Vec<CachedRegex>> = const { RefCell::new(Vec::new()) };
}

/// Most regular expressions that a thread keeps.
const MAX_EXPRESSIONS: usize = 32;

/// A regular expression and what it was made of: pattern and flags.
type CachedRegex = (Arc<str>, Arc<str>, Option<Regex>);

/// The range of items that a start position (from 1, or from the end with a minus) and a length mean.
pub(super) fn span(length: usize, start: &Value, count: &Value) -> Option<std::ops::Range<usize>> {
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

pub(super) fn substring(arguments: &[Value]) -> Value {
    on_text(arguments, |text| {
        let chars: Vec<char> = text.chars().collect();
        span(chars.len(), &arguments[1], &arguments[2]).map_or(Value::Null, |span| {
            Value::text(&chars[span].iter().collect::<String>())
        })
    })
}

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
        let regex = build_regex(pattern, &flags).ok();
        if kept.len() == MAX_EXPRESSIONS {
            kept.remove(0);
        }
        kept.push((Arc::clone(pattern), flags, regex.clone()));
        regex
    })
}

/// What is wrong with the regular expression that a function is called with; none when it is computed, or right.
pub fn wrong_pattern(function: &str, arguments: &[Expr]) -> Option<String> {
    let flags = match function {
        "matches" => 2,
        "replace" => 3,
        "split" => arguments.len(),
        _ => return None,
    };
    let text = |index: usize| match arguments.get(index) {
        None | Some(Expr::Const(Value::Null)) => Some(""),
        Some(Expr::Const(Value::Text(text))) => Some(&**text),
        _ => None,
    };
    arguments
        .get(1)?
        .constant()
        .filter(|value| !value.is_null())?;
    let (pattern, flags) = (text(1)?, text(flags)?);
    let why = build_regex(pattern, flags).err()?;
    Some(format!("`{pattern}` is no regular expression: {why}"))
}

/// Or why it is none.
fn build_regex(pattern: &str, flags: &str) -> Result<Regex, String> {
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
            other => return Err(format!("there is no flag `{other}`")),
        };
    }
    builder.build().map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => "it is too large".to_owned(),
        // The library shows the place over several lines, and says last what is wrong.
        error => {
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default();
            last.trim_start_matches("error: ").to_owned()
        }
    })
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

pub(super) fn matches(arguments: &[Value]) -> Value {
    on_text(arguments, |text| {
        regex(&arguments[1], &arguments[2])
            .map_or(Value::Null, |regex| Value::Boolean(regex.is_match(text)))
    })
}

/// The longest text that `replace` may come to, bytes.
const LONGEST: usize = 16 << 20;

/// May the result of `replace` be too long? The replacement may be put in between any two characters, and quote all of them.
pub(super) fn is_too_long(arguments: &[Value]) -> bool {
    let length = |value: &Value| match single(value) {
        Value::Text(text) => text.len(),
        _ => 0,
    };
    (length(&arguments[0]) + 1).saturating_mul(length(&arguments[2]) + 1) > LONGEST
}

pub(super) fn replace(arguments: &[Value]) -> Value {
    let Value::Text(replacement) = &arguments[2] else {
        return Value::Null;
    };
    on_text(arguments, |text| {
        let Some(regex) = regex(&arguments[1], &arguments[3]) else {
            return Value::Null;
        };
        if is_too_long(arguments) {
            return Value::Null;
        }
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

pub(super) fn split(arguments: &[Value]) -> Value {
    on_text(arguments, |text| {
        regex(&arguments[1], &Value::Null).map_or(Value::Null, |regex| {
            Value::list(regex.split(text).map(Value::text).collect())
        })
    })
}

pub(super) fn string_join(arguments: &[Value]) -> Value {
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
