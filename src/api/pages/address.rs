//! Addresses of pages: what they share, and where a next link may lead. Which page is asked for is decided elsewhere.

use reqwest::Url;

use super::super::error::{ApiError, Kind, printable};
use super::Pages;
use crate::config::plan::{Api, PageStyle, Pagination};

/// Address of the endpoint with everything that is the same for all pages.
pub(super) fn base(api: &Api, since: Option<&str>) -> Result<Url, ApiError> {
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
        set(&mut url, name, value);
    }
    if let (Some(incremental), Some(since)) = (&api.incremental, since) {
        set(&mut url, &incremental.param, since);
    }
    Ok(url)
}

/// The endpoint, asked for pages of the configured size. Style `auto` asks for none that mappings.yaml does not name.
pub(super) fn sized(base: &Url, paging: &Pagination) -> Url {
    let mut url = base.clone();
    let param = match paging.style {
        PageStyle::Auto => paging.size_param.named(),
        _ => paging.size_param.name(),
    };
    if let Some(param) = param {
        set(&mut url, param, &paging.size.to_string());
    }
    url
}

pub(super) fn set(url: &mut Url, name: &str, value: &str) {
    url.query_pairs_mut().append_pair(name, value);
}

impl Pages {
    /// The size that is asked for; none where no size is sent.
    pub(super) fn asked_size(&self) -> Option<u64> {
        let is_sent = match self.paging.style {
            PageStyle::None => false,
            PageStyle::Auto => self.paging.size_param.named().is_some(),
            _ => self.paging.size_param.name().is_some(),
        };
        is_sent.then_some(u64::from(self.paging.size))
    }

    /// The first page with this parameter more.
    pub(super) fn with(&self, name: &str, value: &str) -> Url {
        let mut url = self.base.clone();
        set(&mut url, name, value);
        sized(&url, &self.paging)
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
