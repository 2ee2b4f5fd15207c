//! What the rest of the program knows of the configuration: plain, resolved types.
//!
//! Each stage takes its own part (`Api`, `Mapping`, `Database`, …), never the whole. Nothing here reads a file or the
//! environment, and nothing here has a default that `mappings.yaml` would not show: `resolve.rs` fills every field.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use rust_decimal::Decimal;

use super::decisions::DecisionsFile;
use super::problem::Problem;
use super::secret::Secret;

/// The whole configuration after flags, environment, `.env` and `mappings.yaml` have been merged.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The source; present when the command asked for it (see [`super::Needs`]).
    pub api: Option<Api>,
    /// The target; present when the command asked for it.
    pub database: Option<Database>,
    /// How a record becomes a row.
    pub mapping: Mapping,
    /// `decisions.dmn.xml`, as it was when the configuration was read.
    pub decisions_file: DecisionsFile,
    /// Which decision of it decides, by name or id; default: the one with an output named `validationResult`.
    pub decision: Option<String>,
    pub on_failure: OnFailure,
    pub alerts: Alerts,
    pub brakes: Brakes,
    pub notifications: Notifications,
    /// The Prometheus textfile, when metrics are wanted.
    pub metrics_textfile: Option<PathBuf>,
    /// Bound of the spool, bytes.
    pub spool_max_bytes: u64,
    /// Where spool, cases and the cached state of the last run are kept (created 0700 on first use).
    pub state_dir: PathBuf,
    /// How long the batch log, closed rejections and old `sync_log` rows are kept.
    pub retention: Duration,
    /// Hex SHA-256 of mappings.yaml and the DMN file: what a run and a spool file were made with.
    pub config_hash: String,
    /// Convention keys that were accepted and ignored, and everything else `validate` should mention.
    pub warnings: Vec<Problem>,
    /// Those of them that every command says: files with secrets that everybody can read.
    pub exposed: Vec<Problem>,
    /// Dotted path of the records array (see [`Api::records`]), for records that come from a file.
    pub records: Option<Vec<String>>,
}

impl Plan {
    /// The source, for a command that asked for it.
    pub fn api(&self) -> anyhow::Result<&Api> {
        self.api
            .as_ref()
            .context("this command did not ask for the API's configuration")
    }

    /// The target, for a command that asked for it.
    pub fn database(&self) -> anyhow::Result<&Database> {
        self.database
            .as_ref()
            .context("this command did not ask for the database's configuration")
    }
}

/// The source.
#[derive(Clone, Debug)]
pub struct Api {
    /// Scheme, host, port and optional path prefix, without a trailing slash.
    pub base_url: reqwest::Url,
    pub token: Secret,
    pub fetch: Endpoint,
    /// Dotted path of the records array; empty = auto (a bare array, or data | items | results | records).
    pub records: Option<Vec<String>>,
    pub pagination: Pagination,
    /// Hard bound on pages of one run.
    pub max_pages: u64,
    /// Page size cap in bytes, after decompression.
    pub max_page_bytes: u64,
    /// Fixed query parameters, in file order.
    pub params: Vec<(String, String)>,
    pub incremental: Option<Incremental>,
    pub max_requests_per_second: Option<f64>,
    pub update: Option<WriteBack>,
}

/// One endpoint: how a request is made and retried.
#[derive(Clone, Debug)]
pub struct Endpoint {
    pub path: String,
    /// `GET`, `PUT`, `POST` or `PATCH`.
    pub method: String,
    /// Name and value; a value may hold the token, hence the secret.
    pub headers: Vec<(String, Secret)>,
    /// The whole request, body included.
    pub timeout: Duration,
    pub retry: Retry,
}

/// Retries after the first try.
#[derive(Clone, Debug)]
pub struct Retry {
    pub max_attempts: u32,
    pub backoff: Backoff,
    /// First delay bound; doubled (exponential) or kept (fixed) afterwards; full jitter below the bound.
    pub initial: Duration,
    /// Greatest delay bound, also the cap of Retry-After.
    pub max: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backoff {
    Exponential,
    Fixed,
}

/// How pages follow each other, and how the source says that it has ended.
#[derive(Clone, Debug)]
pub struct Pagination {
    pub style: PageStyle,
    pub page_param: Param,
    pub size_param: Param,
    pub offset_param: Param,
    pub cursor_param: Param,
    /// Where the address of the next page is in the body.
    pub next_path: Option<Vec<String>>,
    /// Where the next cursor is: a path, or the name of a header.
    pub cursor_path: Option<Vec<String>>,
    pub cursor_in: CursorIn,
    /// A flag of the body: true says that there are more pages.
    pub more_path: Option<Vec<String>>,
    /// A flag of the body: true says that this page is the last.
    pub done_path: Option<Vec<String>>,
    /// The number of all records, in the body and in a header.
    pub total_path: Option<Vec<String>>,
    pub total_header: Option<String>,
    /// `total_path: none`: whatever looks like a total counts something else.
    pub ignore_totals: bool,
    /// The number of all pages, in the body and in a header.
    pub pages_path: Option<Vec<String>>,
    pub pages_header: Option<String>,
    /// Statuses that say, beyond the last page, that there is nothing.
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

