//! The configuration as the rest of the program sees it: plain, resolved types.
//!
//! Each stage takes its own part (`Api`, `Mapping`, `Database`, …), never the whole. Nothing here reads a file or the
//! environment, and no field here is left to a default: the readers beside this file fill every one.

mod auth;
mod source;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use rust_decimal::Decimal;

use super::decisions::DecisionsFile;
use super::problem::Problem;
use super::secret::Secret;

pub use auth::{Auth, Credential, Grant, OAuth2};
pub use source::{
    Api, ApiTls, Backoff, CursorIn, Endpoint, Incremental, PageFormat, PageStyle, Pagination,
    Param, Retry, SinceFormat, WriteBack, WriteBackOutcome,
};

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
    /// The deciding decision by name or id; none = the one with an output named `validationResult`.
    pub decision: Option<String>,
    /// What follows a failure, besides the exit code.
    pub on_failure: OnFailure,
    /// Limits beyond which an alert is raised.
    pub alerts: Alerts,
    /// What stops a run before it does harm.
    pub brakes: Brakes,
    /// Who is alerted, and how.
    pub notifications: Notifications,
    /// The Prometheus textfile, when metrics are wanted.
    pub metrics_textfile: Option<PathBuf>,
    /// Bound of the spool, bytes.
    pub spool_max_bytes: u64,
    /// Where spool, cases and the cached state of the last run are kept (created 0700 on first use).
    pub state_dir: PathBuf,
    /// How long the batch log, closed rejections and old `sync_log` rows are kept.
    pub retention: Duration,
    /// What is kept of rejected records, and for how long.
    pub rejections: Rejections,
    /// Hex SHA-256 of mappings.yaml and the DMN file: what a run and a spool file were made with.
    pub config_hash: String,
    /// Keys that were accepted and ignored, and everything else that `validate` should mention.
    pub warnings: Vec<Problem>,
    /// The warnings that every command shows: files with secrets that everybody can read.
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

/// How a record becomes a row.
#[derive(Clone, Debug)]
pub struct Mapping {
    /// In file order.
    pub fields: Vec<Field>,
    /// Index into `fields` of the one that feeds the conflict key.
    pub key: usize,
    /// How that field was found.
    pub key_choice: KeyChoice,
    /// Index into `fields` of the freshness guard (`version_field`), a datetime.
    pub version: Option<usize>,
    /// How far a version may be ahead of PostgreSQL's clock.
    pub version_max_ahead: Duration,
    /// Where the quality score comes from.
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
    /// mappings.yaml names its column, or it feeds the table's only unique column.
    Settled,
    /// mappings.yaml names none: the field that feeds `customer_id`, until the table has been looked at.
    Assumed,
    /// Neither holds: some field that could be the key. It is used to show records, never to store them.
    Open,
}

/// One mapped field.
#[derive(Clone, Debug)]
pub struct Field {
    /// Path at the source, one segment a level: `address.country` has two. For a field made of several values or of none, the
    /// label in mappings.yaml, which messages use.
    pub source: Vec<String>,
    /// What its value is made of.
    pub origin: Origin,
    /// Internal name, as decisions see it: `customerId`.
    pub name: String,
    /// Column it is stored in; none for `column: false`.
    pub column: Option<String>,
    /// Its type.
    pub kind: Kind,
    /// A record without it is incomplete: the decision table gets `hasRequiredFields` = false.
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
    /// Empty or blank text is null.
    pub blank_is_null: bool,
    /// Least number allowed.
    pub min: Option<Decimal>,
    /// Greatest number allowed.
    pub max: Option<Decimal>,
    /// Regular expression the whole text must match.
    pub pattern: Option<String>,
    /// The only values allowed, when not empty.
    pub one_of: Vec<String>,
    /// Weight in the computed quality score (default 1).
    pub weight: Decimal,
}

/// What the value of a field is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The value at its path.
    Path,
    /// The texts at several paths, with a separator between them.
    Joined {
        /// In the order in which they are put together.
        paths: Vec<Vec<String>>,
        /// The text between two of them.
        separator: String,
    },
    /// Of several paths the first with a value that is not blank.
    FirstOf(Vec<Vec<String>>),
    /// The default, for every record.
    Constant,
}

impl Field {
    /// Is its value the one at this path?
    pub fn is_at(&self, path: &[String]) -> bool {
        self.origin == Origin::Path && self.source == path
    }

    /// All paths that its value comes from.
    pub fn paths(&self) -> impl Iterator<Item = &[String]> {
        let (own, several) = match &self.origin {
            Origin::Path => (Some(self.source.as_slice()), &[][..]),
            Origin::Joined { paths, .. } | Origin::FirstOf(paths) => (None, paths.as_slice()),
            Origin::Constant => (None, &[][..]),
        };
        own.into_iter().chain(several.iter().map(Vec::as_slice))
    }

