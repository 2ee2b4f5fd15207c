//! All SQL of the write path: the upsert in its three forms, the comparison of a dry run, rejections and the batch log.
//!
//! One batch is one transaction. Everything counted was counted by PostgreSQL, and the batch-log row, inserted last,
//! makes the transaction provable: when it is there, the batch is; an aborted transaction cannot insert it.

mod compare;
mod contended;
mod explanations;
mod index_scan;
mod isolate;
mod located;
mod outcome;
mod rejections;
mod skipped;
mod standing;
mod statements;
mod write_back;

use std::time::{Duration, Instant};

use tokio_postgres::types::Type;
use uuid::Uuid;

use super::LOOKUPS_ONLY;
use super::answer::{count, signed, single, text};
use super::batch::{Batch, ColumnArray, CopyConstant};
use super::connect::{Connection, Param};
use super::encode::Micros;
use super::error::{Class, StoreError};
use super::outbox::{MessageBuilder, Outbox};
use super::schema::Layout;
use crate::config::plan::{Database, KeepPayload};
use crate::model::clock::DatabaseClock;
use explanations::Explanations;
use isolate::isolate;
use outcome::committed_in;
pub(super) use rejections::seen_again;
use standing::{IndexScan, Standing};
use statements::Statements;
pub(super) use statements::{DIGEST_OF_IDS, RejectionStatements};

pub use compare::Difference;
pub use explanations::Texts;
pub use outcome::{BatchOutcome, Refused, committed};
#[doc(hidden)] // for the tests of plans
pub use statements::{Listed, list as statements_of};

/// A batch-log row that is already there carries this constraint's name.
const BATCH_LOG_KEY: &str = "sync_batches_pkey";
const BEGINNING: &str = "beginning a batch";
const WRITING: &str = "writing rows";
/// On Citus a batch is compared with a list of the rows that were fetched for it, which has no index: without a hash each row
/// of the one would be compared with each of the other.
const LISTS_ARE_HASHED: &str = "SET LOCAL enable_hashjoin = on;";

/// The settings by which the rows of a batch are found.
fn lookups(distributed: bool) -> String {
    let lists = if distributed { LISTS_ARE_HASHED } else { "" };
    format!("{LOOKUPS_ONLY} {lists}")
}

/// What was counted as committed survives a crash of the server, even one that is told not to wait for its disk; how far a
/// replica has to be is left to its operator.
const DURABLE: &str = "SELECT set_config('synchronous_commit', 'local', true) \
     WHERE current_setting('synchronous_commit') = 'off';";
/// Follows BEGIN on Citus: the settings of the transaction are for the workers as well.
const FOR_WORKERS: &str = "; SET LOCAL citus.propagate_set_commands = 'local'";

/// The forms of the upsert. None locks a row that stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// COPY, which is what PostgreSQL takes fastest. One row that is there already fails them all.
    Copy,
    /// All rows go to INSERT … ON CONFLICT DO NOTHING, fastest when all are new; if some were not, the other follows.
    AllNew,
    /// Looks first: only rows that are new or differ reach the INSERT, and others burn no sequence value.
    Differing,
}

/// Writes batches of one run to one table, over one connection after the other.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Writer {
    statements: Statements,
    columns: Vec<String>,
    target: String,
    log_schema: String,
    run_id: Uuid,
    clock: DatabaseClock,
    version_is_content: bool,
    form: Form,
    /// On Citus, which counts rows that DO NOTHING passed over as inserted: only [`Form::Differing`] counts right there.
    distributed: bool,
    /// When stored rows are looked at before anything is sent.
    pace: index_scan::Pace,
    /// COPY is tried when so many batches in a row held nothing but new rows. More each time it fails.
    copy_after: u32,
    /// Batches in a row that held nothing but new rows.
    all_new: u32,
    /// When open rejections are read in one walk.
    rejection_pace: index_scan::Pace,
    /// Names the mapping and the rules that records are judged by.
    judged_by: String,
    keep_payload: KeepPayload,
    explanations: Explanations,
    /// Where messages to the API are entered; none = write-back is off.
    outbox: Option<Outbox>,
    lock_timeout: Duration,
    /// Somebody else writes the same rows in another order: a dead-lock said so.
    contended: bool,
    /// A dry run has seen rows that would be inserted.
    sampled: bool,
    /// Functions of the table's triggers, as `schema.name`.
    functions: Vec<String>,
}

/// How rows were counted by one statement.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    inserted: u64,
    updated: u64,
    unchanged: u64,
    superseded: u64,
}

/// Rows that have to be looked at one by one, by their places in the batch.
#[derive(Debug, Default)]
struct NotedRows {
    /// The API is to be told of them.
    owed: Vec<usize>,
    /// The table did not store them, and reported no error.
    skipped: Vec<usize>,
}

