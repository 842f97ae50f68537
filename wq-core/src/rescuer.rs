//! Rescuers: a thread of its own for a queue that must go on although no worker can be made.
//!
//! A pool that needs a worker and gets none is *in distress*: its lanes stand still with work in
//! them. The rescuer of a queue (the kernel: `WQ_MEM_RECLAIM`) is made with the queue, is no worker
//! in any count, and is called then. It takes the lanes that stand still, one after the other, and
//! polls what is of its queue, one poll at a time, with the lane free for others meanwhile
//! (`run/rescue.rs`). Who calls: the thread maker when it is refused a thread or is at a bound,
//! whoever brings a rescued queue's item to a pool in distress, and the monitor, which also sees a
//! pool that waits for a maker that itself is stuck (`service/monitor/distress.rs`).
//!
//! Not a promise for suspended items: each poll is one rescue, and while a poll blocks, the rescuer
//! does. The kernel's is no more either.
//!
//! Invariant: the rescuer's thread pins its queue, so that it may look; it ends when its queue is
//! buried, which wakes it, or its System stops.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::current::{Current, Role};
use crate::pool::Pool;
use crate::stats::Counter;
use crate::system::SystemInner;
use crate::worker::Worker;

/// What a queue knows of its rescuer.
#[derive(Debug)]
pub(crate) struct Rescuer {
    /// The record of its thread.
    worker: Arc<Worker>,
    /// How often it was called.
    pub(crate) maydays: Counter,
    /// Polls that it did.
    pub(crate) rescued: Counter,
}

impl Rescuer {
    /// With this record.
    pub(crate) fn new(worker: Arc<Worker>) -> Rescuer {
        Rescuer {
            worker,
            maydays: Counter::default(),
            rescued: Counter::default(),
        }
    }

    /// Has it look at the pools of its queue.
    #[cold]
    pub(crate) fn call(&self) {
        self.maydays.raise();
        self.wake();
    }

    /// Has it look whether its queue is still there.
    pub(crate) fn wake(&self) {
        self.worker.parker.unpark();
    }
}

/// Whether a pool that needs a worker could get none.
#[derive(Debug)]
pub(crate) struct Distress(AtomicBool);

impl Distress {
    /// All is well.
    pub(crate) fn none() -> Distress {
        Distress(AtomicBool::new(false))
    }

    /// Whether it is so.
    #[inline(always)]
    pub(crate) fn is_known(&self) -> bool {
        // Relaxed, in this file: a hint. While it is late, the monitor calls.
        self.0.load(Ordering::Relaxed)
    }

    /// It is so from now on, or not any more.
    pub(crate) fn set(&self, is_so: bool) {
        self.0.store(is_so, Ordering::Relaxed);
    }
}

impl SystemInner {
    /// A pool is in distress: calls the rescuers of all queues that it serves and that have items.
    pub(crate) fn call_rescuers(&self, pool: &Arc<Pool>) {
        if !self.has_rescuers() {
            return;
        }
        for queue in self.all_queues().iter() {
            let Some(rescuer) = queue.rescuer.get() else {
                continue;
            };
            if queue.in_flight() > 0 && queue.is_served_by(pool) {
                rescuer.call();
            }
        }
    }

    /// Whether any queue has a rescuer, as far as can be told from outside.
    pub(crate) fn has_rescuers(&self) -> bool {
        // Relaxed: raised before the queue has a handle; a round of the monitor that misses it is
        // followed by another one.
        self.nr_rescuers.load(Ordering::Relaxed) > 0
    }
}

/// Whether the calling code runs on a rescuer, because its queue's pool could get no worker.
///
/// # Examples
/// ```
/// assert!(!wq_core::current_is_rescuer()); // not even on a worker
/// ```
#[doc(alias = "current_is_workqueue_rescuer")]
pub fn current_is_rescuer() -> bool {
    Current::with(|current| current.is_some_and(|current| current.role.get() == Role::Rescuer))
}

/// Whether the calling code runs for a queue that has a rescuer: one that goes on when threads are
/// not to be had. Such code should not wait for items of queues that have none.
///
/// # Examples
/// ```
/// let queue = wq_core::Workqueue::unbound("writeback").rescuer().build()?;
/// let inside = queue.spawn_fn(wq_core::current_has_rescuer);
/// assert!(inside.wait().unwrap());
/// assert!(!wq_core::current_has_rescuer());
/// # Ok::<(), wq_core::BuildError>(())
/// ```
#[doc(alias = "current_is_workqueue_mem_reclaim")]
pub fn current_has_rescuer() -> bool {
    Current::with(|current| {
        let queue = current.and_then(Current::queue);
        queue.is_some_and(|queue| queue.get().rescuer.get().is_some())
    })
}
