//! The dice of the generator.

use std::time::Duration;

/// Times that steps take, us: ties and odd ones, short ones more often.
const TIMES: [u64; 16] = [
    0, 1, 1, 3, 10, 10, 30, 50, 100, 100, 300, 700, 1_000, 1_000, 2_500, 12_000,
];

/// Splitmix64.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    /// Throws as this seed says.
    pub(super) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0xd134_2543_de82_ef95) ^ 0x5851_f42d_4c95_7f2d)
    }

    /// One of `n`.
    pub(super) fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }

    /// True once in `n` times.
    pub(super) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One of these.
    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// A time that a step takes.
    pub(super) fn time(&mut self) -> Duration {
        Duration::from_micros(self.pick(&TIMES))
    }
}