impl Counts {
    const fn add(&mut self, other: Self) {
        self.inserted += other.inserted;
        self.updated += other.updated;
        self.unchanged += other.unchanged;
        self.superseded += other.superseded;
    }
}

impl Writer {
    /// `clock`: PostgreSQL's, which stamps the rows.
    pub fn new(db: &Database, layout: &Layout, run_id: Uuid, clock: DatabaseClock) -> Self {
        let statements = Statements::new(db, layout);
        let form = match &statements.copy {
            _ if !layout.empty || layout.distributed => Form::Differing,
            Some(_) => Form::Copy,
            None => Form::AllNew,
        };
        Self {
            statements,
            columns: layout.columns.iter().map(|c| c.name.clone()).collect(),
            target: layout.target.clone(),
            log_schema: db.log_schema.clone(),
            run_id,
            clock,
            version_is_content: layout.version_is_content,
            form,
            distributed: layout.distributed,
            pace: index_scan::Pace::default(),
            copy_after: 1,
            sampled: false,
            all_new: 0,
            rejection_pace: index_scan::Pace::default(),
            judged_by: String::new(),
            keep_payload: db.keep_payload,
            explanations: Explanations::default(),
            outbox: None,
            lock_timeout: db.lock_timeout,
            contended: false,
            functions: layout.functions.clone(),
        }
    }

    /// Names the mapping and the rules that records are judged by: where they have changed, explanations are stored anew.
    pub fn judged_by(&mut self, name: &str) {
        name.clone_into(&mut self.judged_by);
    }

    /// Has the API told of rows, as `owed` of the plan says, by the messages that `message_builder` makes.
    pub fn tell_api(&mut self, db: &Database, message_builder: MessageBuilder) {
        self.outbox = Some(Outbox::new(db, message_builder));
        // What became of each row has to be known: only the full statement tells.
        self.form = Form::Differing;
    }

    fn now(&self) -> Micros {
        self.clock.now()
    }

    /// Writes a sealed batch: one transaction with its rejections and its batch-log row.
    ///
    /// Writing the same batch of the same run again changes nothing and gives the first outcome. After an error nothing
    /// of it is stored, with one exception: when the answer to COMMIT was lost; [`committed`] tells. After a refused COPY
    /// ([`StoreError::is_of_refused_copy`]) the batch is to be written once more, over another connection.
    pub fn write(
        &mut self,
        conn: &mut Connection,
        batch: &Batch,
    ) -> Result<BatchOutcome, StoreError> {
        let texts = Texts {
            explain: &|_| None,
            payload: None,
        };
        self.write_explained(conn, batch, texts)
    }

