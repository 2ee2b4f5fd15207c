//! A run is complete only if the end of the source is proven: each proof, each thing that looks like a proof but is none,
//! and the ways in which sources name their next page.

mod answers;
mod auto;

use std::sync::atomic::{AtomicUsize, Ordering};

use datasync::api::{End, FetchOptions, Proof};
use datasync::config::plan::{Api, CursorIn, Incremental, PageStyle, Param};

use super::{Fetched, fetch, fetch_with, plan, records};
use crate::support::http::{Paging, Reply, Request, Running, Server};

/// A server whose answers the test writes: status, headers, body.
fn serve(
    answer: impl Fn(&Request) -> (u16, Vec<(&'static str, String)>, String) + Send + Sync + 'static,
) -> Running {
    Server::new()
        .script(move |request| {
            let (status, headers, body) = answer(request);
            Some(Reply::Instead(status, headers, body))
        })
        .start()
}

/// The same, with bodies alone.
fn bodies(answer: impl Fn(&Request) -> String + Send + Sync + 'static) -> Running {
    serve(move |request| (200, Vec::new(), answer(request)))
}

fn number(request: &Request, name: &str) -> usize {
    request
        .param(name)
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

/// Records `from..to` of `all`, as a JSON array.
fn array(all: usize, from: usize, size: usize) -> String {
    let records = records(all);
    let to = (from + size).min(all);
    format!("[{}]", records.get(from..to).unwrap_or_default().join(","))
}

/// Page numbers from 1, ten records a page.
fn numbered(all: usize, request: &Request) -> String {
    array(all, number(request, "page").saturating_sub(1) * 10, 10)
}

fn style(server: &Running, style: PageStyle, change: impl FnOnce(&mut Api)) -> Fetched {
    let mut api = plan(server.url(), style);
    api.pagination.concurrency = 1;
    change(&mut api);
    fetch(&api)
}

#[track_caller]
fn whole(fetched: &Fetched, all: usize, proof: Proof) {
    assert!(fetched.errors.is_empty(), "{:?}", fetched.errors);
    assert_eq!(fetched.records(), records(all));
    assert_eq!(fetched.stats.end, End::Proven(proof));
}

#[track_caller]
fn unproven(fetched: &Fetched, says: &[&str]) {
    assert!(fetched.errors.is_empty(), "{:?}", fetched.errors);
    let End::Guessed(why) = &fetched.stats.end else {
        panic!("{:?}", fetched.stats.end);
    };
    for text in says {
        assert!(why.contains(text), "{text:?} is not in {why:?}");
    }
}

fn path(text: &str) -> Option<Vec<String>> {
    datasync::config::path::parse(text)
}

#[test]
fn a_total_that_counts_its_page_is_no_total() {
    let server = bodies(|request| {
        let page = numbered(35, request);
        let count = page.matches("external_id").count();
        format!("{{\"data\":{page},\"total\":{count}}}")
    });
    whole(&style(&server, PageStyle::Page, |_| {}), 35, Proof::Empty);
}

#[test]
fn what_is_announced_and_does_not_come_is_missing_whatever_else_is_said() {
    let server = bodies(|_| {
        format!(
            "{{\"data\":{},\"total\":237,\"next\":null}}",
            array(237, 0, 10)
        )
    });
    unproven(
        &style(&server, PageStyle::Link, |_| {}),
        &["announces 237 records and sent 10", "total_path: none"],
    );
    whole(
        &style(&server, PageStyle::Link, |api| {
            api.pagination.ignore_totals = true;
        }),
        10,
        Proof::Marked,
    );
}

#[test]
fn a_source_that_moves_is_neither_complete_nor_in_error() {
    let server = bodies(|request| {
        let page = number(request, "page");
        format!(
            "{{\"data\":{},\"total\":{}}}",
            numbered(25, request),
            24 + page.min(2)
        )
    });
    let fetched = style(&server, PageStyle::Page, |_| {});
    assert!(fetched.errors.is_empty());
    assert!(
        matches!(fetched.stats.end, End::Moved(_)),
        "{:?}",
        fetched.stats.end
    );
    // Nothing is announced, and a record of page 1 comes again on page 2.
    let server = bodies(|request| match number(request, "page") {
        1 => array(30, 0, 10),
        2 => array(30, 9, 10),
        _ => "[]".to_owned(),
    });
    let fetched = style(&server, PageStyle::Page, |_| {});
    assert_eq!(fetched.stats.end.word(), None, "{:?}", fetched.stats.end);
}

#[test]
fn a_part_of_the_page_before_shows_that_the_source_moved() {
    // The last page is full, and three records that come in before it push its last ones to a page that was not there.
    for all in [10, 20] {
        let server = bodies(move |request| {
            let size = number(request, "page_size");
            let page = number(request, "page");
            let had_not_moved = page * size <= all && size == 10;
            let from = (page - 1) * size + if had_not_moved { 3 } else { 0 };
            array(all + 3, from, size)
        });
        let fetched = style(&server, PageStyle::Page, |_| {});
        assert!(fetched.errors.is_empty(), "{:?}", fetched.errors);
        let end = &fetched.stats.end;
        assert!(matches!(end, End::Moved(_)), "{all} {end:?}");
    }
}

#[test]
fn flags_and_keys_that_say_that_there_is_no_more_are_marks() {
    for (last, more) in [
        (
            "\"has_more\":false",
            "\"has_more\":true,\"next_cursor\":\"10\"",
        ),
        ("\"done\":true", "\"done\":false,\"next_cursor\":\"10\""),
        ("\"next_cursor\":null", "\"next_cursor\":\"10\""),
        ("\"next_cursor\":\"\"", "\"next_cursor\":\"10\""),
        // Gone, after a page that had it.
        ("\"x\":1", "\"next_cursor\":\"10\""),
    ] {
        let server = bodies(move |request| {
            let from = number(request, "cursor");
            let word = if from == 0 { more } else { last };
            format!("{{\"data\":{},{word}}}", array(20, from, 10))
        });
        whole(
            &style(&server, PageStyle::Cursor, |_| {}),
            20,
            Proof::Marked,
        );
    }
}

#[test]
fn a_key_that_an_earlier_run_saw_and_that_is_gone_is_a_mark() {
    let server = bodies(|_| format!("{{\"data\":{}}}", array(10, 0, 10)));
    unproven(
        &style(&server, PageStyle::Cursor, |_| {}),
        &["nothing says"],
    );
    let want = FetchOptions {
        next_was_named: true,
        ..FetchOptions::default()
    };
    let fetched = fetch_with(&plan(server.url(), PageStyle::Cursor), want);
    whole(&fetched, 10, Proof::Marked);
}

#[test]
fn a_refused_page_is_the_end_after_a_short_one_and_asked_for_twice() {
    let server = |all: usize, status: u16| {
        serve(move |request| {
            let page = numbered(all, request);
            if page == "[]" {
                (status, Vec::new(), "{}".to_owned())
            } else {
                (200, Vec::new(), page)
            }
        })
    };
    let refusing = server(35, 400);
    whole(&style(&refusing, PageStyle::Page, |_| {}), 35, Proof::Short);
    assert_eq!(refusing.requests().len(), 6, "4 pages, and the fifth twice");
    // After a full page it proves nothing, unless the configuration says so.
    let refusing = server(30, 400);
    let fetched = style(&refusing, PageStyle::Page, |_| {});
    let text = fetched.error().to_string();
    assert!(
        text.contains("end_status: [400]") && text.contains("page=4"),
        "{text}"
    );
    let fetched = style(&refusing, PageStyle::Page, |api| {
        api.pagination.end_status = vec![400];
    });
    whole(&fetched, 30, Proof::Empty);
    whole(
        &style(&server(35, 404), PageStyle::Page, |_| {}),
        35,
        Proof::Empty,
    );
    whole(
        &style(&server(30, 204), PageStyle::Page, |_| {}),
        30,
        Proof::Empty,
    );
}

#[test]
fn a_page_that_is_missing_once_is_asked_for_again_and_one_that_stays_away_is_a_failure() {
    for concurrency in [1, 4] {
        let asked = AtomicUsize::new(0);
        let once = serve(move |request| {
            let is_it = request.param("page") == Some("3");
            if is_it && asked.fetch_add(1, Ordering::SeqCst) == 0 {
                return (404, Vec::new(), "{}".to_owned());
            }
            (200, Vec::new(), numbered(60, request))
        });
        let fetched = style(&once, PageStyle::Page, |api| {
            api.pagination.concurrency = concurrency;
        });
        whole(&fetched, 60, Proof::Empty);
        let always = serve(|request| {
            if request.param("page") == Some("3") {
                (404, Vec::new(), "{}".to_owned())
            } else {
                (200, Vec::new(), numbered(60, request))
            }
        });
        let fetched = style(&always, PageStyle::Page, |api| {
            api.pagination.concurrency = concurrency;
        });
        assert!(!fetched.stats.is_complete());
        let text = fetched.error().to_string();
        assert!(text.contains("although page 4 has records"), "{text}");
    }
}

#[test]
fn the_only_page_is_all_where_it_brings_less_than_was_asked_for_and_hints_at_nothing() {
    let server = |body: String| bodies(move |_| body.clone());
    let short = format!("{{\"data\":{}}}", array(9, 0, 10));
    whole(
        &style(&server(short), PageStyle::Cursor, |_| {}),
        9,
        Proof::Single,
    );
    // A key that looks like a continuation: the path is wrong.
    let hinting = format!(
        "{{\"data\":{},\"paging\":{{\"nextCursor\":\"x\"}}}}",
        array(9, 0, 10)
    );
    let hinting = server(hinting);
    let mistyped = |api: &mut Api| api.pagination.cursor_path = path("paging.next_cursor");
    unproven(
        &style(&hinting, PageStyle::Cursor, mistyped),
        &[
            "no page has `cursor_path: paging.next_cursor`",
            "paging.nextCursor",
            "end: absent",
        ],
    );
    let full = server(format!("{{\"data\":{}}}", array(10, 0, 10)));
    let mistyped = |api: &mut Api| api.pagination.next_path = path("/links/nxt");
    unproven(
        &style(&full, PageStyle::Link, mistyped),
        &["no page has `next_path: links.nxt`"],
    );
    let stated = style(&full, PageStyle::Link, |api| {
        mistyped(api);
        api.pagination.end_absent = true;
    });
    whole(&stated, 10, Proof::Stated);
}

#[test]
fn what_has_no_records_beyond_the_last_page_is_the_end() {
    for beyond in ["{\"data\":[]}", "{\"data\":null}", "{\"page\":9}"] {
        let server = bodies(move |request| {
            let page = numbered(30, request);
            if page == "[]" {
                beyond.to_owned()
            } else {
                format!("{{\"data\":{page}}}")
            }
        });
        whole(&style(&server, PageStyle::Page, |_| {}), 30, Proof::Empty);
    }
    // Never the first page.
    let server = bodies(|_| "{\"data\":null}".to_owned());
    assert_eq!(
        style(&server, PageStyle::Page, |_| {}).error().kind(),
        "no_records"
    );
}

#[test]
fn an_empty_page_after_a_full_one_is_asked_for_again() {
    let asked = AtomicUsize::new(0);
    let server = bodies(move |request| {
        let is_it = request.param("page") == Some("3");
        if is_it && asked.fetch_add(1, Ordering::SeqCst) == 0 {
            "[]".to_owned()
        } else {
            numbered(45, request)
        }
    });
    whole(&style(&server, PageStyle::Page, |_| {}), 45, Proof::Empty);
}

#[test]
fn the_last_page_again_is_the_end_once() {
    for all in [35_usize, 40, 31] {
        let server = bodies(move |request| {
            let last = all.div_ceil(10);
            array(all, (number(request, "page").min(last) - 1) * 10, 10)
        });
        for concurrency in [1, 4] {
            let fetched = style(&server, PageStyle::Page, |api| {
                api.pagination.concurrency = concurrency;
            });
            assert!(fetched.errors.is_empty(), "{:?}", fetched.errors);
            assert_eq!(fetched.stats.end, End::Proven(Proof::Same), "{all}");
            // Copies of the last page that were in flight with it may have come, too.
            let mut seen = fetched.records();
            seen.sort();
            seen.dedup();
            assert_eq!(seen, records(all), "{all}");
        }
    }
    // The only page, which the API gives again: asked for the second record it knows its parameters.
    let server = bodies(|request| {
        let size = number(request, "page_size");
        let last = 10_usize.div_ceil(size);
        array(10, (number(request, "page").min(last) - 1) * size, size)
    });
    whole(&style(&server, PageStyle::Page, |_| {}), 10, Proof::Same);
    // By links, too.
    let server = bodies(|request| {
        let page = number(request, "page").max(1);
        let next = page + 1;
        format!(
            "{{\"data\":{},\"next\":\"?page={next}\"}}",
            array(15, (page.min(2) - 1) * 10, 10)
        )
    });
    whole(&style(&server, PageStyle::Link, |_| {}), 15, Proof::Same);
}

#[test]
fn larger_pages_than_asked_for_are_read_whole() {
    for (style_of, total) in [
        (PageStyle::Page, true),
        (PageStyle::Page, false),
        (PageStyle::Offset, true),
        (PageStyle::Offset, false),
    ] {
        let server = bodies(move |request| {
            let from = match style_of {
                PageStyle::Page => (number(request, "page") - 1) * 25,
                _ => number(request, "offset"),
            };
            let total = if total { ",\"total\":90" } else { "" };
            format!("{{\"data\":{}{total}}}", array(90, from, 25))
        });
        let proof = if total {
            Proof::Announced
        } else {
            Proof::Empty
        };
        whole(&style(&server, style_of, |_| {}), 90, proof);
    }
}

#[test]
fn a_next_link_is_followed_in_every_form_and_never_to_another_origin() {
    let forms: [fn(&str) -> String; 7] = [
        |_| "?cursor=10".to_owned(),
        |_| "data?cursor=10".to_owned(),
        |_| "./data?cursor=10".to_owned(),
        |_| "/api/v1/data?cursor=10".to_owned(),
        |url| format!("{}/api/v1/data?cursor=10#top", url.replace("http", "HTTP")),
        |url| format!("{}/api/v1/data?cursor=10", url.trim_start_matches("http:")),
        |_| "../../api/v1/data?cursor=10".to_owned(),
    ];
    for form in forms {
        let server = Server::new()
            .script(move |request| {
                let from = number(request, "cursor");
                let url = format!("http://{}", request.headers["host"]);
                let next = if from == 0 {
                    format!("\"{}\"", form(&url))
                } else {
                    "null".to_owned()
                };
                let body = format!("{{\"data\":{},\"nxt\":{next}}}", array(20, from, 10));
                Some(Reply::Instead(200, Vec::new(), body))
            })
            .start();
        let fetched = style(&server, PageStyle::Link, |api| {
            api.pagination.next_path = path("nxt");
        });
        whole(&fetched, 20, Proof::Marked);
    }
    let server = bodies(|_| "{\"data\":[{\"a\":1}],\"nxt\":\"http://[bad/\"}".to_owned());
    let fetched = style(&server, PageStyle::Link, |api| {
        api.pagination.next_path = path("nxt");
    });
    assert_eq!(fetched.error().kind(), "foreign_link");
}

#[test]
fn a_cursor_is_found_in_the_last_record_and_in_a_header() {
    let server = bodies(|request| {
        let after = request.param("starting_after").unwrap_or("C00000");
        let from: usize = after[1..].parse().unwrap();
        format!(
            "{{\"data\":{},\"has_more\":{}}}",
            array(25, from, 10),
            from + 10 < 25
        )
    });
    let fetched = style(&server, PageStyle::Cursor, |api| {
        api.pagination.cursor_param = Param::Named("starting_after".to_owned());
        api.pagination.cursor_path = path("external_id");
        api.pagination.cursor_in = CursorIn::LastRecord;
        api.pagination.more_path = path("has_more");
    });
    whole(&fetched, 25, Proof::Marked);
    let server = serve(|request| {
        let from = number(request, "cursor");
        let next = if from + 10 < 25 {
            (from + 10).to_string()
        } else {
            String::new()
        };
        (200, vec![("X-Next-Cursor", next)], array(25, from, 10))
    });
    let fetched = style(&server, PageStyle::Cursor, |api| {
        api.pagination.cursor_path = path("X-Next-Cursor");
        api.pagination.cursor_in = CursorIn::Header;
    });
    whole(&fetched, 25, Proof::Marked);
}

#[test]
fn totals_and_records_are_found_by_json_pointers() {
    let server = bodies(|request| format!("[{{\"a.total\":35}},{}]", numbered(35, request)));
    let fetched = style(&server, PageStyle::Page, |api| {
        api.records = path("/1");
        api.pagination.total_path = path("/0/a.total");
    });
    whole(&fetched, 35, Proof::Announced);
    assert_eq!(server.requests().len(), 4, "a total costs no request more");
}

#[test]
fn a_server_that_ignores_the_page_size_is_read_whole_in_every_style() {
    for served in [
        Paging::BarePage,
        Paging::Offset,
        Paging::Cursor,
        Paging::NextLink,
    ] {
        let read = match served {
            Paging::BarePage => PageStyle::Page,
            Paging::Offset => PageStyle::Offset,
            Paging::Cursor => PageStyle::Cursor,
            _ => PageStyle::Link,
        };
        let server = Server::new()
            .records(records(95))
            .paging(served)
            .max_page_size(7)
            .start();
        let fetched = style(&server, read, |_| {});
        assert!(fetched.stats.is_complete(), "{served:?}");
        assert_eq!(fetched.records(), records(95), "{served:?}");
    }
}
