//! Finds one record in all tables, and removes it from all of them except the table of customers: for `show` and `forget`.
//!
//! Both commands are typed by hand and rarely. So an id that no index has (`record_id`, texts that mention it) is looked for
//! by a scan, and keys by the indexes of the write path. Tables and columns that an older schema lacks count as empty.

use std::collections::{BTreeSet, HashSet};

use tokio_postgres::types::Type;

use super::answer::{text, value};
use super::batch::{clean, rejection_key};
use super::connect::{Connection, Param};
use super::error::StoreError;
use super::log::target;
use super::{quote, quote_table};
use crate::config::plan::{Database, Mapping};
use crate::model::record::MASKED;

/// What the tables hold of the record. Rows are JSON text.
#[derive(Clone, Debug, Default)]
pub struct StoredCopies {
    pub customer: Option<String>,
    pub rejections: Vec<String>,
    pub outbox: Vec<String>,
    /// Ids of the cases that mention the record.
    pub cases: Vec<String>,
    /// Runs whose row in the log mentions the record.
    pub log_rows: Vec<String>,
    /// Runs that wrote or rejected the record, or have a message about it in the outbox.
    pub run_ids: BTreeSet<String>,
}

/// How many rows were removed, or would be.
#[derive(Clone, Copy, Debug, Default)]
pub struct RemovedRows {
    pub rejections: u64,
    pub explanations: u64,
    pub outbox: u64,
    pub cases: u64,
    pub log_rows: u64,
}

/// One record, with the keys and ids under which the tables have it.
struct RecordKeys<'a> {
    db: &'a Database,
    target: String,
    /// The key as rejections and the outbox store it.
    keys: Vec<String>,
    /// The id as the source gave it.
    id: String,
    /// Rejections that only their payload identifies, because they have no id.
    by_payload: Vec<i64>,
    /// The existing columns, as `table.column`.
    existing: HashSet<String>,
}

/// Identifies the record.
#[derive(Clone, Copy)]
pub struct RecordId<'a> {
    /// Its key in the table, or its id at the source.
    pub id: &'a str,
    /// The key that the table has for this id at the source; none if it cannot have one.
    pub key: Option<&'a str>,
    /// True if this JSON text is the record.
    pub is_it: &'a dyn Fn(&str) -> bool,
    /// A text or document without the id; none if it does not mention the id.
    pub without: Rewrite<'a>,
}

impl std::fmt::Debug for RecordId<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RecordId")
    }
}

type Rewrite<'a> = &'a dyn Fn(&str) -> Option<String>;

