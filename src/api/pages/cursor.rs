//! Styles where a page names the next one: link, cursor, and `auto` until it has found a style. One page is in flight.

use reqwest::Url;

use super::super::error::{ApiError, Kind};
use super::super::page_metadata::{Continuation, Found, Next, PageMetadata, Place, as_cursor};
use super::super::vocabulary;
use super::end::Proof;
use super::loop_detector::MAX_EMPTY_IN_A_ROW;
use super::page::Parsed;
use super::{Pages, PagingMethod, State};
use crate::config::path;
use crate::config::plan::PageStyle;

impl Pages {
    /// Follows the next page that a page names, or ends the sequence.
    pub(super) fn follow(
        &self,
        state: &mut State,
        index: u64,
        url: &Url,
        parsed: &Parsed,
        metadata: &PageMetadata<'_>,
        repeats: bool,
    ) -> Result<(), ApiError> {
        state.loops.visit(url.as_str());
        if self.paging.style == PageStyle::None {
            state.style = Some("none");
            state.evidence.see(Proof::Stated);
            return Ok(());
        }
        if state.evidence.has_ended() && !repeats {
            // `auto` has found the end on the first page.
            state.style.get_or_insert("none");
            return Ok(());
        }
        if repeats {
            return Self::repeated(state, index);
        }
        let more = metadata.has_more();
        let next = match state.last_record.clone() {
            // As many records as announced have come, so no more pages are requested.
            Some(_) if state.evidence.reliable_total() == Some(state.evidence.records()) => {
                Continuation::Absent
            }
            Some(path) => after_last_record(parsed, &path)?,
            None => metadata.next(state.way),
        };
        if matches!(next, Continuation::Next(_)) && state.last_record.is_none() {
            state.seen.next_was_named = true;
        }
        let next = match next {
            _ if more == Some(false) => {
                state.evidence.see(Proof::Marked);
                None
            }
            Continuation::Next(next) => Some(next.value),
            Continuation::Ended | Continuation::Absent if more == Some(true) => {
                return Err(no_next(state));
            }
            Continuation::Ended => {
                state.evidence.see(Proof::Marked);
                None
            }
            Continuation::Absent => {
                self.named_none(state, index, parsed.count(), metadata);
                None
            }
        };
        let Some(next) = next else {
            if state.style.is_none() {
                state.style = Some(match self.paging.style {
                    PageStyle::Link => "link",
                    PageStyle::Cursor => "cursor",
                    _ => "none",
                });
            }
            return Ok(());
        };
        self.go_on(state, url, parsed.count(), &next)
    }

    /// Notes the proofs of the end that a page gives by naming no next page.
    fn named_none(&self, state: &mut State, index: u64, count: u64, metadata: &PageMetadata<'_>) {
        // An earlier page had the key, so its absence marks the end.
        let was_named = state.seen.next_was_named || self.next_was_named_before;
        let is_single = index == 0
            && self.asked_size().is_some_and(|size| count < size)
            && self.paging.style != PageStyle::Auto
            && !metadata.hints_at_more();
        for (holds, sign) in [
            (was_named, Proof::Marked),
            (count == 0, Proof::Empty),
            (is_single, Proof::Single),
            (self.paging.end_absent, Proof::Stated),
        ] {
            if holds {
                state.evidence.see(sign);
            }
        }
    }

    /// Handles a page that repeats the records of the page before it.
    fn repeated(state: &State, index: u64) -> Result<(), ApiError> {
        let by_cursor = state.style == Some("cursor");
        // One repeat is the end. But if the first page is repeated, the API may not know the parameter.
        if !by_cursor || index > 1 {
            return Ok(());
        }
        Err(ApiError::new(
            Kind::Loop,
            "the page has the same content as the one before it",
            format!(
                "does the API know the parameter `{}`? Set pagination.cursor_param in mappings.yaml",
                state.cursor_param
            ),
        ))
    }

    fn go_on(&self, state: &mut State, url: &Url, count: u64, next: &Next) -> Result<(), ApiError> {
        if state.loops.is_idle() {
            return Err(ApiError::new(
                Kind::Loop,
                format!("{MAX_EMPTY_IN_A_ROW} pages in a row are empty, and each names a next one"),
                "the API pages for ever; report it to its operator",
            ));
        }
        let (style, target) = match next {
            Next::Link(link) => ("link", self.resolve(url, link)?),
            Next::Cursor(cursor) => ("cursor", self.with(&state.cursor_param, cursor)),
            Next::Page(number) | Next::Offset(number) => {
                let param = self.paging.page_param.name().unwrap_or("page");
                ("page", self.with(param, &number.to_string()))
            }
        };
        state.style = Some(style);
        if !state.loops.visit(target.as_str()) || target == *url {
            if count == 0 {
                // The page has no records and its next page is not new.
                state.evidence.see(Proof::Empty);
                return Ok(());
            }
            return Err(ApiError::new(
                Kind::Loop,
                match next {
                    Next::Link(_) => "the API names a next link that was already followed",
                    Next::Cursor(_) => "the API names a next cursor that was already used",
                    Next::Page(_) | Next::Offset(_) => {
                        "the API names a next page that was already fetched"
                    }
                },
                "the paging of the API runs in a circle; report it to its operator, or set pagination.style",
            ));
        }
        state.method = PagingMethod::Named { next: Some(target) };
        Ok(())
    }
}

/// Takes the next cursor from a field of the last record. A page without records is the end.
fn after_last_record(parsed: &Parsed, path: &[String]) -> Result<Continuation, ApiError> {
    let Some(record) = parsed.last_record() else {
        return Ok(Continuation::Absent);
    };
    let cursor = path::at(&record, path).and_then(as_cursor).ok_or_else(|| {
        ApiError::new(
            Kind::NoNext,
            format!("the last record of the page has no `{}`", path::text(path)),
            "set pagination.cursor_path in mappings.yaml to the field that the next page begins after",
        )
    })?;
    Ok(Continuation::Next(Found {
        value: Next::Cursor(cursor),
        place: Place::Body(path.to_vec()),
    }))
}

/// The error where there is more, but nothing names the next page.
fn no_next(state: &State) -> ApiError {
    let absent = state.seen.absent_text();
    let what = format!(
        "the API says there are more records, but names no next page that could be followed{absent}"
    );
    let hint = |is_shown: fn(&str) -> bool| {
        format!(
            "set pagination.style (and cursor_path, page_param or offset_param) in mappings.yaml{}",
            state.seen.paging_names_text(is_shown)
        )
    };
    ApiError::new(Kind::NoNext, what.clone(), hint(vocabulary::is_plain))
        .naming(what, hint(vocabulary::is_like_a_field))
}
