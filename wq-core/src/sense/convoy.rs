//! Convoys: many items that want one short lock.
//!
//! An item that waits for a lock sleeps like any other, so its lane is handed over; the next item
//! wants the same lock and sleeps as well, and in the end each of them has a thread of its own,
//! all in one row behind the lock. Nothing is gained by that: the lock lets one pass at a time.
//! The kernel's file for a thread's state tells which futex it sleeps on. Where as many displaced
//! workers as the pool has lanes wait on a futex already, and one of them came back from it a
//! moment ago, the lock *moves*: the next in the row will have it soon, and its lane is left to
//! it for that moment. A lock that is held for long moves nobody and delays no hand-over; neither
//! does a condition variable or a barrier on which everybody waits.
//!
//! All of this is a guess, made of relaxed words: wrong ones cost a hand-over or a quarter of a
//! millisecond. What decides is [`Convoys::holds_up`].

use std::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering};

/// Futexes that a pool keeps in mind; two that meet push each other out.
const SLOTS: usize = 16;

/// A futex moves if a worker came back from it no longer ago than this, ns; and this long a lane is
/// left to a worker that waits on one.
pub(crate) const MOVES_WITHIN_NS: u64 = 250_000;

/// The memory of a pool. Relaxed throughout: hints.
#[derive(Debug)]
pub(crate) struct Convoys([Convoy; SLOTS]);

/// One futex.
#[derive(Debug)]
struct Convoy {
    /// Its address; 0 for an unused slot.
    futex: AtomicUsize,
    /// Workers that lost a lane while they waited on it, and are not back.
    waiting: AtomicI32,
    /// When the last one came back, ns.
    moved_ns: AtomicU64,
}

impl Convoys {
    /// Nobody waits.
    pub(crate) fn new() -> Convoys {
        Convoys(
            [const {
                Convoy {
                    futex: AtomicUsize::new(0),
                    waiting: AtomicI32::new(0),
                    moved_ns: AtomicU64::new(0),
                }
            }; SLOTS],
        )
    }

    /// The place of a futex.
    fn slot(&self, futex: usize) -> &Convoy {
        // Futexes are words: their lowest bits tell nothing. Fibonacci hashing of the rest.
        let hash = (futex >> 2).wrapping_mul(0x9e37_79b9);
        &self.0[(hash >> 16) % SLOTS]
    }

    /// Whether a worker that waits on this futex should keep its lane for the moment, in a pool
    /// with so many lanes.
    pub(crate) fn holds_up(&self, futex: usize, lanes: usize, now_ns: u64) -> bool {
        let slot = self.slot(futex);
        futex != 0
            && slot.futex.load(Ordering::Relaxed) == futex
            && slot.waiting.load(Ordering::Relaxed) >= lanes as i32
            && now_ns.saturating_sub(slot.moved_ns.load(Ordering::Relaxed)) < MOVES_WITHIN_NS
    }

    /// A worker loses its lane while it waits on this futex.
    pub(crate) fn note_wait(&self, futex: usize) {
        if futex == 0 {
            return;
        }
        let slot = self.slot(futex);
        if slot.futex.load(Ordering::Relaxed) != futex {
            slot.futex.store(futex, Ordering::Relaxed);
            slot.waiting.store(0, Ordering::Relaxed);
            slot.moved_ns.store(0, Ordering::Relaxed);
        }
        slot.waiting.fetch_add(1, Ordering::Relaxed);
    }

    /// A worker that was to lose its lane so kept it.
    pub(crate) fn forget(&self, futex: usize) {
        let slot = self.slot(futex);
        if futex != 0 && slot.futex.load(Ordering::Relaxed) == futex {
            slot.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// A worker that lost its lane so is back.
    pub(crate) fn note_return(&self, futex: usize, now_ns: u64) {
        let slot = self.slot(futex);
        if futex != 0 && slot.futex.load(Ordering::Relaxed) == futex {
            slot.waiting.fetch_sub(1, Ordering::Relaxed);
            slot.moved_ns.store(now_ns, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LANES: usize = 2;
    const LOCK: usize = 0x7f00_1234;

    /// Only a row behind a lock that moves keeps a lane; when the row is short or the lock stands
    /// still, it does not.
    #[test]
    fn a_row_behind_a_moving_lock_holds_up() {
        let convoys = Convoys::new();
        let holds_up = |now_ns| convoys.holds_up(LOCK, LANES, now_ns);
        (0..=LANES).for_each(|_| convoys.note_wait(LOCK));
        assert!(
            !holds_up(1_000_000),
            "nobody came back yet: it may be held for long"
        );
        convoys.note_return(LOCK, 1_000_000);
        assert!(holds_up(1_000_001));
        assert!(
            !holds_up(1_000_000 + MOVES_WITHIN_NS),
            "it stands still again"
        );
        convoys.note_return(LOCK, 2_000_000);
        assert!(!holds_up(2_000_001), "the row is shorter than the lanes");
    }

    /// What is no futex has no row, and a futex that takes another's place begins anew.
    #[test]
    fn other_waits_have_no_row() {
        let convoys = Convoys::new();
        for _ in 0..8 {
            convoys.note_wait(0);
        }
        convoys.note_return(0, 1);
        assert!(!convoys.holds_up(0, LANES, 2));
        let other = (1..).map(|n| LOCK + 4 * n);
        let other = other.into_iter();
        let mut same_slot = other.filter(|&o| std::ptr::eq(convoys.slot(o), convoys.slot(LOCK)));
        let other = same_slot.next().expect("there are few slots");
        (0..4).for_each(|_| convoys.note_wait(LOCK));
        convoys.note_return(LOCK, 1);
        convoys.note_wait(other);
        convoys.note_return(other, 1);
        assert!(!convoys.holds_up(LOCK, LANES, 2) && !convoys.holds_up(other, LANES, 2));
    }
}
