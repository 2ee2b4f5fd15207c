//! Dates and times as FEEL writes them.
//!
//! Owns parsing, printing and the order of temporal values. A time or date-and-time without a zone is taken as UTC when
//! it is compared with one that has a zone, since records carry UTC. The standard calls them not comparable.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use jiff::civil;
use jiff::tz::TimeZone;

/// Nanoseconds of a second.
pub(super) const NANOS_PER_SECOND: i128 = 1_000_000_000;
/// Nanoseconds of a day.
pub(super) const NANOS_PER_DAY: i128 = 86_400 * NANOS_PER_SECOND;

/// The time zone of a time.
#[derive(Clone, Debug, PartialEq)]
pub enum Zone {
    /// None was written.
    Local,
    /// Seconds east of UTC.
    Offset(i32),
    /// An IANA zone, with the name it was written with.
    Named(TimeZone, Arc<str>),
}

/// A time of day.
#[derive(Clone, Debug, PartialEq)]
pub struct Time {
    /// The clock's reading.
    pub clock: civil::Time,
    /// Its zone.
    pub zone: Zone,
}

/// A date and a time of day.
#[derive(Clone, Debug, PartialEq)]
pub struct DateTime {
    /// Calendar and clock.
    pub local: civil::DateTime,
    /// Its zone.
    pub zone: Zone,
}

impl Zone {
    /// Seconds east of UTC at that local time; 0 when none was written.
    fn offset_at(&self, local: civil::DateTime) -> i32 {
        match self {
            Self::Local => 0,
            Self::Offset(seconds) => *seconds,
            Self::Named(zone, _) => zone
                .to_ambiguous_zoned(local)
                .compatible()
                .map_or(0, |zoned| zoned.offset().seconds()),
        }
    }

    /// Seconds east of UTC on that date; none without a zone.
    pub fn offset(&self, on: civil::Date) -> Option<i32> {
        match self {
            Self::Local => None,
            other => Some(other.offset_at(on.to_datetime(civil::Time::midnight()))),
        }
    }

    /// The zone's name, when it has one.
    pub fn name(&self) -> Option<&Arc<str>> {
        match self {
            Self::Named(_, name) => Some(name),
            _ => None,
        }
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => Ok(()),
            Self::Offset(0) => f.write_str("Z"),
            Self::Offset(seconds) => {
                let sign = if *seconds < 0 { '-' } else { '+' };
                let abs = seconds.unsigned_abs();
                write!(f, "{sign}{:02}:{:02}", abs / 3600, abs / 60 % 60)?;
                if abs % 60 != 0 {
                    write!(f, ":{:02}", abs % 60)?;
                }
                Ok(())
            }
            Self::Named(_, name) => write!(f, "@{name}"),
        }
    }
}

impl Time {
    /// Nanoseconds since midnight UTC (may be negative or over a day).
    fn instant(&self) -> i128 {
        let offset = match &self.zone {
            Zone::Local => 0,
            zone => zone.offset_at(civil::date(1970, 1, 1).to_datetime(self.clock)),
        };
        nanos_of_clock(self.clock) - i128::from(offset) * NANOS_PER_SECOND
    }

    /// Which is earlier.
    pub fn order(&self, other: &Self) -> Option<Ordering> {
        Some(self.instant().cmp(&other.instant()))
    }

    /// Later by that many nanoseconds, around midnight.
    #[must_use]
    pub fn plus(&self, nanos: i128) -> Self {
        let sum = (nanos_of_clock(self.clock) + nanos % NANOS_PER_DAY).rem_euclid(NANOS_PER_DAY);
        Self {
            clock: clock_of_nanos(sum),
            zone: self.zone.clone(),
        }
    }

    /// Nanoseconds from the other time to this one.
    pub fn minus(&self, other: &Self) -> i128 {
        self.instant() - other.instant()
    }
}

impl DateTime {
    /// Microseconds since the epoch, in UTC.
    pub fn of_micros(micros: i64) -> Option<Self> {
        let timestamp = jiff::Timestamp::from_microsecond(micros).ok()?;
        Some(Self {
            local: jiff::tz::Offset::UTC.to_datetime(timestamp),
            zone: Zone::Offset(0),
        })
    }

