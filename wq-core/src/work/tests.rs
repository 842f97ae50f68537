//! Two requests that meet, played step by step, and where requests are counted.

use std::thread;
use std::time::{Duration, Instant};

use crate::proto::counts::ColourSet;
use crate::proto::state::Requested;
use crate::queue::limit::Admission;
use crate::{Queued, System, Work, Workqueue};

/// Waits until `done` holds.
pub(super) fn until(what: &str, done: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < end, "{what}");
        thread::yield_now();
    }
}

/// Goal: who finds no place because another request for the same item has the last one is told so,
/// and not that the queue is full. Method: the other one is granted between this one's look at the
/// item and its look at the queue.
#[test]
fn a_request_that_finds_no_place_looks_at_the_item_again() {
    let system = System::builder().workers(1).build().expect("a System");
    let queue = Workqueue::unbound("q").max_active(1).max_pending(0);
    let queue = queue.system(&system).build().expect("a good queue");
    let work = Work::new(|| ());
    let q = queue.0.queue.get();
    thread::scope(|threads| {
        let mut limiter = q.limiter(0);
        let second = threads.spawn(|| queue.queue(&work));
        until("it is counted in", || {
            q.counts.sum_accepted(ColourSet::ALL) == 1
        });
        assert_eq!(limiter.reserve(0), Admission::Active);
        let first = work.inner().state().request();
        assert!(matches!(first, Requested::Granted(_)));
        drop(limiter);
        assert_eq!(second.join().expect("no panic"), Queued::AlreadyPending);
    });
    assert!(work.cancel());
    assert_eq!(q.limiter(0).release(0).map(drop), None);
}

/// Goal: a worker that queues an item on a queue of its pool writes to no line that all CPUs share,
/// as long as it has its lane. Method: the counter there, before and after; on a full machine the
/// item may lose its lane, and is tried again.
#[test]
fn requests_of_a_worker_are_counted_on_its_lane() {
    const TRIES: usize = 20;
    let system = System::builder().workers(1).build().expect("a System");
    let queue = Workqueue::unbound("q").system(&system).build();
    let queue = queue.expect("a good queue");
    let q = queue.0.queue;
    let outside = |_| {
        let inside = crate::Queue::clone(&queue);
        let requests = queue.spawn_fn(move || {
            let before = q.get().counts.accepted_outside();
            for _ in 0..100 {
                assert_eq!(inside.queue(&Work::new(|| ())), Queued::New);
            }
            q.get().counts.accepted_outside() - before
        });
        requests.wait().expect("it does not panic")
    };
    assert!((0..TRIES).map(outside).any(|requests| requests == 0));
    queue.flush().wait().expect("all end");
    assert_eq!(queue.stats().accepted % 101, 0);
}
