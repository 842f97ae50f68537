//! Whether this process is the forked child of the one that a System was made in.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::libc;

/// Forks between the first watched process and this one.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// What else is done in a child.
static FORGET: OnceLock<fn()> = OnceLock::new();

/// Has children know that they are some. In each of them `forget` is called, on the one thread that
/// there is: it may take no lock and no memory. Only the first call counts.
pub(crate) fn watch_forks(forget: fn()) {
    FORGET.get_or_init(|| {
        // SAFETY: the handler does what a signal handler may: a count, and a call of `forget`, from
        // which the caller promises the same. A refusal for want of memory leaves children unaware.
        unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
        forget
    });
}

/// Called by the C library in a child, before `fork` returns.
extern "C" fn in_child() {
    // Relaxed: there is one thread.
    FORKS.fetch_add(1, Ordering::Relaxed);
    if let Some(forget) = FORGET.get() {
        forget();
    }
}

/// Differs from what it was in the process that this one was forked from.
#[inline]
pub(crate) fn generation() -> u32 {
    // Relaxed: it changes only where no other thread is.
    FORKS.load(Ordering::Relaxed)
}
