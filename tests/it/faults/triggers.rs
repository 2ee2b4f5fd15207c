//! Rows 81 and 82, and tables in partitions: rows that a trigger, a policy or a rule of the table does not let pass.

use super::{count, place, rows, text, texts};
use crate::support::Workplace;
use crate::support::http::Server;
use crate::support::postgres::Database;

/// A trigger that does this for each row that is inserted or updated.
fn trigger(database: &Database, body: &str) {
    database.run(&format!(
        "CREATE OR REPLACE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} RETURN NEW; END $$; \
         DROP TRIGGER IF EXISTS guard ON customers; \
         CREATE TRIGGER guard BEFORE INSERT OR UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION guard()"
    ));
}

#[test]
fn row_81_a_trigger_that_raises_any_sqlstate_costs_no_neighbour() {
    let api = Server::new().records(texts(250)).start();
    for sqlstate in [
        "P0001", "P0002", "P0003", "P0004", "U0001", "38000", "45000", "55000", "0A000", "42501",
        "42P01", "XX000", "2F005", "54001",
    ] {
        let database = Database::undistributed();
        trigger(
            &database,
            &format!(
                "IF NEW.customer_id IN ('F-00007', 'F-00150') THEN \
                 RAISE EXCEPTION 'secret: %', NEW.email USING ERRCODE = '{sqlstate}'; END IF;"
            ),
        );
        let (finished, report) = place(&api, &database).sync(&[]);
        finished.expect(0);
        assert_eq!(
            (count(&report, "inserted"), count(&report, "rejected")),
            (248, 2),
            "{sqlstate}: {finished}"
        );
        assert_eq!(
            database.list("SELECT key FROM sync_rejections WHERE reason = 'database' ORDER BY key"),
            ["F-00007", "F-00150"],
            "{sqlstate}"
        );
        let message = database.one("SELECT message FROM sync_rejections WHERE key = 'F-00007'");
        assert!(
            message.contains(sqlstate) && message.contains("guard"),
            "{message}"
        );
        assert!(
            !message.contains("secret") && !format!("{finished}").contains("secret"),
            "the text of an error may hold values: {message} {finished}"
        );
    }
}

#[test]
fn row_81_a_row_level_policy_refuses_one_row_and_costs_no_neighbour() {
    let api = Server::new().records(texts(50)).start();
    // A pgbouncer does not know the login of this test.
    let database = Database::direct();
    database.run(
        "ALTER TABLE customers ENABLE ROW LEVEL SECURITY; ALTER TABLE customers FORCE ROW LEVEL SECURITY; \
         CREATE POLICY own ON customers USING (customer_id <> 'F-00007')",
    );
    let user = format!("policy_{}", std::process::id());
    database.run(&format!(
        "CREATE ROLE {user} LOGIN PASSWORD 'pw'; GRANT ALL ON SCHEMA public TO {user}; \
         GRANT ALL ON ALL TABLES IN SCHEMA public TO {user}; GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {user}"
    ));
    let place = place(&api, &database)
        .env("DB_USER", &user)
        .env("DB_PASSWORD", "pw");
    let (finished, report) = place.sync(&[]);
    database.run(&format!("DROP OWNED BY {user}; DROP ROLE {user}"));
    finished.expect(0);
    assert_eq!(
        (count(&report, "inserted"), count(&report, "rejected")),
        (49, 1),
        "{finished}"
    );
    let message = database.one("SELECT message FROM sync_rejections");
    assert!(message.contains("42501"), "{message}");
}

#[test]
fn row_81_a_table_that_takes_no_row_is_told_after_few_statements_and_blocks_no_fetch() {
    let api = Server::new().records(texts(300)).start();
    let database = Database::undistributed();
    trigger(
        &database,
        "RAISE EXCEPTION 'closed' USING ERRCODE = '55000';",
    );
    let place = place(&api, &database);
    let (finished, report) = place.sync(&[]);
    finished.expect(4).says("55000");
    assert_eq!(
        (count(&report, "spooled"), count(&report, "rejected")),
        (300, 0),
        "no record is blamed: {finished}"
    );
    let (finished, report) = place.sync(&["--full"]);
    finished.expect(4);
    assert_eq!(
        count(&report, "fetched"),
        300,
        "the fetch goes on: {report}"
    );
    let spool_bytes = |report: &serde_json::Value| report["spool"]["bytes"].as_u64().unwrap();
    let once = spool_bytes(&report);
    let (_, report) = place.sync(&["--full"]);
    assert_eq!(
        spool_bytes(&report),
        once,
        "the same records wait once: {report}"
    );
    assert_eq!(count(&report, "spooled"), 300);
    database.run("DROP TRIGGER guard ON customers");
    place.sync(&["--full"]).0.expect(0);
    assert_eq!(rows(&database), "300");
}

