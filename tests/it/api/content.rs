//! Rows 12 and 16 to 22 of the faults: what can be wrong with a page that arrived whole.

use std::io::Write;

use datasync::api::{ApiError, Class};
use datasync::config::plan::PageStyle;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::{error_of, fetch, plan, records};
use crate::support::http::{Fault, Paging, Server};

const JSON: &str = "application/json";

fn error_for(content_type: &'static str, body: impl Into<Vec<u8>>) -> ApiError {
    let server = Server::new()
        .always(Fault::Body(content_type, body.into()))
        .start();
    error_of(&server, PageStyle::Auto)
}

fn records_of(body: impl Into<Vec<u8>>) -> Vec<String> {
    let server = Server::new().always(Fault::Body(JSON, body.into())).start();
    let fetched = fetch(&plan(server.url(), PageStyle::None));
    assert!(fetched.errors.is_empty(), "{:?}", fetched.errors);
    fetched.records()
}

#[test]
fn html_with_a_200_tells_length_and_type_but_not_the_body() {
    let error = error_for(
        "text/html; charset=utf-8",
        "<html><b>Sign in, Zoë</b></html>",
    );
    assert_eq!((error.kind(), error.tries()), ("not_json", 4));
    let text = error.to_string();
    assert!(
        text.contains("33 bytes") && text.contains("content type text/html)"),
        "{text}"
    );
    assert!(!text.contains("Sign in"), "{text}");
}

#[test]
fn an_empty_200_tells_the_same() {
    let error = error_for("text/plain", "");
    assert_eq!((error.kind(), error.tries()), ("empty", 4));
    assert!(
        error.to_string().contains("0 bytes") && error.to_string().contains("text/plain"),
        "{error}"
    );
}

#[test]
fn records_missing_null_or_of_another_kind_are_not_zero_records() {
    for body in [
        "{}",
        "{\"data\":null}",
        "{\"data\":\"Zoë\"}",
        "{\"data\":17}",
        "{\"data\":{\"name\":\"Zoë\"}}",
        "{\"results\":false}",
        "null",
        "17",
        "\"Zoë\"",
    ] {
        let error = error_for(JSON, body);
        assert_eq!(
            (error.kind(), error.class(), error.tries()),
            ("no_records", Class::Data, 1),
            "{body}"
        );
    }
    assert!(records_of("{\"data\":[]}").is_empty());
    assert!(records_of("[]").is_empty());
}

#[test]
fn an_error_in_a_success_is_an_error_and_named_by_its_code_alone() {
    for (body, code) in [
        ("{\"error\":\"Zoë\"}", ""),
        ("{\"success\":false,\"code\":1002,\"data\":[]}", "`1002`"),
        (
            "{\"data\":[{\"a\":1}],\"errors\":[{\"code\":\"RATE_LIMITED\",\"message\":\"Zoë\"}]}",
            "`RATE_LIMITED`",
        ),
        ("{\"status\":\"error\",\"data\":null}", "`error`"),
        ("{\"data\":[],\"message\":\"Invalid key of Zoë\"}", ""),
    ] {
        let error = error_for(JSON, body);
        assert_eq!((error.kind(), error.tries()), ("error_body", 4), "{body}");
        assert!(error.to_string().contains(code), "{error}");
    }
    // A full page is worth more than a warning beside it.
    let page = format!("{{\"data\":[{}],\"errors\":[1]}}", records(10).join(","));
    assert_eq!(records_of(page).len(), 10);
}

#[test]
fn records_are_found_in_their_usual_places_and_kept_byte_for_byte() {
    let odd = r#"{ "n": 123456789012345678901234567890, "e":1e400,	"d":0.1000000000000000055, "s":"\u00e9 \/ ü" }"#;
    for body in [
        format!("[{odd}, {{}}]"),
        format!("{{\"data\": [{odd}, {{}}]}}"),
        format!("{{\"meta\":{{\"data\":1}},\"items\":[{odd},{{}}],\"x\":[1]}}"),
        format!("{{\"results\":[{odd},{{}}]}}"),
        format!("{{\"records\":[{odd},{{}}]}}"),
        format!("{{\"data\":{{\"items\":[{odd},{{}}]}}}}"),
        format!("{{\"data\":null,\"items\":[{odd},{{}}]}}"),
        format!("{{\"items\":[9],\"data\":[{odd},{{}}]}}"),
    ] {
        assert_eq!(records_of(body.as_str()), [odd, "{}"], "{body}");
    }
}

