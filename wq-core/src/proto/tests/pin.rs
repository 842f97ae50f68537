//! Models of pins.

use loom::sync::atomic::{AtomicUsize, Ordering};

use super::{Guarded, race};
use crate::proto::pin::PinStripe;

/// Pushers in each model.
const PUSHERS: usize = 2;

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

    /// An aborter: follows the pointer only if the flag, under a pin, says that it may.
    fn look(&self) {
        let pin = self.stripe.pin_to_look();
        // Here 0 stands for the flag set.
        if self.ended.load(Ordering::Relaxed) == 0 {
            self.memory.read(|()| ());
        }
        drop(pin);
    }

    /// The other side of `look`.
    fn clear_and_free(&self) {
        self.ended.store(1, Ordering::Relaxed);
        if self.stripe.no_lookers() {
            self.memory.write(|()| ());
        }
    }

    /// Frees the memory if all items have ended and nobody pins it.
    fn free(&self) {
        if self.ended.load(Ordering::Acquire) == PUSHERS && self.stripe.quiescent() {
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
        [System::wake, System::wake, System::free],
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
        [System::look, System::clear_and_free],
        |_, _| (),
    );
}
