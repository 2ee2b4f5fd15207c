//! Rows 1 to 15: what can happen between us and the API.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use super::{count, fails, hasty, passes, place, rows, texts};
use crate::support::Workplace;
use crate::support::http::{Fault, Server};
use crate::support::postgres::Database;

/// A run against an address where no scripted server is.
fn against(url: &str, says: &str) -> serde_json::Value {
    let database = Database::new();
    let (finished, report) = hasty(Workplace::connected(url, &database)).sync(&[]);
    finished.expect(3).says(says);
    assert!(report["case_id"].is_string());
    report
}

#[test]
fn row_01_a_refused_connection_is_tried_four_times() {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let report = against(&format!("http://127.0.0.1:{port}"), "check host and port");
    assert_eq!(report["api_retries"], 3);
}

#[test]
fn row_02_a_connect_black_hole_ends_within_the_deadlines() {
    // A queue of one that is full: further connections are neither accepted nor refused.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket
        .bind(
            &"127.0.0.1:0"
                .parse::<std::net::SocketAddr>()
                .unwrap()
                .into(),
        )
        .unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let fillers: Vec<_> = (0..4)
        .filter_map(|_| {
            std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok()
        })
        .collect();
    assert!(!fillers.is_empty());
    let started = Instant::now();
    against(&format!("http://{address}"), "within");
    // Four tries of 1 s, and 10 s of patience for each step of the evidence.
    assert!(
        started.elapsed() < Duration::from_secs(25),
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn row_03_a_stall_before_the_headers_is_retried() {
    passes(Fault::Delay(Duration::from_secs(2)));
}

#[test]
fn row_04_a_dripping_body_meets_the_total_deadline() {
    passes(Fault::Drip(Duration::from_millis(300)));
}

#[test]
fn row_05_a_body_shorter_than_announced_is_retried_and_no_partial_page_is_kept() {
    passes(Fault::CutLength);
    passes(Fault::CutChunked);
}

#[test]
fn row_06_a_body_cut_at_the_close_is_noticed_by_the_parse() {
    passes(Fault::CutClose);
}

#[test]
fn row_07_a_reset_in_the_middle_is_retried() {
    passes(Fault::Reset);
    passes(Fault::Hangup);
}

#[test]
fn row_08_server_errors_are_retried_and_then_given_up() {
    for status in [500, 502, 503, 504] {
        passes(Fault::Status(status));
    }
    fails(Fault::Status(502), 4, "502");
}

#[test]
fn row_09_retry_after_is_honoured_and_capped() {
    // The cap is `retry.max`, 40 ms here: neither an hour nor a date far away keeps the run.
    for wait in [
        "3600",
        "99999999999999999999",
        "Wed, 21 Oct 2099 07:28:00 GMT",
    ] {
        passes(Fault::StatusWith(
            429,
            vec![("Retry-After", wait.to_owned())],
        ));
    }
    fails(
        Fault::StatusWith(429, vec![("Retry-After", "1".to_owned())]),
        4,
        "429",
    );
}

#[test]
fn row_10_a_refused_token_is_not_retried() {
    fails(Fault::Status(401), 1, "API_TOKEN");
    fails(Fault::Status(403), 1, "API_TOKEN");
}

#[test]
fn row_11_a_redirect_stops_the_run_and_names_the_host() {
    let target = vec![(
        "Location",
        "https://elsewhere.example/login?token=leak".to_owned(),
    )];
    let (finished, _) = fails(Fault::StatusWith(302, target), 1, "elsewhere.example");
    assert!(!format!("{finished}").contains("leak"));
}

#[test]
fn row_12_a_gzip_bomb_stops_at_the_cap_and_memory_stays_small() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let zeros = vec![b' '; 1 << 20];
    for _ in 0..300 {
        encoder.write_all(&zeros).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        bomb.len()
    )
    .into_bytes();
    answer.extend(bomb);
    let api = Server::new().always(Fault::Raw(answer)).start();
    let database = Database::new();
    let place = place(&api, &database);
    let inner = place.command(&["sync"]);
    // 300 MiB would not fit into these 244 MiB. By itself glibc reserves 64 MiB of address space for each thread.
    let mut shell = std::process::Command::new("sh");
    shell
        .arg("-c")
        .arg("ulimit -v 250000 && MALLOC_ARENA_MAX=1 exec \"$0\" sync")
        .arg(inner.get_program())
        .current_dir(inner.get_current_dir().unwrap());
    shell
        .env_clear()
        .envs(inner.get_envs().filter_map(|(k, v)| Some((k, v?))));
    let output = shell.output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("32 MiB"),
        "{output:?}"
    );
}

#[test]
fn row_13_a_header_of_two_megabytes_is_a_clear_error() {
    let headers = vec![("X-Large", "x".repeat(2 << 20))];
    let (finished, report) = fails(Fault::StatusWith(200, headers), 1, "header");
    assert!(
        report["errors_by_type"]
            .to_string()
            .contains("headers_too_large"),
        "{finished}"
    );
}

#[test]
fn row_14_a_certificate_nobody_trusts_is_refused_without_a_hint_to_switch_checks_off() {
    let (server, pem) = Server::new().records(texts(10)).tls();
    let api = server.start();
    let database = Database::new();
    let place = place(&api, &database);
    let (finished, _) = place.sync(&[]);
    finished.expect(3).says("certificate");
    for word in ["insecure", "disable", "skip", "danger"] {
        assert!(
            !format!("{finished}").to_lowercase().contains(word),
            "{word}: {finished}"
        );
    }
    assert!(
        api.requests().is_empty(),
        "nothing was sent, the token least of all"
    );
    // Trusted on purpose, by the usual variable, it is fine.
    place.write("ca.pem", &pem);
    let file = place.path("ca.pem").display().to_string();
    let (finished, report) = place.env("SSL_CERT_FILE", file).sync(&[]);
    finished.expect(0);
    assert_eq!(count(&report, "inserted"), 10);
}

#[test]
fn row_15_a_stray_proxy_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let thread = std::thread::spawn(move || {
        for stream in listener.incoming().take(5) {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let read = stream.read(&mut request).unwrap();
            if read == 0 {
                return;
            }
            stream
                .write_all(
                    b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                )
                .unwrap();
        }
    });
    let database = Database::new();
    let place = hasty(Workplace::connected("http://api.example", &database)).env(
        "HTTP_PROXY",
        format!("http://user:proxy-secret@127.0.0.1:{port}"),
    );
    let (finished, _) = place.sync(&[]);
    finished.expect(3);
    place.run(&["check-api"]).says(&format!("127.0.0.1:{port}"));
    assert!(!format!("{finished}").contains("proxy-secret"));
    assert_eq!(rows(&database), "0");
    drop(std::net::TcpStream::connect(("127.0.0.1", port)));
    thread.join().unwrap();
}
