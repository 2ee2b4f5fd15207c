//! Turns a failed exchange into an error with its cause, found by the types of errors and the status of the answer, and the
//! advice. Whether it is retried is decided by `class_of`.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::io::{self, ErrorKind};

use reqwest::header::{HeaderMap, LOCATION, RETRY_AFTER};
use reqwest::{Method, StatusCode};

use super::super::body;
use super::super::error::{ApiError, Kind, printable};
use super::super::quota;
use super::super::retry;
use super::super::tls;
use super::resolver::Unresolved;
use super::{CONNECT_TIMEOUT, Client, Reached, Request};
use crate::support::tls::{TlsFault, error_in, inner};

impl Client {
    /// The error for an answer that is not a success.
    pub(super) fn refused(
        &self,
        request: Request<'_>,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> ApiError {
        let (kind, what, hint) = self.refusal(request, status, headers);
        // A limit that is used up says as much as a Retry-After.
        let quota =
            quota::parse(headers).filter(|quota| kind == Kind::RateLimited && quota.remaining == 0);
        ApiError::new(kind, what, hint)
            .with_status(status.as_u16())
            .with_retry_after(retry::asked(headers).or(quota.map(|quota| quota.resets_in)))
    }

    /// The cause of a refusal, a sentence about it, and what to do.
    fn refusal(
        &self,
        request: Request<'_>,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> (Kind, String, Cow<'static, str>) {
        const SLOW_DOWN: &str = "lower pagination.concurrency or set max_requests_per_second";
        let code = status.as_u16();
        let named = status
            .canonical_reason()
            .map_or_else(|| code.to_string(), |reason| format!("{code} {reason}"));
        let from = self.from(request);
        let words = self.credentials.words;
        let advised = |kind: Kind, what: &str, hint: &'static str| {
            let what = format!("{what}: {named} from {from}");
            (kind, what, Cow::Borrowed(hint))
        };
        let answered = |by: &str, hint: &'static str| {
            let what = format!("the {by} answered {named} for {from}");
            (Kind::Status, what, Cow::Borrowed(hint))
        };
        match code {
            _ if code == 429 || self.rate_limited.contains(&code) => {
                advised(Kind::RateLimited, "the API asks to slow down", SLOW_DOWN)
            }
            403 if is_used_up(headers) => advised(
                Kind::RateLimited,
                "the API's rate limit is used up",
                SLOW_DOWN,
            ),
            412 => advised(
                Kind::Changed,
                "the record has changed at the API since it was read",
                "the next run reads it again",
            ),
            401 => (
                Kind::Unauthorized,
                format!("the API refused {}: {named} from {from}", words.refused),
                format!("check {}", words.check).into(),
            ),
            403 => {
                let reads = self.method == Method::GET;
                let verb = if reads { "read" } else { "write to" };
                (
                    Kind::Unauthorized,
                    format!("the API does not allow this: {named} from {from}"),
                    format!("check {}, but may not {verb} this endpoint", words.known).into(),
                )
            }
            404 | 410 => answered(
                "API",
                "check API_BASE_URL and the endpoint's path in mappings.yaml, and whether the path ends with a slash",
            ),
            407 => answered(
                "proxy",
                "check the credentials in HTTP_PROXY / HTTPS_PROXY, or set NO_PROXY",
            ),
            300..=399 => {
                let (target, is_here) = self.target(request, headers);
                let hint = if is_here {
                    "redirects are not followed: write this path at the endpoint in mappings.yaml (add or remove the trailing slash), or change API_BASE_URL"
                } else {
                    "redirects are not followed, so that the token stays where it belongs; if the API has moved, change API_BASE_URL"
                };
                let what = format!("the API redirects ({named}) from {from} to {target}");
                (Kind::Redirect, what, hint.into())
            }
            500..=599 => answered(
                "API",
                "the trouble is on the API's side: run `datasync check-api`, and try again later",
            ),
            _ => answered(
                "API",
                "check the endpoint's path, parameters and headers in mappings.yaml",
            ),
        }
    }

    /// Where a redirect leads, and whether that is the same host. Of another host only the origin is shown.
    fn target(&self, request: Request<'_>, headers: &HeaderMap) -> (String, bool) {
        let target = headers
            .get(LOCATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|text| request.url.join(text).ok());
        match target {
            None => ("an unreadable address".to_owned(), false),
            Some(target) if target.origin() == request.url.origin() => {
                (self.shown_address(&target), true)
            }
            Some(target) => (
                printable(&target.origin().ascii_serialization(), 120),
                false,
            ),
        }
    }

    /// The address of a request and `(through the proxy …)`, for messages.
    fn from(&self, request: Request<'_>) -> String {
        let address = self.address(request);
        match &self.proxy {
            Some(proxy) => format!("{address} (through the proxy {proxy})"),
            None => address,
        }
    }

    pub(super) fn timed_out(&self, request: Request<'_>, reached: Reached) -> ApiError {
        let limit = self.timeout.as_secs_f64();
        let from = self.from(request);
        let what = match reached {
            Reached::Nothing => format!("no answer from {from} within {limit} s"),
            Reached::Body(bytes) => format!(
                "the answer from {from} was not complete within {limit} s ({} of the body received)",
                body::size(bytes)
            ),
        };
        ApiError::new(
            Kind::Timeout,
            what,
            "run `datasync check-api`; if the API is just slow, raise the endpoint's timeout or ask for smaller pages",
        )
    }

    pub(super) fn broken_body(
        &self,
        request: Request<'_>,
        error: &reqwest::Error,
        received: u64,
    ) -> ApiError {
        ApiError::new(
            match kind_of(error) {
                Kind::Connection => Kind::Truncated,
                kind => kind,
            },
            format!(
                "the connection to {} ended in the middle of the page ({} received)",
                self.from(request),
                body::size(received)
            ),
            "run `datasync check-api`; look at the API's log and at proxies in between",
        )
    }

    /// A failure before the headers of the answer were complete.
    pub(super) fn transport(&self, request: Request<'_>, error: &reqwest::Error) -> ApiError {
        let from = self.from(request);
        let kind = kind_of(error);
        let (what, hint) = match kind {
            Kind::Dns => (
                format!("the name in {from} could not be resolved"),
                "check API_BASE_URL and this machine's name resolution",
            ),
            Kind::Refused => (
                format!("nobody listens at {from}: connection refused"),
                "check host and port in API_BASE_URL, and whether the API is up",
            ),
            Kind::Unreachable => (
                format!("there is no route to {from}"),
                "check the network of this machine and API_BASE_URL",
            ),
            Kind::Timeout => (
                format!(
                    "no connection to {from} within {} s",
                    CONNECT_TIMEOUT.min(self.timeout).as_secs_f64()
                ),
                "the host does not answer: check the firewall, the network, and host and port in API_BASE_URL",
            ),
            Kind::Tls => {
                let error = error_in(error);
                let detail = error.map(ToString::to_string).unwrap_or_default();
                (
                    format!(
                        "no secure connection to {from}: {}",
                        printable(&detail, 300)
                    ),
                    tls::hint(error.map_or(TlsFault::Other, TlsFault::of)),
                )
            }
            Kind::Reset => (
                format!("{from} closed the connection before it answered"),
                "run `datasync check-api`; look at the API's log and at proxies in between",
            ),
            Kind::HeadersTooLarge => (
                format!("the headers of the answer from {from} are too large"),
                "the API or a proxy sends far more headers than HTTP clients accept; its operator has to look",
            ),
            Kind::NotHttp => (
                format!("the answer from {from} is not HTTP"),
                "check scheme and port in API_BASE_URL: is this the API, and is it http or https?",
            ),
            _ => (
                format!("the connection to {from} failed"),
                "run `datasync check-api`",
            ),
        };
        ApiError::new(kind, what, hint)
    }
}

