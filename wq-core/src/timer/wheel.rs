//! A hierarchical timing wheel over nanoseconds: pure data, no clock, no lock, no thread.
//!
//! Time is cut into ticks of 1024 ns, and a tick's number into nine digits of six bits, which
//! is all of `u64`. A timer hangs in the level of the highest digit in which its tick differs from
//! the wheel's own tick, [`Wheel::elapsed`], and there in the slot of its own digit. Inserting and
//! cancelling are therefore a few instructions. When the first timer of a slot is due, the slot's
//! timers fall: those of the tick reached into a heap, [`Wheel::current`], the rest into lower
//! levels.
//!
//! Invariants, kept between any two calls:
//!
//! 1. `current` holds exactly the timers whose tick is not after `elapsed`, and cancelled ones;
//!    its top is not a cancelled one.
//! 2. A timer in level `l` equals `elapsed` in all digits above `l`, and is greater in digit `l`.
//!    So slots never wrap around, and the first slot of the lowest level in use is the earliest.
//! 3. Timers in `falling` are not before `elapsed`; none may expire before they are spread.
//! 4. A slot's `earliest_ns` is not after any of its timers.
//!
//! Hence timers expire in the order of their deadlines, first come first served among equals, at
//! the grain of a nanosecond: the tick decides how timers are found, never when they fire.

#![forbid(unsafe_code)]

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;

use super::slab::{MAX_TIMERS, NIL, Place, Slab, TimerKey};

#[cfg(test)]
mod tests;

/// A tick is two to the power of this many nanoseconds: 1.024 us, less than a wake-up costs, so
/// that the heap of one tick stays short; and what is left of 64 bits divides by `DIGIT_BITS`.
const TICK_SHIFT: u32 = 10;

/// Bits of a tick that one level decides.
const DIGIT_BITS: u32 = 6;

/// Slots of one level; one bit each in a word.
const SLOTS: usize = 1 << DIGIT_BITS;

/// Levels that it takes to cover every `u64`.
const LEVELS: usize = ((u64::BITS - TICK_SHIFT) / DIGIT_BITS) as usize;

/// Timers moved between levels in one call of [`Wheel::expire`], which bounds the time that the
/// caller's lock is held (about 10 us) when a slot with very many timers falls.
const MOVES_PER_CALL: usize = 512;

/// Cancelled timers left in the heap of the current tick before it is cleaned, beyond as many as
/// there are live ones. Cleaning then costs a constant for each cancelled timer.
const STALE_SLACK: usize = 64;

/// What a call of [`Wheel::expire`] left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "after `More` the call is to be repeated"]
pub(crate) enum Expired {
    /// Every timer due has been handed out.
    Done,
    /// There may be more due: the limit of the call or of one lock hold was reached.
    More,
}

/// A slot's list of timers, in no order.
#[derive(Clone, Copy, Debug)]
struct Slot {
    /// First entry of the list.
    head: u32,
    /// Lower bound of the deadlines in the list; without meaning when the list is empty.
    earliest_ns: u64,
}

/// One digit of the wheel.
#[derive(Clone, Debug)]
struct Level {
    /// Bit n is set exactly if slot n has timers.
    occupied: u64,
    /// The slots, by digit.
    slots: [Slot; SLOTS],
}

impl Level {
    /// No timers.
    const EMPTY: Self = Self {
        occupied: 0,
        slots: [Slot {
            head: NIL,
            earliest_ns: 0,
        }; SLOTS],
    };
}

/// Deadline, ticket, index: the smallest of these is the next timer to expire.
type Due = Reverse<(u64, u64, u32)>;

/// Timers that carry a `T` each; see the module's text.
pub(crate) struct Wheel<T> {
    /// All timers; everything below refers to them by index.
    slab: Slab<T>,
    /// From the lowest digit to the highest.
    levels: Box<[Level]>,
    /// The timers of ticks reached, cancelled ones among them.
    current: BinaryHeap<Due>,
    /// How many in `current` were cancelled.
    stale: usize,
    /// The list of a slot that is being spread.
    falling: u32,
    /// The tick reached; never goes back.
    elapsed: u64,
}

impl<T> Wheel<T> {
    /// An empty wheel at time zero, for [`MAX_TIMERS`].
    pub(crate) fn new() -> Self {
        Self::with_limit(MAX_TIMERS)
    }

