//! One request to the token endpoint, with its retries. It gets the client's credentials and nothing else, and redirects
//! are not followed: they could carry the credentials away.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION};

use super::super::client::{CONNECT_TIMEOUT, Connection, kind_of};
use super::super::error::{ApiError, Class, Kind, printable};
use super::super::retry;
use super::answer::{self, Issued};
use super::{Tokens, rotation};
use crate::config::plan::{Grant, OAuth2};
use crate::config::secret::Secret;
use crate::support::tls::error_in;

/// Largest answer that is read.
const LARGEST: usize = 1 << 20;

impl Tokens {
    /// Requests a token, with retries while the failure may pass.
    pub(super) fn ask(&self) -> Result<Issued, ApiError> {
        let connection = Connection::new(
            &self.oauth.token_url,
            &self.tls,
            self.timeout,
            HeaderMap::new(),
        )?;
        let Grant::RefreshToken(first) = &self.oauth.grant else {
            return self.ask_with(&connection, None);
        };
        // The lock keeps two processes from using the same refresh token at once.
        let lock = rotation::lock(&self.oauth, first, |wait| {
            connection.block_on(self.control.sleep(wait))
        })?;
        let known = lock.read()?;
        let issued = self.ask_with(&connection, Some(known.as_ref().unwrap_or(first)))?;
        if let Some(next) = &issued.refresh_token {
            lock.keep(next)?;
        }
        Ok(issued)
    }

    fn ask_with(
        &self,
        connection: &Connection,
        refresh_token: Option<&Secret>,
    ) -> Result<Issued, ApiError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let outcome = connection.within(
                &self.control,
                self.timeout,
                once(connection, &self.oauth, refresh_token),
                || timed_out(&self.oauth, self.timeout),
            );
            log::trace!(
                "POST {}: {}",
                shown(&self.oauth.token_url),
                match &outcome {
                    Ok(_) => "a token",
                    Err(error) => error.cause().as_str(),
                }
            );
            let error = match outcome {
                Ok(issued) => return Ok(issued),
                Err(error) => error.of_token_endpoint().after(tries),
            };
            if error.class() != Class::Transient || tries > self.retry.max_attempts {
                return Err(error);
            }
            let wait = retry::wait(&self.retry, tries - 1, error.retry_after());
            log::warn!(
                "{error}; retry {tries} of {} in {:.1} s",
                self.retry.max_attempts,
                wait.as_secs_f64()
            );
            connection.block_on(self.control.sleep(wait))?;
        }
    }
}

async fn once(
    connection: &Connection,
    oauth: &OAuth2,
    refresh_token: Option<&Secret>,
) -> Result<Issued, ApiError> {
    let (headers, form) = request(oauth, refresh_token)?;
    let sent = connection
        .http
        .post(oauth.token_url.clone())
        .headers(headers)
        .body(form)
        .send()
        .await;
    let mut response = sent.map_err(|error| transport(oauth, &error))?;
    let status = response.status();
    if status.is_redirection() {
        return Err(redirect(oauth, response.headers()));
    }
    let mut bytes = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if bytes.len() + chunk.len() <= LARGEST => {
                bytes.extend_from_slice(&chunk);
            }
            Ok(Some(_)) => {
                return Err(ApiError::new(
                    Kind::Token,
                    "the answer of the token endpoint is larger than 1 MiB",
                    "check `token_url` of mappings.api.auth",
                ));
            }
            Ok(None) => break,
            Err(error) => return Err(transport(oauth, &error)),
        }
    }
    if status.is_success() {
        answer::read(response.headers(), &bytes)
    } else {
        let asked = retry::asked(response.headers());
        Err(answer::unsuccessful(status, &bytes).with_retry_after(asked))
    }
}

