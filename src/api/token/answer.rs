//! Reads the answer of a token endpoint (RFC 6749): a token, or an error with a code. Nothing else of it is ever shown.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::Value;

use super::super::body;
use super::super::error::{ApiError, Kind};
use crate::config::secret::Secret;

/// Longest lifetime that is accepted, so that arithmetic on it cannot overflow.
const LONGEST: Duration = Duration::from_hours(24 * 366);

/// A token that was issued.
pub(super) struct Issued {
    pub access_token: Secret,
    pub expires_in: Option<Duration>,
    /// The refresh token to use from now on, if the server has changed it.
    pub refresh_token: Option<Secret>,
}

/// Reads a successful answer.
pub(super) fn read(headers: &HeaderMap, bytes: &[u8]) -> Result<Issued, ApiError> {
    let Ok(Value::Object(answer)) = serde_json::from_slice::<Value>(bytes) else {
        return Err(ApiError::new(
            Kind::NotJson,
            format!(
                "the token endpoint answered something else than a JSON object ({}, {})",
                body::size(bytes.len() as u64),
                body::content_type(headers)
            ),
            "check `token_url` of mappings.api.auth: is it the token endpoint, and no page for people?",
        ));
    };
    let text = |name: &str| {
        let text = answer.get(name).and_then(Value::as_str);
        text.filter(|text| !text.is_empty())
            .map(|text| Secret::new(text.to_owned()))
    };
    let Some(access_token) = text("access_token") else {
        return Err(match answer.get("error").and_then(Value::as_str) {
            Some(code) => refused(None, Some(code)),
            None => no_token(),
        });
    };
    Ok(Issued {
        access_token,
        expires_in: answer.get("expires_in").and_then(seconds),
        refresh_token: text("refresh_token"),
    })
}

/// Seconds, as a number or as text; none if the value is not a valid duration.
fn seconds(value: &Value) -> Option<Duration> {
    let seconds = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }?;
    Duration::try_from_secs_f64(seconds)
        .ok()
        .map(|life| life.min(LONGEST))
}

pub(super) fn no_token() -> ApiError {
    ApiError::new(
        Kind::Token,
        "the token endpoint answered without an `access_token` that a header can carry",
        "check `token_url` and `grant` of mappings.api.auth",
    )
}

/// The error for an answer that is not a success.
pub(super) fn unsuccessful(status: StatusCode, bytes: &[u8]) -> ApiError {
    let answer = serde_json::from_slice::<Value>(bytes).unwrap_or_default();
    let code = answer.get("error").and_then(Value::as_str);
    refused(Some(status), code)
}

/// What to look at where the client is not accepted.
const CREDENTIALS: &str = "check `client_id` and `client_secret` of mappings.api.auth, the variables they use, and whether the server wants them in the body (`credentials_in: body`)";

/// The codes of the RFC: what the endpoint refuses by each, and what to look at.
const REFUSALS: [(&str, &str, &str); 7] = [
    (
        "invalid_client",
        "it does not accept the client",
        CREDENTIALS,
    ),
    (
        "invalid_grant",
        "it does not accept the refresh token (any more)",
        "get a new refresh token from the API's vendor, and put it where `refresh_token` of mappings.api.auth reads it",
    ),
    (
        "invalid_scope",
        "it does not allow these scopes",
        "check `scopes` and `audience` of mappings.api.auth, and what the client may ask for",
    ),
    (
        "unauthorized_client",
        "the client may not use this grant",
        "check `grant` of mappings.api.auth, and what the client is registered for",
    ),
    (
        "unsupported_grant_type",
        "it does not know this grant",
        "check `grant` and `token_url` of mappings.api.auth",
    ),
    (
        "invalid_request",
        "it does not understand the request",
        "check `audience`, `scopes`, `grant` and `credentials_in` of mappings.api.auth",
    ),
    (
        "invalid_target",
        "it does not know the audience",
        "check `audience` of mappings.api.auth",
    ),
];

/// The error for a code of the RFC, else for the status.
fn refused(status: Option<StatusCode>, code: Option<&str>) -> ApiError {
    let known = REFUSALS.into_iter().find(|(name, _, _)| code == Some(name));
    let named = status.map_or_else(
        || "an error".to_owned(),
        |status| {
            status.canonical_reason().map_or_else(
                || status.as_u16().to_string(),
                |reason| format!("{} {reason}", status.as_u16()),
            )
        },
    );
    let (kind, what, hint) = match (known, status.map_or(0, |status| status.as_u16())) {
        (Some((name, what, hint)), _) => (
            Kind::Token,
            format!("the token endpoint refused: {what} (`{name}`, {named})"),
            hint,
        ),
        (None, 401 | 403) => (
            Kind::Token,
            format!("the token endpoint does not accept the client: {named}"),
            CREDENTIALS,
        ),
        (None, 404 | 405 | 410) => (
            Kind::Token,
            format!("there is no token endpoint: {named}"),
            "check `token_url` of mappings.api.auth",
        ),
        (None, 429) => (
            Kind::RateLimited,
            format!("the token endpoint asks to slow down: {named}"),
            "run less often, or ask the operator of the server",
        ),
        _ => (
            Kind::Status,
            format!("the token endpoint answered {named}"),
            "check `token_url` of mappings.api.auth, and try again later",
        ),
    };
    match status {
        Some(status) => ApiError::new(kind, what, hint).with_status(status.as_u16()),
        None => ApiError::new(kind, what, hint),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_life_is_read_as_number_or_text_and_nonsense_is_none() {
        for (value, expected) in [
            (json!(3600), Some(3600)),
            (json!("3600"), Some(3600)),
            (json!(3599.9), Some(3599)),
            (json!(-1), None),
            (json!("soon"), None),
            (json!(1e300), None),
            (json!(99_999_999_999_u64), Some(LONGEST.as_secs())),
            (json!(null), None),
        ] {
            let read = seconds(&value).map(|life| life.as_secs());
            assert_eq!(read, expected, "{value}");
        }
    }
}
