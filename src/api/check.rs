//! The steps of `check-api`, from the name of the host to the fields of the first page, each with its time and a hint. It
//! changes nothing, and stops at the first step that makes the others impossible. No step takes longer than the endpoint's
//! timeout.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use reqwest::header::{DATE, HeaderMap};
use serde_json::Value;

use super::client::Client;
use super::error::{ApiError, printable};
use super::handshake::shake_hands;
use super::pages::{FetchOptions, Page, Pages};
use super::token::Tokens;
use super::vocabulary;
use crate::config::path;
use crate::config::plan::{Api, Field, Mapping, Origin};
use crate::model::clock::Micros;
use crate::model::record::Check;

/// One step may take this long: somebody is waiting for the answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Records of the first page that are compared with the mapping.
const SAMPLE: usize = 100;
/// Seconds by which the clocks may differ before that is reported.
const SKEW: f64 = 5.0;
/// Greatest number of field names that are listed.
const LISTED: usize = 12;

/// Who reads the result. That decides which names from the API are shown, since an object can be keyed by addresses of
/// customers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// Somebody who has typed `check-api` and looks at the terminal.
    Asking,
    /// A case, a log or an alert.
    Anyone,
}

impl Reader {
    fn may_see(self, name: &str) -> bool {
        match self {
            Self::Asking => vocabulary::is_like_a_field(name),
            Self::Anyone => vocabulary::is_plain(name),
        }
    }
}

/// Tries the steps of a request in their order, from the name of the host to the records. `alert`: an answer slower than this
/// fails the check.
pub fn check(api: &Api, mapping: &Mapping, alert: Duration, reader: Reader) -> Vec<Check> {
    let mut checks = Vec::new();
    look(api, mapping, alert, reader, &mut checks);
    checks
}

fn look(
    api: &Api,
    mapping: &Mapping,
    alert: Duration,
    reader: Reader,
    checks: &mut Vec<Check>,
) -> Option<()> {
    let api = &hasty(api);
    let started = Instant::now();
    let ready =
        Client::new(api).and_then(|client| Ok((client, Pages::new(api, FetchOptions::default())?)));
    let (client, pages) = match ready {
        Ok(ready) => ready,
        Err(error) => {
            note(checks, "request", started, Err(described(&error, reader)));
            return None;
        }
    };
    if let Some(proxy) = client.proxy() {
        let detail =
            format!("requests go through {proxy}, as HTTP_PROXY, HTTPS_PROXY or ALL_PROXY says");
        note(checks, "proxy", Instant::now(), Ok(detail));
    } else {
        let stream = reach(api, checks)?;
        if api.base_url.scheme() == "https" {
            secure(stream, api, checks)?;
        }
    }
    if let Some(tokens) = pages.control().tokens() {
        token(tokens, api, checks)?;
    }
    let started = Instant::now();
    let (page, headers) = match pages.probe(&client) {
        Ok(answer) => answer,
        Err(error) => {
            unanswered(&error, started, reader, checks);
            return None;
        }
    };
    if api.base_url.scheme() == "https" && client.proxy().is_some() {
        let detail = "the certificate is valid for this host".to_owned();
        note(checks, "tls", started, Ok(detail));
    }
    let detail = format!("answered in {:.3} s", page.seconds);
    note(checks, "http", started, Ok(detail));
    // All that follows came with that one answer.
    let started = Instant::now();
    let accepted = client.accepted().to_owned();
    note(checks, "authentication", started, Ok(accepted));
    let detail = format!("{} bytes of JSON", page.text.len());
    note(checks, "json", started, Ok(detail));
    records(&page, started, checks);
    if !page.records.is_empty() {
        let update = api.update.as_ref();
        let if_match = update.and_then(|update| update.if_match.as_ref());
        checks.push(fields(&page, mapping, if_match, reader));
    }
    checks.push(pagination(&pages, &page, started, reader));
    checks.extend(rate_limit(&headers, reader));
    let took = Duration::from_secs_f64(page.seconds);
    checks.push(latency(took, alert));
    let requested_at = Micros::local().before(page.requested.elapsed());
    checks.extend(clock(&headers, requested_at, took));
    Some(())
}

/// The API as it is asked by a check: once, and not for long.
fn hasty(api: &Api) -> Api {
    let mut hasty = api.clone();
    hasty.fetch.retry.max_attempts = 0;
    hasty.fetch.timeout = hasty.fetch.timeout.min(PATIENCE);
    hasty
}

