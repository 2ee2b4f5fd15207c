//! The limit on open files: it is raised as far as the system allows, and a warning names it where it is too low.
//!
//! A connection takes several open files. Beyond the limit, whatever opens a file next fails with "Too many open files".

use rustix::process::{Resource, getrlimit, setrlimit};

/// Open files that a run needs besides its connections.
const OTHERS: u64 = 24;
/// Open files that a thread with a connection needs.
const OF_A_CONNECTION: u64 = 4;

/// Raises the limit to what the system allows, and warns where it may be too low for this many connections.
pub fn raise_limit(connections: u64) {
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
