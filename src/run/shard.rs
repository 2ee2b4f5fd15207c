//! Shards: runs that divide one source among them. Their leases, their last complete runs, and their common watermark.

use std::time::{Duration, Instant};

use super::Run;
use crate::config::plan::Database;
use crate::model::clock::Micros;
use crate::model::shard::Shard;
use crate::store::lease::{self, Asked, Holder};
use crate::store::{self, Connection, StoreError};

/// When two runs begin together, the earlier one waits this long for the later one to release its lease.
const YIELDING: Duration = Duration::from_secs(2);
/// Separates the target and the shard in the name of a lease.
const SHARD: &str = " shard ";

/// The name of a run's lease.
pub(super) fn lease_name(database: &Database, shard: Option<Shard>) -> String {
    let target = store::log::target(database);
    shard.map_or_else(|| target.clone(), |shard| format!("{target}{SHARD}{shard}"))
}

/// Asks for the lease of a shard, or of the whole source. Shards of one division run at the same time. A run of the whole
/// source, or a shard of another division, may not run beside them: whichever comes second releases its lease again.
pub(super) fn acquire(
    connection: &mut Connection,
    database: &Database,
    shard: Option<Shard>,
    run_id: uuid::Uuid,
    who: &str,
) -> Result<Asked, StoreError> {
    let (target, own) = (store::log::target(database), lease_name(database, shard));
    let names = (target.as_str(), own.as_str());
    let asked = lease::acquire(connection, database, names, run_id, who)?;
    let Asked::Granted {
        took_over,
        mut holders,
    } = asked
    else {
        return Ok(asked);
    };
    let until = Instant::now() + YIELDING;
    loop {
        let Some(holder) = other_holder(connection, database, shard, run_id, holders)? else {
            let holders = Vec::new();
            return Ok(Asked::Granted { took_over, holders });
        };
        // Of two runs that begin together only the one with the later id gives up. A run that was already at work stays.
        if run_id < holder.run_id && Instant::now() < until {
            std::thread::sleep(YIELDING / 10);
            holders = lease::holders(connection, database, &target)?;
            continue;
        }
        lease::release(connection, database, &own, run_id)?;
        return Ok(Asked::Held(holder));
    }
}

/// The run among `holders` that is at work and beside which this one may not run. Deletes the leases of runs that have ended.
fn other_holder(
    connection: &mut Connection,
    database: &Database,
    shard: Option<Shard>,
    run_id: uuid::Uuid,
    holders: Vec<(String, Holder)>,
) -> Result<Option<Holder>, StoreError> {
    let (target, own) = (store::log::target(database), lease_name(database, shard));
    for (name, holder) in holders {
        let other = name
            .strip_prefix(&target)
            .and_then(|rest| rest.strip_prefix(SHARD))
            .and_then(|rest| rest.parse::<Shard>().ok());
        let side_by_side = match (shard, other) {
            (Some(shard), Some(other)) => shard.is_sibling_of(other),
            _ => other.is_none() && name != target,
        };
        if name == own || side_by_side {
            continue;
        }
        if holder.is_stale() {
            lease::release(connection, database, &name, holder.run_id)?;
            let other = other.map(|other| other.to_string());
            store::log::abandon(connection, database, other.as_deref(), run_id)?;
        } else {
            return Ok(Some(holder));
        }
    }
    Ok(None)
}

impl Run<'_> {
    /// How many records the last complete full run had: of this shard, and of the whole source.
    pub(super) fn volumes_before(&mut self) -> Result<(Option<u64>, Option<u64>), StoreError> {
        let (database, shard) = (self.inputs.database, self.inputs.request.shard);
        let Some(connection) = self.session.connection.as_mut() else {
            let known = self.source.cache.last_complete;
            return Ok((known, known.filter(|_| shard.is_none())));
        };
        let (name, source) = (self.inputs.shard_name(), &self.source);
        let own =
            store::log::previous_complete(connection, database, &source.key, name.as_deref())?;
        let own = own.map(|run| run.fetched);
        let whole = match shard {
            None => own,
            Some(shard) => {
                whole(connection, database, &source.key, shard)?.map(|(records, _)| records)
            }
        };
        Ok((own, whole))
    }

    /// True if the whole source has been read since `moment` (PostgreSQL's clock), by one run or by all shards.
    pub(super) fn was_read_since(&mut self, moment: Micros) -> Result<bool, StoreError> {
        let (database, source_key) = (self.inputs.database, &self.source.key);
        let Some(connection) = self.session.connection.as_mut() else {
            return Ok(false);
        };
        if store::log::complete_run_since(connection, database, source_key, None, moment)? {
            return Ok(true);
        }
        Ok(match self.inputs.request.shard {
            None => false,
            Some(shard) => whole(connection, database, source_key, shard)?
                .is_some_and(|(_, started_at)| started_at > moment),
        })
    }
}

/// The last complete full runs of all shards: their records, and when the first of them began. None if one has no such run.
fn whole(
    connection: &mut Connection,
    database: &Database,
    source_key: &str,
    shard: Shard,
) -> Result<Option<(u64, Micros)>, StoreError> {
    let (mut records, mut first) = (0, Micros(i64::MAX));
    for shard in shard.all() {
        let name = shard.to_string();
        let Some(run) =
            store::log::previous_complete(connection, database, source_key, Some(&name))?
        else {
            return Ok(None);
        };
        records += run.fetched;
        first = first.min(run.started_at);
    }
    Ok(Some((records, first)))
}

/// Stands for the missing watermark before the first run, in the row of a shard.
const NONE: &str = "-";

/// Notes how far a shard has come since the watermark `before`. Once all shards have noted that, moves the watermark to the
/// value of the slowest. Returns how many shards have noted it, and how many there are.
pub(super) fn advance_together(
    connection: &mut Connection,
    database: &Database,
    name: &str,
    shard: Shard,
    (before, after): (Option<&str>, &str),
    run_id: uuid::Uuid,
) -> Result<(usize, usize), StoreError> {
    let base = before.unwrap_or(NONE);
    let row = |shard: Shard| format!("{name} {shard}");
    // The note is committed before the others are read. So of two shards that end together, at least one sees both notes.
    let value = format!("{base} {after}");
    store::state::put(connection, database, &row(shard), &value, run_id)?;
    let mut reached = Vec::new();
    for other in shard.all() {
        let value = store::state::read(connection, database, &row(other))?.unwrap_or_default();
        if let Some((from, to)) = value.split_once(' ')
            && from == base
            && let Ok(to) = to.parse::<jiff::Timestamp>()
        {
            reached.push(to);
        }
    }
    let all = shard.all().count();
    if reached.len() == all
        && let Some(slowest) = reached.iter().min()
        && before.is_none_or(|before| before.parse().is_ok_and(|before| *slowest > before))
    {
        // Returns false if another shard has moved it at the same moment.
        store::state::advance(
            connection,
            database,
            name,
            before,
            &slowest.to_string(),
            run_id,
        )?;
    }
    Ok((reached.len(), all))
}
