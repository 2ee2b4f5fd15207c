//! `mappings.api` without its transforms and credentials, and `API_BASE_URL`.

use std::path::PathBuf;

use reqwest::Url;

use super::auth::auth;
use super::body::body;
use super::database::is_local;
use super::endpoint::{self, endpoint};
use super::incremental::incremental;
use super::pagination::pagination;
use super::plan::{
    Api, ApiTls, Auth, ClientCertificate, Endpoint, Field, Incremental, PageFormat, Pagination,
    WriteBack, WriteBackOutcome,
};
use super::problem::Problem;
use super::reader::{CONVENTION, Section};
use super::secret::Secret;

const FETCH_KEYS: [&str; 10] = [
    "format",
    "body",
    "rate_limited_status",
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
        &[
            &["base_url", "auth", "tls", "endpoints", "transforms"],
            &CONVENTION[..],
        ]
        .concat(),
    );
    section.ignore("type", "the source is always a REST API");
    for key in ["connector", "driver"] {
        section.ignore(key, "datasync brings its own");
    }
    section.ignore("operations", endpoint::REQUESTS);
    section
}

/// Where the array of records is in a page. Also used for records that come from a file.
pub(super) fn records(api: &Section<'_>) -> Option<Vec<String>> {
    let fetch = endpoints(api).section("fetch", &[&endpoint::KEYS[..], &FETCH_KEYS[..]].concat());
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
    let fetch = endpoints.section("fetch", &[&endpoint::KEYS[..], &FETCH_KEYS[..]].concat());
    let base_url = base_url(section);
    let update_section = update_section(&endpoints);
    let auth = auth(
        section,
        &[&fetch, &update_section][..=usize::from(is_enabled(&update_section))],
    );
    let mut endpoint = endpoint(
        &fetch,
        max_retries,
        "/api/v1/data",
        &[("GET", "GET"), ("POST", "POST")],
    );
    if let Some(base_url) = &base_url {
        refuse_path_twice(&fetch, base_url, &endpoint.path);
    }
    let update = update(&update_section, max_retries, outgoing);
    let params = params(&fetch);
    let incremental = incremental(&fetch, &params, fields);
    let pagination = pagination(&fetch, incremental.as_ref());
    let body = body(&fetch);
    let format = format(&fetch, &mut endpoint);
    for (key, section) in [("body", &fetch), ("params_in", &fetch.names("pagination"))] {
        let is_there = section.entry(key).is_some() && (key == "body" || pagination.in_body);
        if is_there && endpoint.method != "POST" {
            section.wrong(
                key,
                "a GET has no body",
                "write `method: POST` at the endpoint",
            );
        }
    }
    refuse_key_twice(section, &auth, &params, &pagination, incremental.as_ref());
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
        auth,
        tls: api_tls(section),
        format,
        body,
        rate_limited_status: rate_limited_status(&fetch),
        fetch: endpoint,
        pagination,
        params,
        incremental,
        max_requests_per_second: rate,
        update,
    })
}

fn endpoints<'a>(api: &Section<'a>) -> Section<'a> {
    let section = api.section(
        "endpoints",
        &[&["fetch", "update"], &CONVENTION[..]].concat(),
    );
    endpoint::ignore_convention(&section);
    section
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

/// The address that a text without a scheme probably means, for a message. Only a text with a port, or the name of this
/// machine, is taken for an address: any other text could be a secret in the wrong variable.
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
    let url = parse_base_url(&format!("{scheme}://{text}"))?;
    // A path may be a secret.
    let path = match url.path() {
        "" | "/" => "",
        _ => "/…",
    };
    let authority = text.split('/').next().unwrap_or_default();
    Some(format!("{scheme}://{authority}{path}"))
}

