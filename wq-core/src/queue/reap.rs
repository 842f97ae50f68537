//! Aborted items that wait for a slot: they end without one.
//!
//! Such an item may stand behind one that never ends, so it is not left until its turn. The
//! aborter only leaves a note at the queue: the thread maker takes all aborted items out in one
//! go (a hundred thousand aborts walk over the list a few times, not each), and workers drop
//! them, since destructors of futures run there and not inside `abort`.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use crate::entry::{Entry, Meta};
use crate::route;
use crate::system::{SystemInner, pins};

use super::QueueRef;

/// An item was aborted that has not run yet: if it waits for a slot, has it taken out.
pub(crate) fn ask(meta: &Meta) {
    if !meta.is_waiting() {
        return;
    }
    let _pin = pins::pin_to_look();
    // Under the pin: while the item waits it is in flight, and its queue stays.
    if !meta.is_waiting() {
        return;
    }
    let queue = meta.queue;
    let q = queue.get();
    // AcqRel: pairs with the swap in `reap`, which sees this abort or leaves the note to us.
    if !q.reaping.swap(true, Ordering::AcqRel) {
        q.pin();
        q.system.get().ask_reap(queue);
    }
}

impl SystemInner {
    /// Gives the maker a pinned queue with aborted items to take out.
    fn ask_reap(&self, queue: QueueRef) {
        self.reaps
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(queue);
        self.maker.unpark();
    }

    /// For tests: what `f` answers while nobody can leave a note.
    #[cfg(all(target_os = "linux", not(wq_portable)))]
    pub(crate) fn while_reaps_are_locked<R>(&self, f: impl FnOnce() -> R) -> R {
        let _held = self.reaps.lock().unwrap_or_else(PoisonError::into_inner);
        f()
    }

    /// Takes out what was aborted, and has it dropped by workers. Only the maker calls this.
    pub(crate) fn reap(&self) {
        let asked = std::mem::take(&mut *self.reaps.lock().unwrap_or_else(PoisonError::into_inner));
        for queue in asked {
            let q = queue.get();
            // AcqRel: pairs with the swap in `ask`; who aborts after this leaves a new note.
            q.reaping.swap(false, Ordering::AcqRel);
            for limiter in q.limiters() {
                let is_aborted = |entry: &Entry| entry.meta().abort.is_requested();
                let aborted = limiter.lock().reap(is_aborted);
                aborted
                    .into_iter()
                    .for_each(|entry| route::start(q, None, entry));
            }
            q.unpin();
        }
    }
}
