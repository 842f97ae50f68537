//! Keeps a System's memory in place while a foreign thread wakes a task of it.
//!
//! A waker may fire on any thread, without a reference to the System. While its item is in
//! flight the System lives, but the item may run and end as soon as it is pushed, and the waker's
//! thread still has a lane to wake. So it pins first: it counts itself in before the push and out
//! after its last touch. A System is freed only after all its items have ended *and* every pin
//! taken before that is gone. Proof and model: `docs/memory-ordering.md`, "Pins".

use crate::sync::atomic::{AtomicU64, Ordering, fence};

/// One stripe of pin counters: entries and leavings, both only rise.
#[derive(Debug)]
pub(crate) struct PinStripe {
    entered: AtomicU64,
    left: AtomicU64,
}

impl PinStripe {
    /// Nobody pinned.
    #[cfg(not(loom))]
    pub(crate) const fn new() -> PinStripe {
        PinStripe {
            entered: AtomicU64::new(0),
            left: AtomicU64::new(0),
        }
    }

    /// Nobody pinned (loom's atomics have no const constructor).
    #[cfg(loom)]
    pub(crate) fn new() -> PinStripe {
        PinStripe {
            entered: AtomicU64::new(0),
            left: AtomicU64::new(0),
        }
    }

    /// In a forked child, before anything else runs there: nobody pins, since the threads that did
    /// are in another process and will never leave here.
    #[cfg(not(loom))]
    pub(crate) fn forget(&self) {
        // Relaxed, both: there is one thread.
        let entered = self.entered.load(Ordering::Relaxed);
        self.left.store(entered, Ordering::Relaxed);
    }

    /// Pins until the guard drops.
    pub(crate) fn pin(&self) -> Pin<'_> {
        // Relaxed: ordered before the item's end by the push of the item that follows, which
        // the worker acquires, and whose end the freeing thread has seen.
        self.entered.fetch_add(1, Ordering::Relaxed);
        Pin(self)
    }

    /// Pins, for a look at a flag that says whether what is pinned is still there: either the
    /// look finds the flag cleared, or [`PinStripe::no_lookers`] waits for the pin.
    pub(crate) fn pin_to_look(&self) -> Pin<'_> {
        let pin = self.pin();
        // SeqCst: the pin before the look; pairs with the fence in `no_lookers`.
        fence(Ordering::SeqCst);
        pin
    }

    /// Whether nobody looks any more; asked by one who has seen the flag cleared.
    pub(crate) fn no_lookers(&self) -> bool {
        // SeqCst: the cleared flag before the look at the pins; pairs with `pin_to_look`.
        fence(Ordering::SeqCst);
        self.quiescent()
    }

    /// Whether there was a moment, since the call, at which nobody held a pin. All pins that
    /// happened before the call are gone then.
    pub(crate) fn quiescent(&self) -> bool {
        // Acquire: pairs with the Release in `drop`; the pinner's touches happened before. Read
        // first: both counters only rise, so equality means that they were equal at this read.
        let left = self.left.load(Ordering::Acquire);
        // Relaxed: the caller has seen the items end, so it sees the pins of their wakers.
        self.entered.load(Ordering::Relaxed) == left
    }
}

/// A pin; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Pin<'a>(&'a PinStripe);

impl Drop for Pin<'_> {
    fn drop(&mut self) {
        // Release: pairs with the Acquire in `quiescent`.
        self.0.left.fetch_add(1, Ordering::Release);
    }
}
