//! Rows 1 to 15 of the faults: what the network and the server can do to an exchange.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use datasync::api::{Class, Client, FetchOptions};
use datasync::config::plan::{Auth, Credential, PageStyle};
use datasync::config::secret::Secret;

use super::{error_of, fetch, fetch_with, plan, records};
use crate::support::http::{Fault, Paging, Server};

/// Each of these, once, is survived by a retry.
fn is_retried(fault: Fault, kind: &str) {
    for number in [1, 2] {
        let server = Server::new()
            .records(records(35))
            .paging(Paging::Cursor)
            .fault(number, fault.clone())
            .start();
        let mut api = plan(server.url(), PageStyle::Cursor);
        api.fetch.timeout = Duration::from_millis(400);
        let fetched = fetch(&api);
        assert!(fetched.errors.is_empty(), "{fault:?}: {:?}", fetched.errors);
        assert_eq!(fetched.records(), records(35), "{fault:?}");
        assert_eq!(
            fetched.stats.retries_by_kind,
            [(lookup(kind), 1)],
            "{fault:?}"
        );
        assert_eq!(fetched.pages[&(number as u64 - 1)].tries, 2, "{fault:?}");
        assert_eq!(server.requests().len(), 5, "{fault:?}");
    }
}

fn lookup(kind: &str) -> &str {
    kind
}

/// Each of these, always, fails after 4 tries.
fn is_given_up(fault: Fault, kind: &str) -> String {
    let server = Server::new()
        .records(records(35))
        .always(fault.clone())
        .start();
    let mut api = plan(server.url(), PageStyle::Page);
    api.fetch.timeout = Duration::from_millis(300);
    let fetched = fetch(&api);
    let error = fetched.error();
    assert_eq!(error.kind(), kind, "{fault:?}: {error}");
    assert_eq!(error.tries(), 4, "{fault:?}");
    assert_eq!(error.class(), Class::Transient);
    assert_eq!(server.requests().len(), 4, "{fault:?}");
    assert!(fetched.pages.is_empty(), "{fault:?}: a partial page");
    error.to_string()
}

#[test]
fn a_closed_port_is_tried_four_times() {
    let port = {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.local_addr().unwrap().port()
    };
    let fetched = fetch(&plan(&format!("http://127.0.0.1:{port}"), PageStyle::Page));
    let error = fetched.error();
    assert_eq!((error.kind(), error.tries()), ("refused", 4));
    assert_eq!(fetched.stats.retries, 3);
    let text = error.to_string();
    assert!(
        text.contains(&format!("127.0.0.1:{port}")) && text.contains("API_BASE_URL"),
        "{text}"
    );
}

#[test]
fn a_name_without_an_address_is_told_from_a_refusal() {
    let mut api = plan("http://no-such-host.invalid:81", PageStyle::Page);
    api.fetch.retry.max_attempts = 1;
    let fetched = fetch(&api);
    assert_eq!(
        (fetched.error().kind(), fetched.error().tries()),
        ("dns", 2)
    );
    assert!(fetched.error().to_string().contains("no-such-host.invalid"));
}

