//! What is known of a descriptor: one word that events raise and failed attempts lower.
//!
//! A descriptor is registered once, edge-triggered: the kernel tells each change once and never
//! again. So a bit stays up until an attempt has found out that it is no longer true, and an
//! attempt lowers it only if no event came since it looked: each event changes the tick. That a
//! side is closed stays, unless an attempt would block after all.

#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicU64, Ordering};

/// Which way data goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Direction {
    /// From the descriptor.
    Read,
    /// To the descriptor.
    Write,
}

/// A set of facts.
pub(crate) type Bits = u16;

/// Reading will not block.
pub(crate) const READABLE: Bits = 1;
/// Writing will not block.
pub(crate) const WRITABLE: Bits = 2;
/// The peer sends no more, or nobody is there.
pub(crate) const READ_CLOSED: Bits = 4;
/// The peer takes no more.
pub(crate) const WRITE_CLOSED: Bits = 8;
/// Urgent data came once: a read ends before it, with more behind.
pub(crate) const URGENT: Bits = 16;

impl Direction {
    /// The facts that let an attempt be made.
    fn mask(self) -> Bits {
        match self {
            Direction::Read => READABLE | READ_CLOSED,
            Direction::Write => WRITABLE | WRITE_CLOSED,
        }
    }

    /// The fact that an attempt uses up that takes all there is.
    fn used_up(self) -> Bits {
        match self {
            Direction::Read => READABLE,
            Direction::Write => WRITABLE,
        }
    }
}

/// Bits of the word below the tick.
const TICK_SHIFT: u32 = 16;
/// Bits of the word below the generation.
const GENERATION_SHIFT: u32 = 32;

/// A value of the word: generation, tick, facts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Seen(u64);

impl Seen {
    /// Whose place this is.
    fn generation(self) -> u32 {
        (self.0 >> GENERATION_SHIFT) as u32
    }

    /// Whether an attempt is worth its while.
    pub(crate) fn allows(self, direction: Direction) -> bool {
        self.0 as Bits & direction.mask() != 0
    }

    /// Whether an attempt that did not fill its room has taken all there is.
    #[inline]
    pub(crate) fn reads_all(self) -> bool {
        self.0 as Bits & URGENT == 0
    }

    /// The same after an event.
    fn raised(self, bits: Bits) -> u64 {
        let tick = (self.0 >> TICK_SHIFT) as u16;
        let facts = self.0 as Bits | bits;
        u64::from(self.generation()) << GENERATION_SHIFT
            | u64::from(tick.wrapping_add(1)) << TICK_SHIFT
            | u64::from(facts)
    }

    /// Generation and tick.
    fn stamp(self) -> u64 {
        self.0 >> TICK_SHIFT
    }
}

/// The word.
#[derive(Debug)]
pub(crate) struct Readiness(AtomicU64);

impl Readiness {
    /// Nobody's, nothing is known.
    pub(crate) const fn new() -> Readiness {
        Readiness(AtomicU64::new(0))
    }

    /// What is known now.
    #[inline]
    pub(crate) fn look(&self) -> Seen {
        // Acquire: pairs with the Release in `raise`: what the deliverer saw is seen.
        Seen(self.0.load(Ordering::Acquire))
    }

    /// An event for the owner with this number. False: its place has another one by now.
    pub(crate) fn raise(&self, generation: u32, bits: Bits) -> bool {
        // Relaxed: a guess for the exchange.
        let mut seen = Seen(self.0.load(Ordering::Relaxed));
        while seen.generation() == generation {
            // Release: pairs with the Acquire in `look`.
            let raised = self.0.compare_exchange_weak(
                seen.0,
                seen.raised(bits),
                Ordering::Release,
                Ordering::Relaxed,
            );
            match raised {
                Ok(_) => return true,
                Err(now) => seen = Seen(now),
            }
        }
        false
    }

