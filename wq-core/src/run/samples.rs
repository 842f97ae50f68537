//! When a worker looks at the clock, to learn what its items cost and whether to share them.
//!
//! A reading costs as much as a tiny item, so it is not made for each one; but who looks seldom
//! notices late that what waits is dear. What follows from a look: `policy::LaneClock`.

use std::cell::Cell;

/// The owner looks at the clock once in so many items, a power of two.
pub(super) const SAMPLE_EVERY: u32 = 16;
/// So many looks tell what the items of a lane cost: it takes two for the time between them.
const SAMPLES_TO_LEARN: u32 = 2;

/// When a worker looks at the clock. Once in [`SAMPLE_EVERY`] items, but after each one where they
/// are dear, and after the first ones behind a sleep: of sixteen that take a millisecond each the
/// last would wait for as long while other CPUs sleep.
#[derive(Debug)]
pub(crate) struct Samples {
    /// It looks where its count of items has none of these bits.
    mask: Cell<u32>,
    /// Looks that are wanted soon.
    wanted: Cell<u32>,
}

impl Samples {
    /// Of a worker that knows nothing.
    pub(crate) fn new() -> Samples {
        Samples {
            mask: Cell::new(0),
            wanted: Cell::new(SAMPLES_TO_LEARN),
        }
    }

    /// See the field.
    #[inline(always)]
    pub(super) fn mask(&self) -> u32 {
        self.mask.get()
    }

    /// What comes now may be of another kind.
    pub(super) fn start_anew(&self) {
        self.mask.set(0);
        self.wanted.set(SAMPLES_TO_LEARN);
    }

    /// It has looked, at a lane with items like that.
    pub(super) fn note_look(&self, costly: bool) {
        let wanted = self.wanted.get().saturating_sub(1);
        self.wanted.set(wanted);
        let each = wanted > 0 || costly;
        self.mask.set(if each { 0 } else { SAMPLE_EVERY - 1 });
    }
}
