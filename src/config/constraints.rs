//! Types, limits and defaults of one field: reads them in `fields` and in a schema, and checks that they fit together.

use jiff::Timestamp;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use regex::Regex;
use rust_decimal::Decimal;

use super::plan::{Field, Kind};
use super::reader::{Section, parse_flag};

/// Formats of times that are numbers.
pub(super) const EPOCH_FORMATS: [&str; 2] = ["epoch_seconds", "epoch_milliseconds"];

/// The type a key names.
pub(super) fn kind(section: &Section<'_>, key: &str) -> Option<Kind> {
    section.choice(
        key,
        &[
            ("string", Kind::String),
            ("integer", Kind::Integer),
            ("decimal", Kind::Decimal),
            // Files in the plain convention use this name.
            ("number", Kind::Decimal),
            ("boolean", Kind::Boolean),
            ("date", Kind::Date),
            ("datetime", Kind::DateTime),
            ("email", Kind::Email),
            ("uuid", Kind::Uuid),
            ("json", Kind::Json),
        ],
    )
}

/// The limits that one place of the file gives to a field.
#[derive(Default)]
pub(super) struct Limits {
    max_length: Option<usize>,
    min: Option<Decimal>,
    max: Option<Decimal>,
    pattern: Option<String>,
    one_of: Vec<String>,
}

impl Limits {
    pub const KEYS: [&str; 5] = ["min", "max", "max_length", "pattern", "one_of"];

    /// Adds the limits to a field. It is a mistake if two places of the file give different values for one limit.
    pub fn merge(self, field: &mut Field, section: &Section<'_>) {
        fn one<T: PartialEq>(
            section: &Section<'_>,
            key: &str,
            target: &mut Option<T>,
            limit: Option<T>,
        ) {
            if let Some(limit) = limit {
                match target {
                    Some(before) if *before != limit => {
                        section.wrong(
                            key,
                            format!("another `{key}` stands where the field is mapped"),
                            "keep it in one place only",
                        );
                    }
                    _ => *target = Some(limit),
                }
            }
        }
        one(section, "min", &mut field.min, self.min);
        one(section, "max", &mut field.max, self.max);
        one(
            section,
            "max_length",
            &mut field.max_length,
            self.max_length,
        );
        one(section, "pattern", &mut field.pattern, self.pattern);
        if !self.one_of.is_empty() {
            if field.one_of.is_empty() {
                field.one_of = self.one_of;
            } else if field.one_of != self.one_of {
                section.wrong(
                    "one_of",
                    "another `one_of` stands where the field is mapped",
                    "keep it in one place only",
                );
            }
        }
    }
}

/// Reads the limits of one field.
pub(super) fn limits(section: &Section<'_>) -> Limits {
    let bound =
        |key: &str| section.parse(key, "a number", |text| Decimal::from_str_exact(text).ok());
    let (min, max) = (bound("min"), bound("max"));
    if let (Some(min), Some(max)) = (min, max)
        && min > max
    {
        section.wrong(
            "min",
            "`min` is greater than `max`",
            "no value could ever pass",
        );
    }
    let pattern = section.parse(
        "pattern",
        "a regular expression (syntax of the Rust crate regex)",
        |text| {
            Regex::new(&format!("^(?:{text})$"))
                .is_ok()
                .then(|| text.to_owned())
        },
    );
    let one_of: Vec<String> = section
        .values("one_of")
        .into_iter()
        .map(|value| value.text)
        .collect();
    if section.entry("one_of").is_some() && section.items("one_of").is_empty() {
        section.wrong(
            "one_of",
            "an empty list allows no value at all",
            "list the values, or leave the key out",
        );
    }
    Limits {
        max_length: section.number("max_length", 1..=10_000_000),
        min,
        max,
        pattern,
        one_of,
    }
}

/// Reports limits that have no meaning for the field's type.
pub(super) fn check_fit(field: &Field, wrong: &dyn Fn(&str, &str)) {
    let name = &field.name;
    let text = matches!(field.kind, Kind::String | Kind::Email);
    let number = matches!(field.kind, Kind::Integer | Kind::Decimal);
    if !number && (field.min.is_some() || field.max.is_some()) {
        wrong(
            &format!("`min` and `max` are for numbers, and `{name}` is none"),
            "say `type: integer` or `type: decimal`",
        );
    }
    if !text {
        for (key, is_set) in [
            ("max_length", field.max_length.is_some()),
            ("pattern", field.pattern.is_some()),
            ("one_of", !field.one_of.is_empty()),
            ("trim", field.trim),
        ] {
            if is_set {
                wrong(
                    &format!("`{key}` is for text, and `{name}` is none"),
                    "say `type: string`, or leave it out",
                );
            }
        }
    }
    check_times(field, wrong);
}

