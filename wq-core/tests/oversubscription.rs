//! When more workers run than there are lanes, the figures say so, and only then.
#![cfg(all(target_os = "linux", not(wq_portable)))]

use std::hint;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use wq_core::System;

/// A System of one lane, whose burners keep it.
fn one_lane() -> System {
    let builder = System::builder().workers(1).handoff_grace(Duration::ZERO);
    builder.build().expect("a System")
}

/// Keeps the thread busy until `over`.
fn spin_until(over: impl Fn() -> bool) {
    while !over() {
        hint::spin_loop();
    }
}

/// Goal: a worker that is back from a block while its lane has another owner is seen, with how
/// many they are and for how long. Method: two items block, one after the other, until a third one
/// runs; then all three spin until the figures have moved.
#[test]
fn workers_that_are_back_early_are_seen() {
    const BACK: usize = 2;
    let system = one_lane();
    let queue = system.default_queue();
    let done = Arc::new(AtomicBool::new(false));
    let (senders, blocked): (Vec<_>, Vec<_>) = (0..BACK)
        .map(|_| {
            let ((go, may_go), done) = (channel::<()>(), Arc::clone(&done));
            let item = queue.spawn_fn(move || {
                may_go.recv().expect("the third one sends");
                // Relaxed, also below: a flag, waited for.
                spin_until(|| done.load(Ordering::Relaxed));
            });
            (go, item)
        })
        .unzip();
    let over = Arc::clone(&done);
    let third = queue.spawn_fn(move || {
        for go in senders {
            go.send(()).expect("it waits");
        }
        spin_until(|| over.load(Ordering::Relaxed));
    });
    let lasts = Duration::from_millis(20);
    loop {
        let stats = system.stats();
        // The third one has the lane; more than those that blocked are not beyond it.
        assert!(stats.oversubscribed_peak <= BACK, "{stats:?}");
        if stats.oversubscribed_peak == BACK && stats.oversubscribed_time >= lasts {
            break;
        }
        std::thread::yield_now();
    }
    done.store(true, Ordering::Relaxed);
    for item in blocked.into_iter().chain([third]) {
        item.wait().expect("it does not panic");
    }
}

/// Processor time of the calling thread.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID);
    Duration::from(time.expect("every thread has such a clock"))
}

/// Goal: lanes that are all busy are no excess, nor are workers that block without coming back.
/// Method: on one lane, items that burn CPU for many rounds of the monitor, with others waiting
/// behind them, while an item that lost the lane sleeps.
#[test]
fn busy_lanes_and_sleepers_are_no_excess() {
    let system = one_lane();
    let queue = system.default_queue();
    let (go, may_go) = channel::<()>();
    let sleeper = queue.spawn_fn(move || may_go.recv());
    let ran = Arc::new(AtomicUsize::new(0));
    let burners: Vec<_> = (0..10)
        .map(|_| {
            let ran = Arc::clone(&ran);
            queue.spawn_fn(move || {
                let begun = cpu_time();
                spin_until(|| cpu_time() - begun >= Duration::from_millis(10));
                ran.fetch_add(1, Ordering::Relaxed);
            })
        })
        .collect();
    for burner in burners {
        burner.wait().expect("it does not panic");
    }
    let stats = system.stats();
    assert!(stats.away_peak >= 1, "the monitor was not there: {stats:?}");
    assert_eq!(stats.returns, 0, "a burner has lost the lane: {stats:?}");
    assert_eq!(stats.oversubscribed_peak, 0, "{stats:?}");
    assert_eq!(stats.oversubscribed_time, Duration::ZERO, "{stats:?}");
    go.send(()).expect("it waits");
    sleeper.wait().expect("it does not panic").expect("a word");
}
