//! The plan of the source: its address, its requests, its paging, and write-back.

use std::path::PathBuf;
use std::time::Duration;

use super::super::secret::Secret;
use super::ClientCertificate;
use super::auth::Auth;

/// The source.
#[derive(Clone, Debug)]
pub struct Api {
    /// Scheme, host, port and optional path prefix, without a trailing slash.
    pub base_url: reqwest::Url,
    /// What goes with every request to prove who sends it.
    pub auth: Auth,
    /// The files of TLS to it.
    pub tls: ApiTls,
    /// The endpoint that pages are fetched from.
    pub fetch: Endpoint,
    /// JSON that is sent with every request for a page; it may hold a secret.
    pub body: Option<Secret>,
    /// How records stand in a page.
    pub format: PageFormat,
    /// Dotted path of the records array; empty = auto (a bare array, or data | items | results | records).
    pub records: Option<Vec<String>>,
    /// How pages follow each other.
    pub pagination: Pagination,
    /// Hard bound on pages of one run.
    pub max_pages: u64,
    /// Page size cap in bytes, after decompression.
    pub max_page_bytes: u64,
    /// Statuses that mean "slow down", besides 429.
    pub rate_limited_status: Vec<u16>,
    /// Fixed query parameters, in file order.
    pub params: Vec<(String, String)>,
    /// Incremental runs; none = every run reads everything.
    pub incremental: Option<Incremental>,
    /// Bound on requests, all threads together; none = no bound.
    pub max_requests_per_second: Option<f64>,
    /// Write-back; none = switched off.
    pub update: Option<WriteBack>,
}

/// Files of TLS to the API; they are read when the first connection is set up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiTls {
    /// The client certificate, if the API asks for one.
    pub client: Option<ClientCertificate>,
    /// The authorities to trust instead of those of this machine.
    pub ca: Option<PathBuf>,
}

impl Api {
    /// The address of an endpoint as messages and tables may show it. The path before that of the endpoint is left out, since
    /// it can be a secret, as in `https://host/KEY/api`.
    pub fn shown_address(&self, endpoint: &Endpoint) -> String {
        format!("{}{}", self.shown_base(), endpoint.shown_path)
    }

    /// The base address in the same way: `https://host:port`, and `/…` where it has a path.
    pub fn shown_base(&self) -> String {
        let origin = self.base_url.origin().ascii_serialization();
        let has_path = !self.base_url.path().trim_matches('/').is_empty();
        format!("{origin}{}", if has_path { "/…" } else { "" })
    }
}

/// One endpoint: how a request is made and retried.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Below the base address, with a leading slash; write-back has `{id}` in it.
    pub path: String,
    /// The path as messages may show it: `/…` if it holds a variable.
    pub shown_path: String,
    /// `GET`, `PUT`, `POST` or `PATCH`.
    pub method: String,
    /// Name and value; a value may hold the token, so it is kept as a secret.
    pub headers: Vec<(String, Secret)>,
    /// The whole request, body included.
    pub timeout: Duration,
    /// How failed requests are repeated.
    pub retry: Retry,
}

/// Retries after the first try.
#[derive(Clone, Debug)]
pub struct Retry {
    /// Further tries after the first one; 0 = none.
    pub max_attempts: u32,
    /// How the delay grows.
    pub backoff: Backoff,
    /// First delay bound; doubled (exponential) or kept (fixed) afterwards; full jitter below the bound.
    pub initial: Duration,
    /// Greatest delay bound, also the cap of Retry-After.
    pub max: Duration,
}

/// How the bound of the delay between retries grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backoff {
    /// It doubles with every retry.
    Exponential,
    /// It stays the same.
    Fixed,
}

/// How records stand in a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageFormat {
    /// In an array of one JSON value.
    Json,
    /// One a line.
    Ndjson,
}

