//! The loom models, one file for each protocol file, and what they share.
//!
//! Run: `RUSTFLAGS="--cfg loom" LOOM_MAX_PREEMPTIONS=2 cargo test --release -p wq-core --lib
//! --target-dir target/loom -- loom_`. Loom tries every interleaving (up to the bound on
//! preemptions) and every value that a load may return. It treats SeqCst accesses as AcqRel and
//! honours only SeqCst fences, and it knows no `membarrier`: both sides of an asymmetric fence are
//! full fences here.

mod abort;
mod arm;
mod assign;
mod counts;
mod inbox;
mod owner;
mod park;
mod pin;
mod sleep;
mod spares;
mod state;

use std::sync::{Mutex, MutexGuard, PoisonError};

use loom::cell::UnsafeCell;

/// Plain memory under a protocol: loom fails the model if two accesses are not ordered.
#[derive(Debug)]
pub(crate) struct Guarded<T> {
    /// What loom watches.
    watched: UnsafeCell<()>,
    /// What the model counts. The lock is invisible to loom and never contended: loom runs one
    /// thread at a time.
    value: Mutex<T>,
}

// SAFETY: the cell guards `()`, so even unordered accesses, which loom reports, do no harm.
unsafe impl<T: Send> Sync for Guarded<T> {}

impl<T> Guarded<T> {
    /// Guards `value`.
    pub(crate) fn new(value: T) -> Guarded<T> {
        Guarded {
            watched: UnsafeCell::new(()),
            value: Mutex::new(value),
        }
    }

    /// A write, as loom sees it.
    pub(crate) fn write<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        self.watched.with_mut(|_| change(&mut self.lock()))
    }

    /// A read, as loom sees it.
    pub(crate) fn read<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        self.watched.with(|_| look(&self.lock()))
    }

    /// The value, unseen by loom.
    fn lock(&self) -> MutexGuard<'_, T> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
