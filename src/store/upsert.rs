//! All SQL of the write path: the upsert in its two forms, the comparison of a dry run, rejections and the batch log.
//!
//! One batch is one transaction. Everything counted was counted by PostgreSQL, and the batch-log row, inserted last,
//! makes the transaction provable: when it is there, the batch is; an aborted transaction cannot insert it.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tokio_postgres::types::Type;
use uuid::Uuid;

use super::batch::{Batch, ColumnArray, Row, rejection_key};
use super::connect::{Connection, Param};
use super::encode::Micros;
use super::error::{Class, StoreError};
use super::outbox::{Composer, Outbox};
use super::schema::Layout;
use super::{quote, quote_table};
use crate::config::plan::Database;
use crate::record::{FieldError, Message, Rejection};

mod owing;

/// A batch-log row that is already there carries this constraint's name.
const BATCH_LOG_KEY: &str = "sync_batches_pkey";
/// So many open rejections are remembered by key; with more, every row asks.
const REMEMBERED_KEYS: usize = 10_000;
/// The planner takes a batch for reason enough to read the whole table; lookups by the unique key are always right.
const LOOKUPS_ONLY: &str = "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; \
     SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL jit = off;";
/// Follows BEGIN on Citus: the settings of the transaction are for the workers as well.
const FOR_WORKERS: &str = "; SET LOCAL citus.propagate_set_commands = 'local'";

/// What PostgreSQL made of one batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BatchOutcome {
    pub inserted: u64,
    pub updated: u64,
    pub unchanged: u64,
    pub superseded: u64,
    pub duplicates: u64,
    /// Rejections stored, refused rows included.
    pub rejected: u64,
    /// Earlier rejections that this batch settled.
    pub resolved: u64,
    /// Rows the database would not take; empty when the outcome was read back from the batch log.
    pub refused: Vec<Refused>,
    /// In a dry run: the first messages the API would be told.
    pub messages: Vec<Message>,
    /// From BEGIN to the answer of COMMIT.
    pub seconds: f64,
}

/// A row the database refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The record's key.
    pub record_id: String,
    pub sqlstate: String,
    pub constraint: Option<String>,
    pub column: Option<String>,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the database refused it, SQLSTATE {}", self.sqlstate)?;
        for (what, name) in [("constraint", &self.constraint), ("column", &self.column)] {
            if let Some(name) = name {
                write!(f, ", {what} {name}")?;
            }
        }
        Ok(())
    }
}

/// A row that a dry run would update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub key: String,
    /// Column, stored value, new value, as text; only columns that differ.
    pub fields: Vec<(String, Option<String>, Option<String>)>,
}

/// The two forms of the upsert. Neither locks a row that stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// All rows go to INSERT … ON CONFLICT DO NOTHING, fastest when all are new; if some were not, the other follows.
    AllNew,
    /// Looks first: only rows that are new or differ reach the INSERT, and others burn no sequence value.
    Differing,
}

/// The statements of one table, built once.
#[derive(Debug)]
struct Statements {
    all_new: String,
    differing: String,
    superseded: String,
    compare: String,
    differences: String,
    owing: String,
    fates: String,
    reject: String,
    resolve: String,
    open_keys: String,
    log: String,
}

/// Writes batches of one run to one table, over one connection after the other.
#[derive(Debug)]
pub struct Writer {
    statements: Statements,
    columns: Vec<String>,
    target: String,
    log_schema: String,
    run_id: Uuid,
    /// PostgreSQL's clock less the local one, microseconds.
    clock_offset: i64,
    form: Form,
    /// On Citus, which counts rows that DO NOTHING passed over as inserted: only [`Form::Differing`] counts right there.
    distributed: bool,
    /// Hashes of the keys with an open rejection; none until asked for.
    open: Option<OpenKeys>,
    /// Where messages to the API are entered; none = write-back is off.
    outbox: Option<Outbox>,
}

#[derive(Debug)]
enum OpenKeys {
    These(HashSet<u64>),
    TooMany,
}

fn hash(key: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

/// How rows were counted by one statement.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    inserted: u64,
    updated: u64,
    unchanged: u64,
    superseded: u64,
}

impl Counts {
    const fn add(&mut self, other: Self) {
        self.inserted += other.inserted;
        self.updated += other.updated;
        self.unchanged += other.unchanged;
        self.superseded += other.superseded;
    }
}

