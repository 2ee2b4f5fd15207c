//! Reads numbers from text exactly, without binary floating point.
//!
//! Owns the JSON number grammar and what fits into 64-bit integers and 28-digit decimals. Knows nothing of fields.

use rust_decimal::Decimal;

/// Greatest number of significant digits that a decimal keeps exactly, whatever they are.
const SIGNIFICANT: u32 = 28;
/// Greatest number of decimal places.
const PLACES: i64 = 28;

/// Why a text is not the wanted number, in the words of a field error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    NotANumber,
    TooPrecise,
    TooFine,
    OutOfRange,
    Fraction,
    Beyond64Bits,
}

impl Fault {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::NotANumber => "text that is no number",
            Self::TooPrecise => "a number of more than 28 significant digits",
            Self::TooFine => "a number of more than 28 decimal places",
            Self::OutOfRange => "a number out of range",
            Self::Fraction => "a number with a fraction",
            Self::Beyond64Bits => "a number out of range (beyond 64 bits)",
        }
    }
}

/// An exact number: ±`mantissa` × 10^−`scale`, of at most 28 significant digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Number {
    negative: bool,
    mantissa: u128,
    scale: i64,
}

/// Reads a 64-bit integer, however it is written: `42`, `42.0`, `4.2e1`.
pub(super) fn integer(text: &str) -> Result<i64, Fault> {
    let Number {
        negative,
        mut mantissa,
        mut scale,
    } = parse(text)?;
    if mantissa == 0 {
        return Ok(0);
    }
    while scale > 0 && mantissa.is_multiple_of(10) {
        mantissa /= 10;
        scale -= 1;
    }
    if scale > 0 {
        return Err(Fault::Fraction);
    }
    let value = shifted(mantissa, -scale).ok_or(Fault::Beyond64Bits)?;
    signed(negative, value)
        .and_then(|value| i64::try_from(value).ok())
        .ok_or(Fault::Beyond64Bits)
}

/// Reads a decimal, exactly, keeping its decimal places as written where they fit.
pub(super) fn decimal(text: &str) -> Result<Decimal, Fault> {
    let Number {
        negative,
        mut mantissa,
        mut scale,
    } = parse(text)?;
    if mantissa == 0 {
        return Ok(Decimal::ZERO);
    }
    while scale > PLACES && mantissa.is_multiple_of(10) {
        mantissa /= 10;
        scale -= 1;
    }
    if scale > PLACES {
        return Err(Fault::TooFine);
    }
    if scale < 0 {
        mantissa = shifted(mantissa, -scale).ok_or(Fault::OutOfRange)?;
        scale = 0;
    }
    let places = u32::try_from(scale).map_err(|_| Fault::OutOfRange)?;
    let value = signed(negative, mantissa).ok_or(Fault::OutOfRange)?;
    Decimal::try_from_i128_with_scale(value, places).map_err(|_| Fault::OutOfRange)
}

/// Reads a count of units (of `micros` microseconds each) as whole microseconds, cutting towards the past.
pub(super) fn microseconds(text: &str, micros: u32) -> Result<i64, Fault> {
    let number = parse(text)?;
    let units = number
        .mantissa
        .checked_mul(u128::from(micros))
        .ok_or(Fault::OutOfRange)?;
    let value = if number.scale <= 0 {
        let whole = shifted(units, -number.scale).ok_or(Fault::OutOfRange)?;
        signed(number.negative, whole).ok_or(Fault::OutOfRange)?
    } else {
        // Cutting more than 38 places from a 34-digit number leaves only its sign.
        let divisor = shifted(1, number.scale).map_or(i128::MAX, u128::cast_signed);
        signed(number.negative, units)
            .ok_or(Fault::OutOfRange)?
            .div_euclid(divisor)
    };
    i64::try_from(value).map_err(|_| Fault::OutOfRange)
}

