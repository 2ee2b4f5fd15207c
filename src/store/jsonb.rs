//! Prints JSON text as PostgreSQL prints a `jsonb`: its order of keys, no exponents, one spelling of each string.
//!
//! This is only used to prove that stored and sent documents are equal. So unusual documents (deep nesting, numbers of
//! hundreds of digits) may be left undecided: the database compares these itself.

/// The deepest nesting that is followed.
const DEEPEST: usize = 64;
/// The most digits that an exponent may add to a number.
const MOST_ZEROS: i64 = 400;

/// True if PostgreSQL would print this document as that text. False also where that cannot be decided.
pub(super) fn prints(document: Option<&[u8]>, printed: Option<&[u8]>) -> bool {
    let (Some(document), Some(printed)) = (document, printed) else {
        return false;
    };
    let mut reader = Reader { rest: document };
    let mut out = Vec::with_capacity(printed.len());
    reader.value(&mut out, DEEPEST).is_some()
        && reader.rest.trim_ascii().is_empty()
        && out == printed
}

/// The unread rest of a document. Each method reads one element and appends it as PostgreSQL prints it.
struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn value(&mut self, out: &mut Vec<u8>, depth: usize) -> Option<()> {
        self.rest = self.rest.trim_ascii_start();
        match self.rest.first()? {
            b'{' => self.object(out, depth.checked_sub(1)?),
            b'[' => self.array(out, depth.checked_sub(1)?),
            b'"' => {
                let text = self.string()?;
                put_string(out, &text);
                Some(())
            }
            b't' => self.word(out, b"true"),
            b'f' => self.word(out, b"false"),
            b'n' => self.word(out, b"null"),
            _ => self.number(out),
        }
    }

    fn word(&mut self, out: &mut Vec<u8>, word: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(word)?;
        out.extend_from_slice(word);
        Some(())
    }

    /// Reads this byte, if it comes next after white space.
    fn take(&mut self, byte: u8) -> Option<()> {
        let rest = self.rest.trim_ascii_start();
        self.rest = rest.strip_prefix(&[byte])?;
        Some(())
    }

    fn array(&mut self, out: &mut Vec<u8>, depth: usize) -> Option<()> {
        self.take(b'[')?;
        out.push(b'[');
        if self.take(b']').is_none() {
            loop {
                self.value(out, depth)?;
                if self.take(b',').is_none() {
                    break;
                }
                out.extend_from_slice(b", ");
            }
            self.take(b']')?;
        }
        out.push(b']');
        Some(())
    }

    fn object(&mut self, out: &mut Vec<u8>, depth: usize) -> Option<()> {
        self.take(b'{')?;
        let mut members: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        if self.take(b'}').is_none() {
            loop {
                self.rest = self.rest.trim_ascii_start();
                let key = self.string()?;
                self.take(b':')?;
                let mut value = Vec::new();
                self.value(&mut value, depth)?;
                members.push((key, value));
                if self.take(b',').is_none() {
                    break;
                }
            }
            self.take(b'}')?;
        }
        // PostgreSQL keeps the last value of a repeated key. Such documents are left undecided.
        members.sort_unstable_by(|(a, _), (b, _)| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
        if members.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return None;
        }
        out.push(b'{');
        for (index, (key, value)) in members.iter().enumerate() {
            if index > 0 {
                out.extend_from_slice(b", ");
            }
            put_string(out, key);
            out.extend_from_slice(b": ");
            out.extend_from_slice(value);
        }
        out.push(b'}');
        Some(())
    }

    /// Reads the text of a string.
    fn string(&mut self) -> Option<Vec<u8>> {
        let mut rest = self.rest.strip_prefix(b"\"")?;
        let mut text = Vec::new();
        loop {
            let plain = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
            text.extend_from_slice(&rest[..plain]);
            let byte = rest[plain];
            rest = &rest[plain + 1..];
            if byte == b'"' {
                self.rest = rest;
                return Some(text);
            }
            let (escape, after) = rest.split_first()?;
            rest = after;
            let meant = match escape {
                b'"' | b'\\' | b'/' => char::from(*escape),
                b'b' => '\x08',
                b'f' => '\x0c',
                b'n' => '\n',
                b'r' => '\r',
                b't' => '\t',
                b'u' => {
                    let (unit, after) = utf16_unit(rest)?;
                    rest = after;
                    let mut units = vec![unit];
                    if (0xd800..0xdc00).contains(&unit) {
                        let (low, after) = utf16_unit(rest.strip_prefix(b"\\u")?)?;
                        rest = after;
                        units.push(low);
                    }
                    char::decode_utf16(units).next()?.ok()?
                }
                _ => return None,
            };
            text.extend_from_slice(meant.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }

    fn number(&mut self, out: &mut Vec<u8>) -> Option<()> {
        let length = self
            .rest
            .iter()
            .position(|byte| !matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'))
            .unwrap_or(self.rest.len());
        let (number, rest) = self.rest.split_at(length);
        self.rest = rest;
        put_number(out, std::str::from_utf8(number).ok()?)
    }
}

/// Four hexadecimal digits.
fn utf16_unit(rest: &[u8]) -> Option<(u16, &[u8])> {
    let (digits, rest) = rest.split_at_checked(4)?;
    let digits = std::str::from_utf8(digits).ok()?;
    let all = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let unit = u16::from_str_radix(digits, 16).ok()?;
    all.then_some((unit, rest))
}

fn put_string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for byte in text {
        let short = match byte {
            b'"' => b'"',
            b'\\' => b'\\',
            b'\x08' => b'b',
            b'\x0c' => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0..=0x1f => {
                out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
                continue;
            }
            _ => {
                out.push(*byte);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', short]);
    }
    out.push(b'"');
}

/// Prints a number as `numeric` does: without exponent, and with as many decimal places as were written.
fn put_number(out: &mut Vec<u8>, text: &str) -> Option<()> {
    let (negative, size) = match text.strip_prefix('-') {
        Some(size) => (true, size),
        None => (false, text),
    };
    let (mantissa, exponent) = match size.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
        None => (size, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() || exponent.abs() > MOST_ZEROS {
        return None;
    }
    let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // The position of the decimal point among the digits. Zeros are added, so that there are digits on both sides.
    let mut point = i64::try_from(whole.len()).ok()? + exponent;
    let places = (i64::try_from(fraction.len()).ok()? - exponent).max(0);
    while point < 1 {
        digits.insert(0, b'0');
        point += 1;
    }
    let point = usize::try_from(point).ok()?;
    digits.resize(point + usize::try_from(places).ok()?, b'0');
    let leading = digits[..point - 1]
        .iter()
        .take_while(|digit| **digit == b'0')
        .count();
    if negative && digits.iter().any(|digit| *digit != b'0') {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[leading..point]);
    if places > 0 {
        out.push(b'.');
        out.extend_from_slice(&digits[point..]);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::prints;

    #[test]
    fn documents_are_known_by_what_postgresql_prints_of_them() {
        for (document, printed) in [
            (
                r#"{"bb":1,"a":[],"c":{}}"#,
                r#"{"a": [], "c": {}, "bb": 1}"#,
            ),
            (
                " [ 1 , -0, -0.00, 1e3, 1.50, 1E-3, 10e-1, 1.5e1, 120.0e+2 ] ",
                "[1, 0, 0.00, 1000, 1.50, 0.001, 1.0, 15, 12000]",
            ),
            (r#""\u00e9\/\ud83d\ude00\u0007\n""#, "\"é/😀\\u0007\\n\""),
            ("[true,false,null]", "[true, false, null]"),
            ("-12.5e-3", "-0.0125"),
        ] {
            let same = |a: &str, b: &str| prints(Some(a.as_bytes()), Some(b.as_bytes()));
            assert!(same(document, printed), "{document}");
            assert!(same(printed, printed), "{printed}");
            assert!(
                !same(
                    document,
                    &printed
                        .replacen('1', "2", 1)
                        .replace("true", "null")
                        .replace('é', "e")
                ),
                "{document}"
            );
        }
    }

    #[test]
    fn what_cannot_be_told_is_not_the_same() {
        for odd in [
            "{\"a\":1,\"a\":1}",
            "[1",
            "1 2",
            "{\"a\" 1}",
            "\"\\ud800\"",
            "1e999",
            "",
        ] {
            assert!(!prints(Some(odd.as_bytes()), Some(odd.as_bytes())), "{odd}");
        }
    }
}