impl<'a> RecordKeys<'a> {
    fn find(
        conn: &mut Connection,
        db: &'a Database,
        stored_key: Option<&str>,
        wanted: RecordId<'_>,
    ) -> Result<Self, StoreError> {
        let id = wanted.id;
        let mut keys = vec![rejection_key(id).into_owned()];
        for key in stored_key.into_iter().chain(wanted.key) {
            let key = rejection_key(key).into_owned();
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        let mut subject = Self {
            db,
            target: target(db),
            keys,
            id: clean(id).into_owned(),
            by_payload: Vec::new(),
            existing: existing_columns(conn, db)?,
        };
        subject.by_payload = subject.find_by_payload(conn, wanted.is_it)?;
        Ok(subject)
    }

    /// Rejections whose id could not be read are stored without one. They are found by a scan (see the top of this file).
    fn find_by_payload(
        &self,
        conn: &mut Connection,
        is_it: &dyn Fn(&str) -> bool,
    ) -> Result<Vec<i64>, StoreError> {
        const WHAT: &str = "looking for rejections without an id";
        if !self.has("sync_rejections", "payload") {
            return Ok(Vec::new());
        }
        let sql = format!(
            "SELECT id, payload FROM {} WHERE target = $1 AND record_id IS NULL AND ($2 OR strpos(payload, $3) > 0)",
            self.table("sync_rejections")
        );
        // Any other character may be escaped in the JSON text, so the text is not searched for it.
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.:@ +".contains(c);
        let is_escaped = !self.id.chars().all(is_plain);
        let params: [Param<'_>; 3] = [
            (&self.target, Type::TEXT),
            (&is_escaped, Type::BOOL),
            (&self.id, Type::TEXT),
        ];
        let mut found = Vec::new();
        for row in &conn.query(WHAT, &sql, &params)? {
            let payload = text(row, 1)?;
            if is_it(payload.strip_prefix(MASKED).unwrap_or(payload)) {
                found.push(value(row, 0, WHAT)?);
            }
        }
        Ok(found)
    }

    fn table(&self, name: &str) -> String {
        quote_table(&self.db.log_schema, name)
    }

    fn has(&self, table: &str, column: &str) -> bool {
        self.existing.contains(&format!("{table}.{column}"))
    }

    fn params(&self) -> [Param<'_>; 3] {
        [
            (&self.target, Type::TEXT),
            (&self.keys, Type::TEXT_ARRAY),
            (&self.id, Type::TEXT),
        ]
    }

    /// The same for rejections.
    fn rejection_params(&self) -> [Param<'_>; 4] {
        let [target, keys, id] = self.params();
        [target, keys, id, (&self.by_payload, Type::INT8_ARRAY)]
    }

    /// Ids of the record's rejections, open and closed: by the partial indexes of both, and by a scan for its id.
    fn rejection_ids(&self) -> String {
        let table = self.table("sync_rejections");
        format!(
            "SELECT id FROM {table} WHERE target = $1 AND resolved_at IS NULL AND key COLLATE \"C\" = ANY($2) \
             UNION SELECT id FROM {table} WHERE target = $1 AND resolved_at IS NOT NULL AND key COLLATE \"C\" = ANY($2) \
             UNION SELECT id FROM {table} WHERE target = $1 AND record_id = $3 UNION SELECT unnest($4)"
        )
    }
}

/// The existing columns of the program's own tables.
fn existing_columns(conn: &mut Connection, db: &Database) -> Result<HashSet<String>, StoreError> {
    const WHAT: &str = "looking at the tables";
    let names = [
        "sync_rejections",
        "sync_rejections_now",
        "sync_explanations",
        "sync_outbox",
        "sync_cases",
        db.log_table.as_str(),
    ];
    let sql = "SELECT c.relname::text || '.' || a.attname::text FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid \
         WHERE n.nspname = $1 AND c.relname = ANY($2) AND a.attnum > 0 AND NOT a.attisdropped";
    let params: [Param<'_>; 2] = [
        (&db.log_schema, Type::TEXT),
        (&&names[..], Type::TEXT_ARRAY),
    ];
    conn.query(WHAT, sql, &params)?
        .iter()
        .map(|row| text(row, 0).map(str::to_owned))
        .collect()
}

/// The row of the record in the table, with its key as text.
fn customer(
    conn: &mut Connection,
    db: &Database,
    mapping: &Mapping,
    id: &str,
) -> Result<Option<(String, String)>, StoreError> {
    const WHAT: &str = "reading the record";
    let table = quote_table(&db.schema, &db.table);
    let key = mapping.key_column();
    let sql = "SELECT pg_catalog.format_type(a.atttypid, NULL) FROM pg_catalog.pg_attribute a \
         WHERE a.attrelid = to_regclass($1) AND a.attname = $2 AND NOT a.attisdropped";
    let params: [Param<'_>; 2] = [(&table, Type::TEXT), (&key, Type::TEXT)];
    let rows = conn.query(WHAT, sql, &params)?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    // The parameter has the column's own type, so that its index is used.
    let ty = text(row, 0)?.to_owned();
    let (key, id) = (quote(key), clean(id));
    let select = |columns: &str| {
        format!("SELECT {columns}, c.{key}::text FROM {table} c WHERE c.{key} = ($1::text)::{ty}")
    };
    let params: [Param<'_>; 1] = [(&id, Type::TEXT)];
    let read = |conn: &mut Connection, columns: &str| conn.query(WHAT, &select(columns), &params);
    let rows = match read(conn, "row_to_json(c)::text") {
        // The role may be permitted to read only the mapped columns.
        Err(error) if error.kind() == "privilege" => {
            let columns = mapping.fields.iter().filter_map(|f| f.column.as_deref());
            let pairs: Vec<String> = columns
                .map(|name| format!("'{}', c.{}", name.replace('\'', "''"), quote(name)))
                .collect();
            let object = format!("json_build_object({})::text", pairs.join(", "));
            read(conn, &object)
        }
        rows => rows,
    };
    match rows {
        Ok(rows) => rows
            .first()
            .map(|row| Ok((text(row, 0)?.to_owned(), text(row, 1)?.to_owned())))
            .transpose(),
        // A text that is no value of the key's type is the key of no row.
        Err(error)
            if error
                .sqlstate()
                .is_some_and(|state| state.starts_with("22")) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Everything the tables hold of a record, read in one read-only transaction.
pub fn find(
    conn: &mut Connection,
    db: &Database,
    mapping: &Mapping,
    wanted: RecordId<'_>,
) -> Result<StoredCopies, StoreError> {
    let mentions = wanted.without;
    let customer = customer(conn, db, mapping, wanted.id)?;
    let stored_key = customer.as_ref().map(|(_, key)| key.as_str());
    let subject = RecordKeys::find(conn, db, stored_key, wanted)?;
    let mut held = StoredCopies {
        rejections: rejections(conn, &subject)?,
        outbox: outbox(conn, &subject)?,
        cases: mentioning(conn, &subject, &CASES, mentions)?
            .into_iter()
            .map(|(id, _)| id)
            .collect(),
        log_rows: mentioning(conn, &subject, &LOG, mentions)?
            .into_iter()
            .map(|(id, _)| id)
            .collect(),
        customer: customer.map(|(row, _)| row),
        run_ids: BTreeSet::new(),
    };
    let rows = held.customer.iter().chain(&held.rejections);
    for row in rows.chain(&held.outbox) {
        let row: serde_json::Value = serde_json::from_str(row).unwrap_or_default();
        let names = ["sync_id", "first_run", "last_run", "resolved_by", "run_id"];
        let ids = names.iter().filter_map(|name| row.get(*name)?.as_str());
        held.run_ids.extend(ids.map(str::to_owned));
    }
    Ok(held)
}

fn rejections(conn: &mut Connection, subject: &RecordKeys<'_>) -> Result<Vec<String>, StoreError> {
    const WHAT: &str = "reading the rejections of the record";
    if !subject.has("sync_rejections", "key") {
        return Ok(Vec::new());
    }
    // The view also has the time when each was last seen, and the explanation of the decision.
    let from = if subject.has("sync_rejections_now", "id") {
        "sync_rejections_now"
    } else {
        "sync_rejections"
    };
    let sql = format!(
        "SELECT row_to_json(r)::text FROM {} r WHERE r.id IN ({}) ORDER BY r.id",
        subject.table(from),
        subject.rejection_ids()
    );
    texts(conn, WHAT, &sql, &subject.rejection_params())
}

fn outbox(conn: &mut Connection, subject: &RecordKeys<'_>) -> Result<Vec<String>, StoreError> {
    const WHAT: &str = "reading what the API is to be told of the record";
    if !subject.has("sync_outbox", "key") {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT row_to_json(o)::text FROM {} o WHERE o.target = $1 AND (o.key = ANY($2) OR o.record_id = $3) ORDER BY o.id",
        subject.table("sync_outbox")
    );
    texts(conn, WHAT, &sql, &subject.params())
}

fn texts(
    conn: &mut Connection,
    what: &str,
    sql: &str,
    params: &[Param<'_>],
) -> Result<Vec<String>, StoreError> {
    conn.query(what, sql, params)?
        .iter()
        .map(|row| value(row, 0, what))
        .collect()
}

/// A column of texts that may mention a record's id.
struct Mentions {
    /// None for the log of runs, whose name is configured.
    table: Option<&'static str>,
    key: &'static str,
    column: &'static str,
    /// The cast by which the new text becomes a value of the column.
    cast: &'static str,
}

const CASES: Mentions = Mentions {
    table: Some("sync_cases"),
    key: "id",
    column: "document",
    cast: "::jsonb",
};
const LOG: Mentions = Mentions {
    table: None,
    key: "sync_id",
    column: "error_message",
    cast: "",
};

/// Rows with a text that mentions the record: their keys, and the texts without it. A scan (see the top of this file).
fn mentioning(
    conn: &mut Connection,
    subject: &RecordKeys<'_>,
    of: &Mentions,
    rewrite: Rewrite<'_>,
) -> Result<Vec<(String, String)>, StoreError> {
    const WHAT: &str = "looking for texts that mention the record";
    let table = of.table.unwrap_or(&subject.db.log_table);
    if !subject.has(table, of.column) {
        return Ok(Vec::new());
    }
    // In a document the id is spelled as JSON.
    let quoted = serde_json::Value::from(subject.id.as_str()).to_string();
    let inside = quoted.trim_matches('"').to_owned();
    let sql = format!(
        "SELECT t.{0}::text, t.{1}::text FROM {2} t WHERE strpos(t.{1}::text, $1) > 0 OR strpos(t.{1}::text, $2) > 0",
        of.key,
        of.column,
        subject.table(table)
    );
    let params: [Param<'_>; 2] = [(&subject.id, Type::TEXT), (&inside, Type::TEXT)];
    let mut found = Vec::new();
    for row in &conn.query(WHAT, &sql, &params)? {
        if let Some(without) = rewrite(text(row, 1)?) {
            found.push((text(row, 0)?.to_owned(), without));
        }
    }
    Ok(found)
}

/// Removes the record from every table except that of customers, in one transaction.
pub fn remove(
    conn: &mut Connection,
    db: &Database,
    mapping: &Mapping,
    wanted: RecordId<'_>,
) -> Result<RemovedRows, StoreError> {
    let customer = customer(conn, db, mapping, wanted.id)?;
    let stored_key = customer.as_ref().map(|(_, key)| key.as_str());
    let subject = RecordKeys::find(conn, db, stored_key, wanted)?;
    conn.begin("removing the record", "", "")?;
    let removed = remove_in_transaction(conn, &subject, wanted.without);
    if removed.is_err() {
        conn.roll_back();
    }
    removed
}

fn remove_in_transaction(
    conn: &mut Connection,
    subject: &RecordKeys<'_>,
    rewrite: Rewrite<'_>,
) -> Result<RemovedRows, StoreError> {
    const WHAT: &str = "removing the record";
    let mut removed = RemovedRows::default();
    if subject.has("sync_rejections", "key") {
        let explained = subject.has("sync_rejections", "explained_by")
            && subject.has("sync_explanations", "id");
        let sql = format!(
            "DELETE FROM {} WHERE id IN ({}) RETURNING {}",
            subject.table("sync_rejections"),
            subject.rejection_ids(),
            if explained {
                "explained_by"
            } else {
                "NULL::uuid"
            }
        );
        let rows = conn.query(WHAT, &sql, &subject.rejection_params())?;
        removed.rejections = rows.len() as u64;
        if explained {
            let ids: Vec<Option<uuid::Uuid>> = rows
                .iter()
                .map(|row| value(row, 0, WHAT))
                .collect::<Result<_, _>>()?;
            removed.explanations = remove_explanations(conn, subject, &ids)?;
        }
    }
    if subject.has("sync_outbox", "key") {
        let sql = format!(
            "DELETE FROM {} WHERE target = $1 AND (key = ANY($2) OR record_id = $3)",
            subject.table("sync_outbox")
        );
        removed.outbox = conn.execute(WHAT, &sql, &subject.params())?;
    }
    removed.cases = rewrite_all(conn, subject, &CASES, rewrite)?;
    removed.log_rows = rewrite_all(conn, subject, &LOG, rewrite)?;
    conn.run(WHAT, "COMMIT")?;
    Ok(removed)
}

/// Explanations hold the values that a decision read. Deletes those of the record that no other rejection shares, and all
/// that no rejection refers to, since they may belong to an earlier version of it. A run may count on those of the last hour.
fn remove_explanations(
    conn: &mut Connection,
    subject: &RecordKeys<'_>,
    ids: &[Option<uuid::Uuid>],
) -> Result<u64, StoreError> {
    let sql = format!(
        "DELETE FROM {} e WHERE (e.id = ANY($1) OR e.used_at < now() - interval '2 hours') \
         AND NOT EXISTS (SELECT FROM {} r WHERE r.explained_by = e.id)",
        subject.table("sync_explanations"),
        subject.table("sync_rejections")
    );
    let ids: Vec<uuid::Uuid> = ids.iter().copied().flatten().collect();
    conn.execute("removing explanations", &sql, &[(&ids, Type::UUID_ARRAY)])
}

fn rewrite_all(
    conn: &mut Connection,
    subject: &RecordKeys<'_>,
    of: &Mentions,
    rewrite: Rewrite<'_>,
) -> Result<u64, StoreError> {
    let table = of.table.unwrap_or(&subject.db.log_table);
    let found = mentioning(conn, subject, of, rewrite)?;
    let sql = format!(
        "UPDATE {} SET {} = $2::text{} WHERE {}::text = $1",
        subject.table(table),
        of.column,
        of.cast,
        of.key
    );
    let mut rewritten = 0;
    for (key, text) in &found {
        let params: [Param<'_>; 2] = [(key, Type::TEXT), (text, Type::TEXT)];
        rewritten += conn.execute("removing the record from texts", &sql, &params)?;
    }
    Ok(rewritten)
}

/// The statement that deletes the record's row, for a person to type; none if there is no row.
pub fn delete_of_row(
    conn: &mut Connection,
    db: &Database,
    mapping: &Mapping,
    id: &str,
) -> Result<Option<String>, StoreError> {
    let found = customer(conn, db, mapping, id)?;
    Ok(found.map(|(_, key)| {
        format!(
            "DELETE FROM {} WHERE {} = '{}';",
            quote_table(&db.schema, &db.table),
            quote(mapping.key_column()),
            key.replace('\'', "''")
        )
    }))
}
