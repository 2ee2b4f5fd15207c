//! Style `auto`: finds out after the first page how the API pages. What the first page shows is tried on the second page
//! before it is believed, and that page is kept for its turn. If the first page shows nothing, requests with the usual
//! parameters find out whether the API pages at all.

mod candidates;
mod detected;

use reqwest::Url;

use super::super::client::{CallResult, Client};
use super::super::error::{ApiError, Class, Kind};
use super::super::page_metadata::{
    Continuation, Found, Next, NextPageSearch, PageMetadata, Place, as_cursor,
};
use super::super::vocabulary;
use super::end::Proof;
use super::page::{NoRecords, Parsed};
use super::{Pages, PagingMethod};
use crate::config::path;

use candidates::{Candidate, OFFSET_PARAMS, cursor_params, usual_offsets};
pub(super) use detected::Detected;
use detected::{cursor_taken, no_second_page, not_found, numbered, says_that_it_is_all};

/// Parameters that usually take the id of the record before a page.
const AFTER_PARAMS: [&str; 2] = ["starting_after", "after"];

/// The result of an attempt at the second page, compared with the first page.
enum Attempt {
    /// Other records.
    Differs(Box<CallResult<Parsed>>),
    /// The first page again.
    Repeats,
    /// Records of the first page among others.
    Overlaps,
    Empty,
    Refused(u16),
}

/// What detection needs of the first page.
struct First<'f> {
    client: &'f Client,
    parsed: &'f Parsed,
    metadata: PageMetadata<'f>,
    count: u64,
    total: Option<u64>,
    /// More records are announced than this page has.
    more: bool,
}

impl Pages {
    pub(super) fn detect(&self, client: &Client, parsed: &Parsed) -> Detected {
        let metadata = self.metadata(parsed);
        let count = parsed.count();
        if self.limit.is_some_and(|limit| count >= limit) {
            return Detected::default();
        }
        let total = metadata.total().map(|total| total.value);
        let pages = metadata.total_pages().map(|pages| pages.value);
        let flag = metadata.has_more();
        let first = First {
            client,
            parsed,
            metadata,
            count,
            total,
            more: flag == Some(true)
                || total.is_some_and(|total| total > count)
                || pages.is_some_and(|pages| pages > 1),
        };
        let metadata = &first.metadata;
        let found = match metadata.next(NextPageSearch::Any) {
            Continuation::Next(found) if flag != Some(false) => self.by_next(&first, &found),
            Continuation::Next(_) | Continuation::Ended if !first.more => Ok(Detected {
                sign: Some(Proof::Marked),
                lines: vec!["style: none".to_owned()],
                ..Detected::default()
            }),
            _ if first.more => self.by_numbers(&first),
            _ if flag == Some(false) || says_that_it_is_all(metadata, count) => {
                Ok(Detected::default())
            }
            _ if count == 0 => Ok(Detected {
                sign: Some(Proof::Empty),
                ..Detected::default()
            }),
            // In an earlier run this API named the next page, so its absence means the end.
            _ if self.next_was_named_before => Ok(Detected {
                sign: Some(Proof::Marked),
                ..Detected::default()
            }),
            _ => self.by_asking(&first),
        };
        let mut detected = found.unwrap_or_else(|error| Detected {
            failed: Some(error.on_page(2)),
            ..Detected::default()
        });
        if matches!(detected.method, Some(PagingMethod::Numbered { .. })) {
            detected.lines.extend(
                [
                    metadata.total().map(|total| total.place.line("total")),
                    metadata
                        .total_pages()
                        .map(|pages| pages.place.line("pages")),
                    metadata.more_line(),
                ]
                .into_iter()
                .flatten(),
            );
        }
        let shown = detected.lines.iter().map(String::as_str);
        let shown: Vec<&str> = shown.filter(|line| vocabulary::is_plain(line)).collect();
        log::debug!("style auto: {}", shown.join(", "));
        detected
    }

