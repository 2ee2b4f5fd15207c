//! How long to wait before the next try: backoff with full jitter, and Retry-After in both of its forms.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

use crate::config::plan::{Backoff, Retry};

/// Wait before retry number `retry` (from 0): a random time below a bound that doubles, not shorter than the server asked
/// for, and never longer than `retry.max`.
pub(super) fn wait(policy: &Retry, retry: u32, asked: Option<Duration>) -> Duration {
    let bound = bound(policy, retry);
    let jittered = bound.mul_f64(fastrand::f64());
    jittered.max(asked.unwrap_or_default()).min(policy.max)
}

fn bound(policy: &Retry, retry: u32) -> Duration {
    let grown = match policy.backoff {
        Backoff::Fixed => policy.initial,
        Backoff::Exponential => policy.initial.saturating_mul(1 << retry.min(20)),
    };
    grown.min(policy.max)
}

/// Retry-After as a duration: seconds, or a date, measured against the server's own clock where it sends one.
pub(super) fn asked(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        // A number too large for 64 bits counts as the longest wait; `retry.max` bounds it.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let at = http_date(text)?;
    let now = server_time(headers).unwrap_or_else(Timestamp::now);
    let seconds = at.as_second() - now.as_second();
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

/// The server's clock, from its Date header.
pub(super) fn server_time(headers: &HeaderMap) -> Option<Timestamp> {
    http_date(headers.get(DATE)?.to_str().ok()?)
}

fn http_date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::parse(text)
        .ok()
        .map(|zoned| zoned.timestamp())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    fn policy(backoff: Backoff) -> Retry {
        Retry {
            max_attempts: 3,
            backoff,
            initial: Duration::from_millis(500),
            max: Duration::from_secs(30),
        }
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_str(value).unwrap(),
                )
            })
            .collect()
    }

    #[test]
    fn the_bound_doubles_up_to_the_cap() {
        let policy = policy(Backoff::Exponential);
        let bounds: Vec<u128> = [0, 1, 2, 5, 6, 40, u32::MAX]
            .map(|n| bound(&policy, n).as_millis())
            .to_vec();
        assert_eq!(bounds, [500, 1000, 2000, 16000, 30000, 30000, 30000]);
    }

    #[test]
    fn a_fixed_bound_stays() {
        let policy = policy(Backoff::Fixed);
        assert_eq!(bound(&policy, 0), bound(&policy, 7));
    }

    #[test]
    fn jitter_is_full_and_never_beyond_the_bound() {
        let policy = policy(Backoff::Exponential);
        let waits: Vec<Duration> = (0..400).map(|_| wait(&policy, 1, None)).collect();
        assert!(waits.iter().all(|w| *w <= Duration::from_secs(1)));
        assert!(waits.iter().any(|w| *w < Duration::from_millis(200)));
        assert!(waits.iter().any(|w| *w > Duration::from_millis(800)));
    }

    #[test]
    fn what_the_server_asks_is_honoured_up_to_the_cap() {
        let policy = policy(Backoff::Exponential);
        let five = Duration::from_secs(5);
        assert_eq!(wait(&policy, 0, Some(five)), five);
        assert_eq!(wait(&policy, 0, Some(Duration::MAX)), policy.max);
    }

    #[test]
    fn retry_after_comes_as_seconds_or_as_a_date() {
        let asked_in = |pairs: &[(&'static str, &str)]| asked(&headers(pairs));
        assert_eq!(
            asked_in(&[("retry-after", "7")]),
            Some(Duration::from_secs(7))
        );
        assert_eq!(
            asked_in(&[("retry-after", "99999999999999999999999")]),
            Some(Duration::from_secs(u64::MAX))
        );
        assert_eq!(
            asked_in(&[
                ("date", "Sun, 22 Nov 2026 10:00:00 GMT"),
                ("retry-after", "Sun, 22 Nov 2026 10:00:12 GMT"),
            ]),
            Some(Duration::from_secs(12))
        );
        assert_eq!(
            asked_in(&[("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")]),
            Some(Duration::ZERO)
        );
        assert_eq!(asked_in(&[("retry-after", "soon")]), None);
        assert_eq!(asked_in(&[]), None);
    }
}
