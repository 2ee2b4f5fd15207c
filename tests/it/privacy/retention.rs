//! How long data of records is kept, in which form, and who is told when it lies about for too long.

use super::{hasty, place};
use crate::support::Workplace;
use crate::support::http::{Fault, Server};
use crate::support::postgres::Database;

fn person(id: &str, score: u32) -> String {
    format!(
        r#"{{"external_id":"{id}","full_name":"canary name {id}","contact_email":"canary@mail.example","quality_score":{score},"canary@mail.example":{{"canary":1}}}}"#
    )
}

fn open_ids(database: &Database) -> Vec<String> {
    database.list("SELECT key FROM sync_rejections WHERE resolved_at IS NULL ORDER BY 1")
}

/// Lets the next run delete old rows, as if a day had passed.
fn a_day_passes(database: &Database) {
    database.run("DELETE FROM sync_state WHERE name = 'trimmed'");
}

#[test]
fn an_open_rejection_goes_when_its_record_was_last_seen_90_days_ago_and_not_before() {
    let database = Database::new();
    let records = ["R-1", "R-2", "R-3", "R-4"].map(|id| person(id, 10));
    let api = Server::new().records(records.clone()).start();
    let place = place(&api, &database);
    place.sync(&[]);
    // R-1 and R-2 do not come any more, R-3 comes again as it is stored, R-4 changes.
    let records = [person("R-3", 10), person("R-4", 12), person("R-9", 90)];
    let api = Server::new().records(records).start();
    let place = place.with_api(api.url());
    database.run(
        "UPDATE sync_rejections SET first_seen = first_seen - interval '91 days', last_seen = last_seen - interval '91 days' \
         WHERE key <> 'R-2'",
    );
    database.run(
        "UPDATE sync_rejections SET last_seen = last_seen - interval '89 days' WHERE key = 'R-2'",
    );
    a_day_passes(&database);
    let (finished, _) = place.sync(&["--accept-drop"]);
    finished.says("1 open rejections were deleted");
    assert_eq!(open_ids(&database), ["R-2", "R-3", "R-4"]);
    assert_eq!(
        database.one("SELECT (last_seen < now() - interval '90 days')::text FROM sync_rejections WHERE key = 'R-3'"),
        "true",
        "it is known by a note alone that R-3 came again"
    );
    // Not twice a day; and not at all where it is off.
    database.run(
        "UPDATE sync_rejections SET last_seen = last_seen - interval '10 days' WHERE key = 'R-2'",
    );
    place.sync(&[]);
    assert_eq!(open_ids(&database).len(), 3);
    place.edit(
        "mappings.yaml",
        "retention: 90d",
        "rejections: { retention: off }\nretention: 90d",
    );
    a_day_passes(&database);
    place.sync(&[]);
    assert_eq!(open_ids(&database).len(), 3);
    place.edit(
        "mappings.yaml",
        "rejections: { retention: off }",
        "rejections: { retention: 365d }",
    );
    a_day_passes(&database);
    place.sync(&[]);
    assert_eq!(open_ids(&database).len(), 3);
    place.edit("mappings.yaml", "rejections: { retention: 365d }\n", "");
    a_day_passes(&database);
    place.sync(&[]);
    assert_eq!(open_ids(&database), ["R-3", "R-4"]);
}

#[test]
fn old_runs_and_their_batches_are_deleted_once_a_day() {
    let database = Database::new();
    let api = Server::new().records([person("R-1", 90)]).start();
    let place = place(&api, &database);
    let (_, first) = place.sync(&[]);
    database.run(
        "UPDATE sync_log SET started_at = started_at - interval '91 days'; \
         UPDATE sync_batches SET committed_at = committed_at - interval '91 days'",
    );
    let first = first["run_id"].as_str().unwrap();
    let stays = || {
        database.one(&format!(
            "SELECT concat_ws(' ', (SELECT count(*) FROM sync_log WHERE sync_id = '{first}'), \
             (SELECT count(*) FROM sync_batches WHERE run_id = '{first}'))"
        ))
    };
    place.sync(&[]);
    assert_eq!(stays(), "1 1", "the first run has looked today");
    a_day_passes(&database);
    place.sync(&[]);
    assert_eq!(stays(), "0 0");
    assert_eq!(database.one("SELECT count(*) FROM sync_log"), "2");
}

/// Texts of the tables that hold something of rejected records.
fn stored(database: &Database) -> String {
    let rejections =
        database.list("SELECT row_to_json(r)::text FROM sync_rejections r ORDER BY id");
    let explanations = database.list("SELECT row_to_json(e)::text FROM sync_explanations e");
    [rejections, explanations].concat().join("\n")
}

