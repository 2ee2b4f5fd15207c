//! What all threads that send requests to the API share: the stop flag, the deadline, the pace, the counters.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::error::{ApiError, Kind};
use super::pace::{Pace, Ticket, Wait};
use super::token::Tokens;
use crate::support::histogram::Histogram;

/// Shared limits and counters; see the file's head.
#[derive(Debug)]
pub(super) struct Control {
    stopped: AtomicBool,
    wake: Notify,
    deadline: Option<Instant>,
    pace: Pace,
    traffic: Mutex<Traffic>,
    /// Where requests carry a token of OAuth 2.
    tokens: Option<Box<Tokens>>,
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
    pub fn new(deadline: Option<Instant>, pace: Pace) -> Self {
        Self {
            stopped: AtomicBool::new(false),
            wake: Notify::new(),
            deadline,
            pace,
            traffic: Mutex::default(),
            tokens: None,
        }
    }

    /// The same for requests that carry these tokens.
    pub fn with_tokens(mut self, tokens: Option<Tokens>) -> Self {
        self.tokens = tokens.map(Box::new);
        self
    }

    pub fn tokens(&self) -> Option<&Tokens> {
        self.tokens.as_deref()
    }

    /// Ends every sleep and every exchange at once.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.wake.notify_waiters();
        self.pace.wake();
        if let Some(tokens) = &self.tokens {
            tokens.stop();
        }
    }

    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// Completes when [`Control::stop`] has been called.
    pub async fn stopped(&self) {
        loop {
            // Register before reading the flag, so that a stop in between is not missed.
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

    /// Waits until a request may start. Ends with an error at the run's deadline or at a stop.
    pub async fn admit(&self) -> Result<Ticket<'_>, ApiError> {
        loop {
            let mut changed = pin!(self.pace.changed());
            // Register before looking, so that an answer or a stop in between is not missed.
            changed.as_mut().enable();
            if self.is_stopped() {
                return Err(stopped());
            }
            self.check_deadline()?;
            let now = Instant::now();
            let wait = match self.pace.enter(now) {
                Ok(ticket) => return Ok(ticket),
                Err(wait) => wait,
            };
            let until = match wait {
                Wait::Until(at) => Some(at),
                Wait::ForMore(at) => {
                    let seconds = (at - now).as_secs_f64();
                    if self.deadline.is_some_and(|deadline| deadline <= at) {
                        return Err(used_up(seconds));
                    }
                    if self.pace.announce() {
                        log::info!("the API's rate limit is used up: waiting {seconds:.0} s");
                    }
                    Some(at)
                }
                Wait::ForAnswer => None,
            };
            let until = until.into_iter().chain(self.deadline).min();
            match until {
                Some(at) => tokio::time::timeout_at(at.into(), changed)
                    .await
                    .unwrap_or_default(),
                None => changed.await,
            }
        }
    }

    /// The server asked for a pause: it holds for all threads.
    pub fn hold(&self, pause: Duration) {
        self.pace.hold(pause);
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

pub(crate) fn stopped() -> ApiError {
    ApiError::new(Kind::Stopped, "the run was told to stop", "")
}

pub(crate) fn out_of_time() -> ApiError {
    ApiError::new(
        Kind::Deadline,
        "the deadline of the run is over",
        "give the run more time (--deadline), or fetch less at once",
    )
}

fn used_up(seconds: f64) -> ApiError {
    ApiError::new(
        Kind::Deadline,
        format!(
            "the API's rate limit is used up for {seconds:.0} s more, which is beyond the deadline of the run"
        ),
        "give the run more time (--deadline), or fetch less at once",
    )
}
