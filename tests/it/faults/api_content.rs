//! Rows 16 to 23: what can be in an answer.

use super::{count, fails, passes, rows, run, text, texts};
use crate::support::http::{Fault, Server};

fn json(body: impl Into<Vec<u8>>) -> Fault {
    Fault::Body("application/json", body.into())
}

/// One page with these records, and what became of them.
fn page(
    records: &[String],
) -> (
    crate::support::command::Finished,
    serde_json::Value,
    crate::support::postgres::Database,
) {
    let (finished, report, _api, database) = run(Server::new().records(records.to_vec()));
    (finished, report, database)
}

#[test]
fn row_16_html_or_nothing_is_told_by_length_and_type_and_never_shown() {
    let html = Fault::Body("text/html", b"<html>canary-of-the-page</html>".to_vec());
    passes(html.clone());
    let (finished, _) = fails(html, 4, "text/html");
    assert!(!format!("{finished}").contains("canary-of-the-page"));
    fails(json(""), 4, "page 1");
}

#[test]
fn row_17_text_that_is_not_utf8_is_an_error_and_never_replaced() {
    let body = b"{\"data\":[{\"external_id\":\"1\",\"full_name\":\"caf\xe9\"}]}".to_vec();
    let (finished, report, _api, database) = run(Server::new().always(json(body)));
    finished.expect(3).says("UTF-8");
    assert_eq!(rows(&database), "0");
    assert_eq!(count(&report, "fetched"), 0);
}

#[test]
fn row_18_a_byte_order_mark_is_stripped() {
    let server = Server::new()
        .records(texts(3))
        .rewrite(|_, body| format!("\u{feff}{body}"));
    let (finished, report, ..) = run(server);
    finished.expect(0);
    assert_eq!(count(&report, "inserted"), 3);
}

#[test]
fn row_19_records_that_are_missing_null_or_no_array_are_an_error_and_not_zero_records() {
    for body in [
        r#"{"other":[]}"#,
        r#"{"data":null}"#,
        r#"{"data":{"a":1}}"#,
        "42",
        "null",
    ] {
        let (finished, report, ..) = run(Server::new().always(json(body)));
        finished.expect(3);
        assert_eq!(report["status"], "failed", "{body}");
    }
}

#[test]
fn row_20_numbers_beyond_every_type_are_exact_or_rejected() {
    let with = |id: &str, score: &str| {
        text(id).replace(
            "\"quality_score\":90",
            &format!("\"quality_score\":{score}"),
        )
    };
    let records = [
        with("N-exact", "80.0000000000000000055"),
        with("N-huge", "100000000000000000000000000000000"),
        with("N-infinite", "1e400"),
        with("N-good", "9.05e1"),
        with("N-fill-1", "90"),
        with("N-fill-2", "90"),
        with("N-fill-3", "90"),
        with("N-fill-4", "90"),
        with("N-fill-5", "90"),
        with("N-fill-6", "90"),
    ];
    let (finished, report, database) = page(&records);
    finished.expect(0);
    assert_eq!(count(&report, "rejected"), 2);
    let score = |id: &str| {
        database.one(&format!(
            "SELECT quality_score::text FROM customers WHERE customer_id = '{id}'"
        ))
    };
    assert_eq!(score("N-exact"), "80.0000000000000000055");
    assert_eq!(score("N-good"), "90.5");
    let refused =
        database.list("SELECT key FROM sync_rejections WHERE resolved_at IS NULL ORDER BY key");
    assert_eq!(refused, ["N-huge", "N-infinite"]);
}

#[test]
fn row_21_a_key_given_twice_is_a_rejection() {
    let mut records = texts(9);
    records.push(text("K-2").replace("\"full_name\"", "\"full_name\":\"other\",\"full_name\""));
    let (finished, report, database) = page(&records);
    finished.expect(0);
    assert_eq!(
        (count(&report, "inserted"), count(&report, "rejected")),
        (9, 1)
    );
    assert_eq!(
        database.one("SELECT concat_ws(' ', key, reason) FROM sync_rejections"),
        "K-2 field_error"
    );
}

#[test]
fn row_22_nesting_beyond_128_is_an_error_of_the_page() {
    let deep = format!(
        "{{\"data\":[{{\"external_id\":\"1\",\"x\":{}{}}}]}}",
        "[".repeat(200),
        "]".repeat(200)
    );
    let (finished, ..) = run(Server::new().always(json(deep)));
    finished.expect(3).says("nest");
}

#[test]
fn row_23_a_missing_or_blank_id_is_a_rejection_of_that_record() {
    let mut records = texts(20);
    records.push(text("x").replace("\"external_id\":\"x\",", ""));
    records.push(text("x").replace("\"external_id\":\"x\"", "\"external_id\":\"  \""));
    records.push(text("x").replace("\"external_id\":\"x\"", "\"external_id\":null"));
    let (finished, report, database) = page(&records);
    finished.expect(0);
    assert_eq!(
        (count(&report, "inserted"), count(&report, "rejected")),
        (20, 3)
    );
    let keys = database.list("SELECT left(key, 7) || reason FROM sync_rejections");
    assert_eq!(keys, ["sha256:missing_required"; 3]);
}
