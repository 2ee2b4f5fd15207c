//! Sources with a canary in every place of a page and of its headers: keys, values, names of headers, errors.

/// A record that passes, with what is to be hidden in its mapped values.
pub(super) fn record(id: &str) -> String {
    format!(
        r#"{{"external_id":"{id}","full_name":"Canary Name","contact_email":"canary@mail.example","created_date":"2024-01-01T00:00:00Z","quality_score":90,"record_type":"canary_type","version":"v1"}}"#
    )
}

pub(super) fn records(count: usize) -> Vec<String> {
    (1..=count).map(|i| record(&format!("R-{i:03}"))).collect()
}

fn page(records: &[String]) -> String {
    format!(
        r#"{{"data":[{}],"page":1,"total_pages":1,"total":{}}}"#,
        records.join(","),
        records.len()
    )
}

/// One hostile source: what it is called, and what it answers to any GET.
pub(super) struct Source {
    pub(super) name: &'static str,
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: String,
    pub(super) style: &'static str,
}

fn body(name: &'static str, body: impl Into<String>) -> Source {
    Source {
        name,
        status: 200,
        headers: Vec::new(),
        body: body.into(),
        style: "auto",
    }
}

fn status(name: &'static str, status: u16, headers: Vec<(&'static str, String)>) -> Source {
    Source {
        status,
        headers,
        ..body(
            name,
            r#"{"error":{"code":"CANARY_CODE","type":"canary_type","message":"Canary <canary@mail.example>"},"canary_key":"canary_error"}"#,
        )
    }
}

fn with_headers(name: &'static str, headers: Vec<(&'static str, String)>) -> Source {
    Source {
        headers,
        ..body(name, page(&records(3)))
    }
}