impl Statements {
    fn new(db: &Database, layout: &Layout) -> Self {
        let table = quote_table(&db.schema, &db.table);
        let key = &layout.columns[layout.key];
        let key_column = quote(&key.name);
        let width = layout.columns.len();
        let names: Vec<String> = layout.columns.iter().map(|c| quote(&c.name)).collect();
        let input: Vec<String> = (0..width).map(|i| format!("c{i}")).collect();
        let arrays = layout
            .columns
            .iter()
            .enumerate()
            .map(|(i, c)| format!("${}::{}[]", i + 1, c.wire.sql()))
            .collect::<Vec<_>>()
            .join(", ");
        let cast = layout
            .columns
            .iter()
            .enumerate()
            .map(|(i, c)| format!("u.c{i}::{}", c.cast))
            .collect::<Vec<_>>();
        let unnest = format!("unnest({arrays}) AS u({})", input.join(", "));
        let version = layout
            .columns
            .iter()
            .position(|c| c.name == "source_version")
            .unwrap_or(width - 1);
        // Without a mapped version the version is the time of fetching, which is no content.
        let content: Vec<usize> = (0..width)
            .filter(|i| *i != layout.key && (*i != version || layout.version_is_content))
            .collect();
        let differs = |old: &dyn Fn(usize) -> String, new: &dyn Fn(usize) -> String| {
            if content.is_empty() {
                return "false".to_owned();
            }
            content
                .iter()
                .map(|i| {
                    if layout.columns[*i].compare_as_text {
                        format!(
                            "{}::text COLLATE \"C\" IS DISTINCT FROM {}::text COLLATE \"C\"",
                            old(*i),
                            new(*i)
                        )
                    } else {
                        format!("{} IS DISTINCT FROM {}", old(*i), new(*i))
                    }
                })
                .collect::<Vec<_>>()
                .join(" OR ")
        };
        let stored = |i: usize| format!("t.{}", names[i]);
        let version_name = &names[version];
        let set = (0..width)
            .filter(|i| *i != layout.key)
            .map(|i| names[i].clone())
            .chain(["sync_id", "updated_at"].map(quote))
            .map(|name| format!("{name} = EXCLUDED.{name}"))
            .collect::<Vec<_>>()
            .join(", ");
        let into = format!(
            "INSERT INTO {table} AS t ({}, \"sync_id\", \"updated_at\")",
            names.join(", ")
        );
        // The guard holds against whoever wrote since the row was looked at.
        let conflict = format!(
            "ON CONFLICT ({key_column}) DO UPDATE SET {set} \
             WHERE (t.{version_name} IS NULL OR t.{version_name} <= EXCLUDED.{version_name}) AND ({}) \
             RETURNING (t.xmax = 0) AS fresh",
            differs(&stored, &|i| format!("EXCLUDED.{}", names[i]))
        );
        let (run, now) = (width + 1, width + 2);
        let all_new = format!(
            "{into} SELECT {}, ${run}::uuid, ${now}::timestamptz FROM {unnest} ON CONFLICT ({key_column}) DO NOTHING",
            cast.join(", ")
        );
        let as_input = cast
            .iter()
            .zip(&input)
            .map(|(cast, name)| format!("{cast} AS {name}"))
            .collect::<Vec<_>>()
            .join(", ");
        let (known, known_rows) = known_rows(&table, layout, &names);
        // Rows that stay as they are go no further than the comparison.
        let differing = format!(
            "WITH {known}moved AS MATERIALIZED (SELECT {as_input}, t.{version_name} > {v} AS late \
             FROM {unnest} LEFT JOIN {known_rows} t ON t.{key_column} = {} \
             WHERE t.{key_column} IS NULL OR t.{version_name} > {v} OR {}), \
             written AS ({into} SELECT {}, ${run}::uuid, ${now}::timestamptz FROM moved WHERE late IS NOT TRUE {conflict}) \
             SELECT (SELECT count(*) FILTER (WHERE fresh) FROM written), \
             (SELECT count(*) FILTER (WHERE NOT fresh) FROM written), \
             count(*) FILTER (WHERE late), count(*) FROM moved",
            cast[layout.key],
            differs(&stored, &|i| cast[i].clone()),
            input.join(", "),
            v = cast[version],
        );
        let judged = format!(
            "{known}input AS MATERIALIZED (SELECT {} FROM {unnest}), \
             judged AS MATERIALIZED (SELECT s.*, CASE WHEN t.{key_column} IS NULL THEN 0 \
             WHEN t.{version_name} > s.c{version} THEN 3 WHEN {} THEN 1 ELSE 2 END AS fate \
             FROM input s LEFT JOIN {known_rows} t ON t.{key_column} = s.c{})",
            as_input,
            differs(&stored, &|i| format!("s.c{i}")),
            layout.key
        );
        let compare = format!(
            "WITH {judged} SELECT count(*) FILTER (WHERE fate = 0), count(*) FILTER (WHERE fate = 1), \
             count(*) FILTER (WHERE fate = 2), count(*) FILTER (WHERE fate = 3) FROM judged"
        );
        let differences = format!(
            "WITH {judged} SELECT j.c{key}::text, ARRAY[{}]::text[], ARRAY[{}]::text[] FROM judged j \
             JOIN {known_rows} t ON t.{key_column} = j.c{key} WHERE j.fate = 1 ORDER BY 1 LIMIT {limit}",
            (0..width)
                .map(|i| format!("{}::text", stored(i)))
                .collect::<Vec<_>>()
                .join(", "),
            (0..width)
                .map(|i| format!("j.c{i}::text"))
                .collect::<Vec<_>>()
                .join(", "),
            key = layout.key,
            limit = "$".to_owned() + &(width + 1).to_string() + "::bigint",
        );
        // The same for write-back, which has to know what became of each row: by its number among those that are sent.
        // Grouping, not a join: it takes the key's own equality and no nested loop.
        let numbered = format!(
            "unnest({arrays}) WITH ORDINALITY AS u({}, o)",
            input.join(", ")
        );
        let owing = format!(
            "WITH {known}moved AS MATERIALIZED (SELECT {as_input}, u.o, t.{version_name} > {v} AS late \
             FROM {numbered} LEFT JOIN {known_rows} t ON t.{key_column} = {} \
             WHERE t.{key_column} IS NULL OR t.{version_name} > {v} OR {}), \
             written AS ({into} SELECT {}, ${run}::uuid, ${now}::timestamptz FROM moved WHERE late IS NOT TRUE {conflict}, \
             t.{key_column} AS k), \
             told AS (SELECT max(o) AS o, bool_or(late) AS late, bool_or(fresh) AS fresh FROM \
             (SELECT c{} AS k, o, late, NULL::boolean AS fresh FROM moved UNION ALL SELECT k, NULL, NULL, fresh FROM written) e \
             GROUP BY k) \
             SELECT count(*) FILTER (WHERE fresh), count(*) FILTER (WHERE NOT fresh), count(*) FILTER (WHERE late), count(o), \
             array_agg(o) FILTER (WHERE fresh), array_agg(o) FILTER (WHERE NOT fresh), array_agg(o) FROM told",
            cast[layout.key],
            differs(&stored, &|i| cast[i].clone()),
            input.join(", "),
            layout.key,
            v = cast[version],
        );
        let fates = format!(
            "WITH {known}judged AS (SELECT u.o, CASE WHEN t.{key_column} IS NULL THEN 0 WHEN t.{version_name} > {} THEN 3 \
             WHEN {} THEN 1 ELSE 2 END AS fate FROM {numbered} LEFT JOIN {known_rows} t ON t.{key_column} = {}) \
             SELECT o FROM judged WHERE fate = ANY(${}::int[]) ORDER BY o LIMIT ${}::bigint",
            cast[version],
            differs(&stored, &|i| cast[i].clone()),
            cast[layout.key],
            width + 1,
            width + 2,
        );
        let superseded = format!(
            "SELECT count(*) FROM unnest($1::{}[], $2::timestamptz[]) AS u(k, v) \
             JOIN {table} t ON t.{key_column} = u.k::{} WHERE t.{version_name} > u.v::{}{}",
            key.wire.sql(),
            key.cast,
            layout.columns[version].cast,
            if layout.distributed {
                format!(
                    " AND t.{key_column} = ANY($1::{}[]::{}[])",
                    key.wire.sql(),
                    key.cast
                )
            } else {
                String::new()
            }
        );
        let rejections = quote_table(&db.log_schema, "sync_rejections");
        let reject = format!(
            "INSERT INTO {rejections} AS r (target, key, record_id, payload, reason, message, errors, rules, \
             explanation, first_run, last_run, first_seen, last_seen, occurrences) \
             SELECT $1, u.key, u.record_id, u.payload, u.reason, u.message, u.errors::jsonb, u.rules::jsonb, \
             u.explanation::json, $2, $2, u.seen, u.seen, u.times FROM unnest($3::text[], $4::text[], $5::text[], \
             $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::timestamptz[], $12::bigint[]) \
             AS u(key, record_id, payload, reason, message, errors, rules, explanation, seen, times) \
             WHERE NOT EXISTS (SELECT 1 FROM {rejections} c WHERE c.target = $1 AND c.key = u.key AND c.resolved_at > u.seen) \
             ON CONFLICT (target, key) WHERE resolved_at IS NULL DO UPDATE SET record_id = EXCLUDED.record_id, \
             payload = EXCLUDED.payload, reason = EXCLUDED.reason, message = EXCLUDED.message, \
             errors = EXCLUDED.errors, rules = EXCLUDED.rules, explanation = EXCLUDED.explanation, \
             last_run = EXCLUDED.last_run, last_seen = EXCLUDED.last_seen, \
             occurrences = r.occurrences + EXCLUDED.occurrences WHERE r.last_seen <= EXCLUDED.last_seen"
        );
        let resolve = format!(
            "UPDATE {rejections} AS r SET resolved_at = u.seen, resolved_by = $2 \
             FROM unnest($3::text[], $4::timestamptz[]) AS u(key, seen) \
             WHERE r.target = $1 AND r.key = u.key AND r.resolved_at IS NULL AND r.last_seen <= u.seen"
        );
        let open_keys = format!(
            "SELECT key FROM {rejections} WHERE target = $1 AND resolved_at IS NULL LIMIT {}",
            REMEMBERED_KEYS + 1
        );
        let log = format!(
            "INSERT INTO {} (run_id, batch, inserted, updated, unchanged, superseded, duplicates, rejected, resolved, committed_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            quote_table(&db.log_schema, "sync_batches")
        );
        Self {
            all_new,
            differing,
            superseded,
            compare,
            differences,
            owing,
            fates,
            reject,
            resolve,
            open_keys,
            log,
        }
    }
}

