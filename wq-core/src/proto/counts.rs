//! How many items a queue accepted and how many have ended, without a line that all write.
//!
//! Each lane has a line of plain counters per queue, written by its owner alone; everybody else
//! adds to one shared line. Items carry one of [`COLOURS`] colours, the one that was current when
//! they were accepted (the kernel's work colour). A colour is empty when what has ended, read
//! first over all lines, equals what was accepted, read after: the two-phase sum of SRCU.
//!
//! Invariant: `is_zero` never answers true while an item accepted before the call (in
//! happens-before order) has not ended. Proof and models: `docs/memory-ordering.md`, "Counts".

use crossbeam_utils::CachePadded;

use crate::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering, fence};

use super::asym;

/// Number of flush colours. Four make a lane's counters fill one cache line; three generations
/// can be outstanding, later flushers share the next one (the kernel has 16).
#[cfg(not(loom))]
pub(crate) const COLOURS: usize = 4;
#[cfg(loom)]
pub(crate) const COLOURS: usize = 2;

/// A colour: an index below [`COLOURS`].
pub(crate) type Colour = u8;

/// A set of colours, one bit each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ColourSet(u8);

impl ColourSet {
    /// All colours.
    pub(crate) const ALL: ColourSet = ColourSet(((1u16 << COLOURS) - 1) as u8);

    /// This set without `colour`.
    pub(crate) fn without(self, colour: Colour) -> ColourSet {
        ColourSet(self.0 & !(1 << colour))
    }

    /// One colour alone.
    pub(crate) fn only(colour: Colour) -> ColourSet {
        ColourSet(1 << colour)
    }

    /// Whether `colour` is in the set.
    pub(crate) fn contains(self, colour: Colour) -> bool {
        self.0 & (1 << colour) != 0
    }
}

/// The counters of one lane for one queue.
#[derive(Debug)]
struct Line {
    accepted: [AtomicU64; COLOURS],
    ended: [AtomicU64; COLOURS],
}

