//! A descriptor that means one child, whatever becomes of its number.
//!
//! Who waits for all children of the program, or ignores `SIGCHLD`, reaps this one too, and its
//! number may then be another process's, or another child's. Through the descriptor neither is
//! taken for it.

#![forbid(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Child;

use nix::errno::Errno;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use wq_core::driver;

/// A child's descriptor, readable once it has ended.
#[derive(Debug)]
pub(super) struct Pidfd(OwnedFd);

/// What is there behind a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The child, alive.
    Alive,
    /// The child, not reaped: it has ended, or the kernel cannot tell (before Linux 5.4, or a
    /// filter of system calls). It may be asked for by its number.
    Unreaped,
    /// Nobody, or no child of this program: somebody else has reaped it.
    Gone,
}

impl Pidfd {
    /// Of a child whose number was its own when it was looked at last.
    ///
    /// # Errors
    /// `ECHILD` if somebody else has reaped it meanwhile; if the machine refuses a descriptor.
    pub(super) fn open(child: &Child) -> io::Result<Pidfd> {
        let fd = driver::pidfd_open(child.id()).map_err(|error| match error.raw_os_error() {
            Some(errno) if errno == Errno::ESRCH as i32 => Errno::ECHILD.into(),
            _ => error,
        })?;
        // The number may have gone to a stranger before it was opened.
        Pidfd(fd).checked()
    }

    /// Itself, if it means a child of this program.
    fn checked(self) -> io::Result<Pidfd> {
        match self.state() {
            State::Gone => Err(Errno::ECHILD.into()),
            State::Alive | State::Unreaped => Ok(self),
        }
    }

    /// What is there now; reaps nothing.
    pub(super) fn state(&self) -> State {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        match waitid(Id::PIDFd(self.0.as_fd()), flags) {
            Ok(WaitStatus::StillAlive) => State::Alive,
            Err(Errno::ECHILD) => State::Gone,
            // Also an end by a signal that has no name, which is an error there.
            Ok(_) | Err(_) => State::Unreaped,
        }
    }

    /// Kills the child, if it is there.
    ///
    /// # Errors
    /// If the program may not.
    pub(super) fn kill(&self, child: &mut Child) -> io::Result<()> {
        match driver::pidfd_kill(self.0.as_fd()) {
            Ok(()) => Ok(()),
            Err(_) if self.state() == State::Gone => Ok(()),
            // A filter that lets nobody use the descriptor; or the child of another user.
            Err(_) => child.kill(),
        }
    }
}

impl AsFd for Pidfd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, Stdio};

    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    use super::*;

    /// A child that lasts as long as its input, which ends with the test.
    fn lasting() -> Child {
        let mut command = Command::new("cat");
        command.stdin(Stdio::piped()).spawn().expect("started")
    }

    /// Goal: a child that somebody else has reaped is gone, and who has got its number is neither
    /// looked at nor killed. Method: another child stands for who has got it; it is told to end by
    /// another signal, which a `SIGKILL` would have preceded.
    #[test]
    fn the_number_of_a_reaped_child_is_not_used() {
        let mut child = lasting();
        let pidfd = Pidfd::open(&child).expect("a descriptor");
        assert_eq!(pidfd.state(), State::Alive);
        let mut other = lasting();
        pidfd.kill(&mut other).expect("sent");
        assert_eq!(child.wait().expect("reaped").signal(), Some(9));
        assert_eq!(pidfd.state(), State::Gone);
        pidfd.kill(&mut other).expect("nothing to do");
        kill(Pid::from_raw(other.id() as i32), Signal::SIGTERM).expect("sent");
        assert_eq!(other.wait().expect("reaped").signal(), Some(15));
        let error = Pidfd::open(&child).expect_err("nobody has the number");
        assert_eq!(error.raw_os_error(), Some(Errno::ECHILD as i32), "{error}");
    }

    /// Goal: a descriptor that was opened too late, and means a stranger, is not kept. Method: this
    /// process, which is no child of its own.
    #[test]
    fn a_stranger_is_no_child() {
        let fd = driver::pidfd_open(std::process::id()).expect("a descriptor");
        let error = Pidfd(fd).checked().expect_err("not a child");
        assert_eq!(error.raw_os_error(), Some(Errno::ECHILD as i32), "{error}");
    }
}
