//! Models of pins.

use loom::model;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use super::Guarded;
use crate::proto::pin::PinStripe;

/// A stripe, the memory that it protects, and the items' ends.
struct System {
    stripe: PinStripe,
    /// Read by pinners, written by the one who frees.
    memory: Guarded<()>,
    /// Items whose push has happened (and which a worker has run at once).
    ended: AtomicUsize,
}

/// Goal: memory is not freed while a thread that pinned it before pushing an item still touches
/// it. Method: pushers pin, push, touch, unpin; the freeing thread frees if all items have ended
/// and the stripe is quiescent.
fn pinned_memory_stays(pushers: usize) {
    model(move || {
        let system = Arc::new(System {
            stripe: PinStripe::new(),
            memory: Guarded::new(()),
            ended: AtomicUsize::new(0),
        });
        let threads: Vec<_> = (0..pushers)
            .map(|_| {
                let system = Arc::clone(&system);
                thread::spawn(move || {
                    let pin = system.stripe.pin();
                    // The push, the run and the end of the item in one.
                    system.ended.fetch_add(1, Ordering::Release);
                    system.memory.read(|()| ());
                    drop(pin);
                })
            })
            .collect();
        if system.ended.load(Ordering::Acquire) == pushers && system.stripe.quiescent() {
            system.memory.write(|()| ());
        }
        threads.into_iter().for_each(|t| t.join().unwrap());
        assert!(system.stripe.quiescent(), "all pins are gone");
    });
}

/// Goal and method: see `pinned_memory_stays`, one pusher.
#[test]
fn loom_memory_stays_while_pinned() {
    pinned_memory_stays(1);
}

/// Goal and method: see `pinned_memory_stays`, two pushers whose pins overlap.
#[test]
fn loom_memory_stays_while_either_pin_lasts() {
    pinned_memory_stays(2);
}

/// Goal: memory is not freed while somebody who found the flag set, under a pin, touches it.
/// Method: the looker pins, looks, touches; the freeing thread clears the flag, then frees if
/// nobody looks.
#[test]
fn loom_memory_stays_while_looked_at() {
    model(|| {
        let system = Arc::new(System {
            stripe: PinStripe::new(),
            memory: Guarded::new(()),
            // Here: 0 while the flag is set, 1 when it is cleared.
            ended: AtomicUsize::new(0),
        });
        let looker = {
            let system = Arc::clone(&system);
            thread::spawn(move || {
                let pin = system.stripe.pin_to_look();
                if system.ended.load(Ordering::Relaxed) == 0 {
                    system.memory.read(|()| ());
                }
                drop(pin);
            })
        };
        system.ended.store(1, Ordering::Relaxed);
        if system.stripe.no_lookers() {
            system.memory.write(|()| ());
        }
        looker.join().unwrap();
    });
}
