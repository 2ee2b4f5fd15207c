//! Dates and times: turns text or a number into days or microseconds since 1970.
//!
//! RFC 3339 and ISO dates are read by code of our own, which is faster; unusual spellings and strptime formats are left to
//! jiff. Only years 1 to 9999 are accepted, which jiff and the database can hold and all spellings can express.

use anyhow::{Context, bail, ensure};
use jiff::Timestamp;
use jiff::civil;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::TimeZone;

use super::number;

const MICROS_A_SECOND: i64 = 1_000_000;
const SECONDS_A_DAY: i64 = 86_400;
/// 0001-01-01T00:00:00Z and 9999-12-31T23:59:59.999999Z, microseconds since 1970.
const FIRST: i64 = -62_135_596_800 * MICROS_A_SECOND;
const LAST: i64 = 253_402_300_800 * MICROS_A_SECOND - 1;

const OUT_OF_RANGE: &str = "a time out of range (years 1 to 9999)";
const NAIVE: &str = "a time without an offset (the field then needs `format` and `timezone`)";

/// How a field's times are written.
#[derive(Clone, Debug)]
pub(super) enum Form {
    /// RFC 3339; the zone is for times without an offset, if one is configured.
    Rfc3339(Option<TimeZone>),
    /// strptime; with the time zone, unless the format has an offset of its own.
    Strptime(String, Option<TimeZone>),
    /// Numbers counting units of so many microseconds.
    Epoch(u32),
}

impl Form {
    /// Compiles `format` and `timezone` of a datetime field.
    pub(super) fn new(format: Option<&str>, timezone: Option<&str>) -> anyhow::Result<Self> {
        let zone = timezone
            .map(|name| {
                TimeZone::get(name).with_context(|| {
                    format!("`{name}` is no time zone (a name such as Europe/Madrid is wanted)")
                })
            })
            .transpose()?;
        let epoch = match format {
            None => return Ok(Self::Rfc3339(zone)),
            Some("epoch_seconds") => 1_000_000,
            Some("epoch_milliseconds") => 1_000,
            Some(format) => {
                let has_offset = ["%z", "%:z", "%Q", "%:Q", "%s"]
                    .iter()
                    .any(|directive| directives(format).any(|found| found == *directive));
                ensure!(
                    has_offset || zone.is_some(),
                    "format `{format}` has no offset (%z), so `timezone` is needed"
                );
                ensure_format(format)?;
                return Ok(Self::Strptime(
                    format.to_owned(),
                    zone.filter(|_| !has_offset),
                ));
            }
        };
        ensure!(
            zone.is_none(),
            "an epoch is in UTC: `timezone` has no meaning"
        );
        Ok(Self::Epoch(epoch))
    }

    /// What is accepted, for messages.
    pub(super) fn expected(&self) -> String {
        match self {
            Self::Rfc3339(_) => "datetime (RFC 3339)".to_owned(),
            Self::Strptime(format, _) => format!("datetime (format {format})"),
            Self::Epoch(1_000) => "datetime (milliseconds since 1970)".to_owned(),
            Self::Epoch(_) => "datetime (seconds since 1970)".to_owned(),
        }
    }

    /// Reads a text as microseconds since 1970.
    pub(super) fn read(&self, text: &str) -> Result<i64, &'static str> {
        let at = match self {
            Self::Rfc3339(zone) => match rfc3339(text) {
                Some(at) => at,
                None => odd(text, zone.as_ref())?,
            },
            Self::Strptime(format, zone) => strptime(format, zone.as_ref(), text)?,
            Self::Epoch(_) => return self.count(text),
        };
        in_range(at)
    }

    /// A time as JSON in this form; none where the form cannot express it.
    pub(super) fn written(&self, at: i64) -> Option<String> {
        let moment = Timestamp::from_microsecond(at).ok()?;
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        match self {
            Self::Rfc3339(_) => Some(quoted(&moment.to_string())),
            Self::Strptime(format, zone) => {
                let zone = zone.clone().unwrap_or(TimeZone::UTC);
                jiff::fmt::strtime::format(format, &moment.to_zoned(zone))
                    .ok()
                    .map(|text| quoted(&text))
            }
            Self::Epoch(unit) => {
                (at % i64::from(*unit) == 0).then(|| (at / i64::from(*unit)).to_string())
            }
        }
    }

    /// Reads a number as microseconds since 1970.
    pub(super) fn count(&self, text: &str) -> Result<i64, &'static str> {
        let Self::Epoch(unit) = self else {
            return Err("a number");
        };
        match number::microseconds(text, *unit) {
            Ok(at) => in_range(at),
            Err(number::Fault::OutOfRange) => Err(OUT_OF_RANGE),
            Err(fault) => Err(fault.as_str()),
        }
    }
}

