//! Items that burn CPU while others wait behind them.

use std::future::poll_fn;
use std::hint;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use wq_core::{Queue, System, SystemStats};

/// Polls of a burner.
const POLLS: usize = 5;

/// What counts as burning, with something on top: a poll that is shorter speaks for its item.
const BURN: Duration = Duration::from_millis(2);

/// Processor time of the calling thread.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID);
    Duration::from(time.expect("every thread has such a clock"))
}

/// A burner: in each of its polls it spawns a short item and spins until that has run, which takes
/// another worker, and a while more. Waits for its end.
fn burn(queue: &Queue) {
    let (ran, queue_of_shorts) = (Arc::new(AtomicUsize::new(0)), queue.clone());
    let mut polls = 0;
    let burner = poll_fn(move |cx| {
        polls += 1;
        let short = Arc::clone(&ran);
        // Relaxed, here and below: a count, waited for.
        drop(queue_of_shorts.spawn_fn(move || short.fetch_add(1, Ordering::Relaxed)));
        while ran.load(Ordering::Relaxed) < polls {
            hint::spin_loop();
        }
        let begun = cpu_time();
        while cpu_time() - begun < BURN {
            hint::spin_loop();
        }
        if polls == POLLS {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    });
    queue.spawn(burner).wait().expect("it ends");
}

/// Runs burners of one type one after the other on one lane; the statistics after each.
fn burners(n: usize) -> Vec<SystemStats> {
    let system = System::builder().workers(1).build().expect("a System");
    let mut stats = Vec::new();
    for _ in 0..n {
        burn(&system.default_queue());
        stats.push(system.stats());
    }
    stats
}

/// Goal: an item that was found burning frees its lane from the beginning of its next poll. Method:
/// the first time somebody has to notice; later the lane is declared free.
#[test]
fn known_burners_free_their_lane_at_once() {
    let stats = burners(1).remove(0);
    assert!(stats.handovers_marked >= POLLS as u64 - 2, "{stats:?}");
    assert!(stats.handovers_hog <= 2, "{stats:?}");
}

/// Goal: so does the next item of the same type, from its first poll. Method: nobody has to notice
/// the second burner.
#[test]
fn burners_are_known_by_their_type() {
    let stats = burners(2);
    let marked = stats[1].handovers_marked - stats[0].handovers_marked;
    assert!(marked >= POLLS as u64, "{stats:?}");
    assert_eq!(stats[1].handovers_hog, stats[0].handovers_hog, "{stats:?}");
}
