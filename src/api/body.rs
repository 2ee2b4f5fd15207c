//! The body of an answer as text: decompresses it within a bound, checks that it is UTF-8, removes a byte-order mark.

use std::io::{ErrorKind, Read};

use flate2::bufread::MultiGzDecoder;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};

use super::error::{ApiError, Kind};

/// Encodings and content types that messages may name; any other text of a peer could be a secret that it sends back.
const ENCODINGS: [&str; 5] = ["br", "deflate", "zstd", "compress", "lz4"];
const TYPES: [&str; 17] = [
    "application/json",
    "application/hal+json",
    "application/ld+json",
    "application/problem+json",
    "application/vnd.api+json",
    "application/x-ndjson",
    "application/javascript",
    "application/octet-stream",
    "application/xml",
    "application/xhtml+xml",
    "application/zip",
    "application/pdf",
    "text/csv",
    "text/html",
    "text/json",
    "text/plain",
    "text/xml",
];

/// Decodes a body; never holds more than `max` bytes of its decoded form.
pub(super) fn text(headers: &HeaderMap, body: Vec<u8>, max: u64) -> Result<String, ApiError> {
    let encoding = headers
        .get(CONTENT_ENCODING)
        .map_or("identity", |value| value.to_str().unwrap_or("?"));
    let mut bytes = match encoding.trim().to_ascii_lowercase().as_str() {
        "" | "identity" => body,
        "gzip" | "x-gzip" => gunzip(&body, max)?,
        other => {
            return Err(ApiError::new(
                Kind::Encoding,
                format!(
                    "the page is encoded as {}, but only gzip was asked for",
                    known(other, &ENCODINGS, "something unusual")
                ),
                "a proxy between here and the API may be rewriting answers",
            ));
        }
    };
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(ApiError::new(
            Kind::Empty,
            format!(
                "the API reported success with an empty body ({}, {})",
                size(bytes.len() as u64),
                content_type(headers)
            ),
            "expected a JSON page; is the path of the endpoint right?",
        ));
    }
    if bytes.starts_with(b"\xef\xbb\xbf") {
        bytes.drain(..3);
    }
    String::from_utf8(bytes).map_err(|error| {
        let error = error.utf8_error();
        let at = error.valid_up_to();
        if error.error_len().is_none() {
            // The body ends in the middle of a character: the transfer ended early, the encoding is not wrong.
            return ApiError::new(
                Kind::Truncated,
                format!("the page ends in the middle of a character, at byte {at}"),
                "the connection to the API is cut short; look at proxies in between",
            );
        }
        ApiError::new(
            Kind::NotUtf8,
            format!("the page is not UTF-8: invalid byte at position {at} ({})", content_type(headers)),
            "JSON is UTF-8 by definition; the API has to be corrected, replacing characters would damage the data",
        )
    })
}

fn gunzip(body: &[u8], max: u64) -> Result<Vec<u8>, ApiError> {
    // The length in the gzip trailer comes from the server: reserve no more than 1 MiB because of it.
    let mut out = Vec::with_capacity((body.len() * 4).min(1 << 20));
    let outcome = MultiGzDecoder::new(body)
        .take(max.saturating_add(1))
        .read_to_end(&mut out);
    if out.len() as u64 > max {
        return Err(too_large(max));
    }
    match outcome {
        Ok(_) => Ok(out),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(ApiError::new(
            Kind::Truncated,
            format!(
                "the compressed page ends early ({} received)",
                size(body.len() as u64)
            ),
            "the connection to the API is cut short; look at proxies in between",
        )),
        Err(error) if error.kind() == ErrorKind::OutOfMemory => Err(ApiError::new(
            Kind::TooLarge,
            "there is not memory enough to unpack the page",
            "ask for smaller pages (pagination.size), or give the run more memory",
        )),
        Err(_) => Err(ApiError::new(
            Kind::Encoding,
            format!(
                "the page claims to be gzip, but is not ({} received)",
                size(body.len() as u64)
            ),
            "a proxy between here and the API may be rewriting answers",
        )),
    }
}

