//! The address of a request as messages and the log may show it. Of the values of parameters only the numbers of paging are
//! shown, since others may be secret or a customer's. The path before that of the endpoint, and the path of a link from the
//! API, may hold such values too: only their common words are shown.

use reqwest::Url;

use super::super::error::printable;
use super::super::pages::parameters;
use super::super::vocabulary::is_plain;
use super::{Client, Request};
use crate::config::plan::{Api, Endpoint, Pagination};

/// Greatest number of parts of a path, and of parameters, that are shown.
const MOST_PARTS: usize = 12;
const MOST_PARAMETERS: usize = 12;
/// Parameters of paging by their usual names.
const USUAL: [&str; 14] = [
    "page",
    "page_size",
    "pageSize",
    "per_page",
    "perPage",
    "limit",
    "offset",
    "size",
    "skip",
    "start",
    "startAt",
    "startIndex",
    "$skip",
    "$top",
];

/// The parameters whose numbers may be shown.
pub(super) fn counted(paging: &Pagination) -> Vec<String> {
    let configured = [&paging.page_param, &paging.size_param, &paging.offset_param];
    let configured = configured.into_iter().filter_map(|param| param.name());
    USUAL
        .into_iter()
        .chain(configured)
        .map(str::to_owned)
        .collect()
}

/// The parameters that mappings.yaml names: these names may always be shown.
pub(super) fn configured(api: &Api) -> Vec<String> {
    let paging = &api.pagination;
    let of_paging = [
        &paging.page_param,
        &paging.size_param,
        &paging.offset_param,
        &paging.cursor_param,
    ];
    let incremental = api.incremental.iter().map(|known| known.param.as_str());
    let fixed = api.params.iter().map(|(name, _)| name.as_str());
    let names = of_paging.into_iter().filter_map(|param| param.name());
    names
        .chain(incremental)
        .chain(fixed)
        .map(str::to_owned)
        .collect()
}

/// The configured paths, as they are and as they may be shown.
#[derive(Debug)]
pub(super) struct Paths {
    /// Path of the base address, without a slash at its end.
    base: String,
    endpoint: String,
    shown_endpoint: String,
}

impl Paths {
    pub(super) fn new(api: &Api, endpoint: &Endpoint) -> Self {
        Self {
            base: api.base_url.path().trim_end_matches('/').to_owned(),
            endpoint: endpoint.path.clone(),
            shown_endpoint: endpoint.shown_path.clone(),
        }
    }

    /// A path at the API's host, fit for a message.
    fn shown(&self, path: &str) -> String {
        let (before, rest) = match path.strip_prefix(self.base.as_str()) {
            Some(rest) if !self.base.is_empty() => ("/…", rest),
            _ => ("", path),
        };
        let slash = if rest.ends_with('/') { "/" } else { "" };
        if rest.trim_end_matches('/') == self.endpoint.trim_end_matches('/') {
            let endpoint = self.shown_endpoint.trim_end_matches('/');
            return format!("{before}{endpoint}{slash}");
        }
        let parts: Vec<&str> = rest
            .split('/')
            .filter(|part| !part.is_empty())
            .take(MOST_PARTS)
            .map(|part| if is_plain(part) { part } else { "…" })
            .collect();
        format!("{before}/{}{slash}", parts.join("/"))
    }
}

impl Client {
    /// The address for a message: of a page its own, of a record that of the endpoint without the id.
    pub(super) fn address(&self, request: Request<'_>) -> String {
        if request.page.is_some() {
            self.shown_address(request.url)
        } else {
            self.shown.clone()
        }
    }

    /// `https://api.example.com/v1/data?page=3&page_size=100&updated_since=…`.
    pub(super) fn shown_address(&self, url: &Url) -> String {
        let mut text = format!(
            "{}{}",
            url.origin().ascii_serialization(),
            self.paths.shown(url.path())
        );
        let mut join = '?';
        for (at, (name, value)) in url.query_pairs().enumerate() {
            text.push(join);
            join = '&';
            if at == MOST_PARAMETERS {
                text.push('…');
                break;
            }
            let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
            let is_key = self.credentials.is_key(&name);
            let value = if is_number && !is_key && self.counted.iter().any(|known| *known == name) {
                printable(&value, 20)
            } else {
                "…".to_owned()
            };
            let is_known = self.params.iter().any(|known| *known == name)
                || USUAL.iter().any(|known| *known == name);
            let shown = is_known || is_plain(&name);
            text.push_str(&if shown {
                printable(&name, 40)
            } else {
                "…".to_owned()
            });
            text.push('=');
            text.push_str(&value);
        }
        let mut join = " with ";
        for (name, value) in parameters(url) {
            let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
            let is_shown = is_number && self.counted.contains(&name);
            text += join;
            join = ", ";
            text += &format!(
                "{} = {}",
                printable(&name, 40),
                if is_shown { value.as_str() } else { "…" }
            );
        }
        text
    }
}
