//! What runs in a forked child before it becomes another program.

use std::os::unix::process::CommandExt;
use std::process::Command;

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