/// The request failed: which steps worked, and which one did not.
fn unanswered(error: &ApiError, started: Instant, reader: Reader, checks: &mut Vec<Check>) {
    for name in passed(error.kind()) {
        note(checks, name, started, Ok("well".to_owned()));
    }
    let (mut detail, hint) = described(error, reader);
    if let Some(wait) = error.retry_after() {
        detail += &format!("; it asks to wait {} s", wait.as_secs());
    }
    note(checks, place(error.kind()), started, Err((detail, hint)));
}

fn records(page: &Page, started: Instant, checks: &mut Vec<Check>) {
    let (detail, hint) = match page.records.len() {
        0 => (
            "an array without records".to_owned(),
            Some(
                "the first page is empty: is there nothing to sync, or does `records` point to another array?",
            ),
        ),
        count => (format!("{count} on the first page"), None),
    };
    checks.push(Check {
        hint: hint.map(str::to_owned),
        ..finished("records", started, Ok(detail))
    });
}

/// The access token of OAuth 2, from a server of its own.
fn token(tokens: &Tokens, api: &Api, checks: &mut Vec<Check>) -> Option<()> {
    let started = Instant::now();
    let outcome = tokens.current();
    let host = api
        .auth
        .oauth2()
        .and_then(|oauth| oauth.token_url.host_str())
        .unwrap_or_default();
    let is_well = outcome.is_ok();
    let outcome = match outcome {
        Ok(_) => Ok(match tokens.valid_for() {
            Some(life) => format!(
                "{host} issued an access token that is valid for {} s",
                life.as_secs_f64().round()
            ),
            None => format!("{host} issued an access token, and does not say how long it is valid"),
        }),
        Err(error) => Err(described(&error, Reader::Anyone)),
    };
    note(checks, "token", started, outcome);
    is_well.then_some(())
}

fn host(api: &Api) -> &str {
    api.base_url
        .host_str()
        .unwrap_or_default()
        .trim_matches(['[', ']'])
}

/// Name and connection.
fn reach(api: &Api, checks: &mut Vec<Check>) -> Option<TcpStream> {
    let patience = api.fetch.timeout;
    let host = host(api);
    let port = api.base_url.port_or_known_default().unwrap_or(443);
    let started = Instant::now();
    let addresses = match resolve(host, port, patience) {
        Ok(addresses) => addresses,
        Err(why) => {
            let hint = "check API_BASE_URL and the resolver of this machine";
            let failed = (format!("{host}: {why}"), Some(hint.to_owned()));
            note(checks, "dns", started, Err(failed));
            return None;
        }
    };
    let list: Vec<String> = addresses.iter().map(|a| a.ip().to_string()).collect();
    let detail = if list == [host] {
        format!("{host} is an address")
    } else {
        format!("{host} is {}", list.join(", "))
    };
    note(checks, "dns", started, Ok(detail));
    let started = Instant::now();
    let mut failure = None;
    for address in &addresses {
        let left = patience.saturating_sub(started.elapsed());
        if left.is_zero() {
            break;
        }
        match TcpStream::connect_timeout(address, left) {
            Ok(stream) => {
                let detail = format!("{} port {port} is open", address.ip());
                note(checks, "tcp", started, Ok(detail));
                return Some(stream);
            }
            Err(error) => failure = Some((address.ip(), error)),
        }
    }
    let (detail, hint) = match failure {
        Some((ip, error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => (
            format!("{ip} port {port}: connection refused"),
            "nothing listens there: is the API running, and are host and port in API_BASE_URL right?",
        ),
        Some((ip, error)) if error.kind() != std::io::ErrorKind::TimedOut => (
            format!("{ip} port {port}: {error}"),
            "check the network of this machine, and API_BASE_URL",
        ),
        _ => (
            format!(
                "port {port} did not answer within {} s",
                patience.as_secs_f64()
            ),
            "a firewall may swallow the packets: check host and port in API_BASE_URL, and the rules in between",
        ),
    };
    note(checks, "tcp", started, Err((detail, Some(hint.to_owned()))));
    None
}

/// The handshake, and the certificate that was shown.
fn secure(stream: TcpStream, api: &Api, checks: &mut Vec<Check>) -> Option<()> {
    let started = Instant::now();
    let handshake = shake_hands(stream, host(api), &api.tls, api.fetch.timeout);
    checks.push(Check {
        name: "tls",
        ok: handshake.ok,
        seconds: started.elapsed().as_secs_f64(),
        detail: handshake.detail,
        hint: handshake.hint,
    });
    handshake.ok.then_some(())
}

/// The addresses of a name, within the time of a step.
fn resolve(host: &str, port: u16, patience: Duration) -> Result<Vec<SocketAddr>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let found = runtime.block_on(async {
        tokio::time::timeout(patience, tokio::net::lookup_host((host, port))).await
    });
    // A resolver that hangs must not hold up the end of the program.
    runtime.shutdown_background();
    match found {
        Ok(Ok(addresses)) => {
            let addresses: Vec<SocketAddr> = addresses.collect();
            if addresses.is_empty() {
                return Err("the name has no address".to_owned());
            }
            Ok(addresses)
        }
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!(
            "the resolver did not answer within {} s",
            patience.as_secs_f64()
        )),
    }
}

