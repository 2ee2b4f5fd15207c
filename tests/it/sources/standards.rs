//! Standards that APIs follow, and servers that are made of a file. Answers carry the paging in the body.

use serde_json::{Value, json};

use super::frameworks::with_attributes;
use super::shape::{Asked, Beyond, PLAIN, Shape, body, flat};

pub fn shapes() -> Vec<Shape> {
    vec![
        Shape {
            name: "JSON:API, links.next",
            record: with_attributes,
            fields: ["id", "attributes.name"],
            asked: Asked::Page("page[number]", 1),
            size_param: "page[size]",
            default_size: 20,
            answer: |shown| {
                body(json!({
                    "data": shown.records(),
                    "links": {
                        "self": shown.self_url(), "first": shown.first_url(), "prev": shown.previous_url(),
                        "next": shown.next_url(), "last": shown.last_url()
                    }
                }))
            },
            refuses_unknown: 400,
            auto: ["marked|empty", "marked", "marked", "marked"],
            lines: r#"style: link, size_param: "page[size]", size: 50"#,
            configured: ["marked|empty", "marked", "marked", "marked"],
            ..PLAIN
        },
        Shape {
            name: "OData 4, @odata.nextLink",
            records: "value",
            asked: Asked::Cursor("$skiptoken"),
            size_param: "$top",
            default_size: 50,
            answer: |shown| {
                let mut page = json!({ "@odata.context": format!("{}/odata/$metadata#Customers", shown.origin()), "value": shown.records() });
                if let Some(next) = shown.next_url() {
                    page["@odata.nextLink"] = json!(next);
                }
                body(page)
            },
            auto: ["empty|same", "same|single|-", "same|single|-", "marked"],
            says: &["value"],
            lines: r#"style: link, next_path: "/@odata.nextLink", size_param: none, end: absent"#,
            configured: [
                "empty|stated",
                "single|stated",
                "single|stated",
                "marked|single|stated",
            ],
            ..PLAIN
        },
        Shape {
            name: "OData 4, $skip and $top",
            records: "value",
            asked: Asked::Offset("$skip"),
            size_param: "$top",
            default_size: 50,
            answer: |shown| {
                body(
                    json!({ "@odata.context": "$metadata#Customers", "@odata.count": shown.all, "value": shown.records() }),
                )
            },
            auto: [
                "empty|announced",
                "announced|empty|same|-",
                "announced|empty|same|-",
                "announced|-",
            ],
            says: &["style: offset"],
            lines: r#"style: offset, offset_param: $skip, size_param: $top, size: 100, total_path: "/@odata.count""#,
            configured: [
                "empty|announced",
                "announced|empty",
                "announced|empty",
                "announced",
            ],
            ..PLAIN
        },
        Shape {
            name: "FHIR, Bundle",
            path: "/fhir/Patient",
            records: "entry",
            record: |number| json!({ "fullUrl": format!("urn:customer:{number}"), "resource": flat(number) }),
            fields: ["resource.id", "resource.name"],
            asked: Asked::Cursor("_getpagesoffset"),
            size_param: "_count",
            default_size: 20,
            answer: |shown| {
                let mut links = vec![json!({ "relation": "self", "url": shown.self_url() })];
                links.extend(
                    shown
                        .next_url()
                        .map(|url| json!({ "relation": "next", "url": url })),
                );
                body(
                    json!({ "resourceType": "Bundle", "type": "searchset", "total": shown.all, "link": links, "entry": shown.records() }),
                )
            },
            auto: [
                "empty|announced",
                "announced|marked|same|-",
                "announced|marked|same|-",
                "announced|marked",
            ],
            lines: "style: link, size_param: _count, size: 50, total_path: total, end: absent",
            configured: [
                "empty|announced|stated",
                "announced|single|stated",
                "announced|single|stated",
                "announced|marked|stated",
            ],
            says: &["total"],
            ..PLAIN
        },
        Shape {
            name: "react-admin's json-server dialect (_start, _limit)",
            asked: Asked::Offset("_start"),
            size_param: "_limit",
            default_size: 1_000_000,
            max_size: 1_000_000,
            answer: |shown| body(shown.records()).header("X-Total-Count", shown.all),
            auto: [
                "empty|announced",
                "announced|same|empty",
                "announced|same|empty",
                "announced|same|empty",
            ],
            lines: "style: offset, offset_param: _start, size_param: _limit, size: 20, total_header: X-Total-Count",
            configured: [
                "empty|announced",
                "announced|empty",
                "announced|empty",
                "announced",
            ],
            ..PLAIN
        },
        Shape {
            name: "json-server 1, _page and _per_page",
            asked: Asked::Page("_page", 1),
            size_param: "_per_page",
            default_size: 10,
            answer: |shown| {
                // Without `_page` it does not page at all.
                if shown.request.param("_page").is_none() {
                    let all = (1..=shown.all).map(flat).collect();
                    return body(Value::Array(all));
                }
                body(json!({
                    "first": 1, "prev": shown.previous_number(), "next": shown.next_number(),
                    "last": shown.pages().max(1), "pages": shown.pages().max(1), "items": shown.all, "data": shown.records()
                }))
            },
            beyond: Beyond::LastPage,
            auto: ["empty", "same|-", "same|-", "same|-"],
            says: &["style: none"],
            lines: "style: page, page_param: _page, size_param: _per_page, size: 25, total_path: items",
            configured: [
                "empty|announced",
                "announced|empty|same|marked",
                "announced|empty|same|marked",
                "announced|marked",
            ],
            ..PLAIN
        },
        Shape {
            name: "Flask-SQLAlchemy style, has_next and next_num",
            records: "items",
            asked: Asked::Page("page", 1),
            size_param: "per_page",
            default_size: 20,
            answer: |shown| {
                body(json!({
                    "items": shown.records(), "page": shown.number(), "per_page": shown.size, "total": shown.all,
                    "pages": shown.pages(), "has_next": shown.more(), "next_num": shown.next_number()
                }))
            },
            beyond: Beyond::Refused(404, r#"{"error":"Not Found"}"#),
            auto: [
                "empty|announced|marked",
                "announced|marked",
                "announced|marked",
                "announced|marked",
            ],
            lines: "style: page, size_param: per_page, size: 50, more_path: has_next",
            configured: [
                "empty|announced|marked",
                "announced|marked",
                "announced|marked",
                "announced|marked",
            ],
            ..PLAIN
        },
    ]
}
