//! Moments, and PostgreSQL's clock as this process knows it.

use std::fmt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A point in time: microseconds since 1970-01-01T00:00:00Z, which is also PostgreSQL's resolution.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Micros(pub i64);

impl Micros {
    /// The earliest moment.
    pub const MIN: Self = Self(i64::MIN);

    /// The moment by the clock of this machine. That clock may be set at any time, so stored data is never ordered by it.
    pub fn local() -> Self {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(Self(0), |since| Self(0).after(since))
    }

    /// This moment plus `duration`, or the latest moment that can be represented.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(micros))
    }

    /// This moment minus `duration`, or the earliest moment that can be represented.
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(micros))
    }

    /// Whole seconds since 1970, rounded down.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }
}

/// A moment is shown as RFC 3339 in UTC.
impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = jiff::Timestamp::from_microsecond(self.0).unwrap_or(if self.0 < 0 {
            jiff::Timestamp::MIN
        } else {
            jiff::Timestamp::MAX
        });
        fmt::Display::fmt(&time, f)
    }
}

/// PostgreSQL's clock: it is read once, and carried on by the monotonic clock of this machine. So it does not matter whether
/// the machine's own clock is right, or is set while the run goes on.
#[derive(Clone, Copy, Debug)]
pub struct DatabaseClock {
    read_at: Instant,
    moment: Micros,
}

impl DatabaseClock {
    /// A clock that showed `moment` at the instant `read_at`.
    pub const fn new(read_at: Instant, moment: Micros) -> Self {
        Self { read_at, moment }
    }

    /// The clock of this machine, for use while PostgreSQL cannot be reached.
    pub fn local() -> Self {
        Self::new(Instant::now(), Micros::local())
    }

    /// The time it shows now.
    pub fn now(&self) -> Micros {
        self.at(Instant::now())
    }

    /// The time it showed, or will show, at that instant.
    pub fn at(&self, instant: Instant) -> Micros {
        match instant.checked_duration_since(self.read_at) {
            Some(later) => self.moment.after(later),
            None => self.moment.before(self.read_at - instant),
        }
    }
}

/// The time between two moments; zero where `since` is the later one.
pub fn age(since: Micros, now: Micros) -> Duration {
    Duration::from_micros(u64::try_from(now.0.saturating_sub(since.0)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_goes_on_from_where_it_was_read_in_both_directions() {
        let read_at = Instant::now();
        let clock = DatabaseClock::new(read_at, Micros(5_000_000));
        let second = Duration::from_secs(1);
        assert_eq!(clock.at(read_at + second), Micros(6_000_000));
        if let Some(earlier) = read_at.checked_sub(second) {
            assert_eq!(clock.at(earlier), Micros(4_000_000));
        }
        assert!(clock.now() >= Micros(5_000_000));
    }

    #[test]
    fn a_moment_is_shown_as_rfc_3339_whatever_it_is() {
        assert_eq!(Micros(0).to_string(), "1970-01-01T00:00:00Z");
        assert!(Micros(i64::MAX).to_string().starts_with("9999-"));
        assert_eq!(Micros(-1).seconds(), -1);
    }
}