/// Keys, values and headers of pages, each with a canary.
pub(super) fn sources() -> Vec<Source> {
    let one = record("R-001");
    let text = |text: &str| text.to_owned();
    vec![
        body(
            "page keyed by address",
            r#"{"canary@a.example":{"n":1},"canary@b.example":{"n":2}}"#,
        ),
        body(
            "page keyed by name",
            r#"{"Canary":{"n":1},"canary_b":{"n":2}}"#,
        ),
        body(
            "records under an address",
            format!(r#"{{"canary@a.example":[{one}]}}"#),
        ),
        body(
            "records under a name",
            format!(r#"{{"canary_rows":[{one}]}}"#),
        ),
        body(
            "several arrays",
            format!(r#"{{"canary@a.example":[{one}],"canary_rows":[{one}]}}"#),
        ),
        body(
            "a key of the page twice",
            format!(r#"{{"canary_key":1,"canary_key":2,"data":[{one}]}}"#),
        ),
        body(
            "a key beside twice",
            format!(r#"{{"data":[{one}],"meta":{{"canary_key":1,"canary_key":2}}}}"#),
        ),
        body(
            "keys that look like paging",
            format!(
                r#"{{"data":[{one}],"canary_next_page":"canary","has_more_canary":true,"total_canary":"canary","next":{{"canary_key":"canary"}},"meta":{{"page_canary":1,"next_canary_cursor":"canary"}}}}"#
            ),
        ),
        body(
            "a total that is a text",
            format!(
                r#"{{"data":[{one}],"total":"canary","page":"canary","total_pages":"canary"}}"#
            ),
        ),
        body(
            "the same cursor again",
            format!(r#"{{"data":[{one}],"next_cursor":"canary-cursor"}}"#),
        ),
        body(
            "a next link",
            format!(r#"{{"data":[{one}],"next":"/canary/path?canary_param=canary&page=2"}}"#),
        ),
        body(
            "a foreign next link",
            format!(
                r#"{{"data":[{one}],"next":"https://canary:canary@127.0.0.1:1/canary?canary=canary"}}"#
            ),
        ),
        body("an error in a success", r#"{"error":"canary_code"}"#),
        body(
            "an error with a code",
            r#"{"success":false,"code":"CANARY","errors":[{"code":"CANARY_7","type":"canaryError"}]}"#,
        ),
        body(
            "an error by a message",
            r#"{"message":"invalid canary","code":"canary_denied"}"#,
        ),
        body(
            "records that are no objects",
            r#"{"data":["canary","canary@mail.example",["canary"]]}"#,
        ),
        body(
            "keys of records twice",
            r#"{"data":[{"external_id":"R-001","canary@mail.example":1,"canary@mail.example":2},{"external_id":"R-002","full_name":"Canary","full_name":"canary"}]}"#,
        ),
        body(
            "keys of records that are values",
            r#"{"data":[{"external_id":"R-001","canary@mail.example":{"canary_key":"canary"},"Canary":1},{"external_id":"R-002","canary_once":1}]}"#,
        ),
        body(
            "nested records",
            r#"{"data":[{"canary@mail.example":{"external_id":"R-001"}}],"total":1}"#,
        ),
        body("no JSON", "canary, not JSON: canary@mail.example"),
        body(
            "HTML",
            "<html><title>canary</title>canary@mail.example</html>",
        ),
        body("cut short", r#"{"data":[{"external_id":"canary"#),
        body(
            "broken in the middle",
            r#"{"data":[{"external_id":"R-1","canary":tru}]}"#,
        ),
        status("400", 400, vec![]),
        status(
            "401",
            401,
            vec![(
                "WWW-Authenticate",
                text("Bearer realm=\"canary\", error=\"canary_token\""),
            )],
        ),
        status("403", 403, vec![("X-Canary", text("canary"))]),
        status("409", 409, vec![]),
        status("422", 422, vec![]),
        status(
            "429",
            429,
            vec![
                ("Retry-After", text("canary")),
                ("RateLimit", text("\"canary\";r=0;t=0")),
                ("X-RateLimit-Limit", text("canary")),
            ],
        ),
        status("500", 500, vec![("Server", text("canary"))]),
        status(
            "redirect here",
            302,
            vec![("Location", text("/canary/path?canary_param=canary"))],
        ),
        status(
            "redirect away",
            307,
            vec![(
                "Location",
                text("http://canary:canary@127.0.0.1:1/canary?canary=canary"),
            )],
        ),
        status(
            "no redirect",
            301,
            vec![("Location", text("canary:canary"))],
        ),
        with_headers(
            "a content type",
            vec![("Content-Type", text("application/canary; canary=canary"))],
        ),
        with_headers(
            "a content encoding",
            vec![("Content-Encoding", text("canary"))],
        ),
        with_headers(
            "a next link in a header",
            vec![(
                "Link",
                text("</canary?canary_param=canary>; rel=\"next\"; title=\"canary\""),
            )],
        ),
        with_headers(
            "a foreign link in a header",
            vec![(
                "Link",
                text("<https://canary@127.0.0.1:1/canary>; rel=next"),
            )],
        ),
        with_headers(
            "other headers",
            vec![
                ("Date", text("canary")),
                ("ETag", text("\"canary\"")),
                ("Set-Cookie", text("canary=canary")),
                ("RateLimit-Policy", text("\"canary\";q=100;w=60")),
                ("X-RateLimit-Remaining", text("canary")),
                ("X-Total-Count", text("canary")),
                ("X-Next-Canary", text("canary")),
                ("X-Canary-Page", text("canary")),
            ],
        ),
        Source {
            style: "page",
            ..body(
                "a page without records",
                r#"{"canary_rows":7,"canary@mail.example":{"x":1}}"#,
            )
        },
        Source {
            style: "link",
            ..body(
                "a page that names no next one",
                format!(r#"{{"data":[{one}],"canary_next":"canary"}}"#),
            )
        },
        Source {
            style: "cursor",
            ..body(
                "a cursor that is none",
                format!(r#"{{"data":[{one}],"next_cursor":{{"canary":"canary"}}}}"#),
            )
        },
    ]
}
