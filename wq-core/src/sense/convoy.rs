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
//! millisecond, at most one. What decides is [`Convoys::grace_ns`].

use std::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering};

/// Futexes that a pool keeps in mind; two that meet push each other out.
const SLOTS: usize = 16;

/// A futex moves if a worker came back from it no longer ago than this many usual waits (its holder
/// may have been preempted), within these bounds, ns; and so long a lane is left to a worker that
/// waits on one.
const USUAL_WAITS: u64 = 4;
const MOVES_WITHIN_NS: (u64, u64) = (250_000, 1_000_000);

/// Waits of this length, ns, are worth a hand-over each: a lane is not left standing for longer.
const LONG_WAIT_NS: u64 = 1_000_000;

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
    /// How long they usually wait, ns.
    usual_ns: AtomicU64,
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
                    usual_ns: AtomicU64::new(0),
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

    /// For how long the lane is to be left to a worker that waits on this futex, in a pool with so
    /// many lanes; 0: not at all.
    pub(crate) fn grace_ns(&self, futex: usize, lanes: usize, now_ns: u64) -> u64 {
        if futex == 0 {
            return 0;
        }
        let slot = self.slot(futex);
        let usual_ns = slot.usual_ns.load(Ordering::Relaxed);
        let a_row = slot.futex.load(Ordering::Relaxed) == futex
            && slot.waiting.load(Ordering::Relaxed) >= lanes as i32
            && usual_ns < LONG_WAIT_NS;
        let moves_within_ns = (usual_ns * USUAL_WAITS).clamp(MOVES_WITHIN_NS.0, MOVES_WITHIN_NS.1);
        let still_ns = now_ns.saturating_sub(slot.moved_ns.load(Ordering::Relaxed));
        if a_row && still_ns < moves_within_ns {
            moves_within_ns
        } else {
            0
        }
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
            slot.usual_ns.store(0, Ordering::Relaxed);
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

    /// A worker that lost its lane so, a while ago, is back.
    pub(crate) fn note_return(&self, futex: usize, waited_ns: u64, now_ns: u64) {
        let slot = self.slot(futex);
        if futex != 0 && slot.futex.load(Ordering::Relaxed) == futex {
            slot.waiting.fetch_sub(1, Ordering::Relaxed);
            slot.moved_ns.store(now_ns, Ordering::Relaxed);
            // Moves by a quarter at a time.
            let usual = slot.usual_ns.load(Ordering::Relaxed);
            let usual = usual - usual / 4 + waited_ns / 4;
            slot.usual_ns.store(usual, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LANES: usize = 2;
    const LOCK: usize = 0x7f00_1234;

    /// Only a row behind a lock that moves keeps a lane; when the row is short, the lock stands
    /// still, or waits are long, it does not.
    #[test]
    fn a_row_behind_a_moving_lock_keeps_its_lanes() {
        let convoys = Convoys::new();
        let grace_ns = |now_ns| convoys.grace_ns(LOCK, LANES, now_ns);
        (0..4 * LANES).for_each(|_| convoys.note_wait(LOCK));
        assert_eq!(grace_ns(9_000_000), 0, "nobody came back yet");
        convoys.note_return(LOCK, 100_000, 9_000_000);
        assert_eq!(grace_ns(9_000_001), MOVES_WITHIN_NS.0);
        assert_eq!(
            grace_ns(9_000_000 + MOVES_WITHIN_NS.0),
            0,
            "it stands still again"
        );
        convoys.note_return(LOCK, 50_000_000, 9_300_000);
        assert_eq!(grace_ns(9_300_001), 0, "its waits are long");
        (0..16).for_each(|_| convoys.note_return(LOCK, 100_000, 9_400_000));
        (0..16).for_each(|_| convoys.note_wait(LOCK));
        let usual = grace_ns(9_400_001);
        assert!(
            (400_000..1_000_000).contains(&usual),
            "they are short again: {usual}"
        );
        (0..16).for_each(|_| convoys.forget(LOCK));
        assert_eq!(grace_ns(9_400_001), 0, "the row is shorter than the lanes");
    }

    /// What is no futex has no row, and a futex that takes another's place begins anew.
    #[test]
    fn other_waits_have_no_row() {
        let convoys = Convoys::new();
        (0..8).for_each(|_| convoys.note_wait(0));
        convoys.note_return(0, 1, 1);
        assert_eq!(convoys.grace_ns(0, LANES, 2), 0);
        let mut others = (1..).map(|n| LOCK + 4 * n);
        let same = |&other: &usize| std::ptr::eq(convoys.slot(other), convoys.slot(LOCK));
        let other = others.find(same).expect("there are few slots");
        (0..4).for_each(|_| convoys.note_wait(LOCK));
        convoys.note_return(LOCK, 1, 1);
        assert_ne!(convoys.grace_ns(LOCK, LANES, 2), 0);
        convoys.note_wait(other);
        convoys.note_return(other, 1, 1);
        assert_eq!(convoys.grace_ns(LOCK, LANES, 2), 0);
        assert_eq!(convoys.grace_ns(other, LANES, 2), 0);
    }
}
