//! Searches by POST and GraphQL, end to end: parameters in the body, errors in a 2xx, and how the watermark is sent.

use serde_json::{Value, json};

use crate::support::Workplace;
use crate::support::http::{Reply, Request, Running, Server};
use crate::support::postgres::Database;

const ALL: usize = 25;

fn record(number: usize) -> Value {
    json!({ "external_id": format!("K-{number:02}"), "full_name": "Name", "quality_score": 90,
        "updated_date": "2026-03-01T12:00:00Z" })
}

/// A workplace with these lines at the fetch endpoint, instead of the shipped paging.
fn place(api: &Running, database: &Database, lines: &str) -> Workplace {
    let place = Workplace::connected(api.url(), database);
    let text = std::fs::read_to_string(place.path("mappings.yaml")).unwrap();
    let (before, rest) = text.split_once("        method: GET\n").unwrap();
    let (_, after) = rest.split_once("        max_page_bytes").unwrap();
    place.write(
        "mappings.yaml",
        &format!("{before}{lines}        retry: {{ max_attempts: 2, initial: 1ms, max: 2ms }}\n        max_page_bytes{after}"),
    );
    place
}

#[expect(clippy::unnecessary_wraps, reason = "what a script returns")]
fn answer(status: u16, body: &Value) -> Option<Reply> {
    let headers = vec![("Content-Type", "application/json".to_owned())];
    Some(Reply::Instead(status, headers, body.to_string()))
}

fn body(request: &Request) -> Value {
    serde_json::from_str(&request.body).unwrap_or_default()
}

fn slice(from: usize, size: usize) -> Vec<Value> {
    (from..(from + size).min(ALL)).map(record).collect()
}

/// A search that wants numbers for page and size, and text for what it filters by.
fn search(request: &Request) -> Option<Reply> {
    let asked = body(request);
    let (Some(page), Some(size)) = (
        asked["paging"]["page"].as_u64(),
        asked["paging"]["size"].as_u64(),
    ) else {
        return answer(400, &json!({ "message": "page and size are numbers" }));
    };
    if request.method != "POST"
        || asked["filters"][0]["value"] != "active"
        || !request.query.is_empty()
    {
        return answer(422, &json!({}));
    }
    let (page, size) = (
        usize::try_from(page).unwrap(),
        usize::try_from(size).unwrap(),
    );
    answer(
        200,
        &json!({ "total": ALL, "results": slice((page - 1) * size, size) }),
    )
}

