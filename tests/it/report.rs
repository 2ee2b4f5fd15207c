//! The page for a browser: it is there on every exit, whole, for its owner's eyes, and gives nothing away.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};

use rustix::process::Signal;

use crate::support::command::finish;
use crate::support::http::{Fault, Reply, Server};
use crate::support::postgres::{Cluster, Database};
use crate::support::{Workplace, until};

const VOID: [&str; 2] = ["meta", "br"];

fn texts(count: u32, score: u32) -> Vec<String> {
    (1..=count)
        .map(|i| {
            format!(
                r#"{{"external_id":"P-{i:05}","full_name":"Name {i}","contact_email":"u{i}@example.com","quality_score":{score}}}"#
            )
        })
        .collect()
}

/// The page, after what must hold of every page has been checked.
fn page(place: &Workplace, name: &str) -> String {
    let path = place.path(name);
    let html = fs::read_to_string(&path).unwrap_or_else(|error| panic!("no {name}: {error}"));
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert!(
        html.starts_with("<!doctype html>\n<html lang=\"en\">"),
        "{html}"
    );
    assert!(html.ends_with("</html>\n"), "it is not whole");
    // Nothing is fetched from anywhere.
    assert!(!html.contains("@import"));
    for reference in html.split("url(").skip(1) {
        let ours = ["#hatch-broad)", "#hatch-narrow)"];
        assert!(
            ours.iter().any(|id| reference.starts_with(id)),
            "{reference}"
        );
    }
    assert!(html.contains("default-src 'none'"));
    assert!(html.contains("prefers-color-scheme: dark"));
    balanced(&html);
    html
}

