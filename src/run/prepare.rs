//! Finds everything that can be wrong before a run begins: mapping, rules, state directory, tables. Writes nothing.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::Run;
use super::outcome::Outcome;
use super::request::{Inputs, Purpose, Request};
use super::rules::Compiled;
use super::session::{Session, begin_session, open};
use super::watermark::Source;
use crate::config::plan::{Mapping, Plan};
use crate::exit::Misconfigured;
use crate::model::clock::{DatabaseClock, Micros};
use crate::pipeline;
use crate::spool::Spool;
use crate::store::{self, Class, Connection, Opening, SchemaError, StoreError};
use crate::support::open_files;
use crate::support::signals::Signals;

/// Pauses between attempts to connect at the start of a run.
const CONNECT_PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_millis(400)];

impl<'a> Run<'a> {
    /// Checks everything that can be checked before a run changes anything.
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
        let inputs = Inputs {
            plan,
            api,
            database,
            request,
            signals,
            id: run_id,
            started,
            deadline: request.deadline.map(|limit| started + limit),
        };
        let mut session = Session::new();
        // The rules are compiled meanwhile.
        session.first = open_ahead(&inputs);
        let mut compiled = Compiled::new(plan, api)?;
        let mut spool = if request.purpose == Purpose::DryRun {
            Spool::untouched(&plan.state_dir, plan.spool_max_bytes)
        } else {
            Spool::open(&plan.state_dir, plan.spool_max_bytes).map_err(|error| {
                Misconfigured(format!("{error}; name another folder with --state-dir"))
            })?
        };
        let source = Source::new(&inputs)?;
        spool.restrict_to(&source.key);
        let rejections = pipeline::RejectionLog::new(
            plan.on_failure.rejection_log_level,
            crate::support::logging::wants_everything(),
            if inputs.is_dry() {
                "`datasync sync --dry-run -v` names all of them".to_owned()
            } else {
                store::rejections::query_of(database, run_id)
            },
        );
        let connections =
            u64::from(api.pagination.concurrency) + u64::from(database.max_connections);
        open_files::raise_limit(connections);
        let mut outcome = Outcome::default();
        session.connect(&inputs, &mut compiled, &mut outcome)?;
        Ok(Self {
            inputs,
            session,
            compiled,
            source,
            spool,
            refused_files: Vec::new(),
            rejections,
            next_batch: 0,
            delivery: None,
            outcome,
        })
    }
}

/// When the version field was mapped for the first time, as the first run with it has noted; none where none is mapped.
fn versions_since(
    connection: &mut Connection,
    inputs: &Inputs<'_>,
    mapping: &Mapping,
    now: Micros,
) -> Result<Option<Micros>, StoreError> {
    let Some(field) = mapping.version.and_then(|index| mapping.fields.get(index)) else {
        return Ok(None);
    };
    let name = format!("version_field {}", field.name);
    let stored = store::state::read(connection, inputs.database, &name)?;
    let known = stored.and_then(|text| text.parse::<jiff::Timestamp>().ok());
    if let Some(known) = known {
        return Ok(Some(Micros(known.as_microsecond())));
    }
    if !inputs.is_dry() {
        store::state::put(
            connection,
            inputs.database,
            &name,
            &now.to_string(),
            inputs.id,
        )?;
    }
    Ok(Some(now))
}

/// Begins to open a connection on a thread of its own. None: no thread could be started.
fn open_ahead(inputs: &Inputs<'_>) -> Option<Opening> {
    let limit = inputs.at_most(inputs.database.connection_timeout);
    Opening::begin(inputs.database, limit)
        .inspect_err(|error| log::debug!("no connection is opened ahead: {error}"))
        .ok()
}

impl Session {
    /// Waits for the first connection. If it failed, a few attempts follow: a server may just be starting, or have no free slot
    /// for a moment.
    fn first_connection(
        &mut self,
        inputs: &Inputs<'_>,
    ) -> Result<(Connection, DatabaseClock), StoreError> {
        let first = self.first.take();
        let first = first.and_then(|first| first.wait(&inputs.signals.stop, inputs.deadline));
        let mut opened = first.map_or_else(
            || open(inputs),
            |first| first.and_then(|connection| begin_session(connection, inputs)),
        );
        for pause in CONNECT_PAUSES {
            match &opened {
                Err(error)
                    if error.class() == Class::Transient && inputs.signals.asked().is_none() =>
                {
                    std::thread::sleep(pause);
                }
                _ => break,
            }
            opened = open(inputs);
        }
        opened
    }

    /// Connects and inspects the tables. It is no error here if the database is away, but it is one if the tables do not fit.
    fn connect(
        &mut self,
        inputs: &Inputs<'_>,
        compiled: &mut Compiled,
        outcome: &mut Outcome,
    ) -> Result<()> {
        let database = inputs.database;
        let (mut connection, clock) = match self.first_connection(inputs) {
            Ok(opened) => opened,
            Err(error) => {
                self.unavailable_at_start(&error, inputs, outcome);
                return Ok(());
            }
        };
        let began_at = clock.now();
        if database.min_connections > 1 && inputs.request.purpose.fetches() {
            // The second writer's connection is opened meanwhile. If that fails, the writer that needs it reports the error.
            self.opening = open_ahead(inputs);
        }
        let looked = store::settled(&mut connection, database, &inputs.plan.mapping)
            .map_err(SchemaError::from)
            .and_then(|mapping| {
                let mut layout = store::inspect(&mut connection, database, &mapping)?;
                layout.set_versions_since(versions_since(
                    &mut connection,
                    inputs,
                    &mapping,
                    began_at,
                )?);
                Ok((layout, mapping))
            });
        match looked {
            Ok((layout, mapping)) => {
                compiled.fit(&mapping, inputs.api, &layout, began_at)?;
                self.layout = Some(layout);
                self.clock = clock;
                self.began_at = Some(began_at);
                self.connection = Some(connection);
                Ok(())
            }
            Err(SchemaError::Store(error)) => {
                self.unavailable_at_start(&error, inputs, outcome);
                Ok(())
            }
            Err(problems @ SchemaError::Mismatch(_)) => {
                Err(Misconfigured(problems.to_string()).into())
            }
        }
    }
}
