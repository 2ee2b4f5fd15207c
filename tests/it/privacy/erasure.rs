//! `datasync show` and `datasync forget`: what is held of a record, and its removal from everywhere but the table.

use serde_json::Value;

use super::{hasty, place};
use crate::support::Workplace;
use crate::support::http::{Fault, Reply, Server};
use crate::support::postgres::Database;

/// A record whose name nobody else has.
fn person(id: &str, name: &str, score: u32) -> String {
    format!(
        r#"{{"external_id":"{id}","full_name":"{name}","contact_email":"{name}@mail.example","quality_score":{score},"record_type":"lead"}}"#
    )
}

fn others(count: u32) -> Vec<String> {
    (1..=count)
        .map(|i| person(&format!("O-{i:03}"), &format!("other{i}"), 10 + i % 90))
        .collect()
}

/// Everything in the state directory as bytes, searched for a text.
fn state_mentions(place: &Workplace, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![place.state()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if String::from_utf8_lossy(&std::fs::read(&path).unwrap()).contains(text) {
                found.push(path.display().to_string());
            }
        }
    }
    found
}

/// Tables that hold a text anywhere; the table of customers too, where asked.
fn tables_that_mention(database: &Database, text: &str, with_customers: bool) -> Vec<String> {
    let mut tables = vec![
        "sync_log",
        "sync_batches",
        "sync_rejections",
        "sync_explanations",
        "sync_rejections_seen",
        "sync_outbox",
        "sync_cases",
        "sync_state",
        "sync_lease",
    ];
    if with_customers {
        tables.push("customers");
    }
    tables
        .into_iter()
        .filter(|table| {
            let sql = format!("SELECT count(*)::text FROM {table} t WHERE t::text LIKE '%{text}%'");
            database.one(&sql) != "0"
        })
        .map(str::to_owned)
        .collect()
}

/// A database in which Zoe is written, rejected (open and closed), told of, in cases and in the log; and a source.
fn with_history(database: &Database) -> Workplace {
    let refuse = |score| {
        let mut records = others(30);
        records.push(person("Z-7", "zoe", score));
        Server::new()
            .records(records)
            .script(|request| {
                (request.method == "PUT").then(|| Reply::Instead(404, Vec::new(), "{}".to_owned()))
            })
            .start()
    };
    let api = refuse(10);
    let workplace = place(&api, database);
    workplace.edit("mappings.yaml", "enabled: false", "enabled: true");
    workplace.edit(
        "mappings.yaml",
        "method: PUT",
        "method: PUT\n        retry: { initial: 5ms, max: 20ms }",
    );
    workplace.sync(&[]);
    // Accepted, so the rejection is closed and the API is to be told.
    let api = refuse(95);
    let workplace = workplace.with_api(api.url());
    workplace.sync(&[]);
    // Rejected once more.
    let api = refuse(20);
    let workplace = workplace.with_api(api.url());
    workplace.sync(&[]);
    // A case that names her.
    let mut records = others(3);
    records.push(person("Z-7", "zoe", 91));
    let api = Server::new()
        .records(records)
        .script(|request| {
            let code = if request.path.ends_with("Z-7") {
                412
            } else {
                200
            };
            (request.method == "PUT").then(|| Reply::Instead(code, Vec::new(), "{}".to_owned()))
        })
        .start();
    let workplace = workplace.with_api(api.url());
    workplace.sync(&["--accept-drop"]);
    // A message that waits.
    let mut records = others(3);
    records.push(person("Z-7", "zoe", 93));
    let api = Server::new()
        .records(records)
        .script(|request| {
            (request.method == "PUT").then(|| Reply::Instead(503, Vec::new(), "{}".to_owned()))
        })
        .start();
    let workplace = workplace.with_api(api.url());
    workplace.sync(&["--accept-drop"]);
    let api = refuse(30);
    let workplace = workplace.with_api(api.url());
    workplace.sync(&["--accept-drop"]);
    workplace
}

fn removed(finished: &Value, name: &str) -> u64 {
    finished["removed"][name].as_u64().unwrap()
}