    /// Nanoseconds since the epoch.
    pub fn instant(&self) -> i128 {
        let days = i128::from(days_of_date(self.local.date()));
        days * NANOS_PER_DAY + nanos_of_clock(self.local.time())
            - i128::from(self.zone.offset_at(self.local)) * NANOS_PER_SECOND
    }

    /// Which is earlier.
    pub fn order(&self, other: &Self) -> Option<Ordering> {
        Some(self.instant().cmp(&other.instant()))
    }

    /// Later by that many nanoseconds.
    pub fn plus(&self, nanos: i128) -> Option<Self> {
        let at = i128::from(days_of_date(self.local.date())) * NANOS_PER_DAY
            + nanos_of_clock(self.local.time());
        let sum = at.checked_add(nanos)?;
        let days = i32::try_from(sum.div_euclid(NANOS_PER_DAY)).ok()?;
        Some(Self {
            local: date_of_days(days)?.to_datetime(clock_of_nanos(sum.rem_euclid(NANOS_PER_DAY))),
            zone: self.zone.clone(),
        })
    }

    /// The same instant, as read in another zone.
    pub fn in_zone(&self, zone: Zone) -> Option<Self> {
        let timestamp = jiff::Timestamp::from_nanosecond(self.instant()).ok()?;
        let local = match &zone {
            Zone::Local => self.local,
            Zone::Offset(seconds) => jiff::tz::Offset::from_seconds(*seconds)
                .ok()?
                .to_datetime(timestamp),
            Zone::Named(name, _) => name.to_datetime(timestamp),
        };
        Some(Self { local, zone })
    }

    /// Later by that many months; the day is clamped to the month's last.
    pub fn plus_months(&self, months: i64) -> Option<Self> {
        Some(Self {
            local: plus_months(self.local.date(), months)?.to_datetime(self.local.time()),
            zone: self.zone.clone(),
        })
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", clock_text(self.clock), self.zone)
    }
}

impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}T{}{}",
            date_text(self.local.date()),
            clock_text(self.local.time()),
            self.zone
        )
    }
}

/// Days since 1970-01-01.
pub fn days_of_date(date: civil::Date) -> i32 {
    const EPOCH: civil::Date = civil::date(1970, 1, 1);
    (date - EPOCH).get_days()
}

/// The date that many days after 1970-01-01, unless out of range.
pub fn date_of_days(days: i32) -> Option<civil::Date> {
    use jiff::ToSpan;
    civil::date(1970, 1, 1)
        // Spans refuse more days than the calendar has.
        .checked_add((days.abs_diff(0) < 7_304_484).then(|| i64::from(days).days())?)
        .ok()
}

/// Later by that many months; the day is clamped to the month's last.
pub fn plus_months(date: civil::Date, months: i64) -> Option<civil::Date> {
    let count = i64::from(date.year()) * 12 + i64::from(date.month()) - 1;
    let count = count.checked_add(months)?;
    let year = i16::try_from(count.div_euclid(12)).ok()?;
    let month = i8::try_from(count.rem_euclid(12) + 1).ok()?;
    let first = civil::Date::new(year, month, 1).ok()?;
    civil::Date::new(year, month, date.day().min(first.days_in_month())).ok()
}

fn nanos_of_clock(clock: civil::Time) -> i128 {
    let seconds = i128::from(clock.hour()) * 3600
        + i128::from(clock.minute()) * 60
        + i128::from(clock.second());
    seconds * NANOS_PER_SECOND + i128::from(clock.subsec_nanosecond())
}

/// The clock that many nanoseconds after midnight; less than a day.
pub fn clock_of_nanos(nanos: i128) -> civil::Time {
    let part = |value: i128| i8::try_from(value).unwrap_or(0);
    let seconds = nanos / NANOS_PER_SECOND;
    civil::Time::new(
        part(seconds / 3600),
        part(seconds / 60 % 60),
        part(seconds % 60),
        i32::try_from(nanos % NANOS_PER_SECOND).unwrap_or(0),
    )
    .unwrap_or(civil::Time::MIN)
}

/// `2026-11-22`
pub fn date_text(date: civil::Date) -> String {
    if date.year() < 0 {
        format!("-{:04}-{:02}-{:02}", -date.year(), date.month(), date.day())
    } else {
        format!("{:04}-{:02}-{:02}", date.year(), date.month(), date.day())
    }
}

