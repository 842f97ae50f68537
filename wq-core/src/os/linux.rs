//! The Linux implementation: `sched` (placement and priority), `futex` (sleep, wake, barrier),
//! `probe` (is that thread blocked?), `cgroup` (the CPU quota), `trial` (what is allowed), `child`
//! (before it is another program, and its end), `events` (descriptors), `fork` (is this a child?),
//! `idlers` (the idle class, and the program's exit) and, here, clocks and the calling thread's own
//! settings.

mod cgroup;
mod child;
mod events;
mod fork;
mod futex;
mod idlers;
mod probe;
mod sched;
mod trial;

use std::io;
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::sys::prctl;
use nix::sys::signal::SigSet;
use nix::time::{ClockId, clock_gettime};

use super::Tid;

pub(crate) use self::cgroup::cgroup_cpu_quota;
pub(crate) use self::child::{before_exec, in_forked_child, pidfd_kill, pidfd_open};
pub(crate) use self::events::epoll_wait;
pub(crate) use self::fork::{generation, watch_forks};
pub(crate) use self::futex::{futex_wait, futex_wake, membarrier, membarrier_register};
pub(crate) use self::idlers::enter_idle_class;
pub(crate) use self::probe::{ThreadProbe, probe_works};
pub(crate) use self::sched::{
    current_cpu, get_affinity, get_nice, leave_idle_class, sched_yield, set_affinity, set_nice,
    set_reset_on_fork_slice, set_short_slice,
};
use self::sched::{to_idle_class, to_short_slice};
pub(crate) use self::trial::try_abilities;

/// One more than the greatest thread number that any kernel gives.
const MAX_TID: Tid = 1 << 22;

/// The low bits of a clock id that mean "CPU time of one thread": the per-thread flag (4) and
/// the scheduler's nanosecond clock (2). The id's other bits are the complement of the tid.
const THREAD_CPU_CLOCK: libc::clockid_t = 4 | 2;

/// The calling thread's number.
pub(crate) fn gettid() -> Tid {
    nix::unistd::gettid().as_raw()
}

/// CPU time that a thread of this process has used, in user and kernel mode.
///
/// # Errors
///
/// `EINVAL` if the thread is gone.
pub(crate) fn thread_cpu_time(tid: Tid) -> io::Result<Duration> {
    // Beyond any thread's number, and shifted it would mean a clock of another kind.
    if !(0..MAX_TID).contains(&tid) {
        return Err(Errno::EINVAL.into());
    }
    let clock = ClockId::from_raw((!tid << 3) | THREAD_CPU_CLOCK);
    Ok(Duration::from(clock_gettime(clock)?))
}

/// Nanoseconds of the monotonic clock, which stands still while the machine is suspended.
pub(crate) fn monotonic_ns() -> u64 {
    // The call fails for unknown clocks only. It is answered without entering the kernel.
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from);
    now.as_nanos() as u64
}

/// Milliseconds of the same clock as of the last tick, some 4 ms old at most: cheaper to read.
pub(crate) fn coarse_ms() -> u64 {
    // As above.
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE);
    now.map_or(Duration::ZERO, Duration::from).as_millis() as u64
}

/// Gives a thread of this process another name, of which the kernel keeps 15 bytes.
///
/// # Errors
///
/// Whatever procfs answers, if it is not there or the thread is gone.
pub(crate) fn set_thread_name(tid: Tid, name: &str) -> io::Result<()> {
    std::fs::write(format!("/proc/self/task/{tid}/comm"), name)
}

/// Keeps signals away from the calling thread, for good; for service threads only.
pub(crate) fn block_all_signals() {
    // Fails only for a malformed request.
    let _ = SigSet::all().thread_block();
}

/// Says how late the calling thread's timers may be, for the sake of batching wake-ups. The
/// default of 50 us is more than a whole hand-over.
pub(crate) fn set_timer_slack_ns(ns: u64) {
    // Zero would mean "back to the default". A refusal leaves the thread as precise as others.
    let _ = prctl::set_timerslack(libc::c_ulong::try_from(ns.max(1)).unwrap_or(libc::c_ulong::MAX));
}

/// How late the calling thread's timers may be, ns; 0 if the kernel does not tell.
pub(crate) fn timer_slack_ns() -> u64 {
    prctl::get_timerslack().map_or(0, |ns| u64::try_from(ns).unwrap_or(0))
}

/// Turns the -1 of a raw system call into the error it left in `errno`.
fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    Ok(Errno::result(result)?)
}

#[cfg(test)]
mod tests;