/// What a batch is compared with: a leading CTE (or nothing) and the relation's name.
///
/// Citus answers an outer join with the table by fetching all of it, once a batch, and fails where an INSERT reads from
/// such a join. So the rows in question are fetched first, by their keys.
fn known_rows(table: &str, layout: &Layout, names: &[String]) -> (String, String) {
    if !layout.distributed {
        return (String::new(), table.to_owned());
    }
    let key = &layout.columns[layout.key];
    let cte = format!(
        "known AS MATERIALIZED (SELECT {} FROM {table} WHERE {} = ANY(${}::{}[]::{}[])), ",
        names.join(", "),
        names[layout.key],
        layout.key + 1,
        key.wire.sql(),
        key.cast
    );
    (cte, "known".to_owned())
}

impl Writer {
    /// `clock_offset`: PostgreSQL's clock less the local one, microseconds ([`super::log::clock_offset`]).
    pub fn new(db: &Database, layout: &Layout, run_id: Uuid, clock_offset: i64) -> Self {
        Self {
            statements: Statements::new(db, layout),
            columns: layout.columns.iter().map(|c| c.name.clone()).collect(),
            target: layout.target.clone(),
            log_schema: db.log_schema.clone(),
            run_id,
            clock_offset,
            form: if layout.empty && !layout.distributed {
                Form::AllNew
            } else {
                Form::Differing
            },
            distributed: layout.distributed,
            open: None,
            outbox: None,
        }
    }

