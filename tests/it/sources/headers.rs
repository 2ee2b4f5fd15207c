//! APIs whose body is the bare array of records (or nearly so), and whose paging is in the headers, or nowhere.

use serde_json::{Value, json};

use super::shape::{Asked, Beyond, PLAIN, Shape, body};

pub fn shapes() -> Vec<Shape> {
    vec![
        Shape {
            name: "Rails, pagy headers",
            asked: Asked::Page("page", 1),
            size_param: "limit",
            default_size: 20,
            answer: |shown| {
                body(shown.records())
                    .links(&[
                        ("first", Some(shown.first_url())),
                        ("previous", shown.previous_url()),
                        ("next", shown.next_url()),
                        ("last", Some(shown.last_url())),
                    ])
                    .header("current-page", shown.number())
                    .header("page-limit", shown.size)
                    .header("total-pages", shown.pages().max(1))
                    .header("total-count", shown.all)
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
            name: "Rails, kaminari or will_paginate with api-pagination",
            asked: Asked::Page("page", 1),
            size_param: "per_page",
            default_size: 25,
            answer: |shown| {
                let several = shown.pages() > 1;
                body(shown.records())
                    .links(&[
                        ("first", shown.previous_url().map(|_| shown.first_url())),
                        ("prev", shown.previous_url()),
                        ("last", several.then(|| shown.last_url())),
                        ("next", shown.next_url()),
                    ])
                    .header("Total", shown.all)
                    .header("Per-Page", shown.size)
            },
            auto: [
                "announced|empty",
                "announced|empty",
                "announced|empty",
                "marked|announced",
            ],
            lines: "style: page, size_param: per_page, size: 100, total_header: Total",
            configured: [
                "announced|empty",
                "announced|empty",
                "announced|empty",
                "announced|marked",
            ],
            ..PLAIN
        },
        Shape {
            name: "WordPress",
            path: "/wp-json/wp/v2/users",
            asked: Asked::Page("page", 1),
            size_param: "per_page",
            default_size: 10,
            answer: |shown| {
                body(shown.records())
                    .links(&[("prev", shown.previous_url()), ("next", shown.next_url())])
                    .header("X-WP-Total", shown.all)
                    .header("X-WP-TotalPages", shown.pages())
            },
            beyond: Beyond::Refused(
                400,
                r#"{"code":"rest_user_invalid_page_number","data":{"status":400}}"#,
            ),
            auto: [
                "announced|empty",
                "announced|short|empty|-",
                "announced|-",
                "marked|announced",
            ],
            says: &["X-WP-Total"],
            lines: "style: page, size_param: per_page, size: 100, total_header: X-WP-Total",
            configured: [
                "announced|empty",
                "announced|short|empty",
                "announced|short|empty",
                "announced|marked",
            ],
            ..PLAIN
        },
        Shape {
            name: "WooCommerce",
            path: "/wp-json/wc/v3/customers",
            asked: Asked::Page("page", 1),
            size_param: "per_page",
            default_size: 10,
            // A cache in front of it drops the Link header here, as many do.
            answer: |shown| {
                body(shown.records())
                    .header("X-WP-Total", shown.all)
                    .header("X-WP-TotalPages", shown.pages())
            },
            auto: [
                "announced|empty",
                "announced|empty",
                "announced|empty",
                "announced",
            ],
            lines: "style: page, size_param: per_page, size: 100, total_header: X-WP-Total",
            configured: [
                "announced|empty",
                "announced|empty",
                "announced|empty",
                "announced",
            ],
            ..PLAIN
        },
        Shape {
            name: "GitHub",
            path: "/orgs/example/members",
            asked: Asked::Page("page", 1),
            size_param: "per_page",
            default_size: 30,
            answer: |shown| {
                let several = shown.pages() > 1;
                body(shown.records()).links(&[
                    ("prev", shown.previous_url()),
                    ("next", shown.next_url()),
                    ("last", shown.next_url().map(|_| shown.last_url())),
                    (
                        "first",
                        (several && shown.from > 0).then(|| shown.first_url()),
                    ),
                ])
            },
            auto: ["empty", "empty", "empty", "marked"],
            lines: "style: link, size_param: per_page, size: 100, end: absent",
            configured: [
                "empty|stated",
                "single|stated",
                "single|stated",
                "marked|single|stated",
            ],
            ..PLAIN
        },
        Shape {
            name: "GitLab",
            path: "/api/v4/users",
            asked: Asked::Page("page", 1),
            size_param: "per_page",
            default_size: 20,
            answer: |shown| {
                let number = |number: Option<usize>| {
                    number.map_or(String::new(), |number| number.to_string())
                };
                body(shown.records())
                    .links(&[
                        ("prev", shown.previous_url()),
                        ("next", shown.next_url()),
                        ("first", Some(shown.first_url())),
                        ("last", Some(shown.last_url())),
                    ])
                    .header("x-next-page", number(shown.next_number()))
                    .header("x-page", shown.number())
                    .header("x-per-page", shown.size)
                    .header("x-prev-page", number(shown.previous_number()))
                    .header("x-total", shown.all)
                    .header("x-total-pages", shown.pages().max(1))
            },
            auto: [
                "marked|announced|empty",
                "marked|announced",
                "marked|announced",
                "marked|announced",
            ],
            lines: "style: page, size_param: per_page, size: 100, total_header: X-Total",
            configured: [
                "announced|empty|marked",
                "announced|empty|marked",
                "announced|empty|marked",
                "announced|marked",
            ],
            ..PLAIN
        },
        Shape {
            name: "GitLab, more than 10,000 records",
            path: "/api/v4/events",
            asked: Asked::Page("page", 1),
            size_param: "per_page",
            default_size: 20,
            // No total and no last page; a proxy on the way has dropped Link.
            answer: |shown| {
                let number = |number: Option<usize>| {
                    number.map_or(String::new(), |number| number.to_string())
                };
                body(shown.records())
                    .header("x-next-page", number(shown.next_number()))
                    .header("x-page", shown.number())
                    .header("x-per-page", shown.size)
                    .header("x-prev-page", number(shown.previous_number()))
            },
            auto: [
                "marked|empty",
                "marked|empty",
                "marked|empty",
                "marked|empty",
            ],
            lines: "style: page, size_param: per_page, size: 100",
            configured: [
                "empty|marked",
                "empty|marked",
                "empty|marked",
                "empty|marked",
            ],
            ..PLAIN
        },
        Shape {
            name: "Shopify",
            path: "/admin/api/2024-10/customers.json",
            records: "customers",
            asked: Asked::Cursor("page_info"),
            size_param: "limit",
            default_size: 50,
            max_size: 250,
            answer: |shown| {
                body(json!({ "customers": shown.records() })).links(&[
                    ("previous", shown.previous_url()),
                    ("next", shown.next_url()),
                ])
            },
            refuses_unknown: 400,
            auto: ["empty", "single|-", "-", "marked"],
            says: &["style:"],
            lines: "style: link, size_param: limit, size: 250, end: absent",
            configured: [
                "empty|stated",
                "single|stated",
                "single|stated",
                "marked|single|stated",
            ],
            ..PLAIN
        },
        Shape {
            name: "Okta",
            path: "/api/v1/users",
            asked: Asked::Cursor("after"),
            size_param: "limit",
            default_size: 20,
            max_size: 200,
            answer: |shown| {
                body(shown.records())
                    .links(&[("self", Some(shown.self_url())), ("next", shown.next_url())])
            },
            auto: ["marked|empty", "marked", "marked", "marked"],
            lines: "style: link, size_param: limit, size: 30",
            configured: ["marked|empty", "marked|single", "marked|single", "marked"],
            ..PLAIN
        },
        Shape {
            name: "Mastodon",
            path: "/api/v1/timelines/home",
            asked: Asked::LastId("max_id"),
            size_param: "limit",
            default_size: 20,
            max_size: 40,
            // There is a next link as long as a page has records, the last one included.
            answer: |shown| {
                let next =
                    (!shown.items.is_empty()).then(|| shown.origin() + &shown.path_at(shown.to()));
                body(shown.records()).links(&[
                    ("next", next),
                    ("prev", Some(format!("{}/none", shown.origin()))),
                ])
            },
            auto: [
                "empty|marked",
                "empty|marked",
                "empty|marked",
                "empty|marked",
            ],
            lines: "style: link, size: 40",
            configured: [
                "empty|marked",
                "empty|marked",
                "empty|marked",
                "empty|marked",
            ],
            ..PLAIN
        },
        Shape {
            name: "Sentry",
            path: "/api/0/organizations/example/members/",
            asked: Asked::Cursor("cursor"),
            size_param: "per_page",
            default_size: 25,
            // Both neighbours are always linked; `results` says whether there is anything.
            answer: |shown| {
                let link = |from: usize, relation: &str, results: bool| {
                    let target = shown.origin() + &shown.path_at(from);
                    format!(
                        "<{target}>; rel=\"{relation}\"; results=\"{results}\"; cursor=\"0:{from}:0\""
                    )
                };
                let previous = link(
                    shown.from.saturating_sub(shown.size),
                    "previous",
                    shown.from > 0,
                );
                let next = link(shown.to(), "next", shown.more());
                body(shown.records()).header("Link", format!("{previous}, {next}"))
            },
            auto: [
                "marked|empty",
                "marked|empty",
                "marked|empty",
                "marked|empty",
            ],
            lines: "style: link, size_param: per_page, size: 50",
            configured: [
                "marked|empty",
                "marked|empty",
                "marked|empty",
                "marked|empty",
            ],
            ..PLAIN
        },
        Shape {
            name: "Freshdesk",
            path: "/api/v2/contacts",
            asked: Asked::Page("page", 1),
            size_param: "per_page",
            default_size: 30,
            answer: |shown| body(shown.records()).links(&[("next", shown.next_url())]),
            auto: ["empty", "empty", "empty", "marked"],
            lines: "style: page, size_param: per_page, size: 100",
            configured: ["empty", "empty", "empty", "empty|marked"],
            ..PLAIN
        },
        Shape {
            name: "ASP.NET, X-Pagination",
            asked: Asked::Page("pageNumber", 1),
            size_param: "pageSize",
            default_size: 10,
            max_size: 50,
            answer: |shown| {
                let paging = json!({
                    "TotalCount": shown.all, "PageSize": shown.size, "CurrentPage": shown.number(),
                    "TotalPages": shown.pages(), "HasNext": shown.more(), "HasPrevious": shown.from > 0
                });
                body(shown.records()).header("X-Pagination", paging)
            },
            auto: [
                "announced|marked|empty",
                "announced|marked",
                "announced|marked",
                "announced|marked",
            ],
            lines: "style: page, page_param: pageNumber, size_param: pageSize, size: 50",
            configured: [
                "announced|marked|empty",
                "announced|marked|empty",
                "announced|marked|empty",
                "announced|marked|empty",
            ],
            ..PLAIN
        },
        Shape {
            name: "X-Total-Count beside ?page",
            asked: Asked::Page("page", 1),
            size_param: "per_page",
            default_size: 20,
            answer: |shown| body(shown.records()).header("X-Total-Count", shown.all),
            auto: [
                "announced|empty",
                "announced|empty",
                "announced|empty",
                "announced",
            ],
            lines: "style: page, size_param: per_page, size: 50, total_header: X-Total-Count",
            configured: [
                "announced|empty",
                "announced|empty",
                "announced|empty",
                "announced",
            ],
            ..PLAIN
        },
        Shape {
            name: "PostgREST, with a count",
            path: "/customers",
            asked: Asked::Offset("offset"),
            size_param: "limit",
            default_size: 1000,
            max_size: 1000,
            answer: |shown| {
                let range = if shown.items.is_empty() {
                    format!("*/{}", shown.all)
                } else {
                    format!("{}-{}/{}", shown.from, shown.to() - 1, shown.all)
                };
                let status = if shown.count() < shown.all { 206 } else { 200 };
                body(shown.records())
                    .header("Content-Range", range)
                    .status(status)
            },
            beyond: Beyond::Refused(
                416,
                r#"{"code":"PGRST103","message":"Requested range not satisfiable"}"#,
            ),
            auto: [
                "announced|empty",
                "announced|empty|short|-",
                "announced|empty|short|-",
                "announced",
            ],
            says: &["style:"],
            lines: "style: offset, size: 100, end_status: [204, 404, 416]",
            configured: [
                "announced|empty",
                "announced|empty|short",
                "announced|empty|short",
                "announced",
            ],
            refuses_unknown: 400,
            ..PLAIN
        },
        Shape {
            name: "Supabase, without a count",
            path: "/rest/v1/customers",
            asked: Asked::Offset("offset"),
            size_param: "limit",
            default_size: 1000,
            max_size: 1000,
            answer: |shown| {
                let range = if shown.items.is_empty() {
                    "*/*".to_owned()
                } else {
                    format!("{}-{}/*", shown.from, shown.to() - 1)
                };
                body(shown.records()).header("Content-Range", range)
            },
            auto: ["empty", "empty", "empty", "empty"],
            lines: "style: offset, size: 100",
            configured: ["empty", "empty", "empty", "empty"],
            says: &["style:"],
            refuses_unknown: 400,
            ..PLAIN
        },
        Shape {
            name: "json-server 0.17, _page and _limit",
            asked: Asked::Page("_page", 1),
            size_param: "_limit",
            default_size: 10,
            answer: |shown| {
                if shown.request.param("_page").is_none() {
                    return body(Value::Array(
                        (1..=shown.all).map(shown.shape.record).collect(),
                    ));
                }
                body(shown.records())
                    .links(&[
                        ("first", Some(shown.first_url())),
                        ("prev", shown.previous_url()),
                        ("next", shown.next_url()),
                        ("last", Some(shown.last_url())),
                    ])
                    .header("X-Total-Count", shown.all)
            },
            auto: ["empty", "same|-", "same|-", "same|-"],
            says: &["style: none"],
            lines: "style: page, page_param: _page, size_param: _limit, size: 25, total_header: X-Total-Count",
            configured: [
                "announced|empty|marked",
                "announced|empty|marked",
                "announced|empty|marked",
                "announced|marked",
            ],
            ..PLAIN
        },
        Shape {
            name: "Auth0, plain array counted from zero",
            path: "/api/v2/users",
            asked: Asked::Page("page", 0),
            size_param: "per_page",
            default_size: 50,
            answer: |shown| body(shown.records()),
            auto: ["empty", "empty|-", "empty|-", "empty|-"],
            says: &["first: 0"],
            lines: "style: page, first: 0, size_param: per_page, size: 100",
            configured: ["empty", "empty", "empty", "empty"],
            ..PLAIN
        },
        Shape {
            name: "plain array, ?page",
            asked: Asked::Page("page", 1),
            size_param: "per_page",
            default_size: 20,
            answer: |shown| body(shown.records()),
            auto: ["empty", "empty", "empty", "empty"],
            lines: "style: page, size_param: per_page, size: 100",
            configured: ["empty", "empty", "empty", "empty"],
            ..PLAIN
        },
        Shape {
            name: "plain array, the last page again for ever",
            asked: Asked::Page("page", 1),
            size_param: "per_page",
            default_size: 20,
            answer: |shown| body(shown.records()),
            beyond: Beyond::LastPage,
            auto: ["empty", "same|-", "same|-", "same"],
            lines: "style: page, size_param: per_page, size: 100",
            configured: ["empty", "same", "same", "same"],
            ..PLAIN
        },
        Shape {
            name: "plain array, everything at once",
            answer: |shown| body(shown.records()),
            auto: ["empty", "same|-", "same|-", "same|-"],
            says: &["style: none"],
            lines: "style: none",
            configured: ["stated|empty", "stated", "stated", "stated"],
            ..PLAIN
        },
        Shape {
            name: "object around everything at once",
            records: "customers",
            answer: |shown| body(json!({ "status": "ok", "customers": shown.records() })),
            auto: ["empty", "same|-", "same|-", "same|-"],
            says: &["style: none"],
            lines: "style: none",
            configured: ["stated|empty", "stated", "stated", "stated"],
            ..PLAIN
        },
        Shape {
            name: "ERPNext",
            path: "/api/resource/Customer",
            asked: Asked::Offset("limit_start"),
            size_param: "limit_page_length",
            default_size: 20,
            max_size: 500,
            answer: |shown| body(json!({ "data": shown.records() })),
            auto: ["empty", "empty", "empty", "empty"],
            says: &["style:"],
            lines: "style: offset, offset_param: limit_start, size_param: limit_page_length, size: 100",
            configured: ["empty", "empty", "empty", "empty"],
            ..PLAIN
        },
        Shape {
            name: "Discord",
            path: "/api/v10/guilds/1/members",
            asked: Asked::LastId("after"),
            size_param: "limit",
            default_size: 100,
            max_size: 1000,
            answer: |shown| body(shown.records()),
            auto: ["empty", "same|-", "-", "-"],
            says: &["style:"],
            lines: "style: cursor, cursor_param: after, cursor_path: id, cursor_in: last_record, size_param: limit, size: 100",
            configured: ["empty", "empty|single", "empty", "empty"],
            ..PLAIN
        },
        Shape {
            name: "Socrata",
            path: "/resource/abcd-1234.json",
            asked: Asked::Offset("$offset"),
            size_param: "$limit",
            default_size: 1000,
            max_size: 50_000,
            answer: |shown| body(shown.records()),
            auto: ["empty", "empty", "empty", "empty"],
            says: &["style:"],
            lines: "style: offset, offset_param: $offset, size_param: $limit, size: 500",
            configured: ["empty", "empty", "empty", "empty"],
            ..PLAIN
        },
    ]
}
