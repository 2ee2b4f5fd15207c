//! Products for work, content, search and infrastructure, and public APIs.

use serde_json::{Value, json};

use super::shape::{Asked, PLAIN, Shape, body, flat, id};

/// Sets a key where there is a value, and leaves it out where there is none.
pub fn with(mut page: Value, key: &str, value: Option<impl Into<Value>>) -> Value {
    if let Some(value) = value {
        page[key] = value.into();
    }
    page
}

pub fn shapes() -> Vec<Shape> {
    vec![
        Shape {
            name: "Slack",
            path: "/api/users.list",
            records: "members",
            asked: Asked::Cursor("cursor"),
            size_param: "limit",
            default_size: 100,
            max_size: 1000,
            answer: |shown| {
                let next = shown.cursor().unwrap_or_default();
                body(
                    json!({ "ok": true, "members": shown.records(), "response_metadata": { "next_cursor": next } }),
                )
            },
            auto: ["marked|empty", "marked", "marked", "marked"],
            lines: "style: cursor, cursor_path: response_metadata.next_cursor, size_param: limit, size: 200",
            configured: ["marked|empty", "marked", "marked", "marked"],
            ..PLAIN
        },
        Shape {
            name: "Notion",
            path: "/v1/users",
            asked: Asked::Cursor("start_cursor"),
            size_param: "page_size",
            default_size: 100,
            answer: |shown| {
                body(json!({
                    "object": "list", "results": shown.records(), "next_cursor": shown.cursor(), "has_more": shown.more()
                }))
            },
            auto: ["marked|empty", "marked", "marked", "marked|-"],
            says: &["cursor"],
            lines: "style: cursor, cursor_param: start_cursor, cursor_path: next_cursor, size: 50",
            configured: ["marked|empty", "marked", "marked", "marked"],
            ..PLAIN
        },
        Shape {
            name: "Airtable",
            path: "/v0/app1/Customers",
            record: |number| json!({ "id": id(number), "createdTime": "2026-01-01T00:00:00.000Z", "fields": { "Name": flat(number)["name"] } }),
            fields: ["id", "fields.Name"],
            asked: Asked::Cursor("offset"),
            size_param: "pageSize",
            default_size: 100,
            answer: |shown| {
                body(with(
                    json!({ "records": shown.records() }),
                    "offset",
                    shown.cursor(),
                ))
            },
            auto: ["empty", "same|-", "same|-", "marked|-"],
            says: &["offset"],
            lines: "style: cursor, cursor_param: offset, cursor_path: offset, size_param: pageSize, size: 50, end: absent",
            configured: [
                "empty|stated",
                "single|stated",
                "single|stated",
                "marked|single|stated",
            ],
            ..PLAIN
        },
        Shape {
            name: "Asana",
            path: "/api/1.0/users",
            record: |number| json!({ "gid": id(number), "name": flat(number)["name"], "resource_type": "user" }),
            fields: ["gid", "name"],
            asked: Asked::Cursor("offset"),
            size_param: "limit",
            default_size: 50,
            answer: |shown| {
                let next = shown.next_url().map(|uri| json!({ "offset": shown.cursor(), "path": shown.next_path(), "uri": uri }));
                body(json!({ "data": shown.records(), "next_page": next }))
            },
            auto: ["marked|empty", "marked", "marked", "marked"],
            lines: "style: cursor, cursor_param: offset, cursor_path: next_page.offset, size_param: limit, size: 100",
            configured: ["marked|empty", "marked", "marked", "marked"],
            ..PLAIN
        },
        Shape {
            name: "Jira",
            path: "/rest/api/3/project/search",
            records: "values",
            asked: Asked::Offset("startAt"),
            size_param: "maxResults",
            default_size: 50,
            answer: |shown| {
                body(json!({
                    "startAt": shown.from, "maxResults": shown.size, "total": shown.all, "isLast": !shown.more(), "values": shown.records()
                }))
            },
            auto: [
                "marked|announced|empty",
                "marked|announced",
                "marked|announced",
                "marked|announced",
            ],
            lines: "style: offset, offset_param: startAt, size_param: maxResults, size: 100, total_path: total",
            configured: [
                "empty|announced|marked",
                "announced|marked",
                "announced|marked",
                "announced|marked",
            ],
            ..PLAIN
        },
        Shape {
            name: "Jira, issues",
            path: "/rest/api/2/search",
            records: "issues",
            asked: Asked::Offset("startAt"),
            size_param: "maxResults",
            default_size: 50,
            answer: |shown| {
                body(json!({
                    "expand": "schema,names", "startAt": shown.from, "maxResults": shown.size, "total": shown.all, "issues": shown.records()
                }))
            },
            auto: [
                "empty|announced",
                "announced|empty",
                "announced|empty",
                "announced",
            ],
            lines: "style: offset, offset_param: startAt, size_param: maxResults, size: 100, total_path: total",
            configured: [
                "empty|announced",
                "announced|empty",
                "announced|empty",
                "announced",
            ],
            ..PLAIN
        },
        Shape {
            name: "Confluence 2",
            path: "/wiki/api/v2/spaces",
            asked: Asked::Cursor("cursor"),
            size_param: "limit",
            default_size: 25,
            max_size: 250,
            answer: |shown| {
                let links = json!({ "base": format!("{}/wiki", shown.origin()) });
                body(json!({ "results": shown.records(), "_links": with(links, "next", shown.next_path()) }))
                    .links(&[("next", shown.next_path()), ("base", Some(format!("{}/wiki", shown.origin())))])
            },
            auto: ["empty|marked", "marked|same|-", "marked|same|-", "marked"],
            says: &["_links"],
            lines: "style: link, next_path: _links.next, size_param: limit, size: 100, end: absent",
            configured: [
                "empty|stated",
                "single|stated",
                "single|stated",
                "marked|single|stated",
            ],
            ..PLAIN
        },
        Shape {
            name: "Confluence 1",
            path: "/wiki/rest/api/space",
            asked: Asked::Offset("start"),
            size_param: "limit",
            default_size: 25,
            max_size: 250,
            // Its next link leaves out the context path, which stands apart from it.
            answer: |shown| {
                let next = shown.next_path().map(|path| path.replacen("/wiki", "", 1));
                let links =
                    json!({ "base": format!("{}/wiki", shown.origin()), "context": "/wiki" });
                body(json!({
                    "results": shown.records(), "start": shown.from, "limit": shown.size, "size": shown.count(),
                    "_links": with(links, "next", next)
                }))
            },
            auto: ["empty", "empty|-", "empty|-", "-"],
            says: &["mappings.yaml"],
            lines: "style: offset, offset_param: start, size: 100",
            configured: ["empty", "empty", "empty", "empty"],
            ..PLAIN
        },
        Shape {
            name: "Bitbucket",
            path: "/2.0/repositories/example",
            records: "values",
            asked: Asked::Page("page", 1),
            size_param: "pagelen",
            default_size: 10,
            answer: |shown| {
                let page = json!({
                    "values": shown.records(), "pagelen": shown.size, "size": shown.all, "page": shown.number()
                });
                body(with(page, "next", shown.next_url()))
            },
            auto: [
                "empty|announced",
                "empty|announced",
                "empty|announced",
                "marked|announced",
            ],
            lines: "style: link, size_param: pagelen, size: 100, total_path: size, end: absent",
            configured: [
                "empty|announced|stated",
                "announced|single|stated",
                "announced|single|stated",
                "announced|marked|stated",
            ],
            ..PLAIN
        },
        Shape {
            name: "Algolia",
            path: "/1/indexes/customers",
            records: "hits",
            asked: Asked::Page("page", 0),
            size_param: "hitsPerPage",
            default_size: 20,
            max_size: 1000,
            answer: |shown| {
                body(json!({
                    "hits": shown.records(), "page": shown.number(), "nbHits": shown.all, "nbPages": shown.pages(),
                    "hitsPerPage": shown.size, "processingTimeMS": 1, "query": ""
                }))
            },
            auto: [
                "empty|announced",
                "announced|empty",
                "announced|empty",
                "announced|empty",
            ],
            lines: "style: page, first: 0, size_param: hitsPerPage, size: 100, total_path: nbHits",
            configured: [
                "empty|announced",
                "announced|empty",
                "announced|empty",
                "announced",
            ],
            ..PLAIN
        },
        Shape {
            name: "Elasticsearch",
            path: "/customers/_search",
            records: "hits.hits",
            record: |number| json!({ "_index": "customers", "_id": id(number), "_score": 1.0, "_source": flat(number) }),
            fields: ["_id", "_source.name"],
            asked: Asked::Offset("from"),
            size_param: "size",
            default_size: 10,
            max_size: 10_000,
            answer: |shown| {
                body(json!({
                    "took": 2, "timed_out": false, "_shards": { "total": 1, "successful": 1, "failed": 0 },
                    "hits": { "total": { "value": shown.all, "relation": "eq" }, "max_score": 1.0, "hits": shown.records() }
                }))
            },
            refuses_unknown: 400,
            auto: [
                "empty|announced",
                "announced|empty",
                "announced|empty",
                "announced",
            ],
            says: &["style:"],
            lines: "style: offset, offset_param: from, size_param: size, size: 100, total_path: hits.total.value",
            configured: [
                "empty|announced",
                "announced|empty",
                "announced|empty",
                "announced",
            ],
            ..PLAIN
        },
        Shape {
            name: "Contentful",
            path: "/spaces/abc/environments/master/entries",
            record: |number| json!({ "sys": { "id": id(number), "type": "Entry" }, "fields": { "name": flat(number)["name"] } }),
            fields: ["sys.id", "fields.name"],
            asked: Asked::Offset("skip"),
            size_param: "limit",
            default_size: 100,
            max_size: 1000,
            answer: |shown| {
                body(json!({
                    "sys": { "type": "Array" }, "total": shown.all, "skip": shown.from, "limit": shown.size, "items": shown.records()
                }))
            },
            auto: [
                "empty|announced",
                "announced|empty",
                "announced|empty",
                "announced",
            ],
            lines: "style: offset, offset_param: skip, size: 50, total_path: total",
            configured: [
                "empty|announced",
                "announced|empty",
                "announced|empty",
                "announced",
            ],
            ..PLAIN
        },
        Shape {
            name: "Directus",
            path: "/items/customers",
            asked: Asked::Page("page", 1),
            size_param: "limit",
            default_size: 100,
            max_size: 1000,
            answer: |shown| body(json!({ "data": shown.records() })),
            auto: ["empty", "empty", "empty", "empty"],
            lines: "style: page, size_param: limit, size: 50",
            configured: ["empty", "empty", "empty", "empty"],
            ..PLAIN
        },
        Shape {
            name: "Directus, ?meta=*",
            path: "/items/clients",
            asked: Asked::Page("page", 1),
            size_param: "limit",
            default_size: 100,
            max_size: 1000,
            answer: |shown| {
                body(
                    json!({ "meta": { "total_count": shown.all, "filter_count": shown.all }, "data": shown.records() }),
                )
            },
            auto: [
                "empty|announced",
                "announced|empty",
                "announced|empty",
                "announced|empty",
            ],
            lines: "style: page, size_param: limit, size: 50, total_path: meta.filter_count",
            configured: [
                "empty|announced",
                "announced|empty",
                "announced|empty",
                "announced",
            ],
            ..PLAIN
        },
    ]
}
