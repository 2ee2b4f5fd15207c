//! A page with one record a line (NDJSON): its records are the lines that are not blank. It has no metadata.

use std::ops::Range;

use serde::de::IgnoredAny;

use super::envelope::MOST_RECORDS;
use super::error::{ApiError, Kind};

/// Where the records are. A line that is not JSON makes the page an error, since a transfer cut short ends like that.
pub(super) fn records(text: &str) -> Result<Vec<Range<u32>>, ApiError> {
    let mut ranges = Vec::new();
    let mut start = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let record = line.trim();
        let from = start + (line.len() - line.trim_start().len());
        start += line.len();
        if record.is_empty() {
            continue;
        }
        if let Err(error) = serde_json::from_str::<IgnoredAny>(record) {
            return Err(no_record(number + 1, error.is_eof()));
        }
        if ranges.len() == MOST_RECORDS {
            return Err(ApiError::new(
                Kind::TooLarge,
                format!("the page has more than {MOST_RECORDS} records"),
                "ask for smaller pages (pagination.size)",
            ));
        }
        let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        ranges.push(place(from)..place(from + record.len()));
    }
    Ok(ranges)
}

fn no_record(line: usize, is_cut: bool) -> ApiError {
    let what = if is_cut {
        format!("line {line} of the page ends early")
    } else {
        format!("line {line} of the page is no JSON")
    };
    ApiError::new(
        Kind::NotJson,
        what,
        "`format: ndjson` takes one JSON value a line; look at what the API sends, and at proxies in between",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_that_is_not_blank_is_a_record() {
        let text = "{\"a\":1}\n\n  {\"a\":2} \r\n{\"a\":3}";
        let ranges = records(text).unwrap_or_default();
        let found: Vec<&str> = ranges
            .iter()
            .map(|range| &text[range.start as usize..range.end as usize])
            .collect();
        assert_eq!(found, ["{\"a\":1}", "{\"a\":2}", "{\"a\":3}"]);
        for (text, words) in [
            ("{\"a\":1}\n{\"a\":", "line 2 of the page ends early"),
            ("{\"a\":1}\n<html>", "line 2 of the page is no JSON"),
        ] {
            let error = records(text).err().map(|error| error.to_string());
            assert!(error.unwrap_or_default().contains(words), "{text}");
        }
    }
}
