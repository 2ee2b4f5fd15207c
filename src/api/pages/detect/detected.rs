//! What style `auto` has found out about an API, and the lines of mappings.yaml that say so.

use reqwest::Url;

use super::super::super::client::CallResult;
use super::super::super::error::{ApiError, Kind};
use super::super::super::page_metadata::{NextPageSearch, PageMetadata};
use super::super::super::vocabulary;
use super::super::end::Proof;
use super::super::page::Parsed;
use super::super::{PagingMethod, State};
use super::candidates::Candidate;

/// What style `auto` has found out.
#[derive(Debug, Default)]
pub(in super::super) struct Detected {
    pub(super) method: Option<PagingMethod>,
    pub(super) style: Option<&'static str>,
    pub(super) way: Option<NextPageSearch>,
    pub(super) cursor_param: Option<String>,
    pub(super) last_record: Option<Vec<String>>,
    pub(super) ahead: Option<(Url, CallResult<Parsed>)>,
    /// There is more but no known way to it, or the second page could not be fetched.
    pub(super) failed: Option<ApiError>,
    /// What shows that there is only the first page.
    pub(super) sign: Option<Proof>,
    pub(super) lines: Vec<String>,
    pub(super) candidates: Vec<String>,
}

impl Detected {
    pub(in super::super) fn apply(self, state: &mut State) {
        if let Some(method) = self.method {
            state.method = method;
        }
        state.style = self.style.or(state.style);
        state.way = self.way.unwrap_or(state.way);
        state.cursor_param = self
            .cursor_param
            .unwrap_or_else(|| state.cursor_param.clone());
        state.last_record = self.last_record.or_else(|| state.last_record.clone());
        state.ahead = self.ahead;
        state.failed_ahead = self.failed;
        if let Some(sign) = self.sign {
            state.evidence.see(sign);
        }
        state.seen.lines = self.lines;
        state.seen.candidates = self.candidates;
    }
}

/// This parameter takes the cursor: with it the second page was brought. `more`: further lines that say so.
pub(super) fn cursor_taken(
    param: &str,
    ahead: (Url, CallResult<Parsed>),
    more: impl IntoIterator<Item = String>,
) -> Detected {
    let mut lines = vec!["style: cursor".to_owned(), format!("cursor_param: {param}")];
    lines.extend(more);
    lines.push("size_param: none".to_owned());
    Detected {
        way: Some(NextPageSearch::Cursor),
        cursor_param: Some(param.to_owned()),
        ahead: Some(ahead),
        lines,
        ..Detected::default()
    }
}

/// There is only the first page: with this parameter the API has no second one.
pub(super) fn no_second_page(candidate: &Candidate) -> Detected {
    let style = if candidate.offset { "offset" } else { "page" };
    Detected {
        sign: Some(Proof::Empty),
        lines: vec![
            format!("style: {style}"),
            format!("{style}_param: {}", candidate.param),
        ],
        ..Detected::default()
    }
}

pub(super) fn not_found(tried: &[String], metadata: &PageMetadata<'_>) -> ApiError {
    let quoted = |names: &[String]| -> String {
        let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        names.join(", ")
    };
    let what = |is_shown: fn(&str) -> bool| {
        format!(
            "the API has more records than the first page, and none of the usual parameters brings the next one (tried {}); what looks like paging on the page: {}",
            quoted(tried),
            vocabulary::listed(&metadata.paging_names(), is_shown),
        )
    };
    let hint = "say how it pages under pagination in mappings.yaml: `style: page` with page_param, `style: offset` with offset_param, or `style: cursor` with cursor_param and cursor_path";
    ApiError::new(Kind::NoNext, what(vocabulary::is_plain), hint)
        .naming(what(vocabulary::is_like_a_field), hint)
}

/// The page itself says that it is the only one.
pub(super) fn says_that_it_is_all(metadata: &PageMetadata<'_>, count: u64) -> bool {
    let pages = metadata.total_pages().map(|pages| pages.value);
    let total = metadata.total().map(|total| total.value);
    let size = metadata.size().map(|size| size.value);
    pages.is_some_and(|pages| pages <= 1)
        || (total == Some(count) && size.is_some_and(|size| size > count))
}

pub(super) fn numbered(
    candidate: &Candidate,
    first: u64,
    ahead: Option<(Url, CallResult<Parsed>)>,
) -> Detected {
    let Candidate {
        param,
        offset,
        step,
        ..
    } = candidate.clone();
    let style = if offset { "offset" } else { "page" };
    let mut lines = vec![format!("style: {style}"), format!("{style}_param: {param}")];
    if first != u64::from(!offset) {
        lines.push(format!("first: {first}"));
    }
    lines.push("size_param: none".to_owned());
    Detected {
        method: Some(PagingMethod::Numbered {
            param,
            offset,
            first,
            step,
        }),
        style: Some(style),
        ahead,
        lines,
        ..Detected::default()
    }
}
