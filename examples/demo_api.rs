//! The API of the demo: customer records from a file over real HTTP/1.1, with pages, a bearer token, an `updated_since`
//! filter, write-back, and one injected outage. It must not know datasync.
//!
//! ```text
//! cargo run --example demo_api -- --port 8080 --token secret fixtures/customers/customers.ndjson
//! curl -H 'Authorization: Bearer secret' 'http://127.0.0.1:8080/api/v1/data?page=2&page_size=100'
//! ```
//!
//! With `--port 0`, the default, a free port is taken. The base URL is the one line on stdout, written once it listens.
//! The first request for page 3 is answered 503 with `Retry-After: 0`, unless `--no-outage` is given.

mod http;

use std::io::{self, Write};
use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{env, fs};

use bytes::Bytes;
use http::{Request, Response};
use jiff::Timestamp;
use serde::Deserialize;

const USAGE: &str = "usage: demo_api [--port PORT] [--token TOKEN] [--no-outage] RECORDS.ndjson";
const PATH: &str = "/api/v1/data";
const DEFAULT_PAGE_SIZE: usize = 100;
const MAX_PAGE_SIZE: usize = 1_000;
/// Page whose first request fails.
const OUTAGE_PAGE: usize = 3;

/// The API's whole state.
struct Api {
    records: Vec<Record>,
    token: String,
    outage_due: AtomicBool,
}

/// One record: its text exactly as in the file, and when it was updated if it says so.
struct Record {
    json: String,
    updated: Option<Timestamp>,
}

/// The only field that the filter needs.
#[derive(Deserialize)]
struct Updated {
    updated_date: Option<String>,
}

impl Record {
    fn new(json: &str) -> Self {
        let updated = serde_json::from_str(json)
            .ok()
            .and_then(|Updated { updated_date }| updated_date?.parse().ok());
        Self {
            json: json.to_owned(),
            updated,
        }
    }
}

impl Api {
    fn answer(&self, request: &Request) -> Response {
        let authorized = request
            .field("authorization")
            .and_then(|value| value.strip_prefix("Bearer "))
            .is_some_and(|token| token == self.token);
        if !authorized {
            return error("401 Unauthorized", "a valid bearer token is required")
                .with("WWW-Authenticate", "Bearer");
        }
        let item = request
            .path
            .strip_prefix(PATH)
            .and_then(|rest| rest.strip_prefix('/'));
        match (request.method.as_str(), request.path.as_str(), item) {
            ("GET", PATH, _) => self.page(request),
            ("PUT", _, Some(id)) if !id.is_empty() => {
                let id = serde_json::Value::from(http::decoded(id));
                Response::new("200 OK", format!(r#"{{"id":{id},"accepted":true}}"#))
            }
            (_, PATH, _) | (_, _, Some(_)) => error(
                "405 Method Not Allowed",
                "GET the collection or PUT a record",
            )
            .with("Allow", "GET, PUT"),
            _ => error("404 Not Found", "there is only /api/v1/data"),
        }
    }

    /// One page of the records asked for.
    fn page(&self, request: &Request) -> Response {
        let number = |name, default| {
            request
                .parameter(name)
                .map_or(Some(default), |text| text.parse::<usize>().ok())
                .filter(|number| *number > 0)
        };
        let (Some(page), Some(size)) = (number("page", 1), number("page_size", DEFAULT_PAGE_SIZE))
        else {
            return error(
                "400 Bad Request",
                "page and page_size must be positive integers",
            );
        };
        let size = size.min(MAX_PAGE_SIZE);
        let since = request.parameter("updated_since");
        let Ok(threshold) = since.as_deref().map(str::parse::<Timestamp>).transpose() else {
            return error("400 Bad Request", "updated_since must be an RFC 3339 time");
        };
        if page == OUTAGE_PAGE && self.outage_due.swap(false, Ordering::Relaxed) {
            return error("503 Service Unavailable", "restarting, try again")
                .with("Retry-After", "0");
        }

        // A record whose time cannot be read is never held back.
        let wanted: Vec<&str> = self
            .records
            .iter()
            .filter(|record| match (record.updated, threshold) {
                (Some(updated), Some(threshold)) => updated >= threshold,
                _ => true,
            })
            .map(|record| record.json.as_str())
            .collect();
        let total = wanted.len();
        let pages = total.div_ceil(size);
        let start = (page - 1).saturating_mul(size).min(total);
        let data = wanted[start..(start + size).min(total)].join(",");
        let filter = since.map_or_else(String::new, |_| {
            format!(
                "&updated_since={}",
                threshold.map_or_else(String::new, |time| time.to_string())
            )
        });
        let next =
            (page < pages).then(|| format!("{PATH}?page={}&page_size={size}{filter}", page + 1));
        let body = format!(
            r#"{{"data":[{data}],"page":{page},"page_size":{size},"total":{total},"total_pages":{pages},"next":{}}}"#,
            serde_json::Value::from(next.clone()),
        );
        let response = Response::new("200 OK", body);
        match next {
            Some(next) => response.with("Link", &format!("<{next}>; rel=\"next\"")),
            None => response,
        }
    }
}

/// A JSON error.
fn error(status: &'static str, message: &'static str) -> Response {
    let body = format!(r#"{{"error":"{message}"}}"#);
    Response::new(status, Bytes::from(body))
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let (mut port, mut token, mut outage, mut file) = (0_u16, "demo-token".to_owned(), true, None);
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--port" => port = arguments.next().ok_or(USAGE)?.parse()?,
            "--token" => token = arguments.next().ok_or(USAGE)?,
            "--no-outage" => outage = false,
            path if !path.starts_with('-') && file.is_none() => file = Some(path.to_owned()),
            _ => return Err(USAGE.into()),
        }
    }
    let text = fs::read_to_string(file.ok_or(USAGE)?)?;
    let api = Api {
        records: text.lines().map(Record::new).collect(),
        token,
        outage_due: AtomicBool::new(outage),
    };
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    let mut stdout = io::stdout();
    writeln!(stdout, "http://{}", listener.local_addr()?)?;
    stdout.flush()?;
    http::serve(&listener, move |request| api.answer(request))?;
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell when stderr is closed.
            writeln!(io::stderr(), "demo_api: {error}").ok();
            ExitCode::FAILURE
        }
    }
}
