//! Products for sales, support, payments and mail.

use serde_json::{Value, json};

use super::shape::{Asked, Beyond, PLAIN, Shape, body, flat, id};

/// Sets a key where there is a value, and leaves it out where there is none.
fn with(mut page: Value, key: &str, value: Option<impl Into<Value>>) -> Value {
    if let Some(value) = value {
        page[key] = value.into();
    }
    page
}

pub fn shapes() -> Vec<Shape> {
    vec![
        Shape {
            name: "Stripe",
            path: "/v1/customers",
            asked: Asked::LastId("starting_after"),
            size_param: "limit",
            default_size: 10,
            answer: |shown| {
                body(
                    json!({ "object": "list", "url": "/v1/customers", "has_more": shown.more(), "data": shown.records() }),
                )
            },
            refuses_unknown: 400,
            auto: ["marked|empty", "marked", "marked", "marked"],
            lines: "style: cursor, cursor_param: starting_after, cursor_path: id, cursor_in: last_record, more_path: has_more, size_param: limit, size: 100",
            configured: ["marked|empty", "marked", "marked", "marked"],
            ..PLAIN
        },
        Shape {
            name: "OpenAI",
            path: "/v1/organization/users",
            asked: Asked::LastId("after"),
            size_param: "limit",
            default_size: 20,
            answer: |shown| {
                let id_at = |at: Option<&Value>| at.map(|record| record["id"].clone());
                body(json!({
                    "object": "list", "data": shown.records(), "first_id": id_at(shown.items.first()),
                    "last_id": id_at(shown.items.last()), "has_more": shown.more()
                }))
            },
            refuses_unknown: 400,
            auto: ["marked|empty", "marked", "marked", "marked|-"],
            says: &["has_more"],
            lines: "style: cursor, cursor_param: after, cursor_path: last_id, more_path: has_more, size_param: limit, size: 100",
            configured: ["marked|empty", "marked", "marked", "marked"],
            ..PLAIN
        },
        Shape {
            name: "Salesforce",
            path: "/services/data/v60.0/query",
            asked: Asked::Cursor("locator"),
            default_size: 200,
            record: |number| json!({ "attributes": { "type": "Account" }, "Id": id(number), "Name": flat(number)["name"] }),
            fields: ["Id", "Name"],
            answer: |shown| {
                let page = json!({ "totalSize": shown.all, "done": !shown.more(), "records": shown.records() });
                body(with(page, "nextRecordsUrl", shown.next_path()))
            },
            auto: [
                "marked|announced|empty",
                "marked|announced",
                "marked|announced",
                "marked|announced",
            ],
            lines: "style: link, next_path: nextRecordsUrl, done_path: done, size_param: none",
            configured: [
                "marked|announced|empty",
                "marked|announced",
                "marked|announced",
                "marked|announced",
            ],
            ..PLAIN
        },
        Shape {
            name: "HubSpot",
            path: "/crm/v3/objects/contacts",
            asked: Asked::Cursor("after"),
            size_param: "limit",
            default_size: 10,
            record: |number| json!({ "id": id(number), "properties": { "firstname": flat(number)["name"] } }),
            fields: ["id", "properties.firstname"],
            answer: |shown| {
                let next = shown
                    .next_url()
                    .map(|link| json!({ "next": { "after": shown.cursor(), "link": link } }));
                body(with(json!({ "results": shown.records() }), "paging", next))
            },
            auto: ["empty", "same|-", "same|-", "marked"],
            says: &["style:"],
            lines: "style: cursor, cursor_param: after, cursor_path: paging.next.after, size_param: limit, size: 100, end: absent",
            configured: [
                "empty|stated",
                "single|stated",
                "single|stated",
                "marked|single|stated",
            ],
            ..PLAIN
        },
        Shape {
            name: "Zendesk, cursors",
            path: "/api/v2/users.json",
            records: "users",
            asked: Asked::Cursor("page[after]"),
            size_param: "page[size]",
            default_size: 100,
            answer: |shown| {
                body(json!({
                    "users": shown.records(),
                    "meta": { "has_more": shown.more(), "after_cursor": shown.cursor(), "before_cursor": null },
                    "links": { "next": shown.next_url(), "prev": null }
                }))
            },
            auto: ["marked|empty", "marked", "marked", "marked"],
            lines: r#"style: link, next_path: links.next, more_path: meta.has_more, size_param: "page[size]", size: 50"#,
            configured: ["marked|empty", "marked", "marked", "marked"],
            ..PLAIN
        },
        Shape {
            name: "Zendesk, page numbers",
            path: "/api/v2/organizations.json",
            records: "organizations",
            asked: Asked::Page("page", 1),
            size_param: "per_page",
            default_size: 100,
            answer: |shown| {
                body(json!({
                    "organizations": shown.records(), "next_page": shown.next_url(),
                    "previous_page": shown.previous_url(), "count": shown.all
                }))
            },
            auto: [
                "marked|announced|empty",
                "marked|announced",
                "marked|announced",
                "marked|announced",
            ],
            lines: "style: link, next_path: next_page, size_param: per_page, size: 100",
            configured: [
                "marked|announced|empty",
                "marked|announced",
                "marked|announced",
                "marked|announced",
            ],
            ..PLAIN
        },
        Shape {
            name: "Intercom",
            path: "/contacts",
            asked: Asked::Cursor("starting_after"),
            size_param: "per_page",
            default_size: 50,
            max_size: 150,
            answer: |shown| {
                let next = shown.cursor().map(|cursor| json!({ "page": shown.from / shown.size + 2, "starting_after": cursor }));
                let pages = json!({
                    "type": "pages", "page": shown.from / shown.size + 1, "per_page": shown.size, "total_pages": shown.pages()
                });
                body(json!({
                    "type": "list", "data": shown.records(), "total_count": shown.all, "pages": with(pages, "next", next)
                }))
            },
            auto: [
                "empty|announced|marked",
                "announced|marked|empty|-",
                "announced|marked|empty|-",
                "announced|marked",
            ],
            says: &["total_count"],
            lines: "style: cursor, cursor_param: starting_after, cursor_path: pages.next.starting_after, size_param: per_page, size: 100, total_path: total_count, end: absent",
            configured: [
                "empty|announced|stated",
                "announced|single|stated",
                "announced|single|stated",
                "announced|marked|stated",
            ],
            ..PLAIN
        },
        Shape {
            name: "Pipedrive 1",
            path: "/v1/persons",
            asked: Asked::Offset("start"),
            size_param: "limit",
            default_size: 100,
            max_size: 500,
            answer: |shown| {
                let paging = json!({ "start": shown.from, "limit": shown.size, "more_items_in_collection": shown.more() });
                let paging = with(paging, "next_start", shown.more().then(|| shown.to()));
                body(
                    json!({ "success": true, "data": shown.records(), "additional_data": { "pagination": paging } }),
                )
            },
            auto: [
                "empty|marked",
                "marked|empty|same|-",
                "marked|empty|-",
                "marked|-",
            ],
            says: &["next_start"],
            lines: "style: offset, offset_param: start, size: 100, more_path: additional_data.pagination.more_items_in_collection",
            configured: ["marked|empty", "marked", "marked", "marked"],
            ..PLAIN
        },
        Shape {
            name: "Pipedrive 2",
            path: "/api/v2/persons",
            asked: Asked::Cursor("cursor"),
            size_param: "limit",
            default_size: 100,
            max_size: 500,
            answer: |shown| {
                body(
                    json!({ "success": true, "data": shown.records(), "additional_data": { "next_cursor": shown.cursor() } }),
                )
            },
            auto: ["empty|marked", "marked|same|-", "marked|-", "marked|-"],
            says: &["next_cursor"],
            lines: "style: cursor, cursor_path: additional_data.next_cursor, size_param: limit, size: 100",
            configured: ["marked|empty", "marked", "marked", "marked"],
            ..PLAIN
        },
        Shape {
            name: "Zoho CRM",
            path: "/crm/v8/Contacts",
            asked: Asked::Page("page", 1),
            size_param: "per_page",
            default_size: 200,
            max_size: 200,
            answer: |shown| {
                if shown.items.is_empty() {
                    return body(Value::Null).status(204);
                }
                body(json!({
                    "data": shown.records(),
                    "info": { "per_page": shown.size, "count": shown.count(), "page": shown.number(), "more_records": shown.more() }
                }))
            },
            auto: ["empty|-", "marked|empty", "marked|empty", "marked|empty"],
            says: &["empty"],
            lines: "style: page, size_param: per_page, size: 100, more_path: info.more_records",
            configured: ["empty|-", "marked", "marked", "marked"],
            ..PLAIN
        },
        Shape {
            name: "Mailchimp",
            path: "/3.0/lists/abc/members",
            records: "members",
            asked: Asked::Offset("offset"),
            size_param: "count",
            default_size: 10,
            max_size: 1000,
            answer: |shown| {
                body(json!({
                    "members": shown.records(), "list_id": "abc", "total_items": shown.all,
                    "_links": [{ "rel": "self", "href": shown.self_url(), "method": "GET" }]
                }))
            },
            auto: [
                "empty|announced",
                "announced|empty|same|-",
                "announced|empty|same|-",
                "announced|-",
            ],
            says: &["style: offset"],
            lines: "style: offset, size_param: count, size: 100, total_path: total_items",
            configured: [
                "empty|announced",
                "announced|empty",
                "announced|empty",
                "announced",
            ],
            ..PLAIN
        },
        Shape {
            name: "SendGrid, marketing lists",
            path: "/v3/marketing/lists",
            records: "result",
            asked: Asked::Cursor("page_token"),
            size_param: "page_size",
            default_size: 100,
            max_size: 1000,
            answer: |shown| {
                let paging = json!({ "self": shown.self_url(), "count": shown.all });
                body(
                    json!({ "result": shown.records(), "_metadata": with(paging, "next", shown.next_url()) }),
                )
            },
            auto: [
                "empty|announced|marked",
                "announced|same|single|empty|-",
                "announced|same|empty|-",
                "marked|announced",
            ],
            says: &["_metadata"],
            lines: "style: link, next_path: _metadata.next, size: 50, total_path: _metadata.count, end: absent",
            configured: [
                "empty|announced|stated",
                "announced|single|stated",
                "announced|single|stated",
                "announced|marked|stated",
            ],
            ..PLAIN
        },
        Shape {
            name: "Square",
            path: "/v2/customers",
            records: "customers",
            asked: Asked::Cursor("cursor"),
            size_param: "limit",
            default_size: 100,
            answer: |shown| {
                body(with(
                    json!({ "customers": shown.records() }),
                    "cursor",
                    shown.cursor(),
                ))
            },
            auto: ["empty", "same|-", "same|-", "marked"],
            says: &["customers"],
            lines: "style: cursor, cursor_path: cursor, size_param: limit, size: 50, end: absent",
            configured: [
                "empty|stated",
                "single|stated",
                "single|stated",
                "marked|single|stated",
            ],
            ..PLAIN
        },
        Shape {
            name: "PayPal",
            path: "/v1/billing/plans",
            records: "plans",
            asked: Asked::Page("page", 1),
            size_param: "page_size",
            default_size: 10,
            max_size: 20,
            answer: |shown| {
                let link =
                    |rel: &str, href: String| json!({ "rel": rel, "href": href, "method": "GET" });
                let mut links = vec![
                    link("self", shown.self_url()),
                    link("first", shown.first_url()),
                ];
                links.extend(shown.next_url().map(|href| link("next", href)));
                links.push(link("last", shown.last_url()));
                body(json!({
                    "plans": shown.records(), "total_items": shown.all, "total_pages": shown.pages(), "links": links
                }))
            },
            auto: [
                "empty|announced|marked",
                "announced|marked",
                "announced|marked|empty",
                "announced|marked",
            ],
            lines: "style: page, size: 20, total_path: total_items",
            configured: [
                "empty|announced|marked",
                "announced|marked",
                "announced|marked",
                "announced|marked",
            ],
            ..PLAIN
        },
        Shape {
            name: "Twilio",
            path: "/2010-04-01/Accounts/AC1/Messages.json",
            records: "messages",
            record: |number| json!({ "sid": id(number), "from": flat(number)["name"] }),
            fields: ["sid", "from"],
            asked: Asked::Page("Page", 0),
            size_param: "PageSize",
            default_size: 50,
            max_size: 1000,
            answer: |shown| {
                body(json!({
                    "messages": shown.records(), "page": shown.number(), "page_size": shown.size, "start": shown.from,
                    "end": shown.to().saturating_sub(1), "uri": shown.path_at(shown.from),
                    "first_page_uri": shown.path_at(0), "next_page_uri": shown.next_path(),
                    "previous_page_uri": shown.previous_path()
                }))
            },
            auto: ["marked|empty", "marked", "marked", "marked"],
            lines: "style: link, next_path: next_page_uri, size_param: PageSize, size: 100",
            configured: ["marked|empty", "marked", "marked", "marked"],
            ..PLAIN
        },
        Shape {
            name: "BigCommerce",
            path: "/stores/abc/v3/customers",
            asked: Asked::Page("page", 1),
            size_param: "limit",
            default_size: 50,
            max_size: 250,
            // Its links are nothing but a query.
            answer: |shown| {
                let query = |path: String| path.find('?').map(|at| path[at..].to_owned());
                let links = json!({ "current": query(shown.path_at(shown.from)) });
                let links = with(links, "next", shown.next_path().and_then(query));
                body(json!({
                    "data": shown.records(),
                    "meta": { "pagination": {
                        "total": shown.all, "count": shown.count(), "per_page": shown.size, "current_page": shown.number(),
                        "total_pages": shown.pages(), "links": links
                    } }
                }))
            },
            auto: [
                "empty|announced|marked",
                "announced|empty",
                "announced|empty",
                "marked|announced",
            ],
            lines: "style: page, size_param: limit, size: 100, total_path: meta.pagination.total",
            configured: [
                "empty|announced",
                "announced|empty",
                "announced|empty",
                "announced",
            ],
            ..PLAIN
        },
        Shape {
            name: "Magento",
            path: "/rest/V1/customers/search",
            asked: Asked::Page("searchCriteria[currentPage]", 1),
            size_param: "searchCriteria[pageSize]",
            default_size: 20,
            max_size: 300,
            answer: |shown| {
                body(json!({
                    "items": shown.records(),
                    "search_criteria": { "filter_groups": [], "current_page": shown.number(), "page_size": shown.size },
                    "total_count": shown.all
                }))
            },
            beyond: Beyond::LastPage,
            auto: [
                "empty|announced",
                "announced|same|-",
                "announced|same|-",
                "announced|-",
            ],
            says: &["style: page"],
            lines: r#"style: page, page_param: "searchCriteria[currentPage]", size_param: "searchCriteria[pageSize]", size: 100"#,
            configured: [
                "empty|announced",
                "announced|same",
                "announced|same",
                "announced",
            ],
            ..PLAIN
        },
        Shape {
            name: "Recurly",
            path: "/accounts",
            asked: Asked::Cursor("cursor"),
            size_param: "limit",
            default_size: 20,
            max_size: 200,
            answer: |shown| {
                body(
                    json!({ "object": "list", "has_more": shown.more(), "next": shown.next_path(), "data": shown.records() }),
                )
            },
            auto: ["marked|empty", "marked", "marked", "marked"],
            lines: "style: link, next_path: next, size_param: limit, size: 100",
            configured: ["marked|empty", "marked", "marked", "marked"],
            ..PLAIN
        },
        Shape {
            name: "Chargebee",
            path: "/api/v2/customers",
            records: "list",
            record: |number| json!({ "customer": flat(number) }),
            fields: ["customer.id", "customer.name"],
            asked: Asked::Cursor("offset"),
            size_param: "limit",
            default_size: 10,
            answer: |shown| {
                body(with(
                    json!({ "list": shown.records() }),
                    "next_offset",
                    shown.cursor(),
                ))
            },
            auto: ["empty", "same|-", "same|-", "marked|-"],
            says: &["style:"],
            lines: "style: cursor, cursor_param: offset, cursor_path: next_offset, size_param: limit, size: 100, end: absent",
            configured: [
                "empty|stated",
                "single|stated",
                "single|stated",
                "marked|single|stated",
            ],
            ..PLAIN
        },
    ]
}
