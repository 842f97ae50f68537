//! The asymmetric fence: nearly free on the side that runs for every item, dear on the rare one.
//!
//! Both sides of a store-load handshake need a full fence. The hot side calls [`light`], which
//! only keeps the compiler from reordering; the rare side calls [`heavy`], which asks the kernel
//! to run a full barrier on every running thread of the process (`membarrier`, private
//! expedited). Where the kernel has no such call, both are a sequentially consistent fence; the
//! protocol is the same, only the price moves. The models use that form.

use crate::sync::atomic::{Ordering, fence};

#[cfg(not(loom))]
mod mode {
    use std::sync::atomic::{AtomicBool, Ordering};

    /// Whether the kernel fences for us. Written once by `init`, before any lane exists.
    static MEMBARRIER: AtomicBool = AtomicBool::new(false);

    /// Registers this process for expedited barriers, once.
    pub(crate) fn init() {
        // Relaxed: whoever uses a lane learned of it from the thread that called this.
        MEMBARRIER.store(crate::os::membarrier_register(), Ordering::Relaxed);
    }

    /// Whether `light` may be a compiler fence.
    #[inline(always)]
    pub(crate) fn kernel_fences() -> bool {
        // Relaxed: the value never changes once a lane exists.
        MEMBARRIER.load(Ordering::Relaxed)
    }
}

#[cfg(not(loom))]
pub(crate) use mode::init;

/// The frequent side of a handshake: orders what is before against what is after.
#[inline(always)]
pub(crate) fn light() {
    #[cfg(not(loom))]
    if mode::kernel_fences() {
        // SeqCst for the compiler alone. Pairs with the barrier in `heavy`.
        std::sync::atomic::compiler_fence(Ordering::SeqCst);
        return;
    }
    // SeqCst: pairs with the fence in `heavy`.
    fence(Ordering::SeqCst);
}

/// The rare side of a handshake: a full barrier here and on every running thread.
#[cold]
pub(crate) fn heavy() {
    #[cfg(not(loom))]
    if mode::kernel_fences() {
        crate::os::membarrier();
        return;
    }
    // SeqCst: pairs with the fence in `light`.
    fence(Ordering::SeqCst);
}
