//! One page: the answer of the API, cut into records. Knows nothing of what is in a record, or of other pages.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use reqwest::header::HeaderMap;
use serde_json::Value;

use super::super::body;
use super::super::client::{Answer, CallResult};
use super::super::envelope::{self, Records};
use super::super::error::{ApiError, Kind};
use super::super::error_body;
use super::super::lines;
use super::super::page_metadata::PageMetadata;
use super::Pages;
use super::loop_detector::Prints;
use crate::config::plan::PageFormat;

/// One page, cut into records.
#[derive(Clone, Debug)]
pub struct Page {
    /// Position in the sequence, from 0, without gaps.
    pub index: u64,
    /// The whole body; records are slices of it.
    pub text: Arc<String>,
    /// Byte range of each record's raw JSON in `text`.
    pub records: Vec<Range<u32>>,
    /// When the try that succeeded was sent.
    pub requested: Instant,
    /// How long that try took, body included.
    pub seconds: f64,
    /// Number of tries; 1 if the first one succeeded.
    pub tries: u32,
    /// Records in all pages together, when the API says so on this page.
    pub announced_total: Option<u64>,
}

impl Page {
    /// Raw JSON of one record; empty when there is no such record.
    pub fn record(&self, number: usize) -> &str {
        self.records
            .get(number)
            .and_then(|range| self.text.get(range.start as usize..range.end as usize))
            .unwrap_or_default()
    }

    /// Raw JSON of every record, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.records.len()).map(|number| self.record(number))
    }
}

/// The ways in which a page has no records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoRecords {
    /// An empty array.
    Array,
    /// No array at all: `"data": null`, a key left out, a 204.
    NoArray,
}

/// A parsed body.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) text: String,
    pub(super) records: Vec<Range<u32>>,
    pub(super) headers: HeaderMap,
    pub(super) beside: Value,
    /// Where the records are.
    pub(super) at: Vec<String>,
    pub(super) prints: Prints,
    pub(super) no_records: Option<NoRecords>,
}

impl Parsed {
    /// A page without an array.
    fn without_array(headers: HeaderMap, beside: Value, text: String) -> Self {
        Self {
            text,
            records: Vec::new(),
            headers,
            beside,
            at: Vec::new(),
            prints: Prints::default(),
            no_records: Some(NoRecords::NoArray),
        }
    }

    /// A page with one record a line. Without any line it is a page without records.
    fn of_lines(headers: HeaderMap, body: Vec<u8>, max: u64) -> Result<Self, ApiError> {
        let text = match body::text(&headers, body, max) {
            Err(error) if error.cause() == Kind::Empty => String::new(),
            text => text?,
        };
        let records = lines::records(&text)?;
        Ok(Self {
            prints: Prints::of(&text, &records),
            no_records: records.is_empty().then_some(NoRecords::Array),
            text,
            records,
            headers,
            beside: Value::Null,
            at: Vec::new(),
        })
    }

    pub(super) fn count(&self) -> u64 {
        self.records.len() as u64
    }

    /// The last record as a value.
    pub(super) fn last_record(&self) -> Option<Value> {
        let range = self.records.last()?;
        let text = self.text.get(range.start as usize..range.end as usize)?;
        serde_json::from_str(text).ok()
    }
}

impl Pages {
    /// Parses a body into records and metadata. `full` is the number of records of a full page.
    pub(super) fn parse(
        &self,
        answer: Answer,
        max: u64,
        index: u64,
        full: u64,
    ) -> Result<Parsed, ApiError> {
        let Answer {
            status,
            headers,
            body,
        } = answer;
        // In an incremental run a first page without content means that nothing has changed.
        if matches!(status, 204 | 205 | 304) && (index > 0 || self.is_incremental) {
            return Ok(Parsed::without_array(headers, Value::Null, String::new()));
        }
        let length = body.len() as u64;
        if self.format == PageFormat::Ndjson {
            return Parsed::of_lines(headers, body, max);
        }
        let text = body::text(&headers, body, max)?;
        let path = self
            .records_path
            .as_deref()
            .or_else(|| self.found_at.get().map(Vec::as_slice));
        let page = envelope::read(&text, path, self.is_incremental)
            .map_err(|error| describe(error, length, &headers))?;
        let error = error_body::of(&page.beside);
        let (records, at) = match page.records {
            Records::Found { ranges, at } => (ranges, at),
            Records::Missing(why) => {
                if let Some(error) = error {
                    return Err(error);
                }
                let announces_none = || {
                    let metadata = PageMetadata::new(&self.paging, &headers, &page.beside, &[]);
                    metadata.total().is_some_and(|total| total.value == 0)
                };
                if error_body::is_error_like(&page.beside) || (index == 0 && !announces_none()) {
                    return Err(describe(why, length, &headers));
                }
                return Ok(Parsed::without_array(headers, page.beside, text));
            }
        };
        let is_short = (records.len() as u64) < full;
        if let Some(error) = error.filter(|_| is_short || self.body.is_graphql()) {
            return Err(error);
        }
        if records.is_empty()
            && index == 0
            && !self.is_incremental
            && error_body::is_error_like(&page.beside)
        {
            return Err(error_body::like(&page.beside));
        }
        if index == 0 {
            // The other pages have their records in the same place.
            self.found_at.get_or_init(|| at.clone());
        }
        Ok(Parsed {
            prints: Prints::of(&text, &records),
            no_records: records.is_empty().then_some(NoRecords::Array),
            text,
            records,
            headers,
            beside: page.beside,
            at,
        })
    }
}

/// Adds the size and content type of what came instead of a page.
fn describe(error: ApiError, length: u64, headers: &HeaderMap) -> ApiError {
    match error.cause() {
        Kind::NotJson | Kind::NoRecords => error.noting(&format!(
            "{}, {}",
            body::size(length),
            body::content_type(headers)
        )),
        _ => error,
    }
}

pub(super) fn page(index: u64, read: CallResult<Parsed>, announced_total: Option<u64>) -> Page {
    Page {
        index,
        text: Arc::new(read.value.text),
        records: read.value.records,
        requested: read.requested,
        seconds: read.took.as_secs_f64(),
        tries: read.tries,
        announced_total,
    }
}

/// The page beyond the last. Its index was given out already, so an empty page is delivered for it.
pub(super) fn empty_page(index: u64, tries: u32) -> Page {
    Page {
        index,
        text: Arc::default(),
        records: Vec::new(),
        requested: Instant::now(),
        seconds: 0.0,
        tries,
        announced_total: None,
    }
}
