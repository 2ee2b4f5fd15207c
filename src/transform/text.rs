//! JSON strings and UUIDs: the text of a value without its quotes and escapes.
//!
//! Input is the raw text of a JSON value that a parser has already found well-formed. Knows nothing of fields.

use std::borrow::Cow;

/// Why the database cannot hold a JSON string as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Nul,
    LoneSurrogate,
    /// Cannot come from a parsed document.
    Malformed,
}

impl Fault {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Nul => "text with a NUL character",
            Self::LoneSurrogate => {
                "text with a lone surrogate (half of a character, \\ud800 to \\udfff)"
            }
            Self::Malformed => "malformed text",
        }
    }
}

/// Empty or white space only.
#[inline]
pub(super) fn is_blank(text: &str) -> bool {
    // In most texts the first byte is not white space, so look at it first.
    if text
        .bytes()
        .next()
        .is_some_and(|first| first.is_ascii_graphic())
    {
        return false;
    }
    text.chars().all(char::is_whitespace)
}

/// The text of a JSON string, given without its quotes: itself when it has no escapes.
pub(super) fn unescape(inner: &str) -> Result<Cow<'_, str>, Fault> {
    let Some(first) = memchr::memchr(b'\\', inner.as_bytes()) else {
        return Ok(Cow::Borrowed(inner));
    };
    let mut text = String::with_capacity(inner.len());
    let mut rest = inner;
    let mut next = Some(first);
    while let Some(at) = next {
        text.push_str(&rest[..at]);
        let (character, after) = escape(&rest[at + 1..])?;
        if character == '\0' {
            return Err(Fault::Nul);
        }
        text.push(character);
        rest = after;
        next = memchr::memchr(b'\\', rest.as_bytes());
    }
    text.push_str(rest);
    Ok(Cow::Owned(text))
}

/// Reads what follows a backslash: the character and the text after it.
fn escape(rest: &str) -> Result<(char, &str), Fault> {
    let (kind, after) = rest.split_at_checked(1).ok_or(Fault::Malformed)?;
    let character = match kind {
        "\"" => '"',
        "\\" => '\\',
        "/" => '/',
        "b" => '\u{8}',
        "f" => '\u{c}',
        "n" => '\n',
        "r" => '\r',
        "t" => '\t',
        "u" => return code_point(after),
        _ => return Err(Fault::Malformed),
    };
    Ok((character, after))
}

/// Reads the digits after `\u`, and the second half of a surrogate pair after its first half.
fn code_point(rest: &str) -> Result<(char, &str), Fault> {
    let (unit, after) = code_unit(rest)?;
    if !(0xd800..0xe000).contains(&unit) {
        let character = char::from_u32(unit).ok_or(Fault::Malformed)?;
        return Ok((character, after));
    }
    let low = after.strip_prefix("\\u").ok_or(Fault::LoneSurrogate)?;
    let (second, after) = code_unit(low)?;
    if unit >= 0xdc00 || !(0xdc00..0xe000).contains(&second) {
        return Err(Fault::LoneSurrogate);
    }
    let code = 0x1_0000 + ((unit - 0xd800) << 10) + (second - 0xdc00);
    let character = char::from_u32(code).ok_or(Fault::Malformed)?;
    Ok((character, after))
}

fn code_unit(rest: &str) -> Result<(u32, &str), Fault> {
    let (digits, after) = rest.split_at_checked(4).ok_or(Fault::Malformed)?;
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Fault::Malformed);
    }
    let unit = u32::from_str_radix(digits, 16).map_err(|_| Fault::Malformed)?;
    Ok((unit, after))
}

/// The 16 bytes of a UUID written as 32 hexadecimal digits, hyphenated 8-4-4-4-12 or not at all.
pub(super) fn uuid(text: &str) -> Option<[u8; 16]> {
    let bytes = text.as_bytes();
    let hyphenated = match bytes.len() {
        36 => true,
        32 => false,
        _ => return None,
    };
    let mut out = [0; 16];
    let mut at = 0;
    for (index, slot) in out.iter_mut().enumerate() {
        if hyphenated && matches!(index, 4 | 6 | 8 | 10) {
            if bytes[at] != b'-' {
                return None;
            }
            at += 1;
        }
        *slot = (nibble(bytes[at])? << 4) | nibble(bytes[at + 1])?;
        at += 2;
    }
    Some(out)
}

fn nibble(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}
