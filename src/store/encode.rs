//! Cells into PostgreSQL's binary field format: an `i32` length and the bytes, −1 for NULL.
//!
//! Each row is encoded once, when it joins its batch; arrays for `unnest` are put together by copying these bytes.

use std::error::Error;

use bytes::{BufMut, Bytes, BytesMut};
use rust_decimal::Decimal;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use super::jsonb;
use crate::config::plan::Kind;
pub(crate) use crate::model::clock::Micros;

/// Microseconds from 1970-01-01 to 2000-01-01, where PostgreSQL's clock starts.
const EPOCH_MICROS: i64 = 946_684_800_000_000;
/// Days from 1970-01-01 to 2000-01-01.
const EPOCH_DAYS: i32 = 10_957;
/// PostgreSQL's timestamps reach from 4714-11-24 BC to the end of 294276 AD; microseconds since 2000.
pub(crate) const TIMESTAMP_RANGE: std::ops::Range<i64> =
    -211_813_488_000_000_000..9_223_371_331_200_000_000;
/// PostgreSQL's dates reach from 4714-11-24 BC to the end of 5874897 AD; days since 2000.
pub(crate) const DATE_RANGE: std::ops::Range<i32> = -2_451_545..2_145_031_949;
/// What a binary `jsonb` begins with.
const JSONB_VERSION: u8 = 1;

/// The type a column's values travel as; where the column's own is another, the statement casts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    Text,
    SmallInt,
    Integer,
    BigInt,
    Numeric,
    Real,
    Double,
    Boolean,
    Date,
    Timestamp,
    Timestamptz,
    Uuid,
    Json,
    Jsonb,
}

impl Wire {
    /// What values of a field travel as where nothing is known of the column.
    pub(crate) const fn of(kind: Kind) -> Self {
        match kind {
            Kind::String | Kind::Email | Kind::Json => Self::Text,
            Kind::Integer => Self::BigInt,
            Kind::Decimal => Self::Numeric,
            Kind::Boolean => Self::Boolean,
            Kind::Date => Self::Date,
            Kind::DateTime => Self::Timestamptz,
            Kind::Uuid => Self::Uuid,
        }
    }

    /// The name in SQL, and in `pg_type`.
    pub(crate) const fn typname(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::SmallInt => "int2",
            Self::Integer => "int4",
            Self::BigInt => "int8",
            Self::Numeric => "numeric",
            Self::Real => "float4",
            Self::Double => "float8",
            Self::Boolean => "bool",
            Self::Date => "date",
            Self::Timestamp => "timestamp",
            Self::Timestamptz => "timestamptz",
            Self::Uuid => "uuid",
            Self::Json => "json",
            Self::Jsonb => "jsonb",
        }
    }

    /// The type of one value, and that of an array of them.
    const fn types(self) -> (Type, Type) {
        match self {
            Self::Text => (Type::TEXT, Type::TEXT_ARRAY),
            Self::SmallInt => (Type::INT2, Type::INT2_ARRAY),
            Self::Integer => (Type::INT4, Type::INT4_ARRAY),
            Self::BigInt => (Type::INT8, Type::INT8_ARRAY),
            Self::Numeric => (Type::NUMERIC, Type::NUMERIC_ARRAY),
            Self::Real => (Type::FLOAT4, Type::FLOAT4_ARRAY),
            Self::Double => (Type::FLOAT8, Type::FLOAT8_ARRAY),
            Self::Boolean => (Type::BOOL, Type::BOOL_ARRAY),
            Self::Date => (Type::DATE, Type::DATE_ARRAY),
            Self::Timestamp => (Type::TIMESTAMP, Type::TIMESTAMP_ARRAY),
            Self::Timestamptz => (Type::TIMESTAMPTZ, Type::TIMESTAMPTZ_ARRAY),
            Self::Uuid => (Type::UUID, Type::UUID_ARRAY),
            Self::Json => (Type::JSON, Type::JSON_ARRAY),
            Self::Jsonb => (Type::JSONB, Type::JSONB_ARRAY),
        }
    }

    pub(crate) fn element(self) -> Type {
        self.types().0
    }

    pub(crate) fn array(self) -> Type {
        self.types().1
    }

    /// The order of two values (without their lengths) that are keys: of whole numbers and times their own, of all others
    /// that of their bytes.
    pub(crate) fn order(self, a: &[u8], b: &[u8]) -> std::cmp::Ordering {
        let number = |bytes: &[u8]| match self {
            Self::SmallInt => bytes.try_into().map(i16::from_be_bytes).map(i64::from).ok(),
            Self::Integer | Self::Date => {
                bytes.try_into().map(i32::from_be_bytes).map(i64::from).ok()
            }
            Self::BigInt | Self::Timestamp | Self::Timestamptz => {
                bytes.try_into().map(i64::from_be_bytes).ok()
            }
            _ => None,
        };
        match (number(a), number(b)) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => a.cmp(b),
        }
    }

    /// Values are ordered as the numbers they are on the wire, not as their texts.
    pub(crate) const fn is_ordered_by_number(self) -> bool {
        matches!(
            self,
            Self::SmallInt
                | Self::Integer
                | Self::BigInt
                | Self::Date
                | Self::Timestamp
                | Self::Timestamptz
        )
    }
}