/// Refuses a key in the query whose parameter has another meaning too.
fn refuse_key_twice(
    api: &Section<'_>,
    auth: &Auth,
    params: &[(String, String)],
    paging: &Pagination,
    incremental: Option<&Incremental>,
) {
    let Auth::Query { name, .. } = auth else {
        return;
    };
    let by_paging = [
        &paging.page_param,
        &paging.size_param,
        &paging.offset_param,
        &paging.cursor_param,
    ];
    let is_taken = params.iter().any(|(known, _)| known == name)
        || by_paging.iter().any(|param| param.named() == Some(name))
        || incremental.is_some_and(|incremental| incremental.param == *name);
    if is_taken {
        api.names("auth").wrong(
            "name",
            "the parameter of the key is sent with another meaning too",
            "take it out of `params`, `pagination` or `incremental`, or name another one here",
        );
    }
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
    // The part before the path, and a path that holds a variable, can be secret.
    let (path, before) = match (fetch.value("path"), before.is_empty()) {
        (Some(value), _) if value.expanded => ("the path of the endpoint", "…"),
        (_, is_whole) => (path, if is_whole { "" } else { "/…" }),
    };
    let keep = if before.is_empty() {
        "end it after host and port"
    } else {
        "end it before that path"
    };
    fetch.context().problem_if(
        fetch.is_needed(),
        Problem::new(format!(
            "API_BASE_URL ends with {path}, which is the path of the endpoint: requests would go to {before}{path}{path}"
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

/// How a page holds its records. For lines, sets `Accept` unless the file has one.
fn format(fetch: &Section<'_>, endpoint: &mut Endpoint) -> PageFormat {
    const LINES: &str = "application/x-ndjson, application/jsonl;q=0.9, application/json;q=0.5";
    let formats = [("json", PageFormat::Json), ("ndjson", PageFormat::Ndjson)];
    let format = fetch.choice("format", &formats).unwrap_or(PageFormat::Json);
    if format == PageFormat::Json {
        return format;
    }
    if fetch.entry("records").is_some() {
        fetch.wrong(
            "records",
            "`format: ndjson` has no array: each line is a record",
            "take `records` out",
        );
    }
    let is_own = |name: &str| {
        let headers = fetch.names("headers");
        let mut entries = headers.entries().iter();
        entries.any(|entry| entry.key.eq_ignore_ascii_case(name))
    };
    if !is_own("accept") {
        for (name, value) in &mut endpoint.headers {
            if name == "Accept" {
                *value = Secret::new(LINES.to_owned());
            }
        }
    }
    format
}

/// The files of TLS. A certificate goes with its key.
fn api_tls(api: &Section<'_>) -> ApiTls {
    let section = api.section("tls", &["client_certificate", "client_key", "ca"]);
    let file = |key: &str| section.text(key).map(PathBuf::from);
    let (certificate, key) = (file("client_certificate"), file("client_key"));
    for (given, missing) in [
        ("client_certificate", "client_key"),
        ("client_key", "client_certificate"),
    ] {
        if section.entry(given).is_some() && section.entry(missing).is_none() {
            section.absent_key(
                missing,
                format!("`{given}` needs it: the certificate and its private key go together"),
            );
        }
    }
    ApiTls {
        client: certificate
            .zip(key)
            .map(|(certificate, key)| ClientCertificate { certificate, key }),
        ca: file("ca"),
    }
}

/// Statuses that mean "slow down". 401 and 407 are refused here, since they are about credentials.
fn rate_limited_status(fetch: &Section<'_>) -> Vec<u16> {
    let fits = |status: &u16| (400..=599).contains(status) && ![401, 407].contains(status);
    fetch.statuses(
        "rate_limited_status",
        fits,
        "expected statuses from 400 to 599 that ask to slow down",
        "401 and 407 are about credentials, and 429 counts anyway",
    )
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

fn update_section<'a>(endpoints: &Section<'a>) -> Section<'a> {
    let section = endpoints.section("update", &[&endpoint::KEYS[..], &UPDATE_KEYS[..]].concat());
    let needed = is_enabled(&section) && section.is_needed();
    section.needed(needed)
}

fn is_enabled(update: &Section<'_>) -> bool {
    update.flag("enabled").unwrap_or(false)
}

/// Write-back; its section is checked even if it is not enabled.
fn update(
    section: &Section<'_>,
    max_retries: Option<u32>,
    fields: Vec<(String, String)>,
) -> Option<WriteBack> {
    let methods = [("PUT", "PUT"), ("POST", "POST"), ("PATCH", "PATCH")];
    let endpoint = endpoint(section, max_retries, "/api/v1/data/{id}", &methods);
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
    if !is_enabled(section) {
        return None;
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
            ("127.0.0.1:80/crm", Some("http://127.0.0.1:80/…")),
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