#[test]
fn everything_that_is_held_of_a_record_is_shown_and_then_forgotten_but_for_its_row() {
    let database = Database::new();
    let place = with_history(&database);
    // Her records wait on disk as well, one file of them set aside.
    let mut records = others(40);
    records.push(person("Z-7", "zoe", 15));
    records.push(person("Z-7", "zoe", 92));
    let api = Server::new().records(records).start();
    let port = database.port.to_string();
    let away = place.with_api(api.url()).env("DB_PORT", "1");
    away.run(&["sync"]).expect(4);
    std::fs::create_dir_all(away.state().join("quarantine")).unwrap();
    for entry in std::fs::read_dir(away.state().join("spool")).unwrap() {
        let path = entry.unwrap().path();
        let aside = away
            .state()
            .join("quarantine")
            .join(path.file_name().unwrap());
        std::fs::copy(&path, aside).unwrap();
    }
    let place = away.env("DB_PORT", port);
    let held = tables_that_mention(&database, "Z-7", true);
    for table in [
        "customers",
        "sync_log",
        "sync_rejections",
        "sync_outbox",
        "sync_cases",
    ] {
        assert!(
            held.iter().any(|known| known == table),
            "{table} does not hold her: {held:?}"
        );
    }

    let shown = place.run(&["show", "Z-7", "--output", "json"]);
    let shown = shown.expect(0).json();
    assert_eq!(shown["customer"]["customer_id"], "Z-7");
    assert_eq!(shown["rejections"].as_array().unwrap().len(), 3, "{shown}");
    assert!(
        shown["rejections"][0]["payload"]
            .as_str()
            .unwrap()
            .contains("zoe")
    );
    assert!(!shown["rejections"][2]["explanation"].is_null());
    assert_eq!(shown["outbox"].as_array().unwrap().len(), 1, "{shown}");
    assert_eq!(shown["spool"].as_array().unwrap().len(), 2);
    assert_eq!(shown["quarantine"].as_array().unwrap().len(), 2);
    assert!(shown["runs"].as_array().unwrap().len() >= 3);
    place
        .run(&["show", "Z-7"])
        .expect(0)
        .says("zoe@mail.example")
        .says("In quarantine");
    place.run(&["show", "nobody"]).expect(0).says("nothing");

    // A dry run says the same numbers and changes nothing.
    let dry = place.run(&["forget", "Z-7", "--dry-run", "--output", "json"]);
    let dry = dry.expect(0).json();
    assert_eq!(
        (removed(&dry, "rejections"), removed(&dry, "spool_records")),
        (3, 2)
    );
    assert_eq!(tables_that_mention(&database, "Z-7", true), held);
    let counts = |database: &Database| {
        database.one("SELECT (SELECT count(*) FROM sync_rejections) || ' ' || (SELECT count(*) FROM sync_outbox)")
    };
    let before = counts(&database);

    let done = place.run(&["forget", "Z-7", "--output", "json"]);
    let done = done.expect(0).json();
    assert_eq!(removed(&done, "rejections"), 3);
    assert!(removed(&done, "explanations") >= 1, "{done}");
    assert_eq!(removed(&done, "outbox"), 1);
    assert!(removed(&done, "cases") >= 1 && removed(&done, "log_rows") >= 1);
    assert_eq!(
        (
            removed(&done, "spool_records"),
            removed(&done, "quarantine_records")
        ),
        (2, 2)
    );
    assert!(
        done["row"].as_str().unwrap().contains("DELETE FROM"),
        "{done}"
    );
    for what in ["source", "backups"] {
        let remains = done["remains"].to_string();
        assert!(remains.contains(what), "{remains}");
    }
    assert!(tables_that_mention(&database, "zoe", false).is_empty());
    assert!(tables_that_mention(&database, "Z-7", false).is_empty());
    assert!(
        state_mentions(&place, "zoe").is_empty(),
        "{:?}",
        state_mentions(&place, "zoe")
    );
    assert!(state_mentions(&place, "Z-7").is_empty());
    assert_ne!(before, counts(&database));
    assert!(
        tables_that_mention(&database, "other7", false).contains(&"sync_rejections".to_owned())
    );

    // The statement that it prints deletes the row; then nothing is held at all.
    database.run(done["row"].as_str().unwrap());
    let shown = place.run(&["show", "Z-7", "--output", "json"]);
    let shown = shown.expect(0).json();
    assert!(shown["customer"].is_null() && shown["rejections"].as_array().unwrap().is_empty());

    // What is left of the spool is whole: the next run replays it, and finds the file in quarantine whole, too.
    let quarantine = place.state().join("quarantine");
    for entry in std::fs::read_dir(&quarantine).unwrap() {
        let path = entry.unwrap().path();
        std::fs::rename(
            &path,
            place.state().join("spool").join(path.file_name().unwrap()),
        )
        .unwrap();
    }
    let api = Server::new().records(others(40)).start();
    let place = place.with_api(api.url());
    place.edit("mappings.yaml", "enabled: true", "enabled: false");
    let (finished, report) = place.sync(&["--accept-drop"]);
    assert!([0, 5].contains(&finished.code), "{finished}");
    assert!(report["replayed"].as_u64().unwrap() >= 40, "{report}");
    assert_eq!(std::fs::read_dir(&quarantine).unwrap().count(), 0);
    assert!(tables_that_mention(&database, "Z-7", true).is_empty());
}

