//! Models of the counts of a queue.

use loom::sync::Mutex;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::{Guarded, race};
use crate::proto::asym;
use crate::proto::counts::{ColourSet, Counts, Shard};

/// A queue on two lanes, with what its items do.
struct Queue {
    counts: Counts,
    /// Written by each item.
    work: [Guarded<()>; 2],
    /// An item changes hands: stored with Release, as a push does.
    handed: AtomicUsize,
    /// The queue refuses new items.
    closed: AtomicBool,
    /// The list of waiters: how often one was told, or saw for itself.
    told: Mutex<usize>,
}

impl Queue {
    /// An empty queue.
    fn new() -> Queue {
        Queue {
            counts: Counts::new(2),
            work: [Guarded::new(()), Guarded::new(())],
            handed: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            told: Mutex::new(0),
        }
    }

    /// A queue that has accepted one item on each of the first `lanes` lanes.
    fn with_items(lanes: usize) -> Queue {
        let queue = Queue::new();
        for lane in 0..lanes {
            queue.counts.accept(Shard::Lane(lane));
        }
        queue
    }

    /// Executes item `at` and counts its end; does what an armed count asks for.
    fn finish(&self, at: usize, shard: Shard) {
        self.work[at].write(|()| ());
        if self.counts.end(shard, 0) && self.counts.maybe_last(0) {
            self.tell_if_empty();
        }
    }

    /// The look that tells the waiter, under the lock.
    fn tell_if_empty(&self) {
        let mut told = self.told.lock().unwrap();
        if self.is_empty() {
            *told += 1;
        }
    }

    /// Whether all has ended.
    fn is_empty(&self) -> bool {
        self.counts.is_zero(ColourSet::ALL)
    }

    /// Takes the item that was handed over, if it is there; ends it on `shard`.
    fn finish_handed(&self, at: usize, shard: Shard) -> bool {
        let came = self.handed.load(Ordering::Acquire) == 1;
        if came {
            self.finish(at, shard);
        }
        came
    }
}

/// Goal: the counts are not empty while an item accepted before is not ended, though it is
/// accepted on one line, ends on another and its child on a third, and who sees them empty sees
/// what the items did. Method: the parent accepts a child before it ends; another thread ends the
/// child; a third looks at any moment.
#[test]
fn loom_counts_are_not_empty_too_early() {
    race::<Queue, _, _>(
        || Queue::with_items(1),
        [
            |queue| {
                queue.counts.accept(Shard::Lane(1));
                queue.handed.store(1, Ordering::Release);
                queue.finish(0, Shard::Lane(1));
                true
            },
            |queue| queue.finish_handed(1, Shard::Shared),
            |queue| {
                let empty = queue.is_empty();
                if empty {
                    queue.work.iter().for_each(|work| work.read(|()| ()));
                }
                empty
            },
        ],
        |queue, [_, came, empty]| {
            assert!(came || !empty, "empty while the child was in flight");
            assert_eq!(queue.is_empty(), came);
        },
    );
}

/// Goal: an end is never counted before its accept, for an item that a foreign thread accepts and
/// a lane ends. Method: one thread accepts on the shared line and hands over, another ends the
/// item, a third adds up.
#[test]
fn loom_shared_accepts_are_counted_before_their_ends() {
    race::<Queue, _, _>(
        Queue::new,
        [
            |queue| {
                queue.counts.accept(Shard::Shared);
                queue.handed.store(1, Ordering::Release);
            },
            |queue| {
                queue.finish_handed(0, Shard::Lane(0));
            },
            |queue| {
                let ended = queue.counts.sum_ended(ColourSet::ALL);
                let accepted = queue.counts.sum_accepted(ColourSet::ALL);
                assert!(ended <= accepted, "an end was counted before its accept");
                if ended == 1 {
                    queue.work[0].read(|()| ());
                }
            },
        ],
        |_, _| (),
    );
}

/// Goal: the end of the last items and the arming of a waiter never miss each other: the waiter
/// sees that all has ended, or somebody who ends an item sees it and tells. Method: two items end
/// on lines of their own while a waiter arms and looks.
#[test]
fn loom_last_end_is_told() {
    race::<Queue, _, _>(
        || Queue::with_items(2),
        [
            |queue| queue.finish(0, Shard::Lane(0)),
            |queue| queue.finish(1, Shard::Lane(1)),
            |queue| {
                {
                    let _list = queue.told.lock().unwrap();
                    queue.counts.arm();
                }
                queue.tell_if_empty();
            },
        ],
        |queue, _| {
            let told = *queue.told.lock().unwrap();
            assert!(told > 0, "nobody told the waiter");
        },
    );
}

/// Goal: of the last two enders at least one learns that it may be the last. Method: somebody waits
/// since before; two items end on lines of their own at once, with nobody else to order them.
#[test]
fn loom_last_two_enders_do_not_miss_each_other() {
    race::<Queue, _, _>(
        || {
            let queue = Queue::with_items(2);
            queue.counts.arm();
            queue
        },
        [
            |queue| queue.finish(0, Shard::Lane(0)),
            |queue| queue.finish(1, Shard::Lane(1)),
        ],
        |queue, _| {
            let told = *queue.told.lock().unwrap();
            assert!(told > 0, "nobody told the waiter");
        },
    );
}

/// Goal: a queue that was closed and found empty stays empty. Method: one thread accepts, looks
/// at the flag and takes the item back if the queue is closed; the closer closes, fences, looks.
#[test]
fn loom_closed_queue_accepts_nothing_more() {
    race::<Queue, _, _>(
        Queue::new,
        [
            |queue| {
                let colour = queue.counts.accept(Shard::Lane(0));
                let closed = queue.closed.load(Ordering::Relaxed);
                if closed && queue.counts.end(Shard::Lane(0), colour) {
                    queue.tell_if_empty();
                }
                closed
            },
            |queue| {
                queue.closed.store(true, Ordering::Relaxed);
                asym::heavy();
                queue.is_empty()
            },
        ],
        |_, [refused, empty]| {
            assert!(refused || !empty, "an item went in after the last look");
        },
    );
}

/// Goal: a flush of one colour does not wait for, or miscount, items of the next. Method: an item
/// of the old colour ends while one of the new is accepted; the old colour is looked at.
#[test]
fn loom_colours_are_counted_apart() {
    race::<Queue, _, _>(
        || {
            let queue = Queue::with_items(1);
            queue.counts.set_colour(1);
            queue
        },
        [
            |queue| {
                let new = queue.counts.accept(Shard::Lane(0));
                assert_eq!(new, 1, "the flush began before");
                queue.finish(0, Shard::Lane(0));
            },
            |queue| {
                if queue.counts.is_zero(ColourSet::only(0)) {
                    queue.work[0].read(|()| ());
                }
            },
        ],
        |queue, _| {
            assert!(queue.counts.is_zero(ColourSet::only(0)));
            assert!(!queue.counts.is_zero(ColourSet::ALL.without(0)));
        },
    );
}
