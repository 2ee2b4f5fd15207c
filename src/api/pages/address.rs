//! Builds the addresses of pages, and checks where a next link leads. Which page is requested is decided elsewhere.

use jiff::Timestamp;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use reqwest::Url;

use super::super::error::{ApiError, Kind, printable};
use super::Pages;
use super::request_body::RequestBody;
use crate::config::plan::{Api, Incremental, PageStyle, Pagination, SinceFormat};

/// Address of the endpoint, with everything that is the same for all pages.
pub(super) fn base(api: &Api, body: &RequestBody, since: Option<&str>) -> Result<Url, ApiError> {
    let text = format!(
        "{}/{}",
        api.base_url.as_str().trim_end_matches('/'),
        api.fetch.path.trim_start_matches('/')
    );
    let mut url = Url::parse(&text).map_err(|error| {
        ApiError::new(
            Kind::Config,
            format!("API_BASE_URL and the endpoint's path make no address: {error}"),
            "correct API_BASE_URL or the endpoint's path in mappings.yaml",
        )
    })?;
    for (name, value) in &api.params {
        url.query_pairs_mut().append_pair(name, value);
    }
    if let (Some(incremental), Some(since)) = (&api.incremental, since) {
        body.set(&mut url, &incremental.param, &written(incremental, since)?);
    }
    Ok(url)
}

/// The endpoint with the parameter for the page size. Style `auto` sends it only if mappings.yaml names it.
pub(super) fn sized(base: &Url, paging: &Pagination, body: &RequestBody) -> Url {
    let mut url = base.clone();
    let param = match paging.style {
        PageStyle::Auto => paging.size_param.named(),
        _ => paging.size_param.name(),
    };
    if let Some(param) = param {
        body.set(&mut url, param, &paging.size.to_string());
    }
    url
}

/// The time of the watermark in the configured format.
fn written(incremental: &Incremental, since: &str) -> Result<String, ApiError> {
    let config = |what: &str| {
        ApiError::new(
            Kind::Config,
            what,
            "correct `incremental.format` in mappings.yaml",
        )
    };
    let at: Timestamp = since
        .parse()
        .map_err(|error| config(&format!("the watermark is no time: {error}")))?;
    let text = match &incremental.format {
        SinceFormat::Rfc3339 => since.to_owned(),
        SinceFormat::EpochSeconds => at.as_second().to_string(),
        SinceFormat::EpochMilliseconds => at.as_millisecond().to_string(),
        SinceFormat::Pattern(format) => strtime::format(format, &at.to_zoned(TimeZone::UTC))
            .map_err(|error| config(&format!("the watermark cannot be written so: {error}")))?,
    };
    Ok(incremental.template.replacen("{}", &text, 1))
}

impl Pages {
    /// The page size that is requested; none if no size is sent.
    pub(super) fn asked_size(&self) -> Option<u64> {
        let is_sent = match self.paging.style {
            PageStyle::None => false,
            PageStyle::Auto => self.paging.size_param.named().is_some(),
            _ => self.paging.size_param.name().is_some(),
        };
        is_sent.then_some(u64::from(self.paging.size))
    }

    /// The address of the first page with one more parameter.
    pub(super) fn with(&self, name: &str, value: &str) -> Url {
        let mut url = self.base.clone();
        self.body.set(&mut url, name, value);
        sized(&url, &self.paging, &self.body)
    }

    /// A next link in any form of RFC 3986, allowed only to the configured origin.
    pub(super) fn resolve(&self, from: &Url, link: &str) -> Result<Url, ApiError> {
        let unreadable = |_| {
            ApiError::new(
                Kind::ForeignLink,
                "the next link of the page is not an address",
                "the API has to be corrected, or set pagination.style and next_path in mappings.yaml",
            )
        };
        let mut target = from.join(link.trim()).map_err(unreadable)?;
        target.set_fragment(None);
        if target.origin() != self.base.origin()
            || !target.username().is_empty()
            || target.password().is_some()
        {
            return Err(ApiError::new(
                Kind::ForeignLink,
                format!(
                    "the next link leads to {}, but the token belongs to {} only",
                    printable(&target.origin().ascii_serialization(), 120),
                    self.base.origin().ascii_serialization()
                ),
                "if the API has moved, change API_BASE_URL; behind a proxy the API may need to be told its public address",
            ));
        }
        Ok(target)
    }
}
