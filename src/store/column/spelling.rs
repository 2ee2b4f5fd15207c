//! Values that are no text as the text that PostgreSQL makes of them, whatever the settings of the session: what a
//! column of text gets. Times are in UTC, or in the time zone of their field.

use std::borrow::Cow;
use std::fmt::Write as _;

use jiff::civil::Date;
use jiff::tz::{Offset, TimeZone};
use jiff::{Span, Timestamp};

use crate::model::record::Cell;

const MICROS_A_SECOND: i64 = 1_000_000;

/// None for text and for what lies outside the years 1 to 9999.
pub(super) fn spelled(cell: &Cell<'_>, zone: &TimeZone) -> Option<Cow<'static, str>> {
    Some(match cell {
        Cell::Null | Cell::Text(_) | Cell::Json(_) => return None,
        Cell::Integer(value) => Cow::Owned(value.to_string()),
        Cell::Decimal(value) => Cow::Owned(value.to_string()),
        Cell::Boolean(true) => Cow::Borrowed("true"),
        Cell::Boolean(false) => Cow::Borrowed("false"),
        Cell::Uuid(bytes) => Cow::Owned(uuid::Uuid::from_bytes(*bytes).hyphenated().to_string()),
        Cell::Date(days) => {
            let date = Date::constant(1970, 1, 1)
                .checked_add(Span::new().try_days(*days).ok()?)
                .ok()
                .filter(|date| date.year() >= 1)?;
            Cow::Owned(date.to_string())
        }
        Cell::DateTime(micros) => {
            let at = Timestamp::from_microsecond(*micros).ok()?;
            let offset = zone.to_offset(at);
            let local = offset.to_datetime(at);
            if local.year() < 1 {
                return None;
            }
            let mut text = format!(
                "{} {:02}:{:02}:{:02}",
                local.date(),
                local.hour(),
                local.minute(),
                local.second()
            );
            let fraction = micros.rem_euclid(MICROS_A_SECOND);
            if fraction > 0 {
                let digits = format!(".{fraction:06}");
                text += digits.trim_end_matches('0');
            }
            put_offset(&mut text, offset);
            Cow::Owned(text)
        }
    })
}

/// `+00`, `+05:30`, and seconds where there are any.
fn put_offset(text: &mut String, offset: Offset) {
    let seconds = offset.seconds();
    let (sign, size) = (if seconds < 0 { '-' } else { '+' }, seconds.unsigned_abs());
    let (hours, minutes, seconds) = (size / 3_600, size / 60 % 60, size % 60);
    let written = match (minutes, seconds) {
        (0, 0) => write!(text, "{sign}{hours:02}"),
        (_, 0) => write!(text, "{sign}{hours:02}:{minutes:02}"),
        _ => write!(text, "{sign}{hours:02}:{minutes:02}:{seconds:02}"),
    };
    written.unwrap_or_default();
}

/// What a clock in the zone shows, as microseconds since 1970-01-01T00:00:00 of that clock.
pub(super) fn wall_clock(micros: i64, zone: &TimeZone) -> i64 {
    if *zone == TimeZone::UTC {
        return micros;
    }
    let offset = Timestamp::from_microsecond(micros).map_or(0, |at| zone.to_offset(at).seconds());
    micros.saturating_add(i64::from(offset) * MICROS_A_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spell(cell: &Cell<'_>, zone: &str) -> String {
        let zone = TimeZone::get(zone).unwrap_or(TimeZone::UTC);
        spelled(cell, &zone).unwrap_or_default().into_owned()
    }

    #[test]
    fn times_are_spelled_as_postgresql_spells_them() {
        let summer = Cell::DateTime(1_750_000_000_500_000);
        assert_eq!(spell(&summer, "UTC"), "2025-06-15 15:06:40.5+00");
        assert_eq!(spell(&summer, "Europe/Berlin"), "2025-06-15 17:06:40.5+02");
        assert_eq!(
            spell(&summer, "Asia/Kolkata"),
            "2025-06-15 20:36:40.5+05:30"
        );
        assert_eq!(spell(&Cell::Date(-1), "UTC"), "1969-12-31");
        assert_eq!(
            spell(&Cell::DateTime(-1), "UTC"),
            "1969-12-31 23:59:59.999999+00"
        );
    }

    #[test]
    fn the_wall_clock_of_a_zone_follows_its_summer_time() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap_or(TimeZone::UTC);
        assert_eq!(
            wall_clock(1_750_000_000_000_000, &berlin),
            1_750_007_200_000_000
        );
        assert_eq!(
            wall_clock(1_735_689_600_000_000, &berlin),
            1_735_693_200_000_000
        );
    }
}