pub(super) fn too_large(max: u64) -> ApiError {
    ApiError::new(
        Kind::TooLarge,
        format!("the page is larger than {}", size(max)),
        "ask for smaller pages (pagination.size) or raise max_page_bytes",
    )
}

/// The content type, fit for a message.
pub(super) fn content_type(headers: &HeaderMap) -> String {
    headers.get(CONTENT_TYPE).map_or_else(
        || "no content type".to_owned(),
        |value| {
            let text = String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase();
            let essence = text.split(';').next().unwrap_or_default().trim();
            format!("content type {}", known(essence, &TYPES, "unusual"))
        },
    )
}

/// The text if it is one of `known`, else `else_`: no other text of a peer is shown.
fn known<'t>(text: &'t str, known: &[&str], else_: &'t str) -> &'t str {
    if known.contains(&text) { text } else { else_ }
}

/// Bytes for people.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 3] = ["KiB", "MiB", "GiB"];
    if bytes == 1 {
        return "1 byte".to_owned();
    }
    if bytes < 10 * 1024 {
        return format!("{bytes} bytes");
    }
    let mut value = bytes as f64;
    let mut unit = "";
    for next in UNITS {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    if (value - value.round()).abs() < 0.05 {
        format!("{value:.0} {unit}")
    } else {
        format!("{value:.1} {unit}")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use reqwest::header::HeaderValue;

    use super::*;

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn gzipped() -> HeaderMap {
        HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_static("gzip"))])
    }

    #[test]
    fn plain_and_compressed_bodies_become_text() {
        assert_eq!(text(&HeaderMap::new(), b"[1]".to_vec(), 10).unwrap(), "[1]");
        assert_eq!(
            text(&gzipped(), gzip("[\"é\"]".as_bytes()), 10).unwrap(),
            "[\"é\"]"
        );
        let two_members = [gzip(b"[1,"), gzip(b"2]")].concat();
        assert_eq!(text(&gzipped(), two_members, 10).unwrap(), "[1,2]");
    }

    #[test]
    fn a_gzip_bomb_stops_at_the_cap() {
        let bomb = gzip(&vec![b' '; 8 << 20]);
        let error = text(&gzipped(), bomb, 1 << 20).unwrap_err();
        assert_eq!(error.kind(), "too_large");
        assert!(error.to_string().contains("1 MiB"), "{error}");
    }

    #[test]
    fn broken_compression_is_told_from_a_cut_one() {
        let mut cut = gzip(&(0u32..5000).flat_map(u32::to_le_bytes).collect::<Vec<_>>());
        cut.truncate(cut.len() / 2);
        assert_eq!(
            text(&gzipped(), cut, 1 << 20).unwrap_err().kind(),
            "truncated"
        );
        assert_eq!(
            text(&gzipped(), b"[1, 2, 3, 4, 5, 6, 7]".to_vec(), 100)
                .unwrap_err()
                .kind(),
            "encoding"
        );
        let brotli = HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_static("br"))]);
        assert_eq!(
            text(&brotli, b"x".to_vec(), 100).unwrap_err().kind(),
            "encoding"
        );
    }

    #[test]
    fn a_byte_order_mark_goes_and_bad_utf8_is_an_error() {
        let none = HeaderMap::new();
        assert_eq!(text(&none, b"\xef\xbb\xbf[]".to_vec(), 10).unwrap(), "[]");
        assert_eq!(
            text(&none, b"[\"\xe9\"]".to_vec(), 10).unwrap_err().kind(),
            "not_utf8"
        );
        assert_eq!(
            text(&none, b"[\"\xe9\x80".to_vec(), 10).unwrap_err().kind(),
            "truncated"
        );
        assert_eq!(
            text(&none, b" \r\n".to_vec(), 10).unwrap_err().kind(),
            "empty"
        );
    }

    #[test]
    fn sizes_read_well() {
        let shown = [1, 99, 20_000, 32 << 20, 1_610_612_736].map(size);
        assert_eq!(
            shown,
            ["1 byte", "99 bytes", "19.5 KiB", "32 MiB", "1.5 GiB"]
        );
    }
}
