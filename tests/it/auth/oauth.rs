//! OAuth 2 with client credentials: one token for all threads, renewed where the API refuses it, and every way in which a
//! token endpoint can fail.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::{place, records};
use crate::support::Workplace;
use crate::support::http::{Fault, Paging, Reply, Request, Running, Server};
use crate::support::postgres::Database;

pub const SECRET: &str = "canary-client-secret";

/// The form in the body of a request.
pub fn form(request: &Request) -> BTreeMap<String, String> {
    let url = reqwest::Url::parse(&format!("http://form/?{}", request.body)).unwrap();
    url.query_pairs().into_owned().collect()
}

pub fn answer(status: u16, body: &Value) -> Reply {
    let headers = vec![("Content-Type", "application/json".to_owned())];
    Reply::Instead(status, headers, body.to_string())
}

/// A token endpoint whose tokens are counted; each has these members more.
fn issuer(more: &Value) -> Running {
    let more = more.clone();
    let count = Mutex::new(0);
    Server::new()
        .script(move |_| {
            let mut count = count.lock().unwrap();
            *count += 1;
            let mut token =
                json!({ "access_token": format!("canary-access-{count}"), "token_type": "Bearer" });
            for (name, value) in more.as_object().unwrap() {
                token[name] = value.clone();
            }
            Some(answer(200, &token))
        })
        .start()
}

/// An API that accepts what `accepts` says of the Authorization header.
fn api(count: usize, accepts: impl Fn(&str) -> bool + Send + Sync + 'static) -> Server {
    Server::new()
        .records(records(count))
        .paging(Paging::Page)
        .token(None)
        .script(move |request| {
            let given = request
                .headers
                .get("authorization")
                .map_or("", String::as_str);
            (!accepts(given)).then(|| answer(401, &json!({ "message": "canary" })))
        })
}

fn auth(token_url: &str, more: &str) -> String {
    format!(
        "{{ type: oauth2, token_url: \"{token_url}/oauth/token\", client_id: canary-client, client_secret: \"${{SECRET}}\"{more} }}"
    )
}

/// Pages of 5 records, quick retries.
fn quick(api: &Running, database: &Database, auth: &str) -> Workplace {
    let place = place(api, auth)
        .with_database(database)
        .env("SECRET", SECRET);
    place.edit("mappings.yaml", "size: 100", "size: 5");
    place.edit("mappings.yaml", "max_attempts: 3", "max_attempts: 1");
    place
}

