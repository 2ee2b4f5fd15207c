//! The right answer: a page of the records in the style of the server. It knows of no fault.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::answer::Response;
use super::{Paging, Request, Server};

pub(super) fn page(server: &Server, url: &str, request: &Request) -> Response {
    if let Some(token) = &server.token
        && request.headers.get("authorization") != Some(&format!("Bearer {token}"))
    {
        return Response::new(401, "application/json", "{\"error\":\"unauthorized\"}");
    }
    if request.path != server.path {
        return Response::new(404, "application/json", "{\"error\":\"not found\"}");
    }
    let number = |name: &str| {
        request
            .param(name)
            .and_then(|text| text.parse::<usize>().ok())
    };
    let size = number("page_size")
        .or_else(|| number("limit"))
        .unwrap_or(server.page_size)
        .clamp(1, server.max_page_size);
    let all = server.records.len();
    let from = match server.paging {
        Paging::None => 0,
        Paging::Page | Paging::BarePage => number("page")
            .unwrap_or(1)
            .saturating_sub(1)
            .saturating_mul(size),
        Paging::Offset => number("offset").unwrap_or(0),
        // What a cursor says is nobody's business: this one is a masked offset.
        Paging::Cursor | Paging::LinkHeader | Paging::NextLink => request
            .param("cursor")
            .and_then(|text| usize::from_str_radix(text.strip_prefix('c')?, 16).ok())
            .unwrap_or(0),
    };
    let to = match server.paging {
        Paging::None => all,
        _ => from.saturating_add(size).min(all),
    };
    let records = server
        .records
        .get(from.min(all)..to.max(from.min(all)))
        .unwrap_or(&[])
        .join(",");
    let cursor = (to < all).then(|| format!("c{to:x}"));
    let link = cursor
        .as_ref()
        .map(|cursor| format!("{url}{}?page_size={size}&cursor={cursor}", server.path));
    let mut headers = Vec::new();
    let body = match server.paging {
        Paging::Page => format!(
            "{{\"data\":[{records}],\"page\":{},\"page_size\":{size},\"total\":{all},\"total_pages\":{}}}",
            from / size + 1,
            all.div_ceil(size)
        ),
        Paging::None | Paging::BarePage | Paging::Offset => format!("{{\"data\":[{records}]}}"),
        Paging::Cursor => format!(
            "{{\"data\":[{records}],\"next_cursor\":{}}}",
            cursor.map_or("null".to_owned(), |cursor| format!("\"{cursor}\""))
        ),
        Paging::LinkHeader => {
            let relation = link.map_or_else(
                || format!("<{url}{}>; rel=\"first\"", server.path),
                |link| format!("<{link}>; rel=\"next\""),
            );
            headers.push(("Link".to_owned(), relation));
            format!("[{records}]")
        }
        Paging::NextLink => format!(
            "{{\"results\":[{records}],\"next\":{}}}",
            link.map_or("null".to_owned(), |link| format!("\"{link}\""))
        ),
    };
    let body = match &server.rewrite {
        Some(rewrite) => rewrite(request, body),
        None => body,
    };
    let mut response = Response::new(200, "application/json", body);
    response.headers.append(&mut headers);
    let accepts = request
        .headers
        .get("accept-encoding")
        .is_some_and(|value| value.contains("gzip"));
    if server.gzip && accepts {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&response.body).unwrap();
        response.body = encoder.finish().unwrap();
        response
            .headers
            .push(("Content-Encoding".to_owned(), "gzip".to_owned()));
    }
    response
}