    /// Has the API told of rows, as [`Database::owed`] says, by the messages that `composer` makes.
    pub fn tell_api(&mut self, db: &Database, composer: Composer) {
        self.outbox = Some(Outbox::new(db, composer));
    }

    fn now(&self) -> Micros {
        let local = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| i64::try_from(d.as_micros()).unwrap_or(0));
        Micros(local + self.clock_offset)
    }

    /// Writes a sealed batch: one transaction with its rejections and its batch-log row.
    ///
    /// Writing the same batch of the same run again changes nothing and gives the first outcome. After an error nothing
    /// of it is stored, with one exception: when the answer to COMMIT was lost; [`committed`] tells.
    pub fn write(
        &mut self,
        conn: &mut Connection,
        batch: &Batch,
    ) -> Result<BatchOutcome, StoreError> {
        let started = Instant::now();
        let mut outcome =
            self.write_once(conn, batch, false)
                .or_else(|error| match error.class() {
                    Class::Data if error.constraint() != Some(BATCH_LOG_KEY) => {
                        conn.roll_back();
                        self.write_once(conn, batch, true)
                    }
                    _ => Err(error),
                });
        if let Err(error) = &outcome {
            let logged = error.constraint() == Some(BATCH_LOG_KEY);
            conn.roll_back();
            if logged {
                outcome = committed_in(conn, &self.log_schema, self.run_id, batch.number).and_then(
                    |known| known.ok_or_else(|| StoreError::dead("reading the batch log")),
                );
            }
        }
        let mut outcome = outcome?;
        outcome.seconds = started.elapsed().as_secs_f64();
        Ok(outcome)
    }

    fn write_once(
        &mut self,
        conn: &mut Connection,
        batch: &Batch,
        bisect: bool,
    ) -> Result<BatchOutcome, StoreError> {
        if !batch.is_sealed() {
            return Err(StoreError::new(
                Class::Fatal,
                "internal",
                "a batch was written before it was sealed: this is a bug",
            ));
        }
        let extra = if bisect {
            // What is deferred would be reported at COMMIT, where no row can be told from another.
            format!("{LOOKUPS_ONLY} SET CONSTRAINTS ALL IMMEDIATE;")
        } else {
            LOOKUPS_ONLY.to_owned()
        };
        let mode = if self.distributed { FOR_WORKERS } else { "" };
        conn.begin("beginning a batch", mode, &extra)?;
        let rows = 0..batch.rows().len();
        let mut refused = Vec::new();
        let mut owed = Vec::new();
        let counts = if rows.is_empty() {
            Counts::default()
        } else if bisect {
            let mut counts = Counts::default();
            isolate(
                conn,
                rows.clone(),
                &mut |conn, range| {
                    counts.add(self.upsert(conn, batch, range, &mut owed)?);
                    Ok(())
                },
                &mut refused,
            )?;
            counts
        } else {
            self.upsert(conn, batch, rows.clone(), &mut owed)?
        };
        if let Some(outbox) = &self.outbox {
            outbox.enter(conn, batch, owed, (&self.target, self.run_id, self.now()))?;
        }
        let rejections = Self::rejections_with(batch, &refused);
        self.store_rejections(conn, &rejections)?;
        let resolved = self.resolve(conn, batch, &refused)?;
        let outcome = BatchOutcome {
            inserted: counts.inserted,
            updated: counts.updated,
            unchanged: counts.unchanged,
            superseded: counts.superseded,
            duplicates: batch.duplicates(),
            rejected: rejections.len() as u64,
            resolved,
            refused: refused
                .iter()
                .map(|(index, error)| Refused {
                    record_id: batch.key(&batch.rows()[*index]).to_owned(),
                    sqlstate: error.sqlstate().unwrap_or_default().to_owned(),
                    constraint: error.constraint().map(str::to_owned),
                    column: error.column().map(str::to_owned),
                })
                .collect(),
            messages: Vec::new(),
            seconds: 0.0,
        };
        let number = signed(batch.number);
        let figures = [
            outcome.inserted,
            outcome.updated,
            outcome.unchanged,
            outcome.superseded,
            outcome.duplicates,
            outcome.rejected,
            outcome.resolved,
        ]
        .map(signed);
        let now = self.now();
        let mut params: Vec<Param<'_>> = vec![(&self.run_id, Type::UUID), (&number, Type::INT8)];
        params.extend(figures.iter().map(|f| (f as _, Type::INT8)));
        params.push((&now, Type::TIMESTAMPTZ));
        conn.execute_and_commit("committing a batch", &self.statements.log, &params)?;
        // Learned only from what was committed.
        let all_new = !rows.is_empty() && counts.inserted == rows.len() as u64;
        self.form = if all_new && !self.distributed {
            Form::AllNew
        } else {
            Form::Differing
        };
        if let (Some(OpenKeys::These(keys)), false) = (&mut self.open, rejections.is_empty()) {
            keys.extend(rejections.iter().map(|r| hash(&rejection_key(&r.key))));
            if keys.len() > 2 * REMEMBERED_KEYS {
                self.open = Some(OpenKeys::TooMany);
            }
        }
        Ok(outcome)
    }

    /// Writes some rows and has them counted. `owed` gains the indexes of those the API is to be told of.
    fn upsert(
        &self,
        conn: &mut Connection,
        batch: &Batch,
        range: Range<usize>,
        owed: &mut Vec<usize>,
    ) -> Result<Counts, StoreError> {
        const WHAT: &str = "writing rows";
        let arrays = self.arrays(batch, &range);
        let now = self.now();
        let mut params: Vec<Param<'_>> = arrays.iter().map(|a| (a as _, a.ty())).collect();
        params.push((&self.run_id, Type::UUID));
        params.push((&now, Type::TIMESTAMPTZ));
        let total = range.len() as u64;
        let mut counts = Counts::default();
        if let Some(outbox) = &self.outbox {
            return self.upsert_owing(conn, outbox, &params, batch, range, owed);
        }
        if self.form == Form::AllNew {
            counts.inserted = conn.execute(WHAT, &self.statements.all_new, &params)?;
            if counts.inserted == total {
                return Ok(counts);
            }
        }
        let row = single(conn.query(WHAT, &self.statements.differing, &params)?)?;
        let found = counts.inserted;
        let mut rest = Counts {
            inserted: count(&row, 0)?,
            updated: count(&row, 1)?,
            unchanged: total.saturating_sub(found + count(&row, 3)?),
            superseded: count(&row, 2)?,
        };
        // What was inserted a moment ago is as it should be, unless a trigger had its way: counted once.
        let told = rest.inserted + rest.updated + rest.unchanged + rest.superseded;
        rest.updated -= (found + told)
            .saturating_sub(total)
            .min(found)
            .min(rest.updated);
        counts.add(rest);
        self.complete(conn, batch, range, &mut counts)?;
        Ok(counts)
    }

    /// Rows that were told neither as written nor as left alone: somebody else wrote them between the look and the write.
    fn complete(
        &self,
        conn: &mut Connection,
        batch: &Batch,
        range: Range<usize>,
        counts: &mut Counts,
    ) -> Result<(), StoreError> {
        let total = range.len() as u64;
        let told = counts.inserted + counts.updated + counts.unchanged + counts.superseded;
        if told < total {
            // The guard held some back: those that are older than what is stored now, and those that equal it.
            let key = batch.columns().key;
            let version = batch.columns().width() - 1;
            let key = batch.column(key, range.clone());
            let version = batch.column(version, range);
            let row = single(conn.query(
                "writing rows",
                &self.statements.superseded,
                &[(&key, key.ty()), (&version, version.ty())],
            )?)?;
            let written = counts.inserted + counts.updated;
            counts.superseded = count(&row, 0)?.min(total - written);
            counts.unchanged = total - written - counts.superseded;
        } else if told > total {
            return Err(StoreError::new(
                Class::Fatal,
                "internal",
                format!("{total} rows were sent and {told} were reported: this is a bug"),
            ));
        }
        Ok(())
    }

    fn arrays<'a>(&self, batch: &'a Batch, range: &Range<usize>) -> Vec<ColumnArray<'a>> {
        (0..self.columns.len())
            .map(|column| batch.column(column, range.clone()))
            .collect()
    }

    /// The batch's rejections and those made of rows the database refused.
    fn rejections_with<'a>(
        batch: &'a Batch,
        refused: &[(usize, StoreError)],
    ) -> Vec<Cow<'a, Rejection>> {
        let mut all: Vec<Cow<'a, Rejection>> =
            batch.rejections().iter().map(Cow::Borrowed).collect();
        all.extend(refused.iter().map(|(index, error)| {
            let row = &batch.rows()[*index];
            Cow::Owned(refusal(batch, row, error))
        }));
        all
    }

    fn store_rejections(
        &self,
        conn: &mut Connection,
        rejections: &[Cow<'_, Rejection>],
    ) -> Result<(), StoreError> {
        if rejections.is_empty() {
            return Ok(());
        }
        // A key once in a statement: the latest stands for all, which are counted.
        let mut latest: HashMap<Cow<'_, str>, (&Rejection, i64)> = HashMap::new();
        for rejection in rejections {
            let entry = latest
                .entry(rejection_key(&rejection.key))
                .or_insert((rejection, 0));
            entry.1 += 1;
            if (entry.0.requested_at, entry.0.sequence)
                <= (rejection.requested_at, rejection.sequence)
            {
                entry.0 = rejection;
            }
        }
        let mut entries: Vec<_> = latest.into_iter().collect();
        entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let keys: Vec<&str> = entries.iter().map(|e| e.0.as_ref()).collect();
        let each = |of: fn(&Rejection) -> Cow<'_, str>| -> Vec<String> {
            entries.iter().map(|e| of(e.1.0).into_owned()).collect()
        };
        let ids: Vec<Option<Cow<'_, str>>> = entries
            .iter()
            .map(|e| e.1.0.record_id.as_deref().map(clean))
            .collect();
        let payloads: Vec<&str> = entries.iter().map(|e| e.1.0.payload.as_str()).collect();
        let reasons = each(|r| clean(&r.reason));
        let messages = each(|r| clean(&r.message));
        let errors = each(|r| Cow::Owned(errors_json(&r.errors)));
        let rules = each(|r| {
            let rules: Vec<_> = r.rules.iter().map(|rule| clean(rule)).collect();
            Cow::Owned(serde_json::json!(rules).to_string())
        });
        let explanations: Vec<Option<&str>> = entries
            .iter()
            .map(|e| e.1.0.explanation.as_deref())
            .collect();
        let seen: Vec<Micros> = entries.iter().map(|e| Micros(e.1.0.requested_at)).collect();
        let times: Vec<i64> = entries.iter().map(|e| e.1.1).collect();
        conn.execute(
            "storing rejections",
            &self.statements.reject,
            &[
                (&self.target, Type::TEXT),
                (&self.run_id, Type::UUID),
                (&keys, Type::TEXT_ARRAY),
                (&ids, Type::TEXT_ARRAY),
                (&payloads, Type::TEXT_ARRAY),
                (&reasons, Type::TEXT_ARRAY),
                (&messages, Type::TEXT_ARRAY),
                (&errors, Type::TEXT_ARRAY),
                (&rules, Type::TEXT_ARRAY),
                (&explanations, Type::TEXT_ARRAY),
                (&seen, Type::TIMESTAMPTZ_ARRAY),
                (&times, Type::INT8_ARRAY),
            ],
        )
        .map(|_stored| ())
    }

    /// Settles earlier rejections of records that passed now. Costs a statement only where there may be some.
    fn resolve(
        &mut self,
        conn: &mut Connection,
        batch: &Batch,
        refused: &[(usize, StoreError)],
    ) -> Result<u64, StoreError> {
        const WHAT: &str = "resolving earlier rejections";
        if batch.rows().is_empty() {
            return Ok(0);
        }
        if self.open.is_none() {
            let rows = conn.query(
                WHAT,
                &self.statements.open_keys,
                &[(&self.target, Type::TEXT)],
            )?;
            self.open = Some(if rows.len() > REMEMBERED_KEYS {
                OpenKeys::TooMany
            } else {
                let mut keys = HashSet::with_capacity(rows.len());
                for row in &rows {
                    keys.insert(hash(text(row, 0)?));
                }
                OpenKeys::These(keys)
            });
        }
        // A record rejected and passed within this very batch has its rejection stored a moment ago.
        let own: HashSet<u64> = batch
            .rejections()
            .iter()
            .map(|r| hash(&rejection_key(&r.key)))
            .collect();
        let refused: HashSet<usize> = refused.iter().map(|(index, _)| *index).collect();
        let (keys, seen): (Vec<Cow<'_, str>>, Vec<Micros>) = batch
            .rows()
            .iter()
            .enumerate()
            .filter(|(index, row)| row.resolves && !refused.contains(index))
            .map(|(_, row)| (rejection_key(batch.key(row)), Micros(row.requested_at)))
            .filter(|(key, _)| match &self.open {
                Some(OpenKeys::These(open)) => {
                    let key = hash(key);
                    open.contains(&key) || own.contains(&key)
                }
                _ => true,
            })
            .unzip();
        if keys.is_empty() {
            return Ok(0);
        }
        conn.execute(
            WHAT,
            &self.statements.resolve,
            &[
                (&self.target, Type::TEXT),
                (&self.run_id, Type::UUID),
                (&keys, Type::TEXT_ARRAY),
                (&seen, Type::TIMESTAMPTZ_ARRAY),
            ],
        )
    }

    /// What [`Writer::write`] would do, found out in a read-only transaction, with the first rows that would change.
    pub fn compare(
        &mut self,
        conn: &mut Connection,
        batch: &Batch,
        differences: usize,
    ) -> Result<(BatchOutcome, Vec<Difference>), StoreError> {
        let started = Instant::now();
        let compared = self.compare_once(conn, batch, differences);
        if compared.is_err() {
            conn.roll_back();
        }
        compared.map(|(mut outcome, found)| {
            outcome.seconds = started.elapsed().as_secs_f64();
            (outcome, found)
        })
    }

    fn compare_once(
        &self,
        conn: &mut Connection,
        batch: &Batch,
        differences: usize,
    ) -> Result<(BatchOutcome, Vec<Difference>), StoreError> {
        const WHAT: &str = "comparing rows";
        conn.begin(WHAT, "READ ONLY", LOOKUPS_ONLY)?;
        let mut counts = Counts::default();
        let mut found = Vec::new();
        let mut messages = Vec::new();
        let mut refused = Vec::new();
        if !batch.rows().is_empty() {
            isolate(
                conn,
                0..batch.rows().len(),
                &mut |conn, range| {
                    let arrays = self.arrays(batch, &range);
                    let mut params: Vec<Param<'_>> =
                        arrays.iter().map(|a| (a as _, a.ty())).collect();
                    let row = single(conn.query(WHAT, &self.statements.compare, &params)?)?;
                    let part = Counts {
                        inserted: count(&row, 0)?,
                        updated: count(&row, 1)?,
                        unchanged: count(&row, 2)?,
                        superseded: count(&row, 3)?,
                    };
                    counts.add(part);
                    self.preview(
                        conn,
                        &params,
                        batch,
                        range.start,
                        differences,
                        &mut messages,
                    )?;
                    let wanted =
                        i64::try_from(differences.saturating_sub(found.len())).unwrap_or(i64::MAX);
                    if part.updated > 0 && wanted > 0 {
                        params.push((&wanted, Type::INT8));
                        for row in conn.query(WHAT, &self.statements.differences, &params)? {
                            found.push(self.difference(&row)?);
                        }
                    }
                    Ok(())
                },
                &mut refused,
            )?;
        }
        conn.run(WHAT, "COMMIT")?;
        let outcome = BatchOutcome {
            inserted: counts.inserted,
            updated: counts.updated,
            unchanged: counts.unchanged,
            superseded: counts.superseded,
            duplicates: batch.duplicates(),
            rejected: (batch.rejections().len() + refused.len()) as u64,
            messages,
            ..BatchOutcome::default()
        };
        Ok((outcome, found))
    }

    fn difference(&self, row: &tokio_postgres::Row) -> Result<Difference, StoreError> {
        let unreadable = |error| StoreError::from_driver("comparing rows", &error);
        let old: Vec<Option<String>> = row.try_get(1).map_err(unreadable)?;
        let new: Vec<Option<String>> = row.try_get(2).map_err(unreadable)?;
        Ok(Difference {
            key: text(row, 0)?.to_owned(),
            fields: self
                .columns
                .iter()
                .zip(old.into_iter().zip(new))
                .filter(|(_, (old, new))| old != new)
                .map(|(column, (old, new))| (column.clone(), old, new))
                .collect(),
        })
    }
}

