//! How the values of one field are written into one column: the form they travel in, and the field error for what does
//! not fit.
//!
//! Owns which pairs of field type and column type are encoded directly, and what a column bounds (length, digits, range,
//! labels). A pair without a direct form travels by the field's type alone and PostgreSQL converts it. Must not know a
//! statement, or where the description of the column comes from.

mod spelling;
mod values;

use std::borrow::Cow;
use std::sync::Arc;

use jiff::tz::TimeZone;
use rust_decimal::{Decimal, RoundingStrategy};

use values::{double, exact, real, truth, uuid, whole};

use super::encode::{self, DATE_RANGE, TIMESTAMP_RANGE, Wire};
use crate::config::plan::Kind;
use crate::model::record::{Cell, FieldError};

const MICROS_A_DAY: i64 = 86_400_000_000;
/// Labels of an enum that a message lists.
const LISTED_LABELS: usize = 20;
/// What a `name` holds, bytes.
const NAME_BYTES: usize = 63;
/// What PostgreSQL adds to a length or precision before it stores it as a type's modifier.
const MODIFIER_BASE: i32 = 4;

/// The type of a column as the catalogue has it, below any domain.
#[derive(Clone, Debug)]
pub(crate) struct ColumnType {
    /// Its name in `pg_type`: `int4`, `varchar`.
    pub(crate) name: String,
    /// It is PostgreSQL's own, not an extension's or a user's.
    pub(crate) native: bool,
    /// A type of text, by its category: citext is one too.
    pub(crate) is_text: bool,
    /// The modifier (length, precision); −1 for none.
    pub(crate) modifier: i32,
    /// The labels of an enum; empty for any other type.
    pub(crate) labels: Arc<[String]>,
    /// As PostgreSQL prints it, the domain's name where it is one.
    pub(crate) shown: String,
}

impl ColumnType {
    /// The longest text it holds, characters.
    pub(crate) fn max_characters(&self) -> Option<usize> {
        (matches!(self.name.as_str(), "varchar" | "bpchar") && self.modifier > MODIFIER_BASE)
            .then(|| usize::try_from(self.modifier - MODIFIER_BASE).unwrap_or(usize::MAX))
    }

    /// Precision and scale of a `numeric` that has them. A scale that our decimals cannot have is left to PostgreSQL.
    fn digits(&self) -> Option<(u32, u32)> {
        if self.name != "numeric" || self.modifier < MODIFIER_BASE {
            return None;
        }
        let packed = (self.modifier - MODIFIER_BASE).cast_unsigned();
        // Eleven bits, signed since PostgreSQL 15.
        let scale = packed & 0x7ff;
        (scale <= 28).then_some((packed >> 16, scale))
    }

    /// The unit that times are rounded to, microseconds.
    fn unit(&self) -> i64 {
        match u32::try_from(self.modifier) {
            Ok(places @ 0..=5) => 10_i64.pow(6 - places),
            _ => 1,
        }
    }
}

/// Writes the values of one field for one column.
#[derive(Clone, Debug)]
pub(crate) struct Encoder {
    pub(crate) wire: Wire,
    usual: Usual,
    bound: Bound,
    /// The day and the wall clock that a time has where the column has no time zone.
    zone: TimeZone,
    /// The column and its type, for messages; empty while the table is not known.
    column: String,
}

/// The values that a column takes as they are, which nearly all values are.
#[derive(Clone, Copy, Debug)]
enum Usual {
    /// Texts shorter than so many bytes.
    Text(usize),
    Boolean,
    Decimal,
    Time,
    /// Each value has to be looked at.
    None,
}

impl Usual {
    fn of(wire: Wire, bound: &Bound) -> Self {
        match (wire, bound) {
            (Wire::Text, Bound::None) => Self::Text(encode::MOST_BYTES),
            // No text has more characters than bytes.
            (Wire::Text, Bound::Characters(most) | Bound::Bytes(most)) => {
                Self::Text(most.saturating_add(1).min(encode::MOST_BYTES))
            }
            (Wire::Boolean, _) => Self::Boolean,
            (Wire::Numeric, Bound::None) => Self::Decimal,
            (Wire::Timestamptz, Bound::None | Bound::Unit(1)) => Self::Time,
            _ => Self::None,
        }
    }
}

/// What a column bounds beyond the range of its type.
#[derive(Clone, Debug)]
enum Bound {
    None,
    Characters(usize),
    /// `char(n)`: shorter text is filled up with spaces, as it is stored.
    Padded(usize),
    Bytes(usize),
    Labels(Arc<[String]>),
    /// Precision and scale.
    Digits(u32, u32),
    /// Times are rounded to so many microseconds.
    Unit(i64),
}

