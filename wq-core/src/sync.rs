//! The one place that knows about loom: atomics, cells and threads, from std or from the model.
//!
//! Everything below `proto/` imports its shared-memory words from here, so that the very code
//! that runs is the code that the models explore. This file keeps no invariant of its own.

#[cfg(not(loom))]
pub(crate) use std::sync::atomic;

#[cfg(loom)]
pub(crate) use loom::sync::atomic;

/// A hint to the CPU that this thread waits for another one to store something.
#[inline]
pub(crate) fn spin_hint() {
    #[cfg(not(loom))]
    std::hint::spin_loop();
    #[cfg(loom)]
    loom::thread::yield_now();
}
