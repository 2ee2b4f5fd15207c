//! The size of the pool of writers: it depends on the speed of the run and on how long batches wait.

use std::time::{Duration, Instant};

use super::queue::Queue;
use crate::store::{Batch, Keys};

/// How long the speed is measured before the pool grows or shrinks.
const WINDOW: Duration = Duration::from_millis(500);

/// The number of writers. One is added while batches wait, and removed if that made the run no faster, as on a busy machine.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) size: u32,
    max: u32,
    pub(super) largest: u32,
    pub(super) exhausted: bool,
    pub(super) waited: Duration,
    window: Instant,
    accounted: u64,
    /// Records a second before the last writer was added, until it is known whether that helped.
    trial: Option<f64>,
    /// How many windows to wait before another writer is tried.
    rest: u32,
}

/// What the pool decides after a window.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    None,
    Grow,
    Shrink,
}

impl Pool {
    /// An additional writer must make the run faster by this factor.
    const MIN_SPEEDUP: f64 = 1.1;
    const REST: u32 = 20;

    /// A pool of `size` writers that may grow to `max`.
    pub(super) fn new(size: u32, max: u32) -> Self {
        Self {
            size,
            max,
            largest: size,
            exhausted: false,
            waited: Duration::ZERO,
            window: Instant::now(),
            accounted: 0,
            trial: None,
            rest: 0,
        }
    }

    /// Notes that a writer has ended because the server had no free connection.
    pub(super) fn connections_exhausted(&mut self) {
        self.size = self.size.saturating_sub(1).max(1);
        self.trial = None;
        self.rest = Self::REST;
    }

    /// Notes that a writer could not be started. The run goes on with the others, and tries again only after a while.
    pub(super) fn could_not_start(&mut self, error: &str) {
        self.size = self.size.saturating_sub(1).max(1);
        self.trial = None;
        self.rest = Self::REST;
        log::warn!("{error}; {} connections write", self.size);
    }

    /// Decides whether the pool changes. `accounted` is the number of records done so far.
    pub(super) fn tick(&mut self, queue: &Queue<Keys, Box<Batch>>, accounted: u64) -> Change {
        let elapsed = self.window.elapsed();
        if elapsed < WINDOW {
            return Change::None;
        }
        let waited = queue.take_wait_time();
        self.waited += waited;
        let rate = accounted.saturating_sub(self.accounted) as f64 / elapsed.as_secs_f64();
        self.window = Instant::now();
        self.accounted = accounted;
        self.change(rate, waited * 2 > elapsed)
    }

    /// The change after a window with `rate` records a second. `is_waiting`: shaping waited for writers most of the time.
    fn change(&mut self, rate: f64, is_waiting: bool) -> Change {
        if self
            .trial
            .take()
            .is_some_and(|before| rate < before * Self::MIN_SPEEDUP)
        {
            self.rest = Self::REST;
            self.size -= 1;
            return Change::Shrink;
        }
        self.rest = self.rest.saturating_sub(1);
        if !is_waiting || self.rest > 0 {
            return Change::None;
        }
        if self.size == self.max {
            self.exhausted = true;
            return Change::None;
        }
        self.trial = Some(rate);
        self.size += 1;
        self.largest = self.largest.max(self.size);
        Change::Grow
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pool_grows_while_it_pays_and_takes_back_what_does_not() {
        let mut pool = Pool::new(2, 4);
        assert_eq!(pool.change(100.0, false), Change::None, "nobody waits");
        assert_eq!(pool.change(100.0, true), Change::Grow);
        assert_eq!(
            pool.change(150.0, true),
            Change::Grow,
            "the third paid, batches still wait"
        );
        assert_eq!(
            pool.change(151.0, true),
            Change::Shrink,
            "the fourth did not"
        );
        assert_eq!(
            pool.change(150.0, true),
            Change::None,
            "and is not tried again at once"
        );
        assert_eq!((pool.size, pool.largest, pool.exhausted), (3, 4, false));
    }

    #[test]
    fn a_pool_that_the_server_has_no_room_for_shrinks_and_waits_before_it_grows() {
        let mut pool = Pool::new(2, 10);
        assert_eq!(pool.change(100.0, true), Change::Grow);
        pool.connections_exhausted();
        assert_eq!(pool.size, 2);
        for _ in 1..Pool::REST {
            assert_eq!(pool.change(1.0, true), Change::None);
        }
        assert_eq!(pool.change(1.0, true), Change::Grow);
        for _ in 0..5 {
            pool.connections_exhausted();
        }
        assert_eq!(pool.size, 1);
    }

    #[test]
    fn a_pool_at_its_maximum_with_batches_waiting_is_exhausted() {
        let mut pool = Pool::new(2, 2);
        assert_eq!(pool.change(100.0, true), Change::None);
        assert!(pool.exhausted);
    }
}
