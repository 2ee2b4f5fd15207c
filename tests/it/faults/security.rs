//! Rows 69 to 73: secrets that must not leak, and input that must not be executed. Row 74 is in `process.rs`.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use super::{count, hasty, place, rows, text, texts};
use crate::support::Workplace;
use crate::support::http::{Fault, Server};
use crate::support::postgres::{Cluster, Database};

#[test]
fn row_69_no_credential_follows_a_redirect() {
    let stranger = Server::new().records(texts(10)).token(None).start();
    let location = format!("{}/api/v1/data", stranger.url());
    let api = Server::new()
        .always(Fault::StatusWith(307, vec![("Location", location)]))
        .start();
    let database = Database::new();
    place(&api, &database).sync(&[]).0.expect(3);
    assert!(stranger.requests().is_empty());
}

#[test]
fn row_70_no_token_password_or_customer_value_is_in_any_log_message_case_metric_alert_or_state_file()
 {
    let canaries = [
        "canary-token-1f",
        "canary-pass-2e",
        "Canary Name 3d",
        "canary.mail.4c",
        "canary-type-5b",
    ];
    let hba = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
    let cluster = Cluster::new(&[], &[("pg_hba.conf", hba)]);
    let database = cluster.database();
    database.run("CREATE ROLE canary LOGIN SUPERUSER PASSWORD 'canary-pass-2e'");
    database.run("ALTER TABLE customers ADD CONSTRAINT picky CHECK (customer_id <> 'V-3')");
    let mut records = texts(30);
    for i in 0..8 {
        let score = if i < 4 { 90 } else { 20 };
        records.push(format!(
            r#"{{"external_id":"V-{i}","full_name":"Canary Name 3d","contact_email":"canary.mail.4c{}example.com","quality_score":{score},"record_type":"canary-type-5b"}}"#,
            if i == 2 { " " } else { "@" }
        ));
    }
    let api = Server::new()
        .records(records)
        .token(Some("canary-token-1f"))
        .fault(2, Fault::Status(500))
        .start();
    let place = hasty(Workplace::connected(api.url(), &database))
        .env("API_TOKEN", "canary-token-1f")
        .env("DB_HOST", "127.0.0.1")
        .env("DB_USER", "canary")
        .env("DB_PASSWORD", "canary-pass-2e")
        .env("RUST_LOG", "trace");
    let metrics = place.path("datasync.prom");
    place.edit(
        "mappings.yaml",
        "# metrics: { textfile: /var/lib/node_exporter/textfile/datasync.prom }",
        &format!("metrics: {{ textfile: {} }}", metrics.display()),
    );
    place.edit(
        "mappings.yaml",
        "# - command: [/usr/local/bin/page-ops]",
        "- command: [sh, -c, 'cat >> alerts.json']",
    );
    let mut said = String::new();
    let mut keep = |finished: crate::support::command::Finished| {
        said += &finished.stderr;
        said += &finished.stdout;
    };
    keep(place.run(&["sync", "-vvv"]));
    keep(place.run(&["sync", "--log-format", "json", "--output", "json"]));
    keep(place.run(&["check-api"]));
    keep(place.run(&["check-db"]));
    cluster.stop("fast");
    keep(place.run(&["sync", "-vvv"]));
    keep(place.run(&["case", "list"]));
    cluster.start();
    keep(place.run(&["retry", "-vvv"]));
    let place = place
        .env("API_TOKEN", "canary-token-1f-wrong")
        .env("DB_PASSWORD", "canary-pass-2e-wrong");
    keep(place.run(&["sync", "-vvv"]));
    for folder in ["cases", "log"] {
        if let Ok(files) = std::fs::read_dir(place.state().join(folder)) {
            for file in files {
                said += &std::fs::read_to_string(file.unwrap().path()).unwrap();
            }
        }
    }
    said += &std::fs::read_to_string(&metrics).unwrap();
    // Written by the command that alerts are handed to.
    if let Ok(alerts) = std::fs::read_to_string(place.path("alerts.json")) {
        said += &alerts;
    }
    said += &database
        .list("SELECT document::text FROM sync_cases")
        .join("\n");
    said += &database
        .list("SELECT coalesce(error_message, '') FROM sync_log")
        .join("\n");
    said += &database
        .list("SELECT message || errors::text FROM sync_rejections")
        .join("\n");
    assert!(said.len() > 5_000, "something was said");
    for canary in canaries {
        let at = said
            .find(canary)
            .map(|at| said[at.saturating_sub(200)..(at + 60).min(said.len())].to_owned());
        assert_eq!(at, None, "{canary} got out");
    }
}