    /// The page names the next one.
    fn by_next(&self, first: &First<'_>, found: &Found<Next>) -> Result<Detected, ApiError> {
        let name = found.place.name();
        match &found.value {
            Next::Link(_) => {
                let mut lines = vec!["style: link".to_owned()];
                // A link in a list may have another place on other pages: look for its relation, not for its place.
                if let Place::Body(path) = &found.place
                    && path.iter().all(|name| name.parse::<usize>().is_err())
                {
                    lines.push(found.place.line("next"));
                }
                lines.push("size_param: none".to_owned());
                Ok(Detected {
                    way: Some(NextPageSearch::Link),
                    lines,
                    ..Detected::default()
                })
            }
            Next::Cursor(cursor) => {
                let names = match self.paging.cursor_param.named() {
                    Some(named) => vec![named.to_owned()],
                    None => cursor_params(name),
                };
                let mut lines = match &found.place {
                    Place::Body(_) => vec![found.place.line("cursor")],
                    Place::Header(name) => {
                        vec![
                            format!("cursor_path: {name}"),
                            "cursor_in: header".to_owned(),
                        ]
                    }
                };
                lines.extend(first.metadata.more_line());
                self.by_cursor(first, cursor, &names, lines)
            }
            Next::Page(number) => {
                let candidates = self.page_candidates(name, Some(number.saturating_sub(1)));
                self.try_all(first, candidates)
            }
            Next::Offset(number) => {
                let at = first.metadata.offset();
                let start = at.as_ref().map_or(0, |at| at.value);
                let name = at.as_ref().map_or("offset", |at| at.place.name());
                let candidates = self.offset_candidates(name, start, number.saturating_sub(start));
                self.try_all(first, candidates)
            }
        }
    }

    /// The page has a cursor: finds the parameter that takes it.
    fn by_cursor(
        &self,
        first: &First<'_>,
        cursor: &str,
        names: &[String],
        lines: Vec<String>,
    ) -> Result<Detected, ApiError> {
        for name in names {
            let url = self.with(name, cursor);
            match self.second(first, &url)? {
                Attempt::Differs(done) => return Ok(cursor_taken(name, (url, *done), lines)),
                // mappings.yaml names the parameter, so it is used although the try proved nothing.
                _ if names.len() == 1 && self.paging.cursor_param.named().is_some() => {
                    return Ok(Detected {
                        way: Some(NextPageSearch::Cursor),
                        ..Detected::default()
                    });
                }
                _ => {}
            }
        }
        Err(not_found(names, &first.metadata))
    }

    /// A total or a flag says that there is more, but no next page is named.
    fn by_numbers(&self, first: &First<'_>) -> Result<Detected, ApiError> {
        let mut candidates = self.named_candidates(first.count);
        if candidates.is_empty() {
            if let Some(page) = first.metadata.page() {
                candidates.extend(self.page_candidates(page.place.name(), Some(page.value)));
            }
            if let Some(offset) = first.metadata.offset() {
                let name = offset.place.name();
                candidates.extend(self.offset_candidates(name, offset.value, first.count));
            }
        }
        if candidates.is_empty() {
            // `has_more` and the id of the last record, as Stripe has it.
            if first.total.is_none()
                && let Some(found) = self.by_last_record(first)?
            {
                return Ok(found);
            }
            candidates = self.page_candidates("page", None);
            candidates.extend(usual_offsets(first.count));
            candidates.push(Candidate::page("_page", None));
        }
        self.try_all(first, candidates)
    }

    fn try_all(&self, first: &First<'_>, candidates: Vec<Candidate>) -> Result<Detected, ApiError> {
        let mut tried: Vec<String> = Vec::new();
        for candidate in candidates {
            if tried.contains(&candidate.param) {
                continue;
            }
            if let Some(found) = self.verify(first, &candidate)? {
                return Ok(found);
            }
            tried.push(candidate.param);
        }
        Err(not_found(&tried, &first.metadata))
    }

