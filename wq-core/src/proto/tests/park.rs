//! Models of the parker.

use loom::sync::atomic::{AtomicUsize, Ordering};

use super::{Guarded, race};
use crate::proto::park::Parker;
use crate::sync::modelled;

/// A sleeper and what its wakers did.
struct Sleeper {
    parker: Parker,
    /// Written by a single waker.
    written: Guarded<usize>,
    /// Counted by several wakers.
    counted: AtomicUsize,
}

impl Sleeper {
    /// Awake, nothing happened.
    fn new() -> Sleeper {
        Sleeper {
            parker: Parker::new(),
            written: Guarded::new(0),
            counted: AtomicUsize::new(0),
        }
    }

    /// Counts and wakes. Relaxed: the parker is all that orders it.
    fn count_and_wake(&self) {
        self.counted.fetch_add(1, Ordering::Relaxed);
        self.parker.unpark();
    }
}

/// Goal: a wake-up before, during or after the way to sleep ends the sleep, and shows what its
/// waker did. Method: the sleeper parks once; a waker writes and unparks; a lost token never ends.
#[test]
fn loom_every_sleep_ends_and_sees_its_waker() {
    race::<Sleeper, (), _>(
        Sleeper::new,
        [
            |sleeper| {
                sleeper.parker.park(None);
                assert_eq!(sleeper.written.read(|n| *n), 1);
            },
            |sleeper| {
                sleeper.written.write(|n| *n += 1);
                sleeper.parker.unpark();
            },
        ],
        |_, _| (),
    );
}

/// Goal: no token is lost between two wakers, and a return shows what all of them did whose tokens
/// it took. Method: two wakers count and unpark; the sleeper parks until it has seen both counts.
#[test]
fn loom_two_wakers_are_both_heard() {
    race::<Sleeper, (), _>(
        Sleeper::new,
        [
            |sleeper| {
                while sleeper.counted.load(Ordering::Relaxed) < 2 {
                    sleeper.parker.park(None);
                }
            },
            Sleeper::count_and_wake,
            Sleeper::count_and_wake,
        ],
        |_, _| (),
    );
}

/// Goal: a wake-up ends a wait elsewhere, too, and shows what its waker did. Method: as above; the
/// sleeper waits for the model's outside world, where nothing happens but the interrupt.
#[test]
fn loom_a_wait_elsewhere_ends() {
    race::<Sleeper, (), _>(
        Sleeper::new,
        [
            |sleeper| {
                sleeper.parker.park_elsewhere(modelled::wait);
                assert_eq!(sleeper.written.read(|n| *n), 1);
            },
            |sleeper| {
                sleeper.written.write(|n| *n += 1);
                sleeper.parker.unpark();
            },
        ],
        |_, _| (),
    );
}
