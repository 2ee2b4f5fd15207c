//! What tells paging that never ends from a long one: addresses that come again, pages that stay empty, and pages that
//! repeat the one before. It remembers hashes and reports nothing itself: the caller writes the message.

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

use super::end::PageStatement;

/// Pages in a row with one record, always the same, before it counts as one page again and again.
const MAX_ALIKE_IN_A_ROW: u32 = 3;
/// Empty pages in a row, each naming a next one, before we call it a loop.
pub(super) const MAX_EMPTY_IN_A_ROW: u64 = 100;

/// What has been seen of earlier pages.
#[derive(Debug, Default)]
pub(super) struct LoopDetector {
    addresses: HashSet<u64>,
    empty_in_a_row: u64,
}

impl LoopDetector {
    /// A page has come, with so many records.
    pub(super) const fn count(&mut self, records: u64) {
        self.empty_in_a_row = if records == 0 {
            self.empty_in_a_row + 1
        } else {
            0
        };
    }

    /// More pages in a row were empty than a source that has an end would send.
    pub(super) const fn is_idle(&self) -> bool {
        self.empty_in_a_row > MAX_EMPTY_IN_A_ROW
    }

    /// Notes an address. False: it was known.
    pub(super) fn visit(&mut self, address: &str) -> bool {
        let mut hasher = DefaultHasher::new();
        address.hash(&mut hasher);
        self.addresses.insert(hasher.finish())
    }
}

/// Hashes of so many records of a page are kept: of a larger page the smallest ones, which are chosen alike on every page.
const MOST_PRINTS: usize = 1 << 16;

/// The records of a page by their hashes.
#[derive(Clone, Debug, Default)]
pub(super) struct Prints {
    sorted: Vec<u64>,
    /// Records, also those whose hashes are not kept.
    count: u64,
    /// Of the first two, in the order of the page.
    pub first: Option<u64>,
    pub second: Option<u64>,
}

impl Prints {
    pub(super) fn of(text: &str, records: &[Range<u32>]) -> Self {
        let print_of = |range: &Range<u32>| {
            let record = text
                .as_bytes()
                .get(range.start as usize..range.end as usize);
            print(record.unwrap_or_default())
        };
        let mut sorted: Vec<u64> = Vec::with_capacity(records.len().min(2 * MOST_PRINTS));
        for range in records {
            if sorted.len() == 2 * MOST_PRINTS {
                sorted.select_nth_unstable(MOST_PRINTS);
                sorted.truncate(MOST_PRINTS);
            }
            sorted.push(print_of(range));
        }
        sorted.sort_unstable();
        sorted.truncate(MOST_PRINTS);
        Self {
            sorted,
            count: records.len() as u64,
            first: records.first().map(print_of),
            second: records.get(1).map(print_of),
        }
    }

    pub(super) const fn len(&self) -> u64 {
        self.count
    }

    /// How many of these records are on the other page, too; of a page whose hashes are not all kept, how many of those.
    pub(super) fn shared(&self, other: &Self) -> u64 {
        let mut theirs = other.sorted.iter().peekable();
        let mut shared = 0;
        for print in &self.sorted {
            while theirs.next_if(|their| *their < print).is_some() {}
            shared += u64::from(theirs.peek() == Some(&print));
        }
        if shared == self.sorted.len() as u64 {
            self.count
        } else {
            shared
        }
    }

    /// This is the other page again: all of these records are on it, and as many as it has. Some of its records alone show
    /// that the source moved while it was read: what came in pushed them to the next page.
    pub(super) fn repeats(&self, other: &Self) -> bool {
        self.len() > 0 && self.len() >= other.len() && self.shared(other) == self.len()
    }
}

/// Fast, and good enough to tell records of one source apart.
fn print(bytes: &[u8]) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |hash: u64, word: u64| (hash.rotate_left(23) ^ word).wrapping_mul(FACTOR);
    let (words, rest) = bytes.as_chunks::<8>();
    let mut hash = words.iter().fold(bytes.len() as u64, |hash, word| {
        mix(hash, u64::from_le_bytes(*word))
    });
    for byte in rest {
        hash = mix(hash, u64::from(*byte));
    }
    hash ^ (hash >> 29)
}

/// What is noted of one page, until all pages before it are here.
#[derive(Debug)]
pub(super) struct Noted {
    pub told: PageStatement,
    pub prints: Prints,
    /// Nothing is expected at or after this page, by a sign that stood on it; holds its description for messages.
    pub sign: Option<String>,
}

/// What the pages that are now in order show.
#[derive(Debug)]
pub(super) struct InOrder {
    pub index: u64,
    pub told: PageStatement,
    /// All its records were on the page before it.
    pub repeats: bool,
    pub sign: Option<String>,
}

/// Pages put in order, each compared with the one before it.
#[derive(Debug, Default)]
pub(super) struct Order {
    next: u64,
    waiting: BTreeMap<u64, Noted>,
    previous: Prints,
    /// Pages in a row that are one and the same record.
    alike: u32,
    /// Records of the page that came last, in order.
    pub last_count: u64,
}

impl Order {
    /// Notes a page. `full`: records that a full page has. Returns the pages that are in order now.
    pub(super) fn note(&mut self, index: u64, noted: Noted, full: u64) -> Vec<InOrder> {
        self.waiting.insert(index, noted);
        let mut ready = Vec::new();
        while let Some(noted) = self.waiting.remove(&self.next) {
            let index = self.next;
            self.next += 1;
            let Noted {
                mut told,
                prints,
                sign,
            } = noted;
            let shared = prints.shared(&self.previous);
            // Where a page is one record, neighbours may well be alike, but not many in a row.
            self.alike = if prints.len() == 1 && shared == 1 {
                self.alike + 1
            } else {
                0
            };
            let tells = prints.len() > 1 || prints.len() < full || self.alike >= MAX_ALIKE_IN_A_ROW;
            let repeats = tells && prints.repeats(&self.previous);
            told.shifted = tells && shared > 0 && !repeats;
            self.last_count = told.count;
            if told.count > 0 {
                self.previous = prints;
            }
            ready.push(InOrder {
                index,
                told,
                repeats,
                sign,
            });
        }
        ready
    }

    /// The records of the last page in order that had some.
    pub(super) const fn previous(&self) -> &Prints {
        &self.previous
    }

    /// A page that came early has records.
    pub(super) fn has_records_later(&self) -> bool {
        self.waiting.values().any(|noted| noted.told.count > 0)
    }
}
