//! Styles that count: page and offset numbers. Several pages are in flight, and the end is announced, or met.

use super::super::error::{ApiError, Kind, printable};
use super::super::hints::Hints;
use super::guard::MAX_EMPTY_IN_A_ROW;
use super::page::Parsed;
use super::{Course, Pages, State};

impl Pages {
    /// `auto`, after the first page: does it count its pages?
    pub(super) fn start_numbers(&self, state: &mut State, count: u64, hints: &Hints<'_>) -> bool {
        let page = hints.page();
        let pages = hints.total_pages().or_else(|| {
            // Without a page number the total alone says nothing about how to ask for the rest.
            page.and(hints.total())
                .filter(|_| count > 0)
                .map(|total| total.div_ceil(count))
        });
        let Some(pages) = pages.filter(|pages| *pages > 1) else {
            return false;
        };
        state.style = Some("page");
        state.full = count.max(1);
        state.announced_end = Some(pages);
        state.course = Course::Numbered {
            offset: false,
            first: page.unwrap_or(self.paging.first),
            step: 1,
        };
        true
    }

    /// Numbered styles: is there more after this page?
    pub(super) fn number(
        &self,
        state: &mut State,
        index: u64,
        parsed: &Parsed,
        count: u64,
        hints: &Hints<'_>,
    ) -> Result<(), ApiError> {
        if index == 0 {
            // A server may give fewer records than asked for; pages are as large as it makes them.
            if count > 0 && count < state.full {
                state.full = count;
                if let Course::Numbered {
                    offset: true, step, ..
                } = &mut state.course
                {
                    *step = count;
                }
                state.short = true;
            }
            state.announced_end = hints
                .total_pages()
                .or_else(|| Some(hints.total()?.div_ceil(state.full)))
                // The total of the first page may be that of the page: at least what is here counts.
                .map(|pages| pages.max(1));
            if count == 0 && state.announced_end.is_none() {
                state.found_end = Some(0);
            }
        } else {
            let pages = hints
                .total_pages()
                .or_else(|| Some(hints.total()?.div_ceil(state.full)));
            if let (Some(end), Some(pages)) = (state.announced_end, pages) {
                // Rows came while we paged.
                state.announced_end = Some(end.max(pages));
            }
            if state.announced_end.is_none() {
                if count == 0 {
                    state.found_end = Some(state.found_end.unwrap_or(u64::MAX).min(index));
                } else if state.found_end.is_some_and(|end| index >= end) {
                    // A page beyond an empty one has records: the empty one was not the end.
                    state.found_end = None;
                }
            }
            state.short = count < state.full;
        }
        if hints.has_more() == Some(false) && state.announced_end.is_none() {
            state.found_end = Some(state.found_end.unwrap_or(u64::MAX).min(index + 1));
        }
        if state.guard.is_idle() {
            return Err(ApiError::new(
                Kind::Loop,
                format!(
                    "{MAX_EMPTY_IN_A_ROW} pages in a row are empty, although more were announced"
                ),
                "the number of pages the API announces is wrong; report it to its operator",
            ));
        }
        if count == state.full && state.guard.repeats(parsed) {
            let name = match state.course {
                Course::Numbered { offset: true, .. } => &self.paging.offset_param,
                _ => &self.paging.page_param,
            };
            return Err(ApiError::new(
                Kind::Loop,
                "the page has the same content as one before it",
                format!(
                    "does the API know the parameter `{}`? Set pagination.page_param or offset_param in mappings.yaml",
                    printable(name, 40)
                ),
            ));
        }
        Ok(())
    }
}
