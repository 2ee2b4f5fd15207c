//! One run, from the first look at the database to the report: what `sync` and `retry` have in common.
//!
//! It composes the stages, keeps the order of things (lease, log row, replay, fetch, ledger, case) and turns what
//! happened into a status and an exit code. It moves no record itself: [`crate::pipeline`] does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::api::{Pages, Want};
use crate::config::plan::{Api, Database, Plan};
use crate::decision::Decision;
use crate::exit::{Busy, Exit, Misconfigured};
use crate::histogram::Histogram;
use crate::incident;
use crate::pipeline::{self, Feed, Flow, Keep, Limits, Rules, Sheet, Target, Task};
use crate::progress::Progress;
use crate::report::{Percentiles, Report, Seconds, Status, Watermark};
use crate::signals::Signals;
use crate::spool::{Entry, Opened, Spool, Waiting};
use crate::store::lease::{self, Asked, Heartbeat};
use crate::store::{self, Class, Columns, Connection, Layout, StoreError};
use crate::transform::Transform;

/// Differences that a dry run shows.
const SHOWN_DIFFERENCES: usize = 20;
/// How often `--wait` asks for the lease again.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// Stored rejections that are read and judged together.
const REJECTIONS_AT_ONCE: u64 = 5_000;

/// What was asked for on the command line.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request {
    pub dry_run: bool,
    /// In records.
    pub limit: Option<u64>,
    pub deadline: Option<Duration>,
    /// Wait so long for another run to finish.
    pub wait: Option<Duration>,
    /// Only replay what earlier runs left behind.
    pub replay_only: bool,
    /// Decide the stored rejections again, by today's mapping and rules.
    pub rejected: bool,
    /// `retry` is at work: it closes the cases itself.
    pub retrying: bool,
}

/// Runs the whole chain: replay → fetch → transform → decide → write → report.
///
/// # Errors
/// Only what ends a run before it has begun (configuration, tables that do not fit, another run at work) or a bug.
/// Everything that happens later is in the report.
pub fn sync(
    plan: &Plan,
    request: &Request,
    signals: &Signals,
    progress: Progress,
) -> Result<(Report, Exit)> {
    let mut run = Run::prepare(plan, request, signals)?;
    let outcome = run.go(&progress);
    progress.finish();
    let flow = match outcome {
        Ok(flow) => flow,
        Err(error) if error.is::<Busy>() => return Err(error),
        Err(error) => {
            run.fail(
                crate::exit::of(&error),
                "internal:error",
                &format!("{error:#}"),
            );
            Flow::default()
        }
    };
    Ok(run.finish(flow))
}

/// Everything a run holds on to.
struct Run<'a> {
    plan: &'a Plan,
    api: &'a Api,
    database: &'a Database,
    request: &'a Request,
    signals: &'a Signals,
    run_id: uuid::Uuid,
    started: Instant,
    /// Local clock, microseconds since 1970-01-01T00:00:00Z.
    started_at: i64,
    deadline: Option<Instant>,
    transform: Transform,
    decision: Decision,
    columns: Arc<Columns>,
    spool: Spool,
    pages: Pages,
    /// For the run's own statements (log, lease, cases); writers have theirs. None while the database is away.
    connection: Option<Connection>,
    layout: Option<Layout>,
    clock_offset: i64,
    heartbeat: Option<Heartbeat>,
    /// Records accounted for, as other runs see them in the lease.
    accounted: Arc<AtomicU64>,
    fetched_at_all: bool,
    replayed: u64,
    next_batch: u64,
    exit: Exit,
    /// What went wrong, worst first in the end: exit, `stage:class`, sentence.
    failures: Vec<(Exit, String, String)>,
    /// The database needs a person: nothing is fetched.
    fatal: bool,
}

