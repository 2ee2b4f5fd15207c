//! Secrets of the configuration: tokens in the wrong place, secrets in addresses, and what an alert command inherits.

use super::evidence::Evidence;
use super::{hasty, place};
use crate::support::Workplace;
use crate::support::http::{Fault, Server};
use crate::support::postgres::Database;

fn assert_no_leak(evidence: &Evidence) {
    let leaks = evidence.leaks();
    assert!(leaks.is_empty(), "{}", leaks.join("\n"));
}

#[test]
fn a_file_variable_that_holds_the_secret_itself_is_not_shown() {
    let mut evidence = Evidence::default();
    for value in [
        "canary-token-7f",
        "Bearer canary",
        "canary/with/slashes==",
        "/canary/absolute",
        "canary\nsecond line",
    ] {
        for name in ["API_TOKEN", "DB_PASSWORD", "DB_HOST", "API_BASE_URL"] {
            let place = Workplace::new()
                .env("API_BASE_URL", "http://127.0.0.1:1")
                .env("API_TOKEN", "t")
                .env("DB_HOST", "127.0.0.1")
                .env("DB_PORT", "1")
                .env("DB_NAME", "d")
                .env("DB_USER", "u")
                .env("DB_PASSWORD", "p")
                .env(name, "")
                .env(&format!("{name}_FILE"), value);
            for command in [
                &["sync", "-vvv"][..],
                &["check-api", "--output", "json"],
                &["check-db"],
                &["validate"],
            ] {
                let finished = place.run(command);
                assert_ne!(finished.code, 1, "{finished}");
                if command[0] == "sync" {
                    finished.expect(2).says(&format!("{name}_FILE"));
                }
                evidence.add_command(&format!("{command:?} with {name}_FILE"), &finished, false);
            }
        }
    }
    assert_no_leak(&evidence);
    // A path that is one is named: who mistypes it needs to see it.
    let place = Workplace::new().env("API_BASE_URL", "http://127.0.0.1:1");
    let missing = place.path("no-such-file");
    let place = place.env("API_TOKEN_FILE", missing.display().to_string());
    place
        .run(&["check-api"])
        .expect(2)
        .says(&missing.display().to_string());
}

#[test]
fn a_secret_in_the_path_of_an_address_is_not_shown() {
    let database = Database::new();
    let mut evidence = Evidence::default();
    let records = super::leaks::plain_records(250);
    let good = Server::new()
        .path("/canary-base/v2/api/v1/data")
        .records(records)
        .start();
    let broken = Server::new().always(Fault::Status(503)).start();
    let redirect = Server::new()
        .always(Fault::StatusWith(
            302,
            vec![("Location", "/canary-base/login".to_owned())],
        ))
        .start();
    let ear = Server::new().always(Fault::Status(500)).start();
    for api in [&good, &broken, &redirect] {
        let place = place(api, &database)
            .env("API_BASE_URL", format!("{}/canary-base/v2", api.url()))
            .env(
                "OPS_WEBHOOK_URL",
                format!("{}/hooks/canary?canary=1", ear.url()),
            )
            .env("HEALTHCHECK_URL", format!("{}/ping/canary", ear.url()))
            .env("RUST_LOG", "trace");
        for arguments in [
            &["sync", "-vvv"][..],
            &["sync", "--output", "json"],
            &["check-api"],
            &["retry"],
            &["case", "list"],
            &["history", "--output", "json"],
            &["validate"],
        ] {
            let finished = place.run(arguments);
            evidence.add_command(&arguments.join(" "), &finished, false);
        }
        evidence.add_state(&place);
    }
    evidence.add_tables(&database);
    // Mistakes in the address itself.
    for address in [
        format!("{}/canary/api/v1/data", good.url()),
        "localhost:28080/canary".to_owned(),
        "https://canary:canary@api.example.com".to_owned(),
        "https://api.example.com/?canary=canary".to_owned(),
        "ftp://api.example.com/canary".to_owned(),
        "canary".to_owned(),
    ] {
        let place = place(&good, &database).env("API_BASE_URL", address);
        let finished = place.run(&["sync"]);
        finished.expect(2);
        evidence.add_command("sync with a wrong address", &finished, false);
        evidence.add_command(
            "validate",
            &place.run(&["validate", "--output", "json"]),
            false,
        );
    }
    assert_no_leak(&evidence);
}

