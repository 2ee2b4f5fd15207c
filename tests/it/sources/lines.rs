//! Pages with one record a line (NDJSON), end to end.

use crate::support::Workplace;
use crate::support::http::{Reply, Running, Server};
use crate::support::postgres::Database;

const ALL: usize = 25;

fn lines(from: usize, size: usize) -> String {
    let line = |number: usize| {
        format!(r#"{{"external_id":"K-{number:02}","full_name":"Name","quality_score":90}}"#)
    };
    let lines: Vec<String> = (from..(from + size).min(ALL)).map(line).collect();
    lines.join("\n")
}

fn reply(body: String) -> Reply {
    Reply::Instead(
        200,
        vec![("Content-Type", "application/x-ndjson".to_owned())],
        body,
    )
}

fn place(api: &Running, database: &Database, paging: &str) -> Workplace {
    let place = Workplace::connected(api.url(), database);
    let text = std::fs::read_to_string(place.path("mappings.yaml")).unwrap();
    let (before, rest) = text.split_once("        pagination:\n").unwrap();
    let (_, after) = rest.split_once("        max_page_bytes: 32MiB").unwrap();
    let before = before.replace("        headers:\n          Accept: application/json\n", "");
    place.write(
        "mappings.yaml",
        &format!("{before}        format: ndjson\n        pagination: {paging}\n        max_page_bytes: 32KiB{after}"),
    );
    place.edit("mappings.yaml", "max_attempts: 3", "max_attempts: 1");
    place.edit("mappings.yaml", "initial: 500ms", "initial: 1ms");
    place
}

#[test]
fn one_body_of_lines_is_read_whole() {
    let api = Server::new().script(|_| Some(reply(lines(0, ALL)))).start();
    let database = Database::new();
    let (finished, report) = place(&api, &database, "{ style: none }").sync(&[]);
    finished.expect(0);
    assert_eq!(report["ledger"]["inserted"], ALL);
    assert!(api.requests()[0].headers["accept"].starts_with("application/x-ndjson"));
}

#[test]
fn pages_of_lines_end_with_an_empty_body() {
    let api = Server::new()
        .script(|request| {
            let page: usize = request
                .param("page")
                .map_or(1, |page| page.parse().unwrap());
            Some(reply(lines((page - 1) * 5, 5)))
        })
        .start();
    let database = Database::new();
    let (finished, report) = place(&api, &database, "{ style: page, size: 5 }").sync(&[]);
    finished.expect(0);
    assert_eq!(report["ledger"]["inserted"], ALL);
    let (finished, report) = place(
        &api,
        &database,
        "{ style: auto, page_param: page, size: 5 }",
    )
    .sync(&["--limit", "5"]);
    finished.expect(0);
    assert_eq!(report["ledger"]["unchanged"], 5);
}

#[test]
fn a_line_that_is_cut_or_no_json_is_an_error_of_the_page_and_the_cap_holds() {
    let database = Database::new();
    for (body, says) in [
        (
            format!("{}\n{{\"external_id\":\"K", lines(0, 3)),
            "line 4 of the page ends early",
        ),
        (
            format!("{}\n<html>canary</html>", lines(0, 3)),
            "line 4 of the page is no JSON",
        ),
        (
            format!("{}\n", lines(0, ALL)).repeat(100),
            "larger than 32 KiB",
        ),
    ] {
        let api = Server::new()
            .script(move |_| Some(reply(body.clone())))
            .start();
        let finished = place(&api, &database, "{ style: none }").run(&["sync"]);
        finished.expect(3).says(says);
        assert!(!format!("{finished}").contains("canary"));
    }
    assert_eq!(database.one("SELECT count(*)::text FROM customers"), "0");
}
