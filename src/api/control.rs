//! What all fetch threads of a run share beside the sequence of pages: the stop flag, the deadline, the pace, the counters.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::error::{ApiError, Kind};
use crate::histogram::Histogram;

/// Shared limits and counters; see the file's head.
#[derive(Debug)]
pub(super) struct Control {
    stopped: AtomicBool,
    wake: Notify,
    deadline: Option<Instant>,
    /// Pause between two requests of the run, for `max_requests_per_second`.
    interval: Duration,
    /// No request starts before this: the pace, and what a Retry-After asks of all threads.
    next_start: Mutex<Instant>,
    traffic: Mutex<Traffic>,
}

/// Counters of requests.
#[derive(Clone, Debug, Default)]
pub(super) struct Traffic {
    pub requests: u64,
    /// Retries by cause.
    pub retries: BTreeMap<&'static str, u64>,
    /// Every exchange, failed ones included, body included.
    pub response_seconds: Histogram,
    /// Body bytes as they came over the wire.
    pub bytes: u64,
}

impl Control {
    pub fn new(deadline: Option<Instant>, max_requests_per_second: Option<f64>) -> Self {
        let interval = max_requests_per_second
            .filter(|rate| *rate > 0.0)
            .and_then(|rate| Duration::try_from_secs_f64(1.0 / rate).ok())
            .unwrap_or_default();
        Self {
            stopped: AtomicBool::new(false),
            wake: Notify::new(),
            deadline,
            interval,
            next_start: Mutex::new(Instant::now()),
            traffic: Mutex::default(),
        }
    }

    /// Ends every sleep and every exchange at once.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.wake.notify_waiters();
    }

    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// Completes when [`Control::stop`] has been called.
    pub async fn stopped(&self) {
        loop {
            // Registered before the flag is read: a stop in between is not missed.
            let wake = self.wake.notified();
            if self.is_stopped() {
                return;
            }
            wake.await;
        }
    }

    /// Time left until the deadline of the run; none = unlimited.
    pub fn left(&self) -> Option<Duration> {
        self.deadline
            .map(|at| at.saturating_duration_since(Instant::now()))
    }

    /// Takes a place in the pace: how long to wait before the next request may start.
    pub fn turn(&self) -> Duration {
        let mut next = self
            .next_start
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let at = (*next).max(now);
        *next = at + self.interval;
        at - now
    }

    /// The server asked for a pause: it holds for all threads.
    pub fn hold(&self, pause: Duration) {
        let mut next = self
            .next_start
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *next = (*next).max(Instant::now() + pause);
    }

    /// Sleeps, unless the run is stopped or its deadline comes first.
    pub async fn sleep(&self, wait: Duration) -> Result<(), ApiError> {
        if self.is_stopped() {
            return Err(stopped());
        }
        if wait.is_zero() {
            return self.check_deadline();
        }
        if self.left().is_some_and(|left| left <= wait) {
            return Err(out_of_time());
        }
        match tokio::time::timeout(wait, self.stopped()).await {
            Ok(()) => Err(stopped()),
            Err(_) => Ok(()),
        }
    }

    fn check_deadline(&self) -> Result<(), ApiError> {
        match self.left() {
            Some(Duration::ZERO) => Err(out_of_time()),
            _ => Ok(()),
        }
    }

    pub fn count_exchange(&self, took: Duration, bytes: u64) {
        let mut traffic = self.traffic.lock().unwrap_or_else(PoisonError::into_inner);
        traffic.requests += 1;
        traffic.bytes += bytes;
        traffic.response_seconds.record(took);
    }

    pub fn count_retry(&self, kind: &'static str) {
        let mut traffic = self.traffic.lock().unwrap_or_else(PoisonError::into_inner);
        *traffic.retries.entry(kind).or_default() += 1;
    }

    pub fn traffic(&self) -> Traffic {
        self.traffic
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

pub(super) fn stopped() -> ApiError {
    ApiError::new(Kind::Stopped, "the run was told to stop", "")
}

pub(super) fn out_of_time() -> ApiError {
    ApiError::new(
        Kind::Deadline,
        "the deadline of the run is over",
        "give the run more time (--deadline), or fetch less at once",
    )
}
