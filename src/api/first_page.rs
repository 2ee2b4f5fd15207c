//! The first page of a source, and what it shows of the others: for a source whose mapping is still to be written.

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
    /// Lines below `pagination` of mappings.yaml that say how the source pages.
    pub lines: Vec<String>,
    /// What will prove the end of the source; an error where nothing does, or where nothing leads to the next page.
    pub expected_proof: Result<String, ApiError>,
}

impl FirstPage {
    /// JSON text of each record.
    pub fn records(&self) -> impl Iterator<Item = &str> {
        self.page.iter()
    }
}

/// Fetches the first page, and tries on the second how the source pages. Reads; changes nothing.
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
