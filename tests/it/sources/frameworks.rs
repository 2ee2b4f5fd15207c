//! Frameworks and libraries that page for the API that uses them, with what they do by default. Answers carry the paging
//! in the body; what goes into headers is in `headers.rs`.

use serde_json::{Value, json};

use super::shape::{Asked, Beyond, PLAIN, Shape, Shown, body, flat, id};

/// JSON:API and Strapi 4 keep the fields of a record apart from its id.
pub fn with_attributes(number: usize) -> Value {
    let name = &flat(number)["name"];
    json!({ "type": "customers", "id": id(number), "attributes": { "name": name } })
}

/// The nested `page` of Spring, without the records.
fn spring_page(shown: &Shown<'_>) -> Value {
    json!({
        "size": shown.size, "number": shown.number(),
        "totalElements": shown.all, "totalPages": shown.pages()
    })
}

/// `links` of a Laravel paginator: one entry for each page, and two for the neighbours.
fn laravel_links(shown: &Shown<'_>) -> Value {
    let entry = |url: Option<String>, label: String, active: bool| json!({ "url": url, "label": label, "active": active });
    let mut links = vec![entry(
        shown.previous_url(),
        "&laquo; Previous".to_owned(),
        false,
    )];
    for page in 0..shown.pages().max(1) {
        let url = shown.origin() + &shown.path_at(page * shown.size);
        links.push(entry(
            Some(url),
            (page + 1).to_string(),
            page * shown.size == shown.from,
        ));
    }
    links.push(entry(shown.next_url(), "Next &raquo;".to_owned(), false));
    Value::Array(links)
}

