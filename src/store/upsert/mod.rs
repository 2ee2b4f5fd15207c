//! The SQL of the write path: the upsert in its three forms, the comparison of a dry run, rejections and the batch log.
//!
//! One batch is one transaction. Everything that is counted was counted by PostgreSQL. The row of the batch log is inserted
//! last and proves the transaction: if it is there, the batch was committed, because an aborted transaction leaves no row.

mod compare;
mod contended;
mod explanations;
mod index_scan;
mod isolate;
mod located;
mod open_rejections;
mod outcome;
mod rejection_copy;
mod rejections;
mod rows;
mod skipped;
mod statements;
mod write_back;

use std::time::{Duration, Instant};

use tokio_postgres::types::Type;
use uuid::Uuid;

use super::LOOKUPS_ONLY;
use super::answer::{count, signed, single, text};
use super::batch::Batch;
use super::connect::{Connection, Param};
use super::encode::Micros;
use super::error::{Class, StoreError};
use super::outbox::{MessageBuilder, Outbox};
use super::schema::Layout;
use crate::config::plan::{Database, KeepPayload};
use crate::model::clock::DatabaseClock;
use explanations::Explanations;
use open_rejections::{IndexScan, OpenRejections};
use outcome::committed_in;
pub(super) use rejections::seen_again;
use statements::Statements;
pub(super) use statements::{DIGEST_OF_IDS, RejectionStatements};

pub use compare::Difference;
pub use explanations::Texts;
pub use outcome::{BatchOutcome, Refused, committed};
#[doc(hidden)] // for the tests of plans
pub use statements::{Listed, list as statements_of};

/// A batch that is already in the batch log violates the constraint of this name.
const BATCH_LOG_KEY: &str = "sync_batches_pkey";
const BEGINNING: &str = "beginning a batch";
const WRITING: &str = "writing rows";
/// On Citus a batch is compared with a list of the rows that were fetched for it. The list has no index, so without a hash
/// join each row of the batch would be compared with each row of the list.
const LISTS_ARE_HASHED: &str = "SET LOCAL enable_hashjoin = on;";

/// The planner settings for finding the rows of a batch.
fn lookups(distributed: bool) -> String {
    let lists = if distributed { LISTS_ARE_HASHED } else { "" };
    format!("{LOOKUPS_ONLY} {lists}")
}

/// Makes COMMIT wait for the disk even where the server is set not to, so that what was counted as committed survives a
/// crash. Other settings, such as waiting for replicas, stay as the operator chose.
const DURABLE: &str = "SELECT set_config('synchronous_commit', 'local', true) \
     WHERE current_setting('synchronous_commit') = 'off';";
/// Follows BEGIN on Citus: passes the settings of the transaction on to the workers.
const FOR_WORKERS: &str = "; SET LOCAL citus.propagate_set_commands = 'local'";

/// The forms of the upsert. None locks a row that does not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// COPY, the fastest way to insert. If one row exists already, the whole COPY fails.
    Copy,
    /// INSERT … ON CONFLICT DO NOTHING with all rows, the fastest if all are new. Otherwise `Differing` follows.
    AllNew,
    /// Compares first: only rows that are new or differ reach the INSERT, so the others use up no sequence value.
    Differing,
}

/// Writes batches of one run to one table, over one connection after another.
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
    /// True on Citus, which counts rows that DO NOTHING skipped as inserted: only [`Form::Differing`] counts correctly there.
    distributed: bool,
    /// When stored rows are scanned before anything is sent.
    pace: index_scan::Pace,
    /// COPY is tried after this many batches in a row had only new rows. The number grows each time COPY fails.
    copy_after: u32,
    /// How many batches in a row had only new rows.
    all_new: u32,
    /// When open rejections are read in one scan.
    rejection_pace: index_scan::Pace,
    /// The hash of the mapping and the rules, by which records are decided.
    config_hash: String,
    keep_payload: KeepPayload,
    explanations: Explanations,
    /// New rejections are added by COPY, until one fails.
    copies_rejections: bool,
    /// Where messages to the API are entered; none if write-back is off.
    outbox: Option<Outbox>,
    lock_timeout: Duration,
    /// True after a dead-lock: another session writes the same rows in a different order.
    contended: bool,
    /// True once a dry run has shown rows that would be inserted.
    sampled: bool,
    /// Functions of the table's triggers, as `schema.name`.
    functions: Vec<String>,
}

