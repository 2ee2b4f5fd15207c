//! The message when the end of a source is not proven: what was seen, and lines for mappings.yaml that may be right.

use super::super::error::{ApiError, Kind, printable};
use super::super::page_metadata::PageMetadata;
use super::super::vocabulary;
use super::end::End;
use super::{Pages, PagingMethod, State};
use crate::config::plan::PageStyle;

/// Follows the name of a header.
const HEADER: &str = " (header)";
/// Greatest number of names that a message lists.
const LISTED: usize = 12;

/// What pages have shown besides their records.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// Keys and headers of the first page that look like paging.
    paging_names: Vec<String>,
    /// Places named in mappings.yaml that no page has had so far.
    absent: Vec<String>,
    /// A page has named the next one.
    pub next_was_named: bool,
    /// What style `auto` has found out, as lines for mappings.yaml.
    pub lines: Vec<String>,
    /// Styles that `auto` considers possible.
    pub candidates: Vec<String>,
}

impl Seen {
    pub(super) fn note(&mut self, metadata: &PageMetadata<'_>, index: u64) {
        if index == 0 {
            self.paging_names = metadata.paging_names();
            self.absent = metadata.absent();
        } else if !self.absent.is_empty() {
            let absent = metadata.absent();
            self.absent.retain(|place| absent.contains(place));
        }
    }

    /// ` (no page has next_path: paging.nxt)`, or nothing.
    pub(super) fn absent_text(&self) -> String {
        if self.absent.is_empty() {
            return String::new();
        }
        let places: Vec<String> = self
            .absent
            .iter()
            .map(|place| format!("`{}`", printable(place, 80)))
            .collect();
        format!(" (no page has {})", places.join(", "))
    }

    /// `; the page has …`, or nothing.
    pub(super) fn paging_names_text(&self, is_shown: fn(&str) -> bool) -> String {
        if self.paging_names.is_empty() {
            return String::new();
        }
        let more = self.paging_names.len().saturating_sub(LISTED);
        let first = &self.paging_names[..self.paging_names.len().min(LISTED)];
        let without_kind = |name: &str| is_shown(name.trim_end_matches(HEADER));
        let mut text = vocabulary::listed(first, without_kind);
        if more > 0 {
            text += &format!(" and {more} more");
        }
        format!("; what looks like paging on the page: {text}")
    }
}

impl Pages {
    /// Decides whether the source was read whole, once all fetching has ended.
    pub(super) fn end(&self, state: &State) -> End {
        if !state.ended || !state.in_flight.is_empty() || self.limit.is_some() {
            return End::Unknown;
        }
        match state.evidence.conclude() {
            End::Guessed(why) => End::Guessed(self.unproven(state, &why, vocabulary::is_plain)),
            end => end,
        }
    }

    /// What is known of the end after the first page, for `check-api`. An error if nothing leads to the next page, or if this
    /// page is the last and nothing proves it.
    pub(in crate::api) fn expected_proof(&self) -> Result<String, ApiError> {
        let mut state = self.lock();
        if let Some(error) = state.failed_ahead.take() {
            return Err(error);
        }
        let is_over = match &state.method {
            PagingMethod::Named { next } => next.is_none(),
            PagingMethod::Numbered { .. } => {
                let end = state.announced_end.or(state.found_end);
                end.is_some_and(|end| end <= state.next_index)
                    && !state.evidence.wants_another_page()
            }
        };
        if is_over {
            return match state.evidence.conclude() {
                End::Proven(proof) => Ok(format!("this page is all there is, by proof `{proof}`")),
                End::Guessed(why) => {
                    let text = |is_shown: fn(&str) -> bool| self.unproven(&state, &why, is_shown);
                    Err(ApiError::new(Kind::NoNext, text(vocabulary::is_plain), "")
                        .naming(text(vocabulary::is_like_a_field), ""))
                }
                End::Moved(_) | End::Unknown => Ok("the source is moving".to_owned()),
            };
        }
        Ok(match (&state.method, state.announced_end) {
            (PagingMethod::Numbered { .. }, Some(_)) => {
                "the end will be proven by what is announced"
            }
            (PagingMethod::Numbered { .. }, None) => {
                "the first page without records will be the end"
            }
            (PagingMethod::Named { .. }, _) => "the page that names no next one will be the end",
        }
        .to_owned())
    }

    fn unproven(&self, state: &State, why: &str, is_shown: fn(&str) -> bool) -> String {
        let seen = &state.seen;
        let records = match state.evidence.records() {
            1 => "1 record".to_owned(),
            records => format!("{records} records"),
        };
        let pages = match state.evidence.pages() {
            1 => "1 page".to_owned(),
            pages => format!("{pages} pages"),
        };
        let mut text = format!(
            "it is not proven that the source was read whole: {why}{} ({records} on {pages}){}",
            seen.absent_text(),
            seen.paging_names_text(is_shown)
        );
        let missing = state.evidence.missing().is_some() || state.evidence.contradicted.is_some();
        let advice = if missing {
            "look at the API: does it page in another way? If its total counts something else, write `total_path: none` under pagination in mappings.yaml".to_owned()
        } else {
            self.lines_that_may_be_right(state)
        };
        text += "; ";
        text += &advice;
        text
    }

    fn lines_that_may_be_right(&self, state: &State) -> String {
        let mut lines: Vec<String> = state.seen.candidates.clone();
        let is_named = matches!(self.paging.style, PageStyle::Link | PageStyle::Cursor);
        if lines.is_empty() && is_named {
            lines.push("correct the path or the header that is not on the page".to_owned());
        }
        if lines.is_empty() && self.paging.style == PageStyle::Auto {
            lines.extend(
                [
                    "`style: page` with the API's page_param",
                    "`style: offset` with its offset_param",
                ]
                .map(str::to_owned),
            );
        }
        let all = match self.paging.style {
            PageStyle::Auto => "`style: none` if one page is all there is",
            PageStyle::Page | PageStyle::Offset => {
                "`total_path` or `more_path` if the page has them under other names"
            }
            _ => "`end: absent` if a page without it is the last",
        };
        lines.push(all.to_owned());
        lines.truncate(4);
        format!(
            "write what is right under pagination in mappings.yaml: {}",
            lines.join("; or ")
        )
    }
}
