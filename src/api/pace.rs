//! Decides when the next request may start: the pace of a run, shared by all threads that send requests to the API.
//!
//! Four things delay a request: `max_requests_per_second`, a pause the API asked for (Retry-After), the requests left by its
//! headers ([`Quota`]), and a limit on requests in flight, which falls on trouble and slow answers and recovers. This file
//! computes, with the time as an argument; [`super::control`] waits.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::quota::Quota;

/// An answer is slow if it takes this many times the usual time, and also longer by the next constant.
const SLOW_FACTOR: f64 = 2.0;
const SLOW_SECONDS: f64 = 0.25;
/// Weight of a slower answer in the moving average of response times.
const FOLLOWS: f64 = 1.0 / 16.0;

/// The pace; see the file's head.
#[derive(Debug)]
pub struct Pace {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    /// Between two starts, for `max_requests_per_second`.
    interval: Duration,
    /// No request starts before this.
    next_start: Instant,
    in_flight: u64,
    /// Counts starts and answers together, so that their order is known.
    clock: u64,
    left: Option<Remaining>,
    in_flight_limit: InFlightLimit,
}

/// What is left of the API's limit.
#[derive(Clone, Copy, Debug)]
struct Remaining {
    requests: u64,
    until: Instant,
    /// When the API announced it, in ticks of the clock: an answer to an earlier request can only lower it.
    announced_at: u64,
    /// The wait for more has been logged.
    announced: bool,
}

/// How many requests may be in flight: halved on trouble, one less on a slow answer, one more after a round of good ones.
#[derive(Debug)]
struct InFlightLimit {
    now: f64,
    max: f64,
    /// When it last fell: answers to requests that had started before say nothing new.
    fell: u64,
    /// Seconds an answer takes when all is well.
    usual: Option<f64>,
}

/// Why a request has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    Until(Instant),
    /// The limit of the API is used up until this time.
    ForMore(Instant),
    /// Until another request has been answered.
    ForAnswer,
}

/// How a request ended, as far as the pace depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestOutcome {
    /// Answered, after this time.
    Answered(Duration),
    /// A failure that may pass, and may come from overload.
    MayPass,
    /// Something else, which says nothing about load.
    SaysNothing,
}

/// Permission for one request. Dropping it without an outcome (a stop, a panic) says nothing about load.
#[derive(Debug)]
pub(super) struct Ticket<'p> {
    pace: &'p Pace,
    started: u64,
    settled: bool,
}

impl Ticket<'_> {
    /// Notes that the answer has come, or that none will come.
    pub fn settle(mut self, outcome: RequestOutcome, quota: Option<Quota>) {
        self.settled = true;
        self.pace
            .leave(self.started, outcome, quota, Instant::now());
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        if !self.settled {
            self.pace.leave(
                self.started,
                RequestOutcome::SaysNothing,
                None,
                Instant::now(),
            );
        }
    }
}

impl Pace {
    /// `concurrency` is the greatest number of requests in flight.
    pub(super) fn new(max_requests_per_second: Option<f64>, concurrency: u32) -> Self {
        let interval = max_requests_per_second
            .filter(|rate| *rate > 0.0)
            .and_then(|rate| Duration::try_from_secs_f64(1.0 / rate).ok())
            .unwrap_or_default();
        let max = f64::from(concurrency.max(1));
        Self {
            state: Mutex::new(State {
                interval,
                next_start: Instant::now(),
                in_flight: 0,
                clock: 0,
                left: None,
                in_flight_limit: InFlightLimit {
                    now: max,
                    max,
                    fell: 0,
                    usual: None,
                },
            }),
            changed: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Completes at the next change that may let a request through.
    pub(super) fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.changed.notified()
    }

    /// Wakes all waiting threads, for a stop.
    pub(super) fn wake(&self) {
        self.changed.notify_waiters();
    }

    /// Asks for the right to make a request now.
    pub(super) fn enter(&self, now: Instant) -> Result<Ticket<'_>, Wait> {
        self.state().enter(now).map(|started| Ticket {
            pace: self,
            started,
            settled: false,
        })
    }

    fn leave(&self, started: u64, outcome: RequestOutcome, quota: Option<Quota>, now: Instant) {
        self.state().leave(started, outcome, quota, now);
        self.changed.notify_waiters();
    }