/// How pages follow each other, and how the source says that it has ended.
#[derive(Clone, Debug)]
pub struct Pagination {
    /// How the next page is found.
    pub style: PageStyle,
    /// `params_in: body`: parameters of paging are paths into the body of the request.
    pub in_body: bool,
    /// Sends the number of the page.
    pub page_param: Param,
    /// Sends the number of records a page.
    pub size_param: Param,
    /// Sends the number of records to skip.
    pub offset_param: Param,
    /// Sends the cursor of the page before.
    pub cursor_param: Param,
    /// Where the address of the next page is in the body.
    pub next_path: Option<Vec<String>>,
    /// Where the next cursor is: a path, or the name of a header.
    pub cursor_path: Option<Vec<String>>,
    /// In which part of the answer the cursor is.
    pub cursor_in: CursorIn,
    /// A flag of the body: true says that there are more pages.
    pub more_path: Option<Vec<String>>,
    /// A flag of the body: true says that this page is the last.
    pub done_path: Option<Vec<String>>,
    /// Where the body has the number of all records.
    pub total_path: Option<Vec<String>>,
    /// The header with the number of all records.
    pub total_header: Option<String>,
    /// `total_path: none`: whatever looks like a total counts something else.
    pub ignore_totals: bool,
    /// Where the body has the number of all pages.
    pub pages_path: Option<Vec<String>>,
    /// The header with the number of all pages.
    pub pages_header: Option<String>,
    /// Statuses that the API answers for a page beyond the last one.
    pub end_status: Vec<u16>,
    /// `end: absent`: a page that names no next page is the last.
    pub end_absent: bool,
    /// Records a page (the size asked for).
    pub size: u32,
    /// Number of the first page, or first offset; none where `auto` finds it out.
    pub first: Option<u64>,
    /// Pages in flight (`page` and `offset` styles).
    pub concurrency: u32,
}

/// The name of a request parameter of paging.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Param {
    /// mappings.yaml names it.
    Named(String),
    /// The usual name. Style `auto` sends it only when an answer has shown that the API knows it.
    Usual(&'static str),
    /// `none`: never sent.
    Off,
}

impl Param {
    /// Its name; none when it is never sent.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Named(name) => Some(name),
            Self::Usual(name) => Some(name),
            Self::Off => None,
        }
    }

    /// Its name, if mappings.yaml gives it.
    pub fn named(&self) -> Option<&str> {
        match self {
            Self::Named(name) => Some(name),
            Self::Usual(_) | Self::Off => None,
        }
    }
}

/// Where the next cursor is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CursorIn {
    /// At a path of the body.
    #[default]
    Body,
    /// A field of the last record on the page.
    LastRecord,
    /// In a header.
    Header,
}

/// How the next page is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageStyle {
    /// In the way that the first page shows.
    Auto,
    /// There is one page.
    None,
    /// By its number.
    Page,
    /// By the number of records before it.
    Offset,
    /// By a value that the page before gives.
    Cursor,
    /// By the address that the page before gives.
    Link,
}

/// Only what changed since the watermark.
#[derive(Clone, Debug)]
pub struct Incremental {
    /// The request parameter that sends the watermark.
    pub param: String,
    /// External field (dotted path) whose greatest value is the watermark.
    pub field: Vec<String>,
    /// How far before the watermark a run asks, for records that appear late.
    pub overlap: Duration,
    /// How the time is written.
    pub format: SinceFormat,
    /// What is sent: `{}` stands for the time.
    pub template: String,
}

/// How the time of the watermark is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SinceFormat {
    /// `2026-01-31T08:30:00Z`.
    Rfc3339,
    /// Seconds since 1970.
    EpochSeconds,
    /// Milliseconds since 1970.
    EpochMilliseconds,
    /// By strftime's letters, in UTC.
    Pattern(String),
}

/// Write-back after commit; present only when enabled.
#[derive(Clone, Debug)]
pub struct WriteBack {
    /// The endpoint that messages are sent to.
    pub endpoint: Endpoint,
    /// For which results of a row a message is sent.
    pub when: Vec<WriteBackOutcome>,
    /// External name ← internal field, from the outgoing mapping.
    pub fields: Vec<(String, String)>,
    /// External field (dotted path) whose value is sent as If-Match: the record's `ETag` or version.
    pub if_match: Option<Vec<String>>,
}

/// What became of a row, as write-back sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteBackOutcome {
    /// It is new.
    Inserted,
    /// Its content has changed.
    Updated,
    /// Its content is the same.
    Unchanged,
}