fn clock_text(clock: civil::Time) -> String {
    let mut text = format!(
        "{:02}:{:02}:{:02}",
        clock.hour(),
        clock.minute(),
        clock.second()
    );
    if clock.subsec_nanosecond() != 0 {
        let fraction = format!(".{:09}", clock.subsec_nanosecond());
        text.push_str(fraction.trim_end_matches('0'));
    }
    text
}

/// `yyyy-mm-dd`, strictly.
pub fn parse_date(text: &str) -> Option<civil::Date> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut parts = digits.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    // A year of more than four digits has no leading zero.
    if parts.next().is_some() || year.len() < 4 || (year.len() > 4 && year.starts_with('0')) {
        return None;
    }
    let year = i16::try_from(number(year, year.len())?).ok()?;
    civil::Date::new(
        if negative { -year } else { year },
        i8::try_from(number(month, 2)?).ok()?,
        i8::try_from(number(day, 2)?).ok()?,
    )
    .ok()
}

/// `hh:mm:ss[.fraction][Z|±hh:mm[:ss]|@Area/City]`, strictly.
pub fn parse_time(text: &str) -> Option<Time> {
    let end = text.find(['Z', 'z', '+', '-', '@']).unwrap_or(text.len());
    let (clock, zone) = text.split_at(end);
    Some(Time {
        clock: parse_clock(clock)?,
        zone: parse_zone(zone)?,
    })
}

/// A date, `T`, and a time; a date alone is midnight.
pub fn parse_date_time(text: &str) -> Option<DateTime> {
    let Some((date, time)) = text.split_once('T') else {
        return Some(DateTime {
            local: parse_date(text)?.to_datetime(civil::Time::midnight()),
            zone: Zone::Local,
        });
    };
    let date = parse_date(date)?;
    // ISO 8601 may call the end of a day 24:00:00.
    if let Some(zone) = time.strip_prefix("24:00:00") {
        return Some(DateTime {
            local: date.tomorrow().ok()?.to_datetime(civil::Time::midnight()),
            zone: parse_zone(zone)?,
        });
    }
    let time = parse_time(time)?;
    Some(DateTime {
        local: date.to_datetime(time.clock),
        zone: time.zone,
    })
}

fn parse_clock(text: &str) -> Option<civil::Time> {
    let (clock, fraction) = match text.split_once('.') {
        Some((clock, fraction)) => (clock, Some(fraction)),
        None => (text, None),
    };
    let mut parts = clock.split(':');
    let (hour, minute, second) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let nanos = match fraction {
        None => 0,
        Some(digits) if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) => {
            return None;
        }
        Some(digits) => {
            let padded: String = digits.chars().chain("000000000".chars()).take(9).collect();
            padded.parse().ok()?
        }
    };
    civil::Time::new(
        i8::try_from(number(hour, 2)?).ok()?,
        i8::try_from(number(minute, 2)?).ok()?,
        i8::try_from(number(second, 2)?).ok()?,
        nanos,
    )
    .ok()
}

fn parse_zone(text: &str) -> Option<Zone> {
    match text.as_bytes() {
        [] => Some(Zone::Local),
        [b'Z' | b'z'] => Some(Zone::Offset(0)),
        [b'@', ..] => named_zone(&text[1..]),
        [sign @ (b'+' | b'-'), ..] => {
            let mut parts = text[1..].split(':');
            let hours = number(parts.next()?, 2)?;
            let minutes = number(parts.next()?, 2)?;
            let seconds = parts.next().map_or(Some(0), |part| number(part, 2))?;
            if parts.next().is_some() || hours > 14 || minutes > 59 || seconds > 59 {
                return None;
            }
            let total = i32::try_from(hours * 3600 + minutes * 60 + seconds).ok()?;
            Some(Zone::Offset(if *sign == b'-' { -total } else { total }))
        }
        _ => None,
    }
}

/// A zone of the IANA database.
pub fn named_zone(name: &str) -> Option<Zone> {
    if matches!(name, "Etc/UTC" | "UTC") {
        return Some(Zone::Named(TimeZone::UTC, Arc::from(name)));
    }
    TimeZone::get(name)
        .ok()
        .map(|zone| Zone::Named(zone, Arc::from(name)))
}

/// A whole number written with exactly so many digits.
pub(super) fn number(text: &str, width: usize) -> Option<i64> {
    if text.len() != width || text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}
