//! Points of the engine at which a test may disturb it: only under `--cfg wq_hooks`.
//!
//! At each point a dice decides whether the thread naps, gives its CPU away, or takes a lane from
//! its owner, as a sensor might at that moment. Not for user code, and not for ordinary builds, in
//! which a point is nothing at all. `tests/stress.rs` checks that nothing is lost whatever falls.
//!
//! Invariant: a point stands outside of locks; one inside of a section only naps.

#![forbid(unsafe_code)]

/// The points, by what the thread is about to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Point {
    /// Put an entry into its own lane.
    PushLocal,
    /// Put an entry into an inbox.
    PushRemote,
    /// Look at the owner of a lane that it brought work to.
    Kick,
    /// Give a lane without owner to the spare that it has claimed.
    Staff,
    /// Count what ended and take the next entry.
    Advance,
    /// The same, inside of the section, between the two.
    Settle,
    /// Announce that it sleeps.
    Park,
    /// Look once more, having announced it.
    Parked,
    /// Give up a lane that it does not need.
    Vacate,
    /// Wake the owner whose wake-up it has claimed.
    Wake,
    /// Take up a lane after a sleep.
    TakeUp,
    /// Give away half of what waits.
    Give,
    /// Hand over a lane that it has revoked.
    HandOver,
    /// Count what ended, its lane lost.
    Return,
    /// Become a spare.
    Spare,
    /// Leave for good.
    Retire,
    /// Declare a block.
    Block,
    /// Take such a declaration back.
    Unblock,
}

/// Names of the points, in their order.
#[cfg(wq_hooks)]
const NAMES: [&str; 18] = [
    "PushLocal",
    "PushRemote",
    "Kick",
    "Staff",
    "Advance",
    "Settle",
    "Park",
    "Parked",
    "Vacate",
    "Wake",
    "TakeUp",
    "Give",
    "HandOver",
    "Return",
    "Spare",
    "Retire",
    "Block",
    "Unblock",
];

/// A point outside of sections and locks.
#[cfg(not(wq_hooks))]
#[inline(always)]
pub(crate) fn at(_point: Point) {}

/// A point inside of a section.
#[cfg(not(wq_hooks))]
#[inline(always)]
pub(crate) fn inside(_point: Point) {}

#[cfg(wq_hooks)]
pub(crate) use self::armed::{arm, at, counts, inside};

/// What the points do when there are any.
#[cfg(wq_hooks)]
mod armed {
    use std::cell::Cell;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::thread;
    use std::time::Duration;

    use super::{NAMES, Point};
    use crate::current::Current;
    use crate::sense::Sensor;

    /// What the dice of all threads begin with; 0: the points do nothing.
    static SEED: AtomicU64 = AtomicU64::new(0);
    /// Numbers the threads, each of which has a dice of its own.
    static THREADS: AtomicU64 = AtomicU64::new(1);
    /// How often each point was disturbed.
    static COUNTS: [AtomicU64; NAMES.len()] = [const { AtomicU64::new(0) }; NAMES.len()];

    /// One visit in so many is disturbed: rare enough that work gets done between.
    const ONE_IN: u64 = 24;
    /// The same for points that a System visits a few times in its life.
    const ONE_RARE_IN: u64 = 2;
    /// Longest nap, us.
    const LONGEST_NAP: u64 = 300;

    thread_local! {
        /// The thread's dice; 0 before its first throw.
        static DICE: Cell<u64> = const { Cell::new(0) };
        /// It is at a point already: what it does there is not disturbed by more than naps.
        static BUSY: Cell<bool> = const { Cell::new(false) };
    }

    /// Starts with this seed, or stops with 0.
    pub(crate) fn arm(seed: u64) {
        // Relaxed, here and below: settings and counts.
        SEED.store(seed, Ordering::Relaxed);
    }

    /// The points and how often each was disturbed.
    pub(crate) fn counts() -> Vec<(&'static str, u64)> {
        let count = |(name, count): (&&'static str, &AtomicU64)| {
            // Relaxed: a statistic.
            (*name, count.load(Ordering::Relaxed))
        };
        NAMES.iter().zip(&COUNTS).map(count).collect()
    }

    /// A point outside of sections and locks.
    pub(crate) fn at(point: Point) {
        disturb(point, true);
    }

    /// A point inside of a section.
    pub(crate) fn inside(point: Point) {
        disturb(point, false);
    }

    /// The next number of the thread's dice; none while the points are off, or when the thread is
    /// at its end.
    fn throw() -> Option<u64> {
        // Relaxed: a setting.
        let seed = SEED.load(Ordering::Relaxed);
        if seed == 0 {
            return None;
        }
        let mut dice = DICE.try_with(Cell::get).ok()?;
        if dice == 0 {
            // Relaxed: only uniqueness matters.
            let number = THREADS.fetch_add(1, Ordering::Relaxed);
            dice = seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        }
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        DICE.try_with(|kept| kept.set(dice)).ok()?;
        Some(dice.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16)
    }

    /// Perhaps does something to the thread or to a lane.
    fn disturb(point: Point, may_take: bool) {
        let Some(number) = throw() else {
            return;
        };
        let one_in = match point {
            Point::Staff | Point::Vacate | Point::Retire => ONE_RARE_IN,
            _ => ONE_IN,
        };
        if number % one_in != 0 {
            return;
        }
        // Relaxed: a statistic.
        COUNTS[point as usize].fetch_add(1, Ordering::Relaxed);
        let may_take = may_take && !BUSY.replace(true);
        let (what, how) = (number / one_in % 8, number / one_in / 8);
        match what {
            0 | 1 => thread::yield_now(),
            2 | 3 => thread::sleep(Duration::from_micros(how % LONGEST_NAP)),
            4 | 5 if may_take => take(None),
            _ if may_take => take(Some(how as usize)),
            _ => {}
        }
        if may_take {
            BUSY.set(false);
        }
    }

    /// Takes the calling worker's lane for another one, or the lane with this number of its pool.
    fn take(which: Option<usize>) {
        Current::with(|current| {
            let Some(current) = current else {
                return;
            };
            let lanes = current.pool.lanes();
            let lane = match which {
                Some(which) => &lanes[which % lanes.len()],
                None => match current.holding() {
                    Some((lane, _)) => lane,
                    None => return,
                },
            };
            let seen = lane.view();
            if seen.is_running() {
                current
                    .system
                    .take_over(&current.pool, lane, seen, Sensor::Forced);
            }
        });
    }
}
