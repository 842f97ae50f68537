//! Children: what runs in one before it becomes another program, and a descriptor that tells its
//! end.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::ptr;

use nix::errno::Errno;
use nix::libc;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, alarm, fork};

use crate::home::Home;

/// Has the children of `command` take these settings.
pub(crate) fn before_exec(command: &mut Command, home: Home) {
    let hook = move || {
        home.restore_scheduling();
        Ok(())
    };
    // SAFETY: the closure runs in a forked child of a process with threads, so it may only do what
    // a signal handler may: it makes two system calls and touches no heap and no lock.
    unsafe { command.pre_exec(hook) };
}

/// A descriptor that is readable once this child has ended; since Linux 5.3. Nobody may have reaped
/// the child, or the number may be another process's.
///
/// # Errors
///
/// `ENOSYS` on an older kernel, `EMFILE` and the like; what a filter of system calls says.
pub(crate) fn pidfd_open(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: the call takes integers only. It sets close-on-exec by itself.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = Errno::result(fd)? as libc::c_int;
    // SAFETY: the call has made it, and nobody else knows its number.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sends `SIGKILL` to the process that this descriptor means, and never to another that has got its
/// number; since Linux 5.1.
///
/// # Errors
///
/// `ESRCH` once it was reaped, `EPERM` if it is another user's; what a filter of system calls says.
pub(crate) fn pidfd_kill(fd: BorrowedFd<'_>) -> io::Result<()> {
    let (fd, info) = (fd.as_raw_fd(), ptr::null::<libc::siginfo_t>());
    // SAFETY: the call takes integers, and a pointer that may be null: the kernel then fills in
    // what `kill` would say.
    let sent = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, libc::SIGKILL, info, 0) };
    Errno::result(sent)?;
    Ok(())
}

/// Forks; the child runs `f` and leaves with its answer, or is killed after `limit_s` seconds.
/// Waits for it: `None` if it was killed, 101 if `f` panicked.
pub(crate) fn in_forked_child(limit_s: u32, f: impl FnOnce() -> u8) -> io::Result<Option<u8>> {
    // SAFETY: a child of a process with threads may only do what a signal handler may. What `f`
    // does beyond that is what the tests find out: at worst it hangs, and then it is killed.
    let forked = unsafe { fork() }?;
    let ForkResult::Parent { child } = forked else {
        alarm::set(limit_s);
        let code = catch_unwind(AssertUnwindSafe(f)).unwrap_or(101);
        // SAFETY: it takes any number and does not return; no destructor of the parent's runs.
        unsafe { libc::_exit(code.into()) }
    };
    match waitpid(child, None)? {
        WaitStatus::Exited(_, code) => Ok(u8::try_from(code).ok()),
        _ => Ok(None),
    }
}
