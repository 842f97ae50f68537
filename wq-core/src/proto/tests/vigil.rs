//! Models of the wait for the outside world.

use super::{Guarded, race};
use crate::proto::park::Parker;
use crate::proto::vigil::Vigil;

/// Somebody who waits now and then, and the stand-in.
struct Watch {
    vigil: Vigil,
    stand_in: Parker,
    /// What whoever waits works with.
    events: Guarded<usize>,
}

impl Watch {
    /// Nobody waits.
    fn new() -> Watch {
        Watch {
            vigil: Vigil::new(),
            stand_in: Parker::new(),
            events: Guarded::new(0),
        }
    }

    /// Somebody has waited before the model begins, and still does.
    fn held() -> Watch {
        let watch = Watch::new();
        assert!(watch.vigil.claim(), "nobody waits");
        watch
    }

    /// Ends a wait.
    fn leave(&self) {
        if self.vigil.release() {
            self.stand_in.unpark();
        }
    }

    /// Waits once, if nobody does.
    fn wait_once(&self) {
        if self.vigil.claim() {
            self.events.write(|n| *n += 1);
            self.leave();
        }
    }
}

/// Goal: one waits at a time, each seeing what the one before did. Method: two threads wait, and
/// touch what only whoever waits may touch.
#[test]
fn loom_one_waits_at_a_time() {
    race::<Watch, (), _>(
        Watch::new,
        [Watch::wait_once, Watch::wait_once],
        |watch, _| assert!(watch.vigil.claim(), "both have left"),
    );
}

/// Goal: a stand-in that sleeps because somebody waits is woken when nobody does. Method: it sleeps
/// for as long as somebody waits; a lost wake-up never ends.
#[test]
fn loom_the_stand_in_learns_that_nobody_waits() {
    race::<Watch, (), _>(
        Watch::held,
        [
            |watch| {
                watch.events.write(|n| *n += 1);
                watch.leave();
            },
            |watch| {
                while watch.vigil.look().is_held {
                    if watch.vigil.stand_in_sleeps() {
                        watch.stand_in.park(None);
                    }
                }
                watch.events.read(|n| assert_eq!(*n, 1));
            },
        ],
        |_, _| (),
    );
}
