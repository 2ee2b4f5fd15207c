//! Credentials that are always the same: bearer, basic, a key in a header or in the query, none.

use super::{place, records};
use crate::support::http::{Fault, Paging, Reply, Request, Server};
use crate::support::postgres::Database;

const KEY: &str = "canary-key-9d";

/// Syncs 25 records in pages of 10, and returns the requests.
fn requests(auth: &str, paging: Paging) -> Vec<Request> {
    let api = Server::new()
        .records(records(25))
        .paging(paging)
        .token(None)
        .start();
    let database = Database::new();
    let place = place(&api, auth)
        .with_database(&database)
        .env("MY_USER", "anna")
        .env("MY_PASSWORD", "pass word")
        .env("MY_KEY", KEY);
    place.edit("mappings.yaml", "size: 100", "size: 10");
    if paging == Paging::NextLink {
        place.edit("mappings.yaml", "style: page ", "style: link ");
    }
    let (finished, report) = place.sync(&[]);
    finished.expect(0);
    assert_eq!(report["ledger"]["inserted"], 25, "{report}");
    let requests = api.requests();
    assert!(requests.len() >= 3);
    requests
}

#[test]
fn each_form_sends_its_credentials_with_every_request_and_nothing_else() {
    for (auth, header, value) in [
        (
            "{ type: basic, username: \"${MY_USER}\", password: \"${MY_PASSWORD}\" }",
            "authorization",
            "Basic YW5uYTpwYXNzIHdvcmQ=",
        ),
        (
            "{ type: basic, username: \"${MY_KEY}\", password: }",
            "authorization",
            "Basic Y2FuYXJ5LWtleS05ZDo=",
        ),
        (
            "{ type: header, name: X-Api-Key, value: \"${MY_KEY}\" }",
            "x-api-key",
            KEY,
        ),
        (
            "{ type: header, name: Authorization, value: \"Key ${MY_KEY}\" }",
            "authorization",
            "Key canary-key-9d",
        ),
    ] {
        for request in requests(auth, Paging::Page) {
            assert_eq!(request.headers[header], value, "{auth}");
            let has_authorization = request.headers.contains_key("authorization");
            assert_eq!(has_authorization, header == "authorization", "{auth}");
            assert_eq!(request.param("api_key"), None);
        }
    }
    for request in requests("{ type: none }", Paging::Page) {
        assert!(!request.headers.contains_key("authorization"));
    }
}

#[test]
fn a_token_may_have_another_word_before_it() {
    let api = Server::new()
        .records(records(3))
        .token(None)
        .script(|request| {
            (request.headers.get("authorization")? != "Token secret-1")
                .then(|| Reply::Instead(401, vec![], String::new()))
        })
        .start();
    let database = Database::new();
    let place = place(&api, "{ type: bearer, scheme: Token }").with_database(&database);
    place.run(&["sync"]).expect(2).says("API_TOKEN");
    let place = place.env("API_TOKEN", "secret-1");
    place.sync(&[]).0.expect(0);
    assert_eq!(api.requests().len(), 1);
}

#[test]
fn a_key_in_the_query_is_sent_once_with_every_page_and_is_never_told() {
    let auth = "{ type: query, name: api_key, value: \"${MY_KEY}\" }";
    for paging in [Paging::Page, Paging::NextLink] {
        for request in requests(auth, paging) {
            let keys: Vec<&str> = request
                .query
                .iter()
                .filter(|(name, _)| name == "api_key")
                .map(|(_, value)| value.as_str())
                .collect();
            assert_eq!(keys, [KEY], "{paging:?}");
            assert!(!request.headers.contains_key("authorization"));
        }
    }
}

#[test]
fn a_key_in_the_query_that_a_next_link_repeats_is_sent_once() {
    let api = Server::new()
        .records(records(25))
        .paging(Paging::NextLink)
        .page_size(10)
        .token(None)
        .rewrite(|_, body| body.replace('?', "?api_key=canary-key-9d&x=%24a+b&"))
        .start();
    let database = Database::new();
    let place = place(&api, "{ type: query, name: api_key, value: canary-key-9d }")
        .with_database(&database);
    place.edit("mappings.yaml", "style: page ", "style: link ");
    place.sync(&[]).0.expect(0);
    for request in &api.requests()[1..] {
        let keys = request.query.iter().filter(|(name, _)| name == "api_key");
        assert_eq!(keys.count(), 1, "{request:?}");
        assert_eq!(request.param("x"), Some("$a b"));
    }
}

#[test]
fn no_credential_of_any_form_is_in_a_log_message_report_or_case() {
    let moved = vec![("Location", "/elsewhere?api_key=canary-key-9d".to_owned())];
    let faults = [
        Fault::Status(401),
        Fault::Status(403),
        Fault::Status(500),
        Fault::StatusWith(301, moved),
        Fault::Hangup,
        Fault::Body("text/html", b"<html>".to_vec()),
    ];
    let database = Database::new();
    for auth in [
        "{ type: query, name: api_key, value: \"${MY_KEY}\" }",
        "{ type: query, name: limit, value: \"4711471147\" }",
        "{ type: header, name: X-Api-Key, value: \"${MY_KEY}\" }",
        "{ type: basic, username: \"canary-user-1\", password: \"${MY_KEY}\" }",
    ] {
        let mut said = String::new();
        for fault in &faults {
            let api = Server::new().always(fault.clone()).token(None).start();
            let place = place(&api, auth)
                .with_database(&database)
                .env("MY_KEY", KEY)
                .env("RUST_LOG", "trace");
            for arguments in [
                &["sync", "-vvv"][..],
                &["sync", "--output", "json"],
                &["check-api"],
                &["case", "list"],
            ] {
                let finished = place.run(arguments);
                said += &finished.stderr;
                said += &finished.stdout;
            }
        }
        said += &database
            .list("SELECT document::text FROM sync_cases")
            .join("\n");
        said += &database
            .list("SELECT coalesce(error_message, '') FROM sync_log")
            .join("\n");
        assert!(said.len() > 5_000, "something was said");
        let basic = "Y2FuYXJ5LXVzZXItMTpjYW5hcnkta2V5LTlk";
        for canary in [KEY, "canary-user-1", "4711471147", basic] {
            assert!(!said.contains(canary), "{canary} got out by {auth}");
        }
    }
}

#[test]
fn a_refusal_says_which_credentials_to_look_at() {
    for (auth, words) in [
        (
            "{ type: basic, username: a, password: b }",
            "`username` and `password`",
        ),
        (
            "{ type: header, name: X-Api-Key, value: k }",
            "`value` of mappings.api.auth",
        ),
        ("{ type: none }", "mappings.api.auth, API_TOKEN"),
    ] {
        let api = Server::new().always(Fault::Status(401)).start();
        let finished = place(&api, auth).run(&["check-api"]);
        finished.expect(3).says("check ").says(words);
        assert!(!finished.stdout.contains("check API_TOKEN"), "{finished}");
    }
    let api = Server::new().records(records(3)).token(None).start();
    let finished = place(&api, "{ type: header, name: X-Api-Key, value: k }").run(&["check-api"]);
    finished.expect(0).says("the key is accepted");
}
