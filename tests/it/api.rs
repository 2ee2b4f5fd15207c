//! The API client against a real HTTP server: paging, retries, and every row of faults that concerns it.

#![allow(clippy::unwrap_used)]

mod content;
mod end;
mod limits;
mod paging;
mod transport;

use std::collections::BTreeMap;
use std::time::Duration;

use datasync::api::{ApiError, Client, FetchOptions, Page, Pages, Stats};
use datasync::config::plan::{
    Api, Auth, Backoff, Credential, CursorIn, Endpoint, PageStyle, Pagination, Param, Retry,
};
use datasync::config::secret::Secret;

use crate::support::http::{Running, TOKEN};

/// The configuration a test starts from: quick retries, a short timeout.
fn plan(url: &str, style: PageStyle) -> Api {
    Api {
        base_url: url.parse().unwrap(),
        auth: Auth::Header {
            name: "Authorization".to_owned(),
            value: Secret::new(format!("Bearer {TOKEN}")),
            credential: Credential::Token,
        },
        fetch: Endpoint {
            path: "/api/v1/data".to_owned(),
            shown_path: "/api/v1/data".to_owned(),
            method: "GET".to_owned(),
            headers: Vec::new(),
            timeout: Duration::from_secs(5),
            retry: Retry {
                max_attempts: 3,
                backoff: Backoff::Exponential,
                initial: Duration::from_millis(2),
                max: Duration::from_millis(300),
            },
        },
        tls: datasync::config::plan::ApiTls::default(),
        format: datasync::config::plan::PageFormat::Json,
        body: None,
        rate_limited_status: Vec::new(),
        records: None,
        pagination: pagination(style),
        max_pages: 10_000,
        max_page_bytes: 1 << 20,
        params: Vec::new(),
        incremental: None,
        max_requests_per_second: None,
        update: None,
    }
}

fn pagination(style: PageStyle) -> Pagination {
    let offset = style == PageStyle::Offset;
    let size = if offset { "limit" } else { "page_size" };
    Pagination {
        in_body: false,
        style,
        page_param: Param::Usual("page"),
        size_param: Param::Named(size.to_owned()),
        offset_param: Param::Usual("offset"),
        cursor_param: Param::Usual("cursor"),
        next_path: None,
        cursor_path: None,
        cursor_in: CursorIn::Body,
        more_path: None,
        done_path: None,
        total_path: None,
        total_header: None,
        ignore_totals: false,
        pages_path: None,
        pages_header: None,
        end_status: vec![204, 404],
        end_absent: false,
        size: 10,
        first: (style != PageStyle::Auto).then_some(u64::from(!offset)),
        concurrency: 4,
    }
}

fn records(count: usize) -> Vec<String> {
    (1..=count)
        .map(|n| format!("{{\"external_id\":\"C{n:05}\",\"full_name\":\"Zoë {n}\"}}"))
        .collect()
}

/// What a whole run of fetching brought.
struct Fetched {
    pages: BTreeMap<u64, Page>,
    errors: Vec<ApiError>,
    stats: Stats,
}

impl Fetched {
    /// All records in the order of their pages.
    fn records(&self) -> Vec<String> {
        self.pages
            .values()
            .flat_map(Page::iter)
            .map(str::to_owned)
            .collect()
    }

    /// The one error there must be.
    fn error(&self) -> &ApiError {
        assert_eq!(self.errors.len(), 1, "{:?}", self.errors);
        &self.errors[0]
    }
}

/// Fetches everything with as many threads as pages may be in flight.
fn fetch(api: &Api) -> Fetched {
    fetch_with(api, FetchOptions::default())
}

fn fetch_with(api: &Api, want: FetchOptions) -> Fetched {
    let pages = Pages::new(api, want).unwrap();
    let mut fetched = Fetched {
        pages: BTreeMap::new(),
        errors: Vec::new(),
        stats: Stats::default(),
    };
    let results = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..api.pagination.concurrency)
            .map(|_| {
                scope.spawn(|| {
                    let client = Client::new(api).unwrap();
                    std::iter::from_fn(|| pages.next(&client)).collect::<Vec<_>>()
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect::<Vec<_>>()
    });
    for result in results {
        match result {
            Ok(page) => {
                let index = page.index;
                assert!(
                    fetched.pages.insert(index, page).is_none(),
                    "page {index} twice"
                );
            }
            Err(error) => fetched.errors.push(error),
        }
    }
    fetched.stats = pages.stats();
    fetched
}

/// Fetches from a server where one error is expected; checks that the message gives nothing away.
fn error_of(server: &Running, style: PageStyle) -> ApiError {
    let mut api = plan(server.url(), style);
    api.params = vec![("tenant".to_owned(), "value-of-a-parameter".to_owned())];
    let fetched = fetch(&api);
    let error = fetched.error().clone();
    let shown = format!("{error} {error:?}");
    for secret in [TOKEN, "value-of-a-parameter", "Zoë", "scripted"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    error
}