    /// The same with what is stored of rejections beside their reason.
    pub fn write_explained(
        &mut self,
        conn: &mut Connection,
        batch: &Batch,
        texts: Texts<'_>,
    ) -> Result<BatchOutcome, StoreError> {
        let started = Instant::now();
        let mut outcome = self.write_once(conn, batch, false, texts);
        if self.form == Form::Copy
            && let Err(error) = &outcome
            && copy_is_to_blame(error)
        {
            self.form = Form::AllNew;
            self.all_new = 0;
            self.copy_after = self.copy_after.saturating_mul(4);
            if error.is_of_refused_copy() {
                // Another statement is tried on another connection.
                return outcome;
            }
            conn.roll_back();
            outcome = self.write_once(conn, batch, false, texts);
        }
        let mut outcome = outcome.or_else(|error| match error.class() {
            Class::Data if error.constraint() != Some(BATCH_LOG_KEY) => {
                conn.roll_back();
                self.write_once(conn, batch, true, texts)
            }
            _ if error.may_be_of_a_row() => {
                conn.roll_back();
                self.write_once(conn, batch, true, texts)
            }
            _ => Err(error),
        });
        if let Err(error) = &outcome {
            self.contended |= error.is_deadlock();
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

    /// What begins the transaction of a batch: what follows BEGIN, and the settings.
    fn settings(&self, bisect: bool) -> (&'static str, String) {
        let mut settings = format!("{} {DURABLE}", lookups(self.distributed));
        if bisect {
            // What is deferred would be reported at COMMIT, where no row can be told from another.
            settings += " SET CONSTRAINTS ALL IMMEDIATE;";
        }
        let mode = if self.distributed { FOR_WORKERS } else { "" };
        (mode, settings)
    }

    fn begin(&self, conn: &mut Connection, bisect: bool) -> Result<(), StoreError> {
        let (mode, settings) = self.settings(bisect);
        conn.begin(BEGINNING, mode, &settings)
    }

    /// Begins the transaction of a batch, and finds the open rejections of its keys.
    fn begin_and_look(
        &mut self,
        conn: &mut Connection,
        batch: &Batch,
        bisect: bool,
    ) -> Result<Standing, StoreError> {
        let walk = IndexScan::of(batch, &mut self.rejection_pace);
        let sql = &self.statements.rejections.walk;
        // On Citus no row can be locked alone.
        let locked = self.contended && !self.distributed;
        if locked {
            self.begin_with_locks(conn, batch, bisect)?;
        }
        let rows = match &walk {
            Some(walk) if locked => conn.query(BEGINNING, sql, &walk.params(&self.target))?,
            Some(walk) => {
                let (mode, settings) = self.settings(bisect);
                let params = walk.params(&self.target);
                conn.begin_and_query(BEGINNING, (mode, &settings), (sql, &params))?
            }
            None => {
                if !locked {
                    self.begin(conn, bisect)?;
                }
                Vec::new()
            }
        };
        IndexScan::complete(
            walk.as_ref().map(|walk| (walk, &rows[..])),
            conn,
            &self.statements.rejections,
            &self.target,
            batch,
            &mut self.rejection_pace,
        )
    }

    fn write_once(
        &mut self,
        conn: &mut Connection,
        batch: &Batch,
        bisect: bool,
        texts: Texts<'_>,
    ) -> Result<BatchOutcome, StoreError> {
        if !batch.is_sealed() {
            return Err(StoreError::new(
                Class::Fatal,
                "internal",
                "a batch was written before it was sealed: this is a bug",
            ));
        }
        let standing = self.begin_and_look(conn, batch, bisect)?;
        let rows: Vec<u32> = (0..).take(batch.rows().len()).collect();
        let mut refused = Vec::new();
        let mut noted = NotedRows::default();
        let counts = if rows.is_empty() {
            Counts::default()
        } else if bisect {
            let mut counts = Counts::default();
            self.try_without_rows(conn, batch)?;
            isolate(
                conn,
                0..rows.len(),
                &mut |conn, range| {
                    counts.add(self.upsert(conn, batch, &rows[range], &mut noted)?);
                    Ok(())
                },
                &mut refused,
            )?;
            counts
        } else if self.form == Form::Differing && self.outbox.is_none() {
            let left = self.unproven(conn, batch)?;
            let mut counts = Counts {
                unchanged: (rows.len() - left.len()) as u64,
                ..Counts::default()
            };
            if !left.is_empty() {
                counts.add(self.upsert(conn, batch, &left, &mut noted)?);
            }
            counts
        } else {
            self.upsert(conn, batch, &rows, &mut noted)?
        };
        if let Some(outbox) = &self.outbox {
            outbox.enter(
                conn,
                batch,
                noted.owed,
                (&self.target, self.run_id, self.now()),
            )?;
        }
        let mut refused = self.located(conn, batch, refused)?;
        let skipped = noted.skipped.into_iter();
        refused.extend(skipped.map(|index| (index, StoreError::skipped())));
        let rejections = Self::rejections_with(batch, &refused);
        let filing = self.filing(conn, batch, &rejections, &refused, &standing)?;
        let mut explanations = std::mem::take(&mut self.explanations);
        explanations.begin();
        let resolved = self.file(conn, &filing, &mut explanations, texts);
        self.explanations = explanations;
        let resolved = resolved?;
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
                    reason: rejections::reason(error),
                    sqlstate: error.sqlstate().map(str::to_owned),
                    constraint: error.constraint().map(str::to_owned),
                    column: error.column().map(str::to_owned),
                    function: error.function().map(str::to_owned),
                })
                .collect(),
            messages: Vec::new(),
            new_rows: Vec::new(),
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
        self.explanations.committed();
        self.learn(!rows.is_empty() && counts.inserted == rows.len() as u64);
        Ok(outcome)
    }

    /// Picks the form for the next batch by what became of one that was committed.
    fn learn(&mut self, all_new: bool) {
        self.all_new = if all_new {
            self.all_new.saturating_add(1)
        } else {
            0
        };
        self.form = if self.all_new == 0 || self.distributed || self.outbox.is_some() {
            Form::Differing
        } else if self.statements.copy.is_some() && self.all_new >= self.copy_after {
            Form::Copy
        } else {
            Form::AllNew
        };
    }

    /// Writes no row at all: an error that is raised even so is the table's.
    fn try_without_rows(&self, conn: &mut Connection, batch: &Batch) -> Result<(), StoreError> {
        let arrays = self.arrays(batch, &[]);
        let now = self.now();
        let params = self.params(&arrays, &now);
        conn.query(WRITING, &self.statements.differing, &params)
            .map(drop)
            .map_err(StoreError::of_the_table)
    }