pub(crate) fn put_null(out: &mut Vec<u8>) {
    out.extend_from_slice(&(-1_i32).to_be_bytes());
}

/// A value is shorter than so many bytes: the protocol has no length for others.
pub(crate) const MOST_BYTES: usize = 1 << 30;

/// Fewer bytes than [`MOST_BYTES`].
#[inline]
#[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap)]
pub(crate) fn put_short(out: &mut Vec<u8>, bytes: &[u8]) {
    debug_assert!(bytes.len() < MOST_BYTES);
    out.reserve(size_of::<i32>() + bytes.len());
    out.extend_from_slice(&(bytes.len() as i32).to_be_bytes());
    out.extend_from_slice(bytes);
}

/// Bytes and so many spaces. Errs on what the protocol has no length for.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8], spaces: usize) -> Result<(), ()> {
    out.reserve(size_of::<i32>() + bytes.len() + spaces);
    put_length(out, bytes.len() + spaces)?;
    out.extend_from_slice(bytes);
    if spaces > 0 {
        out.resize(out.len() + spaces, b' ');
    }
    Ok(())
}

/// JSON text for a `jsonb`.
pub(crate) fn put_jsonb(out: &mut Vec<u8>, text: &[u8]) -> Result<(), ()> {
    put_length(out, text.len() + 1)?;
    out.push(JSONB_VERSION);
    out.extend_from_slice(text);
    Ok(())
}

fn put_length(out: &mut Vec<u8>, length: usize) -> Result<(), ()> {
    let length = i32::try_from(length)
        .ok()
        .filter(|_| length < MOST_BYTES)
        .ok_or(())?;
    out.extend_from_slice(&length.to_be_bytes());
    Ok(())
}

/// A value of a type whose values all have the same length, at most 16 bytes.
#[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap)]
pub(crate) fn put_fixed<const LENGTH: usize>(out: &mut Vec<u8>, bytes: &[u8; LENGTH]) {
    out.reserve(size_of::<i32>() + LENGTH);
    out.extend_from_slice(&(LENGTH as i32).to_be_bytes());
    out.extend_from_slice(bytes);
}

/// A time that lies in the range of every clock.
pub(crate) fn put_time(out: &mut Vec<u8>, time: Micros) {
    put_fixed(out, &time.0.saturating_sub(EPOCH_MICROS).to_be_bytes());
}

/// Microseconds since 1970 to microseconds since 2000; none outside PostgreSQL's range.
pub(crate) fn to_postgres_micros(micros: i64) -> Option<i64> {
    micros
        .checked_sub(EPOCH_MICROS)
        .filter(|micros| TIMESTAMP_RANGE.contains(micros))
}

/// Days since 1970 to days since 2000.
pub(crate) const fn to_postgres_days(days: i32) -> Option<i32> {
    days.checked_sub(EPOCH_DAYS)
}

/// Microseconds since 2000 to microseconds since 1970.
pub(crate) const fn from_postgres_micros(micros: i64) -> i64 {
    micros.saturating_add(EPOCH_MICROS)
}

/// `numeric`: digits of base 10,000 around the decimal point, without leading and trailing zeros. It is shown with at least
/// so many decimal places.
#[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap)]
pub(crate) fn put_numeric(out: &mut Vec<u8>, value: Decimal, least_shown: u32) {
    let scale = value.scale();
    let mantissa = value.mantissa().unsigned_abs();
    // Line the fraction up with groups of four decimal digits.
    let pad = (4 - scale % 4) % 4;
    let fraction_groups = ((scale + pad) / 4) as i16;
    let mut groups = [0_u16; 16];
    let mut count = 0_usize;
    // The lowest group takes fewer digits of the mantissa when the fraction is padded: 96 bits would overflow neither way.
    let keep = 10_u64.pow(4 - pad);
    let mut rest = if let Ok(mut rest) = u64::try_from(mantissa) {
        // Nearly all numbers are short enough for a processor to divide.
        if pad > 0 {
            groups[count] = (rest % keep * 10_u64.pow(pad)) as u16;
            rest /= keep;
            count += 1;
        }
        rest
    } else {
        let mut rest = mantissa;
        if pad > 0 {
            groups[count] = (rest % u128::from(keep)) as u16 * 10_u16.pow(pad);
            rest /= u128::from(keep);
            count += 1;
        }
        while rest > u128::from(u64::MAX) {
            groups[count] = (rest % 10_000) as u16;
            rest /= 10_000;
            count += 1;
        }
        rest as u64
    };
    while rest > 0 {
        groups[count] = (rest % 10_000) as u16;
        rest /= 10_000;
        count += 1;
    }
    let mut low = 0;
    while low < count && groups[low] == 0 {
        low += 1;
    }
    while count > low && groups[count - 1] == 0 {
        count -= 1;
    }
    let used = &groups[low..count];
    let weight = if used.is_empty() {
        0
    } else {
        count as i16 - fraction_groups - 1
    };
    let sign: u16 = if value.is_sign_negative() && !used.is_empty() {
        0x4000
    } else {
        0
    };
    let length = (8 + 2 * used.len() as i32).to_be_bytes();
    let header = [
        used.len() as u16,
        weight.cast_unsigned(),
        sign,
        scale.max(least_shown) as u16,
    ];
    out.reserve(size_of_val(&length) + 2 * (header.len() + used.len()));
    out.extend_from_slice(&length);
    out.extend(
        header
            .iter()
            .chain(used.iter().rev())
            .flat_map(|number| number.to_be_bytes()),
    );
}