/// Does `work` on a range of rows under a savepoint; where a row is at fault, halves the range until it is found.
fn isolate(
    conn: &mut Connection,
    range: Range<usize>,
    work: &mut impl FnMut(&mut Connection, Range<usize>) -> Result<(), StoreError>,
    refused: &mut Vec<(usize, StoreError)>,
) -> Result<(), StoreError> {
    const WHAT: &str = "isolating a row that was refused";
    // A stack of ranges in key order: deep recursion is not needed for what is a loop.
    let mut waiting = vec![range];
    while let Some(range) = waiting.pop() {
        conn.run(WHAT, "SAVEPOINT part")?;
        match work(conn, range.clone()) {
            Ok(()) => conn.run(WHAT, "RELEASE SAVEPOINT part")?,
            Err(error) if error.class() == Class::Data => {
                conn.run(WHAT, "ROLLBACK TO SAVEPOINT part; RELEASE SAVEPOINT part")?;
                if range.len() == 1 {
                    refused.push((range.start, error));
                } else {
                    let middle = range.start + range.len() / 2;
                    waiting.push(middle..range.end);
                    waiting.push(range.start..middle);
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The rejection of a row that PostgreSQL refused.
fn refusal(batch: &Batch, row: &Row, error: &StoreError) -> Rejection {
    let field = error.column().map(|column| {
        batch
            .columns()
            .mapped
            .iter()
            .find(|stored| stored.column == column)
            .map_or_else(|| column.to_owned(), |stored| stored.name.clone())
    });
    let key = batch.key(row);
    Rejection {
        key: key.to_owned(),
        record_id: Some(key.to_owned()),
        payload: batch.raw(row).to_owned(),
        reason: "database".to_owned(),
        message: error.to_string(),
        loggable: true,
        errors: field
            .map(|field| FieldError {
                field: Cow::Owned(field),
                expected: Cow::Borrowed("a value the column accepts"),
                problem: Cow::Owned(format!(
                    "refused by the database (SQLSTATE {})",
                    error.sqlstate().unwrap_or("unknown")
                )),
            })
            .into_iter()
            .collect(),
        rules: Vec::new(),
        explanation: None,
        requested_at: row.requested_at,
        sequence: row.sequence,
    }
}

/// PostgreSQL's text has no NUL.
pub(super) fn clean(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

fn errors_json(errors: &[FieldError]) -> String {
    let errors: Vec<_> = errors
        .iter()
        .map(|e| {
            serde_json::json!({
                "field": clean(&e.field), "expected": clean(&e.expected), "problem": clean(&e.problem)
            })
        })
        .collect();
    serde_json::Value::Array(errors).to_string()
}

/// Did this batch of this run commit, and with what outcome? Answers what a lost reply to COMMIT leaves open.
pub fn committed(
    conn: &mut Connection,
    db: &Database,
    run_id: Uuid,
    batch: u64,
) -> Result<Option<BatchOutcome>, StoreError> {
    committed_in(conn, &db.log_schema, run_id, batch)
}

fn committed_in(
    conn: &mut Connection,
    log_schema: &str,
    run_id: Uuid,
    batch: u64,
) -> Result<Option<BatchOutcome>, StoreError> {
    let sql = format!(
        "SELECT inserted, updated, unchanged, superseded, duplicates, rejected, resolved FROM {} \
         WHERE run_id = $1 AND batch = $2",
        quote_table(log_schema, "sync_batches")
    );
    let number = signed(batch);
    let rows = conn.query(
        "reading the batch log",
        &sql,
        &[(&run_id, Type::UUID), (&number, Type::INT8)],
    )?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    Ok(Some(BatchOutcome {
        inserted: count(row, 0)?,
        updated: count(row, 1)?,
        unchanged: count(row, 2)?,
        superseded: count(row, 3)?,
        duplicates: count(row, 4)?,
        rejected: count(row, 5)?,
        resolved: count(row, 6)?,
        ..BatchOutcome::default()
    }))
}

/// PostgreSQL has no unsigned integers; no count comes near the difference.
pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn single(rows: Vec<tokio_postgres::Row>) -> Result<tokio_postgres::Row, StoreError> {
    rows.into_iter().next().ok_or_else(|| {
        StoreError::new(
            Class::Fatal,
            "protocol",
            "the database answered without the row that was asked for",
        )
    })
}

pub(super) fn count(row: &tokio_postgres::Row, index: usize) -> Result<u64, StoreError> {
    row.try_get::<_, i64>(index)
        .map(i64::unsigned_abs)
        .map_err(|error| StoreError::from_driver("reading a count", &error))
}

pub(super) fn text(row: &tokio_postgres::Row, index: usize) -> Result<&str, StoreError> {
    row.try_get(index)
        .map_err(|error| StoreError::from_driver("reading a text", &error))
}
