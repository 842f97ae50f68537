//! Arming the idle spotter of a CPU: work waits behind a running item, so keep an eye on it.
//!
//! Whoever leaves work waiting looks at one flag and wakes the spotter only if it is clear. The
//! spotter clears the flag, fences, and looks once more before it sleeps; before a short sleep it
//! leaves the fence out. A missed arming costs time, never work: the monitor looks too. Model:
//! `docs/memory-ordering.md`, "Arming".

use crate::sync::atomic::{AtomicU32, Ordering};

use super::asym;

/// The spotter sleeps.
const CLEAR: u32 = 0;
/// The spotter is runnable, or about to be woken.
const ARMED: u32 = 1;

/// The flag of one CPU.
#[derive(Debug)]
pub(crate) struct Armed(AtomicU32);

impl Armed {
    /// Clear.
    pub(crate) fn new() -> Armed {
        Armed(AtomicU32::new(CLEAR))
    }

    /// Called after work was left waiting: true if the caller must wake the spotter.
    #[inline]
    #[must_use = "the spotter sleeps until it is woken"]
    pub(crate) fn arm(&self) -> bool {
        // The waiting work before the look at the flag; pairs with `asym::heavy` in `disarm`.
        asym::light();
        // Relaxed: the flag carries no data.
        if self.0.load(Ordering::Relaxed) == ARMED {
            return false;
        }
        // Relaxed: as above; one of several armers gets CLEAR and wakes.
        self.0.swap(ARMED, Ordering::Relaxed) == CLEAR
    }

    /// Whether somebody armed since the flag was cleared; a hint.
    pub(crate) fn is_armed(&self) -> bool {
        // Relaxed: who arms later also wakes.
        self.0.load(Ordering::Relaxed) == ARMED
    }

    /// Called by the spotter before a look and a short sleep. An armer that has read the flag a
    /// moment ago may go unnoticed by that look, so a sleep without limit takes a
    /// [`disarm`](Armed::disarm) more.
    pub(crate) fn disarm_briefly(&self) {
        // Relaxed: what this misses, the end of the short sleep finds.
        self.0.store(CLEAR, Ordering::Relaxed);
    }

    /// Called by the spotter before its last look: after this an armer wakes it. Its barrier
    /// interrupts all CPUs that the process runs on, and takes a lock of the machine.
    pub(crate) fn disarm(&self) {
        // Relaxed: ordered before the last look by the barrier.
        self.0.store(CLEAR, Ordering::Relaxed);
        // Pairs with `asym::light` in `arm`.
        asym::heavy();
    }
}