/// Is an encoded field the same value as one that PostgreSQL sent (without its length, none for NULL)?
///
/// Numbers are the same with another display scale too, and `jsonb` is the same as the text it prints; anything else that
/// PostgreSQL might call equal is not.
pub(crate) fn same(wire: Wire, field: &[u8], stored: Option<&[u8]>) -> bool {
    let Some((length, value)) = field.split_at_checked(size_of::<i32>()) else {
        return false;
    };
    match (stored, wire) {
        (None, _) => length == (-1_i32).to_be_bytes(),
        (Some(_), _) if length == (-1_i32).to_be_bytes() => false,
        // Number of digits, weight, sign, display scale, 16 bits each; then the digits.
        (Some(stored), Wire::Numeric) => {
            value.len() == stored.len()
                && value.get(..6) == stored.get(..6)
                && value.get(8..) == stored.get(8..)
        }
        (Some(stored), Wire::Jsonb) => {
            value == stored
                || value.first() == stored.first() && jsonb::prints(value.get(1..), stored.get(1..))
        }
        (Some(stored), _) => value == stored,
    }
}

/// Writes an array parameter from fields that are already encoded.
#[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap)]
pub(crate) fn put_array<'a>(
    out: &mut BytesMut,
    element: &Type,
    length: usize,
    fields: impl Iterator<Item = &'a [u8]>,
) -> Result<(), Box<dyn Error + Sync + Send>> {
    let length = i32::try_from(length)?;
    out.put_i32(1); // dimensions
    out.put_i32(1); // may hold NULL
    out.put_u32(element.oid());
    out.put_i32(length);
    out.put_i32(1); // lower bound
    let mut written = 0;
    for field in fields {
        out.extend_from_slice(field);
        written += 1;
    }
    // Ragged arrays would be padded with NULL by unnest without a word.
    if written == length {
        Ok(())
    } else {
        Err(format!("an array of {length} elements got {written}").into())
    }
}

/// What a binary COPY begins with: the signature, no flags, no extension.
pub(crate) const COPY_HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// Bytes of a COPY that are handed over at once: each is copied once more on its way.
const COPY_PIECE: usize = 64 << 10;

/// A binary COPY in pieces, made as they are asked for, from rows of encoded fields, each followed by the same constant ones.
pub(crate) fn copy(
    width: usize,
    constant: &[u8],
    mut rows: impl Iterator<Item = impl AsRef<[u8]>>,
) -> impl Iterator<Item = Bytes> {
    // A table has at most 1,600 columns.
    let width = u16::try_from(width).unwrap_or(u16::MAX);
    let mut head = COPY_HEADER;
    let mut ended = false;
    std::iter::from_fn(move || {
        if ended {
            return None;
        }
        let mut piece = BytesMut::with_capacity(COPY_PIECE + COPY_PIECE / 16);
        piece.extend_from_slice(std::mem::take(&mut head));
        while piece.len() < COPY_PIECE {
            let Some(row) = rows.next() else {
                ended = true;
                piece.put_i16(-1);
                break;
            };
            piece.put_u16(width);
            piece.extend_from_slice(row.as_ref());
            piece.extend_from_slice(constant);
        }
        Some(piece.freeze())
    })
}

/// The fields of one row of a binary COPY, after the header: the values, None is NULL. It ends early where the row does not
/// have the form.
pub(crate) fn copied(row: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    let mut rest = row.get(size_of::<u16>()..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (length, value) = rest.split_first_chunk()?;
        let length = i32::from_be_bytes(*length);
        let Ok(length) = usize::try_from(length) else {
            rest = value;
            return Some(None);
        };
        let (value, after) = value.split_at_checked(length)?;
        rest = after;
        Some(Some(value))
    })
}

/// A moment as a parameter, `timestamptz`.
impl ToSql for Micros {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.put_i64(to_postgres_micros(self.0).ok_or("a time out of PostgreSQL's range")?);
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::TIMESTAMPTZ
    }

    to_sql_checked!();
}

/// A moment as a result, `timestamptz`.
impl<'a> tokio_postgres::types::FromSql<'a> for Micros {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(from_postgres_micros(i64::from_be_bytes(
            raw.try_into()?,
        ))))
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::TIMESTAMPTZ
    }
}