    /// Can values of this type identify a record?
    pub const fn can_be_key(&self) -> bool {
        self.column.is_some()
            && self.default.is_none()
            && !matches!(self.kind, Kind::Json | Kind::Boolean)
    }
}

/// Types of mapped fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    String,
    /// A whole number of 64 bits.
    Integer,
    /// An exact number of up to 28 digits.
    Decimal,
    /// True or false.
    Boolean,
    /// A calendar date.
    Date,
    /// A moment, to the microsecond.
    DateTime,
    /// Text that is an e-mail address.
    Email,
    /// A UUID.
    Uuid,
    /// Any JSON, kept as it is.
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
    /// Name, address, or the folder of a socket.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Name of the database.
    pub name: String,
    /// Role that logs in.
    pub user: String,
    /// Empty for trust and peer authentication.
    pub password: Secret,
    /// How far TLS is demanded.
    pub ssl_mode: SslMode,
    /// Certificates to trust instead of the system's.
    pub ssl_root_cert: Option<PathBuf>,
    /// The client certificate for logging in.
    pub client_certificate: Option<ClientCertificate>,
    /// Connections at the start of a run.
    pub min_connections: u32,
    /// Connections at most, while batches wait.
    pub max_connections: u32,
    /// Bound on connecting, TLS and login included.
    pub connection_timeout: Duration,
    /// Bound on one statement.
    pub statement_timeout: Duration,
    /// Bound on waiting for a lock.
    pub lock_timeout: Duration,
    /// Rows in one write.
    pub batch_size: u32,
    /// Schema of the table that takes the records.
    pub schema: String,
    /// Table that takes the records (`customers`).
    pub table: String,
    /// Schema of the audit table.
    pub log_schema: String,
    /// Name of the audit table (`sync_log`).
    pub log_table: String,
    /// For which results of a row a message of write-back is sent; empty = write-back is off.
    pub write_back: Vec<WriteBackOutcome>,
    /// What is kept of a rejected record.
    pub keep_payload: KeepPayload,
}

/// Files of a certificate and of its private key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// PEM file, with the certificates of its issuers after it.
    pub certificate: PathBuf,
    /// PEM, not encrypted.
    pub key: PathBuf,
}

/// How far TLS is demanded, as libpq defines it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SslMode {
    /// No TLS.
    Disable,
    /// TLS where the server offers it.
    Prefer,
    /// TLS, with any certificate.
    Require,
    /// TLS, with a certificate of a trusted authority.
    VerifyCa,
    /// The same, and the certificate names the host.
    VerifyFull,
}

/// What happens on failure, besides the exit code.
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
    /// Share of fetched records that were spooled.
    pub sync_failure_rate: f64,
    /// Share of fetched records that were rejected.
    pub rejection_rate: f64,
    /// Time of an answer of the API.
    pub api_response_time: Duration,
    /// Alert when PostgreSQL refuses further connections.
    pub pool_exhaustion: bool,
    /// Age of the oldest file in the spool.
    pub spool_age: Duration,
    /// Age of the oldest file in quarantine.
    pub quarantine_age: Duration,
    /// Remind of an open case after this long; none = never.
    pub reminder: Option<Duration>,
}

/// Brakes; they apply to full runs only.
#[derive(Clone, Debug)]
pub struct Brakes {
    /// Stop when a source that had records has none.
    pub zero_records: bool,
    /// Share by which the count may fall, 0 to 1; none = off.
    pub max_drop: Option<f64>,
    /// Share of the first 1,000 records that may be rejected; none = off.
    pub max_rejection: Option<f64>,
}

/// Who is alerted.
#[derive(Clone, Debug, Default)]
pub struct Notifications {
    /// Name → channels, in file order.
    pub teams: Vec<(String, Vec<Channel>)>,
    /// Address of a service that raises an alarm when no ping comes.
    pub ping: Option<Secret>,
}

/// What is kept of rejected records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejections {
    /// How long an open rejection stays after its record was last seen; none = for ever.
    pub retention: Option<Duration>,
    pub keep_payload: KeepPayload,
}

/// What is kept of the record itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeepPayload {
    /// The record as it came, and the values that the decision was made on.
    #[default]
    Full,
    /// Its mapped fields with the kind of each value, and the values of fields that were wrong.
    Masked,
    /// Nothing.
    None,
}

impl KeepPayload {
    /// As mappings.yaml has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Masked => "masked",
            Self::None => "none",
        }
    }
}

/// One way to deliver an alert.
#[derive(Clone, Debug)]
pub enum Channel {
    /// An address that gets the alert as JSON.
    Webhook(Secret),
    /// A program that gets the alert as JSON on stdin.
    Command(AlertCommand),
}

/// A program that alerts are handed to.
#[derive(Clone, Debug)]
pub struct AlertCommand {
    /// The program and its arguments.
    pub words: Vec<String>,
    /// Variables of the environment that it gets besides the usual ones.
    pub env: Vec<String>,
}
