//! The watermark of an incremental sync: read when the run begins, sent to the API, and moved after a complete run.
//!
//! Everything that the source changed before the watermark has been read. Its new value is the latest time of change among
//! the records of a run, but never later than the start of the run, by PostgreSQL's clock and by that of the API (its Date
//! header). A change that happens while pages are read may be missed, so the next run has to ask for that time again. For the
//! same reason a record whose time of change is in the future does not move the watermark beyond the start of the run.
//!
//! It moves only after a complete run that left nothing in the spool, never backwards, and only if no other run has moved it
//! meanwhile. A run that is killed, overtaken or stopped by a brake leaves it unchanged, and the next run fetches these
//! records again.

use jiff::Timestamp;

use super::cache::{self, Cache};
use super::request::{Inputs, Purpose};
use super::{Run, shard};
use crate::api::{FetchOptions, Pages};
use crate::config::plan::{Api, Database};
use crate::config::secret::Secret;
use crate::exit::Misconfigured;
use crate::model::clock::Micros;
use crate::pipeline::{Brake, ChangeTimes, Flow};
use crate::reporting::report::Watermark;
use crate::store::log::LAST_TRIMMED;
use crate::store::{self, StoreError};
use crate::support::digest::Digest;

/// The source: its pages, and what earlier runs have learned about it.
#[derive(Debug)]
pub(super) struct Source {
    /// See [`source_key`].
    pub(super) key: String,
    pub(super) pages: Pages,
    pub(super) mark: Mark,
    /// What earlier runs have noted on disk.
    pub(super) cache: Cache,
    /// Stops a run whose number of records or of rejections is far from what is expected.
    pub(super) brake: Brake,
    /// True once this run has begun to read the source.
    pub(super) fetched: bool,
    /// When old rows were last deleted, as `sync_state` has it; none if that was not read.
    pub(super) last_trimmed: Option<String>,
}

impl Source {
    /// Prepares the pages of the source. Nothing is fetched yet.
    pub(super) fn new(inputs: &Inputs<'_>) -> anyhow::Result<Self> {
        let mark = Mark::new(inputs.api);
        Ok(Self {
            key: source_key(inputs.api),
            pages: Pages::new(inputs.api, fetch_options(inputs, &mark))?,
            mark,
            cache: Cache::default(),
            brake: Brake::default(),
            fetched: false,
            last_trimmed: None,
        })
    }
}

/// The options for fetching everything, not only changes.
fn fetch_options(inputs: &Inputs<'_>, mark: &Mark) -> FetchOptions {
    FetchOptions {
        since: None,
        limit: inputs.request.limit,
        deadline: inputs.deadline,
        next_was_named: mark.next_was_named,
    }
}

/// What a run knows of the watermark.
#[derive(Debug, Default)]
pub(super) struct Mark {
    /// Its name in `sync_state`; none where mappings.yaml has no `incremental`.
    name: Option<String>,
    /// Its value when the run began, by `sync_state`, or by the cache if the database was away: RFC 3339 in UTC.
    pub(super) before: Option<String>,
    after: Option<String>,
    /// True if `before` comes from the database. Only then may the run move it.
    certain: bool,
    /// True if only changes are fetched.
    pub(super) incremental: bool,
    /// Why it was not moved, where a person should know.
    pub(super) not_moved: Option<String>,
    /// True if an earlier run has seen pages that name the next one.
    next_was_named: bool,
}

impl Mark {
    /// A watermark whose value was not read yet.
    pub(super) fn new(api: &Api) -> Self {
        Self {
            name: name(api),
            ..Self::default()
        }
    }

    /// The values before and after the run, for the report.
    pub(super) fn report(&self) -> Watermark {
        Watermark {
            before: self.before.clone(),
            after: self.after.clone(),
        }
    }
}

