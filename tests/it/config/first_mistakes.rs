//! The mistakes that people make first, and the message for each that says what to type.

use std::os::unix::fs::PermissionsExt as _;

use crate::support::Workplace;
use crate::support::http::Server;
use crate::support::postgres::Database;

fn with_base_url(url: &str) -> Workplace {
    Workplace::new().with_api(url).env("DB_HOST", "127.0.0.1")
}

#[test]
fn a_base_url_that_has_the_path_of_the_endpoint_is_refused() {
    let finished = with_base_url("http://127.0.0.1:9/api/v1/data/").run(&["check-api"]);
    finished
        .expect(2)
        .says("error: API_BASE_URL ends with /api/v1/data, which is the path of the endpoint")
        .says("end it after host and port");
    with_base_url("http://127.0.0.1:9/crm/api/v1/data")
        .run(&["check-api"])
        .expect(2)
        .says("end it before that path");
}

#[test]
fn a_base_url_without_a_scheme_is_guessed() {
    with_base_url("localhost:28080")
        .run(&["check-api"])
        .expect(2)
        .says("did you mean http://localhost:28080?");
    // What could be a token is not shown.
    let finished = with_base_url("eyJhbGciOi.canary.c2ln").run(&["check-api"]);
    finished
        .expect(2)
        .says("API_BASE_URL: expected http://host");
    assert!(!finished.to_string().contains("canary"), "{finished}");
}

#[test]
fn the_decision_table_is_looked_for_beside_the_mappings_file() {
    let place = Workplace::new();
    std::fs::create_dir(place.path("conf")).unwrap();
    for file in ["mappings.yaml", "decisions.dmn.xml"] {
        std::fs::rename(place.path(file), place.path(&format!("conf/{file}"))).unwrap();
    }
    place
        .run(&["validate", "--mappings", "conf/mappings.yaml"])
        .expect(0);
}

#[test]
fn a_number_out_of_range_is_told_in_words() {
    let place = Workplace::new();
    for (arguments, told) in [
        (
            ["sync", "--limit", "0"],
            "expected a number of records, 1 or more",
        ),
        (
            ["validate", "--limit", "x"],
            "expected a number of records, 1 or more",
        ),
        (
            ["history", "--limit", "0"],
            "expected a number of runs from 1 to 10000",
        ),
    ] {
        let finished = place.run(&arguments);
        finished.expect(2).says(told);
        assert!(!finished.stderr.contains(".."), "{finished}");
        assert!(finished.stderr.starts_with("error: "), "{finished}");
    }
}

#[test]
fn every_error_begins_alike() {
    let place = Workplace::new();
    let missing = place.run(&["sync"]);
    missing.expect(2);
    assert!(missing.stderr.starts_with("error: "), "{missing}");
    place.edit("mappings.yaml", "max_attempts", "max_atempts");
    let wrong = place.run(&["validate"]);
    wrong.expect(2);
    assert!(wrong.stderr.starts_with("error: mappings.yaml:"), "{wrong}");
}

#[test]
fn every_command_warns_of_secrets_that_everybody_can_read() {
    let api = Server::new().start();
    let database = Database::new();
    let place = Workplace::connected(api.url(), &database);
    place.write(".env", "API_TOKEN=secret\n");
    let mode = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(place.path(".env"), mode).unwrap();
    for arguments in [
        &["case", "list"][..],
        &["history"],
        &["check-db"],
        &["sync"],
    ] {
        let finished = place.run(arguments);
        let told = "every user of this machine can read it";
        assert_eq!(finished.stderr.matches(told).count(), 1, "{finished}");
    }
}

#[test]
fn a_case_tells_the_lease_of_its_own_run_from_that_of_another() {
    let record = r#"{"external_id":"F-1","full_name":"A","contact_email":"a@example.com","quality_score":20}"#;
    let api = Server::new().records([record]).start();
    let database = Database::new();
    let place = Workplace::connected(api.url(), &database);
    let (finished, report) = place.sync(&[]);
    finished.expect(5);
    let shown = place.run(&["case", "show", report["case_id"].as_str().unwrap()]);
    shown
        .expect(0)
        .says("public.customers: held by this run itself");
    assert!(!shown.stdout.contains("exit 75"), "{shown}");
}

#[test]
fn a_duration_without_a_unit_is_in_seconds_as_the_page_on_mappings_says() {
    let page = include_str!("../../../docs/mappings.md");
    assert!(page.contains("`30` is 30 seconds"));
    let place = Workplace::new();
    place.edit("mappings.yaml", "timeout: 30s ", "timeout: 30 ");
    place.run(&["validate"]).expect(0);
}

#[test]
fn a_state_directory_that_cannot_be_made_is_named() {
    let api = Server::new().start();
    let database = Database::new();
    let place = Workplace::connected(api.url(), &database);
    let finished = place.run(&["sync", "--state-dir", "/dev/null/state"]);
    finished
        .expect(2)
        .says("the state directory /dev/null/state")
        .says("name another folder with --state-dir");
    assert!(api.requests().is_empty());
}