/// Checks the `format` of a date field.
pub(super) fn ensure_format(format: &str) -> anyhow::Result<()> {
    if directives(format).next().is_none() {
        bail!("format `{format}` has no strptime directive such as %Y, %m and %d");
    }
    // jiff reports an unknown directive only when it meets it, so the format writes a probe and reads it back.
    let probe = jiff::fmt::strtime::format(format, &Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC))
        .with_context(|| format!("format `{format}` is no strptime format"))?;
    BrokenDownTime::parse(format, probe.as_bytes())
        .with_context(|| format!("format `{format}` cannot be read back"))?;
    Ok(())
}

/// The directives of a strptime format, `%%` aside.
fn directives(format: &str) -> impl Iterator<Item = &str> {
    let mut rest = format;
    std::iter::from_fn(move || {
        loop {
            let at = rest.find('%')?;
            let tail = &rest[at..];
            let length = if tail[1..].starts_with(':') { 3 } else { 2 };
            let directive = tail.get(..length).unwrap_or(tail);
            rest = &tail[directive.len()..];
            if directive != "%%" {
                return Some(directive);
            }
        }
    })
}

/// Reads a date as days since 1970: `YYYY-MM-DD`, or the format when there is one.
pub(super) fn date(text: &str, format: Option<&str>) -> Result<i32, &'static str> {
    const NO_DATE: &str = "text that is no such date";
    let (year, month, day) = match format {
        None => {
            let bytes = text.as_bytes();
            if bytes.len() != 10 {
                return Err(NO_DATE);
            }
            ymd(bytes).ok_or(NO_DATE)?
        }
        Some(format) => {
            let date = BrokenDownTime::parse(format, text.as_bytes())
                .and_then(|parts| parts.to_date())
                .map_err(|_| NO_DATE)?;
            civil_parts(date).ok_or("a date out of range (years 1 to 9999)")?
        }
    };
    i32::try_from(days(year, month, day)).map_err(|_| NO_DATE)
}

fn civil_parts(date: civil::Date) -> Option<(i64, i64, i64)> {
    let year = i64::from(date.year());
    (year >= 1).then(|| (year, i64::from(date.month()), i64::from(date.day())))
}

/// A date as the source writes it; none where the format cannot express it.
pub(super) fn written_date(days: i32, format: Option<&str>) -> Option<String> {
    let span = jiff::Span::new().try_days(days).ok()?;
    let date = civil::date(1970, 1, 1).checked_add(span).ok()?;
    match format {
        None => Some(date.to_string()),
        Some(format) => jiff::fmt::strtime::format(format, date).ok(),
    }
}

