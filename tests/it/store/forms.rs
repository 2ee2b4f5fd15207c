//! The forms of the write: COPY for what is new, a walk along the index for what is there, the upsert for the rest.

use super::*;

/// Counts the statements that reach the table, by kind.
fn watch_statements(database: &Database) {
    database.run(
        "CREATE TABLE seen (what text); \
         CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
           INSERT INTO seen SELECT CASE WHEN current_query() LIKE 'COPY%' THEN 'copy' ELSE 'insert' END; \
           RETURN NULL; END $$; \
         CREATE TRIGGER see BEFORE INSERT ON customers FOR EACH STATEMENT EXECUTE FUNCTION see()",
    );
}

fn statements(database: &Database) -> Vec<String> {
    database.list("SELECT what FROM seen")
}

fn many(range: std::ops::Range<u32>, name: &str) -> Vec<(String, String)> {
    range
        .map(|n| (format!("k{n:05}"), name.to_owned()))
        .collect()
}

fn write(bench: &mut Bench, at: i64, rows: &[(String, String)]) -> [u64; 6] {
    let rows: Vec<_> = rows
        .iter()
        .map(|(key, name)| (key.as_str(), name.as_str(), "79.50"))
        .collect();
    figures(&bench.rows(at, &rows))
}

#[test]
fn what_is_new_is_copied_and_what_is_there_is_only_looked_at() {
    let database = Database::undistributed();
    watch_statements(&database);
    let mut bench = Bench::new(&database, &customers());
    assert_eq!(
        write(&mut bench, T0, &many(0..300, "x")),
        [300, 0, 0, 0, 0, 0]
    );
    assert_eq!(statements(&database), ["copy"]);
    let before = versions_of(&database);
    let mut bench = Bench::new(&database, &customers());
    assert_eq!(
        write(&mut bench, T0 + SECOND, &many(0..300, "x")),
        [0, 0, 300, 0, 0, 0]
    );
    assert_eq!(
        statements(&database),
        ["copy"],
        "nothing that writes was sent"
    );
    assert_eq!(versions_of(&database), before);
}

#[test]
fn only_rows_that_moved_are_sent_and_each_is_counted_as_what_it_was() {
    let database = Database::new();
    let mut bench = Bench::new(&database, &customers());
    write(&mut bench, T0, &many(0..100, "x"));
    write(&mut bench, T0 + 9 * SECOND, &many(100..110, "x"));
    let mut bench = Bench::new(&database, &customers());
    let mut rows = many(0..110, "x");
    rows[7].1 = "changed".to_owned();
    // Its stored version is newer: superseded, though it says the same.
    rows.extend(many(110..130, "new"));
    assert_eq!(write(&mut bench, T0 + SECOND, &rows), [20, 1, 99, 10, 0, 0]);
    assert_eq!(
        database.one("SELECT customer_name FROM customers WHERE customer_id = 'k00007'"),
        "changed"
    );
}

#[test]
fn a_copy_that_meets_a_known_key_writes_the_batch_all_the_same() {
    let database = Database::new();
    let mut bench = Bench::new(&database, &customers());
    // The table was empty when it was looked at; somebody else came first.
    database.run("INSERT INTO customers (customer_id, customer_name) VALUES ('k00001', 'theirs')");
    assert_eq!(write(&mut bench, T0, &many(0..3, "x")), [2, 1, 0, 0, 0, 0]);
    assert_eq!(
        database.one("SELECT string_agg(customer_name, ' ') FROM customers"),
        "x x x"
    );
}

#[test]
fn a_number_with_another_scale_is_the_same_number() {
    let database = Database::undistributed();
    watch_statements(&database);
    let mut bench = Bench::new(&database, &customers());
    bench.rows(
        T0,
        &[
            ("a", "Ann", "79.5"),
            ("b", "Bo", "-0.125"),
            ("c", "Cy", "0"),
        ],
    );
    let mut bench = Bench::new(&database, &customers());
    let again = bench.rows(
        T0 + SECOND,
        &[
            ("a", "Ann", "79.500"),
            ("b", "Bo", "-0.1250"),
            ("c", "Cy", "0.00"),
        ],
    );
    assert_eq!(figures(&again), [0, 0, 3, 0, 0, 0]);
    assert_eq!(statements(&database), ["copy"]);
}

