//! One shape of a table, and what is tried on it: check-db, a first load, a run in which nothing has changed, a dry run and
//! a run in which something has, and a run with one row that the table refuses.

use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::{Value, json};

use crate::support::Workplace;
use crate::support::command::Finished;
use crate::support::http::{Running, Server};
use crate::support::postgres::Database;

/// Records of the first load.
const LOADED: usize = 30;
/// Of these so many change afterwards.
const CHANGED: usize = 10;
/// And so many new ones come with them.
const ADDED: usize = 5;

/// Changes the record of this number.
type Edit = fn(&mut Value, usize);

/// What is to become of a table.
#[derive(Clone, Copy)]
enum Expected {
    Works,
    /// A trigger changes what is stored: a dry run takes such rows for changed ones.
    Unforeseen,
    /// check-db and sync say these words, and nothing is fetched.
    Refused(&'static str),
    /// check-db says these words; sync ends with exit 4, and what it fetched is kept.
    Denied(&'static str),
}

/// One shape of a table.
#[derive(Clone)]
pub struct Shape {
    pub name: &'static str,
    setup: String,
    mapping: Vec<(&'static str, String)>,
    expected: Expected,
    record: Edit,
    change: Edit,
    /// Makes a record one that the table refuses, and what its rejection says.
    poison: Option<(Edit, &'static str)>,
    /// Where the rows are, in SQL.
    stored: &'static str,
    /// The first version of PostgreSQL that has it.
    since: u32,
    extension: Option<&'static str>,
    /// The statements that give a role of its own what it needs; `ROLE` stands for its name.
    role: Option<String>,
}

impl Shape {
    /// A table that works. `setup` runs after schema.sql.
    pub fn new(name: &'static str, setup: impl Into<String>) -> Self {
        Self {
            name,
            setup: setup.into(),
            mapping: Vec::new(),
            expected: Expected::Works,
            record: |_, _| {},
            change: |record, number| record["full_name"] = json!(format!("New name {number}")),
            poison: None,
            stored: "customers",
            since: 13,
            extension: None,
            role: None,
        }
    }

    /// The usual table with one more column, `extra`, fed by a field of this kind.
    pub fn extra(name: &'static str, column: &str, kind: &str, value: Edit) -> Self {
        let options = if kind.is_empty() {
            String::new()
        } else {
            format!(", type: {kind}")
        };
        Self::new(name, format!("ALTER TABLE customers ADD extra {column}"))
            .field(&format!("extra: {{ to: extra{options} }}"))
            .record(value)
    }

    pub fn refused(mut self, words: &'static str) -> Self {
        self.expected = Expected::Refused(words);
        self
    }

    pub fn denied(mut self, words: &'static str) -> Self {
        self.expected = Expected::Denied(words);
        self
    }

    pub fn unforeseen(mut self) -> Self {
        self.expected = Expected::Unforeseen;
        self
    }

    /// Changes mappings.yaml.
    pub fn edit(mut self, old: &'static str, new: impl Into<String>) -> Self {
        self.mapping.push((old, new.into()));
        self
    }

    /// Maps one more field.
    pub fn field(self, field: &str) -> Self {
        const LAST: &str = "record_type: { to: recordType, default: customer }";
        self.edit(LAST, format!("{LAST}\n            {field}"))
    }

    /// Another conflict key, of this kind of field.
    pub fn key(self, kind: &str, value: Edit) -> Self {
        self.edit(
            "external_id: { to: customerId, max_length: 100 }",
            format!("external_id: {{ to: customerId, type: {kind} }}"),
        )
        .edit("customerId: string", format!("customerId: {kind}"))
        .record(value)
    }

    /// Statements before those that make the shape.
    pub fn before(mut self, sql: &str) -> Self {
        self.setup.insert_str(0, &format!("{sql}; "));
        self
    }

    /// Statements after them.
    pub fn after(mut self, sql: &str) -> Self {
        self.setup += &format!("; {sql}");
        self
    }

    pub fn record(mut self, edit: Edit) -> Self {
        self.record = edit;
        self
    }

    pub fn poison(mut self, edit: Edit, told: &'static str) -> Self {
        self.poison = Some((edit, told));
        self
    }

    pub fn stored(mut self, table: &'static str) -> Self {
        self.stored = table;
        self
    }

    pub fn since(mut self, version: u32) -> Self {
        self.since = version;
        self
    }

    pub fn extension(mut self, name: &'static str) -> Self {
        self.extension = Some(name);
        self
    }

    pub fn role(mut self, grants: impl Into<String>) -> Self {
        self.role = Some(grants.into());
        self
    }

    /// In a few words.
    pub fn outcome(&self) -> &'static str {
        match self.expected {
            Expected::Works => "works",
            Expected::Unforeseen => "works; a dry run cannot know what the trigger does",
            Expected::Refused(_) => "refused before anything is fetched",
            Expected::Denied(_) => "check-db prints the GRANT; until then rows wait in the spool",
        }
    }

    /// Records of these numbers, and the first `changed` of them changed.
    fn records(&self, count: usize, changed: usize) -> Vec<Value> {
        (0..count)
            .map(|number| {
                let mut record = json!({
                    "external_id": format!("F-{number:05}"),
                    "full_name": format!("Name {number}"),
                    "contact_email": format!("f{number}@example.com"),
                    "created_date": "2024-01-01T00:00:00Z",
                    "quality_score": 90,
                    "record_type": "lead",
                });
                (self.record)(&mut record, number);
                if number < changed {
                    (self.change)(&mut record, number);
                }
                record
            })
            .collect()
    }

    /// None where this version of PostgreSQL does not have it.
    fn missing(&self, database: &Database) -> Option<String> {
        let version = version(database);
        if version < self.since {
            return Some(format!("needs PostgreSQL {}", self.since));
        }
        let extension = self.extension?;
        let known = format!(
            "SELECT count(*)::text FROM pg_available_extensions WHERE name = '{extension}'"
        );
        (database.one(&known) == "0").then(|| format!("needs {extension}"))
    }

    /// The database and the place of the program, with the table made; or why this server cannot have it.
    fn make(&self) -> Result<(Database, Workplace, Option<String>), String> {
        // A pgbouncer does not know the roles of these tests.
        let database = Database::direct();
        if let Some(why) = self.missing(&database) {
            return Err(why);
        }
        if let Some(extension) = self.extension {
            database.run(&format!("CREATE EXTENSION {extension}"));
        }
        database.run(&self.setup);
        if self.poison.is_none() && matches!(self.expected, Expected::Works | Expected::Unforeseen)
        {
            database.run(&format!(
                "ALTER TABLE {} ADD CONSTRAINT sane CHECK (customer_name <> 'POISON')",
                self.stored.trim_start_matches("ONLY ")
            ));
        }
        let mut place = Workplace::new().with_database(&database);
        for (old, new) in &self.mapping {
            place.edit("mappings.yaml", old, new);
        }
        let role = self.role.as_ref().map(|grants| {
            let role = format!("role_{}", database.name);
            database.run(&format!(
                "CREATE ROLE {role} LOGIN PASSWORD 'pw'; {}",
                grants.replace("ROLE", &role)
            ));
            role
        });
        if let Some(role) = &role {
            place = place.env("DB_USER", role).env("DB_PASSWORD", "pw");
        }
        Ok((database, place, role))
    }

    /// Tries it; or says why this server cannot have it.
    fn try_out(&self) -> Result<(), String> {
        let (database, place, role) = self.make()?;
        match self.expected {
            Expected::Refused(words) => self.is_refused(place, words),
            Expected::Denied(words) => self.is_denied(place, words),
            Expected::Works | Expected::Unforeseen => self.works(&database, place),
        }
        if let Some(role) = role {
            database.run(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
        }
        Ok(())
    }

    fn is_refused(&self, place: Workplace, words: &str) {
        place.run(&["check-db"]).expect(2).says(words);
        let api = serve(&self.records(LOADED, 0));
        let place = place.with_api(api.url());
        place.run(&["sync"]).expect(2).says(words);
        place.run(&["sync", "--dry-run"]).expect(2).says(words);
        assert!(api.requests().is_empty(), "something was fetched");
    }

    fn is_denied(&self, place: Workplace, words: &str) {
        place.run(&["check-db"]).expect(2).says(words);
        let api = serve(&self.records(LOADED, 0));
        let place = place.with_api(api.url());
        let (finished, report) = place.sync(&[]);
        finished.expect(4).says("42501").says("check-db");
        assert_eq!(
            report["ledger"]["fetched"], report["ledger"]["spooled"],
            "{finished}"
        );
    }

    fn works(&self, database: &Database, place: Workplace) {
        let (loaded, changed, added) = (LOADED as u64, CHANGED as u64, ADDED as u64);
        place.run(&["check-db"]).expect(0);
        let api = serve(&self.records(LOADED, 0));
        let place = place.with_api(api.url());
        synced(&place, &[], [loaded, 0, 0, 0]);

        let moved = || {
            database.list(&format!(
                "SELECT tableoid || ' ' || ctid || ' ' || xmin FROM {}",
                self.stored
            ))
        };
        let before = moved();
        synced(&place, &[], [0, 0, loaded, 0]);
        assert_eq!(moved(), before, "rows that stay as they are were written");

        let records = self.records(LOADED + ADDED, CHANGED);
        let api = serve(&records);
        let place = place.with_api(api.url());
        let figures = [added, changed, loaded - changed, 0];
        if matches!(self.expected, Expected::Unforeseen) {
            place
                .run(&["sync", "--dry-run"])
                .expect(0)
                .says("cannot know");
        } else {
            synced(&place, &["--dry-run"], figures);
        }
        synced(&place, &[], figures);
        let count = database.one(&format!("SELECT count(*)::text FROM {}", self.stored));
        assert_eq!(count, (loaded + added).to_string());

        let (poison, told) = self
            .poison
            .unwrap_or((|record, _| record["full_name"] = json!("POISON"), "23514"));
        let mut records = self.records(LOADED + 2 * ADDED, CHANGED);
        let bad = LOADED + ADDED + 1;
        poison(&mut records[bad], bad);
        let api = serve(&records);
        let place = place.with_api(api.url());
        let stay = loaded + added;
        let finished = synced(&place, &[], [added - 1, 0, stay, 1]);
        let rejection = database.list(
            "SELECT concat_ws(' ', reason, message, errors::text) FROM sync_rejections WHERE resolved_at IS NULL",
        );
        assert_eq!(rejection.len(), 1, "{finished}");
        // A value that its column's type refuses is reported by PostgreSQL without the column.
        let is_of_a_value = told.starts_with("22") || told == "42601";
        if is_of_a_value && self.setup.contains("ADD extra ") {
            let column = "column \"extra\"";
            assert!(
                rejection[0].contains(column),
                "{rejection:?} does not name the column"
            );
        }
        assert!(
            rejection[0].contains(told),
            "{rejection:?} does not say {told}"
        );
    }
}

fn serve(records: &[Value]) -> Running {
    Server::new()
        .records(records.iter().map(Value::to_string))
        .start()
}

/// Runs `sync`, which ends with exit 0 and these figures: inserted, updated, unchanged, rejected.
#[track_caller]
fn synced(place: &Workplace, arguments: &[&str], figures: [u64; 4]) -> Finished {
    let (finished, report) = place.sync(arguments);
    finished.expect(0);
    let found = ["inserted", "updated", "unchanged", "rejected"]
        .map(|name| report["ledger"][name].as_u64().unwrap());
    assert_eq!(found, figures, "{arguments:?}: {finished}");
    finished
}

fn version(database: &Database) -> u32 {
    let number: u32 = database.one("SHOW server_version_num").parse().unwrap();
    number / 10_000
}

/// Tries all shapes of a kind. Where `DATASYNC_TABLES_RESULTS` names a file, each gets a line in it.
pub fn try_all(kind: &str, shapes: Vec<Shape>) {
    let mut failed = Vec::new();
    for shape in shapes {
        let tried = catch_unwind(AssertUnwindSafe(|| shape.try_out()));
        let result = match &tried {
            Ok(Ok(())) => "yes".to_owned(),
            Ok(Err(why)) => why.clone(),
            Err(_) => "FAILED".to_owned(),
        };
        if let Some(file) = std::env::var_os("DATASYNC_TABLES_RESULTS") {
            let mut file = std::fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(file)
                .unwrap();
            writeln!(
                file,
                "{kind}\t{}\t{}\t{result}",
                shape.name,
                shape.outcome()
            )
            .unwrap();
        }
        if let Err(why) = tried {
            let why = why.downcast_ref::<String>().map_or("", String::as_str);
            failed.push(format!("--- {}:\n{why}", shape.name));
        }
    }
    assert!(
        failed.is_empty(),
        "{} shapes failed:\n{}",
        failed.len(),
        failed.join("\n")
    );
}
