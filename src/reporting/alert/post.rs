//! Sends one POST with a deadline. The address is a secret, so messages hold no part of it.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderValue};

use crate::support::{proxy, tls};

/// Why a message was not delivered.
#[derive(Debug)]
pub(super) struct DeliveryError {
    pub reason: String,
    /// True if another try may succeed.
    pub retryable: bool,
}

impl DeliveryError {
    /// A message that was not delivered, for this reason.
    pub fn new(reason: impl Into<String>, retryable: bool) -> Self {
        Self {
            reason: reason.into(),
            retryable,
        }
    }
}

/// Sends `body`. Any 2xx is a success. Redirects are not followed: if an address has moved, a person has to change it.
pub(super) fn post(
    url: &reqwest::Url,
    content_type: &'static str,
    body: String,
    limit: Duration,
) -> Result<(), DeliveryError> {
    let setup = |what: &str| DeliveryError::new(format!("cannot be set up: {what}"), false);
    let config = tls::https(url.scheme() == "https").map_err(|error| setup(&error.to_string()))?;
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("datasync/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .tls_backend_preconfigured(config);
    if proxy::of(url).is_none() {
        builder = builder.no_proxy();
    }
    let client = builder.build().map_err(|_| setup("the HTTP client"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| setup(&error.to_string()))?;
    let request = client
        .post(url.clone())
        .header(CONTENT_TYPE, HeaderValue::from_static(content_type))
        .body(body);
    let sent = runtime.block_on(async { tokio::time::timeout(limit, request.send()).await });
    // A name resolution that hangs in the C library must not delay the end of the run.
    runtime.shutdown_background();
    let status = match sent {
        Ok(Ok(response)) => response.status(),
        Ok(Err(error)) => return Err(DeliveryError::new(reason(&error), true)),
        Err(_) => {
            let why = format!("no answer within {:.1} s", limit.as_secs_f64());
            return Err(DeliveryError::new(why, true));
        }
    };
    if status.is_success() {
        return Ok(());
    }
    let code = status.as_u16();
    if status.is_redirection() {
        let why = format!("it answered {code}, a redirect, which is not followed");
        return Err(DeliveryError::new(why, false));
    }
    let again = status.is_server_error() || code == 429 || code == 408;
    Err(DeliveryError::new(format!("it answered {code}"), again))
}

/// Describes the error without the library's own text, which contains the address.
fn reason(error: &reqwest::Error) -> String {
    if tls::error_in(error).is_some() {
        return "its certificate is not accepted".to_owned();
    }
    if error.is_connect() {
        "no connection".to_owned()
    } else {
        "the connection broke".to_owned()
    }
}
