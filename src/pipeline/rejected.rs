//! What the log says of rejected records: the first of each reason one by one, the others summed up at the end of the run.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Rejections logged one by one for each reason, where not all of them are wanted.
const ONE_BY_ONE: u64 = 3;

/// The rejections a run has logged, over all its flows.
#[derive(Debug)]
pub struct RejectionLog {
    level: log::Level,
    one_by_one: u64,
    /// Where all of them are to be found, said with the sum.
    elsewhere: String,
    seen: Mutex<BTreeMap<String, u64>>,
}

impl RejectionLog {
    /// `all`: each rejection gets a line of its own.
    pub const fn new(level: log::Level, all: bool, elsewhere: String) -> Self {
        Self {
            level,
            one_by_one: if all { u64::MAX } else { ONE_BY_ONE },
            elsewhere,
            seen: Mutex::new(BTreeMap::new()),
        }
    }

    /// Logs a rejection, unless there have been enough for its reason.
    pub fn add(&self, id: &str, reason: &str, message: &str) {
        let count = {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            super::count_one_more(&mut seen, reason)
        };
        if count <= self.one_by_one {
            log::log!(self.level, "record {id} rejected ({reason}): {message}");
        }
    }

    /// Says how many more there were, and where they are.
    pub fn sum_up(&self) {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for (reason, count) in seen.iter() {
            let more = count.saturating_sub(self.one_by_one);
            if more > 0 {
                let records = if more == 1 { "record" } else { "records" };
                log::log!(
                    self.level,
                    "and {more} more {records} rejected ({reason}): {}",
                    self.elsewhere
                );
            }
        }
    }
}