#[test]
fn where_payloads_are_masked_or_not_kept_no_value_of_a_rejected_record_is_stored() {
    for (form, of_decision) in [
        (
            "masked",
            r#"masked:{"contact_email":"string","external_id":"string","full_name":"string","quality_score":"number"}"#,
        ),
        ("none", ""),
    ] {
        let database = Database::new();
        database.run("ALTER TABLE customers ADD CONSTRAINT picky CHECK (customer_id <> 'R-3')");
        let records = vec![
            person("R-1", 10),
            person("R-2", 90).replace(
                "\"canary@mail.example\",\"quality",
                "\"wrong mail\",\"quality",
            ),
            person("R-3", 90),
            r#"{"external_id":["wrong id"],"full_name":"canary"}"#.to_owned(),
        ];
        let api = Server::new().records(records).start();
        let place = place(&api, &database);
        // First as they come, then the configured way: what is stored is replaced, though the records are the same.
        place.sync(&[]);
        assert!(stored(&database).contains("canary"));
        place.edit(
            "mappings.yaml",
            "retention: 90d",
            &format!("rejections: {{ keep_payload: {form} }}\nretention: 90d"),
        );
        place.sync(&[]);
        database.run("DELETE FROM sync_explanations e WHERE NOT EXISTS (SELECT FROM sync_rejections r WHERE r.explained_by = e.id)");
        let text = stored(&database);
        assert!(!text.contains("canary"), "{form}: {text}");
        assert_eq!(
            database.one("SELECT payload FROM sync_rejections WHERE key = 'R-1'"),
            of_decision
        );
        let kept = database.one("SELECT payload FROM sync_rejections WHERE key = 'R-2'");
        assert_eq!(kept.contains("wrong mail"), form == "masked", "{kept}");
        assert_eq!(open_ids(&database).len(), 4);

        // Again the same: nothing is written anew.
        let before = database.list("SELECT xmin::text FROM sync_rejections ORDER BY id");
        place.sync(&[]);
        assert_eq!(
            database.list("SELECT xmin::text FROM sync_rejections ORDER BY id"),
            before
        );
        // What is not kept is not decided again, and stays as it is.
        let retried = place.run(&["retry", "--rejected"]);
        assert!([0, 5].contains(&retried.code), "{retried}");
        assert_eq!(open_ids(&database).len(), 4);
        let shown = place.run(&["show", "R-1"]);
        assert!(!shown.expect(0).stdout.contains("canary"), "{shown}");
        place.run(&["forget", "R-1"]).expect(0);
        assert_eq!(open_ids(&database).len(), 3);
        // Kept in full once more.
        place.edit(
            "mappings.yaml",
            &format!("keep_payload: {form}"),
            "keep_payload: full",
        );
        place.sync(&[]);
        assert!(stored(&database).contains("canary"));
    }
    let place = Workplace::new();
    place.edit(
        "mappings.yaml",
        "retention: 90d",
        "rejections: { keep_payload: some }\nretention: 90d",
    );
    place.run(&["validate"]).expect(2).says("masked");
}

/// Gives the files of a folder names of so many days ago.
fn grow_old(place: &Workplace, folder: &str, days: i64) {
    for entry in std::fs::read_dir(place.state().join(folder)).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let (created, rest) = name.split_once('-').unwrap();
        let created = created.parse::<i64>().unwrap() - days * 86_400_000_000;
        std::fs::rename(&path, path.with_file_name(format!("{created:020}-{rest}"))).unwrap();
    }
}

#[test]
fn records_that_lie_in_the_state_directory_for_long_are_shown_and_alerted() {
    let database = Database::new();
    let ear = Server::new().token(None).always(Fault::Status(200)).start();
    let api = Server::new()
        .records((1..=20).map(|i| person(&format!("R-{i}"), 90)))
        .start();
    let port = database.port.to_string();
    let place = hasty(Workplace::connected(api.url(), &database))
        .env("OPS_WEBHOOK_URL", ear.url())
        .env("DB_PORT", "1");
    place.run(&["sync"]).expect(4);
    grow_old(&place, "spool", 3);
    place.run(&["sync"]).expect(4);
    let told = ear.requests();
    let of = |name: &str| told.iter().any(|request| request.body.contains(name));
    assert!(of("threshold:spool_age"), "{told:?}");
    place.run(&["check-db"]).says("3 d");
    // The database is back: what waited is written, and the case is closed.
    let place = place.env("DB_PORT", port);
    place.run(&["sync"]).expect(0);
    let cases = place.run(&["case", "list"]);
    assert!(!cases.stdout.contains(" open "), "{cases}");

    let quarantine = place.state().join("quarantine");
    std::fs::write(quarantine.join("00000000000000000001-old.spool"), "damaged").unwrap();
    let finished = place.run(&["sync"]);
    finished.expect(0).says("quarantine_age");
    place
        .run(&["check-db"])
        .expect(0)
        .says("the oldest since 1970");
    place
        .run(&["case", "list"])
        .says("threshold:quarantine_age");
    // Another bound is the user's to set.
    place.edit(
        "mappings.yaml",
        "rejection_rate: 20%",
        "rejection_rate: 20%\n  quarantine_age: 36500d",
    );
    std::fs::rename(
        quarantine.join("00000000000000000001-old.spool"),
        quarantine.join("01795550000000000-old.spool"),
    )
    .unwrap();
    place.run(&["sync"]).expect(0);
    place.run(&["case", "list"]).says("recovered");
}
