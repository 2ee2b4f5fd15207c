//! How durations, sizes, shares and names of variables are written.

use std::time::Duration;

/// The longest duration that may be asked for: 100 years, well below what the clocks of all systems hold.
const LONGEST: Duration = Duration::from_hours(100 * 365 * 24);

/// `500ms`, `30s`, `10m`, `2h`, `5d`; a bare number is seconds. None for anything else, and for more than 100 years.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let milliseconds = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number
        .checked_mul(milliseconds)
        .map(Duration::from_millis)
        .filter(|duration| *duration <= LONGEST)
}

/// `32MiB`, `1GiB`, `10MB`, `4096`: bytes.
pub fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let bytes: u64 = match unit {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(bytes)
}

/// `5%` or `0.05`: 0 to 1.
pub fn parse_share(text: &str) -> Option<f64> {
    let (number, divisor) = match text.strip_suffix('%') {
        Some(number) => (number.trim_end(), 100.0),
        None => (text, 1.0),
    };
    if !number
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.')
    {
        return None;
    }
    let share = number.parse::<f64>().ok()? / divisor;
    (0.0..=1.0).contains(&share).then_some(share)
}

/// True for what can be the name of an environment variable.
pub(super) fn is_variable_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A size as [`parse_size`] reads it.
pub(super) fn show_size(bytes: u64) -> String {
    for (unit, length) in [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if bytes >= length && bytes.is_multiple_of(length) {
            return format!("{}{unit}", bytes / length);
        }
    }
    format!("{bytes} bytes")
}

/// A duration as [`parse_duration`] reads it.
pub(crate) fn show_duration(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    for (unit, length) in [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
    ] {
        if milliseconds >= length && milliseconds.is_multiple_of(length) {
            return format!("{}{unit}", milliseconds / length);
        }
    }
    format!("{milliseconds}ms")
}

fn split(text: &str) -> Option<(u64, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    Some((text[..end].parse().ok()?, text[end..].trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let cases = [
            ("500ms", Some(500)),
            ("30s", Some(30_000)),
            ("30", Some(30_000)),
            ("10m", Some(600_000)),
            ("2 h", Some(7_200_000)),
            ("5d", Some(432_000_000)),
            ("", None),
            ("s", None),
            ("-1s", None),
            ("1.5s", None),
            ("1w", None),
            ("36500d", Some(3_153_600_000_000)),
            ("36501d", None),
            ("99999999999999999999s", None),
            ("18446744073709551615d", None),
        ];
        for (text, milliseconds) in cases {
            assert_eq!(
                parse_duration(text),
                milliseconds.map(Duration::from_millis),
                "{text}"
            );
        }
    }

    #[test]
    fn sizes() {
        let cases = [
            ("32MiB", Some(33_554_432)),
            ("1 GiB", Some(1_073_741_824)),
            ("10MB", Some(10_000_000)),
            ("4096", Some(4096)),
            ("1 parsec", None),
            ("99999999999GiB", None),
        ];
        for (text, bytes) in cases {
            assert_eq!(parse_size(text), bytes, "{text}");
        }
    }

    #[test]
    fn shares() {
        let cases = [
            ("5%", Some(0.05)),
            ("0.05", Some(0.05)),
            ("100 %", Some(1.0)),
            ("0", Some(0.0)),
            ("5", None),
            ("101%", None),
            ("-1%", None),
            ("nan", None),
            ("inf", None),
            ("1e0", None),
            ("", None),
        ];
        for (text, share) in cases {
            assert_eq!(parse_share(text), share, "{text}");
        }
    }
}