#[test]
fn all_threads_share_one_token_that_the_client_is_given() {
    let tokens = issuer(&json!({ "expires_in": 3600 }));
    let api = api(100, |given| given == "Bearer canary-access-1")
        .latency(Duration::from_millis(20))
        .start();
    let database = Database::new();
    let auth = auth(
        tokens.url(),
        ", scopes: [read, write], audience: \"https://api\"",
    );
    let (finished, report) = quick(&api, &database, &auth).sync(&[]);
    finished.expect(0);
    assert_eq!(report["ledger"]["inserted"], 100);
    let asked = tokens.requests();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].method, "POST");
    assert_eq!(
        asked[0].headers["authorization"],
        "Basic Y2FuYXJ5LWNsaWVudDpjYW5hcnktY2xpZW50LXNlY3JldA=="
    );
    let expected = [
        ("audience", "https://api"),
        ("grant_type", "client_credentials"),
        ("scope", "read write"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(form(&asked[0]), expected.into());
    assert!(api.requests().len() >= 20);
}

#[test]
fn credentials_go_into_the_body_where_the_server_wants_them_there() {
    let tokens = issuer(&json!({}));
    let api = api(3, |given| given == "Zoho-oauthtoken canary-access-1").start();
    let database = Database::new();
    let auth = auth(
        tokens.url(),
        ", credentials_in: body, scheme: Zoho-oauthtoken",
    );
    quick(&api, &database, &auth).sync(&[]).0.expect(0);
    let asked = tokens.requests();
    assert!(!asked[0].headers.contains_key("authorization"));
    let form = form(&asked[0]);
    assert_eq!(form["client_id"], "canary-client");
    assert_eq!(form["client_secret"], SECRET);
}

#[test]
fn a_token_that_is_refused_in_mid_run_is_renewed_once_for_all_threads() {
    let tokens = issuer(&json!({ "expires_in": 3600 }));
    let served = Mutex::new(0);
    let api = api(100, move |given| match given {
        "Bearer canary-access-1" => {
            let mut served = served.lock().unwrap();
            *served += 1;
            *served <= 7
        }
        given => given == "Bearer canary-access-2",
    })
    .latency(Duration::from_millis(20))
    .start();
    let database = Database::new();
    let place = quick(&api, &database, &auth(tokens.url(), ""));
    // The repeated request is no retry.
    place.edit("mappings.yaml", "max_attempts: 1", "max_attempts: 0");
    let (finished, report) = place.sync(&[]);
    finished.expect(0);
    assert_eq!(report["ledger"]["inserted"], 100);
    assert_eq!(tokens.requests().len(), 2);
}

#[test]
fn an_api_that_refuses_every_token_is_not_asked_for_ever() {
    let tokens = issuer(&json!({ "expires_in": 3600 }));
    let api = api(100, |_| false).start();
    let database = Database::new();
    let finished = quick(&api, &database, &auth(tokens.url(), "")).run(&["sync"]);
    finished
        .expect(3)
        .says("refused the access token, also a new one");
    // And the same again by the checks of the case.
    assert_eq!(tokens.requests().len(), 4);
    assert_eq!(api.requests().len(), 4);
}

#[test]
fn a_life_that_is_absent_or_no_life_is_not_believed() {
    for life in [
        json!(null),
        json!(0),
        json!(-5),
        json!(1),
        json!("soon"),
        json!(1e300),
    ] {
        let tokens = issuer(&json!({ "expires_in": life }));
        let api = api(50, |given| given == "Bearer canary-access-1").start();
        let database = Database::new();
        let (finished, report) = quick(&api, &database, &auth(tokens.url(), "")).sync(&[]);
        finished.expect(0);
        assert_eq!(report["ledger"]["inserted"], 50);
        assert_eq!(tokens.requests().len(), 1, "expires_in: {life}");
    }
}

#[test]
fn a_token_is_renewed_before_it_expires_and_serves_on_while_its_server_is_away() {
    let tokens = Server::new()
        .script({
            let count = Mutex::new(0);
            move |_| {
                let mut count = count.lock().unwrap();
                *count += 1;
                let token =
                    json!({ "access_token": format!("canary-access-{count}"), "expires_in": 11 });
                // The first renewal, and its retry, fail.
                Some(answer(
                    if matches!(*count, 2 | 3) { 503 } else { 200 },
                    &token,
                ))
            }
        })
        .start();
    let used = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&used);
    let api = api(20, move |given| {
        seen.lock().unwrap().push(given.to_owned());
        given.starts_with("Bearer canary-access-")
    })
    .latency(Duration::from_millis(5_100))
    .start();
    let database = Database::new();
    let place = quick(&api, &database, &auth(tokens.url(), ""));
    place.edit("mappings.yaml", "concurrency: 4", "concurrency: 1");
    let (finished, report) = place.sync(&[]);
    finished.expect(0).says("the token at hand is still valid");
    assert_eq!(report["ledger"]["inserted"], 20);
    let used = used.lock().unwrap();
    // Requests at about 0, 5.1, 10.2 and 15.3 s; the token is due at 9.9 s and expires at 11 s.
    assert_eq!(
        used[..4],
        [1, 1, 1, 4].map(|number| format!("Bearer canary-access-{number}"))
    );
}

/// What is wrong with a token endpoint, and what check-api says of it.
fn failures() -> Vec<(Reply, &'static str, &'static str)> {
    let html = vec![("Content-Type", "text/html".to_owned())];
    let error = |code: &str| json!({ "error": code, "error_description": "canary-description" });
    vec![
        (
            answer(401, &error("invalid_client")),
            "does not accept the client (`invalid_client`",
            "`client_secret`",
        ),
        (
            answer(400, &error("invalid_client")),
            "does not accept the client (`invalid_client`",
            "`client_secret`",
        ),
        (
            answer(401, &json!("canary-text")),
            "does not accept the client: 401",
            "`client_secret`",
        ),
        (
            answer(400, &error("invalid_scope")),
            "does not allow these scopes (`invalid_scope`",
            "`scopes`",
        ),
        (
            answer(400, &error("unauthorized_client")),
            "may not use this grant",
            "`grant`",
        ),
        (
            answer(400, &error("canary-code")),
            "answered 400",
            "`token_url`",
        ),
        (
            answer(200, &error("invalid_scope")),
            "does not allow these scopes",
            "`scopes`",
        ),
        (
            answer(404, &json!({})),
            "there is no token endpoint: 404",
            "`token_url`",
        ),
        (
            Reply::Instead(200, html, "<html>canary</html>".to_owned()),
            "something else than a JSON object (19 bytes, ",
            "`token_url`",
        ),
        (
            answer(200, &json!([])),
            "something else than a JSON object",
            "`token_url`",
        ),
        (
            answer(200, &json!({ "token": "canary-token" })),
            "without an `access_token`",
            "`token_url`",
        ),
        (
            answer(200, &json!({ "access_token": "a\nb" })),
            "without an `access_token`",
            "`token_url`",
        ),
        (answer(500, &json!({})), "answered 500", "try again later"),
    ]
}