impl<'a> Run<'a> {
    /// Everything that can be wrong before anything is touched.
    fn prepare(plan: &'a Plan, request: &'a Request, signals: &'a Signals) -> Result<Self> {
        let started = Instant::now();
        let run_id = uuid::Uuid::now_v7();
        crate::logging::set_run_id(&run_id.to_string());
        for warning in &plan.warnings {
            log::info!("{warning}");
        }
        let (api, database) = (plan.api()?, plan.database()?);
        let transform =
            Transform::new(&plan.mapping).map_err(|error| Misconfigured(format!("{error:#}")))?;
        let decision = crate::commands::load_decision(plan, &transform)?;
        let columns = Columns::new(&plan.mapping).ok_or_else(|| {
            Misconfigured("the conflict key is mapped with `column: false`".to_owned())
        })?;
        let spool = Spool::open(&plan.state_dir, plan.spool_max_bytes).map_err(|error| {
            Misconfigured(format!("{error}; name another folder with --state-dir"))
        })?;
        let deadline = request.deadline.map(|limit| started + limit);
        let want = Want {
            since: None,
            limit: request.limit,
            deadline,
        };
        let mut run = Self {
            plan,
            api,
            database,
            request,
            signals,
            run_id,
            started,
            started_at: jiff::Timestamp::now().as_microsecond(),
            deadline,
            transform,
            decision,
            columns: Arc::new(columns),
            spool,
            pages: Pages::new(api, want)?,
            connection: None,
            layout: None,
            clock_offset: 0,
            heartbeat: None,
            accounted: Arc::default(),
            fetched_at_all: false,
            replayed: 0,
            next_batch: 0,
            exit: Exit::Success,
            failures: Vec::new(),
            fatal: false,
        };
        run.connect()?;
        Ok(run)
    }