/// Every element is closed, in order, and no id is given twice.
fn balanced(html: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut ids: Vec<&str> = Vec::new();
    let body = &html[html.find("</style>").unwrap() + 8..];
    for tag in body.split('<').skip(1) {
        let (tag, _) = tag
            .split_once('>')
            .unwrap_or_else(|| panic!("<{tag} has no end"));
        if let Some(name) = tag.strip_prefix('/') {
            // The head was opened before the style.
            let expected = open
                .pop()
                .unwrap_or(if name == "head" { "head" } else { "html" });
            assert_eq!(expected, name, "in {open:?}");
            continue;
        }
        let name = tag.split_whitespace().next().unwrap().trim_end_matches('/');
        assert!(
            ![
                "script", "link", "img", "iframe", "object", "embed", "base", "form"
            ]
            .contains(&name),
            "<{tag}>"
        );
        for attribute in [" src", " href", " xlink", " on", " action"] {
            assert!(!tag.contains(attribute), "<{tag}>");
        }
        ids.extend(
            tag.split(" id=\"")
                .skip(1)
                .filter_map(|rest| rest.split('"').next()),
        );
        if !tag.ends_with('/') && !VOID.contains(&name) {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
    let given = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(given, ids.len(), "{ids:?}");
}

#[test]
fn a_run_leaves_a_page_with_its_figures_and_those_of_the_runs_before() {
    let mut records = texts(90, 90);
    records.extend((1..=10).map(|i| format!(r#"{{"external_id":"Q-{i}","full_name":"Name","contact_email":"nobody","quality_score":90}}"#)));
    let api = Server::new().records(records).max_page_size(10).start();
    let database = Database::new();
    let place = Workplace::connected(api.url(), &database);
    place.sync(&[]).0.expect(0);
    let (finished, report) = place.sync(&["--report", "run.html"]);
    finished.expect(0);
    let html = page(&place, "run.html");
    for part in [
        "<title>Sync of public.customers</title>",
        "Success",
        "<tspan class=\"strong\">90</tspan> unchanged \u{b7} 90.0 %",
        "<tspan class=\"strong\">10</tspan> rejected \u{b7} 10.0 %",
        "How long the API took to answer",
        "10 requests, the slowest took",
        "<summary>field_error <span class=\"soft\">3 of 10</span>",
        "contact_email: expected e-mail address, found text that is no address",
        "2 of 2 succeeded (100.0 %)",
        "aria-current=\"true\"",
        report["run_id"].as_str().unwrap(),
    ] {
        assert!(html.contains(part), "{part} is not in\n{html}");
    }
    assert!(
        !html.contains("inserted \u{b7}"),
        "what did not occur is not drawn"
    );
    // No temporary file stays behind.
    let left: Vec<_> = fs::read_dir(place.path("."))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains(".tmp"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn values_are_masked_unless_they_are_asked_for_and_never_become_markup() {
    let hostile = [
        r#"{"external_id":"<script>alert(1)</script>","full_name":"\"><img src=x onerror=alert(2)>","contact_email":"not & an <b>address</b>","quality_score":90}"#,
        r#"{"external_id":"M-2\u001b[31m\u202e","full_name":"Secret Sally","contact_email":"sally@secret.example","quality_score":7}"#,
        r#"{"external_id":"M-3","full_name":"Plain Paul","contact_email":null,"created_date":"yesterday","quality_score":90}"#,
    ];
    let api = Server::new().records(hostile).start();
    let database = Database::new();
    let place = Workplace::connected(api.url(), &database);
    place.run(&["sync", "--report", "run.html"]).expect(5);
    let html = page(&place, "run.html");
    for value in [
        "Secret Sally",
        "sally@secret",
        "Plain Paul",
        "yesterday",
        "onerror",
        "an &lt;b",
    ] {
        assert!(!html.contains(value), "{value} in\n{html}");
    }
    for part in [
        "record <bdi>&lt;script&gt;alert(1)&lt;/script&gt;</bdi>",
        "M-2\\u{1b}[31m\\u{202e}",
        "text, 12 characters",
        "null",
        "absent",
        "Done, and a threshold was crossed",
        "are masked",
    ] {
        assert!(html.contains(part), "{part} is not in\n{html}");
    }
    place
        .run(&["sync", "--report", "run.html", "--show-values"])
        .expect(5);
    let html = page(&place, "run.html");
    for part in [
        "Secret Sally",
        "&quot;&gt;&lt;img src=x onerror=alert(2)&gt;",
        "not &amp; an &lt;b&gt;address&lt;/b&gt;",
        "keep it as safe as the table",
    ] {
        assert!(html.contains(part), "{part} is not in\n{html}");
    }
    place.run(&["sync", "--show-values"]).expect(2);
}

#[test]
fn a_dry_run_leaves_a_page_of_what_would_change() {
    let api = Server::new().records(texts(3, 90)).start();
    let database = Database::new();
    let place = Workplace::connected(api.url(), &database);
    place.sync(&[]).0.expect(0);
    database.run("UPDATE customers SET customer_name = 'Old <Name>' WHERE customer_id = 'P-00002'");
    place
        .run(&["sync", "--dry-run", "--report", "dry.html"])
        .expect(0);
    let html = page(&place, "dry.html");
    assert!(html.contains("Dry run: nothing was written"), "{html}");
    assert!(
        html.contains("customer_name") && html.contains("10 characters"),
        "{html}"
    );
    assert!(!html.contains("Old &lt;Name"), "{html}");
    place
        .run(&["sync", "--dry-run", "--report", "dry.html", "--show-values"])
        .expect(0);
    assert!(page(&place, "dry.html").contains("Old &lt;Name&gt;"));
}

#[test]
fn a_page_is_left_when_the_api_fails() {
    let broken = Server::new().always(Fault::Status(401)).start();
    let database = Database::new();
    let place = Workplace::connected(broken.url(), &database);
    let (finished, report) = place.sync(&["--report", "run.html"]);
    finished.expect(3);
    let html = page(&place, "run.html");
    let case = report["case_id"].as_str().unwrap();
    for part in [
        "Failed",
        "exit 3",
        "API_TOKEN",
        "No records were fetched",
        &format!("datasync case show {case}"),
    ] {
        assert!(html.contains(part), "{part} is not in\n{html}");
    }
}

#[test]
fn a_page_is_left_when_the_database_is_away() {
    let cluster = Cluster::new(&[], &[]);
    let database = cluster.database();
    let api = Server::new().records(texts(12, 90)).start();
    let place = Workplace::connected(api.url(), &database);
    cluster.stop("fast");
    place.run(&["sync", "--report", "run.html"]).expect(4);
    let html = page(&place, "run.html");
    for part in [
        "Done in part",
        "<tspan class=\"strong\">12</tspan> spooled",
        "The log of runs could not be read",
    ] {
        assert!(html.contains(part), "{part} is not in\n{html}");
    }
}

#[test]
fn a_page_is_left_when_the_tables_do_not_fit_or_another_run_is_at_work() {
    let slow = Server::new()
        .records(texts(40, 90))
        .max_page_size(10)
        .held_after(1)
        .start();
    let database = Database::new();
    let place = Workplace::connected(slow.url(), &database);
    let first = place.start(&["sync"]);
    until("a run has the lease", || {
        database.one("SELECT count(*)::text FROM sync_lease") != "0"
    });
    place.run(&["sync", "--report", "busy.html"]).expect(75);
    let html = page(&place, "busy.html");
    assert!(
        html.contains("Not begun: another run is at work") && html.contains("running"),
        "{html}"
    );
    slow.let_go();
    finish(first).expect(0);

    database.run("ALTER TABLE customers RENAME COLUMN email TO mail");
    place.run(&["sync", "--report", "run.html"]).expect(2);
    let html = page(&place, "run.html");
    assert!(
        html.contains("Not begun") && html.contains("has no column email"),
        "{html}"
    );
}

#[test]
fn a_page_is_left_when_a_run_is_told_to_stop_or_its_deadline_comes() {
    let slow = Server::new()
        .records(texts(100, 90))
        .max_page_size(5)
        .start();
    let database = Database::new();
    let place = Workplace::connected(slow.url(), &database);
    place.edit("mappings.yaml", "concurrency: 4", "concurrency: 1");
    for (signal, code, told) in [
        (Signal::TERM, 143, "terminated"),
        (Signal::INT, 130, "interrupted"),
        (Signal::HUP, 129, "the terminal was closed"),
    ] {
        let before = slow.requests().len();
        slow.hold_after(before + 2);
        let run = place.start(&["sync", "--report", "run.html"]);
        until("a third request of this run", || {
            slow.requests().len() >= before + 3
        });
        crate::support::signal(signal, run.id());
        finish(run).expect(code);
        let html = page(&place, "run.html");
        fs::remove_file(place.path("run.html")).unwrap();
        for part in ["Done in part", &format!("exit {code}: {told}")] {
            assert!(html.contains(part), "{part} is not in\n{html}");
        }
    }

    place
        .run(&["sync", "--report", "run.html", "--deadline", "700ms"])
        .expect(3);
    let html = page(&place, "run.html");
    assert!(
        html.contains("exit 3") && html.contains("the deadline is over"),
        "{html}"
    );
}

#[test]
fn a_page_is_left_when_the_spool_is_full() {
    let cluster = Cluster::new(&[], &[]);
    let database = cluster.database();
    let api = Server::new().records(texts(9_000, 90)).start();
    let place = Workplace::connected(api.url(), &database);
    place.edit(
        "mappings.yaml",
        "spool: { max_bytes: 1GiB }",
        "spool: { max_bytes: 1MiB }",
    );
    place.edit("mappings.yaml", "size: 100 ", "size: 1000 ");
    cluster.stop("fast");
    let (finished, report) = place.sync(&["--report", "run.html"]);
    finished.expect(6);
    let spooled = report["ledger"]["spooled"].as_u64().unwrap();
    let html = page(&place, "run.html");
    let grouped = |count: u64| match count {
        0..1_000 => count.to_string(),
        _ => format!("{},{:03}", count / 1_000, count % 1_000),
    };
    let drawn = format!(
        "<tspan class=\"strong\">{}</tspan> spooled",
        grouped(spooled)
    );
    for part in [
        "Done in part",
        "exit 6",
        "the spool is full",
        &format!(
            "{} records could not be kept; the next run fetches them again",
            grouped(9_000 - spooled)
        ),
        &drawn,
    ] {
        assert!(html.contains(part), "{part} is not in\n{html}");
    }
}

#[test]
fn a_page_is_left_when_a_ledger_does_not_balance() {
    let database = Database::new();
    // Somebody else takes a message away while the API refuses all of them: it is neither told nor kept.
    let thief = std::sync::Mutex::new(database.client());
    let api = Server::new()
        .records(texts(20, 90))
        .script(move |request| {
            if request.method != "PUT" {
                return None;
            }
            thief
                .lock()
                .unwrap()
                .execute("DELETE FROM sync_outbox WHERE record_id = 'P-00009'", &[])
                .unwrap();
            Some(Reply::Instead(503, Vec::new(), String::new()))
        })
        .start();
    let place = Workplace::connected(api.url(), &database);
    place.edit("mappings.yaml", "initial: 500ms", "initial: 5ms");
    place.edit("mappings.yaml", "max: 30s ", "max: 20ms ");
    place.edit("mappings.yaml", "enabled: false", "enabled: true");
    place.edit(
        "mappings.yaml",
        "method: PUT",
        "method: PUT\n        retry: { initial: 5ms, max: 20ms }",
    );
    place.sync(&["--report", "run.html"]).0.expect(1);
    let html = page(&place, "run.html");
    for part in [
        "exit 1",
        "the ledger of write-back does not balance: 20 messages due, 19 accounted for",
        "<tspan class=\"strong\">20</tspan> inserted",
    ] {
        assert!(html.contains(part), "{part} is not in\n{html}");
    }
}

#[test]
fn a_source_without_records_leaves_a_page_too() {
    let api = Server::new().records(Vec::<String>::new()).start();
    let database = Database::new();
    let place = Workplace::connected(api.url(), &database);
    place.run(&["sync", "--report", "run.html"]);
    let html = page(&place, "run.html");
    assert!(html.contains("No records were fetched"), "{html}");
    for nonsense in ["NaN", "inf"] {
        assert!(
            !html[html.find("</style>").unwrap()..].contains(nonsense),
            "{nonsense} in\n{html}"
        );
    }
}

#[test]
fn where_no_page_can_be_written_nothing_is_begun() {
    let api = Server::new().records(texts(3, 90)).start();
    let database = Database::new();
    let place = Workplace::connected(api.url(), &database);
    let folder = place.path("folder");
    fs::create_dir(&folder).unwrap();
    for path in ["nowhere/run.html", "folder", "/dev/null", ".."] {
        for command in ["sync", "history"] {
            place
                .run(&[command, "--report", path])
                .expect(2)
                .says("the report cannot be written")
                .says("--report");
        }
    }
    assert!(api.requests().is_empty());
    assert!(
        fs::metadata("/dev/null")
            .unwrap()
            .file_type()
            .is_char_device()
    );
}

#[test]
fn a_page_that_cannot_be_written_any_more_is_told_and_changes_nothing_else() {
    let database = Database::new();
    let place = Workplace::new().with_database(&database);
    let folder = place.path("pages");
    fs::create_dir(&folder).unwrap();
    let gone = folder.clone();
    let api = Server::new()
        .records(texts(3, 90))
        .script(move |_| {
            // The folder is there at the start, and not at the end.
            fs::remove_dir(&gone).unwrap_or_default();
            None
        })
        .start();
    let place = place.with_api(api.url());
    let finished = place.run(&["sync", "--report", "pages/run.html"]);
    finished
        .expect(0)
        .says("ERROR the report could not be written: pages/run.html");
    assert!(!folder.exists());
    assert_eq!(database.one("SELECT count(*)::text FROM customers"), "3");
    assert_eq!(database.one("SELECT status FROM sync_log"), "SUCCESS");
}

#[test]
fn history_leaves_a_page_with_no_run_one_run_and_several() {
    let api = Server::new().records(texts(3, 90)).start();
    let database = Database::new();
    let place = Workplace::connected(api.url(), &database);
    for (runs, part) in [
        (0, "No run is known yet"),
        (1, "1 of 1 succeeded"),
        (2, "2 of 2 succeeded"),
    ] {
        if runs > 0 {
            place.sync(&[]).0.expect(0);
        }
        let finished = place.run(&["history", "-q", "--report", "runs.html"]);
        finished.expect(0);
        assert_eq!(finished.stdout, "");
        let html = page(&place, "runs.html");
        assert!(
            html.contains("Runs of public.customers") && html.contains(part),
            "{html}"
        );
    }
}