    /// Does this parameter bring the second page?
    fn verify(
        &self,
        first: &First<'_>,
        candidate: &Candidate,
    ) -> Result<Option<Detected>, ApiError> {
        let number = |number: u64| self.with(&candidate.param, &number.to_string());
        let start = if let Some(start) = candidate.first {
            start
        } else {
            // Find out whether the first page has the number 0 or 1.
            let url = number(1);
            match self.second(first, &url)? {
                Attempt::Repeats => 1,
                Attempt::Differs(done) => {
                    return Ok(Some(numbered(candidate, 0, Some((url, *done)))));
                }
                _ => return Ok(None),
            }
        };
        let url = number(start + candidate.step);
        let Attempt::Differs(done) = self.second(first, &url)? else {
            return Ok(None);
        };
        // If the API states the number of a page, it must state the right one for this page.
        let second = self.metadata(&done.value);
        if !candidate.offset
            && let (Some(before), Some(now)) = (first.metadata.page(), second.page())
            && now.value != before.value + 1
        {
            return Ok(None);
        }
        Ok(Some(numbered(candidate, start, Some((url, *done)))))
    }

    /// `has_more` and no cursor: the next page may begin after the id of the last record.
    fn by_last_record(&self, first: &First<'_>) -> Result<Option<Detected>, ApiError> {
        let path = vec!["id".to_owned()];
        let id = first.parsed.last_record();
        let Some(id) = id
            .as_ref()
            .and_then(|record| as_cursor(path::at(record, &path)?))
        else {
            return Ok(None);
        };
        for name in AFTER_PARAMS {
            let url = self.with(name, &id);
            if let Attempt::Differs(done) = self.second(first, &url)? {
                let lines = ["cursor_path: id", "cursor_in: last_record"].map(str::to_owned);
                let lines = lines.into_iter().chain(first.metadata.more_line());
                return Ok(Some(Detected {
                    last_record: Some(path),
                    ..cursor_taken(name, (url, *done), lines)
                }));
            }
        }
        Ok(None)
    }

    /// Nothing on the page says how the API pages, or whether it does: ask for more with the usual parameters.
    fn by_asking(&self, first: &First<'_>) -> Result<Detected, ApiError> {
        let mut named = self.named_candidates(first.count);
        if named.is_empty() {
            // If the page states its own offset or number, that shows the style.
            if let Some(offset) = first.metadata.offset() {
                let name = offset.place.name();
                named = self.offset_candidates(name, offset.value, first.count);
                named.truncate(1);
            }
        }
        // Send all usual parameters at once: an API that then answers its first page again knows none of them.
        if named.is_empty() && !first.metadata.hints_at_more() {
            let url = self.usual_ways_at_once(first);
            if matches!(self.second(first, &url)?, Attempt::Repeats) {
                return Ok(Detected {
                    sign: Some(Proof::Same),
                    lines: vec!["style: none".to_owned()],
                    ..Detected::default()
                });
            }
        }
        let mut candidates = named;
        if candidates.is_empty() {
            candidates = self.page_candidates("page", None);
            candidates.extend(usual_offsets(first.count));
        }
        for candidate in &candidates {
            let found = if candidate.offset {
                self.by_offset(first, candidate)?
            } else {
                self.verify(first, candidate)?
            };
            if let Some(found) = found {
                return Ok(found);
            }
            // The API knows the parameter, and has no second page.
            if !candidate.offset && self.knows_no_second_page(first, candidate)? {
                return Ok(no_second_page(candidate));
            }
        }
        Ok(Detected {
            candidates: vec![
                "`style: page` with its `page_param`".to_owned(),
                "`style: offset` with its `offset_param`".to_owned(),
                "`style: cursor` with `cursor_param`, `cursor_path` and `cursor_in`".to_owned(),
            ],
            ..Detected::default()
        })
    }