/// Which check an error belongs to.
fn place(kind: &str) -> &'static str {
    match kind {
        "dns" => "dns",
        "refused" | "unreachable" | "connection" => "tcp",
        "tls" => "tls",
        "token" => "token",
        "unauthorized" => "authentication",
        "not_json" | "empty" | "not_utf8" | "too_deep" | "duplicate_key" | "truncated"
        | "encoding" | "too_large" => "json",
        "no_records" | "error_body" => "records",
        "loop" | "foreign_link" | "no_next" | "too_many_pages" => "pagination",
        _ => "http",
    }
}

/// The steps that must have succeeded before an error of this kind can happen.
fn passed(kind: &str) -> &'static [&'static str] {
    let order: &[&str] = &["http", "authentication", "json", "records", "pagination"];
    match place(kind) {
        // A refusal or a server error says nothing about the steps between.
        "authentication" => &order[..1],
        name => &order[..order.iter().position(|known| *known == name).unwrap_or(0)],
    }
}

/// Says how the API pages, what will prove its end, and the lines for mappings.yaml.
fn pagination(pages: &Pages, page: &Page, started: Instant, reader: Reader) -> Check {
    let expected_proof = pages.expected_proof();
    let stats = pages.stats();
    let mut detail = stats.style.unwrap_or("one page").to_owned();
    if let Some(total) = page.announced_total {
        detail += &format!(", {total} records announced");
    }
    let outcome = match expected_proof {
        Ok(end) => {
            detail += &format!("; {end}");
            let lines: Vec<&str> = stats
                .lines
                .iter()
                .map(String::as_str)
                .filter(|line| {
                    line.split(": ")
                        .all(|part| reader.may_see(part) || part.parse::<u64>().is_ok())
                })
                .collect();
            if !lines.is_empty() {
                detail += &format!(
                    "; in mappings.yaml: pagination: {{ {} }}",
                    printable(&lines.join(", "), 300)
                );
            }
            Ok(detail)
        }
        Err(error) => {
            let (what, hint) = described(&error, reader);
            Err((format!("{detail}; {what}"), hint))
        }
    };
    finished("pagination", started, outcome)
}

/// Are the mapped fields there, and which fields are not mapped?
fn fields(page: &Page, mapping: &Mapping, if_match: Option<&Vec<String>>, reader: Reader) -> Check {
    let started = Instant::now();
    let sample: Vec<Value> = page
        .iter()
        .take(SAMPLE)
        .filter_map(|raw| serde_json::from_str(raw).ok())
        .collect();
    let present = |path: &[String]| sample.iter().any(|record| path::at(record, path).is_some());
    let absent: Vec<_> = mapping
        .fields
        .iter()
        .filter(|field| field.paths().next().is_some() && !field.paths().any(present))
        .collect();
    let needed = absent.iter().any(|field| field.required);
    let mapped: BTreeSet<&str> = mapping
        .fields
        .iter()
        .flat_map(Field::paths)
        .filter_map(<[String]>::first)
        .map(String::as_str)
        .collect();
    let others: BTreeSet<&str> = sample
        .iter()
        .filter_map(Value::as_object)
        .flat_map(|record| record.keys().map(String::as_str))
        .filter(|key| !mapped.contains(key))
        .collect();
    let count = mapping.fields.len() - absent.len();
    let mut detail = format!(
        "{count} of {} mapped fields are in the sample",
        mapping.fields.len()
    );
    if !absent.is_empty() {
        let names: Vec<String> = absent
            .iter()
            .map(|field| match field.origin {
                Origin::Path => path::text(&field.source),
                _ => field.source.concat(),
            })
            .collect();
        detail += &format!("; absent: {}", list(names.iter().map(String::as_str)));
    }
    if !others.is_empty() {
        let others: Vec<String> = others.iter().map(|&name| name.to_owned()).collect();
        let more = others.len().saturating_sub(LISTED);
        let first = &others[..others.len() - more];
        let mut names = vocabulary::listed(first, |name| reader.may_see(name));
        if more > 0 {
            names += &format!(" and {more} more");
        }
        detail += &format!("; mapped by nobody: {names}");
    }
    let version = if_match.filter(|path| !sample.is_empty() && !present(path));
    let outcome = if let Some(version) = version {
        detail += &format!("; `if_match` names {}, which none has", path::text(version));
        let hint = "correct `if_match` below mappings.api.endpoints.update: without a version nothing is sent";
        Err((detail, Some(hint.to_owned())))
    } else if needed {
        let hint =
            "a required field is in no record of the first page: check `fields` in mappings.yaml";
        Err((detail, Some(hint.to_owned())))
    } else {
        Ok(detail)
    };
    finished("fields", started, outcome)
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut names: Vec<String> = names.map(|name| printable(name, 60)).collect();
    let more = names.len().saturating_sub(LISTED);
    names.truncate(LISTED);
    let mut text = names.join(", ");
    if more > 0 {
        text += &format!(" and {more} more");
    }
    text
}