    /// Its name, where mappings.yaml says it.
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
    #[default]
    Body,
    /// A field of the last record on the page.
    LastRecord,
    Header,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageStyle {
    /// What the first page shows.
    Auto,
    None,
    Page,
    Offset,
    Cursor,
    Link,
}

/// Only what changed since the watermark.
#[derive(Clone, Debug)]
pub struct Incremental {
    pub param: String,
    /// External field (dotted path) whose greatest value is the watermark.
    pub field: Vec<String>,
    pub overlap: Duration,
}

/// Write-back after commit; present only when enabled.
#[derive(Clone, Debug)]
pub struct WriteBack {
    pub endpoint: Endpoint,
    pub when: Vec<WriteBackOutcome>,
    /// External name ← internal field, from the outgoing mapping.
    pub fields: Vec<(String, String)>,
    /// External field (dotted path) whose value is sent as If-Match: the record's `ETag` or version.
    pub if_match: Option<Vec<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteBackOutcome {
    Inserted,
    Updated,
    Unchanged,
}

/// How a record becomes a row.
#[derive(Clone, Debug)]
pub struct Mapping {
    /// In file order.
    pub fields: Vec<Field>,
    /// Index into `fields` of the one that feeds the conflict key.
    pub key: usize,
    pub key_choice: KeyChoice,
    /// Index into `fields` of the freshness guard (`version_field`), a datetime.
    pub version: Option<usize>,
    pub quality_score: QualityScore,
}

impl Mapping {
    /// The column that a field feeds.
    pub fn column(&self, field: usize) -> Option<&str> {
        self.fields.get(field)?.column.as_deref()
    }

    /// The column that decides insert or update.
    pub fn key_column(&self) -> &str {
        self.column(self.key).unwrap_or_default()
    }
}

/// How the field of the conflict key was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyChoice {
    /// mappings.yaml names its column, or the table has decided.
    Said,
    /// It names none: the one that feeds `customer_id`, until the table has been seen.
    Assumed,
    /// Nor does any feed `customer_id`: one that could be, good for showing records but not for storing them.
    Open,
}

/// One mapped field.
#[derive(Clone, Debug)]
pub struct Field {
    /// Path at the source, one segment a level: `address.country` is two.
    pub source: Vec<String>,
    /// Internal name, as decisions see it: `customerId`.
    pub name: String,
    /// Column it is stored in; none for `column: false`.
    pub column: Option<String>,
    pub kind: Kind,
    pub required: bool,
    /// JSON text used when the source has no value (absent or null).
    pub default: Option<String>,
    /// `date` and `datetime`: a strptime format, or `epoch_seconds` / `epoch_milliseconds`.
    pub format: Option<String>,
    /// IANA time zone for times without an offset.
    pub timezone: Option<String>,
    /// In characters.
    pub max_length: Option<usize>,
    /// Strip white space at both ends of text.
    pub trim: bool,
    pub min: Option<Decimal>,
    pub max: Option<Decimal>,
    /// Regular expression the whole text must match.
    pub pattern: Option<String>,
    /// The only values allowed, when not empty.
    pub one_of: Vec<String>,
    /// Weight in the computed quality score (default 1).
    pub weight: Decimal,
}

impl Field {
    /// True for what can tell one stored record from another.
    pub const fn can_be_key(&self) -> bool {
        self.column.is_some()
            && self.default.is_none()
            && !matches!(self.kind, Kind::Json | Kind::Boolean)
    }
}

/// Types of mapped fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    String,
    Integer,
    Decimal,
    Boolean,
    Date,
    DateTime,
    Email,
    Uuid,
    Json,
}

/// Where the quality score comes from.
#[derive(Clone, Debug)]
pub struct QualityScore {
    /// Index into `fields`; none = always computed.
    pub field: Option<usize>,
    /// Compute it (share of mapped fields present and well-formed, weighted) when the source has none.
    pub fallback_completeness: bool,
}

/// The target.
#[derive(Clone, Debug)]
pub struct Database {
    pub host: String,
    pub port: u16,
    pub name: String,
    pub user: String,
    /// Empty for trust and peer authentication.
    pub password: Secret,
    pub ssl_mode: SslMode,
    pub ssl_root_cert: Option<PathBuf>,
    pub min_connections: u32,
    pub max_connections: u32,
    pub connection_timeout: Duration,
    pub statement_timeout: Duration,
    pub lock_timeout: Duration,
    /// Rows in one write.
    pub batch_size: u32,
    pub schema: String,
    /// Table that takes the records (`customers`).
    pub table: String,
    /// Schema and name of the audit table (`sync_log`).
    pub log_schema: String,
    pub log_table: String,
    /// What must have become of a row for the API to be told of it; empty = write-back is off.
    pub owed: Vec<WriteBackOutcome>,
}

/// libpq's meaning of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SslMode {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// What happens on failure, beside the exit code.
#[derive(Clone, Debug)]
pub struct OnFailure {
    /// `log_and_continue` (true) or `stop` (false).
    pub continue_on_database_failure: bool,
    /// Name of the notification list for API failures, if any.
    pub notify_api: Option<String>,
    /// The same for database failures.
    pub notify_database: Option<String>,
    /// Level of the line logged for each rejection.
    pub rejection_log_level: log::Level,
}

/// Thresholds; shares are 0 to 1.
#[derive(Clone, Debug)]
pub struct Alerts {
    pub sync_failure_rate: f64,
    pub rejection_rate: f64,
    pub api_response_time: Duration,
    pub pool_exhaustion: bool,
    /// Remind of an open case after this long; none = never.
    pub reminder: Option<Duration>,
}

/// Full runs only.
#[derive(Clone, Debug)]
pub struct Brakes {
    pub zero_records: bool,
    /// Share by which the count may fall, 0 to 1; none = off.
    pub max_drop: Option<f64>,
    /// Share of the first 1,000 records that may be rejected; none = off.
    pub max_rejection: Option<f64>,
}

/// Who hears of it.
#[derive(Clone, Debug, Default)]
pub struct Notifications {
    /// Name → channels, in file order.
    pub teams: Vec<(String, Vec<Channel>)>,
    /// Dead man's switch.
    pub ping: Option<Secret>,
}

#[derive(Clone, Debug)]
pub enum Channel {
    Webhook(Secret),
    Command(Vec<String>),
}
