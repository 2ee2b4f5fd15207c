//! The keys of a batch, so that two batches with a common key are never written at the same time.

use std::ops::Range;
use std::sync::Arc;

use super::at;

/// The keys of all rows and rejections of a batch, in order.
#[derive(Debug)]
pub struct Keys {
    pub(super) text: Arc<String>,
    pub(super) sorted: Vec<Range<u32>>,
}

impl Keys {
    /// True if both have a key in common.
    pub fn meets(&self, other: &Self) -> bool {
        let (Some(last), Some(others_last)) = (self.sorted.last(), other.sorted.last()) else {
            return false;
        };
        let (last, others_last) = (at(&self.text, last), at(&other.text, others_last));
        let mut mine = self.sorted.iter().map(|key| at(&self.text, key)).peekable();
        let mut theirs = other
            .sorted
            .iter()
            .map(|key| at(&other.text, key))
            .peekable();
        while let (Some(a), Some(b)) = (mine.peek(), theirs.peek()) {
            // Usually one batch ends before the other begins.
            if *a > others_last || *b > last {
                return false;
            }
            match a.cmp(b) {
                std::cmp::Ordering::Equal => return true,
                std::cmp::Ordering::Less => mine.next(),
                std::cmp::Ordering::Greater => theirs.next(),
            };
        }
        false
    }
}
