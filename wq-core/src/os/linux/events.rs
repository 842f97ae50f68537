//! Waiting for descriptors, to the nanosecond.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::sys::epoll::{EpollEvent, EpollTimeout};

/// The number of `epoll_pwait2`, the same on every architecture; since Linux 5.11.
const EPOLL_PWAIT2: libc::c_long = 441;

/// The timeout as that call reads it, on every architecture.
#[repr(C)]
struct Timeout {
    seconds: i64,
    nanoseconds: i64,
}

/// Whether the kernel lacks the call, or somebody forbids it: known after the first try.
static LACKS_NANOSECONDS: AtomicBool = AtomicBool::new(false);

/// Waits for events of an epoll, until the limit is over at the latest; how many there are. 0 also
/// after a signal. Kernels without `epoll_pwait2` wait up to a millisecond longer.
///
/// # Errors
///
/// What the machine says if it does not wait at all.
pub(crate) fn epoll_wait(
    epoll: BorrowedFd<'_>,
    events: &mut [EpollEvent],
    limit: Option<Duration>,
) -> io::Result<usize> {
    // Zero and no limit need no nanoseconds, and the older call is the cheaper one.
    // Relaxed: a hint; who misses it tries once more.
    let exact =
        limit.filter(|limit| !limit.is_zero() && !LACKS_NANOSECONDS.load(Ordering::Relaxed));
    if let Some(limit) = exact {
        match epoll_pwait2(epoll, events, limit) {
            Err(Errno::EINTR) => return Ok(0),
            Ok(got) => return Ok(got),
            // It is not there, or a filter of system calls says so in its own way.
            Err(_) => LACKS_NANOSECONDS.store(true, Ordering::Relaxed),
        }
    }
    let timeout = limit.map_or(EpollTimeout::NONE, |limit| {
        // Up, so that whoever waits for a moment does not come before it, again and again.
        let up = limit.saturating_add(Duration::from_nanos(999_999));
        EpollTimeout::try_from(up).unwrap_or(EpollTimeout::MAX)
    });
    let timeout = i32::from(timeout);
    let len = i32::try_from(events.len()).unwrap_or(i32::MAX);
    // SAFETY: the kernel writes `len` events at most to where the slice is, whose elements are
    // `epoll_event`s (`repr(transparent)`).
    let got =
        unsafe { libc::epoll_wait(epoll.as_raw_fd(), events.as_mut_ptr().cast(), len, timeout) };
    match Errno::result(got) {
        Ok(got) => Ok(usize::try_from(got).unwrap_or(0)),
        Err(Errno::EINTR) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// See [`epoll_wait`].
fn epoll_pwait2(
    epoll: BorrowedFd<'_>,
    events: &mut [EpollEvent],
    limit: Duration,
) -> Result<usize, Errno> {
    let timeout = Timeout {
        seconds: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
        nanoseconds: i64::from(limit.subsec_nanos()),
    };
    let len = i32::try_from(events.len()).unwrap_or(i32::MAX);
    let no_mask = std::ptr::null::<libc::sigset_t>();
    // SAFETY: as above; the timeout is read during the call, and a null mask changes nothing.
    let got = unsafe {
        libc::syscall(
            EPOLL_PWAIT2,
            epoll.as_raw_fd(),
            events.as_mut_ptr(),
            len,
            std::ptr::from_ref(&timeout),
            no_mask,
            0_usize,
        )
    };
    Errno::result(got).map(|got| usize::try_from(got).unwrap_or(0))
}
