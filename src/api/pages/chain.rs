//! Styles where a page names the next one: link, cursor, and `auto` until it knows better. One page is in flight.

use reqwest::Url;

use super::super::error::{ApiError, Kind};
use super::super::hints::{Hints, Next};
use super::address::{set, sized};
use super::guard::MAX_EMPTY_IN_A_ROW;
use super::{Course, Pages, State};
use crate::config::plan::PageStyle;

impl Pages {
    /// Chain: the page names its successor.
    pub(super) fn follow(
        &self,
        state: &mut State,
        index: u64,
        url: &Url,
        count: u64,
        hints: &Hints<'_>,
    ) -> Result<(), ApiError> {
        state.guard.visit(url.as_str());
        let next = match self.paging.style {
            PageStyle::None => None,
            _ if hints.has_more() == Some(false) => None,
            PageStyle::Link => hints.link(),
            PageStyle::Cursor => hints.cursor(self.paging.cursor_path.as_deref()),
            _ => hints.next(),
        };
        let auto = self.paging.style == PageStyle::Auto;
        let Some(next) = next else {
            if auto && index == 0 && self.start_numbers(state, count, hints) {
                return Ok(());
            }
            if self.paging.style != PageStyle::None && hints.has_more() == Some(true) {
                return Err(ApiError::new(
                    Kind::NoNext,
                    "the API says there are more records, but names no next page that could be followed",
                    "set pagination.style (and cursor_path, page_param or offset_param) in mappings.yaml",
                ));
            }
            if state.style.is_none() {
                state.style = Some(match self.paging.style {
                    PageStyle::Link => "link",
                    PageStyle::Cursor => "cursor",
                    _ => "none",
                });
            }
            if auto
                && index == 0
                && count > 0
                && count.is_multiple_of(u64::from(self.paging.size))
                && state.announced_total.is_none()
            {
                state.warnings.push(format!(
                    "the API answered with exactly {count} records and names no next page: if there are more, set pagination.style in mappings.yaml"
                ));
            }
            return Ok(());
        };
        if state.guard.is_idle() {
            return Err(ApiError::new(
                Kind::Loop,
                format!("{MAX_EMPTY_IN_A_ROW} pages in a row are empty, and each names a next one"),
                "the API pages for ever; report it to its operator",
            ));
        }
        let (style, target) = match &next {
            Next::Link(link) => ("link", self.resolve(url, link)?),
            Next::Cursor(cursor) => {
                let mut target = sized(&self.base, &self.paging);
                set(&mut target, &self.paging.cursor_param, cursor);
                ("cursor", target)
            }
            Next::Page(number) => {
                let mut target = sized(&self.base, &self.paging);
                set(&mut target, &self.paging.page_param, &number.to_string());
                ("page", target)
            }
        };
        state.style = Some(style);
        if !state.guard.visit(target.as_str()) || target == *url {
            return Err(ApiError::new(
                Kind::Loop,
                match next {
                    Next::Link(_) => "the API names a next link that was already followed",
                    Next::Cursor(_) => "the API names a next cursor that was already used",
                    Next::Page(_) => "the API names a next page that was already fetched",
                },
                "the paging of the API runs in a circle; report it to its operator, or set pagination.style",
            ));
        }
        state.course = Course::Chain { next: Some(target) };
        Ok(())
    }
}
