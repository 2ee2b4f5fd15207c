//! What tells paging that never ends from a long one: addresses that come again, pages that stay empty, and pages that
//! repeat the one before. It remembers hashes and reports nothing itself: the caller writes the message.

use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher};
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
#[derive(Debug, Default)]
pub(super) struct Prints {
    kept: PrintSet,
    /// Records, also those whose hashes are not kept.
    count: u64,
    /// Of the first two, in the order of the page.
    pub first: Option<u64>,
    pub second: Option<u64>,
}

type PrintSet = HashSet<u64, BuildHasherDefault<PrintHasher>>;

/// Takes a print as its own hash.
#[derive(Debug, Default)]
pub(super) struct PrintHasher(u64);

impl Hasher for PrintHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = print(bytes);
    }

    fn write_u64(&mut self, print: u64) {
        self.0 = print;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Prints {
    pub(super) fn of(text: &str, records: &[Range<u32>]) -> Self {
        let print_of = |range: &Range<u32>| {
            let record = text
                .as_bytes()
                .get(range.start as usize..range.end as usize);
            print(record.unwrap_or_default())
        };
        let mut kept = PrintSet::default();
        kept.reserve(records.len().min(2 * MOST_PRINTS));
        for range in records {
            kept.insert(print_of(range));
            if kept.len() == 2 * MOST_PRINTS {
                keep_smallest(&mut kept);
            }
        }
        if kept.len() > MOST_PRINTS {
            keep_smallest(&mut kept);
        }
        Self {
            kept,
            count: records.len() as u64,
            first: records.first().map(print_of),
            second: records.get(1).map(print_of),
        }
    }

    pub(super) const fn len(&self) -> u64 {
        self.count
    }

    /// How many of these records are on the other page, too, records that are alike counted once; `len` where all are.
    pub(super) fn shared(&self, other: &Self) -> u64 {
        let shared = self
            .kept
            .iter()
            .filter(|print| other.kept.contains(print))
            .count();
        if shared == self.kept.len() {
            self.count
        } else {
            shared as u64
        }
    }

    /// This is the other page again: all of these records are on it, and as many as it has. Some of its records alone show
    /// that the source moved while it was read: what came in pushed them to the next page.
    pub(super) fn repeats(&self, other: &Self) -> bool {
        self.len() > 0 && self.len() >= other.len() && self.shared(other) == self.len()
    }
}

fn keep_smallest(prints: &mut PrintSet) {
    let mut all: Vec<u64> = prints.drain().collect();
    all.select_nth_unstable(MOST_PRINTS);
    prints.extend(&all[..MOST_PRINTS]);
}

/// Fast, and good enough to tell records of one source apart. Four sums at once, since a processor multiplies the next words
/// before it has the result of the last ones.
#[allow(clippy::cast_possible_truncation)] // both halves of a product are taken
fn print(bytes: &[u8]) -> u64 {
    const BLOCK: usize = 64;
    const FACTORS: [u64; 4] = [
        0x9e37_79b9_7f4a_7c15,
        0xbf58_476d_1ce4_e5b9,
        0x94d0_49bb_1331_11eb,
        0xd6e8_feb8_6659_fd93,
    ];
    let fold = |a: u64, b: u64| {
        let product = u128::from(a) * u128::from(b);
        (product >> 64) as u64 ^ product as u64
    };
    let mut sums = [bytes.len() as u64; 4];
    let mut add = |block: &[u8; BLOCK]| {
        let pairs = block.as_chunks::<16>().0;
        for ((sum, pair), factor) in sums.iter_mut().zip(pairs).zip(FACTORS) {
            let word = |at: usize| u64::from_le_bytes(pair.as_chunks::<8>().0[at]);
            *sum = fold(word(0) ^ *sum, word(1) ^ factor);
        }
    };
    let (blocks, rest) = bytes.as_chunks();
    blocks.iter().for_each(&mut add);
    match bytes.last_chunk() {
        // Bytes that are counted twice do no harm.
        Some(last) if !rest.is_empty() => add(last),
        Some(_) => {}
        None => {
            let mut padded = [0; BLOCK];
            padded[..rest.len()].copy_from_slice(rest);
            add(&padded);
        }
    }
    let [a, b, c, d] = sums;
    fold(
        a ^ b.rotate_left(32) ^ FACTORS[0],
        c ^ d.rotate_left(32) ^ FACTORS[1],
    )
}

/// What is noted of one page, until all pages before it are here.
#[derive(Debug)]
pub(super) struct Noted {
    pub statement: PageStatement,
    pub prints: Prints,
    /// Nothing is expected at or after this page, by a sign that stood on it; holds its description for messages.
    pub sign: Option<String>,
}

/// What the pages that are now in order show.
#[derive(Debug)]
pub(super) struct InOrder {
    pub index: u64,
    pub statement: PageStatement,
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
                mut statement,
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
            let repeats = tells && shared > 0 && prints.repeats(&self.previous);
            statement.shifted = tells && shared > 0 && !repeats;
            self.last_count = statement.count;
            if statement.count > 0 {
                self.previous = prints;
            }
            ready.push(InOrder {
                index,
                statement,
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
        self.waiting.values().any(|noted| noted.statement.count > 0)
    }
}