fn check_times(field: &Field, wrong: &dyn Fn(&str, &str)) {
    let name = &field.name;
    if let Some(timezone) = &field.timezone {
        if field.kind != Kind::DateTime {
            wrong(
                &format!("`timezone` is for datetimes, and `{name}` is none"),
                "say `type: datetime`, or leave it out",
            );
        } else if TimeZone::get(timezone).is_err() {
            wrong(
                &format!("unknown time zone for `{name}`"),
                "write a name of the IANA database, such as `Europe/Berlin` or `UTC`",
            );
        } else if field.format.is_none() {
            wrong(
                &format!(
                    "`timezone` of `{name}` has no effect: without `format` times are RFC 3339, with an offset"
                ),
                "add `format`, such as `%Y-%m-%d %H:%M:%S`",
            );
        }
    }
    let Some(format) = &field.format else { return };
    if !matches!(field.kind, Kind::Date | Kind::DateTime) {
        wrong(
            &format!("`format` is for dates and times, and `{name}` is none"),
            "say `type: date` or `type: datetime`",
        );
    } else if EPOCH_FORMATS.contains(&format.as_str()) {
        if field.kind == Kind::Date {
            wrong(
                &format!("an epoch is a moment, and `{name}` is a date"),
                "say `type: datetime`",
            );
        }
        if field.timezone.is_some() {
            wrong(
                &format!("`timezone` of `{name}` has no effect on an epoch"),
                "leave it out",
            );
        }
    } else {
        match describes(format, field.kind) {
            Described::Nothing => wrong(
                &format!(
                    "the `format` of `{name}` does not describe a whole {}",
                    if field.kind == Kind::Date {
                        "date"
                    } else {
                        "date and time"
                    }
                ),
                "use strptime's letters, such as `%Y-%m-%d` or `%d.%m.%Y %H:%M:%S`, or epoch_seconds or epoch_milliseconds",
            ),
            Described::Naive if field.kind == Kind::DateTime && field.timezone.is_none() => wrong(
                &format!("the `format` of `{name}` has no offset, so its times are ambiguous"),
                "add `timezone`, such as `timezone: Europe/Berlin`",
            ),
            Described::Naive | Described::Moment => {}
        }
    }
}

enum Described {
    Nothing,
    /// A date, or a date and time, without an offset.
    Naive,
    Moment,
}

/// Finds out what a format describes: writes a time with it and reads the text back.
fn describes(format: &str, kind: Kind) -> Described {
    let moment = Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC);
    let Ok(written) = strtime::format(format, &moment) else {
        return Described::Nothing;
    };
    let Ok(read) = strtime::parse(format, &written) else {
        return Described::Nothing;
    };
    match kind {
        Kind::Date if read.to_date().is_ok() => Described::Naive,
        Kind::Date => Described::Nothing,
        _ if read.to_timestamp().is_ok() => Described::Moment,
        _ if read.to_datetime().is_ok() && read.hour().is_some() => Described::Naive,
        _ => Described::Nothing,
    }
}

/// The default as JSON text, if it is a valid value of the field.
pub(super) fn check_default(
    field: &Field,
    text: &str,
    plain: bool,
    wrong: &dyn Fn(&str, &str),
) -> Option<String> {
    let quoted = || serde_json::Value::from(text).to_string();
    let json = match field.kind {
        Kind::Integer => text.parse::<i64>().ok().map(|number| number.to_string()),
        Kind::Decimal => Decimal::from_str_exact(text)
            .ok()
            .map(|number| number.to_string()),
        Kind::Boolean => parse_flag(text).map(|flag| flag.to_string()),
        Kind::Json if plain => serde_json::from_str::<&serde_json::value::RawValue>(text)
            .map_or_else(|_| Some(quoted()), |json| Some(json.get().to_owned())),
        // For times that are numbers the default is a number, too, as the source writes it.
        Kind::DateTime
            if field
                .format
                .as_deref()
                .is_some_and(|format| EPOCH_FORMATS.contains(&format)) =>
        {
            text.parse::<i64>().ok().map(|number| number.to_string())
        }
        _ if text.trim().is_empty() => None,
        Kind::String
            if !field.one_of.is_empty() && !field.one_of.iter().any(|value| value == text) =>
        {
            None
        }
        _ => Some(quoted()),
    };
    if json.is_none() {
        wrong(
            &format!("the default of `{}` is no value it could have", field.name),
            "write one of its type, or leave it out",
        );
    }
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_tried() {
        let cases = [
            ("%Y-%m-%d", Kind::Date, "naive"),
            ("%Y-%m", Kind::Date, "nothing"),
            ("%d.%m.%Y %H:%M:%S", Kind::DateTime, "naive"),
            ("%Y-%m-%dT%H:%M:%S%:z", Kind::DateTime, "moment"),
            ("%Y-%m-%d", Kind::DateTime, "nothing"),
            ("%H:%M", Kind::DateTime, "nothing"),
            ("plain", Kind::DateTime, "nothing"),
            ("%", Kind::DateTime, "nothing"),
        ];
        for (format, kind, expected) in cases {
            let found = match describes(format, kind) {
                Described::Nothing => "nothing",
                Described::Naive => "naive",
                Described::Moment => "moment",
            };
            assert_eq!(found, expected, "{format}");
        }
    }
}
