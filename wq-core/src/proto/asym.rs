//! The asymmetric fence: nearly free on the side that runs for every item, dear on the rare one.
//!
//! Both sides of a store-load handshake need a full fence. The hot side calls [`light`], which
//! only keeps the compiler from reordering; the rare side calls [`heavy`], which asks the kernel
//! to run a full barrier on every running thread of the process (`membarrier`, private
//! expedited). Where the kernel has no such call, both are a sequentially consistent fence; the
//! protocol is the same, only the price moves.
//!
//! Two *light* sides are not ordered against each other. The models know that: see `modelled`.
//! Under `--cfg wq_tsan` the same code as in the models stands for both sides, because
//! ThreadSanitizer follows read-modify-writes, but neither fences nor system calls.

#[cfg(not(any(loom, wq_tsan)))]
use crate::sync::atomic::{Ordering, fence};

#[cfg(not(any(loom, wq_tsan)))]
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

#[cfg(not(any(loom, wq_tsan)))]
pub(crate) use mode::init;

/// Whether the kernel fences for us.
#[cfg(not(any(loom, wq_tsan)))]
pub(crate) fn is_expedited() -> bool {
    mode::kernel_fences()
}

/// The code of the models has no kernel.
#[cfg(all(wq_tsan, not(loom)))]
pub(crate) fn is_expedited() -> bool {
    false
}

#[cfg(all(wq_tsan, not(loom)))]
pub(crate) use modelled::init;
#[cfg(any(loom, wq_tsan))]
pub(crate) use modelled::{heavy, light};

/// The frequent side of a handshake: orders what is before against what is after.
#[cfg(not(any(loom, wq_tsan)))]
#[inline(always)]
pub(crate) fn light() {
    if mode::kernel_fences() {
        // SeqCst for the compiler alone. Pairs with the barrier in `heavy`.
        std::sync::atomic::compiler_fence(Ordering::SeqCst);
        return;
    }
    // SeqCst: pairs with the fence in `heavy`.
    fence(Ordering::SeqCst);
}

/// The rare side of a handshake: a full barrier here and on every running thread.
#[cfg(not(any(loom, wq_tsan)))]
#[cold]
pub(crate) fn heavy() {
    crate::sync::note_barrier();
    if mode::kernel_fences() {
        crate::os::membarrier();
        return;
    }
    // SeqCst: pairs with the fence in `light`.
    fence(Ordering::SeqCst);
}

/// The asymmetric fence as loom sees it: of a light and a heavy side, whichever comes later sees
/// what the other did before; two light sides see nothing of each other.
#[cfg(any(loom, wq_tsan))]
mod modelled {
    use crate::sync::atomic::{AtomicUsize, Ordering};

    /// Where light sides leave what they did.
    #[cfg(not(loom))]
    static LIGHT: AtomicUsize = AtomicUsize::new(0);
    /// Where heavy sides leave what they did.
    #[cfg(not(loom))]
    static HEAVY: AtomicUsize = AtomicUsize::new(0);

    /// Nothing to set up.
    #[cfg(not(loom))]
    pub(crate) fn init() {}

    #[cfg(loom)]
    loom::lazy_static! {
        /// Where light sides leave what they did.
        static ref LIGHT: AtomicUsize = AtomicUsize::new(0);
        /// Where heavy sides leave what they did.
        static ref HEAVY: AtomicUsize = AtomicUsize::new(0);
    }

    /// Tells the heavy sides, then listens to them.
    pub(crate) fn light() {
        // Release, Acquire: pair with those in `heavy`. Read-modify-writes, so that none is
        // overlooked.
        LIGHT.fetch_add(1, Ordering::Release);
        HEAVY.fetch_add(1, Ordering::Acquire);
    }

    /// Tells the light sides, then listens to them. (The machine's is a full fence, too, which no
    /// handshake needs.)
    pub(crate) fn heavy() {
        // Release, Acquire: pair with those in `light`, in the opposite order, so that at least
        // one of the two hears the other.
        HEAVY.fetch_add(1, Ordering::Release);
        LIGHT.fetch_add(1, Ordering::Acquire);
    }
}