/// The fixed parameters and the body of requests. Some of them may be secret.
fn asked(api: &Api) -> impl Iterator<Item = &str> {
    let of_params = api.params.iter().flat_map(|(name, value)| [name, value]);
    let body = api.body.as_ref().map(Secret::expose);
    of_params.map(String::as_str).chain(body)
}

/// Identifies a source among those that feed the same table: a hash of host, path, parameters and body.
pub fn source_key(api: &Api) -> String {
    let host = api.base_url.host_str().unwrap_or_default();
    let parts = [host, api.base_url.path(), &api.fetch.path].into_iter();
    short_hash(parts.chain(asked(api)))
}

/// The watermark's name in `sync_state`: a hash of the field, parameter, body and path, each of which has its own.
fn name(api: &Api) -> Option<String> {
    let incremental = api.incremental.as_ref()?;
    let host = api.base_url.host_str().unwrap_or_default();
    let parts = [
        host,
        api.base_url.path(),
        &api.fetch.path,
        &incremental.param,
    ]
    .into_iter();
    Some(format!(
        "watermark {} {}",
        incremental.field.join("."),
        short_hash(parts.chain(asked(api)))
    ))
}

/// Notes in `sync_state` under this name that pages of the source name the next one. It depends on address and paging.
fn next_pages_name(api: &Api) -> String {
    let paging = format!("{:?}", api.pagination);
    let parts = [api.base_url.as_str(), &api.fetch.path, &paging].into_iter();
    format!("next_pages {}", short_hash(parts.chain(asked(api))))
}

fn short_hash<'a>(parts: impl Iterator<Item = &'a str>) -> String {
    let digest = parts.fold(Digest::default(), |digest, part| {
        digest.with_part(part.as_bytes())
    });
    digest.hex()[..8].to_owned()
}

/// Identifies source and database in the cache.
fn cached_of(source_key: &str, database: &Database) -> String {
    let Database {
        host, port, name, ..
    } = database;
    let target = store::log::target(database);
    format!("{host}:{port}/{name} {target} {source_key}")
}

