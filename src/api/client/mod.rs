//! One HTTP client: connection, deadline, retry. Knows nothing of pages.
//!
//! A [`Client`] belongs to one thread. It owns a kept-alive connection and a current-thread runtime, which is needed because
//! only the asynchronous core of reqwest can give up a request at a signal. Everything public blocks.

mod address;
mod connection;
mod credentials;
mod failure;
mod resolver;

use std::cell::Cell;
use std::time::{Duration, Instant};

use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
    IF_MATCH,
};
use reqwest::{Method, StatusCode, Url};

use super::body;
use super::control::Control;
use super::error::{ApiError, Class, Kind, printable};
use super::pace::RequestOutcome;
use super::quota::{self, Quota};
use super::retry;
use super::token::{Bearer, Tokens};
use crate::config::plan::{Api, Endpoint, Retry};
use crate::support::proxy;

pub(super) use connection::Connection;
use credentials::Credentials;
pub(super) use failure::kind_of;

/// Time for name resolution, TCP and TLS together, within the time of the whole request.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A client with one connection; see the file's head.
#[derive(Debug)]
pub struct Client {
    connection: Connection,
    method: Method,
    credentials: Credentials,
    /// Scheme, host, port and configured path: what a message may show.
    shown: String,
    paths: address::Paths,
    /// Parameters of paging, whose numbers may be shown.
    counted: Vec<String>,
    /// Statuses that mean "slow down", besides 429.
    rate_limited: Vec<u16>,
    /// Parameters that mappings.yaml names.
    params: Vec<String>,
    timeout: Duration,
    retry: Retry,
    max_bytes: u64,
    proxy: Option<String>,
}

/// One request of an endpoint.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    pub url: &'a Url,
    /// Number of the page, from 1, for messages.
    pub page: Option<u64>,
    /// The endpoint's method if none.
    pub method: Option<&'a Method>,
    /// JSON.
    pub body: Option<&'a str>,
    pub if_match: Option<&'a str>,
    /// A 304 is a success, which means that nothing has changed.
    pub may_be_unchanged: bool,
}

impl<'a> Request<'a> {
    /// A page.
    pub const fn page(url: &'a Url, number: u64) -> Self {
        Self {
            url,
            page: Some(number),
            method: None,
            body: None,
            if_match: None,
            may_be_unchanged: false,
        }
    }
}

/// A complete, successful answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

/// The result of a call, and how long it took.
#[derive(Debug)]
pub(super) struct CallResult<T> {
    pub value: T,
    /// When the try that succeeded was sent.
    pub requested: Instant,
    /// How long it took, body included.
    pub took: Duration,
    pub tries: u32,
}

/// How far an exchange has come, for the message of a timeout.
#[derive(Clone, Copy, Default)]
enum Reached {
    #[default]
    Nothing,
    Body(u64),
}

/// What is known of an exchange however it ends.
#[derive(Default)]
struct Trace {
    reached: Cell<Reached>,
    quota: Cell<Option<Quota>>,
}

impl Client {
    /// A client for the fetch endpoint.
    pub fn new(api: &Api) -> Result<Self, ApiError> {
        Self::for_endpoint(api, &api.fetch)
    }

    pub(super) fn for_endpoint(api: &Api, endpoint: &Endpoint) -> Result<Self, ApiError> {
        let method = Method::from_bytes(endpoint.method.as_bytes())
            .map_err(|_| config(format!("`{}` is not an HTTP method", endpoint.method)))?;
        let connection = Connection::new(
            &api.base_url,
            &api.tls,
            endpoint.timeout,
            headers(api, endpoint)?,
        )?;
        Ok(Self {
            connection,
            method,
            credentials: Credentials::new(&api.auth),
            shown: api.shown_address(endpoint),
            paths: address::Paths::new(api, endpoint),
            counted: address::counted(&api.pagination),
            rate_limited: api.rate_limited_status.clone(),
            params: address::configured(api),
            timeout: endpoint.timeout,
            retry: endpoint.retry.clone(),
            max_bytes: api.max_page_bytes.min(u64::from(u32::MAX)),
            proxy: proxy::of(&api.base_url),
        })
    }

