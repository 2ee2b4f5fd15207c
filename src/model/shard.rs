//! A shard: the part of a source that one host processes. All hosts must agree on it, so it depends on the key alone.

use std::fmt;
use std::str::FromStr;

/// The largest number of shards that can be configured.
const MAX_SHARDS: u32 = 256;

/// Shard `number` (from 1) of `count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    number: u32,
    of: u32,
}

impl Shard {
    /// Whether a record with this key belongs to the shard. Those without a key belong to the first.
    pub fn owns(self, key: Option<&str>) -> bool {
        // The upper bits choose the shard; the lower ones spread a shard's records over its connections.
        let at = key.map_or(0, |key| {
            (u64::from(crc32fast::hash(key.as_bytes())) * u64::from(self.of)) >> 32
        });
        at + 1 == u64::from(self.number)
    }

    /// All shards of the same source, this one included.
    pub fn all(self) -> impl Iterator<Item = Self> {
        let of = self.of;
        (1..=of).map(move |number| Self { number, of })
    }

    /// True if both are shards of one division into equally many.
    pub const fn is_sibling_of(self, other: Self) -> bool {
        self.of == other.of
    }

    /// The name of the shard as a part of file names.
    pub fn file_part(self) -> String {
        format!("{}-of-{}", self.number, self.of)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse::<u32>().ok().filter(|number| *number > 0);
        text.split_once('/')
            .and_then(|(a, b)| Some((number(a)?, number(b)?)))
            .filter(|(number, of)| number <= of && *of <= MAX_SHARDS)
            .map(|(number, of)| Self { number, of })
            .ok_or_else(|| {
                format!("expected I/N, such as 1/4 for the first of four (at most {MAX_SHARDS})")
            })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_record_belongs_to_one_shard_and_to_the_same_for_ever() {
        let four: Vec<Shard> = "1/4".parse::<Shard>().unwrap().all().collect();
        let mut counts = [0_u32; 4];
        for i in 0..40_000 {
            let key = format!("CUST-{i:06}");
            let owners: Vec<usize> = (0..4).filter(|&at| four[at].owns(Some(&key))).collect();
            assert_eq!(owners.len(), 1, "{key}");
            counts[owners[0]] += 1;
        }
        assert!(
            counts.iter().all(|count| (9_000..11_000).contains(count)),
            "{counts:?}"
        );
        assert!(four[0].owns(None) && !four[1].owns(None));
        // These results must never change: hosts with older versions of the program have to agree.
        let owner = |key: &str| four.iter().position(|shard| shard.owns(Some(key))).unwrap() + 1;
        assert_eq!(["CUST-000001", "42", "Zoë", ""].map(owner), [3, 1, 2, 1]);
    }

    #[test]
    fn shards_count_from_one() {
        for good in ["1/1", "4/4", "256/256"] {
            assert_eq!(good.parse::<Shard>().unwrap().to_string(), good);
        }
        for bad in [
            "", "0/4", "5/4", "1", "1/0", "a/b", "1/257", "-1/4", "1/4/2",
        ] {
            assert!(bad.parse::<Shard>().is_err(), "{bad} was accepted");
        }
    }
}
