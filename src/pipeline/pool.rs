//! The size of the pool of writers. It is decided by the speed of the run and by how long batches wait.

use std::time::{Duration, Instant};

use super::queue::Queue;
use crate::store::{Batch, Keys};

/// How long the pool is watched before it grows or shrinks.
const WINDOW: Duration = Duration::from_millis(500);

/// How many writers there are. One more is added while batches wait. It is taken back when it has not made the run faster: on a
/// busy machine more connections are slower.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) size: u32,
    max: u32,
    pub(super) largest: u32,
    pub(super) exhausted: bool,
    pub(super) waited: Duration,
    window: Instant,
    accounted: u64,
    /// Records a second before the last growth, while it is on trial.
    trial: Option<f64>,
    /// Windows to wait after a writer that did not make the run faster.
    rest: u32,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    None,
    Grow,
    Shrink,
}

impl Pool {
    /// One more writer must make the run faster by this factor.
    const WORTH: f64 = 1.1;
    const REST: u32 = 20;

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

    /// The server had no connection for one of the writers, which has ended.
    pub(super) fn connections_exhausted(&mut self) {
        self.size = self.size.saturating_sub(1).max(1);
        self.trial = None;
        self.rest = Self::REST;
    }

    /// One more could not be started: go on with those there are, and do not try again for a while.
    pub(super) fn could_not_start(&mut self, error: &str) {
        self.size = self.size.saturating_sub(1).max(1);
        self.trial = None;
        self.rest = Self::REST;
        log::warn!("{error}; {} connections write", self.size);
    }

    pub(super) fn tick(&mut self, queue: &Queue<Keys, Box<Batch>>, accounted: u64) -> Change {
        let elapsed = self.window.elapsed();
        if elapsed < WINDOW {
            return Change::None;
        }
        let pressed = queue.take_pressure();
        self.waited += pressed;
        let rate = accounted.saturating_sub(self.accounted) as f64 / elapsed.as_secs_f64();
        self.window = Instant::now();
        self.accounted = accounted;
        self.change(rate, pressed * 2 > elapsed)
    }

    /// After a window: `rate` records a second, and whether shaping waited for writers most of the time.
    fn change(&mut self, rate: f64, pressed: bool) -> Change {
        if self
            .trial
            .take()
            .is_some_and(|before| rate < before * Self::WORTH)
        {
            self.rest = Self::REST;
            self.size -= 1;
            return Change::Shrink;
        }
        self.rest = self.rest.saturating_sub(1);
        if !pressed || self.rest > 0 {
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
