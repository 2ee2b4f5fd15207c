//! Recognises a 2xx whose body carries an error. Messages show the code or the type of that error, never its text, which may
//! hold a customer's data.

use serde_json::{Map, Value};

use super::error::{ApiError, Kind};
use super::vocabulary::is_plain;

/// Keys whose value is an error, unless it is empty.
const ERRORS: [&str; 4] = ["error", "errors", "fault", "exception"];
/// Flags that are false when something went wrong.
const SUCCESS: [&str; 4] = ["success", "ok", "succeeded", "is_success"];
/// Objects around the answer in which a status may stand.
const AROUND: [&str; 4] = ["meta", "response", "status", "result"];
/// Keys that name an error by a word or a number.
const CODES: [&str; 8] = [
    "code",
    "type",
    "status",
    "error_code",
    "errorCode",
    "statusCode",
    "reason",
    "error",
];
/// Words of a status that are an error.
const FAILED: [&str; 6] = ["error", "errors", "fail", "failed", "failure", "err"];
/// Longest code that is shown.
const LONGEST: usize = 40;
/// A larger number is not shown as a code: it could be a customer's number.
const LARGEST: u64 = 1_000_000;

/// The error that a body carries, if it does.
pub(super) fn of(beside: &Value) -> Option<ApiError> {
    let top = beside.as_object()?;
    let inner = AROUND.iter().filter_map(|name| top.get(*name)?.as_object());
    let sign = std::iter::once(top).chain(inner).find_map(sign)?;
    let code = code(top).map_or_else(String::new, |code| format!(" (`{code}`)"));
    Some(ApiError::new(
        Kind::ErrorBody,
        format!("the API reported success with an error in the body: {sign}{code}"),
        "run `datasync check-api`; look at the API's log, and whether the token may read this endpoint",
    ))
}

/// Does a first page without records look like an error, though it carries none of the usual signs?
pub(super) fn is_error_like(beside: &Value) -> bool {
    const WORDS: [&str; 14] = [
        "error",
        "invalid",
        "denied",
        "unauthor",
        "forbidden",
        "expired",
        "not allowed",
        "fail",
        "exceeded",
        "missing",
        "unavailable",
        "maintenance",
        "try again",
        "not permitted",
    ];
    let Some(top) = beside.as_object() else {
        return false;
    };
    let says_so = |name: &str| {
        let text = top.get(name).and_then(Value::as_str).unwrap_or_default();
        let text = text.to_ascii_lowercase();
        WORDS.iter().any(|word| text.contains(word))
    };
    let is_status = |name: &str| {
        top.get(name)
            .and_then(status)
            .is_some_and(|status| (400..600).contains(&status))
    };
    [
        "message",
        "detail",
        "title",
        "msg",
        "error_message",
        "errorMessage",
        "description",
    ]
    .into_iter()
    .any(says_so)
        || ["code", "statusCode", "error_code", "errorCode"]
            .into_iter()
            .any(is_status)
}

/// The error for such a page.
pub(super) fn like(beside: &Value) -> ApiError {
    let code = beside
        .as_object()
        .and_then(code)
        .map_or_else(String::new, |code| format!(" (`{code}`)"));
    ApiError::new(
        Kind::ErrorBody,
        format!("the first page has no records and looks like an error{code}"),
        "run `datasync check-api`; look at what the API answers, and whether the token may read this endpoint",
    )
}

/// What shows that an object reports an error.
fn sign(object: &Map<String, Value>) -> Option<String> {
    for name in ERRORS {
        if object.get(name).is_some_and(|value| !is_nothing(value)) {
            return Some(format!("`{name}` is not empty"));
        }
    }
    for name in SUCCESS {
        if object.get(name) == Some(&Value::Bool(false)) {
            return Some(format!("`{name}` is false"));
        }
    }
    for name in ["status", "statusCode", "status_code", "result"] {
        let Some(value) = object.get(name) else {
            continue;
        };
        let failed = value
            .as_str()
            .is_some_and(|text| FAILED.contains(&text.trim().to_ascii_lowercase().as_str()))
            || status(value).is_some_and(|status| (400..600).contains(&status));
        if failed {
            return Some(format!("`{name}` is an error"));
        }
    }
    None
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.trim().is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

fn status(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// The code or type of an error: a short number, or a name of the vocabulary of APIs.
fn code(top: &Map<String, Value>) -> Option<String> {
    let objects = ERRORS
        .iter()
        .chain(&AROUND)
        .filter_map(|name| match top.get(*name)? {
            Value::Object(fields) => Some(fields),
            Value::Array(list) => list.first()?.as_object(),
            _ => None,
        });
    objects.chain(std::iter::once(top)).find_map(|object| {
        CODES
            .iter()
            .filter_map(|name| object.get(*name))
            .find_map(shown)
    })
}

fn shown(value: &Value) -> Option<String> {
    match value {
        Value::Number(number) => number
            .as_u64()
            .filter(|number| *number < LARGEST)
            .map(|number| number.to_string()),
        Value::String(text) => {
            let is_number = text.parse::<u64>().is_ok_and(|number| number < LARGEST);
            let is_word = !text.is_empty()
                && text.len() <= LONGEST
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            // `rate_limited`, `INVALID_SESSION`, `AuthenticationError`, `1002`.
            let is_code = is_number || is_plain(text);
            (is_word && is_code).then(|| text.clone())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn errors_in_a_success_are_seen_and_named_by_their_code_alone() {
        for (body, code) in [
            (json!({"error": "Ms Jane Doe is locked"}), ""),
            (json!({"error": "rate_limited"}), "rate_limited"),
            (
                json!({"errors": [{"code": "INVALID_SESSION", "message": "Zoë"}]}),
                "INVALID_SESSION",
            ),
            (json!({"success": false, "code": 1002}), "1002"),
            (json!({"ok": false}), ""),
            (json!({"status": "error", "message": "Zoë"}), "error"),
            (json!({"meta": {"status": 500}}), "500"),
        ] {
            let error = of(&body).map(|error| error.to_string()).unwrap_or_default();
            assert!(
                error.contains("with an error in the body"),
                "{body}: {error}"
            );
            assert!(error.contains(code), "{body}: {error}");
            assert!(!error.contains("Zoë") && !error.contains("Jane"), "{error}");
        }
    }

    #[test]
    fn what_is_empty_or_well_is_no_error() {
        for body in [
            json!({}),
            json!([]),
            json!({"error": null, "errors": [], "success": true, "ok": true, "status": "ok"}),
            json!({"error": false, "status": 200, "meta": {"status": "success"}, "error_code": 0}),
            json!({"errors": {}, "error": ""}),
        ] {
            assert!(of(&body).is_none(), "{body}");
        }
        assert!(is_error_like(&json!({"message": "Invalid API key"})));
        assert!(is_error_like(&json!({"code": 403})));
        assert!(!is_error_like(&json!({"message": "success", "code": 0})));
    }
}
