//! One run, from the first look at the database to the report: what `sync` and `retry` have in common.
//!
//! It composes the stages, keeps the order of things (lease, log row, replay, fetch, ledger, case) and turns what
//! happened into a status and an exit code. It moves no record itself: [`crate::pipeline`] does.

mod cache;
mod finish;
mod replay;
mod shard;
mod watermark;
mod write_back;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::alert;
use crate::api::{Pages, Want};
use crate::config::plan::{Api, Database, Plan};
use crate::decision::Decision;
use crate::exit::{Busy, Exit, Misconfigured};
use crate::incident;
use crate::pipeline::{self, Feed, Flow, Job, Keep, Limits, Rules, Target, Task};
use crate::progress::Progress;
use crate::report::Report;
use crate::shard::Shard;
use crate::signals::Signals;
use crate::spool::Spool;
use crate::store::lease::{self, Asked, Heartbeat};
use crate::store::{self, Class, Columns, Composer, Connection, Layout, Opening, StoreError};
use crate::transform::{Outgoing, Transform};

use cache::Cache;
use watermark::Mark;

/// Differences that a dry run shows.
const SHOWN_DIFFERENCES: usize = 20;
/// Pauses before the database is asked again at the start.
const PATIENCE: [Duration; 2] = [Duration::from_millis(200), Duration::from_millis(400)];
/// How often `--wait` asks for the lease again.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// What was asked for on the command line.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request {
    pub purpose: Purpose,
    /// In records.
    pub limit: Option<u64>,
    pub deadline: Option<Duration>,
    /// Wait so long for another run to finish.
    pub wait: Option<Duration>,
    /// Somebody has looked at a brake: let it pass.
    pub accept_drop: bool,
    /// Everything, whatever the watermark says.
    pub full: bool,
    /// What changed since then, whatever the watermark says.
    pub since: Option<jiff::Timestamp>,
    /// Only the records of this share.
    pub shard: Option<Shard>,
}

impl Request {
    /// As it could be typed: for the log of runs.
    fn command(&self) -> String {
        let mut words = vec![match self.purpose {
            Purpose::Sync => "sync".to_owned(),
            Purpose::DryRun => "sync --dry-run".to_owned(),
            Purpose::Retry { rejected, .. } => (if rejected {
                "retry --rejected"
            } else {
                "retry"
            })
            .to_owned(),
        }];
        words.extend(self.limit.map(|limit| format!("--limit {limit}")));
        for (name, duration) in [("--deadline", self.deadline), ("--wait", self.wait)] {
            words.extend(duration.map(|duration| format!("{name} {}ms", duration.as_millis())));
        }
        words.extend(self.accept_drop.then(|| "--accept-drop".to_owned()));
        words.extend(self.full.then(|| "--full".to_owned()));
        words.extend(self.since.map(|since| format!("--since {since}")));
        words.extend(self.shard.map(|shard| format!("--shard {shard}")));
        words.join(" ")
    }
}

/// What a run is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// Replay the spool, then fetch and write.
    #[default]
    Sync,
    /// Fetch and compare; write nothing.
    DryRun,
    /// Replay the spool and repair what failed; the cases are closed by the caller.
    Retry {
        /// Fetch and write as well.
        fetch: bool,
        /// Decide the stored rejections again, by today's mapping and rules.
        rejected: bool,
    },
}

impl Purpose {
    const fn fetches(self) -> bool {
        !matches!(self, Self::Retry { fetch: false, .. })
    }
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
        Ok(flow) => {
            if let Err(error) = run.write_back(&flow) {
                let sentence = format!("write-back: {error:#}");
                run.fail(Exit::Internal, "internal:write_back", &sentence);
            }
            flow
        }
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
    Ok(run.finish(&flow))
}

