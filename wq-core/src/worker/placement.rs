//! How a sleeping worker is made to start on a certain CPU: its mask is narrowed while it sleeps,
//! and widened again as soon as it is up. The proof is "Placement" in `docs/memory-ordering.md`.

use std::sync::atomic::{Ordering, fence};

use crate::pool::SharedMask;
use crate::{CpuSet, os};

use super::Worker;

/// In `Worker::placed`: the placer has not narrowed the mask yet, or not told.
const UNDER_WAY: u32 = 1;

/// How often a worker that was woken while it was being placed lets the placer have the CPU: some
/// hundred microseconds, if it has it.
const PLACER_YIELDS: u32 = 100;

/// A sleeping worker's mask was narrowed, to be widened again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "the worker is to roam again as soon as it was woken"]
pub(crate) struct Placement {
    tid: os::Tid,
    number: u32,
}

impl Worker {
    /// The worker is awake. True: it was placed, and must widen its mask.
    pub(crate) fn wake_up(&self) -> bool {
        // Relaxed: ordered before the look at `placed` by the fence.
        self.asleep.store(false, Ordering::Relaxed);
        // SeqCst: awake before the look; pairs with the fence in `place`. Either the placer sees
        // that the worker is awake and does nothing, or the worker sees the placement.
        fence(Ordering::SeqCst);
        // Somebody else than the placer was faster to wake it. What user code starts must not
        // inherit the narrow mask, and the placer is between two instructions; if it has lost its
        // CPU there for longer, it finds that it is to undo what it did.
        for _ in 0..PLACER_YIELDS {
            // Acquire: pairs with the exchange in `place`; the mask is narrowed by then.
            if self.placed.load(Ordering::Acquire) & UNDER_WAY == 0 {
                break;
            }
            os::sched_yield();
        }
        // Relaxed: ordered by the fence, or acquired above.
        self.placed.load(Ordering::Relaxed) != 0 && self.placed.swap(0, Ordering::Relaxed) != 0
    }

    /// Has the sleeping worker start on the CPU of `narrow`, if the caller wakes it next and then
    /// calls [`Worker::let_roam`] with the answer. A worker that is awake, or wakes up meanwhile,
    /// keeps (or gets back) `wide`.
    pub(crate) fn place(&self, narrow: &CpuSet, wide: &SharedMask) -> Option<Placement> {
        // Relaxed: a hint; looked at again below.
        let asleep = || self.asleep.load(Ordering::Relaxed);
        let tid = self.tid().filter(|_| asleep())?;
        let number = self.next_placement();
        let under_way = number | UNDER_WAY;
        // One placer at a time: a spare that was placed may be claimed anew before it is up. The
        // other one is somewhere between its steps, and to place is a hint.
        // Relaxed: ordered before the second look by the fence.
        self.placed
            .compare_exchange(0, under_way, Ordering::Relaxed, Ordering::Relaxed)
            .ok()?;
        // SeqCst: announced before the look; pairs with the fence in `wake_up`.
        fence(Ordering::SeqCst);
        let is_asleep = asleep();
        if is_asleep {
            // A refusal (the CPU was taken from us) leaves the scheduler's own choice.
            let _ = os::set_affinity(tid, narrow);
        }
        let next = if is_asleep { number } else { 0 };
        // Release: pairs with the Acquire in `wake_up`. Relaxed: nothing is read for it.
        let waited =
            self.placed
                .compare_exchange(under_way, next, Ordering::Release, Ordering::Relaxed);
        if is_asleep && waited.is_err() {
            // It gave up the wait, and runs user code by now.
            let _ = os::set_affinity(tid, &wide.load());
        }
        (is_asleep && waited.is_ok()).then_some(Placement { tid, number })
    }

    /// A placement's number: without the bit of one that is under way, and not 0, which is none.
    fn next_placement(&self) -> u32 {
        // Relaxed: only uniqueness matters.
        let number = self.placements.fetch_add(2 * UNDER_WAY, Ordering::Relaxed);
        (number & !UNDER_WAY).max(2 * UNDER_WAY)
    }

    /// The worker was woken on its CPU. If others keep that CPU busy, the kernel may now bring it
    /// to another one: as long as it stood there, its lane would. Whoever is sooner, this or the
    /// worker's first act, widens the mask.
    pub(crate) fn let_roam(&self, placement: Placement, wide: &SharedMask) {
        let Placement { tid, number } = placement;
        // Relaxed: who is late widens once more; a later placement is lost, and undone as well.
        if self.placed.load(Ordering::Relaxed) == number {
            let _ = os::set_affinity(tid, &wide.load());
            let _ = self
                .placed
                .compare_exchange(number, 0, Ordering::Relaxed, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A worker whose thread is the calling one, asleep as far as its word tells.
    fn sleeping() -> Worker {
        let worker = Worker::new(1);
        worker.adopt_thread();
        worker.fall_asleep();
        worker
    }

    /// Goal: one placer at a time, none for who is awake, and none of them left under way once it
    /// is over. Method: several placements of the test's own thread, each undone by its waking.
    #[test]
    fn a_sleeper_is_placed_by_one_at_a_time() {
        let mask = os::get_affinity(0).expect("a thread has a mask");
        let wide = SharedMask::new(&mask);
        let worker = sleeping();
        for _ in 0..3 {
            let placement = worker.place(&mask, &wide).expect("it sleeps");
            let word = worker.placed.load(Ordering::Relaxed);
            assert_eq!((word & UNDER_WAY, word), (0, placement.number));
            assert!(worker.place(&mask, &wide).is_none(), "it is placed");
            assert!(worker.wake_up(), "it was placed");
            assert!(worker.place(&mask, &wide).is_none(), "it is awake");
            assert!(!worker.wake_up(), "it was not placed anew");
            // The placer is late: nothing is its business any more.
            worker.let_roam(placement, &wide);
            worker.fall_asleep();
        }
        worker.abandon_thread();
    }
}