    /// An attempt that was made because of `seen` would have blocked. What came after that stands.
    #[inline]
    pub(crate) fn lower(&self, seen: Seen, direction: Direction) {
        self.lower_bits(seen, direction.mask());
    }

    /// An attempt that was made because of `seen` has taken all there was. That a side is closed
    /// stands: the next attempt finds the end.
    #[inline]
    pub(crate) fn use_up(&self, seen: Seen, direction: Direction) {
        self.lower_bits(seen, direction.used_up());
    }

    /// Lowers these, unless an event came after `seen`.
    #[inline]
    fn lower_bits(&self, seen: Seen, bits: Bits) {
        let mut now = seen;
        while now.stamp() == seen.stamp() {
            let lowered = now.0 & !u64::from(bits);
            // Relaxed: nothing is published; who reads the lowered bit waits for the next event.
            let done =
                self.0
                    .compare_exchange_weak(now.0, lowered, Ordering::Relaxed, Ordering::Relaxed);
            match done {
                Ok(_) => return,
                Err(other) => now = Seen(other),
            }
        }
    }

    /// The place gets another owner, of whom this much is known; its number.
    pub(crate) fn renew(&self, bits: Bits) -> u32 {
        let next = self.look().generation().wrapping_add(1);
        let word = u64::from(next) << GENERATION_SHIFT | u64::from(bits);
        // Release: pairs with the Acquire in `look`; late events of the last owner fail in `raise`.
        self.0.store(word, Ordering::Release);
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a failed attempt refutes what it was made for, and no more. Method: by the word.
    #[test]
    fn an_attempt_refutes_what_it_saw() {
        let word = Readiness::new();
        let owner = word.renew(READABLE | WRITABLE);
        let seen = word.look();
        assert!(seen.allows(Direction::Read) && seen.allows(Direction::Write));
        word.lower(seen, Direction::Read);
        assert!(!word.look().allows(Direction::Read));
        assert!(
            word.look().allows(Direction::Write),
            "the other way is left alone"
        );
        assert!(word.raise(owner, READABLE));
        assert!(word.look().allows(Direction::Read));
    }

    /// Goal: an event that comes during an attempt is not lost. Method: between look and failure.
    #[test]
    fn an_event_during_an_attempt_stands() {
        let word = Readiness::new();
        let owner = word.renew(READABLE);
        let seen = word.look();
        assert!(word.raise(owner, READABLE));
        word.lower(seen, Direction::Read);
        assert!(word.look().allows(Direction::Read), "the event was newer");
    }

    /// Goal: the two ways do not get in each other's way. Method: one is lowered between the other
    /// one's look and failure.
    #[test]
    fn both_ways_are_lowered() {
        let word = Readiness::new();
        word.renew(READABLE | WRITABLE);
        let seen = word.look();
        word.lower(word.look(), Direction::Write);
        word.lower(seen, Direction::Read);
        let now = word.look();
        assert!(!now.allows(Direction::Read) && !now.allows(Direction::Write));
    }

    /// Goal: what is closed stays so, unless an attempt says otherwise. Method: takes all there is
    /// from a side that is closed; then an attempt would block.
    #[test]
    fn closed_is_closed() {
        let word = Readiness::new();
        let owner = word.renew(0);
        assert!(word.raise(owner, READABLE | READ_CLOSED));
        word.use_up(word.look(), Direction::Read);
        assert!(
            word.look().allows(Direction::Read),
            "an attempt tells the end"
        );
        word.lower(word.look(), Direction::Read);
        assert!(
            !word.look().allows(Direction::Read),
            "or that there is none"
        );
    }

    /// Goal: an event of the last owner does not reach the next one. Method: raises by its number.
    #[test]
    fn late_events_reach_nobody() {
        let word = Readiness::new();
        let first = word.renew(0);
        let second = word.renew(0);
        assert!(!word.raise(first, READABLE));
        assert!(!word.look().allows(Direction::Read));
        assert!(word.raise(second, READABLE));
    }
}