/// Everything a run holds on to.
struct Run<'a> {
    plan: &'a Plan,
    api: &'a Api,
    database: &'a Database,
    request: &'a Request,
    signals: &'a Signals,
    id: uuid::Uuid,
    started: Instant,
    /// Local clock, microseconds since 1970-01-01T00:00:00Z.
    started_at: i64,
    deadline: Option<Instant>,
    transform: Transform,
    decision: Decision,
    columns: Arc<Columns>,
    /// Makes the messages of write-back; None: it is off.
    composer: Option<Composer>,
    delivery: Option<write_back::Delivery>,
    spool: Spool,
    pages: Pages,
    /// For the run's own statements (log, lease, cases); writers have theirs. None while the database is away.
    connection: Option<Connection>,
    /// Another one, for the writers.
    opening: Option<Opening>,
    layout: Option<Layout>,
    clock_offset: i64,
    /// When the database was first seen: its clock, microseconds since 1970-01-01T00:00:00Z.
    began_at: i64,
    mark: Mark,
    known: Cache,
    heartbeat: Option<Heartbeat>,
    /// Records accounted for, as other runs see them in the lease.
    accounted: Arc<AtomicU64>,
    fetched_at_all: bool,
    brake: pipeline::Brake,
    braked: bool,
    rejections: pipeline::RejectionLog,
    replayed: u64,
    next_batch: u64,
    exit: Exit,
    /// What went wrong, worst first in the end: exit, `stage:class`, sentence.
    failures: Vec<(Exit, String, String)>,
    /// Thresholds without an exit code that were crossed: `threshold:name`, sentence.
    remarks: Vec<(&'static str, String)>,
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
        let mut transform =
            Transform::new(&plan.mapping).map_err(|error| Misconfigured(format!("{error:#}")))?;
        match &api.incremental {
            Some(incremental) => transform
                .watch(&incremental.field, &plan.mapping)
                .map_err(|error| Misconfigured(format!("{error:#}")))?,
            None if request.since.is_some() => {
                let why = "--since needs `incremental` at the endpoint in mappings.yaml: which parameter of the API takes the time?";
                return Err(Misconfigured(why.to_owned()).into());
            }
            None => {}
        }
        let decision = crate::commands::load_decision(plan, &transform)?;
        let columns = Columns::new(&plan.mapping).ok_or_else(|| {
            Misconfigured("the conflict key is mapped with `column: false`".to_owned())
        })?;
        let spool = if request.purpose == Purpose::DryRun {
            Spool::untouched(&plan.state_dir, plan.spool_max_bytes)
        } else {
            Spool::open(&plan.state_dir, plan.spool_max_bytes).map_err(|error| {
                Misconfigured(format!("{error}; name another folder with --state-dir"))
            })?
        };
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
            id: run_id,
            started,
            started_at: jiff::Timestamp::now().as_microsecond(),
            deadline,
            transform,
            decision,
            columns: Arc::new(columns),
            composer: composer(plan, api)?,
            delivery: None,
            spool,
            pages: Pages::new(api, want)?,
            connection: None,
            opening: None,
            layout: None,
            clock_offset: 0,
            began_at: i64::MIN,
            mark: Mark::new(api),
            known: Cache::default(),
            heartbeat: None,
            accounted: Arc::default(),
            fetched_at_all: false,
            brake: pipeline::Brake::default(),
            braked: false,
            rejections: pipeline::RejectionLog::new(plan.on_failure.rejection_log_level),
            replayed: 0,
            next_batch: 0,
            exit: Exit::Success,
            failures: Vec::new(),
            remarks: Vec::new(),
            fatal: false,
        };
        run.connect()?;
        Ok(run)
    }

    fn open(&self) -> Result<(Connection, i64), StoreError> {
        let mut limit = self.database.connection_timeout;
        if let Some(deadline) = self.deadline {
            limit = limit.min(deadline.saturating_duration_since(Instant::now()));
        }
        let mut connection = Connection::open_unless(&self.signals.stop, self.database, limit)?;
        connection.set_deadline(self.deadline);
        connection.give_up_on(Arc::clone(&self.signals.stop));
        let offset = store::log::clock_offset(&mut connection)?;
        Ok((connection, offset))
    }

    /// Looks at the database. That it is away is not an error here; that its tables do not fit is.
    fn connect(&mut self) -> Result<()> {
        let mut opened = self.open();
        // A server that is just starting, or out of slots, deserves a moment.
        for pause in PATIENCE {
            match &opened {
                Err(error)
                    if error.class() == Class::Transient && self.signals.asked().is_none() =>
                {
                    std::thread::sleep(pause);
                }
                _ => break,
            }
            opened = self.open();
        }
        let (mut connection, offset) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                self.fatal = error.class() == Class::Fatal;
                self.store_failed(&error);
                return Ok(());
            }
        };
        let began_at = jiff::Timestamp::now().as_microsecond() + offset;
        if self.database.min_connections > 1 && self.request.purpose.fetches() {
            // While the tables are looked at; whoever needs it finds out whether it could be had.
            self.opening = Opening::begin(self.database, self.database.connection_timeout).ok();
        }
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
                self.began_at = began_at;
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

    /// The connections that writers may have for a while.
    const fn spare(&mut self) -> pipeline::Spare {
        pipeline::Spare {
            open: self.connection.take(),
            opening: self.opening.take(),
        }
    }

    /// Writers may have used them, and others may come back.
    fn take_back(&mut self, spare: pipeline::Spare) {
        self.opening = spare.opening;
        self.connection = spare.open.map(|mut connection| {
            connection.set_deadline(self.deadline);
            connection.give_up_on(Arc::clone(&self.signals.stop));
            connection
        });
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

    fn is_dry(&self) -> bool {
        self.request.purpose == Purpose::DryRun
    }

    /// The run itself.
    fn go(&mut self, progress: &Progress) -> Result<Flow> {
        if !self.is_dry() {
            if !self.take_lease()? {
                // Told to end while it waited for its turn.
                return Ok(Flow::default());
            }
            alert::ping::start(&self.plan.notifications);
        }
        if self.request.purpose.fetches() {
            self.read_watermark()?;
        }
        if !self.is_dry() {
            self.start_log();
            self.move_shelved();
        }
        if let Some(reason) = self.why_not_fetch()? {
            log::error!("{reason}");
            return Ok(Flow::default());
        }
        if !self.is_dry() {
            let seen = self.connection.is_some();
            self.replay(progress)?;
            if seen && self.connection.is_none() {
                // It went away during the replay: what waits comes first.
                return Ok(Flow::default());
            }
        }
        let mut flow = Flow::default();
        if matches!(self.request.purpose, Purpose::Retry { rejected: true, .. })
            && self.connection.is_some()
        {
            flow = self.decide_again(progress)?;
        }
        if !self.request.purpose.fetches() {
            return Ok(flow);
        }
        self.brake = self.brake();
        self.fetched_at_all = true;
        let mut spare = self.spare();
        let feed = Feed::Api {
            api: self.api,
            pages: &self.pages,
            threads: self.fetch_threads(),
            clock_offset: self.clock_offset,
        };
        let mut next_batch = self.next_batch;
        let task = if self.is_dry() {
            Task::Compare {
                differences: SHOWN_DIFFERENCES,
            }
        } else {
            Task::Write
        };
        let keep = (task == Task::Write).then_some(Keep {
            spool: &mut self.spool,
            config_hash: &self.plan.config_hash,
        });
        let target = Target {
            database: self.database,
            columns: Arc::clone(&self.columns),
            layout: self.layout.as_ref(),
            run_id: self.id,
            clock_offset: self.clock_offset,
            task,
            composer: self.composer.as_ref(),
        };
        let rules = Rules {
            transform: &self.transform,
            decision: &self.decision,
        };
        let mut limits = limits(
            self.plan,
            self.database,
            self.deadline,
            self.signals,
            &self.rejections,
        );
        limits.records = self.request.limit;
        limits.brake = self.brake;
        limits.shard = self.request.shard;
        let shown = pipeline::Shown {
            progress,
            accounted: &self.accounted,
        };
        let fetched = pipeline::run(Job {
            feed,
            rules,
            target,
            limits,
            keep,
            next_batch: &mut next_batch,
            spare: &mut spare,
            shown,
        });
        self.next_batch = next_batch;
        self.take_back(spare);
        flow.absorb(fetched?);
        Ok(flow)
    }

    /// What a full run is compared with; nothing, when it is not full or somebody has looked at it.
    fn brake(&mut self) -> pipeline::Brake {
        if self.request.accept_drop || self.request.limit.is_some() || self.mark.incremental {
            return pipeline::Brake::default();
        }
        let brakes = &self.plan.brakes;
        let (previous, previous_whole) = self.volumes_before().unwrap_or_else(|error| {
            log::warn!("{error}");
            (None, None)
        });
        pipeline::Brake {
            previous,
            previous_whole,
            zero_records: brakes.zero_records,
            max_drop: brakes.max_drop,
            max_rejection: brakes.max_rejection,
        }
    }

    /// With the database away nothing is fetched when a person is needed, or when earlier records wait already.
    fn why_not_fetch(&self) -> Result<Option<String>> {
        if self.connection.is_some() || self.is_dry() {
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

    /// False: a signal came while another run held it.
    fn take_lease(&mut self) -> Result<bool> {
        let shard = self.request.shard;
        let target = shard::lease_name(self.database, shard);
        let who = incident::who();
        let mut until = self.request.wait.map(|wait| Instant::now() + wait);
        if let (Some(at), Some(deadline)) = (&mut until, self.deadline) {
            *at = deadline.min(*at);
        }
        loop {
            let Some(connection) = self.connection.as_mut() else {
                return Ok(true);
            };
            match shard::acquire(connection, self.database, shard, self.id, &who) {
                Ok(Asked::Granted { took_over }) => {
                    if let Some(before) = took_over {
                        log::warn!(
                            "run {before} ended without giving its lease back; this one takes over"
                        );
                    }
                    // Whoever holds the lease knows that no other run of this target is alive.
                    let shard = shard.map(|shard| shard.to_string());
                    if let Err(error) =
                        store::log::abandon(connection, self.database, shard.as_deref(), self.id)
                    {
                        log::warn!("{error}");
                    }
                    break;
                }
                Ok(Asked::Held(holder)) => {
                    // Asking once more must fit into what is left.
                    let again = Instant::now() + ASK_AGAIN;
                    let patient = until.is_some_and(|until| again < until);
                    if self.signals.asked().is_some() {
                        return Ok(false);
                    }
                    if !patient {
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
                    return Ok(true);
                }
            }
        }
        let heartbeat =
            Heartbeat::start(self.database, &target, self.id, Arc::clone(&self.accounted))
                .context("cannot start the heartbeat of the lease")?;
        self.heartbeat = Some(heartbeat);
        Ok(true)
    }

    fn start_log(&mut self) {
        let header = self.header();
        let Some(connection) = self.connection.as_mut() else {
            return;
        };
        if let Err(error) = store::log::start(connection, self.database, &header) {
            self.store_failed(&error);
            self.connection = None;
        }
    }

    const fn mode(&self) -> &'static str {
        if matches!(self.request.purpose, Purpose::Retry { .. }) {
            "retry"
        } else {
            self.scope()
        }
    }

    /// How much of the source is asked for.
    const fn scope(&self) -> &'static str {
        if self.mark.incremental {
            "incremental"
        } else {
            "full"
        }
    }

    /// What is known of the run when it starts.
    fn header(&self) -> store::RunHeader {
        store::RunHeader {
            run_id: self.id,
            mode: self.mode().to_owned(),
            shard: self.shard_name(),
            started_at: self.started_at + self.clock_offset,
            host: lease::host_name(),
            os_user: crate::config::user_name(),
            process_id: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            config_hash: self.plan.config_hash.clone(),
            watermark_before: self.mark.before.clone(),
            command: Some(self.request.command()),
            source: Some({
                let mut address = self.api.base_url.clone();
                let path = address.path().trim_end_matches('/').to_owned() + &self.api.fetch.path;
                address.set_path(&path);
                address.to_string()
            }),
        }
    }

    /// Brings home what was kept on disk while the database was away: log rows and cases.
    fn move_shelved(&mut self) {
        let Some(connection) = self.connection.as_mut() else {
            return;
        };
        if let Err(error) = incident::move_shelved(connection, self.plan, &self.id.to_string()) {
            log::warn!(
                "what was noted while the database was away stays on disk for now: {error:#}"
            );
        }
    }
}

/// Makes the messages of write-back, where it is on.
fn composer(plan: &Plan, api: &Api) -> Result<Option<Composer>> {
    let Some(update) = &api.update else {
        return Ok(None);
    };
    let outgoing = Outgoing::new(&plan.mapping, update)
        .map_err(|error| Misconfigured(format!("{error:#}")))?;
    Ok(Some(Composer::new(move |raw| outgoing.compose(raw))))
}

fn limits<'a>(
    plan: &Plan,
    database: &Database,
    deadline: Option<Instant>,
    signals: &'a Signals,
    rejections: &'a pipeline::RejectionLog,
) -> Limits<'a> {
    Limits {
        brake: pipeline::Brake::default(),
        shard: None,
        records: None,
        batch_size: database.batch_size,
        min_connections: database.min_connections,
        max_connections: database.max_connections,
        continue_on_database_failure: plan.on_failure.continue_on_database_failure,
        deadline,
        stop: &signals.stop,
        rejections,
    }
}
