//! What tells paging that never ends from a long one: addresses and contents that come again, and pages that stay empty.
//! It remembers hashes, and says nothing itself: whoever asks knows what to tell the user.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

use super::page::Parsed;

/// Empty pages in a row, each naming a next one, before we call it a loop.
pub(super) const MAX_EMPTY_IN_A_ROW: u64 = 100;
/// Pages whose content is remembered: the first and the latest few, enough to see a parameter ignored or a number clamped.
const PRINTS: usize = 16;

/// What has been seen; see the file's head.
#[derive(Debug, Default)]
pub(super) struct Guard {
    addresses: HashSet<u64>,
    prints: Vec<u64>,
    empty_in_a_row: u64,
}

impl Guard {
    /// A page has come, with so many records.
    pub(super) const fn count(&mut self, records: u64) {
        self.empty_in_a_row = if records == 0 {
            self.empty_in_a_row + 1
        } else {
            0
        };
    }

    /// More pages in a row were empty than any honest source would send.
    pub(super) const fn is_idle(&self) -> bool {
        self.empty_in_a_row > MAX_EMPTY_IN_A_ROW
    }

    /// Notes an address. False: it was known.
    pub(super) fn visit(&mut self, address: &str) -> bool {
        self.addresses.insert(hash(address))
    }

    /// Notes the content of a page. True: one before it had the same.
    pub(super) fn repeats(&mut self, page: &Parsed) -> bool {
        let Some(print) = fingerprint(page) else {
            return false;
        };
        if self.prints.contains(&print) {
            return true;
        }
        if self.prints.len() > PRINTS {
            self.prints.remove(1);
        }
        self.prints.push(print);
        false
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// Tells pages apart cheaply: a large page by its number of records, its first and its last, a small one by all of it.
/// None for a page of one record or none: a source may well hold the same record twice.
fn fingerprint(parsed: &Parsed) -> Option<u64> {
    let [first, .., last] = parsed.records.as_slice() else {
        return None;
    };
    let text = parsed.text.as_str();
    let slice = |range: &Range<u32>| text.get(range.start as usize..range.end as usize);
    let mut hasher = DefaultHasher::new();
    parsed.records.len().hash(&mut hasher);
    if parsed.records.len() <= 16 {
        text.get(first.start as usize..last.end as usize)
            .hash(&mut hasher);
    } else {
        slice(first).hash(&mut hasher);
        slice(last).hash(&mut hasher);
    }
    Some(hasher.finish())
}
