//! `check-api`: every condition has a line of its own, with what was found and what to do.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{black_hole, check, failed, look, texts};
use crate::support::Workplace;
use crate::support::http::{Fault, Paging, Server};

/// `check-api` against this server ends with this code.
fn of(server: Server, code: i32) -> Value {
    let api = server.start();
    let result = look(api.url(), code);
    assert!(api.requests().len() <= 1, "a check asks once");
    assert!(
        api.requests().iter().all(|asked| asked.method == "GET"),
        "a check only reads"
    );
    result
}

#[track_caller]
fn told(result: &Value, name: &str, words: &str) {
    let found = check(result, name);
    assert!(
        found.to_string().contains(words),
        "{words:?} is not in {found}"
    );
}

#[test]
fn an_address_that_does_not_answer_is_told_by_name_port_and_silence() {
    let result = look("http://no-such-host.invalid", 3);
    failed(&result, "dns", "no-such-host.invalid", "API_BASE_URL");
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let result = look(&format!("http://127.0.0.1:{port}"), 3);
    failed(&result, "tcp", "connection refused", "is the API running");

    let (_hole, address) = black_hole();
    let place = Workplace::new().with_api(&format!("http://{address}"));
    place.edit("mappings.yaml", "timeout: 30s ", "timeout: 1s ");
    let started = Instant::now();
    let finished = place.run(&["check-api", "--output", "json"]);
    finished.expect(3);
    failed(
        &finished.json(),
        "tcp",
        "did not answer within 1 s",
        "firewall",
    );
    assert!(started.elapsed() < Duration::from_secs(5));

    // Accepted, and then not a word.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    for scheme in ["http", "https"] {
        let place =
            Workplace::new().with_api(&format!("{scheme}://{}", silent.local_addr().unwrap()));
        place.edit("mappings.yaml", "timeout: 30s ", "timeout: 1s ");
        let finished = place.run(&["check-api", "--output", "json"]);
        finished.expect(3);
        let name = if scheme == "http" { "http" } else { "tls" };
        let words = if scheme == "http" {
            "no answer from"
        } else {
            "no answer to the handshake within 1 s"
        };
        failed(&finished.json(), name, words, "");
    }
}

#[test]
fn a_name_with_several_addresses_is_well_when_one_of_them_answers() {
    // `localhost` is 127.0.0.1 and often ::1 first, where nobody listens.
    let api = Server::new().records(texts(3)).start();
    let result = look(&format!("http://localhost:{}", api.port()), 0);
    told(&result, "dns", "127.0.0.1");
    told(&result, "tcp", "127.0.0.1 port");
}

#[test]
fn a_certificate_that_is_refused_is_named_with_the_reason() {
    let untrusted = Server::new().records(texts(3)).tls().0.start();
    let result = look(untrusted.url(), 3);
    failed(&result, "tls", "UnknownIssuer", "SSL_CERT_FILE");
    failed(&result, "tls", "certificate for localhost, 127.0.0.1", "");
    assert!(untrusted.requests().is_empty(), "no token was sent");

    let trusted = |change: fn(&mut rcgen::CertificateParams), code: i32| {
        let (server, pem) = Server::new().records(texts(3)).tls_with(change);
        let api = server.start();
        let place = Workplace::new().with_api(api.url());
        place.write("ca.pem", &pem);
        let file = place.path("ca.pem").display().to_string();
        let place = place.env("SSL_CERT_FILE", file);
        let finished = place.run(&["check-api", "--output", "json"]);
        finished.expect(code);
        finished.json()
    };
    let result = trusted(|_| {}, 0);
    told(
        &result,
        "tls",
        "TLS 1.3, certificate for localhost, 127.0.0.1",
    );
    let result = trusted(|c| c.not_after = rcgen::date_time_ymd(2020, 1, 1), 3);
    failed(
        &result,
        "tls",
        "valid from 1975-01-01 to 2020-01-01",
        "renew",
    );
    let result = trusted(|c| c.not_before = rcgen::date_time_ymd(2099, 1, 1), 3);
    failed(&result, "tls", "valid from 2099-01-01", "clock");
    let result = trusted(
        |c| {
            c.subject_alt_names =
                vec![rcgen::SanType::DnsName("other.example".try_into().unwrap())];
        },
        3,
    );
    failed(
        &result,
        "tls",
        "certificate for other.example",
        "API_BASE_URL",
    );

    // An authority that is named as one, and that the server shows as its own certificate.
    let result = trusted(
        |c| c.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained),
        3,
    );
    failed(&result, "tls", "CaUsedAsEndEntity", "CA:FALSE");

    // http where https is spoken, and the other way round.
    let plain = Server::new().records(texts(3)).start();
    let result = look(&plain.url().replace("http:", "https:"), 3);
    failed(&result, "tls", "", "scheme and port");
}

#[test]
fn a_proxy_in_between_is_named_and_what_it_says_is_told() {
    let api = Server::new().always(Fault::Status(407)).start();
    let place = Workplace::new().with_api("http://api.example").env(
        "HTTP_PROXY",
        format!("http://user:proxy-secret@127.0.0.1:{}", api.port()),
    );
    let finished = place.run(&["check-api", "--output", "json"]);
    finished.expect(3);
    failed(&finished.json(), "http", "407", "NO_PROXY");
    told(
        &finished.json(),
        "proxy",
        &format!("127.0.0.1:{}", api.port()),
    );
    assert!(!format!("{finished}").contains("proxy-secret"));
}

