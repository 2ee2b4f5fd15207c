//! `mappings.api` without its transforms, `API_BASE_URL` and `API_TOKEN`.

use std::time::Duration;

use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};

use super::database::is_local;
use super::pagination::pagination;
use super::plan::{
    Api, Backoff, Endpoint, Field, Incremental, Kind, Retry, WriteBack, WriteBackOutcome,
};
use super::problem::Problem;
use super::reader::Section;
use super::secret::Secret;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);

const ENDPOINT_KEYS: [&str; 7] = [
    "type",
    "connector",
    "path",
    "method",
    "headers",
    "timeout",
    "retry",
];
const FETCH_KEYS: [&str; 7] = [
    "records",
    "pagination",
    "incremental",
    "max_page_bytes",
    "max_pages",
    "max_requests_per_second",
    "params",
];
const UPDATE_KEYS: [&str; 3] = ["when", "enabled", "if_match"];

/// `mappings.api`, its keys checked.
pub(super) fn section<'a>(mappings: &Section<'a>) -> Section<'a> {
    let section = mappings.section(
        "api",
        &["type", "connector", "base_url", "endpoints", "transforms"],
    );
    section.ignore("type", "the source is always a REST API");
    section.ignore("connector", "datasync brings its own");
    section
}

/// Where the array of records is in a page. Also used for records that come from a file.
pub(super) fn records(api: &Section<'_>) -> Option<Vec<String>> {
    let fetch = endpoints(api).section("fetch", &[&ENDPOINT_KEYS[..], &FETCH_KEYS[..]].concat());
    fetch
        .needed(true)
        .json_path("records")
        .filter(|path| *path != ["auto"])
}

/// The source; `None` when something needed is missing, which has been reported.
pub(super) fn api(
    section: &Section<'_>,
    max_retries: Option<u32>,
    outgoing: Vec<(String, String)>,
    fields: &[Field],
) -> Option<Api> {
    let endpoints = endpoints(section);
    let fetch = endpoints.section("fetch", &[&ENDPOINT_KEYS[..], &FETCH_KEYS[..]].concat());
    let base_url = base_url(section);
    let token = token(&fetch);
    let endpoint = endpoint(
        &fetch,
        token.as_ref(),
        max_retries,
        "/api/v1/data",
        &[("GET", "GET")],
    );
    if let Some(base_url) = &base_url {
        refuse_path_twice(&fetch, base_url, &endpoint.path);
    }
    let update = update(&endpoints, token.as_ref(), max_retries, outgoing);
    let params = params(&fetch);
    let incremental = incremental(&fetch, &params, fields);
    let pagination = pagination(&fetch, incremental.as_ref());
    let rate = fetch.parse(
        "max_requests_per_second",
        "a number above 0, at most 100000,",
        |text| {
            text.parse::<f64>()
                .ok()
                .filter(|rate| *rate > 0.0 && *rate <= 100_000.0)
        },
    );
    Some(Api {
        records: fetch.json_path("records").filter(|path| *path != ["auto"]),
        max_pages: fetch
            .number("max_pages", 1..=1_000_000_000)
            .unwrap_or(100_000),
        max_page_bytes: fetch.size("max_page_bytes", 1 << 10).unwrap_or(32 << 20),
        base_url: base_url?,
        token: token.unwrap_or_default(),
        fetch: endpoint,
        pagination,
        params,
        incremental,
        max_requests_per_second: rate,
        update,
    })
}

fn endpoints<'a>(api: &Section<'a>) -> Section<'a> {
    api.section("endpoints", &["fetch", "update"])
}

fn base_url(section: &Section<'_>) -> Option<Url> {
    const EXPECTED: &str = "expected http://host or https://host, without user, query or fragment";
    let context = section.context();
    let needed = section.is_needed();
    if let Some(text) = context.variable("API_BASE_URL", needed) {
        let url = parse_base_url(text.trim());
        if url.is_none() {
            let mut problem = Problem::new(format!("API_BASE_URL: {EXPECTED}"));
            if let Some(meant) = with_scheme(text.trim()) {
                problem = problem.hint(format!("did you mean {meant}?"));
            }
            context.problem_if(needed, problem);
        }
        return url.inspect(|url| warn_of_clear_text(section, url));
    }
    if section.entry("base_url").is_none() {
        context.missing("API_BASE_URL", None, needed);
        return None;
    }
    let value = section.value("base_url")?;
    let url = parse_base_url(value.text.trim());
    if url.is_none() {
        let hint = with_scheme(value.text.trim()).map_or_else(
            || "it can also come from API_BASE_URL".to_owned(),
            |meant| format!("did you mean {meant}?"),
        );
        section.wrong("base_url", EXPECTED, &hint);
    }
    url.inspect(|url| warn_of_clear_text(section, url))
}

