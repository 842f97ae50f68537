//! Whose slots are held by those who wait: what a new item of a scope may not need.
//!
//! A frame that waits inside an item keeps that item's slot. If an item of its scope needed a slot
//! of the same queue the two might wait for each other, and on an ordered queue they would. Scopes
//! nest across queues, so each knows the limited queues of all frames around it. Waits of other
//! kinds are not known here: a cycle through a flush or a join handle is not noticed.

#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::sync::Arc;

use crate::current::Current;
use crate::queue::QueueRef;

thread_local! {
    /// What is held by the frames that wait for the item that runs here.
    static AROUND: RefCell<Option<Arc<Held>>> = const { RefCell::new(None) };
}

/// A limited queue one of whose slots is held until a scope is over, and those around it.
#[derive(Debug)]
pub(super) struct Held {
    /// The number of the queue.
    queue: u64,
    around: Option<Arc<Held>>,
}

impl Held {
    /// What a frame that waits here holds.
    pub(super) fn here() -> Option<Arc<Held>> {
        let around = AROUND.with_borrow(Clone::clone);
        let own = Current::with(|c| c.and_then(Current::queue)).filter(|q| q.get().makes_wait());
        match own {
            Some(queue) => Some(Arc::new(Held {
                queue: queue.get().id,
                around,
            })),
            None => around,
        }
    }

    /// Whether an item of `queue` might wait for a slot that is held.
    pub(super) fn bars(this: Option<&Arc<Held>>, queue: QueueRef) -> bool {
        let queue = queue.get();
        let mut held = this;
        while let Some(one) = held {
            if one.queue == queue.id {
                // A queue whose limit was taken away meanwhile has slots for everybody.
                return queue.makes_wait();
            }
            held = one.around.as_ref();
        }
        false
    }

    /// As [`Held::bars`], for a frame that would begin to wait here.
    pub(super) fn bars_here(queue: QueueRef) -> bool {
        let own = Current::with(|c| c.and_then(Current::queue)) == Some(queue);
        own && queue.get().makes_wait()
            || AROUND.with_borrow(|around| Held::bars(around.as_ref(), queue))
    }

    /// Runs `f` as a part of an item that the frames of `held` wait for.
    pub(super) fn during<R>(held: &Option<Arc<Held>>, f: impl FnOnce() -> R) -> R {
        /// Puts back what was known before, however `f` ends.
        struct Back(Option<Arc<Held>>);
        impl Drop for Back {
            fn drop(&mut self) {
                AROUND.set(self.0.take());
            }
        }
        let _back = Back(AROUND.replace(held.clone()));
        f()
    }
}