#[test]
fn a_connection_nobody_accepts_runs_into_the_deadline() {
    // A full accept queue drops SYNs: the closest thing to a black hole on loopback.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any: std::net::SocketAddr = "127.0.0.1:0".parse().unwrap();
    socket.bind(&any.into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let fill: Vec<_> = (0..4)
        .map(|_| std::net::TcpStream::connect_timeout(&address, Duration::from_millis(50)))
        .collect();
    let mut api = plan(&format!("http://{address}"), PageStyle::Page);
    api.fetch.timeout = Duration::from_millis(200);
    let started = Instant::now();
    let fetched = fetch(&api);
    assert_eq!(
        (fetched.error().kind(), fetched.error().tries()),
        ("timeout", 4)
    );
    assert!(
        started.elapsed() < Duration::from_millis(1700),
        "{:?}",
        started.elapsed()
    );
    drop(fill);
}

#[test]
fn a_stall_before_the_headers_is_timed_out() {
    is_retried(Fault::Delay(Duration::from_millis(700)), "timeout");
    let text = is_given_up(Fault::Delay(Duration::from_millis(700)), "timeout");
    assert!(text.contains("within 0.3 s"), "{text}");
}

#[test]
fn a_dripping_body_does_not_outlive_the_request_timeout() {
    is_retried(Fault::Drip(Duration::from_millis(30)), "timeout");
    let text = is_given_up(Fault::Drip(Duration::from_millis(30)), "timeout");
    assert!(text.contains("of the body received"), "{text}");
}

#[test]
fn a_body_shorter_than_announced_is_no_page() {
    is_retried(Fault::CutLength, "reset");
    is_given_up(Fault::CutLength, "reset");
    is_retried(Fault::CutChunked, "reset");
    is_given_up(Fault::CutChunked, "reset");
}

#[test]
fn a_body_cut_without_a_length_is_found_by_its_json() {
    is_retried(Fault::CutClose, "not_json");
    let text = is_given_up(Fault::CutClose, "not_json");
    assert!(text.contains("cut short"), "{text}");
}

#[test]
fn a_reset_and_a_hang_up_are_retried() {
    is_retried(Fault::Reset, "reset");
    is_given_up(Fault::Reset, "reset");
    is_retried(Fault::Hangup, "reset");
    is_given_up(Fault::Hangup, "reset");
}

#[test]
fn server_errors_are_retried() {
    for status in [500, 502, 503, 504] {
        is_retried(Fault::Status(status), "status");
        let text = is_given_up(Fault::Status(status), "status");
        assert!(text.contains(&status.to_string()), "{text}");
    }
    is_retried(Fault::Status(429), "rate_limited");
}

#[test]
fn garbage_instead_of_http_is_named() {
    let text = is_given_up(
        Fault::Raw(b"SSH-2.0-OpenSSH_9.2\r\n\r\n".to_vec()),
        "not_http",
    );
    assert!(text.contains("not HTTP"), "{text}");
}

#[test]
fn retry_after_is_honoured_and_capped() {
    let asked = |value: &str| Fault::StatusWith(429, vec![("Retry-After", value.to_owned())]);
    let took = |fault| {
        let server = Server::new().records(records(5)).fault(1, fault).start();
        let mut api = plan(server.url(), PageStyle::Page);
        api.fetch.retry.max = Duration::from_millis(1300);
        let started = Instant::now();
        assert_eq!(fetch(&api).records().len(), 5);
        started.elapsed()
    };
    let seconds = took(asked("1"));
    assert!(
        (Duration::from_secs(1)..Duration::from_millis(1290)).contains(&seconds),
        "{seconds:?}"
    );
    let huge = took(asked("99999999999999999999"));
    assert!((1300..1900).contains(&huge.as_millis()), "{huge:?}");
    let past = took(asked("Sun, 06 Nov 1994 08:49:37 GMT"));
    assert!(past < Duration::from_millis(500), "{past:?}");
    let date = took(Fault::StatusWith(
        503,
        vec![
            ("Date", "Sun, 22 Nov 2026 10:00:00 GMT".to_owned()),
            ("Retry-After", "Sun, 22 Nov 2026 10:00:01 GMT".to_owned()),
        ],
    ));
    assert!(
        (Duration::from_secs(1)..Duration::from_millis(1290)).contains(&date),
        "{date:?}"
    );
}

#[test]
fn one_429_slows_all_threads() {
    let server = Server::new()
        .records(records(100))
        .fault(
            2,
            Fault::StatusWith(429, vec![("Retry-After", "1".to_owned())]),
        )
        .latency(Duration::from_millis(20))
        .start();
    let mut api = plan(server.url(), PageStyle::Page);
    api.fetch.retry.max = Duration::from_millis(500);
    let started = Instant::now();
    assert_eq!(fetch(&api).records().len(), 100);
    assert!(started.elapsed() >= Duration::from_millis(500));
}

#[test]
fn a_pace_is_kept() {
    let server = Server::new().records(records(60)).start();
    let mut api = plan(server.url(), PageStyle::Page);
    api.max_requests_per_second = Some(20.0);
    let started = Instant::now();
    assert_eq!(fetch(&api).records().len(), 60);
    // 6 requests, 5 intervals of 50 ms.
    assert!(
        started.elapsed() >= Duration::from_millis(250),
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn a_refused_token_is_not_tried_again() {
    for status in [401, 403] {
        let server = Server::new()
            .records(records(5))
            .always(Fault::Status(status))
            .start();
        let error = error_of(&server, PageStyle::Page);
        assert_eq!(
            (error.kind(), error.class()),
            ("unauthorized", Class::Fatal)
        );
        assert_eq!(error.status(), Some(status));
        assert!(error.to_string().contains("check API_TOKEN"), "{error}");
        assert_eq!(server.requests().len(), 1);
    }
    let server = Server::new()
        .records(records(5))
        .token(Some("another"))
        .start();
    assert_eq!(error_of(&server, PageStyle::Page).status(), Some(401));
}

#[test]
fn other_client_errors_are_not_tried_again() {
    for status in [400, 404, 405, 410, 422, 501] {
        let server = Server::new().always(Fault::Status(status)).start();
        let error = error_of(&server, PageStyle::Page);
        assert_eq!((error.kind(), error.status()), ("status", Some(status)));
        assert_eq!(server.requests().len(), 1, "{status}");
    }
}

#[test]
fn a_redirect_stops_and_names_the_host() {
    let other = Server::new().records(records(5)).start();
    for status in [301, 302, 307, 308] {
        let location = format!("{}/somewhere?secret=1", other.url());
        let server = Server::new()
            .always(Fault::StatusWith(status, vec![("Location", location)]))
            .start();
        let error = error_of(&server, PageStyle::Page);
        assert_eq!((error.kind(), error.tries()), ("redirect", 1));
        assert!(error.to_string().contains(other.url()), "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
        assert_eq!(server.requests().len(), 1);
    }
    assert!(other.requests().is_empty(), "the token went nowhere");
}

#[test]
fn headers_of_two_megabytes_are_a_clear_error() {
    let server = Server::new()
        .records(records(5))
        .always(Fault::Headers(vec![("X-Junk", "j".repeat(2 << 20))]))
        .start();
    let error = error_of(&server, PageStyle::Page);
    assert_eq!(
        (error.kind(), error.class()),
        ("headers_too_large", Class::Data)
    );
    let many = (0..500).map(|_| ("X-Junk", "j".to_owned())).collect();
    let server = Server::new()
        .records(records(5))
        .always(Fault::Headers(many))
        .start();
    assert_eq!(
        error_of(&server, PageStyle::Page).kind(),
        "headers_too_large"
    );
}

#[test]
fn a_certificate_nobody_vouches_for_is_refused_without_a_hint_to_look_away() {
    let (server, _) = Server::new().records(records(5)).tls();
    let server = server.start();
    let error = error_of(&server, PageStyle::Page);
    assert_eq!(
        (error.kind(), error.class(), error.tries()),
        ("tls", Class::Fatal, 1)
    );
    let text = error.to_string().to_lowercase();
    assert!(
        text.contains("certificate") && text.contains("ssl_cert_file"),
        "{text}"
    );
    for bad in ["insecure", "skip", "disable", "danger"] {
        assert!(!text.contains(bad), "{text}");
    }
    assert!(server.requests().is_empty());
}

#[test]
fn plain_http_to_a_tls_port_and_the_reverse_are_errors() {
    let (server, _) = Server::new().tls();
    let server = server.start();
    let plain = server.url().replace("https", "http");
    let fetched = fetch(&plan(&plain, PageStyle::Page));
    assert_eq!(fetched.error().tries(), 4);
    let server = Server::new().start();
    let fetched = fetch(&plan(
        &server.url().replace("http", "https"),
        PageStyle::Page,
    ));
    assert!(
        ["tls", "reset", "timeout"].contains(&fetched.error().kind()),
        "{}",
        fetched.error()
    );
}

#[test]
fn the_deadline_of_the_run_bounds_tries_and_sleeps() {
    let cases = [
        Fault::Delay(Duration::from_secs(3)),
        Fault::StatusWith(503, vec![("Retry-After", "30".to_owned())]),
    ];
    for fault in cases {
        let server = Server::new()
            .records(records(5))
            .always(fault.clone())
            .start();
        let mut api = plan(server.url(), PageStyle::Page);
        api.fetch.retry.max = Duration::from_mins(1);
        let started = Instant::now();
        let want = FetchOptions {
            deadline: Some(Instant::now() + Duration::from_millis(300)),
            ..FetchOptions::default()
        };
        let fetched = fetch_with(&api, want);
        assert_eq!(fetched.error().kind(), "deadline", "{fault:?}");
        assert!(
            started.elapsed() < Duration::from_millis(900),
            "{:?}",
            started.elapsed()
        );
    }
}

#[test]
fn a_token_no_header_can_carry_is_said_before_anything_is_sent() {
    let mut api = plan("http://127.0.0.1:1", PageStyle::Page);
    api.auth = Auth::Header {
        name: "Authorization".to_owned(),
        value: Secret::new("Bearer first\nsecond".to_owned()),
        credential: Credential::Token,
    };
    let error = Client::new(&api).unwrap_err();
    assert_eq!(error.kind(), "config");
    assert!(error.to_string().contains("API_TOKEN") && !error.to_string().contains("second"));
}

#[test]
fn configured_headers_replace_the_defaults() {
    let server = Server::new().records(records(5)).token(None).start();
    let mut api = plan(server.url(), PageStyle::Page);
    api.fetch.headers = vec![
        (
            "authorization".to_owned(),
            Secret::new("Basic eDp5".to_owned()),
        ),
        ("X-Api-Key".to_owned(), Secret::new("k".to_owned())),
        (
            "Accept".to_owned(),
            Secret::new("application/vnd.x+json".to_owned()),
        ),
    ];
    fetch(&api);
    let request = &server.requests()[0];
    assert_eq!(request.headers["authorization"], "Basic eDp5");
    assert_eq!(request.headers["x-api-key"], "k");
    assert_eq!(request.headers["accept"], "application/vnd.x+json");
}