    /// Delays all threads by a pause that the API asked for.
    pub(super) fn hold(&self, pause: Duration) {
        let mut state = self.state();
        state.next_start = state.next_start.max(Instant::now() + pause);
    }

    /// Should the wait for the API's limit be logged? True once a wait.
    pub(super) fn announce(&self) -> bool {
        let mut state = self.state();
        let left = state.left.as_mut();
        left.is_some_and(|left| !std::mem::replace(&mut left.announced, true))
    }
}

impl State {
    fn enter(&mut self, now: Instant) -> Result<u64, Wait> {
        if self.in_flight >= self.in_flight_limit.allowed() {
            return Err(Wait::ForAnswer);
        }
        if now < self.next_start {
            return Err(Wait::Until(self.next_start));
        }
        if let Some(left) = &mut self.left
            // The API may not have counted the requests in flight yet.
            && left.requests <= self.in_flight
        {
            if self.in_flight > 0 {
                return Err(Wait::ForAnswer);
            }
            if now < left.until {
                return Err(Wait::ForMore(left.until));
            }
            // The limit has been reset: one request finds out how many are left.
            left.requests = 1;
        }
        self.next_start = now + self.interval;
        self.in_flight += 1;
        self.clock += 1;
        Ok(self.clock)
    }

    fn leave(&mut self, started: u64, outcome: RequestOutcome, quota: Option<Quota>, now: Instant) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.clock += 1;
        match quota {
            Some(quota) => self.learn(started, quota, now),
            None => {
                // The API may have counted this request. If it no longer sends the headers, there is no limit to keep to.
                if let Some(left) = &mut self.left {
                    left.requests = left.requests.saturating_sub(1);
                    if now >= left.until && matches!(outcome, RequestOutcome::Answered(_)) {
                        self.left = None;
                    }
                }
            }
        }
        match outcome {
            RequestOutcome::Answered(took) => {
                self.in_flight_limit
                    .answered(started, self.clock, took.as_secs_f64());
            }
            RequestOutcome::MayPass => self.in_flight_limit.halve(started, self.clock),
            RequestOutcome::SaysNothing => {}
        }
    }

    fn learn(&mut self, started: u64, quota: Quota, now: Instant) {
        let stale = self
            .left
            .filter(|left| started < left.announced_at && left.requests <= quota.remaining);
        if stale.is_none() {
            self.left = Some(Remaining {
                requests: quota.remaining,
                until: now + quota.resets_in,
                announced_at: self.clock,
                announced: false,
            });
        }
    }
}

