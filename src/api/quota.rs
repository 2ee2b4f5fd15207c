//! Reads the API's rate limit from the headers of an answer: how many requests are left, and when there will be more.
//!
//! Three spellings are in use: the structured `RateLimit` and `RateLimit-Policy`, the older `RateLimit-Limit`,
//! `-Remaining` and `-Reset`, and the same with `X-` in front. Of several limits the one with the fewest requests counts.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::HeaderMap;

use super::retry;

/// A reset further away than this is not waited for: the request is made, and a 429 decides.
const LONGEST: Duration = Duration::from_hours(1);
/// A larger number is a point in time (seconds or milliseconds since 1970), a smaller one is a duration.
const EPOCH_SECONDS: f64 = 1e9;
const EPOCH_MILLISECONDS: f64 = 1e11;

/// A rate limit, as one answer announces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quota {
    /// Requests that will still be answered.
    pub remaining: u64,
    /// Time until there are more; rather too long than too short, since whole seconds may have been rounded down.
    pub resets_in: Duration,
}

/// Of the limits in an answer, the one with the fewest requests left.
pub(super) fn parse(headers: &HeaderMap) -> Option<Quota> {
    let window = window(headers);
    let structured = all(headers, "ratelimit").into_iter().flat_map(structured);
    let older = ["ratelimit", "x-ratelimit", "x-rate-limit"]
        .into_iter()
        .filter_map(|prefix| triple(headers, prefix));
    structured
        .chain(older)
        .map(|(remaining, reset)| Quota {
            remaining,
            resets_in: patience(reset, window),
        })
        .filter(|quota| quota.resets_in <= LONGEST + Duration::from_secs(1))
        .min_by_key(|quota| (quota.remaining, std::cmp::Reverse(quota.resets_in)))
}

/// How long to wait for a reset in `seconds`: one second more, since they may be rounded, but no longer than the window.
fn patience(seconds: f64, window: Option<f64>) -> Duration {
    let seconds = seconds.clamp(0.0, 1e9);
    let most = window.map_or(f64::MAX, |window| window.max(seconds));
    Duration::from_secs_f64((seconds + 1.0).min(most))
}

/// Members of the structured field: remaining requests, and seconds until there are more.
fn structured(text: &str) -> Vec<(u64, f64)> {
    let mut found = Vec::new();
    // An earlier draft had `limit=100, remaining=50, reset=30`.
    let (mut remaining, mut reset) = (None, None);
    for member in split(text, ',') {
        let parts = split(member, ';');
        let parameter = |name: &str| parts.iter().skip(1).find_map(|part| value_of(part, name));
        if let Some(left) = parameter("r").and_then(whole) {
            found.push((left, parameter("t").and_then(number).unwrap_or(0.0)));
        }
        if let Some(first) = parts.first() {
            remaining = remaining.or(value_of(first, "remaining").and_then(whole));
            reset = reset.or(value_of(first, "reset").and_then(number));
        }
    }
    found.extend(remaining.map(|left| (left, reset.unwrap_or(0.0))));
    found
}

/// `<prefix>-remaining` and `<prefix>-reset`.
fn triple(headers: &HeaderMap, prefix: &str) -> Option<(u64, f64)> {
    let one = |name: &str| headers.get(format!("{prefix}-{name}"))?.to_str().ok();
    let remaining = whole(one("remaining")?)?;
    let reset = one("reset").and_then(number).unwrap_or(0.0);
    let seconds = if reset < EPOCH_SECONDS {
        reset
    } else {
        let at = if reset < EPOCH_MILLISECONDS {
            reset
        } else {
            reset / 1000.0
        };
        // Measured by the server's own clock, if its Date header gives it.
        let now = retry::server_time(headers).unwrap_or_else(Timestamp::now);
        at - now.as_millisecond() as f64 / 1000.0
    };
    Some((remaining, seconds))
}

/// Seconds of the window, if exactly one is given: `RateLimit-Policy: "default";q=100;w=60`, or `RateLimit-Limit: 100;w=60`.
fn window(headers: &HeaderMap) -> Option<f64> {
    let mut windows = ["ratelimit-policy", "ratelimit-limit"]
        .into_iter()
        .flat_map(|name| all(headers, name))
        .flat_map(|text| split(text, ','))
        .filter_map(|member| {
            split(member, ';')
                .iter()
                .skip(1)
                .find_map(|part| value_of(part, "w"))
                .and_then(number)
        });
    let first = windows.next()?;
    windows
        .all(|other| other.to_bits() == first.to_bits())
        .then_some(first)
}