#[test]
fn no_proxy_is_obeyed_with_addresses_networks_ports_and_a_star() {
    let api = Server::new().records(texts(3)).start();
    let database = crate::support::postgres::Database::new();
    let ear = Server::new().token(None).start();
    let broken = Server::new().always(Fault::Status(503)).start();
    let with_port = format!("127.0.0.1:{}", api.port());
    let place = |api: &str, direct: &str| {
        Workplace::connected(api, &database)
            .env("HTTP_PROXY", "http://127.0.0.1:1")
            .env("NO_PROXY", direct)
            .env("OPS_WEBHOOK_URL", ear.url())
    };
    for direct in [
        "127.0.0.1",
        "*",
        "127.0.0.0/8",
        "example.com, 127.0.0.1",
        &with_port,
    ] {
        let place = place(api.url(), direct);
        place.run(&["check-api"]).expect(0);
        place.run(&["sync"]).expect(0);
    }
    let finished = place(api.url(), "127.0.0.2").run(&["check-api"]);
    finished.expect(3).says("proxy");
    // Webhooks go the same way.
    let place = place(broken.url(), "*");
    place.edit("mappings.yaml", "initial: 500ms", "initial: 5ms");
    place.edit("mappings.yaml", "max: 30s ", "max: 20ms ");
    place.run(&["sync"]).expect(3);
    assert_eq!(ear.requests().len(), 1);
}

#[test]
fn every_answer_that_is_no_page_has_a_line_and_advice_of_its_own() {
    let status = |code| Server::new().always(Fault::Status(code));
    failed(
        &of(status(401), 3),
        "authentication",
        "401",
        "complete, current",
    );
    failed(&of(status(403), 3), "authentication", "403", "may not read");
    failed(&of(status(404), 3), "http", "404", "the endpoint's path");
    failed(&of(status(500), 3), "http", "500", "on the API's side");
    failed(&of(status(503), 3), "http", "503", "on the API's side");
    let wait = vec![("Retry-After", "120".to_owned())];
    let result = of(Server::new().always(Fault::StatusWith(429, wait)), 3);
    failed(&result, "http", "it asks to wait 120 s", "concurrency");
    let location = vec![("Location", "https://elsewhere.example/x?token=t".to_owned())];
    let result = of(Server::new().always(Fault::StatusWith(302, location)), 3);
    failed(
        &result,
        "http",
        "to https://elsewhere.example",
        "API_BASE_URL",
    );
    let body = |kind, text: &str| Server::new().always(Fault::Body(kind, text.into()));
    failed(
        &of(body("text/html", "<html>hello</html>"), 3),
        "json",
        "text/html",
        "API_BASE_URL",
    );
    failed(
        &of(body("application/json", ""), 3),
        "json",
        "empty body",
        "",
    );
    failed(
        &of(body("application/json", "{\"rows\":[]}"), 3),
        "records",
        "rows",
        "records",
    );
}

#[test]
fn an_empty_page_is_no_failure_but_worth_a_word() {
    let result = of(Server::new(), 0);
    told(&result, "records", "is there nothing to sync");
}

#[test]
fn the_paging_style_that_was_seen_is_told_with_the_announced_total() {
    for (paging, style, seen) in [
        (Paging::Page, "page", "page, 250 records announced"),
        (Paging::Cursor, "auto", "cursor"),
        (Paging::NextLink, "auto", "link"),
        (Paging::LinkHeader, "auto", "link"),
        (Paging::Offset, "offset", "offset"),
        (Paging::None, "none", "none"),
    ] {
        let api = Server::new().records(texts(250)).paging(paging).start();
        let place = Workplace::new().with_api(api.url());
        place.edit("mappings.yaml", "style: page ", &format!("style: {style} "));
        let finished = place.run(&["check-api", "--output", "json"]);
        finished.expect(0);
        told(&finished.json(), "pagination", seen);
    }
}

#[test]
fn rate_limit_headers_and_a_clock_that_is_wrong_are_told() {
    let headers = vec![
        ("X-RateLimit-Limit", "100".to_owned()),
        ("X-RateLimit-Remaining", "7".to_owned()),
        ("Date", "Sat, 01 Jan 2000 00:00:00 GMT".to_owned()),
    ];
    let result = of(
        Server::new()
            .records(texts(3))
            .always(Fault::Headers(headers)),
        0,
    );
    told(&result, "rate-limit", "x-ratelimit-remaining: 7");
    told(&result, "clock", "NTP");
    let now = jiff::Timestamp::now()
        .strftime("%a, %d %b %Y %T GMT")
        .to_string();
    let result = of(
        Server::new()
            .records(texts(3))
            .always(Fault::Headers(vec![("Date", now)])),
        0,
    );
    assert_eq!(check(&result, "clock")["hint"], Value::Null, "{result}");
}

#[test]
fn mapped_fields_are_compared_with_the_sample_in_both_directions() {
    let records: Vec<String> = texts(3)
        .iter()
        .map(|text| text.replace("\"quality_score\"", "\"score\""))
        .collect();
    let result = of(Server::new().records(records), 0);
    told(
        &result,
        "fields",
        "5 of 6 mapped fields are in the sample; absent: quality_score",
    );
    told(&result, "fields", "mapped by nobody: score, shoe_size");
    let result = of(Server::new().records(["{\"external_id\":\"1\"}"]), 3);
    failed(&result, "fields", "full_name", "mappings.yaml");
}