impl Line {
    /// All zero.
    fn new() -> Line {
        Line {
            accepted: std::array::from_fn(|_| AtomicU64::new(0)),
            ended: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

/// Who counts: the owner of a lane, inside a section, or anybody else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shard {
    /// The owner of the lane with this index, inside a section of that lane.
    Lane(usize),
    /// A foreign thread, or a worker that holds no lane of the queue's pool.
    Shared,
}

/// The counters of one queue.
#[derive(Debug)]
pub(crate) struct Counts {
    /// One line per lane, then the shared one.
    lines: Box<[CachePadded<Line>]>,
    /// The colour that newly accepted items get.
    colour: AtomicU8,
    /// Somebody waits for a colour to become empty: whoever ends an item must look.
    armed: AtomicBool,
}

impl Counts {
    /// Counters for a queue whose pool has `lanes` lanes.
    pub(crate) fn new(lanes: usize) -> Counts {
        Counts {
            lines: (0..=lanes).map(|_| CachePadded::new(Line::new())).collect(),
            colour: AtomicU8::new(0),
            armed: AtomicBool::new(false),
        }
    }

    /// The colour of items accepted now.
    #[inline(always)]
    pub(crate) fn colour(&self) -> Colour {
        // Relaxed: an item accepted concurrently with a flush may have either colour.
        self.colour.load(Ordering::Relaxed)
    }

    /// Counts an accepted item and fences, so that the caller's next look at the queue's
    /// "closed" flag is ordered after it (pairs with `asym::heavy` of the closer).
    #[inline(always)]
    pub(crate) fn accept(&self, shard: Shard) -> Colour {
        let colour = self.colour();
        let c = usize::from(colour);
        match shard {
            Shard::Lane(index) => bump(&self.lines[index].accepted[c]),
            Shard::Shared => {
                // Relaxed: ordered before the end of the same item by the item's own hand-over.
                self.shared().accepted[c].fetch_add(1, Ordering::Relaxed);
            }
        }
        asym::light();
        colour
    }

    /// Counts an ended item. True: somebody waits, the caller must look whether a colour became
    /// empty, under the lock of the list of waiters: it is the lock that shows the last of several
    /// enders the ends of the others (two light sides do not order each other).
    #[inline(always)]
    #[must_use = "a waiter is told by whoever ends the last item"]
    pub(crate) fn end(&self, shard: Shard, colour: Colour) -> bool {
        let c = usize::from(colour);
        match shard {
            Shard::Lane(index) => bump(&self.lines[index].ended[c]),
            Shard::Shared => {
                // Release: pairs with the Acquire in `sum_ended`; the waiter sees the execution.
                self.shared().ended[c].fetch_add(1, Ordering::Release);
            }
        }
        // The count before the look at the flag; pairs with `asym::heavy` in `arm`.
        asym::light();
        // Relaxed: ordered by the fences; the waiters stand in a list with a lock of its own.
        self.armed.load(Ordering::Relaxed)
    }

    /// Whether the item that the caller has counted last may have been the last of its colour.
    /// Of the last two enders at least one is told so.
    pub(crate) fn maybe_last(&self, colour: Colour) -> bool {
        // SeqCst: the caller's count before its look at the others'; pairs with itself on another
        // thread. Two light sides do not order each other.
        fence(Ordering::SeqCst);
        self.is_zero(ColourSet::only(colour))
    }

    /// Announces a waiter, which stands in the list of waiters already (under its lock, like
    /// `disarm`). After this either the waiter's own look sees the last end, or whoever ends it
    /// sees the announcement.
    pub(crate) fn arm(&self) {
        // Relaxed: ordered before the waiter's look by the barrier.
        self.armed.store(true, Ordering::Relaxed);
        // The flag before the waiter's look at the counters; pairs with `asym::light` in `end`
        // and in `accept`.
        asym::heavy();
    }

    /// No more waiters. Only under the lock that guards the list of waiters.
    pub(crate) fn disarm(&self) {
        // Relaxed: a late look finds no waiter.
        self.armed.store(false, Ordering::Relaxed);
    }

    /// Makes `colour` the one of newly accepted items.
    pub(crate) fn set_colour(&self, colour: Colour) {
        debug_assert!(usize::from(colour) < COLOURS, "a colour is below COLOURS");
        // Relaxed: see `colour`; what was accepted before the flush began has its colour already.
        self.colour.store(colour, Ordering::Relaxed);
    }

    /// Whether all items of the colours in `set` have ended.
    pub(crate) fn is_zero(&self, set: ColourSet) -> bool {
        let ended = self.sum_ended(set);
        ended == self.sum_accepted(set)
    }

    /// How many items of the colours in `set` have ended, ever. Ask before `sum_accepted`.
    pub(crate) fn sum_ended(&self, set: ColourSet) -> u64 {
        // Acquire: pairs with the Release in `bump` and `end`; the ends' accepts are visible.
        self.sum(set, |line, c| line.ended[c].load(Ordering::Acquire))
    }

    /// How many items of the colours in `set` were accepted, ever.
    pub(crate) fn sum_accepted(&self, set: ColourSet) -> u64 {
        // Relaxed: read after `sum_ended`, whose Acquire makes each ended item's accept visible.
        self.sum(set, |line, c| line.accepted[c].load(Ordering::Relaxed))
    }

    /// Adds one counter up over lines and colours.
    fn sum(&self, set: ColourSet, read: impl Fn(&Line, usize) -> u64) -> u64 {
        let mut total = 0u64;
        for line in &self.lines {
            for c in 0..COLOURS {
                if set.contains(c as Colour) {
                    total = total.wrapping_add(read(line, c));
                }
            }
        }
        total
    }

    /// For tests: how many items were accepted on the line that anybody may add to.
    #[cfg(test)]
    pub(crate) fn accepted_outside(&self) -> u64 {
        let accepted = &self.shared().accepted;
        // Relaxed: nothing is under way.
        accepted.iter().map(|c| c.load(Ordering::Relaxed)).sum()
    }

    /// The line that anybody may add to.
    fn shared(&self) -> &Line {
        &self.lines[self.lines.len() - 1]
    }
}

/// Adds one to a counter that the caller alone writes.
#[inline(always)]
fn bump(counter: &AtomicU64) {
    // Relaxed: nobody else writes it; the section hands the right to write on.
    let value = counter.load(Ordering::Relaxed);
    // Release: pairs with the Acquire in `sum_ended`.
    counter.store(value.wrapping_add(1), Ordering::Release);
}
