//! Rows 24 to 31: pages that do not end, lead astray, shift, or are too few.

use super::{count, hasty, place, rows, run, texts};
use crate::support::Workplace;
use crate::support::http::{Fault, Paging, Server};
use crate::support::postgres::Database;

/// A workplace whose pages follow a style that needs no numbers.
fn styled(url: &str, database: &Database, style: &str) -> Workplace {
    let place = hasty(Workplace::connected(url, database));
    place.edit("mappings.yaml", "style: page ", &format!("style: {style} "));
    place
}

#[test]
fn row_24_a_repeated_link_or_cursor_is_a_loop() {
    let api = Server::new()
        .records(texts(300))
        .paging(Paging::NextLink)
        .rewrite(|request, body| {
            // The second page says that the second page comes next.
            match request.param("cursor") {
                None => body,
                Some(own) => body.replace("cursor=cc8", &format!("cursor={own}")),
            }
        })
        .start();
    let database = Database::new();
    let (finished, report) = styled(api.url(), &database, "link").sync(&[]);
    finished.expect(3).says("circle");
    assert!(
        report["errors_by_type"].to_string().contains("loop"),
        "{report}"
    );
    assert_eq!(rows(&database), "100", "what came before is kept");
}

#[test]
fn row_25_endless_pages_end_at_the_cap() {
    let page = |number: u32| {
        let record = super::text(&format!("E-{number}"));
        format!("{{\"data\":[{record}]}}")
    };
    let api = Server::new()
        .records(texts(1))
        .rewrite(move |request, _| {
            page(
                request
                    .param("page")
                    .and_then(|page| page.parse().ok())
                    .unwrap_or(0),
            )
        })
        .start();
    let database = Database::new();
    let place = place(&api, &database);
    place.edit(
        "mappings.yaml",
        "max_page_bytes: 32MiB",
        "max_pages: 40\n        max_page_bytes: 32MiB",
    );
    place.edit("mappings.yaml", "size: 100 ", "size: 1 ");
    let (finished, report) = place.sync(&[]);
    finished.expect(3).says("max_pages");
    assert_eq!(count(&report, "inserted"), 40);
    assert_eq!(report["status"], "partial");
}

#[test]
fn row_26_a_next_link_to_another_origin_is_not_followed() {
    let stranger = Server::new().records(texts(10)).start();
    let elsewhere = format!("{}/api/v1/data?page=2", stranger.url());
    let api = Server::new()
        .records(texts(300))
        .rewrite(move |_, body| {
            let mut page: serde_json::Value = serde_json::from_str(&body).unwrap();
            page["next"] = elsewhere.clone().into();
            page.to_string()
        })
        .paging(Paging::NextLink)
        .start();
    let database = Database::new();
    let (finished, _) = styled(api.url(), &database, "link").sync(&[]);
    finished.expect(3);
    assert!(
        stranger.requests().is_empty(),
        "the token went to a stranger"
    );
}

#[test]
fn row_27_an_empty_page_with_a_next_goes_on_and_is_bounded() {
    let api = Server::new()
        .records(texts(300))
        .paging(Paging::NextLink)
        .rewrite(|request, body| {
            if request.param("cursor") == Some("c64") {
                let mut page: serde_json::Value = serde_json::from_str(&body).unwrap();
                page["results"] = serde_json::json!([]);
                page.to_string()
            } else {
                body
            }
        })
        .start();
    let database = Database::new();
    let (finished, report) = styled(api.url(), &database, "link").sync(&[]);
    finished.expect(0);
    assert_eq!(count(&report, "inserted"), 200, "{finished}");
}

