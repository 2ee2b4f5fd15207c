//! SHA-256: of configurations and of keys too long for an index, as hexadecimal text; of values, as bytes. And a faster hash,
//! by which two contents are compared.

use std::fmt;

use ring::digest::{Context, SHA256};
use twox_hash::XxHash3_128;

/// A digest that bytes can still be added to.
pub struct Digest(Context);

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Digest").finish_non_exhaustive()
    }
}

impl Default for Digest {
    fn default() -> Self {
        Self(Context::new(&SHA256))
    }
}

impl Digest {
    /// Adds bytes.
    #[must_use]
    pub fn with(mut self, bytes: &[u8]) -> Self {
        self.0.update(bytes);
        self
    }

    /// Adds a part with its length in front, so that `ab` + `c` and `a` + `bc` have different digests.
    #[must_use]
    pub fn with_part(self, bytes: &[u8]) -> Self {
        self.with(&(bytes.len() as u64).to_be_bytes()).with(bytes)
    }

    /// The first 16 of the 32 bytes.
    pub fn short(self) -> [u8; 16] {
        let mut half = [0; 16];
        half.copy_from_slice(&self.0.finish().as_ref()[..16]);
        half
    }

    /// All 32 bytes as 64 hexadecimal digits, in lower case.
    pub fn hex(self) -> String {
        let digest = self.0.finish();
        let mut hex = String::with_capacity(64);
        for byte in digest.as_ref() {
            for digit in [byte >> 4, byte & 15] {
                hex.extend(char::from_digit(u32::from(digit), 16));
            }
        }
        hex
    }
}

/// `sha256:` and the digits of a text's digest, for use as a key in place of the text.
pub fn key_of(text: &str) -> String {
    format!("sha256:{}", Digest::default().with(text.as_bytes()).hex())
}

/// A hash by which a stored content is compared with a new one: XXH3, 128 bits. Two contents do not have the same
/// hash by chance. A source that makes two records of the same hash deceives itself: the older of its own rejections stays.
pub fn content_hash(content: &[u8]) -> [u8; 16] {
    XxHash3_128::oneshot(content).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_a_text_is_its_hash() {
        assert_eq!(
            key_of("{}"),
            "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
        );
    }

    #[test]
    fn parts_are_kept_apart() {
        let of = |parts: &[&str]| {
            let digest = parts.iter().fold(Digest::default(), |digest, part| {
                digest.with_part(part.as_bytes())
            });
            digest.hex()
        };
        assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
    }
}
