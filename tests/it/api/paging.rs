//! Every paging style reads every record once, in order, with no more requests than needed, and ends if pages repeat.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use datasync::api::{Client, End, FetchOptions, Pages, Proof};
use datasync::config::plan::{Incremental, PageStyle};

use super::{fetch, fetch_with, plan, records};
use crate::support::http::{Fault, Paging, Server};

/// Sizes around the page size of 10: empty, one, one short, exact, one more, several, exact multiple.
const SIZES: [usize; 8] = [0, 1, 9, 10, 11, 35, 40, 123];

/// Why the end is not proven.
#[track_caller]
fn unproven(fetched: &super::Fetched) -> String {
    match &fetched.stats.end {
        End::Guessed(why) => why.clone(),
        end => panic!("{end:?}"),
    }
}

fn brings_everything(served: Paging, style: PageStyle, seen: &str) {
    for size in SIZES {
        let wanted = records(size);
        let server = Server::new().records(wanted.clone()).paging(served).start();
        let fetched = fetch(&plan(server.url(), style));
        let case = format!("{served:?} read as {style:?}, {size} records");
        assert!(fetched.errors.is_empty(), "{case}: {:?}", fetched.errors);
        assert_eq!(fetched.records(), wanted, "{case}");
        assert!(fetched.stats.is_complete(), "{case}");
        assert_eq!(fetched.stats.records, size as u64, "{case}");
        assert_eq!(
            fetched.stats.requests as usize,
            server.requests().len(),
            "{case}"
        );
        if size > 10 {
            assert_eq!(fetched.stats.style, Some(seen), "{case}");
        }
        let last = fetched.pages.len() as u64;
        assert!(
            fetched.pages.keys().copied().eq(0..last),
            "{case}: gaps in the sequence"
        );
    }
}

#[test]
fn page_style_with_announced_totals() {
    brings_everything(Paging::Page, PageStyle::Page, "page");
}

#[test]
fn page_style_with_nothing_announced() {
    brings_everything(Paging::BarePage, PageStyle::Page, "page");
}

#[test]
fn offset_style() {
    brings_everything(Paging::Offset, PageStyle::Offset, "offset");
}

#[test]
fn cursor_style() {
    brings_everything(Paging::Cursor, PageStyle::Cursor, "cursor");
}

#[test]
fn link_style_by_header_and_by_body() {
    brings_everything(Paging::LinkHeader, PageStyle::Link, "link");
    brings_everything(Paging::NextLink, PageStyle::Link, "link");
}

#[test]
fn no_paging_at_all() {
    brings_everything(Paging::None, PageStyle::None, "none");
}

#[test]
fn auto_recognises_every_style_that_shows_itself() {
    brings_everything(Paging::LinkHeader, PageStyle::Auto, "link");
    brings_everything(Paging::NextLink, PageStyle::Auto, "link");
    brings_everything(Paging::Cursor, PageStyle::Auto, "cursor");
    brings_everything(Paging::Page, PageStyle::Auto, "page");
    brings_everything(Paging::None, PageStyle::Auto, "none");
}

#[test]
fn announced_totals_cost_not_one_request_too_many() {
    for (size, requests) in [(0, 1), (10, 1), (11, 2), (40, 4), (123, 13)] {
        for style in [PageStyle::Page, PageStyle::Auto] {
            let server = Server::new().records(records(size)).start();
            fetch(&plan(server.url(), style));
            assert_eq!(
                server.requests().len(),
                requests,
                "{size} records, {style:?}"
            );
        }
    }
}

#[test]
fn without_totals_the_end_costs_at_most_the_pages_in_flight() {
    let server = Server::new()
        .records(records(123))
        .paging(Paging::BarePage)
        .start();
    fetch(&plan(server.url(), PageStyle::Page));
    let requests = server.requests().len();
    assert!((14..=17).contains(&requests), "{requests}");

    let mut one = plan(server.url(), PageStyle::Page);
    one.pagination.concurrency = 1;
    fetch(&one);
    assert_eq!(
        server.requests().len() - requests,
        14,
        "13 pages and the empty one"
    );
}

#[test]
fn a_server_that_gives_smaller_pages_than_asked_for_loses_nothing() {
    for (served, style) in [
        (Paging::Page, PageStyle::Page),
        (Paging::BarePage, PageStyle::Page),
        (Paging::Offset, PageStyle::Offset),
        (Paging::Page, PageStyle::Auto),
        (Paging::Cursor, PageStyle::Auto),
    ] {
        let wanted = records(95);
        let server = Server::new()
            .records(wanted.clone())
            .paging(served)
            .max_page_size(7)
            .start();
        let fetched = fetch(&plan(server.url(), style));
        assert_eq!(fetched.records(), wanted, "{served:?} {style:?}");
    }
}

