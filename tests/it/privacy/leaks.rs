//! Canaries in every place that data can come from, and a search of every place that text can go to, over every command,
//! at trace level. Ids of records are the one thing that may be shown; they hold no canary here.

mod hostile_sources;

use std::collections::BTreeMap;

use hostile_sources::{Source, record, records, sources};

use super::evidence::Evidence;
use super::{hasty, place};
use crate::support::Workplace;
use crate::support::http::{Fault, Paging, Reply, Server};
use crate::support::postgres::Database;

/// Runs every command that meets the API, at trace level.
fn meet(place: &Workplace, evidence: &mut Evidence, name: &str) {
    let report = place.path("report.html");
    let path = report.display().to_string();
    for arguments in [
        &["sync", "-vvv", "--report", path.as_str()][..],
        &["sync", "-vvv", "--output", "json", "--log-format", "json"],
        &["check-api", "-vvv"],
        &["validate", "--fetch"],
        &["retry", "-vvv", "--output", "json"],
    ] {
        let finished = place.run(arguments);
        assert_ne!(finished.code, 1, "{name}: {finished}");
        let command = format!("`{}` ({name})", arguments.join(" "));
        if arguments[0] == "check-api" {
            evidence.add_check_api(&command, &finished);
        } else {
            evidence.add_command(&command, &finished, arguments[0] == "validate");
        }
    }
    evidence.add_file(&report);
}

/// Cases, history and their page.
fn look_back(place: &Workplace, database: &Database, evidence: &mut Evidence) {
    let report = place.path("history.html");
    let path = report.display().to_string();
    for arguments in [
        &["case", "list", "-vvv"][..],
        &["case", "list", "--output", "json"],
        &["history", "--report", path.as_str()],
        &["history", "--output", "json"],
        &["check-db", "-vvv"],
        &["check-db", "--output", "json"],
    ] {
        evidence.add_command(&arguments.join(" "), &place.run(arguments), false);
    }
    for id in database.list("SELECT id FROM sync_cases") {
        for output in ["text", "json"] {
            let shown = place.run(&["case", "show", &id, "--output", output]);
            evidence.add_command("case show", shown.expect(0), false);
        }
        place.run(&["case", "note", &id, "seen"]).expect(0);
    }
    evidence.add_file(&report);
    evidence.add_tables(database);
    evidence.add_state(place);
}

/// A workplace that writes metrics and tells a webhook, a command and a dead man's switch.
fn watched(place: Workplace, ear: &str) -> Workplace {
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
    place
        .env("RUST_LOG", "trace")
        .env("PATH", "/usr/bin:/bin")
        .env("OPS_WEBHOOK_URL", format!("{ear}/hook"))
        .env("HEALTHCHECK_URL", format!("{ear}/ping"))
}

fn add_watchers(place: &Workplace, evidence: &mut Evidence) {
    evidence.add_file(&place.path("datasync.prom"));
    evidence.add_file(&place.path("alerts.json"));
}

#[track_caller]
fn assert_no_leak(evidence: &Evidence) {
    assert!(evidence.size() > 10_000, "something was said");
    let mut leaks = evidence.leaks();
    let of = |leak: &str| {
        leak.find("canary")
            .map(|at| leak[at..].chars().take(60).collect::<String>())
    };
    let mut seen = std::collections::BTreeSet::new();
    leaks.retain(|leak| seen.insert((of(leak), leak.split(' ').next().map(str::to_owned))));
    let mut by_place: BTreeMap<&str, usize> = BTreeMap::new();
    for leak in &leaks {
        *by_place
            .entry(leak.split(": ").next().unwrap())
            .or_default() += 1;
    }
    assert!(
        leaks.is_empty(),
        "{} canaries got out: {by_place:#?}\n{}",
        leaks.len(),
        leaks.join("\n")
    );
}

