//! Rate limits: a limit that the server announces is never exceeded, and after a refusal the pace falls and recovers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use datasync::api::FetchOptions;
use datasync::config::plan::PageStyle;

use super::{fetch, fetch_with, plan, records};
use crate::support::http::{Fault, Reply, Server};

/// How a server tells of its limit.
#[derive(Clone, Copy, Debug)]
enum Told {
    Structured,
    Triple,
    Seconds,
    Epoch,
}

/// A limit of so many requests a window, enforced with 429 and told in the headers of every answer.
struct Limit {
    told: Told,
    requests: u64,
    window: Duration,
    /// Start of the window, and requests in it.
    state: Mutex<(Instant, u64)>,
    refused: AtomicUsize,
}

impl Limit {
    fn new(told: Told, requests: u64, window: Duration) -> Arc<Self> {
        Arc::new(Self {
            told,
            requests,
            window,
            state: Mutex::new((Instant::now(), 0)),
            refused: AtomicUsize::new(0),
        })
    }

    fn answer(&self) -> Reply {
        let mut state = self.state.lock().unwrap();
        if state.0.elapsed() >= self.window {
            *state = (Instant::now(), 0);
        }
        state.1 += 1;
        let left = self.window.saturating_sub(state.0.elapsed()).as_secs_f64();
        let remaining = self.requests.saturating_sub(state.1).to_string();
        let seconds = format!("{:.0}", left.ceil());
        let headers = match self.told {
            Told::Structured => vec![
                (
                    "RateLimit-Policy",
                    format!(
                        "\"default\";q={};w={}",
                        self.requests,
                        self.window.as_secs()
                    ),
                ),
                (
                    "RateLimit",
                    format!("\"default\";r={remaining};t={seconds}"),
                ),
            ],
            Told::Triple => vec![
                ("RateLimit-Limit", self.requests.to_string()),
                ("RateLimit-Remaining", remaining),
                ("RateLimit-Reset", seconds),
            ],
            Told::Seconds => vec![
                ("X-RateLimit-Remaining", remaining),
                ("X-RateLimit-Reset", seconds),
            ],
            Told::Epoch => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
                let at = (now.as_secs_f64() + left).floor();
                vec![
                    ("X-RateLimit-Remaining", remaining),
                    ("X-RateLimit-Reset", format!("{at:.0}")),
                ]
            }
        };
        if state.1 > self.requests {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return Reply::Instead(429, headers, String::new());
        }
        Reply::With(headers)
    }
}

#[test]
fn a_limit_that_is_told_is_never_run_into() {
    std::thread::scope(|scope| {
        for told in [Told::Structured, Told::Triple, Told::Seconds, Told::Epoch] {
            scope.spawn(move || {
                let limit = Limit::new(told, 8, Duration::from_secs(1));
                let asked = Arc::clone(&limit);
                let server = Server::new()
                    .records(records(200))
                    .latency(Duration::from_millis(3))
                    .script(move |_| Some(asked.answer()))
                    .start();
                let mut api = plan(server.url(), PageStyle::Page);
                api.pagination.concurrency = 6;
                let fetched = fetch(&api);
                assert_eq!(fetched.records(), records(200), "{told:?}");
                assert_eq!(limit.refused.load(Ordering::SeqCst), 0, "{told:?}");
                assert_eq!(fetched.stats.requests, 20, "{told:?}");
                assert_eq!(fetched.stats.retries, 0, "{told:?}");
            });
        }
    });
}

#[test]
fn after_a_429_fewer_requests_are_in_flight_and_then_as_many_as_before() {
    let server = Server::new()
        .records(records(600))
        .latency(Duration::from_millis(15))
        .fault(12, Fault::Status(429))
        .fault(13, Fault::Status(429))
        .start();
    let mut api = plan(server.url(), PageStyle::Page);
    api.pagination.concurrency = 8;
    assert_eq!(fetch(&api).records().len(), 600);
    let in_flight: Vec<usize> = server.requests().iter().map(|r| r.in_flight).collect();
    assert_eq!(in_flight.iter().max(), Some(&8), "{in_flight:?}");
    // What had started before the refusal was known has ended by then.
    let after = &in_flight[12..];
    let calm = after.iter().position(|n| *n <= 4).unwrap();
    let recovered = after[calm..].iter().rposition(|n| *n == 8);
    assert!(recovered.is_some(), "{in_flight:?}");
}

#[test]
fn an_api_that_only_ever_refuses_is_asked_by_one_at_a_time_and_given_up() {
    let server = Server::new()
        .records(records(400))
        .latency(Duration::from_millis(5))
        .script(|request| {
            (request.param("page") != Some("1"))
                .then(|| Reply::Instead(429, Vec::new(), String::new()))
        })
        .start();
    let mut api = plan(server.url(), PageStyle::Page);
    api.pagination.concurrency = 4;
    let fetched = fetch(&api);
    assert!(!fetched.errors.is_empty());
    for error in &fetched.errors {
        assert_eq!((error.kind(), error.tries()), ("rate_limited", 4));
    }
    let last = server.requests().last().unwrap().in_flight;
    assert_eq!(last, 1);
}

#[test]
fn waiting_for_a_limit_ends_at_the_deadline_of_the_run() {
    let server = Server::new()
        .records(records(40))
        .always(Fault::Headers(vec![
            ("RateLimit-Remaining", "0".to_owned()),
            ("RateLimit-Reset", "1800".to_owned()),
        ]))
        .start();
    let want = FetchOptions {
        deadline: Some(Instant::now() + Duration::from_mins(1)),
        ..FetchOptions::default()
    };
    // It ends at once: half an hour is known to be beyond the minute.
    let fetched = fetch_with(&plan(server.url(), PageStyle::Page), want);
    assert_eq!(server.requests().len(), 1);
    assert_eq!(fetched.records().len(), 10, "the first page is kept");
    assert_eq!(fetched.errors[0].kind(), "deadline");
    let text = fetched.errors[0].to_string();
    assert!(
        text.contains("rate limit") && text.contains("--deadline"),
        "{text}"
    );
}

#[test]
fn a_limit_that_comes_back_tomorrow_is_not_waited_for() {
    let server = Server::new()
        .records(records(40))
        .always(Fault::Headers(vec![
            ("X-RateLimit-Remaining", "0".to_owned()),
            ("X-RateLimit-Reset", "86400".to_owned()),
        ]))
        .start();
    assert_eq!(
        fetch(&plan(server.url(), PageStyle::Page)).records().len(),
        40
    );
}
