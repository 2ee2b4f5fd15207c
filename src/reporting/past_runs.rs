//! The last runs, newest first: from `sync_log`, and from the state directory those that did not reach the database.
//!
//! This file only reads. `report::history` and `report::past` show the runs.

use anyhow::Result;

use crate::config::plan::Plan;
use crate::reporting::local_log;
use crate::store::{self, Connection, PastRun};

/// Past runs, and why some may be missing.
#[derive(Debug, Default)]
pub struct PastRuns {
    /// Newest first.
    pub runs: Vec<PastRun>,
    /// Why the runs in the database are missing; none if they are not.
    pub missing_because: Option<String>,
}

impl PastRuns {
    /// No runs, and why none are known.
    pub fn unknown(why: impl Into<String>) -> Self {
        Self {
            runs: Vec::new(),
            missing_because: Some(why.into()),
        }
    }

    /// The last runs in the database.
    pub fn in_database(plan: &Plan, count: u64) -> Self {
        match read(plan, count) {
            Ok(runs) => Self {
                runs,
                missing_because: None,
            },
            Err(error) => Self::unknown(format!("{error:#}")),
        }
    }

    /// The last runs, including those whose row waits in the state directory until the database is back.
    ///
    /// # Errors
    /// The state directory cannot be read.
    pub fn everywhere(plan: &Plan, count: u64) -> Result<Self> {
        let Self {
            mut runs,
            missing_because,
        } = Self::in_database(plan, count);
        let target = store::log::target(plan.database()?);
        for (_, row) in local_log::waiting(&plan.state_dir)? {
            let waiting = PastRun::waiting(&row.header, &row.end, target.clone());
            // The table may still show the run as running, so the row on disk replaces that.
            runs.retain(|run| run.run_id != waiting.run_id);
            runs.push(waiting);
        }
        runs.sort_by(|a, b| b.started_at.cmp(&a.started_at));
        runs.truncate(usize::try_from(count).unwrap_or(usize::MAX));
        Ok(Self {
            runs,
            missing_because,
        })
    }
}

fn read(plan: &Plan, count: u64) -> Result<Vec<PastRun>> {
    let database = plan.database()?;
    let mut connection = Connection::open(database, database.connection_timeout)?;
    Ok(store::history::last(&mut connection, database, count)?)
}