#[test]
fn numbered_pages_are_in_flight_together_and_a_chain_is_not() {
    let latency = Duration::from_millis(40);
    let took = |served, style| {
        let server = Server::new()
            .records(records(160))
            .paging(served)
            .latency(latency)
            .start();
        let started = Instant::now();
        assert_eq!(fetch(&plan(server.url(), style)).records().len(), 160);
        started.elapsed()
    };
    // 16 pages: 1 alone, 15 by fours = 5 rounds.
    let together = took(Paging::Page, PageStyle::Page);
    assert!(together < latency * 10, "{together:?}");
    let chain = took(Paging::Cursor, PageStyle::Cursor);
    assert!(chain >= latency * 16, "{chain:?}");
}

#[test]
fn connections_are_kept() {
    let server = Server::new().records(records(200)).start();
    fetch(&plan(server.url(), PageStyle::Page));
    assert_eq!(server.requests().len(), 20);
    assert!(server.connections() <= 4, "{}", server.connections());
}

#[test]
fn parameters_watermark_and_headers_travel_with_every_request() {
    let server = Server::new()
        .records(records(35))
        .paging(Paging::Cursor)
        .start();
    let mut api = plan(server.url(), PageStyle::Cursor);
    api.params = vec![("sort".to_owned(), "a b&c".to_owned())];
    api.incremental = Some(Incremental {
        format: datasync::config::plan::SinceFormat::Rfc3339,
        template: "{}".to_owned(),
        param: "updated_since".to_owned(),
        field: vec!["updated_date".to_owned()],
        overlap: Duration::ZERO,
    });
    let want = FetchOptions {
        since: Some("2026-11-22T10:00:00Z".to_owned()),
        ..FetchOptions::default()
    };
    assert_eq!(fetch_with(&api, want).records().len(), 35);
    let requests = server.requests();
    assert_eq!(requests.len(), 4);
    for request in requests {
        assert_eq!(request.method, "GET");
        assert_eq!(request.param("sort"), Some("a b&c"));
        assert_eq!(request.param("updated_since"), Some("2026-11-22T10:00:00Z"));
        assert_eq!(request.param("page_size"), Some("10"));
        assert_eq!(request.headers["accept"], "application/json");
        assert_eq!(request.headers["accept-encoding"], "gzip");
        assert_eq!(
            request.headers["user-agent"],
            format!("datasync/{}", env!("CARGO_PKG_VERSION"))
        );
    }
}

#[test]
fn a_limit_asks_for_no_more_pages_than_it_needs() {
    for (served, style) in [
        (Paging::Page, PageStyle::Page),
        (Paging::BarePage, PageStyle::Page),
        (Paging::Offset, PageStyle::Offset),
        (Paging::Cursor, PageStyle::Auto),
        (Paging::Page, PageStyle::Auto),
    ] {
        let server = Server::new().records(records(123)).paging(served).start();
        let want = FetchOptions {
            limit: Some(25),
            ..FetchOptions::default()
        };
        let fetched = fetch_with(&plan(server.url(), style), want);
        assert_eq!(fetched.records(), records(30), "{served:?} {style:?}");
        assert_eq!(server.requests().len(), 3, "{served:?} {style:?}");
        assert!(!fetched.stats.is_complete());
        assert_eq!(fetched.stats.end, End::Unknown, "a limit proves nothing");
    }
}

#[test]
fn the_total_is_known_after_the_first_page() {
    let server = Server::new().records(records(123)).start();
    let api = plan(server.url(), PageStyle::Page);
    let pages = Pages::new(&api, FetchOptions::default()).unwrap();
    let client = Client::new(&api).unwrap();
    let first = pages.next(&client).unwrap().unwrap();
    assert_eq!(first.announced_total, Some(123));
    assert_eq!(pages.announced_total(), Some(123));
}

#[test]
fn a_total_that_was_not_delivered_is_reported() {
    let server = Server::new()
        .records(records(35))
        .rewrite(|_, body| body.replace("\"total\":35", "\"total\":36"))
        .start();
    let fetched = fetch(&plan(server.url(), PageStyle::Page));
    assert!(unproven(&fetched).contains("announces 36 records and sent 35"));
}

