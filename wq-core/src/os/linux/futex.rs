//! Sleeping and waking on a word, and the barrier that makes one side of a handshake free.

use std::ffi::c_long;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering, fence};
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;

use super::super::FutexWait;

/// The membarrier command that answers a bit set of the commands there are. (The C bindings name
/// these for some libraries only; the numbers are the kernel's and never change.)
const QUERY: libc::c_int = 0;

/// The membarrier command that interrupts the CPUs which run threads of this process.
const PRIVATE_EXPEDITED: libc::c_int = 1 << 3;

/// The membarrier command that announces the use of the one above.
const REGISTER_PRIVATE_EXPEDITED: libc::c_int = 1 << 4;

/// The timeout as the futex call reads it: two longs. `libc::timespec` may be wider on 32-bit
/// targets, where the call under this number still takes the narrow one.
#[repr(C)]
struct Timeout {
    /// Whole seconds.
    seconds: c_long,
    /// The rest, below a thousand million.
    nanoseconds: c_long,
}

impl Timeout {
    /// Cuts a duration that the kernel cannot express down to the longest one it can.
    fn new(duration: Duration) -> Timeout {
        Timeout {
            seconds: c_long::try_from(duration.as_secs()).unwrap_or(c_long::MAX),
            // Below 10^9, which fits into 32 bits.
            nanoseconds: duration.subsec_nanos() as c_long,
        }
    }
}

/// Sleeps while `word` holds `expected`, until a wake-up, the end of `timeout` or a signal.
///
/// For threads of this process only. The check and the falling asleep are one step as seen
/// by [`futex_wake`]: a waker that changes the word first and then wakes is never missed.
///
/// # Memory ordering
///
/// None is promised; the caller synchronises by its own accesses to the word.
pub(crate) fn futex_wait(word: &AtomicU32, expected: u32, timeout: Option<Duration>) -> FutexWait {
    let timeout = timeout.map(Timeout::new);
    let timeout = timeout
        .as_ref()
        .map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: the kernel reads the word, which the reference keeps alive, atomically; and the
    // timeout, which is null or points to the local above.
    let result = unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
            expected,
            timeout,
        )
    };
    match Errno::result(result) {
        Ok(_) => FutexWait::Woken,
        Err(Errno::EAGAIN) => FutexWait::Mismatch,
        Err(Errno::ETIMEDOUT) => FutexWait::TimedOut,
        // EINTR; and if a sandbox refuses the call, callers spin, which is slow but right.
        Err(_) => FutexWait::Interrupted,
    }
}

/// Wakes up to `n` threads that sleep on `word`; says how many.
pub(crate) fn futex_wake(word: &AtomicU32, n: u32) -> usize {
    // The kernel takes a signed count.
    let n = n.min(i32::MAX as u32);
    // SAFETY: the kernel uses the address as a key and does not access the word.
    let result = unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG,
            n,
        )
    };
    usize::try_from(result).unwrap_or(0)
}

/// Prepares this process for [`membarrier`]; says whether the kernel offers it.
///
/// The answer is remembered. If it is false, both sides of a handshake need a fence of their
/// own: what [`membarrier`] then does serves one side only.
pub(crate) fn membarrier_register() -> bool {
    /// What the first call found.
    static REGISTERED: OnceLock<bool> = OnceLock::new();

    *REGISTERED.get_or_init(|| {
        let wanted = c_long::from(PRIVATE_EXPEDITED | REGISTER_PRIVATE_EXPEDITED);
        let offered = membarrier_call(QUERY);
        offered.is_ok_and(|offered| offered & wanted == wanted)
            && membarrier_call(REGISTER_PRIVATE_EXPEDITED).is_ok()
    })
}

/// Puts a full memory barrier into every running thread of this process, this one included.
///
/// If the process is not registered, or the call fails, it is a `SeqCst` fence of the calling
/// thread and *nothing more*: the other side must then have a fence too, so a caller that means
/// to save it asks [`membarrier_register`] first. After a registration no failure is known.
///
/// # Memory ordering
///
/// Pairs with a compiler fence in the threads that need no barrier of their own.
pub(crate) fn membarrier() {
    let done = membarrier_register() && membarrier_call(PRIVATE_EXPEDITED).is_ok();
    if !done {
        // Pairs with the SeqCst fence that the other side has because there is no registration.
        fence(Ordering::SeqCst);
    }
}

/// The bare system call.
fn membarrier_call(command: libc::c_int) -> Result<c_long, Errno> {
    // SAFETY: a foreign function that takes integers only.
    Errno::result(unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: timeouts beyond the kernel's range mean "very long", not "at once" or an error.
    #[test]
    fn long_timeouts_saturate() {
        let timeout = Timeout::new(Duration::MAX);
        assert_eq!(
            (timeout.seconds, timeout.nanoseconds),
            (c_long::MAX, 999_999_999)
        );
        let timeout = Timeout::new(Duration::new(3, 7));
        assert_eq!((timeout.seconds, timeout.nanoseconds), (3, 7));
    }
}
