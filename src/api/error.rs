//! What can go wrong between the program and the API, and the one function that decides what is retried.
//!
//! Messages name the page and the address and say what to do next. They never hold a token or a body. Of a query they hold
//! the names of parameters, and values only of page numbers, sizes and offsets.

use std::fmt;
use std::time::Duration;

/// What a caller does with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// May pass by itself: retried until the retries are used up.
    Transient,
    /// The answer arrived and is wrong: another try would bring the same.
    Data,
    /// Needs a person (credentials, address, certificate), or the run was told to stop.
    Fatal,
}

/// The causes. Their words go into `errors_by_type`, metrics and the fingerprint of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The name could not be resolved.
    Dns,
    /// Nobody listens on that port.
    Refused,
    /// No route to the host.
    Unreachable,
    /// A try used up its time.
    Timeout,
    /// The connection broke before the answer was complete.
    Reset,
    /// The body is shorter than announced.
    Truncated,
    /// The handshake or the certificate.
    Tls,
    /// What came back is not HTTP.
    NotHttp,
    /// The answer's headers are larger than any client accepts.
    HeadersTooLarge,
    /// Some other failure of the connection.
    Connection,
    /// 401, or a 403 that is no rate limit.
    Unauthorized,
    /// The token endpoint gives no token.
    Token,
    /// 3xx.
    Redirect,
    /// 412: the record is no longer the one that was read.
    Changed,
    /// 429, or a 403 with Retry-After or a used up limit.
    RateLimited,
    /// Any other status that is not a success.
    Status,
    /// A success without a body.
    Empty,
    /// A success whose body carries an error.
    ErrorBody,
    /// A body beyond `max_page_bytes`.
    TooLarge,
    /// A content encoding we did not ask for, or broken compression.
    Encoding,
    NotUtf8,
    NotJson,
    /// Nested deeper than [`super::envelope::MAX_DEPTH`].
    TooDeep,
    /// The same key twice at the top of a page.
    DuplicateKey,
    /// No array of records where it should be.
    NoRecords,
    /// The same page, cursor or link again.
    Loop,
    /// More pages than `max_pages`.
    TooManyPages,
    /// A next link that leaves the configured origin.
    ForeignLink,
    /// The API says there is more, in a way that cannot be followed.
    NoNext,
    /// `--deadline`.
    Deadline,
    /// The run was told to stop.
    Stopped,
    /// The configuration cannot be made into a request.
    Config,
    /// mappings.yaml names a path that no record has.
    NoSuchPath,
}

impl Kind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::Truncated => "truncated",
            Self::Tls => "tls",
            Self::NotHttp => "not_http",
            Self::HeadersTooLarge => "headers_too_large",
            Self::Connection => "connection",
            Self::Unauthorized => "unauthorized",
            Self::Token => "token",
            Self::Redirect => "redirect",
            Self::Changed => "changed",
            Self::RateLimited => "rate_limited",
            Self::Status => "status",
            Self::Empty => "empty",
            Self::ErrorBody => "error_body",
            Self::TooLarge => "too_large",
            Self::Encoding => "encoding",
            Self::NotUtf8 => "not_utf8",
            Self::NotJson => "not_json",
            Self::TooDeep => "too_deep",
            Self::DuplicateKey => "duplicate_key",
            Self::NoRecords => "no_records",
            Self::Loop => "loop",
            Self::TooManyPages => "too_many_pages",
            Self::ForeignLink => "foreign_link",
            Self::NoNext => "no_next",
            Self::Deadline => "deadline",
            Self::Stopped => "stopped",
            Self::Config => "config",
            Self::NoSuchPath => "no_such_path",
        }
    }
}

/// Decides whether a failure is retried, by its kind and the status of the answer.
///
/// A page that is not JSON is retried because a body without a length that was cut short looks the same. An empty success
/// and a page of HTML may come from a proxy, and pass.
pub const fn class_of(kind: Kind, status: Option<u16>) -> Class {
    match kind {
        Kind::Dns
        | Kind::Refused
        | Kind::Unreachable
        | Kind::Timeout
        | Kind::Reset
        | Kind::Truncated
        | Kind::NotHttp
        | Kind::Connection
        | Kind::RateLimited
        | Kind::Empty
        | Kind::ErrorBody
        | Kind::NotJson => Class::Transient,
        Kind::Status => match status {
            // 501 and 505 are permanent: do not retry.
            Some(408 | 425 | 429 | 500 | 502..=504 | 506..=599) => Class::Transient,
            _ => Class::Fatal,
        },
        Kind::HeadersTooLarge
        | Kind::TooLarge
        | Kind::Encoding
        | Kind::NotUtf8
        | Kind::TooDeep
        | Kind::DuplicateKey
        | Kind::NoRecords
        | Kind::Loop
        | Kind::TooManyPages
        | Kind::ForeignLink
        | Kind::NoNext => Class::Data,
        Kind::Tls
        | Kind::Unauthorized
        | Kind::Token
        | Kind::Redirect
        | Kind::Changed
        | Kind::Deadline
        | Kind::Stopped
        | Kind::Config
        | Kind::NoSuchPath => Class::Fatal,
    }
}

