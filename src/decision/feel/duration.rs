//! Durations as FEEL writes them: days and time in nanoseconds, years and months in months.

use super::temporal::{NANOS_PER_DAY, NANOS_PER_SECOND};

/// `P1DT2H3M4.5S`; `PT0S` for none.
pub fn duration_text(nanos: i128) -> String {
    use std::fmt::Write;
    if nanos == 0 {
        return "PT0S".to_owned();
    }
    let mut text = String::from(if nanos < 0 { "-P" } else { "P" });
    let abs = nanos.unsigned_abs();
    let second = NANOS_PER_SECOND.unsigned_abs();
    let (seconds, fraction) = (abs / second, abs % second);
    let (days, hours, minutes, secs) = (
        seconds / 86_400,
        seconds / 3600 % 24,
        seconds / 60 % 60,
        seconds % 60,
    );
    // Writing to a String cannot fail.
    let mut put = |amount: u128, unit: char| {
        if amount > 0 {
            write!(text, "{amount}{unit}").unwrap_or_default();
        }
    };
    put(days, 'D');
    if hours + minutes + secs + fraction > 0 {
        text.push('T');
        let mut put = |amount: u128, unit: char| {
            if amount > 0 {
                write!(text, "{amount}{unit}").unwrap_or_default();
            }
        };
        put(hours, 'H');
        put(minutes, 'M');
        if fraction > 0 {
            let fraction = format!("{fraction:09}");
            write!(text, "{secs}.{}S", fraction.trim_end_matches('0')).unwrap_or_default();
        } else {
            put(secs, 'S');
        }
    }
    text
}

/// `P1Y2M`; `P0M` for none.
pub fn months_text(months: i64) -> String {
    if months == 0 {
        return "P0M".to_owned();
    }
    let abs = months.unsigned_abs();
    let sign = if months < 0 { "-" } else { "" };
    match (abs / 12, abs % 12) {
        (0, months) => format!("{sign}P{months}M"),
        (years, 0) => format!("{sign}P{years}Y"),
        (years, months) => format!("{sign}P{years}Y{months}M"),
    }
}

/// What a duration text means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParsedDuration {
    /// Months.
    Months(i64),
    /// Nanoseconds.
    Nanos(i128),
}

/// `P1Y2M`, `P3DT4H5M6.7S`, with an optional minus.
pub fn parse_duration(text: &str) -> Option<ParsedDuration> {
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let rest = rest.strip_prefix('P')?;
    let (date, time) = match rest.split_once('T') {
        Some((_, "")) => return None,
        Some((date, time)) => (date, time),
        None => (rest, ""),
    };
    if date.is_empty() && time.is_empty() {
        return None;
    }
    let mut months: Option<i64> = None;
    let mut nanos: Option<i128> = None;
    for (amount, fraction, unit) in amounts(date, "YMD")? {
        if fraction.is_some() {
            return None;
        }
        match unit {
            'Y' => months = Some(months.unwrap_or(0).checked_add(amount.checked_mul(12)?)?),
            'M' => months = Some(months.unwrap_or(0).checked_add(amount)?),
            _ => nanos = Some(i128::from(amount) * NANOS_PER_DAY),
        }
    }
    for (amount, fraction, unit) in amounts(time, "HMS")? {
        let factor = match unit {
            'H' => 3600,
            'M' => 60,
            _ => 1,
        };
        if fraction.is_some() && unit != 'S' {
            return None;
        }
        let part =
            i128::from(amount) * factor * NANOS_PER_SECOND + i128::from(fraction.unwrap_or(0));
        nanos = Some(nanos.unwrap_or(0) + part);
    }
    match (months, nanos) {
        (Some(months), None) => Some(ParsedDuration::Months(if negative {
            -months
        } else {
            months
        })),
        (None, Some(nanos)) => Some(ParsedDuration::Nanos(if negative { -nanos } else { nanos })),
        // Months have no fixed length: a duration is of one family or the other.
        _ => None,
    }
}

/// Splits `1Y2M` into amounts with their units, each unit at most once and in the order given.
fn amounts(mut text: &str, units: &str) -> Option<Vec<(i64, Option<i64>, char)>> {
    let mut found = Vec::new();
    let mut left = units;
    while !text.is_empty() {
        let end = text.find(|c: char| c.is_ascii_alphabetic())?;
        let unit = text[end..].chars().next()?;
        let position = left.find(unit)?;
        left = &left[position + 1..];
        let (whole, fraction) = match text[..end].split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (&text[..end], None),
        };
        let fraction = match fraction {
            None => None,
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) && !digits.is_empty() => {
                let padded: String = digits.chars().chain("000000000".chars()).take(9).collect();
                Some(padded.parse().ok()?)
            }
            Some(_) => return None,
        };
        if whole.is_empty() || !whole.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        found.push((whole.parse().ok()?, fraction, unit));
        text = &text[end + 1..];
    }
    Some(found)
}