impl Run<'_> {
    /// Reads the watermark and asks for what has changed since. The run must hold the lease: nobody else moves it then.
    pub(super) fn read_watermark(&mut self) -> anyhow::Result<()> {
        let (inputs, database, request) = (self.inputs, self.inputs.database, self.inputs.request);
        let path = cache::path(&inputs.plan.state_dir, &self.source.key, request.shard);
        self.source.cache = Cache::load(&path, &cached_of(&self.source.key, database));
        self.recall();
        let (Some(name), Some(incremental)) =
            (self.source.mark.name.clone(), &inputs.api.incremental)
        else {
            return Ok(());
        };
        let mark = &mut self.source.mark;
        if !mark.certain {
            let cached = self.source.cache.watermark.as_ref();
            mark.before = cached
                .filter(|(known, _)| *known == name)
                .map(|(_, value)| value.clone());
        }
        mark.after.clone_from(&mark.before);
        let since = match (&mark.before, request.since) {
            _ if request.full => None,
            (_, Some(time)) => Some(time.as_second()),
            (Some(before), None) => {
                let since = moment(before, &name)?.before(incremental.overlap);
                Some(since.seconds())
            }
            (None, None) => None,
        };
        let Some(since) = since else { return Ok(()) };
        // The API gets whole seconds, which every API understands. They are rounded down, so that nothing is left out.
        let since = Timestamp::from_second(since).unwrap_or(Timestamp::MIN);
        log::info!("fetching what changed since {since}");
        mark.incremental = true;
        let want = FetchOptions {
            since: Some(since.to_string()),
            ..fetch_options(&self.inputs, mark)
        };
        self.source.pages = Pages::new(inputs.api, want)?;
        Ok(())
    }

    /// Reads what earlier runs have noted in `sync_state`: the watermark, when old rows were last deleted, and whether pages
    /// name the next one. If they do, a page that names none is the last.
    fn recall(&mut self) {
        let Inputs { api, database, .. } = self.inputs;
        let Some(connection) = self.session.connection.as_mut() else {
            return;
        };
        let next_pages = next_pages_name(api);
        let mark = &mut self.source.mark;
        let watermark = mark.name.clone().unwrap_or_default();
        let names = [next_pages.as_str(), LAST_TRIMMED, &watermark];
        match store::state::read_all(connection, database, names) {
            Ok([next_pages, last_trimmed, watermark]) => {
                mark.next_was_named = next_pages.is_some();
                (mark.before, mark.certain) = (watermark, mark.name.is_some());
                self.source.last_trimmed = last_trimmed;
            }
            Err(error) => return self.session.lost(&error, &mut self.outcome),
        }
        if mark.next_was_named
            && let Ok(pages) = Pages::new(api, fetch_options(&self.inputs, mark))
        {
            self.source.pages = pages;
        }
    }

    /// Notes for later runs that pages of this source name the next one.
    pub(super) fn remember_next_pages(&mut self) {
        if self.source.mark.next_was_named || !self.source.pages.stats().next_was_named {
            return;
        }
        let Inputs {
            api, database, id, ..
        } = self.inputs;
        let name = next_pages_name(api);
        if let Some(connection) = self.session.connection.as_mut()
            && let Err(error) = store::state::put(connection, database, &name, "named", id)
        {
            log::info!("that pages name the next one could not be noted: {error}");
        }
    }

    /// The number of fetch threads. With a watermark pages are read one after the other. If several were read at once, a row
    /// could move from a page not yet read to one already read. The run would miss it, and the next run would not ask for it.
    pub(super) fn fetch_threads(&self) -> u32 {
        if self.source.mark.name.is_some() {
            1
        } else {
            self.inputs.api.pagination.concurrency
        }
    }

    /// Moves the watermark if everything before its new value was read and stored. Otherwise it returns a remark.
    pub(super) fn move_watermark(
        &mut self,
        changes: ChangeTimes,
        complete: bool,
    ) -> Option<String> {
        if !self.may_move_watermark(complete) {
            return None;
        }
        let field = self.inputs.api.incremental.as_ref()?.field.join(".");
        let Some(latest) = changes.latest else {
            return (changes.undated > 0).then(|| {
                format!(
                    "no record says in `{field}` when it was changed: the watermark stays where it was; if its times are \
                     not RFC 3339, map the field: `{field}: {{ to: changedAt, type: datetime, format: …, timezone: …, \
                     column: false }}`"
                )
            });
        };
        if changes.undated > 0 {
            log::warn!(
                "{} records do not say in `{field}` when they were changed; the watermark is made of the others",
                changes.undated
            );
        }
        let first_asked_at = self.source.pages.stats().first_asked_at;
        let latest = latest
            .min(self.session.began_at.unwrap_or(Micros::MIN))
            .min(first_asked_at.map_or(latest, Micros));
        if self.inputs.request.shard.is_some() {
            self.advance_with_shards(latest)
        } else {
            self.advance(latest)
        }
    }

    /// True if the run has asked for everything that has changed, and read and stored all of it.
    fn may_move_watermark(&self, complete: bool) -> bool {
        let (request, mark) = (self.inputs.request, &self.source.mark);
        let asked_to = request.since.is_none()
            && request.limit.is_none()
            && request.purpose != Purpose::DryRun;
        let waits = || self.spool.files().map_or(true, |files| !files.is_empty());
        mark.name.is_some()
            && mark.certain
            && asked_to
            && complete
            && self.source.pages.stats().is_complete()
            && !waits()
    }

    fn advance(&mut self, latest: Micros) -> Option<String> {
        let Inputs { database, id, .. } = self.inputs;
        let mark = &mut self.source.mark;
        let (name, before) = (mark.name.as_ref()?, mark.before.as_deref());
        let connection = self.session.connection.as_mut()?;
        if before.is_some_and(|before| moment(before, name).is_ok_and(|before| before >= latest)) {
            return None;
        }
        let after = latest.to_string();
        match store::state::advance(connection, database, name, before, &after, id) {
            Ok(true) => {
                mark.after = Some(after);
                None
            }
            Ok(false) => Some(
                "another run has moved the watermark meanwhile; it stays where that run put it"
                    .to_owned(),
            ),
            Err(error) => Some(not_moved(&error)),
        }
    }

    /// Notes how far this shard has come. The watermark moves once all shards have come that far.
    fn advance_with_shards(&mut self, latest: Micros) -> Option<String> {
        let Inputs { database, id, .. } = self.inputs;
        let mark = &mut self.source.mark;
        let (name, shard) = (mark.name.as_ref()?, self.inputs.request.shard?);
        let connection = self.session.connection.as_mut()?;
        let after = latest.to_string();
        let marks = (mark.before.as_deref(), after.as_str());
        let moved = shard::advance_together(connection, database, name, shard, marks, id)
            .and_then(|reached| Ok((reached, store::state::read(connection, database, name)?)));
        match moved {
            Ok(((reached, of), stored)) => {
                log::info!(
                    "{reached} of {of} shards have seen all from this watermark; it moves when all have"
                );
                mark.after = stored;
                None
            }
            Err(error) => Some(not_moved(&error)),
        }
    }

    /// Notes on disk what a later run without the database must know.
    pub(super) fn remember(&self, complete: bool, flow: &Flow) {
        if self.session.connection.is_none() {
            return;
        }
        let Inputs { plan, request, .. } = self.inputs;
        let path = cache::path(&plan.state_dir, &self.source.key, request.shard);
        let source = &self.source;
        let mut known = source.cache.clone();
        if source.mark.certain {
            known.watermark = source.mark.name.clone().zip(source.mark.after.clone());
        }
        let full = complete && !source.mark.incremental && request.purpose == Purpose::Sync;
        known.last_complete = full
            .then_some(flow.ledger.fetched)
            .or(source.brake.previous)
            .or(known.last_complete);
        if known != source.cache
            && let Err(error) = known.save(&path)
        {
            log::warn!("cannot note the watermark in {}: {error}", path.display());
        }
    }
}

