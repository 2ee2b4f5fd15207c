//! What the log says of rejected records: one by one at first, summed up at the end of the run.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Rejections logged one by one for each reason.
const ONE_BY_ONE: u64 = 20;

/// The rejections a run has logged, over all its flows.
#[derive(Debug)]
pub struct RejectionLog {
    level: log::Level,
    seen: Mutex<BTreeMap<String, u64>>,
}

impl RejectionLog {
    pub const fn new(level: log::Level) -> Self {
        Self {
            level,
            seen: Mutex::new(BTreeMap::new()),
        }
    }

    /// Logs a rejection, unless there have been enough for its reason.
    pub fn add(&self, id: &str, reason: &str, message: &str) {
        let count = {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            let count = seen.entry(reason.to_owned()).or_default();
            *count += 1;
            *count
        };
        if count <= ONE_BY_ONE {
            log::log!(self.level, "record {id} rejected ({reason}): {message}");
        }
    }

    /// Says how many more there were.
    pub fn sum_up(&self) {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for (reason, count) in seen.iter() {
            let more = count.saturating_sub(ONE_BY_ONE);
            if more > 0 {
                log::log!(self.level, "{more} more records rejected ({reason})");
            }
        }
    }
}
