//! `datasync check-db`: can the database be reached, and do its tables fit the mapping?

use anyhow::{Context as _, Result};

use crate::cli::{CheckDbArgs, Global};
use crate::config::Needs;
use crate::exit::Exit;
use crate::store::{self, Connection};

pub(super) fn run(global: &Global, args: &CheckDbArgs) -> Result<Exit> {
    let plan = super::load(
        global,
        Needs {
            api: false,
            database: true,
        },
    )?;
    let database = plan.database()?;
    if args.apply_schema {
        let mut connection = Connection::open(database, database.connection_timeout)?;
        store::apply_schema(&mut connection, database)
            .context("schema.sql could not be applied")?;
    }
    let found = store::check(database, &plan.mapping);
    let ok = super::checks::show(global, &found.checks);
    Ok(match (ok, found.misconfigured) {
        (true, _) => Exit::Success,
        (false, true) => Exit::Configuration,
        (false, false) => Exit::Database,
    })
}
