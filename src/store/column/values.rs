//! The value that a cell has for a column of another type: a whole number, the nearest binary number, a truth.

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;

use super::Unfit;
use crate::model::record::Cell;

pub(super) fn whole(cell: &Cell<'_>) -> Result<i64, Unfit> {
    match cell {
        Cell::Integer(value) => Ok(*value),
        Cell::Decimal(value) if value.fract().is_zero() => {
            value.trunc().to_i64().ok_or_else(Unfit::out_of_range)
        }
        Cell::Decimal(_) => Err(Unfit::new("a number with a fraction")),
        Cell::Boolean(value) => Ok(i64::from(*value)),
        Cell::Text(text) => {
            let digits = text.trim_matches(is_space);
            digits.parse().map_err(|error: std::num::ParseIntError| {
                use std::num::IntErrorKind::{NegOverflow, PosOverflow};
                match error.kind() {
                    NegOverflow | PosOverflow => Unfit::out_of_range(),
                    _ => Unfit::new("text that is no whole number"),
                }
            })
        }
        _ => Err(Unfit::other_type()),
    }
}

pub(super) fn exact(cell: &Cell<'_>) -> Result<Decimal, Unfit> {
    match cell {
        Cell::Integer(value) => Ok(Decimal::from(*value)),
        Cell::Decimal(value) => Ok(*value),
        _ => Err(Unfit::other_type()),
    }
}

/// The nearest double. Powers of ten up to 22 and whole numbers up to 53 bits are exact, hence their quotient is the
/// nearest; anything else goes by way of its digits.
#[allow(clippy::cast_precision_loss)]
pub(super) fn double(value: Decimal) -> f64 {
    let mantissa = value.mantissa();
    if mantissa.unsigned_abs() < 1 << f64::MANTISSA_DIGITS && value.scale() <= 22 {
        // No negative zero: numbers have none.
        return mantissa as f64 / 10_f64.powi(value.scale().cast_signed());
    }
    value.to_string().parse().unwrap_or_default()
}

/// The nearest single, as above.
#[allow(clippy::cast_precision_loss)]
pub(super) fn real(value: Decimal) -> f32 {
    let mantissa = value.mantissa();
    if mantissa.unsigned_abs() < 1 << f32::MANTISSA_DIGITS && value.scale() <= 10 {
        return mantissa as f32 / 10_f32.powi(value.scale().cast_signed());
    }
    value.to_string().parse().unwrap_or_default()
}

/// Text as PostgreSQL reads a boolean: any beginning of the words, in any case.
pub(super) fn truth(cell: &Cell<'_>) -> Result<bool, Unfit> {
    let text = match cell {
        Cell::Boolean(value) => return Ok(*value),
        Cell::Text(text) => text.trim_matches(is_space).to_ascii_lowercase(),
        _ => return Err(Unfit::other_type()),
    };
    let begins = |word: &str| !text.is_empty() && word.starts_with(&text);
    match text.as_str() {
        "on" | "1" => Ok(true),
        "of" | "off" | "0" => Ok(false),
        _ if begins("true") || begins("yes") => Ok(true),
        _ if begins("false") || begins("no") => Ok(false),
        _ => Err(Unfit::new("text that is no boolean")),
    }
}

pub(super) fn uuid(cell: &Cell<'_>) -> Result<[u8; 16], Unfit> {
    match cell {
        Cell::Uuid(bytes) => Ok(*bytes),
        Cell::Text(text) => uuid::Uuid::try_parse(text)
            .map(uuid::Uuid::into_bytes)
            .map_err(|_| Unfit::new("text that is no UUID")),
        _ => Err(Unfit::other_type()),
    }
}

/// White space as PostgreSQL skips it around a value.
const fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binary_numbers_are_the_nearest_ones() {
        for text in [
            "0.1",
            "79.5",
            "-0.3",
            "123456789.123456789",
            "0.0000000000000000000000000001",
            "79228162514264337593543950335",
            "9007199254740993",
        ] {
            let value: Decimal = text.parse().unwrap_or_default();
            assert_eq!(Ok(double(value)), text.parse(), "{text}");
            assert_eq!(Ok(real(value)), text.parse(), "{text}");
        }
        assert!(double("-0.0".parse().unwrap_or_default()).is_sign_positive());
    }
}
