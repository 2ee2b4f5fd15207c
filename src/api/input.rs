//! Records from a file, in whatever of the usual forms they are: a JSON array, a page of the API, one record, or one
//! record a line.

use std::ops::Range;

use anyhow::{Context as _, Result, ensure};
use serde_json::value::RawValue;

use super::envelope::{self, Records};

/// Where each record's raw JSON is in `text`. `path` is the configured path of the records array in a page.
///
/// In a file with one record a line, a line that is not JSON counts as a record too: mapping it then says what is wrong
/// with it, and the other records are still read.
pub fn split_records(text: &str, path: Option<&[String]>) -> Result<Vec<Range<u32>>> {
    ensure!(
        u32::try_from(text.len()).is_ok(),
        "the input has more than 4 GiB"
    );
    if let Ok(whole) = serde_json::from_str::<&RawValue>(text) {
        let alone = whole.get().starts_with('{');
        let page = envelope::cut(text, path).map(|page| page.records);
        return match page {
            Ok(Records::Found { ranges, .. }) => Ok(ranges),
            Ok(Records::Missing(_)) | Err(_) if alone => Ok(vec![within(text, whole.get())]),
            Ok(Records::Missing(error)) | Err(error) => {
                Err(error).context("there are no records in the input")
            }
        };
    }
    ensure!(
        !text.trim_start().starts_with('['),
        "the input begins like a JSON array and is not one; was it cut short?"
    );
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    Ok(lines.map(|line| within(text, line)).collect())
}

/// The byte range of `part`, which is a slice of `text`.
fn within(text: &str, part: &str) -> Range<u32> {
    let start = part.as_ptr() as usize - text.as_ptr() as usize;
    let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    place(start)..place(start + part.len())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<&str> {
        let ranges = split_records(text, None).unwrap();
        ranges
            .iter()
            .map(|r| &text[r.start as usize..r.end as usize])
            .collect()
    }

    #[test]
    fn every_usual_form_is_understood() {
        assert_eq!(
            split(r#" [{"a":1}, {"a":2}] "#),
            [r#"{"a":1}"#, r#"{"a":2}"#]
        );
        assert_eq!(split(r#"{"data":[{"a":1}],"next":null}"#), [r#"{"a":1}"#]);
        assert_eq!(split("{\n \"a\": 1\n}\n"), ["{\n \"a\": 1\n}"]);
        assert_eq!(
            split("{\"a\":1}\n\n {\"a\":2}\r\n"),
            [r#"{"a":1}"#, r#"{"a":2}"#]
        );
        assert_eq!(split(""), [""; 0]);
    }

    #[test]
    fn a_line_that_is_no_json_does_not_hide_the_others() {
        assert_eq!(
            split("{\"a\":1}\nnonsense\n{\"a\":3}"),
            [r#"{"a":1}"#, "nonsense", r#"{"a":3}"#]
        );
    }

    #[test]
    fn an_array_cut_short_is_not_taken_for_lines() {
        assert!(split_records("[{\"a\":1},\n{\"a\":2", None).is_err());
    }
}
