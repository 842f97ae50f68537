//! Convoys: many items that want one short lock.
//!
//! An item that waits for a lock sleeps like any other, so its lane is handed over; the next item
//! wants the same lock and sleeps as well, and in the end each of them has a thread of its own,
//! all in one row behind the lock. Nothing is gained by that: the lock lets one pass at a time.
//! The kernel's file for a thread's state tells which futex it sleeps on. Where half as many
//! displaced workers as the pool has lanes wait on a futex already, the next in the row keeps its
//! lane as long as the lock *moves*: one that waits was woken and lost the race for it (its CPU
//! time has risen between two looks, though it sleeps at both), or came back after a short wait.
//! A lock need not be fair, so how long one waits tells nothing. A lock that is held for long moves
//! nobody, and delays hand-overs by half a millisecond at most; neither does a condition variable
//! or a barrier on which everybody waits.
//!
//! All of this is a guess, made of relaxed words: wrong ones cost a hand-over or a fraction of a
//! millisecond. What decides is [`Convoys::grace_ns`].

use std::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering};

/// Futexes that a pool keeps in mind; two that meet push each other out.
const SLOTS: usize = 16;
/// A lock moves for so long after it moved somebody, ns: its holder may be preempted for a moment.
const MOVES_FOR_NS: u64 = 500_000;
/// One that does not move now, but did when it was last looked at, is watched for so long, ns.
const WATCHED_FOR_NS: u64 = 250_000;
/// That it moves nobody is believed for so long, ns.
const STANDS_FOR_NS: u64 = 100_000_000;
/// A wait that is no longer than this, ns, tells that the lock moves.
const SHORT_WAIT_NS: u64 = 5_000_000;
/// No lane is left to a row for longer than this, ns: whatever the reason, other work waits.
const MOST_NS: u64 = 50_000_000;

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
    /// When it last moved somebody, ns.
    moved_ns: AtomicU64,
    /// When it was last found to move nobody, ns.
    stood_ns: AtomicU64,
}

