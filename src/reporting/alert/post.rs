//! One POST with a deadline. The address is a secret: no message here holds it or any part of it.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderValue};

use crate::support::tls;

/// Why it did not arrive.
#[derive(Debug)]
pub(super) struct Trouble {
    pub why: String,
    /// Another try may help.
    pub again: bool,
}

impl Trouble {
    pub fn new(why: impl Into<String>, again: bool) -> Self {
        Self {
            why: why.into(),
            again,
        }
    }
}

/// Sends `body`; any 2xx is well. Redirects are not followed: an address that moved wants a person.
pub(super) fn post(
    url: &reqwest::Url,
    content_type: &'static str,
    body: String,
    limit: Duration,
) -> Result<(), Trouble> {
    let setup = |what: &str| Trouble::new(format!("cannot be set up: {what}"), false);
    let config = tls::https(url.scheme() == "https").map_err(|error| setup(&error.to_string()))?;
    let client = reqwest::Client::builder()
        .user_agent(concat!("datasync/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .tls_backend_preconfigured(config)
        .build()
        .map_err(|_| setup("the HTTP client"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| setup(&error.to_string()))?;
    let request = client
        .post(url.clone())
        .header(CONTENT_TYPE, HeaderValue::from_static(content_type))
        .body(body);
    let sent = runtime.block_on(async { tokio::time::timeout(limit, request.send()).await });
    // A name resolution that hangs in the C library must not hold up the end of the run.
    runtime.shutdown_background();
    let status = match sent {
        Ok(Ok(response)) => response.status(),
        Ok(Err(error)) => return Err(Trouble::new(reason(&error), true)),
        Err(_) => {
            let why = format!("no answer within {:.1} s", limit.as_secs_f64());
            return Err(Trouble::new(why, true));
        }
    };
    if status.is_success() {
        return Ok(());
    }
    let code = status.as_u16();
    if status.is_redirection() {
        let why = format!("it answered {code}, a redirect, which is not followed");
        return Err(Trouble::new(why, false));
    }
    let again = status.is_server_error() || code == 429 || code == 408;
    Err(Trouble::new(format!("it answered {code}"), again))
}

/// The error in words of our own: those of the library hold the address.
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
