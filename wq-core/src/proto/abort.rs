//! Asking a task to stop: an abort request against the task's first suspension.
//!
//! Either the aborter finds the slot under which the suspended task can be woken, or the task,
//! about to suspend, finds the request. Model: `docs/memory-ordering.md`, "Abort".

use crate::sync::atomic::{AtomicU32, Ordering, fence};

/// No slot.
const NO_SLOT: u32 = 0;

/// The request and the slot.
#[derive(Debug)]
pub(crate) struct AbortWord {
    requested: AtomicU32,
    slot: AtomicU32,
}

impl AbortWord {
    /// No request, no slot.
    pub(crate) fn new() -> AbortWord {
        AbortWord {
            requested: AtomicU32::new(0),
            slot: AtomicU32::new(NO_SLOT),
        }
    }

    /// Asks the task to stop. The slot under which to wake it, if it has suspended.
    pub(crate) fn request(&self) -> Option<u32> {
        // Relaxed: ordered before the look at the slot by the fence.
        self.requested.store(1, Ordering::Relaxed);
        // SeqCst: the request before the look; pairs with the fence in `publish`.
        fence(Ordering::SeqCst);
        // Relaxed: the slot is a number; what it names is behind the lock of a table that the
        // task has entered before it published.
        let slot = self.slot.load(Ordering::Relaxed);
        (slot != NO_SLOT).then_some(slot)
    }

    /// The task suspends for the first time and can be woken under `slot`. True: it was asked to
    /// stop meanwhile, and must wake itself.
    pub(crate) fn publish(&self, slot: u32) -> bool {
        debug_assert!(slot != NO_SLOT, "slots are numbered from one");
        // Relaxed: ordered before the look by the fence; see `request`.
        self.slot.store(slot, Ordering::Relaxed);
        // SeqCst: the slot before the look; pairs with the fence in `request`.
        fence(Ordering::SeqCst);
        self.is_requested()
    }

    /// The slot, if the task has suspended before. For the task itself.
    pub(crate) fn slot(&self) -> Option<u32> {
        // Relaxed: written by the task itself.
        let slot = self.slot.load(Ordering::Relaxed);
        (slot != NO_SLOT).then_some(slot)
    }

    /// The task ends; its slot is given up.
    pub(crate) fn clear(&self) {
        // Relaxed: a late aborter wakes nobody, or somebody who looks again.
        self.slot.store(NO_SLOT, Ordering::Relaxed);
    }

    /// Whether the task was asked to stop.
    #[inline]
    pub(crate) fn is_requested(&self) -> bool {
        // Relaxed: ordered by the fences above where it matters.
        self.requested.load(Ordering::Relaxed) != 0
    }
}