/// A look at a worker that sleeps on a futex.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Waiter {
    /// The futex; not 0.
    pub(crate) futex: usize,
    /// It used CPU time since the last look at it in the same item.
    pub(crate) was_up: bool,
    /// For how long it is known to sleep, ns.
    pub(crate) blocked_ns: u64,
    /// The clock, ns.
    pub(crate) now_ns: u64,
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
                    stood_ns: AtomicU64::new(0),
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

    /// Whether so many displaced workers wait on this futex already, or did a moment ago: a lock
    /// that moves has its row empty now and then.
    pub(crate) fn is_row(&self, futex: usize, some: usize, now_ns: u64) -> bool {
        let slot = self.slot(futex);
        slot.futex.load(Ordering::Relaxed) == futex
            && (slot.waiting.load(Ordering::Relaxed) >= some as i32
                || now_ns.saturating_sub(slot.moved_ns.load(Ordering::Relaxed)) < MOVES_FOR_NS)
    }

    /// For how long its lane is to be left to the next in a row; 0: not at all.
    pub(crate) fn grace_ns(&self, waiter: Waiter) -> u64 {
        let slot = self.slot(waiter.futex);
        if waiter.was_up {
            slot.moved_ns.store(waiter.now_ns, Ordering::Relaxed);
        }
        let moved_ns = slot.moved_ns.load(Ordering::Relaxed);
        let stood_ns = slot.stood_ns.load(Ordering::Relaxed);
        let since = |then_ns| waiter.now_ns.saturating_sub(then_ns);
        if since(moved_ns) < MOVES_FOR_NS {
            return MOST_NS;
        }
        // What was found out last counts.
        if stood_ns > moved_ns && since(stood_ns) < STANDS_FOR_NS {
            return 0;
        }
        if waiter.blocked_ns >= WATCHED_FOR_NS {
            slot.stood_ns.store(waiter.now_ns, Ordering::Relaxed);
        }
        WATCHED_FOR_NS
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
            slot.stood_ns.store(0, Ordering::Relaxed);
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
            if waited_ns < SHORT_WAIT_NS {
                slot.moved_ns.store(now_ns, Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOME: usize = 2;
    const LOCK: usize = 0x7f00_1234;
    /// A moment.
    const T: u64 = 1_000_000_000;

    /// A look at the next in the row.
    fn look(now_ns: u64, blocked_ns: u64, was_up: bool) -> Waiter {
        Waiter {
            futex: LOCK,
            was_up,
            blocked_ns,
            now_ns,
        }
    }

    /// A row is of so many displaced workers on one futex.
    #[test]
    fn a_row_is_of_displaced_workers() {
        let convoys = Convoys::new();
        assert!(!convoys.is_row(LOCK, SOME, T));
        (0..SOME).for_each(|_| convoys.note_wait(LOCK));
        assert!(convoys.is_row(LOCK, SOME, T) && !convoys.is_row(LOCK, SOME + 1, T));
        convoys.note_return(LOCK, SHORT_WAIT_NS, T);
        assert!(!convoys.is_row(LOCK, SOME, T));
        convoys.note_wait(LOCK);
        convoys.forget(LOCK);
        assert!(!convoys.is_row(LOCK, SOME, T));
        (0..8).for_each(|_| convoys.note_wait(0));
        assert!(!convoys.is_row(LOCK, SOME, T), "other waits are no row");
    }

    /// A row that a lock has emptied by moving is one for a moment more.
    #[test]
    fn a_moving_lock_keeps_its_row() {
        let convoys = Convoys::new();
        convoys.note_wait(LOCK);
        convoys.note_return(LOCK, SHORT_WAIT_NS - 1, T);
        assert!(convoys.is_row(LOCK, SOME, T + MOVES_FOR_NS - 1));
        assert!(!convoys.is_row(LOCK, SOME, T + MOVES_FOR_NS));
    }

    /// A lock that moves keeps the lane, one that stands still does not, one that is not known is
    /// watched first.
    #[test]
    fn moving_locks_keep_lanes() {
        let convoys = Convoys::new();
        convoys.note_wait(LOCK);
        let grace_ns = |now, blocked, up| convoys.grace_ns(look(now, blocked, up));
        assert_eq!(grace_ns(T, 0, false), WATCHED_FOR_NS);
        assert_eq!(
            grace_ns(T + 100_000, 100_000, true),
            MOST_NS,
            "it lost a race for the lock"
        );
        assert_eq!(grace_ns(T + 500_000, 500_000, false), MOST_NS);
        assert_eq!(
            grace_ns(T + 700_000, 700_000, false),
            WATCHED_FOR_NS,
            "it stands still"
        );
        assert_eq!(grace_ns(T + 700_001, 0, false), 0, "which is known now");
        convoys.note_return(LOCK, 50_000_000, T + 800_000);
        assert_eq!(
            grace_ns(T + 900_000, 0, false),
            0,
            "a long wait tells nothing"
        );
        convoys.note_return(LOCK, 60_000, T + 950_000);
        assert_eq!(
            grace_ns(T + 1_000_000, 0, false),
            MOST_NS,
            "a short one does"
        );
    }

    /// A lock that was found standing still is not watched again at once; another that takes its
    /// place is.
    #[test]
    fn what_was_found_out_is_kept_for_a_while() {
        let convoys = Convoys::new();
        convoys.note_wait(LOCK);
        let grace_ns = |now, blocked| convoys.grace_ns(look(now, blocked, false));
        assert_eq!(grace_ns(T, WATCHED_FOR_NS), WATCHED_FOR_NS, "which is over");
        assert_eq!(grace_ns(T + 1, 0), 0);
        assert_eq!(grace_ns(T + STANDS_FOR_NS, 0), WATCHED_FOR_NS, "long ago");
        assert_eq!(grace_ns(T + STANDS_FOR_NS, WATCHED_FOR_NS), WATCHED_FOR_NS);
        let mut others = (1..).map(|n| LOCK + 4 * n);
        let same = |&other: &usize| std::ptr::eq(convoys.slot(other), convoys.slot(LOCK));
        convoys.note_wait(others.find(same).expect("there are few slots"));
        assert!(!convoys.is_row(LOCK, 1, T));
        assert_eq!(grace_ns(T + STANDS_FOR_NS + 1, 0), WATCHED_FOR_NS);
    }
}