#[test]
fn a_search_by_post_has_its_page_and_size_in_the_body() {
    let api = Server::new().script(search).start();
    let database = Database::new();
    let place = place(
        &api,
        &database,
        "        method: POST
        body: { filters: [{ field: status, value: \"${STATUS}\" }], paging: {} }
        pagination: { style: page, params_in: body, page_param: paging.page, size_param: paging.size, size: 10 }
",
    )
    .env("STATUS", "active");
    let (finished, report) = place.sync(&[]);
    finished.expect(0);
    assert_eq!(report["ledger"]["inserted"], ALL);
    for request in api.requests() {
        assert_eq!(request.headers["content-type"], "application/json");
        assert_eq!(request.path, "/api/v1/data");
    }
    // What is refused names the page by its numbers, and no value of the body.
    let place = place.env("STATUS", "canary-status");
    let finished = place.run(&["sync", "-vvv"]);
    finished
        .expect(3)
        .says("with paging.page = 1, paging.size = 10");
    assert!(!format!("{finished}").contains("canary-status"));
}

#[test]
fn offsets_and_cursors_go_into_the_body_too() {
    let offsets = Server::new()
        .script(|request| {
            let asked = body(request);
            let from = asked["from"]
                .as_u64()
                .map_or(0, |from| usize::try_from(from).unwrap());
            answer(200, &json!({ "hits": slice(from, 10) }))
        })
        .start();
    let database = Database::new();
    let lines = "        method: POST
        records: hits
        pagination: { style: offset, params_in: body, offset_param: from, size: 10 }
";
    let (finished, report) = place(&offsets, &database, lines).sync(&[]);
    finished.expect(0);
    assert_eq!(report["ledger"]["inserted"], ALL);

    // The cursor is text, though it is made of digits.
    let cursors = Server::new()
        .script(|request| {
            let asked = body(request);
            let from = match &asked["after"] {
                Value::Null => 0,
                Value::String(after) => after.parse().unwrap(),
                _ => return answer(400, &json!({})),
            };
            let next = (from + 10 < ALL).then(|| (from + 10).to_string());
            answer(
                200,
                &json!({ "results": slice(from, 10), "paging": { "next": { "after": next } } }),
            )
        })
        .start();
    let lines = "        method: POST
        body: { limit: 10 }
        pagination: { style: cursor, params_in: body, cursor_param: after, cursor_path: paging.next.after, size_param: limit, size: 10 }
";
    let (finished, report) = place(&cursors, &database, lines).sync(&[]);
    finished.expect(0);
    assert_eq!(report["ledger"]["unchanged"], ALL);
}

const GRAPHQL: &str = "        path: /graphql
        method: POST
        body:
          query: \"query ($first: Int, $after: String) { customers(first: $first, after: $after) { edges { node { external_id } } } }\"
          variables: { first: 10 }
        records: data.customers.nodes
        pagination: { style: cursor, params_in: body, cursor_param: variables.after, cursor_path: data.customers.pageInfo.endCursor, more_path: data.customers.pageInfo.hasNextPage, size_param: variables.first, size: 10 }
";

/// Connections as the GraphQL specification for cursors has them.
fn graphql(request: &Request) -> Value {
    let asked = body(request);
    let variables = &asked["variables"];
    let from = match &variables["after"] {
        Value::Null => 0,
        after => after
            .as_str()
            .unwrap()
            .trim_start_matches("c:")
            .parse()
            .unwrap(),
    };
    let size = usize::try_from(variables["first"].as_u64().unwrap()).unwrap();
    let end = (from + size).min(ALL);
    json!({ "data": { "customers": { "nodes": slice(from, size),
        "pageInfo": { "hasNextPage": end < ALL, "endCursor": format!("c:{end}") } } } })
}

/// GRAPHQL without the line of the shipped path.
fn graphql_place(api: &Running, database: &Database) -> Workplace {
    let place = place(api, database, GRAPHQL);
    place.edit("mappings.yaml", "        path: /api/v1/data\n", "");
    place
}

#[test]
fn graphql_is_read_by_its_cursors() {
    let api = Server::new()
        .path("/graphql")
        .script(|request| answer(200, &graphql(request)))
        .start();
    let database = Database::new();
    let (finished, report) = graphql_place(&api, &database).sync(&[]);
    finished.expect(0);
    assert_eq!(report["ledger"]["inserted"], ALL);
    let asked: Vec<Value> = api
        .requests()
        .iter()
        .map(|request| body(request)["variables"].clone())
        .collect();
    assert_eq!(
        asked,
        [
            json!({"first": 10}),
            json!({"first": 10, "after": "c:10"}),
            json!({"first": 10, "after": "c:20"})
        ]
    );
}

#[test]
fn errors_in_a_graphql_answer_are_an_error_of_the_api_also_beside_a_full_page() {
    let api = Server::new()
        .path("/graphql")
        .script(|request| {
            let mut page = graphql(request);
            page["errors"] =
                json!([{ "message": "canary", "extensions": { "code": "FORBIDDEN" } }]);
            answer(200, &page)
        })
        .start();
    let database = Database::new();
    let (finished, report) = graphql_place(&api, &database).sync(&[]);
    finished.expect(3).says("`errors` is not empty");
    assert_eq!(report["ledger"]["fetched"], 0);
    assert!(!format!("{finished}").contains("canary"));
    // Retried like any failure that may pass; the checks of the case ask once more.
    assert_eq!(api.requests().len(), 3 + 1);
}

#[test]
fn the_watermark_is_sent_in_the_form_that_the_api_wants_and_stored_as_ever() {
    for (lines, expected) in [
        ("", "2026-03-01T11:55:00Z"),
        (", format: epoch_seconds", "1772366100"),
        (", format: epoch_milliseconds", "1772366100000"),
        (", format: \"%Y-%m-%d %H:%M:%S\"", "2026-03-01 11:55:00"),
        (", template: \"gte.{}\"", "gte.2026-03-01T11:55:00Z"),
        (
            ", format: \"%Y-%m-%dT%H:%M:%SZ\", template: \"LastModified gt {} and Active eq true\"",
            "LastModified gt 2026-03-01T11:55:00Z and Active eq true",
        ),
    ] {
        let api = Server::new()
            .script(|_| answer(200, &json!({ "total": ALL, "data": slice(0, ALL) })))
            .start();
        let database = Database::new();
        let place = place(
            &api,
            &database,
            &format!(
                "        pagination: {{ style: none }}
        incremental: {{ param: since, field: updated_date{lines} }}
"
            ),
        );
        place.sync(&[]).0.expect(0);
        let stored = database.one("SELECT watermark_after FROM sync_log");
        assert!(stored.starts_with("2026-03-01T12:00:00"), "{stored}");
        place.sync(&[]).0.expect(0);
        let requests = api.requests();
        assert_eq!(requests[0].param("since"), None);
        assert_eq!(requests[1].param("since"), Some(expected));
    }
}

#[test]
fn the_watermark_goes_into_the_body_where_paging_does() {
    let api = Server::new()
        .script(|_| answer(200, &json!({ "total": ALL, "data": slice(0, ALL) })))
        .start();
    let database = Database::new();
    let place = place(
        &api,
        &database,
        "        method: POST
        body: { filters: [{ name: updated, operator: GTE, value: \"0\" }] }
        pagination: { style: none, params_in: body }
        incremental: { param: /filters/0/value, field: updated_date, format: epoch_milliseconds }
",
    );
    place.sync(&[]).0.expect(0);
    place.sync(&[]).0.expect(0);
    let values: Vec<Value> = api
        .requests()
        .iter()
        .map(|request| body(request)["filters"][0]["value"].clone())
        .collect();
    assert_eq!(values, [json!("0"), json!("1772366100000")]);
}

#[test]
fn a_status_that_the_mapping_names_is_waited_for_like_a_429() {
    for (status, lines) in [(420, "        rate_limited_status: [420]\n"), (420, "")] {
        let api = Server::new()
            .script(move |_| {
                let headers = vec![("Retry-After", "0".to_owned())];
                Some(Reply::Instead(status, headers, String::new()))
            })
            .start();
        let database = Database::new();
        let finished = place(
            &api,
            &database,
            &format!("{lines}        pagination: {{ style: none }}\n"),
        )
        .run(&["sync"]);
        finished.expect(3);
        // The checks of the case ask once more.
        let tries = 1 + if lines.is_empty() { 1 } else { 3 };
        assert_eq!(api.requests().len(), tries);
    }
}
