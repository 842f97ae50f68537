//! Every system call of this crate, and nothing else.
//!
//! There are two implementations with the same functions: `linux`, which has everything, and
//! `other`, which builds on any Unix (and on Linux under `--cfg wq_portable`, so that it is
//! tested): no placement, no probe, no scheduling classes. There a call that cannot be had
//! answers [`Unsupported`](std::io::ErrorKind::Unsupported) or [`ThreadState::Unknown`], and
//! parking rests on a mutex and a condition variable. Callers treat a missing ability as a
//! fact to report, never as fatal.
//!
//! What both must keep: nothing here panics; `futex_*`, `membarrier` and `ThreadProbe` never
//! allocate and take no lock on Linux, because the idle spotter calls them at a moment where
//! it may be stopped for ever.

#[cfg(all(target_os = "linux", not(wq_portable)))]
mod linux;
#[cfg(not(all(target_os = "linux", not(wq_portable))))]
mod other;

#[cfg(all(target_os = "linux", not(wq_portable)))]
use self::linux as platform;
#[cfg(not(all(target_os = "linux", not(wq_portable))))]
use self::other as platform;

/// The same calls for the threads of a virtual machine.
#[cfg(any(test, wq_sim))]
mod virt;

#[cfg(all(target_os = "linux", not(wq_portable)))]
pub(crate) use self::platform::epoll_wait;
#[cfg(not(any(test, wq_sim)))]
pub(crate) use self::platform::{
    ThreadProbe, coarse_ms, current_cpu, enter_idle_class, futex_wait, futex_wake, gettid,
    monotonic_ns, probe_works, sched_yield, set_affinity, set_nice, set_short_slice,
    set_thread_name, thread_cpu_time, try_abilities,
};
pub(crate) use self::platform::{
    before_exec, block_all_signals, cgroup_cpu_quota, generation, get_affinity, get_nice,
    leave_idle_class, membarrier, membarrier_register, set_timer_slack_ns, timer_slack_ns,
    watch_forks,
};
#[cfg(any(test, wq_sim))]
pub(crate) use self::virt::{
    ThreadProbe, coarse_ms, current_cpu, enter_idle_class, futex_wait, futex_wake, gettid,
    monotonic_ns, now, probe_works, relax, sched_yield, set_affinity, set_nice,
    set_reset_on_fork_slice, set_short_slice, set_thread_name, set_worker_slice, spawn_thread,
    thread_cpu_time, try_abilities,
};

#[cfg(all(target_os = "linux", not(wq_portable)))]
pub(crate) use self::platform::{in_forked_child, pidfd_kill, pidfd_open};
#[cfg(not(any(test, wq_sim)))]
pub(crate) use self::platform::{set_reset_on_fork_slice, set_short_slice as set_worker_slice};

/// The monotonic clock, for deadlines.
#[cfg(not(any(test, wq_sim)))]
pub(crate) fn now() -> std::time::Instant {
    std::time::Instant::now()
}

/// One turn of a loop that waits awake.
#[cfg(not(any(test, wq_sim)))]
pub(crate) fn relax() {
    std::hint::spin_loop();
}

/// Starts a detached thread of the engine, whose panic ends the process.
#[cfg(not(any(test, wq_sim)))]
pub(crate) fn spawn_thread(
    name: String,
    body: impl FnOnce() + Send + 'static,
) -> std::io::Result<()> {
    let thread = std::thread::Builder::new().name(name);
    thread.spawn(|| crate::guard::run_or_abort(body)).map(drop)
}

/// Signals that a thread blocks.
pub(crate) type SignalMask = nix::sys::signal::SigSet;

/// Signals that the calling thread blocks.
pub(crate) fn signal_mask() -> SignalMask {
    // Fails only for a malformed request.
    SignalMask::thread_get_mask().unwrap_or_else(|_| SignalMask::empty())
}

/// Has the calling thread block these and no others.
pub(crate) fn set_signal_mask(mask: &SignalMask) {
    // As above.
    let _ = mask.thread_set_mask();
}

