//! The spare workers of a pool: a lock-free stack of worker numbers, newest on top.
//!
//! The spotter claims from it at idle priority, so it must not be able to hold a lock that a
//! normal worker wants. Workers are never freed while the System lives, so following a stale
//! number is safe; a counter in the head word defeats reuse of the same number (ABA). The newest
//! idle worker is taken first (warm caches; the old ones at the bottom grow old and leave), as
//! the kernel does. Proof and model: `docs/memory-ordering.md`, "Spare workers".

use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::owner::WorkerId;

/// Where a worker stands with respect to the stack. One word per worker.
#[derive(Debug)]
pub(crate) struct SpareSlot {
    /// Number of the next spare below, 0 for none. Written while the worker is off the stack.
    below: AtomicU32,
    /// One of the states below.
    state: AtomicU32,
}

/// Not on a stack: holds a lane, or serves out an item.
const ENGAGED: u32 = 0;
/// On the stack, may be claimed.
const SPARE: u32 = 1;
/// On the stack but gone: was idle for too long. The next claimer discards the entry.
const RETIRED: u32 = 2;

impl SpareSlot {
    /// The slot of a new worker.
    pub(crate) fn new() -> SpareSlot {
        SpareSlot {
            below: AtomicU32::new(0),
            state: AtomicU32::new(ENGAGED),
        }
    }

    /// A spare that waited too long leaves. False: it was claimed, and an assignment follows.
    /// On true its record may be another's at once: whatever it writes there comes before this.
    pub(crate) fn retire(&self) -> bool {
        // Release: pairs with the Acquire in `claim`; who reuses the record sees it finished.
        self.state
            .compare_exchange(SPARE, RETIRED, Ordering::Release, Ordering::Relaxed)
            .is_ok()
    }

    /// The claimer's side of the race with [`SpareSlot::retire`].
    fn claim(&self) -> bool {
        // Relaxed: the stack's head has shown the worker as it was when it became spare.
        // Acquire on failure: pairs with the Release in `retire`.
        self.state
            .compare_exchange(SPARE, ENGAGED, Ordering::Relaxed, Ordering::Acquire)
            .is_ok()
    }
}

/// The stack.
#[derive(Debug)]
pub(crate) struct Spares {
    /// Count of changes in the upper half, number of the top spare in the lower.
    head: AtomicU64,
}

/// What a claim found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Claim {
    /// This worker is the caller's to assign.
    Spare(WorkerId),
    /// This worker had retired; its record is the caller's to use again. Claim once more.
    Discarded(WorkerId),
    /// There is none.
    Empty,
}

impl Spares {
    /// An empty stack.
    pub(crate) fn new() -> Spares {
        Spares {
            head: AtomicU64::new(0),
        }
    }

    /// Puts worker `id`, whose slot is `slot`, on top. Only the worker itself, or who claimed
    /// it, may do so.
    pub(crate) fn push(&self, id: WorkerId, slot: &SpareSlot) {
        // Relaxed: published by the exchange below.
        slot.state.store(SPARE, Ordering::Relaxed);
        // Relaxed: a stale value fails the exchange.
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            // Relaxed: published by the exchange below.
            slot.below.store(head as u32, Ordering::Relaxed);
            let next = next_head(head, id);
            // Release: pairs with the Acquire in `claim`.
            match self
                .head
                .compare_exchange_weak(head, next, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// Takes the newest spare. `slot_of` finds a worker's slot.
    pub(crate) fn claim<'a>(&self, slot_of: impl Fn(WorkerId) -> &'a SpareSlot) -> Claim {
        // Acquire: pairs with the Release in `push`; the top's `below` is visible.
        let mut head = self.head.load(Ordering::Acquire);
        loop {
            let id = head as u32;
            if id == 0 {
                return Claim::Empty;
            }
            let slot = slot_of(id);
            // Relaxed: if the top changed meanwhile the count fails the exchange.
            let below = slot.below.load(Ordering::Relaxed);
            let next = next_head(head, below);
            // Relaxed: on success the head is still the one acquired before. Acquire on failure,
            // for the new top's `below`; pairs with `push`.
            match self
                .head
                .compare_exchange_weak(head, next, Ordering::Relaxed, Ordering::Acquire)
            {
                Ok(_) if slot.claim() => return Claim::Spare(id),
                Ok(_) => return Claim::Discarded(id),
                Err(now) => head = now,
            }
        }
    }
}

/// The head word after one more change, with `id` on top.
fn next_head(head: u64, id: u32) -> u64 {
    ((head >> 32).wrapping_add(1) << 32) | u64::from(id)
}
