//! What the API may answer, and what an id may hold.

use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use super::{ledger, place, puts, says, server, text, texts, unsendable, waiting};
use crate::support::http::{Reply, Request, Server};
use crate::support::postgres::Database;

#[test]
fn a_record_that_changed_meanwhile_is_not_overwritten_and_the_case_says_what_differs() {
    let database = Database::new();
    let changed = |request: &Request| {
        // The version that was read is 1, but W-0002 is at 2 by now; W-0003 is at 2 because our own first try arrived.
        let id = request.path.rsplit('/').next().unwrap();
        if id == "W-0001" || request.headers["if-match"] == "\"2\"" {
            says(200)
        } else {
            says(412)
        }
    };
    let api = Server::new()
        .records(texts(3))
        .script(move |request| match (request.method.as_str(), request.path.as_str()) {
            ("PUT", _) => Some(changed(request)),
            ("GET", "/api/v1/data/W-0002") => Some(Reply::Instead(
                200,
                Vec::new(),
                json!({"data": serde_json::from_str::<Value>(&text("W-0002", "canary name", 2)).unwrap()})
                    .to_string(),
            )),
            ("GET", "/api/v1/data/W-0003") => {
                Some(Reply::Instead(200, Vec::new(), text("W-0003", "Name 3", 2)))
            }
            _ => None,
        })
        .start();
    let workplace = place(&api, &database).env("RUST_LOG", "trace");
    workplace.edit(
        "mappings.yaml",
        "when: [inserted, updated]",
        "when: [inserted, updated]\n        if_match: version",
    );
    let (finished, report) = workplace.sync(&[]);
    finished.expect(3);
    assert_eq!(ledger(&report), [3, 2, 1, 0, 0]);
    assert_eq!(report["status"], "success", "what was fetched is safe");
    assert!(waiting(&database).is_empty());
    assert_eq!(puts(&api)[0].headers["if-match"], "\"1\"");
    let id = report["case_id"].as_str().unwrap();
    let case = workplace.run(&["case", "show", id]);
    case.expect(0).says("W-0002 (full_name)");
    for text in [&finished.stdout, &finished.stderr, &case.stdout] {
        assert!(!text.contains("canary"), "{text}");
    }

    // The next run reads what the API has now, tells it with the new version, and closes the case.
    let mut records = texts(3);
    records[1] = text("W-0002", "canary name", 2);
    let api = server(records, move |request| changed(request));
    let workplace = workplace.with_api(api.url());
    let (finished, report) = workplace.sync(&[]);
    finished.expect(0);
    assert_eq!(ledger(&report), [1, 1, 0, 0, 0]);
    workplace
        .run(&["case", "list", "--output", "json"])
        .says("recovered");
}

#[test]
fn a_record_the_api_no_longer_has_is_let_go_and_a_wrong_address_is_not_taken_for_that() {
    let database = Database::new();
    let api = server(texts(20), |request| {
        says(if request.path.ends_with("W-0005") {
            404
        } else {
            200
        })
    });
    let workplace = place(&api, &database);
    let (finished, report) = workplace.sync(&[]);
    finished.expect(3).says("W-0005");
    assert_eq!(ledger(&report), [20, 19, 0, 1, 0]);
    assert!(waiting(&database).is_empty());
    assert_eq!(report["errors_by_type"]["api:write_back_gone"], 1);

    // Nothing was ever taken at this address: all of them stay.
    let database = Database::new();
    let api = server(texts(40), |_| says(404));
    let workplace = place(&api, &database);
    let (finished, report) = workplace.sync(&[]);
    finished.expect(3).says("404");
    assert_eq!(ledger(&report), [40, 0, 0, 0, 40]);
    assert!(
        puts(&api).len() < 20,
        "a wrong address is not tried for ever"
    );
    assert_eq!(waiting(&database).len(), 40);
}

