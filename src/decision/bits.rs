//! A set of small numbers: rules of a table, segments of an axis.

/// A set of the numbers below a fixed length.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Bits {
    words: Vec<u64>,
    length: usize,
}

impl Bits {
    /// The empty set.
    pub fn none(length: usize) -> Self {
        Self {
            words: vec![0; length.div_ceil(64)],
            length,
        }
    }

    /// All numbers below the length.
    pub fn all(length: usize) -> Self {
        let mut bits = Self {
            words: vec![u64::MAX; length.div_ceil(64)],
            length,
        };
        bits.trim();
        bits
    }

    fn trim(&mut self) {
        let rest = self.length % 64;
        if rest > 0
            && let Some(last) = self.words.last_mut()
        {
            *last &= (1 << rest) - 1;
        }
    }

    /// The words, lowest numbers first.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// Puts a number in.
    pub fn insert(&mut self, number: usize) {
        self.words[number / 64] |= 1 << (number % 64);
    }

    /// Puts a span of numbers in.
    pub fn insert_span(&mut self, from: usize, to: usize) {
        for number in from..to.min(self.length) {
            self.insert(number);
        }
    }

    /// Takes a number out.
    pub fn remove(&mut self, number: usize) {
        self.words[number / 64] &= !(1 << (number % 64));
    }

    /// Is the number in it?
    pub fn contains(&self, number: usize) -> bool {
        self.words
            .get(number / 64)
            .is_some_and(|word| word & (1 << (number % 64)) != 0)
    }

    /// Is nothing in it?
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// Those in both.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let mut result = self.clone();
        for (word, other) in result.words.iter_mut().zip(&other.words) {
            *word &= other;
        }
        result
    }

    /// Adds those of the other.
    pub fn add(&mut self, other: &Self) {
        for (word, other) in self.words.iter_mut().zip(&other.words) {
            *word |= other;
        }
    }

    /// All that are not in it.
    #[must_use]
    pub fn inverted(&self) -> Self {
        let mut result = self.clone();
        for word in &mut result.words {
            *word = !*word;
        }
        result.trim();
        result
    }

    /// Have they any in common?
    pub fn meets(&self, other: &Self) -> bool {
        self.words
            .iter()
            .zip(&other.words)
            .any(|(word, other)| word & other != 0)
    }

    /// The numbers, upwards.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.words.iter().enumerate().flat_map(|(index, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                if rest == 0 {
                    return None;
                }
                let bit = rest.trailing_zeros() as usize;
                rest &= rest - 1;
                Some(index * 64 + bit)
            })
        })
    }
}
