//! Sets of small numbers: rules of a table, segments of a dimension.
//!
//! Beware: `is_clear` is true for a set without members; `is_empty` is true for a set of length 0.

pub use fixedbitset::FixedBitSet as Bits;

/// Sets made from sets of the same length.
pub trait SetOperations {
    /// All numbers below a length.
    fn all(length: usize) -> Self;
    /// Those in both.
    #[must_use]
    fn and(&self, other: &Self) -> Self;
    /// All that are not in it.
    #[must_use]
    fn inverted(&self) -> Self;
}

impl SetOperations for Bits {
    fn all(length: usize) -> Self {
        let mut bits = Self::with_capacity(length);
        bits.insert_range(..);
        bits
    }

    fn and(&self, other: &Self) -> Self {
        self & other
    }

    fn inverted(&self) -> Self {
        let mut bits = self.clone();
        bits.toggle_range(..);
        bits
    }
}