/// The rate limit that the API announces, if it does.
fn rate_limit(headers: &HeaderMap, reader: Reader) -> Option<Check> {
    let limits: Vec<String> = headers
        .iter()
        .filter(|(name, _)| name.as_str().contains("ratelimit") || name.as_str() == "retry-after")
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes());
            // In `"default";q=100;w=60` the API's own words are treated like keys of a page: shown only if they are plain.
            let is_shown = value
                .split(|c: char| !c.is_alphanumeric() && c != '_' && c != '@')
                .filter(|word| word.len() > 1 && word.parse::<u64>().is_err())
                .all(|word| word == "default" || reader.may_see(word));
            let value = if is_shown {
                printable(&value, 60)
            } else {
                "…".to_owned()
            };
            format!("{name}: {value}")
        })
        .collect();
    (!limits.is_empty()).then(|| finished("rate-limit", Instant::now(), Ok(limits.join(", "))))
}

fn latency(took: Duration, alert: Duration) -> Check {
    let detail = format!(
        "{:.3} s, the alert is at {:.1} s",
        took.as_secs_f64(),
        alert.as_secs_f64()
    );
    Check {
        name: "latency",
        ok: took <= alert,
        seconds: took.as_secs_f64(),
        detail,
        hint: (took > alert)
            .then(|| "ask for smaller pages (pagination.size), or ask the API's operator; the alert is alerts.api_response_time".to_owned()),
    }
}

/// How far the server's clock is from ours; half a second of rounding is nothing.
fn clock(headers: &HeaderMap, requested_at: Micros, took: Duration) -> Option<Check> {
    let date = headers.get(DATE)?.to_str().ok()?;
    let theirs = jiff::fmt::rfc2822::parse(date)
        .ok()?
        .timestamp()
        .as_microsecond();
    let ours = requested_at.0 as f64 / 1e6 + took.as_secs_f64() / 2.0;
    let skew = theirs as f64 / 1e6 + 0.5 - ours;
    let far = skew.abs() > SKEW;
    Some(Check {
        hint: far.then(|| "set the clocks by NTP; watermarks and freshness use PostgreSQL's clock, so nothing is lost".to_owned()),
        ..finished("clock", Instant::now(), Ok(format!("the API's clock is {skew:+.1} s from ours")))
    })
}

type Outcome = Result<String, (String, Option<String>)>;

fn described(error: &ApiError, reader: Reader) -> (String, Option<String>) {
    let (what, hint) = match reader {
        Reader::Asking => error.with_names(),
        Reader::Anyone => (error.what(), error.hint()),
    };
    // Most hints say to run `datasync check-api`, which is what is running.
    let hint = hint
        .replace("run `datasync check-api`; ", "")
        .replace("run `datasync check-api`, and ", "")
        .replace("run `datasync check-api`", "look at the API's log");
    (what.to_owned(), Some(hint).filter(|hint| !hint.is_empty()))
}

fn note(checks: &mut Vec<Check>, name: &'static str, started: Instant, outcome: Outcome) {
    checks.push(finished(name, started, outcome));
}

fn finished(name: &'static str, started: Instant, outcome: Outcome) -> Check {
    let ok = outcome.is_ok();
    let (detail, hint) = outcome.map_or_else(|failed| failed, |detail| (detail, None));
    Check {
        name,
        ok,
        seconds: started.elapsed().as_secs_f64(),
        detail,
        hint,
    }
}

impl Pages {
    /// The first page and the headers it came with.
    fn probe(&self, client: &Client) -> Result<(Page, HeaderMap), ApiError> {
        let headers = RefCell::new(HeaderMap::new());
        let page = self.next_with(client, |answer| {
            *headers.borrow_mut() = answer.headers.clone();
        });
        match page {
            Some(page) => Ok((page?, headers.into_inner())),
            None => Err(ApiError::new(
                super::error::Kind::Stopped,
                "there is no first page",
                "",
            )),
        }
    }
}
