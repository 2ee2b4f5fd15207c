//! The ways in which the second page might be requested, the likeliest first: by names that the first page or mappings.yaml
//! shows, then by names that most APIs use. Sends no request.

use super::super::Pages;

/// Parameters that usually take the number of records before a page.
pub(super) const OFFSET_PARAMS: [&str; 9] = [
    "offset",
    "skip",
    "start",
    "$skip",
    "$offset",
    "limit_start",
    "from",
    "startAt",
    "_start",
];
/// A way to ask for the second page.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) param: String,
    pub(super) offset: bool,
    /// Number of the first page; none if it has to be found out.
    pub(super) first: Option<u64>,
    pub(super) step: u64,
}

impl Candidate {
    pub(super) fn page(name: &str, first: Option<u64>) -> Self {
        Self {
            param: name.to_owned(),
            offset: false,
            first,
            step: 1,
        }
    }

    fn offset(name: &str, first: u64, step: u64) -> Self {
        Self {
            param: name.to_owned(),
            offset: true,
            first: Some(first),
            step,
        }
    }
}

impl Pages {
    /// The candidates by the parameters that mappings.yaml names.
    pub(super) fn named_candidates(&self, count: u64) -> Vec<Candidate> {
        let first = self.paging.first;
        let page = self.paging.page_param.named();
        let page = page.map(|name| Candidate::page(name, first));
        let offset = self.paging.offset_param.named();
        let offset = offset.map(|name| Candidate::offset(name, first.unwrap_or(0), count));
        page.into_iter().chain(offset).collect()
    }

    pub(super) fn page_candidates(&self, name: &str, first: Option<u64>) -> Vec<Candidate> {
        if self.paging.page_param.named().is_some() {
            return self.named_candidates(1).into_iter().take(1).collect();
        }
        let mut names = vec!["page", "pagination[page]", "page[number]"];
        let plain = name.trim_start_matches("x-").to_ascii_lowercase();
        let is_usual = matches!(
            plain.as_str(),
            "pageno"
                | "page_no"
                | "pageindex"
                | "page_index"
                | "pagenum"
                | "pagenumber"
                | "page_number"
                | "p"
        );
        if is_usual {
            names.insert(0, name);
            names.insert(2, "pageNumber");
        } else {
            names.push("pageNumber");
        }
        if first.is_none() {
            names.truncate(1);
        }
        names
            .into_iter()
            .map(|name| Candidate::page(name, first))
            .collect()
    }

    pub(super) fn offset_candidates(&self, name: &str, first: u64, step: u64) -> Vec<Candidate> {
        let name = match self.paging.offset_param.named() {
            Some(named) => named,
            None if name.eq_ignore_ascii_case("content-range") => "offset",
            None => name.trim_start_matches('_'),
        };
        let mut names = vec![name];
        for other in ["offset", "pagination[start]", "_start"] {
            if name != other && self.paging.offset_param.named().is_none() {
                names.push(other);
            }
        }
        names
            .into_iter()
            .map(|name| Candidate::offset(name, first, step))
            .collect()
    }
}

/// Offsets by every usual name.
pub(super) fn usual_offsets(step: u64) -> impl Iterator<Item = Candidate> {
    OFFSET_PARAMS
        .into_iter()
        .map(move |name| Candidate::offset(name, 0, step))
}

/// Parameters that may take a cursor of this name, the likeliest first.
pub(super) fn cursor_params(name: &str) -> Vec<String> {
    let plain: String = name
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|letter| letter.to_ascii_lowercase())
        .collect();
    let family: &[&str] = match plain.as_str() {
        "nextpagetoken" if name.contains('_') => &["next_page_token", "page_token", "pageToken"],
        "nextpagetoken" => &["pageToken", "nextPageToken", "page_token"],
        "nexttoken" => &["next_token", "nextToken", "pagination_token", "NextToken"],
        "nextcursor" => &["cursor", "starting_after", "start_cursor", "after"],
        "after" | "endcursor" => &["after", "cursor"],
        "startingafter" => &["starting_after"],
        "aftercursor" => &["page[after]", "after", "after_cursor"],
        "offset" | "nextoffset" => &["offset"],
        "continuationtoken" | "continuation" | "nextcontinuationtoken" => {
            &["continuationToken", "continuation_token", "continuation"]
        }
        "nextmarker" => &["marker", "Marker"],
        "nextcursormark" => &["cursorMark"],
        "next" => &["cursor", "next", "after", "start"],
        _ => &["cursor"],
    };
    let mut names: Vec<String> = family.iter().map(|name| (*name).to_owned()).collect();
    // The name of the cursor itself, and the name without `next`.
    let own = name.trim_start_matches("x-");
    let bare = own
        .trim_start_matches("next_")
        .trim_start_matches("next-")
        .to_owned();
    for name in [own.to_owned(), bare] {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.truncate(6);
    names
}