/// Headers and body: the grant, what is asked for, and the client's credentials where the server wants them.
fn request(
    oauth: &OAuth2,
    refresh_token: Option<&Secret>,
) -> Result<(HeaderMap, String), ApiError> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/x-www-form-urlencoded"),
    );
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    match refresh_token {
        Some(token) => pairs.extend([
            ("grant_type", "refresh_token"),
            ("refresh_token", token.expose()),
        ]),
        None => pairs.push(("grant_type", "client_credentials")),
    }
    let scopes = oauth.scopes.join(" ");
    if !scopes.is_empty() {
        pairs.push(("scope", &scopes));
    }
    if let Some(audience) = &oauth.audience {
        pairs.push(("audience", audience));
    }
    match &oauth.client_secret {
        Some(secret) if !oauth.credentials_in_body => {
            // RFC 6749, 2.3.1: both parts are form-encoded before they are joined.
            let both = format!(
                "{}:{}",
                encoded(oauth.client_id.expose()),
                encoded(secret.expose())
            );
            let text = format!("Basic {}", STANDARD.encode(both));
            let mut value = HeaderValue::from_str(&text).map_err(|_| answer::no_token())?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Some(secret) => pairs.extend([
            ("client_id", oauth.client_id.expose()),
            ("client_secret", secret.expose()),
        ]),
        None => pairs.push(("client_id", oauth.client_id.expose())),
    }
    Ok((headers, form(&pairs)))
}

fn form(pairs: &[(&str, &str)]) -> String {
    // The query of an address has the encoding of a form, so `Url` does the work.
    let Ok(mut encoder) = Url::parse("http://form/") else {
        return String::new();
    };
    encoder.query_pairs_mut().extend_pairs(pairs);
    encoder.query().unwrap_or_default().to_owned()
}

fn encoded(text: &str) -> String {
    form(&[("", text)]).trim_start_matches('=').to_owned()
}

/// The address as messages show it: without its query.
fn shown(url: &Url) -> String {
    format!(
        "{}{}",
        url.origin().ascii_serialization(),
        printable(url.path(), 200)
    )
}

fn redirect(oauth: &OAuth2, headers: &HeaderMap) -> ApiError {
    let target = headers
        .get(LOCATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| oauth.token_url.join(text).ok())
        .map_or_else(
            || "an unreadable address".to_owned(),
            |target| printable(&target.origin().ascii_serialization(), 120),
        );
    ApiError::new(
        Kind::Redirect,
        format!(
            "the token endpoint {} redirects to {target}",
            shown(&oauth.token_url)
        ),
        "redirects are not followed, so that the client's credentials stay where they belong; if the server has moved, change `token_url` of mappings.api.auth",
    )
}

fn timed_out(oauth: &OAuth2, limit: Duration) -> ApiError {
    ApiError::new(
        Kind::Timeout,
        format!(
            "no token from {} within {} s",
            shown(&oauth.token_url),
            limit.as_secs_f64()
        ),
        "run `datasync check-api`; is the server of `token_url` up?",
    )
}

fn transport(oauth: &OAuth2, error: &reqwest::Error) -> ApiError {
    let url = shown(&oauth.token_url);
    let kind = kind_of(error);
    let (what, hint) = match kind {
        Kind::Dns => (
            format!("the name in {url}, the token endpoint, could not be resolved"),
            "check `token_url` of mappings.api.auth, and this machine's name resolution",
        ),
        Kind::Refused => (
            format!("nobody listens at the token endpoint {url}: connection refused"),
            "check `token_url` of mappings.api.auth, and whether that server is up",
        ),
        Kind::Tls => {
            let detail = error_in(error).map(ToString::to_string).unwrap_or_default();
            (
                format!(
                    "no secure connection to the token endpoint {url}: {}",
                    printable(&detail, 300)
                ),
                "check `token_url` of mappings.api.auth; an authority of your own is named by SSL_CERT_FILE",
            )
        }
        Kind::Timeout => (
            format!(
                "no connection to the token endpoint {url} within {} s",
                CONNECT_TIMEOUT.as_secs_f64()
            ),
            "check `token_url` of mappings.api.auth, the network, and the firewall",
        ),
        _ => (
            format!("the connection to the token endpoint {url} failed"),
            "run `datasync check-api`; look at the log of that server and at proxies in between",
        ),
    };
    ApiError::new(kind, what, hint)
}