fn parse_base_url(text: &str) -> Option<Url> {
    let mut url = Url::parse(text).ok()?;
    let plain = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    plain.then_some(url)
}

/// The address that an address without a scheme stands for. Only what has a port, or is this machine, is taken for one and
/// shown: any other text could be a secret in the wrong variable.
fn with_scheme(text: &str) -> Option<String> {
    let host = text.split(['/', ':']).next().unwrap_or_default();
    let rest = text.get(host.len()..).unwrap_or_default();
    let port = rest
        .strip_prefix(':')
        .map(|rest| rest.split('/').next().unwrap_or_default());
    if port.is_some_and(|port| port.parse::<u16>().is_err()) || (port.is_none() && !is_local(host))
    {
        return None;
    }
    let scheme = if is_local(host) { "http" } else { "https" };
    let meant = format!("{scheme}://{text}");
    parse_base_url(&meant).map(|_| meant)
}

/// Refuses a base address that ends with the path of the endpoint: requests would go to a path that has it twice.
fn refuse_path_twice(fetch: &Section<'_>, base_url: &Url, path: &str) {
    let base = base_url.path().trim_end_matches('/');
    let Some(before) = base.strip_suffix(path.trim_end_matches('/')) else {
        return;
    };
    if path.len() < 2 {
        return;
    }
    let keep = if before.is_empty() {
        "end it after host and port".to_owned()
    } else {
        format!("end it with {before}")
    };
    fetch.context().problem_if(
        fetch.is_needed(),
        Problem::new(format!(
            "API_BASE_URL ends with {path}, which is the path of the endpoint: requests would go to {base}{path}"
        ))
        .hint(keep),
    );
}

fn warn_of_clear_text(section: &Section<'_>, url: &Url) {
    if url.scheme() == "http" && !url.host_str().is_some_and(is_local) {
        section.context().warn(
            Problem::new("the API is reached without TLS: token and records travel in clear text")
                .hint("use https://"),
        );
    }
}

/// The token; missing only when the default header, or a header of the file, wants it.
fn token(fetch: &Section<'_>) -> Option<Secret> {
    let context = fetch.context();
    let needed = fetch.is_needed();
    let token = context.variable("API_TOKEN", needed);
    if token.is_none() && !has_authorization(fetch) {
        context.missing("API_TOKEN", None, needed);
    }
    token.map(Secret::new)
}

fn has_authorization(endpoint: &Section<'_>) -> bool {
    endpoint
        .names("headers")
        .entries()
        .iter()
        .any(|entry| entry.key.eq_ignore_ascii_case("authorization"))
}

fn endpoint(
    section: &Section<'_>,
    token: Option<&Secret>,
    max_retries: Option<u32>,
    path: &str,
    methods: &[(&str, &str)],
) -> Endpoint {
    for key in ["type", "connector"] {
        section.ignore(key, "datasync brings its own");
    }
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
    Endpoint {
        path,
        method: method.unwrap_or("GET").to_owned(),
        headers: headers(section, token),
        timeout: section
            .duration("timeout", SECOND / 100, HOUR)
            .unwrap_or(SECOND * 30),
        retry: retry(section, max_retries),
    }
}

