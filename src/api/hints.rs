//! What a page says about the others: the next one, how many there are, how many records in total.
//!
//! Knows the spellings that public APIs use, in the body and in headers; decides nothing.

use reqwest::header::{HeaderMap, LINK};
use serde_json::{Map, Value};

/// Objects that paging information hides in, in the order they are searched after the top of the page.
const CONTAINERS: [&str; 11] = [
    "pagination",
    "paging",
    "page_info",
    "pageInfo",
    "meta",
    "_meta",
    "metadata",
    "cursors",
    "links",
    "_links",
    "page",
];

const NEXT_LINK: [&str; 8] = [
    "next",
    "next_url",
    "nextUrl",
    "next_link",
    "nextLink",
    "next_page_url",
    "nextPageUrl",
    "@odata.nextLink",
];
const NEXT_PAGE: [&str; 2] = ["next_page", "nextPage"];
const NEXT_CURSOR: [&str; 7] = [
    "next_cursor",
    "nextCursor",
    "next_page_token",
    "nextPageToken",
    "next_token",
    "nextToken",
    "cursor.next",
];
const HAS_MORE: [&str; 5] = ["has_more", "hasMore", "has_next", "hasNext", "hasNextPage"];
const TOTAL: [&str; 10] = [
    "total",
    "total_count",
    "totalCount",
    "total_records",
    "totalRecords",
    "total_elements",
    "totalElements",
    "total_items",
    "totalItems",
    "@odata.count",
];
const TOTAL_PAGES: [&str; 9] = [
    "total_pages",
    "totalPages",
    "num_pages",
    "numPages",
    "page_count",
    "pageCount",
    "last_page",
    "lastPage",
    "pages",
];
const PAGE: [&str; 6] = [
    "page",
    "current_page",
    "currentPage",
    "page_number",
    "pageNumber",
    "number",
];

/// The way to the next page, as the page itself states it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Link(String),
    Cursor(String),
    Page(u64),
}

/// Reads the hints of one page.
pub(super) struct Hints<'p> {
    headers: &'p HeaderMap,
    beside: &'p Map<String, Value>,
}

impl<'p> Hints<'p> {
    pub const fn new(headers: &'p HeaderMap, beside: &'p Map<String, Value>) -> Self {
        Self { headers, beside }
    }

    /// Records in all pages together.
    pub fn total(&self) -> Option<u64> {
        self.number(&TOTAL)
            .or_else(|| self.header("x-total-count"))
            .or_else(|| self.header("x-total"))
            // `count` is the size of the page in many APIs; beside a `next` it is the total (Django REST framework).
            .or_else(|| {
                (self.beside.contains_key("next") && self.beside.contains_key("count"))
                    .then(|| self.number(&["count"]))
                    .flatten()
            })
    }

    pub fn total_pages(&self) -> Option<u64> {
        self.number(&TOTAL_PAGES)
            .or_else(|| self.header("x-total-pages"))
    }

    /// The number this page gives itself.
    pub fn page(&self) -> Option<u64> {
        self.number(&PAGE)
    }

    /// An explicit statement that there is more, or that there is not.
    pub fn has_more(&self) -> Option<bool> {
        self.find(&HAS_MORE)?.as_bool()
    }

    /// The next page in whatever form, the clearest form first: `auto`.
    pub fn next(&self) -> Option<Next> {
        self.link()
            .or_else(|| self.cursor(None))
            .or_else(|| self.next_page())
    }

    /// The Link header, else a link in the body.
    pub fn link(&self) -> Option<Next> {
        if let Some(link) = self.link_header() {
            return Some(Next::Link(link));
        }
        NEXT_LINK
            .iter()
            .chain(&NEXT_PAGE)
            .filter_map(|name| self.find(&[name]))
            .find_map(as_link)
            .map(Next::Link)
    }

    /// The next cursor: at a configured path, else where APIs put it.
    pub fn cursor(&self, path: Option<&[String]>) -> Option<Next> {
        if let Some([head, rest @ ..]) = path {
            let value = rest
                .iter()
                .try_fold(self.beside.get(head)?, |value, key| value.get(key))?;
            return as_cursor(value).map(Next::Cursor);
        }
        let nested = || self.beside.get("cursor")?.get("next");
        NEXT_CURSOR
            .iter()
            .filter_map(|name| self.find(&[name]))
            .chain(nested())
            .find_map(as_cursor)
            .or_else(|| {
                // A bare `next` that is neither a link nor a page number.
                let next = self.find(&["next"])?;
                (next.is_string() && as_link(next).is_none())
                    .then(|| as_cursor(next))
                    .flatten()
            })
            .map(Next::Cursor)
    }

    fn next_page(&self) -> Option<Next> {
        NEXT_PAGE
            .iter()
            .chain(&["next"])
            .filter_map(|name| self.find(&[name]))
            .find_map(as_number)
            .map(Next::Page)
    }

    /// The first of these names that has a value other than null, at the top of the page or in a container.
    fn find(&self, names: &[&str]) -> Option<&'p Value> {
        let containers = CONTAINERS
            .iter()
            .filter_map(|name| self.beside.get(*name)?.as_object());
        std::iter::once(self.beside)
            .chain(containers)
            .find_map(|object| {
                names
                    .iter()
                    .filter_map(|name| object.get(*name))
                    .find(|value| !value.is_null())
            })
    }

    fn number(&self, names: &[&str]) -> Option<u64> {
        names
            .iter()
            .filter_map(|name| self.find(&[name]))
            .find_map(as_number)
    }

    fn header(&self, name: &str) -> Option<u64> {
        self.headers.get(name)?.to_str().ok()?.trim().parse().ok()
    }

    /// `Link: <…>; rel="next"` among any number of links.
    fn link_header(&self) -> Option<String> {
        self.headers
            .get_all(LINK)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .find_map(next_of)
    }
}

