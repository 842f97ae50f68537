//! How much CPU time a poll takes, where that matters: polls of known burners are measured, polls
//! in a row of yields are sampled.
//!
//! A loop that yields is no sleep: the CPU time of its polls adds up until the item suspends for
//! real. No clock is read for each: one in so many is timed and speaks for all, more seldom the
//! shorter they are. The gaps are random, so that two that take turns are both seen. The sum is
//! kept in the item's metadata (`entry::Meta`).

use std::cell::Cell;

/// Sampling takes one sample for so much CPU time of such polls, ns: a hundred of them make the
/// usual threshold, and three looks at the clock (1 us) are less than 1 % of it.
const SAMPLE_NS: u64 = 100_000;
/// Most polls for which one speaks.
const MAX_GAP: u32 = 1_024;
/// A sample adds this part of the threshold at most: a single long poll among short ones must not
/// decide alone.
pub(crate) const MOST_OF_THRESH: u64 = 4;

/// What a worker knows of the poll that it runs.
#[derive(Debug)]
pub(crate) struct Measure {
    /// CPU time of the thread when the present poll began, less the price of the look, ns; 0: the
    /// poll is not measured.
    since_ns: Cell<u64>,
    /// How many polls it speaks for; 0: it is measured for itself, because its item is known to
    /// burn.
    speaks_for: Cell<u32>,
    /// The present poll declared a block.
    declared: Cell<bool>,
    /// Polls in rows of yields until the next one is timed.
    left: Cell<u32>,
    /// Mean of such gaps at present.
    gap: Cell<u32>,
    /// The next random number comes from this one.
    seed: Cell<u32>,
}

/// What a poll cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Cost {
    /// Its CPU time, ns.
    pub(crate) ns: u64,
    /// How many polls it speaks for; 0: for itself alone, as one of a known burner.
    pub(crate) speaks_for: u32,
}

impl Measure {
    /// Nothing is measured.
    pub(crate) fn new() -> Measure {
        Measure {
            since_ns: Cell::new(0),
            speaks_for: Cell::new(0),
            declared: Cell::new(false),
            left: Cell::new(1),
            gap: Cell::new(1),
            seed: Cell::new(0x9e37_79b9),
        }
    }

    /// The present poll is measured.
    #[inline(always)]
    pub(crate) fn is_on(&self) -> bool {
        self.since_ns.get() != 0
    }

    /// A poll of a known burner begins; `now_ns` is the thread's CPU time.
    pub(crate) fn begin(&self, now_ns: u64) {
        self.speaks_for.set(0);
        self.since_ns.set(now_ns);
    }

    /// A poll in a row of yields begins: whether it is to be timed.
    #[inline]
    pub(crate) fn is_turn(&self) -> bool {
        let left = self.left.get() - 1;
        self.left.set(left);
        left == 0
    }

    /// As [`Measure::is_turn`], for one that is not: true. On false ask that one.
    #[inline(always)]
    pub(crate) fn passes(&self) -> bool {
        let left = self.left.get();
        if left > 1 {
            self.left.set(left - 1);
        }
        left > 1
    }

    /// Such a poll begins and is timed; `clock` reads the thread's CPU time.
    pub(crate) fn begin_sample(&self, clock: impl Fn() -> u64) {
        let (first, second) = (clock(), clock());
        self.speaks_for.set(self.gap.get());
        // The look itself takes longer than a short poll.
        self.since_ns.set(second + (second - first));
    }

    /// The poll is over: what it cost, if it was measured.
    pub(crate) fn end(&self, clock: impl Fn() -> u64) -> Option<Cost> {
        let since = self.since_ns.replace(0);
        if since == 0 {
            return None;
        }
        let ns = clock().saturating_sub(since);
        let speaks_for = self.speaks_for.get();
        if speaks_for != 0 {
            self.schedule(ns);
        }
        Some(Cost { ns, speaks_for })
    }

    /// The poll is over, whether somebody asked for its cost or not: it only dropped its item.
    pub(crate) fn stop(&self) {
        self.since_ns.set(0);
        // A turn that told nothing is the next one's.
        self.left.set(self.left.get().max(1));
    }

    /// Sets the next gap after a poll that took so long.
    fn schedule(&self, ns: u64) {
        let gap = (SAMPLE_NS / ns.max(1)).clamp(1, u64::from(MAX_GAP)) as u32;
        self.gap.set(gap);
        // Marsaglia's shifts.
        let mut seed = self.seed.get();
        seed ^= seed << 13;
        seed ^= seed >> 17;
        seed ^= seed << 5;
        self.seed.set(seed);
        // From 1 to twice the gap less one, all alike: the gap on average.
        self.left.set(1 + seed % (2 * gap - 1));
    }

    /// A new poll: nothing was declared.
    #[inline(always)]
    pub(crate) fn forget_declared(&self) {
        self.declared.set(false);
    }

    /// The present poll declares a block.
    pub(crate) fn note_declared(&self) {
        self.declared.set(true);
    }

    /// Whether the present poll declared a block.
    pub(crate) fn has_declared(&self) -> bool {
        self.declared.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs `polls` polls of `cost` ns in a row; the samples' sum, and how many there were.
    fn sum(cost: u64, polls: u64) -> (u64, u64) {
        let (measure, now) = (Measure::new(), Cell::new(1));
        let (mut sum, mut samples) = (0, 0);
        for _ in 0..polls {
            let timed = measure.is_turn();
            if timed {
                // Each look takes 250 ns.
                measure.begin_sample(|| now.replace(now.get() + 250) + 250);
            }
            now.set(now.get() + cost);
            if timed {
                let end = measure.end(|| now.replace(now.get() + 250) + 250);
                let end = end.expect("it is timed");
                sum += end.ns * u64::from(end.speaks_for);
                samples += 1;
            }
        }
        (sum, samples)
    }

    /// Goal: the samples add up to the polls' CPU time, whatever a poll costs, and are few.
    #[test]
    fn samples_speak_for_all() {
        for cost in [60, 1_000, 30_000, 2_000_000] {
            let polls = 100_000_000 / cost;
            let (sum, samples) = sum(cost, polls);
            let spent = cost * polls;
            assert!(
                sum.abs_diff(spent) < spent / 5,
                "{cost} ns: {sum} of {spent}"
            );
            assert!(
                samples <= polls.min(2 * spent / SAMPLE_NS),
                "{samples} for {cost} ns"
            );
        }
    }

    /// Goal: of two items that take turns each gets its own share, as an even gap would not do.
    #[test]
    fn turns_are_told_apart() {
        let (measure, now) = (Measure::new(), Cell::new(1));
        let mut sums = [0u64; 2];
        for poll in 0..200_000u64 {
            let timed = measure.is_turn();
            if timed {
                measure.begin_sample(|| now.get());
            }
            now.set(now.get() + 1_000);
            if let Some(cost) = measure.end(|| now.get()) {
                sums[poll as usize % 2] += cost.ns * u64::from(cost.speaks_for);
            }
        }
        for sum in sums {
            assert!(sum.abs_diff(100_000_000) < 20_000_000, "{sums:?}");
        }
    }
}