/// The headers of the file, with `Accept: application/json` and the bearer token where it does not say otherwise.
fn headers(section: &Section<'_>, token: Option<&Secret>) -> Vec<(String, Secret)> {
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
    let has = |name: &str| {
        names
            .entries()
            .iter()
            .any(|entry| entry.key.eq_ignore_ascii_case(name))
    };
    if !has("accept") {
        headers.push((
            "Accept".to_owned(),
            Secret::new("application/json".to_owned()),
        ));
    }
    if let (Some(token), false) = (token, has("authorization")) {
        let value = format!("Bearer {}", token.expose());
        if HeaderValue::from_str(&value).is_err() {
            section.context().problem_if(
                section.is_needed(),
                Problem::new("API_TOKEN holds characters that HTTP does not allow in a header")
                    .hint("is there a line break in it?"),
            );
        }
        headers.push(("Authorization".to_owned(), Secret::new(value)));
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

fn incremental(
    fetch: &Section<'_>,
    params: &[(String, String)],
    fields: &[Field],
) -> Option<Incremental> {
    let section = fetch.section("incremental", &["param", "field", "overlap"]);
    if !section.is_present() {
        return None;
    }
    for key in ["param", "field"] {
        if section.entry(key).is_none() {
            section.absent_key(
                key,
                "for example `{ param: updated_since, field: updated_date }`",
            );
        }
    }
    let overlap = section
        .duration("overlap", Duration::ZERO, HOUR * 24 * 366)
        .unwrap_or(SECOND * 300);
    let (param, field) = (section.text("param")?, section.json_path("field")?);
    if params.iter().any(|(name, _)| *name == param) {
        section.wrong(
            "param",
            "`params` sets this parameter too",
            "datasync sends it with the watermark: take it out of `params`",
        );
    }
    if let Some(mapped) = fields.iter().find(|mapped| mapped.source == field)
        && mapped.kind != Kind::DateTime
    {
        section.wrong(
            "field",
            format!("the field is mapped to `{}`, which is no datetime", mapped.name),
            "give it `type: datetime`, with the `format` and `timezone` of its times where they are not RFC 3339",
        );
    }
    Some(Incremental {
        param,
        field,
        overlap,
    })
}

fn params(fetch: &Section<'_>) -> Vec<(String, String)> {
    let section = fetch.names("params");
    let value = |key: &str| {
        section
            .value_or_empty(key)
            .map(|value| (key.to_owned(), value.text))
    };
    section
        .entries()
        .iter()
        .filter_map(|entry| value(&entry.key))
        .collect()
}

/// Write-back, checked even where it is not enabled.
fn update(
    endpoints: &Section<'_>,
    token: Option<&Secret>,
    max_retries: Option<u32>,
    fields: Vec<(String, String)>,
) -> Option<WriteBack> {
    let section = endpoints.section("update", &[&ENDPOINT_KEYS[..], &UPDATE_KEYS[..]].concat());
    let enabled = section.flag("enabled").unwrap_or(false);
    let section = section.clone().needed(enabled && section.is_needed());
    let methods = [("PUT", "PUT"), ("POST", "POST"), ("PATCH", "PATCH")];
    let endpoint = endpoint(&section, token, max_retries, "/api/v1/data/{id}", &methods);
    let outcomes = [
        ("inserted", WriteBackOutcome::Inserted),
        ("updated", WriteBackOutcome::Updated),
        ("unchanged", WriteBackOutcome::Unchanged),
    ];
    let mut when: Vec<WriteBackOutcome> = section
        .values("when")
        .iter()
        .filter_map(|value| section.choose(value, &outcomes))
        .collect();
    if section.entry("when").is_none() {
        when = vec![WriteBackOutcome::Inserted, WriteBackOutcome::Updated];
    }
    let if_match = section.json_path("if_match");
    if !enabled {
        return None;
    }
    if token.is_none() && !has_authorization(&section) {
        section
            .context()
            .missing("API_TOKEN", None, section.is_needed());
    }
    if !endpoint.path.contains("{id}") {
        section.wrong(
            "path",
            "the path has no `{id}`",
            "it stands for the record's key, as in `/api/v1/data/{id}`",
        );
    }
    if fields.is_empty() {
        section.wrong(
            "enabled",
            "write-back needs to know what to send",
            "list fields in a field_mapping of mappings.api.transforms.outgoing",
        );
    }
    Some(WriteBack {
        endpoint,
        when,
        fields,
        if_match,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_address_without_a_scheme_is_guessed_where_it_can_be_no_secret() {
        let cases = [
            ("localhost:28080", Some("http://localhost:28080")),
            ("localhost", Some("http://localhost")),
            ("127.0.0.1:80/crm", Some("http://127.0.0.1:80/crm")),
            ("api.example.com:8443", Some("https://api.example.com:8443")),
            ("api.example.com", None),
            ("eyJhbGciOi.eyJzdWIi.c2ln", None),
            ("user:secret@host", None),
            ("ftp://host", None),
            ("token", None),
            ("", None),
        ];
        for (text, meant) in cases {
            assert_eq!(with_scheme(text).as_deref(), meant, "{text}");
        }
    }

    #[test]
    fn base_urls() {
        let cases = [
            ("https://api.example.com", Some("https://api.example.com/")),
            ("https://api.example.com/", Some("https://api.example.com/")),
            (
                "https://api.example.com/crm//",
                Some("https://api.example.com/crm"),
            ),
            ("http://127.0.0.1:8080", Some("http://127.0.0.1:8080/")),
            ("ftp://api.example.com", None),
            ("https://user@api.example.com", None),
            ("https://api.example.com?a=b", None),
            ("https://api.example.com#a", None),
            ("api.example.com", None),
            ("", None),
        ];
        for (text, url) in cases {
            assert_eq!(
                parse_base_url(text).as_ref().map(Url::as_str),
                url,
                "{text}"
            );
        }
    }
}