/// Rows that need individual treatment, by their places in the batch.
#[derive(Debug, Default)]
struct NotedRows {
    /// Rows for which a message to the API is entered.
    to_write_back: Vec<usize>,
    /// Rows that the table did not store although it reported no error.
    skipped: Vec<usize>,
    /// Rows that the database refused, with its errors.
    refused: Vec<(usize, StoreError)>,
}

impl Writer {
    /// A writer for one run. `clock` is PostgreSQL's, and stamps the rows.
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
            config_hash: String::new(),
            keep_payload: db.keep_payload,
            explanations: Explanations::default(),
            copies_rejections: !layout.distributed,
            outbox: None,
            lock_timeout: db.lock_timeout,
            contended: false,
            functions: layout.functions.clone(),
        }
    }

    /// Sets the hash of the mapping and the rules. Where it has changed, explanations are stored anew.
    pub fn set_config_hash(&mut self, hash: &str) {
        hash.clone_into(&mut self.config_hash);
    }

    /// Enters messages to the API for written rows, as the plan's `when` says. `message_builder` builds them.
    pub fn enable_write_back(&mut self, db: &Database, message_builder: MessageBuilder) {
        self.outbox = Some(Outbox::new(db, message_builder));
        // The outcome of each row has to be known, which only this form returns.
        self.form = Form::Differing;
    }

    fn now(&self) -> Micros {
        self.clock.now()
    }

    /// Writes a sealed batch in one transaction, with its rejections and its row of the batch log.
    ///
    /// Writing the same batch of the same run again changes nothing and returns the first outcome. After an error nothing of
    /// it is stored, unless the answer to COMMIT was lost: [`committed`] finds that out. After a refused COPY
    /// ([`StoreError::is_of_refused_copy`]) the caller has to write the batch again, over another connection.
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

    /// Like [`Self::write`], with the texts that are stored of rejections besides their reason.
    pub fn write_explained(
        &mut self,
        conn: &mut Connection,
        batch: &Batch,
        texts: Texts<'_>,
    ) -> Result<BatchOutcome, StoreError> {
        let started = Instant::now();
        let copied_rejections = self.copies_rejections;
        let mut outcome = self.write_once(conn, batch, false, texts);
        // A COPY of rejections has failed. No other is tried.
        if copied_rejections && !self.copies_rejections {
            if outcome.as_ref().is_err_and(StoreError::is_of_refused_copy) {
                // The caller tries another statement on another connection.
                return outcome;
            }
            conn.roll_back();
            outcome = self.write_once(conn, batch, false, texts);
        }
        if self.form == Form::Copy
            && let Err(error) = &outcome
            && copy_is_to_blame(error)
        {
            self.form = Form::AllNew;
            self.all_new = 0;
            self.copy_after = self.copy_after.saturating_mul(4);
            if error.is_of_refused_copy() {
                // The caller tries another statement on another connection.
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

    /// What begins the transaction of a batch: the mode that follows BEGIN, and the settings.
    fn settings(&self, bisect: bool) -> (&'static str, String) {
        let mut settings = format!("{} {DURABLE}", lookups(self.distributed));
        if bisect {
            // Deferred constraints would be reported at COMMIT, where it is unknown which row is at fault.
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
    fn begin_and_read_rejections(
        &mut self,
        conn: &mut Connection,
        batch: &Batch,
        bisect: bool,
    ) -> Result<OpenRejections, StoreError> {
        let scan = IndexScan::of(batch, &mut self.rejection_pace);
        let sql = &self.statements.rejections.scan;
        // Citus cannot lock individual rows.
        let locked = self.contended && !self.distributed;
        if locked {
            self.begin_with_locks(conn, batch, bisect)?;
        }
        let rows = match &scan {
            Some(scan) if locked => conn.query(BEGINNING, sql, &scan.params(&self.target))?,
            Some(scan) => {
                let (mode, settings) = self.settings(bisect);
                let params = scan.params(&self.target);
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
            scan.as_ref().map(|scan| (scan, &rows[..])),
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
            return Err(StoreError::bug("a batch was written before it was sealed"));
        }
        let open_rejections = self.begin_and_read_rejections(conn, batch, bisect)?;
        let mut noted = NotedRows::default();
        let mut ledger = self.write_rows(conn, batch, bisect, &mut noted)?;
        if let Some(outbox) = &self.outbox {
            let entered = (self.target.as_str(), self.run_id, self.now());
            outbox.enter(conn, batch, noted.to_write_back, entered)?;
        }
        let mut refused = self.located(conn, batch, noted.refused)?;
        let skipped = noted.skipped.into_iter();
        refused.extend(skipped.map(|index| (index, StoreError::skipped())));
        let rejections = Self::rejections_with(batch, &refused);
        let filing = self.filing(conn, batch, &rejections, &refused, &open_rejections)?;
        let resolved = self.file_explained(conn, &filing, texts)?;
        let rows = batch.rows();
        let all_new = !rows.is_empty() && ledger.inserted == rows.len() as u64;
        ledger.duplicates = batch.duplicates();
        ledger.rejected = rejections.len() as u64;
        let outcome = BatchOutcome {
            ledger,
            resolved,
            refused: refused
                .iter()
                .map(|(index, error)| Refused::new(batch.key(&rows[*index]), error))
                .collect(),
            ..BatchOutcome::default()
        };
        self.log_and_commit(conn, batch.number, &outcome)?;
        self.explanations.committed();
        self.learn(all_new);
        Ok(outcome)
    }

    /// Stores rejections with their additional texts. Returns how many earlier ones were resolved.
    fn file_explained(
        &mut self,
        conn: &mut Connection,
        filing: &rejections::Filing<'_>,
        texts: Texts<'_>,
    ) -> Result<u64, StoreError> {
        let mut explanations = std::mem::take(&mut self.explanations);
        explanations.begin();
        let resolved = self.file(conn, filing, &mut explanations, texts);
        self.explanations = explanations;
        if resolved.as_ref().is_err_and(copy_is_to_blame) {
            self.copies_rejections = false;
        }
        resolved
    }

    /// Inserts the row that proves the batch, and commits.
    fn log_and_commit(
        &self,
        conn: &mut Connection,
        number: u64,
        outcome: &BatchOutcome,
    ) -> Result<(), StoreError> {
        let (number, now, ledger) = (signed(number), self.now(), &outcome.ledger);
        let figures = [
            ledger.inserted,
            ledger.updated,
            ledger.unchanged,
            ledger.superseded,
            ledger.duplicates,
            ledger.rejected,
            outcome.resolved,
        ]
        .map(signed);
        let mut params: Vec<Param<'_>> = vec![(&self.run_id, Type::UUID), (&number, Type::INT8)];
        params.extend(figures.iter().map(|f| (f as _, Type::INT8)));
        params.push((&now, Type::TIMESTAMPTZ));
        conn.execute_and_commit("committing a batch", &self.statements.log, &params)
            .map(drop)
    }
}

/// True if another statement may take the same rows. A key exists already, a row is at fault, COPY does not suit this table
/// (a view, row-level security) or this session (a pooler that mixes up prepared statements).
fn copy_is_to_blame(error: &StoreError) -> bool {
    let by_its_form = error.is_of_refused_copy() && error.class() != Class::Transient;
    error.class() == Class::Data
        || error.may_be_of_a_row()
        || by_its_form
        || matches!(error.sqlstate(), Some("42P05" | "26000"))
}