/// True for a JSON number without point and exponent: what a key may be.
pub(super) fn is_whole(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// `value` × 10^`places`, where that fits.
fn shifted(value: u128, places: i64) -> Option<u128> {
    if value == 0 {
        return Some(0);
    }
    let places = u32::try_from(places).ok()?;
    10u128.checked_pow(places)?.checked_mul(value)
}

fn signed(negative: bool, value: u128) -> Option<i128> {
    let value = i128::try_from(value).ok()?;
    Some(if negative { -value } else { value })
}

/// Reads text that is exactly a JSON number.
fn parse(text: &str) -> Result<Number, Fault> {
    match short(text.as_bytes()) {
        Some(number) => Ok(number),
        None => long(text.as_bytes()),
    }
}

/// The common case: up to 18 digits, no exponent. Any other text, valid or not, is left to [`long`].
fn short(bytes: &[u8]) -> Option<Number> {
    let (negative, digits) = match bytes {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, bytes),
    };
    if digits.is_empty() || digits.len() > 19 {
        return None;
    }
    let mut mantissa = 0u64;
    let mut whole = None;
    let mut places = 0;
    for (at, byte) in digits.iter().enumerate() {
        match byte {
            b'0'..=b'9' if at < 18 || whole.is_some() => {
                mantissa = mantissa * 10 + u64::from(byte - b'0');
                places += i64::from(whole.is_some());
            }
            b'.' if whole.is_none() => whole = Some(at),
            _ => return None,
        }
    }
    if whole.is_some() && places == 0 {
        return None;
    }
    let whole = whole.unwrap_or(digits.len());
    if whole == 0 || (whole > 1 && digits[0] == b'0') {
        return None;
    }
    Some(Number {
        negative,
        mantissa: u128::from(mantissa),
        scale: places,
    })
}

/// Any JSON number, of any length.
fn long(bytes: &[u8]) -> Result<Number, Fault> {
    let negative = bytes.first() == Some(&b'-');
    let mut rest = &bytes[usize::from(negative)..];
    let mut digits = Digits::default();

    let whole = digits.take(&mut rest);
    let leading_zero = bytes.get(usize::from(negative)) == Some(&b'0');
    if whole == 0 || (whole > 1 && leading_zero) {
        return Err(Fault::NotANumber);
    }
    let mut places = 0;
    if let [b'.', after @ ..] = rest {
        rest = after;
        places = digits.take(&mut rest);
        if places == 0 {
            return Err(Fault::NotANumber);
        }
    }
    let mut exponent = 0i64;
    if let [b'e' | b'E', after @ ..] = rest {
        let (down, figures) = match after {
            [b'-', figures @ ..] => (true, figures),
            [b'+', figures @ ..] | figures => (false, figures),
        };
        if figures.is_empty() || !figures.iter().all(u8::is_ascii_digit) {
            return Err(Fault::NotANumber);
        }
        for figure in figures {
            // Such an exponent is far too large anyway, so it may saturate.
            exponent = exponent
                .saturating_mul(10)
                .saturating_add(i64::from(figure - b'0'));
        }
        if down {
            exponent = -exponent;
        }
        rest = &[];
    }
    if !rest.is_empty() {
        return Err(Fault::NotANumber);
    }
    if digits.significant > SIGNIFICANT {
        return Err(Fault::TooPrecise);
    }
    let mut scale = places.saturating_sub(exponent);
    let mut mantissa = digits.mantissa;
    if mantissa == 0 {
        scale = 0;
    } else if u64::from(digits.significant) + digits.zeros <= u64::from(SIGNIFICANT) {
        mantissa *= power(digits.zeros);
    } else {
        scale = scale.saturating_sub_unsigned(digits.zeros);
    }
    Ok(Number {
        negative,
        mantissa,
        scale,
    })
}

/// Significant digits gathered one by one; zeros wait until a digit follows them.
#[derive(Default)]
struct Digits {
    mantissa: u128,
    significant: u32,
    zeros: u64,
}

impl Digits {
    /// Takes the digits at the head of `rest` and says how many there were.
    fn take(&mut self, rest: &mut &[u8]) -> i64 {
        let mut count = 0;
        while let [byte @ b'0'..=b'9', after @ ..] = *rest {
            self.push(byte - b'0');
            *rest = after;
            count += 1;
        }
        count
    }

    fn push(&mut self, digit: u8) {
        if digit == 0 {
            self.zeros += u64::from(self.mantissa != 0);
            return;
        }
        let grown = u64::from(self.significant) + self.zeros + 1;
        if grown > u64::from(SIGNIFICANT) {
            self.significant = SIGNIFICANT + 1;
        } else {
            self.significant = u32::try_from(grown).unwrap_or(u32::MAX);
            self.mantissa = self.mantissa * power(self.zeros + 1) + u128::from(digit);
        }
        self.zeros = 0;
    }
}

/// A power of ten below 10^29.
fn power(exponent: u64) -> u128 {
    let exponent = u32::try_from(exponent).unwrap_or(SIGNIFICANT);
    10u128.pow(exponent.min(SIGNIFICANT))
}