#[test]
fn a_key_column_that_is_ordered_by_a_language_is_written_right() {
    let database = Database::undistributed();
    database.run("ALTER TABLE customers ALTER customer_id TYPE varchar(100) COLLATE \"und-x-icu\"");
    let rows = [
        ("B", "x", "1"),
        ("a", "x", "2"),
        ("ä", "x", "3"),
        ("Z", "x", ""),
    ];
    let mut bench = Bench::new(&database, &customers());
    assert_eq!(figures(&bench.rows(T0, &rows)), [4, 0, 0, 0, 0, 0]);
    let mut bench = Bench::new(&database, &customers());
    assert_eq!(figures(&bench.rows(T0 + SECOND, &rows)), [0, 0, 4, 0, 0, 0]);
    let mut rows = rows;
    rows[2].1 = "y";
    assert_eq!(
        figures(&bench.rows(T0 + 2 * SECOND, &rows)),
        [0, 1, 3, 0, 0, 0]
    );
}

#[test]
fn a_source_in_another_order_than_the_index_is_written_right() {
    let database = Database::new();
    let mut bench = Bench::new(&database, &customers());
    write(&mut bench, T0, &many(0..2_000, "x"));
    let mut bench = Bench::new(&database, &customers());
    // Every batch spans the whole index: far more rows lie between its keys than a walk may read.
    for start in 0..8 {
        let rows: Vec<_> = many(0..2_000, "x")
            .into_iter()
            .skip(start)
            .step_by(8)
            .collect();
        assert_eq!(
            write(&mut bench, T0 + SECOND, &rows),
            [0, 0, 250, 0, 0, 0],
            "from {start}"
        );
    }
}

#[test]
fn two_batches_are_known_to_share_a_key() {
    let database = Database::new();
    let mut bench = Bench::new(&database, &customers());
    let mut filled = |keys: &[&str], refused: &[&str]| {
        let mut batch = bench.batch();
        for key in keys {
            push(&mut batch, key, "x", "1", T0, 0);
        }
        for key in refused {
            batch.push_rejection(rejection(key, T0, 1));
        }
        batch.seal();
        batch.claim()
    };
    let both = filled(&["m", "b", "x"], &["d"]);
    assert!(both.meets(&filled(&["a", "b"], &[])));
    assert!(
        both.meets(&filled(&[], &["x", "a"])),
        "a row here, a rejection there"
    );
    assert!(both.meets(&filled(&["d"], &[])));
    assert!(!both.meets(&filled(&["a", "c", "e", "y"], &["z"])));
    assert!(!both.meets(&filled(&[], &[])));
}

#[test]
fn rejections_are_looked_up_by_their_key_however_many_there_are() {
    let database = Database::undistributed();
    let mut bench = Bench::new(&database, &customers());
    // Nobody analyses the table meanwhile, as in a run that rejects everything.
    for batch_number in 0..12 {
        let mut batch = bench.batch();
        for sequence in 0..500 {
            batch.push_rejection(rejection(
                &format!("r{batch_number:02}-{sequence:03}"),
                T0,
                sequence,
            ));
        }
        bench.write(batch).unwrap();
    }
    drop(bench);
    // A back end reports what it did when it ends.
    while database.one("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = 'datasync'") != "0" {
        std::thread::sleep(Duration::from_millis(20));
    }
    let read: u64 = database
        .one("SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes WHERE relname = 'sync_rejections'")
        .parse()
        .unwrap();
    assert!(
        read <= 2 * 12 * 500,
        "6,000 rejections were stored and {read} entries of the indexes read for it"
    );
}

#[test]
fn a_batch_waits_for_the_disk_even_where_the_server_would_not() {
    for (setting, expected) in [("off", "local"), ("remote_write", "remote_write")] {
        // It is a setting of new sessions, and a pooler keeps the old ones.
        let database = Database::undistributed();
        database.run(&format!(
            "CREATE TABLE seen (setting text); \
             CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
               INSERT INTO seen VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$; \
             CREATE TRIGGER see AFTER INSERT OR UPDATE ON customers FOR EACH STATEMENT EXECUTE FUNCTION see(); \
             DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = {setting}', current_database()); END $$"
        ));
        let mut bench = Bench::new(&database, &customers());
        bench.rows(T0, &[("k", "Ann", "1")]);
        assert_eq!(
            database.list("SELECT DISTINCT setting FROM seen"),
            [expected]
        );
    }
}
