//! The tables: applied, looked at through the mapping, and with the privileges that are missing.

use datasync::config::plan::Kind;
use datasync::config::secret::Secret;
use datasync::store::{self, Connection, SchemaError};

use super::{Bench, LIMIT, T0, customers, field, plan_of};
use crate::support::postgres::Database;

#[test]
fn a_table_that_does_not_fit_is_described_in_full() {
    let database = Database::undistributed();
    database.run(
        "ALTER TABLE customers DROP needs_review, ADD must text NOT NULL, ADD born date, ADD code text;
         DROP TABLE sync_lease; ALTER TABLE customers DROP CONSTRAINT customers_customer_id_key",
    );
    let db = plan_of(&database);
    let mut mapping = customers();
    mapping
        .fields
        .push(field("customerNam", "customer_nam", Kind::String));
    mapping.fields.push(field("flag", "born", Kind::Boolean));
    mapping
        .fields
        .push(field("status", "validation_status", Kind::String));
    let mut conn = Connection::open(&db, LIMIT).unwrap();
    let Err(SchemaError::Mismatch(problems)) = store::inspect(&mut conn, &db, &mapping) else {
        panic!("the table does not fit");
    };
    let all = SchemaError::Mismatch(problems.clone()).to_string();
    for part in [
        "sync_lease does not exist",
        "field customerNam: table public.customers has no column customer_nam; the nearest is customer_name",
        "field flag is of type boolean, but column born is date",
        "validation_status of public.customers is filled by datasync",
        "no column needs_review",
        "column must of public.customers must have a value",
        "ADD UNIQUE (\"customer_id\")",
    ] {
        assert!(all.contains(part), "{part}\nnot in\n{all}");
    }
    assert_eq!(problems.len(), 7, "{all}");
    let found = store::check(&db, &mapping);
    assert!(found.misconfigured);
    for name in ["tables", "columns", "key"] {
        let check = found.checks.iter().find(|c| c.name == name).unwrap();
        assert!(!check.ok && check.hint.is_some(), "{check:?}");
    }
}

#[test]
fn the_schema_can_be_applied_again_and_by_several_at_once() {
    let database = Database::undistributed();
    database.run("DROP SCHEMA public CASCADE; CREATE SCHEMA public; CREATE TABLE sync_log (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, sync_id uuid, status varchar(50), records_processed integer, records_failed integer, started_at timestamptz, completed_at timestamptz, error_message text)");
    let db = plan_of(&database);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut conn = Connection::open(&db, LIMIT).unwrap();
                store::apply_schema(&mut conn, &db).unwrap();
                store::apply_schema(&mut conn, &db).unwrap();
            });
        }
    });
    let mut conn = Connection::open(&db, LIMIT).unwrap();
    let layout = store::inspect(&mut conn, &db, &customers()).unwrap();
    assert_eq!(layout.max_characters("customer_name"), Some(255));
    assert_eq!(layout.max_characters("quality_score"), None);
    assert!(store::check(&db, &customers()).checks.iter().all(|c| c.ok));
}

#[test]
fn tables_under_other_names_are_made_beside_those_that_only_happen_to_be_called_so() {
    let database = Database::undistributed();
    database.run(
        "DROP SCHEMA public CASCADE; CREATE SCHEMA public; CREATE TABLE customers (greeting text); \
         CREATE TABLE sync_log (line text)",
    );
    let columns = || {
        database.list(
            "SELECT table_name || '.' || column_name FROM information_schema.columns \
             WHERE table_name IN ('customers', 'sync_log') ORDER BY 1",
        )
    };
    for (schema, log_schema) in [
        ("public", "public"),
        ("c\"rm; --", "public"),
        ("crm", "log"),
    ] {
        let mut db = plan_of(&database);
        schema.clone_into(&mut db.schema);
        log_schema.clone_into(&mut db.log_schema);
        "custo'mers \"of\" $1".clone_into(&mut db.table);
        db.log_table = format!("log of runs; -- {log_schema}");
        let mut conn = Connection::open(&db, LIMIT).unwrap();
        for _ in 0..2 {
            store::apply_schema(&mut conn, &db).unwrap();
        }
        let found = store::check(&db, &customers());
        assert!(found.checks.iter().all(|c| c.ok), "{found:?}");
        let mut bench = Bench::with(db.clone(), &customers());
        assert_eq!(bench.rows(T0, &[("a", "Ann", "1")]).ledger.inserted, 1);
        // The log of runs is found by its run, under its own index.
        assert_eq!(
            database.one(&format!(
                "SELECT count(*) FROM pg_indexes WHERE tablename = '{}' AND schemaname = '{log_schema}' \
                 AND starts_with(indexname, tablename)",
                db.log_table
            )),
            "3"
        );
        assert_eq!(columns(), ["customers.greeting", "sync_log.line"]);
    }
    assert_eq!(
        database.one("SELECT count(*) FROM pg_tables WHERE schemaname IN ('crm', 'c\"rm; --')"),
        "2",
        "each holds its one table"
    );
}

#[test]
fn a_log_of_runs_that_is_another_table_is_not_completed_for_ever() {
    let database = Database::undistributed();
    database.run("DROP TABLE sync_log; CREATE TABLE sync_log (line text)");
    let found = store::check(&plan_of(&database), &customers());
    let tables = found.checks.iter().find(|c| c.name == "tables").unwrap();
    assert!(tables.detail.contains("sync_log lacks id, sync_id"));
    let hint = tables.hint.as_deref().unwrap();
    assert!(hint.contains("database.tables.sync_log"), "{hint}");
}

#[test]
fn missing_privileges_are_named_with_the_grant_to_type() {
    let database = Database::direct();
    let role = format!("role_{}", database.name);
    database.run(&format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'pw'; GRANT SELECT ON customers, sync_log TO {role}; GRANT INSERT ON sync_log TO {role}"
    ));
    let mut db = plan_of(&database);
    db.user.clone_from(&role);
    db.password = Secret::new("pw".to_owned());
    let found = store::check(&db, &customers());
    let hint = found
        .checks
        .iter()
        .find(|c| c.name == "privileges")
        .unwrap()
        .hint
        .clone()
        .unwrap();
    assert!(found.misconfigured);
    assert!(
        hint.contains(&format!(
            "GRANT INSERT, UPDATE ON \"public\".\"customers\" TO \"{role}\";"
        )),
        "{hint}"
    );
    // Typing them helps.
    database.run(&hint);
    let found = store::check(&db, &customers());
    assert!(found.checks.iter().all(|c| c.ok), "{found:?}");
    let mut bench = Bench::with(db, &customers());
    assert_eq!(bench.rows(T0, &[("a", "Ann", "1")]).ledger.inserted, 1);
    drop(bench);
    database.run(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}
