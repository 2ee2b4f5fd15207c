//! One kept-alive connection and the runtime that drives it. Every request ends within its time limit, at the deadline of
//! the run or at a stop. Knows nothing of what is requested.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::HeaderMap;
use tokio::runtime::Runtime;

use super::super::control::{self, Control};
use super::super::error::{ApiError, Kind};
use super::super::tls;
use super::failure::innermost;
use super::resolver::Resolver;
use super::{CONNECT_TIMEOUT, config};
use crate::config::plan::ApiTls;
use crate::support::proxy;

/// A connection and its runtime; see the file's head.
#[derive(Debug)]
pub(in super::super) struct Connection {
    /// Taken only by `drop`.
    runtime: Option<Runtime>,
    pub http: reqwest::Client,
}

impl Connection {
    /// A connection to the scheme and host of this address. `headers` go with every request; `files` are those of TLS.
    pub fn new(
        url: &Url,
        files: &ApiTls,
        timeout: Duration,
        headers: HeaderMap,
    ) -> Result<Self, ApiError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| {
                let what = format!("no event loop for HTTP: {error}");
                let hint =
                    "raise the limits on open files (`ulimit -n`) and processes (`ulimit -u`)";
                ApiError::new(Kind::Config, what, hint)
            })?;
        let tls = tls::settings(files, url.scheme() == "https")?;
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("datasync/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .redirect(reqwest::redirect::Policy::none())
            // reqwest must not retry by itself: `class_of` alone decides on retries.
            .retry(reqwest::retry::never())
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT.min(timeout))
            .pool_max_idle_per_host(1)
            .dns_resolver(Resolver)
            .tls_backend_preconfigured(tls);
        if proxy::of(url).is_none() {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|error| {
            config(format!(
                "the HTTP client cannot be set up: {}",
                innermost(&error)
            ))
        })?;
        Ok(Self {
            runtime: Some(runtime),
            http,
        })
    }

    /// Runs `work`, and gives it up after `limit`, at the deadline of the run or at a stop.
    pub fn within<T>(
        &self,
        control: &Control,
        limit: Duration,
        work: impl Future<Output = Result<T, ApiError>>,
        timed_out: impl Fn() -> ApiError,
    ) -> Result<T, ApiError> {
        let left = control.left().unwrap_or(Duration::MAX);
        self.block_on(async {
            let mut work = pin!(tokio::time::timeout(limit.min(left), work));
            let mut stop = pin!(control.stopped());
            poll_fn(|context| {
                if stop.as_mut().poll(context).is_ready() {
                    return Poll::Ready(Err(control::stopped()));
                }
                work.as_mut().poll(context).map(|done| {
                    done.unwrap_or_else(|_| {
                        Err(if left < limit {
                            control::out_of_time()
                        } else {
                            timed_out()
                        })
                    })
                })
            })
            .await
        })
    }

    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        match &self.runtime {
            Some(runtime) => runtime.block_on(future),
            None => unreachable!("the runtime is taken only by drop"),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A name resolution that hangs in the C library must not delay the end of the run.
            runtime.shutdown_background();
        }
    }
}