#[test]
fn row_28_rows_that_shift_between_pages_are_counted_as_what_they_are() {
    // While we read, a record is added at the front: the last of page 1 comes again on page 2.
    let all = texts(300);
    let shifted: Vec<String> = std::iter::once(super::text("NEW"))
        .chain(all.iter().cloned())
        .collect();
    let api = Server::new()
        .records(all)
        .rewrite(move |request, body| match request.param("page") {
            None | Some("1") => body,
            Some(page) => {
                let page: usize = page.parse().unwrap();
                let from = (page - 1) * 100;
                let records = shifted
                    .get(from..(from + 100).min(shifted.len()))
                    .unwrap_or_default();
                format!(
                    "{{\"data\":[{}],\"total\":301,\"total_pages\":4}}",
                    records.join(",")
                )
            }
        })
        .start();
    let database = Database::new();
    let (finished, report) = place(&api, &database).sync(&[]);
    finished
        .expect(0)
        .says("the source moved while it was read");
    assert_eq!(
        (&report["complete"], &report["end"]),
        (&serde_json::json!(false), &serde_json::Value::Null)
    );
    assert_eq!(count(&report, "fetched"), 301);
    assert_eq!(
        count(&report, "duplicates") + count(&report, "unchanged"),
        1,
        "{report}"
    );
    assert_eq!(rows(&database), "300");
}

#[test]
fn row_29_a_total_that_is_not_met_is_said() {
    let api = Server::new()
        .records(texts(150))
        .rewrite(|_, body| {
            body.replace("\"total\":150", "\"total\":200")
                .replace("\"total\": 150", "\"total\": 200")
        })
        .start();
    let database = Database::new();
    let (finished, report) = place(&api, &database).sync(&[]);
    finished
        .expect(3)
        .says("the API announces 200 records and sent 150");
    assert_eq!(report["status"], "partial");
    assert_eq!(report["end"], "unproven");
    assert_eq!(report["errors_by_type"]["api:unproven_end"], 1);
    assert_eq!(rows(&database), "150", "what came is kept");
    assert_eq!(
        database.one("SELECT concat_ws(' ', status, complete, source_end) FROM sync_log"),
        "PARTIAL f unproven",
        "not a run to compare with"
    );
}

#[test]
fn row_30_a_failure_on_page_3_keeps_pages_1_and_2() {
    let mut server = Server::new().records(texts(500));
    for number in 3..20 {
        server = server.fault(number, Fault::Status(500));
    }
    let api = server.start();
    let database = Database::new();
    let place = place(&api, &database);
    place.edit("mappings.yaml", "concurrency: 4", "concurrency: 1");
    let (finished, report) = place.sync(&[]);
    finished.expect(3).says("page 3");
    assert_eq!(report["status"], "partial");
    assert_eq!(rows(&database), "200");
    assert_eq!(
        database.one("SELECT concat_ws(' ', status, records_processed, complete) FROM sync_log"),
        "PARTIAL 200 f"
    );
}

#[test]
fn row_31_zero_records_and_a_big_drop_are_braked() {
    let (finished, _, _api, database) = run(Server::new().records(texts(400)));
    finished.expect(0);
    // Nothing at all, where there were 400.
    let empty = Server::new().start();
    let (finished, report) = place(&empty, &database).sync(&[]);
    finished.expect(5).says("--accept-drop");
    assert_eq!(report["status"], "failed");
    // A drop that the API announces: nothing is written.
    let few: Vec<String> = (0..100).map(|i| super::text(&format!("G-{i}"))).collect();
    let api = Server::new().records(few.clone()).start();
    let place = place(&api, &database);
    let (finished, report) = place.sync(&[]);
    finished.expect(5).says("--accept-drop");
    assert_eq!(report["status"], "failed");
    assert_eq!(rows(&database), "400");
    // One that it does not announce is found at the end.
    let silent = Server::new().records(few).paging(Paging::BarePage).start();
    let place = place.with_api(silent.url());
    let (finished, report) = place.sync(&[]);
    finished.expect(5);
    assert_eq!(count(&report, "inserted"), 100);
    assert_eq!(
        database.one("SELECT count(*)::text FROM sync_log WHERE complete"),
        "1"
    );
    // Somebody has looked at it.
    let (finished, _) = place.sync(&["--accept-drop"]);
    finished.expect(0);
}
