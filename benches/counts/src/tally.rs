//! How many items have yet to end, and somebody who waits for the last.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};

/// A countdown; leaked, so that items need no reference count.
pub(crate) struct Tally {
    /// Items that have not ended.
    left: AtomicUsize,
    /// What the last one does.
    last: fn(),
    /// Whether it has.
    done: Mutex<bool>,
    /// Tells of that.
    told: Condvar,
}

impl Tally {
    /// A countdown from `items`; the last one calls `last`.
    pub(crate) fn of(items: usize, last: fn()) -> &'static Self {
        Box::leak(Box::new(Self {
            left: AtomicUsize::new(items),
            last,
            done: Mutex::new(false),
            told: Condvar::new(),
        }))
    }

    /// One item ends.
    #[inline]
    pub(crate) fn one(&self) {
        // Relaxed: one lane runs all items; the lock below orders what the waiting thread reads.
        if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.finish();
        }
    }

    /// The last one has ended.
    #[inline(never)]
    fn finish(&self) {
        (self.last)();
        *self.done.lock().expect("nobody panics under it") = true;
        self.told.notify_all();
    }

    /// Waits for the last one.
    pub(crate) fn wait(&self) {
        let done = self.done.lock().expect("nobody panics under it");
        let all = self.told.wait_while(done, |done| !*done);
        drop(all.expect("nobody panics under it"));
    }
}
