//! Everything that can be wrong before a run begins: mapping, rules, state directory, and the first look at the database.
//! It writes nothing to the database.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::cache::Cache;
use super::watermark::Mark;
use super::{Purpose, Request, Run};
use crate::api::{Pages, Want};
use crate::config::plan::{Api, Plan};
use crate::exit::{Exit, Misconfigured};
use crate::pipeline;
use crate::signals::Signals;
use crate::spool::Spool;
use crate::store::{self, Class, Columns, Composer, Connection, Opening, StoreError};
use crate::transform::{Outgoing, Transform};

/// Pauses before the database is asked again at the start.
const PATIENCE: [Duration; 2] = [Duration::from_millis(200), Duration::from_millis(400)];

impl<'a> Run<'a> {
    /// Everything that can be wrong before anything is touched.
    pub(super) fn prepare(
        plan: &'a Plan,
        request: &'a Request,
        signals: &'a Signals,
    ) -> Result<Self> {
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
            self.opening = Opening::begin(self.database, self.database.connection_timeout)
                .inspect_err(|error| log::debug!("no connection is opened ahead: {error}"))
                .ok();
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
