//! Headers with a grammar of their own: `Link` (RFC 8288) and `Content-Range`.

use reqwest::header::{CONTENT_RANGE, HeaderMap, LINK};

/// What the Link header says of the next page.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Relation {
    Target(String),
    /// Other relations between pages, and no `next`.
    Others,
    /// Nothing about pages.
    None,
}

/// Relations between pages; others, such as `preload`, say nothing about paging.
const BETWEEN_PAGES: [&str; 5] = ["prev", "previous", "first", "last", "self"];

/// `Link: <…>; rel="next"` among any number of links.
pub(super) fn next(headers: &HeaderMap) -> Relation {
    let mut others = false;
    for value in headers.get_all(LINK) {
        let Ok(text) = value.to_str() else { continue };
        for (target, relation) in links(text) {
            if relation.eq_ignore_ascii_case("next") {
                return Relation::Target(target.to_owned());
            }
            others |= BETWEEN_PAGES
                .iter()
                .any(|known| relation.eq_ignore_ascii_case(known));
        }
    }
    if others {
        Relation::Others
    } else {
        Relation::None
    }
}

/// Each target with each of its relations. Targets may hold commas and semicolons, so splitting at these would be wrong.
fn links(header: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let mut rest = header;
    while let Some((_, from)) = rest.split_once('<') {
        let Some((target, after)) = from.split_once('>') else {
            break;
        };
        let (parameters, following) = after.find('<').map_or((after, ""), |at| after.split_at(at));
        for parameter in parameters.split([';', ',']) {
            if let Some((name, value)) = parameter.split_once('=')
                && name.trim().eq_ignore_ascii_case("rel")
            {
                let relations = value.trim().trim_matches('"').split_ascii_whitespace();
                found.extend(relations.map(|relation| (target.trim(), relation)));
            }
        }
        rest = following;
    }
    found
}

/// `Content-Range: items 0-24/319`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub first: Option<u64>,
    pub total: Option<u64>,
}

pub(super) fn content_range(headers: &HeaderMap) -> Option<Range> {
    let text = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    let numbers = text.trim().rsplit(' ').next()?;
    let (range, total) = numbers.split_once('/')?;
    let first = range
        .split_once('-')
        .and_then(|(first, _)| first.parse().ok());
    let total = total.parse().ok();
    (first.is_some() || total.is_some()).then_some(Range { first, total })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn the_link_header_is_read_as_the_web_writes_it() {
        let target = |text: &str| Relation::Target(text.to_owned());
        for (header, expected) in [
            (r#"</v1?page=2>; rel="next""#, target("/v1?page=2")),
            (
                r#"</v1?page=1>; rel="prev", </v1?a=1,2;3&page=3>; rel="next last""#,
                target("/v1?a=1,2;3&page=3"),
            ),
            ("</v1?page=2>;rel=next;title=\"x\"", target("/v1?page=2")),
            (r#"</v1?page=9>; rel="last""#, Relation::Others),
            (r#"</wp-json/>; rel="https://api.w.org/""#, Relation::None),
            ("nonsense", Relation::None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(LINK, HeaderValue::from_str(header).unwrap());
            assert_eq!(next(&headers), expected, "{header}");
        }
    }

    #[test]
    fn content_range_has_offset_and_total() {
        for (text, first, total) in [
            ("items 0-24/319", Some(0), Some(319)),
            ("25-49/319", Some(25), Some(319)),
            ("0-24/*", Some(0), None),
            ("*/0", None, Some(0)),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_RANGE, HeaderValue::from_str(text).unwrap());
            assert_eq!(
                content_range(&headers),
                Some(Range { first, total }),
                "{text}"
            );
        }
    }
}