/// Why a value does not fit, in the words of a field error. In a box, since it is rare and results are handed on for every
/// value.
#[derive(Debug)]
struct Unfit(Box<Cow<'static, str>>);

impl Unfit {
    #[cold]
    fn new(problem: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(problem.into()))
    }

    #[cold]
    fn other_type() -> Self {
        Self::new("a value of another type")
    }

    #[cold]
    fn out_of_range() -> Self {
        Self::new("a number out of range")
    }

    #[cold]
    fn too_long() -> Self {
        Self::new("a longer text")
    }
}

/// The powers of ten that are greater than some of our decimals.
const POWERS_OF_TEN: [u128; 29] = {
    let mut powers = [1; 29];
    let mut exponent = 1;
    while exponent < powers.len() {
        powers[exponent] = 10 * powers[exponent - 1];
        exponent += 1;
    }
    powers
};

impl Encoder {
    /// For a field alone: the table is not known, or the column's type has no form of its own here.
    pub(crate) fn of(kind: Kind) -> Self {
        Self {
            wire: Wire::of(kind),
            usual: Usual::of(Wire::of(kind), &Bound::None),
            bound: Bound::None,
            zone: TimeZone::UTC,
            column: String::new(),
        }
    }

    /// For a field and its column; and whether the column takes what is written as it is, so that COPY will do.
    pub(crate) fn fitting(
        kind: Kind,
        timezone: Option<&str>,
        column: &str,
        ty: &ColumnType,
    ) -> (Self, bool) {
        let direct = direct(kind, ty);
        let (wire, bound) = direct.clone().unwrap_or((Wire::of(kind), Bound::None));
        let bound = match bound {
            // "char" is no type to copy into, yet PostgreSQL would cut what is longer.
            Bound::None if ty.native && ty.name == "char" && wire == Wire::Text => Bound::Bytes(1),
            bound => bound,
        };
        let zone = timezone
            .and_then(|name| TimeZone::get(name).ok())
            .unwrap_or(TimeZone::UTC);
        let column = format!(" (column {column} is {})", ty.shown);
        let encoder = Self {
            wire,
            usual: Usual::of(wire, &bound),
            bound,
            zone,
            column,
        };
        (encoder, direct.is_some())
    }

    /// Appends one field of a row. `field` names it in the error for what the column cannot hold.
    #[inline]
    pub(crate) fn put(
        &self,
        out: &mut Vec<u8>,
        cell: &Cell<'_>,
        field: &str,
    ) -> Result<(), Box<FieldError>> {
        match (cell, self.usual) {
            (Cell::Null, _) => encode::put_null(out),
            (Cell::Text(text), Usual::Text(limit)) if text.len() < limit => {
                encode::put_short(out, text.as_bytes());
            }
            (Cell::Boolean(value), Usual::Boolean) => {
                encode::put_fixed(out, &[u8::from(*value)]);
            }
            (Cell::Decimal(value), Usual::Decimal) => encode::put_numeric(out, *value, 0),
            (Cell::DateTime(micros), Usual::Time)
                if let Some(micros) = encode::to_postgres_micros(*micros)
                    .filter(|micros| TIMESTAMP_RANGE.contains(micros)) =>
            {
                encode::put_fixed(out, &micros.to_be_bytes());
            }
            _ => return self.put_unusual(out, cell, field),
        }
        Ok(())
    }

    #[inline(never)]
    fn put_unusual(
        &self,
        out: &mut Vec<u8>,
        cell: &Cell<'_>,
        field: &str,
    ) -> Result<(), Box<FieldError>> {
        self.put_value(out, cell)
            .map_err(|problem| self.refusal(field, problem))
    }

    #[cold]
    #[expect(clippy::unnecessary_box_returns, reason = "see Unfit")]
    fn refusal(&self, field: &str, problem: Unfit) -> Box<FieldError> {
        Box::new(FieldError {
            field: Cow::Owned(field.to_owned()),
            expected: Cow::Owned(format!("{}{}", self.expected(), self.column)),
            problem: *problem.0,
        })
    }

    /// Can the column hold this text?
    pub(crate) fn holds(&self, text: &str) -> bool {
        self.put_value(&mut Vec::new(), &Cell::Text(Cow::Borrowed(text)))
            .is_ok()
    }

