//! Durations in bounded memory: quantiles for the report, cumulative buckets for Prometheus.

use std::time::Duration;

/// Buckets per doubling: a quantile is at most 9 % above the truth.
const PER_OCTAVE: usize = 8;
/// Upper bound of the first bucket, seconds.
const FIRST: f64 = 0.0001;
/// 24 doublings of 0.1 ms reach 28 minutes.
const BUCKETS: usize = 24 * PER_OCTAVE;

/// A histogram with logarithmic buckets; 1.5 KiB whatever it has seen.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: [u64; BUCKETS],
    count: u64,
    sum: f64,
    max: f64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: [0; BUCKETS],
            count: 0,
            sum: 0.0,
            max: 0.0,
        }
    }
}

impl Histogram {
    pub fn record(&mut self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        self.counts[bucket(seconds)] += 1;
        self.count += 1;
        self.sum += seconds;
        self.max = self.max.max(seconds);
    }

    /// Adds another histogram.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.count += other.count;
        self.sum += other.sum;
        self.max = self.max.max(other.max);
    }

    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Seconds in total.
    pub const fn sum(&self) -> f64 {
        self.sum
    }

    /// The longest, seconds.
    pub const fn max(&self) -> f64 {
        self.max
    }

    /// Seconds below which the share `q` (0 to 1) of the durations lies; 0 when there are none.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rank between 1 and count"
    )]
    pub fn quantile(&self, q: f64) -> f64 {
        let rank = ((self.count as f64 * q).ceil() as u64).max(1);
        let mut seen = 0;
        for (i, n) in self.counts.iter().enumerate() {
            seen += n;
            if seen >= rank {
                // The last bucket has no upper bound.
                return if i + 1 == BUCKETS {
                    self.max
                } else {
                    upper(i).min(self.max)
                };
            }
        }
        self.max
    }

    /// How many were at most `seconds` long, to the resolution of the buckets: a Prometheus `le` bucket.
    pub fn at_most(&self, seconds: f64) -> u64 {
        self.counts
            .iter()
            .enumerate()
            .take_while(|(i, _)| upper(*i) <= seconds * 1.000_001)
            .map(|(_, n)| n)
            .sum()
    }
}

/// Upper bound of bucket `i`, seconds.
fn upper(i: usize) -> f64 {
    FIRST * (i as f64 / PER_OCTAVE as f64).exp2()
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to the range of the buckets"
)]
fn bucket(seconds: f64) -> usize {
    if seconds <= FIRST {
        return 0;
    }
    let i = ((seconds / FIRST).log2() * PER_OCTAVE as f64).ceil();
    (i as usize).min(BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_a_tenth_of_the_truth() {
        let mut histogram = Histogram::default();
        for ms in 1..=1000 {
            histogram.record(Duration::from_millis(ms));
        }
        for (q, truth) in [(0.5, 0.5), (0.95, 0.95), (0.99, 0.99)] {
            let got = histogram.quantile(q);
            assert!(got >= truth && got < truth * 1.1, "{q}: {got}");
        }
        assert!((histogram.max() - 1.0).abs() < 1e-9);
        assert!((histogram.quantile(1.0) - 1.0).abs() < 1e-9);
        assert_eq!(histogram.count(), 1000);
    }

    #[test]
    fn empty_and_extreme_durations_are_fine() {
        let mut histogram = Histogram::default();
        assert!(histogram.quantile(0.5).abs() < f64::EPSILON);
        histogram.record(Duration::ZERO);
        histogram.record(Duration::from_secs(1_000_000));
        assert!((histogram.quantile(1.0) - 1e6).abs() < 1e-6);
        assert_eq!(histogram.at_most(0.001), 1);
    }

    #[test]
    fn merging_adds() {
        let mut a = Histogram::default();
        let mut b = Histogram::default();
        a.record(Duration::from_millis(10));
        b.record(Duration::from_millis(900));
        a.merge(&b);
        assert_eq!(a.count(), 2);
        assert_eq!(a.at_most(0.1), 1);
        assert!((a.max() - 0.9).abs() < 1e-9);
    }
}