fn not_moved(error: &StoreError) -> String {
    format!("the watermark could not be moved, and the next run fetches the same again: {error}")
}

/// Parses a stored watermark.
fn moment(stored: &str, name: &str) -> Result<Micros, Misconfigured> {
    stored
        .parse::<Timestamp>()
        .map(|time| Micros(time.as_microsecond()))
        .map_err(|_| {
            Misconfigured(format!(
                "`{name}` in sync_state is not a time such as 2026-01-31T00:00:00Z: correct it, or run `datasync sync --full`"
            ))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Needs, Sources, load_with};

    /// The key of a source with these lines under `fetch` in mappings.yaml.
    fn key(lines: &str) -> String {
        let text = format!(
            "version: 1.0\nmappings:\n  api:\n    base_url: https://api.example.com\n    auth: {{ type: none }}\n    endpoints:\n      \
             fetch:\n{lines}    transforms:\n      incoming:\n        - type: field_mapping\n          fields: {{ id: customerId }}\n"
        );
        let sources = Sources {
            mappings_text: Some(text),
            state_dir: Some(".".into()),
            ..Sources::default()
        };
        let plan = load_with(&sources, Needs::API, []).unwrap_or_else(|errors| panic!("{errors}"));
        source_key(plan.api().unwrap_or_else(|errors| panic!("{errors}")))
    }

    #[test]
    fn what_is_asked_of_an_endpoint_tells_its_sources_apart() {
        let keys = [
            "        path: /search\n",
            "        path: /search\n        params: { region: eu }\n",
            "        path: /search\n        method: POST\n        body: { region: eu }\n",
            "        path: /search\n        method: POST\n        body: { region: us }\n",
        ]
        .map(key);
        for (at, one) in keys.iter().enumerate() {
            assert!(!keys[at + 1..].contains(one), "{keys:?}");
        }
    }
}