    /// Looks at the database once. That it is away is not an error here; that its tables do not fit is.
    fn connect(&mut self) -> Result<()> {
        let opened = Connection::open(self.database, self.database.connection_timeout).and_then(
            |mut connection| {
                let offset = store::log::clock_offset(&mut connection)?;
                Ok((connection, offset))
            },
        );
        let (mut connection, offset) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                self.fatal = error.class() == Class::Fatal;
                self.store_failed(&error);
                return Ok(());
            }
        };
        match store::inspect(&mut connection, self.database, &self.plan.mapping) {
            Ok(layout) => {
                for (index, field) in self.plan.mapping.fields.iter().enumerate() {
                    let width = field
                        .column
                        .as_deref()
                        .and_then(|column| layout.max_characters(column));
                    if let Some(characters) = width {
                        self.transform.limit_length(index, characters)?;
                    }
                }
                self.layout = Some(layout);
                self.clock_offset = offset;
                self.connection = Some(connection);
                Ok(())
            }
            Err(store::SchemaError::Store(error)) => {
                self.fatal = error.class() == Class::Fatal;
                self.store_failed(&error);
                Ok(())
            }
            Err(problems @ store::SchemaError::Mismatch(_)) => {
                Err(Misconfigured(problems.to_string()).into())
            }
        }
    }

    fn fail(&mut self, exit: Exit, fingerprint: &str, sentence: &str) {
        self.exit = self.exit.worse(exit);
        self.failures
            .push((exit, fingerprint.to_owned(), sentence.to_owned()));
    }

    fn store_failed(&mut self, error: &StoreError) {
        self.fail(
            Exit::Database,
            &format!("database:{}", error.kind()),
            &error.to_string(),
        );
    }

    /// The run itself.
    fn go(&mut self, progress: &Progress) -> Result<Flow> {
        if !self.request.dry_run {
            self.take_lease()?;
            self.start_log();
            self.move_shelved();
        }
        if let Some(reason) = self.why_not_fetch()? {
            log::error!("{reason}");
            return Ok(Flow::default());
        }
        if !self.request.dry_run {
            self.replay(progress)?;
            if self.exit != Exit::Success && self.connection.is_none() {
                return Ok(Flow::default());
            }
        }
        let mut flow = Flow::default();
        if self.request.rejected && self.connection.is_some() {
            flow = self.decide_again(progress)?;
        }
        if self.request.replay_only {
            return Ok(flow);
        }
        self.fetched_at_all = true;
        let feed = Feed::Api {
            api: self.api,
            pages: &self.pages,
            threads: self.api.pagination.concurrency,
            clock_offset: self.clock_offset,
        };
        let mut next_batch = self.next_batch;
        let keep = if self.request.dry_run {
            None
        } else {
            Some(Keep {
                spool: &mut self.spool,
                config_hash: &self.plan.config_hash,
            })
        };
        let task = if self.request.dry_run {
            Task::Compare {
                differences: SHOWN_DIFFERENCES,
            }
        } else {
            Task::Write
        };
        let target = Target {
            database: self.database,
            layout: self.layout.as_ref(),
            run_id: self.run_id,
            clock_offset: self.clock_offset,
            task,
        };
        let rules = Rules {
            transform: &self.transform,
            decision: &self.decision,
        };
        let mut limits = limits(self.plan, self.database, self.deadline, self.signals);
        limits.records = self.request.limit;
        let shown = pipeline::Shown {
            progress,
            accounted: &self.accounted,
        };
        let fetched = pipeline::run(
            feed,
            rules,
            &self.columns,
            &target,
            &limits,
            keep,
            &mut next_batch,
            &shown,
        );
        self.next_batch = next_batch;
        flow.absorb(fetched?);
        Ok(flow)
    }

    /// Judges the stored rejections again. What passes is written, under the freshness guard, and settles its
    /// rejection; the rest stays, with its new reason.
    fn decide_again(&mut self, progress: &Progress) -> Result<Flow> {
        let mut flow = Flow::default();
        let mut after = String::new();
        while let Some(connection) = self.connection.as_mut() {
            let open = match store::rejections::open(
                connection,
                self.database,
                &after,
                REJECTIONS_AT_ONCE,
            ) {
                Ok(open) => open,
                Err(error) => {
                    flow.store_error = Some(error);
                    break;
                }
            };
            let Some(last) = open.last() else { break };
            after.clone_from(&last.key);
            let entries: Vec<Entry> = open
                .into_iter()
                .map(|rejection| Entry {
                    requested_at: rejection.last_seen,
                    raw: rejection.payload,
                })
                .collect();
            let part = self.write_sheets(sheets(&entries), progress)?;
            let failed = part.store_error.is_some() || part.ledger.spooled > 0;
            flow.absorb(part);
            // What was not written is still a stored rejection: nothing of it is in the spool.
            flow.let_go += std::mem::take(&mut flow.ledger.spooled);
            if failed || self.signals.asked().is_some() {
                break;
            }
        }
        flow.ledger.fetched -= flow.let_go.min(flow.ledger.fetched);
        flow.let_go = 0;
        Ok(flow)
    }

    /// Runs records that are at hand through the flow.
    fn write_sheets(&mut self, sheets: Vec<Sheet>, progress: &Progress) -> Result<Flow> {
        let target = Target {
            database: self.database,
            layout: self.layout.as_ref(),
            run_id: self.run_id,
            clock_offset: self.clock_offset,
            task: Task::Write,
        };
        let rules = Rules {
            transform: &self.transform,
            decision: &self.decision,
        };
        let limits = limits(self.plan, self.database, self.deadline, self.signals);
        let shown = pipeline::Shown {
            progress,
            accounted: &self.accounted,
        };
        let mut next_batch = self.next_batch;
        let flow = pipeline::run(
            Feed::Sheets(sheets),
            rules,
            &self.columns,
            &target,
            &limits,
            None,
            &mut next_batch,
            &shown,
        );
        self.next_batch = next_batch;
        flow
    }

    /// With the database away nothing is fetched when a person is needed, or when earlier records wait already.
    fn why_not_fetch(&self) -> Result<Option<String>> {
        if self.connection.is_some() || self.request.dry_run {
            return Ok(None);
        }
        if self.fatal {
            return Ok(Some(
                "nothing was fetched: the database needs a person first".to_owned(),
            ));
        }
        let waiting = self.spool.files()?.len();
        Ok((waiting > 0).then(|| {
            format!("nothing was fetched: {waiting} batches of earlier runs wait in the spool until the database is back")
        }))
    }

    fn take_lease(&mut self) -> Result<()> {
        let target = store::log::target(self.database);
        let who = incident::who();
        let until = self.request.wait.map(|wait| Instant::now() + wait);
        loop {
            let Some(connection) = self.connection.as_mut() else {
                return Ok(());
            };
            match lease::acquire(connection, self.database, &target, self.run_id, &who) {
                Ok(Asked::Granted { took_over }) => {
                    if let Some(before) = took_over {
                        log::warn!(
                            "run {before} ended without giving its lease back; this one takes over"
                        );
                    }
                    // Whoever holds the lease knows that no other run of this target is alive.
                    if let Err(error) =
                        store::log::abandon(connection, self.database, None, self.run_id)
                    {
                        log::warn!("{error}");
                    }
                    break;
                }
                Ok(Asked::Held(holder)) => {
                    let patient = until.is_some_and(|until| Instant::now() < until);
                    if !patient || self.signals.asked().is_some() {
                        return Err(Busy {
                            target,
                            who: holder.who,
                            host: holder.host,
                            since: holder.since,
                            progress: u64::try_from(holder.progress).unwrap_or_default(),
                        }
                        .into());
                    }
                    std::thread::sleep(ASK_AGAIN);
                }
                Err(error) => {
                    self.fatal = error.class() == Class::Fatal;
                    self.store_failed(&error);
                    self.connection = None;
                    return Ok(());
                }
            }
        }
        let heartbeat = Heartbeat::start(
            self.database,
            &target,
            self.run_id,
            Arc::clone(&self.accounted),
        )
        .context("cannot start the heartbeat of the lease")?;
        self.heartbeat = Some(heartbeat);
        Ok(())
    }

    fn start_log(&mut self) {
        let header = run_header(
            self.run_id,
            self.plan,
            self.mode(),
            self.started_at,
            self.clock_offset,
        );
        let Some(connection) = self.connection.as_mut() else {
            return;
        };
        if let Err(error) = store::log::start(connection, self.database, &header) {
            self.store_failed(&error);
            self.connection = None;
        }
    }

    const fn mode(&self) -> &'static str {
        if self.request.retrying {
            "retry"
        } else {
            "full"
        }
    }

    /// Brings home what was kept on disk while the database was away: log rows and cases.
    fn move_shelved(&mut self) {
        let Some(connection) = self.connection.as_mut() else {
            return;
        };
        if let Err(error) = incident::move_shelved(connection, self.plan) {
            log::warn!(
                "what was noted while the database was away stays on disk for now: {error:#}"
            );
        }
    }

    /// Writes what earlier runs left in the spool, oldest first. A file goes only when all of it is committed.
    fn replay(&mut self, progress: &Progress) -> Result<()> {
        for path in self.spool.files()? {
            if self.signals.asked().is_some() {
                break;
            }
            match self.spool.open_file(&path)? {
                Opened::Ready(waiting) => {
                    if !self.replay_file(waiting, progress)? {
                        break;
                    }
                }
                Opened::Taken => {}
                Opened::Quarantined(aside, reason) => {
                    let sentence = format!(
                        "a spool file was damaged ({reason}) and moved to {}; its records are not lost: run `datasync sync --full`, then remove the file",
                        aside.display()
                    );
                    log::error!("{sentence}");
                    self.fail(Exit::Internal, "spool:damaged", &sentence);
                }
            }
        }
        Ok(())
    }

    /// Replays one file; false when the database did not take all of it.
    fn replay_file(&mut self, waiting: Waiting, progress: &Progress) -> Result<bool> {
        let flow = self.write_sheets(sheets(&waiting.entries), progress)?;
        if let Some(error) = &flow.store_error {
            self.store_failed(error);
            self.connection = None;
        }
        if flow.ledger.spooled > 0 || !flow.ledger.balances() {
            return Ok(false);
        }
        self.replayed += flow.ledger.fetched;
        self.spool.remove(waiting)?;
        Ok(true)
    }

    /// Turns what happened into a status, an exit code, a log row and a case.
    fn finish(mut self, flow: Flow) -> (Report, Exit) {
        self.judge(&flow);
        let status = self.status(&flow);
        let mut report = self.report(&flow, status);
        drop(self.heartbeat.take());
        if !self.request.dry_run {
            self.close_books(&flow, &mut report);
        }
        report.exit_code = self.exit.code();
        report.seconds.total = self.started.elapsed().as_secs_f64();
        (report, self.exit)
    }

    /// Collects every failure of the flow; the ledger comes first.
    fn judge(&mut self, flow: &Flow) {
        let ledger = &flow.ledger;
        if !ledger.balances() {
            let sentence = format!(
                "the ledger does not balance: {} records fetched, {} accounted for; please report this",
                ledger.fetched,
                ledger.accounted()
            );
            self.fail(Exit::Internal, "internal:ledger", &sentence);
        }
        if let Some(error) = &flow.spool_error {
            self.fail(Exit::State, "state:spool", &error.to_string());
        }
        if let Some(error) = &flow.store_error {
            self.store_failed(error);
        } else if flow.batches_refused > 0
            && self.exit == Exit::Success
            && self.signals.asked().is_none()
        {
            let sentence = if self
                .deadline
                .is_some_and(|deadline| Instant::now() >= deadline)
            {
                "the deadline came before everything was written"
            } else {
                "the database did not take everything"
            };
            self.fail(Exit::Database, "database:unwritten", sentence);
        }
        if let Some(error) = flow
            .api_error
            .as_ref()
            .filter(|error| error.kind() != "stopped")
        {
            self.fail(
                Exit::Api,
                &format!("api:{}", error.kind()),
                &error.to_string(),
            );
        }
        let alerts = &self.plan.alerts;
        for (name, count, limit) in [
            ("rejection_rate", ledger.rejected, alerts.rejection_rate),
            (
                "sync_failure_rate",
                ledger.spooled,
                alerts.sync_failure_rate,
            ),
        ] {
            let share = share(count, ledger.fetched);
            if share > limit {
                let sentence = format!(
                    "{name}: {:.1} % is more than {:.1} %",
                    100.0 * share,
                    100.0 * limit
                );
                self.fail(Exit::Threshold, &format!("threshold:{name}"), &sentence);
            }
        }
        if let Some(asked) = self.signals.asked() {
            self.exit = self.exit.worse(asked);
        }
        self.failures.sort_by_key(|(exit, ..)| exit.rank());
    }

    fn status(&self, flow: &Flow) -> Status {
        if self.request.dry_run {
            return Status::DryRun;
        }
        let ledger = &flow.ledger;
        let ended_early = flow.api_error.is_some()
            || flow.let_go > 0
            || self.signals.asked().is_some()
            || (!self.fetched_at_all && !self.request.replay_only);
        let whole = !ended_early
            && ledger.spooled == 0
            && matches!(self.exit, Exit::Success | Exit::Threshold);
        if whole {
            Status::Success
        } else if ledger.accounted() > 0 || self.replayed > 0 {
            Status::Partial
        } else {
            Status::Failed
        }
    }

    fn report(&self, flow: &Flow, status: Status) -> Report {
        let stats = self.pages.stats();
        let ledger = flow.ledger;
        let total = self.started.elapsed().as_secs_f64();
        let mut errors_by_type: BTreeMap<String, u64> = stats
            .retries_by_kind
            .iter()
            .map(|(kind, count)| (format!("api:{kind}"), *count))
            .collect();
        for (_, fingerprint, _) in &self.failures {
            *errors_by_type.entry(fingerprint.clone()).or_default() += 1;
        }
        let mut alerts: Vec<String> = self
            .failures
            .iter()
            .filter(|(exit, ..)| *exit == Exit::Threshold)
            .map(|(_, _, sentence)| sentence.clone())
            .collect();
        let limit = self.plan.alerts.api_response_time.as_secs_f64();
        if stats.response_seconds.max() > limit {
            alerts.push(format!(
                "api_response_time: the slowest answer took {:.1} s, more than {limit:.1} s",
                stats.response_seconds.max()
            ));
        }
        if self.plan.alerts.pool_exhaustion && flow.pool_exhausted {
            alerts.push(format!(
                "pool_exhaustion: all {} connections were busy while batches waited",
                flow.writers
            ));
        }
        let mut problems: Vec<String> = Vec::new();
        for (exit, _, sentence) in &self.failures {
            if *exit != Exit::Threshold && !problems.contains(sentence) {
                problems.push(sentence.clone());
            }
        }
        if self.request.dry_run && self.layout.is_none() {
            problems.push(
                "nothing could be compared: records that would be written count as spooled"
                    .to_owned(),
            );
        }
        problems.extend(stats.warnings.iter().cloned());
        if let Some((announced, received)) = stats.mismatch() {
            problems.push(format!(
                "the API announced {announced} records and sent {received}"
            ));
        }
        if flow.let_go > 0 {
            problems.push(format!(
                "{} records could not be kept; the next run fetches them again",
                flow.let_go
            ));
        }
        Report {
            run_id: self.run_id.to_string(),
            status,
            mode: "full",
            ledger,
            flagged: flow.flagged,
            replayed: self.replayed,
            pages: stats.pages,
            api_retries: stats.retries,
            db_retries: flow.db_retries,
            rejections_by_reason: flow.rejections_by_reason.clone(),
            errors_by_type,
            success_rate: 1.0 - share(ledger.rejected + ledger.spooled, ledger.fetched),
            seconds_per_record: if ledger.fetched == 0 {
                0.0
            } else {
                total / ledger.fetched as f64
            },
            case_id: None,
            exit_code: self.exit.code(),
            seconds: Seconds {
                total,
                fetch: stats.response_seconds.sum(),
                transform: flow.transform_seconds,
                decide: flow.decide_seconds,
                write: flow.write_seconds,
            },
            api_response_seconds: percentiles(&stats.response_seconds),
            db_query_seconds: percentiles(&flow.db_seconds),
            watermark: Watermark::default(),
            alerts,
            differences: flow.differences.clone(),
            problems,
        }
    }

    fn run_end(&self, report: &Report) -> store::RunEnd {
        store::RunEnd {
            status: report.status.as_str().to_uppercase(),
            ledger: report.ledger,
            replayed: report.replayed,
            flagged: report.flagged,
            pages: report.pages,
            complete: report.status == Status::Success
                && self.fetched_at_all
                && self.request.limit.is_none(),
            completed_at: jiff::Timestamp::now().as_microsecond() + self.clock_offset,
            error_message: (!report.problems.is_empty()).then(|| report.problems.join("; ")),
            watermark_after: None,
            exit_code: i32::from(self.exit.code()),
            case_id: report.case_id.clone(),
        }
    }

    /// Log row, case, lease: in the database, or on disk while it is away.
    fn close_books(&mut self, flow: &Flow, report: &mut Report) {
        let books = incident::Books {
            plan: self.plan,
            run_id: &self.run_id.to_string(),
            failures: &self.failures,
            exit: self.exit,
            retrying: self.request.retrying,
            samples: &flow.samples,
            ledger: &flow.ledger,
            spool_files: self.spool.files().map_or(0, |files| files.len() as u64),
        };
        if self.connection.as_ref().is_none_or(Connection::is_dead) && !self.fatal {
            // The run's own connection may have died with the writers'; the last word is worth another try.
            self.connection =
                Connection::open(self.database, self.database.connection_timeout).ok();
        }
        match incident::keep_case(&books, self.connection.as_mut()) {
            Ok(case_id) => report.case_id = case_id,
            Err(error) => {
                log::error!("the case could not be kept: {error:#}");
                self.exit = self.exit.worse(Exit::State);
                report
                    .problems
                    .push(format!("the case could not be kept: {error:#}"));
            }
        }
        report.exit_code = self.exit.code();
        report.seconds.total = self.started.elapsed().as_secs_f64();
        let row = incident::LogRow {
            header: run_header(
                self.run_id,
                self.plan,
                self.mode(),
                self.started_at,
                self.clock_offset,
            ),
            end: self.run_end(report),
        };
        if let Err(error) = incident::keep_log(self.connection.as_mut(), self.plan, &row) {
            log::error!("the log row could not be kept: {error:#}");
            self.exit = self.exit.worse(Exit::State);
        }
        let target = store::log::target(self.database);
        if let Some(connection) = self.connection.as_mut() {
            if let Err(error) = lease::release(connection, self.database, &target, self.run_id) {
                log::info!("{error}");
            }
            if self.exit == Exit::Success {
                let retention = self.plan.retention;
                let trimmed = store::log::trim(connection, self.database, retention)
                    .and_then(|_| store::cases::trim(connection, self.database, retention));
                if let Err(error) = trimmed {
                    log::warn!("old rows could not be trimmed: {error}");
                }
            }
        }
    }
}