#[test]
fn nothing_of_a_page_its_keys_its_values_or_its_headers_gets_out() {
    let database = Database::new();
    let ear = Server::new().token(None).always(Fault::Status(200)).start();
    let mut evidence = Evidence::default();
    for source in sources() {
        let Source {
            name,
            status,
            headers,
            body,
            style,
        } = source;
        let api = Server::new()
            .script(move |_| Some(Reply::Instead(status, headers.clone(), body.clone())))
            .start();
        let place = watched(place(&api, &database), ear.url());
        place.edit("mappings.yaml", "style: page ", &format!("style: {style} "));
        place.edit("mappings.yaml", "page_param: page\n", "\n");
        place.edit("mappings.yaml", "          size_param: page_size\n", "");
        place.edit("mappings.yaml", "          first: 1\n", "");
        meet(&place, &mut evidence, name);
        add_watchers(&place, &mut evidence);
        evidence.add_state(&place);
    }
    let place = hasty(Workplace::new().with_database(&database)).env("RUST_LOG", "trace");
    look_back(&place, &database, &mut evidence);
    evidence.add_requests("webhook or ping", &ear);
    assert_no_leak(&evidence);
}

/// Values that no field takes, in every type that a mapping knows.
fn refused_values() -> Vec<String> {
    let fields = [
        ("external_id", r#"["canary"]"#),
        ("external_id", r#"{"canary":"canary"}"#),
        ("full_name", r#"{"canary":"canary"}"#),
        ("full_name", r#""canary \u0000""#),
        ("full_name", r#""canary \ud800""#),
        ("contact_email", r#""canary at mail""#),
        ("created_date", r#""canary""#),
        ("quality_score", r#""canary""#),
        ("record_type", r#"["canary"]"#),
        ("count", r#""canary""#),
        ("active", r#""canary""#),
        ("born", r#""canary""#),
        ("uid", r#""canary""#),
        ("extra", r#"{"canary":1,"canary":2}"#),
        ("extra", r#"{"canary":"\u0000"}"#),
        ("level", r#""canary""#),
        ("code", r#""canary""#),
        ("rank", r#""canary_rank""#),
        ("spot", r#""canary.spot""#),
    ];
    let mut records: Vec<String> = fields
        .iter()
        .enumerate()
        .map(|(at, (field, value))| {
            let mut members: BTreeMap<&str, String> = BTreeMap::from([
                ("external_id", format!("\"V-{at:02}\"")),
                ("full_name", "\"Canary Name\"".to_owned()),
                ("contact_email", "\"canary@mail.example\"".to_owned()),
                ("quality_score", "90".to_owned()),
                ("record_type", "\"canary_type\"".to_owned()),
            ]);
            members.insert(field, (*value).to_owned());
            let members: Vec<String> = members
                .iter()
                .map(|(name, value)| format!("\"{name}\":{value}"))
                .collect();
            format!("{{{}}}", members.join(","))
        })
        .collect();
    let long = "canary".repeat(60);
    records.push(record("V-LONG").replace("Canary Name", &long));
    records.push(record("V-LOW").replace("90", "12"));
    records.push(record("V-KEYS").replace(
        "\"version\"",
        "\"canary@mail.example\":1,\"canary@mail.example\"",
    ));
    records.push(r#"{"full_name":"Canary","canary@mail.example":1}"#.to_owned());
    records.push(r#"{"external_id":"   ","full_name":"Canary"}"#.to_owned());
    records
}

const MORE_FIELDS: &str = "record_type: { to: recordType, default: customer }
            count: { to: visits, type: integer }
            active: { to: isActive, type: boolean }
            born: { to: bornOn, type: date }
            uid: { to: uid, type: uuid }
            extra: { to: extra, type: json }
            level: { to: level, one_of: [low, high] }
            code: { to: code, pattern: '[0-9]+' }
            rank: { to: rank }
            spot: { to: spot }";

#[test]
fn no_value_that_a_field_or_a_column_refuses_gets_out() {
    let database = Database::new();
    database.run(
        "CREATE TYPE grade AS ENUM ('low', 'high'); ALTER TABLE customers ADD COLUMN visits integer, \
         ADD COLUMN is_active boolean, ADD COLUMN born_on date, ADD COLUMN uid uuid, ADD COLUMN extra jsonb, \
         ADD COLUMN level text, ADD COLUMN code text, ADD COLUMN rank grade, ADD COLUMN spot regclass",
    );
    let mut all = refused_values();
    all.extend(records(20));
    let api = Server::new().records(all).start();
    let ear = Server::new().token(None).always(Fault::Status(200)).start();
    let place = watched(place(&api, &database), ear.url());
    place.edit(
        "mappings.yaml",
        "record_type: { to: recordType, default: customer }",
        MORE_FIELDS,
    );
    let mut evidence = Evidence::default();
    meet(&place, &mut evidence, "refused values");
    assert!(
        database.list("SELECT reason FROM sync_rejections").len() >= 20,
        "the values were to be refused"
    );
    for arguments in [
        &["retry", "--rejected", "-vvv"][..],
        &["sync", "--dry-run", "-vvv"],
        &["validate", "--stored"],
        &["validate", "--fetch", "--explain", "V-LOW"],
    ] {
        let finished = place.run(arguments);
        assert_ne!(finished.code, 1, "{finished}");
        let asked = arguments[0] != "retry";
        evidence.add_command(&arguments.join(" "), &finished, asked);
    }
    add_watchers(&place, &mut evidence);
    look_back(&place, &database, &mut evidence);
    evidence.add_requests("webhook or ping", &ear);
    assert_no_leak(&evidence);
}

/// Statements that make a table refuse rows with the row's values in the text of the error.
const GUARDS: [(&str, &str); 9] = [
    (
        "55000",
        "RAISE EXCEPTION 'no % (%)', NEW.email, NEW.customer_name USING ERRCODE = '55000', DETAIL = NEW.email, HINT = NEW.email",
    ),
    (
        "P0001",
        "RAISE EXCEPTION 'no %', NEW.email USING TABLE = NEW.email, SCHEMA = NEW.email, DATATYPE = NEW.email",
    ),
    (
        "23514",
        "RAISE EXCEPTION 'no %', NEW.email USING ERRCODE = '23514', CONSTRAINT = NEW.email, COLUMN = NEW.customer_name",
    ),
    (
        "22023",
        "RAISE EXCEPTION 'no %', NEW.email USING ERRCODE = '22023', COLUMN = NEW.email",
    ),
    (
        "42501",
        "RAISE EXCEPTION 'no %', NEW.email USING ERRCODE = '42501'",
    ),
    ("42P01", "EXECUTE format('SELECT 1 FROM %I', NEW.email)"),
    (
        "40001",
        "RAISE EXCEPTION 'no %', NEW.email USING ERRCODE = '40001'",
    ),
    (
        "08006",
        "RAISE EXCEPTION 'no %', NEW.email USING ERRCODE = '08006'",
    ),
    (
        "57P03",
        "RAISE EXCEPTION 'no %', NEW.email USING ERRCODE = '57P03'",
    ),
];

#[test]
fn no_text_of_a_trigger_s_or_a_constraint_s_error_gets_out() {
    let mut evidence = Evidence::default();
    let ear = Server::new().token(None).always(Fault::Status(200)).start();
    for condition in ["true", "NEW.customer_id LIKE '%3'"] {
        for (sqlstate, statement) in GUARDS {
            let database = Database::new();
            database.run(&format!(
                "CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF {condition} THEN {statement}; \
                 END IF; RETURN NEW; END $$; CREATE TRIGGER guard BEFORE INSERT OR UPDATE ON customers FOR EACH ROW \
                 EXECUTE FUNCTION guard()"
            ));
            let api = Server::new().records(records(6)).start();
            let place = watched(place(&api, &database), ear.url());
            meet(&place, &mut evidence, sqlstate);
            add_watchers(&place, &mut evidence);
            look_back(&place, &database, &mut evidence);
        }
    }
    // Errors without a context: the function of a check is inlined, and the value is the name of an object.
    for check in [
        "CHECK (email::regclass IS NOT NULL)",
        "CHECK (email::regrole IS NOT NULL)",
        "CHECK (email::regnamespace IS NOT NULL)",
        "CHECK (email::regprocedure IS NOT NULL)",
        "CHECK (email::xml IS NOT NULL)",
        "CHECK (customer_name <> 'Canary Name')",
        "ADD CONSTRAINT once UNIQUE (email)",
    ] {
        let database = Database::new();
        let add = if check.starts_with("ADD") { "" } else { "ADD" };
        database.run(&format!("ALTER TABLE customers {add} {check}"));
        let api = Server::new().records(records(6)).start();
        let place = watched(place(&api, &database), ear.url());
        meet(&place, &mut evidence, check);
        add_watchers(&place, &mut evidence);
        look_back(&place, &database, &mut evidence);
    }
    evidence.add_requests("webhook or ping", &ear);
    assert_no_leak(&evidence);
}

#[test]
fn nothing_that_write_back_reads_or_is_answered_gets_out() {
    let database = Database::new();
    let ear = Server::new().token(None).always(Fault::Status(200)).start();
    let mut evidence = Evidence::default();
    for (name, code) in [
        ("conflict", 412),
        ("gone", 404),
        ("refused", 422),
        ("away", 503),
    ] {
        database.run("TRUNCATE customers, sync_outbox");
        let mut all = records(4);
        all[1] = record("R-002").replace("\"v1\"", "\"canary\\u0001version\"");
        all[2] = record("R-003").replace("\"v1\"", "null");
        let api = Server::new()
            .records(all)
            .script(move |request| {
                let body = r#"{"data":{"full_name":"canary","canary@mail.example":1,"contact_email":{"canary":1}},"error":"canary_code"}"#;
                let headers = vec![("X-Why", "canary".to_owned()), ("ETag", "\"canary\"".to_owned())];
                match (request.method.as_str(), request.path.as_str()) {
                    ("PUT", _) => Some(Reply::Instead(code, headers, body.to_owned())),
                    ("GET", "/api/v1/data") => None,
                    _ => Some(Reply::Instead(200, headers, body.to_owned())),
                }
            })
            .start();
        let place = watched(place(&api, &database), ear.url());
        place.edit("mappings.yaml", "enabled: false", "enabled: true");
        place.edit(
            "mappings.yaml",
            "method: PUT",
            "method: PUT\n        if_match: version\n        retry: { initial: 5ms, max: 20ms }",
        );
        meet(&place, &mut evidence, name);
        add_watchers(&place, &mut evidence);
        look_back(&place, &database, &mut evidence);
    }
    evidence.add_requests("webhook or ping", &ear);
    assert_no_leak(&evidence);
}

#[test]
fn nothing_that_is_spooled_or_damaged_gets_out() {
    let database = Database::new();
    let ear = Server::new().token(None).always(Fault::Status(200)).start();
    let mut evidence = Evidence::default();
    let api = Server::new()
        .records(records(30))
        .paging(Paging::Page)
        .start();
    let place = watched(place(&api, &database), ear.url());
    let away = database.port.to_string();
    let place = place.env("DB_PORT", "1");
    meet(&place, &mut evidence, "database away");
    let place = place.env("DB_PORT", away);
    for entry in std::fs::read_dir(place.state().join("spool")).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&path, bytes).unwrap();
    }
    meet(&place, &mut evidence, "damaged spool");
    add_watchers(&place, &mut evidence);
    look_back(&place, &database, &mut evidence);
    evidence.add_requests("webhook or ping", &ear);
    assert_no_leak(&evidence);
}

/// Records without anything to be hidden.
pub(super) fn plain_records(count: usize) -> Vec<String> {
    records(count)
        .iter()
        .map(|text| text.to_lowercase().replace("canary", "plain"))
        .collect()
}
