//! Models of arming.

use loom::model;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use crate::proto::arm::Armed;

/// Goal: no arming is lost: work left waiting is seen by the spotter's last look, or its bringer
/// is told to wake the spotter. Method: one or two bringers against a spotter that disarms and
/// looks; the flag is set when the model begins.
fn work_is_seen_or_the_spotter_woken(bringers: usize) {
    model(move || {
        let shared = Arc::new((Armed::new(), AtomicUsize::new(0)));
        assert!(shared.0.arm(), "the first arming wakes the spotter");
        let bringers: Vec<_> = (0..bringers)
            .map(|_| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    shared.1.fetch_add(1, Ordering::Relaxed);
                    usize::from(shared.0.arm())
                })
            })
            .collect();
        let brought = bringers.len();
        shared.0.disarm();
        let seen = shared.1.load(Ordering::Relaxed);
        let wakes: usize = bringers.into_iter().map(|b| b.join().unwrap()).sum();
        assert!(wakes <= 1, "the spotter is woken once for one sleep");
        assert!(seen == brought || wakes == 1, "an arming was lost");
        assert!(wakes == 0 || shared.0.is_armed(), "woken, but not armed");
    });
}

/// Goal and method: see `work_is_seen_or_the_spotter_woken`, one bringer.
#[test]
fn loom_arming_is_not_lost() {
    work_is_seen_or_the_spotter_woken(1);
}

/// Goal and method: see `work_is_seen_or_the_spotter_woken`, two bringers.
#[test]
fn loom_one_of_two_armers_wakes() {
    work_is_seen_or_the_spotter_woken(2);
}
