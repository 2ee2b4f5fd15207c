//! The JSON grammar, one value at a time, as slices of the text.
//!
//! A general parser reads strings and numbers into values that the fields would then have to take apart again, and
//! numbers not exactly; this scanner only finds where they end, strictly, and leaves whole objects and arrays to
//! `serde_json`. What it refuses is worded by `serde_json` too, see [`Malformed::explain`]. Knows no mapping.

use std::borrow::Cow;

use serde::de::IgnoredAny;

/// A JSON value as it stands in the text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value<'p> {
    /// All of it, quotes and brackets included.
    pub(super) raw: &'p str,
    pub(super) kind: ValueKind,
}

/// As wide as a register, so that a [`Value`] has no padding. With padding, copying values took a tenth of the whole time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum ValueKind {
    /// A string without escapes.
    Text,
    /// A string with escapes.
    Escaped,
    Number,
    Boolean,
    Null,
    Array,
    Object,
}

impl ValueKind {
    /// As messages call it.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Text | Self::Escaped => "text",
            Self::Number => "a number",
            Self::Boolean => "a boolean",
            Self::Null => "null",
            Self::Array => "an array",
            Self::Object => "an object",
        }
    }
}

/// The text is not JSON.
#[derive(Clone, Copy, Debug)]
pub(super) struct Malformed;

impl Malformed {
    /// What is wrong with a text, and where. The messages of syntax errors never hold a value.
    pub(super) fn explain(text: &str) -> Cow<'static, str> {
        match serde_json::from_str::<IgnoredAny>(text) {
            Err(error) => Cow::Owned(format!("JSON that cannot be read: {error}")),
            Ok(_) => Cow::Borrowed("JSON that cannot be read"),
        }
    }
}

/// A place in a text.
#[derive(Debug)]
pub(super) struct Scanner<'p> {
    text: &'p str,
    at: usize,
}

impl<'p> Scanner<'p> {
    pub(super) const fn new(text: &'p str) -> Self {
        Self { text, at: 0 }
    }

    /// The next byte that is not white space; 0 at the end.
    #[inline]
    pub(super) fn peek(&mut self) -> u8 {
        let bytes = self.text.as_bytes();
        while let Some(&byte) = bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return byte;
            }
            self.at += 1;
        }
        0
    }

    /// Steps over one byte, the next that is not white space.
    #[inline]
    pub(super) fn expect(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.peek() != byte {
            return Err(Malformed);
        }
        self.at += 1;
        Ok(())
    }

    /// Nothing but white space may be left.
    pub(super) fn finish(mut self) -> Result<(), Malformed> {
        match self.peek() {
            0 if self.at == self.text.len() => Ok(()),
            _ => Err(Malformed),
        }
    }

    /// Steps over a string if it is exactly `text`, which has nothing to escape. At its opening quote.
    #[inline]
    pub(super) fn take(&mut self, text: &str) -> bool {
        let bytes = &self.text.as_bytes()[self.at + 1..];
        let is_it = bytes.starts_with(text.as_bytes()) && bytes.get(text.len()) == Some(&b'"');
        if is_it {
            self.at += text.len() + 2;
        }
        is_it
    }

    /// Reads any value.
    ///
    /// Only its kind comes out of a call, in a register: a value of three words would come by memory, and be read from there
    /// before it has arrived. That took a twentieth of the whole time.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "see above")]
    pub(super) fn value(&mut self) -> Result<Value<'p>, Malformed> {
        let first = self.peek();
        let start = self.at;
        let kind = self.step_over(first)?;
        Ok(Value {
            raw: &self.text[start..self.at],
            kind,
        })
    }

    /// Steps over the value that begins with this byte.
    #[inline(never)]
    fn step_over(&mut self, first: u8) -> Result<ValueKind, Malformed> {
        match first {
            b'"' => self.string(),
            b'-' | b'0'..=b'9' => self.number(),
            b'{' => self.nested(ValueKind::Object),
            b'[' => self.nested(ValueKind::Array),
            b't' => self.word("true", ValueKind::Boolean),
            b'f' => self.word("false", ValueKind::Boolean),
            b'n' => self.word("null", ValueKind::Null),
            _ => Err(Malformed),
        }
    }

    fn string(&mut self) -> Result<ValueKind, Malformed> {
        let bytes = self.text.as_bytes();
        let mut kind = ValueKind::Text;
        self.at += 1;
        loop {
            self.at = plain_end(bytes, self.at);
            match bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(kind);
                }
                Some(b'\\') => {
                    kind = ValueKind::Escaped;
                    self.at += escape_length(&bytes[self.at..]).ok_or(Malformed)?;
                }
                // The end, or a control character, which must be escaped.
                _ => return Err(Malformed),
            }
        }
    }

    fn number(&mut self) -> Result<ValueKind, Malformed> {
        let bytes = self.text.as_bytes();
        self.at += usize::from(bytes[self.at] == b'-');
        let zero = bytes.get(self.at) == Some(&b'0');
        let digits = self.digits()?;
        if zero && digits > 1 {
            return Err(Malformed);
        }
        if bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(bytes.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(bytes.get(self.at), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(ValueKind::Number)
    }

    /// Steps over digits, of which there must be one.
    fn digits(&mut self) -> Result<usize, Malformed> {
        let rest = &self.text.as_bytes()[self.at..];
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        if count == 0 {
            Err(Malformed)
        } else {
            Ok(count)
        }
    }

    fn word(&mut self, word: &str, kind: ValueKind) -> Result<ValueKind, Malformed> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(Malformed);
        }
        self.at += word.len();
        Ok(kind)
    }

    fn nested(&mut self, kind: ValueKind) -> Result<ValueKind, Malformed> {
        let rest = &self.text[self.at..];
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<IgnoredAny>();
        match values.next() {
            Some(Ok(IgnoredAny)) => {
                self.at += values.byte_offset();
                Ok(kind)
            }
            _ => Err(Malformed),
        }
    }
}

/// Where the next quote, backslash or control character is, else the end.
fn plain_end(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const TOPS: u64 = ONES << 7;
    // A byte's top bit is set where the byte was zero (below 32); of several such marks the lowest can be trusted.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word;
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*chunk);
        let controls = word.wrapping_sub(ONES * 0x20) & !word;
        let quotes = zeros(word ^ (ONES * u64::from(b'"')));
        let backslashes = zeros(word ^ (ONES * u64::from(b'\\')));
        let marks = (controls | quotes | backslashes) & TOPS;
        if marks != 0 {
            return at + (marks.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    let plain = |byte: &&u8| !matches!(byte, b'"' | b'\\' | 0..0x20);
    at + rest.iter().take_while(plain).count()
}

/// Bytes of the escape at the head of the text.
fn escape_length(bytes: &[u8]) -> Option<usize> {
    match bytes.get(1)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(2),
        b'u' => {
            let digits = bytes.get(2..6)?;
            digits.iter().all(u8::is_ascii_hexdigit).then_some(6)
        }
        _ => None,
    }
}
