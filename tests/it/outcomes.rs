//! What becomes of a record when the decision table does not decide: each outcome is a rejection of its own, as
//! docs/decisions.md lists them. And which of several decisions of a file decides.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use serde_json::Value;

use crate::decision::build::TableFile;
use crate::support::Workplace;
use crate::support::http::Server;
use crate::support::postgres::Database;

fn record(id: &str, name: &str, email: &str, kind: &str, score: &str) -> String {
    format!(
        r#"{{"external_id":"{id}","full_name":"{name}","contact_email":{email},"quality_score":{score},"record_type":"{kind}"}}"#
    )
}

/// Syncs these records by this table. Key → reason, message, rules, explanation of its rejection.
fn rejections(
    table: &TableFile,
    records: Vec<String>,
) -> BTreeMap<String, (String, String, String, Value)> {
    let api = Server::new().records(records).start();
    let database = Database::new();
    let place = Workplace::connected(api.url(), &database);
    place.edit("mappings.yaml", "fallback: completeness", "fallback: none");
    place.write("decisions.dmn.xml", &table.xml());
    // What is wrong with them no search can prove: the table is fit to run.
    place.run(&["validate"]).expect(0);
    place.sync(&[]);
    database
        .list(
            "SELECT json_build_array(key, reason, message, rules, explanation)::text FROM sync_rejections_now",
        )
        .iter()
        .map(|row| {
            let row: Value = serde_json::from_str(row).unwrap();
            let text = |index: usize| row[index].as_str().unwrap().to_owned();
            (
                text(0),
                (text(1), text(2), row[3].to_string(), row[4].clone()),
            )
        })
        .collect()
}

/// A rejection's reason, message and rules, and its explanation, which tells the same.
#[track_caller]
fn is(
    found: &BTreeMap<String, (String, String, String, Value)>,
    key: &str,
    reason: &str,
    message: &str,
    rules: &[&str],
) {
    let (class, said, ids, explanation) = &found[key];
    assert_eq!((class.as_str(), said.as_str()), (reason, message), "{key}");
    assert_eq!(ids, &serde_json::json!(rules).to_string(), "{key}");
    assert_eq!(explanation["decision"], "Table", "{explanation}");
    let told = if reason == "decision" {
        "decided"
    } else {
        reason
    };
    assert_eq!(explanation["class"], told, "{explanation}");
    assert_eq!(explanation["reason"], message, "{explanation}");
    assert_eq!(explanation["validationResult"], "INVALID", "{explanation}");
    assert_eq!(explanation["action"], "REJECT", "{explanation}");
    assert_eq!(explanation["fired"], serde_json::json!(rules));
    let facts = explanation["facts"].as_array().unwrap();
    assert!(
        facts.iter().any(|fact| fact["name"] == "customerName"),
        "{explanation}"
    );
}

#[test]
fn each_way_of_not_deciding_is_a_rejection_that_says_so() {
    // 70 to 80 is left out, names from A to z meet two rules, and no one has a number for an address.
    let table = TableFile::deciding("UNIQUE")
        .input("qualityScore: number")
        .input("customerName: string")
        .input("if email = null then null else email: number")
        .input_of("recordType: string", r#""customer", "lead""#)
        .verdict("< 50 | - | - | -", "INVALID")
        .verdict("[50..70] | - | - | -", "WARNING")
        .verdict(">= 80 | starts with(?, \"A\") | - | -", "VALID")
        .verdict(">= 80 | ends with(?, \"z\") | - | -", "WARNING");
    let found = rejections(
        &table,
        vec![
            record("O-good", "Anna", "null", "lead", "95"),
            record("O-decided", "Anna", "null", "lead", "12"),
            record("O-gap", "Anna", "null", "lead", "75"),
            record("O-several", "Abcz", "null", "lead", "95"),
            record("O-null", "Anna", "null", "lead", "null"),
            record("O-type", "Anna", "\"o@example.com\"", "lead", "95"),
            record("O-kind", "Anna", "null", "partner", "95"),
            record("O-field", "Anna", "\"no address\"", "lead", "95"),
        ],
    );
    let keys: Vec<&str> = found.keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        [
            "O-decided",
            "O-field",
            "O-gap",
            "O-kind",
            "O-null",
            "O-several",
            "O-type"
        ]
    );
    is(
        &found,
        "O-decided",
        "decision",
        "a rule says it is invalid",
        &["R1"],
    );
    is(
        &found,
        "O-gap",
        "no_rule",
        "no rule of \"Table\" matches",
        &[],
    );
    is(
        &found,
        "O-several",
        "several_rules",
        "rule 3 (R3), rule 4 (R4) of \"Table\" match, where its hit policy UNIQUE allows one",
        &["R3", "R4"],
    );
    is(
        &found,
        "O-null",
        "null_input",
        "no rule of \"Table\" matches, and the input `qualityScore` is null",
        &[],
    );
    is(
        &found,
        "O-type",
        "type_error",
        "the input `if email = null then null else email` of \"Table\" is a string, where a number is expected",
        &[],
    );
    is(
        &found,
        "O-kind",
        "value_not_allowed",
        "the input `recordType` of \"Table\" is none of its allowed values (\"customer\", \"lead\")",
        &[],
    );
    // Refused before it reached the table: nothing to explain.
    let (reason, _, _, explanation) = &found["O-field"];
    assert_eq!(
        (reason.as_str(), explanation),
        ("field_error", &Value::Null)
    );
}

