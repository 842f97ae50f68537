//! Models of the counts of a queue.

use loom::model;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::thread;

use super::Guarded;
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
    /// The waiter was told, or saw for itself.
    told: AtomicUsize,
}

impl Queue {
    /// An empty queue.
    fn new() -> Arc<Queue> {
        Arc::new(Queue {
            counts: Counts::new(2),
            work: [Guarded::new(()), Guarded::new(())],
            handed: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            told: AtomicUsize::new(0),
        })
    }

    /// Executes item `at` and counts its end; what an armed count asks for.
    fn finish(&self, at: usize, shard: Shard, colour: u8) {
        self.work[at].write(|()| ());
        if self.counts.end(shard, colour) {
            self.tell_if_empty();
        }
    }

    /// The look that tells the waiter.
    fn tell_if_empty(&self) {
        if self.counts.is_zero(ColourSet::ALL) {
            self.told.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Goal: the counts are not empty while an item accepted before is not ended, though it is
/// accepted on one line, ends on another and its child on a third, and who sees them empty sees
/// what the items did. Method: the parent accepts a child before it ends; a third thread ends the
/// child; the main thread looks at any moment.
#[test]
fn loom_counts_are_not_empty_too_early() {
    model(|| {
        let queue = Queue::new();
        let colour = queue.counts.accept(Shard::Lane(0));
        let parent = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                queue.counts.accept(Shard::Lane(1));
                queue.handed.store(1, Ordering::Release);
                queue.finish(0, Shard::Lane(1), colour);
            })
        };
        let child = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                let came = queue.handed.load(Ordering::Acquire) == 1;
                if came {
                    queue.finish(1, Shard::Shared, colour);
                }
                came
            })
        };
        let empty = queue.counts.is_zero(ColourSet::ALL);
        if empty {
            queue.work.iter().for_each(|work| work.read(|()| ()));
        }
        parent.join().unwrap();
        let came = child.join().unwrap();
        assert!(came || !empty, "empty while the child was in flight");
        assert_eq!(queue.counts.is_zero(ColourSet::ALL), came);
    });
}

/// Goal: as above for an item that a foreign thread accepts and a lane ends. Method: the foreign
/// thread accepts on the shared line and hands over; the main thread looks twice.
#[test]
fn loom_shared_accepts_are_counted_before_their_ends() {
    model(|| {
        let queue = Queue::new();
        let foreign = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                queue.counts.accept(Shard::Shared);
                queue.handed.store(1, Ordering::Release);
            })
        };
        let lane = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                if queue.handed.load(Ordering::Acquire) == 1 {
                    queue.finish(0, Shard::Lane(0), 0);
                }
            })
        };
        let ended = queue.counts.sum_ended(ColourSet::ALL);
        let accepted = queue.counts.sum_accepted(ColourSet::ALL);
        assert!(ended <= accepted, "an end was counted before its accept");
        if ended == 1 {
            queue.work[0].read(|()| ());
        }
        foreign.join().unwrap();
        lane.join().unwrap();
    });
}

/// Goal: the end of the last items and the arming of a waiter never miss each other: the waiter
/// sees that all has ended, or somebody who ends an item sees it and tells. Method: two items end
/// on lines of their own while a waiter arms and looks.
#[test]
fn loom_last_end_is_told() {
    model(|| {
        let queue = Queue::new();
        queue.counts.accept(Shard::Lane(0));
        queue.counts.accept(Shard::Lane(1));
        let enders = [0, 1].map(|at| {
            let queue = Arc::clone(&queue);
            thread::spawn(move || queue.finish(at, Shard::Lane(at), 0))
        });
        queue.counts.arm();
        queue.tell_if_empty();
        enders.into_iter().for_each(|ender| ender.join().unwrap());
        assert!(
            queue.told.load(Ordering::Relaxed) > 0,
            "nobody told the waiter"
        );
    });
}

/// Goal: a queue that was closed and found empty stays empty. Method: one thread accepts, looks
/// at the flag and takes the item back if the queue is closed; the closer closes, fences, looks.
#[test]
fn loom_closed_queue_accepts_nothing_more() {
    model(|| {
        let queue = Queue::new();
        let submitter = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                let colour = queue.counts.accept(Shard::Lane(0));
                let closed = queue.closed.load(Ordering::Relaxed);
                if closed && queue.counts.end(Shard::Lane(0), colour) {
                    queue.tell_if_empty();
                }
                closed
            })
        };
        queue.closed.store(true, Ordering::Relaxed);
        asym::heavy();
        let empty = queue.counts.is_zero(ColourSet::ALL);
        let refused = submitter.join().unwrap();
        assert!(refused || !empty, "an item went in after the last look");
    });
}

/// Goal: a flush of one colour does not wait for, or miscount, items of the next. Method: an item
/// of the old colour ends while one of the new is accepted; the old colour is looked at.
#[test]
fn loom_colours_are_counted_apart() {
    model(|| {
        let queue = Queue::new();
        let old = queue.counts.accept(Shard::Lane(0));
        queue.counts.set_colour(1);
        let lane = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                let new = queue.counts.accept(Shard::Lane(0));
                assert_eq!(new, 1, "the flush began before");
                queue.finish(0, Shard::Lane(0), old);
            })
        };
        if queue.counts.is_zero(ColourSet::only(old)) {
            queue.work[0].read(|()| ());
        }
        lane.join().unwrap();
        assert!(queue.counts.is_zero(ColourSet::only(old)));
        assert!(!queue.counts.is_zero(ColourSet::ALL.without(old)));
    });
}