#[test]
fn with_the_database_away_the_local_part_is_shown_and_forgotten_and_the_rest_is_said() {
    let database = Database::new();
    let mut records = others(5);
    records.push(person("Z-7", "zoe", 90));
    let api = Server::new().records(records).start();
    let place = place(&api, &database).env("DB_PORT", "1");
    place.run(&["sync"]).expect(4);
    let shown = place.run(&["show", "Z-7", "--output", "json"]);
    let json = shown.expect(4).json();
    assert_eq!(json["database_ok"], false);
    assert_eq!(json["spool"].as_array().unwrap().len(), 1);
    place
        .run(&["show", "Z-7"])
        .expect(4)
        .says("zoe@mail.example");
    let done = place.run(&["forget", "Z-7"]);
    done.expect(4).says("type the same command again");
    assert!(state_mentions(&place, "zoe").is_empty());
    assert_eq!(state_mentions(&place, "other3").len(), 1);
    // The rest of the file is replayed.
    let api = Server::new().records(others(5)).start();
    let place = place
        .with_api(api.url())
        .env("DB_PORT", database.port.to_string());
    let (_, report) = place.sync(&[]);
    assert_eq!(report["replayed"], 5);
    assert!(tables_that_mention(&database, "zoe", true).is_empty());
}

#[test]
fn a_record_is_found_by_its_key_and_by_the_id_that_the_source_gave() {
    let database = Database::new();
    database
        .run("ALTER TABLE customers ALTER COLUMN customer_id TYPE uuid USING customer_id::uuid");
    let (given, key) = (
        "0199A1B2C3D4E5F60718293A4B5C6D7E",
        "0199a1b2-c3d4-e5f6-0718-293a4b5c6d7e",
    );
    let (refused, its_key) = (
        "0199A1B2C3D4E5F60718293A4B5C6DFF",
        "0199a1b2-c3d4-e5f6-0718-293a4b5c6dff",
    );
    let records = [
        person(given, "written", 90),
        person(refused, "zoe", 10),
        person(r"zoe-\u00eb", "zoe", 90),
        person("near", "near", 90),
    ];
    let api = Server::new().records(records).start();
    let place = place(&api, &database);
    place.edit(
        "mappings.yaml",
        "external_id: { to: customerId, max_length: 100 }",
        "external_id: { to: customerId, type: uuid }",
    );
    place.edit(
        "mappings.yaml",
        "customerId: string\n",
        "customerId: uuid\n",
    );
    place.sync(&[]).0.expect(5);
    for id in [given, key] {
        let shown = place.run(&["show", id, "--output", "json"]);
        let shown = shown.expect(0).json();
        assert_eq!(shown["customer"]["customer_id"], key, "{id}: {shown}");
    }
    // An id that is no key is known by the record alone.
    for (id, kept) in [
        (refused, 1),
        (its_key, 1),
        ("zoe-ë", 1),
        ("near", 1),
        ("zoe", 0),
    ] {
        let shown = place.run(&["show", id, "--output", "json"]);
        let shown = shown.expect(0).json();
        let rejections = shown["rejections"].as_array().unwrap();
        assert_eq!(rejections.len(), kept, "{id}: {shown}");
    }
    for id in [its_key, "zoe-ë"] {
        let done = place.run(&["forget", id, "--output", "json"]);
        assert_eq!(removed(&done.expect(0).json(), "rejections"), 1, "{done}");
    }
    assert!(tables_that_mention(&database, "zoe", false).is_empty());
    assert!(!tables_that_mention(&database, "near", false).is_empty());
}