    /// The parameters of the statements that write.
    fn params<'a>(&'a self, arrays: &'a [ColumnArray<'_>], now: &'a Micros) -> Vec<Param<'a>> {
        let mut params: Vec<Param<'_>> = arrays.iter().map(|a| (a as _, a.ty())).collect();
        params.push((&self.run_id, Type::UUID));
        params.push((now, Type::TIMESTAMPTZ));
        params
    }

    /// Writes some rows, picked by their places in the batch, and has them counted. `noted` gains the places of those
    /// the API is to be told of, and of those that were skipped.
    fn upsert(
        &self,
        conn: &mut Connection,
        batch: &Batch,
        picks: &[u32],
        noted: &mut NotedRows,
    ) -> Result<Counts, StoreError> {
        let arrays = self.arrays(batch, picks);
        let now = self.now();
        let params = self.params(&arrays, &now);
        let total = picks.len() as u64;
        if let Some(outbox) = &self.outbox {
            return self.upsert_and_enqueue(conn, outbox, &params, batch, picks, noted);
        }
        let found = match (self.form, &self.statements.copy) {
            (Form::Copy, Some(copy)) => {
                let written_by = CopyConstant::new(self.run_id, now);
                conn.copy(WRITING, copy, batch.copy(&written_by))?
            }
            (Form::Copy | Form::AllNew, _) => {
                conn.execute(WRITING, &self.statements.all_new, &params)?
            }
            (Form::Differing, _) => 0,
        };
        let mut counts = Counts {
            inserted: found,
            ..Counts::default()
        };
        if found == total {
            return Ok(counts);
        }
        let row = single(conn.query(WRITING, &self.statements.differing, &params)?)?;
        let mut rest = Counts {
            inserted: count(&row, 0)?,
            updated: count(&row, 1)?,
            unchanged: total.saturating_sub(found + count(&row, 3)?),
            superseded: count(&row, 2)?,
        };
        // The statement before has inserted some of these rows already. A trigger may have changed them since, so that they
        // differ from what was sent and are written once more: each of them counts once, as inserted.
        let counted = rest.inserted + rest.updated + rest.unchanged + rest.superseded;
        rest.updated -= (found + counted)
            .saturating_sub(total)
            .min(found)
            .min(rest.updated);
        counts.add(rest);
        self.complete(conn, batch, picks, &mut counts, noted)?;
        Ok(counts)
    }

    /// Rows that were reported neither as written nor as left alone: a trigger skipped them, or somebody else wrote them between
    /// the look and the write.
    fn complete(
        &self,
        conn: &mut Connection,
        batch: &Batch,
        picks: &[u32],
        counts: &mut Counts,
        noted: &mut NotedRows,
    ) -> Result<(), StoreError> {
        let total = picks.len() as u64;
        let counted = counts.inserted + counts.updated + counts.unchanged + counts.superseded;
        if counted < total {
            // The guard held some back: those that are older than what is stored now, and those that equal it.
            let key = batch.columns().key;
            let version = batch.columns().width() - 1;
            let key = batch.column(key, picks);
            let version = batch.column(version, picks);
            let row = single(conn.query(
                WRITING,
                &self.statements.superseded,
                &[(&key, key.ty()), (&version, version.ty())],
            )?)?;
            let written = counts.inserted + counts.updated;
            counts.superseded = count(&row, 0)?.min(total - written);
            let skipped = self.skipped(conn, batch, picks, total - counted)?;
            let kept = total - written - counts.superseded;
            counts.unchanged = kept.saturating_sub(skipped.len() as u64);
            noted.skipped.extend(skipped);
        } else if counted > total {
            return Err(StoreError::new(
                Class::Fatal,
                "internal",
                format!("{total} rows were sent and {counted} were reported: this is a bug"),
            ));
        }
        Ok(())
    }

    fn arrays<'a>(&self, batch: &'a Batch, picks: &'a [u32]) -> Vec<ColumnArray<'a>> {
        (0..self.columns.len())
            .map(|column| batch.column(column, picks))
            .collect()
    }
}

/// May the same rows pass by another statement? A key is there already, a row is at fault, or COPY is not for this table
/// (a view, row-level security) or this session (a pooler that mixes up prepared statements).
fn copy_is_to_blame(error: &StoreError) -> bool {
    let by_its_form = error.is_of_refused_copy() && error.class() != Class::Transient;
    error.class() == Class::Data
        || error.may_be_of_a_row()
        || by_its_form
        || matches!(error.sqlstate(), Some("42P05" | "26000"))
}