pub fn shapes() -> Vec<Shape> {
    vec![
        Shape {
            name: "Django REST framework, PageNumberPagination",
            asked: Asked::Page("page", 1),
            size_param: "page_size",
            default_size: 20,
            answer: |shown| {
                body(json!({
                    "count": shown.all, "next": shown.next_url(), "previous": shown.previous_url(),
                    "results": shown.records()
                }))
            },
            beyond: Beyond::Refused(404, r#"{"detail":"Invalid page."}"#),
            auto: [
                "marked|announced|empty",
                "marked|announced",
                "marked|announced",
                "marked|announced",
            ],
            lines: "style: link, size_param: page_size, size: 100",
            configured: [
                "marked|announced|empty",
                "marked|announced",
                "marked|announced",
                "marked|announced",
            ],
            ..PLAIN
        },
        Shape {
            name: "Django REST framework, LimitOffsetPagination",
            asked: Asked::Offset("offset"),
            size_param: "limit",
            default_size: 20,
            answer: |shown| {
                body(json!({
                    "count": shown.all, "next": shown.next_url(), "previous": shown.previous_url(),
                    "results": shown.records()
                }))
            },
            auto: [
                "marked|announced|empty",
                "marked|announced",
                "marked|announced",
                "marked|announced",
            ],
            lines: "style: offset, size: 50, total_path: count",
            configured: [
                "empty|announced|marked",
                "announced|marked|empty",
                "announced|marked|empty",
                "announced|marked",
            ],
            ..PLAIN
        },
        Shape {
            name: "Django REST framework, CursorPagination",
            asked: Asked::Cursor("cursor"),
            size_param: "page_size",
            default_size: 20,
            answer: |shown| {
                body(json!({
                    "next": shown.next_url(), "previous": shown.previous_url(), "results": shown.records()
                }))
            },
            auto: ["marked|empty", "marked", "marked", "marked"],
            lines: "style: link, next_path: next, size: 50",
            configured: ["marked|empty", "marked", "marked", "marked"],
            ..PLAIN
        },
        Shape {
            name: "fastapi-pagination, Page",
            asked: Asked::Page("page", 1),
            size_param: "size",
            default_size: 50,
            answer: |shown| {
                body(json!({
                    "items": shown.records(), "total": shown.all, "page": shown.number(),
                    "size": shown.size, "pages": shown.pages()
                }))
            },
            auto: [
                "empty|announced",
                "announced|empty",
                "announced|empty",
                "announced",
            ],
            lines: "style: page, size_param: size, size: 100, total_path: total",
            configured: [
                "empty|announced",
                "announced|empty",
                "announced|empty",
                "announced",
            ],
            ..PLAIN
        },
        Shape {
            name: "fastapi-pagination, LimitOffsetPage",
            asked: Asked::Offset("offset"),
            size_param: "limit",
            default_size: 50,
            answer: |shown| {
                body(json!({
                    "items": shown.records(), "total": shown.all, "limit": shown.size, "offset": shown.from
                }))
            },
            auto: [
                "empty|announced",
                "announced|empty",
                "announced|empty",
                "announced",
            ],
            lines: "style: offset, size: 100, total_path: total",
            configured: [
                "empty|announced",
                "announced|empty",
                "announced|empty",
                "announced",
            ],
            ..PLAIN
        },
        Shape {
            name: "fastapi-pagination, CursorPage",
            asked: Asked::Cursor("cursor"),
            size_param: "size",
            default_size: 50,
            answer: |shown| {
                let back = shown.previous_number().map(|_| "cGxlYXNl");
                body(json!({
                    "items": shown.records(), "total": null, "current_page": "Pg==", "current_page_backwards": "PA==",
                    "previous_page": back, "next_page": shown.cursor()
                }))
            },
            auto: ["marked|empty", "marked", "marked", "marked|-"],
            says: &["next_page"],
            lines: "style: cursor, cursor_path: next_page, size_param: size, size: 50",
            configured: ["marked|empty", "marked", "marked", "marked"],
            ..PLAIN
        },
        Shape {
            name: "Spring Data, Page",
            records: "content",
            asked: Asked::Page("page", 0),
            size_param: "size",
            default_size: 20,
            max_size: 2000,
            answer: |shown| {
                body(json!({
                    "content": shown.records(),
                    "pageable": { "pageNumber": shown.number(), "pageSize": shown.size, "offset": shown.from, "paged": true },
                    "last": !shown.more(), "totalElements": shown.all, "totalPages": shown.pages(),
                    "size": shown.size, "number": shown.number(), "numberOfElements": shown.count(),
                    "first": shown.from == 0, "empty": shown.items.is_empty()
                }))
            },
            auto: [
                "marked|announced|empty",
                "marked|announced",
                "marked|announced",
                "marked|announced",
            ],
            lines: "style: page, first: 0, size_param: size, size: 100, total_path: totalElements",
            configured: [
                "empty|announced|marked",
                "announced|marked",
                "announced|marked",
                "announced|marked",
            ],
            ..PLAIN
        },
        Shape {
            name: "Spring Data, Slice",
            records: "content",
            asked: Asked::Page("page", 0),
            size_param: "size",
            default_size: 20,
            max_size: 2000,
            answer: |shown| {
                body(json!({
                    "content": shown.records(),
                    "pageable": { "pageNumber": shown.number(), "pageSize": shown.size, "offset": shown.from, "paged": true },
                    "last": !shown.more(), "size": shown.size, "number": shown.number(),
                    "numberOfElements": shown.count(), "first": shown.from == 0, "empty": shown.items.is_empty()
                }))
            },
            auto: ["marked|empty", "marked", "marked", "marked"],
            lines: "style: page, first: 0, size_param: size, size: 100, done_path: last",
            configured: ["marked|empty", "marked", "marked", "marked"],
            ..PLAIN
        },
        Shape {
            name: "Spring Data, PagedModel",
            records: "content",
            asked: Asked::Page("page", 0),
            size_param: "size",
            default_size: 20,
            max_size: 2000,
            answer: |shown| body(json!({ "content": shown.records(), "page": spring_page(shown) })),
            auto: [
                "empty|announced",
                "announced|empty",
                "announced|empty",
                "announced",
            ],
            lines: "style: page, first: 0, size_param: size, size: 100, total_path: page.totalElements",
            configured: [
                "empty|announced",
                "announced|empty",
                "announced|empty",
                "announced",
            ],
            ..PLAIN
        },
        Shape {
            name: "Spring HATEOAS (HAL)",
            records: "_embedded.customers",
            asked: Asked::Page("page", 0),
            size_param: "size",
            default_size: 20,
            max_size: 1000,
            answer: |shown| {
                let href = |url: Option<String>| url.map(|url| json!({ "href": url }));
                let mut links = json!({ "self": { "href": shown.self_url() } });
                for (relation, link) in [
                    ("first", href(Some(shown.first_url()))),
                    ("prev", href(shown.previous_url())),
                    ("next", href(shown.next_url())),
                    ("last", href(Some(shown.last_url()))),
                ] {
                    if let Some(link) = link {
                        links[relation] = link;
                    }
                }
                body(
                    json!({ "_embedded": { "customers": shown.records() }, "_links": links, "page": spring_page(shown) }),
                )
            },
            auto: [
                "marked|announced|empty",
                "marked|announced",
                "marked|announced|empty",
                "marked|announced",
            ],
            lines: "style: link, size_param: size, size: 100, total_path: page.totalElements",
            configured: [
                "marked|announced|empty",
                "marked|announced",
                "marked|announced|empty",
                "marked|announced",
            ],
            ..PLAIN
        },
        Shape {
            name: "Laravel, paginate()",
            asked: Asked::Page("page", 1),
            size_param: "per_page",
            default_size: 15,
            answer: |shown| {
                let from = (!shown.items.is_empty()).then(|| shown.from + 1);
                let to = (!shown.items.is_empty()).then(|| shown.to());
                body(json!({
                    "current_page": shown.number(), "data": shown.records(), "first_page_url": shown.first_url(),
                    "from": from, "last_page": shown.pages().max(1), "last_page_url": shown.last_url(),
                    "links": laravel_links(shown), "next_page_url": shown.next_url(),
                    "path": format!("{}{}", shown.origin(), shown.request.path), "per_page": shown.size,
                    "prev_page_url": shown.previous_url(), "to": to, "total": shown.all
                }))
            },
            auto: [
                "marked|announced|empty",
                "marked|announced",
                "marked|announced",
                "marked|announced",
            ],
            lines: "style: page, size_param: per_page, size: 100, total_path: total",
            configured: [
                "empty|announced|marked",
                "announced|marked",
                "announced|marked",
                "announced|marked",
            ],
            ..PLAIN
        },
        Shape {
            name: "Laravel, API resources",
            asked: Asked::Page("page", 1),
            size_param: "per_page",
            default_size: 15,
            answer: |shown| {
                let to = (!shown.items.is_empty()).then(|| shown.to());
                body(json!({
                    "data": shown.records(),
                    "links": {
                        "first": shown.first_url(), "last": shown.last_url(),
                        "prev": shown.previous_url(), "next": shown.next_url()
                    },
                    "meta": {
                        "current_page": shown.number(), "from": shown.from + 1, "last_page": shown.pages().max(1),
                        "links": laravel_links(shown), "path": format!("{}{}", shown.origin(), shown.request.path),
                        "per_page": shown.size, "to": to, "total": shown.all
                    }
                }))
            },
            auto: [
                "marked|announced|empty",
                "marked|announced",
                "marked|announced",
                "marked|announced",
            ],
            lines: "style: page, size_param: per_page, size: 100, total_path: meta.total",
            configured: [
                "empty|announced|marked",
                "announced|marked",
                "announced|marked",
                "announced|marked",
            ],
            ..PLAIN
        },
        Shape {
            name: "Laravel, simplePaginate()",
            asked: Asked::Page("page", 1),
            size_param: "per_page",
            default_size: 15,
            answer: |shown| {
                body(json!({
                    "current_page": shown.number(), "data": shown.records(), "first_page_url": shown.first_url(),
                    "from": shown.from + 1, "next_page_url": shown.next_url(),
                    "path": format!("{}{}", shown.origin(), shown.request.path), "per_page": shown.size,
                    "prev_page_url": shown.previous_url(), "to": shown.to()
                }))
            },
            auto: ["marked|empty", "marked", "marked", "marked"],
            lines: "style: link, next_path: next_page_url, size_param: per_page, size: 100",
            configured: ["marked|empty", "marked", "marked", "marked"],
            ..PLAIN
        },
        Shape {
            name: "Laravel, cursorPaginate()",
            asked: Asked::Cursor("cursor"),
            size_param: "per_page",
            default_size: 15,
            answer: |shown| {
                body(json!({
                    "data": shown.records(), "path": format!("{}{}", shown.origin(), shown.request.path),
                    "per_page": shown.size, "next_cursor": shown.cursor(), "next_page_url": shown.next_url(),
                    "prev_cursor": null, "prev_page_url": null
                }))
            },
            auto: ["marked|empty", "marked", "marked", "marked"],
            lines: "style: cursor, cursor_path: next_cursor, size_param: per_page, size: 50",
            configured: ["marked|empty", "marked", "marked", "marked"],
            ..PLAIN
        },
        Shape {
            name: "Rails, will_paginate in the body",
            records: "customers",
            asked: Asked::Page("page", 1),
            size_param: "per_page",
            default_size: 30,
            answer: |shown| {
                body(json!({
                    "customers": shown.records(), "current_page": shown.number(), "per_page": shown.size,
                    "total_entries": shown.all, "total_pages": shown.pages()
                }))
            },
            auto: [
                "empty|announced",
                "announced|empty",
                "announced|empty",
                "announced",
            ],
            lines: "style: page, size_param: per_page, size: 100, total_path: total_entries",
            configured: [
                "empty|announced",
                "announced|empty",
                "announced|empty",
                "announced",
            ],
            ..PLAIN
        },
        Shape {
            name: "Strapi 4",
            record: with_attributes,
            fields: ["id", "attributes.name"],
            asked: Asked::Page("pagination[page]", 1),
            size_param: "pagination[pageSize]",
            default_size: 25,
            answer: |shown| {
                body(json!({
                    "data": shown.records(),
                    "meta": { "pagination": {
                        "page": shown.number(), "pageSize": shown.size, "pageCount": shown.pages(), "total": shown.all
                    } }
                }))
            },
            auto: [
                "empty|announced",
                "announced|empty",
                "announced|empty",
                "announced",
            ],
            lines: r#"style: page, page_param: "pagination[page]", size_param: "pagination[pageSize]", size: 100, total_path: meta.pagination.total"#,
            configured: [
                "empty|announced",
                "announced|empty",
                "announced|empty",
                "announced",
            ],
            ..PLAIN
        },
        Shape {
            name: "Strapi 5",
            asked: Asked::Page("pagination[page]", 1),
            size_param: "pagination[pageSize]",
            default_size: 25,
            answer: |shown| {
                body(json!({
                    "data": shown.records(),
                    "meta": { "pagination": {
                        "page": shown.number(), "pageSize": shown.size, "pageCount": shown.pages(), "total": shown.all
                    } }
                }))
            },
            auto: [
                "empty|announced",
                "announced|empty",
                "announced|empty",
                "announced",
            ],
            lines: r#"style: page, page_param: "pagination[page]", size_param: "pagination[pageSize]", size: 100, total_path: meta.pagination.total"#,
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