/// The target of `rel=next` in one Link header. Targets may hold commas and semicolons, hence the walk.
fn next_of(header: &str) -> Option<String> {
    let mut rest = header;
    loop {
        let (_, from) = rest.split_once('<')?;
        let (target, after) = from.split_once('>')?;
        let (parameters, following) = after.find('<').map_or((after, ""), |at| after.split_at(at));
        let is_next = parameters.split([';', ',']).any(|parameter| {
            let Some((name, value)) = parameter.split_once('=') else {
                return false;
            };
            name.trim().eq_ignore_ascii_case("rel")
                && value
                    .trim()
                    .trim_matches('"')
                    .split_ascii_whitespace()
                    .any(|relation| relation.eq_ignore_ascii_case("next"))
        });
        if is_next {
            return Some(target.trim().to_owned());
        }
        rest = following;
    }
}

fn as_link(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text,
        Value::Object(link) => link.get("href").or_else(|| link.get("url"))?.as_str()?,
        _ => return None,
    };
    let looks_so = ["http://", "https://", "/", "?"]
        .iter()
        .any(|start| text.starts_with(start));
    (looks_so || (value.is_object() && !text.is_empty())).then(|| text.to_owned())
}

fn as_cursor(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn as_number(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn beside(json: &str) -> Map<String, Value> {
        serde_json::from_str(json).unwrap()
    }

    fn next(json: &str) -> Option<Next> {
        let beside = beside(json);
        Hints::new(&HeaderMap::new(), &beside).next()
    }

    #[test]
    fn the_next_page_is_recognised_in_its_many_spellings() {
        let link = |text: &str| Some(Next::Link(text.to_owned()));
        let cursor = |text: &str| Some(Next::Cursor(text.to_owned()));
        for (json, expected) in [
            (r#"{"next":"/v1?x=2"}"#, link("/v1?x=2")),
            (
                r#"{"next":"https://a.example/v1?x=2"}"#,
                link("https://a.example/v1?x=2"),
            ),
            (r#"{"links":{"next":"?page=2"}}"#, link("?page=2")),
            (r#"{"_links":{"next":{"href":"/v1/2"}}}"#, link("/v1/2")),
            (r#"{"@odata.nextLink":"/v1?skip=1"}"#, link("/v1?skip=1")),
            (r#"{"next_cursor":"abc"}"#, cursor("abc")),
            (r#"{"next_cursor":17}"#, cursor("17")),
            (r#"{"meta":{"next_cursor":"abc"}}"#, cursor("abc")),
            (r#"{"cursor":{"next":"abc"}}"#, cursor("abc")),
            (
                r#"{"paging":{"cursors":{"x":1}},"nextPageToken":"t"}"#,
                cursor("t"),
            ),
            (r#"{"next":"opaque"}"#, cursor("opaque")),
            (r#"{"next_page":3}"#, Some(Next::Page(3))),
            (r#"{"next":3}"#, Some(Next::Page(3))),
            (r#"{"next":null,"next_cursor":""}"#, None),
            (r#"{"next_page":null,"total":3}"#, None),
            (r#"{"links":[1]}"#, None),
        ] {
            assert_eq!(next(json), expected, "{json}");
        }
    }

    #[test]
    fn a_configured_cursor_path_is_followed() {
        let beside = beside(r#"{"paging":{"after":{"id":"z"}},"next_cursor":"no"}"#);
        let headers = HeaderMap::new();
        let hints = Hints::new(&headers, &beside);
        let path: Vec<String> = ["paging", "after", "id"].map(str::to_owned).to_vec();
        assert_eq!(
            hints.cursor(Some(&path)),
            Some(Next::Cursor("z".to_owned()))
        );
    }

    #[test]
    fn totals_and_pages_are_recognised() {
        for (json, total, pages, page) in [
            (
                r#"{"total":12,"page":1,"total_pages":2}"#,
                Some(12),
                Some(2),
                Some(1),
            ),
            (
                r#"{"meta":{"total":"12","last_page":2,"current_page":1}}"#,
                Some(12),
                Some(2),
                Some(1),
            ),
            (
                r#"{"page":{"totalElements":12,"totalPages":2,"number":0}}"#,
                Some(12),
                Some(2),
                Some(0),
            ),
            (r#"{"count":12,"next":null}"#, Some(12), None, None),
            (r#"{"count":12}"#, None, None, None),
        ] {
            let beside = beside(json);
            let headers = HeaderMap::new();
            let hints = Hints::new(&headers, &beside);
            assert_eq!(
                (hints.total(), hints.total_pages(), hints.page()),
                (total, pages, page),
                "{json}"
            );
        }
    }

    #[test]
    fn the_link_header_is_read_as_the_web_writes_it() {
        for (header, expected) in [
            (r#"</v1?page=2>; rel="next""#, Some("/v1?page=2")),
            (
                r#"</v1?page=1>; rel="prev", </v1?a=1,2;3&page=3>; rel="next last""#,
                Some("/v1?a=1,2;3&page=3"),
            ),
            ("</v1?page=2>;rel=next;title=\"x\"", Some("/v1?page=2")),
            (r#"</v1?page=9>; rel="last""#, None),
            ("nonsense", None),
        ] {
            assert_eq!(next_of(header).as_deref(), expected, "{header}");
        }
    }
}
