//! Products of large platforms, for media and content, and public APIs.

use serde_json::json;

use super::services::with;
use super::shape::{Asked, Beyond, PLAIN, Shape, body, flat, id};

pub fn shapes() -> Vec<Shape> {
    vec![
        Shape {
            name: "Microsoft Graph",
            path: "/v1.0/users",
            records: "value",
            record: |number| json!({ "id": id(number), "displayName": flat(number)["name"] }),
            fields: ["id", "displayName"],
            asked: Asked::Cursor("$skiptoken"),
            size_param: "$top",
            default_size: 100,
            max_size: 999,
            answer: |shown| {
                let page = json!({ "@odata.context": format!("{}/v1.0/$metadata#users", shown.origin()), "value": shown.records() });
                body(with(page, "@odata.nextLink", shown.next_url()))
            },
            auto: ["empty|same", "same|single|-", "same|single|-", "marked"],
            says: &["value"],
            lines: r#"style: link, next_path: "/@odata.nextLink", size_param: $top, size: 200, end: absent"#,
            configured: [
                "empty|stated",
                "single|stated",
                "single|stated",
                "marked|single|stated",
            ],
            ..PLAIN
        },
        Shape {
            name: "Google Workspace",
            path: "/admin/directory/v1/users",
            records: "users",
            asked: Asked::Cursor("pageToken"),
            size_param: "maxResults",
            default_size: 100,
            max_size: 500,
            answer: |shown| {
                body(with(
                    json!({ "kind": "admin#directory#users", "users": shown.records() }),
                    "nextPageToken",
                    shown.cursor(),
                ))
            },
            auto: ["empty", "same|-", "same|-", "marked"],
            says: &["users"],
            lines: "style: cursor, cursor_param: pageToken, cursor_path: nextPageToken, size_param: maxResults, size: 200, end: absent",
            configured: [
                "empty|stated",
                "single|stated",
                "single|stated",
                "marked|single|stated",
            ],
            ..PLAIN
        },
        Shape {
            name: "Google Cloud (AIP-158)",
            path: "/v1/projects",
            records: "projects",
            asked: Asked::Cursor("page_token"),
            size_param: "page_size",
            default_size: 50,
            max_size: 1000,
            answer: |shown| {
                body(
                    json!({ "projects": shown.records(), "next_page_token": shown.cursor().unwrap_or_default() }),
                )
            },
            auto: ["marked|empty", "marked", "marked", "marked"],
            lines: "style: cursor, cursor_param: page_token, cursor_path: next_page_token, size: 100",
            configured: ["marked|empty", "marked", "marked", "marked"],
            ..PLAIN
        },
        Shape {
            name: "AWS, NextToken",
            path: "/v1/apps",
            records: "Items",
            asked: Asked::Cursor("NextToken"),
            size_param: "MaxResults",
            default_size: 50,
            answer: |shown| {
                body(with(
                    json!({ "Items": shown.records() }),
                    "NextToken",
                    shown.cursor(),
                ))
            },
            auto: ["empty", "same|-", "same|-", "marked|-"],
            says: &["Items"],
            lines: "style: cursor, cursor_param: NextToken, cursor_path: NextToken, size_param: MaxResults, size: 100, end: absent",
            configured: [
                "empty|stated",
                "single|stated",
                "single|stated",
                "marked|single|stated",
            ],
            ..PLAIN
        },
        Shape {
            name: "X (Twitter) 2",
            path: "/2/users/1/followers",
            asked: Asked::Cursor("pagination_token"),
            size_param: "max_results",
            default_size: 100,
            max_size: 1000,
            answer: |shown| {
                let meta = json!({ "result_count": shown.count() });
                body(
                    json!({ "data": shown.records(), "meta": with(meta, "next_token", shown.cursor()) }),
                )
            },
            refuses_unknown: 400,
            auto: ["empty", "-", "-", "marked|-"],
            says: &["style:"],
            lines: "style: cursor, cursor_param: pagination_token, cursor_path: meta.next_token, size_param: max_results, size: 50, end: absent",
            configured: [
                "empty|stated",
                "single|stated",
                "single|stated",
                "marked|single|stated",
            ],
            ..PLAIN
        },
        Shape {
            name: "Spotify",
            path: "/v1/me/tracks",
            asked: Asked::Offset("offset"),
            size_param: "limit",
            default_size: 20,
            max_size: 50,
            answer: |shown| {
                body(json!({
                    "href": shown.self_url(), "limit": shown.size, "next": shown.next_url(), "offset": shown.from,
                    "previous": shown.previous_url(), "total": shown.all, "items": shown.records()
                }))
            },
            auto: [
                "marked|announced|empty",
                "marked|announced",
                "marked|announced",
                "marked|announced",
            ],
            lines: "style: link, next_path: next, size_param: limit, size: 50",
            configured: [
                "marked|announced|empty",
                "marked|announced",
                "marked|announced",
                "marked|announced",
            ],
            ..PLAIN
        },
        Shape {
            name: "Box",
            path: "/2.0/users",
            records: "entries",
            asked: Asked::Offset("offset"),
            size_param: "limit",
            default_size: 100,
            max_size: 1000,
            answer: |shown| {
                body(json!({
                    "total_count": shown.all, "entries": shown.records(), "offset": shown.from, "limit": shown.size
                }))
            },
            auto: [
                "empty|announced",
                "announced|empty",
                "announced|empty",
                "announced",
            ],
            lines: "style: offset, size: 200, total_path: total_count",
            configured: [
                "empty|announced",
                "announced|empty",
                "announced|empty",
                "announced",
            ],
            ..PLAIN
        },
        Shape {
            name: "Rick and Morty",
            path: "/api/character",
            asked: Asked::Page("page", 1),
            default_size: 20,
            answer: |shown| {
                body(json!({
                    "info": {
                        "count": shown.all, "pages": shown.pages(), "next": shown.next_url(), "prev": shown.previous_url()
                    },
                    "results": shown.records()
                }))
            },
            beyond: Beyond::Refused(404, r#"{"error":"There is nothing here"}"#),
            auto: [
                "empty|announced|marked",
                "marked|announced",
                "marked|announced",
                "marked|announced",
            ],
            lines: "style: link, next_path: info.next, size_param: none",
            configured: [
                "empty|announced|marked",
                "marked|announced",
                "marked|announced",
                "marked|announced",
            ],
            ..PLAIN
        },
        Shape {
            name: "PokéAPI",
            path: "/api/v2/pokemon",
            asked: Asked::Offset("offset"),
            size_param: "limit",
            default_size: 20,
            max_size: 100_000,
            answer: |shown| {
                body(json!({
                    "count": shown.all, "next": shown.next_url(), "previous": shown.previous_url(), "results": shown.records()
                }))
            },
            auto: [
                "marked|announced|empty",
                "marked|announced",
                "marked|announced",
                "marked|announced",
            ],
            lines: "style: link, size_param: limit, size: 100",
            configured: [
                "marked|announced|empty",
                "marked|announced",
                "marked|announced",
                "marked|announced",
            ],
            ..PLAIN
        },
        Shape {
            name: "CKAN",
            path: "/api/3/action/package_search",
            records: "result.results",
            asked: Asked::Offset("start"),
            size_param: "rows",
            default_size: 10,
            max_size: 1000,
            answer: |shown| {
                body(
                    json!({ "success": true, "result": { "count": shown.all, "results": shown.records() } }),
                )
            },
            auto: [
                "empty|announced",
                "announced|empty",
                "announced|empty",
                "announced|empty",
            ],
            says: &["count"],
            lines: "style: offset, offset_param: start, size_param: rows, size: 100, total_path: result.count",
            configured: [
                "empty|announced",
                "announced|empty",
                "announced|empty",
                "announced",
            ],
            ..PLAIN
        },
        Shape {
            name: "Typeform",
            path: "/forms",
            asked: Asked::Page("page", 1),
            size_param: "page_size",
            default_size: 10,
            max_size: 200,
            answer: |shown| {
                body(
                    json!({ "total_items": shown.all, "page_count": shown.pages(), "items": shown.records() }),
                )
            },
            auto: [
                "empty|announced",
                "announced|empty",
                "announced|empty",
                "announced",
            ],
            lines: "style: page, size: 100, total_path: total_items",
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