#[test]
fn a_secret_in_a_header_a_parameter_or_a_path_of_the_endpoint_is_not_shown() {
    let database = Database::new();
    let mut evidence = Evidence::default();
    let good = Server::new()
        .path("/canary-path/data")
        .records(super::leaks::plain_records(3))
        .start();
    let broken = Server::new().always(Fault::Status(503)).start();
    for (api, header) in [
        (&good, "canary-header"),
        (&broken, "canary-header"),
        (&good, "canary\u{1}header"),
    ] {
        let place = place(api, &database)
            .env("SECRET_HEADER", header)
            .env("SECRET_PARAM", "canary-param")
            .env("SECRET_PATH", "canary-path")
            .env("RUST_LOG", "trace");
        place.edit(
            "mappings.yaml",
            "Accept: application/json",
            "X-Key: \"${SECRET_HEADER}\"",
        );
        place.edit(
            "mappings.yaml",
            "# params: { sort: external_id } ",
            "params: { key: \"${SECRET_PARAM}\" } # ",
        );
        place.edit(
            "mappings.yaml",
            "path: /api/v1/data\n        method: GET",
            "path: /${SECRET_PATH}/data\n        method: GET",
        );
        for arguments in [
            &["sync", "-vvv"][..],
            &["check-api"],
            &["retry", "--output", "json"],
            &["validate"],
        ] {
            let finished = place.run(arguments);
            assert_ne!(finished.code, 1, "{finished}");
            evidence.add_command(&arguments.join(" "), &finished, false);
        }
        evidence.add_state(&place);
    }
    evidence.add_tables(&database);
    assert_no_leak(&evidence);
}

#[test]
fn an_alert_command_inherits_only_what_the_allow_list_and_its_mapping_name() {
    let database = Database::new();
    let broken = Server::new().always(Fault::Status(503)).start();
    let place = hasty(Workplace::connected(broken.url(), &database))
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", "/home/somebody")
        .env("LANG", "C.UTF-8")
        .env("TZ", "UTC")
        .env("DATASYNC_OUTPUT", "text")
        .env("CRM_KEY", "canary-header")
        .env("HOOK", "http://127.0.0.1:1/canary")
        .env("HEALTHCHECK_URL", "http://127.0.0.1:1/canary")
        .env("DB_PASSWORD_FILE", "/canary")
        .env("AWS_SECRET_ACCESS_KEY", "canary-other")
        .env("PAGER_KEY", "wanted")
        .env("API_TOKEN", "canary-token");
    place.edit(
        "mappings.yaml",
        "Accept: application/json",
        "X-Key: \"${CRM_KEY}\"",
    );
    place.edit(
        "mappings.yaml",
        "- webhook: ${OPS_WEBHOOK_URL:-}           # empty is off",
        "- webhook: ${HOOK}",
    );
    place.edit(
        "mappings.yaml",
        "# - command: [/usr/local/bin/page-ops]",
        "- command: [sh, -c, 'env > inherited']\n      env: [PAGER_KEY, NOT_SET]",
    );
    place.run(&["sync"]).expect(3);
    let inherited = std::fs::read_to_string(place.path("inherited")).unwrap();
    let mut names: Vec<&str> = inherited
        .lines()
        .filter_map(|line| line.split_once('=').map(|(name, _)| name))
        // What the shell sets by itself.
        .filter(|name| !["PWD", "OLDPWD", "SHLVL", "_"].contains(name))
        .collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "DATASYNC_OUTPUT",
            "DATASYNC_STATE_DIR",
            "HOME",
            "LANG",
            "PAGER_KEY",
            "PATH",
            "TZ"
        ]
    );
    assert!(inherited.contains("PAGER_KEY=wanted") && !inherited.contains("canary"));
    // A name that cannot be one is refused.
    place.edit(
        "mappings.yaml",
        "env: [PAGER_KEY, NOT_SET]",
        "env: [\"PAGER-KEY\"]",
    );
    place.run(&["sync"]).expect(2).says("env");
}
