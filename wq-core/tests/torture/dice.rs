//! Pseudo-random numbers, for tests that repeat by seed.

/// A small generator of them.
#[derive(Clone, Copy)]
pub(crate) struct Dice(pub u64);

impl Dice {
    /// The next number.
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `n`.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        (self.roll() >> 20) % n
    }
}
