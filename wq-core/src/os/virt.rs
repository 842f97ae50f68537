//! The operating system as tests see it: virtual for the threads of a simulated machine, the
//! real one for all others.
//!
//! A thread belongs to a machine from its start (`sim::machine`) or never. Only calls that have
//! to do with time, CPUs and sleep are here; the others mean the same to both.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::{FutexWait, ProbeKind, Sight, Tid, Trial, platform};
use crate::CpuSet;
use crate::sim::machine::{Class, Here};

/// See the platform's.
pub(crate) fn current_cpu() -> usize {
    Here::get().map_or_else(platform::current_cpu, |here| here.current_cpu())
}

/// The calling thread runs when nobody else wants its CPU.
pub(crate) fn enter_idle_class() -> io::Result<()> {
    let Some(here) = Here::get() else {
        return platform::enter_idle_class();
    };
    here.set_class(Class::Idle);
    Ok(())
}

/// A virtual thread that wants short slices is a service thread: it runs at once, and what it
/// does takes no time.
pub(crate) fn set_short_slice(ns: u64) -> io::Result<()> {
    let Some(here) = Here::get() else {
        return platform::set_short_slice(ns);
    };
    here.set_class(Class::Outside);
    Ok(())
}

/// The slice of a worker; a virtual machine has no slices.
pub(crate) fn set_worker_slice(ns: u64) -> io::Result<()> {
    Here::get().map_or_else(|| platform::set_short_slice(ns), |_| Ok(()))
}

/// See [`set_worker_slice`].
pub(crate) fn set_reset_on_fork_slice(ns: u64) -> io::Result<()> {
    Here::get().map_or_else(|| platform::set_reset_on_fork_slice(ns), |_| Ok(()))
}

/// See the platform's. In a virtual machine everybody has the right.
pub(crate) fn set_nice(tid: Tid, nice: i8) -> io::Result<()> {
    let Some(here) = Here::get() else {
        return platform::set_nice(tid, nice);
    };
    assert_eq!(
        tid, 0,
        "the engine sets the priority of the calling thread only"
    );
    here.set_class(Class::Nice(nice));
    Ok(())
}

/// See the platform's.
pub(crate) fn set_affinity(tid: Tid, cpus: &CpuSet) -> io::Result<()> {
    let Some(here) = Here::get() else {
        return platform::set_affinity(tid, cpus);
    };
    here.set_affinity(tid, cpus);
    Ok(())
}

/// See the platform's.
pub(crate) fn gettid() -> Tid {
    Here::get().map_or_else(platform::gettid, |here| here.tid())
}

/// See the platform's.
pub(crate) fn thread_cpu_time(tid: Tid) -> io::Result<Duration> {
    Here::get().map_or_else(
        || platform::thread_cpu_time(tid),
        |here| Ok(here.cpu_time(tid)),
    )
}

/// See the platform's.
pub(crate) fn monotonic_ns() -> u64 {
    Here::get().map_or_else(platform::monotonic_ns, |here| here.now_ns())
}

/// See the platform's.
pub(crate) fn coarse_ms() -> u64 {
    Here::get().map_or_else(platform::coarse_ms, |here| here.now_ns() / 1_000_000)
}

/// See the platform's. Virtual threads keep the names that they were made with.
pub(crate) fn set_thread_name(tid: Tid, name: &str) -> io::Result<()> {
    Here::get().map_or_else(|| platform::set_thread_name(tid, name), |_| Ok(()))
}

/// The monotonic clock, for deadlines.
pub(crate) fn now() -> Instant {
    Here::get().map_or_else(Instant::now, |here| here.now())
}

/// See the platform's.
pub(crate) fn sched_yield() {
    Here::get().map_or_else(platform::sched_yield, |here| here.burn(YIELD_COST));
}

/// One turn of a loop that waits awake.
pub(crate) fn relax() {
    Here::get().map_or_else(std::hint::spin_loop, |here| here.burn(YIELD_COST));
}

/// A loop around yields must see the time pass.
const YIELD_COST: Duration = Duration::from_micros(1);

/// See the platform's.
pub(crate) fn futex_wait(word: &AtomicU32, expected: u32, timeout: Option<Duration>) -> FutexWait {
    let Some(here) = Here::get() else {
        return platform::futex_wait(word, expected, timeout);
    };
    // Acquire: as the real call; one thread of the machine runs at a time.
    if word.load(Ordering::Acquire) != expected {
        return FutexWait::Mismatch;
    }
    if here.wait(std::ptr::from_ref(word).addr(), timeout) {
        FutexWait::Woken
    } else {
        FutexWait::TimedOut
    }
}

/// See the platform's.
pub(crate) fn futex_wake(word: &AtomicU32, n: u32) -> usize {
    match Here::get() {
        None => platform::futex_wake(word, n),
        Some(here) => here.wake(std::ptr::from_ref(word).addr(), n),
    }
}

/// See the platform's.
pub(crate) fn probe_works() -> ProbeKind {
    Here::get().map_or_else(platform::probe_works, |_| ProbeKind::Syscall)
}

/// See the platform's. In a virtual machine all works.
pub(crate) fn try_abilities(nice: i8) -> Trial {
    Here::get().map_or_else(|| platform::try_abilities(nice), |_| Trial::ALL_WORKS)
}

/// Starts a detached thread: of the caller's machine, if it has one.
pub(crate) fn spawn_thread(name: String, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    match Here::get() {
        None => {
            let thread = std::thread::Builder::new().name(name);
            thread.spawn(|| crate::guard::run_or_abort(body)).map(drop)
        }
        Some(here) => here.spawn(name, body),
    }
}

/// A look at a thread.
#[derive(Debug)]
pub(crate) enum ThreadProbe {
    /// Of this machine.
    Real(platform::ThreadProbe),
    /// Of the looking thread's virtual one.
    Virtual(Tid),
}

impl ThreadProbe {
    /// See the platform's.
    pub(crate) fn open(tid: Tid) -> io::Result<ThreadProbe> {
        if Here::get().is_some() {
            return Ok(ThreadProbe::Virtual(tid));
        }
        platform::ThreadProbe::open(tid).map(ThreadProbe::Real)
    }

    /// See the platform's.
    pub(crate) fn look(&self) -> Sight {
        match self {
            ThreadProbe::Real(probe) => probe.look(),
            ThreadProbe::Virtual(tid) => ThreadProbe::look_once(*tid),
        }
    }

    /// See the platform's.
    pub(crate) fn look_once(tid: Tid) -> Sight {
        Here::get().map_or_else(
            || platform::ThreadProbe::look_once(tid),
            |here| here.state_of(tid).into(),
        )
    }
}
