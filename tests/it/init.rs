//! `datasync init`: the files of a new project, and a mapping drafted from the first page of a source.
#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use crate::support::http::{Paging, Reply, Server};
use crate::support::postgres::Database;
use crate::support::{TOKEN, Workplace};

/// A workplace without any file.
fn empty() -> Workplace {
    let place = Workplace::new();
    for file in ["mappings.yaml", "decisions.dmn.xml"] {
        std::fs::remove_file(place.path(file)).unwrap();
    }
    place
}

fn read(place: &Workplace, file: &str) -> String {
    std::fs::read_to_string(place.path(file)).unwrap()
}

fn shipped(file: &str) -> String {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(root.join(file)).unwrap()
}

/// A person as a CRM may give it: names, types and nesting of its own.
fn person(number: usize) -> Value {
    json!({
        "Id": number,
        "uuid": format!("6f9619ff-8b86-d011-b42d-{number:012x}"),
        "Display Name": format!("Canary-{number}"),
        "contact-email": format!("canary{number}@example.com"),
        "phone": "0170",
        "score": if number.is_multiple_of(2) { json!(80) } else { json!(70.5) },
        "vip": number.is_multiple_of(2),
        "created_at": "2026-01-31T10:00:00Z",
        "signup_time": 1_700_000_000 + number,
        "lastModified": "2026-02-01 10:00:00.5",
        "birth": "1990-01-02",
        "address": { "city": "Canaryville", "geo": { "a.b": 2 } },
        "tags": ["canary"],
        "note": if number.is_multiple_of(3) { Value::Null } else { json!("") },
        "yes": "no",
        "null": "nothing",
        "@odata.etag": format!("W/\"{number}\""),
    })
}

fn people(count: usize) -> Vec<String> {
    (1..=count)
        .map(|number| person(number).to_string())
        .collect()
}

#[test]
fn without_an_address_the_shipped_files_are_written_and_what_is_there_is_kept() {
    let place = empty();
    place.write(".env.example", "MINE=1\n");
    let finished = place.run(&["init"]);
    finished.expect(0);
    for file in ["mappings.yaml", "decisions.dmn.xml", "decisions.tests.yaml"] {
        assert_eq!(read(&place, file), shipped(file));
        assert!(finished.stdout.contains(&format!("wrote {file}")));
    }
    assert_eq!(read(&place, ".env.example"), "MINE=1\n");
    assert!(
        finished
            .stdout
            .contains("kept  .env.example, which was there already")
    );
    place.run(&["validate"]).expect(0);
    place.write("mappings.yaml", "# mine\n");
    let again = place.run(&["init", "--output", "json"]).expect(0).json();
    assert_eq!(again["written"], json!([]));
    assert_eq!(again["kept"].as_array().unwrap().len(), 4);
    assert_eq!(read(&place, "mappings.yaml"), "# mine\n");
}

#[test]
fn a_draft_reads_the_source_whole_from_the_first_run_on() {
    let api = Server::new()
        .records(people(120))
        .paging(Paging::NextLink)
        .page_size(50)
        .path("/crm/People")
        .start();
    let database = Database::new();
    let place = empty()
        .with_api("http://127.0.0.1:1")
        .with_database(&database);
    let url = format!("{}/crm/People?page=1&region=a%24b", api.url());
    let drafted = place
        .run(&["init", "--url", &url, "--output", "json"])
        .expect(0)
        .json();
    assert_eq!(drafted["draft"]["key"], "Id", "{drafted}");
    assert_eq!(drafted["draft"]["records"], 50);
    assert_eq!(drafted["draft"]["fit"], 50);
    let text = read(&place, "mappings.yaml");
    for line in [
        "region: \"a$$b\"",
        "# Left out of `params`, since pagination asks for pages: page",
        "            Id: { to: customerId }   # the key",
        "\"Display Name\": { to: customerName }",
        "contact-email: { to: email, type: email }",
        "score: { to: qualityScore, type: decimal }",
        "created_at: { to: createdAt, type: datetime }",
        "lastModified: { to: sourceUpdatedAt, type: datetime, format: \"%Y-%m-%d %H:%M:%S%.f\", timezone: UTC, column: false }",
        "signup_time: { to: signupTime, type: datetime, format: epoch_seconds, column: false }",
        "vip: { to: vip, type: boolean, column: false }",
        "uuid: { to: uuid, type: uuid, column: false }",
        "birth: { to: birth, type: date, column: false }",
        "/address/geo/a.b: { to: aB, type: integer, column: false }",
        "tags: { to: tags, type: json, column: false }",
        "phone: { to: phone, column: false }",
        "version_field: sourceUpdatedAt",
        "required_fields: [customerName, customerId]",
    ] {
        assert!(text.contains(line), "{line} is missing from\n{text}");
    }
    // Names and counts only.
    let values = text.to_ascii_lowercase();
    assert!(
        !values.contains("canary") && !values.contains("0170"),
        "{text}"
    );
    assert!(!text.contains(TOKEN));

    let place = place.env("API_BASE_URL", api.url());
    place.run(&["check-db", "--apply-schema"]).expect(0);
    let (finished, report) = place.sync(&[]);
    finished.expect(0);
    assert_eq!(report["ledger"]["inserted"], 120, "{report}");
    let (finished, report) = place.sync(&[]);
    finished.expect(0);
    assert_eq!(report["ledger"]["unchanged"], 120, "{report}");
    let stored = "SELECT customer_id || customer_name || email || quality_score FROM customers WHERE customer_id = '7'";
    assert_eq!(database.one(stored), "7Canary-7canary7@example.com70.5");
}

