//! Rows 43 to 48: what PostgreSQL will not take.

use super::{count, patient, place, rows, run, text, texts};
use crate::support::command::finish;
use crate::support::http::Server;
use crate::support::postgres::{Cluster, Database};
use crate::support::until;

#[test]
fn row_43_a_nul_character_is_a_rejection_of_that_record() {
    let mut records = texts(20);
    records.push(text("NUL").replace("Name of", "Name \\u0000 of"));
    let (finished, report, _api, database) = run(Server::new().records(records));
    finished.expect(0);
    assert_eq!(
        (count(&report, "inserted"), count(&report, "rejected")),
        (20, 1)
    );
    assert_eq!(database.one("SELECT key FROM sync_rejections"), "NUL");
    assert!(
        database
            .one("SELECT payload FROM sync_rejections")
            .contains("\\u0000"),
        "byte for byte"
    );
}

#[test]
fn row_44_a_time_out_of_range_is_a_rejection_of_that_record() {
    let mut records = texts(20);
    records.push(text("FAR").replace("2024-01-01", "300000-01-01"));
    records.push(text("ODD").replace("2024-01-01", "2024-02-30"));
    let (finished, report, ..) = run(Server::new().records(records));
    finished.expect(0);
    assert_eq!(
        (count(&report, "inserted"), count(&report, "rejected")),
        (20, 2)
    );
}

#[test]
fn row_45_what_the_database_refuses_is_found_by_bisection_and_costs_no_neighbour() {
    let api = Server::new().records(texts(400)).start();
    let database = Database::undistributed();
    database.run(
        "ALTER TABLE customers ADD CONSTRAINT no_seven CHECK (customer_id <> 'F-00007'); \
         CREATE UNIQUE INDEX one_mail ON customers ((CASE WHEN customer_id IN ('F-00100', 'F-00200') THEN 'same' ELSE customer_id END)); \
         CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
           IF NEW.customer_id = 'F-00300' THEN RAISE EXCEPTION 'the trigger says no to %', NEW.email; END IF; RETURN NEW; END $$; \
         CREATE TRIGGER refuse BEFORE INSERT ON customers FOR EACH ROW EXECUTE FUNCTION refuse()",
    );
    let (finished, report) = place(&api, &database).sync(&[]);
    finished.expect(0);
    assert_eq!(
        (count(&report, "inserted"), count(&report, "rejected")),
        (397, 3)
    );
    let refused =
        database.list("SELECT concat_ws(' ', key, reason) FROM sync_rejections ORDER BY key");
    assert_eq!(refused[0], "F-00007 database");
    assert!(refused[1].starts_with("F-00100") || refused[1].starts_with("F-00200"));
    assert_eq!(refused[2], "F-00300 database");
    let message = database.one("SELECT message FROM sync_rejections WHERE key = 'F-00007'");
    assert!(
        message.contains("23514") && message.contains("no_seven"),
        "{message}"
    );
    assert!(
        !format!("{finished}").contains("@example.com"),
        "a value is in a message: {finished}"
    );
}

#[test]
fn row_46_a_key_twice_in_a_batch_is_a_duplicate_and_the_newest_wins() {
    let mut records = texts(20);
    records.push(text("F-00003").replace("Name of F-00003", "The newest"));
    let (finished, report, _api, database) = run(Server::new().records(records));
    finished.expect(0);
    assert_eq!(
        (count(&report, "inserted"), count(&report, "duplicates")),
        (20, 1)
    );
    assert_eq!(
        database.one("SELECT customer_name FROM customers WHERE customer_id = 'F-00003'"),
        "The newest"
    );
}

#[test]
fn row_47_a_missing_table_is_found_by_the_check_and_mid_run_it_is_spooled_for() {
    let api = Server::new().records(texts(300)).held_after(0).start();
    let database = Database::new();
    let place = patient(place(&api, &database));
    database.run("ALTER TABLE customers RENAME TO clients");
    place.run(&["sync"]).expect(2).says("customers");
    assert!(api.requests().is_empty(), "nothing was fetched");
    database.run("ALTER TABLE clients RENAME TO customers");
    // It goes while the first page is under way.
    place.edit("mappings.yaml", "concurrency: 4", "concurrency: 1");
    let child = place.start(&["sync", "--output", "json"]);
    until("a request", || !api.requests().is_empty());
    database.run("ALTER TABLE customers RENAME TO clients");
    api.let_go();
    let finished = finish(child);
    finished.expect(4);
    let report = finished.json();
    crate::support::command::assert_balanced(&report);
    assert_eq!(
        count(&report, "spooled"),
        300,
        "no record is blamed: {report}"
    );
    assert_eq!(count(&report, "rejected"), 0);
    database.run("ALTER TABLE clients RENAME TO customers");
    place.run(&["retry"]).expect(0);
    assert_eq!(rows(&database), "300");
}

#[test]
fn row_48_a_full_disk_is_spooled_for() {
    let folder = tempfile::tempdir().unwrap();
    let mount = folder.path().display().to_string();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=2m,mode=0777", "tmpfs", &mount])
        .stderr(std::process::Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !mounted {
        crate::support::not_run("row 48, needs the right to mount a small file system");
        return;
    }
    let cluster = Cluster::new(&[], &[]);
    let database = cluster.database();
    let space = folder.path().join("space");
    std::fs::create_dir(&space).unwrap();
    // The server's user must own it.
    let data = database.one("SHOW data_directory");
    let status = std::process::Command::new("chown")
        .arg(format!("--reference={data}"))
        .arg(&space)
        .status()
        .unwrap();
    assert!(status.success());
    database.run(&format!(
        "CREATE TABLESPACE small LOCATION '{}'",
        space.display()
    ));
    database.run("ALTER TABLE customers SET TABLESPACE small");
    let wide: Vec<String> = (0..12_000)
        .map(|i| text(&format!("W-{i:05}")).replace("Name of", &"wide ".repeat(30)))
        .collect();
    let api = Server::new().records(wide).page_size(1_000).start();
    let place = place(&api, &database);
    place.edit("mappings.yaml", "size: 100 ", "size: 1000 ");
    let (finished, report) = place.sync(&[]);
    finished.expect(4).says("53100");
    assert_eq!(count(&report, "fetched"), 12_000);
    assert!(count(&report, "spooled") > 0);
    assert_eq!(
        count(&report, "rejected"),
        0,
        "no record is blamed for a full disk"
    );
    database.run("ALTER TABLE customers SET TABLESPACE pg_default");
    place.run(&["retry"]).expect(0);
    assert_eq!(rows(&database), "12000");
    drop(cluster);
    std::process::Command::new("umount")
        .arg(&mount)
        .status()
        .unwrap();
}