/// One failure, ready to be shown.
#[derive(Clone, Debug)]
pub struct ApiError {
    kind: Kind,
    status: Option<u16>,
    /// Counted from 1, as people do; none outside of paging.
    page: Option<u64>,
    /// Tries made; 0 when none was.
    tries: u32,
    what: String,
    hint: String,
    /// `what` and `hint` with names from the page, shown by `check-api` only.
    named: Option<Box<(String, String)>>,
    /// The wait that the server asked for, if it did.
    retry_after: Option<Duration>,
    /// The failure is of the token endpoint, not of the API.
    is_of_token: bool,
}

impl ApiError {
    pub(super) fn new(kind: Kind, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            kind,
            status: None,
            page: None,
            tries: 0,
            what: what.into(),
            hint: hint.into(),
            named: None,
            retry_after: None,
            is_of_token: false,
        }
    }

    /// Marks a failure of the token endpoint of OAuth 2. A stop or the deadline of the run is not its failure.
    pub(super) const fn of_token_endpoint(mut self) -> Self {
        self.is_of_token = !matches!(self.kind, Kind::Stopped | Kind::Deadline);
        self
    }

    pub(super) const fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    pub(super) const fn with_retry_after(mut self, wait: Option<Duration>) -> Self {
        self.retry_after = wait;
        self
    }

    /// The same error with names that the page itself uses, which only `check-api` shows.
    pub(super) fn naming(mut self, what: impl Into<String>, hint: impl Into<String>) -> Self {
        self.named = Some(Box::new((what.into(), hint.into())));
        self
    }

    /// What happened and what to do, with names of the page.
    pub(super) fn with_names(&self) -> (&str, &str) {
        self.named
            .as_deref()
            .map_or((&self.what, &self.hint), |(what, hint)| (what, hint))
    }

    /// Adds a remark in brackets, such as size and content type of what came.
    pub(super) fn noting(mut self, remark: &str) -> Self {
        self.what = format!("{} ({remark})", self.what);
        if let Some(named) = &mut self.named {
            named.0 = format!("{} ({remark})", named.0);
        }
        self
    }

    /// Adds what else can be done.
    pub(super) fn advising(mut self, advice: &str) -> Self {
        self.hint = if self.hint.is_empty() {
            advice.to_owned()
        } else {
            format!("{}; {advice}", self.hint)
        };
        if let Some(named) = &mut self.named {
            named.1 = format!("{}; {advice}", named.1);
        }
        self
    }

    pub(super) const fn on_page(mut self, number: u64) -> Self {
        self.page = Some(number);
        self
    }

    pub(super) const fn after(mut self, tries: u32) -> Self {
        self.tries = tries;
        self
    }

    pub const fn class(&self) -> Class {
        class_of(self.kind, self.status)
    }

    /// The cause as one word. All failures of the token endpoint are `token`.
    pub const fn kind(&self) -> &'static str {
        if self.is_of_token {
            Kind::Token.as_str()
        } else {
            self.kind.as_str()
        }
    }

    pub(super) const fn cause(&self) -> Kind {
        self.kind
    }

    pub const fn status(&self) -> Option<u16> {
        self.status
    }

    /// Is it a mistake in mappings.yaml that the first page showed, before any record was taken from it?
    pub const fn is_of_the_mapping(&self) -> bool {
        matches!(self.kind, Kind::NoSuchPath)
    }

    /// Number of the page, from 1.
    pub const fn page(&self) -> Option<u64> {
        self.page
    }

    /// Tries made before giving up.
    pub const fn tries(&self) -> u32 {
        self.tries
    }

    pub const fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// What happened, without page number and advice.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// What to do next; may be empty.
    pub fn hint(&self) -> &str {
        &self.hint
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(page) = self.page {
            write!(f, "page {page}: ")?;
        }
        f.write_str(&self.what)?;
        if self.tries > 1 {
            write!(f, " (after {} tries)", self.tries)?;
        }
        if !self.hint.is_empty() {
            write!(f, "; {}", self.hint)?;
        }
        Ok(())
    }
}

impl std::error::Error for ApiError {}

/// Text of the peer (a content type, a host) made fit for a message: printable ASCII, at most `max` characters.
pub(super) fn printable(text: &str, max: usize) -> String {
    let mut out: String = text
        .chars()
        .take(max)
        .map(|c| {
            if c.is_ascii_graphic() || c == ' ' {
                c
            } else {
                '?'
            }
        })
        .collect();
    if text.chars().nth(max).is_some() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_trouble_is_tried_again_and_client_trouble_is_not() {
        for status in [408, 425, 429, 500, 502, 503, 504, 520, 599] {
            assert_eq!(
                class_of(Kind::Status, Some(status)),
                Class::Transient,
                "{status}"
            );
        }
        for status in [400, 402, 404, 405, 409, 410, 415, 422, 501, 505, 304] {
            assert_eq!(
                class_of(Kind::Status, Some(status)),
                Class::Fatal,
                "{status}"
            );
        }
        assert_eq!(class_of(Kind::Unauthorized, Some(401)), Class::Fatal);
        assert_eq!(class_of(Kind::NoRecords, None), Class::Data);
    }

    #[test]
    fn a_message_has_page_cause_tries_and_advice() {
        let error = ApiError::new(Kind::Status, "the API answered 503", "try again later")
            .with_status(503)
            .on_page(3)
            .after(4);
        assert_eq!(
            error.to_string(),
            "page 3: the API answered 503 (after 4 tries); try again later"
        );
    }

    #[test]
    fn text_of_the_peer_is_tamed() {
        assert_eq!(
            printable("text/html\u{1b}[31m; charset=x", 14),
            "text/html?[31m…"
        );
    }
}