#[test]
fn a_file_that_is_there_is_not_overwritten_and_nothing_is_fetched() {
    let api = Server::new().records(people(3)).start();
    let place = Workplace::new().env("API_TOKEN", TOKEN);
    let before = read(&place, "mappings.yaml");
    let url = format!("{}/api/v1/data", api.url());
    place
        .run(&["init", "--url", &url])
        .expect(2)
        .says("mappings.yaml is there already and is not overwritten");
    assert_eq!(read(&place, "mappings.yaml"), before);
    assert!(api.requests().is_empty());
    place
        .run(&["init", "--url", &url, "--mappings", "other.yaml"])
        .expect(0);
    assert!(read(&place, "other.yaml").contains("/api/v1/data"));
}

#[test]
fn no_secret_of_an_address_is_stored() {
    let place = empty();
    for (url, advice) in [
        ("http://anna:secret@127.0.0.1:1/x", "--auth basic"),
        (
            "http://127.0.0.1:1/x?api_key=secret",
            "--auth query=api_key",
        ),
        (
            "http://127.0.0.1:1/x?Access-Token=secret",
            "--auth query=Access-Token",
        ),
        ("127.0.0.1/x", "expected scheme, host and path"),
        ("ftp://127.0.0.1/x", "expected scheme, host and path"),
    ] {
        let finished = place.run(&["init", "--url", url]);
        finished.expect(2).says(advice);
        assert!(!finished.stderr.contains("secret\""), "{}", finished.stderr);
        assert!(!place.path("mappings.yaml").exists());
    }
}

#[test]
fn each_form_of_credentials_is_sent_and_only_named_in_the_draft() {
    for (form, header, value, line) in [
        (
            "basic",
            "authorization",
            "Basic YW5uYTpwYXNz",
            "auth: { type: basic, username: \"${API_USER}\", password: \"${API_PASSWORD}\" }",
        ),
        (
            "header=X-Api-Key",
            "x-api-key",
            TOKEN,
            "auth: { type: header, name: X-Api-Key, value: \"${API_TOKEN}\" }",
        ),
        (
            "bearer",
            "authorization",
            &format!("Bearer {TOKEN}"),
            "auth: { type: bearer }",
        ),
    ] {
        let api = Server::new().records(people(3)).token(None).start();
        let place = empty()
            .env("API_TOKEN", TOKEN)
            .env("API_USER", "anna")
            .env("API_PASSWORD", "pass");
        let url = format!("{}/api/v1/data", api.url());
        place
            .run(&["init", "--url", &url, "--auth", form])
            .expect(0);
        for request in api.requests() {
            assert_eq!(request.headers[header], value, "{form}");
        }
        let text = read(&place, "mappings.yaml");
        assert!(text.contains(line), "{text}");
        assert!(!text.contains(TOKEN) && !text.contains("anna"), "{text}");
        place
            .env("API_BASE_URL", api.url())
            .run(&["check-api"])
            .expect(0);
    }
}

#[test]
fn what_cannot_be_drafted_is_said_and_nothing_is_written() {
    let refusing = Server::new().records(people(3)).start();
    let none = Server::new().token(None).start();
    let odd = Server::new()
        .token(None)
        .script(|_| Some(Reply::Instead(200, Vec::new(), "[1, 2, 3]".to_owned())))
        .start();
    for (api, code, words) in [
        (&refusing, 3, "401"),
        (&none, 2, "has no records to draft a mapping from"),
        (&odd, 2, "is an object with fields"),
    ] {
        let place = empty();
        let url = format!("{}/api/v1/data", api.url());
        place.run(&["init", "--url", &url]).expect(code).says(words);
        assert!(!place.path("mappings.yaml").exists());
    }
}

#[test]
fn where_no_field_could_be_the_key_the_draft_says_where_to_look() {
    let records = [
        "{\"region\":\"a\",\"number\":1}",
        "{\"region\":\"a\",\"number\":1}",
        "{\"region\":\"b\"}",
    ];
    let api = Server::new().records(records).token(None).start();
    let place = empty();
    let url = format!("{}/api/v1/data", api.url());
    place.run(&["init", "--url", &url]).expect(0);
    let text = read(&place, "mappings.yaml");
    assert!(
        text.contains("# LOOK HERE: no field has another value in every record"),
        "{text}"
    );
}
