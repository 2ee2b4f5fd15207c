//! The limit on open files: raised as far as the system allows, and named where it is too low.
//!
//! Each connection takes a few of them. Without one the errors say "Too many open files" at whatever comes last.

use rustix::process::{Resource, getrlimit, setrlimit};

/// What a run needs beside its connections.
const OTHERS: u64 = 24;
/// What a thread with a connection of its own needs.
const OF_A_CONNECTION: u64 = 4;

/// Raises the limit to what the system allows, and warns where so many connections may not fit into it.
pub fn provide(connections: u64) {
    let needed = OTHERS + OF_A_CONNECTION * connections;
    let mut limit = getrlimit(Resource::Nofile);
    let enough = |current: Option<u64>| current.is_none_or(|current| current >= needed);
    if enough(limit.current) {
        return;
    }
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        log::debug!("the limit on open files cannot be raised: {error}");
    }
    if let Some(current) = getrlimit(Resource::Nofile).current
        && current < needed
    {
        log::warn!(
            "the limit on open files is {current}, and this run may need {needed}: raise it (`ulimit -n`, LimitNOFILE= of systemd), or lower `concurrency` and `max_connections`"
        );
    }
}