#[test]
fn row_81_a_file_of_the_spool_that_stays_refused_does_not_keep_the_others() {
    let first = Server::new().records(texts(100)).start();
    let database = Database::undistributed();
    let place = place(&first, &database);
    trigger(
        &database,
        "RAISE EXCEPTION 'closed' USING ERRCODE = '55000';",
    );
    place.sync(&[]).0.expect(4);
    let others = (0..100)
        .map(|i| text(&format!("G-{i:05}")))
        .collect::<Vec<_>>();
    let second = Server::new().records(others).start();
    let place = place.with_api(second.url());
    place.sync(&["--full"]).0.expect(4);
    // From now on it refuses the rows of the first file only.
    trigger(
        &database,
        "IF NEW.customer_id < 'G' THEN RAISE EXCEPTION 'closed' USING ERRCODE = '55000'; END IF;",
    );
    let (finished, report) = place.sync(&["--full"]);
    finished.expect(6).says("move it back");
    assert_eq!(report["replayed"], 100, "{report}");
    assert_eq!(count(&report, "unchanged"), 100, "{report}");
    assert_eq!(rows(&database), "100");
    // It is kept, and the case says which file it is; the next run needs no help.
    let quarantine = place.state().join("quarantine");
    let kept = std::fs::read_dir(quarantine)
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let id = report["case_id"].as_str().unwrap();
    let name = kept.file_name().into_string().unwrap();
    place.run(&["case", "show", id]).expect(0).says(&name);
    place.run(&["sync", "--limit", "10"]).expect(0);
    // Once the rows are taken, the file is replayed from where it came.
    trigger(&database, "");
    std::fs::rename(kept.path(), place.state().join("spool").join(&name)).unwrap();
    let (finished, report) = place.sync(&[]);
    finished.expect(0);
    assert_eq!(report["replayed"], 100, "{report}");
    assert_eq!(rows(&database), "200");
}

#[test]
fn row_81_an_exhausted_sequence_blames_no_record() {
    let api = Server::new().records(texts(100)).start();
    let database = Database::undistributed();
    database.run("ALTER TABLE customers ALTER COLUMN id SET MAXVALUE 10 RESTART WITH 10");
    let (finished, report) = place(&api, &database).sync(&[]);
    finished.expect(4).says("2200H");
    assert_eq!(
        (count(&report, "spooled"), count(&report, "rejected")),
        (100, 0),
        "{report}"
    );
}

#[test]
fn row_82_a_row_that_a_trigger_skips_is_a_rejection() {
    let api = Server::new().records(texts(250)).start();
    let database = Database::undistributed();
    // It also writes something else than it was given.
    trigger(
        &database,
        "NEW.customer_name = upper(NEW.customer_name); NEW.updated_at = now(); \
         IF NEW.customer_id IN ('F-00007', 'F-00150') THEN RETURN NULL; END IF;",
    );
    let place = place(&api, &database);
    let dry = place.run(&["sync", "--dry-run"]);
    dry.expect(0).says("trigger guard").says("cannot know");
    let (finished, report) = place.sync(&[]);
    finished.expect(0);
    assert_eq!(
        (count(&report, "inserted"), count(&report, "rejected")),
        (248, 2),
        "{report}"
    );
    assert_eq!(report["rejections_by_reason"]["database_skipped"], 2);
    assert_eq!(
        database.list(
            "SELECT key FROM sync_rejections WHERE reason = 'database_skipped' AND resolved_at IS NULL ORDER BY key"
        ),
        ["F-00007", "F-00150"]
    );
    assert_eq!(rows(&database), "248");
    // Also among rows that change, and among rows that stay.
    let (_, report) = place.sync(&["--full"]);
    assert_eq!(count(&report, "rejected"), 2, "{report}");
    assert_eq!(count(&report, "inserted"), 0, "{report}");
    trigger(
        &database,
        "IF TG_OP = 'UPDATE' AND NEW.customer_id = 'F-00003' THEN RETURN NULL; END IF;",
    );
    database.run("DELETE FROM customers WHERE customer_id > 'F-00200'; UPDATE customers SET email = 'x' WHERE customer_id < 'F-00010'");
    let (_, report) = place.sync(&["--full"]);
    assert_eq!(
        report["rejections_by_reason"]["database_skipped"], 1,
        "{report}"
    );
    assert_eq!(
        database.list("SELECT key FROM sync_rejections WHERE resolved_at IS NULL"),
        ["F-00003"]
    );
    database.run(
        "DROP TRIGGER guard ON customers; DELETE FROM customers WHERE customer_id IN ('F-00007', 'F-00150'); \
         UPDATE customers SET email = 'y' WHERE customer_id <> 'F-00003'",
    );
    let (_, report) = place.sync(&["--full"]);
    assert_eq!(
        (count(&report, "inserted"), count(&report, "updated")),
        (2, 248),
        "{report}"
    );
    assert_eq!(
        database.one("SELECT count(*)::text FROM sync_rejections WHERE resolved_at IS NULL"),
        "0"
    );
}

