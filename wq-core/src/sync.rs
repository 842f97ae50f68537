//! The one place that knows about loom: atomics, cells and threads, from std or from the model.
//!
//! Everything below `proto/` imports its shared-memory words from here, so that the very code
//! that runs is the code that the models explore. This file keeps no invariant of its own.

#[cfg(not(any(loom, test)))]
pub(crate) use std::sync::atomic;

/// In unit tests, which count some accesses.
#[cfg(all(test, not(loom)))]
pub(crate) mod counted;
#[cfg(all(test, not(loom)))]
pub(crate) use counted as atomic;

#[cfg(loom)]
pub(crate) use loom::sync::atomic;

#[cfg(all(test, not(loom)))]
pub(crate) use counted as plain;
/// The atomics of files that no model explores.
#[cfg(not(all(test, not(loom))))]
pub(crate) use std::sync::atomic as plain;

/// A lock that stands there is taken, for unit tests that count.
#[inline(always)]
pub(crate) fn note_lock<T: ?Sized>(_lock: &T) {
    #[cfg(all(test, not(loom)))]
    counted::note_lock(_lock);
}

/// All threads pass a barrier, for unit tests that count.
#[cfg(not(any(loom, wq_tsan)))]
#[inline(always)]
pub(crate) fn note_barrier() {
    #[cfg(test)]
    counted::note_barrier();
}

/// A hint to the CPU that this thread waits for another one to store something.
#[inline]
pub(crate) fn spin_hint() {
    #[cfg(not(loom))]
    std::hint::spin_loop();
    #[cfg(loom)]
    loom::thread::yield_now();
}

/// Sleeps while `word` is `expected`; may return at any time.
pub(crate) fn futex_wait(
    word: &atomic::AtomicU32,
    expected: u32,
    limit: Option<std::time::Duration>,
) {
    #[cfg(not(loom))]
    let _ = crate::os::futex_wait(word, expected, limit);
    #[cfg(loom)]
    {
        // The model's sleep is a turn given up, and every return is spurious: the caller looks
        // again. A lost wake-up shows as an endless loop, which loom reports.
        let _ = limit;
        // Relaxed: as the kernel's look, which orders nothing for the caller.
        if word.load(atomic::Ordering::Relaxed) == expected {
            loom::thread::yield_now();
        }
    }
}

/// Wakes one thread that sleeps on `word`.
pub(crate) fn futex_wake(word: &atomic::AtomicU32) {
    #[cfg(not(loom))]
    let _ = crate::os::futex_wake(word, 1);
    #[cfg(loom)]
    let _ = word;
}

/// Ends the wait of the one thread that waits for the outside world; if none does, that of the
/// next one.
pub(crate) fn interrupt() {
    #[cfg(not(loom))]
    crate::outside::interrupt();
    #[cfg(loom)]
    modelled::interrupt();
}

/// The outside world of a model: nothing happens there but the interrupt.
#[cfg(loom)]
pub(crate) mod modelled {
    use loom::lazy_static;
    use loom::sync::atomic::{AtomicBool, Ordering};

    lazy_static! {
        /// Somebody wrote to the descriptor.
        static ref INTERRUPTED: AtomicBool = AtomicBool::new(false);
    }

    /// See [`super::interrupt`].
    pub(super) fn interrupt() {
        // Relaxed: the kernel's word, which orders nothing for the caller.
        INTERRUPTED.store(true, Ordering::Relaxed);
    }

    /// Waits until somebody interrupts. A lost interrupt shows as an endless loop.
    pub(crate) fn wait() {
        // Relaxed: as above. A model waits once, so nobody has to forget the interrupt.
        while !INTERRUPTED.load(Ordering::Relaxed) {
            loom::thread::yield_now();
        }
    }
}
