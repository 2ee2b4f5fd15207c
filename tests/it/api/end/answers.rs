//! Answers that are no page: errors, refusals, limits and redirects.

use super::*;

#[test]
fn an_error_in_a_success_is_tried_again() {
    let asked = AtomicUsize::new(0);
    let server = bodies(move |request| {
        if asked.fetch_add(1, Ordering::SeqCst) == 2 {
            "{\"data\":[],\"errors\":[{\"code\":\"TIMEOUT\"}]}".to_owned()
        } else {
            format!("{{\"data\":{},\"errors\":[]}}", numbered(35, request))
        }
    });
    let fetched = style(&server, PageStyle::Page, |_| {});
    whole(&fetched, 35, Proof::Empty);
    assert_eq!(fetched.stats.retries_by_kind, [("error_body", 1)]);
}

#[test]
fn a_403_with_a_limit_is_waited_for_like_a_429_and_one_without_is_not() {
    for header in [("Retry-After", "0"), ("X-RateLimit-Remaining", "0")] {
        let asked = AtomicUsize::new(0);
        let server = serve(move |request| {
            if asked.fetch_add(1, Ordering::SeqCst) == 0 {
                (403, vec![(header.0, header.1.to_owned())], "{}".to_owned())
            } else {
                (200, Vec::new(), numbered(5, request))
            }
        });
        let fetched = style(&server, PageStyle::Page, |_| {});
        whole(&fetched, 5, Proof::Empty);
        assert_eq!(fetched.stats.retries_by_kind, [("rate_limited", 1)]);
    }
    let server = serve(|_| (403, Vec::new(), "{}".to_owned()));
    let fetched = style(&server, PageStyle::Page, |_| {});
    assert_eq!(
        (fetched.error().kind(), fetched.error().tries()),
        ("unauthorized", 1)
    );
}

#[test]
fn a_304_and_a_204_on_an_incremental_run_are_nothing_new() {
    for status in [204, 304] {
        let server = serve(move |_| (status, Vec::new(), String::new()));
        for style in [PageStyle::Page, PageStyle::Auto, PageStyle::Link] {
            let mut api = plan(server.url(), style);
            api.incremental = Some(Incremental {
                format: datasync::config::plan::SinceFormat::Rfc3339,
                template: "{}".to_owned(),
                param: "since".to_owned(),
                field: vec!["updated".to_owned()],
                overlap: std::time::Duration::ZERO,
            });
            let want = FetchOptions {
                since: Some("2026-01-01T00:00:00Z".to_owned()),
                ..FetchOptions::default()
            };
            whole(&fetch_with(&api, want), 0, Proof::Empty);
        }
        // Of a full run that is no page.
        assert!(!style(&server, PageStyle::Page, |_| {}).errors.is_empty());
    }
}

#[test]
fn messages_name_the_address_that_was_asked_and_where_a_redirect_leads() {
    let server = serve(|request| {
        let target = format!("{}/?page=1&key=secret", request.path);
        (308, vec![("Location", target)], String::new())
    });
    let text = style(&server, PageStyle::Page, |api| {
        api.params = vec![("tenant".to_owned(), "secret".to_owned())];
    })
    .error()
    .to_string();
    assert!(
        text.contains("/api/v1/data?tenant=…&page=1&page_size=10 to http://127.0.0.1:")
            && text.contains("/api/v1/data/?page=1&key=…")
            && text.contains("add or remove the trailing slash"),
        "{text}"
    );
    assert!(!text.contains("secret"), "{text}");
    // A next link that leads nowhere: the address is that of the link.
    let server = serve(|request| {
        if request.path == "/api/v1/data" {
            let body = format!(
                "{{\"data\":{},\"next\":\"/v2/records/jane?cursor=5&jane=1\"}}",
                array(20, 0, 10)
            );
            (200, Vec::new(), body)
        } else {
            (404, Vec::new(), "{}".to_owned())
        }
    });
    let text = style(&server, PageStyle::Link, |_| {}).error().to_string();
    // Of its path and its parameters only usual words are shown.
    assert!(text.contains("/v2/records/…?cursor=…&…=…"), "{text}");
}