/// A field may come in several lines.
fn all<'h>(headers: &'h HeaderMap, name: &str) -> Vec<&'h str> {
    let lines = headers.get_all(name).iter();
    lines.filter_map(|value| value.to_str().ok()).collect()
}

/// Splits at `at`, except within quotes.
fn split(text: &str, at: char) -> Vec<&str> {
    let mut quoted = false;
    text.split(|c| {
        quoted ^= c == '"';
        c == at && !quoted
    })
    .map(str::trim)
    .collect()
}

fn value_of<'t>(part: &'t str, name: &str) -> Option<&'t str> {
    let (key, value) = part.split_once('=')?;
    (key.trim() == name).then(|| value.trim())
}

fn whole(text: &str) -> Option<u64> {
    // Some APIs count below zero when too many requests were made.
    let text = text.trim();
    match text.strip_prefix('-') {
        Some(rest) => rest.parse::<u64>().ok().map(|_| 0),
        None => text.parse().ok(),
    }
}

fn number(text: &str) -> Option<f64> {
    let number: f64 = text.trim().parse().ok()?;
    (number.is_finite() && number >= 0.0).then_some(number)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    fn read(lines: &[(&'static str, &str)]) -> Option<(u64, u64)> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        parse(&headers).map(|quota| (quota.remaining, quota.resets_in.as_secs()))
    }

    #[test]
    fn every_spelling_is_read() {
        // One second is added, but the wait is never longer than the window.
        assert_eq!(
            read(&[("ratelimit", r#""default";r=50;t=30"#)]),
            Some((50, 31))
        );
        assert_eq!(
            read(&[
                ("ratelimit-policy", r#""default";q=100;w=60"#),
                ("ratelimit", r#""default";r=0;t=60"#),
            ]),
            Some((0, 60))
        );
        assert_eq!(
            read(&[("ratelimit", "limit=100, remaining=7, reset=5")]),
            Some((7, 6))
        );
        assert_eq!(
            read(&[
                ("ratelimit-limit", "100, 100;w=5"),
                ("ratelimit-remaining", "4"),
                ("ratelimit-reset", "5"),
            ]),
            Some((4, 5))
        );
        assert_eq!(
            read(&[("x-ratelimit-remaining", "3"), ("x-ratelimit-reset", "12")]),
            Some((3, 13))
        );
        assert_eq!(read(&[("x-rate-limit-remaining", "3")]), Some((3, 1)));
    }

    #[test]
    fn a_reset_may_be_a_time_in_seconds_or_milliseconds_by_the_servers_clock() {
        let date = ("date", "Sun, 22 Nov 2026 10:00:00 GMT");
        for at in ["1795341610", "1795341610000"] {
            let quota = read(&[
                date,
                ("x-ratelimit-remaining", "0"),
                ("x-ratelimit-reset", at),
            ]);
            assert_eq!(quota, Some((0, 11)), "{at}");
        }
        let past = read(&[
            date,
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", "1795341000"),
        ]);
        assert_eq!(past, Some((0, 1)));
    }

    #[test]
    fn the_scarcest_of_several_limits_counts() {
        assert_eq!(
            read(&[("ratelimit", r#""day";r=900;t=3000, "a,b;c";r=2;t=1"#)]),
            Some((2, 2))
        );
        assert_eq!(
            read(&[
                ("ratelimit", r#""day";r=0;t=3000"#),
                ("ratelimit", r#""burst";r=0;t=1"#),
            ]),
            Some((0, 3001)),
            "of equals, the one that lasts longer"
        );
        assert_eq!(
            read(&[("x-ratelimit-remaining", "-3"), ("x-ratelimit-reset", "9")]),
            Some((0, 10)),
            "overdrawn"
        );
    }

    #[test]
    fn what_cannot_be_read_or_lasts_for_ever_is_no_limit() {
        for lines in [
            &[][..],
            &[("ratelimit", "soon")],
            &[("ratelimit", r#""default";q=5"#)],
            &[
                ("x-ratelimit-remaining", "many"),
                ("x-ratelimit-reset", "9"),
            ],
            &[("x-ratelimit-reset", "9")],
            &[("ratelimit", r#""day";r=0;t=86400"#)],
        ] {
            assert_eq!(read(lines), None, "{lines:?}");
        }
    }
}
