//! The address of a request as messages and the log may show it: where it went, and the names of its parameters. Of
//! their values only the numbers of paging are shown: others may be secret, or of a customer.

use reqwest::Url;

use super::super::error::printable;
use super::super::pages::parameters;
use super::{Ask, Client};
use crate::config::plan::Pagination;

/// Longest path, and most parameters, that are shown.
const LONGEST_PATH: usize = 200;
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

impl Client {
    /// What was asked for: of a page its own address, of a record that of the endpoint.
    pub(super) fn address(&self, ask: Ask<'_>) -> String {
        if ask.page.is_some() {
            self.shown_address(ask.url)
        } else {
            self.shown.clone()
        }
    }

    /// `https://api.example.com/v1/data?page=3&page_size=100&updated_since=…`.
    pub(super) fn shown_address(&self, url: &Url) -> String {
        let mut text = format!(
            "{}{}",
            url.origin().ascii_serialization(),
            printable(url.path(), LONGEST_PATH)
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
            text.push_str(&printable(&name, 40));
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