    /// The largest body accepted, after decompression.
    pub(super) const fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// What `check-api` says of the credentials when the API did not refuse them.
    pub(super) const fn accepted(&self) -> &'static str {
        self.credentials.words.accepted
    }

    /// The proxy requests go through, without its credentials.
    pub fn proxy(&self) -> Option<&str> {
        self.proxy.as_deref()
    }

    /// Sends a request until an answer is read, the error is final, or the retries are used up.
    ///
    /// `read` parses the answer; its errors are classified and retried like those of the transport.
    pub(super) fn call<T>(
        &self,
        request: Request<'_>,
        control: &Control,
        read: impl Fn(Answer) -> Result<T, ApiError>,
    ) -> Result<CallResult<T>, ApiError> {
        let place = |error: ApiError| match request.page {
            Some(number) => error.on_page(number),
            None => error,
        };
        let mut tries = 0;
        let mut is_renewed = false;
        loop {
            let tokens = control.tokens();
            let bearer = tokens
                .map(Tokens::current)
                .transpose()
                .map_err(|error| place(error.of_token_endpoint()))?;
            let (requested, took, outcome) = self
                .send(request, bearer.as_ref(), control)
                .map_err(|error| place(error).after(tries))?;
            if let (Err(error), Some(tokens), Some(bearer), false) =
                (&outcome, tokens, &bearer, is_renewed)
                && error.status() == Some(401)
            {
                // The token may have been revoked early: repeat the request once with a new one.
                is_renewed = true;
                tokens
                    .after_refusal(bearer)
                    .map_err(|error| place(error.of_token_endpoint()))?;
                continue;
            }
            tries += 1;
            let error = match outcome.and_then(&read) {
                Ok(value) => {
                    return Ok(CallResult {
                        value,
                        requested,
                        took,
                        tries,
                    });
                }
                Err(error) => place(error).after(tries),
            };
            if error.class() != Class::Transient || tries > self.retry.max_attempts {
                return Err(error);
            }
            self.wait_after(&error, tries, control)
                .map_err(|error| place(error).after(tries))?;
            control.count_retry(error.kind());
        }
    }

    /// One try, once the pace lets it through: when it was sent, how long it took, and what came of it.
    fn send(
        &self,
        request: Request<'_>,
        bearer: Option<&Bearer>,
        control: &Control,
    ) -> Result<(Instant, Duration, Result<Answer, ApiError>), ApiError> {
        let ticket = self.block_on(control.admit())?;
        let requested = Instant::now();
        let trace = Trace::default();
        let (outcome, took) = self.exchange(request, bearer, control, &trace);
        ticket.settle(request_outcome(&outcome, took), trace.quota.get());
        log::trace!(
            "{} {}: {} in {took:.3?}",
            request.method.unwrap_or(&self.method),
            self.address(request),
            match &outcome {
                Ok(answer) => answer.status.to_string(),
                Err(error) => error
                    .status()
                    .map_or_else(|| error.kind().to_owned(), |status| status.to_string()),
            }
        );
        Ok((requested, took, outcome))
    }

    /// Waits before another try. Where the time of the run is over, the failure that used it up explains more than that.
    fn wait_after(&self, error: &ApiError, tries: u32, control: &Control) -> Result<(), ApiError> {
        let wait = retry::wait(&self.retry, tries - 1, error.retry_after());
        if error.retry_after().is_some() {
            control.hold(wait);
        }
        log::warn!(
            "{error}; retry {tries} of {} in {:.1} s",
            self.retry.max_attempts,
            wait.as_secs_f64()
        );
        self.block_on(control.sleep(wait)).map_err(|end| {
            if end.cause() != Kind::Deadline {
                return end;
            }
            let what = error.what();
            ApiError::new(
                Kind::Deadline,
                format!("{what}; the deadline of the run leaves no time for another try"),
                error.hint(),
            )
        })
    }

    /// One try, which ends at the request's timeout, the run's deadline or a stop.
    fn exchange(
        &self,
        request: Request<'_>,
        bearer: Option<&Bearer>,
        control: &Control,
        trace: &Trace,
    ) -> (Result<Answer, ApiError>, Duration) {
        let started = Instant::now();
        let outcome = self.connection.within(
            control,
            self.timeout,
            self.once(request, bearer, trace),
            || self.timed_out(request, trace.reached.get()),
        );
        let took = started.elapsed();
        let bytes = match trace.reached.get() {
            Reached::Nothing => 0,
            Reached::Body(bytes) => bytes,
        };
        control.count_exchange(took, bytes);
        (outcome, took)
    }

    async fn once(
        &self,
        request: Request<'_>,
        bearer: Option<&Bearer>,
        trace: &Trace,
    ) -> Result<Answer, ApiError> {
        let method = request.method.unwrap_or(&self.method);
        let mut builder = self
            .connection
            .http
            .request(method.clone(), self.credentials.address(request.url));
        if let Some(bearer) = bearer {
            builder = builder.header(AUTHORIZATION, bearer.header.clone());
        }
        if let Some(body) = request.body {
            builder = builder.body(body.to_owned());
        }
        if let Some(tag) = request.if_match {
            let value = HeaderValue::from_str(tag).map_err(|_| {
                config(
                    "the ETag or version of a record holds characters that no header can carry"
                        .to_owned(),
                )
            })?;
            builder = builder.header(IF_MATCH, value);
        }
        let mut response = builder
            .send()
            .await
            .map_err(|error| self.transport(request, &error))?;
        let status = response.status();
        trace.quota.set(quota::parse(response.headers()));
        if !(status.is_success()
            || (request.may_be_unchanged && status == StatusCode::NOT_MODIFIED))
        {
            return Err(self.refused(request, status, response.headers()));
        }
        // The announced length may be wrong, so it only decides how much memory is reserved.
        let announced = response.content_length().unwrap_or(0);
        let reserve = announced.min(self.max_bytes).min(1 << 22);
        let mut body = Vec::with_capacity(usize::try_from(reserve).unwrap_or(0));
        trace.reached.set(Reached::Body(0));
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break,
                Err(error) => return Err(self.broken_body(request, &error, body.len() as u64)),
            }
            trace.reached.set(Reached::Body(body.len() as u64));
            if body.len() as u64 > self.max_bytes {
                return Err(body::too_large(self.max_bytes));
            }
        }
        Ok(Answer {
            status: status.as_u16(),
            headers: std::mem::take(response.headers_mut()),
            body,
        })
    }

    pub(super) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.connection.block_on(future)
    }
}

/// What an exchange says about the load of the API.
fn request_outcome(outcome: &Result<Answer, ApiError>, took: Duration) -> RequestOutcome {
    match outcome {
        Ok(_) => RequestOutcome::Answered(took),
        Err(error) if error.class() == Class::Transient => RequestOutcome::MayPass,
        Err(_) => RequestOutcome::SaysNothing,
    }
}

fn config(what: String) -> ApiError {
    ApiError::new(Kind::Config, what, "correct mappings.yaml")
}

/// The configured headers, and the defaults for those that are not configured.
fn headers(api: &Api, endpoint: &Endpoint) -> Result<HeaderMap, ApiError> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    if endpoint.method != "GET" {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    credentials::add_header(&mut headers, &api.auth)?;
    for (name, secret) in &endpoint.headers {
        let parsed = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| config(format!("`{}` is not a header name", printable(name, 60))))?;
        let mut value = HeaderValue::from_str(secret.expose()).map_err(|_| {
            config(format!(
                "the value of the header {parsed} holds characters that no header can carry"
            ))
        })?;
        value.set_sensitive(true);
        headers.insert(parsed, value);
    }
    Ok(headers)
}
