//! Where and how eagerly a thread runs: affinity, nice value, scheduling class, slice.
//!
//! A [`Tid`] of 0 is the calling thread. Raw system calls stand where the C library is missing
//! a wrapper, or has one that does nothing (`sched_setscheduler` of musl).

use std::io;

use nix::errno::Errno;
use nix::libc;
use nix::unistd::Pid;

use super::super::Tid;
use super::check;
use crate::cpuset::CpuSet;

/// Lets a thread run on the CPUs of a set only.
///
/// # Errors
///
/// `EINVAL` if no CPU of the set is online and allowed by the cpuset, `ESRCH` if the thread is
/// gone, `EPERM` for a thread of another user.
pub(crate) fn set_affinity(tid: Tid, cpus: &CpuSet) -> io::Result<()> {
    let mut mask = nix::sched::CpuSet::new();
    for cpu in cpus.iter() {
        mask.set(cpu)?;
    }
    Ok(nix::sched::sched_setaffinity(Pid::from_raw(tid), &mask)?)
}

/// The CPUs that a thread may run on.
///
/// # Errors
///
/// `ESRCH` if the thread is gone, `EINVAL` on a kernel built for more than 1024 CPUs.
pub(crate) fn get_affinity(tid: Tid) -> io::Result<CpuSet> {
    let mask = nix::sched::sched_getaffinity(Pid::from_raw(tid))?;
    Ok((0..CpuSet::MAX_CPUS)
        .filter(|&cpu| mask.is_set(cpu) == Ok(true))
        .collect())
}

/// Sets the nice value of one thread, clamped by the kernel to -20..=19. (POSIX gives the whole
/// process one; Linux gives each thread its own.)
///
/// # Errors
///
/// `EACCES` if an unprivileged caller asks for less nice than `RLIMIT_NICE` allows.
pub(crate) fn set_nice(tid: Tid, nice: i8) -> io::Result<()> {
    // SAFETY: `setpriority` is a foreign function that takes integers only.
    let result = unsafe {
        libc::syscall(
            libc::SYS_setpriority,
            libc::PRIO_PROCESS,
            tid,
            libc::c_int::from(nice),
        )
    };
    check(result).map(drop)
}

/// The nice value of one thread.
///
/// # Errors
///
/// `ESRCH` if the thread is gone.
pub(crate) fn get_nice(tid: Tid) -> io::Result<i8> {
    // SAFETY: `getpriority` is a foreign function that takes integers only.
    let result = unsafe { libc::syscall(libc::SYS_getpriority, libc::PRIO_PROCESS, tid) };
    // The bare system call answers 20 - nice, so that a nice value of -1 is no error.
    check(result).map(|priority| (20 - priority) as i8)
}

/// Puts a thread of the process, 0 for the calling one, into the idle class: it runs when its CPU
/// has nothing else to do.
///
/// There may be no way back: leaving the class needs `RLIMIT_NICE` or a capability.
///
/// # Errors
///
/// None is known on Linux since 2.6.23, but a sandbox may refuse the call.
pub(super) fn to_idle_class(tid: Tid) -> io::Result<()> {
    let param: libc::c_int = 0;
    // SAFETY: the kernel reads a `struct sched_param`, which is one int, at the last argument;
    // `param` is one and lives across the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_sched_setscheduler,
            tid,
            libc::SCHED_IDLE,
            &raw const param,
        )
    };
    check(result).map(drop)
}

/// Asks for a custom slice for the calling thread, which becomes `SCHED_OTHER` and keeps its
/// nice value. A short slice means an early deadline: the thread gets its CPU sooner after a
/// wake-up, not more of it. The kernel clamps to 0.1..=100 ms; before 6.12 it ignores the slice.
///
/// # Errors
///
/// `EPERM` if the thread is of the idle class and may not leave it.
pub(crate) fn set_short_slice(ns: u64) -> io::Result<()> {
    to_short_slice(0, ns)
}

/// As [`set_short_slice`], of any thread of the process; 0 for the calling one.
pub(super) fn to_short_slice(tid: Tid, ns: u64) -> io::Result<()> {
    set_slice(tid, ns, 0)
}

/// As [`set_short_slice`]; threads and children that the caller starts get the usual slice, and
/// the nice value 0 if the caller's is below that.
///
/// # Errors
///
/// As there.
pub(crate) fn set_reset_on_fork_slice(ns: u64) -> io::Result<()> {
    set_slice(0, ns, libc::SCHED_FLAG_RESET_ON_FORK as u64)
}

/// Takes a thread out of the idle class.
///
/// # Errors
///
/// `EPERM` without the right to do so, `ESRCH` if the thread is gone.
pub(crate) fn leave_idle_class(tid: Tid) -> io::Result<()> {
    set_slice(tid, 0, 0)
}

/// The call of those above; a slice of 0 is the usual one.
fn set_slice(tid: Tid, ns: u64, flags: u64) -> io::Result<()> {
    let attr = libc::sched_attr {
        size: size_of::<libc::sched_attr>() as u32,
        sched_policy: libc::SCHED_OTHER as u32,
        sched_flags: flags,
        sched_nice: i32::from(get_nice(tid)?),
        sched_priority: 0,
        sched_runtime: ns,
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: the kernel reads `attr.size` bytes at the second argument; that is the size of
    // `attr`, which lives across the call.
    let result = unsafe { libc::syscall(libc::SYS_sched_setattr, tid, &raw const attr, 0) };
    check(result).map(drop)
}

/// The CPU that the caller is on, which may be outdated when it is used.
pub(crate) fn current_cpu() -> usize {
    // Without the call (a kernel older than 2.6.19) every thread seems to be on the first CPU.
    nix::sched::sched_getcpu().unwrap_or(0)
}

/// Lets others run first.
pub(crate) fn sched_yield() {
    // Linux documents that it cannot fail.
    let _: Result<(), Errno> = nix::sched::sched_yield();
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The calling thread's slice as the kernel tells it; 0 from a kernel that has none.
    pub(in super::super) fn slice_of_caller() -> u64 {
        let mut attr = libc::sched_attr {
            size: 0,
            sched_policy: 0,
            sched_flags: 0,
            sched_nice: 0,
            sched_priority: 0,
            sched_runtime: 0,
            sched_deadline: 0,
            sched_period: 0,
        };
        let size = size_of::<libc::sched_attr>();
        // SAFETY: the kernel writes at most `size` bytes at the second argument, which is the
        // size of `attr`, alive across the call.
        let result = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attr, size, 0) };
        check(result).expect("own attributes can be read");
        attr.sched_runtime
    }

    /// Goal: who starts a thread does not hand its slice and raised priority on, if so asked.
    #[test]
    fn slice_and_raised_priority_end_at_a_fork() {
        let of_child = || std::thread::spawn(|| (slice_of_caller(), get_nice(0)));
        let usual = of_child().join().expect("it does not panic").0;
        let parent = std::thread::spawn(move || {
            let raised = set_nice(0, -5).is_ok();
            set_reset_on_fork_slice(200_000).expect("own slice");
            let (slice, nice) = of_child().join().expect("it does not panic");
            (slice_of_caller(), slice, nice.expect("own nice"), raised)
        });
        let (own, childs, nice, raised) = parent.join().expect("it does not panic");
        if own == 0 {
            return eprintln!("SKIPPED: this kernel has no slices");
        }
        assert_eq!((own, childs), (200_000, usual));
        assert!(nice == 0 || !raised, "nice {nice}");
    }
}
