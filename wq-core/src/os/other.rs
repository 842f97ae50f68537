//! The portable implementation: any Unix, and Linux under `--cfg wq_portable`.
//!
//! No placement, no priorities, no probe, no quota; parking through the table in [`futex`].

#![forbid(unsafe_code)]

mod futex;

use std::cell::Cell;
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering, fence};
use std::time::{Duration, Instant};

use nix::sys::signal::SigSet;

use super::{ProbeKind, Sight, ThreadState, Tid, Trial};
use crate::cpuset::CpuSet;

pub(crate) use self::futex::{futex_wait, futex_wake};

/// The calling thread's number: 1 for the first thread that asks, and so on.
pub(crate) fn gettid() -> Tid {
    /// The number that the next new thread gets.
    static NEXT: AtomicI32 = AtomicI32::new(1);
    thread_local! {
        /// This thread's number, 0 before the first question.
        static OWN: Cell<Tid> = const { Cell::new(0) };
    }

    OWN.with(|own| {
        if own.get() == 0 {
            // Relaxed: only that no two threads get the same number matters.
            own.set(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        own.get()
    })
}

/// The answer of what this platform lacks.
fn unsupported<T>() -> io::Result<T> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Threads cannot be placed here.
///
/// # Errors
///
/// `Unsupported`, always.
pub(crate) fn set_affinity(_tid: Tid, _cpus: &CpuSet) -> io::Result<()> {
    unsupported()
}

/// Which CPUs a thread may use is not known here.
///
/// # Errors
///
/// `Unsupported`, always.
pub(crate) fn get_affinity(_tid: Tid) -> io::Result<CpuSet> {
    unsupported()
}

/// POSIX knows a nice value of the process only, which is not ours to change.
///
/// # Errors
///
/// `Unsupported`, always.
pub(crate) fn set_nice(_tid: Tid, _nice: i8) -> io::Result<()> {
    unsupported()
}

/// See [`set_nice`].
///
/// # Errors
///
/// `Unsupported`, always.
pub(crate) fn get_nice(_tid: Tid) -> io::Result<i8> {
    unsupported()
}

/// There is no idle class here, so there is no spotter.
///
/// # Errors
///
/// `Unsupported`, always.
pub(crate) fn enter_idle_class() -> io::Result<()> {
    unsupported()
}

/// Slices cannot be chosen here.
///
/// # Errors
///
/// `Unsupported`, always.
pub(crate) fn set_short_slice(_ns: u64) -> io::Result<()> {
    unsupported()
}

/// See [`set_short_slice`].
///
/// # Errors
///
/// `Unsupported`, always.
pub(crate) fn set_reset_on_fork_slice(_ns: u64) -> io::Result<()> {
    unsupported()
}

/// See [`enter_idle_class`].
///
/// # Errors
///
/// `Unsupported`, always.
pub(crate) fn leave_idle_class(_tid: Tid) -> io::Result<()> {
    unsupported()
}

/// Nothing to do: the process number tells.
pub(crate) fn watch_forks(_forget: fn()) {}

/// Differs from what it was in the process that this one was forked from.
pub(crate) fn generation() -> u32 {
    std::process::id()
}

/// Children inherit nothing here that they should not.
pub(crate) fn before_exec(_command: &mut std::process::Command, _home: crate::home::Home) {}

/// Every thread seems to be on the first CPU; a wrong answer costs locality only.
pub(crate) fn current_cpu() -> usize {
    0
}

/// Lets others run first.
pub(crate) fn sched_yield() {
    std::thread::yield_now();
}

/// Keeps signals away from the calling thread, for good; for service threads only.
pub(crate) fn block_all_signals() {
    // Fails only for a malformed request.
    let _ = SigSet::all().thread_block();
}

/// Timers have no adjustable slack here; they are as late as the platform makes them.
pub(crate) fn set_timer_slack_ns(_ns: u64) {}

/// See [`set_timer_slack_ns`].
pub(crate) fn timer_slack_ns() -> u64 {
    0
}

/// There is no barrier that reaches other threads, so both sides of a handshake need a fence.
pub(crate) fn membarrier_register() -> bool {
    false
}

/// A fence of the calling thread and nothing more; see [`membarrier_register`].
///
/// # Memory ordering
///
/// `SeqCst` fence: pairs with the one that the other side has where there is no registration.
pub(crate) fn membarrier() {
    // Pairs with the SeqCst fence of the other side.
    fence(Ordering::SeqCst);
}

/// CPU time of one thread is not known here.
///
/// # Errors
///
/// `Unsupported`, always.
pub(crate) fn thread_cpu_time(_tid: Tid) -> io::Result<Duration> {
    unsupported()
}

/// Nanoseconds of a monotonic clock that starts at the first question.
pub(crate) fn monotonic_ns() -> u64 {
    /// When the first question came.
    static START: OnceLock<Instant> = OnceLock::new();

    START.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

/// Milliseconds of the same clock.
pub(crate) fn coarse_ms() -> u64 {
    monotonic_ns() / 1_000_000
}

/// Another thread's name cannot be changed here.
///
/// # Errors
///
/// `Unsupported`, always.
pub(crate) fn set_thread_name(_tid: Tid, _name: &str) -> io::Result<()> {
    unsupported()
}

/// Nothing of this can be done here.
pub(crate) fn try_abilities(_nice: i8) -> Trial {
    Trial::NOTHING_WORKS
}

/// Quotas are not known here.
pub(crate) fn cgroup_cpu_quota() -> Option<f64> {
    None
}

/// What on Linux looks at another thread; here there never is one.
#[derive(Debug)]
pub(crate) struct ThreadProbe(std::convert::Infallible);

impl ThreadProbe {
    /// Threads cannot be looked at here.
    ///
    /// # Errors
    ///
    /// `Unsupported`, always.
    pub(crate) fn open(_tid: Tid) -> io::Result<ThreadProbe> {
        unsupported()
    }

    /// Cannot be called, as there is no probe to call it on.
    pub(crate) fn look(&self) -> Sight {
        match self.0 {}
    }

    /// Threads cannot be looked at here: always `Unknown`.
    pub(crate) fn look_once(_tid: Tid) -> Sight {
        ThreadState::Unknown.into()
    }
}

/// Always `None`: blocking is seen by marks and clocks only.
pub(crate) fn probe_works() -> ProbeKind {
    ProbeKind::None
}
