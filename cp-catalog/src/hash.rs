//! A hash of names that is the same everywhere and every time, for indexes that are never iterated.

use std::hash::Hasher;

/// Whoever makes names collide only makes finding them slower.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct NameHasher(u64);

const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

impl NameHasher {
    fn mix(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word) * u128::from(FACTOR);
        self.0 = (product as u64) ^ ((product >> 64) as u64) ^ FACTOR.rotate_left(17);
    }
}

impl Hasher for NameHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.mix(u64::from_le_bytes(*word)));
        let rest = rest.iter().fold(rest.len() as u64, |word, byte| (word << 8) | u64::from(*byte));
        self.mix(rest);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