/// RFC 3339 in its usual spelling; none for any other text, which is wrong or left to jiff.
fn rfc3339(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let (head, mut rest) = bytes.split_at_checked(19)?;
    let (year, month, day) = ymd(head)?;
    if !matches!(head[10], b'T' | b't' | b' ') || head[13] != b':' || head[16] != b':' {
        return None;
    }
    let (hour, minute) = (two(head, 11)?, two(head, 14)?);
    let second = two(head, 17)?;
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut micros = 0;
    if let [b'.', after @ ..] = rest {
        let digits = after
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        if digits == 0 {
            return None;
        }
        let figures = after[..digits]
            .iter()
            .map(|figure| i64::from(figure - b'0'));
        for figure in figures.chain([0; 6]).take(6) {
            micros = micros * 10 + figure;
        }
        rest = &after[digits..];
    }
    let offset = match rest {
        b"Z" | b"z" => 0,
        [sign @ (b'+' | b'-'), zone @ ..] if zone.len() == 5 && zone[2] == b':' => {
            let (hours, minutes) = (two(zone, 0)?, two(zone, 3)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let seconds = (hours * 60 + minutes) * 60;
            if *sign == b'-' { -seconds } else { seconds }
        }
        _ => return None,
    };
    let seconds =
        days(year, month, day) * SECONDS_A_DAY + (hour * 60 + minute) * 60 + second - offset;
    if second == 60 {
        // A leap second is the last second of a UTC day. Like PostgreSQL, take it for the first second of the next day.
        if seconds.rem_euclid(SECONDS_A_DAY) != 0 {
            return None;
        }
        micros = 0;
    }
    Some(seconds * MICROS_A_SECOND + micros)
}

/// Unambiguous spellings that RFC 3339 does not have: offsets without a colon, times without seconds, …
fn odd(text: &str, zone: Option<&TimeZone>) -> Result<i64, &'static str> {
    if let Ok(at) = text.parse::<Timestamp>() {
        // jiff would read any second 60 as 59; real leap seconds have been read before.
        return if text.contains(":60") {
            Err("text that is no such time")
        } else {
            Ok(micros(at))
        };
    }
    match text.parse::<civil::DateTime>() {
        Err(_) => Err("text that is no such time"),
        Ok(_) if text.contains(":60") => Err("text that is no such time"),
        Ok(local) => match zone {
            None => Err(NAIVE),
            Some(zone) => in_zone(local, zone),
        },
    }
}

/// Reads by a strptime format.
fn strptime(format: &str, zone: Option<&TimeZone>, text: &str) -> Result<i64, &'static str> {
    let wrong = |_| "text that is no such time";
    let parts = BrokenDownTime::parse(format, text.as_bytes()).map_err(wrong)?;
    if let Some(zone) = zone {
        return in_zone(parts.to_datetime().map_err(wrong)?, zone);
    }
    let at = parts
        .to_timestamp()
        .or_else(|_| parts.to_zoned().map(|zoned| zoned.timestamp()))
        .map_err(wrong)?;
    Ok(micros(at))
}

/// A local time as a moment: the earlier of two if the clocks go back, moved on by the gap if they go forward (RFC 5545).
fn in_zone(local: civil::DateTime, zone: &TimeZone) -> Result<i64, &'static str> {
    zone.to_timestamp(local)
        .map(micros)
        .map_err(|_| OUT_OF_RANGE)
}

/// Whole microseconds, cut towards the past.
fn micros(at: Timestamp) -> i64 {
    i64::try_from(at.as_nanosecond().div_euclid(1_000)).unwrap_or(i64::MAX)
}

fn in_range(at: i64) -> Result<i64, &'static str> {
    if (FIRST..=LAST).contains(&at) {
        Ok(at)
    } else {
        Err(OUT_OF_RANGE)
    }
}

/// `YYYY-MM-DD` at the head of the bytes, a real date of the years 1 to 9999.
fn ymd(bytes: &[u8]) -> Option<(i64, i64, i64)> {
    if bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let year = two(bytes, 0)? * 100 + two(bytes, 2)?;
    let (month, day) = (two(bytes, 5)?, two(bytes, 8)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    (year >= 1 && (1..=length).contains(&day)).then_some((year, month, day))
}

/// Two digits as a number.
fn two(bytes: &[u8], at: usize) -> Option<i64> {
    let (tens, ones) = (
        bytes[at].wrapping_sub(b'0'),
        bytes[at + 1].wrapping_sub(b'0'),
    );
    (tens < 10 && ones < 10).then(|| i64::from(tens * 10 + ones))
}

/// Days from 1970-01-01 to a date of the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // Years are counted from March, so that the leap day is the last of its year.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let before_month = (153 * month + 2) / 5;
    let before_year = year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    // 719,468 days lie between March of year 0 and 1970.
    before_year + before_month + day - 1 - 719_468
}
