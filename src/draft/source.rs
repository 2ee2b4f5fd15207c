//! The source of a draft, as the command line gives it: address, parameters and credentials.

use anyhow::{Result, ensure};
use reqwest::Url;

/// How requests authenticate. The secrets are read from environment variables with the usual names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// `API_TOKEN`.
    Bearer,
    /// `API_USER` and `API_PASSWORD`.
    Basic,
    /// `API_TOKEN` in the header of this name.
    Header(String),
    /// `API_TOKEN` in the parameter of this name.
    Query(String),
    None,
}

impl std::str::FromStr for Credentials {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name = |rest: &str| {
            let is_name = !rest.is_empty()
                && rest
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
            is_name.then(|| rest.to_owned())
        };
        let form = match text.split_once('=') {
            None if text == "bearer" => Some(Self::Bearer),
            None if text == "basic" => Some(Self::Basic),
            None if text == "none" => Some(Self::None),
            Some(("header", rest)) => name(rest).map(Self::Header),
            Some(("query", rest)) => name(rest).map(Self::Query),
            _ => None,
        };
        form.ok_or_else(|| {
            "expected bearer, basic, none, header=NAME or query=NAME, such as header=X-Api-Key"
                .to_owned()
        })
    }
}

/// Parameters that choose a page or its size. The draft does not copy them: `pagination` sets them.
const PAGING: [&str; 17] = [
    "page",
    "page_number",
    "pagenumber",
    "p",
    "offset",
    "start",
    "skip",
    "limit",
    "per_page",
    "perpage",
    "page_size",
    "pagesize",
    "size",
    "cursor",
    "after",
    "starting_after",
    "page_token",
];

/// Parts of the names of parameters that hold a secret.
const SECRET: [&str; 7] = [
    "key", "token", "secret", "password", "passwd", "sig", "auth",
];

/// A source that a mapping is drafted for.
#[derive(Debug)]
pub struct Source {
    /// Scheme, host and port.
    pub(super) origin: String,
    pub(super) path: String,
    /// Parameters that every request sends.
    pub(super) params: Vec<(String, String)>,
    /// Names of parameters of the address that are left out, since `pagination` sets them.
    pub(super) paging_params: Vec<String>,
    pub(super) credentials: Credentials,
    /// The path of the records, where the command line gives it.
    pub(super) records: Option<String>,
}

impl Source {
    /// Parses the address of the endpoint that lists the records.
    ///
    /// # Errors
    /// The text is no address, or the address holds a secret.
    pub fn new(url: &str, credentials: Credentials, records: Option<String>) -> Result<Self> {
        let parsed = Url::parse(url).ok();
        let Some(parsed) = parsed.filter(|url| ["http", "https"].contains(&url.scheme())) else {
            anyhow::bail!(
                "--url is no address of an API: expected scheme, host and path, such as https://api.example.com/v1/customers"
            );
        };
        ensure!(
            parsed.username().is_empty() && parsed.password().is_none(),
            "--url holds a user name or password, which would be stored in mappings.yaml: put them into API_USER and API_PASSWORD, and add --auth basic"
        );
        let (mut params, mut paging_params) = (Vec::new(), Vec::new());
        for (name, value) in parsed.query_pairs() {
            let plain = name.to_ascii_lowercase();
            if PAGING.contains(&plain.as_str()) {
                paging_params.push(name.into_owned());
                continue;
            }
            let is_secret = SECRET.iter().any(|part| plain.contains(part));
            ensure!(
                !is_secret,
                "--url seems to hold a secret in its parameter {name}, which would be stored in mappings.yaml: put its value into API_TOKEN, leave the parameter out, and add --auth query={name}"
            );
            params.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self {
            origin: parsed.origin().ascii_serialization(),
            path: parsed.path().to_owned(),
            params,
            paging_params,
            credentials,
            records,
        })
    }

    /// Scheme, host and port.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The address without its parameters, as messages show it.
    pub fn shown(&self) -> String {
        format!("{}{}", self.origin, self.path)
    }
}