#[test]
fn a_failure_that_passes_is_tried_again_by_the_same_rules_as_fetching() {
    let database = Database::new();
    let asked = AtomicU32::new(0);
    let api = server(texts(12), move |_| {
        match asked.fetch_add(1, Ordering::SeqCst) {
            0 => says(503),
            3 => Reply::Instead(429, vec![("Retry-After", "0".to_owned())], String::new()),
            5 => says(500),
            _ => says(200),
        }
    });
    let (finished, report) = place(&api, &database).sync(&[]);
    finished.expect(0);
    assert_eq!(ledger(&report), [12, 12, 0, 0, 0]);
    assert_eq!(puts(&api).len(), 15);
    assert_eq!(report["api_retries"], 3);
}

#[test]
fn whatever_is_in_an_id_it_stays_one_segment_of_the_path() {
    let database = Database::new();
    let ids = [
        "a/b",
        "../../admin",
        "q?x=1#f",
        "100%",
        "Zoë 李",
        "@evil.example",
        "..",
    ];
    let records = ids.map(|id| text(id, "Name", 1)).to_vec();
    let api = server(records, |_| says(200));
    let workplace = place(&api, &database);
    let (finished, report) = workplace.sync(&[]);
    // `..` has no address of its own: it is entered in a case, and hurts nobody else.
    finished.expect(3).says("makes no address");
    assert_eq!(ledger(&report), [7, 6, 0, 0, 0]);
    assert_eq!(unsendable(&report), 1);
    assert!(waiting(&database).is_empty());
    let mut paths: Vec<String> = puts(&api).into_iter().map(|request| request.path).collect();
    paths.sort();
    assert_eq!(
        paths,
        [
            "/api/v1/data/%40evil.example",
            "/api/v1/data/..%2F..%2Fadmin",
            "/api/v1/data/100%25",
            "/api/v1/data/Zo%C3%AB%20%E6%9D%8E",
            "/api/v1/data/a%2Fb",
            "/api/v1/data/q%3Fx%3D1%23f",
        ]
    );
    assert!(puts(&api).iter().all(|request| request.query.is_empty()));
}

#[test]
fn a_redirect_is_not_followed_and_the_other_origin_hears_nothing() {
    let database = Database::new();
    let other = Server::new().start();
    let location = format!("{}/api/v1/data/W-0001", other.url());
    let api = server(texts(5), move |_| {
        Reply::Instead(307, vec![("Location", location.clone())], String::new())
    });
    let (finished, report) = place(&api, &database).sync(&[]);
    finished.expect(3).says("redirects are not followed");
    assert_eq!(ledger(&report), [5, 0, 0, 0, 5]);
    assert!(other.requests().is_empty());
    assert!(puts(&api).len() <= 4, "no more than were in flight");
}

#[test]
fn no_secret_and_no_value_gets_out_when_it_fails() {
    let database = Database::new();
    let record =
        text("W-0001", "canary-name-1a", 1).replace("u@example.com", "canary.mail-2b@example.com");
    let records = vec![record, text("W-0002", "canary-name-1a", 1)];
    let api = Server::new()
        .records(records)
        .token(Some("canary-token-3c"))
        .script(|request| {
            (request.method == "PUT").then(|| {
                let body = format!("no: {} canary-answer-4d", request.body);
                Reply::Instead(422, vec![("X-Why", "canary-header-5e".to_owned())], body)
            })
        })
        .start();
    let workplace = place(&api, &database)
        .env("API_TOKEN", "canary-token-3c")
        .env("RUST_LOG", "trace");
    let (finished, report) = workplace.sync(&[]);
    finished.expect(3).says("422");
    assert_eq!(ledger(&report), [2, 0, 0, 0, 2], "a refusal is kept");
    let case = workplace.run(&["case", "show", report["case_id"].as_str().unwrap()]);
    for text in [
        &finished.stdout,
        &finished.stderr,
        &case.stdout,
        &case.stderr,
    ] {
        assert!(!text.contains("canary"), "{text}");
    }
}