#[test]
fn damaged_files_lose_the_record_as_well_and_keep_the_rest() {
    let database = Database::new();
    let mut records = others(6);
    records.insert(2, person("Z-7", "zoe", 90));
    records.insert(5, person("Z-7", "zoe", 80));
    let api = Server::new().records(records).start();
    let place = place(&api, &database).env("DB_PORT", "1");
    place.run(&["sync"]).expect(4);
    let spool = place.state().join("spool");
    let file = std::fs::read_dir(&spool)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let whole = std::fs::read(&file).unwrap();
    let at = |text: &str| {
        let text = text.as_bytes();
        whole
            .windows(text.len())
            .position(|window| window == text)
            .unwrap()
    };
    // A flipped bit in a record of hers, and in one of somebody else.
    for place_of in ["zoe@mail", "other2@mail"] {
        let mut bytes = whole.clone();
        bytes[at(place_of)] ^= 1;
        std::fs::write(&file, &bytes).unwrap();
        place.run(&["forget", "Z-7"]).expect(4);
        let left = String::from_utf8_lossy(&std::fs::read(&file).unwrap()).into_owned();
        assert!(!left.contains("Z-7") && !left.contains("oe@mail"), "{left}");
        for i in [1, 3, 4, 5, 6] {
            assert!(
                left.contains(&format!("other{i}@mail")),
                "{place_of}: other{i} is lost"
            );
        }
    }
    // Cut in the middle of her second record.
    std::fs::write(&file, &whole[..at("other5") - 30]).unwrap();
    place.run(&["forget", "Z-7"]).expect(4);
    let left = String::from_utf8_lossy(&std::fs::read(&file).unwrap()).into_owned();
    assert!(
        !left.contains("zoe") && left.contains("other1@mail"),
        "{left}"
    );
    // A file of hers alone goes whole.
    let api = Server::new().records([person("Z-7", "zoe", 90)]).start();
    let place = place.with_api(api.url());
    std::fs::remove_file(&file).unwrap();
    place.run(&["sync"]).expect(4);
    place.run(&["forget", "Z-7"]).expect(4);
    assert_eq!(std::fs::read_dir(&spool).unwrap().count(), 0);
    // What is no regular file is said, and exit 6 where the database is there.
    let odd = spool.join("odd.spool");
    std::os::unix::fs::symlink("/dev/zero", &odd).unwrap();
    place
        .env("DB_PORT", database.port.to_string())
        .run(&["forget", "Z-7"])
        .expect(6)
        .says("odd.spool");
}

#[test]
fn while_a_run_is_at_work_nothing_is_forgotten() {
    let database = Database::new();
    let api = Server::new().records(others(300)).held_after(1).start();
    let place = place(&api, &database);
    let mut run = place.start(&["sync"]);
    for _ in 0..200 {
        if database.one("SELECT count(*)::text FROM sync_lease") == "1" {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    place
        .run(&["forget", "O-001"])
        .expect(75)
        .says("another run");
    place.run(&["show", "O-001"]).expect(0);
    api.let_go();
    run.wait().unwrap();
    place.run(&["forget", "O-001"]).expect(0);
    assert_eq!(database.one("SELECT count(*)::text FROM sync_lease"), "0");
}

#[test]
fn an_older_schema_is_looked_through_as_well() {
    let database = Database::new();
    let mut records = others(3);
    records.push(person("Z-7", "zoe", 10));
    let api = Server::new().records(records).start();
    let place = hasty(Workplace::connected(api.url(), &database));
    place.sync(&[]);
    database.run(
        "DROP VIEW sync_rejections_now; DROP TABLE sync_explanations, sync_rejections_seen, sync_outbox; \
         ALTER TABLE sync_rejections DROP COLUMN explained_by, DROP COLUMN digest",
    );
    let shown = place
        .run(&["show", "Z-7", "--output", "json"])
        .expect(0)
        .json();
    assert_eq!(shown["rejections"].as_array().unwrap().len(), 1);
    place.run(&["forget", "Z-7"]).expect(0);
    assert!(tables_that_mention_of(&database, "zoe").is_empty());
    // No table at all, but for the lease.
    let empty = Server::new().always(Fault::Status(503)).start();
    let place = place.with_api(empty.url());
    database.run("DROP TABLE sync_rejections, sync_cases, sync_log, customers");
    place.run(&["show", "Z-7"]).expect(0).says("nothing");
}

fn tables_that_mention_of(database: &Database, text: &str) -> Vec<String> {
    ["sync_rejections", "sync_cases", "sync_log"]
        .into_iter()
        .filter(|table| {
            database.one(&format!(
                "SELECT count(*)::text FROM {table} t WHERE t::text LIKE '%{text}%'"
            )) != "0"
        })
        .map(str::to_owned)
        .collect()
}