#[test]
fn row_71_a_server_that_answers_n_to_tls_is_refused_unless_tls_is_off_on_purpose() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, heard) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 1024];
            while let Ok(read @ 1..) = stream.read(&mut request) {
                tell.send(request[..read].to_vec()).unwrap_or_default();
                stream.write_all(b"N").unwrap_or_default();
            }
        }
    });
    let place = Workplace::new()
        .env("DB_HOST", "127.0.0.1")
        .env("DB_PORT", port.to_string())
        .env("DB_NAME", "any")
        .env("DB_USER", "any")
        .env("DB_PASSWORD", "canary-pass");
    for mode in ["require", "verify-ca", "verify-full"] {
        let finished = place
            .command(&["check-db"])
            .env("DB_SSLMODE", mode)
            .output()
            .unwrap();
        assert_eq!(finished.status.code(), Some(4), "{mode}");
        let said = String::from_utf8_lossy(&finished.stdout).into_owned();
        assert!(said.to_lowercase().contains("tls"), "{mode}: {said}");
        let asked: Vec<Vec<u8>> = heard.try_iter().collect();
        assert!(!asked.is_empty(), "{mode}: nobody came");
        for request in asked {
            // Anything but the question whether TLS is spoken would be a start in clear text, with the password to follow.
            assert_eq!(
                request,
                [0, 0, 0, 8, 4, 210, 22, 47],
                "{mode}: the client went on in clear text"
            );
        }
    }
    // On purpose: a server that speaks no TLS takes clear text.
    let cluster = Cluster::new(&[("ssl", "off")], &[]);
    let place = Workplace::new().with_database(&cluster.database());
    let place = place.env("DB_SSLMODE", "require");
    place.run(&["check-db"]).expect(4).says("TLS");
    let place = place.env("DB_SSLMODE", "disable");
    place
        .run(&["check-db"])
        .expect(0)
        .says("off (sslmode disable)");
}

#[test]
fn row_72_control_characters_in_values_do_not_reach_the_terminal() {
    let mut records = texts(20);
    records.push(
        text("X")
            .replace(
                "\"external_id\":\"X\"",
                "\"external_id\":\"X\\u001b[31mred\\u0007\"",
            )
            .replace("90", "12"),
    );
    let api = Server::new().records(records).start();
    let database = Database::new();
    let place = place(&api, &database);
    let finished = place.run(&["sync", "-v"]);
    finished.expect(0);
    let dry = place.run(&["sync", "--dry-run"]);
    let judged = place.run(&["validate", "--fetch"]);
    for finished in [finished, dry, judged] {
        let said = format!("{}{}", finished.stdout, finished.stderr);
        assert!(
            !said.contains('\u{1b}') && !said.contains('\u{7}'),
            "{said:?}"
        );
    }
}

#[test]
fn row_73_names_and_values_that_look_like_sql_are_just_names_and_values() {
    let nasty = "Robert'); DROP TABLE customers; --";
    let mut records = texts(5);
    records.push(
        text("Q1")
            .replace("\"external_id\":\"Q1\"", "\"external_id\":\"Q'\\\"; --\"")
            .replace("Name of Q1", nasty),
    );
    let api = Server::new().records(records).start();
    let database = Database::new();
    database.run("ALTER TABLE customers RENAME COLUMN email TO \"e\"\"mail; --\"");
    let place = place(&api, &database);
    place.edit(
        "mappings.yaml",
        "contact_email: { to: email, max_length: 255 }",
        "contact_email: { to: email, max_length: 255, column: 'e\"mail; --' }",
    );
    let (finished, report) = place.sync(&[]);
    finished.expect(0);
    assert_eq!(count(&report, "inserted"), 6);
    assert_eq!(rows(&database), "6");
    assert_eq!(
        database.one(&format!(
            "SELECT count(*)::text FROM customers WHERE customer_name = '{}'",
            nasty.replace('\'', "''")
        )),
        "1"
    );
}
