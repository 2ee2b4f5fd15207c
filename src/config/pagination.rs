//! `pagination` of the fetch endpoint: how pages follow each other. Also refuses keys that contradict each other.

use super::plan::{CursorIn, Incremental, PageStyle, Pagination, Param};
use super::reader::Section;

const KEYS: [&str; 20] = [
    "params_in",
    "style",
    "page_param",
    "size_param",
    "offset_param",
    "cursor_param",
    "next_path",
    "cursor_path",
    "cursor_in",
    "more_path",
    "done_path",
    "total_path",
    "pages_path",
    "total_header",
    "pages_header",
    "end_status",
    "end",
    "size",
    "first",
    "concurrency",
];

/// Statuses that `end_status` may not name: they are about credentials, time or load, never about a missing page.
const NEVER_AN_END: [u16; 6] = [401, 403, 407, 408, 425, 429];

pub(super) fn pagination(fetch: &Section<'_>, incremental: Option<&Incremental>) -> Pagination {
    let section = fetch.section("pagination", &KEYS);
    let styles = [
        ("auto", PageStyle::Auto),
        ("none", PageStyle::None),
        ("page", PageStyle::Page),
        ("offset", PageStyle::Offset),
        ("cursor", PageStyle::Cursor),
        ("link", PageStyle::Link),
    ];
    let style = section.choice("style", &styles).unwrap_or(PageStyle::Auto);
    ignore_what_has_no_effect(&section, style);
    let offset = style == PageStyle::Offset;
    let total_path = section.json_path("total_path");
    let ignore_totals = total_path.as_ref().is_some_and(|path| *path == ["none"]);
    let first = section.number("first", 0..=u64::from(u32::MAX));
    let pagination = Pagination {
        style,
        in_body: section
            .choice("params_in", &[("query", false), ("body", true)])
            .unwrap_or(false),
        page_param: param(&section, "page_param", "page"),
        size_param: param(
            &section,
            "size_param",
            if offset { "limit" } else { "page_size" },
        ),
        offset_param: param(&section, "offset_param", "offset"),
        cursor_param: param(&section, "cursor_param", "cursor"),
        next_path: section.json_path("next_path"),
        cursor_path: section.json_path("cursor_path"),
        cursor_in: section
            .choice(
                "cursor_in",
                &[
                    ("body", CursorIn::Body),
                    ("last_record", CursorIn::LastRecord),
                    ("header", CursorIn::Header),
                ],
            )
            .unwrap_or_default(),
        more_path: section.json_path("more_path"),
        done_path: section.json_path("done_path"),
        total_path: total_path.filter(|_| !ignore_totals),
        total_header: header(&section, "total_header"),
        ignore_totals,
        pages_path: section.json_path("pages_path"),
        pages_header: header(&section, "pages_header"),
        end_status: end_status(&section),
        end_absent: section.choice("end", &[("absent", true)]).unwrap_or(false),
        size: section.number("size", 1..=100_000).unwrap_or(100),
        first: first.or_else(|| (style != PageStyle::Auto).then(|| u64::from(!offset))),
        concurrency: section.number("concurrency", 1..=32).unwrap_or(4),
    };
    refuse_contradictions(&section, &pagination);
    if pagination.in_body {
        check_paths(fetch, &section, incremental);
    }
    refuse_parameters_sent_twice(fetch, &section, &pagination, incremental);
    pagination
}

/// Parameters that go into the body are paths.
fn check_paths(fetch: &Section<'_>, section: &Section<'_>, incremental: Option<&Incremental>) {
    for key in ["page_param", "size_param", "offset_param", "cursor_param"] {
        // In a body, `none` could be a path as well.
        section.json_path(key);
    }
    if incremental.is_some() {
        fetch.names("incremental").json_path("param");
    }
}

/// Lists keys that the style does not use as ignored, so that nobody expects an effect.
fn ignore_what_has_no_effect(section: &Section<'_>, style: PageStyle) {
    use PageStyle::{Auto, Cursor, Link, Offset, Page};
    let numbered = &[Page, Offset, Auto][..];
    let fits = [
        ("page_param", &[Page, Auto, Link, Cursor][..], "page"),
        ("offset_param", &[Offset, Auto], "offset"),
        ("cursor_param", &[Cursor, Auto], "cursor"),
        ("cursor_path", &[Cursor, Auto], "cursor"),
        ("cursor_in", &[Cursor], "cursor"),
        ("next_path", &[Link, Auto], "link"),
        (
            "end_status",
            &[Page, Offset, Cursor, Auto],
            "page, offset and cursor",
        ),
        ("first", numbered, "page and offset"),
        ("concurrency", numbered, "page and offset"),
    ];
    for (key, styles, names) in fits {
        if section.entry(key).is_some() && !styles.contains(&style) {
            section.ignore(key, &format!("it belongs to style {names}"));
        }
    }
}