    fn put_value(&self, out: &mut Vec<u8>, cell: &Cell<'_>) -> Result<(), Unfit> {
        match self.wire {
            Wire::Text => return self.put_text(out, cell),
            Wire::Json | Wire::Jsonb => return self.put_json(out, cell),
            Wire::SmallInt => {
                let value = i16::try_from(whole(cell)?).map_err(|_| Unfit::out_of_range())?;
                encode::put_fixed(out, &value.to_be_bytes());
            }
            Wire::Integer => {
                let value = i32::try_from(whole(cell)?).map_err(|_| Unfit::out_of_range())?;
                encode::put_fixed(out, &value.to_be_bytes());
            }
            Wire::BigInt => encode::put_fixed(out, &whole(cell)?.to_be_bytes()),
            Wire::Numeric => self.put_numeric(out, exact(cell)?)?,
            Wire::Real => encode::put_fixed(out, &real(exact(cell)?).to_be_bytes()),
            Wire::Double => encode::put_fixed(out, &double(exact(cell)?).to_be_bytes()),
            Wire::Boolean => encode::put_fixed(out, &[u8::from(truth(cell)?)]),
            Wire::Uuid => encode::put_fixed(out, &uuid(cell)?),
            Wire::Date => encode::put_fixed(out, &self.date(cell)?.to_be_bytes()),
            Wire::Timestamp | Wire::Timestamptz => {
                encode::put_fixed(out, &self.time(cell)?.to_be_bytes());
            }
        }
        Ok(())
    }

    fn put_text(&self, out: &mut Vec<u8>, cell: &Cell<'_>) -> Result<(), Unfit> {
        let spelled;
        let text: &str = match cell {
            Cell::Text(text) | Cell::Json(text) => text,
            other => {
                spelled = spelling::spelled(other, &self.zone).ok_or_else(Unfit::other_type)?;
                &spelled
            }
        };
        let mut fill = 0;
        match &self.bound {
            // No text has more characters than bytes.
            Bound::Characters(most) if text.len() > *most => {
                let length = text.chars().count();
                if length > *most {
                    return Err(Unfit::new(format!("{length} characters")));
                }
            }
            Bound::Padded(width) => {
                let length = text.chars().count();
                fill = width
                    .checked_sub(length)
                    .ok_or_else(|| Unfit::new(format!("{length} characters")))?;
            }
            Bound::Bytes(most) if text.len() > *most => {
                return Err(Unfit::new(format!("{} bytes", text.len())));
            }
            Bound::Labels(labels) if !labels.iter().any(|label| label == text) => {
                return Err(Unfit::new("another value"));
            }
            _ => {}
        }
        encode::put_bytes(out, text.as_bytes(), fill).map_err(|()| Unfit::too_long())
    }

    fn put_json(&self, out: &mut Vec<u8>, cell: &Cell<'_>) -> Result<(), Unfit> {
        let (Cell::Text(text) | Cell::Json(text)) = cell else {
            return Err(Unfit::other_type());
        };
        if self.wire == Wire::Json {
            encode::put_bytes(out, text.as_bytes(), 0)
        } else {
            encode::put_jsonb(out, text.as_bytes())
        }
        .map_err(|()| Unfit::too_long())
    }

    /// Rounds to the column's scale, as PostgreSQL does. No number that has too many digits for the column's precision.
    fn put_numeric(&self, out: &mut Vec<u8>, value: Decimal) -> Result<(), Unfit> {
        let Bound::Digits(precision, scale) = self.bound else {
            encode::put_numeric(out, value, 0);
            return Ok(());
        };
        let value = if value.scale() > scale {
            value.round_dp_with_strategy(scale, RoundingStrategy::MidpointAwayFromZero)
        } else {
            value
        };
        // The number is less than ten to the power of `precision - scale`, counted in units of its own last digit.
        let digits = i64::from(precision) - i64::from(scale) + i64::from(value.scale());
        let mantissa = value.mantissa().unsigned_abs();
        let fits = match usize::try_from(digits).map(|digits| POWERS_OF_TEN.get(digits)) {
            Ok(Some(limit)) => mantissa < *limit,
            Ok(None) => true,
            Err(_) => mantissa == 0,
        };
        if !fits {
            return Err(Unfit::out_of_range());
        }
        encode::put_numeric(out, value, scale);
        Ok(())
    }