/// Is a 403 a limit that is used up? Some APIs refuse by it what others refuse by 429.
fn is_used_up(headers: &HeaderMap) -> bool {
    headers.contains_key(RETRY_AFTER)
        || quota::parse(headers).is_some_and(|quota| quota.remaining == 0)
}

/// Finds the cause in the chain of an error by type.
pub(in super::super) fn kind_of(error: &reqwest::Error) -> Kind {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    let mut found = Kind::Connection;
    while let Some(error) = cause {
        match kind_of_link(error) {
            // hyper wraps the error of the socket: the deeper cause is more exact.
            Some(Kind::Reset) => found = Kind::Reset,
            Some(specific) => return specific,
            None => {}
        }
        cause = inner(error);
    }
    if found == Kind::Connection && error.is_timeout() {
        found = Kind::Timeout;
    }
    found
}

fn kind_of_link(error: &(dyn StdError + 'static)) -> Option<Kind> {
    if error.is::<Unresolved>() {
        return Some(Kind::Dns);
    }
    if error.is::<rustls::Error>() {
        return Some(Kind::Tls);
    }
    if let Some(hyper) = error.downcast_ref::<hyper::Error>() {
        // hyper has a predicate for this only on its server side. A test fails if the text ever changes.
        return if hyper.is_parse() && hyper.to_string().contains("too large") {
            Some(Kind::HeadersTooLarge)
        } else if hyper.is_parse() {
            Some(Kind::NotHttp)
        } else if hyper.is_incomplete_message() || hyper.is_canceled() || hyper.is_closed() {
            Some(Kind::Reset)
        } else {
            None
        };
    }
    match error.downcast_ref::<io::Error>()?.kind() {
        ErrorKind::ConnectionRefused => Some(Kind::Refused),
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => Some(Kind::Unreachable),
        ErrorKind::TimedOut => Some(Kind::Timeout),
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => {
            Some(Kind::Reset)
        }
        // The body is shorter than its length, or its last chunk is missing.
        ErrorKind::UnexpectedEof => Some(Kind::Reset),
        _ => None,
    }
}

/// The text of the deepest cause.
pub(super) fn innermost(error: &(dyn StdError + 'static)) -> String {
    let mut inner = error;
    while let Some(next) = inner.source() {
        inner = next;
    }
    printable(&inner.to_string(), 200)
}