/// The name of a parameter; `none` sends none.
fn param(section: &Section<'_>, key: &str, usual: &'static str) -> Param {
    match section.text(key) {
        None => Param::Usual(usual),
        Some(name) if name == "none" => Param::Off,
        Some(name) => Param::Named(name),
    }
}

fn header(section: &Section<'_>, key: &str) -> Option<String> {
    section.parse(key, "the name of a header", |text| {
        reqwest::header::HeaderName::from_bytes(text.as_bytes())
            .is_ok()
            .then(|| text.to_owned())
    })
}

fn end_status(section: &Section<'_>) -> Vec<u16> {
    if section.entry("end_status").is_none() {
        return vec![204, 404];
    }
    let fits = |status: &u16| {
        *status == 204 || ((400..500).contains(status) && !NEVER_AN_END.contains(status))
    };
    section.statuses(
        "end_status",
        fits,
        "expected statuses that say that there is no such page: 204, or from 400 to 499",
        "401, 403, 407, 408, 425 and 429 say something else: they are never the end",
    )
}

fn refuse_contradictions(section: &Section<'_>, paging: &Pagination) {
    use PageStyle::{Cursor, None, Offset, Page};
    let style = paging.style;
    for key in ["more_path", "done_path"] {
        if style == None && section.entry(key).is_some() {
            section.wrong(
                key,
                "style `none` asks for one page, whatever this flag says",
                "say how the next page is asked for: style page, offset, cursor or link",
            );
        }
    }
    if let (Some(more), Some(done)) = (&paging.more_path, &paging.done_path)
        && more == done
    {
        section.wrong(
            "done_path",
            "`more_path` and `done_path` name the same value",
            "keep the one that is right: `more_path` is true while there is more, `done_path` on the last page",
        );
    }
    if paging.cursor_in != CursorIn::Body && paging.cursor_path.is_none() {
        section.wrong(
            "cursor_in",
            "`cursor_in` needs `cursor_path`",
            match paging.cursor_in {
                CursorIn::LastRecord => {
                    "name the field of the last record, for example `cursor_path: id`"
                }
                _ => "name the header, for example `cursor_path: X-Next-Cursor`",
            },
        );
    }
    if paging.end_absent && matches!(style, None | Page | Offset) {
        section.wrong(
            "end",
            "`end: absent` is about pages that name the next one; this style does not need it",
            "it belongs to style link and cursor",
        );
    }
    for (key, param, needs) in [
        ("page_param", &paging.page_param, Page),
        ("offset_param", &paging.offset_param, Offset),
        ("cursor_param", &paging.cursor_param, Cursor),
    ] {
        if *param == Param::Off && style == needs {
            section.wrong(
                key,
                format!("without `{key}` this style cannot ask for the second page"),
                "name the parameter, or choose another style",
            );
        }
    }
}

/// Reports a parameter that a request would send twice, with two meanings.
fn refuse_parameters_sent_twice(
    fetch: &Section<'_>,
    section: &Section<'_>,
    paging: &Pagination,
    incremental: Option<&Incremental>,
) {
    let sent: Vec<(&str, &str)> = [
        ("page_param", &paging.page_param, PageStyle::Page),
        ("offset_param", &paging.offset_param, PageStyle::Offset),
        ("cursor_param", &paging.cursor_param, PageStyle::Cursor),
        ("size_param", &paging.size_param, paging.style),
    ]
    .into_iter()
    .filter_map(|(key, param, style)| match paging.style {
        PageStyle::None => None,
        PageStyle::Auto => Some((key, param.named()?)),
        _ if paging.style == style => Some((key, param.name()?)),
        _ => None,
    })
    .collect();
    let params = fetch.names("params");
    let in_query = |name: &str| {
        let mut entries = params.entries().iter();
        entries.find(|entry| !paging.in_body && entry.key == name)
    };
    for (at, (key, name)) in sent.iter().enumerate() {
        if let Some(entry) = in_query(name) {
            let hint = if *key == "size_param" {
                format!(
                    "set `pagination.size` instead, or write `size_param: none`, and take `{name}` out of one of the two"
                )
            } else {
                format!("datasync sends `{name}` with every page: take it out of `params`")
            };
            params.wrong_key(
                entry,
                format!("`pagination` sends the parameter `{name}` too"),
                hint,
            );
        }
        let twice = sent.iter().take(at).any(|(_, other)| other == name)
            || incremental.is_some_and(|incremental| incremental.param == *name);
        if twice {
            section.wrong(
                key,
                format!("the parameter `{name}` stands for two things"),
                "each of page, size, offset, cursor and `incremental.param` has a name of its own",
            );
        }
    }
}