    /// Days since 2000.
    fn date(&self, cell: &Cell<'_>) -> Result<i32, Unfit> {
        let days = match cell {
            Cell::Date(days) => Some(*days),
            Cell::DateTime(micros) => {
                i32::try_from(spelling::wall_clock(*micros, &self.zone).div_euclid(MICROS_A_DAY))
                    .ok()
            }
            _ => return Err(Unfit::other_type()),
        };
        days.and_then(encode::to_postgres_days)
            .filter(|days| DATE_RANGE.contains(days))
            .ok_or_else(|| Unfit::new("a date out of its range"))
    }

    /// Microseconds since 2000, by the wall clock of the zone where the column has none.
    fn time(&self, cell: &Cell<'_>) -> Result<i64, Unfit> {
        let micros = match cell {
            Cell::DateTime(micros) if self.wire == Wire::Timestamp => {
                Some(spelling::wall_clock(*micros, &self.zone))
            }
            Cell::DateTime(micros) => Some(*micros),
            Cell::Date(days) => i64::from(*days).checked_mul(MICROS_A_DAY),
            _ => return Err(Unfit::other_type()),
        };
        micros
            .and_then(encode::to_postgres_micros)
            .map(|micros| match self.bound {
                Bound::Unit(unit) => round(micros, unit),
                _ => micros,
            })
            .filter(|micros| TIMESTAMP_RANGE.contains(micros))
            .ok_or_else(|| Unfit::new("a time out of its range"))
    }

    fn expected(&self) -> Cow<'static, str> {
        match (&self.bound, self.wire) {
            (Bound::Characters(most) | Bound::Padded(most), _) => {
                format!("at most {most} characters").into()
            }
            (Bound::Bytes(most), _) => format!("at most {most} bytes").into(),
            (Bound::Labels(labels), _) => {
                let listed: Vec<&str> = labels
                    .iter()
                    .take(LISTED_LABELS)
                    .map(String::as_str)
                    .collect();
                let more = if labels.len() > LISTED_LABELS {
                    ", …"
                } else {
                    ""
                };
                format!("one of {}{more}", listed.join(", ")).into()
            }
            (Bound::Digits(precision, scale), _) if precision >= scale => format!(
                "a number of at most {} digits before the decimal point",
                precision - scale
            )
            .into(),
            (_, Wire::SmallInt) => "a whole number from -32768 to 32767".into(),
            (_, Wire::Integer) => "a whole number from -2147483648 to 2147483647".into(),
            (_, Wire::BigInt) => "a whole number of at most 64 bits".into(),
            (_, Wire::Numeric | Wire::Real | Wire::Double) => "a number".into(),
            (_, Wire::Text) => "text of less than 1 GiB".into(),
            (_, Wire::Json | Wire::Jsonb) => "JSON of less than 1 GiB".into(),
            (_, Wire::Boolean) => "a boolean".into(),
            (_, Wire::Uuid) => "a UUID".into(),
            (_, Wire::Date) => "a date PostgreSQL can hold".into(),
            (_, Wire::Timestamp | Wire::Timestamptz) => "a time PostgreSQL can hold".into(),
        }
    }
}

#[allow(clippy::unnecessary_wraps, reason = "one of the answers below")]
const fn plain(wire: Wire) -> Option<(Wire, Bound)> {
    Some((wire, Bound::None))
}

/// The form that a column of this type takes values of a field in without PostgreSQL's help.
fn direct(kind: Kind, ty: &ColumnType) -> Option<(Wire, Bound)> {
    let is_text = matches!(kind, Kind::String | Kind::Email);
    let is_number = matches!(kind, Kind::Integer | Kind::Decimal);
    if !ty.labels.is_empty() {
        return is_text.then(|| (Wire::Text, Bound::Labels(Arc::clone(&ty.labels))));
    }
    if !ty.native {
        // Its length is the only thing it bounds.
        return (ty.name == "citext" && ty.is_text).then_some((Wire::Text, Bound::None));
    }
    match ty.name.as_str() {
        "text" => plain(Wire::Text),
        "varchar" => Some((
            Wire::Text,
            ty.max_characters().map_or(Bound::None, Bound::Characters),
        )),
        "bpchar" => Some((
            Wire::Text,
            ty.max_characters().map_or(Bound::None, Bound::Padded),
        )),
        "name" => Some((Wire::Text, Bound::Bytes(NAME_BYTES))),
        "int2" if is_number || is_text => plain(Wire::SmallInt),
        "int4" if is_number || is_text || kind == Kind::Boolean => plain(Wire::Integer),
        "int8" if is_number || is_text => plain(Wire::BigInt),
        "numeric" if is_number => Some((
            Wire::Numeric,
            match ty.digits() {
                Some((precision, scale)) => Bound::Digits(precision, scale),
                None => Bound::None,
            },
        )),
        "float4" if is_number => plain(Wire::Real),
        "float8" if is_number => plain(Wire::Double),
        "bool" if is_text || kind == Kind::Boolean => plain(Wire::Boolean),
        "uuid" if is_text || kind == Kind::Uuid => plain(Wire::Uuid),
        "date" if matches!(kind, Kind::Date | Kind::DateTime) => plain(Wire::Date),
        "timestamp" if matches!(kind, Kind::Date | Kind::DateTime) => {
            Some((Wire::Timestamp, Bound::Unit(ty.unit())))
        }
        "timestamptz" if matches!(kind, Kind::Date | Kind::DateTime) => {
            Some((Wire::Timestamptz, Bound::Unit(ty.unit())))
        }
        "json" if is_text || kind == Kind::Json => plain(Wire::Json),
        "jsonb" if is_text || kind == Kind::Json => plain(Wire::Jsonb),
        _ => None,
    }
}

