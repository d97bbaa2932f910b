//! Inputs drawn from a seed: valid ones, damaged in the ways that decoders fear.

/// A small generator (splitmix64).
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// One for `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound.max(1)).unwrap_or(1)).unwrap_or(0)
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}

/// Lengths and tags that decoders trip over.
const HOSTILE: &[&[u8]] = &[
    &[0xff; 4],
    &[0xff; 8],
    &[0xff, 0xff, 0xff, 0xff, 0x07],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    &[0xff; 11],
    &[0x80, 0x80, 0x80, 0x80, 0x08],
    &[0; 4],
    &[0x7f],
    &[0x80],
];

/// One of `corpus`, changed one to four times.
pub fn draw(rng: &mut Rng, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut data = corpus.get(rng.below(corpus.len())).cloned().unwrap_or_default();
    for _ in 0..=rng.below(4) {
        change(rng, &mut data, corpus);
    }
    data
}

fn change(rng: &mut Rng, data: &mut Vec<u8>, corpus: &[Vec<u8>]) {
    let at = rng.below(data.len() + 1);
    match rng.below(7) {
        0 => flip(rng, data, at),
        1 => {
            if let Some(byte) = data.get_mut(at) {
                *byte = rng.byte();
            }
        }
        2 => data.truncate(at),
        3 => {
            let hostile = HOSTILE.get(rng.below(HOSTILE.len())).copied().unwrap_or_default();
            let end = (at + if rng.below(2) == 0 { 0 } else { hostile.len() }).min(data.len());
            data.splice(at..end, hostile.iter().copied());
        }
        4 => {
            let other = corpus.get(rng.below(corpus.len())).cloned().unwrap_or_default();
            data.truncate(at);
            data.extend(other.get(rng.below(other.len() + 1)..).unwrap_or_default());
        }
        5 => {
            let end = (at + rng.below(16)).min(data.len());
            let again = data.get(at..end).unwrap_or_default().to_vec();
            data.splice(at..at, again);
        }
        _ => {
            let end = (at + rng.below(8)).min(data.len());
            data.drain(at..end);
        }
    }
}

fn flip(rng: &mut Rng, data: &mut [u8], at: usize) {
    if let Some(byte) = data.get_mut(at) {
        *byte ^= 1 << rng.below(8);
    }
}
