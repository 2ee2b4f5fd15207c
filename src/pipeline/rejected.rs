//! Logs rejected records: the first of each reason one by one, and the others as a sum at the end of the run.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// How many rejections of each reason are logged one by one, unless all are wanted.
const ONE_BY_ONE: u64 = 3;

/// The rejections that a run has logged, in all its flows.
#[derive(Debug)]
pub struct RejectionLog {
    level: log::Level,
    one_by_one: u64,
    /// Where all rejections are listed. It is logged with the sum.
    elsewhere: String,
    seen: Mutex<BTreeMap<String, u64>>,
}

impl RejectionLog {
    /// With `all`, each rejection is logged on a line of its own.
    pub const fn new(level: log::Level, all: bool, elsewhere: String) -> Self {
        Self {
            level,
            one_by_one: if all { u64::MAX } else { ONE_BY_ONE },
            elsewhere,
            seen: Mutex::new(BTreeMap::new()),
        }
    }

    /// Logs a rejection, unless enough with its reason were logged.
    pub fn add(&self, id: &str, reason: &str, message: &str) {
        let count = {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            super::count_one_more(&mut seen, reason)
        };
        if count <= self.one_by_one {
            log::log!(self.level, "record {id} rejected ({reason}): {message}");
        }
    }

    /// Logs how many more there were, and where they are listed.
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
