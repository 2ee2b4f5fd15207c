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

/// A duration in its two largest units: `3 d 4 h`, `2 h`, `45 s`.
pub fn span(duration: std::time::Duration) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let seconds = duration.as_secs();
    let largest = UNITS.iter().position(|(unit, _)| seconds >= *unit);
    let at = largest.unwrap_or(UNITS.len() - 1);
    let (unit, name) = UNITS[at];
    let mut text = format!("{} {name}", seconds / unit);
    if let Some((smaller, name)) = UNITS.get(at + 1)
        && seconds % unit >= *smaller
    {
        text += &format!(" {} {name}", seconds % unit / smaller);
    }
    text
}

/// The text with every control character (so with every terminal sequence) replaced by an escape that a terminal only shows.
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

/// The text, filled up with blanks to this many columns of a terminal. A CJK character or an emoji takes two.
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
    fn durations_are_told_in_two_units() {
        for (seconds, text) in [
            (0, "0 s"),
            (45, "45 s"),
            (90, "1 min 30 s"),
            (7_200, "2 h"),
            (273_600, "3 d 4 h"),
        ] {
            assert_eq!(span(std::time::Duration::from_secs(seconds)), text);
        }
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
