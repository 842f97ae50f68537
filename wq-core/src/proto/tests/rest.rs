//! Models of the look that finds all asleep.

use loom::sync::Mutex;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::race;
use crate::proto::owner::Mark;
use crate::proto::park::Parker;
use crate::proto::rest::all_rest;

/// Two workers, and a lane that is no more than the number of what waits in it.
struct Workers {
    giver: Parker,
    taker: Parker,
    mark: Mark,
    waiting: AtomicUsize,
    /// The entry was run to its end.
    done: AtomicBool,
}

impl Workers {
    /// Both awake, with an entry that the giver is about to bring.
    fn new() -> Workers {
        Workers {
            giver: Parker::new(),
            taker: Parker::new(),
            mark: Mark::new(),
            waiting: AtomicUsize::new(0),
            done: AtomicBool::new(false),
        }
    }

    /// Brings the entry, wakes the taker, and sleeps.
    fn give(&self) -> bool {
        // Relaxed: as the hint of a lane; the taker is told by its parker.
        self.waiting.store(1, Ordering::Relaxed);
        self.taker.unpark();
        self.giver.begin_sleep();
        false
    }

    /// Sleeps until it is woken, takes the entry in a section, runs it, and sleeps again.
    fn take(&self) -> bool {
        self.taker.park(None);
        self.mark.shield();
        // Relaxed: as above.
        self.waiting.store(0, Ordering::Relaxed);
        self.mark.leave();
        // Relaxed: who sees the next sleep is to see it.
        self.done.store(true, Ordering::Relaxed);
        self.taker.begin_sleep();
        false
    }

    /// Looks whether all rest, and if so, whether the entry was run. True: they do.
    fn look(&self) -> bool {
        let rest = all_rest(
            || Some((self.giver.rests()?, self.taker.rests()?)),
            // Relaxed: as above.
            || self.waiting.load(Ordering::Relaxed) == 0,
        );
        // Relaxed: ordered by the look.
        assert!(!rest || self.done.load(Ordering::Relaxed), "it is in hand");
        rest
    }
}

/// Goal: nobody is found resting while an entry waits, is on its way, or runs. Method: one worker
/// brings an entry to a sleeper and falls asleep; the sleeper takes and runs it; the third looks.
#[test]
fn loom_who_runs_something_does_not_rest() {
    race(
        Workers::new,
        [Workers::give, Workers::take, Workers::look],
        |_, _| (),
    );
}

/// Goal: who takes from a list under its lock, in no section, is found awake. Method: the sleeper
/// is woken, takes the entry under the lock, runs it, and sleeps again; the other looks under the
/// lock, which is all that orders the two.
#[test]
fn loom_who_takes_under_a_lock_does_not_rest() {
    race(
        || {
            let workers = Workers::new();
            workers.taker.begin_sleep();
            (workers, Mutex::new(1))
        },
        [
            |(workers, list): &(Workers, Mutex<u32>)| {
                workers.taker.end_sleep();
                *list.lock().unwrap() = 0;
                // Relaxed: who sees the next sleep is to see it.
                workers.done.store(true, Ordering::Relaxed);
                workers.taker.begin_sleep();
                false
            },
            |(workers, list): &(Workers, Mutex<u32>)| {
                let is_empty = || *list.lock().unwrap() == 0;
                let rest = all_rest(|| workers.taker.rests(), is_empty);
                // Relaxed: ordered by the look.
                assert!(!rest || workers.done.load(Ordering::Relaxed), "in hand");
                rest
            },
        ],
        |_, _| (),
    );
}

/// Goal: a sleep is not taken for the one before it. Method: a worker that sleeps while an entry
/// waits wakes up, takes it, puts it back, and sleeps again: it is in a list or in hand all the
/// time.
#[test]
fn loom_another_sleep_is_another_sleep() {
    race(
        || {
            let workers = Workers::new();
            // Relaxed, here and below: as the hint of a lane.
            workers.waiting.store(1, Ordering::Relaxed);
            workers.taker.begin_sleep();
            workers
        },
        [
            |workers: &Workers| {
                workers.taker.end_sleep();
                workers.mark.shield();
                workers.waiting.store(0, Ordering::Relaxed);
                workers.waiting.store(1, Ordering::Relaxed);
                workers.mark.leave();
                workers.taker.begin_sleep();
                false
            },
            |workers: &Workers| {
                all_rest(
                    || workers.taker.rests(),
                    || workers.waiting.load(Ordering::Relaxed) == 0,
                )
            },
        ],
        |_, [_, rest]| assert!(!rest, "it was in hand"),
    );
}
