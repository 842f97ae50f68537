//! Models of the parker.

use loom::model;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use super::Guarded;
use crate::proto::park::Parker;

/// Goal: a wake-up before, during or after the way to sleep ends the sleep, and shows what its
/// waker did. Method: the sleeper parks once; two wakers write, count, and unpark; a lost token
/// never ends.
#[test]
fn loom_every_sleep_ends_and_sees_its_waker() {
    model(|| {
        let parker = Arc::new(Parker::new());
        let written = Arc::new(Guarded::new(0));
        let waker = {
            let (parker, written) = (Arc::clone(&parker), Arc::clone(&written));
            thread::spawn(move || {
                written.write(|n| *n += 1);
                parker.unpark();
            })
        };
        parker.park(None);
        assert_eq!(written.read(|n| *n), 1);
        waker.join().unwrap();
    });
}

/// Goal: no token is lost between two wakers, and a return shows what all of them did whose tokens
/// it took. Method: two wakers count and unpark; the sleeper parks until it has seen both counts.
#[test]
fn loom_two_wakers_are_both_heard() {
    model(|| {
        let shared = Arc::new((Parker::new(), AtomicUsize::new(0)));
        let wakers = [(); 2].map(|()| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                shared.1.fetch_add(1, Ordering::Relaxed);
                shared.0.unpark();
            })
        });
        while shared.1.load(Ordering::Relaxed) < 2 {
            shared.0.park(None);
        }
        wakers.into_iter().for_each(|waker| waker.join().unwrap());
    });
}
