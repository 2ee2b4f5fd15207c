//! A histogram of durations in bounded memory: quantiles for the report, cumulative buckets for Prometheus.

use std::time::Duration;

/// Buckets per doubling: a quantile is at most 9 % above the true value.
const PER_OCTAVE: usize = 8;
/// Upper bound of the first bucket, seconds.
const FIRST: f64 = 0.0001;
/// 24 doublings of 0.1 ms reach 28 minutes.
const BUCKETS: usize = 24 * PER_OCTAVE;

/// Upper bounds of the buckets for Prometheus, in seconds. Its last bucket, without a bound, is [`Histogram::count`].
pub const BOUNDS: [f64; 15] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];

/// A histogram with logarithmic buckets. It takes 1.6 KiB, however many durations are counted.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: [u64; BUCKETS],
    /// For each of [`BOUNDS`], how many durations were at most that long.
    at_most: [u64; BOUNDS.len()],
    count: u64,
    sum: f64,
    max: f64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: [0; BUCKETS],
            at_most: [0; BOUNDS.len()],
            count: 0,
            sum: 0.0,
            max: 0.0,
        }
    }
}

impl Histogram {
    /// Counts one duration.
    pub fn record(&mut self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        self.counts[bucket(seconds)] += 1;
        for (count, bound) in self.at_most.iter_mut().zip(BOUNDS) {
            *count += u64::from(seconds <= bound);
        }
        self.count += 1;
        self.sum += seconds;
        self.max = self.max.max(seconds);
    }

    /// Adds another histogram.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        for (mine, theirs) in self.at_most.iter_mut().zip(other.at_most) {
            *mine += theirs;
        }
        self.count += other.count;
        self.sum += other.sum;
        self.max = self.max.max(other.max);
    }

    /// How many durations were counted.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The sum of all durations, in seconds.
    pub const fn sum(&self) -> f64 {
        self.sum
    }

    /// The longest duration, in seconds.
    pub const fn max(&self) -> f64 {
        self.max
    }

    /// The duration in seconds below which the share `q` (0 to 1) of all durations lies; 0 where none was counted.
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

    /// Bars for a chart, each half a doubling wide: bounds in seconds and count. Empty bars at both ends are left out.
    pub fn bars(&self) -> Vec<(f64, f64, u64)> {
        const TOGETHER: usize = PER_OCTAVE / 2;
        let mut bars: Vec<(f64, f64, u64)> = self
            .counts
            .chunks(TOGETHER)
            .enumerate()
            .map(|(i, counts)| {
                let last = upper(i * TOGETHER + TOGETHER - 1);
                (last / std::f64::consts::SQRT_2, last, counts.iter().sum())
            })
            .skip_while(|(_, _, count)| *count == 0)
            .collect();
        while bars.last().is_some_and(|(_, _, count)| *count == 0) {
            bars.pop();
        }
        bars
    }

    /// For each of [`BOUNDS`]: the bound in seconds, and how many durations were at most that long.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        BOUNDS.into_iter().zip(self.at_most)
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
        let seen: Vec<u64> = histogram.cumulative().map(|(_, count)| count).collect();
        assert_eq!(
            seen,
            [1; BOUNDS.len()],
            "an age is in no bucket with a bound"
        );
    }

    #[test]
    fn bars_cover_what_was_recorded_and_no_more() {
        let mut histogram = Histogram::default();
        assert!(histogram.bars().is_empty());
        for ms in [10, 11, 40] {
            histogram.record(Duration::from_millis(ms));
        }
        let bars = histogram.bars();
        assert_eq!(bars.iter().map(|(_, _, count)| count).sum::<u64>(), 3);
        let (first, last) = (bars[0], bars[bars.len() - 1]);
        assert!(
            first.0 < 0.010 && first.1 >= 0.010 && first.2 > 0,
            "{first:?}"
        );
        assert!(last.0 < 0.040 && last.1 >= 0.040 && last.2 == 1, "{last:?}");
        for pair in bars.windows(2) {
            assert!(
                (pair[0].1 - pair[1].0).abs() < 1e-9,
                "without a gap: {pair:?}"
            );
        }
    }

    #[test]
    fn merging_adds() {
        let mut a = Histogram::default();
        let mut b = Histogram::default();
        a.record(Duration::from_millis(10));
        b.record(Duration::from_millis(900));
        a.merge(&b);
        assert_eq!(a.count(), 2);
        assert_eq!(a.cumulative().nth(6), Some((0.1, 1)));
        assert_eq!(a.cumulative().nth(9), Some((1.0, 2)));
        assert!((a.max() - 0.9).abs() < 1e-9);
    }
}
