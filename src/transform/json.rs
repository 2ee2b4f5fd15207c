//! Checks whether a `jsonb` column can hold a JSON document without loss.
//!
//! It cannot hold `\u0000` and lone surrogates, drops all but the last of equal keys, nests only so deep and knows no
//! number beyond its `numeric`. Input is text a parser has already found well-formed. Knows nothing of fields.

use std::borrow::Cow;

use super::paths::{fingerprint, has_twins};
use super::text::{self, unescape};

/// Levels of nesting that are safe at any sensible `max_stack_depth` of the server.
const DEPTH: usize = 512;
/// Greatest power of ten, up or down, that is safe for `numeric`.
const EXPONENT: u32 = 9_999;

/// Checks that a `jsonb` column can hold the document.
///
/// # Errors
/// Why it cannot, in words without values.
pub(super) fn check(raw: &str) -> Result<(), &'static str> {
    let bytes = raw.as_bytes();
    let mut at = 0;
    // For each open object or array, where its keys begin in `keys`; arrays have none.
    let mut open: Vec<usize> = Vec::new();
    let mut keys: Vec<(u64, Cow<'_, str>)> = Vec::new();
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'{' | b'[' => {
                if open.len() == DEPTH {
                    return Err("JSON nested more than 512 levels deep");
                }
                open.push(keys.len());
                at += 1;
            }
            b'}' | b']' => {
                let first = open.pop().unwrap_or_default();
                if has_twins(&mut keys[first..]) {
                    return Err("an object with a key twice");
                }
                keys.truncate(first);
                at += 1;
            }
            b'"' => {
                let length = string_length(&bytes[at + 1..]);
                let end = (at + 1 + length).min(raw.len());
                let text = unescape(&raw[at + 1..end]).map_err(text::Fault::as_str)?;
                at = end + 1;
                if is_followed_by_colon(&bytes[at.min(bytes.len())..]) {
                    keys.push((fingerprint(text.as_bytes()), text));
                }
            }
            b'-' | b'0'..=b'9' => {
                let length = bytes[at..]
                    .iter()
                    .take_while(|byte| {
                        matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')
                    })
                    .count();
                if !is_numeric(&raw[at..at + length]) {
                    return Err("a number out of range");
                }
                at += length;
            }
            _ => at += 1,
        }
    }
    Ok(())
}

/// Bytes up to the closing quote.
fn string_length(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(found) = memchr::memchr2(b'"', b'\\', bytes.get(at..).unwrap_or_default()) {
        at += found;
        if bytes[at] == b'"' {
            return at;
        }
        at += 2;
    }
    bytes.len()
}

fn is_followed_by_colon(bytes: &[u8]) -> bool {
    let next = bytes
        .iter()
        .find(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
    next == Some(&b':')
}

/// Well within what `numeric` holds.
fn is_numeric(number: &str) -> bool {
    let (digits, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    digits.len() <= EXPONENT as usize
        && exponent
            .parse::<i32>()
            .is_ok_and(|exponent| exponent.unsigned_abs() <= EXPONENT)
}
