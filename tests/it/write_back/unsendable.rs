//! What cannot be sent as it is: no version to match, and ids and versions that no request can carry. Nothing is sent for
//! such a record, no later run fails for it, and the case says how to settle it.

use serde_json::{Value, json};

use super::{ledger, place, puts, says, server, text, texts, unsendable, waiting};
use crate::support::Workplace;
use crate::support::http::{Request, Running};
use crate::support::postgres::Database;

/// A record with this version, whatever it is; none at all where it is absent.
fn versioned(id: &str, version: Option<Value>) -> String {
    let mut record: Value = serde_json::from_str(&text(id, "Name", 1)).unwrap();
    let members = record.as_object_mut().unwrap();
    members.remove("version");
    if let Some(version) = version {
        members.insert("version".to_owned(), version);
    }
    record.to_string()
}

fn matching(api: &Running, database: &Database, path: &str) -> Workplace {
    let workplace = place(api, database);
    workplace.edit(
        "mappings.yaml",
        "when: [inserted, updated]",
        &format!("when: [inserted, updated]\n        if_match: {path}"),
    );
    workplace
}

fn tags(api: &Running) -> Vec<(String, Option<String>)> {
    let tag = |put: &Request| {
        let id = put.path.rsplit('/').next().unwrap().to_owned();
        (id, put.headers.get("if-match").cloned())
    };
    let mut tags: Vec<_> = puts(api).iter().map(tag).collect();
    tags.sort();
    tags
}

#[test]
fn a_record_without_a_version_to_match_is_not_sent_and_goes_to_the_case() {
    let database = Database::new();
    let records = vec![
        versioned("V-ABSENT", None),
        versioned("V-NULL", Some(Value::Null)),
        versioned("V-EMPTY", Some(json!(""))),
        versioned("V-BLANK", Some(json!("  "))),
        versioned("V-OBJECT", Some(json!({"n": 1}))),
        versioned("V-LIST", Some(json!(["1"]))),
        versioned("V-FLAG", Some(json!(true))),
        versioned("V-QUOTE", Some(json!("a\"b"))),
        versioned("V-TWO", Some(json!("\"1\", \"2\""))),
        versioned("V-LINE", Some(json!("1\nX-Evil: 1"))),
        versioned("V-NUMBER", Some(json!(7))),
        versioned("V-TAG", Some(json!("W/\"x\""))),
    ];
    let api = server(records.clone(), |_| says(200));
    let workplace = matching(&api, &database, "version");
    let dry = workplace.run(&["sync", "--dry-run"]);
    dry.expect(0).says("no version to match: not sent");
    let (finished, report) = workplace.sync(&[]);
    finished.expect(3).says("no version to match");
    assert_eq!(
        tags(&api),
        [
            ("V-NUMBER".to_owned(), Some("\"7\"".to_owned())),
            ("V-TAG".to_owned(), Some("W/\"x\"".to_owned())),
        ],
        "nothing else was sent"
    );
    assert_eq!(ledger(&report), [12, 2, 0, 0, 0]);
    assert_eq!(unsendable(&report), 10);
    assert_eq!(report["status"], "success", "what was fetched is stored");
    assert!(waiting(&database).is_empty());

    let case = report["case_id"].as_str().unwrap();
    let shown = workplace.run(&["case", "show", case]);
    for id in [
        "V-ABSENT", "V-NULL", "V-EMPTY", "V-BLANK", "V-OBJECT", "V-LIST", "V-FLAG",
    ] {
        shown.says(&format!("{id} (no version to match)"));
    }
    for id in ["V-QUOTE", "V-TWO", "V-LINE"] {
        shown.says(&format!(
            "{id} (its version cannot stand in the header If-Match)"
        ));
    }
    shown.says("How to settle them").says("if_match");

    // It fails no later run, and no later run closes it: a person has to look.
    let (finished, report) = workplace.sync(&[]);
    finished.expect(0);
    assert_eq!(ledger(&report), [0; 5]);
    workplace
        .run(&["case", "list"])
        .says("api:write_back_unsendable")
        .says("open");

    // The source has learnt to give versions: all are told, with them, and the case is closed.
    let ids = [
        "V-ABSENT", "V-NULL", "V-EMPTY", "V-BLANK", "V-OBJECT", "V-LIST", "V-FLAG", "V-QUOTE",
        "V-TWO", "V-LINE", "V-NUMBER", "V-TAG",
    ];
    let mended = ids.map(|id| text(id, "Name", 3)).to_vec();
    let api = server(mended, |_| says(200));
    let workplace = workplace.with_api(api.url());
    workplace.edit(
        "mappings.yaml",
        "when: [inserted, updated]",
        "when: [inserted, updated, unchanged]",
    );
    workplace
        .run(&["case", "complete", case, "resolve"])
        .expect(0);
    workplace.run(&["retry", "--case", case]).expect(0);
    let sent = tags(&api);
    assert_eq!(sent.len(), 12);
    assert!(sent.iter().all(|(_, tag)| tag.as_deref() == Some("\"3\"")));
    workplace.run(&["case", "show", case]).says("resolved at");
}

#[test]
fn a_version_path_that_no_record_has_is_an_error_of_configuration_at_the_first_page() {
    let database = Database::new();
    let api = server(texts(250), |_| says(200));
    let workplace = matching(&api, &database, "versoin");
    for arguments in [&["--dry-run"][..], &[]] {
        let (finished, report) = workplace.sync(arguments);
        finished.expect(2).says("`versoin`").says("mappings.yaml");
        assert_eq!(report["ledger"]["fetched"], 0);
    }
    workplace
        .run(&["check-api"])
        .expect(3)
        .says("`if_match` names versoin");
    assert!(puts(&api).is_empty() && waiting(&database).is_empty());
    assert_eq!(database.one("SELECT count(*)::text FROM customers"), "0");
    // One that only some records have is none.
    let mut records = texts(3);
    records[0] = versioned("W-0001", None);
    let api = server(records, |_| says(200));
    let workplace = matching(&api, &database, "version");
    let (finished, report) = workplace.sync(&[]);
    finished.expect(3);
    assert_eq!((ledger(&report)[1], unsendable(&report)), (2, 1));
}

#[test]
fn a_message_that_was_entered_without_a_version_is_not_sent_once_versions_are_to_match() {
    let database = Database::new();
    // They wait from a run without `if_match`, while the API took nothing.
    let api = server(texts(3), |_| says(503));
    let workplace = place(&api, &database);
    workplace.sync(&[]).0.expect(3);
    assert_eq!(waiting(&database).len(), 3);
    let api = server(texts(3), |_| says(200));
    let workplace = workplace.with_api(api.url());
    workplace.edit(
        "mappings.yaml",
        "when: [inserted, updated]",
        "when: [inserted, updated]\n        if_match: version",
    );
    let (finished, report) = workplace.sync(&[]);
    finished.expect(3).says("no version to match");
    assert!(puts(&api).is_empty());
    assert_eq!(unsendable(&report), 3);
    assert!(waiting(&database).is_empty());
}
