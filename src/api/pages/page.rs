//! One page: the answer of the API cut into records. It knows where a record is, and nothing of what is in it or of other
//! pages.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::HeaderMap;
use serde_json::{Map, Value};

use super::super::body;
use super::super::client::Answer;
use super::super::envelope;
use super::super::error::{ApiError, Kind};
use super::Pages;

/// One page, cut into records.
#[derive(Clone, Debug)]
pub struct Page {
    /// Position in the sequence, from 0, without gaps.
    pub index: u64,
    /// The whole body; records are slices of it.
    pub text: Arc<String>,
    /// Byte range of each record's raw JSON in `text`.
    pub records: Vec<Range<u32>>,
    /// When it was requested (the try that succeeded), this machine's clock, microseconds since the epoch.
    pub requested_at_local_micros: i64,
    /// How long that try took, body included.
    pub seconds: f64,
    /// Tries it took, 1 when all is well.
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

/// A body taken apart.
pub(super) struct Parsed {
    pub(super) text: String,
    pub(super) records: Vec<Range<u32>>,
    pub(super) headers: HeaderMap,
    pub(super) beside: Map<String, Value>,
}

impl Pages {
    /// Body → records and hints.
    pub(super) fn parse(&self, answer: Answer, max: u64) -> Result<Parsed, ApiError> {
        let length = answer.body.len() as u64;
        let Answer { headers, body } = answer;
        let text = body::text(&headers, body, max)?;
        let also = self
            .paging
            .cursor_path
            .as_deref()
            .and_then(|path| path.first());
        let page = envelope::read(
            &text,
            self.records_path.as_deref(),
            also.map(String::as_str),
        )
        .map_err(|error| match error.cause() {
            Kind::NotJson | Kind::NoRecords => error.noting(&format!(
                "{}, {}",
                body::size(length),
                body::content_type(&headers)
            )),
            _ => error,
        })?;
        Ok(Parsed {
            text,
            records: page.records,
            headers,
            beside: page.beside,
        })
    }
}

pub(super) fn page(
    index: u64,
    parsed: Parsed,
    announced_total: Option<u64>,
    requested_at: i64,
    took: Duration,
    tries: u32,
) -> Page {
    Page {
        index,
        text: Arc::new(parsed.text),
        records: parsed.records,
        requested_at_local_micros: requested_at,
        seconds: took.as_secs_f64(),
        tries,
        announced_total,
    }
}

/// The page beyond the last: the index is taken, so it is delivered, empty.
pub(super) fn nothing(index: u64, tries: u32) -> Page {
    Page {
        index,
        text: Arc::default(),
        records: Vec::new(),
        requested_at_local_micros: 0,
        seconds: 0.0,
        tries,
        announced_total: None,
    }
}
