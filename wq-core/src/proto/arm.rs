//! Calling those who look at a CPU: work waits behind a running item, so keep an eye on it.
//!
//! Whoever leaves work waiting looks at one word, and wakes the idle spotter only if its flag is
//! clear. The spotter clears the flag, fences, and looks once more before it sleeps; before a short
//! sleep it leaves the fence out. A missed arming costs time, never work: the monitor looks too,
//! and the word's other flag, a hint, tells whether that one is in a long pause. Model:
//! `docs/memory-ordering.md`, "Arming".

use crate::sync::atomic::{AtomicU32, Ordering};

use super::asym;

/// The spotter is runnable, or about to be woken; without this it sleeps.
const ARMED: u32 = 1;
/// The monitor was told, or pauses for a moment only; without this it may be in a long pause.
const HURRIED: u32 = 2;

/// The word of one CPU.
#[derive(Debug)]
pub(crate) struct Armed(AtomicU32);

impl Armed {
    /// Nobody looks.
    pub(crate) fn new() -> Armed {
        Armed(AtomicU32::new(0))
    }

    /// Called after work was left waiting, in a lane whose spotter is wanted or not: whether
    /// somebody must be told.
    #[inline(always)]
    pub(crate) fn lacks_a_look(&self, spotter_wanted: impl FnOnce() -> bool) -> bool {
        // The waiting work before the look at the flag; pairs with `asym::heavy` in `disarm`.
        asym::light();
        // Relaxed: the word carries no data.
        match self.0.load(Ordering::Relaxed) {
            word if word == ARMED | HURRIED => false,
            HURRIED => spotter_wanted(),
            _ => true,
        }
    }

    /// Called after work was left waiting: true if the caller must wake the spotter.
    #[inline]
    #[must_use = "the spotter sleeps until it is woken"]
    pub(crate) fn arm(&self) -> bool {
        // As in `lacks_a_look`.
        asym::light();
        self.set(ARMED)
    }

    /// Whether somebody armed since the flag was cleared; a hint.
    pub(crate) fn is_armed(&self) -> bool {
        // Relaxed: who arms later also wakes.
        self.0.load(Ordering::Relaxed) & ARMED != 0
    }

    /// Called by the spotter before a look and a short sleep. An armer that has read the flag a
    /// moment ago may go unnoticed by that look, so a sleep without limit takes a
    /// [`disarm`](Armed::disarm) more.
    pub(crate) fn disarm_briefly(&self) {
        // Relaxed: what this misses, the end of the short sleep finds.
        self.0.fetch_and(!ARMED, Ordering::Relaxed);
    }

    /// Called by the spotter before its last look: after this an armer wakes it. Its barrier
    /// interrupts all CPUs that the process runs on, and takes a lock of the machine.
    pub(crate) fn disarm(&self) {
        // Relaxed: ordered before the last look by the barrier.
        self.0.fetch_and(!ARMED, Ordering::Relaxed);
        // Pairs with `asym::light` in `arm` and in `lacks_a_look`.
        asym::heavy();
    }

    /// Called after work was left waiting: true if the monitor may be in a long pause, which the
    /// caller should end.
    #[must_use = "the monitor looks late until it is told"]
    pub(crate) fn hurry(&self) -> bool {
        self.set(HURRIED)
    }

    /// Called by the monitor before a long pause.
    pub(crate) fn expect_hurry(&self) {
        // Relaxed: who reads the word a moment too early lets the pause last.
        self.0.fetch_and(!HURRIED, Ordering::Relaxed);
    }

    /// Sets a flag; true for the one of several who did it.
    fn set(&self, flag: u32) -> bool {
        // Relaxed, twice: the flag carries no data; one of several gets it clear.
        self.0.load(Ordering::Relaxed) & flag == 0
            && self.0.fetch_or(flag, Ordering::Relaxed) & flag == 0
    }
}