#[test]
fn rules_that_contradict_each_other_and_outputs_nobody_knows_are_rejections_too() {
    let table = TableFile::deciding("ANY")
        .input("customerName: string")
        .verdict("starts with(?, \"A\")", "VALID")
        .verdict("ends with(?, \"z\")", "WARNING")
        .rule("contains(?, \"q\") => if customerName = \"q\" then \"VALID\" else \"FINE\" | \"PROCESS\"");
    let found = rejections(
        &table,
        vec![
            record("O-good", "Anna", "null", "lead", "95"),
            record("O-conflict", "Abcz", "null", "lead", "95"),
            record("O-output", "quite", "null", "lead", "95"),
        ],
    );
    assert_eq!(found.len(), 2, "{found:?}");
    is(
        &found,
        "O-conflict",
        "conflicting_rules",
        "rule 1 (R1), rule 2 (R2) of \"Table\" match with different outputs, where its hit policy ANY wants the same",
        &["R1", "R2"],
    );
    is(
        &found,
        "O-output",
        "bad_output",
        "the output `validationResult` is another text, where VALID, WARNING or INVALID is expected",
        &["R3"],
    );
}

#[test]
fn the_mapping_says_which_of_two_decisions_decides() {
    let table = |bound: u32| {
        TableFile::deciding("UNIQUE")
            .input("qualityScore: number")
            .verdict(&format!(">= {bound}"), "VALID")
            .verdict(&format!("< {bound}, null"), "INVALID")
            .xml()
    };
    let named = |xml: &str, name: &str, id: &str| {
        xml.replace(
            "id=\"table\" name=\"Table\"",
            &format!("id=\"{id}\" name=\"{name}\""),
        )
    };
    let strict = named(&table(80), "Strict rules", "strict");
    let lenient = named(&table(30), "Lenient rules", "lenient");
    let second = &lenient[lenient.find("<decision ").unwrap()..];
    let records = vec![
        record("T-1", "Anna", "null", "lead", "95"),
        record("T-2", "Berta", "null", "lead", "60"),
        record("T-3", "Clara", "null", "lead", "12"),
    ];
    let place = || {
        let place = Workplace::new();
        place.write("records.ndjson", &records.join("\n"));
        place.write(
            "decisions.dmn.xml",
            &strict.replace("</definitions>\n", second),
        );
        place
    };
    let arguments = ["validate", "--input", "records.ndjson", "--output", "json"];
    // Two could: which one is not guessed.
    place()
        .run(&["validate"])
        .expect(2)
        .says("\"Strict rules\" and \"Lenient rules\" both have an output `validationResult`")
        .says("`validation.decision` in mappings.yaml");
    for (chosen, valid) in [
        ("Strict rules", 1),
        ("strict", 1),
        ("Lenient rules", 2),
        ("lenient", 2),
    ] {
        let place = place();
        let line = format!("  decision: {chosen} #");
        place.edit("mappings.yaml", "  # decision: Validate Record", &line);
        let finished = place.run(&arguments);
        finished.expect(0);
        assert_eq!(finished.json()["records"]["valid"], valid, "{chosen}");
    }
    let place = place();
    place.edit(
        "mappings.yaml",
        "  # decision: Validate Record",
        "  decision: Other rules #",
    );
    place.run(&["validate"]).expect(2).says(
        "there is no decision \"Other rules\": the file has \"Strict rules\", \"Lenient rules\"",
    );
    // A run decides by the one that is chosen.
    let api = Server::new().records(records.clone()).start();
    let database = Database::new();
    let place = Workplace::connected(api.url(), &database);
    place.write(
        "decisions.dmn.xml",
        &strict.replace("</definitions>\n", second),
    );
    place.edit(
        "mappings.yaml",
        "  # decision: Validate Record",
        "  decision: Lenient rules #",
    );
    place.sync(&[]);
    assert_eq!(
        database.list("SELECT customer_id FROM customers ORDER BY 1"),
        ["T-1", "T-2"]
    );
}
