//! Which kinds of items burn CPU: a small memory by type, that fades.
//!
//! An item that is found burning costs those behind it a millisecond or two before somebody takes
//! the lane. The next item of the same type (the same closure, the same `async` block) starts on a
//! lane that is declared free. A few polls that do not burn, and the type is forgotten. What
//! several kinds share a type for (boxed futures) is remembered and forgotten together.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::kind::{Kind, KindNumber};

/// Types that are remembered at most; two that meet in a slot push each other out.
const SLOTS: usize = 128;
/// Polls in a row without burning after which a type is forgotten.
const CREDIT: u64 = 4;
/// Credit of a type whose last polls all burnt: as many as it has more than [`CREDIT`], and one.
const FULL_CREDIT: u64 = 7;

/// What is known of a kind of items.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Known {
    /// Nothing bad.
    No,
    /// Some burnt lately.
    Sometimes,
    /// The last four that were looked at all burnt. One that does not, and this is over: items that
    /// share a type with burners must not wait with them.
    Always,
}
/// Where a slot's word holds the polls that are left.
const CREDIT_MASK: u64 = KindNumber::FREE_BITS;

/// The memory of a System. Relaxed throughout: what is lost or doubled costs a hand-over.
#[derive(Debug)]
pub(crate) struct Memory {
    /// Slots in use: as long as nothing burns, this is all that is looked at.
    known: AtomicU32,
    /// Kind and credit.
    slots: [AtomicU64; SLOTS],
}

impl Memory {
    /// Nothing is known.
    pub(crate) fn new() -> Memory {
        Memory {
            known: AtomicU32::new(0),
            slots: [const { AtomicU64::new(0) }; SLOTS],
        }
    }

    /// The slot of a kind.
    fn slot(&self, kind: KindNumber) -> &AtomicU64 {
        &self.slots[(kind.bits() >> 32) as usize % SLOTS]
    }

    /// Whether items of this kind burnt CPU lately.
    #[inline]
    pub(crate) fn knows(&self, kind: &Kind) -> Known {
        if self.known.load(Ordering::Relaxed) == 0 {
            return Known::No;
        }
        self.recall(kind.number())
    }

    /// See [`Memory::knows`].
    #[cold]
    fn recall(&self, kind: KindNumber) -> Known {
        let word = self.slot(kind).load(Ordering::Relaxed);
        match word & CREDIT_MASK {
            _ if word & !CREDIT_MASK != kind.bits() => Known::No,
            FULL_CREDIT => Known::Always,
            _ => Known::Sometimes,
        }
    }

    /// A poll of an item of this kind has burnt, or (of a kind that is taken for one) has not.
    #[cold]
    pub(crate) fn note(&self, kind: &Kind, burnt: bool) {
        let kind = kind.number();
        let slot = self.slot(kind);
        let word = slot.load(Ordering::Relaxed);
        let credit = word & CREDIT_MASK;
        let next = match word & !CREDIT_MASK == kind.bits() {
            true if burnt => kind.bits() | (credit + 1).clamp(CREDIT, FULL_CREDIT),
            false if burnt => kind.bits() | CREDIT,
            false => return,
            true if credit <= 1 => 0,
            true => kind.bits() | (credit.min(CREDIT) - 1),
        };
        let changed = slot.compare_exchange(word, next, Ordering::Relaxed, Ordering::Relaxed);
        match (changed.is_ok(), word == 0, next == 0) {
            (true, true, false) => drop(self.known.fetch_add(1, Ordering::Relaxed)),
            (true, false, true) => drop(self.known.fetch_sub(1, Ordering::Relaxed)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A kind is remembered from its first burn until it has behaved for a while; others are not.
    #[test]
    fn kinds_are_remembered_and_forgotten() {
        struct Burner;
        struct Other;
        let hogs = Memory::new();
        let (burner, other) = (Kind::of::<Burner>(), Kind::of::<Other>());
        assert_eq!(hogs.knows(burner), Known::No);
        hogs.note(burner, true);
        assert_eq!(hogs.knows(burner), Known::Sometimes);
        assert_eq!(hogs.knows(other), Known::No);
        for _ in 0..CREDIT {
            assert_eq!(hogs.knows(burner), Known::Sometimes);
            hogs.note(other, false);
            hogs.note(burner, false);
        }
        assert_eq!(hogs.knows(burner), Known::No);
        assert_eq!(hogs.known.load(Ordering::Relaxed), 0);
    }

    /// Goal: a kind is taken for one that always burns after four burns, until one does not.
    #[test]
    fn who_shares_a_type_does_not_wait_with_burners() {
        struct Mixed;
        let (hogs, mixed) = (Memory::new(), Kind::of::<Mixed>());
        for n in 1..10 {
            hogs.note(mixed, true);
            let known = if n < 4 {
                Known::Sometimes
            } else {
                Known::Always
            };
            assert_eq!(hogs.knows(mixed), known, "after {n}");
        }
        hogs.note(mixed, false);
        assert_eq!(hogs.knows(mixed), Known::Sometimes);
        hogs.note(mixed, true);
        assert_eq!(hogs.knows(mixed), Known::Sometimes);
    }
}
