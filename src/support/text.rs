//! Text for people: numbers with separators, plural forms, and names without control characters.

use std::fmt::Write as _;

use unicode_width::UnicodeWidthStr as _;

/// `1234567` → `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 page`, `1,234 pages`.
pub fn counted(number: u64, one: &str, many: &str) -> String {
    format!(
        "{} {}",
        grouped(number),
        if number == 1 { one } else { many }
    )
}

/// The text with every control character, and so every terminal sequence, written as an escape that a terminal only shows.
pub fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control()
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
        {
            // Writing to a String cannot fail.
            write!(out, "\\u{{{:x}}}", u32::from(c)).unwrap_or_default();
        } else {
            out.push(c);
        }
    }
    out
}

/// Filled up with blanks to so many columns of a terminal, of which a CJK character or an emoji takes two.
pub fn padded(text: &str, columns: usize) -> String {
    let missing = columns.saturating_sub(text.width());
    format!("{text}{}", " ".repeat(missing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1000), "1,000");
        assert_eq!(grouped(1_234_567), "1,234,567");
    }

    #[test]
    fn terminal_sequences_do_not_reach_the_terminal() {
        assert_eq!(clean("a\u{1b}[31mb\u{202e}c"), "a\\u{1b}[31mb\\u{202e}c");
        assert_eq!(clean("Zoë 李"), "Zoë 李");
    }

    #[test]
    fn columns_are_those_of_a_terminal() {
        assert_eq!(padded("Zoë", 5), "Zoë  ");
        assert_eq!(padded("李小龙", 8), "李小龙  ");
        assert_eq!(padded("🚀x", 4), "🚀x ");
        assert_eq!(
            padded("e\u{301}", 2),
            "e\u{301} ",
            "a combining mark takes no room"
        );
        assert_eq!(padded("too long", 3), "too long");
    }
}
