//! Reads the first page of a source that has no mapping yet, and what it shows about the other pages (`init --url`).

use super::client::Client;
use super::error::{ApiError, Kind};
use super::pages::{FetchOptions, Page, Pages};
use crate::config::path;
use crate::config::plan::Api;

/// What was found.
#[derive(Debug)]
pub struct FirstPage {
    page: Page,
    /// Where its records are; none where the page itself is the list.
    pub records_at: Option<String>,
    /// Lines for `pagination` in mappings.yaml that say how the source pages.
    pub lines: Vec<String>,
    /// What will prove the end of the source; an error if nothing does, or if nothing leads to the next page.
    pub expected_proof: Result<String, ApiError>,
}

impl FirstPage {
    /// JSON text of each record.
    pub fn records(&self) -> impl Iterator<Item = &str> {
        self.page.iter()
    }
}

/// Fetches the first page, and finds out with the second one how the source pages.
pub fn first_page(api: &Api) -> Result<FirstPage, ApiError> {
    let client = Client::new(api)?;
    let pages = Pages::new(api, FetchOptions::default())?;
    let page = match pages.next(&client) {
        Some(page) => page?,
        None => return Err(ApiError::new(Kind::Stopped, "there is no first page", "")),
    };
    let at = pages.records_at().filter(|place| !place.is_empty());
    Ok(FirstPage {
        records_at: at.map(path::text),
        lines: pages.stats().lines,
        expected_proof: pages.expected_proof(),
        page,
    })
}