    /// An empty wheel for at most `limit` timers.
    fn with_limit(limit: usize) -> Self {
        Self {
            slab: Slab::new(limit),
            levels: vec![Level::EMPTY; LEVELS].into_boxed_slice(),
            current: BinaryHeap::new(),
            stale: 0,
            falling: NIL,
            elapsed: 0,
        }
    }

    /// Timers armed.
    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }

    /// Arms a timer; a deadline in the past expires at the next call of `expire`.
    ///
    /// # Errors
    ///
    /// Gives the payload back while [`MAX_TIMERS`] timers are armed.
    pub(crate) fn insert(&mut self, deadline_ns: u64, payload: T) -> Result<TimerKey, T> {
        let key = self.slab.insert(deadline_ns, payload)?;
        self.place(key.index());
        Ok(key)
    }

    /// Disarms a timer in constant time (amortised); `None` if it has expired or was cancelled.
    pub(crate) fn cancel(&mut self, key: TimerKey) -> Option<T> {
        if !self.slab.holds(key) {
            return None;
        }
        let index = key.index();
        if self.slab[index].place == Place::Current {
            self.slab[index].place = Place::Nowhere;
            self.stale += 1;
        } else {
            self.unlink(index);
        }
        let payload = self.slab.remove(index);
        self.drop_stale();
        Some(payload)
    }

    /// What an armed timer carries; `None` if it has expired or was cancelled.
    pub(crate) fn payload_mut(&mut self, key: TimerKey) -> Option<&mut T> {
        self.slab.payload_mut(key)
    }

    /// When `expire` is to be called next: never after the first deadline, but before it if the
    /// timer that was first in its slot has been cancelled. `None` if nothing is armed.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        let current = self
            .current
            .peek()
            .map(|&Reverse((deadline_ns, ..))| deadline_ns);
        let falling = (self.falling != NIL).then_some(self.elapsed << TICK_SHIFT);
        if current.is_some() || falling.is_some() {
            return current.into_iter().chain(falling).min();
        }
        let (level, slot) = self.first_slot()?;
        Some(self.levels[level].slots[slot].earliest_ns)
    }

    /// Appends to `due` the payloads of at most `max` timers whose deadline is not after
    /// `now_ns`, in order. Time that goes backwards expires nothing new and does no harm.
    pub(crate) fn expire(&mut self, now_ns: u64, due: &mut Vec<T>, max: usize) -> Expired {
        let mut room = max;
        let mut moves = MOVES_PER_CALL;
        loop {
            if !self.spread(&mut moves) {
                return Expired::More;
            }
            while self.current_is_due(now_ns) {
                if room == 0 {
                    return Expired::More;
                }
                room -= 1;
                due.push(self.pop_current());
            }
            if !self.current.is_empty() || !self.open_slot(now_ns) {
                return Expired::Done;
            }
        }
    }

    /// Disarms everything: all payloads in the order in which they would have expired.
    pub(crate) fn drain(&mut self) -> Vec<T> {
        for level in &mut self.levels {
            *level = Level::EMPTY;
        }
        self.current.clear();
        self.stale = 0;
        self.falling = NIL;
        self.slab.drain()
    }

    /// Is the first timer of the current tick due?
    fn current_is_due(&self, now_ns: u64) -> bool {
        self.current
            .peek()
            .is_some_and(|&Reverse((deadline_ns, ..))| deadline_ns <= now_ns)
    }

    /// Takes the first timer of the current tick.
    fn pop_current(&mut self) -> T {
        let Reverse((_, ticket, index)) = self.current.pop().expect("the caller saw the top");
        debug_assert_eq!(self.slab[index].ticket, ticket, "the top is never stale");
        self.slab[index].place = Place::Nowhere;
        let payload = self.slab.remove(index);
        self.drop_stale();
        payload
    }

    /// Restores the rule that the heap's top is live, and cleans the heap when it pays.
    fn drop_stale(&mut self) {
        while let Some(&Reverse((_, ticket, index))) = self.current.peek() {
            if self.slab[index].ticket == ticket {
                break;
            }
            self.current.pop();
            self.stale -= 1;
        }
        let live = self.current.len() - self.stale;
        if self.stale > live + STALE_SLACK {
            let slab = &self.slab;
            self.current
                .retain(|&Reverse((_, ticket, index))| slab[index].ticket == ticket);
            self.stale = 0;
        }
    }

    /// Starts the fall of the earliest slot if a timer in it may be due, and says whether. If
    /// not, moves the wheel's tick up to `now_ns` as far as that slot allows, because timers
    /// inserted close to the wheel's tick have fewer levels to fall.
    fn open_slot(&mut self, now_ns: u64) -> bool {
        let now_tick = now_ns >> TICK_SHIFT;
        let Some((level, slot)) = self.first_slot() else {
            self.elapsed = self.elapsed.max(now_tick);
            return false;
        };
        let Slot { head, earliest_ns } = self.levels[level].slots[slot];
        if earliest_ns > now_ns {
            let before = self.start_of(level, slot) - 1;
            self.elapsed = self.elapsed.max(now_tick.min(before));
            return false;
        }
        // Nothing armed is earlier, so the ticks in between can be skipped.
        self.elapsed = earliest_ns >> TICK_SHIFT;
        self.levels[level].occupied &= !(1 << slot);
        self.levels[level].slots[slot].head = NIL;
        self.falling = head;
        self.mark_falling();
        true
    }

    /// Tells the first entry of the falling list which list it heads.
    fn mark_falling(&mut self) {
        if self.falling != NIL {
            self.slab[self.falling].place = Place::Falling;
        }
    }

    /// Hangs falling timers where they belong; false if `moves` ran out before the last.
    fn spread(&mut self, moves: &mut usize) -> bool {
        while self.falling != NIL {
            if *moves == 0 {
                return false;
            }
            *moves -= 1;
            let index = self.falling;
            self.unlink(index);
            self.place(index);
        }
        true
    }

    /// The earliest slot that has timers, as level and digit.
    fn first_slot(&self) -> Option<(usize, usize)> {
        let level = self.levels.iter().position(|level| level.occupied != 0)?;
        Some((level, self.levels[level].occupied.trailing_zeros() as usize))
    }

    /// The first tick that belongs to a slot.
    fn start_of(&self, level: usize, slot: usize) -> u64 {
        let shift = DIGIT_BITS * level as u32;
        let above = shift + DIGIT_BITS;
        (self.elapsed >> above << above) | (slot as u64) << shift
    }

    /// Hangs an entry that is nowhere into the heap or the slot of its deadline.
    fn place(&mut self, index: u32) {
        let entry = &mut self.slab[index];
        let (deadline_ns, ticket) = (entry.deadline_ns, entry.ticket);
        let tick = deadline_ns >> TICK_SHIFT;
        if tick <= self.elapsed {
            entry.place = Place::Current;
            self.current.push(Reverse((deadline_ns, ticket, index)));
            return;
        }
        let level = (tick ^ self.elapsed).ilog2() / DIGIT_BITS;
        let digit = (tick >> (DIGIT_BITS * level)) as usize % SLOTS;
        entry.place = Place::Slot {
            level: level as u8,
            slot: digit as u8,
        };
        let level = &mut self.levels[level as usize];
        let slot = &mut level.slots[digit];
        let was_empty = level.occupied & (1 << digit) == 0;
        level.occupied |= 1 << digit;
        slot.earliest_ns = if was_empty {
            deadline_ns
        } else {
            slot.earliest_ns.min(deadline_ns)
        };
        entry.next = slot.head;
        let next = std::mem::replace(&mut slot.head, index);
        if next != NIL {
            self.slab[next].previous = index;
        }
    }

    /// Takes an entry out of the list that it hangs in.
    fn unlink(&mut self, index: u32) {
        let entry = &mut self.slab[index];
        let place = std::mem::replace(&mut entry.place, Place::Nowhere);
        let previous = std::mem::replace(&mut entry.previous, NIL);
        let next = std::mem::replace(&mut entry.next, NIL);
        if next != NIL {
            self.slab[next].previous = previous;
        }
        if previous != NIL {
            self.slab[previous].next = next;
            return;
        }
        match place {
            Place::Slot { level, slot } => {
                let level = &mut self.levels[usize::from(level)];
                level.slots[usize::from(slot)].head = next;
                if next == NIL {
                    level.occupied &= !(1 << slot);
                }
            }
            Place::Falling => {
                self.falling = next;
                self.mark_falling();
            }
            Place::Nowhere | Place::Current => unreachable!("such an entry is in no list"),
        }
    }
}

impl<T> fmt::Debug for Wheel<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wheel")
            .field("len", &self.len())
            .field("next_deadline_ns", &self.next_deadline())
            .field("elapsed", &self.elapsed)
            .finish_non_exhaustive()
    }
}