/// A thread's number. On Linux the kernel's; elsewhere ours, counted from 1. Zero is no thread's
/// number; the calls on affinity, nice value and CPU time take it for the calling thread.
pub(crate) type Tid = i32;

/// How many [`ThreadProbe`]s may hold a descriptor at once, in the whole process.
///
/// A guest in a process must not eat its descriptor table: 128 is an eighth of the usual soft
/// limit of 1024. Who comes later uses [`ThreadProbe::look_once`].
#[cfg_attr(
    not(all(target_os = "linux", not(wq_portable))),
    expect(dead_code, reason = "no probes there")
)]
pub(crate) const MAX_PROBES: usize = 128;

/// Why a [`futex_wait`] came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    not(all(target_os = "linux", not(wq_portable))),
    expect(dead_code, reason = "only a system call can be interrupted")
)]
pub(crate) enum FutexWait {
    /// A wake-up came. It may have been meant for an earlier user of the address: check again.
    Woken,
    /// The word did not hold the expected value, so the thread did not sleep.
    Mismatch,
    /// The timeout ended first.
    TimedOut,
    /// A signal handler ran. The caller checks its condition and waits again.
    Interrupted,
}

/// What a look at a thread showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    not(all(target_os = "linux", not(wq_portable))),
    expect(dead_code, reason = "nothing is looked at there")
)]
pub(crate) enum ThreadState {
    /// On a CPU, or waiting for one.
    Running,
    /// Asleep in the kernel, or a moment away from it: in a system call, a page fault, or stopped.
    Blocked,
    /// As `Blocked`, and off its CPU for certain at a moment of the look: the kernel has held the
    /// run queue's lock to find out. What the thread did before is visible to the looker; what it
    /// does later sees what the looker did before the look.
    Asleep,
    /// It could not be told; the thread may be gone.
    Unknown,
}

/// A look at a thread, with what it waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sight {
    /// Whether it runs.
    pub(crate) state: ThreadState,
    /// Address of the futex that it waits on; 0 if it waits for something else, or nobody knows.
    pub(crate) futex: usize,
}

impl From<ThreadState> for Sight {
    fn from(state: ThreadState) -> Sight {
        Sight { state, futex: 0 }
    }
}

impl ThreadState {
    /// Whether the thread does not run, as far as can be told.
    pub(crate) fn is_blocked(self) -> bool {
        matches!(self, ThreadState::Blocked | ThreadState::Asleep)
    }
}

/// Which source of thread states works in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    not(any(test, wq_sim, all(target_os = "linux", not(wq_portable)))),
    expect(dead_code, reason = "nothing is looked at there")
)]
pub(crate) enum ProbeKind {
    /// `/proc/self/task/TID/syscall`: exact and cheap.
    Syscall,
    /// `/proc/self/task/TID/stat`: exact, three times as dear, needs no rights.
    Stat,
    /// Neither; blocking is seen by marks and clocks only.
    None,
}

/// What the kernel lets this process do with its threads; each an error number if it refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trial {
    /// Bind them to CPUs.
    pub(crate) placement: Result<(), i32>,
    /// Give them slices of their own.
    pub(crate) slices: Result<(), i32>,
    /// Raise their priority.
    pub(crate) high_priority: Result<(), i32>,
    /// Have them run only where nobody else wants the CPU.
    pub(crate) idle_class: Result<(), i32>,
}

impl Trial {
    /// A machine without limits.
    #[cfg(any(test, wq_sim))]
    pub(crate) const ALL_WORKS: Trial = Trial::all(Ok(()));

    /// A platform that has none of this.
    pub(crate) const NOTHING_WORKS: Trial = Trial::all(Err(nix::libc::ENOSYS));

    /// The same outcome of each try.
    pub(crate) const fn all(outcome: Result<(), i32>) -> Trial {
        Trial {
            placement: outcome,
            slices: outcome,
            high_priority: outcome,
            idle_class: outcome,
        }
    }

    /// Whether a CPU can have a spotter.
    pub(crate) fn spotter(&self) -> Result<(), i32> {
        self.placement.and(self.idle_class)
    }
}

#[cfg(test)]
mod tests;
