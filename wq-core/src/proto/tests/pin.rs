//! Models of pins.

use loom::sync::atomic::{AtomicUsize, Ordering};

use super::{Guarded, race};
use crate::proto::pin::PinStripe;

/// A stripe, and the memory that it protects.
struct System {
    stripe: PinStripe,
    /// Read by pinners, written by the one who frees.
    memory: Guarded<()>,
    /// Items whose push has happened (and which a worker has run at once).
    ended: AtomicUsize,
}

impl System {
    /// Nobody pinned, nothing pushed.
    fn new() -> System {
        System {
            stripe: PinStripe::new(),
            memory: Guarded::new(()),
            ended: AtomicUsize::new(0),
        }
    }

    /// A wake-up from outside: pins, pushes, touches, unpins.
    fn wake(&self) {
        let pin = self.stripe.pin();
        // Release: the push, the run and the end of the item in one.
        self.ended.fetch_add(1, Ordering::Release);
        self.memory.read(|()| ());
        drop(pin);
    }

    /// A wake-up of another System's task, on the same stripe.
    fn wake_other(&self) {
        drop(self.stripe.pin());
    }

    /// Touches the memory if the flag (here: nothing has `ended`) still says that it is there.
    fn look(&self) {
        let pin = self.stripe.pin_to_look();
        if self.ended.load(Ordering::Relaxed) == 0 {
            self.memory.read(|()| ());
        }
        drop(pin);
    }

    /// Clears the flag, and frees the memory if nobody looks.
    fn free_if_nobody_looks(&self) {
        self.ended.store(1, Ordering::Relaxed);
        if self.stripe.no_lookers() {
            self.memory.write(|()| ());
        }
    }

    /// Frees the memory if all `items` have ended and nobody pins it.
    fn free(&self, items: usize) {
        if self.ended.load(Ordering::Acquire) == items && self.stripe.quiescent() {
            self.memory.write(|()| ());
        }
    }
}

/// Goal: memory is not freed while a thread that pinned it before pushing an item still touches
/// it. Method: two pushers, whose pins overlap or not, against the thread that frees.
#[test]
fn loom_memory_stays_while_pinned() {
    race::<System, (), _>(
        System::new,
        [System::wake, System::wake, |system| system.free(2)],
        |system, _| assert!(system.stripe.quiescent(), "all pins are gone"),
    );
}

/// Goal: pins that the freeing thread knows nothing of do not make up for one that lasts. Method:
/// as above, with one pusher, and a pin for another System that comes and goes.
#[test]
fn loom_foreign_pins_do_not_hide_one_that_lasts() {
    race::<System, (), _>(
        System::new,
        [System::wake, System::wake_other, |system| system.free(1)],
        |system, _| assert!(system.stripe.quiescent(), "all pins are gone"),
    );
}

/// Goal: memory is not freed while somebody who found the flag set, under a pin, touches it.
/// Method: the looker pins, looks, touches; the freeing thread clears the flag, then frees if
/// nobody looks.
#[test]
fn loom_memory_stays_while_looked_at() {
    race::<System, (), _>(
        System::new,
        [System::look, System::free_if_nobody_looks],
        |_, _| (),
    );
}
