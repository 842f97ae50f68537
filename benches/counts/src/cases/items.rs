//! Re-queueable items, and waiting for a queue.

use wq::{Queued, Work};

use crate::ground::Ground;
use crate::mark::{counting_begins, counting_ends};
use crate::tally::Tally;

/// So many items that count down.
fn works(times: usize, tally: &'static Tally) -> Vec<Work> {
    let work = |_| Work::new(move || tally.one());
    (0..times).map(work).collect()
}

/// Counts what a task does to queue.
pub(super) fn queue(ground: &Ground, times: usize) {
    let tally = Tally::of(times, || ());
    let works = works(times, tally);
    let queue = ground.queue;
    ground.run(async move {
        counting_begins();
        for work in &works {
            assert_eq!(queue.queue(work), Queued::New);
        }
        counting_ends();
    });
    tally.wait();
}

/// Counts what a task does to queue what is pending.
pub(super) fn queue_pending(ground: &Ground, times: usize) {
    let tally = Tally::of(1, || ());
    let works = works(1, tally);
    let queue = ground.queue;
    ground.run(async move {
        assert_eq!(queue.queue(&works[0]), Queued::New);
        counting_begins();
        for _ in 0..times {
            assert_eq!(queue.queue(&works[0]), Queued::AlreadyPending);
        }
        counting_ends();
    });
    tally.wait();
}

/// Counts what the lane does with items.
pub(super) fn queue_run(ground: &Ground, times: usize) {
    let tally = Tally::of(times, counting_ends);
    let works: &'static [Work] = works(times, tally).leak();
    let queue = ground.queue;
    ground.run(async move {
        for work in works {
            assert_eq!(queue.queue(work), Queued::New);
        }
        counting_begins();
    });
    tally.wait();
}

/// Counts flushes that have nothing to wait for.
pub(super) fn flush_empty(ground: &Ground, times: usize) {
    let queue = ground.queue;
    ground.run(async move {
        counting_begins();
        for _ in 0..times {
            queue.flush().await.expect("the flush ends");
        }
        counting_ends();
    });
}

/// Counts flushes that wait for one task, its spawn and its run.
pub(super) fn flush_one(ground: &Ground, times: usize) {
    let queue = ground.queue;
    ground.run(async move {
        counting_begins();
        for _ in 0..times {
            drop(queue.spawn(async {}));
            queue.flush().await.expect("the flush ends");
        }
        counting_ends();
    });
}
