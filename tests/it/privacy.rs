//! Personal data and secrets: what may be shown where, how it is erased, how long it is kept, and who may read it.
#![allow(clippy::unwrap_used)]

mod erasure;
mod evidence;
mod grants;
mod leaks;
mod retention;
mod secrets;

use crate::support::Workplace;
use crate::support::http::Running;
use crate::support::postgres::Database;

/// Retries that do not keep a test waiting.
fn hasty(place: Workplace) -> Workplace {
    place.edit("mappings.yaml", "initial: 500ms", "initial: 5ms");
    place.edit("mappings.yaml", "max: 30s ", "max: 20ms ");
    place
}

fn place(api: &Running, database: &Database) -> Workplace {
    hasty(Workplace::connected(api.url(), database))
}