#[test]
fn a_repeated_cursor_is_a_loop() {
    let server = Server::new()
        .records(records(50))
        .paging(Paging::Cursor)
        .rewrite(|_, body| body.replace("\"next_cursor\":\"c1e\"", "\"next_cursor\":\"ca\""))
        .start();
    let fetched = fetch(&plan(server.url(), PageStyle::Cursor));
    let error = fetched.error();
    assert_eq!((error.kind(), error.page()), ("loop", Some(3)));
    assert!(error.to_string().contains("cursor"), "{error}");
    assert_eq!(
        fetched.records(),
        records(20),
        "the pages before it are kept"
    );
}

#[test]
fn a_link_to_itself_is_a_loop() {
    let server = Server::new()
        .records(records(50))
        .paging(Paging::NextLink)
        .rewrite(|request, body| {
            let end = body.find("\"next\":").unwrap();
            let query: Vec<String> = request
                .query
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            format!(
                "{}\"next\":\"{}?{}\"}}",
                &body[..end],
                request.path,
                query.join("&")
            )
        })
        .start();
    let fetched = fetch(&plan(server.url(), PageStyle::Auto));
    assert_eq!(fetched.error().kind(), "loop");
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_server_that_ignores_the_page_parameter_is_found_out() {
    let server = Server::new()
        .records(records(10))
        .paging(Paging::None)
        .start();
    let fetched = fetch(&plan(server.url(), PageStyle::Page));
    let error = &fetched.errors[0];
    assert_eq!(error.kind(), "loop");
    assert!(error.to_string().contains("`page`"), "{error}");
    assert!(server.requests().len() <= 6, "{}", server.requests().len());
}

#[test]
fn identical_neighbours_are_no_loop() {
    let same = vec!["{\"external_id\":\"C1\"}".to_owned(); 3];
    let server = Server::new()
        .records(same.clone())
        .paging(Paging::BarePage)
        .start();
    let mut api = plan(server.url(), PageStyle::Page);
    api.pagination.size = 1;
    assert_eq!(fetch(&api).records(), same);
}

#[test]
fn endless_unique_pages_end_at_the_cap() {
    let counter = AtomicUsize::new(0);
    let server = Server::new()
        .records(records(10))
        .paging(Paging::Cursor)
        .rewrite(move |_, _| {
            let n = counter.fetch_add(1, Ordering::SeqCst);
            format!("{{\"data\":[{{\"external_id\":\"{n}\"}}],\"next_cursor\":\"u{n}\"}}")
        })
        .start();
    let mut api = plan(server.url(), PageStyle::Cursor);
    api.max_pages = 25;
    let fetched = fetch(&api);
    assert_eq!(fetched.error().kind(), "too_many_pages");
    assert!(fetched.error().to_string().contains("25 pages"));
    assert_eq!(fetched.records().len(), 25);
}

#[test]
fn endless_empty_pages_end_too() {
    let counter = AtomicUsize::new(0);
    let server = Server::new()
        .paging(Paging::Cursor)
        .rewrite(move |_, _| {
            let n = counter.fetch_add(1, Ordering::SeqCst);
            format!("{{\"data\":[],\"next_cursor\":\"u{n}\"}}")
        })
        .start();
    let fetched = fetch(&plan(server.url(), PageStyle::Cursor));
    assert_eq!(fetched.error().kind(), "loop");
    assert!(server.requests().len() <= 102);
}

#[test]
fn an_empty_page_with_a_next_one_is_not_the_end() {
    let server = Server::new()
        .records(records(50))
        .paging(Paging::Cursor)
        .rewrite(|request, body| {
            if request.param("cursor") == Some("ca") {
                "{\"data\":[],\"next_cursor\":\"c14\"}".to_owned()
            } else {
                body
            }
        })
        .start();
    let fetched = fetch(&plan(server.url(), PageStyle::Cursor));
    assert!(fetched.errors.is_empty());
    assert_eq!(fetched.records().len(), 40);
    assert!(fetched.stats.is_complete());
}

#[test]
fn an_empty_page_among_announced_ones_is_not_the_end() {
    let server = Server::new()
        .records(records(50))
        .rewrite(|request, body| {
            if request.param("page") == Some("3") {
                "{\"data\":[],\"page\":3,\"total\":50,\"total_pages\":5}".to_owned()
            } else {
                body
            }
        })
        .start();
    let fetched = fetch(&plan(server.url(), PageStyle::Page));
    assert_eq!(fetched.records().len(), 40);
    assert!(unproven(&fetched).contains("announces 50 records and sent 40"));
}

#[test]
fn a_next_link_to_another_origin_is_refused() {
    let other = Server::new().records(records(1)).start();
    let foreign = [
        format!("{}/api/v1/data?cursor=ca", other.url()),
        "https://127.0.0.1/api/v1/data".to_owned(),
        "http://evil.example/x".to_owned(),
    ];
    for link in foreign {
        let host = link.split('/').take(3).collect::<Vec<_>>().join("/");
        let server = Server::new()
            .records(records(30))
            .paging(Paging::NextLink)
            .rewrite(move |_, _| format!("{{\"results\":[{{\"a\":1}}],\"next\":\"{link}\"}}"))
            .start();
        let fetched = fetch(&plan(server.url(), PageStyle::Auto));
        assert_eq!(fetched.error().kind(), "foreign_link");
        assert!(
            fetched.error().to_string().contains(&host),
            "{}",
            fetched.error()
        );
    }
    assert_eq!(
        other.requests().len(),
        0,
        "nothing was sent there, least of all the token"
    );
}

#[test]
fn more_without_a_next_is_an_error() {
    let server = Server::new()
        .rewrite(|_, _| "{\"data\":[{\"a\":1}],\"has_more\":true}".to_owned())
        .start();
    let fetched = fetch(&plan(server.url(), PageStyle::Auto));
    assert_eq!(fetched.error().kind(), "no_next");
}

#[test]
fn an_api_that_answers_page_1_again_does_not_page() {
    for size in [1, 9, 10, 11, 40] {
        let server = Server::new()
            .records(records(size))
            .paging(Paging::None)
            .start();
        let fetched = fetch(&plan(server.url(), PageStyle::Auto));
        assert_eq!(fetched.records(), records(size));
        assert_eq!(fetched.stats.end, End::Proven(Proof::Same), "{size}");
        assert_eq!(server.requests().len(), 2, "one request more");
    }
}

#[test]
fn a_404_beyond_the_last_page_is_the_end_of_numbered_pages() {
    let server = Server::new()
        .records(records(35))
        .paging(Paging::BarePage)
        .fault(5, Fault::Status(404))
        .start();
    let mut api = plan(server.url(), PageStyle::Page);
    api.pagination.concurrency = 1;
    let fetched = fetch(&api);
    assert!(fetched.errors.is_empty(), "{:?}", fetched.errors);
    assert_eq!(fetched.records(), records(35));
    assert!(fetched.stats.is_complete());
}

#[test]
fn a_failure_on_a_page_keeps_the_pages_before_it() {
    for (served, style) in [
        (Paging::Cursor, PageStyle::Cursor),
        (Paging::Page, PageStyle::Page),
    ] {
        let server = Server::new()
            .records(records(123))
            .paging(served)
            .always(Fault::Status(500))
            .fault(1, Fault::Delay(Duration::ZERO))
            .fault(2, Fault::Delay(Duration::ZERO))
            .fault(3, Fault::Delay(Duration::ZERO))
            .start();
        let mut api = plan(server.url(), style);
        api.pagination.concurrency = 1;
        let fetched = fetch(&api);
        assert_eq!(fetched.records(), records(30), "{style:?}");
        assert_eq!(fetched.error().page(), Some(4));
        assert_eq!(fetched.error().tries(), 4);
        assert!(!fetched.stats.is_complete());
        assert_eq!(server.requests().len(), 7);
    }
}

#[test]
fn stop_ends_a_back_off_and_an_exchange_at_once() {
    for fault in [Fault::Status(503), Fault::Delay(Duration::from_secs(4))] {
        let server = Server::new().records(records(50)).always(fault).start();
        let mut api = plan(server.url(), PageStyle::Page);
        api.fetch.retry.initial = Duration::from_mins(1);
        api.fetch.retry.max = Duration::from_mins(1);
        let pages = Pages::new(&api, FetchOptions::default()).unwrap();
        let started = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(150));
                pages.stop();
            });
            let client = Client::new(&api).unwrap();
            // Full jitter may make the first waits short, but not all of them.
            let error = pages.next(&client).unwrap().unwrap_err();
            assert!(["stopped", "status"].contains(&error.kind()), "{error}");
            assert!(pages.next(&client).is_none());
        });
        assert!(
            started.elapsed() < Duration::from_millis(900),
            "{:?}",
            started.elapsed()
        );
    }
}