/// To whole units, halves away from zero: as PostgreSQL rounds a time to the precision of its column.
const fn round(micros: i64, unit: i64) -> i64 {
    let half = unit / 2;
    if micros >= 0 {
        micros.saturating_add(half) / unit * unit
    } else {
        micros.saturating_sub(half) / unit * unit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, modifier: i32) -> ColumnType {
        ColumnType {
            name: name.to_owned(),
            native: true,
            is_text: matches!(name, "text" | "varchar" | "bpchar"),
            modifier,
            labels: Arc::default(),
            shown: name.to_owned(),
        }
    }

    fn written(kind: Kind, ty: &ColumnType, cell: &Cell<'_>) -> Result<Vec<u8>, String> {
        let (encoder, direct) = Encoder::fitting(kind, None, "c", ty);
        assert!(direct, "{kind:?} into {}", ty.name);
        let mut out = Vec::new();
        encoder
            .put(&mut out, cell, "f")
            .map(|()| out)
            .map_err(|error| error.to_string())
    }

    fn decimal(text: &str) -> Cell<'static> {
        Cell::Decimal(text.parse().unwrap_or_default())
    }

    #[test]
    fn a_fraction_is_no_integer_and_is_not_rounded() {
        let ty = column("int4", -1);
        assert_eq!(
            written(Kind::Decimal, &ty, &decimal("79.0")),
            Ok(vec![0, 0, 0, 4, 0, 0, 0, 79])
        );
        assert_eq!(
            written(Kind::Decimal, &ty, &decimal("79.5")),
            Err("f: expected a whole number from -2147483648 to 2147483647 (column c is int4), found a number with a fraction".to_owned())
        );
        assert!(written(Kind::Integer, &ty, &Cell::Integer(1 << 31)).is_err());
    }

    #[test]
    fn a_number_is_rounded_to_its_scale_and_refused_beyond_its_precision() {
        // numeric(5,2)
        let ty = column("numeric", (5 << 16 | 2) + 4);
        for (value, rounded) in [("1.005", "1.01"), ("-1.005", "-1.01"), ("7", "7.00")] {
            assert_eq!(
                written(Kind::Decimal, &ty, &decimal(value)),
                written(Kind::Decimal, &ty, &decimal(rounded))
            );
        }
        assert!(written(Kind::Decimal, &ty, &decimal("999.99")).is_ok());
        let refused = written(Kind::Decimal, &ty, &decimal("999.995"))
            .err()
            .unwrap_or_default();
        assert!(
            refused.contains("at most 3 digits before the decimal point"),
            "{refused}"
        );
        // numeric(2,4): 0.0099 at most.
        let ty = column("numeric", (2 << 16 | 4) + 4);
        assert!(written(Kind::Decimal, &ty, &decimal("0.0099")).is_ok());
        assert!(written(Kind::Decimal, &ty, &decimal("0.01")).is_err());
    }

    #[test]
    fn a_time_is_rounded_as_postgresql_rounds_it() {
        assert_eq!(round(1_500_000, 1_000_000), 2_000_000);
        assert_eq!(round(1_499_999, 1_000_000), 1_000_000);
        assert_eq!(round(-1_500_000, 1_000_000), -2_000_000);
        assert_eq!(round(-1_499_999, 1_000_000), -1_000_000);
        assert_eq!(round(7, 1), 7);
    }
}
