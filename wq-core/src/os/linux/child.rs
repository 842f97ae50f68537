//! What runs in a forked child before it becomes another program.

use std::io;
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;

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