    /// One request with the usual parameters of the second page, whatever they are called.
    fn usual_ways_at_once(&self, first: &First<'_>) -> Url {
        let mut url = self.with("page", "2");
        for name in ["_page", "pageNumber", "pagination[page]", "page[number]"] {
            self.body.set(&mut url, name, "2");
        }
        for name in OFFSET_PARAMS {
            self.body.set(&mut url, name, &first.count.to_string());
        }
        let last = first.parsed.last_record();
        let id = last
            .as_ref()
            .and_then(|record| as_cursor(record.get("id")?));
        if let Some(id) = id {
            for name in AFTER_PARAMS {
                self.body.set(&mut url, name, &id);
            }
        }
        url
    }

    /// Does this parameter skip records? Beyond the first page there may be others, or none.
    fn by_offset(
        &self,
        first: &First<'_>,
        candidate: &Candidate,
    ) -> Result<Option<Detected>, ApiError> {
        let start = candidate.first.unwrap_or(0);
        let url = |number: u64| self.with(&candidate.param, &number.to_string());
        let next = url(start + candidate.step);
        Ok(match self.second(first, &next)? {
            Attempt::Differs(done) => Some(numbered(candidate, start, Some((next, *done)))),
            // The parameter may be a filter that no record passes: then it does not give the first page either. An answer
            // that is empty twice is not a passing failure.
            Attempt::Empty => (matches!(self.second(first, &url(start))?, Attempt::Repeats)
                && matches!(self.second(first, &next)?, Attempt::Empty))
            .then(|| no_second_page(candidate)),
            _ => None,
        })
    }

    /// Does the API answer page 1 with the first page, and page 2 with none? Or is the first page 0, and is there no page 1?
    fn knows_no_second_page(
        &self,
        first: &First<'_>,
        candidate: &Candidate,
    ) -> Result<bool, ApiError> {
        let number = |number: u64| self.with(&candidate.param, &number.to_string());
        let is_end = |second: &Attempt| match second {
            Attempt::Empty => true,
            Attempt::Refused(status) => self.paging.end_status.contains(status),
            _ => false,
        };
        let zero = candidate.first == Some(0);
        if candidate.offset {
            let start = candidate.first.unwrap_or(0);
            if !matches!(self.second(first, &number(start))?, Attempt::Repeats) {
                return Ok(false);
            }
        } else if !zero {
            match self.second(first, &number(1))? {
                Attempt::Repeats => {}
                other if candidate.first.is_none() && is_end(&other) => {
                    return Ok(matches!(self.second(first, &number(0))?, Attempt::Repeats));
                }
                _ => return Ok(false),
            }
        }
        let next = number(if zero { 1 } else { 2 });
        // Anything but an empty array is asked for twice.
        Ok(match self.second(first, &next)? {
            Attempt::Empty => true,
            refused @ Attempt::Refused(_) if is_end(&refused) => {
                is_end(&self.second(first, &next)?)
            }
            _ => false,
        })
    }

    /// Asks for what may be the second page. Failures that do not depend on the parameters are errors.
    fn second(&self, first: &First<'_>, url: &Url) -> Result<Attempt, ApiError> {
        let done = match self.ask(first.client, url, 1, |_| {}) {
            Ok(done) => done,
            Err(error) => {
                return match error.status() {
                    Some(status)
                        if error.class() != Class::Transient && error.cause() == Kind::Status =>
                    {
                        Ok(Attempt::Refused(status))
                    }
                    _ => Err(error),
                };
            }
        };
        let (ours, theirs) = (&first.parsed.prints, &done.value.prints);
        Ok(match theirs.shared(ours) {
            _ if done.value.records.is_empty() => match done.value.no_records {
                Some(NoRecords::NoArray) => Attempt::Refused(204),
                _ => Attempt::Empty,
            },
            0 => Attempt::Differs(Box::new(done)),
            shared if shared == theirs.len() => Attempt::Repeats,
            _ => Attempt::Overlaps,
        })
    }
}
