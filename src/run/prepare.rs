//! Everything that can be wrong before a run begins: mapping, rules, state directory, and the first look at the database.
//! It writes nothing to the database.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::cache::Cache;
use super::watermark::Mark;
use super::{Purpose, Request, Run};
use crate::api::{Pages, Want};
use crate::config::plan::{Api, KeyChoice, Mapping, Plan};
use crate::exit::{Exit, Misconfigured};
use crate::pipeline;
use crate::spool::Spool;
use crate::store::{self, Class, Columns, Composer, Connection, Opening, SchemaError, StoreError};
use crate::support::signals::Signals;
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
        crate::support::logging::set_run_id(&run_id.to_string());
        for warning in plan
            .warnings
            .iter()
            .filter(|warning| !plan.exposed.contains(warning))
        {
            log::info!("{warning}");
        }
        let (api, database) = (plan.api()?, plan.database()?);
        if api.incremental.is_none() && request.since.is_some() {
            let why = "--since needs `incremental` at the endpoint in mappings.yaml: which parameter of the API takes the time?";
            return Err(Misconfigured(why.to_owned()).into());
        }
        let (transform, columns, composer) = compiled(&plan.mapping, api)?;
        let decision = super::rules::compile(plan, &transform)?;
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
            next_was_named: false,
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
            composer,
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
            rejections: pipeline::RejectionLog::new(
                plan.on_failure.rejection_log_level,
                crate::support::logging::wants_everything(),
                if request.purpose == Purpose::DryRun {
                    "`datasync sync --dry-run -v` names all of them".to_owned()
                } else {
                    store::rejections::query_of(database, run_id)
                },
            ),
            replayed: 0,
            decided_again: None,
            next_batch: 0,
            exit: Exit::Success,
            failures: Vec::new(),
            remarks: Vec::new(),
            fatal: false,
            waiting_for: None,
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
                // Without a key, what is fetched now could not even be kept apart.
                self.fatal = error.class() == Class::Fatal
                    || self.plan.mapping.key_choice == KeyChoice::Open;
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
        let looked = store::settled(&mut connection, self.database, &self.plan.mapping)
            .map_err(SchemaError::from)
            .and_then(|mapping| {
                let layout = store::inspect(&mut connection, self.database, &mapping)?;
                Ok((layout, mapping))
            });
        match looked {
            Ok((layout, mapping)) => {
                let (transform, columns, composer) = compiled(&mapping, self.api)?;
                self.transform = transform;
                self.columns = Arc::new(columns.fitted(&layout));
                self.composer = composer;
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
            Err(SchemaError::Store(error)) => {
                self.fatal = error.class() == Class::Fatal
                    || self.plan.mapping.key_choice == KeyChoice::Open;
                self.store_failed(&error);
                Ok(())
            }
            Err(problems @ SchemaError::Mismatch(_)) => {
                Err(Misconfigured(problems.to_string()).into())
            }
        }
    }
}

/// All that is made of the mapping: how records are read, stored, and told to the API.
fn compiled(mapping: &Mapping, api: &Api) -> Result<(Transform, Columns, Option<Composer>)> {
    let wrong = |error: anyhow::Error| Misconfigured(format!("{error:#}"));
    let mut transform = Transform::new(mapping).map_err(wrong)?;
    if let Some(incremental) = &api.incremental {
        transform
            .watch(&incremental.field, mapping)
            .map_err(wrong)?;
    }
    let columns = Columns::new(mapping).ok_or_else(|| {
        Misconfigured("the conflict key is mapped with `column: false`".to_owned())
    })?;
    let composer = match &api.update {
        Some(update) => {
            let outgoing = Outgoing::new(mapping, update).map_err(wrong)?;
            Some(Composer::new(move |raw| outgoing.compose(raw)))
        }
        None => None,
    };
    Ok((transform, columns, composer))
}