/// A table in partitions in place of `customers`.
fn partitioned(by: &str, parts: &[&str]) -> Database {
    let database = Database::undistributed();
    database.run(&format!(
        "ALTER TABLE customers RENAME TO plain; \
         CREATE TABLE customers (LIKE plain INCLUDING DEFAULTS INCLUDING IDENTITY) PARTITION BY {by}; \
         ALTER TABLE customers ADD UNIQUE (customer_id)"
    ));
    for (number, part) in parts.iter().enumerate() {
        database.run(&format!(
            "CREATE TABLE part_{number} PARTITION OF customers {part}"
        ));
    }
    database
}

fn figures(report: &serde_json::Value) -> [u64; 4] {
    ["inserted", "updated", "unchanged", "rejected"].map(|name| count(report, name))
}

#[test]
fn partitioned_tables_are_written_again_and_again() {
    let shapes: [(&str, &[&str]); 3] = [
        (
            "HASH (customer_id)",
            &[
                "FOR VALUES WITH (MODULUS 2, REMAINDER 0)",
                "FOR VALUES WITH (MODULUS 2, REMAINDER 1)",
            ],
        ),
        (
            "RANGE (customer_id)",
            &[
                "FOR VALUES FROM (MINVALUE) TO ('F-00100')",
                "FOR VALUES FROM ('F-00100') TO ('G')",
            ],
        ),
        (
            "LIST (customer_id)",
            &["FOR VALUES IN ('F-00001', 'F-00002')", "DEFAULT"],
        ),
    ];
    for (by, parts) in shapes {
        let database = partitioned(by, parts);
        let first = Server::new().records(texts(150)).start();
        let place: Workplace = place(&first, &database);
        place.run(&["check-db"]).expect(0);
        let (finished, report) = place.sync(&[]);
        finished.expect(0);
        assert_eq!(figures(&report), [150, 0, 0, 0], "{by}");
        let (finished, report) = place.sync(&["--full"]);
        finished.expect(0);
        assert_eq!(figures(&report), [0, 0, 150, 0], "{by}");
        let mut records: Vec<String> = texts(160);
        for record in records.iter_mut().take(40) {
            *record = record.replace("Name of", "New name of");
        }
        records.push(text("F-99999").replace("Name of", &"wide ".repeat(60)));
        let second = Server::new().records(records).start();
        let place = super::place(&second, &database);
        let (_, report) = place.sync(&["--dry-run"]);
        assert_eq!(figures(&report), [10, 40, 110, 1], "{by}: {report}");
        let (finished, report) = place.sync(&["--full"]);
        finished.expect(0);
        assert_eq!(figures(&report), [10, 40, 110, 1], "{by}");
        assert_eq!(rows(&database), "160");
        let outside = Server::new()
            .records([texts(160), vec![text("Z")]].concat())
            .start();
        if by.starts_with("RANGE") {
            let (finished, report) = super::place(&outside, &database).sync(&["--full"]);
            finished.expect(0);
            assert_eq!(
                count(&report, "rejected"),
                1,
                "no partition for it: {report}"
            );
        }
    }
}

#[test]
fn a_partitioned_table_is_written_with_write_back() {
    let api = Server::new()
        .records(texts(30))
        .script(|request| {
            (request.method == "PUT")
                .then(|| crate::support::http::Reply::Instead(200, Vec::new(), "{}".to_owned()))
        })
        .start();
    let database = partitioned(
        "HASH (customer_id)",
        &["FOR VALUES WITH (MODULUS 1, REMAINDER 0)"],
    );
    let place = place(&api, &database);
    place.edit("mappings.yaml", "enabled: false", "enabled: true");
    for (inserted, updated, unchanged) in [(30, 0, 0), (10, 5, 15)] {
        let (finished, report) = place.sync(&["--full"]);
        finished.expect(0);
        assert_eq!(
            figures(&report),
            [inserted, updated, unchanged, 0],
            "{report}"
        );
        assert_eq!(report["write_back"]["sent"], inserted + updated, "{report}");
        database.run(
            "DELETE FROM customers WHERE customer_id < 'F-00010'; \
             UPDATE customers SET customer_name = 'X' WHERE customer_id >= 'F-00025'",
        );
    }
}
