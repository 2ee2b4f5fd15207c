//! What both endpoints of `mappings.api.endpoints` have: path, method, headers, time and retries.

use std::time::Duration;

use reqwest::header::{HeaderName, HeaderValue};

use super::plan::{Backoff, Endpoint, Retry};
use super::reader::Section;
use super::secret::Secret;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);

/// Its keys.
pub(super) const KEYS: [&str; 9] = [
    "type",
    "connector",
    "driver",
    "operations",
    "path",
    "method",
    "headers",
    "timeout",
    "retry",
];

/// Why requests described in the plain convention are ignored.
pub(super) const REQUESTS: &str = "requests are made from the endpoints `fetch` and `update`";

/// Lists the keys of the plain convention as ignored.
pub(super) fn ignore_convention(section: &Section<'_>) {
    for key in ["type", "connector", "driver"] {
        section.ignore(key, "datasync brings its own");
    }
    section.ignore("operations", REQUESTS);
}

/// One endpoint; `path` and the first of `methods` are the defaults.
pub(super) fn endpoint(
    section: &Section<'_>,
    max_retries: Option<u32>,
    path: &str,
    methods: &[(&str, &str)],
) -> Endpoint {
    ignore_convention(section);
    let expected =
        "a path that starts with `/` and has no `?` or `#` (fixed parameters stand in `params`)";
    let path = section
        .parse("path", expected, |text| {
            (text.starts_with('/')
                && !text.starts_with("//")
                && !text.contains(['?', '#'])
                && !text.contains(char::is_whitespace))
            .then(|| text.to_owned())
        })
        .unwrap_or_else(|| path.to_owned());
    let method = section
        .choice("method", methods)
        .or(methods.first().map(|(_, method)| *method));
    let holds_variable = section
        .entry("path")
        .and_then(|_| section.value("path"))
        .is_some_and(|value| value.expanded);
    Endpoint {
        shown_path: if holds_variable {
            "/…".to_owned()
        } else {
            path.clone()
        },
        path,
        method: method.unwrap_or("GET").to_owned(),
        headers: headers(section),
        timeout: section
            .duration("timeout", SECOND / 100, HOUR)
            .unwrap_or(SECOND * 30),
        retry: retry(section, max_retries),
    }
}

/// The headers of the file, and `Accept: application/json` unless the file has an `Accept`.
fn headers(section: &Section<'_>) -> Vec<(String, Secret)> {
    let names = section.names("headers");
    let mut headers: Vec<(String, Secret)> = Vec::new();
    for entry in names.entries() {
        if HeaderName::from_bytes(entry.key.as_bytes()).is_err() {
            names.wrong_key(
                entry,
                format!("`{}` cannot be the name of a header", entry.key),
                "letters, digits and `-`",
            );
            continue;
        }
        let Some(value) = names.value(&entry.key) else {
            continue;
        };
        if HeaderValue::from_str(&value.text).is_err() {
            names.wrong(
                &entry.key,
                "the value holds characters that HTTP does not allow in a header",
                "is there a line break in it, or in a variable it uses?",
            );
            continue;
        }
        headers.push((entry.key.clone(), Secret::new(value.text)));
    }
    let has_accept = names
        .entries()
        .iter()
        .any(|entry| entry.key.eq_ignore_ascii_case("accept"));
    if !has_accept {
        headers.push((
            "Accept".to_owned(),
            Secret::new("application/json".to_owned()),
        ));
    }
    headers
}

fn retry(section: &Section<'_>, max_retries: Option<u32>) -> Retry {
    let retry = section.section("retry", &["max_attempts", "backoff", "initial", "max"]);
    let initial = retry.duration("initial", Duration::from_millis(1), HOUR);
    let max = retry.duration("max", Duration::from_millis(1), HOUR);
    if let (Some(initial), Some(max)) = (initial, max)
        && initial > max
    {
        retry.wrong(
            "initial",
            "`initial` is longer than `max`",
            "delays grow from `initial` to `max`",
        );
    }
    let max = max.unwrap_or((SECOND * 30).max(initial.unwrap_or_default()));
    Retry {
        max_attempts: retry
            .number("max_attempts", 0..=20)
            .or(max_retries)
            .unwrap_or(3),
        backoff: retry
            .choice(
                "backoff",
                &[
                    ("exponential", Backoff::Exponential),
                    ("fixed", Backoff::Fixed),
                ],
            )
            .unwrap_or(Backoff::Exponential),
        initial: initial.unwrap_or((SECOND / 2).min(max)),
        max,
    }
}