impl InFlightLimit {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 1 and the configured maximum"
    )]
    const fn allowed(&self) -> u64 {
        self.now as u64
    }

    fn answered(&mut self, started: u64, clock: u64, took: f64) {
        let usual = self.usual.unwrap_or(took).min(took);
        self.usual = Some(usual + (took - usual) * FOLLOWS);
        if took > usual * SLOW_FACTOR && took > usual + SLOW_SECONDS {
            if started >= self.fell {
                self.fall(self.now - 1.0, clock);
            }
        } else {
            self.now = (self.now + 1.0 / self.now).min(self.max);
        }
    }

    fn halve(&mut self, started: u64, clock: u64) {
        if started >= self.fell {
            self.fall(self.now / 2.0, clock);
        }
    }

    fn fall(&mut self, to: f64, clock: u64) {
        let to = to.max(1.0);
        if self.allowed() > 1 {
            log::debug!("at most {} requests at once now", to.floor());
        }
        self.now = to;
        self.fell = clock;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::unnecessary_wraps)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn state(rate: Option<f64>, concurrency: u32) -> (State, Instant) {
        let state = Pace::new(rate, concurrency).state.into_inner().unwrap();
        let now = state.next_start;
        (state, now)
    }

    const fn quota(remaining: u64, seconds: u64) -> Option<Quota> {
        Some(Quota {
            remaining,
            resets_in: Duration::from_secs(seconds),
        })
    }

    const QUICK: RequestOutcome = RequestOutcome::Answered(Duration::from_millis(10));

    #[test]
    fn a_configured_rate_spaces_the_starts() {
        let (mut state, now) = state(Some(4.0), 8);
        state.enter(now).unwrap();
        let next = now + Duration::from_millis(250);
        assert_eq!(state.enter(now), Err(Wait::Until(next)));
        state.enter(next).unwrap();
        assert!(state.enter(next).is_err());
    }

    #[test]
    fn no_more_requests_start_than_the_api_has_left() {
        let (mut state, now) = state(None, 8);
        let first = state.enter(now).unwrap();
        state.leave(first, QUICK, quota(2, 30), now);
        let (a, b) = (state.enter(now).unwrap(), state.enter(now).unwrap());
        assert_eq!(state.enter(now), Err(Wait::ForAnswer), "two are in flight");
        // Answers may arrive in another order; the lower number is the later one.
        state.leave(b, QUICK, quota(0, 30), now);
        state.leave(a, QUICK, quota(1, 30), now);
        assert_eq!(state.enter(now), Err(Wait::ForMore(now + SECOND * 30)));
        assert_eq!(
            state.enter(now + SECOND * 29),
            Err(Wait::ForMore(now + SECOND * 30))
        );
    }

    #[test]
    fn after_the_reset_one_request_finds_out_how_much_there_is() {
        let (mut state, now) = state(None, 8);
        let first = state.enter(now).unwrap();
        state.leave(first, QUICK, quota(0, 30), now);
        let later = now + SECOND * 30;
        let probe = state.enter(later).unwrap();
        assert_eq!(state.enter(later), Err(Wait::ForAnswer), "only one");
        state.leave(probe, QUICK, quota(5, 30), later);
        for _ in 0..5 {
            state.enter(later).unwrap();
        }
        assert!(state.enter(later).is_err());
    }

    #[test]
    fn a_request_without_a_told_limit_is_counted_all_the_same() {
        let (mut state, now) = state(None, 8);
        let first = state.enter(now).unwrap();
        state.leave(first, QUICK, quota(1, 30), now);
        let lost = state.enter(now).unwrap();
        state.leave(lost, RequestOutcome::MayPass, None, now);
        assert_eq!(state.enter(now), Err(Wait::ForMore(now + SECOND * 30)));
        // If an API stops sending these headers, requests go out in parallel again.
        let later = now + SECOND * 30;
        let probe = state.enter(later).unwrap();
        state.leave(probe, QUICK, None, later);
        for _ in 0..3 {
            state.enter(later).unwrap();
        }
    }

    #[test]
    fn trouble_halves_the_requests_in_flight_once_a_round_and_good_answers_bring_them_back() {
        let (mut state, now) = state(None, 8);
        let round: Vec<u64> = (0..8).map(|_| state.enter(now).unwrap()).collect();
        assert_eq!(state.enter(now), Err(Wait::ForAnswer));
        for started in round {
            state.leave(started, RequestOutcome::MayPass, None, now);
        }
        assert_eq!(
            state.in_flight_limit.allowed(),
            4,
            "eight failures of one round are one"
        );
        let mut answers = 0;
        while state.in_flight_limit.allowed() < 8 {
            let started = state.enter(now).unwrap();
            state.leave(started, QUICK, None, now);
            answers += 1;
            assert!(answers < 100, "it never recovers");
        }
        assert!(answers > 8, "it recovers bit by bit");
        for _ in 0..20 {
            let started = state.enter(now).unwrap();
            state.leave(started, RequestOutcome::MayPass, None, now);
        }
        assert_eq!(state.in_flight_limit.allowed(), 1, "one is always allowed");
    }

    #[test]
    fn slow_answers_lower_the_requests_in_flight_until_slow_is_the_usual() {
        let (mut state, now) = state(None, 8);
        let mut answer = |took: f64| {
            let started = state.enter(now).unwrap();
            let took = Duration::from_secs_f64(took);
            state.leave(started, RequestOutcome::Answered(took), None, now);
            state.in_flight_limit.allowed()
        };
        answer(0.1);
        assert_eq!(answer(0.3), 8, "what is short is never slow");
        assert_eq!(answer(0.9), 7);
        let lowest = (0..100).map(|_| answer(0.9)).min().unwrap();
        assert!(lowest < 7, "{lowest}");
        assert_eq!(
            answer(0.9),
            8,
            "an API that is slow for good gets all its requests again"
        );
    }
}