#[test]
fn check_api_tells_the_failures_of_a_token_endpoint_apart_and_no_secret_gets_out() {
    let api = api(3, |_| true).start();
    let database = Database::new();
    for (reply, detail, hint) in failures() {
        let tokens = Server::new().script(move |_| Some(reply.clone())).start();
        let place = quick(&api, &database, &auth(tokens.url(), "")).env("RUST_LOG", "trace");
        let finished = place.run(&["check-api", "--output", "json"]);
        finished.expect(3);
        step_failed(&finished.json(), detail, hint);
        let run = place.run(&["sync", "-vvv"]);
        run.expect(3).says(detail);
        assert_eq!(database.one("SELECT count(*)::text FROM customers"), "0");
        let cases = database
            .list("SELECT document::text FROM sync_cases")
            .join("\n");
        assert!(cases.contains("api:token"), "{cases}");
        for canary in ["canary", SECRET] {
            for text in [
                &finished.stdout,
                &finished.stderr,
                &run.stderr,
                &run.stdout,
                &cases,
            ] {
                assert!(!text.contains(canary), "{canary} got out: {text}");
            }
        }
    }
    assert!(api.requests().is_empty());
}

fn step_failed(result: &Value, detail: &str, hint: &str) {
    let checks = result["checks"].as_array().unwrap();
    let last = checks.last().unwrap();
    assert_eq!(
        (&last["name"], &last["ok"]),
        (&json!("token"), &json!(false)),
        "{result}"
    );
    for (key, words) in [("detail", detail), ("hint", hint)] {
        assert!(
            last[key].as_str().unwrap().contains(words),
            "no {words:?} in {last}"
        );
    }
}

#[test]
fn a_token_endpoint_that_cannot_be_reached_is_told_apart() {
    let api = api(3, |_| true).start();
    let database = Database::new();
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let closed = format!("http://127.0.0.1:{port}");
    let (tls, _) = Server::new().tls();
    let tls = tls.start();
    let slow = Server::new()
        .always(Fault::Delay(Duration::from_secs(5)))
        .start();
    let dripping = Server::new()
        .always(Fault::Drip(Duration::from_secs(1)))
        .start();
    for (url, detail, hint) in [
        (
            closed.as_str(),
            "nobody listens at the token endpoint",
            "`token_url`",
        ),
        (
            "https://token.invalid",
            "could not be resolved",
            "`token_url`",
        ),
        (
            tls.url(),
            "no secure connection to the token endpoint",
            "SSL_CERT_FILE",
        ),
        (
            slow.url(),
            "within 0.5 s",
            "is the server of `token_url` up?",
        ),
        (
            dripping.url(),
            "within 0.5 s",
            "is the server of `token_url` up?",
        ),
    ] {
        let place = quick(&api, &database, &auth(url, ""));
        place.edit("mappings.yaml", "timeout: 30s", "timeout: 500ms");
        let finished = place.run(&["check-api", "--output", "json"]);
        finished.expect(3);
        step_failed(&finished.json(), detail, hint);
        place.run(&["sync"]).expect(3).says(detail);
    }
    assert!(api.requests().is_empty());
    // A failure that passes is survived.
    let count = Mutex::new(0);
    let tokens = Server::new()
        .script(move |_| {
            let mut count = count.lock().unwrap();
            *count += 1;
            Some(answer(
                if *count == 1 { 503 } else { 200 },
                &json!({ "access_token": "t" }),
            ))
        })
        .start();
    quick(&api, &database, &auth(tokens.url(), ""))
        .sync(&[])
        .0
        .expect(0);
}

#[test]
fn credentials_do_not_follow_a_redirect_of_the_token_endpoint() {
    let stranger = issuer(&json!({}));
    let target = format!("{}/oauth/token", stranger.url());
    let api = api(3, |_| true).start();
    let database = Database::new();
    for status in [301, 302, 307, 308] {
        let headers = vec![("Location", target.clone())];
        let tokens = Server::new()
            .always(Fault::StatusWith(status, headers))
            .start();
        let finished = quick(&api, &database, &auth(tokens.url(), "")).run(&["sync"]);
        finished.expect(3).says("redirects to http://127.0.0.1:");
    }
    assert!(stranger.requests().is_empty() && api.requests().is_empty());
}

#[test]
fn check_api_shows_the_token_as_a_step_of_its_own() {
    let tokens = issuer(&json!({ "expires_in": 3600 }));
    let api = api(3, |_| true).start();
    let database = Database::new();
    let finished = quick(&api, &database, &auth(tokens.url(), "")).run(&["check-api"]);
    finished
        .expect(0)
        .says("issued an access token that is valid for 3600 s")
        .says("the access token is accepted");
    assert!(!finished.stdout.contains("canary"), "{finished}");
}
