//! Freeing queues: after the last handle, the last item, and the last look.
//!
//! The worker that counts a queue's last item is inside a section (or under its mark) until it
//! has looked whether somebody waits. So the digger fences all threads and waits until every
//! worker has been seen outside; a queue that somebody still looks at is pinned.

use std::sync::PoisonError;

use crate::proto::asym;
use crate::queue::QueueRef;

use super::{SystemInner, pins};

impl SystemInner {
    /// Gives a queue that is closed, empty and without handles to the digger.
    pub(crate) fn bury(&self, queue: QueueRef) {
        self.grave
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(queue);
        // Pinned by the rescuer, if it has one: it is to go.
        if let Some(rescuer) = queue.get().rescuer.get() {
            rescuer.wake();
        }
        self.maker.unpark();
    }

    /// Whether there are queues to free.
    pub(crate) fn has_graves(&self) -> bool {
        !self
            .grave
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_empty()
    }

    /// Frees what was buried. Only the thread maker, or the last thread of all, calls this.
    pub(crate) fn dig(&self) {
        let buried: Vec<QueueRef> =
            std::mem::take(&mut *self.grave.lock().unwrap_or_else(PoisonError::into_inner));
        if buried.is_empty() {
            return;
        }
        // Pairs with the fence of every section: who counted an item of these queues is either
        // seen inside below, or its section is over.
        asym::heavy();
        for worker in self.records() {
            while worker.mark.is_inside() {
                std::thread::yield_now();
            }
        }
        pins::wait_for_lookers();
        let mut looked_at = Vec::new();
        for queue in buried {
            {
                // Pins on queues found in the table are taken under this lock.
                let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
                if queue.get().is_pinned() {
                    looked_at.push(queue);
                    continue;
                }
                queues.remove(&queue.get().id);
            }
            // SAFETY: no handle (RETIRED), no item (it was empty and closed), no section and no
            // pin refers to it, and it has left the table.
            unsafe { queue.free() };
        }
        // The maker tries these again in a moment.
        self.grave
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .append(&mut looked_at);
    }
}

impl Drop for SystemInner {
    fn drop(&mut self) {
        let queues =
            std::mem::take(&mut *self.queues.lock().unwrap_or_else(PoisonError::into_inner));
        // Aborters and foreign wakers may have come so late that no shutdown waited for them.
        for limiter in queues.values().flat_map(|queue| queue.get().limiters()) {
            let waiting = limiter.lock().take_waiting();
            for entry in waiting {
                entry.meta().clear_waiting();
            }
        }
        pins::wait_for_lookers();
        pins::wait_for_all();
        for queue in queues.into_values() {
            // SAFETY: handles and worker threads keep the System, so there are none; every item
            // has ended, since a worker inside one would still be there.
            unsafe { queue.free() };
        }
    }
}