#[test]
fn a_configured_path_is_the_only_place_that_counts() {
    let body = "{\"data\":[1],\"response\":{\"customers\":{\"list\":[{\"a\":1}]}}}";
    let server = Server::new().always(Fault::Body(JSON, body.into())).start();
    let mut api = plan(server.url(), PageStyle::None);
    api.records = Some(
        ["response", "customers", "list"]
            .map(str::to_owned)
            .to_vec(),
    );
    assert_eq!(fetch(&api).records(), ["{\"a\":1}"]);
    api.records = Some(vec!["response".to_owned()]);
    let fetched = fetch(&api);
    let text = fetched.error().to_string();
    assert!(
        text.contains("`response`") && text.contains("an object"),
        "{text}"
    );
    api.records = Some(vec!["nowhere".to_owned()]);
    assert_eq!(fetch(&api).error().kind(), "no_records");
}

#[test]
fn invalid_utf8_is_an_error_and_never_a_replacement() {
    let error = error_for(JSON, b"[{\"name\":\"caf\xe9\"}]".to_vec());
    assert_eq!((error.kind(), error.tries()), ("not_utf8", 1));
    assert!(error.to_string().contains("position 13"), "{error}");
}

#[test]
fn a_byte_order_mark_is_stripped() {
    assert_eq!(
        records_of(b"\xef\xbb\xbf[{\"a\":1}]".to_vec()),
        ["{\"a\":1}"]
    );
}

#[test]
fn nesting_beyond_128_is_a_page_error() {
    let nested = |depth: usize| format!("[{}{}]", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(records_of(nested(128)).len(), 1);
    assert_eq!(error_for(JSON, nested(129)).kind(), "too_deep");
    assert_eq!(error_for(JSON, nested(200_000)).kind(), "too_deep");
    let beside = format!("{{\"data\":[],\"meta\":{}}}", nested(129));
    assert_eq!(error_for(JSON, beside).kind(), "too_deep");
    // Brackets within text are no nesting.
    assert_eq!(
        records_of(format!("[\"{}\"]", "[{\\\"".repeat(300))).len(),
        1
    );
}

#[test]
fn a_key_twice_in_the_envelope_is_an_error() {
    let error = error_for(JSON, "{\"data\":[{\"a\":1}],\"total\":1,\"data\":[]}");
    assert_eq!((error.kind(), error.tries()), ("duplicate_key", 1));
    assert!(error.to_string().contains("`data`"), "{error}");
    // Within a record it is the record's problem, found by the mapping.
    assert_eq!(records_of("[{\"a\":1,\"a\":2}]").len(), 1);
}

#[test]
fn malformed_json_is_tried_again_and_then_an_error() {
    for body in [
        "[{\"a\":1},]",
        "[{\"a\":1}] x",
        "[{\"a\":01}]",
        "[{\"a\" 1}]",
        "{\"data\":[",
        "[NaN]",
    ] {
        let error = error_for(JSON, body);
        assert_eq!((error.kind(), error.tries()), ("not_json", 4), "{body}");
    }
}

#[test]
fn compressed_pages_are_read() {
    let server = Server::new().records(records(123)).gzip().start();
    let fetched = fetch(&plan(server.url(), PageStyle::Auto));
    assert_eq!(fetched.records(), records(123));
    let plain = fetched
        .pages
        .values()
        .map(|page| page.text.len() as u64)
        .sum::<u64>();
    assert!(
        fetched.stats.bytes < plain,
        "{} over the wire",
        fetched.stats.bytes
    );
}

#[test]
fn a_gzip_bomb_is_stopped_at_the_cap() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(b"[\"").unwrap();
    let blank = vec![b'a'; 1 << 20];
    for _ in 0..300 {
        encoder.write_all(&blank).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        bomb.len()
    );
    let answer = [head.into_bytes(), bomb].concat();
    let server = Server::new().always(Fault::Raw(answer)).start();
    let error = error_of(&server, PageStyle::Auto);
    assert_eq!((error.kind(), error.tries()), ("too_large", 1));
    assert!(error.to_string().contains("1 MiB"), "{error}");
}

#[test]
fn a_page_beyond_the_cap_is_refused_whatever_length_it_announced() {
    let server = Server::new()
        .records(records(40_000))
        .paging(Paging::None)
        .start();
    let error = error_of(&server, PageStyle::None);
    assert_eq!((error.kind(), error.tries()), ("too_large", 1));
    assert!(error.to_string().contains("max_page_bytes"), "{error}");

    let endless = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned()
        + &format!("{:x}\r\n{}\r\n", 1 << 16, "[".repeat(1 << 16)).repeat(40);
    let server = Server::new()
        .always(Fault::Raw(endless.into_bytes()))
        .start();
    assert_eq!(error_of(&server, PageStyle::None).kind(), "too_large");
}

#[test]
fn an_encoding_nobody_asked_for_is_named() {
    let answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 2\r\n\r\n[]".to_vec();
    let server = Server::new().always(Fault::Raw(answer)).start();
    let error = error_of(&server, PageStyle::None);
    assert_eq!(error.kind(), "encoding");
    assert!(error.to_string().contains("br"), "{error}");
}