/// What is known of the run when it starts.
fn run_header(
    run_id: uuid::Uuid,
    plan: &Plan,
    mode: &str,
    started_at: i64,
    clock_offset: i64,
) -> store::RunHeader {
    store::RunHeader {
        run_id,
        mode: mode.to_owned(),
        shard: None,
        started_at: started_at + clock_offset,
        host: lease::host_name(),
        os_user: crate::config::user_name(),
        process_id: std::process::id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        config_hash: plan.config_hash.clone(),
        watermark_before: None,
    }
}

fn limits<'a>(
    plan: &Plan,
    database: &Database,
    deadline: Option<Instant>,
    signals: &'a Signals,
) -> Limits<'a> {
    Limits {
        records: None,
        batch_size: database.batch_size,
        min_connections: database.min_connections,
        max_connections: database.max_connections,
        continue_on_database_failure: plan.on_failure.continue_on_database_failure,
        deadline,
        stop: &signals.stop,
        rejection_log_level: plan.on_failure.rejection_log_level,
    }
}

/// A spool file as sheets: records that were requested together stay together.
fn sheets(entries: &[Entry]) -> Vec<Sheet> {
    let mut sheets: Vec<Sheet> = Vec::new();
    for group in entries.chunk_by(|a, b| a.requested_at == b.requested_at) {
        let mut text = String::new();
        let mut records = Vec::with_capacity(group.len());
        for entry in group {
            let start = u32::try_from(text.len()).unwrap_or(u32::MAX);
            text.push_str(&entry.raw);
            records.push(start..u32::try_from(text.len()).unwrap_or(u32::MAX));
        }
        let requested_at = group.first().map_or(0, |entry| entry.requested_at);
        sheets.push(Sheet {
            text: Arc::new(text),
            records,
            requested_at,
        });
    }
    sheets
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

fn percentiles(histogram: &Histogram) -> Percentiles {
    Percentiles {
        p50: histogram.quantile(0.5),
        p95: histogram.quantile(0.95),
        max: histogram.max(),
    }
}
